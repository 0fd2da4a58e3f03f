//! SIGTERM ends the agent within two seconds, and what could not be sent is said.

use crate::checks::{CLOSED_PORT, drops};
use std::net::TcpListener;
use std::time::Duration;
use tcpdrop_otel_tests::agent::{Ended, Options};
use tcpdrop_otel_tests::collector::Collector;
use tcpdrop_otel_tests::netns::VethPair;
use tcpdrop_otel_tests::require;

const KNOCKS: usize = 20;
const LIMIT: Duration = Duration::from_secs(2);

#[test]
fn with_the_collector_up_everything_is_delivered() {
    require!(Root, Btf, Tool("ip"), Collector);
    let pair = VethPair::new();
    let mut collector = Collector::start();

    let ended = end_right_after_drops(&pair, &collector.http_endpoint());
    collector.stop();

    let (ledger, records) = (ended.ledger(), collector.records());
    assert_eq!(ledger.term("delivered.drops"), ledger.term("spooled.drops"), "{ledger:?}");
    assert_eq!(drops(&records), ledger.sum(&["delivered.drops", "totals.delivered"]), "{ledger:?}");
    let inode = pair.server.inode.to_string();
    let here = |record: &&_| {
        let record: &tcpdrop_otel_tests::otlp_json::LogRecord = record;
        record.attributes.text("tcpdrop.netns") == Some(inode.as_str())
    };
    assert_eq!(drops(records.iter().filter(here)), KNOCKS as u64, "{records:#?}");
}

#[test]
fn with_the_collector_down_the_rest_is_evicted_and_said() {
    require!(Root, Btf, Tool("ip"));
    let collector = Collector::stopped();
    assert_rest_is_evicted(&end_right_after_drops(&VethPair::new(), &collector.http_endpoint()));
}

#[test]
fn with_a_collector_that_hangs_the_rest_is_evicted_and_said() {
    require!(Root, Btf, Tool("ip"));
    // The kernel accepts for it, and nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("listen");
    let endpoint = format!("http://{}", silent.local_addr().expect("address of the listener"));
    assert_rest_is_evicted(&end_right_after_drops(&VethPair::new(), &endpoint));
}

/// Ends the agent while some of the drops are still in the ring, and others wait for the end of a long window.
fn end_right_after_drops(pair: &VethPair, endpoint: &str) -> Ended {
    let agent = Options::new(endpoint).set("dedup.window=60s").set("dedup.max_flows_per_stack=4").start();
    pair.client.connect_refused((pair.server.v4, CLOSED_PORT).into(), KNOCKS);

    let ended = agent.terminate();

    assert!(ended.status.success(), "{}: {}", ended.status, ended.log);
    assert!(ended.duration < LIMIT, "took {:?}: {}", ended.duration, ended.log);
    let ledger = ended.ledger();
    ledger.assert_balanced();
    for empty in ["in_ring", "in_pipeline", "pending", "untold", "waiting.drops", "waiting.records"] {
        assert_eq!(ledger.term(empty), 0, "{empty} in {ledger:?}");
    }
    ended
}

fn assert_rest_is_evicted(ended: &Ended) {
    let ledger = ended.ledger();
    let evicted = ledger.term("evicted.drops");
    assert!(evicted >= KNOCKS as u64, "{ledger:?}");
    assert_eq!(evicted, ledger.term("spooled.drops"), "{ledger:?}");
    let said = |line: &str| {
        !line.contains("final ledger") && line.contains("evicted") && line.contains(&evicted.to_string())
    };
    assert!(ended.log.lines().any(said), "nothing says that {evicted} drops were evicted:\n{}", ended.log);
}

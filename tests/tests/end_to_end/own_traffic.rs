//! The agent's own export traffic never feeds itself, and hides nobody else's.

use crate::checks::flow;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use tcpdrop_otel_tests::agent::{Agent, Options};
use tcpdrop_otel_tests::collector::Collector;
use tcpdrop_otel_tests::netns::{VethPair, connect_refused};
use tcpdrop_otel_tests::otlp_json::LogRecord;
use tcpdrop_otel_tests::require;
use tcpdrop_otel_tests::wait::{PATIENCE, poll};

/// How long the Collector stays away, in seconds.
const OUTAGE: &str = "TCPDROP_TEST_OUTAGE_SECONDS";
const ROUNDS: u32 = 5;

#[test]
fn a_collector_that_is_down_on_this_host() {
    require!(Root, Btf, Tool("ip"), Collector);
    let mut collector = Collector::stopped();
    // `localhost` is ::1 too, where nobody ever listens here: those attempts are own as well.
    let agent = Options::new(&format!("http://localhost:{}", collector.http().port())).start();
    let closed = collector.http();

    let knocks = knock_during_outage(&agent, || connect_refused(closed));
    collector.restart(None);

    assert_only_the_knocks_are_told(agent, &collector, &knocks);
}

#[test]
fn a_collector_that_is_down_in_another_namespace() {
    require!(Root, Btf, Tool("ip"), Collector);
    let pair = VethPair::new();
    let mut collector = Collector::stopped_at(pair.server.v4.into());
    let agent = Options::new(&collector.http_endpoint()).within(&pair.client).start();
    let closed = collector.http();

    let knocks = knock_during_outage(&agent, || pair.client.run(|| connect_refused(closed)));
    collector.restart(Some(&pair.server));

    assert_only_the_knocks_are_told(agent, &collector, &knocks);
}

/// Knocks at the Collector's port now and then, as another process: the local ports that were used.
fn knock_during_outage(agent: &Agent, knock: impl Fn() -> u16) -> BTreeSet<u16> {
    let seconds = std::env::var(OUTAGE).map_or(15, |value| value.parse().expect("seconds"));
    let pause = Duration::from_secs(seconds) / ROUNDS;
    let mut ports = BTreeSet::new();
    for _ in 0..ROUNDS {
        ports.insert(knock());
        std::thread::sleep(pause);
    }
    let ledger = agent.ledger();
    assert!(ledger.term("own") > 0, "the agent's attempts are counted: {ledger:?}\n{}", agent.log());
    assert_eq!(ledger.term("delivered.drops"), 0, "{ledger:?}");
    ports
}

/// Ends the agent once the Collector has heard of every knock. The packets of the export connection itself, both ends,
/// must be in no record.
fn assert_only_the_knocks_are_told(agent: Agent, collector: &Collector, knocks: &BTreeSet<u16>) {
    let to_or_from_collector =
        |record: &LogRecord| flow(&record.attributes).filter(|ends| touches(*ends, collector.http().port()));
    let told = || {
        let records = collector.records();
        records
            .iter()
            .filter_map(to_or_from_collector)
            .map(|(source, _)| source.port())
            .collect::<BTreeSet<_>>()
    };
    // Its retries may be a while apart by now.
    poll(2 * PATIENCE, || told().is_superset(knocks).then_some(()));
    let ended = agent.terminate();
    assert_eq!(&told(), knocks, "{}", ended.log);
    ended.ledger().assert_balanced();
}

fn touches((source, destination): (SocketAddr, SocketAddr), port: u16) -> bool {
    source.port() == port || destination.port() == port
}

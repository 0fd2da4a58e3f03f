//! Drops arrive over each protocol; and where they are not to be exported, none is lost from the ledger.

use crate::checks::{CLOSED_PORT, dropped_in};
use std::net::SocketAddr;
use tcpdrop_otel_tests::agent::Options;
use tcpdrop_otel_tests::collector::Collector;
use tcpdrop_otel_tests::netns::{Family, VethPair};
use tcpdrop_otel_tests::require;
use tcpdrop_otel_tests::wait::wait_for;

const KNOCKS: usize = 5;

#[test]
fn drops_arrive_over_grpc_with_gzip() {
    require!(Root, Btf, Tool("ip"), Collector);
    let collector = Collector::start();
    let endpoint = format!("http://{}", collector.grpc());
    drops_arrive(&collector, Options::new(&endpoint).set("export.protocol=grpc"));
}

#[test]
fn drops_arrive_over_grpc_uncompressed() {
    require!(Root, Btf, Tool("ip"), Collector);
    let collector = Collector::start();
    let endpoint = format!("http://{}", collector.grpc());
    let options = Options::new(&endpoint).set("export.protocol=grpc").set("export.compression=none");
    drops_arrive(&collector, options);
}

#[test]
fn drops_arrive_as_json() {
    require!(Root, Btf, Tool("ip"), Collector);
    let collector = Collector::start();
    drops_arrive(&collector, Options::new(&collector.http_endpoint()).set("export.protocol=http/json"));
}

fn drops_arrive(collector: &Collector, options: Options) {
    let pair = VethPair::new();
    let agent = options.start();
    pair.client.connect_refused(SocketAddr::new(pair.server.address(Family::V4), CLOSED_PORT), KNOCKS);
    let records = collector
        .records_for(KNOCKS as u64, |record| dropped_in(&record.attributes, &pair.server, "NO_SOCKET"));
    wait_for("the span of each record", || {
        let spans = collector.spans();
        let has_span = |id: &str| spans.iter().any(|span| span.span_id == id);
        records.iter().all(|record| has_span(&record.span_id)).then_some(())
    });
    let ledger = agent.terminate().ledger();
    ledger.assert_balanced();
    assert_eq!(ledger.sum(&["refused.drops", "evicted.drops"]), 0, "{ledger:?}");
}

#[test]
fn without_an_exporter_of_logs_all_drops_count_as_evicted_and_that_is_said() {
    require!(Root, Btf, Tool("ip"), Collector);
    let (pair, collector) = (VethPair::new(), Collector::start());
    let agent = Options::new(&collector.http_endpoint()).set("export.logs.exporter=none").start();
    pair.client.connect_refused(SocketAddr::new(pair.server.address(Family::V4), CLOSED_PORT), KNOCKS);
    agent.ledger_when("the drops to be evicted", |ledger| ledger.term("evicted.drops") >= KNOCKS as u64);
    let ended = agent.terminate();
    assert!(ended.log.contains("log records are not exported"), "{}", ended.log);
    let ledger = ended.ledger();
    ledger.assert_balanced();
    assert_eq!(ledger.term("evicted.drops"), ledger.term("spooled.drops"));
    assert_eq!(ledger.term("spooled.records"), 0);
    assert!(collector.records().is_empty());
}

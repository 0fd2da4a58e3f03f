//! Every drop is found again, in exactly one place of the ledger and in exactly one record.

use crate::checks::{CLOSED_PORT, assert_each_once, drops};
use rustix::process::Signal;
use std::net::SocketAddr;
use tcpdrop_otel_tests::agent::Options;
use tcpdrop_otel_tests::collector::Collector;
use tcpdrop_otel_tests::ledger::Ledger;
use tcpdrop_otel_tests::netns::{Family, VethPair};
use tcpdrop_otel_tests::otlp_json::LogRecord;
use tcpdrop_otel_tests::require;

#[test]
fn the_ledger_balances_at_rest_and_the_records_say_the_same() {
    require!(Root, Btf, Tool("ip"), Collector);
    let pair = VethPair::new();
    let mut collector = Collector::start();
    // Small tables and limits, so that every way through the pipeline is taken.
    let agent = Options::new(&collector.http_endpoint())
        .set("dedup.max_flows_per_stack=4")
        .set("limit.per_stack_per_second=1")
        .set("limit.burst=2")
        .start();
    for family in [Family::V4, Family::V6] {
        let closed = SocketAddr::new(pair.server.address(family), CLOSED_PORT);
        pair.client.connect_refused(closed, 500);
    }
    agent.ledger_when("some drops to be delivered", |ledger| ledger.term("delivered.drops") > 0);

    let ended = agent.terminate();
    collector.stop();

    let (ledger, records) = (ended.ledger(), collector.records());
    assert!(ledger.term("seen") >= 1000, "{ledger:?}");
    assert_all_delivered(&ledger, &records);
    let here = |record: &&LogRecord| {
        record.attributes.text("tcpdrop.netns") == Some(&pair.server.inode.to_string())
            && record.attributes.text("tcpdrop.reason") == Some("NO_SOCKET")
    };
    let told_here = drops(records.iter().filter(here));
    let totals = ledger.sum(&["suppressed", "ring_lost"]);
    assert!((1000 - totals.min(1000)..=1000).contains(&told_here), "{told_here} of 1000, {totals} as totals");
    let spans = u64::try_from(collector.spans().len()).expect("a count");
    assert_eq!(spans, ledger.term("spans.delivered"), "{ledger:?}");
}

#[test]
fn what_a_full_ring_loses_is_told_as_a_total() {
    require!(Root, Btf, Tool("ip"), Collector);
    const KNOCKS: usize = 300;
    let pair = VethPair::new();
    let mut collector = Collector::start();
    let agent = Options::new(&collector.http_endpoint()).set("probe.ring_bytes=4096").start();

    // Nobody empties the ring while the agent is stopped.
    agent.process().signal(Signal::STOP);
    pair.client.connect_refused((pair.server.v4, CLOSED_PORT).into(), KNOCKS);
    agent.process().signal(Signal::CONT);
    let ended = agent.terminate();
    collector.stop();

    let (ledger, records) = (ended.ledger(), collector.records());
    assert!(ledger.sum(&["ring_lost", "suppressed"]) > 0, "300 events fit into 4096 bytes? {ledger:?}");
    assert!(ledger.term("ring_lost") > 0, "{ledger:?}");
    assert_all_delivered(&ledger, &records);
    let lost = |record: &&LogRecord| record.attributes.text("tcpdrop.suppressed.cause") == Some("ring_full");
    assert_eq!(drops(records.iter().filter(lost)), ledger.term("ring_lost"), "{ledger:?}");
    let refused_syns = |record: &&LogRecord| {
        lost(record)
            && record.attributes.text("tcpdrop.reason") == Some("NO_SOCKET")
            && record.attributes.text("code.function.name") == Some("tcp_v4_rcv")
    };
    assert!(records.iter().any(|record| refused_syns(&record)), "{records:#?}");
    for record in records.iter().filter(lost) {
        assert_eq!(record.event_name, "tcpdrop.drops.suppressed", "{record:#?}");
        assert_eq!(record.attributes.text("tcpdrop.record"), Some("suppressed"), "{record:#?}");
        assert!(!record.attributes.has("source.address"), "a total has no flow: {record:#?}");
    }
}

/// Checks an agent that ended with the Collector up: nothing is left anywhere, and the Collector has it all, once.
fn assert_all_delivered(ledger: &Ledger, records: &[LogRecord]) {
    ledger.assert_balanced();
    for empty in [
        "filtered",
        "in_ring",
        "in_pipeline",
        "pending",
        "untold",
        "decode_errors",
        "waiting.drops",
        "waiting.records",
        "waiting.bytes",
        "refused.drops",
        "evicted.drops",
        "totals.waiting",
        "totals.refused",
        "totals.evicted",
        "spans.waiting",
        "spans.refused",
        "spans.evicted",
    ] {
        assert_eq!(ledger.term(empty), 0, "{empty} in {ledger:?}");
    }
    assert_each_once(records);
    let (told, totals): (Vec<_>, Vec<_>) =
        records.iter().partition(|record| record.attributes.text("tcpdrop.record") == Some("drop"));
    assert_eq!(records.len() as u64, ledger.term("delivered.records"), "{ledger:?}");
    assert_eq!(drops(told), ledger.term("delivered.drops"), "{ledger:?}");
    assert_eq!(drops(totals), ledger.term("totals.delivered"), "{ledger:?}");
    assert_eq!(drops(records), ledger.term("seen") - ledger.sum(&["filtered", "own"]), "{ledger:?}");
}

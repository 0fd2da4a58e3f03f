//! A packet dropped by this kernel arrives in a real Collector, as a log record and as a span event.

use crate::checks::{
    CLOSED_PORT, assert_drop_record, assert_each_once, assert_stack, dropped_in, event_of, flow,
    local_and_peer,
};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use tcpdrop_otel_tests::agent::Options;
use tcpdrop_otel_tests::collector::Collector;
use tcpdrop_otel_tests::netns::{Family, Namespace, VethPair};
use tcpdrop_otel_tests::nftables::DropRule;
use tcpdrop_otel_tests::otlp_json::{LogRecord, Span, SpanEvent};
use tcpdrop_otel_tests::require;
use tcpdrop_otel_tests::wait::wait_for;

const KNOCKS: usize = 20;

#[test]
fn refused_connects_over_ipv4() {
    require!(Root, Btf, Tool("ip"), Collector);
    refused_connects(Family::V4, "tcp_v4_rcv", 60);
}

#[test]
fn refused_connects_over_ipv6() {
    require!(Root, Btf, Tool("ip"), Collector);
    refused_connects(Family::V6, "tcp_v6_rcv", 80);
}

#[test]
fn established_connections_dropped_by_nftables_on_input() {
    require!(Root, Btf, Tool("ip"), Tool("nft"), Collector);
    let pair = VethPair::new();
    established_connections(&pair, "input", &pair.server, "receive");
}

#[test]
fn established_connections_dropped_by_nftables_on_output() {
    require!(Root, Btf, Tool("ip"), Tool("nft"), Collector);
    let pair = VethPair::new();
    established_connections(&pair, "output", &pair.client, "transmit");
}

/// A SYN has 20 bytes of TCP header and 20 of options, after the IP header: `size` in all.
fn refused_connects(family: Family, site: &str, size: u64) {
    let pair = VethPair::new();
    let collector = Collector::start();
    // No port may hold more than half of a flow table, and here all flows have one.
    let agent = Options::new(&collector.http_endpoint()).set("dedup.max_flows_per_stack=64").start();
    let closed = SocketAddr::new(pair.server.address(family), CLOSED_PORT);

    let ports = pair.client.connect_refused(closed, KNOCKS);

    let records = collector
        .records_for(KNOCKS as u64, |record| dropped_in(&record.attributes, &pair.server, "NO_SOCKET"));
    let told: BTreeSet<_> = records.iter().filter_map(|record| flow(&record.attributes)).collect();
    let made = ports.iter().map(|port| (SocketAddr::new(pair.client.address(family), *port), closed));
    assert_eq!(told, made.collect());
    assert_each_once(&records);
    for record in &records {
        let attributes = &record.attributes;
        assert_drop_record(record);
        assert_eq!(attributes.text("code.function.name"), Some(site), "{record:#?}");
        assert_eq!(attributes.list("tcpdrop.tcp.flags"), ["SYN"], "{record:#?}");
        assert_eq!(attributes.number("tcpdrop.tcp.flags_bits"), Some(2), "{record:#?}");
        assert_eq!(attributes.number("tcpdrop.packet.size"), Some(size), "{record:#?}");
        assert_eq!(attributes.number("tcpdrop.bytes"), Some(size * record.count()), "{record:#?}");
        assert_eq!(attributes.text("network.type"), Some(family.network_type()), "{record:#?}");
        assert_eq!(attributes.text("network.transport"), Some("tcp"), "{record:#?}");
        assert_eq!(attributes.text("network.interface.name"), Some(pair.server.interface), "{record:#?}");
        assert_received(record);
        assert!(!attributes.has("network.connection.state"), "there is no socket: {record:#?}");
        assert!(!attributes.has("tcpdrop.socket.kind"), "there is no socket: {record:#?}");
    }
    let events = spans_with_events_for(&collector, &records, KNOCKS as u64);
    for event in &events {
        assert_eq!(event.attributes.list("tcpdrop.tcp.flags"), ["SYN"], "{event:#?}");
        assert!(!event.attributes.has("network.connection.state"), "there is no socket: {event:#?}");
    }
    agent.terminate();
}

/// Drops the segments of one connection in `dropping`, at an nftables hook, and looks for exactly as many drops as the
/// rule's own counter has.
fn established_connections(pair: &VethPair, hook: &str, dropping: &Namespace, direction: &str) {
    let collector = Collector::start();
    let agent = Options::new(&collector.http_endpoint()).start();
    for family in [Family::V4, Family::V6] {
        let mut connection = pair.client.connect_to(&pair.server, family);
        connection.exchange();
        let client = connection.client.local_addr().expect("local address");
        let server = connection.client.peer_addr().expect("peer address");

        let rule = DropRule::start(dropping, hook, server.port());
        connection.client.write_all(b"lost").expect("send");
        wait_for("a retransmission to be dropped too", || (rule.dropped() > 1).then_some(()));
        let count = rule.stop();

        let records = collector.records_for(count, |record| {
            dropped_in(&record.attributes, dropping, "NETFILTER_DROP")
                && flow(&record.attributes) == Some((client, server))
        });
        let ends = if hook == "input" { (server, client) } else { (client, server) };
        for record in &records {
            let attributes = &record.attributes;
            assert_drop_record(record);
            assert_eq!(attributes.text("network.connection.state"), Some("established"), "{record:#?}");
            assert_eq!(attributes.text("tcpdrop.socket.kind"), Some("full"), "{record:#?}");
            assert_eq!(attributes.text("tcpdrop.direction"), Some(direction), "{record:#?}");
            assert_eq!(attributes.text("network.io.direction"), Some(direction), "{record:#?}");
            assert_eq!(local_and_peer(attributes), Some(ends), "{record:#?}");
            assert!(attributes.list("tcpdrop.tcp.flags").contains(&"ACK"), "{record:#?}");
        }
        for event in spans_with_events_for(&collector, &records, count) {
            let state = event.attributes.text("network.connection.state");
            assert_eq!(state, Some("established"), "{event:#?}");
        }
    }
    agent.terminate();
}

fn assert_received(record: &LogRecord) {
    let attributes = &record.attributes;
    assert_eq!(attributes.text("tcpdrop.direction"), Some("receive"), "{record:#?}");
    assert_eq!(attributes.text("network.io.direction"), Some("receive"), "{record:#?}");
    let seen_from_here = flow(attributes).map(|(source, destination)| (destination, source));
    assert_eq!(local_and_peer(attributes), seen_from_here, "{record:#?}");
}

/// Waits for the spans that `records` name: their events of the records' flows, which stand for `count` drops.
fn spans_with_events_for(collector: &Collector, records: &[LogRecord], count: u64) -> Vec<SpanEvent> {
    let spans = wait_for("the spans that the records name", || {
        let spans = collector.spans();
        records.iter().all(|record| event_of(record, &spans).is_some()).then_some(spans)
    });
    let flows: BTreeSet<_> = records.iter().map(|record| flow(&record.attributes)).collect();
    let named = |span: &&Span| {
        records.iter().any(|record| (&record.trace_id, &record.span_id) == (&span.trace_id, &span.span_id))
    };
    let mut events = Vec::new();
    for span in spans.iter().filter(named) {
        assert_span(span);
        events.extend(span.events.iter().filter(|event| flows.contains(&flow(&event.attributes))).cloned());
    }
    let told: u64 = events.iter().filter_map(|event| event.attributes.number("tcpdrop.flow.count")).sum();
    assert_eq!(told, count, "{events:#?}");
    events
}

fn assert_span(span: &Span) {
    const INTERNAL: u64 = 1;
    let reason = span.attributes.text("tcpdrop.reason").expect("the reason of the group");
    assert_eq!(
        (span.name.as_str(), span.kind),
        (format!("tcpdrop {reason}").as_str(), INTERNAL),
        "{span:#?}"
    );
    assert_eq!((span.trace_id.len(), span.span_id.len()), (32, 16), "{span:#?}");
    assert_eq!(span.parent_span_id, "", "nobody else's trace is known: {span:#?}");
    assert!(span.start > 0 && span.start <= span.end, "{span:#?}");
    assert_stack(&span.attributes);
    for event in &span.events {
        assert_eq!(event.name, "tcpdrop.packet.dropped", "{event:#?}");
        assert!((span.start..=span.end).contains(&event.time), "{span:#?}");
        assert!(!event.attributes.has("tcpdrop.count"), "a sum over records would double: {event:#?}");
        assert_stack(&event.attributes);
    }
}

//! SYNs that a listener refuses for a full queue: the tracepoint does not tell them, the namespace's counters do. Here they
//! are read, as on kernels that do not let functions be watched; `make test-kernels` has the others.

use crate::checks::{drops, is_silent};
use tcpdrop_otel_tests::agent::{Agent, Options};
use tcpdrop_otel_tests::collector::Collector;
use tcpdrop_otel_tests::listener::{Listener, counter, inhabitant, refused_syns, send_syn, set_sysctl};
use tcpdrop_otel_tests::netns::{Family, Namespace, VethPair};
use tcpdrop_otel_tests::otlp_json::LogRecord;
use tcpdrop_otel_tests::require;
use tcpdrop_otel_tests::wait::wait_for;

/// An agent with what the unit's capabilities allow, which has read the counters once.
fn start(collector: &Collector) -> Agent<'static> {
    let agent = Options::new(&collector.http_endpoint())
        .set("probe.silent=netstat")
        .with_only(&["CAP_BPF", "CAP_PERFMON", "CAP_SYSLOG"])
        .start();
    wait_for("the counters to be read", || (readings(&agent) > 0).then_some(()));
    agent
}

fn readings(agent: &Agent) -> u64 {
    agent.status()["silent"]["namespaces"]["readings"].as_u64().expect("a count")
}

fn is_silent_in(record: &LogRecord, namespace: &Namespace) -> bool {
    is_silent(record) && record.attributes.text("tcpdrop.netns") == Some(&namespace.inode.to_string())
}

fn refused<'a>(records: impl IntoIterator<Item = &'a LogRecord>) -> u64 {
    records.into_iter().map(LogRecord::count).sum()
}

fn by_counter(records: &[LogRecord], name: &str) -> u64 {
    refused(records.iter().filter(|record| record.attributes.text("tcpdrop.counter") == Some(name)))
}

/// Checks what all these records have in common.
fn assert_estimate(record: &LogRecord) {
    let attributes = &record.attributes;
    assert_eq!(record.event_name, "tcpdrop.drops.silent", "{record:#?}");
    assert_eq!(attributes.text("tcpdrop.silent.source"), Some("netstat"), "{record:#?}");
    assert_eq!(attributes.0.get("tcpdrop.estimated"), Some(&true.into()), "{record:#?}");
    assert_eq!(record.severity_text, "ERROR", "{record:#?}");
    assert_eq!(attributes.text("error.type"), attributes.text("tcpdrop.counter"), "{record:#?}");
    assert!(!attributes.has("source.address"), "a counter knows no flow: {record:#?}");
    assert!(record.time < record.observed_time, "it stands for a window: {record:#?}");
    assert_eq!(record.trace_id, "", "it has no span: {record:#?}");
}

#[test]
fn refused_syns_are_told_by_the_counters_and_ordinary_traffic_is_not() {
    require!(Root, Btf, Tool("ip"), Tool("nft"), Tool("setpriv"), Collector);
    let (pair, uninhabited) = (VethPair::new(), VethPair::new());
    let directory = tempfile::tempdir().expect("make a folder");
    let _process = inhabitant(&pair.server, directory.path());
    let collector = Collector::start();
    let agent = start(&collector);
    assert_eq!(agent.status()["silent"]["source"], "netstat");

    let mut sums = [0, 0];
    for pair in [&uninhabited, &pair] {
        pair.client.connect_to(&pair.server, Family::V4).exchange();
        sums = refuse_in_all_ways(pair);
    }
    let [overflows, request_queue_full] = sums;

    let records =
        collector.records_for(overflows + request_queue_full, |record| is_silent_in(record, &pair.server));
    assert_eq!(by_counter(&records, "ListenOverflows"), overflows, "{records:#?}");
    assert_eq!(by_counter(&records, "TCPReqQFullDrop"), request_queue_full, "{records:#?}");
    records.iter().for_each(assert_estimate);

    // What is not told by then never is.
    let read = readings(&agent);
    wait_for("the counters to be read again", || (readings(&agent) > read + 1).then_some(()));
    let told = &agent.status()["silent"]["told"];
    assert!(told["ListenOverflows"].as_u64() >= Some(overflows), "{told}");
    let metrics = agent.get("/metrics").expect("the agent answers").body;
    assert!(metrics.contains("tcpdrop_silent_dropped_total{"), "{metrics}");
    let ended = agent.terminate();
    assert!(ended.status.success());
    ended.ledger().assert_balanced();
    let records = collector.records();
    assert_eq!(records.iter().filter(|record| is_silent_in(record, &uninhabited.server)).count(), 0);
    assert_eq!(
        refused(records.iter().filter(|record| is_silent_in(record, &pair.server))),
        overflows + request_queue_full
    );
}

/// Over IPv4 and IPv6, with SYN cookies and without: how many were refused for a full accept queue and a full SYN queue, by
/// the kernel's own counters.
fn refuse_in_all_ways(pair: &VethPair) -> [u64; 2] {
    for family in [Family::V4, Family::V6] {
        for cookies in ["0", "1", "2"] {
            set_sysctl(&pair.server, "tcp_syncookies", cookies);
            let listener = Listener::start(&pair.server, family, 1);
            let _waiting = [(); 2].map(|()| send_syn(&pair.client, listener.address));
            refused_syns(&pair.client, &pair.server, listener.address, "ListenOverflows", 5);
        }
        set_sysctl(&pair.server, "tcp_syncookies", "0");
        // No handshake ends: the SYN queue fills.
        pair.client.nft(&drop_rule("deaf", "tcp flags & (syn|ack) == syn|ack"));
        let listener = Listener::start(&pair.server, family, 1);
        let _half_open = [(); 2].map(|()| send_syn(&pair.client, listener.address));
        refused_syns(&pair.client, &pair.server, listener.address, "TCPReqQFullDrop", 4);
        pair.client.nft("delete table inet deaf");
    }
    let [overflows, full] = ["ListenOverflows", "TCPReqQFullDrop"].map(|name| counter(&pair.server, name));
    assert_eq!((overflows, full), (30, 8));
    assert_eq!(counter(&pair.server, "ListenDrops"), overflows + full);
    [overflows, full]
}

/// A table that drops what comes in and matches.
fn drop_rule(table: &str, matching: &str) -> String {
    format!("table inet {table} {{ chain input {{ type filter hook input priority 0; {matching} drop; }}; }}")
}

/// The last ACK of a handshake that finds the accept queue full moves the same counters, and is told by the tracepoint.
#[test]
fn what_the_tracepoint_tells_is_not_told_again() {
    require!(Root, Btf, Tool("ip"), Tool("nft"), Tool("setpriv"), Collector);
    const HANDSHAKES: usize = 6;
    let pair = VethPair::new();
    let directory = tempfile::tempdir().expect("make a folder");
    let _process = inhabitant(&pair.server, directory.path());
    let collector = Collector::start();
    let agent = start(&collector);
    for cookies in ["1", "2"] {
        set_sysctl(&pair.server, "tcp_syncookies", cookies);
        let listener = Listener::start(&pair.server, Family::V4, 8);
        pair.server.nft(&drop_rule("late", "tcp flags & (syn|ack) == ack"));
        let clients: Vec<_> = (0..HANDSHAKES).map(|_| send_syn(&pair.client, listener.address)).collect();
        wait_for("the handshakes to be answered", || {
            clients.iter().all(|client| rustix::net::getpeername(client).is_ok()).then_some(())
        });
        let before = counter(&pair.server, "ListenOverflows");
        listener.limit(1);
        pair.server.nft("delete table inet late");
        for client in &clients {
            rustix::net::send(client, b"x", rustix::net::SendFlags::empty()).expect("send");
        }
        // Two of them find room.
        let refused = (HANDSHAKES - 2) as u64;
        wait_for("last ACKs to find the queue full", || {
            (counter(&pair.server, "ListenOverflows") >= before + refused).then_some(())
        });
        drop(clients);
    }
    refused_syns_at_the_end(&pair);
    let overflows = counter(&pair.server, "ListenOverflows");
    assert_eq!(counter(&pair.server, "ListenDrops"), overflows);

    let read = readings(&agent);
    wait_for("the counters to be read again", || (readings(&agent) > read + 1).then_some(()));
    assert!(agent.terminate().status.success());
    let records = collector.records();
    let told = drops(records.iter().filter(|record| is_last_ack(record, &pair.server)));
    for record in records.iter().filter(|record| is_last_ack(record, &pair.server)) {
        let queue = ["backlog", "backlog_max"]
            .map(|name| record.attributes.number(&format!("tcpdrop.listener.{name}")));
        assert_eq!(queue, [Some(2), Some(1)], "{record:#?}");
    }
    let silent = refused(records.iter().filter(|record| is_silent_in(record, &pair.server)));
    assert!(told >= 8, "{records:#?}");
    assert_eq!((silent, told + silent), (3, counter(&pair.server, "ListenOverflows")), "{records:#?}");
}

fn refused_syns_at_the_end(pair: &VethPair) {
    let listener = Listener::start(&pair.server, Family::V6, 1);
    let _waiting = [(); 2].map(|()| send_syn(&pair.client, listener.address));
    refused_syns(&pair.client, &pair.server, listener.address, "ListenOverflows", 3);
}

/// Whether it is a drop of the tracepoint that moved ListenOverflows.
fn is_last_ack(record: &LogRecord, namespace: &Namespace) -> bool {
    let attributes = &record.attributes;
    attributes.text("tcpdrop.netns") == Some(&namespace.inode.to_string())
        && attributes.text("tcpdrop.record") == Some("drop")
        && (attributes.text("tcpdrop.reason") == Some("TCP_LISTEN_OVERFLOW")
            || attributes.text("code.function.name") == Some("cookie_v4_check"))
}

//! A storm costs detail of its own, no count, and nobody else's detail.

use crate::checks::{dropped_in, drops, flow};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use tcpdrop_otel_tests::agent::{Agent, Options};
use tcpdrop_otel_tests::blaster::{Flows, Segment, Sender, Storm, blast};
use tcpdrop_otel_tests::collector::Collector;
use tcpdrop_otel_tests::netns::{Connection, Namespace, VethPair};
use tcpdrop_otel_tests::otlp_json::LogRecord;
use tcpdrop_otel_tests::require;
use tcpdrop_otel_tests::wait::{PATIENCE, poll, wait_for};

/// All drops happen here, so that they share the budget of one CPU.
const CPU: usize = 0;
const STORM_PORT: u16 = 9;
const QUIET_PORT: u16 = 7777;
/// New flows beside the storm, at five a second.
const FLOWS: u32 = 50;
const A_SECOND: u64 = 5;
/// The budget of a site is used up many times over; the machine is left to others.
const STORM_A_SECOND: u64 = 100_000;
const DURATION: Duration = Duration::from_secs(FLOWS as u64 / A_SECOND + 1);

#[test]
fn a_storm_of_one_flow_hides_nothing_else() {
    hides_nothing_else(1);
}

#[test]
fn a_storm_of_a_hundred_thousand_flows_hides_nothing_else() {
    hides_nothing_else(100_000);
}

fn hides_nothing_else(flows: u32) {
    require!(Root, Btf, Tool("ip"), Collector);
    let pair = VethPair::new();
    let mut collector = Collector::start();
    let agent = start(&collector);
    let (noisy, other) = (&pair.client, &pair.server);
    std::thread::scope(|scope| {
        scope.spawn(|| storm(noisy, Flows::to_port(STORM_PORT, flows)));
        scope.spawn(|| few(noisy, Segment::Rst, Flows::to_port(QUIET_PORT, FLOWS)));
        scope.spawn(|| few(other, Segment::Rst, Flows::to_port(STORM_PORT, FLOWS)));
        scope.spawn(|| few(noisy, Segment::BadChecksum, Flows::to_port(STORM_PORT, FLOWS)));
    });
    each_has_its_record(&collector, "another port", |record| {
        dropped_in(&record.attributes, noisy, "NO_SOCKET") && is_to(record, QUIET_PORT)
    });
    each_has_its_record(&collector, "another namespace", |record| {
        dropped_in(&record.attributes, other, "NO_SOCKET")
    });
    each_has_its_record(&collector, "another reason", |record| {
        dropped_in(&record.attributes, noisy, "TCP_CSUM")
    });
    all_is_accounted_for(agent, &mut collector);
}

#[test]
fn a_scan_of_all_ports_hides_nothing_else_and_leaves_no_trace() {
    require!(Root, Btf, Tool("ip"), Tool("nft"), Collector);
    const REASON: &str = "NETFILTER_DROP";
    const DROP_ALL: &str = "table ip dropper {
        chain drops {
            type filter hook input priority 0
            ip protocol tcp drop
        }
    }";
    let pair = VethPair::new();
    let mut collector = Collector::start();
    let (scanned, other) = (&pair.client, &pair.server);
    // Over veth, for on loopback the kernel does not look for the socket before netfilter.
    let listener = scanned.run(|| TcpListener::bind((scanned.v4, 0)).expect("listen"));
    let service = listener.local_addr().expect("address of the listener");
    let connections: Vec<_> = (0..FLOWS).map(|_| other.run(|| connect(&listener))).collect();
    // One site and one reason for all of IPv4.
    for namespace in [scanned, other] {
        namespace.nft(DROP_ALL);
    }
    let agent = start(&collector);
    std::thread::scope(|scope| {
        scope.spawn(|| storm(scanned, Flows::scan()));
        scope.spawn(|| few(other, Segment::Rst, Flows::to_port(STORM_PORT, FLOWS)));
        scope.spawn(|| {
            let v6 = Ipv6Addr::LOCALHOST.into();
            let flows = Flows { source: v6, destination: v6, ..Flows::to_port(STORM_PORT, FLOWS) };
            few(scanned, Segment::Rst, flows);
        });
        scope.spawn(|| other.run(|| send_one_after_another(&connections)));
    });
    each_has_its_record(&collector, "another namespace", |record| {
        dropped_in(&record.attributes, other, REASON)
    });
    each_has_its_record(&collector, "another reason", |record| {
        dropped_in(&record.attributes, scanned, "NO_SOCKET")
    });
    each_has_its_record(&collector, "connections", |record| {
        dropped_in(&record.attributes, scanned, REASON)
            && record.attributes.has("tcpdrop.socket.kind")
            && is_to(record, service.port())
    });

    // Two seconds after its end, which was before the waits above.
    std::thread::sleep(Duration::from_secs(2));
    let late = Flows { source_ports: 50_000..=50_000, ..Flows::to_port(QUIET_PORT, 1) };
    blast(&Storm { packets: 1, ..storm_of(scanned, Segment::Rst, late) });
    wait_for("a record of the flow after the scan", || {
        let is_late = |record: &LogRecord| {
            flow(&record.attributes)
                .is_some_and(|(from, to)| (from.port(), to.port()) == (50_000, QUIET_PORT))
        };
        collector.records().iter().any(is_late).then_some(())
    });
    all_is_accounted_for(agent, &mut collector);
}

/// Its window is too long to be waited for: what comes meanwhile did not wait for its end.
fn start(collector: &Collector) -> Agent<'static> {
    Options::new(&collector.http_endpoint()).set("dedup.window=10m").start()
}

fn storm_of(namespace: &Namespace, segment: Segment, flows: Flows) -> Storm<'_> {
    Storm {
        senders: vec![Sender { cpu: Some(CPU), namespace: Some(namespace) }],
        segment,
        flows,
        packets: u64::MAX,
        at_most: DURATION,
        per_second: None,
        seed: 0,
    }
}

fn storm(namespace: &Namespace, flows: Flows) {
    let blasted =
        blast(&Storm { per_second: Some(STORM_A_SECOND), ..storm_of(namespace, Segment::Rst, flows) });
    assert!(blasted.packets > 100_000, "no storm: {blasted:?}");
}

/// One packet of each flow.
fn few(namespace: &Namespace, segment: Segment, flows: Flows) {
    let storm = storm_of(namespace, segment, flows);
    blast(&Storm { per_second: Some(A_SECOND), packets: FLOWS.into(), at_most: PATIENCE, ..storm });
}

fn connect(listener: &TcpListener) -> Connection {
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
    let (server, _) = listener.accept().expect("accept");
    Connection { client, server }
}

/// A byte on each connection: lost, and sent again by the kernel a few times.
fn send_one_after_another(connections: &[Connection]) {
    let mut cpus = CpuSet::new();
    cpus.set(CPU);
    sched_setaffinity(None, &cpus).expect("pin to the storm's CPU");
    for connection in connections {
        (&connection.client).write_all(b"x").expect("send");
        std::thread::sleep(Duration::from_secs(1) / u32::try_from(A_SECOND).expect("a small number"));
    }
}

fn is_to(record: &LogRecord, port: u16) -> bool {
    flow(&record.attributes).is_some_and(|(_, to)| to.port() == port)
}

/// Waits until each of the [`FLOWS`] that `select` picks has a record of its own.
fn each_has_its_record(collector: &Collector, what: &str, select: impl Fn(&LogRecord) -> bool) {
    let of_flows = || -> BTreeSet<(SocketAddr, SocketAddr)> {
        let records = collector.records();
        let told =
            |record: &&LogRecord| select(record) && record.attributes.text("tcpdrop.record") == Some("drop");
        records.iter().filter(told).filter_map(|record| flow(&record.attributes)).collect()
    };
    let all = || Some(of_flows()).filter(|told| told.len() == FLOWS as usize);
    assert!(poll(PATIENCE, all).is_some(), "of {what}, {} of {FLOWS}: {:#?}", of_flows().len(), of_flows());
}

fn all_is_accounted_for(agent: Agent, collector: &mut Collector) {
    let ended = agent.terminate();
    collector.stop();
    let (ledger, records) = (ended.ledger(), collector.records());
    ledger.assert_balanced();
    assert!(ledger.term("suppressed") > ledger.term("admitted"), "no storm: {ledger:?}");
    assert_eq!(ledger.sum(&["evicted.drops", "totals.evicted"]), 0, "{ledger:?}");
    let expected = ledger.term("seen") - ledger.sum(&["filtered", "own", "decode_errors"]);
    assert_eq!(drops(&records), expected, "{ledger:?}");
    let over_budget =
        records.iter().filter(|record| record.attributes.text("tcpdrop.suppressed.cause") == Some("budget"));
    assert_eq!(drops(over_budget), ledger.term("suppressed"), "{ledger:?}");
}

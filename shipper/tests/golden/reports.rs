//! Hand-made reports, each a case that differs in what is known.

use opentelemetry::trace::{SpanId, TraceId};
use std::net::IpAddr;
use std::sync::Arc;
use tcpdrop_otel::drop_report::{
    DropReport, Facts, FlowReport, Frame, GroupReport, NamedStack, SilentReport, SuppressedReport,
    SuppressionCause, TraceContext, UnixNanos,
};
use tcpdrop_otel::drop_summary::{DropSummary, FlowWindow, Interval, SpanIds, Tally};
use tcpdrop_otel::packet_drop::{
    BootTime, Direction, Flow, IpVersion, ListenerQueues, NetworkNamespace, PacketDrop, Ports, Socket,
    SocketKind, Task, TcpFlags, TcpHeader, TcpState, Tunnel,
};
use tcpdrop_otel::reasons::{Class, ClassSource, Classified};
use tcpdrop_otel::silent::totals::SilentCount;
use tcpdrop_otel::silent::{SilentCounter, SilentSource};

/// 2026-01-02T03:04:05.000000006Z.
const TIME: UnixNanos = UnixNanos(1_767_323_045_000_000_006);
const SECOND: u64 = 1_000_000_000;

const TRACE: TraceContext = TraceContext {
    trace: TraceId::from_bytes([
        0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36,
    ]),
    span: SpanId::from_bytes([0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]),
    flags: Some(1),
};

/// All cases, by name.
pub fn drops() -> Vec<(&'static str, DropReport)> {
    vec![
        ("syn_no_socket", report(syn_no_socket(), 1)),
        ("syn_no_socket_x12", report(syn_no_socket(), 12)),
        ("v6_netfilter_output", report(v6_netfilter_output(), 1)),
        ("last_ack_overflow", report(last_ack_overflow(), 1)),
        ("nothing_known", report(nothing_known(), 1)),
        ("forwarded_gso_x3", report(forwarded_gso(), 3)),
        ("other_flows_x40", DropReport { summary: other_flows(), ..report(syn_no_socket(), 40) }),
    ]
}

/// The window of a stack group with a flow that dropped 12 packets, and with more flows than its table holds.
pub fn group() -> GroupReport {
    let flow = |report: DropReport| FlowReport {
        window: FlowWindow {
            sample: report.summary.sample,
            tally: report.summary.tally,
            interval: report.summary.interval,
            other_flows: report.summary.other_flows,
        },
        facts: report.facts,
        time: report.time,
        last_time: report.last_time,
    };
    let others = DropReport { summary: other_flows(), ..report(syn_no_socket(), 40) };
    GroupReport {
        trace: TRACE,
        flows: vec![flow(report(syn_no_socket(), 12)), flow(others)],
        time: TIME,
        last_time: UnixNanos(TIME.0 + 9 * SECOND),
    }
}

/// Totals for each cause.
pub fn suppressed() -> Vec<(&'static str, SuppressedReport)> {
    let budget = SuppressedReport {
        reason: Some("NO_SOCKET".into()),
        reason_code: Some(3),
        class: by_reason(Class::NoListener),
        site: Some("tcp_v4_rcv".into()),
        count: 5000,
        cause: SuppressionCause::Budget,
        time: TIME,
        observed: UnixNanos(TIME.0 + 10 * SECOND),
    };
    let beyond_table = SuppressedReport {
        reason: None,
        reason_code: None,
        class: None,
        site: None,
        count: 1,
        cause: SuppressionCause::RingFull,
        ..budget.clone()
    };
    vec![("suppressed_budget", budget), ("suppressed_ring_full", beyond_table)]
}

/// Drops that the tracepoint does not tell: seen, over budget, and by a counter.
pub fn silent() -> Vec<(&'static str, SilentReport)> {
    let (syn, mut facts) = syn_no_socket();
    facts.reason = None;
    facts.stack = Arc::new(named(&[("tcp_conn_request", 0)], None));
    let (ack, _) = last_ack_overflow();
    let packet = PacketDrop {
        site: 0,
        reason: None,
        socket: ack.socket,
        listener: ack.listener,
        silent: Some(SilentCounter::ListenOverflows),
        ..syn
    };
    let counted = |counter, source, namespace, count| SilentReport::Counted {
        count: SilentCount { counter, source, namespace, count },
        time: TIME,
        observed: UnixNanos(TIME.0 + 10 * SECOND),
    };
    let namespace = Some(NetworkNamespace { inode: 4_026_532_256, cookie: Some(7) });
    vec![
        ("silent_fexit_x3", SilentReport::Seen(report((packet.clone(), facts.clone()), 3))),
        ("silent_fexit_others", SilentReport::Seen(others((packet, facts)))),
        ("silent_fexit_untold", counted(SilentCounter::RequestQueueFull, SilentSource::Fexit, None, 5000)),
        ("silent_netstat", counted(SilentCounter::ListenDrops, SilentSource::Netstat, namespace, 1)),
    ]
}

/// The same for flows beyond the flow table.
fn others(described: Described) -> DropReport {
    let mut report = report(described, 40);
    report.summary.other_flows = true;
    report
}

/// A report that is as big as the types allow.
pub fn biggest() -> DropReport {
    let (mut packet, mut facts) = last_ack_overflow();
    packet.segments = Some(u16::MAX);
    let long: Arc<str> = "é".repeat(4000).into();
    packet.flow = Some(Flow {
        source: "2001:db8:1111:2222:3333:4444:5555:6666".parse().unwrap(),
        destination: "2001:db8:1111:2222:3333:4444:5555:6667".parse().unwrap(),
        ports: Some(Ports { source: u16::MAX, destination: u16::MAX }),
    });
    packet.task.comm = long.to_string();
    facts.reason = Some(Arc::clone(&long));
    packet.interface_name = Some(long.to_string());
    let frame = Frame { symbol: Some(long), offset: u64::MAX };
    facts.stack = Arc::new(NamedStack { frames: vec![frame; 1000], hash: Some(u64::MAX), truncated: true });
    let mut report = report((packet, facts), u64::MAX);
    report.summary.tally.bytes = u64::MAX;
    report
}

type Described = (PacketDrop, Facts);

fn syn_no_socket() -> Described {
    let packet = PacketDrop {
        time: BootTime(0),
        site: 0xffff_ffff_8100_0400,
        reason: Some(3),
        stack: Vec::new(),
        stack_truncated: false,
        ip_version: Some(IpVersion::V4),
        flow: Some(Flow {
            source: IpAddr::from([10, 0, 0, 1]),
            destination: IpAddr::from([10, 0, 0, 2]),
            ports: Some(Ports { source: 41234, destination: 8080 }),
        }),
        tcp: Some(TcpHeader { seq: 2_882_400_001, ack: 0, window: 64240, flags: TcpFlags(0x002) }),
        tunnel: None,
        packet_size: Some(60),
        segments: None,
        direction: Direction::Receive,
        interface_index: Some(2),
        interface_name: Some("eth0".to_owned()),
        network_namespace: Some(NetworkNamespace { inode: 4_026_531_840, cookie: Some(1) }),
        socket: None,
        listener: None,
        silent: None,
        task: Task { pid: 0, comm: "swapper/1".to_owned(), cgroup_id: 1 },
    };
    let frames = [
        ("tcp_v4_rcv", 0x400),
        ("ip_protocol_deliver_rcu", 0x35),
        ("ip_local_deliver_finish", 0x7e),
        ("__netif_receive_skb_one_core", 0x8f),
        ("net_rx_action", 0x1a1),
        ("handle_softirqs", 0xe4),
    ];
    let facts = Facts {
        reason: Some("NO_SOCKET".into()),
        class: by_reason(Class::NoListener),
        stack: Arc::new(named(&frames, Some(0x00ab_34cd_56ef_7890))),
    };
    (packet, facts)
}

/// The last ACK of a handshake, for which the accept queue has no room.
fn last_ack_overflow() -> Described {
    let (packet, facts) = syn_no_socket();
    let packet = PacketDrop {
        reason: Some(80),
        tcp: Some(TcpHeader { seq: 2_882_400_002, ack: 305_419_896, window: 502, flags: TcpFlags(0x010) }),
        packet_size: Some(52),
        socket: Some(Socket {
            kind: SocketKind::Listener,
            state: TcpState::Listen,
            cookie: Some(4711),
            cgroup_id: Some(77),
        }),
        listener: Some(ListenerQueues { backlog: 129, backlog_max: 128, syn_backlog: 3 }),
        ..packet
    };
    (packet, Facts { reason: Some("TCP_LISTEN_OVERFLOW".into()), ..facts })
}

fn v6_netfilter_output() -> Described {
    let (packet, _) = syn_no_socket();
    let packet = PacketDrop {
        reason: Some(8),
        ip_version: Some(IpVersion::V6),
        flow: Some(Flow {
            source: "2001:db8::1".parse().unwrap(),
            destination: "2001:db8::2".parse().unwrap(),
            ports: Some(Ports { source: 443, destination: 51234 }),
        }),
        tcp: Some(TcpHeader { seq: 1, ack: 305_419_896, window: 501, flags: TcpFlags(0x018) }),
        tunnel: None,
        packet_size: Some(1280),
        direction: Direction::Transmit,
        interface_index: None,
        interface_name: None,
        network_namespace: Some(NetworkNamespace { inode: 4_026_532_256, cookie: None }),
        socket: Some(Socket {
            kind: SocketKind::Full,
            state: TcpState::Established,
            cookie: Some(u64::MAX),
            cgroup_id: Some(77),
        }),
        task: Task { pid: 4_194_304, comm: "nginx".to_owned(), cgroup_id: 77 },
        ..packet
    };
    let frames =
        [("nft_do_chain", 0x2c1), ("nf_hook_slow", 0x42), ("ip6_xmit", 0x3d0), ("tcp_sendmsg", 0x27)];
    let mut stack = named(&frames, Some(u64::MAX));
    stack.truncated = true;
    let class = by_reason(Class::Netfilter);
    (packet, Facts { reason: Some("NETFILTER_DROP".into()), class, stack: Arc::new(stack) })
}

/// No headers, no socket, no reason, no symbols.
fn nothing_known() -> Described {
    let packet = PacketDrop {
        time: BootTime(0),
        site: 0xffff_ffff_8100_0400,
        reason: None,
        stack: Vec::new(),
        stack_truncated: false,
        ip_version: None,
        flow: None,
        tcp: None,
        tunnel: None,
        packet_size: None,
        segments: None,
        direction: Direction::Unknown,
        interface_index: None,
        interface_name: None,
        network_namespace: None,
        socket: None,
        listener: None,
        silent: None,
        task: Task { pid: 812, comm: "sshd".to_owned(), cgroup_id: 1 },
    };
    let frame = Frame { symbol: None, offset: 0 };
    let stack = NamedStack { frames: vec![frame; 2], hash: None, truncated: false };
    (packet, Facts { reason: None, class: None, stack: Arc::new(stack) })
}

/// A later fragment has no ports; `NOT_SPECIFIED` is a reason that says nothing.
fn forwarded_gso() -> Described {
    let (packet, _) = syn_no_socket();
    let packet = PacketDrop {
        reason: Some(2),
        flow: Some(Flow {
            source: IpAddr::from([192, 168, 100, 101]),
            destination: IpAddr::from([203, 0, 113, 254]),
            ports: None,
        }),
        tcp: None,
        tunnel: Some(Tunnel::Vxlan),
        packet_size: Some(4380),
        segments: Some(3),
        direction: Direction::Forward,
        ..packet
    };
    let stack = named(&[("ip_forward", 0x3e8), ("ip_rcv", 0x53)], Some(7));
    let class = Some(Classified { class: Class::Routing, source: ClassSource::Site });
    (packet, Facts { reason: Some("NOT_SPECIFIED".into()), class, stack: Arc::new(stack) })
}

fn by_reason(class: Class) -> Option<Classified> {
    Some(Classified { class, source: ClassSource::Reason })
}

fn other_flows() -> DropSummary {
    DropSummary { other_flows: true, ..report(syn_no_socket(), 40).summary }
}

fn named(frames: &[(&str, u64)], hash: Option<u64>) -> NamedStack {
    let frames = frames.iter().map(|&(symbol, offset)| Frame { symbol: Some(symbol.into()), offset });
    NamedStack { frames: frames.collect(), hash, truncated: false }
}

fn report((packet, facts): Described, count: u64) -> DropReport {
    let bytes = count.saturating_mul(packet.packet_size.unwrap_or(0).into());
    let last = if count > 1 { 9 * SECOND } else { 0 };
    DropReport {
        summary: DropSummary {
            sample: Arc::new(packet),
            tally: Tally { count, bytes },
            interval: Interval { first: BootTime(0), last: BootTime(last) },
            other_flows: false,
            ids: SpanIds { trace: TRACE.trace, span: TRACE.span },
        },
        facts,
        time: TIME,
        last_time: UnixNanos(TIME.0 + last),
        observed: UnixNanos(TIME.0 + last + 1_000_000),
        trace: TRACE,
    }
}

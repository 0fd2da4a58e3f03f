//! What each attribute is filled with: one line for each. What is unknown is absent, never zero or empty.

use super::body::local_and_peer;
use super::{semconv, timestamp};
use crate::config::model::Level;
use crate::drop_report::{DropReport, Facts, FlowReport, NamedStack, UnixNanos};
use crate::drop_summary::Tally;
use crate::packet_drop::{
    Direction, Flow, IpVersion, NetworkNamespace, PacketDrop, Socket, TcpHeader, Tunnel,
};
use crate::reasons::Classified;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};

/// Most stack frames of a record.
pub(super) const MAX_FRAMES: usize = 64;
/// Most bytes of a string, body aside; with [`MAX_FRAMES`] it keeps a record below 16 KiB.
pub(super) const MAX_STRING_BYTES: usize = 128;

/// The beginning of `text` that fits into `bytes`, cut between characters.
pub(super) fn truncate(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// Attributes under construction, in the order in which they are set.
#[derive(Default)]
pub(super) struct Attributes(Vec<KeyValue>);

impl Attributes {
    /// Sets a string, unless it is unknown or empty.
    pub(super) fn string(&mut self, name: &'static str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value.as_ref().map(AsRef::as_ref).filter(|value| !value.is_empty()) {
            self.set(name, string_value(value));
        }
    }

    /// Sets an integer, unless it is unknown. What is beyond the range of OTLP's integers becomes their greatest.
    pub(super) fn int(&mut self, name: &'static str, value: Option<impl Into<u64>>) {
        if let Some(value) = value {
            self.set(name, int_value(value.into()));
        }
    }

    /// Sets a mark, if it is true.
    pub(super) fn mark(&mut self, name: &'static str, value: bool) {
        if value {
            self.set(name, Value::BoolValue(true));
        }
    }

    /// Sets an array of strings or integers, unless it is empty.
    fn array(&mut self, name: &'static str, values: impl Iterator<Item = Value>) {
        let values: Vec<_> = values.map(|value| AnyValue { value: Some(value) }).collect();
        if !values.is_empty() {
            self.set(name, Value::ArrayValue(ArrayValue { values }));
        }
    }

    fn set(&mut self, name: &'static str, value: Value) {
        self.0.push(KeyValue {
            key: name.to_owned(),
            value: Some(AnyValue { value: Some(value) }),
            ..KeyValue::default()
        });
    }

    /// The finished list.
    pub(super) fn into_vec(self) -> Vec<KeyValue> {
        self.0
    }
}

fn string_value(value: &str) -> Value {
    Value::StringValue(truncate(value, MAX_STRING_BYTES).to_owned())
}

fn int_value(value: u64) -> Value {
    Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX))
}

/// Drops as a log record and a span event tell them.
pub(super) struct Drops<'a> {
    packet: &'a PacketDrop,
    facts: &'a Facts,
    tally: Tally,
    last_time: UnixNanos,
    other_flows: bool,
}

impl<'a> From<&'a DropReport> for Drops<'a> {
    fn from(report: &'a DropReport) -> Self {
        let summary = &report.summary;
        Self {
            packet: &summary.sample,
            facts: &report.facts,
            tally: summary.tally,
            last_time: report.last_time,
            other_flows: summary.other_flows,
        }
    }
}

impl<'a> From<&'a FlowReport> for Drops<'a> {
    fn from(report: &'a FlowReport) -> Self {
        let window = &report.window;
        Self {
            packet: &window.sample,
            facts: &report.facts,
            tally: window.tally,
            last_time: report.last_time,
            other_flows: window.other_flows,
        }
    }
}

/// Where the number of drops goes. Back ends put span events beside log records, and a sum must not double.
pub(super) struct TallyNames {
    count: &'static str,
    bytes: &'static str,
}

impl TallyNames {
    /// For log records.
    pub(super) const RECORD: Self = Self { count: semconv::COUNT, bytes: semconv::BYTES };
    /// For span events.
    pub(super) const EVENT: Self = Self { count: semconv::FLOW_COUNT, bytes: semconv::FLOW_BYTES };
}

/// What a log record and a span event have in common.
pub(super) fn describe(attributes: &mut Attributes, drops: &Drops<'_>, level: Level, names: &TallyNames) {
    let Drops { packet, facts, tally, last_time, other_flows } = drops;
    attributes.int(names.count, Some(tally.count));
    attributes.int(names.bytes, Some(tally.bytes).filter(|&bytes| bytes > 0));
    let last = (tally.count > 1).then(|| format!("{:.9}", timestamp(*last_time)));
    attributes.string(semconv::LAST_TIME, last);
    attributes.mark(semconv::FLOWS_OTHER, *other_flows);
    error_type(attributes, facts.reason.as_deref(), level);
    describe_group(attributes, packet, facts);
    attributes.string(semconv::NETWORK_TRANSPORT, Some("tcp"));
    if *other_flows {
        // The sample is one flow of many: to give its addresses would pin the drops of all on it.
        attributes.string(semconv::DIRECTION, Some(Direction::Unknown.name()));
    } else {
        describe_packet(attributes, packet);
    }
}

/// What all drops of a stack group have in common: it is the attributes of the span.
pub(super) fn describe_group(attributes: &mut Attributes, packet: &PacketDrop, facts: &Facts) {
    reason_and_site(attributes, facts.reason.as_deref(), packet.reason, facts.stack.site());
    class(attributes, facts.class);
    stack(attributes, &facts.stack);
    namespace(attributes, packet.network_namespace);
}

/// Where a refused SYN came from, and what refused it.
pub(super) fn describe_refused(attributes: &mut Attributes, drops: &Drops<'_>) {
    let Drops { packet, facts, tally, last_time, other_flows } = drops;
    attributes.int(semconv::BYTES, Some(tally.bytes).filter(|&bytes| bytes > 0));
    let last = (tally.count > 1).then(|| format!("{:.9}", timestamp(*last_time)));
    attributes.string(semconv::LAST_TIME, last);
    attributes.mark(semconv::FLOWS_OTHER, *other_flows);
    attributes.string(semconv::CODE_FUNCTION_NAME, facts.stack.site());
    if *other_flows {
        attributes.string(semconv::DIRECTION, Some(Direction::Receive.name()));
    } else {
        describe_packet(attributes, packet);
        attributes.int(semconv::LISTENER_SYN_BACKLOG, packet.listener.map(|queues| queues.syn_backlog));
    }
}

/// The network namespace.
pub(super) fn namespace(attributes: &mut Attributes, netns: Option<NetworkNamespace>) {
    attributes.string(semconv::NETNS, netns.map(|netns| netns.inode.to_string()));
    let cookie = netns.and_then(|netns| netns.cookie);
    attributes.string(semconv::NETNS_COOKIE, cookie.map(|cookie| cookie.to_string()));
}

/// Why and where.
pub(super) fn reason_and_site(
    attributes: &mut Attributes,
    reason: Option<&str>,
    code: Option<u32>,
    site: Option<&str>,
) {
    attributes.string(semconv::REASON, reason);
    attributes.int(semconv::REASON_CODE, code);
    attributes.string(semconv::CODE_FUNCTION_NAME, site);
}

/// What kind of cause, and how that is known.
pub(super) fn class(attributes: &mut Attributes, class: Option<Classified>) {
    attributes.string(semconv::CLASS, class.map(|class| class.class.name()));
    attributes.string(semconv::CLASS_SOURCE, class.map(|class| class.source.name()));
}

/// `error.type`, which marks what deserves attention.
pub(super) fn error_type(attributes: &mut Attributes, reason: Option<&str>, level: Level) {
    if level >= Level::Warn {
        let told = reason.filter(|&reason| reason != "NOT_SPECIFIED");
        attributes.string(semconv::ERROR_TYPE, Some(told.unwrap_or(semconv::ERROR_TYPE_OTHER)));
    }
}

fn stack(attributes: &mut Attributes, stack: &NamedStack) {
    let frames = &stack.frames[..stack.frames.len().min(MAX_FRAMES)];
    let names = frames.iter().map(|frame| frame.symbol.as_deref().unwrap_or(semconv::UNKNOWN_FRAME));
    attributes.array(semconv::STACK_FRAMES, names.map(string_value));
    attributes.array(semconv::STACK_OFFSETS, frames.iter().map(|frame| int_value(frame.offset)));
    attributes.string(semconv::STACK_HASH, stack.hash.map(|hash| format!("{hash:016x}")));
    attributes.mark(semconv::STACK_TRUNCATED, stack.truncated || frames.len() < stack.frames.len());
}

fn describe_packet(attributes: &mut Attributes, packet: &PacketDrop) {
    attributes.string(semconv::DIRECTION, Some(packet.direction.name()));
    let io_direction = matches!(packet.direction, Direction::Receive | Direction::Transmit);
    attributes.string(semconv::NETWORK_IO_DIRECTION, io_direction.then(|| packet.direction.name()));
    attributes.string(semconv::NETWORK_TYPE, packet.ip_version.map(network_type));
    if let Some(flow) = packet.flow {
        addresses(attributes, flow, packet.direction);
    }
    attributes.string(semconv::NETWORK_INTERFACE_NAME, packet.interface_name.as_deref());
    attributes.int(semconv::INTERFACE_INDEX, packet.interface_index);
    attributes.string(semconv::PACKET_ENCAPSULATED, packet.tunnel.map(Tunnel::name));
    attributes.int(semconv::PACKET_SIZE, packet.packet_size);
    attributes.int(semconv::PACKET_SEGMENTS, packet.segments.filter(|&segments| segments > 1));
    if let Some(header) = packet.tcp {
        tcp_header(attributes, header);
    }
    if let Some(socket) = packet.socket {
        describe_socket(attributes, socket);
    }
    attributes.int(semconv::LISTENER_BACKLOG, packet.listener.map(|queues| queues.backlog));
    attributes.int(semconv::LISTENER_BACKLOG_MAX, packet.listener.map(|queues| queues.backlog_max));
    attributes.int(semconv::TASK_PID, Some(packet.task.pid));
    attributes.string(semconv::TASK_COMM, Some(&packet.task.comm));
}

fn addresses(attributes: &mut Attributes, flow: Flow, direction: Direction) {
    attributes.string(semconv::SOURCE_ADDRESS, Some(flow.source.to_string()));
    attributes.int(semconv::SOURCE_PORT, flow.ports.map(|ports| ports.source));
    attributes.string(semconv::DESTINATION_ADDRESS, Some(flow.destination.to_string()));
    attributes.int(semconv::DESTINATION_PORT, flow.ports.map(|ports| ports.destination));
    if let Some((local, peer)) = local_and_peer(flow, direction) {
        attributes.string(semconv::NETWORK_LOCAL_ADDRESS, Some(local.address.to_string()));
        attributes.int(semconv::NETWORK_LOCAL_PORT, local.port);
        attributes.string(semconv::NETWORK_PEER_ADDRESS, Some(peer.address.to_string()));
        attributes.int(semconv::NETWORK_PEER_PORT, peer.port);
    }
}

fn tcp_header(attributes: &mut Attributes, header: TcpHeader) {
    let flags = header.flags.names().map(string_value);
    attributes.array(semconv::TCP_FLAGS, flags);
    attributes.int(semconv::TCP_FLAGS_BITS, Some(header.flags.0));
    attributes.int(semconv::TCP_SEQ, Some(header.seq));
    attributes.int(semconv::TCP_ACK, Some(header.ack));
    attributes.int(semconv::TCP_WINDOW, Some(header.window));
}

fn describe_socket(attributes: &mut Attributes, socket: Socket) {
    attributes.string(semconv::NETWORK_CONNECTION_STATE, Some(socket.state.convention_name()));
    attributes.string(semconv::SOCKET_KIND, Some(socket.kind.name()));
    attributes.string(semconv::SOCKET_COOKIE, socket.cookie.map(|cookie| cookie.to_string()));
}

/// The values that the conventions give `network.type`.
fn network_type(version: IpVersion) -> &'static str {
    match version {
        IpVersion::V4 => "ipv4",
        IpVersion::V6 => "ipv6",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::drop_report::Frame;

    #[test]
    fn strings_are_cut_between_characters() {
        assert_eq!(truncate("tcp_v4_rcv", 64), "tcp_v4_rcv");
        assert_eq!(truncate("aé", 2), "a");
        assert_eq!(truncate("aé", 3), "aé");
    }

    #[test]
    fn what_is_unknown_or_empty_is_absent() {
        let mut attributes = Attributes::default();
        attributes.string("a", None::<&str>);
        attributes.string("b", Some(""));
        attributes.int("c", None::<u32>);
        attributes.mark("d", false);
        attributes.array("e", std::iter::empty());
        assert_eq!(attributes.into_vec(), []);
    }

    #[test]
    fn a_count_beyond_otlp_integers_becomes_their_greatest() {
        assert_eq!(int_value(u64::MAX), Value::IntValue(i64::MAX));
    }

    #[test]
    fn a_deeper_stack_than_records_hold_is_marked_as_truncated() {
        let frame = Frame { symbol: Some("f".into()), offset: 1 };
        let deep = NamedStack { frames: vec![frame; MAX_FRAMES + 1], hash: None, truncated: false };
        let mut attributes = Attributes::default();
        stack(&mut attributes, &deep);
        let names: Vec<_> = attributes.into_vec().into_iter().map(|attribute| attribute.key).collect();
        assert_eq!(names, [semconv::STACK_FRAMES, semconv::STACK_OFFSETS, semconv::STACK_TRUNCATED]);
    }

    #[test]
    fn error_type_marks_warnings_and_worse_and_needs_a_reason_that_says_something() {
        let of = |reason, level| {
            let mut attributes = Attributes::default();
            error_type(&mut attributes, reason, level);
            attributes.into_vec().pop().and_then(|attribute| attribute.value?.value)
        };
        let value = |text: &str| Some(Value::StringValue(text.to_owned()));
        assert_eq!(of(Some("NO_SOCKET"), Level::Info), None);
        assert_eq!(of(Some("NO_SOCKET"), Level::Warn), value("NO_SOCKET"));
        assert_eq!(of(Some("NOT_SPECIFIED"), Level::Error), value("_OTHER"));
        assert_eq!(of(None, Level::Warn), value("_OTHER"));
    }
}

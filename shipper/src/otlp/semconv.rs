//! Every attribute name, once. Conventional names and the schema come from OpenTelemetry's own crate; what has no
//! conventional name is `tcpdrop.*`. `docs/attributes.md` is generated from the tables here.

use opentelemetry_semantic_conventions::attribute as conventional;

/// The conventions that the names are from.
pub const SCHEMA_URL: &str = opentelemetry_semantic_conventions::SCHEMA_URL;
/// Name of the instrumentation scope, of the distribution, and of the service where no owner is known.
pub const AGENT: &str = "tcpdrop-otel";
/// Version of the agent.
pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Event name of the record and span event of dropped packets.
pub const EVENT_DROPPED: &str = "tcpdrop.packet.dropped";
/// Event name of the record of drops without detail.
pub const EVENT_SUPPRESSED: &str = "tcpdrop.drops.suppressed";
/// Event name of the record of drops that the tracepoint does not tell.
pub const EVENT_SILENT: &str = "tcpdrop.drops.silent";
/// Value of [`RECORD`] on records of dropped packets.
pub const RECORD_DROP: &str = "drop";
/// Value of [`RECORD`] on records of drops without detail.
pub const RECORD_SUPPRESSED: &str = "suppressed";
/// Value of [`RECORD`] on records of drops that the tracepoint does not tell.
pub const RECORD_SILENT: &str = "silent";
/// Value of [`ERROR_TYPE`] where the reason says nothing: its definition reserves it, the crate has no constant for it.
pub const ERROR_TYPE_OTHER: &str = "_OTHER";
/// Stands for a stack frame that the kernel does not name.
pub const UNKNOWN_FRAME: &str = "[unknown]";

/// Type of an attribute's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    String,
    Int,
    Bool,
    Strings,
    Ints,
}

impl Kind {
    /// The type as OpenTelemetry writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Bool => "boolean",
            Self::Strings => "string[]",
            Self::Ints => "int[]",
        }
    }
}

/// Where an attribute is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// On log records of dropped packets.
    pub drop: bool,
    /// On log records of drops without detail.
    pub suppressed: bool,
    /// On log records of drops that the tracepoint does not tell.
    pub silent: bool,
    /// On spans.
    pub span: bool,
    /// On span events.
    pub event: bool,
}

impl Places {
    const NOWHERE: Self = Self { drop: false, suppressed: false, silent: false, span: false, event: false };
    /// Log records of dropped packets, of refused SYNs too.
    const DROP: Self = Self { drop: true, silent: true, ..Self::NOWHERE };
    /// Log records of drops without detail.
    const SUPPRESSED: Self = Self { suppressed: true, ..Self::NOWHERE };
    /// Log records of drops that the tracepoint does not tell.
    const SILENT: Self = Self { silent: true, ..Self::NOWHERE };
    /// Log records of any kind.
    const RECORD: Self = Self { drop: true, suppressed: true, silent: true, ..Self::NOWHERE };
    /// Whatever tells of a packet.
    const PACKET: Self = Self { drop: true, silent: true, event: true, ..Self::NOWHERE };
    /// Whatever tells of packets with one stack.
    const GROUP: Self = Self { drop: true, span: true, event: true, ..Self::NOWHERE };
    /// Whatever tells of a packet that need not have come to a socket.
    const ANYWHERE: Self = Self { silent: false, ..Self::PACKET };
    /// Whatever tells of packets in one namespace.
    const PLACE: Self = Self { silent: true, ..Self::GROUP };
    /// Whatever tells of a packet that may be merged of several.
    const MERGED: Self = Self { drop: true, event: true, ..Self::NOWHERE };
    /// Whatever has a severity.
    const SEVERE: Self = Self { suppressed: true, ..Self::PACKET };
    /// All of them.
    const ALL: Self = Self { suppressed: true, silent: true, ..Self::GROUP };
    /// Whatever has a drop reason.
    const REASONED: Self = Self { suppressed: true, ..Self::GROUP };
    /// Span events.
    const EVENT: Self = Self { event: true, ..Self::NOWHERE };
}

/// An attribute of records, spans and span events.
#[derive(Clone, Copy, Debug)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// Type of its value.
    pub kind: Kind,
    /// Where it is found.
    pub places: Places,
    /// A value it may have.
    pub example: &'static str,
    /// What it says.
    pub note: &'static str,
}

/// An attribute of resources. All are strings.
#[derive(Clone, Copy, Debug)]
pub struct ResourceAttribute {
    /// Its name.
    pub name: &'static str,
    /// A value it may have.
    pub example: &'static str,
    /// What it says.
    pub note: &'static str,
}

macro_rules! attributes {
    ($($constant:ident = $name:expr, $kind:ident, $places:ident, $example:literal, $note:literal;)*) => {
        $(#[doc = $note] pub const $constant: &str = $name;)*

        /// The attributes of records, spans and span events.
        pub const ATTRIBUTES: &[Attribute] = &[$(
            Attribute { name: $constant, kind: Kind::$kind, places: Places::$places, example: $example, note: $note },
        )*];
    };
}

macro_rules! resource_attributes {
    ($($constant:ident = $name:expr, $example:literal, $note:literal;)*) => {
        $(#[doc = $note] pub const $constant: &str = $name;)*

        /// The attributes of the resource.
        pub const RESOURCE_ATTRIBUTES: &[ResourceAttribute] = &[$(
            ResourceAttribute { name: $constant, example: $example, note: $note },
        )*];
    };
}

attributes! {
    RECORD = "tcpdrop.record", String, RECORD, "drop",
        "What the record stands for: `drop`, `suppressed` or `silent`. Some back ends do not keep event names.";
    COUNT = "tcpdrop.count", Int, RECORD, "12",
        "Drops that this record stands for. Its sum over `drop` and `suppressed` is the number of drops; `silent` stands outside.";
    BYTES = "tcpdrop.bytes", Int, DROP, "720",
        "Sum of their sizes.";
    FLOW_COUNT = "tcpdrop.flow.count", Int, EVENT, "12",
        "Drops of the flow while the span lasted. Named apart from `tcpdrop.count`, since log records count them too.";
    FLOW_BYTES = "tcpdrop.flow.bytes", Int, EVENT, "720",
        "Sum of their sizes.";
    LAST_TIME = "tcpdrop.last_time", String, PACKET, "2026-01-02T03:04:05.000000006Z",
        "Time of the last drop, when there are several; the first is the time of the record.";
    FLOWS_OTHER = "tcpdrop.flows_other", Bool, PACKET, "true",
        "Stands for all flows beyond the flow table, hence without addresses. Only when true.";
    SUPPRESSED_CAUSE = "tcpdrop.suppressed.cause", String, SUPPRESSED, "budget",
        "Why there is no detail: `budget` (limit on the kernel side), `ring_full` or `decode_error`.";

    COUNTER = "tcpdrop.counter", String, SILENT, "ListenOverflows",
        "The namespace's counter that moved: `ListenOverflows` (accept queue full), `TCPReqQFullDrop` (SYN queue full, no cookies), or `ListenDrops` for what neither counts.";
    SILENT_SOURCE = "tcpdrop.silent.source", String, SILENT, "fexit",
        "How it was seen: `fexit` (each SYN, or without a flow those over the program's budget) or `netstat` (by the counter, over a window that begins at the time of the record).";
    ESTIMATED = "tcpdrop.estimated", Bool, SILENT, "true",
        "The count is the counter's rise less the drops that the tracepoint told: rather too low than too high. Only when true.";

    REASON = "tcpdrop.reason", String, REASONED, "NO_SOCKET",
        "The kernel's drop reason without `SKB_DROP_REASON_`; those of a subsystem begin with its name (`OPENVSWITCH_METER`). Absent on kernels without reasons (before 5.17) and for a number that the kernel does not name.";
    REASON_CODE = "tcpdrop.reason_code", Int, REASONED, "3",
        "Number of the drop reason. Numbers differ between kernels.";
    CLASS = "tcpdrop.class", String, REASONED, "no_listener",
        "What kind of cause it is, of a closed list (docs/reasons.md): that of the reason, else the one that the drop site implies.";
    CLASS_SOURCE = "tcpdrop.class_source", String, REASONED, "reason",
        "Where the class is from: `reason`, or `site` if it is inferred.";
    ERROR_TYPE = conventional::ERROR_TYPE, String, SEVERE, "NO_SOCKET",
        "The drop reason, `_OTHER` where it says nothing; the counter of a silent drop. Only at severity WARN and above.";
    CODE_FUNCTION_NAME = conventional::CODE_FUNCTION_NAME, String, ALL, "tcp_v4_rcv",
        "The drop site: the kernel function that dropped the packet.";
    STACK_FRAMES = "tcpdrop.stack.frames", Strings, GROUP, "[\"tcp_v4_rcv\", \"ip_rcv\"]",
        "The kernel stack, drop site first; `[unknown]` for a frame without a symbol.";
    STACK_OFFSETS = "tcpdrop.stack.offsets", Ints, GROUP, "[1024, 53]",
        "Byte offset of each frame in its symbol; as many as there are frames.";
    STACK_HASH = "tcpdrop.stack.hash", String, GROUP, "00ab34cd56ef7890",
        "Hash of the frames down to the first interrupt. The same on every host and boot of a kernel build.";
    STACK_TRUNCATED = "tcpdrop.stack.truncated", Bool, GROUP, "true",
        "The stack was deeper than recorded. Only when true.";
    NETNS = "tcpdrop.netns", String, PLACE, "4026531840",
        "Inode number of the network namespace, as in `/proc/PID/ns/net`. Soon reused when a namespace is gone.";
    NETNS_COOKIE = "tcpdrop.netns_cookie", String, PLACE, "1",
        "The network namespace's cookie, never reused until reboot. Absent before Linux 5.12.";

    SOURCE_ADDRESS = conventional::SOURCE_ADDRESS, String, PACKET, "10.0.0.1",
        "Source address in the dropped packet's header.";
    SOURCE_PORT = conventional::SOURCE_PORT, Int, PACKET, "41234",
        "Source port in the dropped packet's header.";
    DESTINATION_ADDRESS = conventional::DESTINATION_ADDRESS, String, PACKET, "10.0.0.2",
        "Destination address in the dropped packet's header.";
    DESTINATION_PORT = conventional::DESTINATION_PORT, Int, PACKET, "8080",
        "Destination port in the dropped packet's header.";
    NETWORK_LOCAL_ADDRESS = conventional::NETWORK_LOCAL_ADDRESS, String, PACKET, "10.0.0.2",
        "This host's address. Absent where the direction is unknown or the packet was forwarded.";
    NETWORK_LOCAL_PORT = conventional::NETWORK_LOCAL_PORT, Int, PACKET, "8080",
        "This host's port.";
    NETWORK_PEER_ADDRESS = conventional::NETWORK_PEER_ADDRESS, String, PACKET, "10.0.0.1",
        "The other side's address.";
    NETWORK_PEER_PORT = conventional::NETWORK_PEER_PORT, Int, PACKET, "41234",
        "The other side's port.";
    NETWORK_TYPE = conventional::NETWORK_TYPE, String, PACKET, "ipv4",
        "`ipv4` or `ipv6`.";
    NETWORK_TRANSPORT = conventional::NETWORK_TRANSPORT, String, PACKET, "tcp",
        "Always `tcp`.";
    NETWORK_IO_DIRECTION = conventional::NETWORK_IO_DIRECTION, String, PACKET, "receive",
        "`receive` or `transmit`. Absent where the direction is unknown or the packet was forwarded.";
    DIRECTION = "tcpdrop.direction", String, PACKET, "receive",
        "`receive`, `transmit`, `forward` or `unknown`, as seen from the network namespace.";
    NETWORK_INTERFACE_NAME = conventional::NETWORK_INTERFACE_NAME, String, PACKET, "eth0",
        "Name of the network interface.";
    INTERFACE_INDEX = "tcpdrop.interface.index", Int, PACKET, "2",
        "Index of the network interface, in its network namespace.";
    PACKET_ENCAPSULATED = "tcpdrop.packet.encapsulated", String, ANYWHERE, "vxlan",
        "The tunnel whose packet was dropped, with the TCP packet inside: `vxlan`, `geneve`, `gre` or `ipip` (IP in IP, of either version). Addresses, size and all else are of the packet inside. Absent without a tunnel.";
    PACKET_SIZE = "tcpdrop.packet.size", Int, PACKET, "60",
        "Length of the first IP packet with its header, in bytes. Absent where no IP header exists yet.";
    PACKET_SEGMENTS = "tcpdrop.packet.segments", Int, MERGED, "3",
        "GSO segments of the first packet, when more than one.";

    TCP_FLAGS = "tcpdrop.tcp.flags", Strings, PACKET, "[\"SYN\", \"ACK\"]",
        "Flags of the first packet, in the order FIN SYN RST PSH ACK URG ECE CWR AE.";
    TCP_FLAGS_BITS = "tcpdrop.tcp.flags_bits", Int, PACKET, "18",
        "The same as bits: FIN is 1, AE is 256.";
    TCP_SEQ = "tcpdrop.tcp.seq", Int, PACKET, "2882400001",
        "Sequence number of the first packet.";
    TCP_ACK = "tcpdrop.tcp.ack", Int, PACKET, "305419896",
        "Acknowledgement number of the first packet.";
    TCP_WINDOW = "tcpdrop.tcp.window", Int, PACKET, "64240",
        "Window of the first packet, unscaled.";
    NETWORK_CONNECTION_STATE = conventional::NETWORK_CONNECTION_STATE, String, PACKET, "established",
        "State of the socket. Absent without a socket.";
    SOCKET_KIND = "tcpdrop.socket.kind", String, PACKET, "full",
        "Where the state is from: `full`, `request`, `timewait` or `listener`.";
    SOCKET_COOKIE = "tcpdrop.socket.cookie", String, PACKET, "4711",
        "The socket's cookie, as `ss -e` shows it in hexadecimal. Unique until reboot.";
    LISTENER_BACKLOG = "tcpdrop.listener.backlog", Int, PACKET, "129",
        "Connections that wait for the listening socket's `accept()`. Only where the socket is a listener.";
    LISTENER_BACKLOG_MAX = "tcpdrop.listener.backlog_max", Int, PACKET, "128",
        "Their limit, the lesser of `listen()`'s argument and `net.core.somaxconn`. The queue is full when it holds more.";
    LISTENER_SYN_BACKLOG = "tcpdrop.listener.syn_backlog", Int, SILENT, "128",
        "Handshakes under way at the listening socket.";
    TASK_PID = "tcpdrop.task.pid", Int, PACKET, "0",
        "Process that ran on the CPU at the moment of the drop: often a bystander.";
    TASK_COMM = "tcpdrop.task.comm", String, PACKET, "swapper/1",
        "Name of its thread.";
    LOG_RECORD_UID = conventional::LOG_RECORD_UID, String, RECORD, "01KDYK1XC8000000000000002A",
        "ULID, the same when the record is sent again, so that a back end can remove duplicates.";
}

resource_attributes! {
    HOST_ID = conventional::HOST_ID, "5f1ddc6ac1d94a1aa5bbd9a8e2c1f0de",
        "The host's `/etc/machine-id`. Absent in a container, unless configured.";
    HOST_NAME = conventional::HOST_NAME, "web-1",
        "The host's name. Absent in a container with a name of its own, unless configured.";
    OS_TYPE = conventional::OS_TYPE, "linux",
        "Always `linux`.";
    SERVICE_NAME = conventional::SERVICE_NAME, "tcpdrop-otel",
        "The agent's `OTEL_SERVICE_NAME`, else `tcpdrop-otel`.";
    TELEMETRY_DISTRO_NAME = conventional::TELEMETRY_DISTRO_NAME, "tcpdrop-otel",
        "Always `tcpdrop-otel`: what all its data have in common.";
    TELEMETRY_DISTRO_VERSION = conventional::TELEMETRY_DISTRO_VERSION, "0.1.0",
        "Version of the agent.";
}

/// The entry of [`ATTRIBUTES`] with this name.
pub fn attribute(name: &str) -> Option<&'static Attribute> {
    ATTRIBUTES.iter().find(|attribute| attribute.name == name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn names() -> impl Iterator<Item = &'static str> {
        let own = ATTRIBUTES.iter().map(|attribute| attribute.name);
        own.chain(RESOURCE_ATTRIBUTES.iter().map(|attribute| attribute.name))
    }

    #[test]
    fn no_name_is_there_twice() {
        let mut seen = HashSet::new();
        assert_eq!(names().filter(|name| !seen.insert(*name)).collect::<Vec<_>>(), [""; 0]);
    }

    /// Elasticsearch's OTLP mappings give names with these endings a type of their own.
    #[test]
    fn no_name_of_ours_ends_in_a_word_with_a_type_of_its_own() {
        let typed = [".location", ".start", ".end", ".timestamp", ".ip"];
        assert!(
            names()
                .filter(|name| name.starts_with("tcpdrop."))
                .all(|name| !typed.iter().any(|end| name.ends_with(end)))
        );
    }

    #[test]
    fn a_record_stays_within_its_number_of_attributes() {
        // A record of other flows has nothing of what describes one packet, and what is still in a tunnel's packet has not
        // come to a listener, which has two.
        let apart = [FLOWS_OTHER, PACKET_ENCAPSULATED];
        let of_a_packet = |attribute: &&Attribute| attribute.places.drop && !apart.contains(&attribute.name);
        assert!(ATTRIBUTES.iter().filter(of_a_packet).count() <= 45);
    }
}

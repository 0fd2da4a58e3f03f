//! [`PacketDrop`]: one packet that the kernel dropped, as decoded from the probe.
//!
//! What the kernel did not say is `None`, never zero.

use crate::silent::SilentCounter;
use std::net::IpAddr;

/// A moment on the kernel's boot clock (`CLOCK_BOOTTIME`), in nanoseconds. It runs on while the host sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootTime(pub u64);

impl BootTime {
    /// The time that passed since `earlier`, zero if it is later.
    pub fn since(self, earlier: Self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This moment, `duration` later.
    pub fn after(self, duration: std::time::Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// One packet that the kernel dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketDrop {
    /// When.
    pub time: BootTime,
    /// Where: the address after the call that freed the packet (tracepoint argument `location`).
    pub site: u64,
    /// Why: `enum skb_drop_reason` as a number, whose names differ between kernels. `None` on kernels without reasons.
    pub reason: Option<u32>,
    /// Return addresses, innermost first, as the kernel walked them: tracing frames included.
    pub stack: Vec<u64>,
    /// Whether the stack was deeper than the probe records.
    pub stack_truncated: bool,
    /// IP version of the packet, else of its socket.
    pub ip_version: Option<IpVersion>,
    /// Addresses and ports, from the packet's headers, else from its socket.
    pub flow: Option<Flow>,
    /// The TCP header.
    pub tcp: Option<TcpHeader>,
    /// The tunnel in whose packet it was, when that was dropped with it.
    pub tunnel: Option<Tunnel>,
    /// Length of the IP packet with its header, in bytes; a GSO packet whole.
    pub packet_size: Option<u32>,
    /// Number of GSO segments, when more than one.
    pub segments: Option<u16>,
    /// Whether it came in, went out or passed through.
    pub direction: Direction,
    /// Index of the network interface, in its network namespace.
    pub interface_index: Option<u32>,
    /// Its name at that moment.
    pub interface_name: Option<String>,
    /// The network namespace that dropped it.
    pub network_namespace: Option<NetworkNamespace>,
    /// The TCP socket that it was for or from.
    pub socket: Option<Socket>,
    /// The queues of the listening socket that it was for.
    pub listener: Option<ListenerQueues>,
    /// The counter that it moved, if the tracepoint did not tell it.
    pub silent: Option<SilentCounter>,
    /// The task on the CPU: often a bystander.
    pub task: Task,
}

/// What a drop is counted by: all of a [`PacketDrop`] that needs no memory of its own. Fields are as there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Sighting {
    pub time: BootTime,
    pub site: u64,
    pub reason: Option<u32>,
    pub flow: Option<Flow>,
    pub tcp: Option<TcpHeader>,
    pub packet_size: Option<u32>,
    pub direction: Direction,
    pub network_namespace: Option<NetworkNamespace>,
    pub socket: Option<Socket>,
}

/// A drop that is counted at once, and described only if it comes to stand for others.
pub trait Sighted {
    /// What it is counted by.
    fn sighting(&self) -> Sighting;
    /// All of it.
    fn describe(self) -> PacketDrop;
}

impl Sighted for PacketDrop {
    fn sighting(&self) -> Sighting {
        Sighting {
            time: self.time,
            site: self.site,
            reason: self.reason,
            flow: self.flow,
            tcp: self.tcp,
            packet_size: self.packet_size,
            direction: self.direction,
            network_namespace: self.network_namespace,
            socket: self.socket,
        }
    }

    fn describe(self) -> PacketDrop {
        self
    }
}

/// IP version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The addresses of a packet, as in its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TCP ports; unknown for a later fragment or a cut header.
    pub ports: Option<Ports>,
}

/// The ports of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ports {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
}

/// What the TCP header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TcpHeader {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Window, unscaled.
    pub window: u16,
    /// The nine flag bits.
    pub flags: TcpFlags,
}

/// TCP's flag bits: FIN is 0x001, AE is 0x100 (RFC 9293, RFC 9768).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u16);

impl TcpFlags {
    const NAMES: [&str; 9] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"];

    /// The names of the bits that are set, lowest first.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 & (1 << bit) != 0)
            .map(|(_, name)| name)
    }
}

/// How a TCP packet is carried inside another IP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tunnel {
    /// An IP packet right behind another IP header, of either version (RFC 2003, RFC 2473, RFC 4213).
    IpInIp,
    /// GRE (RFC 2784).
    Gre,
    /// VXLAN (RFC 7348).
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
}

impl Tunnel {
    /// The name that records carry.
    pub fn name(self) -> &'static str {
        match self {
            Self::IpInIp => "ipip",
            Self::Gre => "gre",
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
        }
    }
}

/// Which way the packet went, as seen from the network namespace that dropped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It was for this namespace.
    Receive,
    /// It came from this namespace.
    Transmit,
    /// It passed through.
    Forward,
    /// The kernel did not tell.
    Unknown,
}

impl Direction {
    /// The name that records carry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Transmit => "transmit",
            Self::Forward => "forward",
            Self::Unknown => "unknown",
        }
    }
}

/// A network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NetworkNamespace {
    /// Inode number, as in `/proc/PID/ns/net`. Reused soon after a namespace is gone.
    pub inode: u32,
    /// `net->net_cookie`, never reused until reboot; 5.12 and later.
    pub cookie: Option<u64>,
}

/// The TCP socket of a dropped packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Socket {
    /// What kind of socket the state was read from.
    pub kind: SocketKind,
    /// TCP state.
    pub state: TcpState,
    /// `sk_cookie`, unique until reboot; `None` when the kernel has not given it one yet.
    pub cookie: Option<u64>,
    /// Id of the cgroup (v2) that the socket was created in; full sockets only.
    pub cgroup_id: Option<u64>,
}

/// The queues of a listening socket at that moment, in connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerQueues {
    /// The accept queue's length: `sk_ack_backlog`.
    pub backlog: u32,
    /// Its limit, `sk_max_ack_backlog`: the lesser of `listen()`'s argument and `net.core.somaxconn`. It is full beyond.
    pub backlog_max: u32,
    /// Handshakes under way: `icsk_accept_queue.qlen`.
    pub syn_backlog: u32,
}

/// The kernel's representations of a TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// `struct tcp_sock` of a connection.
    Full,
    /// `struct request_sock`: a handshake under way.
    Request,
    /// `struct inet_timewait_sock`.
    TimeWait,
    /// `struct tcp_sock` in state LISTEN.
    Listener,
}

impl SocketKind {
    /// The name that records carry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Request => "request",
            Self::TimeWait => "timewait",
            Self::Listener => "listener",
        }
    }
}

/// TCP states, numbered as in the kernel (`include/net/tcp_states.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum TcpState {
    Established = 1,
    SynSent,
    SynRecv,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
    NewSynRecv,
}

impl TcpState {
    /// The state with the kernel's number `state`.
    pub fn from_kernel(state: u8) -> Option<Self> {
        use TcpState::*;
        const STATES: [TcpState; 12] = [
            Established,
            SynSent,
            SynRecv,
            FinWait1,
            FinWait2,
            TimeWait,
            Close,
            CloseWait,
            LastAck,
            Listen,
            Closing,
            NewSynRecv,
        ];
        STATES.get(usize::from(state).checked_sub(1)?).copied()
    }

    /// The name of the semantic conventions' `network.connection.state`.
    pub fn convention_name(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::SynSent => "syn_sent",
            Self::SynRecv | Self::NewSynRecv => "syn_received",
            Self::FinWait1 => "fin_wait_1",
            Self::FinWait2 => "fin_wait_2",
            Self::TimeWait => "time_wait",
            Self::Close => "closed",
            Self::CloseWait => "close_wait",
            Self::LastAck => "last_ack",
            Self::Listen => "listen",
            Self::Closing => "closing",
        }
    }

    /// The kernel's name, as bcc's tcpdrop prints it.
    pub fn kernel_name(self) -> &'static str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait1 => "FIN_WAIT1",
            Self::FinWait2 => "FIN_WAIT2",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::NewSynRecv => "NEW_SYN_RECV",
        }
    }
}

/// The task that ran when the packet was dropped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// Process id (the kernel's tgid) in the initial namespace; 0 is the idle task.
    pub pid: u32,
    /// Name of the thread.
    pub comm: String,
    /// Id of its cgroup (v2).
    pub cgroup_id: u64,
}

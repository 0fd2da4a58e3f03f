//! What the probe sends: the structs of `bpf/tcp_drop.h`, and [`decode`].
//!
//! `tests/bpf_object.rs` compares these layouts with the BTF of the compiled object.

mod event;
pub mod filter;

pub use event::{DecodeError, Event, decode};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most stack frames of an event.
pub const STACK_DEPTH: usize = 64;
/// Slots for drop sites on each CPU; the first takes what finds no other.
pub const SITES: usize = 512;
/// Where the [`TcpDropCounts`] of a CPU begin in its entry of the map `cpus`, in bytes.
pub const COUNTS_AT: usize = 960;

/// `enum tcp_drop_present`
pub mod present {
    #![allow(missing_docs)]
    pub const REASON: u32 = 1 << 0;
    pub const ADDRESSES: u32 = 1 << 1;
    pub const PORTS: u32 = 1 << 2;
    pub const TCP_HEADER: u32 = 1 << 3;
    pub const PACKET_SIZE: u32 = 1 << 4;
    pub const INTERFACE: u32 = 1 << 5;
    pub const NETNS: u32 = 1 << 6;
    pub const NETNS_COOKIE: u32 = 1 << 7;
    pub const SOCKET: u32 = 1 << 8;
    pub const SOCKET_COOKIE: u32 = 1 << 9;
    pub const SOCKET_CGROUP: u32 = 1 << 10;
    pub const STACK_TRUNCATED: u32 = 1 << 11;
    pub const INTERFACE_NAME: u32 = 1 << 12;
    pub const LISTENER: u32 = 1 << 13;
    /// All that this version knows.
    pub const ALL: u32 = (1 << 14) - 1;
    /// The four bits of `enum tcp_drop_tunnel`, which begin at [`TUNNEL_SHIFT`].
    pub const TUNNEL: u32 = 0xf << TUNNEL_SHIFT;
    /// The first of them.
    pub const TUNNEL_SHIFT: u32 = 24;
}

/// `struct tcp_drop_event`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs)]
pub struct TcpDropEvent {
    pub boot_ns: u64,
    pub site: u64,
    pub netns_cookie: u64,
    pub socket_cookie: u64,
    pub socket_cgroup: u64,
    pub task_cgroup: u64,
    pub present: u32,
    pub reason: u32,
    pub netns_inode: u32,
    pub interface_index: u32,
    pub packet_size: u32,
    pub seq: u32,
    pub ack: u32,
    pub pid: u32,
    pub window: u16,
    pub tcp_flags: u16,
    pub source_port: u16,
    pub destination_port: u16,
    pub segments: u16,
    pub stack_frames: u16,
    pub ip_version: u8,
    pub direction: u8,
    pub socket_kind: u8,
    pub socket_state: u8,
    pub source: [u8; 16],
    pub destination: [u8; 16],
    pub comm: [u8; 16],
    pub interface_name: [u8; 16],
    pub listener_backlog: u32,
    pub listener_backlog_max: u32,
    pub listener_syn_backlog: u32,
    pub silent: u32,
}

/// `struct tcp_drop_ledger`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct TcpDropLedger {
    pub seen: u64,
    pub filtered: u64,
    pub own: u64,
    pub suppressed: u64,
    pub ring_lost: u64,
    pub admitted: u64,
    pub missed: u64,
}

/// `struct tcp_drop_site`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct TcpDropSite {
    pub site: u64,
    pub reason: u32,
    pub refilled: u32,
    pub spent: u64,
    pub seen: u64,
    pub bytes: u64,
    pub suppressed: u64,
    pub ring_lost: u64,
    pub hash: u64,
}

/// `struct tcp_drop_counts`: what a CPU counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct TcpDropCounts {
    pub ledger: TcpDropLedger,
    pub no_slot: u64,
    pub sites: [TcpDropSite; SITES],
}

impl Default for TcpDropCounts {
    fn default() -> Self {
        Self { ledger: TcpDropLedger::default(), no_slot: 0, sites: [TcpDropSite::default(); SITES] }
    }
}

/// `struct tcp_drop_admission`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct TcpDropAdmission {
    pub site_cost: u64,
    pub site_refill: u64,
    pub site_capacity: u64,
    pub key_limit: u32,
    pub reserve_limit: u32,
    pub beat_shift: u32,
    pub quiet_jiffies: u32,
}

/// `struct tcp_drop_ports`: a bit for each port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct TcpDropPorts {
    pub words: [u64; 1024],
}

impl Default for TcpDropPorts {
    fn default() -> Self {
        Self { words: [0; 1024] }
    }
}

impl TcpDropPorts {
    /// Sets or clears the bit of `port`.
    pub fn set(&mut self, port: u16, listed: bool) {
        let word = &mut self.words[usize::from(port / 64)];
        let bit = 1 << (port % 64);
        *word = if listed { *word | bit } else { *word & !bit };
    }
}

/// Values of `enum tcp_drop_silent`, 0 included.
pub const SILENT_KINDS: usize = 4;

/// `struct tcp_drop_silent_counts`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct TcpDropSilentCounts {
    pub refused: [u64; SILENT_KINDS],
    pub untold: [u64; SILENT_KINDS],
}

/// `struct tcp_drop_process`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
#[allow(missing_docs)]
pub struct TcpDropProcess {
    pub netns_cookie: u64,
    pub pid: u32,
    pub netns_inode: u32,
}

/// `struct tcp_drop_own_port`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct TcpDropOwnPort {
    pub netns_inode: u32,
    pub local_port: u16,
    pub peer_port: u16,
}

//! The structs of `bpf/tcp_drop.h` by which filters are told to the program.

/// Most namespaces and reasons together in a list.
pub const VALUES: usize = 512;
/// Most prefixes in a list.
pub const PREFIXES: usize = 1024;

/// `enum tcp_drop_filter_kind`
pub mod kind {
    #![allow(missing_docs)]
    pub const NETNS: u8 = 1 << 0;
    pub const PORTS: u8 = 1 << 1;
    pub const ADDRESSES: u8 = 1 << 2;
    pub const REASONS: u8 = 1 << 3;
    pub const DIRECTION: u8 = 1 << 4;
}

/// `enum tcp_drop_filter_list`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum List {
    Include = 0,
    Exclude = 1,
}

/// `struct tcp_drop_filter_set`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct TcpDropFilterSet {
    pub include_kinds: u32,
    pub include_directions: u32,
    pub exclude_kinds: u32,
    pub exclude_directions: u32,
}

/// `struct tcp_drop_filter_value`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct TcpDropFilterValue {
    pub value: u32,
    pub kind: u8,
    pub set: u8,
    pub list: u8,
    pub _padding: u8,
}

/// `struct tcp_drop_filter_prefix`, without the `bits` before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct TcpDropFilterPrefix {
    pub set: u8,
    pub list: u8,
    pub version: u8,
    pub _padding: u8,
    pub address: [u8; 16],
}

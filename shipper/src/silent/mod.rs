//! Drops that the tracepoint does not tell: SYNs that a listener refused for a full queue. The kernel consumes them, and
//! counts them in the namespace's netstat.
//!
//! Where the kernel lets functions be watched (fexit), each is seen with its flow and listener. Elsewhere the counters are
//! read; what they show is known to the window and the namespace, and estimated: the tracepoint tells some of what they
//! count. One or the other, never both. Silent drops stand outside the ledger of drops, in books of their own.

pub mod books;
pub mod intake;
pub mod netstat;
pub mod totals;
pub mod traced;

use serde::Serialize;

/// The counter of the namespace (`/proc/PID/net/netstat`, `TcpExt`) that a refused SYN moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SilentCounter {
    /// The accept queue was full.
    ListenOverflows,
    /// The SYN queue was full, and no cookies are sent.
    RequestQueueFull,
    /// Neither: the kernel keeps the last quarter of the SYN queue for known peers, or had no memory or route. The
    /// kernel's counter of this name has the other two in it; records of it do not.
    ListenDrops,
}

impl SilentCounter {
    /// All of them, as in `enum tcp_drop_silent` from 1 on.
    pub const ALL: [Self; 3] = [Self::ListenOverflows, Self::RequestQueueFull, Self::ListenDrops];

    /// By its number in `enum tcp_drop_silent`.
    pub fn from_wire(kind: u32) -> Option<Self> {
        Self::ALL.get(usize::try_from(kind).ok()?.checked_sub(1)?).copied()
    }

    /// Its place in [`ALL`](Self::ALL).
    pub fn index(self) -> usize {
        self as usize
    }

    /// The kernel's name (net/ipv4/proc.c).
    pub fn name(self) -> &'static str {
        match self {
            Self::ListenOverflows => "ListenOverflows",
            Self::RequestQueueFull => "TCPReqQFullDrop",
            Self::ListenDrops => "ListenDrops",
        }
    }

    /// What happened, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::ListenOverflows => "accept queue full",
            Self::RequestQueueFull => "SYN queue full",
            Self::ListenDrops => "listener without room",
        }
    }

    /// The drop reason that means the same, whose severity it has.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::ListenOverflows | Self::RequestQueueFull => Some("TCP_LISTEN_OVERFLOW"),
            Self::ListenDrops => None,
        }
    }
}

/// How silent drops are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SilentSource {
    /// Each, when the kernel's function `tcp_conn_request` returns.
    Fexit,
    /// By the namespaces' counters.
    Netstat,
    /// Not at all.
    #[default]
    None,
}

impl SilentSource {
    /// The name that records carry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fexit => "fexit",
            Self::Netstat => "netstat",
            Self::None => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_the_numbers_of_the_wire() {
        let of_wire = |kind| SilentCounter::from_wire(kind).map(SilentCounter::name);
        let names = [None, Some("ListenOverflows"), Some("TCPReqQFullDrop"), Some("ListenDrops"), None];
        assert_eq!([0, 1, 2, 3, 4].map(of_wire), names);
        for (index, counter) in SilentCounter::ALL.into_iter().enumerate() {
            assert_eq!(counter.index(), index);
        }
    }
}

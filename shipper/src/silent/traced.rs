//! [`Traced`]: which of the drops that the counters count did the tracepoint tell.
//!
//! The last ACK of a handshake that finds the accept queue full moves ListenOverflows and ListenDrops like a refused SYN,
//! and is a drop at the tracepoint as well: `TCP_LISTEN_OVERFLOW`, with cookies `NO_SOCKET`, on older kernels without a
//! word of why. When in doubt a drop counts as such: silent drops may be told too low, never twice.

use crate::packet_drop::{Sighting, SocketKind, TcpFlags};
use crate::probe::SiteCount;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// Most namespaces that are told apart.
const MOST_NAMESPACES: usize = 1024;
/// Most sites that are told apart; a kernel has a handful.
const MOST_SITES: usize = 64;

/// Counts such drops as they come in.
#[derive(Debug)]
pub struct Traced {
    /// Numbers of `TCP_LISTEN_OVERFLOW`.
    overflow: Option<u32>,
    /// Reasons that do not say more.
    vague: Vec<Option<u32>>,
    /// Whether this kernel names the receiving socket of each drop.
    names_sockets: bool,
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    by_namespace: BTreeMap<u32, u64>,
    /// Where and why they were dropped, and how many of each were attributed.
    sites: BTreeMap<(u64, Option<u32>), u64>,
}

/// Such drops since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TracedCounts {
    /// By inode of the namespace.
    pub by_namespace: BTreeMap<u32, u64>,
    /// Drops of the same sites whose namespace is not known: they were counted in the kernel only, or are under way.
    pub unattributed: u64,
}

impl Traced {
    /// For a kernel with these drop reasons.
    pub fn new(reasons: &BTreeMap<u32, String>, names_sockets: bool) -> Self {
        let code = |name: &str| reasons.iter().find(|(_, found)| *found == name).map(|(code, _)| *code);
        let vague = ["NO_SOCKET", "NOT_SPECIFIED"].into_iter().filter_map(code).map(Some);
        Self {
            overflow: code("TCP_LISTEN_OVERFLOW"),
            vague: vague.chain([None]).collect(),
            names_sockets,
            tally: Mutex::default(),
        }
    }

    /// Counts `drop`, if it may be one.
    pub fn observe(&self, drop: &Sighting) {
        let Some(namespace) = drop.network_namespace.filter(|_| self.may_be_overflow(drop)) else { return };
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let Tally { by_namespace, sites } = &mut *tally;
        let site = (drop.site, drop.reason);
        if sites.len() < MOST_SITES || sites.contains_key(&site) {
            *sites.entry(site).or_default() += 1;
        }
        if by_namespace.len() < MOST_NAMESPACES || by_namespace.contains_key(&namespace.inode) {
            *by_namespace.entry(namespace.inode).or_default() += 1;
        }
    }

    fn may_be_overflow(&self, drop: &Sighting) -> bool {
        const SYN: u16 = 0x02;
        const RST: u16 = 0x04;
        const ACK: u16 = 0x10;
        let is_ack = drop.tcp.is_some_and(|tcp| {
            let TcpFlags(bits) = tcp.flags;
            bits & (SYN | RST | ACK) == ACK
        });
        let for_listener = match drop.socket {
            Some(socket) => {
                socket.kind == SocketKind::Listener
                    || !self.names_sockets && socket.kind == SocketKind::Request
            }
            None => !self.names_sockets,
        };
        drop.reason.is_some() && drop.reason == self.overflow
            || is_ack && for_listener && self.vague.contains(&drop.reason)
    }

    /// The counts now; `sites` are the kernel's.
    pub fn read(&self, sites: &[SiteCount]) -> TracedCounts {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let is_overflow = |count: &&SiteCount| {
            let site = count.site.map(|site| (site, count.reason));
            site.is_some_and(|site| tally.sites.contains_key(&site))
                || count.reason.is_some() && count.reason == self.overflow
        };
        let seen: u64 = sites.iter().filter(is_overflow).map(|count| count.seen).sum();
        let attributed: u64 = tally.sites.values().sum();
        TracedCounts {
            by_namespace: tally.by_namespace.clone(),
            unattributed: seen.saturating_sub(attributed),
        }
    }

    /// Forgets namespaces that are not among `known`.
    pub fn keep(&self, known: &BTreeSet<u32>) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.by_namespace.retain(|inode, _| known.contains(inode));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::packet_drop::{BootTime, Direction, NetworkNamespace, Socket, TcpHeader, TcpState};

    const NOT_SPECIFIED: u32 = 2;
    const NO_SOCKET: u32 = 3;
    const OVERFLOW: u32 = 80;

    fn traced(names_sockets: bool) -> Traced {
        let reasons =
            [(NOT_SPECIFIED, "NOT_SPECIFIED"), (NO_SOCKET, "NO_SOCKET"), (OVERFLOW, "TCP_LISTEN_OVERFLOW")];
        Traced::new(&reasons.map(|(code, name)| (code, name.to_owned())).into(), names_sockets)
    }

    fn dropped(reason: Option<u32>, kind: Option<SocketKind>, flags: u16) -> Sighting {
        Sighting {
            time: BootTime(0),
            site: 7,
            reason,
            flow: None,
            tcp: Some(TcpHeader { seq: 0, ack: 0, window: 0, flags: TcpFlags(flags) }),
            packet_size: None,
            direction: Direction::Receive,
            network_namespace: Some(NetworkNamespace { inode: 11, cookie: None }),
            socket: kind.map(|kind| Socket { kind, state: TcpState::Listen, cookie: None, cgroup_id: None }),
        }
    }

    fn is_counted(traced: &Traced, drop: &Sighting) -> bool {
        traced.observe(drop);
        traced.read(&[]).by_namespace.contains_key(&11)
    }

    #[test]
    fn last_acks_that_find_the_accept_queue_full_are_counted() {
        let listener = Some(SocketKind::Listener);
        for (names_sockets, drop, counted) in [
            (true, dropped(Some(OVERFLOW), listener, 0x10), true),
            (true, dropped(Some(NO_SOCKET), listener, 0x18), true),
            (true, dropped(Some(NO_SOCKET), None, 0x10), false),
            (true, dropped(Some(NO_SOCKET), listener, 0x02), false),
            (true, dropped(Some(9), listener, 0x10), false),
            (true, dropped(Some(NOT_SPECIFIED), listener, 0x10), true),
            (false, dropped(Some(NOT_SPECIFIED), None, 0x10), true),
            (false, dropped(Some(NOT_SPECIFIED), None, 0x14), false),
            (false, dropped(Some(NOT_SPECIFIED), Some(SocketKind::Full), 0x10), false),
            (false, dropped(None, Some(SocketKind::Request), 0x10), true),
        ] {
            assert_eq!(is_counted(&traced(names_sockets), &drop), counted, "{names_sockets} {drop:?}");
        }
    }

    #[test]
    fn what_only_the_kernel_counted_has_no_namespace() {
        let traced = traced(true);
        let site = |site, reason, seen| SiteCount { site: Some(site), reason, seen, ..SiteCount::default() };
        let sites = [site(7, Some(NO_SOCKET), 5), site(9, Some(OVERFLOW), 2), site(8, Some(NO_SOCKET), 100)];
        assert_eq!(traced.read(&sites).unattributed, 2);
        traced.observe(&dropped(Some(NO_SOCKET), Some(SocketKind::Listener), 0x10));
        let counts = traced.read(&sites);
        assert_eq!((counts.unattributed, counts.by_namespace), (6, BTreeMap::from([(11, 1)])));
    }
}

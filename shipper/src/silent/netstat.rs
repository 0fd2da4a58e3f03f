//! The namespaces' own counters, and what of them is silent. Pure: what was read comes in, what is to be told goes out.

use super::SilentCounter;
use super::traced::TracedCounts;
use crate::packet_drop::NetworkNamespace;
use std::collections::{BTreeMap, BTreeSet};

/// Counters of one namespace: `TcpExt` of its netstat. They only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// `ListenOverflows`.
    pub overflows: u64,
    /// `TCPReqQFullDrop`.
    pub request_queue_full: u64,
    /// `ListenDrops`: the other two, and the rest.
    pub drops: u64,
}

impl Reading {
    /// From the text of `/proc/PID/net/netstat`; `None` if the counters are not there.
    pub fn parse(netstat: &str) -> Option<Self> {
        let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
        let (names, values) = (lines.next()?, lines.next()?);
        let counters: BTreeMap<_, _> = names.split_whitespace().zip(values.split_whitespace()).collect();
        let counter = |name: SilentCounter| counters.get(name.name())?.parse().ok();
        Some(Self {
            overflows: counter(SilentCounter::ListenOverflows)?,
            request_queue_full: counter(SilentCounter::RequestQueueFull)?,
            drops: counter(SilentCounter::ListenDrops)?,
        })
    }
}

/// A namespace while it lives: inodes are reused, but not both at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamespaceKey {
    /// As in `/proc/PID/ns/net`.
    pub inode: u32,
    /// Its cookie; 0 if not known.
    pub cookie: u64,
    /// Inode of its netstat file.
    pub file: u64,
}

/// Silent drops of one namespace, to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceCount {
    /// Where.
    pub namespace: NetworkNamespace,
    /// Which counter moved.
    pub counter: SilentCounter,
    /// By how much, the tracepoint's drops left out.
    pub count: u64,
}

/// What was read and told of each namespace. As large as the number of namespaces that are read, which is bounded.
#[derive(Debug, Default)]
pub struct Accounts {
    accounts: BTreeMap<NamespaceKey, Account>,
    /// Drops without a namespace at the first reading of all.
    unattributed_before: Option<u64>,
}

#[derive(Debug)]
struct Account {
    before: Reading,
    traced_before: u64,
    told: [u64; SilentCounter::ALL.len()],
}

impl Accounts {
    /// The silent drops that no earlier call returned. A namespace's first reading is where its counts begin. `traced` is
    /// read after `readings`, so that it has all drops that those have. Accounts of other namespaces are closed.
    ///
    /// All is reckoned from the first reading on, not from the last: a drop that the tracepoint tells late makes the next
    /// window's count smaller, and in sum none is told twice.
    pub fn take_untold(
        &mut self,
        readings: &BTreeMap<NamespaceKey, Reading>,
        traced: &TracedCounts,
    ) -> Vec<NamespaceCount> {
        let before = *self.unattributed_before.get_or_insert(traced.unattributed);
        let mut unattributed = traced.unattributed.saturating_sub(before);
        let mut untold = Vec::new();
        self.accounts.retain(|key, _| readings.contains_key(key));
        for (key, reading) in readings {
            let traced = traced.by_namespace.get(&key.inode).copied().unwrap_or(0);
            let account = self.accounts.entry(*key).or_insert_with(|| Account {
                before: *reading,
                traced_before: traced,
                told: Default::default(),
            });
            let cookie = Some(key.cookie).filter(|cookie| *cookie > 0);
            let namespace = NetworkNamespace { inode: key.inode, cookie };
            for (counter, count) in account.take_untold(reading, traced, &mut unattributed) {
                untold.push(NamespaceCount { namespace, counter, count });
            }
        }
        untold
    }

    /// Inodes of the namespaces that have an account.
    pub fn inodes(&self) -> BTreeSet<u32> {
        self.accounts.keys().map(|key| key.inode).collect()
    }
}

impl Account {
    fn take_untold(
        &mut self,
        now: &Reading,
        traced: u64,
        unattributed: &mut u64,
    ) -> Vec<(SilentCounter, u64)> {
        let overflows = now.overflows.saturating_sub(self.before.overflows);
        let request_queue_full = now.request_queue_full.saturating_sub(self.before.request_queue_full);
        let drops = now.drops.saturating_sub(self.before.drops);
        // All of it that the tracepoint may have told.
        let known = traced.saturating_sub(self.traced_before);
        let claimed = (*unattributed).min(drops.saturating_sub(known));
        *unattributed -= claimed;
        let told_elsewhere = known + claimed;

        // The three are read one after the other while they rise: their sum may not exceed that of all.
        let mut left = drops.saturating_sub(told_elsewhere).saturating_sub(self.told.iter().sum());
        let silent = [
            (SilentCounter::ListenOverflows, overflows.saturating_sub(told_elsewhere)),
            (SilentCounter::RequestQueueFull, request_queue_full),
            (
                SilentCounter::ListenDrops,
                drops.saturating_sub(request_queue_full).saturating_sub(overflows.max(told_elsewhere)),
            ),
        ];
        let mut untold = Vec::new();
        for (counter, total) in silent {
            let told = &mut self.told[counter.index()];
            let count = total.saturating_sub(*told).min(left);
            if count > 0 {
                *told += count;
                left -= count;
                untold.push((counter, count));
            }
        }
        untold
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use SilentCounter::{ListenDrops, ListenOverflows, RequestQueueFull};

    const KEY: NamespaceKey = NamespaceKey { inode: 11, cookie: 5, file: 1 };

    fn reading(overflows: u64, request_queue_full: u64, rest: u64) -> Reading {
        Reading { overflows, request_queue_full, drops: overflows + request_queue_full + rest }
    }

    fn traced(here: u64, unattributed: u64) -> TracedCounts {
        TracedCounts { by_namespace: [(11, here)].into(), unattributed }
    }

    fn told(accounts: &mut Accounts, reading: Reading, traced: &TracedCounts) -> Vec<(SilentCounter, u64)> {
        let untold = accounts.take_untold(&[(KEY, reading)].into(), traced);
        untold.into_iter().map(|count| (count.counter, count.count)).collect()
    }

    #[test]
    fn the_file_is_read_by_name_wherever_the_counters_stand() {
        let text = "TcpExt: SyncookiesSent ListenOverflows X ListenDrops TCPReqQFullDrop\nTcpExt: 1 2 3 4 5\nIpExt: A\nIpExt: 9\n";
        let expected = Reading { overflows: 2, request_queue_full: 5, drops: 4 };
        assert_eq!(Reading::parse(text), Some(expected));
        for missing in [
            "",
            "TcpExt: ListenDrops\n",
            "TcpExt: ListenDrops\nTcpExt: 4\n",
            "TcpExt: ListenOverflows ListenDrops TCPReqQFullDrop\nTcpExt: 1 x 2\n",
        ] {
            assert_eq!(Reading::parse(missing), None, "{missing}");
        }
    }

    #[test]
    fn counts_begin_with_the_first_reading_and_each_is_told_once() {
        let mut accounts = Accounts::default();
        assert_eq!(told(&mut accounts, reading(100, 50, 7), &traced(0, 0)), []);
        let later = reading(103, 52, 8);
        assert_eq!(
            told(&mut accounts, later, &traced(0, 0)),
            [(ListenOverflows, 3), (RequestQueueFull, 2), (ListenDrops, 1)]
        );
        assert_eq!(told(&mut accounts, later, &traced(0, 0)), []);
    }

    #[test]
    fn what_the_tracepoint_tells_is_left_out_also_when_it_comes_late() {
        let mut accounts = Accounts::default();
        told(&mut accounts, reading(0, 0, 0), &traced(5, 0));
        assert_eq!(told(&mut accounts, reading(10, 0, 0), &traced(9, 0)), [(ListenOverflows, 6)]);
        // One of the six was told by the tracepoint after all.
        assert_eq!(told(&mut accounts, reading(12, 0, 0), &traced(10, 0)), [(ListenOverflows, 1)]);
        // More than the counters count is not below zero.
        assert_eq!(told(&mut accounts, reading(12, 0, 0), &traced(99, 0)), []);
        assert_eq!(told(&mut accounts, reading(13, 0, 1), &traced(99, 0)), []);
    }

    #[test]
    fn drops_without_a_namespace_are_taken_off_once_in_all() {
        let other = NamespaceKey { inode: 12, ..KEY };
        let readings =
            |here, there| BTreeMap::from([(KEY, reading(here, 0, 0)), (other, reading(there, 0, 0))]);
        let mut accounts = Accounts::default();
        accounts.take_untold(&readings(0, 0), &traced(0, 40));
        let untold = accounts.take_untold(&readings(2, 4), &traced(0, 43));
        let counts: Vec<_> = untold.iter().map(|count| (count.namespace.inode, count.count)).collect();
        assert_eq!(counts, [(12, 3)]);
    }

    #[test]
    fn counters_that_rise_while_they_are_read_are_not_told_twice() {
        let mut accounts = Accounts::default();
        told(&mut accounts, reading(0, 0, 0), &traced(0, 0));
        let torn = Reading { overflows: 0, request_queue_full: 0, drops: 1 };
        assert_eq!(told(&mut accounts, torn, &traced(0, 0)), [(ListenDrops, 1)]);
        assert_eq!(told(&mut accounts, reading(1, 0, 0), &traced(0, 0)), []);
        assert_eq!(told(&mut accounts, reading(3, 0, 0), &traced(0, 0)), [(ListenOverflows, 2)]);
    }

    #[test]
    fn another_namespace_with_the_same_inode_begins_anew() {
        let mut accounts = Accounts::default();
        told(&mut accounts, reading(5, 0, 0), &traced(0, 0));
        let reused = NamespaceKey { cookie: 6, file: 2, ..KEY };
        assert_eq!(accounts.take_untold(&[(reused, reading(9, 0, 0))].into(), &traced(0, 0)), []);
        assert_eq!(accounts.inodes(), [11].into());
        assert_eq!(accounts.accounts.len(), 1);
    }
}

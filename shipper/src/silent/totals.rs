//! [`SilentTotals`]: silent drops that are told as numbers, at the end of each window.

use super::netstat::{Accounts, NamespaceKey, Reading};
use super::traced::Traced;
use super::{SilentCounter, SilentSource, books::Books};
use crate::filter::Facts;
use crate::packet_drop::{Direction, NetworkNamespace};
use crate::probe::{Filters, Namespaces, ProcessNamespace, RefusalCounts, SiteCount};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

/// Most namespaces whose counters are read.
const MOST_NAMESPACES: usize = 256;
/// Processes that are tried for each: one may end meanwhile.
const MOST_PROCESSES: usize = 3;

/// Silent drops without a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SilentCount {
    /// The counter that they moved.
    pub counter: SilentCounter,
    /// How they were seen.
    pub source: SilentSource,
    /// Where; not known of what was only counted in the kernel.
    pub namespace: Option<NetworkNamespace>,
    /// Drops.
    pub count: u64,
}

/// Where the numbers are from.
pub enum SilentTotals {
    /// What the programs counted without sending an event.
    Programs(UntoldRefusals),
    /// The namespaces' counters.
    Counters(Box<NetstatReader>),
    /// Nobody looks.
    Off,
}

impl SilentTotals {
    /// What no earlier call returned. `sites` are the tracepoint's counts, read now.
    pub fn take_untold(&mut self, sites: &[SiteCount]) -> Vec<SilentCount> {
        match self {
            Self::Programs(refusals) => refusals.take_untold(),
            Self::Counters(reader) => reader.take_untold(sites),
            Self::Off => Vec::new(),
        }
    }
}

/// Refusals that were over the programs' budget, or found their ring full.
pub struct UntoldRefusals {
    counts: RefusalCounts,
    told: [u64; SilentCounter::ALL.len()],
}

impl UntoldRefusals {
    /// With nothing told yet.
    pub fn new(counts: RefusalCounts) -> Self {
        Self { counts, told: Default::default() }
    }

    fn take_untold(&mut self) -> Vec<SilentCount> {
        let untold = match self.counts.read() {
            Ok(counts) => counts.untold,
            Err(error) => {
                tracing::error!("{error}; refused SYNs without detail are told later");
                return Vec::new();
            }
        };
        let count = |counter: SilentCounter| {
            let told = &mut self.told[counter.index()];
            let count = untold[counter.index()].saturating_sub(*told);
            *told += count;
            SilentCount { counter, source: SilentSource::Fexit, namespace: None, count }
        };
        SilentCounter::ALL.map(count).into_iter().filter(|count| count.count > 0).collect()
    }
}

/// Reads the counters of each namespace that has a process.
pub struct NetstatReader {
    /// Finds the namespaces.
    pub namespaces: Namespaces,
    /// What of the counters the tracepoint tells.
    pub traced: Arc<Traced>,
    /// Which are wanted.
    pub filters: Filters,
    /// Where the numbers go.
    pub books: Arc<Books>,
    /// What was told.
    pub accounts: Accounts,
}

impl NetstatReader {
    fn take_untold(&mut self, sites: &[SiteCount]) -> Vec<SilentCount> {
        let processes = match self.namespaces.list() {
            Ok(processes) => processes,
            Err(error) => {
                tracing::warn!(%error, "the network namespaces cannot be listed; refused SYNs are counted later");
                return Vec::new();
            }
        };
        let (readings, unread) = read_all(&by_namespace(processes));
        self.books.read_namespaces(readings.len(), unread);
        let untold = self.accounts.take_untold(&readings, &self.traced.read(sites));
        self.traced.keep(&self.accounts.inodes());
        let (wanted, filtered): (Vec<_>, Vec<_>) = untold
            .into_iter()
            .map(|count| SilentCount {
                counter: count.counter,
                source: SilentSource::Netstat,
                namespace: Some(count.namespace),
                count: count.count,
            })
            .partition(|count| self.filters.wants(&facts(count)));
        self.books.filtered(filtered.iter().map(|count| count.count).sum());
        wanted
    }
}

/// A counter knows the namespace and that packets came in, no more.
fn facts(count: &SilentCount) -> Facts {
    Facts {
        netns: count.namespace.map(|namespace| namespace.inode),
        ports: None,
        addresses: None,
        reason: None,
        direction: Direction::Receive,
    }
}

type Processes = BTreeMap<(u32, u64), Vec<u32>>;

fn by_namespace(processes: Vec<ProcessNamespace>) -> Processes {
    let mut namespaces = Processes::new();
    for ProcessNamespace { pid, inode, cookie } in processes {
        let pids = namespaces.entry((inode, cookie)).or_default();
        if pids.len() < MOST_PROCESSES {
            pids.push(pid);
        }
    }
    namespaces
}

/// What could be read, and how many namespaces could not.
fn read_all(namespaces: &Processes) -> (BTreeMap<NamespaceKey, Reading>, usize) {
    let read = namespaces.iter().take(MOST_NAMESPACES).filter_map(|(&(inode, cookie), pids)| {
        let (file, reading) = pids.iter().find_map(|&pid| read_netstat(pid).ok().flatten())?;
        Some((NamespaceKey { inode, cookie, file }, reading))
    });
    let readings: BTreeMap<_, _> = read.collect();
    let unread = namespaces.len() - readings.len();
    (readings, unread)
}

/// The counters of a process's namespace, with the inode of the file: each namespace has its own.
fn read_netstat(pid: u32) -> io::Result<Option<(u64, Reading)>> {
    let mut file = File::open(format!("/proc/{pid}/net/netstat"))?;
    let inode = file.metadata()?.ino();
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(Reading::parse(&text).map(|reading| (inode, reading)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn this_process_s_namespace_has_the_counters() {
        let here = by_namespace(vec![ProcessNamespace { pid: std::process::id(), inode: 7, cookie: 3 }]);
        let (readings, unread) = read_all(&here);
        let key = readings.keys().next().unwrap();
        assert_eq!((key.inode, key.cookie, unread), (7, 3, 0));
        assert!(key.file > 0);
    }

    #[test]
    fn a_namespace_whose_processes_ended_is_not_read_and_few_are_tried() {
        // Larger than any pid (PID_MAX_LIMIT).
        let ended = (0..9).map(|n| ProcessNamespace { pid: (4 << 20) + n, inode: 8, cookie: 0 }).collect();
        let namespaces = by_namespace(ended);
        assert_eq!(namespaces.values().map(Vec::len).collect::<Vec<_>>(), [MOST_PROCESSES]);
        assert_eq!(read_all(&namespaces), (BTreeMap::new(), 1));
    }

    #[test]
    fn the_number_of_namespaces_is_bounded() {
        let pid = std::process::id();
        let many = (0..300).map(|inode| ProcessNamespace { pid, inode, cookie: 0 }).collect();
        let (readings, unread) = read_all(&by_namespace(many));
        assert_eq!((readings.len(), unread), (MOST_NAMESPACES, 300 - MOST_NAMESPACES));
    }
}

//! [`Counters`]: what the kernel side counted.

use super::ProbeError;
use super::cpus::Cpus;
use crate::ledger::KernelCounts;
use crate::wire::TcpDropSite;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

/// The kernel side's counts, which go on to be readable after the program was detached.
#[derive(Clone)]
pub struct Counters {
    sources: Arc<Sources>,
}

struct Sources {
    cpus: Cpus,
    programs: Vec<OwnedFd>,
    has_reason: bool,
}

/// The drops of one site for one reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteCount {
    /// Address after the call that freed the packets; `None` for all that found no room in the table.
    pub site: Option<u64>,
    /// Drop reason; `None` where the site is, and on kernels without reasons.
    pub reason: Option<u32>,
    /// Drops.
    pub seen: u64,
    /// Sum of the known packet sizes.
    pub bytes: u64,
    /// Drops counted without detail: over budget.
    pub suppressed: u64,
    /// Drops counted without detail: the ring was full.
    pub ring_lost: u64,
}

impl Counters {
    pub(super) fn new(cpus: Cpus, programs: Vec<OwnedFd>, has_reason: bool) -> Self {
        Self { sources: Arc::new(Sources { cpus, programs, has_reason }) }
    }

    /// The kernel's side of the ledger. While the program is attached, terms may differ by one per CPU.
    ///
    /// # Errors
    /// If the kernel does not let it be read.
    pub fn kernel(&self) -> Result<KernelCounts, ProbeError> {
        let per_cpu = self.sources.cpus.ledgers();
        let mut counts = per_cpu.fold(KernelCounts::default(), |sum, cpu| KernelCounts {
            seen: sum.seen + cpu.seen,
            filtered: sum.filtered + cpu.filtered,
            own: sum.own + cpu.own,
            suppressed: sum.suppressed + cpu.suppressed,
            ring_lost: sum.ring_lost + cpu.ring_lost,
            admitted: sum.admitted + cpu.admitted,
            missed: sum.missed + cpu.missed,
        });
        for program in &self.sources.programs {
            let path = format!("/proc/thread-self/fdinfo/{}", program.as_raw_fd());
            let fdinfo = std::fs::read_to_string(path).map_err(ProbeError::FileDescriptor)?;
            counts.missed += recursion_misses(&fdinfo);
        }
        Ok(counts)
    }

    /// The counts of each (site, reason) that ever had drops.
    pub fn sites(&self) -> Vec<SiteCount> {
        let mut sums = BTreeMap::new();
        for (index, slot) in self.sources.cpus.sites().filter(|(_, slot)| slot.seen > 0) {
            add_slot(&mut sums, index == REST, &slot, self.sources.has_reason);
        }
        sums.into_values().collect()
    }
}

/// The slot of what finds no other.
const REST: usize = 0;

type Sums = BTreeMap<(Option<u64>, Option<u32>), SiteCount>;

/// The same key has another slot on each CPU.
fn add_slot(sums: &mut Sums, is_rest: bool, slot: &TcpDropSite, has_reason: bool) {
    let site = (!is_rest).then_some(slot.site);
    let reason = site.and(has_reason.then_some(slot.reason));
    let sum = sums.entry((site, reason)).or_insert(SiteCount { site, reason, ..SiteCount::default() });
    sum.seen += slot.seen;
    sum.bytes += slot.bytes;
    sum.suppressed += slot.suppressed;
    sum.ring_lost += slot.ring_lost;
}

/// Runs that the kernel left out. Where it leaves out none, the program counts what it leaves out itself.
fn recursion_misses(fdinfo: &str) -> u64 {
    fdinfo
        .lines()
        .find_map(|line| line.strip_prefix("recursion_misses:"))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn misses_are_read_from_the_programs_fdinfo() {
        assert_eq!(
            recursion_misses("pos:\t0\nprog_type:\t26\nrecursion_misses:\t17\nverified_insns:\t9\n"),
            17
        );
        assert_eq!(recursion_misses("pos:\t0\n"), 0);
    }

    #[test]
    fn slots_of_one_site_and_reason_add_up() {
        let slot = |site, reason| TcpDropSite {
            site,
            reason,
            seen: 2,
            bytes: 100,
            suppressed: 1,
            ring_lost: 1,
            ..TcpDropSite::default()
        };
        let mut sums = Sums::new();
        add_slot(&mut sums, false, &slot(9, 3), true);
        add_slot(&mut sums, false, &slot(9, 3), true);
        add_slot(&mut sums, false, &slot(9, 4), true);
        add_slot(&mut sums, true, &slot(0, 0), true);
        let twice =
            SiteCount { site: Some(9), reason: Some(3), seen: 4, bytes: 200, suppressed: 2, ring_lost: 2 };
        assert_eq!(sums.get(&(Some(9), Some(3))), Some(&twice));
        assert_eq!(
            sums.keys().copied().collect::<Vec<_>>(),
            [(None, None), (Some(9), Some(3)), (Some(9), Some(4))]
        );
    }
}

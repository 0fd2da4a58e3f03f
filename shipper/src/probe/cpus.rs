//! [`Cpus`]: what the program counts on each CPU, read in the memory that it counts in.

use super::ProbeError;
use crate::wire::{COUNTS_AT, SITES, TcpDropCounts, TcpDropLedger, TcpDropSite};
use aya::maps::Map;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ffi::c_void;
use std::io;
use std::os::fd::AsFd;
use std::ptr::{NonNull, null_mut};

/// Name of the map.
pub(super) const MAP: &str = "cpus";

/// CPUs that the kernel may ever have; it numbers them from 0 (`Documentation/admin-guide/cputopology.rst`).
const POSSIBLE: &str = "/sys/devices/system/cpu/possible";

/// The map `cpus`, for reading: an array with an entry for each possible CPU.
pub(super) struct Cpus {
    start: NonNull<c_void>,
    length: usize,
    entry: usize,
    count: usize,
}

// SAFETY: the memory is only read, and stays where it is until the value is dropped.
unsafe impl Send for Cpus {}
// SAFETY: as above.
unsafe impl Sync for Cpus {}

/// How many entries the map needs.
pub(super) fn count() -> Result<u32, ProbeError> {
    let list = std::fs::read_to_string(POSSIBLE).map_err(ProbeError::Cpus)?;
    let last = list.trim_end().rsplit([',', '-']).next().and_then(|last| last.parse::<u32>().ok());
    let count = last.and_then(|last| last.checked_add(1));
    count.ok_or_else(|| ProbeError::Cpus(io::Error::other(format!("{POSSIBLE} holds {list:?}"))))
}

impl Cpus {
    pub(super) fn new(map: &Map) -> Result<Self, ProbeError> {
        let Map::Array(map) = map else { return Err(ProbeError::Object(MAP)) };
        let info = map.info()?;
        let size = |bytes: u32| usize::try_from(bytes).map_err(|_| ProbeError::Object(MAP));
        let (entry, count) = (size(info.value_size())?, size(info.max_entries())?);
        // Whole words, so that no entry is padded in the array.
        if entry < COUNTS_AT + size_of::<TcpDropCounts>() || entry % align_of::<TcpDropCounts>() != 0 {
            return Err(ProbeError::Object(MAP));
        }
        let length = (entry * count).next_multiple_of(rustix::param::page_size());
        // SAFETY: a new mapping at a place of the kernel's choice.
        let start =
            unsafe { mmap(null_mut(), length, ProtFlags::READ, MapFlags::SHARED, map.fd().as_fd(), 0) };
        let start = start.map_err(|error| ProbeError::Cpus(error.into()))?;
        let start = NonNull::new(start).ok_or(ProbeError::Object(MAP))?;
        Ok(Self { start, length, entry, count })
    }

    /// Of each CPU.
    pub(super) fn ledgers(&self) -> impl Iterator<Item = TcpDropLedger> {
        // SAFETY: the entry is in the mapping; the program writes it meanwhile, a word at a time.
        self.counts().map(|counts| unsafe { (&raw const (*counts).ledger).read_volatile() })
    }

    /// All slots of all CPUs, each with its number.
    pub(super) fn sites(&self) -> impl Iterator<Item = (usize, TcpDropSite)> {
        self.counts().flat_map(|counts| {
            // SAFETY: as above.
            (0..SITES).map(move |site| (site, unsafe { (&raw const (*counts).sites[site]).read_volatile() }))
        })
    }

    fn counts(&self) -> impl Iterator<Item = *const TcpDropCounts> {
        (0..self.count).map(|cpu| {
            // SAFETY: the mapping has `count` entries, in each of which the counts have room, as `new` checked.
            unsafe { self.start.byte_add(cpu * self.entry + COUNTS_AT) }
                .cast::<TcpDropCounts>()
                .as_ptr()
                .cast_const()
        })
    }
}

impl Drop for Cpus {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nothing points into it any more.
        let _ = unsafe { munmap(self.start.as_ptr(), self.length) };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_entry_for_each_cpu_that_is_online() {
        let online = aya::util::online_cpus().unwrap().into_iter().max().unwrap();
        assert!(count().unwrap() > online);
    }
}

//! [`Books`]: how many silent drops there were, beside the ledger.

use super::{SilentCounter, SilentSource};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Counts of silent drops. Shared by the stages.
#[derive(Debug, Default)]
pub struct Books(Mutex<Entries>);

#[derive(Clone, Copy, Debug, Default)]
struct Entries {
    source: SilentSource,
    told: [u64; SilentCounter::ALL.len()],
    filtered: u64,
    namespaces: Namespaces,
}

/// The namespaces whose counters are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Namespaces {
    /// How often they were read.
    pub readings: u64,
    /// Read the last time.
    pub read: u64,
    /// Not read the last time: beyond the bound, or their processes had ended.
    pub unread: u64,
}

/// [`Books`] at one moment, as `/status` shows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SilentSnapshot {
    /// How they are seen.
    pub source: SilentSource,
    /// Told in records, by counter.
    pub told: BTreeMap<&'static str, u64>,
    /// Left out by the filter.
    pub filtered: u64,
    /// The namespaces, where their counters are read.
    pub namespaces: Namespaces,
}

impl Books {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// They are seen by `source` from now on.
    pub fn seen_by(&self, source: SilentSource) {
        self.entries().source = source;
    }

    /// A record stands for `count` of `counter`.
    pub fn told(&self, counter: SilentCounter, count: u64) {
        self.entries().told[counter.index()] += count;
    }

    /// The filter left out `count`.
    pub fn filtered(&self, count: u64) {
        self.entries().filtered += count;
    }

    /// The counters of `read` namespaces were read, those of `unread` were not.
    pub fn read_namespaces(&self, read: usize, unread: usize) {
        let Namespaces { readings, .. } = self.entries().namespaces;
        self.entries().namespaces =
            Namespaces { readings: readings + 1, read: read as u64, unread: unread as u64 };
    }

    /// The books now.
    pub fn snapshot(&self) -> SilentSnapshot {
        let Entries { source, told, filtered, namespaces } = *self.entries();
        let told = SilentCounter::ALL.map(|counter| (counter.name(), told[counter.index()])).into();
        SilentSnapshot { source, told, filtered, namespaces }
    }
}

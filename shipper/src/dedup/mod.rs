//! dedup: drops with one cause are told once, then counted.
//!
//! The unit is the *stack group*: drops with the same stack hash and reason inside one network namespace, with a socket or
//! without one: whatever knocks at closed ports must not hide what connections lose. The first drop of a flow leaves at
//! once; what follows is merged and leaves as a summary when the group's window ends. So the sum of the tallies that leave
//! is the number of drops that came in. Time is passed in.

mod flows;

use crate::config::model;
use crate::drop_summary::{DropSummary, GroupWindow, SpanIds};
use crate::packet_drop::{BootTime, Sighted, Sighting};
use flows::FlowTable;
use hashlink::LruCache;
use std::cell::LazyCell;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::Duration;

/// How long a first sighting is held back if the limiter denies it.
const DEFERRAL: Duration = Duration::from_secs(1);

/// Most flows that all groups together tell apart, at about a KiB each. What a group has it keeps, and it always has one.
const MOST_FLOWS: usize = 8192;

/// What makes drops one stack group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupKey {
    /// Hash of the stack's addresses, see [`crate::stack::group_hash`].
    pub stack: u64,
    /// Drop reason.
    pub reason: Option<u32>,
    /// Inode of the network namespace.
    pub network_namespace: Option<u32>,
    /// Whether the packet had a socket.
    pub has_socket: bool,
}

impl GroupKey {
    /// The group of `drop`, whose stack hash is `stack`.
    pub fn new(drop: &Sighting, stack: u64) -> Self {
        Self {
            stack,
            reason: drop.reason,
            network_namespace: drop.network_namespace.map(|netns| netns.inode),
            has_socket: drop.socket.is_some(),
        }
    }

    /// A number that other groups hardly have.
    pub fn hash(&self) -> u64 {
        BuildHasherDefault::<DefaultHasher>::default().hash_one(self)
    }
}

/// What leaves dedup.
#[derive(Debug, Default)]
pub struct Released {
    /// Become log records.
    pub summaries: Vec<DropSummary>,
    /// Become spans.
    pub windows: Vec<GroupWindow>,
    /// Refused SYNs: they become log records that stand outside the sum of drops.
    pub silent: Vec<DropSummary>,
}

impl Released {
    /// Whether nothing leaves.
    pub fn is_empty(&self) -> bool {
        self.summaries.is_empty() && self.windows.is_empty() && self.silent.is_empty()
    }

    /// The drops that the summaries stand for.
    pub fn drops(&self) -> u64 {
        self.summaries.iter().map(|summary| summary.tally.count).sum()
    }
}

struct Group {
    ids: SpanIds,
    window_start: BootTime,
    flows: FlowTable,
}

/// The stage. Bounded: at most `max_stacks` groups of at most `max_flows_per_stack` flows and one entry for the rest.
pub struct Dedup {
    settings: model::Dedup,
    groups: LruCache<GroupKey, Group>,
    new_ids: Box<dyn FnMut() -> SpanIds + Send>,
    /// Of groups that had to go before their window ended.
    evicted: Released,
    /// A first sighting may be held back in some group.
    deferred: bool,
    /// Flows of all groups.
    flows: usize,
}

impl Dedup {
    /// With ids for spans from `new_ids`.
    pub fn new(settings: model::Dedup, new_ids: impl FnMut() -> SpanIds + Send + 'static) -> Self {
        Self {
            settings,
            groups: LruCache::new_unbounded(),
            new_ids: Box::new(new_ids),
            evicted: Released::default(),
            deferred: false,
            flows: 0,
        }
    }

    /// Takes in a drop. The first of its flow leaves at once, as a summary of one, if `allow` agrees; `allow` is asked
    /// only then. Everything else is merged.
    pub fn observe(
        &mut self,
        key: GroupKey,
        drop: impl Sighted,
        now: BootTime,
        allow: impl FnOnce() -> bool,
    ) -> Option<DropSummary> {
        if self.groups.get(&key).is_none() {
            self.open(key, now);
        }
        let group = self.groups.get_mut(&key)?;
        let sighting = drop.sighting();
        let sample = LazyCell::new(|| Arc::new(drop.describe()));
        let first = group.flows.add(&sighting, self.flows < MOST_FLOWS, &sample)?;
        self.flows += usize::from(first.grown);
        if allow() {
            return first.entry.tell(group.ids, false);
        }
        // New flows are not to wait for the window's end, but for those of a storm.
        if first.may_be_deferred {
            first.entry.defer_until(now.after(DEFERRAL));
            self.deferred = true;
        }
        None
    }

    fn open(&mut self, key: GroupKey, now: BootTime) {
        if self.groups.len() >= self.settings.max_stacks
            && let Some((_, mut group)) = self.groups.remove_lru()
        {
            self.flows -= group.flows.len();
            group.close(&mut self.evicted);
        }
        let flows = FlowTable::new(self.settings.max_flows_per_stack);
        self.groups.insert(key, Group { ids: (self.new_ids)(), window_start: now, flows });
    }

    /// What had to make room since the last call. To be called often: it is not bounded otherwise.
    pub fn take_evicted(&mut self) -> Released {
        std::mem::take(&mut self.evicted)
    }

    /// What has to leave by `now`: groups that were evicted, groups whose window ended, first sightings held back long
    /// enough.
    pub fn release(&mut self, now: BootTime) -> Released {
        let mut released = self.take_evicted();
        let mut idle = Vec::new();
        let mut still_deferred = false;
        for (key, group) in self.groups.iter_mut() {
            if now.since(group.window_start) >= self.settings.window {
                group.close(&mut released);
                group.flows.forget_idle();
                if group.flows.is_empty() {
                    idle.push(*key);
                } else {
                    group.ids = (self.new_ids)();
                    group.window_start = now;
                }
            } else if self.deferred {
                released.summaries.extend(group.flows.tell_deferred(group.ids, now));
                still_deferred |= group.flows.has_deferred();
            }
        }
        self.deferred = still_deferred;
        for key in idle {
            self.groups.remove(&key);
        }
        self.flows = self.groups.iter().map(|(_, group)| group.flows.len()).sum();
        released
    }

    /// Everything leaves: the end.
    pub fn release_all(&mut self) -> Released {
        let mut released = self.take_evicted();
        for (_, mut group) in self.groups.drain() {
            group.close(&mut released);
        }
        self.flows = 0;
        released
    }

    /// Takes over new settings. What is pending under the old ones leaves first.
    pub fn reconfigure(&mut self, settings: &model::Dedup) {
        if self.settings != *settings {
            self.evicted = self.release_all();
            self.settings = settings.clone();
        }
    }

    /// Whether there is nothing that [`Self::release`] could ever return.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty() && self.evicted.is_empty()
    }
}

impl Group {
    fn close(&mut self, released: &mut Released) {
        released.summaries.extend(self.flows.tell_all(self.ids));
        released.windows.extend(self.flows.close_window(self.ids));
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

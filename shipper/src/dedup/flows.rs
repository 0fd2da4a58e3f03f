//! The flow table of a stack group.

use crate::drop_summary::{DropSummary, FlowWindow, GroupWindow, Interval, SpanIds, Tally};
use crate::packet_drop::{BootTime, Direction, Flow, PacketDrop, Sighting};
use std::cell::LazyCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// A flow without drops for so long may lose its place to a new one.
const IDLE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct FlowKey {
    flow: Option<Flow>,
    direction: Direction,
}

impl FlowKey {
    fn of(drop: &Sighting) -> Self {
        Self { flow: drop.flow, direction: drop.direction }
    }

    /// The port that names the service on this host, for as far as the direction tells.
    fn local_port(self) -> Option<u16> {
        let ports = self.flow?.ports?;
        Some(if self.direction == Direction::Transmit { ports.source } else { ports.destination })
    }
}

/// Drops over a stretch of time.
struct Stretch {
    sample: Arc<PacketDrop>,
    tally: Tally,
    interval: Interval,
}

/// A drop in full, made when it is first asked for.
pub(super) type Sample<F> = LazyCell<Arc<PacketDrop>, F>;

impl Stretch {
    fn count<F>(stretch: &mut Option<Self>, drop: &Sighting, sample: &Sample<F>)
    where
        F: FnOnce() -> Arc<PacketDrop>,
    {
        let tally = Tally { count: 1, bytes: drop.packet_size.unwrap_or(0).into() };
        let interval = Interval { first: drop.time, last: drop.time };
        match stretch {
            Some(stretch) if stretch.interval.first <= drop.time => {
                stretch.tally.add(tally);
                stretch.interval.last = stretch.interval.last.max(drop.time);
            }
            stretch => Self::join(stretch, Self { sample: Arc::clone(sample), tally, interval }),
        }
    }

    fn join(stretch: &mut Option<Self>, other: Self) {
        match stretch {
            Some(stretch) => {
                if other.interval.first < stretch.interval.first {
                    stretch.sample = other.sample;
                }
                stretch.tally.add(other.tally);
                stretch.interval.first = stretch.interval.first.min(other.interval.first);
                stretch.interval.last = stretch.interval.last.max(other.interval.last);
            }
            None => *stretch = Some(other),
        }
    }
}

/// What is known of one flow.
#[derive(Default)]
pub(super) struct FlowEntry {
    untold: Option<Stretch>,
    window: Option<Stretch>,
    deferred_until: Option<BootTime>,
    last: BootTime,
    /// Had a drop in this window.
    busy: bool,
}

impl FlowEntry {
    fn add<F: FnOnce() -> Arc<PacketDrop>>(&mut self, drop: &Sighting, sample: &Sample<F>) {
        self.busy = true;
        self.last = self.last.max(drop.time);
        Stretch::count(&mut self.untold, drop, sample);
        Stretch::count(&mut self.window, drop, sample);
    }

    fn absorb(&mut self, other: Self) {
        for (mine, theirs) in [(&mut self.untold, other.untold), (&mut self.window, other.window)] {
            if let Some(stretch) = theirs {
                Stretch::join(mine, stretch);
            }
        }
    }

    /// Holds back what is untold until `time`.
    pub(super) fn defer_until(&mut self, time: BootTime) {
        self.deferred_until = Some(time);
    }

    /// From when on it may give way, if it is not deferred.
    fn idle_from(&self) -> BootTime {
        self.last.after(IDLE)
    }

    /// A summary of what is untold, if anything is.
    pub(super) fn tell(&mut self, ids: SpanIds, other_flows: bool) -> Option<DropSummary> {
        self.deferred_until = None;
        let Stretch { sample, tally, interval } = self.untold.take()?;
        Some(DropSummary { sample, tally, interval, other_flows, ids })
    }

    fn close_window(&mut self, other_flows: bool) -> Option<FlowWindow> {
        let Stretch { sample, tally, interval } = self.window.take()?;
        Some(FlowWindow { sample, tally, interval, other_flows })
    }
}

/// Flows of a stack group: a bounded table, and one entry for all others.
///
/// While there is room any flow gets an entry. When the table is full, a flow of a local port that holds less than half
/// takes the place of one of a port that holds more, so that one noisy port can't hide another; any other flow that of one
/// that is idle. Those who give way merge into `other`. A table of one entry never gives it up.
pub(super) struct FlowTable {
    capacity: usize,
    entries: HashMap<FlowKey, FlowEntry>,
    /// How many of them each local port holds.
    held: HashMap<Option<u16>, usize>,
    other: FlowEntry,
    /// No flow is idle before: a storm need not look for one with each drop.
    none_idle_before: BootTime,
}

/// The first sighting of a flow.
pub(super) struct First<'a> {
    pub(super) entry: &'a mut FlowEntry,
    /// Few of its port, and of all, are held back as it is.
    pub(super) may_be_deferred: bool,
    /// None gave way to it.
    pub(super) grown: bool,
}

impl FlowTable {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            entries: HashMap::new(),
            held: HashMap::new(),
            other: FlowEntry::default(),
            none_idle_before: BootTime::default(),
        }
    }

    /// Counts a drop. Returns its entry if this is the first sighting of its flow. With one flow or more it only grows if
    /// it `may`.
    pub(super) fn add<F>(&mut self, drop: &Sighting, may_grow: bool, sample: &Sample<F>) -> Option<First<'_>>
    where
        F: FnOnce() -> Arc<PacketDrop>,
    {
        let key = FlowKey::of(drop);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.add(drop, sample);
            return None;
        }
        let port = key.local_port();
        let grows = self.entries.is_empty() || may_grow && self.entries.len() < self.capacity;
        if !grows && !self.make_room(port, drop.time) {
            self.other.add(drop, sample);
            return None;
        }
        *self.held.entry(port).or_default() += 1;
        let may_be_deferred = self.may_defer(port);
        let entry = self.entries.entry(key).or_default();
        entry.add(drop, sample);
        Some(First { entry, may_be_deferred, grown: grows })
    }

    /// Moves a flow to `other`, if one has to give way to a flow of `port`.
    fn make_room(&mut self, port: Option<u16>, now: BootTime) -> bool {
        let victim = self.of_fullest_port(port).or_else(|| self.longest_idle(now));
        let Some((key, entry)) = victim.and_then(|key| self.entries.remove_entry(&key)) else { return false };
        self.other.absorb(entry);
        self.give_up(key.local_port());
        true
    }

    /// A flow of the port that holds more than half, if `port` holds less: one that was told, or the newest.
    fn of_fullest_port(&self, port: Option<u16>) -> Option<FlowKey> {
        let half = self.capacity.div_ceil(2);
        if self.held.get(&port).is_some_and(|&count| count >= half) {
            return None;
        }
        // At most one port can hold more than half.
        let (&fullest, _) = self.held.iter().find(|&(_, &count)| count > half)?;
        let flows = self.entries.iter().filter(|(key, _)| key.local_port() == fullest && fullest != port);
        let first = |entry: &FlowEntry| entry.window.as_ref().map(|window| window.interval.first);
        flows.max_by_key(|(_, entry)| (entry.untold.is_none(), first(entry))).map(|(key, _)| *key)
    }

    /// The flow that is idle longest, those that were told first.
    fn longest_idle(&mut self, now: BootTime) -> Option<FlowKey> {
        if now < self.none_idle_before {
            return None;
        }
        self.none_idle_before = self.entries.values().map(FlowEntry::idle_from).min().unwrap_or(now);
        let may_go = |entry: &FlowEntry| entry.deferred_until.is_none() && entry.idle_from() <= now;
        let idle = self.entries.iter().filter(|(_, entry)| self.capacity > 1 && may_go(entry));
        idle.min_by_key(|(_, entry)| (entry.untold.is_some(), entry.last)).map(|(key, _)| *key)
    }

    /// Whether a first sighting of `port` may be held back for a moment only: a storm's are too many to be told so soon.
    fn may_defer(&self, port: Option<u16>) -> bool {
        let deferred = || self.entries.iter().filter(|(_, entry)| entry.deferred_until.is_some());
        deferred().count() < self.capacity.div_ceil(2)
            && deferred().filter(|(key, _)| key.local_port() == port).count() < self.capacity.div_ceil(4)
    }

    fn give_up(&mut self, port: Option<u16>) {
        if let Some(count) = self.held.get_mut(&port) {
            *count -= 1;
            if *count == 0 {
                self.held.remove(&port);
            }
        }
    }

    /// Summaries of the first sightings that were held back until `now`.
    pub(super) fn tell_deferred(&mut self, ids: SpanIds, now: BootTime) -> Vec<DropSummary> {
        self.entries
            .values_mut()
            .filter(|entry| entry.deferred_until.is_some_and(|until| until <= now))
            .filter_map(|entry| entry.tell(ids, false))
            .collect()
    }

    pub(super) fn has_deferred(&self) -> bool {
        self.entries.values().any(|entry| entry.deferred_until.is_some())
    }

    /// Summaries of all that is untold, oldest first.
    pub(super) fn tell_all(&mut self, ids: SpanIds) -> Vec<DropSummary> {
        let mut summaries: Vec<_> =
            self.entries.values_mut().filter_map(|entry| entry.tell(ids, false)).collect();
        summaries.sort_unstable_by_key(|summary| summary.interval.first);
        summaries.extend(self.other.tell(ids, true));
        summaries
    }

    /// The window's flows, oldest first; `None` if it had no drops.
    pub(super) fn close_window(&mut self, ids: SpanIds) -> Option<GroupWindow> {
        let mut flows: Vec<_> =
            self.entries.values_mut().filter_map(|entry| entry.close_window(false)).collect();
        flows.sort_unstable_by_key(|flow| flow.interval.first);
        flows.extend(self.other.close_window(true));
        let first = flows.iter().map(|flow| flow.interval.first).min()?;
        let last = flows.iter().map(|flow| flow.interval.last).max()?;
        Some(GroupWindow { ids, flows, interval: Interval { first, last } })
    }

    /// Forgets the flows that had no drop since the last call: a drop of theirs is a first sighting again.
    pub(super) fn forget_idle(&mut self) {
        self.entries.retain(|_, entry| std::mem::take(&mut entry.busy));
        self.held.clear();
        for key in self.entries.keys() {
            *self.held.entry(key.local_port()).or_default() += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Flows that have an entry.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

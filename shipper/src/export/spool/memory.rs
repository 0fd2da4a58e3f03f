//! The spool in memory.

use super::super::throttle::{Held, Throttle};
use super::{Evicted, Lease, LeaseId, Spool};
use crate::export::{EncodedRequest, Outcome, Signal};
use crate::ledger::Ledger;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;

/// Keeps requests in memory, up to a bound; what waits at the end of the process is lost and counted.
#[derive(Debug)]
pub struct MemorySpool {
    ledger: Arc<Ledger>,
    lanes: Mutex<Lanes>,
    logs_arrived: Notify,
    traces_arrived: Notify,
}

#[derive(Debug)]
struct Lanes {
    logs: VecDeque<Entry>,
    traces: VecDeque<Entry>,
    /// Sum of the entries' weights.
    weight: u64,
    max_weight: u64,
    next_sequence: u64,
    closed: bool,
    eviction_throttle: Throttle,
}

#[derive(Debug)]
struct Entry {
    sequence: u64,
    request: EncodedRequest,
    in_flight: bool,
}

/// What a request counts for against the bound: its body, and its entry's size so that tiny ones are bounded too.
fn weight(request: &EncodedRequest) -> u64 {
    (request.body.len() + size_of::<Entry>()) as u64
}

impl MemorySpool {
    /// An empty spool of at most `max_bytes` (bodies and about a hundred bytes for each).
    pub fn new(max_bytes: u64, ledger: Arc<Ledger>) -> Self {
        let lanes = Lanes {
            logs: VecDeque::new(),
            traces: VecDeque::new(),
            weight: 0,
            max_weight: max_bytes,
            next_sequence: 0,
            closed: false,
            eviction_throttle: Throttle::default(),
        };
        Self { ledger, lanes: Mutex::new(lanes), logs_arrived: Notify::new(), traces_arrived: Notify::new() }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    fn lane(&mut self, signal: Signal) -> &mut VecDeque<Entry> {
        match signal {
            Signal::Logs => &mut self.logs,
            Signal::Traces => &mut self.traces,
        }
    }

    /// Adds a request; returns what has no room, which may be this one.
    fn take_in(&mut self, request: EncodedRequest) -> Vec<EncodedRequest> {
        if self.closed || weight(&request) > self.max_weight {
            return vec![request];
        }
        self.insert(request);
        std::iter::from_fn(|| self.next_over_bound()).collect()
    }

    fn eviction_line(&mut self, pushed_out: &[EncodedRequest]) -> Option<String> {
        let now = Instant::now();
        let held = pushed_out.iter().filter_map(|request| self.eviction_throttle.add(request.contents, now));
        held.last().map(|held| eviction_line(held, self.max_weight))
    }

    fn insert(&mut self, request: EncodedRequest) {
        let (signal, sequence) = (request.signal, self.next_sequence);
        self.next_sequence += 1;
        self.weight += weight(&request);
        self.lane(signal).push_back(Entry { sequence, request, in_flight: false });
    }

    fn remove(&mut self, lease: LeaseId) -> Option<EncodedRequest> {
        let lane = self.lane(lease.signal);
        let index = lane.iter().position(|entry| entry.sequence == lease.sequence)?;
        let request = lane.remove(index)?.request;
        self.weight -= weight(&request);
        Some(request)
    }

    /// The request that the bound pushes out next.
    fn most_dispensable(&self) -> Option<LeaseId> {
        let oldest_idle = |signal, lane: &VecDeque<Entry>| {
            let entry = lane.iter().find(|entry| !entry.in_flight)?;
            Some(LeaseId { signal, sequence: entry.sequence })
        };
        oldest_idle(Signal::Traces, &self.traces).or_else(|| oldest_idle(Signal::Logs, &self.logs))
    }

    fn next_over_bound(&mut self) -> Option<EncodedRequest> {
        if self.weight <= self.max_weight {
            return None;
        }
        let lease = self.most_dispensable()?;
        self.remove(lease)
    }
}

impl Spool for MemorySpool {
    fn push(&self, request: EncodedRequest) {
        let signal = request.signal;
        self.ledger.spooled(&request);
        let line = {
            let mut lanes = self.lanes();
            let pushed_out = lanes.take_in(request);
            for request in &pushed_out {
                self.ledger.settled(request, Outcome::evicted(request.contents));
            }
            lanes.eviction_line(&pushed_out)
        };
        if let Some(line) = line {
            tracing::warn!("{line}");
        }
        self.arrived(signal).notify_one();
    }

    fn oldest(&self, signal: Signal) -> Option<Lease> {
        let mut lanes = self.lanes();
        let entry = lanes.lane(signal).iter_mut().find(|entry| !entry.in_flight)?;
        entry.in_flight = true;
        Some(Lease { id: LeaseId { signal, sequence: entry.sequence }, request: entry.request.clone() })
    }

    fn settle(&self, lease: LeaseId, outcome: Outcome) {
        let mut lanes = self.lanes();
        if let Some(request) = lanes.remove(lease) {
            debug_assert_eq!(outcome.contents(), request.contents, "an outcome's parts add up");
            self.ledger.settled(&request, outcome);
        }
    }

    fn arrived(&self, signal: Signal) -> &Notify {
        match signal {
            Signal::Logs => &self.logs_arrived,
            Signal::Traces => &self.traces_arrived,
        }
    }

    fn close(&self) -> Evicted {
        let mut lanes = self.lanes();
        lanes.closed = true;
        lanes.weight = 0;
        let mut evicted = Evicted::default();
        for signal in Signal::ALL {
            for entry in std::mem::take(lanes.lane(signal)) {
                evicted.add(signal, entry.request.contents);
                self.ledger.settled(&entry.request, Outcome::evicted(entry.request.contents));
            }
        }
        evicted
    }
}

fn eviction_line(held: Held, max_bytes: u64) -> String {
    format!(
        "the spool is full ({max_bytes} bytes): {} requests with {} records of {} drops were given up; the receiver is \
         away or too slow, spool.max_bytes buys it time",
        held.requests,
        held.contents.records,
        held.contents.drops + held.contents.totals,
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "memory_tests.rs"]
mod tests;

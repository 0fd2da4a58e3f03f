//! The ledger: every drop that the kernel reported is in exactly one place of it.
//!
//! ```text
//! kernel:  seen     = filtered + own + suppressed + ring_lost + admitted
//! stages:  admitted = in_ring + in_pipeline + pending + decode_errors + spooled
//! spool:   spooled  = delivered + refused + evicted + waiting        in drops; the same in records
//! totals:  suppressed + ring_lost + decode_errors = untold + totals.{delivered + refused + evicted + waiting}
//! ```
//!
//! Drops are moved from one place to the next under one lock, so that a reader never sees one twice or not at all.

use crate::export::Contents;
use serde::Serialize;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the kernel side counted, summed over the CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KernelCounts {
    /// Events that are TCP by packet or by socket.
    pub seen: u64,
    /// Excluded by a filter.
    pub filtered: u64,
    /// The agent's own export traffic.
    pub own: u64,
    /// Counted without detail: over budget.
    pub suppressed: u64,
    /// Counted without detail: the ring was full.
    pub ring_lost: u64,
    /// Written to the ring.
    pub admitted: u64,
    /// Beside the sum: events that the kernel did not hand to the program.
    pub missed: u64,
}

/// Records and the drops that they stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// Log records.
    pub records: u64,
    /// Drops.
    pub drops: u64,
}

/// What waits in the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// Log records.
    pub records: u64,
    /// Drops.
    pub drops: u64,
    /// Encoded size, spans included.
    pub bytes: u64,
}

/// Drops told as totals only: where their `suppressed` records are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Waiting in the spool.
    pub waiting: u64,
    /// Acknowledged.
    pub delivered: u64,
    /// Refused by the receiver.
    pub refused: u64,
    /// Given up to keep a bound.
    pub evicted: u64,
}

/// What user space counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stages {
    received: u64,
    pending: u64,
    decode_errors: u64,
    spooled: Amount,
    waiting: Waiting,
    delivered: Amount,
    refused: Amount,
    evicted: Amount,
    totals: Totals,
    spans: Spans,
}

/// The same for spans, which are beside the ledger of drops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spans {
    /// Waiting in the spool.
    pub waiting: u64,
    /// Acknowledged.
    pub delivered: u64,
    /// Refused by the receiver.
    pub refused: u64,
    /// Given up to keep a bound.
    pub evicted: u64,
}

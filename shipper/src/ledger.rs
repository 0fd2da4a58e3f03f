//! The ledger: every drop that the kernel reported is in exactly one place of it.
//!
//! ```text
//! kernel:  seen     = filtered + own + suppressed + ring_lost + admitted
//! stages:  admitted = in_ring + in_pipeline + pending + decode_errors + spooled
//! spool:   spooled  = delivered + refused + evicted + waiting        in drops; the same in records
//! totals:  suppressed + ring_lost + decode_errors = untold + totals.{delivered + refused + evicted + waiting}
//! ```
//!
//! The last line stands beside the first three: `spooled` and what follows count the drops of `drop` records, `totals`
//! those of `suppressed` records, which tell a number and no more.
//!
//! Drops are moved from one place to the next under one lock, so that a reader never sees one twice or not at all.

use crate::export::{Contents, EncodedRequest, Outcome, Signal};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the kernel side counted, summed over the CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
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

/// What user space counted. Each drop that was received is in exactly one of `in_pipeline`, `pending`, `decode_errors`
/// and `spooled`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stages {
    received: u64,
    in_pipeline: u64,
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

/// The user-space side of the ledger. Shared by the stages.
#[derive(Debug, Default)]
pub struct Ledger {
    stages: Mutex<Stages>,
}

impl Ledger {
    fn stages(&self) -> MutexGuard<'_, Stages> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `drops` were taken from the ring.
    pub fn received(&self, drops: u64) {
        let mut stages = self.stages();
        stages.received += drops;
        stages.in_pipeline += drops;
    }

    /// `drops` of the pipeline could not be decoded.
    pub fn undecodable(&self, drops: u64) {
        let mut stages = self.stages();
        stages.in_pipeline -= drops;
        stages.decode_errors += drops;
    }

    /// `drops` of the pipeline were merged into groups, which will tell them later.
    pub fn merged(&self, drops: u64) {
        let mut stages = self.stages();
        stages.in_pipeline -= drops;
        stages.pending += drops;
    }

    /// `drops` left their groups in a summary.
    pub fn released(&self, drops: u64) {
        let mut stages = self.stages();
        stages.pending -= drops;
        stages.in_pipeline += drops;
    }

    /// `request` was taken in by the spool.
    pub fn spooled(&self, request: &EncodedRequest) {
        let mut stages = self.stages();
        let Contents { records, drops, totals } = request.contents;
        stages.waiting.bytes += request.body.len() as u64;
        match request.signal {
            Signal::Logs => {
                stages.in_pipeline -= drops;
                stages.spooled.records += records;
                stages.spooled.drops += drops;
                stages.waiting.records += records;
                stages.waiting.drops += drops;
                stages.totals.waiting += totals;
            }
            Signal::Traces => stages.spans.waiting += records,
        }
    }

    /// `request` left the spool: with `outcome`, whose parts add up to its contents.
    pub fn settled(&self, request: &EncodedRequest, outcome: Outcome) {
        let mut stages = self.stages();
        let Contents { records, drops, totals } = request.contents;
        stages.waiting.bytes -= request.body.len() as u64;
        match request.signal {
            Signal::Logs => {
                stages.waiting.records -= records;
                stages.waiting.drops -= drops;
                stages.totals.waiting -= totals;
                stages.delivered.add(outcome.delivered);
                stages.refused.add(outcome.refused);
                stages.evicted.add(outcome.evicted);
                stages.totals.delivered += outcome.delivered.totals;
                stages.totals.refused += outcome.refused.totals;
                stages.totals.evicted += outcome.evicted.totals;
            }
            Signal::Traces => {
                stages.spans.waiting -= records;
                stages.spans.delivered += outcome.delivered.records;
                stages.spans.refused += outcome.refused.records;
                stages.spans.evicted += outcome.evicted.records;
            }
        }
    }

    /// Drops whose records are not made, because log records are not exported: evicted without having waited.
    pub fn unexported(&self, contents: Contents) {
        let mut stages = self.stages();
        let Contents { records, drops, totals } = contents;
        stages.in_pipeline -= drops;
        stages.spooled.records += records;
        stages.spooled.drops += drops;
        stages.evicted.add(contents);
        stages.totals.evicted += totals;
    }

    /// Events that could not be decoded, ever.
    pub fn decode_errors(&self) -> u64 {
        self.stages().decode_errors
    }

    /// The whole ledger at this moment; `slack` as in [`Snapshot::is_balanced`]. The kernel's side is read last, since
    /// what is received was admitted before.
    pub fn snapshot(&self, read_kernel: impl FnOnce() -> KernelCounts, slack: u64) -> Snapshot {
        let stages = *self.stages();
        let kernel = read_kernel();
        let totals = stages.totals;
        let told = totals.waiting + totals.delivered + totals.refused + totals.evicted;
        let mut snapshot = Snapshot {
            kernel,
            in_ring: kernel.admitted.saturating_sub(stages.received),
            in_pipeline: stages.in_pipeline,
            pending: stages.pending,
            decode_errors: stages.decode_errors,
            spooled: stages.spooled,
            waiting: stages.waiting,
            delivered: stages.delivered,
            refused: stages.refused,
            evicted: stages.evicted,
            untold: (kernel.suppressed + kernel.ring_lost + stages.decode_errors).saturating_sub(told),
            totals,
            spans: stages.spans,
            balanced: false,
        };
        snapshot.balanced = snapshot.is_balanced(slack);
        snapshot
    }
}

impl Amount {
    fn add(&mut self, contents: Contents) {
        self.records += contents.records;
        self.drops += contents.drops;
    }
}

/// The ledger at one moment, as `/status` shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// The kernel's side.
    #[serde(flatten)]
    pub kernel: KernelCounts,
    /// Admitted and not yet read.
    pub in_ring: u64,
    /// Between two stages.
    pub in_pipeline: u64,
    /// Merged, waiting for the end of a window.
    pub pending: u64,
    /// Read but not understood; told as totals.
    pub decode_errors: u64,
    /// Taken in by the spool, ever.
    pub spooled: Amount,
    /// In the spool now.
    pub waiting: Waiting,
    /// Acknowledged by the receiver.
    pub delivered: Amount,
    /// Refused by the receiver.
    pub refused: Amount,
    /// Given up to keep a bound.
    pub evicted: Amount,
    /// Counted without detail and not told yet.
    pub untold: u64,
    /// Told as totals only.
    pub totals: Totals,
    /// Spans.
    pub spans: Spans,
    /// Whether the equations hold.
    pub balanced: bool,
}

impl Snapshot {
    /// Whether the equations hold within `slack` drops. A live read may differ by two per CPU, since the kernel counts
    /// on while it is read; at rest (detached, drained) it is exact.
    pub fn is_balanced(&self, slack: u64) -> bool {
        let Self { kernel, spooled, waiting, delivered, refused, evicted, totals, .. } = self;
        let close = |left: u64, right: u64| left.abs_diff(right) <= slack;
        close(
            kernel.seen,
            kernel.filtered + kernel.own + kernel.suppressed + kernel.ring_lost + kernel.admitted,
        ) && close(
            kernel.admitted,
            self.in_ring + self.in_pipeline + self.pending + self.decode_errors + spooled.drops,
        ) && spooled.drops == delivered.drops + refused.drops + evicted.drops + waiting.drops
            && spooled.records == delivered.records + refused.records + evicted.records + waiting.records
            && close(
                kernel.suppressed + kernel.ring_lost + self.decode_errors,
                self.untold + totals.waiting + totals.delivered + totals.refused + totals.evicted,
            )
    }
}

#[cfg(test)]
mod properties;

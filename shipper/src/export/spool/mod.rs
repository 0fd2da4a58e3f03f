//! The spool keeps encoded requests until they are settled: in memory ([`memory`]) or, later, on disk.
//!
//! What every spool keeps to:
//! - A request leaves by [`Spool::settle`], by eviction, or by [`Spool::close`], and by nothing else: what is sent stays
//!   until it is acknowledged.
//! - The spool itself tells the [`Ledger`](crate::ledger::Ledger) of each movement, so that no caller can forget one.
//! - It is bounded in bytes over all lanes. What the bound pushes out is the oldest request that is not in flight, of
//!   spans before log records: the log record is the primary form of a drop and carries its count, a span repeats it.

pub mod memory;

use super::{Contents, EncodedRequest, Outcome, Signal};
use tokio::sync::Notify;

/// Names a request in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LeaseId {
    /// The lane.
    pub signal: Signal,
    /// Grows with each request.
    pub sequence: u64,
}

/// A request that is being sent, and stays in the spool meanwhile.
#[derive(Clone, Debug)]
pub struct Lease {
    /// To settle it by.
    pub id: LeaseId,
    /// A copy of the request that shares its body.
    pub request: EncodedRequest,
}

/// What was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evicted {
    /// Log records and their drops.
    pub logs: Contents,
    /// Spans.
    pub traces: Contents,
}

impl Evicted {
    pub(crate) fn add(&mut self, signal: Signal, contents: Contents) {
        match signal {
            Signal::Logs => self.logs += contents,
            Signal::Traces => self.traces += contents,
        }
    }
}

/// A queue of encoded requests with a lane for each signal.
pub trait Spool: Send + Sync {
    /// Takes a request in. What does not fit is evicted and counted; that may be this one.
    fn push(&self, request: EncodedRequest);

    /// Lends the oldest request of a lane that is not in flight.
    fn oldest(&self, signal: Signal) -> Option<Lease>;

    /// Ends a lease, and with it the request's stay. `outcome`'s parts add up to its contents. Nothing happens if the
    /// request has left already: a lease may outlive [`close`](Self::close).
    fn settle(&self, lease: LeaseId, outcome: Outcome);

    /// Notified after each [`push`](Self::push) to the lane. It has one waiter: the lane's sender.
    fn arrived(&self, signal: Signal) -> &Notify;

    /// The process ends: evicts and counts what it cannot keep, leased requests included, and what is pushed later.
    /// A durable spool keeps all and returns nothing.
    fn close(&self) -> Evicted;
}

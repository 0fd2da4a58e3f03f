//! The end of the pipeline: `spool` keeps encoded requests until they are settled, `send` settles them.
//!
//! ```text
//! push ─► spool ─► send ─► transport ─► client ─► connector ─► the Collector
//!           ▲        │      body, http, grpc: what goes out
//!           │        │      answer, grpc_answer: what a response means
//!           └ settle ┘      backoff, progress: when to try again, what to say
//! ```

pub mod answer;
pub mod backoff;
mod body;
mod client;
pub mod connector;
pub mod destination;
mod grpc;
pub mod grpc_answer;
mod http;
pub mod own_stream;
mod progress;
pub mod route;
pub mod send;
pub mod service;
pub mod sink;
pub mod spool;
mod throttle;
pub mod transport;

pub use progress::ExportState;

use bytes::Bytes;
use service::Service;
use std::fmt;
use std::ops::AddAssign;

/// The kinds of data that are exported; each has its own lane, so that trouble with one does not hold up the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Log records.
    Logs,
    /// Spans.
    Traces,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Logs, Self::Traces];

    /// The name that OTLP gives the signal, in paths and variables.
    pub fn name(self) -> &'static str {
        Service::from(self).name()
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What an encoded request holds, for the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Log records (or spans).
    pub records: u64,
    /// Drops that its `drop` records stand for: the sum of their `tcpdrop.count`. Zero for spans.
    pub drops: u64,
    /// Drops that its `suppressed` records stand for. Zero for spans.
    pub totals: u64,
}

impl AddAssign for Contents {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.drops += other.drops;
        self.totals += other.totals;
    }
}

/// An OTLP export request, encoded and waiting.
#[derive(Clone, Debug)]
pub struct EncodedRequest {
    /// Which service it is for.
    pub signal: Signal,
    /// Protobuf `ExportLogsServiceRequest` or `ExportTraceServiceRequest`, not compressed.
    pub body: Bytes,
    /// What it holds.
    pub contents: Contents,
}

/// How a request left the spool. The parts add up to its contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Acknowledged.
    pub delivered: Contents,
    /// Refused by the receiver.
    pub refused: Contents,
    /// Given up to keep a bound, or at the end of the process.
    pub evicted: Contents,
}

impl Outcome {
    /// All of it was acknowledged.
    pub fn delivered(contents: Contents) -> Self {
        Self { delivered: contents, ..Self::default() }
    }

    /// All of it was refused.
    pub fn refused(contents: Contents) -> Self {
        Self { refused: contents, ..Self::default() }
    }

    /// All of it was given up.
    pub fn evicted(contents: Contents) -> Self {
        Self { evicted: contents, ..Self::default() }
    }

    /// The sum of the parts.
    pub fn contents(&self) -> Contents {
        let mut sum = self.delivered;
        sum += self.refused;
        sum += self.evicted;
        sum
    }
}

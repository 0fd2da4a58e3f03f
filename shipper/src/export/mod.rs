//! The end of the pipeline: `spool` keeps encoded requests until they are settled, `send` settles them.

use bytes::Bytes;

/// The kinds of data that are exported; each has its own lane, so that trouble with one does not hold up the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Log records.
    Logs,
    /// Spans.
    Traces,
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

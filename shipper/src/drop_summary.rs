//! [`DropSummary`]: what dedup makes of drops that belong together.

use crate::packet_drop::{BootTime, PacketDrop};
use opentelemetry::trace::{SpanId, TraceId};
use std::sync::Arc;

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Dropped packets (skbs).
    pub count: u64,
    /// Sum of their known sizes.
    pub bytes: u64,
}

impl Tally {
    /// Adds another tally.
    pub fn add(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
    }
}

/// A span of time on the boot clock: from the first to the last drop of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// First drop.
    pub first: BootTime,
    /// Last drop.
    pub last: BootTime,
}

/// Ids that a stack group's span will have, given when the group opens so that its first record can name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanIds {
    /// Trace of the group's own span.
    pub trace: TraceId,
    /// The group's own span.
    pub span: SpanId,
}

/// Drops of one flow in one stack group. It becomes a log record.
#[derive(Clone, Debug)]
pub struct DropSummary {
    /// The first of the drops, which describes them all.
    pub sample: Arc<PacketDrop>,
    /// The drops that this summary stands for and no earlier one did.
    pub tally: Tally,
    /// When they happened.
    pub interval: Interval,
    /// Whether it stands for flows beyond the flow table, of which `sample` is one.
    pub other_flows: bool,
    /// Ids of the group's span.
    pub ids: SpanIds,
}

/// What one flow of a stack group had in a window. It becomes a span event.
#[derive(Clone, Debug)]
pub struct FlowWindow {
    /// The first of the drops in the window.
    pub sample: Arc<PacketDrop>,
    /// All drops of the flow in the window, those told by an immediate record included.
    pub tally: Tally,
    /// When they happened.
    pub interval: Interval,
    /// Whether it stands for flows beyond the flow table.
    pub other_flows: bool,
}

/// A stack group whose window ended. It becomes a span with an event per flow.
#[derive(Clone, Debug)]
pub struct GroupWindow {
    /// Ids of the span.
    pub ids: SpanIds,
    /// The flows that had drops in the window, oldest first; never empty.
    pub flows: Vec<FlowWindow>,
    /// From the first to the last drop of the window.
    pub interval: Interval,
}

//! [`DropReport`] and [`GroupReport`]: summaries with all that the host knows about them. Pure data, input of `otlp`.

use crate::drop_summary::{DropSummary, FlowWindow};
use crate::packet_drop::{NetworkNamespace, PacketDrop};
use crate::reasons::Classified;
use crate::silent::totals::SilentCount;
use crate::silent::{SilentCounter, SilentSource};
use opentelemetry::trace::{SpanId, TraceId};
use std::sync::Arc;

/// Nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixNanos(pub u64);

/// What enrichment found for a packet.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Name of the drop reason, without `SKB_DROP_REASON_`; `None` on kernels without reasons, or for a number that
    /// the kernel's BTF does not name.
    pub reason: Option<Arc<str>>,
    /// What kind of cause it has, where reason or drop site tell.
    pub class: Option<Classified>,
    /// The stack with names, drop site first, tracing frames removed.
    pub stack: Arc<NamedStack>,
}

/// A kernel stack with symbol names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedStack {
    /// Drop site first.
    pub frames: Vec<Frame>,
    /// Hash over the names from the drop site to the first interrupt or softirq entry, the same on every host and boot
    /// of a kernel build. `None` where a name is missing.
    pub hash: Option<u64>,
    /// Whether the stack was deeper than recorded.
    pub truncated: bool,
}

impl NamedStack {
    /// The function that dropped the packet.
    pub fn site(&self) -> Option<&str> {
        self.frames.first()?.symbol.as_deref()
    }
}

/// A frame of a kernel stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Bare symbol; `None` where the kernel does not tell.
    pub symbol: Option<Arc<str>>,
    /// Offset of the return address in the symbol, in bytes.
    pub offset: u64,
}

/// Trace context that a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Trace id.
    pub trace: TraceId,
    /// Span id.
    pub span: SpanId,
    /// W3C trace flags, as far as they are known.
    pub flags: Option<u8>,
}

/// A summary, ready to become a log record.
#[derive(Clone, Debug)]
pub struct DropReport {
    /// The drops.
    pub summary: DropSummary,
    /// What is known about them.
    pub facts: Facts,
    /// Wall-clock time of the first drop.
    pub time: UnixNanos,
    /// Wall-clock time of the last drop.
    pub last_time: UnixNanos,
    /// When the agent took it from the ring.
    pub observed: UnixNanos,
    /// Trace context: the group's own span, unless a trace source knew better.
    pub trace: TraceContext,
}

impl DropReport {
    /// The packet that describes the drops.
    pub fn packet(&self) -> &PacketDrop {
        &self.summary.sample
    }
}

/// A flow of a [`GroupReport`], ready to become a span event.
#[derive(Clone, Debug)]
pub struct FlowReport {
    /// The drops.
    pub window: FlowWindow,
    /// What is known about them.
    pub facts: Facts,
    /// Wall-clock time of the first drop.
    pub time: UnixNanos,
    /// Wall-clock time of the last drop.
    pub last_time: UnixNanos,
}

/// A stack group's window, ready to become a span.
#[derive(Clone, Debug)]
pub struct GroupReport {
    /// Trace context of the span itself.
    pub trace: TraceContext,
    /// Its flows, oldest first; never empty.
    pub flows: Vec<FlowReport>,
    /// Wall-clock time of the first drop.
    pub time: UnixNanos,
    /// Wall-clock time of the last drop.
    pub last_time: UnixNanos,
}

/// Drops that the tracepoint does not tell, see [`crate::silent`].
#[derive(Clone, Debug)]
pub enum SilentReport {
    /// Refused SYNs of one flow, which were seen.
    Seen(DropReport),
    /// A number.
    Counted {
        /// How many, and where.
        count: SilentCount,
        /// Start of the window.
        time: UnixNanos,
        /// End of the window.
        observed: UnixNanos,
    },
}

impl SilentReport {
    /// The counter that moved.
    pub fn counter(&self) -> Option<SilentCounter> {
        match self {
            Self::Seen(report) => report.packet().silent,
            Self::Counted { count, .. } => Some(count.counter),
        }
    }

    /// Drops.
    pub fn count(&self) -> u64 {
        match self {
            Self::Seen(report) => report.summary.tally.count,
            Self::Counted { count, .. } => count.count,
        }
    }

    /// How they were seen.
    pub fn source(&self) -> SilentSource {
        match self {
            Self::Seen(_) => SilentSource::Fexit,
            Self::Counted { count, .. } => count.source,
        }
    }

    /// The namespace whose listener refused them.
    pub fn network_namespace(&self) -> Option<NetworkNamespace> {
        match self {
            Self::Seen(report) => report.packet().network_namespace,
            Self::Counted { count, .. } => count.namespace,
        }
    }

    /// When the first was refused; of a number, when its window began.
    pub fn time(&self) -> UnixNanos {
        match self {
            Self::Seen(report) => report.time,
            Self::Counted { time, .. } => *time,
        }
    }
}

/// Why drops are told as a total only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SuppressionCause {
    /// The kernel-side budget.
    Budget,
    /// The ring had no room.
    RingFull,
    /// The event could not be decoded.
    DecodeError,
}

impl SuppressionCause {
    /// The name that records carry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::RingFull => "ring_full",
            Self::DecodeError => "decode_error",
        }
    }
}

/// Drops of one site and reason that were counted without detail, over one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuppressedReport {
    /// Name of the drop reason.
    pub reason: Option<Arc<str>>,
    /// What kind of cause it has, where reason or drop site tell.
    pub class: Option<Classified>,
    /// Number of the drop reason.
    pub reason_code: Option<u32>,
    /// The function that dropped; `None` for the table's overflow entry.
    pub site: Option<Arc<str>>,
    /// Drops.
    pub count: u64,
    /// Why they have no record of their own.
    pub cause: SuppressionCause,
    /// Start of the window.
    pub time: UnixNanos,
    /// End of the window.
    pub observed: UnixNanos,
}

//! [`SilentIntake`]: the way of a refused SYN from its ring to reporting.

use super::books::Books;
use super::traced::Traced;
use crate::config::model;
use crate::dedup::{Dedup, GroupKey, Released};
use crate::drop_summary::{DropSummary, SpanIds};
use crate::filter::Facts;
use crate::packet_drop::{BootTime, Sighted, Sighting};
use crate::probe::Filters;
use crate::wire;
use opentelemetry::trace::{SpanId, TraceId};
use std::sync::Arc;

/// silent ring ─► decode ─► filter ─► dedup. Beside [`crate::pipeline::Intake`], since silent drops are in no sum of drops.
pub struct SilentIntake {
    /// Where they are counted.
    pub books: Arc<Books>,
    /// Which are wanted; all, without. The tracepoint's program filters in the kernel, these do not.
    pub filters: Option<Filters>,
    /// Counts what the tracepoint tells, where the namespaces' counters are read.
    pub traced: Option<Arc<Traced>>,
    dedup: Dedup,
}

impl SilentIntake {
    /// Refused SYNs of one counter and namespace are a group. It has no span, and so no ids.
    pub fn new(settings: &model::Dedup) -> Self {
        let no_ids = || SpanIds { trace: TraceId::INVALID, span: SpanId::INVALID };
        let dedup = Dedup::new(settings.clone(), no_ids);
        Self { books: Arc::default(), filters: None, traced: None, dedup }
    }

    /// Sees a drop of the tracepoint.
    pub fn saw_drop(&self, drop: &Sighting) {
        if let Some(traced) = &self.traced {
            traced.observe(drop);
        }
    }

    /// Takes in one event. Returns what has to leave at once, if `allow` agrees.
    pub fn take(&mut self, event: &[u8], now: BootTime, allow: impl FnOnce() -> bool) -> Option<DropSummary> {
        let drop = wire::decode(event)
            .inspect_err(|error| tracing::warn!(%error, "a refused SYN could not be decoded"))
            .ok()?;
        let counter = drop.silent?;
        if self.filters.as_ref().is_some_and(|filters| !filters.wants(&Facts::from(&drop))) {
            self.books.filtered(1);
            return None;
        }
        let key = GroupKey::new(&drop.sighting(), counter.index() as u64);
        self.dedup.observe(key, drop, now, allow)
    }

    /// What has to leave by `now`.
    pub fn release(&mut self, now: BootTime) -> Vec<DropSummary> {
        self.dedup.release(now).summaries
    }

    /// Everything: the end.
    pub fn release_all(&mut self) -> Vec<DropSummary> {
        self.dedup.release_all().summaries
    }

    /// What had to make room for others.
    pub fn take_evicted(&mut self) -> Vec<DropSummary> {
        let Released { summaries, .. } = self.dedup.take_evicted();
        summaries
    }

    /// Takes over new settings.
    pub fn reconfigure(&mut self, settings: &model::Dedup) {
        self.dedup.reconfigure(settings);
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.dedup.is_empty()
    }
}

//! The map: the way of a drop from the kernel's ring to the receiver.
//!
//! ```text
//! ring ─► decode ─► dedup ─► rate limit ─┬► enrich ─► correlate ─► convert ─► spool ─► send
//!          [Intake]: cheap, per event    │  [Reporting]: costly, per record
//! ```
//!
//! silent ring ─► decode ─► filter ─► dedup ─► rate limit ─► ..., for SYNs that the tracepoint does not tell: [`SilentIntake`].
//!
//! The stages know nothing of each other: this file hands on what one gives and the next takes. [`Intake`] runs beside
//! the ring and never waits for anything but room behind it; what finds none is merged and told later.

use crate::config::Config;
use crate::dedup::{Dedup, GroupKey, Released};
use crate::drop_report::{DropReport, GroupReport, SilentReport, SuppressedReport, UnixNanos};
use crate::drop_summary::{DropSummary, SpanIds};
use crate::enrich::Enricher;
use crate::enrich::clock::WallClock;
use crate::ledger::Ledger;
use crate::otlp::severity::Policy;
use crate::packet_drop::{BootTime, Sighted};
use crate::probe::SiteCount;
use crate::rate_limit::StackLimiter;
use crate::reload::Live;
use crate::silent::books::Books;
use crate::silent::intake::SilentIntake;
use crate::silent::totals::SilentCount;
use crate::stack::{self, Boundaries};
use crate::totals::Totals;
use crate::wire;
use rand::Rng;
use rand::rngs::StdRng;
use std::sync::Arc;

/// What refused SYNs have in the place of a stack's hash.
const SILENT: u64 = 0;

/// ring ─► decode ─► dedup ─► rate limit
pub struct Intake {
    /// Where each drop is.
    pub ledger: Arc<Ledger>,
    /// Where stacks are cut for grouping.
    pub boundaries: Arc<Boundaries>,
    /// Groups of drops.
    pub dedup: Dedup,
    /// Limits on what leaves at once.
    pub limiter: StackLimiter,
    /// Refused SYNs.
    pub silent: SilentIntake,
}

impl Intake {
    /// With the limits of `config`. Span and trace ids come from `random`.
    pub fn new(
        config: &Config,
        ledger: Arc<Ledger>,
        boundaries: Arc<Boundaries>,
        mut random: StdRng,
    ) -> Self {
        let new_ids =
            move || SpanIds { trace: random.random::<u128>().into(), span: random.random::<u64>().into() };
        Self {
            ledger,
            boundaries,
            dedup: Dedup::new(config.dedup.clone(), new_ids),
            limiter: StackLimiter::new(&config.limit),
            silent: SilentIntake::new(&config.dedup),
        }
    }

    /// Takes in one event of the ring. Returns what has to leave at once, which is nothing where there is no `room`.
    pub fn take(&mut self, event: &[u8], now: BootTime, room: bool) -> Option<DropSummary> {
        self.ledger.received(1);
        let event = match wire::Event::read(event) {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(%error, "an event of the probe could not be decoded; it is counted");
                self.ledger.undecodable(1);
                return None;
            }
        };
        let drop = (&event).sighting();
        self.silent.saw_drop(&drop);
        let stack = stack::group_hash(self.boundaries.cause(event.stack(), drop.site), drop.site);
        let key = GroupKey::new(&drop, stack);
        let allows = || room && self.limiter.allows(key.hash(), now);
        let summary = self.dedup.observe(key, &event, now, allows);
        if summary.is_none() {
            self.ledger.merged(1);
        }
        summary
    }

    /// Takes in one event of the silent ring. Returns what has to leave at once, which is nothing where there is no
    /// `room`.
    pub fn take_silent(&mut self, event: &[u8], now: BootTime, room: bool) -> Option<DropSummary> {
        let Self { silent, limiter, .. } = self;
        silent.take(event, now, || room && limiter.allows(SILENT, now))
    }

    /// Takes over new settings. What was pending is [evicted](Self::take_evicted), not lost.
    pub fn reconfigure(&mut self, live: &Live) {
        self.limiter.reconfigure(&live.limit);
        self.dedup.reconfigure(&live.dedup);
        self.silent.reconfigure(&live.dedup);
    }

    /// What has to leave by `now`.
    pub fn release(&mut self, now: BootTime) -> Released {
        let released = Released { silent: self.silent.release(now), ..self.dedup.release(now) };
        self.ledger.released(released.drops());
        released
    }

    /// What had to make room for others.
    pub fn take_evicted(&mut self) -> Released {
        let released = Released { silent: self.silent.take_evicted(), ..self.dedup.take_evicted() };
        self.ledger.released(released.drops());
        released
    }

    /// Everything: the end.
    pub fn release_all(&mut self) -> Released {
        let released = Released { silent: self.silent.release_all(), ..self.dedup.release_all() };
        self.ledger.released(released.drops());
        released
    }

    /// Whether nothing is pending.
    pub fn is_empty(&self) -> bool {
        self.dedup.is_empty() && self.silent.is_empty()
    }
}

/// Takes reports, and makes of them what is shipped or shown.
pub trait Sink {
    /// Drops of one flow.
    fn drops(&mut self, report: DropReport);
    /// A stack group's window.
    fn group(&mut self, report: GroupReport);
    /// Drops without detail.
    fn suppressed(&mut self, report: SuppressedReport);
    /// Drops that the tracepoint does not tell.
    fn silent(&mut self, report: SilentReport);
    /// No more will come for now.
    fn flush(&mut self);
    /// Severities from now on. Sinks that show none, or never change, ignore it.
    fn set_policy(&mut self, _policy: Policy) {}
}

/// enrich ─► correlate ─► convert ─► spool
pub struct Reporting<S> {
    /// What the host knows.
    pub enricher: Enricher,
    /// Totals that were told.
    pub totals: Totals,
    /// When totals were last told.
    pub totals_since: UnixNanos,
    /// Where silent drops are counted.
    pub silent: Arc<Books>,
    /// What becomes of the reports.
    pub sink: S,
}

impl<S: Sink> Reporting<S> {
    /// With nothing told yet at `now`.
    pub fn new(enricher: Enricher, sink: S, now: UnixNanos) -> Self {
        Self { enricher, totals: Totals::default(), totals_since: now, silent: Arc::default(), sink }
    }

    /// Reports what left dedup.
    pub fn report(&mut self, released: Released, clock: WallClock) {
        for summary in released.summaries {
            self.sink.drops(self.enricher.report(summary, clock));
        }
        for window in released.windows {
            self.sink.group(self.enricher.group_report(window, clock));
        }
        for summary in released.silent {
            self.tell_silent(SilentReport::Seen(self.enricher.silent_report(summary, clock)));
        }
    }

    /// Reports silent drops that are known as numbers only.
    pub fn report_silent(&mut self, counts: Vec<SilentCount>, clock: WallClock) {
        for count in counts {
            self.tell_silent(SilentReport::Counted { count, time: self.totals_since, observed: clock.now() });
        }
    }

    fn tell_silent(&mut self, report: SilentReport) {
        if let Some(counter) = report.counter() {
            self.silent.told(counter, report.count());
        }
        self.sink.silent(report);
    }

    /// Reports the drops that have no detail and were not reported yet.
    pub fn report_totals(&mut self, sites: &[SiteCount], decode_errors: u64, clock: WallClock) {
        self.enricher.site_names.learn(sites, self.enricher.symbols.as_ref());
        for count in self.totals.take_untold(sites, decode_errors) {
            self.sink.suppressed(self.enricher.suppressed_report(count, self.totals_since, clock));
        }
        self.totals_since = clock.now();
    }
}

//! The ledger, the spool and the export as metrics: the same numbers as on `/status`.

use super::Observed;
use crate::export::ExportState;
use crate::ledger::Snapshot;
use crate::otlp::semconv;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use std::sync::Arc;

const TERM: &str = "tcpdrop.ledger.term";
/// `logs` or `traces`.
pub(crate) const SIGNAL: &str = "tcpdrop.export.signal";
/// `accepted`, `retry` or `refused`.
pub(crate) const OUTCOME: &str = "tcpdrop.export.outcome";

/// Values under the names that `/status` has for them.
type Terms<const N: usize> = [(&'static str, u64); N];

/// Drops that ever came to a place.
fn drops_ever(ledger: &Snapshot) -> Terms<15> {
    let (kernel, totals) = (&ledger.kernel, &ledger.totals);
    [
        ("seen", kernel.seen),
        ("filtered", kernel.filtered),
        ("own", kernel.own),
        ("suppressed", kernel.suppressed),
        ("ring_lost", kernel.ring_lost),
        ("admitted", kernel.admitted),
        ("missed", kernel.missed),
        ("decode_errors", ledger.decode_errors),
        ("spooled", ledger.spooled.drops),
        ("delivered", ledger.delivered.drops),
        ("refused", ledger.refused.drops),
        ("evicted", ledger.evicted.drops),
        ("totals.delivered", totals.delivered),
        ("totals.refused", totals.refused),
        ("totals.evicted", totals.evicted),
    ]
}

/// Drops that are in a place now.
fn drops_now(ledger: &Snapshot) -> Terms<6> {
    [
        ("in_ring", ledger.in_ring),
        ("in_pipeline", ledger.in_pipeline),
        ("pending", ledger.pending),
        ("waiting", ledger.waiting.drops),
        ("untold", ledger.untold),
        ("totals.waiting", ledger.totals.waiting),
    ]
}

fn records_ever(ledger: &Snapshot) -> Terms<4> {
    [
        ("spooled", ledger.spooled.records),
        ("delivered", ledger.delivered.records),
        ("refused", ledger.refused.records),
        ("evicted", ledger.evicted.records),
    ]
}

fn spans_ever(ledger: &Snapshot) -> Terms<3> {
    [
        ("delivered", ledger.spans.delivered),
        ("refused", ledger.spans.refused),
        ("evicted", ledger.spans.evicted),
    ]
}

/// Drops without detail, by cause.
fn suppressed(ledger: &Snapshot) -> Terms<3> {
    [
        ("budget", ledger.kernel.suppressed),
        ("ring_full", ledger.kernel.ring_lost),
        ("decode_error", ledger.decode_errors),
    ]
}

/// Attempts by what came of them.
fn attempts(state: &ExportState) -> Terms<3> {
    let accepted = state.attempts.saturating_sub(state.retries + state.refusals);
    [("accepted", accepted), ("retry", state.retries), ("refused", state.refusals)]
}

/// Registers the instruments.
pub(super) fn register(meter: &Meter, observed: &Arc<Observed>) {
    let ever = Family { meter, observed };
    ever.counter(
        "tcpdrop.ledger.drops",
        "{packet}",
        "Drops that came to a place of the ledger.",
        TERM,
        drops_ever,
    );
    ever.counter("tcpdrop.ledger.records", "{record}", "Log records, by place.", TERM, records_ever);
    ever.counter("tcpdrop.ledger.spans", "{span}", "Spans, by place.", TERM, spans_ever);
    ever.counter(
        "tcpdrop.event.suppressed",
        "{event}",
        "Drops told without detail, by cause.",
        semconv::SUPPRESSED_CAUSE,
        suppressed,
    );
    ever.level("tcpdrop.ledger.current", "{packet}", "Drops in a place of the ledger now.", TERM, drops_now);
    ever.level("tcpdrop.spool.size", "By", "Encoded requests that wait, not compressed.", "", |ledger| {
        [("", ledger.waiting.bytes)]
    });
    ever.level("tcpdrop.spool.records", "{record}", "Log records that wait.", "", |ledger| {
        [("", ledger.waiting.records)]
    });
    ever.level("tcpdrop.ledger.balanced", "", "1 if every drop is accounted for.", "", |ledger| {
        [("", u64::from(ledger.balanced))]
    });
    ever.attempts();
}

struct Family<'a> {
    meter: &'a Meter,
    observed: &'a Arc<Observed>,
}

/// No attribute for an empty key.
fn attributes(key: &'static str, value: &'static str) -> Option<KeyValue> {
    (!key.is_empty()).then(|| KeyValue::new(key, value))
}

impl Family<'_> {
    fn counter<const N: usize>(
        &self,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        key: &'static str,
        terms: fn(&Snapshot) -> Terms<N>,
    ) {
        let observed = self.observed.clone();
        let instrument =
            self.meter.u64_observable_counter(name).with_unit(unit).with_description(description);
        let instrument = instrument.with_callback(move |observer| {
            for (term, value) in observed.ledger().iter().flat_map(terms) {
                observer.observe(value, attributes(key, term).as_slice());
            }
        });
        instrument.build();
    }

    fn level<const N: usize>(
        &self,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        key: &'static str,
        terms: fn(&Snapshot) -> Terms<N>,
    ) {
        let observed = self.observed.clone();
        let instrument =
            self.meter.i64_observable_up_down_counter(name).with_unit(unit).with_description(description);
        let instrument = instrument.with_callback(move |observer| {
            for (term, value) in observed.ledger().iter().flat_map(terms) {
                observer.observe(i64::try_from(value).unwrap_or(i64::MAX), attributes(key, term).as_slice());
            }
        });
        instrument.build();
    }

    fn attempts(&self) {
        let observed = self.observed.clone();
        let instrument = self.meter.u64_observable_counter("tcpdrop.export.attempts").with_unit("{request}");
        let instrument = instrument.with_description("Attempts to send a request, by what came of them.");
        let instrument = instrument.with_callback(move |observer| {
            let export = observed.export.snapshot();
            for (signal, state) in [("logs", &export.logs), ("traces", &export.traces)] {
                for (outcome, value) in attempts(state) {
                    observer
                        .observe(value, &[KeyValue::new(SIGNAL, signal), KeyValue::new(OUTCOME, outcome)]);
                }
            }
        });
        instrument.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::KernelCounts;

    #[test]
    fn each_attempt_has_one_outcome() {
        let state = ExportState { attempts: 10, retries: 3, refusals: 2, ..ExportState::default() };
        assert_eq!(attempts(&state), [("accepted", 5), ("retry", 3), ("refused", 2)]);
    }

    #[test]
    fn the_terms_of_the_kernels_equation_add_up() {
        let kernel = KernelCounts {
            seen: 15,
            filtered: 1,
            own: 2,
            suppressed: 3,
            ring_lost: 4,
            admitted: 5,
            missed: 0,
        };
        let ledger = Snapshot { kernel, ..Snapshot::default() };
        let terms = drops_ever(&ledger);
        let sum: u64 = terms.iter().filter(|(name, _)| *name != "seen").map(|(_, value)| value).sum();
        assert_eq!((terms[0], sum), (("seen", 15), 15));
        assert_eq!(suppressed(&ledger), [("budget", 3), ("ring_full", 4), ("decode_error", 0)]);
    }
}

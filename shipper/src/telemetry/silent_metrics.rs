//! Drops that the tracepoint does not tell, as a metric: beside those of the ledger.

use super::Observed;
use crate::otlp::semconv;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use std::sync::Arc;

/// Registers the instrument.
pub(super) fn register(meter: &Meter, observed: &Arc<Observed>) {
    let books = observed.silent.clone();
    meter
        .u64_observable_counter("tcpdrop.silent.dropped")
        .with_unit("{packet}")
        .with_description(
            "SYNs refused for a full queue, which the kernel does not report as drops, by its counter.",
        )
        .with_callback(move |observer| {
            let books = books.snapshot();
            for (counter, told) in books.told {
                let source = KeyValue::new(semconv::SILENT_SOURCE, books.source.name());
                observer.observe(told, &[KeyValue::new(semconv::COUNTER, counter), source]);
            }
        })
        .build();
}

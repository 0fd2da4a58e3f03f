//! The agent's own metrics: sent by OTLP, and shown on `/metrics`.

use super::own_exporter::OwnExporter;
use super::{Observed, drop_metrics, ledger_metrics, process, silent_metrics};
use crate::otlp::semconv;
use opentelemetry::{InstrumentationScope, KeyValue, global};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1 as proto;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::{Registry, TextEncoder};
use std::sync::Arc;
use std::time::Duration;

/// Why there are no own metrics.
#[derive(Debug, thiserror::Error)]
#[error("own metrics cannot be collected: {0}")]
pub struct MetricsError(#[from] OTelSdkError);

/// Own metrics at work.
pub struct OwnMetrics {
    provider: SdkMeterProvider,
    registry: Registry,
}

impl OwnMetrics {
    /// Starts to collect for `/metrics` and, each interval, to send by an exporter. The instruments of other parts come
    /// from the process's global meter provider, which this becomes.
    ///
    /// # Errors
    /// When the libraries refuse their settings.
    pub fn start(resource: Resource, otlp: Option<(OwnExporter, Duration)>) -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let shown = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()?;
        let builder = SdkMeterProvider::builder().with_resource(resource).with_reader(shown);
        let provider = match otlp {
            Some((exporter, interval)) => {
                let reader = PeriodicReader::builder(exporter).with_interval(interval).build();
                builder.with_reader(reader).build()
            }
            None => builder.build(),
        };
        global::set_meter_provider(provider.clone());
        Ok(Self { provider, registry })
    }

    /// Adds what is read from the running agent.
    pub fn observe(&self, observed: &Arc<Observed>) {
        let meter = global::meter_with_scope(scope());
        drop_metrics::register(&meter, observed);
        ledger_metrics::register(&meter, observed);
        silent_metrics::register(&meter, observed);
        process::register(&meter);
    }

    /// Where `/metrics` reads.
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Sends a last time. Blocks.
    pub(super) fn shut_down(self) {
        // What failed was said by the exporter.
        let _ = self.provider.shutdown();
    }
}

/// The scope of the agent's own instruments.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(semconv::AGENT)
        .with_version(semconv::AGENT_VERSION)
        .with_schema_url(semconv::SCHEMA_URL)
        .build()
}

/// The agent's own resource, from the one of drops that have no owner.
pub fn resource(observed: &proto::Resource) -> Resource {
    let attributes = observed.attributes.iter().filter_map(|attribute| {
        match attribute.value.as_ref()?.value.as_ref()? {
            Value::StringValue(value) => Some(KeyValue::new(attribute.key.clone(), value.clone())),
            _ => None,
        }
    });
    let version =
        KeyValue::new(opentelemetry_semantic_conventions::attribute::SERVICE_VERSION, semconv::AGENT_VERSION);
    Resource::builder_empty()
        .with_schema_url(attributes.chain([version]).collect::<Vec<_>>(), semconv::SCHEMA_URL)
        .build()
}

/// All metrics in Prometheus' text format, version 0.0.4.
///
/// # Errors
/// When one cannot be written in it, which is a bug.
pub fn prometheus_text(registry: &Registry) -> Result<String, prometheus::Error> {
    TextEncoder::new().encode_to_string(&registry.gather())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use opentelemetry::metrics::MeterProvider;

    #[test]
    fn instruments_are_shown_in_prometheus_format_with_the_resource() {
        let observed = crate::otlp::resource::observed_host(
            &crate::otlp::resource::HostView::default(),
            Some("edge-agent"),
            &Default::default(),
        );
        let metrics = OwnMetrics::start(resource(&observed), None).unwrap();
        process::register(&metrics.provider.meter_with_scope(scope()));
        let text = prometheus_text(&metrics.registry()).unwrap();
        for part in [
            "# TYPE process_cpu_time_seconds_total counter",
            "cpu_mode=\"user\"",
            "# TYPE process_memory_usage_bytes gauge",
            "service_name=\"edge-agent\"",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}

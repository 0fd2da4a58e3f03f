//! Own metrics: what our exporter sends arrives as what `opentelemetry-otlp`'s does.

use crate::differences::between;
use crate::{Collector, ways};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_otlp::{MetricExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use serde_json::Value;
use std::sync::Arc;
use tcpdrop_otel::export::connector::NoRegistry;
use tcpdrop_otel::export::service::Service;
use tcpdrop_otel::telemetry::own_exporter::OwnExporter;

/// One of each kind that the agent has, with zeros, which JSON may lose.
fn measure(provider: &SdkMeterProvider) {
    let meter = provider.meter("test");
    let counter = meter.u64_counter("counter").with_unit("{packet}").with_description("Some.").build();
    counter.add(0, &[KeyValue::new("term", "none")]);
    counter.add(7, &[KeyValue::new("term", "some"), KeyValue::new("overflow", true)]);
    let level = meter.i64_up_down_counter("level").build();
    level.add(0, &[]);
    let seconds = meter.f64_counter("seconds").with_unit("s").build();
    seconds.add(0.0, &[KeyValue::new("mode", "user")]);
    seconds.add(1.5, &[KeyValue::new("mode", "system")]);
    let duration = meter.f64_histogram("duration").with_boundaries(vec![0.0, 0.5, 1.0]).build();
    [0.0, 0.25, 2.0].into_iter().for_each(|seconds| duration.record(seconds, &[]));
}

/// Collects once, and sends it by `exporter`. Waits on a thread of its own, as the agent does.
async fn export(exporter: impl PushMetricExporter) {
    let resource = Resource::builder_empty().with_attribute(KeyValue::new("service.name", "shop")).build();
    let reader = PeriodicReader::builder(exporter).build();
    let provider = SdkMeterProvider::builder().with_resource(resource).with_reader(reader).build();
    measure(&provider);
    tokio::task::spawn_blocking(move || provider.shutdown().unwrap()).await.unwrap();
}

/// Without the times, and with the points in the order of their attributes: the SDK keeps them in a hash table.
fn comparable(mut document: Value) -> Value {
    fn sort(value: &mut Value) {
        match value {
            Value::Array(items) => {
                items.iter_mut().for_each(sort);
                items.sort_by_key(Value::to_string);
            }
            Value::Object(fields) => {
                fields.retain(|name, _| !name.ends_with("UnixNano"));
                fields.values_mut().for_each(sort);
            }
            _ => {}
        }
    }
    sort(&mut document);
    document
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_metrics_arrive_as_those_of_the_sdk_s_exporter() {
    let Some(collector) = Collector::start().await else { return };
    let endpoint = format!("http://{}", collector.grpc);
    export(MetricExporter::builder().with_tonic().with_endpoint(endpoint).build().unwrap()).await;
    let theirs = comparable(collector.received(Service::Metrics, 1).await);
    for kind in ["\"asInt\":\"0\"", "\"asDouble\":0", "bucketCounts", "\"boolValue\":true"] {
        assert!(theirs.to_string().contains(kind), "{kind}: {theirs:#}");
    }
    for (index, (protocol, compression)) in ways().into_iter().enumerate() {
        let route = collector.route(protocol, compression, Service::Metrics);
        export(OwnExporter::new(route, Arc::new(NoRegistry), Service::Metrics)).await;
        let ours = comparable(collector.received(Service::Metrics, index + 2).await);
        assert_eq!(between(&ours, &theirs), [].into(), "{protocol:?}, {compression:?}");
    }
}

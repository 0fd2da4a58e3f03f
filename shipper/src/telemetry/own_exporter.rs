//! The end of the agent's own telemetry: the libraries collect, this encodes and hands on to the agent's own
//! connections, so that own telemetry speaks all that the data does, and what the kernel drops of it counts as own.

use crate::export::answer::Answer;
use crate::export::backoff;
use crate::export::connector::OwnPortRegistry;
use crate::export::route::Route;
use crate::export::service::Service;
use crate::export::transport::OtlpTransport;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::logs::tonic::group_logs_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::logs::{LogBatch, LogExporter};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Attempts to send a batch of own log lines. What comes meanwhile waits in the library's queue, which is bounded.
const ATTEMPTS: u32 = 4;

/// An exporter for the OpenTelemetry libraries, whose threads have no runtime of their own.
#[derive(Debug)]
pub struct OwnExporter {
    service: Service,
    transport: OtlpTransport,
    /// Where it goes, without secrets.
    name: String,
    runtime: Handle,
    /// Of log lines; metrics bring theirs.
    resource: ResourceAttributesWithSchema,
}

impl OwnExporter {
    /// Sends to `service` along `route`. Must be made in the runtime that is to do it.
    pub fn new(route: Route, registry: Arc<dyn OwnPortRegistry>, service: Service) -> Self {
        let name = route.destination.name();
        let transport = OtlpTransport::new(route, registry);
        Self { service, transport, name, runtime: Handle::current(), resource: Default::default() }
    }

    /// On the agent's runtime, at most `attempts` times.
    async fn deliver(&self, request: impl Message, attempts: u32) -> OTelSdkResult {
        let (service, transport, request) =
            (self.service, self.transport.clone(), Bytes::from(request.encode_to_vec()));
        let sent = self.runtime.spawn(async move { send(&transport, service, request, attempts).await });
        self.settle(sent.await.map_err(|error| OTelSdkError::InternalFailure(error.to_string()))?)
    }

    /// Says what failed: the libraries' own words are not written.
    fn settle(&self, answer: Answer) -> OTelSdkResult {
        let (service, to) = (self.service, &self.name);
        match answer {
            Answer::Accepted { rejected: 0, message: None } => Ok(()),
            Answer::Accepted { rejected, message } => {
                let said = message.map(|message| format!(": {message:?}")).unwrap_or_default();
                tracing::warn!("{to} rejected {rejected} parts of own {service}{said}");
                Ok(())
            }
            Answer::Retry { why, .. } | Answer::Refused { why } => {
                tracing::warn!("own {service} cannot be delivered to {to}: {why}");
                Err(OTelSdkError::InternalFailure(why))
            }
        }
    }
}

async fn send(transport: &OtlpTransport, service: Service, request: Bytes, attempts: u32) -> Answer {
    let mut failures = 0;
    loop {
        match transport.deliver(service, request.clone()).await {
            Answer::Retry { after, .. } if failures + 1 < attempts => {
                failures += 1;
                tokio::time::sleep(backoff::delay(failures, fastrand::f64(), after)).await;
            }
            answer => return answer,
        }
    }
}

/// A failed export is not repeated: the next one says the same and more, since sums are cumulative.
impl PushMetricExporter for OwnExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.deliver(ExportMetricsServiceRequest::from(metrics), 1).await
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

impl LogExporter for OwnExporter {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let resource_logs = group_logs_by_resource_and_scope(&batch, &self.resource);
        self.deliver(ExportLogsServiceRequest { resource_logs }, ATTEMPTS).await
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

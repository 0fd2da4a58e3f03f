//! The services of OTLP: what differs between logs, traces and metrics on the wire.

use super::Signal;
use crate::otlp::json;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use serde::Serialize;
use std::fmt;
use std::io;

/// What a receiver can take. Own telemetry uses them too; what waits in the spool is of a [`Signal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Log records.
    Logs,
    /// Spans.
    Traces,
    /// Metrics, which are the agent's own.
    Metrics,
}

impl From<Signal> for Service {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Logs => Self::Logs,
            Signal::Traces => Self::Traces,
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// How many were rejected, and the remark: what a response's `partial_success` says.
pub(super) type Partial = (i64, String);

impl Service {
    /// The name that OTLP gives it, in paths and variables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }

    /// The path of OTLP/HTTP below a base URL.
    pub fn http_path(self) -> &'static str {
        match self {
            Self::Logs => "v1/logs",
            Self::Traces => "v1/traces",
            Self::Metrics => "v1/metrics",
        }
    }

    /// The gRPC method (opentelemetry-proto, `collector/logs/v1/logs_service.proto` and its sisters).
    pub fn grpc_path(self) -> &'static str {
        match self {
            Self::Logs => "opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Self::Traces => "opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
        }
    }

    /// An encoded request as OTLP/JSON.
    ///
    /// # Errors
    /// `encoded` is not the service's request.
    pub(super) fn to_json(self, encoded: Bytes) -> io::Result<Bytes> {
        match self {
            Self::Logs => json_of::<ExportLogsServiceRequest>(encoded),
            Self::Traces => json_of::<ExportTraceServiceRequest>(encoded),
            Self::Metrics => json_of::<ExportMetricsServiceRequest>(encoded),
        }
    }

    /// `None` if `body` is not the service's response.
    pub(super) fn partial_from_protobuf(self, body: &[u8]) -> Option<Partial> {
        Some(match self {
            Self::Logs => {
                let partial =
                    ExportLogsServiceResponse::decode(body).ok()?.partial_success.unwrap_or_default();
                (partial.rejected_log_records, partial.error_message)
            }
            Self::Traces => {
                let partial =
                    ExportTraceServiceResponse::decode(body).ok()?.partial_success.unwrap_or_default();
                (partial.rejected_spans, partial.error_message)
            }
            Self::Metrics => {
                let response = ExportMetricsServiceResponse::decode(body).ok()?;
                let partial = response.partial_success.unwrap_or_default();
                (partial.rejected_data_points, partial.error_message)
            }
        })
    }

    /// By hand: protobuf's JSON writes 64-bit numbers as strings and leaves zeros out, which the generated types refuse.
    pub(super) fn partial_from_json(self, body: &[u8]) -> Option<Partial> {
        let response: serde_json::Value = serde_json::from_slice(body).ok()?;
        let partial = response.as_object()?.get("partialSuccess").unwrap_or(&serde_json::Value::Null);
        let rejected = &partial[match self {
            Self::Logs => "rejectedLogRecords",
            Self::Traces => "rejectedSpans",
            Self::Metrics => "rejectedDataPoints",
        }];
        let number = rejected.as_i64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0);
        Some((number, partial["errorMessage"].as_str().unwrap_or_default().to_owned()))
    }
}

fn json_of<Request: Message + Default + Serialize>(encoded: Bytes) -> io::Result<Bytes> {
    let request = Request::decode(encoded)?;
    Ok(serde_json::to_vec(&json::value(&request)?)?.into())
}

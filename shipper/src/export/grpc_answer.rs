//! What a receiver's answer over gRPC means: the OTLP specification's rules (OTLP/gRPC response, failures, throttling),
//! pure.

use super::answer::{Answer, NO_METRICS, accepted, one_line};
use super::backoff::MAX_RETRY_AFTER;
use super::grpc::message;
use super::service::Service;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use percent_encoding::percent_decode;
use prost::Message;
use std::time::Duration;

/// Status codes by number (grpc.io, "Status codes and their use in gRPC").
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Receivers pad base64 or leave that out, as gRPC allows.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads a response of which `status` are the headers that hold `grpc-status`: the trailers, or the only headers there
/// are. `None` if they do not, and so no gRPC service answered.
pub fn classify(service: Service, status: &HeaderMap, body: &[u8]) -> Option<Answer> {
    let code = status.get("grpc-status")?.to_str().ok()?;
    let name = code.parse().ok().and_then(|number: usize| CODES.get(number)).copied().unwrap_or("UNKNOWN");
    if name == "OK" {
        let partial = message(body).and_then(|message| service.partial_from_protobuf(&message));
        return Some(accepted(partial));
    }
    let why = failure(service, name, status);
    let retry_after = retry_after(status);
    Some(match name {
        "CANCELLED" | "DEADLINE_EXCEEDED" | "ABORTED" | "OUT_OF_RANGE" | "UNAVAILABLE" | "DATA_LOSS" => {
            Answer::Retry { after: retry_after, why }
        }
        "RESOURCE_EXHAUSTED" if retry_after.is_some() => Answer::Retry { after: retry_after, why },
        _ => Answer::Refused { why },
    })
}

fn failure(service: Service, name: &str, status: &HeaderMap) -> String {
    let mut why = format!("gRPC status {name}");
    let message =
        status.get("grpc-message").map(|value| percent_decode(value.as_bytes()).decode_utf8_lossy());
    if let Some(message) = message.map(|text| one_line(&text)).filter(|text| !text.is_empty()) {
        why = format!("{why}, {message:?}");
    }
    match hint(service, name) {
        Some(hint) => format!("{why} ({hint})"),
        None => why,
    }
}

fn hint(service: Service, name: &str) -> Option<&'static str> {
    Some(match name {
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => "export.headers must carry what the receiver asks for",
        "UNIMPLEMENTED" if service == Service::Metrics => NO_METRICS,
        "UNIMPLEMENTED" => "the receiver does not take this signal, or not gzip, or is no OTLP receiver",
        "RESOURCE_EXHAUSTED" => "the request is larger than the receiver's limit, or a quota is used up",
        _ => return None,
    })
}

/// `google.rpc.Status`: what `grpc-status-details-bin` holds.
#[derive(Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`
#[derive(Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`
#[derive(Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`
#[derive(Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// The delay that the receiver asks for, bounded; zero where its `RetryInfo` has none.
fn retry_after(status: &HeaderMap) -> Option<Duration> {
    let details = BASE64.decode(status.get("grpc-status-details-bin")?.as_bytes()).ok()?;
    let details = RpcStatus::decode(&details[..]).ok()?.details;
    let info = details.iter().find(|any| any.type_url.ends_with("google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(&info.value[..]).ok()?.retry_delay.unwrap_or_default();
    let seconds = Duration::from_secs(u64::try_from(delay.seconds).unwrap_or(0));
    let nanos = Duration::from_nanos(u64::try_from(delay.nanos).unwrap_or(0));
    Some(seconds.saturating_add(nanos).min(MAX_RETRY_AFTER))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "grpc_answer_tests.rs"]
mod tests;

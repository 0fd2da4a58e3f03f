//! What a receiver's answer means: the OTLP specification's rules (OTLP/HTTP response, failures, throttling), pure.

use super::backoff::MAX_RETRY_AFTER;
use super::service::{Partial, Service};
use super::{Contents, Outcome};
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use prost::Message;
use std::time::{Duration, SystemTime};

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Taken, but for `rejected` of its records or spans. Not to be sent again, whatever is rejected.
    Accepted {
        /// Records or spans that the receiver did not take. Which ones it does not say.
        rejected: u64,
        /// What the receiver has to say about it.
        message: Option<String>,
    },
    /// Not taken now; to be sent again.
    Retry {
        /// Not before this much time.
        after: Option<Duration>,
        /// Cause and remedy.
        why: String,
    },
    /// Not taken, and would not be if it were sent again.
    Refused {
        /// Cause and remedy.
        why: String,
    },
}

impl Answer {
    /// How a request of `contents` leaves the spool; `None` when it stays.
    pub fn outcome(&self, contents: Contents) -> Option<Outcome> {
        match self {
            Self::Accepted { rejected, .. } => Some(partial(contents, *rejected)),
            Self::Retry { .. } => None,
            Self::Refused { .. } => Some(Outcome::refused(contents)),
        }
    }
}

/// Divides `contents` when `rejected` of its records were refused.
///
/// The receiver says how many, not which, so the number of *records* is exact and that of refused *drops* is an upper
/// bound: what is called delivered was delivered. Each accepted `drop` record stands for one drop at least. With
/// `suppressed` records among them (`totals`) not even that is known, and all drops and totals count as refused.
pub(super) fn partial(contents: Contents, rejected: u64) -> Outcome {
    if rejected == 0 {
        return Outcome::delivered(contents);
    }
    let refused_records = rejected.min(contents.records);
    let accepted_records = contents.records - refused_records;
    let surely_delivered = if contents.totals == 0 { accepted_records.min(contents.drops) } else { 0 };
    Outcome {
        delivered: Contents { records: accepted_records, drops: surely_delivered, totals: 0 },
        refused: Contents {
            records: refused_records,
            drops: contents.drops - surely_delivered,
            totals: contents.totals,
        },
        evicted: Contents::default(),
    }
}

/// Reads a response. `body` may be cut off; `now` is for a `Retry-After` that names a date.
pub fn classify(
    service: Service,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    now: SystemTime,
) -> Answer {
    if status.is_success() {
        return success(service, headers, body);
    }
    let why = failure(service, status, headers, body);
    match status.as_u16() {
        429 | 502 | 503 | 504 => Answer::Retry { after: retry_after(headers, now), why },
        // The specification forbids a retry for 4xx and 5xx only: the data can wait for the URL to be put right.
        300..=399 => Answer::Retry { after: None, why },
        _ => Answer::Refused { why },
    }
}

fn success(service: Service, headers: &HeaderMap, body: &[u8]) -> Answer {
    let media = media_type(headers);
    if media == "text/html" {
        let why = "a web page came back: this is not an OTLP receiver, see export.endpoint".to_owned();
        return Answer::Retry { after: None, why };
    }
    let partial = match media {
        _ if body.is_empty() => Some((0, String::new())),
        "application/json" => service.partial_from_json(body),
        _ => service.partial_from_protobuf(body),
    };
    accepted(partial)
}

/// An acknowledgement, with what its `partial_success` says; `None` where that could not be read.
pub(super) fn accepted(partial: Option<Partial>) -> Answer {
    let (rejected, message) = partial.unwrap_or_else(|| (0, "(it is not an OTLP response)".to_owned()));
    Answer::Accepted {
        rejected: u64::try_from(rejected).unwrap_or(0),
        message: Some(one_line(&message)).filter(|message| !message.is_empty()),
    }
}

/// `google.rpc.Status`, the body of an OTLP failure; its details are not used.
#[derive(Message)]
struct RpcStatus {
    #[prost(string, tag = "2")]
    message: String,
}

fn failure(service: Service, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> String {
    let mut why = format!("HTTP {}", status.as_u16());
    if let Some(phrase) = status.canonical_reason() {
        why = format!("{why} {phrase}");
    }
    if let Some(message) = failure_message(headers, body) {
        why = format!("{why}, {message:?}");
    }
    if let Some(hint) = hint(service, status, headers) {
        why = format!("{why} ({hint})");
    }
    why
}

fn failure_message(headers: &HeaderMap, body: &[u8]) -> Option<String> {
    let message = match media_type(headers) {
        "application/x-protobuf" => RpcStatus::decode(body).ok()?.message,
        "application/json" => {
            let status: serde_json::Value = serde_json::from_slice(body).ok()?;
            status.get("message")?.as_str()?.to_owned()
        }
        "text/plain" => String::from_utf8_lossy(body).into_owned(),
        _ => return None,
    };
    Some(one_line(&message)).filter(|message| !message.is_empty())
}

fn hint(service: Service, status: StatusCode, headers: &HeaderMap) -> Option<String> {
    Some(match status.as_u16() {
        300..=399 => {
            let target = headers.get(LOCATION)?.to_str().ok()?;
            let target = target.split(['?', '#']).next().unwrap_or_default();
            format!("redirects are not followed; export.endpoint may have to point to {}", one_line(target))
        }
        401 | 403 => "export.headers must carry what the receiver asks for".to_owned(),
        404 if service == Service::Metrics => NO_METRICS.to_owned(),
        404 | 405 => "the path is not that of an OTLP/HTTP receiver, see export.endpoint".to_owned(),
        413 => "the request is larger than the receiver's limit".to_owned(),
        415 => "the receiver does not take the body: see export.protocol and export.compression".to_owned(),
        _ => return None,
    })
}

/// A Collector without a pipeline of metrics is no mistake, and common.
pub(super) const NO_METRICS: &str =
    "the receiver takes no metrics there; export.metrics.exporter = \"none\" keeps them at /metrics";

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// `Retry-After` as seconds or as an HTTP date (RFC 9110, 10.2.3), bounded.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let after = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(after.min(MAX_RETRY_AFTER))
}

/// Text of a stranger, fit for a log line.
pub(super) fn one_line(text: &str) -> String {
    const MOST: usize = 240;
    let words = text.split(|letter: char| letter.is_whitespace() || letter.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "answer_tests.rs"]
mod tests;

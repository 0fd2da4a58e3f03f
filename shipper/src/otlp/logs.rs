//! Reports as log records, the primary form of a drop.

use super::attributes::{
    Attributes, Drops, TallyNames, class, describe, describe_refused, error_type, namespace, reason_and_site,
};
use super::severity::{Policy, number_and_text};
use super::{Entry, body, semconv};
use crate::config::model::Level;
use crate::drop_report::{DropReport, SilentReport, SuppressedReport, TraceContext, UnixNanos};
use crate::export::Contents;
use crate::reasons::{Cause, classify};
use crate::silent::{SilentCounter, SilentSource};
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use ulid::Ulid;

/// The record of dropped packets. Of `random` the low 80 bits go into its unique id.
pub fn drop_record(report: &DropReport, policy: &Policy, random: u128) -> Entry<LogRecord> {
    let level = policy.level(report.facts.reason.as_deref(), report.facts.class);
    let mut attributes = Attributes::default();
    attributes.string(semconv::RECORD, Some(semconv::RECORD_DROP));
    describe(&mut attributes, &Drops::from(report), level, &TallyNames::RECORD);
    attributes.string(semconv::LOG_RECORD_UID, Some(uid(report.time, random)));

    let mut record = record(semconv::EVENT_DROPPED, level, body::of_drop(report), attributes);
    record.time_unix_nano = report.time.0;
    record.observed_time_unix_nano = report.observed.0;
    set_trace(&mut record, report.trace);
    Entry { message: record, contents: Contents { records: 1, drops: report.summary.tally.count, totals: 0 } }
}

/// The record of drops that were counted without detail. Of `random` the low 80 bits go into its unique id.
pub fn suppressed_record(report: &SuppressedReport, policy: &Policy, random: u128) -> Entry<LogRecord> {
    let reason = report.reason.as_deref();
    let level = policy.level(reason, report.class);
    let mut attributes = Attributes::default();
    attributes.string(semconv::RECORD, Some(semconv::RECORD_SUPPRESSED));
    attributes.int(semconv::COUNT, Some(report.count));
    attributes.string(semconv::SUPPRESSED_CAUSE, Some(report.cause.name()));
    error_type(&mut attributes, reason, level);
    reason_and_site(&mut attributes, reason, report.reason_code, report.site.as_deref());
    class(&mut attributes, report.class);
    attributes.string(semconv::LOG_RECORD_UID, Some(uid(report.time, random)));

    let mut record = record(semconv::EVENT_SUPPRESSED, level, body::of_suppressed(report), attributes);
    record.time_unix_nano = report.time.0;
    record.observed_time_unix_nano = report.observed.0;
    Entry { message: record, contents: Contents { records: 1, drops: 0, totals: report.count } }
}

/// The record of drops that the tracepoint does not tell. Of `random` the low 80 bits go into its unique id. It stands for
/// no drops of the ledger.
pub fn silent_record(report: &SilentReport, policy: &Policy, random: u128) -> Entry<LogRecord> {
    let counter = report.counter();
    let reason = counter.and_then(SilentCounter::reason);
    let level = policy.level(reason, reason.and_then(|reason| classify(Cause::Named(reason), None, None)));
    let mut attributes = Attributes::default();
    attributes.string(semconv::RECORD, Some(semconv::RECORD_SILENT));
    attributes.int(semconv::COUNT, Some(report.count()));
    attributes.string(semconv::COUNTER, counter.map(SilentCounter::name));
    attributes.string(semconv::SILENT_SOURCE, Some(report.source().name()));
    attributes.mark(semconv::ESTIMATED, report.source() == SilentSource::Netstat);
    error_type(&mut attributes, counter.map(SilentCounter::name), level);
    namespace(&mut attributes, report.network_namespace());
    attributes.string(semconv::NETWORK_TRANSPORT, Some("tcp"));
    let observed = match report {
        SilentReport::Seen(drops) => {
            describe_refused(&mut attributes, &Drops::from(drops));
            drops.observed
        }
        SilentReport::Counted { observed, .. } => *observed,
    };
    attributes.string(semconv::LOG_RECORD_UID, Some(uid(report.time(), random)));

    let mut record = record(semconv::EVENT_SILENT, level, body::of_silent(report), attributes);
    record.time_unix_nano = report.time().0;
    record.observed_time_unix_nano = observed.0;
    Entry { message: record, contents: Contents { records: 1, drops: 0, totals: 0 } }
}

fn record(event_name: &str, level: Level, body: String, attributes: Attributes) -> LogRecord {
    let (severity_number, severity_text) = number_and_text(level);
    LogRecord {
        event_name: event_name.to_owned(),
        severity_number: severity_number.into(),
        severity_text: severity_text.to_owned(),
        body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
        attributes: attributes.into_vec(),
        ..LogRecord::default()
    }
}

fn set_trace(record: &mut LogRecord, trace: TraceContext) {
    record.trace_id = trace.trace.to_bytes().to_vec();
    record.span_id = trace.span.to_bytes().to_vec();
    record.flags = trace.flags.map_or(0, u32::from);
}

/// A ULID: it sorts by time and is the same whenever the encoded record is sent again.
fn uid(time: UnixNanos, random: u128) -> String {
    Ulid::from_parts(time.0 / 1_000_000, random).to_string()
}

//! Hand-made reports through the whole conversion, compared with files that people have read.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "golden/blessed.rs"]
mod blessed;
#[path = "golden/reports.rs"]
mod reports;

use blessed::assert_blessed;
use jiff::tz::TimeZone;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::sync::Arc;
use tcpdrop_otel::cli::classic::{self, Style};
use tcpdrop_otel::cli::stacks::{StackChoice, Stacks};
use tcpdrop_otel::config::model::{Level, SeverityRule, SpanEvents};
use tcpdrop_otel::drop_report::GroupReport;
use tcpdrop_otel::export::Contents;
use tcpdrop_otel::otlp::encode::{Exported, encode};
use tcpdrop_otel::otlp::resource::{HostView, observed_host};
use tcpdrop_otel::otlp::semconv::{self, Kind, Places};
use tcpdrop_otel::otlp::severity::Policy;
use tcpdrop_otel::otlp::{Entry, json, logs, spans};

const RANDOM: u128 = 0x0102_0304_0506_0708_090a;

/// Refused SYNs are ordinary noise here, the rest is not.
fn policy() -> Policy {
    Policy::new(&[SeverityRule {
        reasons: vec!["NO_SOCKET".to_owned()],
        classes: Vec::new(),
        level: Level::Info,
    }])
}

fn drop_records() -> Vec<(&'static str, Entry<LogRecord>)> {
    let records = reports::drops().into_iter();
    records.map(|(name, report)| (name, logs::drop_record(&report, &policy(), RANDOM))).collect()
}

fn suppressed_records() -> Vec<(&'static str, Entry<LogRecord>)> {
    let records = reports::suppressed().into_iter();
    records.map(|(name, report)| (name, logs::suppressed_record(&report, &policy(), RANDOM))).collect()
}

fn silent_records() -> Vec<(&'static str, Entry<LogRecord>)> {
    let records = reports::silent().into_iter();
    records.map(|(name, report)| (name, logs::silent_record(&report, &policy(), RANDOM))).collect()
}

fn span() -> Entry<Span> {
    spans::group_span(&reports::group(), &policy(), SpanEvents::Full)
}

fn pretty(message: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(&json::value(message).unwrap()).unwrap() + "\n"
}

#[test]
fn log_records() {
    for (name, record) in drop_records().into_iter().chain(suppressed_records()).chain(silent_records()) {
        assert_blessed(&format!("tests/golden/{name}.log.json"), &pretty(&record.message));
    }
}

#[test]
fn spans_and_their_events() {
    assert_blessed("tests/golden/group.span.json", &pretty(&span().message));
}

#[test]
fn text_view() {
    assert_blessed("tests/golden/classic.txt", &classic_text(&Style::plain()));
}

/// Escape sequences are spelt out, so that the file can be read anywhere.
#[test]
fn text_view_in_colour() {
    let text = classic_text(&Style::coloured()).replace('\x1b', "ESC");
    assert_blessed("tests/golden/classic_colour.txt", &text);
}

fn classic_text(style: &Style) -> String {
    let zone = TimeZone::fixed(jiff::tz::offset(1));
    let mut out = Vec::new();
    classic::write_header(&mut out, style).unwrap();
    let mut stacks = Stacks::new(StackChoice::New);
    for (_, report) in reports::drops() {
        let view = stacks.next(&report.facts.stack);
        classic::write_drop(&mut out, &report, view, style, &zone).unwrap();
    }
    for (_, report) in reports::suppressed() {
        classic::write_suppressed(&mut out, &report, style, &zone).unwrap();
    }
    for (_, report) in reports::silent() {
        classic::write_silent(&mut out, &report, style, &zone).unwrap();
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn contents_are_what_the_records_say() {
    let sum_of_counts = |records: &[(&str, Entry<LogRecord>)]| -> u64 {
        let counts = records.iter().map(|(_, entry)| int(&entry.message.attributes, semconv::COUNT));
        counts.sum::<i64>().try_into().unwrap()
    };
    let (drops, totals) = (drop_records(), suppressed_records());
    let (drop_sum, total_sum) = (sum_of_counts(&drops), sum_of_counts(&totals));
    let silent = silent_records();
    let records = u64::try_from(drops.len() + totals.len() + silent.len()).unwrap();
    let resource = Arc::default();
    let entries = drops
        .into_iter()
        .chain(totals)
        .chain(silent)
        .map(|(_, entry)| (Arc::clone(&resource), entry))
        .collect();
    let requests = encode(entries);
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].contents, Contents { records, drops: drop_sum, totals: total_sum });
}

fn int(attributes: &[KeyValue], name: &str) -> i64 {
    let attribute = attributes.iter().find(|attribute| attribute.key == name).unwrap();
    match attribute.value.as_ref().unwrap().value {
        Some(Value::IntValue(value)) => value,
        _ => panic!("{name} is not an integer"),
    }
}

#[test]
fn span_events_can_be_left_out() {
    let span = spans::group_span(&reports::group(), &policy(), SpanEvents::None).message;
    assert_eq!(span.events, []);
    assert_eq!(span.dropped_events_count, 0);
}

#[test]
fn a_span_never_ends_before_it_starts() {
    let report = GroupReport { last_time: Default::default(), ..reports::group() };
    let span = spans::group_span(&report, &policy(), SpanEvents::Full).message;
    assert_eq!(span.end_time_unix_nano, span.start_time_unix_nano);
}

#[test]
fn a_span_without_a_reason_has_a_name() {
    let mut report = reports::group();
    report.flows[0].facts.reason = None;
    assert_eq!(spans::group_span(&report, &policy(), SpanEvents::None).message.name, "tcpdrop");
}

#[test]
fn a_big_flow_table_does_not_make_a_span_too_big() {
    let mut report = reports::group();
    report.flows = vec![report.flows[0].clone(); 10_000];
    let span = spans::group_span(&report, &policy(), SpanEvents::Full).message;
    assert!(span.encoded_len() < 2 << 20);
    assert!(span.events.len() > 500);
    assert_eq!(span.events.len() + usize::try_from(span.dropped_events_count).unwrap(), 10_000);
}

#[test]
fn the_biggest_record_stays_within_its_budget() {
    let record = logs::drop_record(&reports::biggest(), &policy(), RANDOM).message;
    assert!(record.encoded_len() <= 16 << 10, "{} bytes", record.encoded_len());
    assert!(record.attributes.len() <= 45);
}

/// What is sent is in the attribute reference, with its type and place.
#[test]
fn every_attribute_is_in_the_table() {
    for (_, entry) in drop_records() {
        assert_in_table(&entry.message.attributes, |places| places.drop);
    }
    assert_in_table(
        &logs::drop_record(&reports::biggest(), &policy(), RANDOM).message.attributes,
        |places| places.drop,
    );
    for (_, entry) in suppressed_records() {
        assert_in_table(&entry.message.attributes, |places| places.suppressed);
    }
    for (_, entry) in silent_records() {
        assert_in_table(&entry.message.attributes, |places| places.silent);
    }
    let span = span().message;
    assert_in_table(&span.attributes, |places| places.span);
    for event in &span.events {
        assert_in_table(&event.attributes, |places| places.event);
    }
}

fn assert_in_table(attributes: &[KeyValue], in_place: fn(Places) -> bool) {
    for attribute in attributes {
        let known = semconv::attribute(&attribute.key);
        let known = known.unwrap_or_else(|| panic!("{} is not in the table", attribute.key));
        assert!(in_place(known.places), "{} is not expected there", known.name);
        assert_eq!(kind(attribute.value.as_ref().unwrap()), known.kind, "{}", known.name);
    }
}

/// The other way round: what the table promises, some record has.
#[test]
fn every_attribute_of_the_table_is_filled() {
    let mut places: BTreeMap<&str, Places> = BTreeMap::new();
    let mut mark = |attributes: &[KeyValue], mark: fn(&mut Places)| {
        for attribute in attributes {
            mark(places.entry(semconv::attribute(&attribute.key).unwrap().name).or_default());
        }
    };
    let reports = reports::drops();
    for (_, report) in &reports {
        let mut group = reports::group();
        group.flows[0].facts = report.facts.clone();
        group.flows[0].window.sample = Arc::clone(&report.summary.sample);
        let span = spans::group_span(&group, &Policy::default(), SpanEvents::Full).message;
        mark(&span.attributes, |places| places.span = true);
        span.events.iter().for_each(|event| mark(&event.attributes, |places| places.event = true));
        let record = logs::drop_record(report, &Policy::default(), RANDOM).message;
        mark(&record.attributes, |places| places.drop = true);
    }
    for (_, entry) in suppressed_records() {
        mark(&entry.message.attributes, |places| places.suppressed = true);
    }
    for (_, entry) in silent_records() {
        mark(&entry.message.attributes, |places| places.silent = true);
    }
    for attribute in semconv::ATTRIBUTES {
        assert_eq!(places.get(attribute.name), Some(&attribute.places), "{}", attribute.name);
    }
}

fn kind(value: &AnyValue) -> Kind {
    match value.value.as_ref().unwrap() {
        Value::StringValue(_) => Kind::String,
        Value::IntValue(_) => Kind::Int,
        Value::BoolValue(_) => Kind::Bool,
        Value::ArrayValue(array) => match kind(&array.values[0]) {
            Kind::String => Kind::Strings,
            Kind::Int => Kind::Ints,
            kind => panic!("an array of {kind:?}"),
        },
        value => panic!("{value:?}"),
    }
}

/// OTLP/JSON and protobuf say the same.
#[test]
fn json_reads_back_as_the_same_request() {
    let logs = drop_records().into_iter().chain(suppressed_records()).map(|(_, entry)| entry);
    assert_reads_back::<_, ExportLogsServiceRequest>(logs.collect());
    assert_reads_back::<_, ExportTraceServiceRequest>(vec![span()]);
}

fn assert_reads_back<T, Request>(entries: Vec<Entry<T>>)
where
    T: Exported<Request = Request> + Clone,
    Request: Message + Default + PartialEq + DeserializeOwned + std::fmt::Debug,
{
    let resource = Arc::new(observed_host(&HostView::default(), None, &BTreeMap::new()));
    let entries: Vec<_> = entries.into_iter().map(|entry| (Arc::clone(&resource), entry)).collect();
    let lines = json::lines(entries.clone()).unwrap();
    assert_eq!(lines.lines().count(), 1);
    let read_back: Request = serde_json::from_str(&lines).unwrap();
    let sent = Request::decode(encode(entries)[0].body.clone()).unwrap();
    assert_eq!(read_back, sent);
}

//! Reads what the Collector's file exporter wrote: one OTLP/JSON export request a line.

use serde_json::Value;
use std::collections::BTreeMap;

/// A log record, with its resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogRecord {
    /// `event_name`.
    pub event_name: String,
    /// Its attributes.
    pub attributes: Attributes,
    /// The line for people.
    pub body: String,
    /// `severity_number`.
    pub severity_number: u64,
    /// `severity_text`.
    pub severity_text: String,
    /// `time_unix_nano`.
    pub time: u64,
    /// `observed_time_unix_nano`.
    pub observed_time: u64,
    /// 32 hex digits, or empty.
    pub trace_id: String,
    /// 16 hex digits, or empty.
    pub span_id: String,
    /// Attributes of its resource.
    pub resource: Attributes,
}

impl LogRecord {
    /// `tcpdrop.count`: the drops that it stands for.
    ///
    /// # Panics
    /// If there is none, which no record of the agent's may be.
    pub fn count(&self) -> u64 {
        self.attributes.number("tcpdrop.count").unwrap_or_else(|| panic!("no tcpdrop.count in {self:#?}"))
    }
}

/// A span, with its resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Span {
    /// Name.
    pub name: String,
    /// `SpanKind` by its number; 1 is INTERNAL.
    pub kind: u64,
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits.
    pub span_id: String,
    /// 16 hex digits; empty for a root span.
    pub parent_span_id: String,
    /// `start_time_unix_nano`.
    pub start: u64,
    /// `end_time_unix_nano`.
    pub end: u64,
    /// Its attributes.
    pub attributes: Attributes,
    /// Its events.
    pub events: Vec<SpanEvent>,
    /// Attributes of its resource.
    pub resource: Attributes,
}

/// An event of a [`Span`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpanEvent {
    /// Name.
    pub name: String,
    /// `time_unix_nano`.
    pub time: u64,
    /// Its attributes.
    pub attributes: Attributes,
}

/// Attributes by name; values are plain JSON.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(pub BTreeMap<String, Value>);

impl Attributes {
    /// Whether there is such an attribute.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A string.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// An integer, where it is not negative.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_u64()
    }

    /// An array of strings; empty if there is none.
    pub fn list(&self, name: &str) -> Vec<&str> {
        self.0.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }

    fn read(list: &Value) -> Self {
        let pair = |entry: &Value| Some((entry["key"].as_str()?.to_owned(), plain(&entry["value"])));
        Self(list.as_array().into_iter().flatten().filter_map(pair).collect())
    }
}

/// The log records of a file of requests, in order.
pub fn log_records(file: &str) -> Vec<LogRecord> {
    items(file, ["resourceLogs", "scopeLogs", "logRecords"], |record, resource| LogRecord {
        event_name: text(&record["eventName"]),
        attributes: Attributes::read(&record["attributes"]),
        body: text(&record["body"]["stringValue"]),
        severity_number: number(&record["severityNumber"]),
        severity_text: text(&record["severityText"]),
        time: number(&record["timeUnixNano"]),
        observed_time: number(&record["observedTimeUnixNano"]),
        trace_id: text(&record["traceId"]),
        span_id: text(&record["spanId"]),
        resource: resource.clone(),
    })
}

/// The spans of a file of requests, in order.
pub fn spans(file: &str) -> Vec<Span> {
    items(file, ["resourceSpans", "scopeSpans", "spans"], |span, resource| Span {
        name: text(&span["name"]),
        kind: number(&span["kind"]),
        trace_id: text(&span["traceId"]),
        span_id: text(&span["spanId"]),
        parent_span_id: text(&span["parentSpanId"]),
        start: number(&span["startTimeUnixNano"]),
        end: number(&span["endTimeUnixNano"]),
        attributes: Attributes::read(&span["attributes"]),
        events: elements(&span["events"]).map(span_event).collect(),
        resource: resource.clone(),
    })
}

/// A point of a metric that is a sum.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// Its value.
    pub value: f64,
    /// Its attributes.
    pub attributes: Attributes,
    /// Attributes of its resource.
    pub resource: Attributes,
}

/// The points of the sum `name` in the last request that has it.
pub fn last_points(file: &str, name: &str) -> Vec<Point> {
    let points = |metric: &Value, resource: &Attributes| {
        let point = |point: &Value| Point {
            value: value_of(point).unwrap_or_else(|| panic!("a point of {name} without a value: {point}")),
            attributes: Attributes::read(&point["attributes"]),
            resource: resource.clone(),
        };
        (metric["name"] == name).then(|| elements(&metric["sum"]["dataPoints"]).map(point).collect())
    };
    items(file, ["resourceMetrics", "scopeMetrics", "metrics"], points)
        .into_iter()
        .flatten()
        .last()
        .unwrap_or_default()
}

/// 64-bit integers are strings in protobuf's JSON.
fn value_of(point: &Value) -> Option<f64> {
    point["asDouble"].as_f64().or_else(|| point["asInt"].as_str()?.parse().ok())
}

fn span_event(event: &Value) -> SpanEvent {
    SpanEvent {
        name: text(&event["name"]),
        time: number(&event["timeUnixNano"]),
        attributes: Attributes::read(&event["attributes"]),
    }
}

/// Walks resource, scope and item of each request. A line without its end is still being written, and left out.
fn items<T>(file: &str, path: [&str; 3], read: impl Fn(&Value, &Attributes) -> T) -> Vec<T> {
    let [resources, scopes, entries] = path;
    let mut found = Vec::new();
    for line in file.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let request: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("the Collector wrote {line}: {error}"));
        for group in elements(&request[resources]) {
            let resource = Attributes::read(&group["resource"]["attributes"]);
            let entries = elements(&group[scopes]).flat_map(|scope| elements(&scope[entries]));
            found.extend(entries.map(|entry| read(entry, &resource)));
        }
    }
    found
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// OTLP/JSON writes 64-bit integers as strings, smaller ones as numbers.
fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or_default()
}

/// The plain JSON of an OTLP `AnyValue`.
fn plain(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else {
        return Value::Null;
    };
    match kind.as_str() {
        "intValue" => {
            inner.as_str().and_then(|digits| digits.parse::<i64>().ok()).map_or(inner.clone(), Value::from)
        }
        "arrayValue" => elements(&inner["values"]).map(plain).collect(),
        _ => inner.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGS: &str = concat!(
        r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"host.name","value":{"stringValue":"h"}}]},"#,
        r#""scopeLogs":[{"logRecords":[{"timeUnixNano":"5","severityNumber":13,"eventName":"e","#,
        r#""body":{"stringValue":"b"},"traceId":"0a","attributes":[{"key":"n","value":{"intValue":"7"}},"#,
        r#"{"key":"l","value":{"arrayValue":{"values":[{"stringValue":"x"},{"stringValue":"y"}]}}}]}]}]}]}"#,
        "\n{\"resourceLogs\":[{\"cut\""
    );

    #[test]
    fn records_are_read_with_their_resource_and_a_cut_line_is_left_out() {
        let records = log_records(LOGS);
        let [record] = records.as_slice() else { panic!("{records:?}") };
        assert_eq!((record.time, record.severity_number, record.trace_id.as_str()), (5, 13, "0a"));
        assert_eq!((record.event_name.as_str(), record.body.as_str()), ("e", "b"));
        assert_eq!(record.attributes.number("n"), Some(7));
        assert_eq!(record.attributes.list("l"), ["x", "y"]);
        assert_eq!(record.resource.text("host.name"), Some("h"));
        assert!(!record.attributes.has("host.name"));
    }

    #[test]
    fn spans_are_read_with_their_events() {
        let line = concat!(
            r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"s","kind":1,"spanId":"0b","endTimeUnixNano":"9","#,
            r#""events":[{"name":"v","timeUnixNano":"8","attributes":[{"key":"t","value":{"boolValue":true}}]}]}]}]}]}"#,
            "\n"
        );
        let spans = spans(line);
        let [span] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!((span.name.as_str(), span.kind, span.span_id.as_str(), span.end), ("s", 1, "0b", 9));
        assert_eq!((span.events[0].name.as_str(), span.events[0].time), ("v", 8));
        assert_eq!(span.events[0].attributes.0["t"], true);
    }
}

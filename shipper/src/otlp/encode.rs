//! Entries and their resources, packed into requests that a Collector takes.

use super::{Entry, semconv};
use crate::export::{Contents, EncodedRequest, Signal};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;

/// Most bytes of a request before compression: a Collector's gRPC receiver takes 4 MiB.
pub const MAX_REQUEST_BYTES: usize = 3 << 20;

/// Upper bound of what stands around the resource and the messages of a group: scope, schema URLs, tags and lengths.
const GROUP_FRAME_BYTES: usize = 256;
/// Upper bound of the tag and length before a message.
const MESSAGE_FRAME_BYTES: usize = 6;

/// What can be exported: log records and spans.
pub trait Exported: Message + Default + Sized {
    /// The service that takes it.
    const SIGNAL: Signal;
    /// OTLP's request.
    type Request: Message + Serialize;
    /// OTLP's messages of one resource.
    type Group;

    /// Puts messages below their resource and the agent's scope.
    fn group(resource: Resource, messages: Vec<Self>) -> Self::Group;
    /// Puts groups into a request.
    fn request(groups: Vec<Self::Group>) -> Self::Request;
}

impl Exported for LogRecord {
    const SIGNAL: Signal = Signal::Logs;
    type Request = ExportLogsServiceRequest;
    type Group = ResourceLogs;

    fn group(resource: Resource, log_records: Vec<Self>) -> ResourceLogs {
        ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![ScopeLogs { scope: Some(scope()), log_records, schema_url: schema_url() }],
            schema_url: schema_url(),
        }
    }

    fn request(resource_logs: Vec<ResourceLogs>) -> ExportLogsServiceRequest {
        ExportLogsServiceRequest { resource_logs }
    }
}

impl Exported for Span {
    const SIGNAL: Signal = Signal::Traces;
    type Request = ExportTraceServiceRequest;
    type Group = ResourceSpans;

    fn group(resource: Resource, spans: Vec<Self>) -> ResourceSpans {
        ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans { scope: Some(scope()), spans, schema_url: schema_url() }],
            schema_url: schema_url(),
        }
    }

    fn request(resource_spans: Vec<ResourceSpans>) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest { resource_spans }
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: semconv::AGENT.to_owned(),
        version: semconv::AGENT_VERSION.to_owned(),
        ..InstrumentationScope::default()
    }
}

fn schema_url() -> String {
    semconv::SCHEMA_URL.to_owned()
}

/// An entry and what it is about.
pub type Placed<T> = (Arc<Resource>, Entry<T>);

/// Encodes entries into as few requests as the size limit allows, entries of equal resources together. Each entry is
/// in exactly one of them.
pub fn encode<T: Exported>(entries: Vec<Placed<T>>) -> Vec<EncodedRequest> {
    pack(entries)
        .into_iter()
        .map(|(request, contents)| EncodedRequest {
            signal: T::SIGNAL,
            body: request.encode_to_vec().into(),
            contents,
        })
        .collect()
}

/// Entries as requests, with what each holds.
pub(super) fn pack<T: Exported>(entries: Vec<Placed<T>>) -> Vec<(T::Request, Contents)> {
    let mut packing = Packing::default();
    for (resource, entries) in by_resource(entries) {
        packing.open_group(resource);
        for entry in entries {
            packing.add(entry);
        }
        packing.close_group();
    }
    packing.close_request();
    packing.finished
}

/// Entries by equal resource, in the order in which the resources first appear.
fn by_resource<T>(entries: Vec<Placed<T>>) -> Vec<(Arc<Resource>, Vec<Entry<T>>)> {
    let mut groups: Vec<(Arc<Resource>, Vec<Entry<T>>)> = Vec::new();
    let mut index_by_bytes = HashMap::new();
    // Entries usually share their resource, which then is encoded once only. A pointer stays unique while it is kept.
    let mut index_by_pointer = HashMap::new();
    let mut kept = Vec::new();
    for (resource, entry) in entries {
        let index = *index_by_pointer.entry(Arc::as_ptr(&resource)).or_insert_with(|| {
            kept.push(Arc::clone(&resource));
            *index_by_bytes.entry(resource.encode_to_vec()).or_insert_with(|| {
                groups.push((Arc::clone(&resource), Vec::new()));
                groups.len() - 1
            })
        });
        groups[index].1.push(entry);
    }
    groups
}

/// Requests under construction.
struct Packing<T: Exported> {
    finished: Vec<(T::Request, Contents)>,
    groups: Vec<T::Group>,
    contents: Contents,
    bytes: usize,
    resource: Arc<Resource>,
    messages: Vec<T>,
}

impl<T: Exported> Default for Packing<T> {
    fn default() -> Self {
        Self {
            finished: Vec::new(),
            groups: Vec::new(),
            contents: Contents::default(),
            bytes: 0,
            resource: Arc::default(),
            messages: Vec::new(),
        }
    }
}

impl<T: Exported> Packing<T> {
    fn open_group(&mut self, resource: Arc<Resource>) {
        self.bytes += resource.encoded_len() + GROUP_FRAME_BYTES;
        self.resource = resource;
    }

    fn add(&mut self, entry: Entry<T>) {
        let bytes = entry.message.encoded_len() + MESSAGE_FRAME_BYTES;
        let holds_something = self.contents.records > 0;
        if holds_something && self.bytes + bytes > MAX_REQUEST_BYTES {
            let resource = Arc::clone(&self.resource);
            self.close_group();
            self.close_request();
            self.open_group(resource);
        }
        self.bytes += bytes;
        self.contents.records += entry.contents.records;
        self.contents.drops += entry.contents.drops;
        self.contents.totals += entry.contents.totals;
        self.messages.push(entry.message);
    }

    fn close_group(&mut self) {
        if !self.messages.is_empty() {
            let messages = std::mem::take(&mut self.messages);
            self.groups.push(T::group(Resource::clone(&self.resource), messages));
        }
    }

    fn close_request(&mut self) {
        if !self.groups.is_empty() {
            let groups = std::mem::take(&mut self.groups);
            self.finished.push((T::request(groups), self.contents));
        }
        self.contents = Contents::default();
        self.bytes = 0;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::KeyValue;

    fn resource(name: &str) -> Arc<Resource> {
        let attribute = KeyValue { key: name.to_owned(), ..KeyValue::default() };
        Arc::new(Resource { attributes: vec![attribute], ..Resource::default() })
    }

    fn record(event_name: String, drops: u64) -> Entry<LogRecord> {
        let message = LogRecord { event_name, ..LogRecord::default() };
        Entry { message, contents: Contents { records: 1, drops, totals: 2 * drops } }
    }

    fn decoded(request: &EncodedRequest) -> ExportLogsServiceRequest {
        ExportLogsServiceRequest::decode(request.body.clone()).unwrap()
    }

    #[test]
    fn records_of_equal_resources_are_together() {
        let [a, b, again] = ["a", "b", "a"].map(resource);
        let entries = [(&a, "1"), (&b, "2"), (&again, "3"), (&a, "4")]
            .map(|(resource, name)| (Arc::clone(resource), record(name.to_owned(), 1)));
        let requests = encode(entries.into());
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].signal, Signal::Logs);
        assert_eq!(requests[0].contents, Contents { records: 4, drops: 4, totals: 8 });
        let request = decoded(&requests[0]);
        let groups: Vec<_> = request
            .resource_logs
            .iter()
            .map(|group| {
                let records = &group.scope_logs[0].log_records;
                let names: Vec<_> = records.iter().map(|record| record.event_name.as_str()).collect();
                (group.resource.as_ref().unwrap().attributes[0].key.as_str(), names)
            })
            .collect();
        assert_eq!(groups, [("a", vec!["1", "3", "4"]), ("b", vec!["2"])]);
        let group = &request.resource_logs[0];
        assert_eq!(group.schema_url, semconv::SCHEMA_URL);
        assert_eq!(group.scope_logs[0].scope.as_ref().unwrap().name, "tcpdrop-otel");
        assert_eq!(group.scope_logs[0].scope.as_ref().unwrap().version, env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn what_is_too_much_for_one_request_is_split_and_nothing_is_lost() {
        let resources = ["a", "b", "c"].map(resource);
        let entries: Vec<_> = (0..600_u64)
            .map(|number| {
                let padding = "x".repeat(16 << 10);
                let resource = &resources[usize::try_from(number / 250).unwrap()];
                (Arc::clone(resource), record(format!("{number} {padding}"), number))
            })
            .collect();
        let requests = encode(entries);
        assert_eq!(requests.len(), 4, "600 records of 16 KiB take 9.4 MiB");
        let mut numbers = Vec::new();
        for request in &requests {
            assert!(request.body.len() <= MAX_REQUEST_BYTES);
            let decoded = decoded(request);
            let records = decoded.resource_logs.iter().flat_map(|group| &group.scope_logs[0].log_records);
            let told: Vec<u64> =
                records.map(|record| record.event_name.split_once(' ').unwrap().0.parse().unwrap()).collect();
            let drops = told.iter().sum();
            let records = u64::try_from(told.len()).unwrap();
            assert_eq!(request.contents, Contents { records, drops, totals: 2 * drops });
            numbers.extend(told);
        }
        assert_eq!(numbers, (0..600).collect::<Vec<_>>());
    }

    #[test]
    fn many_resources_count_towards_the_limit() {
        let entries: Vec<_> = (0..400)
            .map(|number| (resource(&format!("{number}{}", "x".repeat(16 << 10))), record(String::new(), 1)))
            .collect();
        let requests = encode(entries);
        assert!(requests.iter().all(|request| request.body.len() <= MAX_REQUEST_BYTES));
        assert_eq!(requests.iter().map(|request| request.contents.records).sum::<u64>(), 400);
        assert_eq!(requests.len(), 3);
    }

    #[test]
    fn a_resource_counts_again_in_each_request_that_repeats_it() {
        let resource = resource(&"x".repeat(1 << 20));
        let entries = (0..300).map(|_| (Arc::clone(&resource), record("y".repeat(16 << 10), 1))).collect();
        let requests = encode(entries);
        assert!(requests.iter().all(|request| request.body.len() <= MAX_REQUEST_BYTES));
        assert_eq!(requests.iter().map(|request| request.contents.records).sum::<u64>(), 300);
    }

    #[test]
    fn nothing_makes_no_request() {
        assert!(encode::<LogRecord>(Vec::new()).is_empty());
    }
}

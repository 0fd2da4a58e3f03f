//! Our records and spans as the OpenTelemetry SDK's, sent by `opentelemetry-otlp`'s own exporters.

use opentelemetry::logs::{AnyValue as LogValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value as TraceValue};
use opentelemetry_otlp::{LogExporter, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue as ProtoKeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{LogBatch, LogExporter as _, SdkLogRecord, SdkLoggerProvider};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tcpdrop_otel::otlp::semconv;

/// The exporters of one protocol.
pub(crate) struct Exporters {
    logs: LogExporter,
    spans: SpanExporter,
}

impl Exporters {
    pub(crate) fn grpc(endpoint: &str, resource: &ProtoResource) -> Self {
        let logs = LogExporter::builder().with_tonic().with_endpoint(endpoint);
        let spans = SpanExporter::builder().with_tonic().with_endpoint(endpoint);
        Self { logs: logs.build().unwrap(), spans: spans.build().unwrap() }.of(resource)
    }

    pub(crate) fn http(protocol: Protocol, endpoint: &str, resource: &ProtoResource) -> Self {
        let to = |path| format!("{endpoint}/v1/{path}");
        let logs = LogExporter::builder().with_http().with_endpoint(to("logs"));
        let spans = SpanExporter::builder().with_http().with_endpoint(to("traces"));
        Self {
            logs: logs.with_protocol(protocol).build().unwrap(),
            spans: spans.with_protocol(protocol).build().unwrap(),
        }
        .of(resource)
    }

    fn of(mut self, resource: &ProtoResource) -> Self {
        let attributes = resource.attributes.iter().map(attribute);
        let resource = Resource::builder_empty().with_schema_url(attributes, semconv::SCHEMA_URL).build();
        self.logs.set_resource(&resource);
        self.spans.set_resource(&resource);
        self
    }

    pub(crate) async fn send_log(&self, record: &LogRecord) {
        let (record, scope) = (log_record(record), scope());
        self.logs.export(LogBatch::new(&[(&record, &scope)])).await.unwrap();
    }

    pub(crate) async fn send_span(&self, span: &Span) {
        self.spans.export(vec![span_data(span)]).await.unwrap();
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(semconv::AGENT)
        .with_version(semconv::AGENT_VERSION)
        .with_schema_url(semconv::SCHEMA_URL)
        .build()
}

fn time(nanoseconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}

fn ids(trace: &[u8], span: &[u8]) -> (TraceId, SpanId) {
    (TraceId::from_bytes(trace.try_into().unwrap()), SpanId::from_bytes(span.try_into().unwrap()))
}

fn log_record(ours: &LogRecord) -> SdkLogRecord {
    let mut record = SdkLoggerProvider::builder().build().logger("test").create_log_record();
    // The SDK's event names and severity texts are static.
    let fixed = |text: &str| &*Box::leak(text.to_owned().into_boxed_str());
    record.set_event_name(fixed(&ours.event_name));
    record.set_timestamp(time(ours.time_unix_nano));
    record.set_observed_timestamp(time(ours.observed_time_unix_nano));
    record.set_severity_text(fixed(&ours.severity_text));
    record.set_severity_number(match ours.severity_number {
        9 => Severity::Info,
        13 => Severity::Warn,
        number => panic!("no case has the severity {number}"),
    });
    record.set_body(log_value(ours.body.as_ref().unwrap()));
    let attributes = ours.attributes.iter();
    record.add_attributes(attributes.map(|a| (a.key.clone(), log_value(a.value.as_ref().unwrap()))));
    if !ours.trace_id.is_empty() {
        let (trace, span) = ids(&ours.trace_id, &ours.span_id);
        let flags = TraceFlags::new(u8::try_from(ours.flags).unwrap());
        record.set_trace_context(trace, span, Some(flags));
    }
    record
}

fn log_value(value: &AnyValue) -> LogValue {
    match value.value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone().into(),
        Value::IntValue(number) => LogValue::Int(*number),
        Value::BoolValue(truth) => LogValue::Boolean(*truth),
        Value::ArrayValue(array) => LogValue::ListAny(Box::new(array.values.iter().map(log_value).collect())),
        other => panic!("{other:?}"),
    }
}

fn span_data(ours: &Span) -> SpanData {
    let (trace, span) = ids(&ours.trace_id, &ours.span_id);
    let flags = TraceFlags::new(u8::try_from(ours.flags).unwrap());
    let mut events = SpanEvents::default();
    events.events = ours
        .events
        .iter()
        .map(|event| {
            let attributes = event.attributes.iter().map(attribute).collect();
            Event::new(event.name.clone(), time(event.time_unix_nano), attributes, 0)
        })
        .collect();
    SpanData {
        span_context: SpanContext::new(trace, span, flags, false, TraceState::NONE),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: ours.name.clone().into(),
        start_time: time(ours.start_time_unix_nano),
        end_time: time(ours.end_time_unix_nano),
        attributes: ours.attributes.iter().map(attribute).collect(),
        dropped_attributes_count: 0,
        events,
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: scope(),
    }
}

fn attribute(ours: &ProtoKeyValue) -> KeyValue {
    let value = match ours.value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => TraceValue::String(text.clone().into()),
        Value::IntValue(number) => TraceValue::I64(*number),
        Value::BoolValue(truth) => TraceValue::Bool(*truth),
        Value::ArrayValue(array) => TraceValue::Array(match array.values[0].value.as_ref().unwrap() {
            Value::StringValue(_) => Array::String(array.values.iter().map(text).collect()),
            _ => Array::I64(array.values.iter().map(number).collect()),
        }),
        other => panic!("{other:?}"),
    };
    KeyValue::new(ours.key.clone(), value)
}

fn text(value: &AnyValue) -> StringValue {
    match value.value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone().into(),
        other => panic!("{other:?}"),
    }
}

fn number(value: &AnyValue) -> i64 {
    match value.value.as_ref().unwrap() {
        Value::IntValue(number) => *number,
        other => panic!("{other:?}"),
    }
}

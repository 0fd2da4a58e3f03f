//! Stack groups as spans, so that drops show where traces are looked at.

use super::attributes::{
    Attributes, Drops, MAX_STRING_BYTES, TallyNames, describe, describe_group, truncate,
};
use super::severity::Policy;
use super::{Entry, semconv};
use crate::config::model::SpanEvents;
use crate::drop_report::{FlowReport, GroupReport};
use crate::export::Contents;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use prost::Message;

/// Most encoded bytes of a span's events, so that a span with a big flow table fits into a request. What is left out
/// is counted in the span's `dropped_events_count`.
pub(super) const MAX_EVENT_BYTES: usize = 1 << 20;

/// The span of a stack group's window. Its status stays unset: a dropped segment is not a failed operation.
pub fn group_span(report: &GroupReport, policy: &Policy, events: SpanEvents) -> Entry<Span> {
    let mut span = Span {
        trace_id: report.trace.trace.to_bytes().to_vec(),
        span_id: report.trace.span.to_bytes().to_vec(),
        flags: report.trace.flags.map_or(0, u32::from),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: report.time.0,
        end_time_unix_nano: report.last_time.0.max(report.time.0),
        name: "tcpdrop".to_owned(),
        ..Span::default()
    };
    if let Some(flow) = report.flows.first() {
        if let Some(reason) = &flow.facts.reason {
            span.name = format!("tcpdrop {}", truncate(reason, MAX_STRING_BYTES));
        }
        let mut attributes = Attributes::default();
        describe_group(&mut attributes, &flow.window.sample, &flow.facts);
        span.attributes = attributes.into_vec();
    }
    if events == SpanEvents::Full {
        add_events(&mut span, &report.flows, policy);
    }
    Entry { message: span, contents: Contents { records: 1, ..Contents::default() } }
}

fn add_events(span: &mut Span, flows: &[FlowReport], policy: &Policy) {
    let mut bytes = 0;
    for flow in flows {
        let event = flow_event(flow, policy);
        bytes += event.encoded_len();
        if bytes > MAX_EVENT_BYTES {
            break;
        }
        span.events.push(event);
    }
    let dropped = flows.len() - span.events.len();
    span.dropped_events_count = u32::try_from(dropped).unwrap_or(u32::MAX);
}

fn flow_event(flow: &FlowReport, policy: &Policy) -> Event {
    let level = policy.level(flow.facts.reason.as_deref(), flow.facts.class);
    let mut attributes = Attributes::default();
    describe(&mut attributes, &Drops::from(flow), level, &TallyNames::EVENT);
    Event {
        time_unix_nano: flow.time.0,
        name: semconv::EVENT_DROPPED.to_owned(),
        attributes: attributes.into_vec(),
        ..Event::default()
    }
}

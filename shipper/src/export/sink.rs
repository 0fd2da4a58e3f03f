//! The sink that ships: reports become log records and spans, batches of them encoded requests in the spool.

use super::spool::Spool;
use crate::config::model::{EmitSpans, Spans};
use crate::drop_report::{DropReport, GroupReport, SuppressedReport};
use crate::otlp::encode::{Placed, encode};
use crate::otlp::severity::Policy;
use crate::otlp::{Entry, logs, spans};
use crate::pipeline::Sink;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use rand::Rng;
use rand::rngs::StdRng;
use std::sync::Arc;

/// Most records that wait for a flush: at 16 KiB each they fill one request of 3 MiB.
const BATCH: usize = 192;

/// What reports need to become OTLP.
pub struct OtlpSink {
    /// What the records are about.
    pub resource: Arc<Resource>,
    /// Severity of reasons.
    pub policy: Policy,
    /// Whether and how spans are made.
    pub spans: Spans,
    /// Where requests wait.
    pub spool: Arc<dyn Spool>,
    /// For unique ids of records.
    pub random: StdRng,
    batched_logs: Vec<Placed<LogRecord>>,
    batched_spans: Vec<Placed<Span>>,
}

impl OtlpSink {
    /// With nothing batched.
    pub fn new(
        resource: Resource,
        policy: Policy,
        spans: Spans,
        spool: Arc<dyn Spool>,
        random: StdRng,
    ) -> Self {
        let resource = Arc::new(resource);
        Self { resource, policy, spans, spool, random, batched_logs: Vec::new(), batched_spans: Vec::new() }
    }

    fn log(&mut self, record: Entry<LogRecord>) {
        self.batched_logs.push((self.resource.clone(), record));
        if self.batched_logs.len() >= BATCH {
            self.flush();
        }
    }
}

impl Sink for OtlpSink {
    fn drops(&mut self, report: DropReport) {
        let record = logs::drop_record(&report, &self.policy, self.random.random());
        self.log(record);
    }

    fn group(&mut self, report: GroupReport) {
        if self.spans.emit == EmitSpans::Never {
            return;
        }
        let span = spans::group_span(&report, &self.policy, self.spans.events);
        self.batched_spans.push((self.resource.clone(), span));
        if self.batched_spans.len() >= BATCH {
            self.flush();
        }
    }

    fn suppressed(&mut self, report: SuppressedReport) {
        let record = logs::suppressed_record(&report, &self.policy, self.random.random());
        self.log(record);
    }

    fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    fn flush(&mut self) {
        let logs = encode(std::mem::take(&mut self.batched_logs));
        let spans = encode(std::mem::take(&mut self.batched_spans));
        for request in logs.into_iter().chain(spans) {
            self.spool.push(request);
        }
    }
}

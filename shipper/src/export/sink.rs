//! The sink that ships: reports become log records and spans, batches of them encoded requests in the spool.

use super::Contents;
use super::spool::Spool;
use crate::config::model::{EmitSpans, Spans};
use crate::drop_report::{DropReport, GroupReport, SilentReport, SuppressedReport};
use crate::ledger::Ledger;
use crate::otlp::encode::{Placed, encode};
use crate::otlp::severity::Policy;
use crate::otlp::{logs, spans};
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
    /// Where drops are written off if log records are not exported, and so not made.
    unexported: Option<Arc<Ledger>>,
    drops: Vec<Placed<LogRecord>>,
    /// Apart from the drops: of a request that is accepted in part it is not known which records were.
    totals: Vec<Placed<LogRecord>>,
    /// Apart from both, for the same cause.
    silent: Vec<Placed<LogRecord>>,
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
        Self {
            resource,
            policy,
            spans,
            spool,
            random,
            unexported: None,
            drops: Vec::new(),
            totals: Vec::new(),
            silent: Vec::new(),
            batched_spans: Vec::new(),
        }
    }

    /// The same without log records: their drops count as evicted in `ledger`.
    pub fn without_logs(self, ledger: Arc<Ledger>) -> Self {
        Self { unexported: Some(ledger), ..self }
    }

    fn flush_if_full(&mut self) {
        let longest = self.drops.len().max(self.totals.len()).max(self.silent.len());
        if longest.max(self.batched_spans.len()) >= BATCH {
            self.flush();
        }
    }
}

impl Sink for OtlpSink {
    fn drops(&mut self, report: DropReport) {
        if let Some(ledger) = &self.unexported {
            return ledger.unexported(Contents { drops: report.summary.tally.count, ..Contents::default() });
        }
        let record = logs::drop_record(&report, &self.policy, self.random.random());
        self.drops.push((self.resource.clone(), record));
        self.flush_if_full();
    }

    fn group(&mut self, report: GroupReport) {
        if self.spans.emit == EmitSpans::Never {
            return;
        }
        let span = spans::group_span(&report, &self.policy, self.spans.events);
        self.batched_spans.push((self.resource.clone(), span));
        self.flush_if_full();
    }

    fn suppressed(&mut self, report: SuppressedReport) {
        if let Some(ledger) = &self.unexported {
            return ledger.unexported(Contents { totals: report.count, ..Contents::default() });
        }
        let record = logs::suppressed_record(&report, &self.policy, self.random.random());
        self.totals.push((self.resource.clone(), record));
        self.flush_if_full();
    }

    fn silent(&mut self, report: SilentReport) {
        if self.unexported.is_some() {
            return;
        }
        let record = logs::silent_record(&report, &self.policy, self.random.random());
        self.silent.push((self.resource.clone(), record));
        self.flush_if_full();
    }

    fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    fn flush(&mut self) {
        let drops = encode(std::mem::take(&mut self.drops));
        let totals = encode(std::mem::take(&mut self.totals));
        let silent = encode(std::mem::take(&mut self.silent));
        let spans = encode(std::mem::take(&mut self.batched_spans));
        for request in drops.into_iter().chain(totals).chain(silent).chain(spans) {
            self.spool.push(request);
        }
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;

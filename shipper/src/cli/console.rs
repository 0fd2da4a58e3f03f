//! The sink that shows: reports become lines on a terminal or in a pipe.

use super::classic::{self, Style};
use super::stacks::{StackChoice, Stacks};
use crate::config::Config;
use crate::config::model::SpanEvents;
use crate::drop_report::{DropReport, GroupReport, SilentReport, SuppressedReport};
use crate::otlp::encode::Placed;
use crate::otlp::severity::Policy;
use crate::otlp::{Entry, json, logs, spans};
use crate::pipeline::Sink;
use jiff::tz::TimeZone;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io::{self, Write};
use std::sync::Arc;
use tokio::sync::watch;

/// What lines look like.
pub enum Form {
    /// bcc's tcpdrop's line, then the stack.
    Classic(Box<ClassicForm>),
    /// OTLP/JSON: an export request of one log record a line.
    Json(Box<JsonForm>),
}

impl Form {
    /// The classic form; coloured if `out` shows colours.
    pub fn classic(out: &anstream::Stdout, stacks: StackChoice) -> Self {
        let coloured = out.current_choice() != anstream::ColorChoice::Never;
        let style = if coloured { Style::coloured() } else { Style::plain() };
        Self::Classic(Box::new(ClassicForm { style, zone: TimeZone::system(), stacks: Stacks::new(stacks) }))
    }

    /// OTLP/JSON of this host's drops.
    pub fn json(config: &Config) -> Self {
        Self::Json(Box::new(JsonForm::new(super::observed_resource(), config, StdRng::from_os_rng())))
    }
}

/// What reports need to become text.
pub struct ClassicForm {
    /// Colours.
    pub style: Style,
    /// Of the times.
    pub zone: TimeZone,
    /// What was shown of stacks.
    pub stacks: Stacks,
}

/// What reports need to become OTLP/JSON.
pub struct JsonForm {
    /// What the records are about.
    pub resource: Arc<Resource>,
    /// Severity of reasons.
    pub policy: Policy,
    /// For unique ids of records.
    pub random: StdRng,
    /// What the events of spans hold; `None` shows no spans.
    pub span_events: Option<SpanEvents>,
}

/// The sink.
pub struct Console<W> {
    /// Where lines go.
    pub out: W,
    /// What they look like.
    pub form: Form,
    /// Records left to show; `None` is no limit.
    pub remaining: Option<u64>,
    /// Turned true when no more is to be shown, or nobody reads any more.
    pub stop: watch::Sender<bool>,
}

impl<W: Write> Console<W> {
    /// Writes the names of the columns, where the form has them.
    pub fn start(mut self) -> Self {
        let shown = match &self.form {
            Form::Classic(form) => classic::write_header(&mut self.out, &form.style),
            Form::Json(_) => Ok(()),
        };
        self.stop_unless(shown.is_ok());
        self
    }

    fn show(&mut self, write: impl FnOnce(&mut W, &mut Form) -> io::Result<()>) {
        if self.remaining == Some(0) {
            return;
        }
        let shown = write(&mut self.out, &mut self.form).and_then(|()| self.out.flush());
        self.remaining = self.remaining.map(|remaining| remaining - 1);
        self.stop_unless(shown.is_ok() && self.remaining != Some(0));
    }

    fn stop_unless(&self, go_on: bool) {
        if !go_on {
            self.stop.send_replace(true);
        }
    }
}

impl JsonForm {
    /// Records about `resource`, no spans.
    pub fn new(resource: Resource, config: &Config, random: StdRng) -> Self {
        let policy = Policy::new(&config.severity);
        Self { resource: Arc::new(resource), policy, random, span_events: None }
    }

    fn write(
        &mut self,
        out: &mut impl Write,
        entry: impl FnOnce(&Policy, u128) -> Entry<LogRecord>,
    ) -> io::Result<()> {
        let entry = entry(&self.policy, self.random.random());
        let placed: Placed<LogRecord> = (self.resource.clone(), entry);
        out.write_all(json::lines(vec![placed])?.as_bytes())
    }
}

impl<W: Write> Sink for Console<W> {
    fn drops(&mut self, report: DropReport) {
        self.show(|out, form| match form {
            Form::Classic(form) => {
                let view = form.stacks.next(&report.facts.stack);
                classic::write_drop(out, &report, view, &form.style, &form.zone)
            }
            Form::Json(form) => form.write(out, |policy, random| logs::drop_record(&report, policy, random)),
        });
    }

    /// In text a group has no line of its own: its drops have.
    fn group(&mut self, report: GroupReport) {
        if let Form::Json(form) = &self.form
            && let Some(events) = form.span_events
        {
            let span = spans::group_span(&report, &form.policy, events);
            let resource = form.resource.clone();
            self.show(|out, _| out.write_all(json::lines(vec![(resource, span)])?.as_bytes()));
        }
    }

    fn suppressed(&mut self, report: SuppressedReport) {
        self.show(|out, form| match form {
            Form::Classic(form) => classic::write_suppressed(out, &report, &form.style, &form.zone),
            Form::Json(form) => {
                form.write(out, |policy, random| logs::suppressed_record(&report, policy, random))
            }
        });
    }

    fn silent(&mut self, report: SilentReport) {
        self.show(|out, form| match form {
            Form::Classic(form) => classic::write_silent(out, &report, &form.style, &form.zone),
            Form::Json(form) => {
                form.write(out, |policy, random| logs::silent_record(&report, policy, random))
            }
        });
    }

    fn flush(&mut self) {}
}

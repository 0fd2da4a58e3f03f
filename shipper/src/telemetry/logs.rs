//! The agent's own log lines: on stderr, and over OTLP if that is wanted.

use super::own_exporter::OwnExporter;
use super::repeats::{self, Repeats};
use crate::config::model::{Level, LogFormat, Telemetry};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};
use std::sync::OnceLock;
use std::time::Instant;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{FilterExt, LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, reload};

type Bridge = OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger>;

/// The way to OTLP, which opens only after logging has started: its connections are registered with the probe.
static BRIDGE: OnceLock<Bridge> = OnceLock::new();

/// Changes the level of the process's log lines.
static SET_LEVEL: OnceLock<Box<dyn Fn(Level) + Send + Sync>> = OnceLock::new();

/// Starts logging. Only the first call in a process has an effect.
pub fn start(settings: &Telemetry) {
    let (written_level, set_written) = reload::Layer::new(written_at(settings.log_level));
    let (sent_level, set_sent) = reload::Layer::new(sent_at(settings.log_level));
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = match settings.log_format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let (written, sent) = (Repeats::default(), Repeats::default());
    let bridge = settings.otlp_logs.then(|| ToBridge.with_filter(sent_level.and(sent.clone())));
    let lines = lines.with_filter(written_level.and(written.clone()));
    if tracing_subscriber::registry().with(lines).with(bridge).try_init().is_err() {
        return tracing::debug!("logging had been started before");
    }
    // These fail only after the subscriber is gone, which it never is.
    _ = SET_LEVEL.set(Box::new(move |level| {
        _ = set_written.reload(written_at(level));
        _ = set_sent.reload(sent_at(level));
    }));
    let telling = std::thread::Builder::new().name("log".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(repeats::INTERVAL);
            // Sent lines are the same ones but few, and are told in the same breath.
            sent.take_held(Instant::now());
            repeats::tell(written.take_held(Instant::now()));
        }
    });
    if let Err(error) = telling {
        tracing::warn!("how many log lines are held back cannot be told: {error}");
    }
}

/// Changes the least severity that is written, from now on. Nothing before [`start`].
pub fn set_level(level: Level) {
    if let Some(set_level) = SET_LEVEL.get() {
        set_level(level);
    }
}

/// Libraries speak up only when something is wrong. What those of OpenTelemetry have to say, the agent says itself.
fn written_at(level: Level) -> Targets {
    let level = match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("tcpdrop_otel", level)
        .with_target("opentelemetry", LevelFilter::OFF)
}

/// A line about a failed export must not be exported.
fn sent_at(level: Level) -> Targets {
    written_at(level).with_target("tcpdrop_otel::telemetry", LevelFilter::OFF)
}

/// Hands events to [`BRIDGE`] once it is there.
struct ToBridge;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for ToBridge {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if let Some(bridge) = BRIDGE.get() {
            bridge.on_event(event, context);
        }
    }
}

/// Own log lines over OTLP.
pub(super) struct OtlpLogs(SdkLoggerProvider);

impl OtlpLogs {
    /// Sends the lines that come from now on. They are batched on a thread of the library's, in a bounded queue.
    pub(super) fn start(resource: Resource, exporter: OwnExporter) -> Self {
        let provider =
            SdkLoggerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build();
        if BRIDGE.set(Bridge::new(&provider)).is_err() {
            tracing::debug!("log lines were sent already");
        }
        Self(provider)
    }

    /// Sends what is left. Blocks.
    pub(super) fn shut_down(self) {
        // What failed was said by the exporter.
        let _ = self.0.shutdown();
    }
}

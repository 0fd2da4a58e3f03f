//! `run`: the agent.

use crate::agent::{self, Agent, AgentError, Intervals, Pulse};
use crate::config::model::{EmitSpans, SignalExporter};
use crate::config::{Config, Sources, ignored};
use crate::enrich::Host;
use crate::export::Signal;
use crate::export::route::{Route, RouteError};
use crate::export::send::{Exporter, Transport};
use crate::export::sink::OtlpSink;
use crate::export::spool::memory::MemorySpool;
use crate::export::spool::{Evicted, Spool};
use crate::export::transport::SignalTransport;
use crate::ledger::Ledger;
use crate::memory;
use crate::otlp::severity::Policy;
use crate::pipeline::Intake;
use crate::probe::{Probe, ProbeError};
use crate::reload::{Live, Reloader, Reloads};
use crate::serve::sd_notify::{self, ServiceState};
use crate::serve::{self, ServeError};
use crate::silent::books::Books;
use crate::state::AgentState;
use crate::telemetry::metrics::MetricsError;
use crate::telemetry::{Observed, OwnRoutes, OwnTelemetry};
use opentelemetry_proto::tonic::resource::v1::Resource;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// How long the last attempt to send may take. With what comes before and after, the process ends within two seconds.
const LAST_ATTEMPT: Duration = Duration::from_millis(1200);

/// Why the agent could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The probe could not be loaded.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The pipeline could not be started.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// `/status` could not be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A file that the export needs is missing or wrong.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// Own metrics could not be set up.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Signals can't be waited for.
    #[error("SIGTERM, SIGINT and SIGHUP cannot be waited for: {0}")]
    Signals(#[from] io::Error),
}

/// Runs the agent until SIGTERM or SIGINT. SIGHUP reads the configuration again: `sources` are those of `config`, and
/// `file` is the one that was named.
///
/// # Errors
/// See [`RunError`]. What is not reachable yet is no error.
pub async fn run(mut config: Config, sources: Sources, file: Option<PathBuf>) -> Result<(), RunError> {
    let (stop, stopped) = watch::channel(false);
    agent::stop_on_signal(stop)?;
    let hangups = signal(SignalKind::hangup())?;
    // Before anything is loaded: so a wrong file or a second agent ends here.
    let routes = Routes::of(&config)?;
    ignored(&sources).iter().for_each(|line| tracing::warn!("{line}"));
    say_unexported(&mut config);
    let listener = serve::bind(config.health.listen)?;
    let status_address = listener.address();

    let probe = load(&config, status_address)?;
    let (reloader, live) = reloader(&config, sources, file, &probe);
    let shared = Shared::new(&config, &probe);
    let mut random = StdRng::from_os_rng();
    let resource = super::observed_resource();
    let Senders { exporter, own_telemetry } =
        start_senders(&config, routes, &probe, &shared.spool, &resource, random.random())?;
    let state = state(&config, &probe, &shared, &exporter, &own_telemetry, reloader.reloads.clone());
    let server = tokio::spawn(serve::serve(listener, state.clone()));

    let capabilities = probe.capabilities();
    let agent = start_agent(&config, probe, shared, resource, random, live, stopped)?;
    let reloading = tokio::spawn(reloader.on_hangup(hangups));
    state.attached();
    tell_manager(ServiceState::Ready);
    tracing::info!("{capabilities}");
    tracing::info!("watching for dropped TCP packets; status at http://{status_address}/status");

    let end = agent.finished().await;
    reloading.abort();
    tell_manager(ServiceState::Stopping);
    state.detached();
    let (evicted, ()) = tokio::join!(exporter.flush(LAST_ATTEMPT), own_telemetry.shut_down(LAST_ATTEMPT));
    say_evicted(evicted, &state);
    server.abort();
    Ok(end?)
}

/// Where everything is sent, the files read that this needs.
struct Routes {
    logs: Option<Route>,
    traces: Option<Route>,
    own: OwnRoutes,
}

impl Routes {
    fn of(config: &Config) -> Result<Self, RouteError> {
        Ok(Self {
            logs: Route::of(&config.export, Signal::Logs)?,
            traces: Route::of(&config.export, Signal::Traces)?,
            own: OwnTelemetry::routes(config)?,
        })
    }
}

fn load(config: &Config, status_address: SocketAddr) -> Result<Probe, ProbeError> {
    let probe = Probe::load_serving(&config.probe, Some(status_address))?;
    memory::give_back();
    probe.set_filter(&config.filter)?.warning().inspect(|warning| tracing::warn!("{warning}"));
    probe.set_admission(&config.admission)?;
    Ok(probe)
}

fn reloader(
    config: &Config,
    sources: Sources,
    file: Option<PathBuf>,
    probe: &Probe,
) -> (Reloader, watch::Receiver<Live>) {
    let (sender, live) = watch::channel(Live::from(config));
    let reloader = Reloader {
        reloads: Arc::default(),
        file,
        sources,
        log_level: config.telemetry.log_level,
        filters: probe.filters(),
        admission: probe.admission(),
        live: sender,
    };
    (reloader, live)
}

/// What the pipeline works with and others look at.
struct Shared {
    ledger: Arc<Ledger>,
    spool: Arc<dyn Spool>,
    silent: Arc<Books>,
    pulse: Pulse,
    host: Host,
}

impl Shared {
    fn new(config: &Config, probe: &Probe) -> Self {
        let ledger = Arc::new(Ledger::default());
        Self {
            spool: Arc::new(MemorySpool::new(config.spool.max_bytes, ledger.clone())),
            ledger,
            silent: Arc::default(),
            pulse: Pulse::default(),
            host: Host::new(&config.enrich, probe.reason_names().clone(), probe.boundaries().clone()),
        }
    }
}

struct Senders {
    exporter: Exporter,
    own_telemetry: OwnTelemetry,
}

fn start_senders(
    config: &Config,
    routes: Routes,
    probe: &Probe,
    spool: &Arc<dyn Spool>,
    resource: &Resource,
    seed: u64,
) -> Result<Senders, MetricsError> {
    let own_ports = Arc::new(probe.own_ports());
    let [logs, traces] =
        [routes.logs, routes.traces].map(|route| SignalTransport::new(route, own_ports.clone()));
    let (log_records, spans, metrics) = (logs.name(), traces.name(), routes.own.metrics_to());
    tracing::info!("log records go to {log_records}, spans to {spans}, own metrics to {metrics}");
    let own_telemetry = OwnTelemetry::start(config, routes.own, own_ports, resource)?;
    Ok(Senders { exporter: Exporter::start(spool.clone(), logs, traces, seed), own_telemetry })
}

/// What `/status` and the own metrics show.
fn state(
    config: &Config,
    probe: &Probe,
    shared: &Shared,
    exporter: &Exporter,
    own_telemetry: &OwnTelemetry,
    reloads: Arc<Reloads>,
) -> Arc<AgentState> {
    own_telemetry.metrics.observe(&Arc::new(Observed {
        counters: probe.counters(),
        ledger: shared.ledger.clone(),
        export: exporter.states(),
        site_names: shared.host.site_names(),
        reasons: shared.host.reason_names(),
        silent: shared.silent.clone(),
    }));
    let description = serde_json::json!({
        "kernel": super::kernel_release(),
        "program": probe.program_name(),
        "capabilities": probe.capabilities(),
        "ring_bytes": config.probe.ring_bytes,
    });
    let state = AgentState::new(
        reloads,
        probe.counters(),
        shared.ledger.clone(),
        exporter.states(),
        description,
        shared.pulse.clone(),
        config.export.batch_interval,
    );
    Arc::new(state.with_metrics(own_telemetry.metrics.registry()).with_silent(shared.silent.clone()))
}

fn start_agent(
    config: &Config,
    probe: Probe,
    shared: Shared,
    resource: Resource,
    mut random: StdRng,
    live: watch::Receiver<Live>,
    stopped: watch::Receiver<bool>,
) -> Result<Agent, AgentError> {
    let Shared { ledger, spool, silent, pulse, host } = shared;
    let unexported = (config.export.logs.exporter == SignalExporter::None).then(|| ledger.clone());
    let mut intake = Intake::new(config, ledger, host.boundaries(), StdRng::from_rng(&mut random));
    intake.silent.books = silent;
    let intervals = Intervals {
        flush: config.export.batch_interval,
        totals: Intervals::totals_within(config.dedup.window),
    };
    let (policy, spans) = (Policy::new(&config.severity), config.spans.clone());
    let make_reporting = move || {
        let sink = OtlpSink::new(resource, policy, spans, spool, random);
        let sink = match unexported {
            Some(ledger) => sink.without_logs(ledger),
            None => sink,
        };
        (host.enricher(), sink)
    };
    Agent::start(probe, intake, make_reporting, intervals, live, stopped, pulse)
}

/// Says once what will be missing, and keeps spans that nobody takes from being made.
fn say_unexported(config: &mut Config) {
    if config.export.logs.exporter == SignalExporter::None {
        tracing::warn!(
            "log records are not exported (export.logs.exporter, OTEL_LOGS_EXPORTER or OTEL_SDK_DISABLED): none are \
             made, and each drop counts as evicted"
        );
    }
    if config.export.traces.exporter == SignalExporter::None {
        config.spans.emit = EmitSpans::Never;
        tracing::warn!(
            "spans are not exported (export.traces.exporter, OTEL_TRACES_EXPORTER or OTEL_SDK_DISABLED): none are made"
        );
    }
}

fn tell_manager(service_state: ServiceState) {
    if let Err(error) = sd_notify::notify(service_state) {
        tracing::warn!("the service manager could not be told ({error}); it may think that the start failed");
    }
}

fn say_evicted(evicted: Evicted, state: &AgentState) {
    let Evicted { logs, traces } = evicted;
    if logs.records + traces.records > 0 {
        tracing::warn!(
            "evicted at the end: {} log records ({} drops, {} of them as totals only) and {} spans, which were not taken \
             within {LAST_ATTEMPT:?}; last error: {}",
            logs.records,
            logs.drops + logs.totals,
            logs.totals,
            traces.records,
            state.last_error().unwrap_or_else(|| "none, time ran out".to_owned()),
        );
    }
    match serde_json::to_string(&state.final_ledger()) {
        Ok(ledger) => tracing::info!("final ledger {ledger}"),
        Err(error) => tracing::error!("the final ledger cannot be shown: {error}"),
    }
}

//! `run`: the agent.

use crate::agent::{self, Agent, AgentError, Intervals};
use crate::config::Config;
use crate::enrich::Host;
use crate::export::Signal;
use crate::export::http::{ClientError, HttpClient, OtlpHttp};
use crate::export::send::Exporter;
use crate::export::sink::OtlpSink;
use crate::export::spool::memory::MemorySpool;
use crate::export::spool::{Evicted, Spool};
use crate::ledger::Ledger;
use crate::otlp::severity::Policy;
use crate::pipeline::Intake;
use crate::probe::{Probe, ProbeError};
use crate::serve::sd_notify::{self, ServiceState};
use crate::serve::{self, ServeError};
use crate::state::AgentState;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io;
use std::sync::Arc;
use std::time::Duration;
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
    /// No client could be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Signals can't be waited for.
    #[error("SIGTERM and SIGINT cannot be waited for: {0}")]
    Signals(#[from] io::Error),
}

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
/// See [`RunError`]. What is not reachable yet is no error.
pub async fn run(config: Config) -> Result<(), RunError> {
    let (stop, stopped) = watch::channel(false);
    agent::stop_on_signal(stop)?;
    // Before anything is loaded: so a second agent ends here.
    let listener = serve::bind(config.health.listen)?;
    let status_address = listener.address();

    let probe = Probe::load(&config.probe)?;
    let host = Host::new(&config.enrich, probe.reason_names().clone().into());
    let ledger = Arc::new(Ledger::default());
    let spool: Arc<dyn Spool> = Arc::new(MemorySpool::new(config.spool.max_bytes, ledger.clone()));
    let mut random = StdRng::from_os_rng();

    let [logs, traces] = [Signal::Logs, Signal::Traces].map(|signal| config.export.destination(signal));
    let client = HttpClient::new([&logs, &traces], Arc::new(probe.own_ports()))?;
    let [logs, traces] = [logs, traces].map(|destination| OtlpHttp::new(client.clone(), destination));
    tracing::info!(
        "log records go to {}, spans to {}",
        config.export.destination(Signal::Logs).name(),
        config.export.destination(Signal::Traces).name()
    );
    let exporter = Exporter::start(spool.clone(), logs, traces, random.random());
    let description = serde_json::json!({
        "kernel": super::kernel_release(),
        "program": probe.program_name(),
        "capabilities": probe.capabilities(),
        "ring_bytes": config.probe.ring_bytes,
    });
    let state = AgentState::new(probe.counters(), ledger.clone(), exporter.states(), description);
    let state = Arc::new(state);
    let server = tokio::spawn(serve::serve(listener, state.clone()));

    let intake = Intake::new(&config, ledger, host.boundaries(), StdRng::from_rng(&mut random));
    let intervals = Intervals { flush: config.export.batch_interval, totals: config.dedup.window };
    let make_reporting = move || {
        let resource = super::observed_resource();
        let policy = Policy::new(&config.severity);
        (host.enricher(), OtlpSink::new(resource, policy, config.spans, spool, random))
    };
    let capabilities = probe.capabilities();
    let agent = Agent::start(probe, intake, make_reporting, intervals, stopped)?;
    state.attached();
    tell_manager(ServiceState::Ready);
    tracing::info!("{capabilities}");
    tracing::info!("watching for dropped TCP packets; status at http://{status_address}/status");

    agent.finished().await;
    tell_manager(ServiceState::Stopping);
    state.detached();
    say_evicted(exporter.flush(LAST_ATTEMPT).await, &state);
    server.abort();
    Ok(())
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

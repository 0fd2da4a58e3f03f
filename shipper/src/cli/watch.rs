//! `watch`: every drop as it happens, on standard output.

use super::console::{Console, Form};
use super::stacks::StackChoice;
use crate::agent::{self, Agent, AgentError, Intervals, Pulse};
use crate::config::Config;
use crate::enrich::Host;
use crate::filter::Filter;
use crate::ledger::KernelCounts;
use crate::pipeline::Intake;
use crate::probe::{Probe, ProbeError};
use crate::reload::Live;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

/// Repetitions of a flow are merged for as long: short enough to watch.
const WINDOW: Duration = Duration::from_secs(1);

/// How long the last lines may take to be read.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Why watching failed.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The probe could not be used.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// The pipeline could not be started.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// Signals can't be waited for.
    #[error("SIGTERM and SIGINT cannot be waited for: {0}")]
    Signals(#[from] io::Error),
}

/// Shows drops until SIGINT or SIGTERM, until nobody reads any more, or until `count` were shown.
///
/// # Errors
/// See [`WatchError`].
pub async fn run(
    mut config: Config,
    json: bool,
    stacks: StackChoice,
    count: Option<u64>,
) -> Result<(), WatchError> {
    config.dedup.window = config.dedup.window.min(WINDOW);
    let (stop, stopped) = watch::channel(false);
    let stopping = stopped.clone();
    agent::stop_on_signal(stop.clone())?;
    let probe = Probe::load(&config.probe)?;
    probe.set_admission(&config.admission)?;
    if let Some(warning) = probe.set_filter(&config.filter)?.warning() {
        anstream::eprintln!("tcpdrop-otel: {warning}");
    }
    let is_filtered = config.filter != Filter::default();
    let live = Live::fixed(&config);
    let host = Host::new(&config.enrich, probe.reason_names().clone(), probe.boundaries().clone());
    let intake = Intake::new(&config, Arc::default(), host.boundaries(), StdRng::from_os_rng());
    let make_reporting = move || {
        let out = anstream::stdout();
        let form = if json { Form::json(&config) } else { Form::classic(&out, stacks) };
        (host.enricher(), Console { out, form, remaining: count, stop }.start())
    };
    let intervals = Intervals { flush: WINDOW, totals: WINDOW };
    let capabilities = probe.capabilities();
    let counters = probe.counters();
    let agent = Agent::start(probe, intake, make_reporting, intervals, live, stopped, Pulse::default())?;
    let wanted = if is_filtered { "; only what the filter wants" } else { "" };
    anstream::eprintln!("tcpdrop-otel: watching{wanted}; {capabilities}");
    let mut ending = stopping;
    let finished = agent.finished();
    tokio::pin!(finished);
    let end = tokio::select! {
        end = &mut finished => Some(end),
        // Whoever reads the output may have stopped to.
        () = async { _ = ending.wait_for(|&stop| stop).await; sleep(LAST_LINES).await } => None,
    };
    if let Ok(KernelCounts { seen, filtered, .. }) = counters.kernel() {
        let left_out =
            if is_filtered { format!(", {filtered} of them left out by the filter") } else { String::new() };
        _ = writeln!(anstream::stderr(), "tcpdrop-otel: {seen} drops seen{left_out}");
    }
    Ok(end.transpose().map(drop)?)
}

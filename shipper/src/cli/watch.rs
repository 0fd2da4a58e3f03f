//! `watch`: every drop as it happens, on standard output.

use super::console::{Console, Form};
use crate::agent::{self, Agent, AgentError, Intervals, Pulse};
use crate::config::Config;
use crate::enrich::Host;
use crate::pipeline::Intake;
use crate::probe::{Probe, ProbeError};
use crate::reload::Live;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

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
pub async fn run(mut config: Config, json: bool, count: Option<u64>) -> Result<(), WatchError> {
    config.dedup.window = config.dedup.window.min(WINDOW);
    let (stop, stopped) = watch::channel(false);
    let stopping = stopped.clone();
    agent::stop_on_signal(stop.clone())?;
    let probe = Probe::load(&config.probe)?;
    if let Some(warning) = probe.set_filter(&config.filter)?.warning() {
        anstream::eprintln!("tcpdrop-otel: {warning}");
    }
    let live = Live::fixed(&config);
    let host = Host::new(&config.enrich, probe.reason_names().clone().into());
    let intake = Intake::new(&config, Arc::default(), host.boundaries(), StdRng::from_os_rng());
    let make_reporting = move || {
        let out = anstream::stdout();
        let form = if json { Form::json(&config) } else { Form::classic(&out) };
        (host.enricher(), Console { out, form, remaining: count, stop }.start())
    };
    let intervals = Intervals { flush: WINDOW, totals: WINDOW };
    let capabilities = probe.capabilities();
    let agent = Agent::start(probe, intake, make_reporting, intervals, live, stopped, Pulse::default())?;
    anstream::eprintln!("tcpdrop-otel: watching; {capabilities}");
    let mut ending = stopping;
    let finished = agent.finished();
    tokio::pin!(finished);
    tokio::select! {
        end = &mut finished => return Ok(end?),
        _ = ending.wait_for(|&stop| stop) => {}
    }
    // Whoever reads the output may have stopped to.
    match tokio::time::timeout(LAST_LINES, finished).await {
        Ok(end) => Ok(end?),
        Err(_) => Ok(()),
    }
}

//! The agent as `/status` and `/readyz` see it.

use crate::agent::Pulse;
use crate::enrich::clock::boot_now;
use crate::export::send::ExportStates;
use crate::ledger::{KernelCounts, Ledger, Snapshot};
use crate::probe::Counters;
use crate::reload::Reloads;
use crate::serve::{NotReady, Status, StatusSource};
use crate::silent::books::Books;
use crate::telemetry::metrics::prometheus_text;
use prometheus::Registry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

/// A stage that has not moved for this long, beyond its own interval, is stuck.
const STILL: Duration = Duration::from_secs(10);

/// Drops by which a live reading of the ledger may be off: two per CPU.
pub(crate) fn live_slack() -> u64 {
    available_parallelism().map_or(2, |cpus| 2 * cpus.get() as u64)
}

/// Handles on the parts that know.
pub struct AgentState {
    started: Instant,
    attached: AtomicBool,
    counters: Counters,
    last_kernel: Mutex<KernelCounts>,
    ledger: Arc<Ledger>,
    export: ExportStates,
    probe: serde_json::Value,
    slack: u64,
    reloads: Arc<Reloads>,
    pulse: Pulse,
    patience: Duration,
    metrics: Registry,
    silent: Arc<Books>,
}

impl AgentState {
    /// Of an agent whose probe is not attached yet.
    pub fn new(
        reloads: Arc<Reloads>,
        counters: Counters,
        ledger: Arc<Ledger>,
        export: ExportStates,
        probe: serde_json::Value,
        pulse: Pulse,
        batch_interval: Duration,
    ) -> Self {
        Self {
            started: Instant::now(),
            attached: AtomicBool::new(false),
            counters,
            last_kernel: Mutex::default(),
            ledger,
            export,
            probe,
            slack: live_slack(),
            reloads,
            pulse,
            patience: batch_interval + STILL,
            metrics: Registry::new(),
            silent: Arc::default(),
        }
    }

    /// With the books of silent drops.
    #[must_use]
    pub fn with_silent(self, silent: Arc<Books>) -> Self {
        Self { silent, ..self }
    }

    /// With what `/metrics` shows.
    #[must_use]
    pub fn with_metrics(self, metrics: Registry) -> Self {
        Self { metrics, ..self }
    }

    /// The probe is attached now.
    pub fn attached(&self) {
        self.attached.store(true, Ordering::Relaxed);
    }

    /// The probe is detached, and the ring drained.
    pub fn detached(&self) {
        self.attached.store(false, Ordering::Relaxed);
    }

    /// The ledger of an agent at rest, in which the equations are exact.
    pub fn final_ledger(&self) -> Snapshot {
        self.ledger.snapshot(|| self.kernel(), 0)
    }

    /// The kernel's side; what was read last if it can't be read now.
    fn kernel(&self) -> KernelCounts {
        let mut last = self.last_kernel.lock().unwrap_or_else(PoisonError::into_inner);
        match self.counters.kernel() {
            Ok(counts) => *last = counts,
            Err(error) => tracing::error!("{error}; the ledger shows what was read before"),
        }
        *last
    }

    /// Why the last attempt to send failed that did.
    pub fn last_error(&self) -> Option<String> {
        let export = self.export.snapshot();
        export.logs.last_error.or(export.traces.last_error)
    }
}

impl StatusSource for AgentState {
    fn status(&self) -> Status {
        Status {
            healthy: self.ready().is_empty(),
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.started.elapsed().as_secs(),
            ledger: self.ledger.snapshot(|| self.kernel(), self.slack),
            silent: self.silent.snapshot(),
            reloads: self.reloads.counts(),
            export: self.export.snapshot(),
            probe: self.probe.clone(),
        }
    }

    fn metrics(&self) -> Result<String, String> {
        prometheus_text(&self.metrics).map_err(|error| error.to_string())
    }

    fn ready(&self) -> Vec<NotReady> {
        if !self.attached.load(Ordering::Relaxed) {
            let reason = "the BPF program is not attached: the agent is starting or ending".to_owned();
            return vec![NotReady { part: "probe", reason }];
        }
        let stages = ["intake", "reporting"].into_iter().zip(self.pulse.still_for(boot_now()));
        let mut not_ready: Vec<_> = stages
            .filter(|(_, still)| *still > self.patience)
            .map(|(part, still)| NotReady { part, reason: format!("it has not moved for {still:.0?}") })
            .collect();
        if !self.export.are_running() {
            let reason = "a task that sends has ended; the log says why".to_owned();
            not_ready.push(NotReady { part: "send", reason });
        }
        not_ready
    }
}

//! Empties the spool: one task for each signal takes the oldest request, sends it until it is settled, and goes on.

use super::answer::Answer;
use super::backoff;
use super::progress::{ExportState, Line, Now, Progress};
use super::spool::{Evicted, Lease, Spool};
use super::{EncodedRequest, Outcome, Signal};
use crate::telemetry::ledger_metrics::SIGNAL;
use jiff::Timestamp;
use opentelemetry::metrics::Histogram;
use opentelemetry::{KeyValue, global};
use serde::Serialize;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, sleep, sleep_until};

/// A way to a receiver.
pub trait Transport: Send + Sync + 'static {
    /// The receiver's name for log lines and `/status`, without secrets.
    fn name(&self) -> String;

    /// Makes one attempt, bounded in time. May be dropped midway; the request's fate is then unknown.
    fn send(&self, request: &EncodedRequest) -> impl Future<Output = Answer> + Send;
}

/// The state of each signal's export, for `/status`. Cheap to clone.
#[derive(Clone)]
pub struct ExportStates {
    logs: Arc<Mutex<Progress>>,
    traces: Arc<Mutex<Progress>>,
    senders: [AbortHandle; 2],
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The states at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExportSnapshot {
    /// Of log records.
    pub logs: ExportState,
    /// Of spans.
    pub traces: ExportState,
}

impl fmt::Debug for ExportStates {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.snapshot().fmt(formatter)
    }
}

impl ExportStates {
    /// The states now.
    pub fn snapshot(&self) -> ExportSnapshot {
        ExportSnapshot { logs: lock(&self.logs).state().clone(), traces: lock(&self.traces).state().clone() }
    }

    /// Whether both senders are at work. They end with [`Exporter::flush`] only, unless there is a bug.
    pub fn are_running(&self) -> bool {
        self.senders.iter().all(|sender| !sender.is_finished())
    }
}

/// The running export.
pub struct Exporter {
    spool: Arc<dyn Spool>,
    lanes: [JoinHandle<()>; 2],
    stop: watch::Sender<Option<Instant>>,
    states: ExportStates,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Exporter").field("states", &self.states).finish_non_exhaustive()
    }
}

impl Exporter {
    /// Starts to empty `spool` into `logs` and `traces`. `seed` is for the jitter between attempts. Needs a tokio
    /// runtime.
    pub fn start<T: Transport>(spool: Arc<dyn Spool>, logs: T, traces: T, seed: u64) -> Self {
        let (stop, stopping) = watch::channel(None);
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut start = |signal, transport: T| {
            let progress = Arc::new(Mutex::new(Progress::new(signal, transport.name())));
            let lane = Lane {
                signal,
                transport,
                spool: Arc::clone(&spool),
                progress: Arc::clone(&progress),
                stopping: stopping.clone(),
                rng: rng.fork(),
                duration: duration_of_attempts(),
            };
            (tokio::spawn(lane.run()), progress)
        };
        let (logs_task, logs) = start(Signal::Logs, logs);
        let (traces_task, traces) = start(Signal::Traces, traces);
        let senders = [logs_task.abort_handle(), traces_task.abort_handle()];
        let states = ExportStates { logs, traces, senders };
        Self { spool, lanes: [logs_task, traces_task], stop, states }
    }

    /// The state of each signal's export, also after the exporter has ended.
    pub fn states(&self) -> ExportStates {
        self.states.clone()
    }

    /// Ends the export: for at most `limit`, sends what waits, without a second attempt for anything, then closes the
    /// spool. Returns what was given up, so that the caller can say it. Nothing may be pushed meanwhile.
    ///
    /// A request whose attempt is cut off at the limit counts as evicted, though it may have arrived.
    pub async fn flush(self, limit: Duration) -> Evicted {
        self.stop.send_replace(Some(Instant::now() + limit));
        for lane in self.lanes {
            if let Err(error) = lane.await {
                tracing::error!("a sender ended early: {error}; what it held counts as evicted");
            }
        }
        self.spool.close()
    }
}

/// The sender of one signal.
struct Lane<T> {
    signal: Signal,
    transport: T,
    spool: Arc<dyn Spool>,
    progress: Arc<Mutex<Progress>>,
    /// Holds the deadline once the export is to end.
    stopping: watch::Receiver<Option<Instant>>,
    rng: fastrand::Rng,
    duration: Histogram<f64>,
}

/// Of the process's meter provider; without one it measures nothing.
fn duration_of_attempts() -> Histogram<f64> {
    let meter = global::meter_with_scope(crate::telemetry::metrics::scope());
    let histogram = meter.f64_histogram("tcpdrop.export.duration").with_unit("s");
    let histogram =
        histogram.with_description("Duration of an attempt to send a request, its compression included.");
    histogram.with_boundaries(vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]).build()
}

impl<T: Transport> Lane<T> {
    async fn run(mut self) {
        while let Some(lease) = self.next().await {
            let Some(outcome) = self.deliver(&lease.request).await else { return };
            self.spool.settle(lease.id, outcome);
        }
    }

    /// The oldest request; `None` if the export is to end and none waits.
    async fn next(&mut self) -> Option<Lease> {
        loop {
            let stopping = self.is_stopping();
            if let Some(lease) = self.spool.oldest(self.signal) {
                return Some(lease);
            }
            if stopping {
                return None;
            }
            tokio::select! {
                () = self.spool.arrived(self.signal).notified() => {}
                () = stop_requested(self.stopping.clone()) => {}
            }
        }
    }

    /// Sends a request until it is settled; `None` if the export ends before.
    async fn deliver(&mut self, request: &EncodedRequest) -> Option<Outcome> {
        let mut failures = 0;
        loop {
            let last_attempt = self.is_stopping();
            let start = Instant::now();
            let answer = tokio::select! {
                biased;
                answer = self.transport.send(request) => answer,
                () = deadline_passed(self.stopping.clone()) => return None,
            };
            let signal = KeyValue::new(SIGNAL, self.signal.name());
            self.duration.record(start.elapsed().as_secs_f64(), &[signal]);
            self.record(&answer, request);
            let Answer::Retry { after, .. } = answer else { return answer.outcome(request.contents) };
            if last_attempt {
                return None;
            }
            failures += 1;
            tokio::select! {
                () = sleep(backoff::delay(failures, self.rng.f64(), after)) => {}
                () = stop_requested(self.stopping.clone()) => {}
            }
        }
    }

    fn record(&self, answer: &Answer, request: &EncodedRequest) {
        let now = Now { instant: Instant::now().into_std(), wall: Timestamp::now() };
        let lines = lock(&self.progress).record(answer, request.contents, now);
        for line in lines {
            match line {
                Line::Info(text) => tracing::info!("{text}"),
                Line::Warn(text) => tracing::warn!("{text}"),
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.borrow().is_some()
    }
}

/// Also when the exporter was dropped: nobody waits for an end then, and the task goes on.
async fn stop_requested(mut stopping: watch::Receiver<Option<Instant>>) {
    if stopping.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn deadline_passed(stopping: watch::Receiver<Option<Instant>>) {
    stop_requested(stopping.clone()).await;
    let deadline = *stopping.borrow();
    sleep_until(deadline.unwrap_or_else(Instant::now)).await;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "send_tests.rs"]
mod tests;

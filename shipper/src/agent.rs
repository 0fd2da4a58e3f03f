//! The tasks around [`crate::pipeline`]: one beside the ring, one thread that reports.

use crate::dedup::Released;
use crate::enrich::Enricher;
use crate::enrich::clock::{WallClock, boot_now};
use crate::export::connector::OwnPortRegistry;
use crate::ledger::Ledger;
use crate::pipeline::{Intake, Reporting, Sink};
use crate::probe::{Counters, OwnPorts, Probe, ProbeError, Ring};
use std::io;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

/// Events that are read before the loop looks up.
const BATCH: usize = 256;
/// Batches on the way from intake to reporting. A full way merges immediate records into their groups.
const BATCHES_UNDER_WAY: usize = 16;
/// How often the ends of windows are looked for.
pub const TICK: Duration = Duration::from_millis(100);

/// Why an agent could not be started.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The probe failed.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// Another reader has the ring.
    #[error("the probe's ring is read by another agent of this process")]
    RingTaken,
    /// No thread.
    #[error(
        "the thread that reports could not be started ({0}); a limit on processes or memory may be the cause"
    )]
    Thread(#[from] io::Error),
}

/// How often reporting does what is not caused by a drop.
#[derive(Clone, Copy, Debug)]
pub struct Intervals {
    /// The sink is flushed.
    pub flush: Duration,
    /// Totals of drops without detail are told.
    pub totals: Duration,
}

impl OwnPortRegistry for OwnPorts {
    fn register(&self, local_port: u16, peer_port: u16) {
        if let Err(error) = Self::register(self, local_port, peer_port) {
            tracing::warn!("{error}; a refused connection of the exporter may show up as a drop");
        }
    }
}

/// Turns `stop` true on SIGTERM or SIGINT.
///
/// # Errors
/// When the signals can't be waited for.
pub fn stop_on_signal(stop: watch::Sender<bool>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.send_replace(true);
    });
    Ok(())
}

/// A probe at work, and what reads it.
pub struct Agent {
    intake: tokio::task::JoinHandle<()>,
    reporting: std::thread::JoinHandle<()>,
}

impl Agent {
    /// Attaches `probe` and reads it until `stop` turns true; then it is detached and drained.
    ///
    /// # Errors
    /// When the probe can't be attached or read, or no thread be started.
    pub fn start<S: Sink>(
        mut probe: Probe,
        intake: Intake,
        make_reporting: impl FnOnce() -> (Enricher, S) + Send + 'static,
        intervals: Intervals,
        stop: watch::Receiver<bool>,
    ) -> Result<Self, AgentError> {
        let ring = probe.take_ring()?.ok_or(AgentError::RingTaken)?;
        probe.attach()?;
        let counters = probe.counters();
        let ledger = intake.ledger.clone();
        let (outbox, inbox) = mpsc::channel(BATCHES_UNDER_WAY);
        // A thread of its own: the symbolizer can't move between threads, and /proc is slow.
        let reporting = std::thread::Builder::new().name("report".to_owned()).spawn(move || {
            let (enricher, sink) = make_reporting();
            let reporting = Reporting::new(enricher, sink, WallClock::read().now());
            report_all(reporting, inbox, &counters, &ledger, intervals);
        })?;
        let intake = tokio::spawn(read_ring(probe, ring, intake, outbox, stop));
        Ok(Self { intake, reporting })
    }

    /// Waits until the probe is detached, the ring drained and all that was pending reported.
    pub async fn finished(self) {
        if self.intake.await.is_err() {
            tracing::error!("the task that reads the ring failed");
        }
        let reported = tokio::task::spawn_blocking(|| self.reporting.join()).await;
        if !matches!(reported, Ok(Ok(()))) {
            tracing::error!("the thread that reports failed");
        }
    }
}

async fn read_ring(
    mut probe: Probe,
    mut ring: Ring,
    mut intake: Intake,
    outbox: mpsc::Sender<Released>,
    mut stop: watch::Receiver<bool>,
) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping = false;
    while !stopping {
        tokio::select! {
            () = turned_true(&mut stop) => stopping = true,
            readable = ring.readable() => if let Err(error) = readable {
                tracing::error!(%error, "the ring can no longer be waited for");
                stopping = true;
            },
            _ = tick.tick(), if !intake.dedup.is_empty() => {
                send(&outbox, intake.release(boot_now())).await;
            }
        }
        read_batch(&mut ring, &mut intake, &outbox).await;
    }
    if let Err(error) = probe.detach() {
        tracing::error!("{error}; the counts at the end may miss the last drops");
    }
    while read_batch(&mut ring, &mut intake, &outbox).await > 0 {}
    send(&outbox, intake.release_all()).await;
}

/// Also when nobody is left who could turn it.
async fn turned_true(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}

async fn read_batch(ring: &mut Ring, intake: &mut Intake, outbox: &mpsc::Sender<Released>) -> usize {
    let room = outbox.capacity() > 0;
    let now = boot_now();
    let mut released = Released::default();
    let read = ring.drain(BATCH, |event| released.summaries.extend(intake.take(event, now, room)));
    send(outbox, released).await;
    send(outbox, intake.take_evicted()).await;
    read
}

async fn send(outbox: &mpsc::Sender<Released>, released: Released) {
    if !released.is_empty() && outbox.send(released).await.is_err() {
        tracing::error!("the thread that reports is gone");
    }
}

fn report_all<S: Sink>(
    mut reporting: Reporting<S>,
    mut inbox: mpsc::Receiver<Released>,
    counters: &Counters,
    ledger: &Ledger,
    intervals: Intervals,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "the thread that reports could not start"),
    };
    runtime.block_on(async {
        let mut flush = interval(intervals.flush);
        let mut totals = interval(intervals.totals);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        totals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                released = inbox.recv() => match released {
                    Some(released) => reporting.report(released, WallClock::read()),
                    None => break,
                },
                _ = totals.tick() => tell_totals(&mut reporting, counters, ledger),
                _ = flush.tick() => reporting.sink.flush(),
            }
        }
        tell_totals(&mut reporting, counters, ledger);
        reporting.sink.flush();
    });
}

fn tell_totals<S: Sink>(reporting: &mut Reporting<S>, counters: &Counters, ledger: &Ledger) {
    match counters.sites() {
        Ok(sites) => reporting.report_totals(&sites, ledger.decode_errors(), WallClock::read()),
        Err(error) => tracing::error!("{error}; drops without detail are told later"),
    }
}

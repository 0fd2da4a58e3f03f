//! The tasks around [`crate::pipeline`]: one beside the ring, one thread that reports.

use crate::dedup::Released;
use crate::enrich::Enricher;
use crate::enrich::clock::{WallClock, boot_now};
use crate::export::connector::OwnPortRegistry;
use crate::ledger::Ledger;
use crate::otlp::severity::Policy;
use crate::packet_drop::BootTime;
use crate::pipeline::{Intake, Reporting, Sink};
use crate::probe::{Counters, OwnPorts, Probe, ProbeError, Ring};
use crate::reload::Live;
use crate::silent::netstat::Accounts;
use crate::silent::totals::{NetstatReader, SilentTotals, UntoldRefusals};
use crate::silent::traced::Traced;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
/// How often intake shows that it moves.
const BEAT: Duration = Duration::from_secs(1);

/// Why an agent could not be started.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The probe failed.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// Another reader has the ring.
    #[error("the probe's ring is read by another agent of this process")]
    RingTaken,
    /// The ring failed.
    #[error("the ring can no longer be waited for: {0}")]
    Ring(io::Error),
    /// The thread that reports is gone.
    #[error("the thread that reports ended early; the lines before this one say why")]
    ReportingEnded,
    /// The task that reads the ring is gone.
    #[error("the task that reads the ring ended early; the lines before this one say why")]
    IntakeEnded,
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

    fn release(&self, local_port: u16, peer_port: u16) {
        Self::release(self, local_port, peer_port);
    }
}

/// Turns `stop` true on SIGTERM or SIGINT. A second one ends the process at once, whatever it waits for.
///
/// # Errors
/// When the signals can't be waited for.
pub fn stop_on_signal(stop: watch::Sender<bool>) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.send_replace(true) {
                std::process::exit(1);
            }
        }
    });
    Ok(())
}

impl Intervals {
    /// How often totals are told if the window is `window`: a long one must not hold back that drops were lost.
    pub fn totals_within(window: Duration) -> Duration {
        window.min(Duration::from_secs(10))
    }
}

/// When the stages last moved, for `/readyz`.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<[AtomicU64; 2]>);

impl Pulse {
    fn intake_moved(&self) {
        self.0[0].store(boot_now().0, Ordering::Relaxed);
    }

    fn reporting_moved(&self) {
        self.0[1].store(boot_now().0, Ordering::Relaxed);
    }

    /// How long intake and reporting have not moved at `now`.
    pub fn still_for(&self, now: BootTime) -> [Duration; 2] {
        [0, 1].map(|stage: usize| now.since(BootTime(self.0[stage].load(Ordering::Relaxed))))
    }
}

/// A probe at work, and what reads it.
pub struct Agent {
    intake: tokio::task::JoinHandle<Result<(), AgentError>>,
    reporting: std::thread::JoinHandle<()>,
}

impl Agent {
    /// Attaches `probe` and reads it until `stop` turns true; then it is detached and drained. Settings that come by
    /// `live` are taken over meanwhile.
    ///
    /// # Errors
    /// When the probe can't be attached or read, or no thread be started.
    pub fn start<S: Sink>(
        mut probe: Probe,
        mut intake: Intake,
        make_reporting: impl FnOnce() -> (Enricher, S) + Send + 'static,
        intervals: Intervals,
        live: watch::Receiver<Live>,
        stop: watch::Receiver<bool>,
        pulse: Pulse,
    ) -> Result<Self, AgentError> {
        let ring = probe.take_ring()?.ok_or(AgentError::RingTaken)?;
        probe.attach()?;
        let silent_totals = watch_silent(&mut probe, &mut intake);
        let rings = Rings { drops: ring, silent: probe.take_silent_ring()? };
        let counters = probe.counters();
        let ledger = intake.ledger.clone();
        let books = intake.silent.books.clone();
        let (outbox, inbox) = mpsc::channel(BATCHES_UNDER_WAY);
        let reporting_pulse = pulse.clone();
        let changes = live.clone();
        // A thread of its own: the symbolizer can't move between threads, and /proc is slow.
        let reporting = std::thread::Builder::new().name("report".to_owned()).spawn(move || {
            let (enricher, sink) = make_reporting();
            let mut reporting = Reporting::new(enricher, sink, WallClock::read().now());
            reporting.silent = books;
            let untold = Untold { counters, ledger, silent: silent_totals };
            report_all(reporting, inbox, untold, intervals, changes, &reporting_pulse);
        })?;
        let intake = tokio::spawn(read_rings(probe, rings, intake, outbox, live, stop, pulse));
        Ok(Self { intake, reporting })
    }

    /// Waits until the probe is detached, the ring drained and all that was pending reported.
    ///
    /// # Errors
    /// When the end came without `stop`: the agent sees no drops any more.
    pub async fn finished(self) -> Result<(), AgentError> {
        let intake = self.intake.await.unwrap_or(Err(AgentError::IntakeEnded));
        match tokio::task::spawn_blocking(|| self.reporting.join()).await {
            Ok(Ok(())) => intake,
            _ => Err(AgentError::ReportingEnded),
        }
    }
}

/// What the programs send.
struct Rings {
    drops: Ring,
    /// Refused SYNs, where the kernel lets each be seen.
    silent: Option<Ring>,
}

impl Rings {
    /// Waits until either may have events. Cancel safe.
    async fn readable(&mut self) -> io::Result<()> {
        match &mut self.silent {
            None => self.drops.readable().await,
            Some(silent) => tokio::select! {
                readable = self.drops.readable() => readable,
                readable = silent.readable() => readable,
            },
        }
    }
}

/// Sets up what this kernel allows for drops that the tracepoint does not tell: one way or the other, never both.
fn watch_silent(probe: &mut Probe, intake: &mut Intake) -> SilentTotals {
    let books = intake.silent.books.clone();
    books.seen_by(probe.silent_source());
    intake.silent.filters = Some(probe.filters());
    if let Some(counts) = probe.refusal_counts() {
        return SilentTotals::Programs(UntoldRefusals::new(counts));
    }
    let Some(namespaces) = probe.take_namespaces() else { return SilentTotals::Off };
    let traced = Arc::new(Traced::new(&probe.reason_names().all(), probe.capabilities().receiving_socket));
    intake.silent.traced = Some(traced.clone());
    let filters = probe.filters();
    let accounts = Accounts::default();
    SilentTotals::Counters(Box::new(NetstatReader { namespaces, traced, filters, books, accounts }))
}

/// Reads the rings until it is to stop or something failed; then detaches, drains and releases all.
async fn read_rings(
    mut probe: Probe,
    mut rings: Rings,
    mut intake: Intake,
    outbox: mpsc::Sender<Released>,
    mut live: watch::Receiver<Live>,
    mut stop: watch::Receiver<bool>,
    pulse: Pulse,
) -> Result<(), AgentError> {
    let end = read_until_stopped(&mut rings, &mut intake, &outbox, &mut live, &mut stop, &pulse).await;
    if let Err(error) = probe.detach() {
        tracing::error!("{error}; the counts at the end may miss the last drops");
    }
    while read_batch(&mut rings, &mut intake, &outbox).await? > 0 {}
    send(&outbox, intake.release_all()).await?;
    end
}

async fn read_until_stopped(
    rings: &mut Rings,
    intake: &mut Intake,
    outbox: &mpsc::Sender<Released>,
    live: &mut watch::Receiver<Live>,
    stop: &mut watch::Receiver<bool>,
    pulse: &Pulse,
) -> Result<(), AgentError> {
    let [mut tick, mut beat] = [TICK, BEAT].map(interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = beat.tick() => pulse.intake_moved(),
            () = turned_true(stop) => return Ok(()),
            readable = rings.readable() => readable.map_err(AgentError::Ring)?,
            settings = Live::next(live) => intake.reconfigure(&settings),
            _ = tick.tick(), if !intake.is_empty() => {
                send(outbox, intake.release(boot_now())).await?;
            }
        }
        read_batch(rings, intake, outbox).await?;
    }
}

/// Also when nobody is left who could turn it.
async fn turned_true(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|&stop| stop).await;
}

async fn read_batch(
    rings: &mut Rings,
    intake: &mut Intake,
    outbox: &mpsc::Sender<Released>,
) -> Result<usize, AgentError> {
    let room = outbox.capacity() > 0;
    let now = boot_now();
    let mut released = Released::default();
    let mut read = rings.drops.drain(BATCH, |event| released.summaries.extend(intake.take(event, now, room)));
    if let Some(ring) = &mut rings.silent {
        read += ring.drain(BATCH, |event| released.silent.extend(intake.take_silent(event, now, room)));
    }
    send(outbox, released).await?;
    send(outbox, intake.take_evicted()).await?;
    Ok(read)
}

async fn send(outbox: &mpsc::Sender<Released>, released: Released) -> Result<(), AgentError> {
    if released.is_empty() {
        return Ok(());
    }
    outbox.send(released).await.map_err(|_| AgentError::ReportingEnded)
}

fn report_all<S: Sink>(
    mut reporting: Reporting<S>,
    mut inbox: mpsc::Receiver<Released>,
    mut untold: Untold,
    intervals: Intervals,
    mut live: watch::Receiver<Live>,
    pulse: &Pulse,
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
        // Where counts begin, before the first drop.
        tell_totals(&mut reporting, &mut untold);
        loop {
            tokio::select! {
                released = inbox.recv() => match released {
                    Some(released) => reporting.report(released, WallClock::read()),
                    None => break,
                },
                _ = totals.tick() => tell_totals(&mut reporting, &mut untold),
                _ = flush.tick() => {
                    pulse.reporting_moved();
                    reporting.sink.flush();
                }
                settings = Live::next(&mut live) => {
                    reporting.sink.set_policy(Policy::new(&settings.severity));
                    totals = interval(Intervals::totals_within(settings.dedup.window));
                    totals.set_missed_tick_behavior(MissedTickBehavior::Delay);
                }
            }
        }
        tell_totals(&mut reporting, &mut untold);
        reporting.sink.flush();
    });
}

/// What is told as numbers at the end of a window.
struct Untold {
    counters: Counters,
    ledger: Arc<Ledger>,
    silent: SilentTotals,
}

fn tell_totals<S: Sink>(reporting: &mut Reporting<S>, untold: &mut Untold) {
    let sites = untold.counters.sites();
    reporting.report_silent(untold.silent.take_untold(&sites), WallClock::read());
    reporting.report_totals(&sites, untold.ledger.decode_errors(), WallClock::read());
}

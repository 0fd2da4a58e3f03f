//! `record`: raw events into a file, so that a case can be shown again anywhere.

use super::args::RecordArgs;
use crate::agent;
use crate::config::Config;
use crate::enrich::Host;
use crate::enrich::symbols::KernelSymbols;
use crate::ledger::KernelCounts;
use crate::probe::{Probe, ProbeError, Ring};
use crate::reasons::names::ReasonNames;
use crate::recording::{Clock, Header, Known, Recorder};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Events that are taken before the loop looks up.
const BATCH: usize = 256;
/// How often what was recorded goes to the file, so that a crash costs little.
const FLUSH: Duration = Duration::from_secs(1);

/// Why recording failed.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The probe could not be used.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// Another reader has the ring.
    #[error("the probe's ring is read by another part of this process")]
    RingTaken,
    /// It would be lost.
    #[error("{} exists already, and is left as it is: choose another file, or --force to overwrite it", .0.display())]
    Exists(PathBuf),
    /// No file.
    #[error("{} cannot be written: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file takes no more.
    #[error(
        "{} cannot be written any more: {source}. What was written by then can be replayed: at most {events} events",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// Events that were recorded; the last of them may not have reached the file.
        events: u64,
        /// Why.
        source: io::Error,
    },
    /// Signals can't be waited for.
    #[error("SIGTERM and SIGINT cannot be waited for: {0}")]
    Signals(io::Error),
}

/// Records until SIGINT or SIGTERM, or until there is as much as `args` ask for.
///
/// # Errors
/// See [`RecordError`].
pub async fn run(config: Config, args: RecordArgs) -> Result<(), RecordError> {
    let (stop, stopped) = watch::channel(false);
    agent::stop_on_signal(stop).map_err(RecordError::Signals)?;
    let mut probe = Probe::load(&config.probe)?;
    probe.set_admission(&config.admission)?;
    probe
        .set_filter(&config.filter)?
        .warning()
        .inspect(|warning| anstream::eprintln!("tcpdrop-otel: {warning}"));
    // After the probe: its rights are what is missing most often, and then no empty file is left behind.
    let file = create(&args.output, args.force)?;
    let reasons: ReasonNames = probe.reason_names().clone();
    let host = Host::new(&config.enrich, reasons.clone(), probe.boundaries().clone());
    let symbols = KernelSymbols::default();
    let boundaries = host.boundaries();
    let known = Known { reasons: &reasons, symbols: &symbols, boundaries: &boundaries };
    let header = Header::new(super::kernel_release(), super::observed_resource(), Clock::read());
    let ring = probe.take_ring()?.ok_or(RecordError::RingTaken)?;
    probe.attach()?;
    say(&args);

    let started = Recorder::start(BufWriter::new(file), &header, known);
    let write_error = |source, events| RecordError::Write { path: args.output.clone(), events, source };
    let recorder = started.map_err(|source| write_error(source, 0))?;
    let mut session = Session { ring, recorder, most: args.count.unwrap_or(u64::MAX), left_out: 0 };
    if let Err(source) = session.record(args.duration, stopped).await {
        return Err(write_error(source, session.recorder.events()));
    }
    probe.detach()?;
    let events = session.drain();
    let (kernel, sites) = (probe.counters().kernel()?, probe.counters().sites());
    let Session { recorder, left_out, .. } = session;
    let recorded = recorder.events();
    events
        .and_then(|()| recorder.finish(Clock::read(), left_out, kernel, &sites))
        .map_err(|source| write_error(source, recorded))?;
    conclude(&args.output, recorded, kernel);
    Ok(())
}

struct Session<'a, W> {
    ring: Ring,
    recorder: Recorder<'a, W>,
    /// Events to record.
    most: u64,
    left_out: u64,
}

impl<W: Write> Session<'_, W> {
    /// Until `duration` is over, `stop` turns true, or there are enough events.
    async fn record(
        &mut self,
        duration: Option<Duration>,
        mut stop: watch::Receiver<bool>,
    ) -> io::Result<()> {
        // Some limit has to be named: a hundred years is none.
        let over = sleep(duration.unwrap_or(Duration::from_secs(100 * 365 * 86_400)));
        tokio::pin!(over);
        let mut flush = interval(FLUSH);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.recorder.events() < self.most {
            tokio::select! {
                _ = stop.wait_for(|&stop| stop) => return Ok(()),
                () = &mut over => return Ok(()),
                readable = self.ring.readable() => readable?,
                _ = flush.tick() => {
                    self.recorder.clock(Clock::read())?;
                    self.recorder.flush()?;
                }
            }
            self.take(BATCH)?;
        }
        Ok(())
    }

    /// What is left in the ring.
    fn drain(&mut self) -> io::Result<()> {
        while self.take(BATCH)? > 0 {}
        Ok(())
    }

    fn take(&mut self, limit: usize) -> io::Result<usize> {
        let mut written = Ok(());
        let taken = self.ring.drain(limit, |event| {
            if written.is_err() || self.recorder.events() >= self.most {
                self.left_out += 1;
            } else {
                written = self.recorder.event(event);
            }
        });
        written.map(|()| taken)
    }
}

/// Readable by its owner only: it holds addresses of packets and of the kernel.
fn create(path: &Path, force: bool) -> Result<File, RecordError> {
    let mut options = File::options();
    options.write(true).mode(0o600);
    let options = if force { options.create(true).truncate(true) } else { options.create_new(true) };
    options.open(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => RecordError::Exists(path.to_owned()),
        _ => RecordError::Create { path: path.to_owned(), source },
    })
}

fn say(args: &RecordArgs) {
    let until = match (args.count, args.duration) {
        (Some(count), Some(time)) => {
            format!("{count} drops, for {} at most", humantime::format_duration(time))
        }
        (Some(count), None) => format!("{count} drops; Ctrl-C ends it earlier"),
        (None, Some(time)) => format!("dropped packets for {}", humantime::format_duration(time)),
        (None, None) => "dropped packets until Ctrl-C".to_owned(),
    };
    anstream::eprintln!("recording {until}");
}

fn conclude(path: &Path, recorded: u64, kernel: KernelCounts) {
    let path = path.display();
    anstream::eprintln!("recorded {recorded} drops in {path}; to see them: tcpdrop-otel replay {path}");
    let without_detail = kernel.suppressed + kernel.ring_lost;
    if without_detail > 0 {
        anstream::eprintln!(
            "{without_detail} more came too fast to be recorded in detail, and are in it as totals; a larger \
             probe.ring_bytes holds more"
        );
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_only_overwritten_by_force() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.jsonl");
        create(&path, false).unwrap().write_all(b"mine").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = create(&path, false).unwrap_err().to_string();
        assert!(error.contains("exists already") && error.contains("--force"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        create(&path, true).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"");
        let nowhere = create(&directory.path().join("no/where"), false).unwrap_err().to_string();
        assert!(nowhere.contains("No such file or directory"), "{nowhere}");
    }
}

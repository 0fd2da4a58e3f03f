//! `demo`: a real drop on loopback, as text and as the OTLP record that it becomes.

use super::compact_json;
use super::console::{Console, Form};
use crate::config::Config;
use crate::dedup::Released;
use crate::enrich::clock::{WallClock, boot_now};
use crate::enrich::symbols::KernelSymbols;
use crate::packet_drop::PacketDrop;
use crate::pipeline::{Intake, Reporting};
use crate::probe::{Probe, ProbeError};
use crate::recording::Recording;
use crate::wire;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A drop of this kind, for hosts where none can be made.
pub const BUNDLED: &str = include_str!("demo_recording.json");
/// How long the drop may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a demonstration failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// No connection could be tried.
    #[error("no drop could be made on loopback: {0}; is the interface `lo` up?")]
    Loopback(io::Error),
    /// It was made and never came.
    #[error("the kernel dropped a packet on loopback, but the probe did not report it within {PATIENCE:?}")]
    Silent,
    /// The probe could not be used.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// Nowhere to write to.
    #[error("the output could not be written: {0}")]
    Output(#[from] io::Error),
    /// The bundled recording is broken.
    #[error("the bundled recording cannot be read: {0}")]
    Bundled(#[from] serde_json::Error),
}

/// Makes a drop and shows it; without the right to, shows a recorded one and says so.
///
/// # Errors
/// See [`DemoError`].
pub async fn run(config: &Config, json: bool) -> Result<(), DemoError> {
    let (recording, introduction) = match capture(config).await {
        Ok((recording, port)) => {
            let introduction = format!(
                "A connection to 127.0.0.1:{port}, where nothing listens: this kernel ({}) dropped the SYN.",
                recording.kernel
            );
            (recording, introduction)
        }
        Err(DemoError::Probe(cause)) => {
            let recording: Recording = serde_json::from_str(BUNDLED)?;
            let introduction = format!(
                "The probe cannot run here: {cause}.\n\nSo this is a drop that was recorded on Linux {}: a SYN to a closed port.",
                recording.kernel
            );
            (recording, introduction)
        }
        Err(error) => return Err(error),
    };
    let mut out = anstream::stdout();
    if json {
        // Standard output is for the record alone.
        anstream::eprintln!("{introduction}");
        return Ok(show(&recording, Form::json(config), out)?);
    }
    writeln!(out, "{introduction}\n")?;
    let classic = Form::classic(&out);
    show(&recording, classic, &mut out)?;
    writeln!(out, "As an OTLP log record, which `tcpdrop-otel run` sends to a Collector:\n")?;
    let mut line = Vec::new();
    show(&recording, Form::json(config), &mut line)?;
    let record: serde_json::Value = serde_json::from_slice(&line)?;
    writeln!(out, "{}", compact_json::to_string(&record))?;
    Ok(())
}

/// A drop made on loopback, and the port that refused.
///
/// # Errors
/// See [`DemoError`].
pub async fn capture(config: &Config) -> Result<(Recording, u16), DemoError> {
    let mut probe = Probe::load(&config.probe)?;
    let mut ring = probe.take_ring()?.ok_or(DemoError::Silent)?;
    probe.attach()?;
    let port = refused_port().map_err(DemoError::Loopback)?;
    let arrival = tokio::time::timeout(PATIENCE, async {
        loop {
            let mut found = None;
            ring.readable().await?;
            ring.drain(usize::MAX, |event| {
                if let Ok(drop) = wire::decode(event)
                    && is_to(&drop, port)
                {
                    found = Some((event.to_vec(), drop));
                }
            });
            if let Some(event) = found {
                return io::Result::Ok(event);
            }
        }
    });
    let event = arrival.await.map_err(|_| DemoError::Silent)?.map_err(DemoError::Loopback)?;
    probe.detach()?;
    let reasons = probe.reason_names().clone().into();
    let symbols = KernelSymbols::default();
    let kernel = super::kernel_release();
    Ok((Recording::new(kernel, WallClock::read(), &[event], &reasons, &symbols), port))
}

/// Knocks at a port where nothing listens.
fn refused_port() -> io::Result<u16> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(port),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other(format!("port {port} was taken by another process at that moment"))),
    }
}

fn is_to(drop: &PacketDrop, port: u16) -> bool {
    drop.flow.and_then(|flow| flow.ports).is_some_and(|ports| ports.destination == port)
}

/// Sends a recording through the pipeline and shows what comes out.
fn show(recording: &Recording, form: Form, out: impl Write) -> io::Result<()> {
    let mut intake = Intake::new(&Config::default(), Arc::default(), Arc::default(), StdRng::from_os_rng());
    let console = Console { out, form, remaining: None, stop: watch::Sender::new(false) };
    let mut reporting = Reporting::new(recording.enricher(), console.start(), recording.clock().now());
    let events = recording.events().map(|event| event.unwrap_or_default());
    let summaries = events.filter_map(|event| intake.take(&event, boot_now(), true)).collect();
    reporting.report(Released { summaries, windows: Vec::new() }, recording.clock());
    if *reporting.sink.stop.borrow() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
}

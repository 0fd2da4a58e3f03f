//! `demo`: a real drop on loopback, as text and as the OTLP record that it becomes.

use super::compact_json;
use super::console::{Console, Form, JsonForm};
use super::stacks::StackChoice;
use crate::config::Config;
use crate::enrich::symbols::KernelSymbols;
use crate::packet_drop::PacketDrop;
use crate::probe::{Probe, ProbeError};
use crate::reasons::names::ReasonNames;
use crate::recording::{Clock, Header, Known, ReadError, Reader, Recorder, replay};
use crate::stack::Boundaries;
use crate::wire;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;
use tokio::sync::watch;

/// A drop of this kind, for hosts where none can be made.
pub const BUNDLED: &str = include_str!("demo_recording.jsonl");
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
    Bundled(#[from] ReadError),
}

/// Makes a drop and shows it; without the right to, shows a recorded one and says so.
///
/// # Errors
/// See [`DemoError`].
pub async fn run(config: &Config, json: bool) -> Result<(), DemoError> {
    match demonstrate(config, json).await {
        // Who reads has seen enough, as `head` has.
        Err(DemoError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        end => end,
    }
}

async fn demonstrate(config: &Config, json: bool) -> Result<(), DemoError> {
    let (recording, introduction) = match capture(config).await {
        Ok((recording, port)) => {
            let kernel = super::kernel_release();
            let introduction = format!(
                "A connection to 127.0.0.1:{port}, where nothing listens: this kernel ({kernel}) dropped the SYN.",
            );
            (recording, introduction)
        }
        Err(DemoError::Probe(cause)) => {
            let kernel = Reader::new(BUNDLED.as_bytes())?.header().kernel.clone();
            let introduction = format!(
                "The probe cannot run here: {cause}.\n\nSo this is a drop that was recorded on Linux {kernel}: a SYN to a closed port.",
            );
            (BUNDLED.as_bytes().to_vec(), introduction)
        }
        Err(error) => return Err(error),
    };
    let mut out = anstream::stdout();
    if json {
        // Standard output is for the record alone.
        anstream::eprintln!("{introduction}");
        out.write_all(&shown(&recording, config, None)?)?;
        return Ok(());
    }
    writeln!(out, "{introduction}\n")?;
    let classic = Form::classic(&out, StackChoice::Always);
    out.write_all(&shown(&recording, config, Some(classic))?)?;
    writeln!(out, "As an OTLP log record, which `tcpdrop-otel run` sends to a Collector:\n")?;
    let record: serde_json::Value =
        serde_json::from_slice(&shown(&recording, config, None)?).map_err(io::Error::from)?;
    writeln!(out, "{}", compact_json::to_string(&record))?;
    Ok(())
}

/// The recording of a drop made on loopback, and the port that refused.
///
/// # Errors
/// See [`DemoError`].
pub async fn capture(config: &Config) -> Result<(Vec<u8>, u16), DemoError> {
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
                    found = Some(event.to_vec());
                }
            });
            if let Some(event) = found {
                return io::Result::Ok(event);
            }
        }
    });
    let event = arrival.await.map_err(|_| DemoError::Silent)?.map_err(DemoError::Loopback)?;
    probe.detach()?;
    let reasons: ReasonNames = probe.reason_names().clone();
    let symbols = KernelSymbols::default();
    // Of one drop there is nothing to group, so stacks need not be cut.
    let boundaries = Boundaries::default();
    let known = Known { reasons: &reasons, symbols: &symbols, boundaries: &boundaries };
    let header = Header::new(super::kernel_release(), super::observed_resource(), Clock::read());
    let mut recorder = Recorder::start(Vec::new(), &header, known)?;
    recorder.event(&event)?;
    Ok((recorder.finish(Clock::read(), 0, Default::default(), &[])?, port))
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

/// What comes out when a recording goes through the pipeline: as OTLP/JSON, or in another form.
fn shown(recording: &[u8], config: &Config, form: Option<Form>) -> Result<Vec<u8>, DemoError> {
    let mut out = Vec::new();
    let console = |header: &Header, random| {
        let json = || Form::Json(Box::new(JsonForm::new(header.resource.clone(), config, random)));
        let form = form.unwrap_or_else(json);
        Console { out: &mut out, form, remaining: None, stop: watch::Sender::new(false) }.start()
    };
    replay(&mut Reader::new(recording)?, &Config::default(), console, || false)?;
    Ok(out)
}

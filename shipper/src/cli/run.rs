//! `run`: the agent.

use crate::agent::{self, Agent, Intervals};
use crate::config::Config;
use crate::export::sink::OtlpSink;
use crate::export::spool::Spool;
use crate::export::spool::memory::MemorySpool;
use crate::export::{Signal, send};
use crate::ledger::{Ledger, Snapshot};
use crate::pipeline::Intake;
use crate::probe::{Counters, Probe, ProbeError};
use crate::serve::{self, ServeError};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How long the last attempt to send may take. With what comes before and after, the process ends within two seconds.
const LAST_ATTEMPT: Duration = Duration::from_millis(1200);

/// Why the agent could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The probe could not be used.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// `/status` could not be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A task or thread could not be started.
    #[error("the pipeline could not be started: {0}")]
    Start(#[from] io::Error),
}

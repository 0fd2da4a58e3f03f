//! What `/status` and `/readyz` show.

use crate::export::send::ExportSnapshot;
use crate::ledger::Snapshot;
use crate::reload::ReloadCounts;
use crate::silent::books::SilentSnapshot;
use serde::Serialize;

/// Knows how the agent is. Asked by each request, so it must be quick.
pub trait StatusSource: Send + Sync {
    /// All of it.
    fn status(&self) -> Status;

    /// The metrics, in Prometheus' text format.
    ///
    /// # Errors
    /// Why they cannot be shown.
    fn metrics(&self) -> Result<String, String>;

    /// What keeps the agent from doing its work; empty if it does.
    fn ready(&self) -> Vec<NotReady>;
}

/// The agent at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Whether drops are seen and all stages move. A receiver that is away does not make the agent unhealthy.
    pub healthy: bool,
    /// The agent's version.
    pub version: &'static str,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Where each drop is.
    pub ledger: Snapshot,
    /// Drops that the tracepoint does not tell: beside the ledger.
    pub silent: SilentSnapshot,
    /// How often the configuration was read again.
    pub reloads: ReloadCounts,
    /// How the export goes.
    pub export: ExportSnapshot,
    /// What the kernel side tells about itself: program variant, kernel, sizes.
    pub probe: serde_json::Value,
}

/// Why the agent is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotReady {
    /// The part, by the name of its stage.
    pub part: &'static str,
    /// Cause and remedy.
    pub reason: String,
}

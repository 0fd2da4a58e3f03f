//! The machine that figures are of.

use crate::agent;
use serde::Serialize;
use std::fs::read_to_string;

/// What a reader needs to compare.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Kernel release.
    pub kernel: String,
    /// As `uname -m` has it.
    pub architecture: String,
    /// CPU model.
    pub cpu: String,
    /// CPUs.
    pub cpus: usize,
    /// Load average of the last minute, when the benchmark began.
    pub load_average: String,
    /// Size of the agent's program, in bytes.
    pub agent_bytes: u64,
    /// Whether the agent was built with optimisation.
    pub optimised: bool,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let names = rustix::system::uname();
        let cpuinfo = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
        let load = read_to_string("/proc/loadavg").unwrap_or_default();
        let agent = agent::binary();
        Self {
            kernel: names.release().to_string_lossy().into_owned(),
            architecture: names.machine().to_string_lossy().into_owned(),
            cpu: model.trim_start_matches([' ', '\t', ':']).to_owned(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            load_average: load.split(' ').next().unwrap_or_default().to_owned(),
            agent_bytes: agent.metadata().map_or(0, |metadata| metadata.len()),
            optimised: agent.components().any(|part| part.as_os_str() == "release"),
        }
    }
}

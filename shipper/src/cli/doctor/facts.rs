//! [`HostFacts`]: what this host says, as it says it. No judgement.

use crate::btf::Btf;
use crate::config::model;
use crate::enrich::clock::{WallClock, boot_now};
use crate::probe::{Probe, ProbeError};
use crate::reasons::names::ReasonNames;
use crate::silent::SilentSource;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the host says about what the agent needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostFacts {
    /// Release of the kernel.
    pub(super) kernel: String,
    /// The program that runs.
    pub(super) binary: PathBuf,
    /// Effective capabilities, as bits.
    pub(super) capabilities: u64,
    /// What the kernel's BTF has, or why it can't be read.
    pub(super) btf: Result<BtfFacts, String>,
    /// What came of loading the probe.
    pub(super) load: LoadFacts,
    /// `/sys/kernel/security/lockdown`.
    pub(super) lockdown: Option<String>,
    /// Whether `/proc/kallsyms` shows addresses, or why it can't be read.
    pub(super) kallsyms_shown: Result<bool, String>,
    /// `kernel.kptr_restrict`.
    pub(super) kptr_restrict: Option<i64>,
    /// `kernel.perf_event_paranoid`.
    pub(super) perf_event_paranoid: Option<i64>,
    /// `kernel.unprivileged_bpf_disabled`.
    pub(super) unprivileged_bpf_disabled: Option<i64>,
    /// Where the cgroup file system is.
    pub(super) cgroups: Cgroups,
    /// Boot clock, in nanoseconds.
    pub(super) boot_ns: u64,
    /// Wall clock, in nanoseconds.
    pub(super) unix_ns: u64,
    /// `MemAvailable`, in bytes.
    pub(super) memory_available: Option<u64>,
}

/// What the kernel's BTF has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BtfFacts {
    /// Parameters of the tracepoint, `__data` included.
    pub(super) tracepoint_parameters: Option<usize>,
    /// Names of drop reasons.
    pub(super) reasons: usize,
    /// Whether the kernel can iterate over open files.
    pub(super) has_task_file_iterator: bool,
}

/// What came of loading the probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum LoadFacts {
    /// It loaded.
    Loaded {
        /// Name of the program.
        program: &'static str,
        /// What the verifier looked at, where the kernel tells.
        verified_instructions: Option<u32>,
        /// How refused SYNs are seen.
        refused_syns: SilentSource,
    },
    /// The process lacks the rights.
    #[default]
    NoRights,
    /// The kernel refused it, or could not run it.
    Failed(String),
}

/// The cgroup file systems.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Cgroups {
    /// Version 2 alone.
    Unified,
    /// Version 2 beside version 1.
    Hybrid,
    /// No version 2.
    #[default]
    None,
}

impl HostFacts {
    /// Looks at the host. Loads the probe, and lets it go again.
    pub(super) fn read(settings: &model::Probe) -> Self {
        let clock = WallClock::read();
        Self {
            binary: std::env::current_exe().unwrap_or_else(|_| "tcpdrop-otel".into()),
            kernel: crate::cli::kernel_release(),
            capabilities: status_mask(&fs::read_to_string("/proc/thread-self/status").unwrap_or_default()),
            btf: Btf::of_kernel().map(|btf| BtfFacts::of(&Arc::new(btf))).map_err(|error| error.to_string()),
            load: match Probe::load(settings) {
                Ok(probe) => LoadFacts::Loaded {
                    program: probe.program_name(),
                    verified_instructions: probe.verified_instructions(),
                    refused_syns: probe.silent_source(),
                },
                Err(ProbeError::NoRights) => LoadFacts::NoRights,
                Err(error) => LoadFacts::Failed(error.to_string()),
            },
            lockdown: read_trimmed("/sys/kernel/security/lockdown"),
            kallsyms_shown: kallsyms_shown(),
            kptr_restrict: sysctl("kptr_restrict"),
            perf_event_paranoid: sysctl("perf_event_paranoid"),
            unprivileged_bpf_disabled: sysctl("unprivileged_bpf_disabled"),
            cgroups: Cgroups::read(Path::new("/sys/fs/cgroup")),
            boot_ns: boot_now().0,
            unix_ns: clock.now().0,
            memory_available: memory_available(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        }
    }
}

impl BtfFacts {
    fn of(btf: &Arc<Btf>) -> Self {
        let reasons = ReasonNames::of_kernel(btf).all().len();
        Self {
            tracepoint_parameters: btf.parameter_count("btf_trace_kfree_skb"),
            reasons,
            has_task_file_iterator: btf.struct_size("bpf_iter__task_file").is_some(),
        }
    }
}

impl Cgroups {
    fn read(root: &Path) -> Self {
        if root.join("cgroup.controllers").exists() {
            Self::Unified
        } else if root.join("unified/cgroup.controllers").exists() {
            Self::Hybrid
        } else {
            Self::None
        }
    }
}

fn read_trimmed(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn sysctl(name: &str) -> Option<i64> {
    read_trimmed(&format!("/proc/sys/kernel/{name}"))?.parse().ok()
}

/// The kernel shows all addresses or none; but some are zero on machines with per-CPU symbols at the start.
fn kallsyms_shown() -> Result<bool, String> {
    use std::io::{BufRead, BufReader};
    let file = fs::File::open("/proc/kallsyms").map_err(|error| error.to_string())?;
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(|error| error.to_string())?;
        if line.iter().take_while(|digit| digit.is_ascii_hexdigit()).any(|digit| *digit != b'0') {
            return Ok(true);
        }
    }
    Ok(false)
}

fn status_mask(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

fn memory_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_of_proc_are_understood() {
        assert_eq!(status_mask("Name:\tx\nCapEff:\t000000c400000000\n"), 0xc4 << 32);
        assert_eq!(status_mask(""), 0);
        assert_eq!(memory_available("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        assert_eq!(memory_available("MemAvailable: x kB"), None);
    }

    #[test]
    fn versions_of_cgroups_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Cgroups::read(root.path()), Cgroups::None);
        fs::create_dir(root.path().join("unified")).unwrap();
        fs::write(root.path().join("unified/cgroup.controllers"), "").unwrap();
        assert_eq!(Cgroups::read(root.path()), Cgroups::Hybrid);
        fs::write(root.path().join("cgroup.controllers"), "").unwrap();
        assert_eq!(Cgroups::read(root.path()), Cgroups::Unified);
    }
}

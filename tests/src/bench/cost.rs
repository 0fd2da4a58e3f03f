//! What a process costs, and what a BPF program does.

use aya::programs::{ProgramError, loaded_programs};
use aya::sys::{Stats, SyscallError, enable_stats};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// CPU time of a process, all threads, ended ones too. Zero once it is gone.
pub fn cpu_time(process: u32) -> Duration {
    let Ok(process) = libc::pid_t::try_from(process) else { return Duration::ZERO };
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointers are to variables of the types that the calls fill, alive during them.
    let read = unsafe {
        libc::clock_getcpuclockid(process, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    if !read {
        return Duration::ZERO;
    }
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// CPU time of a process once it does no more than idle, or after `limit`.
pub fn cpu_time_when_quiet(process: u32, limit: Duration) -> Duration {
    const LOOK: Duration = Duration::from_millis(50);
    const IDLE: Duration = Duration::from_millis(1);
    let start = Instant::now();
    let mut before = cpu_time(process);
    loop {
        std::thread::sleep(LOOK);
        let now = cpu_time(process);
        if now.saturating_sub(before) <= IDLE || start.elapsed() >= limit {
            return now;
        }
        before = now;
    }
}

/// Memory of a process, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// `VmRSS`: all that is resident.
    pub rss: u64,
    /// `RssAnon`: what no file backs.
    pub anonymous: u64,
}

/// Memory of a process (`proc_pid_status(5)`). Zero once it is gone.
pub fn memory(process: u32) -> Memory {
    let status = std::fs::read_to_string(proc_file(process, "status")).unwrap_or_default();
    let value = |key: &str| {
        let rest = status.lines().find_map(|line| line.strip_prefix(key))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    Memory { rss: value("VmRSS:").unwrap_or(0), anonymous: value("RssAnon:").unwrap_or(0) }
}

fn proc_file(process: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{process}/{name}"))
}

/// Makes the kernel count runs of programs and their time, while it is held. It costs each run two looks at the clock.
#[derive(Debug)]
pub struct RunTimeStatistics {
    _descriptor: OwnedFd,
}

impl RunTimeStatistics {
    /// From here on.
    ///
    /// # Errors
    /// Without the rights.
    pub fn enable() -> Result<Self, SyscallError> {
        Ok(Self { _descriptor: enable_stats(Stats::RunTime)? })
    }
}

/// Runs of all loaded programs at a moment.
#[derive(Clone, Debug, Default)]
pub struct Runs(BTreeMap<u32, Run>);

/// How often a program ran, and for how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Runs.
    pub count: u64,
    /// Their time, with what the statistics cost.
    pub time: Duration,
}

impl Run {
    /// Nanoseconds of a run, in the mean.
    pub fn mean(self) -> f64 {
        self.time.as_nanos() as f64 / self.count as f64
    }
}

impl Runs {
    /// Now.
    ///
    /// # Errors
    /// Without the rights.
    pub fn read() -> Result<Self, ProgramError> {
        let mut runs = BTreeMap::new();
        for program in loaded_programs() {
            // One that was unloaded meanwhile.
            let Ok(program) = program else { continue };
            runs.insert(program.id(), Run { count: program.run_count(), time: program.run_time() });
        }
        Ok(Self(runs))
    }

    /// Programs that were not there before.
    pub fn programs_since(&self, earlier: &Self) -> Vec<u32> {
        self.0.keys().filter(|id| !earlier.0.contains_key(id)).copied().collect()
    }

    /// Of `programs`, the one that ran most since `earlier`, and its runs since then.
    pub fn busiest_since(&self, earlier: &Self, programs: &[u32]) -> Option<Run> {
        let since = |id: &u32| {
            let now = self.0.get(id)?;
            let before = earlier.0.get(id).copied().unwrap_or_default();
            Some(Run { count: now.count - before.count, time: now.time.saturating_sub(before.time) })
        };
        programs.iter().filter_map(since).filter(|run| run.count > 0).max_by_key(|run| run.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_goes_on_and_memory_is_seen() {
        let process = std::process::id();
        let before = cpu_time(process);
        let start = Instant::now();
        while cpu_time(process) == before {
            assert!(start.elapsed() < Duration::from_secs(10), "{before:?}");
        }
        let memory = memory(process);
        assert!(memory.rss > memory.anonymous && memory.anonymous > 0, "{memory:?}");
        assert_eq!(cpu_time(u32::MAX), Duration::ZERO);
    }
}

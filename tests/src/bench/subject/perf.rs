//! `perf record` on the tracepoint, with stacks.

use super::{Observed, Place, Running, Subject, interrupt, with_tracefs};
use crate::process::Process;
use crate::requirements::Requirement;
use crate::wait::wait_for;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

pub(super) struct Perf;

impl Subject for Perf {
    fn name(&self) -> &'static str {
        "perf record -g"
    }

    fn needs(&self) -> Vec<Requirement> {
        vec![Requirement::Tool("perf"), Requirement::Tool("unshare")]
    }

    fn start(&self, _place: &Place) -> Box<dyn Running> {
        let directory = tempfile::tempdir().expect("make a folder");
        let data = directory.path().join("perf.data");
        let ready = directory.path().join("ready");
        let [data_name, ready_name] = [&data, &ready].map(|path| path.display().to_string());
        // perf starts its command once it records.
        let wait = format!("touch {ready_name}; exec sleep infinity");
        let record = ["record", "-a", "-g", "-e", "skb:kfree_skb", "-o", &data_name, "--", "sh", "-c", &wait];
        let mut process =
            Process::start(with_tracefs("perf", &record), None, &directory.path().join("output.txt"));
        wait_for("perf to record", || {
            let ended = process.exited();
            assert!(ended.is_none(), "it ended: {ended:?}\n{}", process.output());
            ready.exists().then_some(())
        });
        Box::new(Recording { process, data, _directory: directory })
    }
}

struct Recording {
    process: Process,
    data: PathBuf,
    _directory: TempDir,
}

impl Running for Recording {
    fn process(&self) -> Option<u32> {
        Some(self.process.id())
    }

    fn programs(&self) -> Vec<u32> {
        Vec::new()
    }

    fn finish(mut self: Box<Self>) -> Observed {
        interrupt(&mut self.process);
        let statistics = Command::new("perf").args(["report", "--stats", "-i"]).arg(&self.data).output();
        let statistics = String::from_utf8_lossy(&statistics.expect("run perf").stdout).into_owned();
        let samples = samples(&statistics);
        Observed { described: Some(samples), counted: Some(samples) }
    }
}

/// From `SAMPLE events:      65632  (99.2%)`.
fn samples(statistics: &str) -> u64 {
    let line = statistics.lines().find_map(|line| line.trim().strip_prefix("SAMPLE events:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_from_the_statistics() {
        let statistics =
            "Aggregated stats:\n  TOTAL events:  9\n  LOST_SAMPLE events: 3\n  SAMPLE events:   7  (77.8%)\n";
        assert_eq!((samples(statistics), samples("")), (7, 0));
    }
}

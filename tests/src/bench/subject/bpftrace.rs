//! Debian's bpftrace, with the two one-liners that people use.

use super::{Observed, Place, Running, Subject, interrupt, programs_at_work, with_tracefs};
use crate::bench::cost::{RunTimeStatistics, Runs};
use crate::process::Process;
use crate::requirements::Requirement;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use tempfile::TempDir;

/// Counts by stack and reason in the kernel, and prints at the end.
pub(super) struct Counting;

/// Prints each drop.
pub(super) struct Printing;

const COUNTING: &str = "tracepoint:skb:kfree_skb { @[kstack, args->reason] = count(); }";
const PRINTING: &str = r#"tracepoint:skb:kfree_skb { printf("drop %d%s\n", args->reason, kstack); }"#;

impl Subject for Counting {
    fn name(&self) -> &'static str {
        "bpftrace, counting stacks"
    }

    fn needs(&self) -> Vec<Requirement> {
        NEEDS.to_vec()
    }

    fn start(&self, place: &Place) -> Box<dyn Running> {
        Box::new(Bpftrace::start(place, COUNTING, count_at_end))
    }
}

impl Subject for Printing {
    fn name(&self) -> &'static str {
        "bpftrace, printing stacks"
    }

    fn needs(&self) -> Vec<Requirement> {
        NEEDS.to_vec()
    }

    fn start(&self, place: &Place) -> Box<dyn Running> {
        Box::new(Bpftrace::start(place, PRINTING, count_printed))
    }
}

const NEEDS: [Requirement; 2] = [Requirement::Tool("bpftrace"), Requirement::Tool("unshare")];

struct Bpftrace {
    process: Process,
    programs: Vec<u32>,
    output: PathBuf,
    /// Drops in a line of the output.
    count: fn(&str) -> u64,
    _directory: TempDir,
}

impl Bpftrace {
    fn start(place: &Place, script: &str, count: fn(&str) -> u64) -> Self {
        let directory = tempfile::tempdir().expect("make a folder");
        let output = directory.path().join("output.txt");
        let before = Runs::read().expect("read the statistics of programs");
        let _statistics = RunTimeStatistics::enable().expect("enable statistics");
        let command = with_tracefs("bpftrace", &["-e", script]);
        let mut process = Process::start(command, None, &output);
        let programs = programs_at_work(place, &before, &mut process);
        Self { process, programs, output, count, _directory: directory }
    }
}

impl Running for Bpftrace {
    fn process(&self) -> Option<u32> {
        Some(self.process.id())
    }

    fn programs(&self) -> Vec<u32> {
        self.programs.clone()
    }

    fn finish(mut self: Box<Self>) -> Observed {
        interrupt(&mut self.process);
        let output = BufReader::new(File::open(&self.output).expect("open the output"));
        let counted = output.split(b'\n').map_while(Result::ok);
        let counted = counted.map(|line| (self.count)(&String::from_utf8_lossy(&line))).sum();
        Observed { described: Some(counted), counted: Some(counted) }
    }
}

/// The last line of a stack's entry: `, 3]: 1234`.
fn count_at_end(line: &str) -> u64 {
    let count = line.strip_prefix(", ").and_then(|line| line.split_once("]: ")).map(|(_, count)| count);
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

fn count_printed(line: &str) -> u64 {
    line.starts_with("drop ").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_the_output() {
        let lines = ["Attaching 1 probe...", "@[", "    sk_skb_reason_drop+126", ", 3]: 1234", "drop 3"];
        assert_eq!(lines.map(count_at_end), [0, 0, 0, 1234, 0]);
        assert_eq!(lines.map(count_printed), [0, 0, 0, 0, 1]);
    }
}

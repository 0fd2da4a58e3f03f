//! One agent for the whole zoo: `tcpdrop-otel watch --json`, whose lines go through the whole pipeline.

use super::lab::Net;
use crate::agent;
use crate::otlp_json::{LogRecord, log_records};
use crate::process::Process;
use crate::wait::{PATIENCE, wait_for};
use rustix::process::Signal;
use std::fs::File;
use std::io::Read;
use std::sync::Mutex;
use tempfile::TempDir;

/// A running agent, and what it has told.
#[derive(Debug)]
pub struct Agent {
    process: Process,
    told: Mutex<Told>,
    _directory: TempDir,
}

#[derive(Debug)]
struct Told {
    file: File,
    rest: Vec<u8>,
    records: Vec<LogRecord>,
}

impl Agent {
    /// Starts it, and waits until it watches.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("make a folder");
        let path = directory.path().join("watch.jsonl");
        let mut command = agent::command(agent::binary());
        // Whatever else goes on here, no drop of the zoo's is to be told as a number only.
        command.args(["watch", "--json", "--set", "admission.per_site_per_second=100000"]);
        let process = Process::start(command, None, &path);
        let file = File::open(&path).expect("open the agent's output");
        let told = Mutex::new(Told { file, rest: Vec::new(), records: Vec::new() });
        let agent = Self { process, told, _directory: directory };
        wait_for("the agent to watch", || agent.process.output().contains("watching").then_some(()));
        agent
    }

    /// The drops that it told of in a namespace since `start`, in nanoseconds since the epoch.
    pub fn drops_in(&self, nets: &[NetId], start: u64) -> Vec<LogRecord> {
        let mut told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        told.read_on();
        let wanted = |record: &&LogRecord| {
            record.time >= start
                && record.attributes.text("tcpdrop.record") == Some("drop")
                && nets.iter().any(|net| net.has(record))
        };
        told.records.iter().filter(wanted).cloned().collect()
    }

    /// Ends it, so that it tells all that it still holds.
    pub fn finish(&mut self) {
        self.process.signal(Signal::TERM);
        let (status, _) = self.process.wait(PATIENCE);
        assert!(status.success(), "the agent ended with {status}");
    }

    /// What it says about itself.
    pub fn words(&self) -> String {
        let output = self.process.output();
        output.lines().filter(|line| !line.starts_with('{')).collect::<Vec<_>>().join("\n")
    }
}

impl Told {
    fn read_on(&mut self) {
        let mut bytes = Vec::new();
        self.file.read_to_end(&mut bytes).expect("read the agent's output");
        self.rest.extend(bytes);
        let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') else { return };
        let lines: Vec<u8> = self.rest.drain(..=end).collect();
        let text = String::from_utf8_lossy(&lines);
        let json: String = text.split_inclusive('\n').filter(|line| line.starts_with('{')).collect();
        self.records.extend(log_records(&json));
    }
}

/// By what records name a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetId {
    inode: u64,
    since: u64,
    cookie: Option<u64>,
}

impl From<&Net> for NetId {
    fn from(net: &Net) -> Self {
        Self { inode: net.inode, since: net.since, cookie: net.cookie }
    }
}

impl NetId {
    /// Inode numbers are used again soon, cookies never.
    fn has(&self, record: &LogRecord) -> bool {
        let is = |name, value: u64| record.attributes.text(name) == Some(value.to_string().as_str());
        record.time >= self.since
            && is("tcpdrop.netns", self.inode)
            && self.cookie.is_none_or(|cookie| is("tcpdrop.netns_cookie", cookie))
    }
}

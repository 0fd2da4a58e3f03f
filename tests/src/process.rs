//! Child processes: output into a file, signals by pid, bounded waits, ended on drop.

use crate::netns::Namespace;
use crate::wait;
use rustix::process::{Pid, Signal};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running child process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts `command`, in `namespace` if one is given, its output appended to the file `output`.
    pub fn start(mut command: Command, namespace: Option<&Namespace>, output: &Path) -> Self {
        let file = File::options().create(true).append(true).open(output).expect("open the output file");
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("share the output file")).stderr(file);
        let mut spawn = || command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        let child = match namespace {
            Some(namespace) => namespace.run(spawn),
            None => spawn(),
        };
        Self { child, output: output.to_owned() }
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed, on stdout and stderr.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.output).unwrap_or_default()).into_owned()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap_or_else(|error| panic!("signal {pid:?}: {error}"));
    }

    /// Its exit status, once it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait for a child")
    }

    /// Waits until it ends, at most for `limit`: its exit status, and how long it took.
    pub fn wait(&mut self, limit: Duration) -> (ExitStatus, Duration) {
        let start = Instant::now();
        let status = wait::poll(limit, || self.exited());
        let status = status.unwrap_or_else(|| {
            panic!("process {} still runs after {limit:?}:\n{}", self.id(), self.output())
        });
        (status, start.elapsed())
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        // Fails only if it has ended already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {}:\n{}", self.output.display(), self.output());
        }
    }
}

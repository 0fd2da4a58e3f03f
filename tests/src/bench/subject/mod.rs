//! What is measured side by side. Each is started, sees some storms, and is ended; a new one is a file here, and a line in
//! [`all`].

mod agent;
mod bpftrace;
mod empty;
mod nothing;
mod perf;

pub use agent::AgentRun;

use crate::bench::cost::Runs;
use crate::bench::workload::Workload;
use crate::blaster::{Sender, Storm, blast};
use crate::netns::Namespace;
use crate::process::Process;
use crate::requirements::Requirement;
use crate::wait::{PATIENCE, wait_for};
use rustix::process::Signal;
use std::process::Command;
use std::time::Duration;

/// Name of the subject that the others' rates are compared with.
pub const REFERENCE: &str = empty::NAME;

/// Name of the host as it is.
pub const BASELINE: &str = nothing::NAME;

/// Name of the agent with its defaults.
pub const AGENT: &str = "agent";

/// Something that looks at drops.
pub trait Subject {
    /// Short, unique.
    fn name(&self) -> &'static str;
    /// What it needs.
    fn needs(&self) -> Vec<Requirement>;
    /// Starts it, and waits until it looks.
    fn start(&self, place: &Place) -> Box<dyn Running>;
}

/// A subject at work.
pub trait Running {
    /// Its process, if it is one.
    fn process(&self) -> Option<u32>;
    /// Its BPF programs.
    fn programs(&self) -> Vec<u32>;
    /// Ends it, and asks what it has seen.
    fn finish(self: Box<Self>) -> Observed;
}

/// What a subject says that it saw, of the whole host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Drops with their stacks.
    pub described: Option<u64>,
    /// Drops that are in its count.
    pub counted: Option<u64>,
}

/// Where drops are made.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The namespace that has no other traffic.
    pub namespace: &'a Namespace,
}

/// All of them, in the order of the table.
pub fn all() -> Vec<Box<dyn Subject>> {
    vec![
        Box::new(nothing::Nothing),
        Box::new(empty::Empty),
        Box::new(agent::Agent { name: AGENT, settings: &[] }),
        Box::new(agent::Agent {
            name: "agent, admission off",
            settings: &["admission.per_site_per_second=0"],
        }),
        Box::new(bpftrace::Counting),
        Box::new(bpftrace::Printing),
        Box::new(perf::Perf),
    ]
}

/// A command that finds tracefs where tools look for it. Mounted for it alone: the host's mounts stay as they are.
fn with_tracefs(program: &str, arguments: &[&str]) -> Command {
    const SCRIPT: &str =
        "mountpoint -q /sys/kernel/tracing || mount -t tracefs tracefs /sys/kernel/tracing; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT, "sh", program]).args(arguments);
    command
}

/// Makes drops until a program that is not in `before` runs, and gives the new programs.
fn programs_at_work(place: &Place, before: &Runs, process: &mut Process) -> Vec<u32> {
    wait_for("a program that sees drops", || {
        let ended = process.exited();
        assert!(ended.is_none(), "it ended: {ended:?}\n{}", process.output());
        let earlier = Runs::read().ok()?;
        let programs = earlier.programs_since(before);
        blast(&Storm {
            senders: vec![Sender { cpu: None, namespace: Some(place.namespace) }],
            packets: 10,
            ..Workload::default().storm(place.namespace, Duration::from_secs(1))
        });
        Runs::read().ok()?.busiest_since(&earlier, &programs).map(|_| programs)
    })
}

/// Ends a tool as someone at a terminal would.
fn interrupt(process: &mut Process) {
    process.signal(Signal::INT);
    process.wait(PATIENCE);
}

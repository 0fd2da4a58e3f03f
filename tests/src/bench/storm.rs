//! The agent alone, in a storm of several windows: CPU, memory, and whether each drop is accounted for.

use super::cost::{Memory, cpu_time, cpu_time_when_quiet, memory};
use super::subject::{AgentRun, Running};
use super::workload::{Shape, Workload};
use crate::blaster::{Counts, Storm, blast};
use crate::netns::Namespace;
use crate::receiver::Receiver;
use serde::Serialize;
use std::time::Duration;

/// Packets a second where the CPU of the agent is measured.
pub const STEADY_RATE: u64 = 300_000;

/// A storm and what the agent made of it.
#[derive(Clone, Debug, Serialize)]
pub struct StormReport {
    /// The flows and cores.
    pub workload: Workload,
    /// Packets a second that were asked for; as many as the kernel takes if there are none.
    pub asked_per_second: Option<u64>,
    /// Seconds.
    pub seconds: f64,
    /// Drops a second that there were.
    pub drops_per_second: f64,
    /// CPU of the agent during the storm, in percent of a core.
    pub cpu_percent_of_a_core: f64,
    /// Its memory before.
    pub memory_before_kib: Memory,
    /// Its memory at the end of the storm.
    pub memory_kib: Memory,
    /// Drops by the kernel's own counters of the namespace.
    pub drops: u64,
    /// Whether `told` is `seen` less `filtered` and `own`.
    pub exact: bool,
    /// Sum of `tcpdrop.count` over the records at the receiver.
    pub told: u64,
    /// Records at the receiver.
    pub records: u64,
    /// By the agent.
    pub seen: u64,
    /// By the agent: excluded by a filter.
    pub filtered: u64,
    /// By the agent: its own traffic.
    pub own: u64,
    /// By the agent: sent to user space, with a stack.
    pub admitted: u64,
    /// By the agent: counted without detail, over budget.
    pub suppressed: u64,
    /// By the agent: counted without detail, the ring was full.
    pub ring_lost: u64,
    /// Beside the count: events that the kernel did not hand over.
    pub missed: u64,
}

/// The storms that are asked about: a steady one of one stack, and as many flows as there could be.
pub fn measure(namespace: &Namespace, duration: Duration) -> Vec<StormReport> {
    let one = |shape| Workload { shape, cores: 1 };
    vec![
        ride(namespace, one(Shape::OneFlow), duration, Some(STEADY_RATE), &[]),
        ride(namespace, one(Shape::MillionFlows), duration, None, &[]),
        ride(namespace, one(Shape::PortScan), duration, None, &[]),
    ]
}

/// Starts the agent with `settings`, lets it ride out a storm, and ends it.
pub fn ride(
    namespace: &Namespace,
    workload: Workload,
    duration: Duration,
    per_second: Option<u64>,
    settings: &[&str],
) -> StormReport {
    let run = AgentRun::start(settings);
    let process = run.process().unwrap_or(0);
    let memory_before_kib = memory(process);
    let cpu_before = cpu_time(process);
    let counts = Counts::read(Some(namespace));
    let blasted = blast(&Storm { per_second, ..workload.storm(namespace, duration) });
    let memory_kib = memory(process);
    let cpu = cpu_time_when_quiet(process, Duration::from_secs(5)).saturating_sub(cpu_before);
    let counts = Counts::read(Some(namespace)) - counts;
    let (ledger, receiver) = run.end();
    let (records, told) = sum(&receiver);
    ledger.assert_balanced();
    StormReport {
        workload,
        asked_per_second: per_second,
        seconds: blasted.wall.as_secs_f64(),
        drops_per_second: blasted.rate(),
        cpu_percent_of_a_core: 100.0 * cpu.as_secs_f64() / blasted.wall.as_secs_f64(),
        memory_before_kib,
        memory_kib,
        drops: counts.received + counts.backlog_full,
        exact: told + ledger.sum(&["filtered", "own"]) == ledger.term("seen"),
        told,
        records,
        seen: ledger.term("seen"),
        filtered: ledger.term("filtered"),
        own: ledger.term("own"),
        admitted: ledger.term("admitted"),
        suppressed: ledger.term("suppressed"),
        ring_lost: ledger.term("ring_lost"),
        missed: ledger.term("missed"),
    }
}

/// Records, and the sum of `tcpdrop.count` over them.
fn sum(receiver: &Receiver) -> (u64, u64) {
    let arrivals = receiver.take();
    let count =
        |arrival: &crate::receiver::Arrival| arrival.number("tcpdrop.count").expect("a count in each record");
    (arrivals.len() as u64, arrivals.iter().map(count).sum())
}

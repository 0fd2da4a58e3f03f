//! What the agent costs a host that is well: its start, idle CPU, memory.

use super::cost::{Memory, cpu_time, memory};
use super::spread::Spread;
use crate::collector::Collector;
use crate::netns::connect_refused;
use crate::process::Process;
use crate::wait::{PATIENCE, poll, wait_for};
use crate::{agent, ports};
use serde::Serialize;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const FLOWS: u64 = 1000;
/// From one flow to the next: within the budget of a site on one CPU, so that each drop is described.
const PACE: Duration = Duration::from_millis(8);
/// What a start leaves to be done, such as the first connection, is not idling.
const SETTLE: Duration = Duration::from_secs(3);

/// What it costs.
#[derive(Clone, Debug, Serialize)]
pub struct Footprint {
    /// From the start of `watch --json --count 1` to its first line, while something knocks at a closed port each
    /// millisecond; milliseconds.
    pub start_to_first_drop_ms: Spread,
    /// From the start of `run` to the log line that says that it watches, with nobody at its endpoint; milliseconds.
    pub start_to_watching_ms: Spread,
    /// CPU while idle with a Collector that answers, in percent of a core.
    pub idle_cpu_percent_of_a_core: f64,
    /// For so many seconds.
    pub idle_seconds: u64,
    /// Drops of others meanwhile: only without them it is idle.
    pub drops_of_others: u64,
    /// Idle.
    pub memory_idle_kib: Memory,
    /// After some refused connections, each of another local port, are delivered.
    pub memory_after_flows_kib: Memory,
    /// How many.
    pub flows: u64,
}

/// Measures so many starts, and so long an idleness.
pub fn measure(starts: usize, idle: Duration) -> Footprint {
    let milliseconds = |measure: fn() -> Duration| {
        let values = (0..starts).map(|_| (measure().as_secs_f64() * 10_000.0).round() / 10.0);
        Spread::of(values).expect("at least one start")
    };
    let start_to_first_drop_ms = milliseconds(start_to_first_drop);
    let start_to_watching_ms = milliseconds(start_to_watching);
    let collector = Collector::start();
    let agent = agent::Options::with_defaults(&collector.http_endpoint()).start();
    let process = agent.process().id();
    let seen = || agent.ledger().term("seen");
    std::thread::sleep(SETTLE);
    let (seen_before, cpu, start) = (seen(), cpu_time(process), Instant::now());
    std::thread::sleep(idle);
    let idle_cpu = cpu_time(process).saturating_sub(cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    let drops_of_others = seen() - seen_before;
    let memory_idle_kib = memory(process);
    see_flows(&agent, FLOWS);
    Footprint {
        start_to_first_drop_ms,
        start_to_watching_ms,
        idle_cpu_percent_of_a_core: 100.0 * idle_cpu,
        idle_seconds: idle.as_secs(),
        drops_of_others,
        memory_idle_kib,
        memory_after_flows_kib: memory(process),
        flows: FLOWS,
    }
}

fn start_to_first_drop() -> Duration {
    let closed = closed_port();
    let seen = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !seen.load(Ordering::Relaxed) {
                connect_refused(closed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let start = Instant::now();
        let mut command = command(&["watch", "--json", "--count", "1"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("start the agent");
        let mut line = String::new();
        let read = BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line);
        let elapsed = start.elapsed();
        seen.store(true, Ordering::Relaxed);
        child.wait().expect("wait for the agent");
        assert!(read.expect("read its output") > 0, "watch ended without a drop");
        elapsed
    })
}

fn start_to_watching() -> Duration {
    let mut run = command(&["run", "--set", &format!("health.listen=127.0.0.1:{}", ports::free())]);
    run.env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", closed_port()));
    let directory = tempfile::tempdir().expect("make a folder");
    let start = Instant::now();
    let process = Process::start(run, None, &directory.path().join("agent.txt"));
    let is_watching =
        || process.output().contains("watching for dropped TCP packets").then(|| start.elapsed());
    // Looked for more often than `poll` does: it is milliseconds that count here.
    poll(PATIENCE, || {
        (0..20).find_map(|_| {
            is_watching().or_else(|| {
                std::thread::sleep(Duration::from_millis(1));
                None
            })
        })
    })
    .unwrap_or_else(|| panic!("the agent does not watch:\n{}", process.output()))
}

fn command(arguments: &[&str]) -> Command {
    let mut command = agent::command(agent::binary());
    command.args(arguments).args(["--config", "/dev/null"]);
    command
}

fn closed_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()))
}

/// Makes drops of as many flows, and waits until the agent has sent all that it knows of them.
fn see_flows(agent: &agent::Agent, flows: u64) {
    let delivered = || agent.ledger().term("delivered.drops");
    let before = delivered();
    let closed = closed_port();
    for _ in 0..flows {
        connect_refused(closed);
        std::thread::sleep(PACE);
    }
    wait_for("the drops to be delivered", || (delivered() >= before + flows).then_some(()));
}

//! What the agent costs a host that is well: `make bench-footprint` prints a table, and `--json FILE` writes the figures.
//! They are of this machine, and no gate of any test; docs/benchmarks.md has those of one machine beside the aims.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tcpdrop_otel_tests::collector::Collector;
use tcpdrop_otel_tests::netns::connect_refused;
use tcpdrop_otel_tests::requirements::Requirement;
use tcpdrop_otel_tests::wait::wait_for;
use tcpdrop_otel_tests::{agent, http, ports};

const STARTS: usize = 20;
const IDLE: Duration = Duration::from_secs(30);
const FLOWS: u64 = 1000;
/// What a start leaves to be done, such as the first connection, is not idling.
const SETTLE: Duration = Duration::from_secs(3);
const NEEDED: [Requirement; 3] = [Requirement::Root, Requirement::Btf, Requirement::Collector];

fn main() -> ExitCode {
    let report_file = match arguments().as_slice() {
        [] => None,
        [flag, file] if flag == "--json" => Some(PathBuf::from(file)),
        _ => {
            eprintln!("usage: footprint [--json FILE]");
            return ExitCode::from(2);
        }
    };
    if tcpdrop_otel_tests::requirements::skip("footprint", &NEEDED) {
        return ExitCode::FAILURE;
    }
    let report = measure();
    print!("{}", table(&report));
    if let Some(file) = report_file {
        std::fs::write(&file, format!("{report:#}\n")).expect("write the figures");
    }
    ExitCode::SUCCESS
}

fn arguments() -> Vec<String> {
    std::env::args().skip(1).collect()
}

fn measure() -> Value {
    let first_drop = Spread::of((0..STARTS).map(|_| start_to_first_drop()));
    let watching = Spread::of((0..STARTS).map(|_| RunningAgent::start(&closed_endpoint()).started_after));
    let collector = Collector::start();
    let agent = RunningAgent::start(&collector.http_endpoint());
    let idle = agent.idle_for(IDLE);
    let idle_memory = agent.memory();
    agent.see_flows(FLOWS);
    json!({
        "machine": machine(),
        "start_to_first_drop_ms": first_drop.json(),
        "start_to_watching_ms": watching.json(),
        "idle": idle,
        "memory_idle_kib": idle_memory,
        "memory_after_flows_kib": agent.memory(),
        "flows": FLOWS,
    })
}

/// From the start of `watch` to its first line, while something knocks at a closed port each millisecond.
fn start_to_first_drop() -> Duration {
    let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
    let seen = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !seen.load(Ordering::Relaxed) {
                connect_refused(closed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let start = Instant::now();
        let mut child = watch_command().spawn().expect("start the agent");
        let mut line = String::new();
        let read = BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line);
        let elapsed = start.elapsed();
        seen.store(true, Ordering::Relaxed);
        assert!(read.expect("read its output") > 0, "watch ended without a drop");
        child.wait().expect("wait for the agent");
        elapsed
    })
}

fn watch_command() -> Command {
    let mut command = agent::command(agent::binary());
    command.args(["watch", "--json", "--count", "1", "--config", "/dev/null"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Where nobody listens: so a start does not wait for a Collector, and none is needed for it.
fn closed_endpoint() -> String {
    format!("http://127.0.0.1:{}", ports::free())
}

/// `run` with its default settings.
struct RunningAgent {
    child: Child,
    health: SocketAddr,
    /// From its start to the line that says that it watches.
    started_after: Duration,
}

impl RunningAgent {
    fn start(endpoint: &str) -> Self {
        let health = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let mut command = agent::command(agent::binary());
        command.args(["run", "--config", "/dev/null", "--set", &format!("health.listen={health}")]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let start = Instant::now();
        let mut child = command.spawn().expect("start the agent");
        let mut lines = BufReader::new(child.stderr.take().expect("its log")).lines().map_while(Result::ok);
        let watching = lines.any(|line| line.contains("watching for dropped TCP packets"));
        let started_after = start.elapsed();
        assert!(watching, "the agent ended before it watched");
        // It must not block on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, health, started_after }
    }

    /// CPU time of `duration`, and the drops that the host had meanwhile: only without them is it idle.
    fn idle_for(&self, duration: Duration) -> Value {
        std::thread::sleep(SETTLE);
        let (seen, cpu, start) = (self.seen(), self.cpu_seconds(), Instant::now());
        std::thread::sleep(duration);
        let cpu_share = (self.cpu_seconds() - cpu) / start.elapsed().as_secs_f64();
        json!({
            "seconds": duration.as_secs(),
            "cpu_percent_of_a_core": 100.0 * cpu_share,
            "drops_of_others": self.seen() - seen,
        })
    }

    /// Makes drops of as many flows, and waits until the agent has sent all that it knows of them.
    fn see_flows(&self, flows: u64) {
        let before = self.term("/ledger/delivered/drops");
        let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        for _ in 0..flows {
            connect_refused(closed);
        }
        wait_for("the drops to be delivered", || {
            (self.term("/ledger/delivered/drops") >= before + flows).then_some(())
        });
    }

    fn seen(&self) -> u64 {
        self.term("/ledger/seen")
    }

    fn term(&self, pointer: &str) -> u64 {
        let status = http::get(self.health, "/status").expect("the agent answers").body;
        let status: Value = serde_json::from_str(&status).expect("JSON");
        status.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {pointer} in {status}"))
    }

    /// User and system time of all its threads (`proc_pid_stat(5)`, fields 14 and 15).
    fn cpu_seconds(&self) -> f64 {
        let stat = self.read_proc("stat");
        let after_name = stat.rsplit_once(')').expect("a process name").1;
        let ticks: u64 = after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("ticks"))
            .sum();
        ticks as f64 / rustix::param::clock_ticks_per_second() as f64
    }

    fn memory(&self) -> Value {
        let status = self.read_proc("status");
        json!({"rss": kibibytes(&status, "VmRSS:"), "anonymous": kibibytes(&status, "RssAnon:")})
    }

    fn read_proc(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).expect("read /proc")
    }
}

impl Drop for RunningAgent {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A value of a status file whose unit is kB, which means KiB.
fn kibibytes(file: &str, key: &str) -> u64 {
    let value =
        file.lines().find_map(|line| line.strip_prefix(key)).and_then(|rest| rest.split_whitespace().next());
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {key} in {file}"))
}

/// The middle and the ends of some durations.
struct Spread {
    median: Duration,
    min: Duration,
    max: Duration,
    runs: usize,
}

impl Spread {
    fn of(durations: impl Iterator<Item = Duration>) -> Self {
        let mut sorted: Vec<_> = durations.collect();
        sorted.sort_unstable();
        let runs = sorted.len();
        Self { median: sorted[runs / 2], min: sorted[0], max: sorted[runs - 1], runs }
    }

    fn json(&self) -> Value {
        let milliseconds = |duration: Duration| (duration.as_secs_f64() * 10_000.0).round() / 10.0;
        json!({
            "median": milliseconds(self.median),
            "min": milliseconds(self.min),
            "max": milliseconds(self.max),
            "runs": self.runs,
        })
    }
}

fn machine() -> Value {
    let names = rustix::system::uname();
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    json!({
        "kernel": names.release().to_string_lossy(),
        "architecture": names.machine().to_string_lossy(),
        "cpu": model.trim_start_matches([' ', '\t', ':']),
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "load_average_1_minute": load.split(' ').next(),
        "agent": program_size(agent::binary()),
    })
}

fn program_size(program: &Path) -> Value {
    json!({"bytes": program.metadata().map_or(0, |metadata| metadata.len())})
}

fn table(report: &Value) -> String {
    let start = |key: &str| {
        let Value::Object(spread) = &report[key] else { return String::new() };
        format!("{} ms ({} to {}, {} runs)", spread["median"], spread["min"], spread["max"], spread["runs"])
    };
    let mebibytes = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0) / 1024.0;
    let memory = |key: &str| {
        format!(
            "{:.1} MiB, of it {:.1} MiB anonymous",
            mebibytes(&format!("/{key}/rss")),
            mebibytes(&format!("/{key}/anonymous"))
        )
    };
    let (machine, idle) = (&report["machine"], &report["idle"]);
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    format!(
        "{}, {} CPUs, Linux {} {}, load {}

| what | measured | aim |
|---|---|---|
| `watch`: start to first drop shown | {} | 500 ms |
| `run`: start to watching | {} | |
| CPU, idle for {} s | {:.2} % of a core ({} drops of others meanwhile) | 0.2 % |
| memory, idle | {} | 40 MiB |
| memory after {} flows | {} | 40 MiB |
",
        text(&machine["cpu"]),
        machine["cpus"],
        text(&machine["kernel"]),
        text(&machine["architecture"]),
        text(&machine["load_average_1_minute"]),
        start("start_to_first_drop_ms"),
        start("start_to_watching_ms"),
        idle["seconds"],
        idle["cpu_percent_of_a_core"].as_f64().unwrap_or(0.0),
        idle["drops_of_others"],
        memory("memory_idle_kib"),
        report["flows"],
        memory("memory_after_flows_kib"),
    )
}

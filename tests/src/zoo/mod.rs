//! The drop zoo: real drops, each made on purpose in network namespaces, and what the record of each has to say, field by
//! field. One file for each family of scenarios, one function for each scenario, in one shape: set up, cause, expect;
//! what it set up ends with its scope.

pub mod expect;
pub mod field;
pub mod kernel;
pub mod lab;
pub mod packet;
pub mod scenarios;
pub mod sys;
pub mod table;
pub mod verdict;
pub mod watch;

use crate::netns::Family;
use crate::otlp_json::LogRecord;
use crate::wait::poll;
use expect::Expected;
use field::Field;
use kernel::Kernel;
use lab::{CLOSED_PORT, Containers, Net, Router, Wired};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use verdict::Verdict;
use watch::{Agent, NetId};

/// Scenarios that run at a time: most of their time they wait.
const SIDE_BY_SIDE: usize = 8;
/// How long the records of a scenario may take.
const TELLING: Duration = Duration::from_secs(15);

/// What a scenario needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A program in the `PATH`, beyond `ip`.
    Tool(&'static str),
    /// A file.
    File(&'static str),
    /// A kernel of this series or later.
    Kernel(u32, u32),
    /// A kind of interface, as `ip link add type` takes it.
    Link(&'static str),
}

impl Need {
    /// Reasons. Without them the agent leaves out what no loss looks like: a FIN by itself at a closed port or in TIME_WAIT,
    /// one in the queue of a closed socket, packets with nothing left in them (`docs/decisions/kernels-without-reasons.md`).
    pub const REASONS: Self = Self::Kernel(5, 17);
    /// What a socket refuses passes the tracepoint. Before, it can be seen where the compiler kept `tcp_drop()` only.
    pub const SOCKET_DROPS: Self = Self::Kernel(5, 18);
    /// The receiving socket is told. Before, nothing leads from a segment that its socket has queued to the network
    /// namespace, by which the zoo knows its own: device, route and socket are gone from it.
    pub const RECEIVING_SOCKET: Self = Self::Kernel(6, 11);

    fn is_missing(self) -> Option<String> {
        match self {
            Self::Tool(name) => {
                (!crate::requirements::Requirement::Tool(name).is_met()).then(|| format!("no {name}"))
            }
            Self::File(path) => (!Path::new(path).exists()).then(|| format!("no {path}")),
            Self::Kernel(major, minor) => {
                (Kernel::running() < Kernel(major, minor)).then(|| format!("needs Linux {major}.{minor}"))
            }
            Self::Link(kind) => (!Net::new().can_have_link(kind)).then(|| format!("no {kind} interfaces")),
        }
    }
}

/// One way to make a drop, or to make none.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What happens, in a few words.
    pub name: &'static str,
    families: &'static [Family],
    needs: &'static [Need],
    known_wrong: bool,
    run: fn(&Lab) -> Outcome,
}

impl Scenario {
    /// Over IPv4 and IPv6.
    pub const fn both(name: &'static str, run: fn(&Lab) -> Outcome) -> Self {
        Self { name, families: &[Family::V4, Family::V6], needs: &[], known_wrong: false, run }
    }

    /// There is only one for IPv4.
    pub const fn v4(name: &'static str, run: fn(&Lab) -> Outcome) -> Self {
        Self { families: &[Family::V4], ..Self::both(name, run) }
    }

    /// There is only one for IPv6.
    pub const fn v6(name: &'static str, run: fn(&Lab) -> Outcome) -> Self {
        Self { families: &[Family::V6], ..Self::both(name, run) }
    }

    /// Some of its fields are wrong, and that is known. It fails once they are right.
    #[must_use]
    pub const fn known_wrong(self) -> Self {
        Self { known_wrong: true, ..self }
    }

    /// With what it needs.
    #[must_use]
    pub const fn needs(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }
}

/// What a scenario has to its hands.
#[derive(Debug)]
pub struct Lab<'a> {
    /// IP version of this run.
    pub family: Family,
    agent: &'a Agent,
    kernel: Kernel,
    start: u64,
}

impl Lab<'_> {
    /// A host with a wire.
    pub fn wired(&self) -> Wired {
        Wired::new(self.family)
    }

    /// A host that passes packets on, with a wire on each side.
    pub fn router(&self) -> Router {
        Router::new(self.family)
    }

    /// Two containers on one host.
    pub fn containers(&self) -> Containers {
        Containers::new(self.family)
    }

    /// The end of a scenario: waits until the drops of `nets` are told of, or time is over.
    pub fn expect(&self, nets: &[&Net], expected: impl Into<Vec<Expected>>) -> Outcome {
        let expected: Vec<_> = expected.into().into_iter().map(|one| one.on_kernel(self.kernel)).collect();
        let nets: Vec<NetId> = nets.iter().map(|net| NetId::from(*net)).collect();
        let drops: u64 = expected.iter().map(Expected::drops).sum();
        poll(TELLING, || (self.told(&nets) >= drops).then_some(()));
        Outcome { nets, end: now(), expected, sentinel: false }
    }

    /// The end of a scenario that is to leave no record in `net`. A drop made for that purpose shows that it would have
    /// been told of.
    pub fn expect_nothing(&self, net: &Net) -> Outcome {
        let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, CLOSED_PORT));
        net.run(|| crate::netns::connect_refused(closed));
        let nets = vec![NetId::from(net)];
        let told = || self.agent.drops_in(&nets, self.start).iter().any(is_sentinel).then_some(());
        assert!(poll(TELLING, told).is_some(), "a drop in this namespace is not told of");
        Outcome { nets, end: now(), expected: Vec::new(), sentinel: true }
    }

    fn told(&self, nets: &[NetId]) -> u64 {
        self.agent.drops_in(nets, self.start).iter().map(LogRecord::count).sum()
    }
}

fn is_sentinel(record: &LogRecord) -> bool {
    record.attributes.text("network.interface.name") == Some("lo")
        && record.attributes.number("destination.port") == Some(CLOSED_PORT.into())
}

/// Nanoseconds since the epoch.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(since.as_nanos()).expect("a clock before 2554")
}

/// What a scenario did, and what is to be told of it.
#[derive(Debug)]
pub struct Outcome {
    nets: Vec<NetId>,
    end: u64,
    expected: Vec<Expected>,
    sentinel: bool,
}

/// A drop that was expected, and how it was told.
#[derive(Debug)]
pub struct Animal {
    /// What was expected.
    pub expected: Expected,
    /// Field by field.
    pub verdicts: BTreeMap<Field, Verdict>,
}

/// What became of a scenario.
#[derive(Debug)]
pub struct Sighting {
    /// Its name.
    pub name: &'static str,
    /// IP version of the run.
    pub family: Family,
    result: Result<Vec<Animal>, Absence>,
    unexpected: Vec<LogRecord>,
    known_wrong: bool,
}

/// Why a scenario was not made.
#[derive(Debug)]
enum Absence {
    /// The machine lacks something.
    Impossible(String),
    /// It went wrong.
    Failed(String),
}

impl Sighting {
    /// Name and IP version.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, if self.family == Family::V4 { "4" } else { "6" })
    }

    /// The drops that were expected.
    pub fn animals(&self) -> &[Animal] {
        self.result.as_deref().unwrap_or_default()
    }

    /// Why the machine cannot make it.
    pub fn absence(&self) -> Option<&str> {
        match &self.result {
            Err(Absence::Impossible(reason)) => Some(reason),
            _ => None,
        }
    }

    /// All that is wrong beside fields.
    pub fn failures(&self) -> Vec<String> {
        let failed = match &self.result {
            Err(Absence::Failed(reason)) => Some(reason.clone()),
            _ => None,
        };
        let unexpected = self.unexpected.iter().map(|record| format!("unexpected: {}", record.body));
        failed.into_iter().chain(unexpected).collect()
    }

    /// All that is wrong and not known to be, a line each.
    pub fn faults(&self) -> Vec<String> {
        let faults = self.all_faults();
        match (self.known_wrong, faults.is_empty()) {
            (false, _) => faults,
            (true, false) => Vec::new(),
            (true, true) => vec![format!("{}: is right now, take its mark away", self.title())],
        }
    }

    fn all_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for animal in self.animals() {
            for (field, verdict) in &animal.verdicts {
                if let Verdict::Wrong(what) = verdict {
                    faults.push(format!("{}: {field:?} should be {what}", self.title()));
                }
            }
        }
        faults.extend(self.failures().into_iter().map(|failure| format!("{}: {failure}", self.title())));
        faults
    }
}

/// Runs the scenarios whose name holds one of `parts`, or ends with it (`part$`), several at a time; all of them if there are
/// none.
pub fn run(parts: &[String]) -> Vec<Sighting> {
    let mut agent = Agent::start();
    let runs: Vec<(Scenario, Family)> = scenarios::all()
        .filter(|scenario| parts.is_empty() || parts.iter().any(|part| is_named(scenario.name, part)))
        .flat_map(|scenario| scenario.families.iter().map(move |&family| (scenario, family)))
        .collect();
    let hook = std::panic::take_hook();
    // A scenario that fails says so in the table.
    std::panic::set_hook(Box::new(|_| {}));
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some((scenario, family)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (start, result) = run_one(scenario, *family, &agent);
                    let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    done.push((*scenario, *family, start, result));
                }
            });
        }
    });
    std::panic::set_hook(hook);
    agent.finish();
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let order = |name| runs.iter().position(|(scenario, _)| scenario.name == name);
    done.sort_by_key(|(scenario, family, ..)| (order(scenario.name), *family));
    done.into_iter()
        .map(|(scenario, family, start, result)| judge(&agent, scenario, family, start, result))
        .collect()
}

/// Those of `parts` that name no scenario.
pub fn unknown(parts: &[String]) -> impl Iterator<Item = &String> {
    parts.iter().filter(|part| !scenarios::all().any(|scenario| is_named(scenario.name, part)))
}

fn is_named(name: &str, part: &str) -> bool {
    part.strip_suffix('$').map_or_else(|| name.contains(part), |end| name.ends_with(end))
}

fn run_one(scenario: &Scenario, family: Family, agent: &Agent) -> (u64, Result<Outcome, Absence>) {
    let start = now();
    if let Some(missing) = scenario.needs.iter().find_map(|need| need.is_missing()) {
        return (start, Err(Absence::Impossible(missing)));
    }
    let lab = Lab { family, agent, kernel: Kernel::running(), start };
    let result = catch_unwind(AssertUnwindSafe(|| (scenario.run)(&lab)));
    (start, result.map_err(|panic| Absence::Failed(panic_text(panic.as_ref()))))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words").to_owned()
}

/// Gives each record to the expectation that it is most like, and compares.
fn judge(
    agent: &Agent,
    scenario: Scenario,
    family: Family,
    start: u64,
    result: Result<Outcome, Absence>,
) -> Sighting {
    let sighting = |result, unexpected| {
        let known_wrong = scenario.known_wrong;
        Sighting { name: scenario.name, family, result, unexpected, known_wrong }
    };
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(absence) => return sighting(Err(absence), Vec::new()),
    };
    let mut records = agent.drops_in(&outcome.nets, start);
    records.retain(|record| record.time <= outcome.end && !(outcome.sentinel && is_sentinel(record)));
    let mut own: Vec<Vec<&LogRecord>> = outcome.expected.iter().map(|_| Vec::new()).collect();
    let mut unexpected = Vec::new();
    for record in &records {
        let likeness = |expected: &Expected, had: &Vec<&LogRecord>| {
            // Of two that are alike, the one that still waits for its record.
            let told: u64 = had.iter().map(|record| record.count()).sum();
            (expected.likeness(record), expected.takes_more(told))
        };
        let best = (0..own.len()).max_by_key(|&index| likeness(&outcome.expected[index], &own[index]));
        match best {
            Some(index) if likeness(&outcome.expected[index], &own[index]).1 => own[index].push(record),
            _ => unexpected.push(record.clone()),
        }
    }
    let animals = outcome
        .expected
        .into_iter()
        .zip(&own)
        .map(|(expected, records)| Animal { verdicts: expected.judge(records), expected });
    sighting(Ok(animals.collect()), unexpected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_names_scenarios_within_their_name_or_at_its_end() {
        assert!(is_named("netfilter: input, established", "input"));
        assert!(is_named("netfilter: input", "input$"));
        assert!(!is_named("netfilter: input, established", "input$"));
        let parts = ["closed port".to_owned(), "no such scenario".to_owned()];
        assert_eq!(unknown(&parts).collect::<Vec<_>>(), ["no such scenario"]);
    }

    #[test]
    fn the_portable_part_names_scenarios() {
        let lines = include_str!("../../kernels/portable").lines().filter(|line| !line.starts_with('#'));
        let names: Vec<String> = lines.map(str::to_owned).collect();
        assert!(!names.is_empty());
        let missing =
            names.iter().filter(|name| !scenarios::all().any(|scenario| scenario.name == name.as_str()));
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<&String>::new());
    }
}

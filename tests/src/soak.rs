//! The agent in everything that a bad day has, for as long as wanted: storms, pauses, a Collector that goes away and comes
//! back, SIGHUPs with other settings. At the end each drop must be in the Collector's records or in the ledger's line for
//! what was given up, and memory must not have grown.
//!
//! What happens is decided by the seed; how much of it fits into the time is not.

use crate::agent::{Agent, Options};
use crate::bench::cost::memory;
use crate::bench::workload::{STORM_PORT, Shape, Workload};
use crate::blaster::{Flows, Segment, Sender, Storm, blast};
use crate::collector::Collector;
use crate::ledger::Ledger;
use crate::netns::{Namespace, VethPair};
use crate::wait::{poll, wait_for};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Between two looks at the agent's memory.
const LOOK: Duration = Duration::from_millis(250);
/// By how much the last third's peak may be over the peak before it, in KiB: an allocator's slack, no leak.
const SLACK_KIB: u64 = 2048;

/// What was done, and what came of it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Of what happened.
    pub seed: u64,
    /// How long.
    pub seconds: f64,
    /// Storms.
    pub storms: u64,
    /// Pauses.
    pub pauses: u64,
    /// Restarts of the Collector, with a time without it.
    pub restarts: u64,
    /// SIGHUPs that were taken.
    pub reloads: u64,
    /// SIGHUPs with a wrong file, which were refused.
    pub refused_reloads: u64,
    /// Packets of the storms; each was dropped, some with their answer.
    pub packets: u64,
    /// Log records at the Collector, each once.
    pub records: u64,
    /// Records that came twice: resent after a restart.
    pub resent: u64,
    /// Sum of `tcpdrop.count` over the records.
    pub told: u64,
    /// What that sum must be by the agent's last ledger: seen, less filtered, own, refused and evicted.
    pub expected: u64,
    /// That ledger.
    pub ledger: serde_json::Value,
    /// Largest `VmRSS` of each third of the time, in KiB.
    pub rss_peaks_kib: [u64; 3],
}

impl Report {
    /// Whether each drop is accounted for.
    pub fn is_exact(&self) -> bool {
        self.told == self.expected
    }

    /// Whether the last third's peak of memory is no more than slack over the peak of the third before it.
    pub fn is_flat(&self) -> bool {
        let [_, before, last] = self.rss_peaks_kib;
        last <= before + SLACK_KIB
    }
}

/// Soaks for so long.
///
/// # Panics
/// If the agent ends, does not answer, or its last ledger does not balance.
pub fn soak(seed: u64, duration: Duration) -> Report {
    let pair = VethPair::new();
    let mut collector = Collector::start();
    let agent = Options::new(&collector.http_endpoint()).start();
    let (report, rss) = watch_memory(agent.process().id(), || {
        let mut day = Day {
            namespace: &pair.client,
            collector: &mut collector,
            agent: &agent,
            report: Report::default(),
        };
        day.go_on(seed, duration);
        day.report
    });
    let ledger = end(agent);
    collector.stop();
    let arrived = Arrived::at(&collector);
    Report {
        seed,
        seconds: duration.as_secs_f64(),
        records: arrived.records,
        resent: arrived.resent,
        told: arrived.told,
        expected: expected(&ledger),
        ledger: ledger.json().clone(),
        rss_peaks_kib: peaks(&rss),
        ..report
    }
}

/// Ends it, with what it still has delivered if the Collector takes it.
fn end(agent: Agent) -> Ledger {
    poll(Duration::from_secs(10), || (agent.ledger().term("waiting.records") == 0).then_some(()));
    let ledger = agent.terminate().ledger();
    ledger.assert_balanced();
    ledger
}

fn expected(ledger: &Ledger) -> u64 {
    const GIVEN_UP: [&str; 7] =
        ["filtered", "own", "refused.drops", "evicted.drops", "totals.refused", "totals.evicted", "untold"];
    ledger.term("seen") - ledger.sum(&GIVEN_UP)
}

/// Runs `work`, and gives the resident memory of `process` over that time.
fn watch_memory<T: Send>(process: u32, work: impl FnOnce() -> T) -> (T, Vec<u64>) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut rss = Vec::new();
            while !over.load(Ordering::Relaxed) {
                rss.push(memory(process).rss);
                std::thread::sleep(LOOK);
            }
            rss
        });
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        over.store(true, Ordering::Relaxed);
        let rss = watch.join().expect("watch the memory");
        (done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)), rss)
    })
}

fn peaks(rss: &[u64]) -> [u64; 3] {
    let third = rss.len().div_ceil(3).max(1);
    let peak = |number: usize| rss.chunks(third).nth(number).and_then(|part| part.iter().max());
    [0, 1, 2].map(|number| peak(number).copied().unwrap_or(0))
}

/// A bad day.
struct Day<'a> {
    namespace: &'a Namespace,
    collector: &'a mut Collector,
    agent: &'a Agent<'a>,
    report: Report,
}

#[derive(Clone, Copy)]
enum Happening {
    Storm,
    Pause,
    Restart,
    Reload,
    WrongFile,
    ReloadInAStorm,
}

impl Happening {
    /// One of each to begin with, then as chance has it: storms more often than the rest.
    fn all(random: &mut StdRng) -> impl Iterator<Item = Self> {
        use Happening::*;
        const EACH: [Happening; 6] = [Storm, Reload, Restart, WrongFile, ReloadInAStorm, Pause];
        const LATER: [Happening; 10] =
            [Storm, Storm, Storm, Storm, Pause, Pause, Restart, Reload, ReloadInAStorm, WrongFile];
        EACH.into_iter().chain(std::iter::repeat_with(|| *LATER.choose(random).unwrap_or(&Storm)))
    }
}

impl Day<'_> {
    fn go_on(&mut self, seed: u64, duration: Duration) {
        let [mut choice, mut random] = [seed, !seed].map(StdRng::seed_from_u64);
        let start = Instant::now();
        for happening in Happening::all(&mut choice) {
            if start.elapsed() >= duration {
                break;
            }
            self.live_through(happening, &mut random);
        }
    }

    fn live_through(&mut self, happening: Happening, random: &mut StdRng) {
        match happening {
            Happening::Storm => self.storm(random),
            Happening::Pause => self.pause(random),
            Happening::Restart => self.restart(random),
            Happening::Reload => self.reload(random),
            Happening::WrongFile => self.refused_reload(),
            Happening::ReloadInAStorm => self.reload_in_a_storm(random),
        }
    }

    fn storm(&mut self, random: &mut StdRng) {
        self.report.packets += blast(&any_storm(self.namespace, random)).packets;
        self.report.storms += 1;
    }

    fn pause(&mut self, random: &mut StdRng) {
        std::thread::sleep(Duration::from_millis(random.random_range(50..2000)));
        self.report.pauses += 1;
    }

    /// In good order: what a crash loses of what it took is not the agent's to keep.
    fn restart(&mut self, random: &mut StdRng) {
        self.collector.stop();
        self.storm(random);
        self.collector.restart(None);
        self.report.restarts += 1;
    }

    fn reload(&mut self, random: &mut StdRng) {
        let before = self.reloads("applied");
        self.agent.reload(&any_settings(random));
        wait_for("the settings to be taken", || (self.reloads("applied") > before).then_some(()));
        self.report.reloads += 1;
    }

    fn refused_reload(&mut self) {
        let before = self.reloads("refused");
        self.agent.reload("[dedup]\nwindow = \"soon\"\n");
        wait_for("the settings to be refused", || (self.reloads("refused") > before).then_some(()));
        self.report.refused_reloads += 1;
    }

    fn reload_in_a_storm(&mut self, random: &mut StdRng) {
        let storm = any_storm(self.namespace, random);
        std::thread::scope(|scope| {
            let blasting = scope.spawn(move || blast(&storm));
            self.reload(random);
            self.report.packets += blasting.join().expect("a storm").packets;
        });
        self.report.storms += 1;
    }

    fn reloads(&self, kind: &str) -> u64 {
        self.agent.status()["reloads"][kind].as_u64().expect("a count of reloads")
    }
}

fn any_storm<'a>(namespace: &'a Namespace, random: &mut StdRng) -> Storm<'a> {
    let shapes = [Shape::OneFlow, Shape::ManyFlows, Shape::MillionFlows, Shape::PortScan];
    let shape = *shapes.choose(random).unwrap_or(&Shape::OneFlow);
    let storm = Workload { shape, cores: random.random_range(1..=2) }
        .storm(namespace, Duration::from_millis(random.random_range(100..3000)));
    let segment = match random.random_range(0..6) {
        0 => Segment::Syn,
        1 => Segment::BadChecksum,
        2 => Segment::OldSequence,
        _ => Segment::Rst,
    };
    let per_second = random.random_bool(0.5).then(|| random.random_range(100..100_000));
    let seed = random.random_range(0..1_000_000);
    if segment == Segment::OldSequence {
        let senders = vec![Sender { cpu: None, namespace: Some(namespace) }];
        return Storm { senders, segment, flows: Flows::to_port(STORM_PORT, 20), per_second, seed, ..storm };
    }
    Storm { segment, per_second, seed, ..storm }
}

/// A configuration file with what can change at run time.
fn any_settings(random: &mut StdRng) -> String {
    let filters = [
        "",
        "[filter.exclude]\nports = [9]\n",
        "[filter.exclude]\nreasons = [\"TCP_CSUM\"]\n",
        "[filter.include]\nports = [9, \"1000-2000\"]\n",
        "[filter.include]\naddresses = [\"127.0.0.0/8\"]\ndirection = [\"receive\"]\n",
    ];
    format!(
        "{}[admission]\nper_site_per_second = {}\nburst = {}\nfirst_seen_reserve = {}\n[dedup]\nwindow = \"{}ms\"\nmax_flows_per_stack = {}\nmax_stacks = {}\n\
         [limit]\nper_stack_per_second = {}\nburst = {}\nglobal_per_second = {}\n",
        filters.choose(random).unwrap_or(&""),
        // 0 admits all.
        random.random_range(0..3) * random.random_range(1..20_000),
        random.random_range(1..10_000),
        random.random_range(1..1000),
        random.random_range(100..3000),
        random.random_range(1..=64),
        random.random_range(1..=4096),
        random.random_range(1..=50),
        random.random_range(1..=50),
        random.random_range(1..=100),
    )
}

/// What a Collector wrote.
#[derive(Default)]
struct Arrived {
    records: u64,
    resent: u64,
    told: u64,
}

impl Arrived {
    fn at(collector: &Collector) -> Self {
        let mut seen = HashMap::new();
        let mut arrived = Self::default();
        for record in collector.records() {
            let uid = record.attributes.text("log.record.uid").expect("an id on each record").to_owned();
            let count = record.count();
            match seen.insert(uid, count) {
                Some(before) => {
                    assert_eq!(before, count, "a record that came twice is not the same: {record:?}");
                    arrived.resent += 1;
                }
                None => {
                    arrived.records += 1;
                    arrived.told += count;
                }
            }
        }
        arrived
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::require;

    #[test]
    fn memory_that_grows_is_not_flat() {
        let report = |last| Report { rss_peaks_kib: [30_000, 32_000, last], ..Report::default() };
        assert_eq!(peaks(&[1, 5, 2, 3, 9, 4, 8]), [5, 9, 8]);
        assert!(report(32_000 + SLACK_KIB).is_flat() && report(10).is_flat());
        assert!(!report(32_001 + SLACK_KIB).is_flat());
    }

    /// A bad quarter of a minute. Memory needs longer to be judged: `make soak`.
    #[test]
    fn a_short_bad_day_loses_no_count() {
        require!(Root, Btf, Tool("ip"), Collector);
        let report = soak(6, Duration::from_secs(15));
        assert!(report.is_exact(), "{report:#?}");
        assert!(report.told > 0 && report.ledger["seen"].as_u64() >= Some(report.packets), "{report:#?}");
        for what in [report.storms, report.restarts, report.reloads, report.refused_reloads] {
            assert!(what > 0, "{report:#?}");
        }
    }
}

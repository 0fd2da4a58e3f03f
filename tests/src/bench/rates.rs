//! Side by side: what each subject costs a drop, and the host. In each round every subject sees every workload, in an order
//! that changes; ratios are of the same round.

use super::cost::{RunTimeStatistics, Runs, cpu_time, cpu_time_when_quiet, memory};
use super::spread::Spread;
use super::subject::{BASELINE, Place, REFERENCE, Running, Subject};
use super::workload::Workload;
use crate::blaster::{Blasted, Counts, blast};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::Serialize;
use std::time::Duration;

/// What is compared, where and how thoroughly.
pub struct Comparison {
    /// The empty program and nothing among them: ratios are with those.
    pub subjects: Vec<Box<dyn Subject>>,
    /// The storms.
    pub workloads: Vec<Workload>,
    /// How thoroughly.
    pub effort: Effort,
}

/// How thoroughly.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds.
    pub rounds: usize,
    /// How long a storm is measured.
    pub storm: Duration,
    /// How long a storm goes before it is measured.
    pub warm_up: Duration,
}

/// One subject in one workload and round.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// From 0.
    pub round: usize,
    /// Its name.
    pub subject: &'static str,
    /// The workload.
    pub workload: Workload,
    /// Drops a second of the whole host.
    pub drops_per_second: f64,
    /// CPU time of the sender for a drop, making the packet included, in nanoseconds. Who else runs is not in it.
    pub cpu_ns_per_drop: f64,
    /// Of the subject's BPF program, with what the statistics cost (in the empty program's, too).
    pub program_ns_per_drop: Option<f64>,
    /// Of the subject's process.
    pub cpu_seconds_per_million: Option<f64>,
}

/// What a subject saw in all workloads of a round.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    /// From 0.
    pub round: usize,
    /// Its name.
    pub subject: &'static str,
    /// By the kernel's own counters of the namespace.
    pub drops: u64,
    /// Drops that the subject has with their stacks, those of other namespaces too.
    pub described: Option<u64>,
    /// Drops that the subject counted, those of other namespaces too.
    pub counted: Option<u64>,
    /// `VmRSS` after the storms, in KiB.
    pub rss_kib: Option<u64>,
}

/// All that was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rates {
    /// The table's rows.
    pub rows: Vec<Row>,
    /// What subjects saw, over all rounds.
    pub seen: Vec<Seen>,
    /// Single measurements.
    pub samples: Vec<Sample>,
    /// Single sessions.
    pub sessions: Vec<Session>,
}

/// A subject in a workload.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The workload.
    pub workload: Workload,
    /// Subject.
    pub subject: &'static str,
    /// Nanoseconds of its program for a drop.
    pub program_ns_per_drop: Option<Spread>,
    /// Those less the empty program's of the same round, as a share of the CPU time of a drop with nothing loaded.
    pub share_of_a_drop: Option<Spread>,
    /// CPU time of a drop, in nanoseconds.
    pub cpu_ns_per_drop: Option<Spread>,
    /// Drops a second of the host.
    pub drops_per_second: Option<Spread>,
    /// Of those, with the empty program's in the same round.
    pub rate_to_empty: Option<Spread>,
    /// CPU seconds of its process for a million drops.
    pub cpu_seconds_per_million: Option<Spread>,
}

/// What a subject saw.
#[derive(Clone, Debug, Serialize)]
pub struct Seen {
    /// Subject.
    pub subject: &'static str,
    /// Drops by the kernel's count.
    pub drops: u64,
    /// With their stacks.
    pub described: Option<u64>,
    /// In its count.
    pub counted: Option<u64>,
    /// KiB.
    pub rss_kib: Option<Spread>,
}

/// Measures.
pub fn measure(comparison: &Comparison, place: &Place) -> Rates {
    let Comparison { subjects, workloads, effort } = comparison;
    let mut order: Vec<_> = subjects.iter().collect();
    let mut random = StdRng::seed_from_u64(0);
    let mut rates = Rates::default();
    for round in 0..effort.rounds {
        order.shuffle(&mut random);
        for subject in &order {
            eprintln!("round {} of {}: {}", round + 1, effort.rounds, subject.name());
            see(&mut rates, round, subject.as_ref(), workloads, place, *effort);
        }
    }
    rates.summarize(subjects, workloads);
    rates
}

/// A subject's turn in a round.
fn see(
    rates: &mut Rates,
    round: usize,
    subject: &dyn Subject,
    workloads: &[Workload],
    place: &Place,
    effort: Effort,
) {
    let name = subject.name();
    let running = subject.start(place);
    let before = Counts::read(Some(place.namespace));
    for &workload in workloads {
        let storm = |duration| blast(&workload.storm(place.namespace, duration));
        let (measured, run, cpu) = in_storm(running.as_ref(), storm, effort);
        rates.samples.push(Sample {
            round,
            subject: name,
            workload,
            drops_per_second: measured.rate(),
            cpu_ns_per_drop: measured.cpu.as_nanos() as f64 / measured.packets as f64,
            program_ns_per_drop: run,
            cpu_seconds_per_million: cpu,
        });
    }
    let rss_kib = running.process().map(|process| memory(process).rss);
    let observed = running.finish();
    let counts = Counts::read(Some(place.namespace)) - before;
    rates.sessions.push(Session {
        round,
        subject: name,
        drops: counts.received + counts.backlog_full,
        described: observed.described,
        counted: observed.counted,
        rss_kib,
    });
}

/// The storm that is measured, nanoseconds of the program for a drop, CPU seconds of the process for a million.
fn in_storm(
    running: &dyn Running,
    storm: impl Fn(Duration) -> Blasted,
    effort: Effort,
) -> (Blasted, Option<f64>, Option<f64>) {
    let process = running.process();
    let cpu_before = process.map(cpu_time);
    let warm_up = storm(effort.warm_up);
    let measured = storm(effort.storm);
    let (with_statistics, run) = program_time(running, || storm(effort.storm / 2));
    let packets = (warm_up.packets + measured.packets + with_statistics.packets) as f64;
    let cpu = process.zip(cpu_before).map(|(process, before)| {
        let after = cpu_time_when_quiet(process, Duration::from_secs(5));
        after.saturating_sub(before).as_secs_f64() / packets * 1e6
    });
    (measured, run, cpu)
}

fn program_time(running: &dyn Running, storm: impl FnOnce() -> Blasted) -> (Blasted, Option<f64>) {
    let programs = running.programs();
    if programs.is_empty() {
        return (storm(), None);
    }
    let _statistics = RunTimeStatistics::enable().expect("enable statistics");
    let before = Runs::read().expect("read the statistics of programs");
    let blasted = storm();
    let run = Runs::read().expect("read the statistics of programs").busiest_since(&before, &programs);
    (blasted, run.map(|run| run.mean()))
}

impl Rates {
    fn summarize(&mut self, subjects: &[Box<dyn Subject>], workloads: &[Workload]) {
        let names: Vec<_> = subjects.iter().map(|subject| subject.name()).collect();
        let pairs = workloads.iter().flat_map(|&workload| names.iter().map(move |&name| (workload, name)));
        self.rows = pairs.map(|(workload, name)| self.row(workload, name)).collect();
        self.seen = names.iter().map(|&name| self.seen_by(name)).collect();
    }

    fn row(&self, workload: Workload, subject: &'static str) -> Row {
        let samples = |name| {
            self.samples.iter().filter(move |sample| sample.subject == name && sample.workload == workload)
        };
        let in_round = |name, round| samples(name).find(move |sample| sample.round == round);
        let rate_to_empty = samples(subject).filter_map(|sample| {
            Some(sample.drops_per_second / in_round(REFERENCE, sample.round)?.drops_per_second)
        });
        let share_of_a_drop = samples(subject).filter_map(|sample| {
            let empty = in_round(REFERENCE, sample.round)?.program_ns_per_drop?;
            let drop = in_round(BASELINE, sample.round)?.cpu_ns_per_drop;
            Some((sample.program_ns_per_drop? - empty) / drop)
        });
        Row {
            workload,
            subject,
            program_ns_per_drop: Spread::of(samples(subject).filter_map(|sample| sample.program_ns_per_drop)),
            share_of_a_drop: Spread::of(share_of_a_drop),
            cpu_ns_per_drop: Spread::of(samples(subject).map(|sample| sample.cpu_ns_per_drop)),
            drops_per_second: Spread::of(samples(subject).map(|sample| sample.drops_per_second)),
            rate_to_empty: Spread::of(rate_to_empty),
            cpu_seconds_per_million: Spread::of(
                samples(subject).filter_map(|sample| sample.cpu_seconds_per_million),
            ),
        }
    }

    fn seen_by(&self, subject: &'static str) -> Seen {
        let sessions = || self.sessions.iter().filter(|session| session.subject == subject);
        let kibibytes = sessions().filter_map(|session| session.rss_kib).map(|rss| rss as f64);
        Seen {
            subject,
            drops: sessions().map(|session| session.drops).sum(),
            described: sessions().map(|session| session.described).sum(),
            counted: sessions().map(|session| session.counted).sum(),
            rss_kib: Spread::of(kibibytes),
        }
    }
}

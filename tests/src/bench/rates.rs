//! Side by side: what each subject costs a drop, and the host. In each round every subject sees every workload, in an order
//! that changes; ratios are of the same round.

use super::cost::{RunTimeStatistics, Runs, cpu_time, cpu_time_when_quiet, memory};
use super::spread::Spread;
use super::subject::{AGENT, BASELINE, Place, REFERENCE, Running, Subject};
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
    /// The agent beside each other tool.
    pub beside: Vec<Beside>,
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

/// The agent and another tool in the same workload and rounds.
#[derive(Clone, Debug, Serialize)]
pub struct Beside {
    /// The workload.
    pub workload: Workload,
    /// The other.
    pub subject: &'static str,
    /// Drops a second of the host with the agent, in multiples of those with the other.
    pub rate_of_agent: Spread,
    /// CPU seconds of the other's process for a drop, in multiples of the agent's.
    pub cpu_to_agent: Spread,
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
        let pairs = || workloads.iter().flat_map(|&workload| names.iter().map(move |&name| (workload, name)));
        self.rows = pairs().map(|(workload, name)| self.row(workload, name)).collect();
        self.beside = pairs().filter_map(|(workload, name)| self.beside(workload, name)).collect();
        self.seen = names.iter().map(|&name| self.seen_by(name)).collect();
    }

    fn samples(&self, workload: Workload, subject: &str) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.subject == subject && sample.workload == workload)
    }

    fn in_round(&self, workload: Workload, subject: &str, round: usize) -> Option<&Sample> {
        self.samples(workload, subject).find(|sample| sample.round == round)
    }

    /// What `ratio` makes of the samples of `subject` and `other` in the same round.
    fn paired(
        &self,
        workload: Workload,
        [subject, other]: [&str; 2],
        ratio: impl Fn(&Sample, &Sample) -> Option<f64>,
    ) -> Option<Spread> {
        Spread::of(
            self.samples(workload, subject)
                .filter_map(|sample| ratio(sample, self.in_round(workload, other, sample.round)?)),
        )
    }

    fn row(&self, workload: Workload, subject: &'static str) -> Row {
        let spread =
            |value: fn(&Sample) -> Option<f64>| Spread::of(self.samples(workload, subject).filter_map(value));
        let share_of_a_drop = self.paired(workload, [subject, REFERENCE], |sample, empty| {
            let nothing = self.in_round(workload, BASELINE, sample.round)?;
            Some((sample.program_ns_per_drop? - empty.program_ns_per_drop?) / nothing.cpu_ns_per_drop)
        });
        Row {
            workload,
            subject,
            program_ns_per_drop: spread(|sample| sample.program_ns_per_drop),
            share_of_a_drop,
            cpu_ns_per_drop: spread(|sample| Some(sample.cpu_ns_per_drop)),
            drops_per_second: spread(|sample| Some(sample.drops_per_second)),
            rate_to_empty: self.paired(workload, [subject, REFERENCE], rate),
            cpu_seconds_per_million: spread(|sample| sample.cpu_seconds_per_million),
        }
    }

    fn beside(&self, workload: Workload, subject: &'static str) -> Option<Beside> {
        if subject == AGENT {
            return None;
        }
        let cpu = |other: &Sample, agent: &Sample| {
            Some(other.cpu_seconds_per_million? / agent.cpu_seconds_per_million.filter(|&cpu| cpu > 0.0)?)
        };
        Some(Beside {
            workload,
            subject,
            cpu_to_agent: self.paired(workload, [subject, AGENT], cpu)?,
            rate_of_agent: self.paired(workload, [AGENT, subject], rate)?,
        })
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

fn rate(sample: &Sample, other: &Sample) -> Option<f64> {
    Some(sample.drops_per_second / other.drops_per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(round: usize, subject: &'static str, drops_per_second: f64, cpu: Option<f64>) -> Sample {
        Sample {
            round,
            subject,
            workload: Workload::default(),
            drops_per_second,
            cpu_ns_per_drop: 0.0,
            program_ns_per_drop: None,
            cpu_seconds_per_million: cpu,
        }
    }

    #[test]
    fn tools_are_beside_the_agent_of_the_same_round() {
        let samples = vec![
            sample(0, AGENT, 300.0, Some(0.1)),
            sample(0, "tool", 100.0, Some(1.0)),
            sample(1, "tool", 10.0, Some(4.0)),
            sample(1, AGENT, 50.0, Some(0.2)),
            sample(2, "tool", 1.0, Some(1.0)),
            sample(0, BASELINE, 300.0, None),
        ];
        let rates = Rates { samples, ..Rates::default() };
        let beside = rates.beside(Workload::default(), "tool").expect("pairs");
        assert_eq!((beside.rate_of_agent.median, beside.rate_of_agent.count), (4.0, 2));
        assert_eq!((beside.cpu_to_agent.median, beside.cpu_to_agent.count), (15.0, 2));
        assert!(rates.beside(Workload::default(), BASELINE).is_none(), "it is no process");
        assert!(rates.beside(Workload::default(), AGENT).is_none());
    }
}

//! `make bench`: what the agent costs, beside an empty program, bpftrace and perf. A table on stdout, the figures as JSON.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tcpdrop_otel_tests::bench::rates::{Comparison, Effort};
use tcpdrop_otel_tests::bench::subject::{self, BASELINE, REFERENCE, Subject};
use tcpdrop_otel_tests::bench::workload::Workload;
use tcpdrop_otel_tests::bench::{Plan, run};
use tcpdrop_otel_tests::requirements::{Requirement, skip};

/// Measures what the agent costs, beside an empty program, bpftrace and perf, as root.
///
/// It makes storms of drops in a network namespace of its own. Nothing else should run: ratios are of interleaved runs,
/// but medians of a busy machine are of the machine.
#[derive(Debug, Parser)]
struct Arguments {
    /// Minutes instead of half an hour, to see that it works. Its figures are no results.
    #[arg(long)]
    quick: bool,
    /// File for all figures, single measurements too.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Parts to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::value_variants().to_vec())]
    only: Vec<Part>,
    /// Interleaved rounds of the side-by-side part [default: 20, quick: 3].
    #[arg(long)]
    rounds: Option<usize>,
    /// What to compare with nothing and the empty program: names that begin like this.
    #[arg(long, value_delimiter = ',')]
    subjects: Vec<String>,
    /// Storms to compare in: names that hold this.
    #[arg(long)]
    storms: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// drops a second of the host, beside others' tools
    Rates,
    /// CPU, memory and the account of the agent in long storms
    Storm,
    /// from a drop to its record
    Latency,
    /// what user space takes in
    Capacity,
    /// start, idle CPU, memory
    Footprint,
}

impl Arguments {
    fn plan(&self) -> Plan {
        let asked = |part| self.only.contains(&part);
        let pick = |quick, thorough| if self.quick { quick } else { thorough };
        let seconds = |quick, thorough| Duration::from_secs_f64(if self.quick { quick } else { thorough });
        let effort = Effort {
            rounds: self.rounds.unwrap_or(pick(3, 20)),
            storm: seconds(0.2, 0.4),
            warm_up: seconds(0.05, 0.1),
        };
        Plan {
            rates: asked(Part::Rates).then(|| Comparison {
                subjects: self.subjects(),
                workloads: self.workloads(),
                effort,
            }),
            storm: asked(Part::Storm).then(|| seconds(3.0, 25.0)),
            latency: asked(Part::Latency).then_some(if self.quick { 30 } else { 250 }),
            capacity: asked(Part::Capacity).then_some(if self.quick { (50_000, 1) } else { (500_000, 5) }),
            footprint: asked(Part::Footprint).then(|| (pick(3, 20), seconds(5.0, 30.0))),
        }
    }

    /// Those that were asked for and can be had; what is missing is said.
    fn subjects(&self) -> Vec<Box<dyn Subject>> {
        let is_asked = |name: &str| {
            let named = self.subjects.iter().any(|wanted| name.starts_with(wanted.as_str()));
            self.subjects.is_empty() || named || [BASELINE, REFERENCE].contains(&name)
        };
        let mut subjects = subject::all();
        subjects.retain(|subject| is_asked(subject.name()) && !skip(subject.name(), &subject.needs()));
        subjects
    }

    fn workloads(&self) -> Vec<Workload> {
        let mut workloads = Workload::all();
        workloads
            .retain(|workload| self.storms.as_ref().is_none_or(|wanted| workload.name().contains(wanted)));
        workloads
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut needed = vec![Requirement::Root, Requirement::Btf, Requirement::Tool("ip")];
    if arguments.only.contains(&Part::Footprint) {
        needed.push(Requirement::Collector);
    }
    if skip("bench", &needed) {
        return ExitCode::FAILURE;
    }
    let report = run(&arguments.plan());
    print!("{report}");
    if let Some(file) = arguments.json {
        let figures = serde_json::to_string_pretty(&report).expect("the figures as JSON");
        if let Err(error) = std::fs::write(&file, figures + "\n") {
            eprintln!("{} cannot be written: {error}", file.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

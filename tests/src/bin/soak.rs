//! `make soak`: ten bad minutes, and whether the agent came out of them with every drop accounted for and no more memory.

use clap::Parser;
use std::process::ExitCode;
use std::time::Duration;
use tcpdrop_otel_tests::requirements::{Requirement, skip};
use tcpdrop_otel_tests::soak::soak;

/// Storms, pauses, restarts of the Collector and SIGHUPs with other settings, as root. The report goes to stdout as JSON;
/// the exit status is 1 if a drop is not accounted for, or memory grew.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long.
    #[arg(long, default_value_t = 600.0)]
    seconds: f64,
    /// Decides what happens.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let needed = [Requirement::Root, Requirement::Btf, Requirement::Tool("ip"), Requirement::Collector];
    if skip("soak", &needed) {
        return ExitCode::FAILURE;
    }
    let report = soak(arguments.seed, Duration::from_secs_f64(arguments.seconds));
    println!("{}", serde_json::to_string_pretty(&report).expect("the report as JSON"));
    let verdicts = [
        (report.is_exact(), "every drop is accounted for", "DROPS ARE NOT ACCOUNTED FOR"),
        (report.is_flat(), "memory is flat", "MEMORY GREW"),
    ];
    for (good, praise, blame) in verdicts {
        eprintln!("{}", if good { praise } else { blame });
    }
    if verdicts.iter().all(|(good, ..)| *good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! `verifier`: what the running kernel's verifier says of each BPF program. A line each: `ok NAME INSTRUCTIONS`, or `refused
//! NAME WHY`.

use std::process::ExitCode;
use tcpdrop_otel::probe::verifier::verify_all;

fn main() -> ExitCode {
    let programs = match verify_all() {
        Ok(programs) => programs,
        Err(error) => {
            eprintln!("verifier: {error}");
            return ExitCode::FAILURE;
        }
    };
    for program in programs {
        match program.outcome {
            Ok(Some(instructions)) => println!("ok {} {instructions}", program.program),
            Ok(None) => println!("ok {} ?", program.program),
            Err(why) => println!("refused {} {why}", program.program),
        }
    }
    ExitCode::SUCCESS
}

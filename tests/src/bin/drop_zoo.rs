//! `drop_zoo [PART OF A NAME]...`: makes the scenarios whose name holds one of those parts, and prints scenario by field.
//! Exit status 1 if a field is wrong. `TCPDROP_TEST_BIN` names the agent. It needs `ip`, `nft` and `tc`, no shell.

use std::process::ExitCode;
use tcpdrop_otel_tests::zoo;

fn main() -> ExitCode {
    let parts: Vec<String> = std::env::args().skip(1).collect();
    let sightings = zoo::run(&parts);
    let faults: Vec<String> = sightings.iter().flat_map(zoo::Sighting::faults).collect();
    for fault in &faults {
        println!("{fault}");
    }
    print!("{}", zoo::table::print(&sightings));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

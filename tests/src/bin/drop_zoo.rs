//! `drop_zoo [PART OF A NAME]`: makes the scenarios whose name holds that part, and prints scenario by field. Exit status
//! 1 if a field is wrong.

use std::process::ExitCode;
use tcpdrop_otel_tests::zoo;

fn main() -> ExitCode {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let sightings = zoo::run(&filter);
    let faults: Vec<String> = sightings.iter().flat_map(zoo::Sighting::faults).collect();
    for fault in &faults {
        println!("{fault}");
    }
    print!("{}", zoo::table::print(&sightings));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

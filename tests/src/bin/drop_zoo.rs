//! `drop_zoo [--brief] [PART OF A NAME]...`: makes the scenarios whose name holds one of those parts (`PART$`: ends with
//! it), and prints scenario by field, or with `--brief` a line for each scenario, for other programs to read. Exit status 1
//! if a field is wrong, 2 if a part names nothing. `TCPDROP_TEST_BIN` names the agent. It needs `ip`, `nft` and `tc`, no shell.

use std::process::ExitCode;
use tcpdrop_otel_tests::zoo;

fn main() -> ExitCode {
    let (options, parts): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument == "--brief");
    let unknown: Vec<&String> = zoo::unknown(&parts).collect();
    if !unknown.is_empty() {
        eprintln!("drop_zoo: no scenario has this in its name: {unknown:?}");
        return ExitCode::from(2);
    }
    let sightings = zoo::run(&parts);
    let faults: Vec<String> = sightings.iter().flat_map(zoo::Sighting::faults).collect();
    for fault in &faults {
        println!("{fault}");
    }
    let show = if options.is_empty() { zoo::table::print } else { zoo::table::brief };
    print!("{}", show(&sightings));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

//! Every field of the record of every drop that the zoo can make, on the running kernel.

use std::io::Write;
use tcpdrop_otel_tests::require;
use tcpdrop_otel_tests::zoo::kernel::Kernel;
use tcpdrop_otel_tests::zoo::{self, Sighting, table};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/drop-zoo.md");
/// What is above the generated rows.
const RULER: &str = "|---|---|---|---|---|---|---|---|---|\n";

#[test]
fn every_field_of_every_drop_is_right() {
    require!(Root, Btf, Tool("ip"), Tool("nft"), Tool("tc"));
    let sightings = zoo::run(&[]);
    // Straight to the descriptor: what `eprint!` writes is kept from view while a test passes.
    let _ = std::io::stderr().write_all(table::print(&sightings).as_bytes());
    let faults: Vec<String> = sightings.iter().flat_map(Sighting::faults).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    if Kernel::running() == Kernel::REFERENCE && sightings.iter().all(|sighting| sighting.absence().is_none())
    {
        assert_documented(&table::document(&sightings));
    }
}

/// `docs/drop-zoo.md` says what the scenarios show. `BLESS=1` writes it.
fn assert_documented(rows: &str) {
    let document = std::fs::read_to_string(DOCUMENT).expect("read docs/drop-zoo.md");
    let (text, found) = document.split_once(RULER).expect("a table");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(DOCUMENT, format!("{text}{RULER}{rows}")).expect("write docs/drop-zoo.md");
    } else {
        assert_eq!(found, rows, "docs/drop-zoo.md; `BLESS=1 cargo test --test drop_zoo` writes it");
    }
}

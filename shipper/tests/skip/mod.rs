//! Skipping a test aloud: cargo's runner cannot, so whoever counts the tests is told through a file.
#![allow(clippy::unwrap_used)]

use std::io::Write;

/// Says that the running test is skipped, and why.
pub(crate) fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    println!("SKIP {test}: {reason}");
    if let Some(path) = std::env::var_os("TCPDROP_TEST_SKIPS") {
        let mut skips = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(skips, "SKIP {test}: {reason}").unwrap();
    }
}

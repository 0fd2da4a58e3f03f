//! `doctor` as an ordinary user: without any rights it says what to do, with the three capabilities that all is well.

use tcpdrop_otel_tests::agent::{self, Outcome};
use tcpdrop_otel_tests::collector::Collector;
use tcpdrop_otel_tests::require;

const CAPABILITIES: [&str; 3] = ["CAP_BPF", "CAP_PERFMON", "CAP_SYSLOG"];

/// What it says to user nobody with these capabilities, where a Collector takes all signals; and its path.
fn consult(capabilities: &[&str]) -> (Outcome, String) {
    let collector = Collector::start();
    let folder = tempfile::tempdir().expect("make a folder");
    let program = agent::public_copy(folder.path());
    let capabilities: Vec<_> = capabilities.iter().map(|&name| name.to_owned()).collect();
    let mut command = agent::as_nobody(&program, &capabilities);
    command.args(["doctor", "--config", "/dev/null", "--set", "health.listen=127.0.0.1:0"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.http_endpoint());
    (agent::run_to_end(command), program.display().to_string())
}

#[test]
fn without_any_rights_it_ends_with_a_list_to_act_on() {
    require!(Root, Btf, Tool("setpriv"), Collector);
    let (outcome, program) = consult(&[]);
    assert_eq!(outcome.code, Some(1), "{}", outcome.output);
    let (checks, to_do) = outcome.output.split_once("What to do:\n").expect("a list");
    for part in
        ["FAIL  rights", "none of CAP_BPF, CAP_PERFMON", "skip  program", "warn  symbols", "ok    logs"]
    {
        assert!(checks.contains(part), "{part}: {checks}");
    }
    let setcap = format!("sudo setcap cap_bpf,cap_perfmon,cap_syslog+ep {program}\n");
    for part in
        ["  1. rights: run it as root", &setcap, "capabilities.add", "AmbientCapabilities=", "CAP_SYSLOG too"]
    {
        assert!(to_do.contains(part), "{part}: {to_do}");
    }
    // What is well has no place in it.
    assert!(!to_do.contains("logs:") && !to_do.contains("BTF"), "{to_do}");
}

#[test]
fn with_the_three_capabilities_nothing_is_to_be_done() {
    require!(Root, Btf, Tool("setpriv"), Collector);
    let (outcome, _) = consult(&CAPABILITIES);
    assert_eq!(outcome.code, Some(0), "{}", outcome.output);
    for name in ["rights", "program", "symbols", "logs", "traces", "metrics"] {
        assert!(outcome.output.contains(&format!("ok    {name} ")), "{name}: {}", outcome.output);
    }
    assert!(outcome.output.ends_with("All is well. To start: tcpdrop-otel run\n"), "{}", outcome.output);
}

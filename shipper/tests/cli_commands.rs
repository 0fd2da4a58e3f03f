//! Help, messages and exit status of the commands, as a user runs them.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "support/command.rs"]
mod command;

use clap::CommandFactory;
use command::{Rights, run, run_with};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use tcpdrop_otel::cli::args::CommandLine;

/// Every command, with a part of its help.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["run"], "SIGTERM or Ctrl-C"),
    (&["watch"], "until Ctrl-C"),
    (&["demo"], "bundled recording"),
    (&["record"], "--duration 10s"),
    (&["replay"], "It needs no rights"),
    (&["doctor"], "Nothing is changed"),
    (&["explain"], "no such reason"),
    (&["config"], "reference"),
    (&["config", "check"], "exit status is then 2"),
    (&["config", "show"], "are hidden"),
    (&["config", "reference"], "every setting"),
    (&["completions"], "/etc/bash_completion.d"),
];

#[test]
fn every_command_has_a_help_that_fits_a_terminal() {
    let overview = run(&["--help"], Rights::Own).unwrap();
    for (command, part) in COMMANDS {
        assert!(overview.out.contains(command[0]), "{command:?}");
        let help = run(&[command, &["--help"][..]].concat(), Rights::Own).unwrap();
        assert_eq!((help.status, help.error.as_str()), (0, ""), "{command:?}");
        assert!(help.out.contains(part), "{command:?}: {}", help.out);
        for line in help.out.lines() {
            assert!(line.chars().count() <= 120, "{command:?}: {line}");
        }
    }
}

const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recordings/loopback.jsonl");

/// A port where nobody serves, so that no test meets an agent of this host.
const NO_AGENT: &str = "health.listen=127.0.0.1:0";

/// Arguments, rights, exit status, and a part of what is said: on stdout for status 0 and for `doctor`, else on stderr, with
/// nothing on stdout. `run`, `watch` and `record` end by a signal or after a drop; that is tested where drops are made.
const OUTCOMES: &[(&[&str], Rights, i32, &str)] = &[
    (&[], Rights::Own, 0, "Usage: tcpdrop-otel"),
    (&["--version"], Rights::Own, 0, env!("CARGO_PKG_VERSION")),
    (&["recrod"], Rights::Own, 2, "record"),
    (&["run", "--count", "1"], Rights::Own, 2, "--count"),
    (&["run", "--config", "/nowhere/a.toml"], Rights::Own, 2, "/nowhere/a.toml: cannot be read"),
    (&["run", "--set", "dedup.windw=5s"], Rights::Own, 2, "did you mean `dedup.window`?"),
    (
        &["run", "--set", "export.headers_file=/nowhere/keys"],
        Rights::Own,
        2,
        "/nowhere/keys: there is no such file",
    ),
    (&["run", "--set", NO_AGENT], Rights::None, 1, "CAP_BPF"),
    (&["watch", "--count", "0"], Rights::Own, 2, "1.."),
    (&["watch", "--port", "http"], Rights::Own, 2, "must be"),
    (&["watch", "--json", "--stacks", "never"], Rights::Own, 2, "cannot be used with"),
    (&["watch", "--set", "limit.burst=0"], Rights::Own, 2, "`limit.burst` must be"),
    (&["watch"], Rights::None, 1, "CAP_BPF"),
    (&["demo"], Rights::None, 0, "The probe cannot run here"),
    (&["demo", "--json"], Rights::None, 0, "resourceLogs"),
    (&["demo", "now"], Rights::Own, 2, "unexpected argument"),
    (&["record"], Rights::Own, 2, "--output"),
    (&["record", "-o", "x", "--duration", "soon"], Rights::Own, 2, "it must be a time such as 10s"),
    (&["record", "-o", "x", "--duration", "0s"], Rights::Own, 2, "it must be a time such as 10s"),
    (&["record", "-o", "x", "--count", "0"], Rights::Own, 2, "1.."),
    (&["record", "-o", "/nowhere/a.jsonl"], Rights::Own, 1, "/nowhere/a.jsonl"),
    (&["replay", RECORDING], Rights::None, 0, "NO_SOCKET"),
    (&["replay", "--json", RECORDING], Rights::None, 0, "resourceSpans"),
    (&["replay", "--stacks", "never", RECORDING], Rights::None, 0, "NO_SOCKET\n"),
    (&["replay"], Rights::Own, 2, "FILE"),
    (&["replay", "--stacks", "some", RECORDING], Rights::Own, 2, "always"),
    (&["replay", "--set", "a=b", RECORDING], Rights::Own, 2, "unknown key `a`"),
    (&["replay", "/nowhere/a.jsonl"], Rights::None, 1, "cannot be opened"),
    (&["doctor", "now"], Rights::Own, 2, "unexpected argument"),
    (&["doctor", "--set", NO_AGENT], Rights::None, 1, "What to do:"),
    (&["explain", "tcp_zerowindow"], Rights::None, 0, "Look at\n  - "),
    (&["explain", "--json", "SKB_DROP_REASON_NO_SOCKET"], Rights::None, 0, "\"class\":\"no_listener\""),
    (&["explain", "--list"], Rights::None, 0, "NETFILTER_DROP"),
    (&["explain", "NETFILTER_DORP"], Rights::None, 1, "did you mean `NETFILTER_DROP`?"),
    (&["explain", "4294967295"], Rights::None, 1, "number"),
    (&["explain"], Rights::Own, 2, "REASON"),
    (&["config"], Rights::Own, 2, "Usage:"),
    (&["config", "shwo"], Rights::Own, 2, "show"),
    (&["config", "check"], Rights::None, 0, "fine"),
    (&["config", "check", "--set", "export.protocol=grcp"], Rights::None, 2, "did you mean `grpc`?"),
    (&["config", "show"], Rights::None, 0, "window = \"10s\" # default"),
    (&["config", "show", "--set", "a"], Rights::None, 2, "must be KEY=VALUE"),
    (&["config", "reference"], Rights::None, 0, "[export]"),
    (&["config", "reference", "--json"], Rights::None, 2, "unexpected argument"),
    (&["completions", "bash"], Rights::None, 0, "complete -F"),
    (&["completions", "zsh"], Rights::None, 0, "#compdef tcpdrop-otel"),
    (&["completions", "fish"], Rights::None, 0, "complete -c tcpdrop-otel"),
    (&["completions", "dosh"], Rights::None, 2, "bash"),
    (&["completions"], Rights::None, 2, "SHELL"),
];

#[test]
fn each_command_ends_with_its_status_and_a_word() {
    for (arguments, rights, status, part) in OUTCOMES {
        let Some(ended) = run(arguments, *rights) else { return };
        assert_eq!(ended.status, *status, "{arguments:?}: {ended:?}");
        let is_said_on_stdout = *status == 0 || (arguments.first() == Some(&"doctor") && *status == 1);
        let said = if is_said_on_stdout { &ended.out } else { &ended.error };
        assert!(said.contains(part), "{arguments:?} says nothing of {part:?}: {ended:?}");
        assert!(is_said_on_stdout || ended.out.is_empty(), "{arguments:?}: {ended:?}");
        assert!(!ended.error.contains("panicked"), "{arguments:?}: {ended:?}");
    }
}

/// A new command has to come with its rows.
#[test]
fn no_command_is_without_help_and_outcomes() {
    fn leaves(command: &clap::Command, path: &[String]) -> Vec<Vec<String>> {
        let below = command
            .get_subcommands()
            .flat_map(|command| leaves(command, &[path, &[command.get_name().to_owned()]].concat()));
        let below: Vec<_> = below.collect();
        if below.is_empty() { vec![path.to_vec()] } else { below }
    }
    for command in leaves(&CommandLine::command(), &[]) {
        assert!(COMMANDS.iter().any(|(path, _)| command == *path), "no help of {command:?} is tested");
        let of_it = OUTCOMES.iter().filter(|(arguments, ..)| {
            arguments.len() >= command.len() && command == arguments[..command.len()]
        });
        let statuses: BTreeSet<_> = of_it.map(|(_, _, status, _)| *status).collect();
        assert!(statuses.contains(&2), "no wrong usage of {command:?} is tested");
        assert!(statuses.len() > 1, "no other outcome of {command:?} is tested");
    }
}

/// Output that cannot be written is an error, a reader who has seen enough is none.
#[test]
fn what_cannot_be_written_is_said() {
    let program = env!("CARGO_BIN_EXE_tcpdrop-otel");
    let shell = |line: &str| {
        let output = Command::new("bash").args(["-c", line, program]).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    for arguments in [
        "config check",
        "config show",
        "config reference",
        "completions bash",
        "demo",
        "demo --json",
        "doctor",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([format!("replay {RECORDING}"), format!("replay --json {RECORDING}")])
    {
        let (status, said) = shell(&format!("\"$0\" {arguments} > /dev/full"));
        assert_eq!(status, 1, "{arguments}: {said}");
        assert!(said.contains("could not be written: No space left on device"), "{arguments}: {said}");
        let (_, said) = shell(&format!("\"$0\" {arguments} > >(true)"));
        assert!(!said.contains("roken pipe"), "{arguments}: {said}");
    }
}

#[test]
fn the_reference_is_the_file_of_the_same_name() {
    let reference = run(&["config", "reference"], Rights::None).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/tcpdrop-otel.toml");
    assert_eq!((reference.status, reference.out), (0, std::fs::read_to_string(file).unwrap()));
}

#[test]
fn what_config_show_prints_is_a_configuration() {
    let environment = [("OTEL_EXPORTER_OTLP_HEADERS", "api-key=sesame"), ("TCPDROP_OTEL_LIMIT_BURST", "7")];
    let arguments = ["config", "show", "--set", "dedup.window=5s"];
    let shown = run_with(&arguments, Rights::Own, &environment, "").unwrap();
    assert_eq!((shown.status, shown.error.as_str()), (0, ""));
    for line in [
        "window = \"5s\" # --set",
        "burst = 7 # TCPDROP_OTEL_LIMIT_BURST",
        "headers = { api-key = \"hidden\" } # OTEL_EXPORTER_OTLP_HEADERS",
        "stack_depth = 64 # default",
    ] {
        assert!(shown.out.lines().any(|shown| shown == line), "{line}: {}", shown.out);
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("shown.toml");
    std::fs::write(&file, &shown.out).unwrap();
    let checked = run(&["config", "check", "--config", file.to_str().unwrap()], Rights::Own).unwrap();
    assert_eq!(checked.status, 0, "{checked:?}");

    let json = run_with(&["config", "show", "--json"], Rights::Own, &environment, "").unwrap();
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    let burst = json.as_array().unwrap().iter().find(|setting| setting["key"] == "limit.burst").unwrap();
    assert_eq!((&burst["value"], &burst["origin"]), (&7.into(), &"TCPDROP_OTEL_LIMIT_BURST".into()));

    let changed =
        run_with(&[&arguments[..], &["--changed"]].concat(), Rights::Own, &environment, "").unwrap();
    let expected = "\n[dedup]\nwindow = \"5s\" # --set\n\n[limit]\nburst = 7 # TCPDROP_OTEL_LIMIT_BURST\n\n\
                    [export]\nheaders = { api-key = \"hidden\" } # OTEL_EXPORTER_OTLP_HEADERS\n";
    assert_eq!((changed.status, changed.out.as_str()), (0, expected));
    let none = run(&["config", "show", "--changed"], Rights::Own).unwrap();
    assert_eq!((none.status, none.out.as_str()), (0, "# all settings are as by default\n"));

    let wrong = run(&["config", "show", "--set", "a=b"], Rights::Own).unwrap();
    assert_eq!((wrong.status, wrong.out.as_str()), (2, ""));
}

#[test]
fn variables_that_change_nothing_are_named_by_check_and_doctor() {
    let environment = [("OTEL_BSP_SCHEDULE_DELAY", "100"), ("OTEL_RESOURCE_ATTRIBUTES", "nonsense")];
    let check = run_with(&["config", "check"], Rights::Own, &environment, "").unwrap();
    assert_eq!((check.status, check.error.as_str()), (0, ""));
    let doctor = run_with(&["doctor"], Rights::Own, &environment, "").unwrap();
    for text in [check.out, doctor.out] {
        for part in ["OTEL_BSP_SCHEDULE_DELAY is ignored", "OTEL_RESOURCE_ATTRIBUTES is ignored"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[test]
fn doctor_without_rights_ends_with_what_to_do() {
    let arguments =
        ["doctor", "--set", "health.listen=127.0.0.1:0", "--set", "export.endpoint=http://127.0.0.1:9"];
    let Some(text) = run(&arguments, Rights::None) else { return };
    assert_eq!((text.status, text.error.as_str()), (1, ""), "{}", text.out);
    for part in
        ["FAIL  rights", "skip  program", "What to do:\n  1. rights: run it as root, with sudo", "Besides:"]
    {
        assert!(text.out.contains(part), "{part}: {}", text.out);
    }
    let json = run(&[&arguments[..], &["--json"]].concat(), Rights::None).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["can_run"], false);
    let checks = json["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 17);
    for check in checks {
        let verdict = check["verdict"].as_str().unwrap();
        assert!(["ok", "warn", "fail", "skipped"].contains(&verdict), "{check}");
        assert_eq!(check.get("remedy").is_some(), ["warn", "fail"].contains(&verdict), "{check}");
    }
}

#[test]
fn doctor_says_what_is_wrong_with_the_configuration() {
    let doctor = run(&["doctor", "--set", "limit.bust=1"], Rights::Own).unwrap();
    assert_eq!(doctor.status, 1);
    assert!(doctor.out.contains("FAIL  configuration"), "{}", doctor.out);
    assert!(doctor.out.contains("did you mean `limit.burst`?"), "{}", doctor.out);
}

#[test]
fn doctor_as_root_finds_that_the_agent_can_run() {
    if !rustix::process::geteuid().is_root() || !Path::new(tcpdrop_otel::btf::KERNEL_BTF).exists() {
        return command::skip("needs root and a kernel with BTF");
    }
    let arguments =
        ["doctor", "--set", "health.listen=127.0.0.1:0", "--set", "export.endpoint=http://127.0.0.1:9"];
    let doctor = run(&arguments, Rights::Own).unwrap();
    assert_eq!(doctor.status, 0, "{}", doctor.out);
    assert!(doctor.out.contains("ok    program"), "{}", doctor.out);
    assert!(doctor.out.contains("takes no connections"), "{}", doctor.out);
}

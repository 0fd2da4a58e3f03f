//! Help, messages and exit status of the commands, as a user runs them.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "support/command.rs"]
mod command;

use command::{Rights, run, run_with};
use std::path::Path;

/// Every command, with a part of its help.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["run"], "SIGTERM or Ctrl-C"),
    (&["watch"], "until Ctrl-C"),
    (&["demo"], "bundled recording"),
    (&["record"], "--duration 10s"),
    (&["replay"], "It needs no rights"),
    (&["doctor"], "Nothing is changed"),
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

#[test]
fn wrong_usage_is_status_2_with_a_hint() {
    for (arguments, part) in [
        (&["recrod"][..], "record"),
        (&["record"], "--output"),
        (&["record", "-o", "x", "--duration", "soon"], "it must be a time such as 10s"),
        (&["record", "-o", "x", "--duration", "0s"], "it must be a time such as 10s"),
        (&["record", "-o", "x", "--count", "0"], "1.."),
        (&["replay"], "FILE"),
        (&["completions", "dosh"], "bash"),
        (&["config", "shwo"], "show"),
        (&["doctor", "now"], "unexpected argument"),
    ] {
        let wrong = run(arguments, Rights::Own).unwrap();
        assert_eq!((wrong.status, wrong.out.as_str()), (2, ""), "{arguments:?}");
        assert!(wrong.error.contains(part), "{arguments:?}: {}", wrong.error);
    }
}

#[test]
fn completions_are_scripts_for_their_shell() {
    for (shell, part) in
        [("bash", "complete -F"), ("zsh", "#compdef tcpdrop-otel"), ("fish", "complete -c tcpdrop-otel")]
    {
        let script = run(&["completions", shell], Rights::None).unwrap();
        assert_eq!(script.status, 0);
        assert!(script.out.contains(part) && script.out.contains("doctor"), "{shell}");
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
    for part in ["FAIL  rights", "skip  program", "What to do:\n  1. rights: run it as root", "Besides:"] {
        assert!(text.out.contains(part), "{part}: {}", text.out);
    }
    let json = run(&[&arguments[..], &["--json"]].concat(), Rights::None).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["can_run"], false);
    let checks = json["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 16);
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

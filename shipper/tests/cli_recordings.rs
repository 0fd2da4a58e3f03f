//! `record` and `replay` as a user runs them: outcome, messages, exit status.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "support/command.rs"]
mod command;

use command::{Rights, run, run_with, skip};
use std::net::TcpStream;
use std::path::Path;

fn recording() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings/loopback.jsonl").to_str().unwrap().to_owned()
}

/// Whether the probe can run here.
fn may_record() -> bool {
    let may = rustix::process::geteuid().is_root() && Path::new(tcpdrop_otel::btf::KERNEL_BTF).exists();
    if !may {
        skip("needs root and a kernel with BTF");
    }
    may
}

#[test]
fn what_is_recorded_can_be_replayed() {
    if !may_record() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.jsonl");
    let file = file.to_str().unwrap();
    let knocking = std::thread::spawn(|| {
        // More than enough, until the recording has begun and ended.
        for _ in 0..200 {
            _ = TcpStream::connect("127.0.0.1:9");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    });
    let recorded =
        run(&["record", "--output", file, "--count", "2", "--duration", "1m"], Rights::Own).unwrap();
    assert_eq!(recorded.status, 0, "{recorded:?}");
    assert!(recorded.error.contains("recorded 2 drops in"), "{recorded:?}");
    assert_eq!(recorded.out, "");
    let json = run(&["replay", "--json", file], Rights::None).unwrap();
    assert_eq!(json.status, 0, "{json:?}");
    assert!(json.out.contains("\"NO_SOCKET\""), "{json:?}");
    let again = run(&["record", "--output", file, "--count", "1"], Rights::Own).unwrap();
    assert_eq!(again.status, 1);
    assert!(again.error.contains("exists already") && again.error.contains("--force"), "{again:?}");
    let forced = run(&["record", "--output", file, "--duration", "10ms", "--force"], Rights::Own).unwrap();
    assert_eq!(forced.status, 0, "{forced:?}");
    knocking.join().unwrap();
}

#[test]
fn a_full_disk_is_said() {
    if !may_record() {
        return;
    }
    let full =
        run(&["record", "--force", "--output", "/dev/full", "--duration", "10ms"], Rights::Own).unwrap();
    assert_eq!(full.status, 1);
    assert!(full.error.contains("/dev/full cannot be written any more: No space left on device"), "{full:?}");
}

#[test]
fn without_rights_nothing_is_recorded_and_no_file_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.jsonl");
    let Some(denied) = run(&["record", "-o", file.to_str().unwrap()], Rights::None) else { return };
    assert_eq!(denied.status, 1);
    assert!(denied.error.contains("CAP_BPF"), "{denied:?}");
    assert!(!file.exists());
}

#[test]
fn text_is_the_classic_view() {
    let shown = run(&["replay", &recording()], Rights::Own).unwrap();
    assert_eq!((shown.status, shown.error.as_str()), (0, ""));
    assert!(shown.out.starts_with("TIME"), "{shown:?}");
    assert!(shown.out.contains("(SYN) NO_SOCKET\n\ttcp_v4_rcv+"), "{shown:?}");
}

#[test]
fn the_host_s_settings_do_not_change_a_replay() {
    let with = |environment: &[(&str, &str)], arguments: &[&str]| {
        let recording = recording();
        let arguments = [&["replay", "--json", &recording], arguments].concat();
        run_with(&arguments, Rights::Own, environment, "").unwrap()
    };
    let plain = with(&[], &[]).out;
    let environment = [("TCPDROP_OTEL_SPANS_EMIT", "never"), ("OTEL_SERVICE_NAME", "other")];
    assert_eq!(with(&environment, &[]).out, plain);
    let without_spans = with(&[], &["--set", "spans.emit=never"]).out;
    assert!(plain.contains("resourceSpans") && !without_spans.contains("resourceSpans"));
    let wrong = with(&[], &["--set", "spans.emit=perhaps"]);
    assert_eq!(wrong.status, 2);
    assert!(wrong.error.starts_with("--set: `spans.emit` must be"), "{wrong:?}");
}

#[test]
fn files_that_are_no_recordings_are_refused_with_their_line() {
    let text = std::fs::read_to_string(recording()).unwrap();
    let replay = |input: &str| run_with(&["replay", "--json", "-"], Rights::Own, &[], input).unwrap();
    let whole = replay(&text);
    assert_eq!(whole.status, 0);

    let cut = replay(&text[..text.len() - 20]);
    assert_eq!(cut.status, 0, "{cut:?}");
    assert!(cut.error.contains("was cut short"), "{cut:?}");
    assert_eq!(cut.out.matches("resourceLogs").count(), whole.out.matches("resourceLogs").count());

    let damaged = replay(&text.replacen("{\"event\":\"", "{\"event\":\"xy", 1));
    assert_eq!(damaged.status, 1);
    assert!(damaged.error.contains("-: line ") && damaged.error.contains("is damaged"), "{damaged:?}");

    for other in ["", "hello\n", "{\"resourceLogs\":[]}\n"] {
        let refused = replay(other);
        assert_eq!((refused.status, refused.out.as_str()), (1, ""));
        assert!(refused.error.contains("it is no recording of tcpdrop-otel"), "{refused:?}");
    }
    let missing = run(&["replay", "/nowhere/a.jsonl"], Rights::Own).unwrap();
    assert_eq!(missing.status, 1);
    assert!(missing.error.contains("/nowhere/a.jsonl cannot be opened: No such file"), "{missing:?}");
}

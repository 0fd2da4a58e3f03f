//! `watch` shows what its flags ask for and nothing else, as text and as OTLP/JSON.

use crate::checks::flow;
use crate::kinds::{ALL, Flow, Kinds, all_but, named};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::process::Command;
use tcpdrop_otel_tests::agent;
use tcpdrop_otel_tests::netns::{Namespace, VethPair};
use tcpdrop_otel_tests::otlp_json;
use tcpdrop_otel_tests::process::Process;
use tcpdrop_otel_tests::require;
use tcpdrop_otel_tests::wait::{PATIENCE, wait_for};
use tempfile::TempDir;

/// A running `watch`.
struct Watch {
    folder: TempDir,
    process: Process,
}

impl Watch {
    fn start(arguments: &[&str], namespace: Option<&Namespace>) -> Self {
        let folder = tempfile::tempdir().expect("make a folder");
        let mut command = agent::command("sh".as_ref());
        // What it shows and what it says go to files of their own.
        command.args(["-c", "exec \"$@\" > \"$0\"", &folder.path().join("shown.txt").to_string_lossy()]);
        command.arg(agent::binary()).args(["watch", "--config", "/dev/null"]).args(arguments);
        let process = Process::start(command, namespace, &folder.path().join("said.txt"));
        wait_for("watch to begin", || process.output().contains("watching").then_some(()));
        Self { folder, process }
    }

    fn shown(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("shown.txt")).unwrap_or_default()
    }

    /// Ends it as Ctrl-C does: all that it showed, and how many drops it left out.
    fn interrupt(mut self) -> (String, u64) {
        self.process.signal(Signal::INT);
        let (status, _) = self.process.wait(PATIENCE);
        let said = self.process.output();
        assert!(status.success(), "{status}: {said}");
        let left_out =
            said.split(" of them left out").next().and_then(|text| text.rsplit(' ').next()?.parse().ok());
        assert!(said.contains("drops seen"), "{said}");
        (self.shown(), left_out.unwrap_or(0))
    }
}

/// The flows of the text view's lines: the time, PID and IP version, then `SOURCE > DESTINATION`.
fn flows_of_text(shown: &str) -> Vec<Flow> {
    let flow = |line: &str| {
        let (before, after) = line.split_once(" > ")?;
        let source = before.split_whitespace().nth(3)?.parse().ok()?;
        Some((source, after.split_whitespace().next()?.parse().ok()?))
    };
    shown.lines().filter_map(flow).collect()
}

fn flows_of_json(shown: &str) -> Vec<Flow> {
    otlp_json::log_records(shown).iter().filter_map(|record| flow(&record.attributes)).collect()
}

#[test]
fn each_flag_picks_its_drops_both_ways_as_text_and_as_json() {
    require!(Root, Btf, Tool("ip"), Tool("nft"));
    let kinds = Kinds::new();
    let filtered_port = kinds.filtered_port;
    let (server, filtered) = (kinds.pair.server.inode.to_string(), filtered_port.to_string());
    let (listed, range) = (format!("7,{filtered}"), format!("{filtered}-{}", filtered_port + 1));
    let cases: [(&[&str], &[&str]); 10] = [
        (&["--port", "9"], &["port9", "v6", "host"]),
        (&["--port", &listed], &["port7", "filtered"]),
        (&["--port", "7", "--port", &range], &["port7", "filtered"]),
        (&["--address", "fd13::/16"], &["v6"]),
        (&["--address", "10.213.0.0/16,::1"], &["port9", "port7", "filtered"]),
        (&["--netns", &server], &["port9", "port7", "v6"]),
        (&["--netns", "self"], &["filtered"]),
        (&["--netns", "host"], &["host"]),
        (&["--reason", "netfilter_drop,NO_SUCH_REASON"], &["filtered"]),
        (&["--direction", "transmit"], &["filtered"]),
    ];
    for (index, (flags, picked)) in cases.into_iter().enumerate() {
        let negated: Vec<_> = flags.iter().map(|flag| flag.replace("--", "--not-")).collect();
        let negated: Vec<_> = negated.iter().map(String::as_str).collect();
        let picked: BTreeSet<_> = picked.iter().copied().collect();
        let others = all_but(&picked);
        // The flag in one form, its opposite in the other, and the next one the other way round.
        let (ours, theirs) = ((flags, picked), (negated.as_slice(), others));
        let (text, json) = if index % 2 == 0 { (ours, theirs) } else { (theirs, ours) };
        assert_shown(&kinds, text, json);
    }
    let several = ["--port", "9", "--not-address", "::/0", "--not-netns", &server, "--direction", "receive"];
    assert_shown(&kinds, (&several, BTreeSet::from(["host"])), (&[], BTreeSet::from(ALL)));
}

/// Flags, and the drops that they let pass.
type Case<'a> = (&'a [&'a str], BTreeSet<&'static str>);

/// Of the same drops, exactly those that pass are shown in each form.
fn assert_shown(kinds: &Kinds, text: Case, json: Case) {
    // From another namespace it cannot be told which is the host's.
    let namespace = |flags: &[&str]| Some(&kinds.pair.client).filter(|_| !flags.contains(&"host"));
    // Without names of functions it starts sooner.
    let start = |flags: &[&str], form: &[&str]| {
        Watch::start(&[flags, form, &["--set", "enrich.symbols=false"]].concat(), namespace(flags))
    };
    let watches = [
        (start(text.0, &[]), text, flows_of_text as fn(&str) -> Vec<Flow>),
        (start(json.0, &["--json"]), json, flows_of_json),
    ];
    let made = kinds.make();
    for (watch, (flags, wanted), flows) in watches {
        let seen = || named(&made, &flows(&watch.shown()));
        wait_for(&format!("{wanted:?} with {flags:?}"), || seen().is_superset(&wanted).then_some(()));
        let (shown, left_out) = watch.interrupt();
        assert_eq!(named(&made, &flows(&shown)), wanted, "{flags:?}: {shown}");
        let unwanted = u64::try_from(made.len() - wanted.len()).expect("a small number");
        assert!(left_out >= unwanted, "{left_out} left out, and not {unwanted}, with {flags:?}");
    }
}

#[test]
fn a_stack_is_shown_whole_once_and_then_by_its_number() {
    require!(Root, Btf, Tool("ip"));
    let pair = VethPair::new();
    let netns = pair.server.inode.to_string();
    let shown_with = |stacks: &[&str]| {
        let watch = Watch::start(&[&["--netns", &netns, "--port", "9"], stacks].concat(), None);
        pair.client.connect_refused((pair.server.v4, 9).into(), 3);
        wait_for("three drops", || (flows_of_text(&watch.shown()).len() == 3).then_some(()));
        watch.interrupt().0
    };
    let is_frame = |line: &&str| line.starts_with('\t');
    let new = shown_with(&[]);
    let whole = new.lines().filter(|line| line.contains("  (stack ")).count();
    let again = new.lines().filter(|line| line.contains(" again")).count();
    assert_eq!((whole + again, whole < 3), (3, true), "{new}");
    assert!(new.lines().filter(is_frame).count() > 3 + whole, "{new}");
    let always = shown_with(&["--stacks", "always"]);
    assert!(!always.contains("(stack") && !always.contains("again"), "{always}");
    assert!(always.lines().filter(is_frame).count() > new.lines().filter(is_frame).count(), "{always}");
    let never = shown_with(&["--stacks", "never"]);
    assert_eq!(never.lines().count(), 4, "{never}");
}

#[test]
fn whoever_reads_no_more_ends_it() {
    require!(Root, Btf, Tool("ip"));
    let pair = VethPair::new();
    let mut command = Command::new("sh");
    command.args(["-c", "\"$0\" watch --config /dev/null --port 9 | head -n 1"]).arg(agent::binary());
    let folder = tempfile::tempdir().expect("make a folder");
    let mut process = Process::start(command, None, &folder.path().join("output.txt"));
    wait_for("watch to begin", || process.output().contains("watching").then_some(()));
    wait_for("its end", || {
        pair.client.connect_refused((pair.server.v4, 9).into(), 1);
        process.exited().filter(std::process::ExitStatus::success)
    });
}

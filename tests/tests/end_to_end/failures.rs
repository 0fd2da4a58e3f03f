//! What goes wrong at the start is said once, with cause and remedy, and nothing is loaded by halves.

use std::path::PathBuf;
use std::process::Command;
use tcpdrop_otel_tests::agent::{self, Options, Outcome};
use tcpdrop_otel_tests::require;
use tcpdrop_otel_tests::wait::wait_for;
use tcpdrop_otel_tests::{ports, requirements};
use tempfile::TempDir;

const FAILED: i32 = 1;
const WRONG_USAGE: i32 = 2;

#[test]
fn without_the_rights() {
    require!(Root, Btf, Tool("setpriv"));
    let scene = Scene::new("");
    let outcome = agent::run_to_end(scene.unprivileged(&[]));
    assert_one_message(&outcome, FAILED, &["CAP_BPF", "CAP_PERFMON"]);
}

#[test]
fn without_btf() {
    require!(Root, Btf, Tool("unshare"), Tool("mount"));
    let scene = Scene::new("");
    let mut command = agent::command("unshare".as_ref());
    command.args(["--mount", "sh", "-c", "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"", "sh"]);
    command.arg(&scene.program).args(scene.arguments(&[]));
    let outcome = agent::run_to_end(command);
    assert_one_message(&outcome, FAILED, &["/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"]);
}

#[test]
fn with_a_busy_port() {
    require!(Root, Btf);
    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = busy.local_addr().expect("address of the listener").to_string();
    let scene = Scene::new("");
    let outcome = agent::run_to_end(scene.direct(&["--set", &format!("health.listen={address}")]));
    assert_one_message(&outcome, FAILED, &[&address, "health.listen"]);
}

#[test]
fn with_an_endpoint_that_nobody_answers_at() {
    require!(Root, Btf);
    let endpoint = format!("http://127.0.0.1:{}", ports::free());
    let mut agent = Options::new(&endpoint).start();
    let closed = endpoint.trim_start_matches("http://").parse().expect("an address");
    tcpdrop_otel_tests::netns::connect_refused(closed);
    wait_for("the log to name the endpoint", || agent.log().contains(&endpoint).then_some(()));
    wait_for("the status to name the endpoint", || {
        agent.get("/status").filter(|response| response.body.contains(&endpoint))
    });
    assert!(agent.is_ready(), "an absent Collector costs queue space only:\n{}", agent.log());
    assert!(agent.terminate().status.success());
}

#[test]
fn with_a_misspelt_endpoint() {
    let scene = Scene::new("");
    let outcome = agent::run_to_end(scene.without_rights(&["--set", "export.endpoint=htp://127.0.0.1:4318"]));
    assert_one_message(&outcome, WRONG_USAGE, &["export.endpoint", "htp://127.0.0.1:4318", "http://"]);
}

#[test]
fn with_a_misspelt_key() {
    let scene = Scene::new("[export]\nendpiont = \"http://127.0.0.1:4318\"\n");
    let outcome = agent::run_to_end(scene.without_rights(&[]));
    assert_one_message(&outcome, WRONG_USAGE, &[&scene.line(2), "export.endpiont", "endpoint"]);
}

#[test]
fn with_a_value_of_the_wrong_type() {
    let scene = Scene::new("\n[dedup]\nwindow = true\n");
    let outcome = agent::run_to_end(scene.without_rights(&[]));
    assert_one_message(&outcome, WRONG_USAGE, &[&scene.line(3), "dedup.window", "10s"]);
}

#[test]
fn with_a_value_that_cannot_be() {
    let scene = Scene::new("[probe]\nring_bytes = 5000\n");
    let outcome = agent::run_to_end(scene.without_rights(&[]));
    assert_one_message(&outcome, WRONG_USAGE, &[&scene.line(2), "probe.ring_bytes", "5000"]);
}

#[test]
fn with_a_configuration_file_that_is_not_there() {
    let scene = Scene::new("");
    std::fs::remove_file(&scene.config).expect("remove the configuration");
    let outcome = agent::run_to_end(scene.without_rights(&[]));
    assert_one_message(&outcome, WRONG_USAGE, &[&scene.config.display().to_string()]);
}

/// A copy of the agent and a configuration file, where any user can read them.
struct Scene {
    _directory: TempDir,
    program: PathBuf,
    config: PathBuf,
}

impl Scene {
    fn new(config_text: &str) -> Self {
        let directory = tempfile::tempdir().expect("make a folder");
        let program = agent::public_copy(directory.path());
        let config = directory.path().join("agent.toml");
        std::fs::write(&config, config_text).expect("write the configuration");
        Self { _directory: directory, program, config }
    }

    /// The way a message names a line of the configuration.
    fn line(&self, line: usize) -> String {
        format!("{}:{line}", self.config.display())
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let health = format!("health.listen=127.0.0.1:{}", ports::free());
        let config = self.config.display().to_string();
        let arguments = ["run", "--config", &config, "--set", &health];
        arguments.iter().chain(more).map(|argument| (*argument).to_owned()).collect()
    }

    fn direct(&self, more: &[&str]) -> Command {
        let mut command = agent::command(&self.program);
        command.args(self.arguments(more));
        command
    }

    fn unprivileged(&self, more: &[&str]) -> Command {
        let mut command = agent::as_nobody(&self.program, &[]);
        command.args(self.arguments(more));
        command
    }

    /// Without rights, whoever runs the tests: an agent that looked at the kernel before its settings would complain
    /// of that instead.
    fn without_rights(&self, more: &[&str]) -> Command {
        if requirements::Requirement::Root.is_met() { self.unprivileged(more) } else { self.direct(more) }
    }
}

/// The right exit status, and one message in plain words that hold all of `named`, of which the first is the subject.
fn assert_one_message(outcome: &Outcome, code: i32, named: &[&str]) {
    let Outcome { code: actual, output } = outcome;
    assert_eq!(*actual, Some(code), "{output}");
    for text in named {
        assert!(output.contains(text), "nothing of {text:?} in: {output}");
    }
    let about_it = output.lines().filter(|line| line.contains(named[0])).count();
    assert_eq!(about_it, 1, "{output}");
    assert!(!output.contains("panicked"), "{output}");
}

//! The agent under test: the binary of this workspace, as a user would run it.

use crate::http;
use crate::ledger::Ledger;
use crate::netns::Namespace;
use crate::ports;
use crate::process::Process;
use crate::wait::{PATIENCE, wait_for};
use rustix::process::Signal;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use tempfile::TempDir;

/// A binary to test instead of the one that is built from the sources here.
pub const BINARY: &str = "TCPDROP_TEST_BIN";

/// The agent's program, built once for each run of the tests.
pub fn binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| std::env::var_os(BINARY).map_or_else(build, PathBuf::from))
}

/// Builds it with the profile and into the folder of this test's executable, `TARGET/PROFILE/deps/NAME`.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("path of the test");
    let folder = test.ancestors().nth(2).expect("the profile's folder");
    let target = folder.parent().expect("the target folder");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "tcpdrop-otel", "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).arg("--target-dir").arg(target);
    if folder.ends_with("release") {
        cargo.arg("--release");
    }
    // What cargo says to this test about itself would be news to build scripts, which then run again.
    for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|prefix| name.starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    let status = cargo.status().expect("run cargo");
    assert!(status.success(), "{cargo:?}: {status}");
    folder.join("tcpdrop-otel")
}

/// A command that runs the agent without what this machine's environment would set.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    let foreign = |name: &std::ffi::OsString| {
        let name = name.to_string_lossy();
        (name.starts_with("OTEL_") || name.starts_with("TCPDROP_OTEL_")).then(|| name.into_owned())
    };
    for name in std::env::vars_os().filter_map(|(name, _)| foreign(&name)) {
        command.env_remove(name);
    }
    command
}

/// Whether the agent takes this setting, `key=value`.
pub fn knows(setting: &str) -> bool {
    let mut check = command(binary());
    check.args(["config", "check", "--config", "/dev/null", "--set", setting]);
    check.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The same, as user nobody with these capabilities (`CAP_BPF`) and no others.
pub fn as_nobody(program: &Path, capabilities: &[String]) -> Command {
    let names = capabilities.iter().map(|name| name.trim_start_matches("CAP_").to_lowercase());
    let set = std::iter::once("-all".to_owned()).chain(names.map(|name| format!("+{name}")));
    let set = set.collect::<Vec<_>>().join(",");
    let mut command = command("setpriv".as_ref());
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"]);
    command.args(["bounding-set", "inh-caps", "ambient-caps"].map(|kind| format!("--{kind}={set}")));
    command.arg(program);
    command
}

/// A copy of the agent in `directory`, where any user can run it: the sources may be in root's home.
pub fn public_copy(directory: &Path) -> PathBuf {
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory, mode).expect("open the folder to all");
    let program = directory.join("tcpdrop-otel");
    std::fs::copy(binary(), &program).expect("copy the agent");
    program
}

/// How to run the agent.
#[derive(Debug)]
pub struct Options<'a> {
    endpoint: String,
    settings: Vec<String>,
    environment: Vec<(String, String)>,
    config: String,
    namespace: Option<&'a Namespace>,
    capabilities: Option<Vec<String>>,
}

impl<'a> Options<'a> {
    /// An agent that sends to `endpoint`, the base URL of OTLP/HTTP. Its windows are short, so that a test need not
    /// wait for them.
    pub fn new(endpoint: &str) -> Self {
        Self::with_defaults(endpoint).set("dedup.window=1s").set("export.batch_interval=100ms")
    }

    /// An agent that sends to `endpoint`, and else is as it comes.
    pub fn with_defaults(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            settings: Vec::new(),
            environment: Vec::new(),
            config: String::new(),
            namespace: None,
            capabilities: None,
        }
    }

    /// With `--set key=value`.
    #[must_use]
    pub fn set(mut self, setting: &str) -> Self {
        self.settings.push(setting.to_owned());
        self
    }

    /// With this configuration file.
    #[must_use]
    pub fn config(mut self, text: &str) -> Self {
        text.clone_into(&mut self.config);
        self
    }

    /// With a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Run inside a namespace. It sees the drops of all namespaces from there too.
    #[must_use]
    pub fn within(mut self, namespace: &'a Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Run as nobody, with these capabilities (`CAP_BPF`) and no others.
    #[must_use]
    pub fn with_only(mut self, capabilities: &[&str]) -> Self {
        self.capabilities = Some(capabilities.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Agent<'a> {
        let directory = tempfile::tempdir().expect("make a folder");
        let config = directory.path().join("agent.toml");
        std::fs::write(&config, &self.config).expect("write the configuration");
        let health = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
        let mut command = match &self.capabilities {
            Some(capabilities) => as_nobody(&public_copy(directory.path()), capabilities),
            None => command(binary()),
        };
        command.arg("run").arg("--config").arg(&config).arg("--set").arg(format!("health.listen={health}"));
        command.args(self.settings.iter().flat_map(|setting| ["--set", setting.as_str()]));
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.endpoint).envs(self.environment);
        let process = Process::start(command, self.namespace, &directory.path().join("agent.txt"));
        let mut agent = Agent { process, health, config, namespace: self.namespace, _directory: directory };
        wait_for("the agent to be ready", || agent.is_ready().then_some(()));
        agent
    }
}

/// A running agent.
#[derive(Debug)]
pub struct Agent<'a> {
    process: Process,
    health: SocketAddr,
    config: PathBuf,
    namespace: Option<&'a Namespace>,
    _directory: TempDir,
}

impl Agent<'_> {
    /// The child process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Gives it another configuration file, and SIGHUP.
    pub fn reload(&self, config: &str) {
        std::fs::write(&self.config, config).expect("write the configuration");
        self.process.signal(Signal::HUP);
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process.output()
    }

    /// `GET path` at its own server, `None` if that does not answer.
    pub fn get(&self, path: &str) -> Option<http::Response> {
        let get = || http::get(self.health, path).ok();
        match self.namespace {
            Some(namespace) => namespace.run(get),
            None => get(),
        }
    }

    /// Whether `/readyz` says so.
    ///
    /// # Panics
    /// If it has ended.
    pub fn is_ready(&mut self) -> bool {
        if let Some(status) = self.process.exited() {
            panic!("the agent ended: {status}\n{}", self.log());
        }
        self.get("/readyz").is_some_and(|response| response.status == 200)
    }

    /// `/status`.
    pub fn status(&self) -> Value {
        let response = self.get("/status").expect("the agent answers");
        serde_json::from_str(&response.body)
            .unwrap_or_else(|error| panic!("/status: {error}: {}", response.body))
    }

    /// The ledger of `/status`.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.status()["ledger"].clone())
    }

    /// Waits until the ledger is as wanted.
    pub fn ledger_when(&self, what: &str, wanted: impl Fn(&Ledger) -> bool) -> Ledger {
        wait_for(what, || Some(self.ledger()).filter(&wanted))
    }

    /// Ends it with SIGTERM.
    pub fn terminate(mut self) -> Ended {
        self.process.signal(Signal::TERM);
        let (status, duration) = self.process.wait(PATIENCE);
        Ended { status, duration, log: self.log() }
    }
}

/// An agent that was ended in good order.
#[derive(Debug)]
pub struct Ended {
    /// Exit status.
    pub status: ExitStatus,
    /// From the signal to the end.
    pub duration: Duration,
    /// All that it logged.
    pub log: String,
}

impl Ended {
    /// The ledger after detaching and draining, from the log's line `final ledger {json}`: exact.
    ///
    /// # Panics
    /// If there is no such line.
    pub fn ledger(&self) -> Ledger {
        Ledger::last_of(&self.log).unwrap_or_else(|| panic!("no final ledger in the log:\n{}", self.log))
    }
}

/// What became of a command that was to end by itself.
#[derive(Debug)]
pub struct Outcome {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub output: String,
}

/// Runs a command that is to end by itself, with a limit.
pub fn run_to_end(command: Command) -> Outcome {
    let directory = tempfile::tempdir().expect("make a folder");
    let mut process = Process::start(command, None, &directory.path().join("output.txt"));
    let (status, _) = process.wait(PATIENCE);
    Outcome { code: status.code(), output: process.output() }
}

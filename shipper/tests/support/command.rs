//! The program as a user runs it.
#![allow(dead_code, unreachable_pub)]

use std::io::Write;
use std::process::{Command, Stdio};

/// With which capabilities it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Those of the test.
    Own,
    /// None at all.
    None,
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub out: String,
    pub error: String,
}

/// Runs it with nothing in its environment but the path. `None`, told as a skip, where it takes `setpriv` and there is
/// none.
pub fn run(arguments: &[&str], rights: Rights) -> Option<Ended> {
    run_with(arguments, rights, &[], "")
}

pub fn run_with(
    arguments: &[&str],
    rights: Rights,
    environment: &[(&str, &str)],
    input: &str,
) -> Option<Ended> {
    let program = env!("CARGO_BIN_EXE_tcpdrop-otel");
    let mut command = match rights {
        Rights::None if rustix::process::geteuid().is_root() => {
            if Command::new("setpriv").arg("--version").output().is_err() {
                skip("needs setpriv");
                return None;
            }
            let mut command = Command::new("setpriv");
            // The program may lie where only root can look: capabilities are dropped, the user stays.
            command.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", program]);
            command
        }
        _ => Command::new(program),
    };
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs(environment.iter().copied()).args(arguments);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that does not read its input closes it.
    _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Some(Ended {
        status: output.status.code().unwrap(),
        out: text(output.stdout),
        error: text(output.stderr),
    })
}

/// Told to whoever counts the tests that could not run.
pub fn skip(reason: &str) {
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    println!("SKIP {name}: {reason}");
    if let Some(path) = std::env::var_os("TCPDROP_TEST_SKIPS") {
        let mut skips = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(skips, "SKIP {name}: {reason}").unwrap();
    }
}

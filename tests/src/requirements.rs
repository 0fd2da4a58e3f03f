//! What a test needs of the machine. Where that is missing the test is skipped, and the skip is told and counted.

use crate::{agent, collector};
use std::io::Write;
use std::path::Path;

/// File that each skip is appended to, one line each. `make test` counts them.
pub const SKIPS: &str = "TCPDROP_TEST_SKIPS";

/// Something that a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The rights to make network namespaces and to load BPF programs.
    Root,
    /// The kernel's type information.
    Btf,
    /// A program in the `PATH`.
    Tool(&'static str),
    /// The Collector that `tests/setup.sh` builds.
    Collector,
    /// A setting that the agent knows, `key=value`.
    Setting(&'static str),
}

impl Requirement {
    /// Whether this machine has it.
    pub fn is_met(self) -> bool {
        self.missing().is_none()
    }

    /// Why it is not met, and what would help.
    fn missing(self) -> Option<String> {
        match self {
            Self::Root => missing_capability()
                .map(|name| format!("no {name} here; run as root, in a container with --privileged")),
            Self::Btf => (!Path::new("/sys/kernel/btf/vmlinux").exists())
                .then(|| "no /sys/kernel/btf/vmlinux; the kernel needs CONFIG_DEBUG_INFO_BTF".to_owned()),
            Self::Tool(name) => {
                (!in_path(name)).then(|| format!("no program {name}; tests/setup.sh installs it"))
            }
            Self::Collector => (!collector::binary().exists())
                .then(|| format!("no {}; tests/setup.sh builds it", collector::binary().display())),
            Self::Setting(setting) => {
                (!agent::knows(setting)).then(|| format!("the agent refuses the setting {setting}"))
            }
        }
    }
}

/// Whether a requirement is not met: then the reason is printed and counted, and the test is to return.
pub fn skip(test: &str, requirements: &[Requirement]) -> bool {
    let Some(reason) = requirements.iter().find_map(|requirement| requirement.missing()) else {
        return false;
    };
    let line = format!("SKIP {test}: {reason}\n");
    // Straight to the descriptor: what `eprint!` writes is kept from view while a test passes.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(file) = std::env::var_os(SKIPS) {
        let mut file =
            std::fs::File::options().create(true).append(true).open(file).expect("open the skip file");
        file.write_all(line.as_bytes()).expect("write the skip file");
    }
    true
}

/// Returns from the test, as skipped, unless each of the [`Requirement`]s holds: `require!(Root, Tool("nft"))`.
#[macro_export]
macro_rules! require {
    ($($requirement:expr),+ $(,)?) => {{
        #[allow(unused_imports)]
        use $crate::requirements::Requirement::*;
        fn here() {}
        let test = std::any::type_name_of_val(&here).trim_end_matches("::here");
        if $crate::requirements::skip(test, &[$($requirement),+]) {
            return;
        }
    }};
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// The first capability that the tests use and this process lacks (`linux/capability.h`).
fn missing_capability() -> Option<&'static str> {
    const NEEDED: [(&str, u32); 4] =
        [("CAP_NET_ADMIN", 12), ("CAP_SYS_ADMIN", 21), ("CAP_PERFMON", 38), ("CAP_BPF", 39)];
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = effective_capabilities(&status);
    NEEDED.iter().find(|(_, bit)| effective & (1 << bit) == 0).map(|(name, _)| *name)
}

fn effective_capabilities(status: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_status_file() {
        assert_eq!(
            effective_capabilities("Name:\tx\nCapEff:\t000000c000001000\n"),
            1 << 39 | 1 << 38 | 1 << 12
        );
        assert_eq!(effective_capabilities("Name:\tx\n"), 0);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(Requirement::Tool("sh").missing(), None);
        let reason = Requirement::Tool("no-such-program").missing().expect("it is not there");
        assert!(reason.contains("no-such-program"), "{reason}");
    }
}

//! [`ProbeError`]: why there is no probe, and what to do about it.

use crate::btf::BtfError;
use crate::config::model;
use crate::filter::namespaces::NamespaceError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use aya::{BtfError as AyaBtfError, EbpfError};
use std::io;

/// Why the probe cannot be loaded, attached or read.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The process lacks capabilities.
    #[error(
        "no rights to load the probe: it needs root, or the capabilities CAP_BPF and CAP_PERFMON \
         (before Linux 5.8 CAP_SYS_ADMIN). Run it with sudo, or give them to the binary with \
         `setcap cap_bpf,cap_perfmon,cap_syslog+ep BINARY`, or to its systemd unit with \
         `AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_SYSLOG` (the last for function names)"
    )]
    NoRights,
    /// The process has the capabilities, and was refused all the same.
    #[error(
        "the kernel refused the probe although the process has the rights. One of these stands in the way: a container \
         (allow the system call bpf in its seccomp profile, and run it without a user namespace), kernel lockdown in the \
         mode confidentiality, or before Linux 5.11 the limit on locked memory (`LimitMEMLOCK=infinity`, `ulimit -l`)"
    )]
    Denied,
    /// The kernel's type information is missing or unknown.
    #[error(
        "the kernel's type information is needed and cannot be used: {0}. The kernel must be built with \
         CONFIG_DEBUG_INFO_BTF=y, as those of current distributions are, and /sys must be mounted"
    )]
    Btf(BtfError),
    /// The tracepoint lacks what the program needs.
    #[error(
        "this kernel ({release}) is too old: its tracepoint kfree_skb does not have the arguments that \
         it has from Linux 5.10 on"
    )]
    TooOld {
        /// Release of the running kernel.
        release: String,
    },
    /// The verifier did not accept the program.
    #[error(
        "the kernel's verifier refused the probe ({error}). Please report it with the kernel's version; its last words \
         were:\n{log}"
    )]
    Refused {
        /// What the system call gave.
        error: io::Error,
        /// The end of the verifier's log.
        log: String,
    },
    /// There is no memory for the maps.
    #[error(
        "no memory for the probe's maps ({error}): set a smaller probe.ring_bytes (now {ring_bytes}), or allow the \
         service more memory"
    )]
    NoMemory {
        /// What the system call gave.
        error: io::Error,
        /// Size of the ring, in bytes.
        ring_bytes: u32,
    },
    /// The size of the ring is not possible.
    #[error(
        "the kernel does not accept a ring of {ring_bytes} bytes: probe.ring_bytes must be a power of two and a \
         multiple of the page size"
    )]
    RingSize {
        /// Size of the ring, in bytes.
        ring_bytes: u32,
    },
    /// The kernel refused to attach or detach the program.
    #[error("cannot {step} the probe at the tracepoint kfree_skb: {error}")]
    Tracepoint {
        /// What was tried.
        step: Step,
        /// What the kernel said.
        error: ProgramError,
    },
    /// The object could not be prepared for the running kernel.
    #[error("cannot fit the probe to this kernel: {0}. Please report it with the kernel's version")]
    Unfit(EbpfError),
    /// The embedded object lacks a part.
    #[error("the probe's object has no part named {0}: this binary was built from parts that do not match")]
    Object(&'static str),
    /// A map could not be read or written.
    #[error("cannot use a map of the probe: {0}")]
    Map(#[from] MapError),
    /// What each CPU counted cannot be read.
    #[error(
        "cannot read what the probe counts on each CPU: {0}. /sys must be mounted, and the process be allowed to map the \
         memory of BPF maps"
    )]
    Cpus(io::Error),
    /// The agent's own network namespace is not known.
    #[error("cannot tell the own network namespace: {0}. /proc must be mounted")]
    Namespace(io::Error),
    /// A filter names a namespace that is not known.
    #[error(transparent)]
    Filter(#[from] NamespaceError),
    /// A file descriptor could not be made, polled or asked.
    #[error("cannot use a file descriptor of the probe: {0}")]
    FileDescriptor(io::Error),
}

/// What was done with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Step {
    Load,
    Attach,
    Detach,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Load => "load",
            Self::Attach => "attach",
            Self::Detach => "detach",
        })
    }
}

impl ProbeError {
    pub(super) fn too_old() -> Self {
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        Self::TooOld { release }
    }

    /// For what went wrong before the program itself: BTF and maps.
    pub(super) fn of_load(error: EbpfError, settings: &model::Probe) -> Self {
        let ring_bytes = settings.ring_bytes;
        match error {
            EbpfError::BtfError(AyaBtfError::FileError { error, .. }) => {
                Self::Btf(BtfError::Unreadable(error))
            }
            EbpfError::BtfError(AyaBtfError::LoadError { io_error, .. }) if is_denied(&io_error) => {
                Self::denied()
            }
            EbpfError::MapError(MapError::CreateError { name, io_error }) => {
                match io_error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
                    Some(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) => Self::denied(),
                    Some(rustix::io::Errno::NOMEM | rustix::io::Errno::TOOBIG) => {
                        Self::NoMemory { error: io_error, ring_bytes }
                    }
                    Some(rustix::io::Errno::INVAL) if name == "ring" => Self::RingSize { ring_bytes },
                    _ => Self::Map(MapError::CreateError { name, io_error }),
                }
            }
            EbpfError::MapError(error) => Self::Map(error),
            EbpfError::ProgramError(error) => Self::of_program(error, Step::Load),
            error => Self::Unfit(error),
        }
    }

    pub(super) fn of_program(error: ProgramError, step: Step) -> Self {
        match error {
            ProgramError::LoadError { io_error, verifier_log } => {
                let log = verifier_log.to_string();
                // The verifier says EPERM, too, but never without words.
                if is_denied(&io_error) && log.trim().is_empty() {
                    return Self::denied();
                }
                Self::Refused { error: io_error, log: last_lines(&log, 12) }
            }
            ProgramError::SyscallError(error) if is_denied(&error.io_error) => Self::denied(),
            error => Self::Tracepoint { step, error },
        }
    }

    fn denied() -> Self {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        if has_rights(&status) { Self::Denied } else { Self::NoRights }
    }
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// Whether a thread with this `/proc/PID/status` may load the program, as far as capabilities go.
fn has_rights(status: &str) -> bool {
    const CAP_SYS_ADMIN: u32 = 21;
    const CAP_PERFMON: u32 = 38;
    const CAP_BPF: u32 = 39;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    let has = |capability: u32| effective >> capability & 1 == 1;
    has(CAP_SYS_ADMIN) || has(CAP_BPF) && has(CAP_PERFMON)
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_sys_admin_or_bpf_with_perfmon() {
        let status = |mask: u64| format!("Name:\tx\nCapPrm:\t{:016x}\nCapEff:\t{mask:016x}\n", u64::MAX);
        assert!(!has_rights(""));
        assert!(!has_rights(&status(0)));
        assert!(!has_rights(&status(1 << 39)));
        assert!(!has_rights(&status(1 << 38)));
        assert!(has_rights(&status(1 << 38 | 1 << 39)));
        assert!(has_rights(&status(1 << 21)));
    }

    #[test]
    fn a_map_that_is_refused_says_why() {
        let settings = model::Probe { ring_bytes: 5000, ..model::Probe::default() };
        let create = |name: &str, errno: i32| {
            let io_error = io::Error::from_raw_os_error(errno);
            let error = MapError::CreateError { name: name.to_owned(), io_error };
            ProbeError::of_load(error.into(), &settings).to_string()
        };
        assert!(create("ring", 22).contains("power of two"));
        assert!(create("cpus", 12).contains("probe.ring_bytes (now 5000)"));
        assert!(create("cpus", 22).contains("cannot use a map"));
        let denied = create("cpus", 1);
        assert!(denied.contains("CAP_PERFMON") || denied.contains("although the process has the rights"));
    }

    #[test]
    fn a_refusal_shows_the_end_of_the_verifiers_log() {
        let log = (0..100).map(|line| format!("line {line}\n\n")).collect::<String>();
        assert_eq!(last_lines(&log, 2), "line 98\nline 99");
        assert_eq!(last_lines("one", 2), "one");
    }
}

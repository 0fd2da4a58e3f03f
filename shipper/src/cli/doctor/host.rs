//! What the facts about the host mean. Pure: one function for each check.

use super::check::Check;
use super::facts::{Cgroups, HostFacts, LoadFacts};
use crate::probe;
use crate::silent::SilentSource;

/// Capabilities that matter, by their bits (`linux/capability.h`).
const CAPABILITIES: [(&str, u32); 4] =
    [("CAP_BPF", 39), ("CAP_PERFMON", 38), ("CAP_SYSLOG", 34), ("CAP_SYS_ADMIN", 21)];

/// A host whose clock shows an earlier time has not been told the time: 2024.
const EARLIEST_TIME_NS: u64 = 1_704_067_200_000_000_000;

/// All checks of the host, in the order in which they are best read.
pub(super) const CHECKS: [fn(&HostFacts) -> Check; 11] = [
    rights,
    btf,
    tracepoint,
    program,
    refused_syns,
    lockdown,
    unprivileged_bpf,
    symbols,
    iterators,
    cgroups,
    clock,
];

fn has(facts: &HostFacts, capability: &str) -> bool {
    CAPABILITIES.iter().any(|(name, bit)| *name == capability && facts.capabilities >> bit & 1 == 1)
}

fn may_load(facts: &HostFacts) -> bool {
    has(facts, "CAP_SYS_ADMIN") || has(facts, "CAP_BPF") && has(facts, "CAP_PERFMON")
}

fn rights(facts: &HostFacts) -> Check {
    let with = |wanted: bool| {
        let names = CAPABILITIES.iter().map(|(name, _)| *name).filter(|name| has(facts, name) == wanted);
        names.collect::<Vec<_>>().join(", ")
    };
    let found = match (with(true), with(false)) {
        (held, missing) if missing.is_empty() => held,
        (held, missing) if held.is_empty() => format!("none of {missing}"),
        (held, missing) => format!("{held}; not {missing}"),
    };
    if may_load(facts) {
        return Check::ok("rights", found);
    }
    let binary = facts.binary.display();
    let remedy = format!(
        "run it as root, with sudo, or give it the capabilities that it needs\n\
         by hand:   sudo setcap cap_bpf,cap_perfmon,cap_syslog+ep {binary}\n\
         systemd:   AmbientCapabilities=CAP_BPF CAP_PERFMON CAP_SYSLOG, as in packaging/systemd\n\
         container: capabilities.add: [BPF, PERFMON, SYSLOG]"
    );
    Check::fail("rights", found, remedy)
}

fn btf(facts: &HostFacts) -> Check {
    match &facts.btf {
        Ok(btf) => Check::ok("BTF", format!("the kernel shows its types, with {} drop reasons", btf.reasons)),
        Err(error) => Check::fail(
            "BTF",
            error,
            "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of current distributions are; in a container, \
             mount the host's /sys",
        ),
    }
}

fn tracepoint(facts: &HostFacts) -> Check {
    const NAME: &str = "tracepoint";
    let Ok(btf) = &facts.btf else { return Check::skipped(NAME, "known from the BTF only") };
    let kernel = &facts.kernel;
    let Some(parameters) = btf.tracepoint_parameters else {
        let found = format!("the kernel {kernel} has no tracepoint kfree_skb");
        return Check::fail(NAME, found, "use a kernel built with CONFIG_TRACEPOINTS=y, from 5.17 on");
    };
    // The first is the tracing's own.
    let passed = match parameters {
        ..=3 => "no reason",
        4 => "the reason, but not the receiving socket (Linux 6.11 and later do)",
        5.. => "the reason and the receiving socket",
    };
    match probe::program_for(parameters) {
        Some(program) => Check::ok(NAME, format!("kfree_skb of {kernel} passes {passed}: program {program}")),
        None => Check::fail(
            NAME,
            format!("kfree_skb of {kernel} passes {passed}"),
            "use a newer kernel: Linux says why a packet is dropped from 5.17 on",
        ),
    }
}

fn program(facts: &HostFacts) -> Check {
    const NAME: &str = "program";
    match &facts.load {
        LoadFacts::Loaded { program, verified_instructions, .. } => {
            let verified = verified_instructions
                .map_or_else(String::new, |count| format!("; {count} instructions verified"));
            Check::ok(NAME, format!("the kernel takes {program} (loaded, not attached{verified})"))
        }
        LoadFacts::NoRights if !may_load(facts) => Check::skipped(NAME, "cannot be tried without the rights"),
        LoadFacts::NoRights => Check::fail(NAME, "the kernel denied it", "see lockdown below"),
        LoadFacts::Failed(_) if facts.btf.is_err() => Check::skipped(NAME, "cannot be tried without the BTF"),
        LoadFacts::Failed(error) => {
            let (cause, remedy) = error.split_once(": ").unwrap_or((error, ""));
            let remedy = if remedy.is_empty() { "see the cause" } else { remedy };
            Check::fail(NAME, cause, remedy)
        }
    }
}

/// SYNs that a full queue refuses, which the tracepoint does not tell.
fn refused_syns(facts: &HostFacts) -> Check {
    const NAME: &str = "refused SYNs";
    let LoadFacts::Loaded { refused_syns: source, .. } = facts.load else {
        return Check::skipped(NAME, "known with the program only");
    };
    match source {
        SilentSource::Fexit => {
            Check::ok(NAME, "the kernel lets each be seen, with flow and listener (fexit)")
        }
        SilentSource::Netstat => Check::ok(
            NAME,
            "the kernel refuses fexit programs: the counters of each network namespace with a process are read (netstat)",
        ),
        SilentSource::None => Check::ok(NAME, "not watched: probe.silent is \"off\""),
    }
}

/// `none [integrity] confidentiality`: the one in brackets holds.
fn lockdown(facts: &HostFacts) -> Check {
    const NAME: &str = "lockdown";
    let Some(modes) = &facts.lockdown else {
        return Check::ok(NAME, "none: the kernel has none, or does not show it");
    };
    match modes.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
        Some(("confidentiality", _)) => Check::fail(
            NAME,
            "mode confidentiality: BPF programs may not read kernel memory",
            "boot with lockdown=integrity, or without lockdown=",
        ),
        Some((mode, _)) => Check::ok(NAME, format!("mode {mode}: does not hinder")),
        None => Check::ok(NAME, modes.clone()),
    }
}

/// Of no consequence with the rights; who has none may think that this is the way in.
fn unprivileged_bpf(facts: &HostFacts) -> Check {
    let meaning = match facts.unprivileged_bpf_disabled {
        None => "not shown",
        Some(0) => "0: others may load simple programs; the agent needs its rights all the same",
        Some(_) => "disabled for others, as it should be; the agent has rights of its own",
    };
    Check::ok("unprivileged BPF", meaning)
}

fn symbols(facts: &HostFacts) -> Check {
    const NAME: &str = "symbols";
    const LOSS: &str = "stacks will be without names, and without the hash that groups them across hosts";
    match &facts.kallsyms_shown {
        Ok(true) => Check::ok(NAME, "/proc/kallsyms shows addresses"),
        Err(error) => Check::warn(
            NAME,
            format!("/proc/kallsyms cannot be read ({error}): {LOSS}"),
            "mount /proc; the kernel needs CONFIG_KALLSYMS=y",
        ),
        Ok(false) => {
            let restrict = facts.kptr_restrict.unwrap_or(1);
            let remedy = if restrict >= 2 {
                "sysctl kernel.kptr_restrict=1: 2 hides addresses from everyone"
            } else {
                "give the agent CAP_SYSLOG too"
            };
            let paranoid = facts.perf_event_paranoid.map(|value| format!(", perf_event_paranoid {value}"));
            let settings = format!("kptr_restrict {restrict}{}", paranoid.unwrap_or_default());
            Check::warn(NAME, format!("/proc/kallsyms hides addresses ({settings}): {LOSS}"), remedy)
        }
    }
}

fn iterators(facts: &HostFacts) -> Check {
    const NAME: &str = "iterators";
    match &facts.btf {
        Err(_) => Check::skipped(NAME, "known from the BTF only"),
        Ok(btf) if btf.has_task_file_iterator => {
            Check::ok(NAME, "the kernel can list the open files of all tasks (task_file)")
        }
        Ok(_) => Check::warn(
            NAME,
            "the kernel has no BPF iterator task_file: owners of sockets are looked up in /proc, which is slower",
            "nothing has to be done; kernels from 5.8 on have it",
        ),
    }
}

fn cgroups(facts: &HostFacts) -> Check {
    const NAME: &str = "cgroups";
    match facts.cgroups {
        Cgroups::Unified => Check::ok(NAME, "version 2"),
        Cgroups::Hybrid => Check::ok(NAME, "version 2 beside version 1"),
        Cgroups::None => Check::warn(
            NAME,
            "no cgroup file system of version 2 at /sys/fs/cgroup: containers cannot be told apart",
            "boot with systemd.unified_cgroup_hierarchy=1; in a container, mount the host's /sys/fs/cgroup",
        ),
    }
}

fn clock(facts: &HostFacts) -> Check {
    const NAME: &str = "clock";
    if facts.boot_ns == 0 {
        let found = "the boot clock cannot be read, by which drops are timed";
        return Check::fail(NAME, found, "allow the system call clock_gettime in the seccomp profile");
    }
    let since_boot =
        humantime::format_duration(std::time::Duration::from_secs(facts.boot_ns / 1_000_000_000));
    let time = crate::otlp::timestamp(crate::drop_report::UnixNanos(facts.unix_ns));
    let found = format!("{time:.0}, {since_boot} after boot");
    if facts.unix_ns < EARLIEST_TIME_NS {
        return Check::warn(NAME, found, "set the time (NTP): receivers refuse records that are years old");
    }
    Check::ok(NAME, found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
#[path = "host_tests.rs"]
mod tests;

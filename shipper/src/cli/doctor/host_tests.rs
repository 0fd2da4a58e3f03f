//! Made-up hosts.

use super::*;
use crate::cli::doctor::Verdict;
use crate::cli::doctor::facts::BtfFacts;

const BPF_AND_PERFMON: u64 = 1 << 39 | 1 << 38;

fn loaded(refused_syns: SilentSource) -> LoadFacts {
    LoadFacts::Loaded { program: "kfree_skb_rx_sk", verified_instructions: Some(9), refused_syns }
}

/// A host that has it all.
fn good() -> HostFacts {
    HostFacts {
        kernel: "6.18.0".to_owned(),
        binary: "/usr/local/bin/tcpdrop-otel".into(),
        capabilities: BPF_AND_PERFMON | 1 << 34,
        btf: Ok(BtfFacts { tracepoint_parameters: Some(5), reasons: 126, has_task_file_iterator: true }),
        load: loaded(SilentSource::Fexit),
        lockdown: Some("none [integrity] confidentiality".to_owned()),
        kallsyms_shown: Ok(true),
        kptr_restrict: Some(1),
        perf_event_paranoid: Some(2),
        unprivileged_bpf_disabled: Some(2),
        cgroups: Cgroups::Unified,
        boot_ns: 90_000_000_000,
        unix_ns: 1_800_000_000_000_000_000,
        memory_available: Some(1 << 30),
    }
}

fn all(facts: &HostFacts) -> Vec<Check> {
    CHECKS.iter().map(|check| check(facts)).collect()
}

#[test]
fn a_good_host_has_nothing_to_be_done() {
    for check in all(&good()) {
        assert_eq!((check.verdict, check.remedy.as_deref()), (Verdict::Ok, None), "{}", check.name);
    }
}

/// What is changed on a good host; the check that says it; its verdict; a part of what was found or is to be done.
type Case = (fn(&mut HostFacts), &'static str, Verdict, &'static str);

const CASES: &[Case] = &[
    (|host| host.capabilities = 0, "rights", Verdict::Fail, "none of CAP_BPF"),
    (|host| host.capabilities = 1 << 39, "rights", Verdict::Fail, "CAP_BPF; not CAP_PERFMON"),
    (
        |host| host.capabilities = 1 << 39,
        "rights",
        Verdict::Fail,
        "cap_syslog+ep /usr/local/bin/tcpdrop-otel\n",
    ),
    (|host| host.capabilities = 1 << 39, "rights", Verdict::Fail, "AmbientCapabilities="),
    (|host| host.capabilities = BPF_AND_PERFMON, "rights", Verdict::Ok, "not CAP_SYSLOG"),
    (|host| host.capabilities = 1 << 21, "rights", Verdict::Ok, "CAP_SYS_ADMIN; not"),
    (|host| host.btf = Err("no file".to_owned()), "BTF", Verdict::Fail, "CONFIG_DEBUG_INFO_BTF=y"),
    (|host| host.btf = Err("no file".to_owned()), "tracepoint", Verdict::Skipped, "BTF"),
    (|host| host.btf = Err("no file".to_owned()), "iterators", Verdict::Skipped, "BTF"),
    (
        |host| host.btf.as_mut().unwrap().tracepoint_parameters = None,
        "tracepoint",
        Verdict::Fail,
        "CONFIG_TRACEPOINTS",
    ),
    (
        |host| host.btf.as_mut().unwrap().tracepoint_parameters = Some(4),
        "tracepoint",
        Verdict::Ok,
        "not the receiving socket",
    ),
    (
        |host| host.btf.as_mut().unwrap().tracepoint_parameters = Some(2),
        "tracepoint",
        Verdict::Fail,
        "newer kernel",
    ),
    (|host| host.btf.as_mut().unwrap().has_task_file_iterator = false, "iterators", Verdict::Warn, "slower"),
    (|host| host.load = LoadFacts::NoRights, "program", Verdict::Fail, "denied"),
    (|host| (host.load, host.capabilities) = (LoadFacts::NoRights, 0), "program", Verdict::Skipped, "rights"),
    (|host| host.load = LoadFacts::Failed("no: because".to_owned()), "program", Verdict::Fail, "because"),
    (|host| host.lockdown = None, "lockdown", Verdict::Ok, "none"),
    (
        |host| host.lockdown = Some("none integrity [confidentiality]".to_owned()),
        "lockdown",
        Verdict::Fail,
        "lockdown=integrity",
    ),
    (|host| host.lockdown = Some("[none] integrity".to_owned()), "lockdown", Verdict::Ok, "mode none"),
    (|host| host.unprivileged_bpf_disabled = Some(0), "unprivileged BPF", Verdict::Ok, "0: others may"),
    (|host| host.kallsyms_shown = Ok(false), "symbols", Verdict::Warn, "CAP_SYSLOG"),
    (
        |host| (host.kallsyms_shown, host.kptr_restrict) = (Ok(false), Some(2)),
        "symbols",
        Verdict::Warn,
        "sysctl kernel.kptr_restrict=1",
    ),
    (|host| host.kallsyms_shown = Err("no file".to_owned()), "symbols", Verdict::Warn, "CONFIG_KALLSYMS=y"),
    (|host| host.load = loaded(SilentSource::Netstat), "refused SYNs", Verdict::Ok, "netstat"),
    (|host| host.load = loaded(SilentSource::None), "refused SYNs", Verdict::Ok, "off"),
    (|host| host.cgroups = Cgroups::None, "cgroups", Verdict::Warn, "unified_cgroup_hierarchy"),
    (|host| host.cgroups = Cgroups::Hybrid, "cgroups", Verdict::Ok, "beside version 1"),
    (|host| host.boot_ns = 0, "clock", Verdict::Fail, "clock_gettime"),
    (|host| host.unix_ns = 5, "clock", Verdict::Warn, "NTP"),
];

#[test]
fn what_is_missing_is_said_with_its_remedy() {
    for (change, name, verdict, part) in CASES {
        let mut host = good();
        change(&mut host);
        let check = all(&host).into_iter().find(|check| check.name == *name).unwrap();
        assert_eq!(check.verdict, *verdict, "{check:?}");
        let text = format!("{} {}", check.found, check.remedy.as_deref().unwrap_or_default());
        assert!(text.contains(part), "{part:?}: {check:?}");
        let needs_remedy = matches!(verdict, Verdict::Fail | Verdict::Warn);
        assert_eq!(check.remedy.is_some(), needs_remedy, "{check:?}");
    }
}

//! The committed BPF objects are what their sources give, wherever they lie, and their structs are those of `wire`.
#![allow(clippy::unwrap_used)]

mod skip;

use object::{Object, ObjectSection};
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::process::Command;
use tcpdrop_otel::btf::{Btf, Member};
use tcpdrop_otel::wire::filter::{TcpDropFilterPrefix, TcpDropFilterSet, TcpDropFilterValue};
use tcpdrop_otel::wire::{
    COUNTS_AT, TcpDropAdmission, TcpDropCounts, TcpDropEvent, TcpDropLedger, TcpDropOwnPort, TcpDropPorts,
    TcpDropProcess, TcpDropSilentCounts, TcpDropSite,
};

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bpf")
}

const OBJECTS: [&str; 2] = ["tcp_drop.bpf.o", "refused_syn.bpf.o"];

fn object_bytes(name: &str) -> Vec<u8> {
    std::fs::read(sources().join(name)).unwrap()
}

fn object_btf(name: &str) -> Btf {
    let bytes = object_bytes(name);
    let file = object::File::parse(&*bytes).unwrap();
    Btf::parse(file.section_by_name(".BTF").unwrap().data().unwrap().to_vec()).unwrap()
}

#[test]
fn the_committed_objects_are_what_the_sources_give_in_any_folder() {
    let elsewhere = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(sources()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), elsewhere.path().join(file.file_name())).unwrap();
    }
    for folder in [sources().as_path(), elsewhere.path()] {
        let output = Command::new("make").arg("-C").arg(folder).arg("check").output();
        let Ok(output) = output else {
            return skip::skip("needs make");
        };
        let said = String::from_utf8_lossy(&output.stdout);
        if said.contains("not compared:") {
            return skip::skip(said.trim());
        }
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_objects_name_no_folder_of_the_machine_they_were_built_on() {
    let bytes = OBJECTS.map(object_bytes).concat();
    let strings = bytes.split(|byte| !(b' '..=b'~').contains(byte));
    let paths: Vec<_> = strings
        .filter(|string| string.len() > 4 && string.starts_with(b"/") && string[1..].contains(&b'/'))
        .map(String::from_utf8_lossy)
        .collect();
    assert!(paths.is_empty(), "{paths:?}");
}

/// The members of a struct of `wire`, as BTF would have them.
macro_rules! members {
    ($type:ty: $($field:ident),+ $(,)?) => {{
        let value = <$type>::default();
        vec![$(Member {
            name: stringify!($field).to_owned(),
            offset: offset_of!($type, $field),
            size: Some(size_of_val(&value.$field)),
        }),+]
    }};
}

#[test]
fn structs_lie_in_memory_as_in_the_objects() {
    let btf = object_btf("tcp_drop.bpf.o");
    let btf_of_refused_syn = object_btf("refused_syn.bpf.o");
    let check_in = |btf: &Btf, name: &str, size: usize, members: Vec<Member>| {
        assert_eq!(btf.struct_size(name), Some(size), "{name}");
        assert_eq!(btf.struct_members(name).unwrap(), members, "{name}");
    };
    let check = |name: &str, size: usize, members: Vec<Member>| check_in(&btf, name, size, members);
    let check_refused = |name: &str, size: usize, members: Vec<Member>| {
        check_in(&btf_of_refused_syn, name, size, members);
    };
    check_refused(
        "tcp_drop_silent_counts",
        size_of::<TcpDropSilentCounts>(),
        members!(TcpDropSilentCounts: refused, untold),
    );
    check_refused(
        "tcp_drop_process",
        size_of::<TcpDropProcess>(),
        members!(TcpDropProcess: netns_cookie, pid, netns_inode),
    );
    assert_eq!(btf_of_refused_syn.struct_members("tcp_drop_event"), btf.struct_members("tcp_drop_event"));
    check(
        "tcp_drop_event",
        size_of::<TcpDropEvent>(),
        members!(TcpDropEvent: boot_ns, site, netns_cookie, socket_cookie, socket_cgroup, task_cgroup, present, reason,
            netns_inode, interface_index, packet_size, seq, ack, pid, window, tcp_flags, source_port,
            destination_port, segments, stack_frames, ip_version, direction, socket_kind, socket_state, source,
            destination, comm, interface_name, listener_backlog, listener_backlog_max, listener_syn_backlog, silent),
    );
    check(
        "tcp_drop_ledger",
        size_of::<TcpDropLedger>(),
        members!(TcpDropLedger: seen, filtered, own, suppressed, ring_lost, admitted, missed),
    );
    check(
        "tcp_drop_site",
        size_of::<TcpDropSite>(),
        members!(TcpDropSite: site, reason, refilled, spent, seen, bytes, suppressed, ring_lost, hash),
    );
    check("tcp_drop_counts", size_of::<TcpDropCounts>(), members!(TcpDropCounts: ledger, no_slot, sites));
    let counts =
        btf.struct_members("cpu").unwrap().into_iter().find(|member| member.name == "counts").unwrap();
    assert_eq!(counts.offset, COUNTS_AT);
    check(
        "tcp_drop_admission",
        size_of::<TcpDropAdmission>(),
        members!(TcpDropAdmission: site_cost, site_refill, site_capacity, key_limit, reserve_limit, beat_shift,
            quiet_jiffies),
    );
    check(
        "tcp_drop_own_port",
        size_of::<TcpDropOwnPort>(),
        members!(TcpDropOwnPort: netns_inode, local_port, peer_port),
    );
    check(
        "tcp_drop_filter_set",
        size_of::<TcpDropFilterSet>(),
        members!(TcpDropFilterSet: include_kinds, include_directions, exclude_kinds, exclude_directions),
    );
    check("tcp_drop_ports", size_of::<TcpDropPorts>(), members!(TcpDropPorts: words));
    check(
        "tcp_drop_filter_value",
        size_of::<TcpDropFilterValue>(),
        members!(TcpDropFilterValue: value, kind, set, list, _padding),
    );
    // The loader's key type has the length in front.
    let mut prefix = members!(TcpDropFilterPrefix: set, list, version, _padding, address);
    prefix.iter_mut().for_each(|member| member.offset += size_of::<u32>());
    prefix.insert(0, Member { name: "bits".to_owned(), offset: 0, size: Some(size_of::<u32>()) });
    check("tcp_drop_filter_prefix", size_of::<u32>() + size_of::<TcpDropFilterPrefix>(), prefix);
}

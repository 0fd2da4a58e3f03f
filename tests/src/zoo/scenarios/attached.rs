//! BPF programs that somebody attached, beyond XDP and clsact.

use super::{no_socket, segment_to, unseen_syn};
use crate::zoo::expect::Expected;
use crate::zoo::lab::{Watched, by};
use crate::zoo::packet::{Segment, flag};
use crate::zoo::sys::{self, Cgroup, Hook, Pinned, Program, SocketMap};
use crate::zoo::{Lab, Need, Outcome, Scenario};
use std::fs::File;
use std::os::fd::AsRawFd;

const TCX: &[Need] = &[Need::Kernel(6, 6)];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("cgroup program: received", cgroup_ingress),
    Scenario::both("cgroup program: sent", cgroup_egress),
    Scenario::both("tcx: ingress", tcx_ingress).needs(TCX),
    Scenario::both("tcx: egress", tcx_egress).needs(TCX),
    Scenario::both("netfilter: BPF program", netfilter).needs(&[Need::Kernel(6, 4)]),
    Scenario::both("socket lookup: BPF program refuses", lookup),
    Scenario::both("reuseport: BPF program refuses", reuseport),
    Scenario::both("socket map: BPF program drops", socket_map),
    Scenario::both("route: BPF program drops, received", route_in),
    Scenario::both("route: BPF program drops, sent", route_out),
];

fn cgroup_ingress(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let cgroup = Cgroup::new();
    let listener = cgroup.run(|| net.host.listen(net.address()));
    let folder = cgroup.open();
    let _program = Program::returning(0, Hook::Cgroup { folder: &folder, egress: false }).expect("attach");
    let cookie = sys::cookie(&listener);
    let syn = segment_to(&net, &listener, flag::SYN);
    net.wire.send(&syn.packet());
    let site = by(lab.family, "tcp_v4_rcv", "tcp_v6_rcv");
    let expected = Expected::new(&net.host, "SOCKET_FILTER", site, &syn)
        .receive(&net.host, "eth0")
        .socket("listener", "listen")
        .cookie(cookie);
    lab.expect(&[&net.host], [expected])
}

fn cgroup_egress(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let cgroup = Cgroup::new();
    let (socket, far) = cgroup.run(|| net.outgoing());
    let folder = cgroup.open();
    let _program = Program::returning(0, Hook::Cgroup { folder: &folder, egress: true }).expect("attach");
    let cookie = sys::cookie(&socket);
    let _ = sys::send(&socket, b"hello");
    let segment = far.answer(flag::ACK | flag::PSH, b"hello");
    let expected = Expected::new(
        &net.host,
        "BPF_CGROUP_EGRESS",
        by(lab.family, "ip_finish_output", "ip6_finish_output"),
        &segment,
    )
    .transmit(&net.host, "eth0")
    .socket("full", "established")
    .cookie(cookie)
    .again();
    lab.expect(&[&net.host], [expected])
}

const TCX_DROP: i32 = 2;

fn tcx_ingress(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let interface = net.host.index("eth0");
    let _program = net
        .host
        .run(|| Program::returning(TCX_DROP, Hook::Tcx { interface, egress: false }))
        .expect("attach");
    let syn = net.to_closed_port(flag::SYN);
    net.wire.send(&syn.packet());
    let expected = Expected::new(&net.host, "TC_INGRESS", "__netif_receive_skb_core.constprop.0", &syn)
        .receive(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

fn tcx_egress(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let interface = net.host.index("eth0");
    let _program =
        net.host.run(|| Program::returning(TCX_DROP, Hook::Tcx { interface, egress: true })).expect("attach");
    let segment = Segment::new(net.at(1), net.peer(), flag::SYN);
    let _ = net.host.send_raw(&segment.packet(), net.peer_address());
    let expected =
        Expected::new(&net.host, "TC_EGRESS", "__dev_queue_xmit", &segment).transmit(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

fn netfilter(lab: &Lab) -> Outcome {
    const NF_DROP: i32 = 0;
    const LOCAL_IN: u32 = 1;
    let net = lab.wired();
    let family = by(lab.family, 2, 10);
    let _program = net
        .host
        .run(|| Program::returning(NF_DROP, Hook::Netfilter { family, hook: LOCAL_IN }))
        .expect("attach a program to netfilter");
    let syn = net.to_closed_port(flag::SYN);
    net.wire.send(&syn.packet());
    let expected =
        Expected::new(&net.host, "NETFILTER_DROP", "nf_hook_slow", &syn).receive(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

const SK_DROP: i32 = 0;

/// There is a listener, and nobody finds it.
fn lookup(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let listener = net.host.listen(net.address());
    let namespace = File::open(net.host.path()).expect("open a namespace");
    let _program = Program::returning(SK_DROP, Hook::SocketLookup(&namespace)).expect("attach");
    let resets = Watched::new(&net.host, "Tcp.OutRsts");
    let syn = segment_to(&net, &listener, flag::SYN);
    net.wire.send(&syn.packet());
    let expected = no_socket(&net, &syn).witness(resets.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn reuseport(lab: &Lab) -> Outcome {
    const SO_ATTACH_REUSEPORT_EBPF: i32 = 52;
    let net = lab.wired();
    let listener = net.host.listen_with(net.address(), |socket| {
        sys::set_number(socket, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1).expect("share a port");
    });
    let program = Program::returning(SK_DROP, Hook::Reuseport).expect("load");
    sys::set_number(&listener, libc::SOL_SOCKET, SO_ATTACH_REUSEPORT_EBPF, program.descriptor.as_raw_fd())
        .expect("attach");
    let resets = Watched::new(&net.host, "Tcp.OutRsts");
    let syn = segment_to(&net, &listener, flag::SYN);
    net.wire.send(&syn.packet());
    let expected = no_socket(&net, &syn).witness(resets.rise(1));
    lab.expect(&[&net.host], [expected])
}

/// TCP has taken and acknowledged the data.
fn socket_map(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let verdict = Program::returning(SK_DROP, Hook::SocketMap).expect("load");
    let map = SocketMap::new(&verdict).expect("make a map");
    map.hold(&connection.socket).expect("put the socket into the map");
    let data = connection.far.data(b"hello");
    net.wire.send(&data.packet());
    let expected = Expected::new(&net.host, "NOT_SPECIFIED", "sk_psock_verdict_apply", &data)
        .inferred("policy")
        .receive(&net.host, "eth0")
        .socket("full", "established")
        .cookie(connection.cookie);
    lab.expect(&[&net.host], [expected])
}

const BPF_DROP: i32 = 2;

fn route_in(lab: &Lab) -> Outcome {
    let net = lab.router();
    let program = Pinned::new(&Program::returning(BPF_DROP, Hook::Route { output: false }).expect("load"));
    let beyond = net.beyond();
    net.host.ip(&format!(
        "route add {} encap bpf in pinned {} dev eth1",
        beyond.ip(),
        program.path().display()
    ));
    let syn = Segment::new(net.peer(), beyond, flag::SYN);
    net.near.send(&syn.packet());
    let expected = Expected::new(&net.host, "NOT_SPECIFIED", "run_lwt_bpf.isra.0", &syn)
        .inferred("policy")
        .forward(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

fn route_out(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let program = Pinned::new(&Program::returning(BPF_DROP, Hook::Route { output: true }).expect("load"));
    net.host.ip(&format!(
        "route add {} encap bpf out pinned {} dev eth0",
        net.peer_address(),
        program.path().display()
    ));
    let peer = net.peer();
    let socket = net.host.run(|| sys::connect_without_waiting(peer)).expect("connect");
    let dropped =
        Expected::without_packet(&net.host, "NOT_SPECIFIED", "run_lwt_bpf.isra.0").inferred("policy");
    let expected =
        unseen_syn(dropped, &socket, peer).transmit(&net.host, "eth0").socket("full", "syn_sent").again();
    lab.expect(&[&net.host], [expected])
}

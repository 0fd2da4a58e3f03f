//! Queues and programs of traffic control, and XDP.

use crate::zoo::expect::Expected;
use crate::zoo::lab::{Net, Watched};
use crate::zoo::packet::{Segment, flag};
use crate::zoo::sys::{Hook, Pinned, Program};
use crate::zoo::{Lab, Need, Outcome, Scenario};
use std::io::Write;

const TC: &[Need] = &[Need::Tool("tc")];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("qdisc full: tbf", tbf).needs(TC),
    Scenario::both("qdisc full: pfifo", pfifo).needs(TC),
    Scenario::both("qdisc full: htb class", htb).needs(TC),
    Scenario::both("qdisc full: a socket's data", tbf_established).needs(TC),
    Scenario::both("qdisc full: forwarded", tbf_forwarded).needs(TC),
    Scenario::both("clsact: ingress", clsact_ingress).needs(TC),
    Scenario::both("clsact: egress", clsact_egress).needs(TC),
    Scenario::both("clsact: egress, forwarded", clsact_egress_forwarded).needs(TC),
    Scenario::both("XDP: generic", xdp_generic),
    Scenario::both("XDP: veth", xdp_veth),
    Scenario::both("XDP: veth, from another container's socket", xdp_veth_from_socket),
];

/// Takes no packet at all.
const TBF: &str = "qdisc add dev eth0 root tbf rate 8bit burst 2000 limit 1";

fn full(lab: &Lab, qdisc: &str) -> Outcome {
    let net = lab.wired();
    net.host.tc(qdisc);
    let drops = Watched::new(&net.host, "qdisc eth0");
    let segment = Segment::new(net.at(1), net.peer(), flag::SYN);
    // The queue may tell the sender.
    let _ = net.host.send_raw(&segment.packet(), net.peer_address());
    let expected =
        at_queue(&net.host, &segment).transmit(&net.host, "eth0").witness(drops.rise(1).at_least());
    lab.expect(&[&net.host], [expected])
}

fn at_queue(net: &Net, segment: &Segment) -> Expected {
    Expected::new(net, "QDISC_DROP", "__dev_queue_xmit", segment).severity("ERROR")
}

fn tbf(lab: &Lab) -> Outcome {
    full(lab, TBF)
}

fn pfifo(lab: &Lab) -> Outcome {
    full(lab, "qdisc add dev eth0 root pfifo limit 0")
}

fn htb(lab: &Lab) -> Outcome {
    full(
        lab,
        "qdisc add dev eth0 root handle 1: htb default 1
         class add dev eth0 parent 1: classid 1:1 htb rate 8kbit burst 1600 quantum 1500
         qdisc add dev eth0 parent 1:1 pfifo limit 0",
    )
}

fn tbf_established(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let (mut socket, far) = net.outgoing();
    let cookie = crate::zoo::sys::cookie(&socket);
    net.host.tc(TBF);
    let drops = Watched::new(&net.host, "qdisc eth0");
    socket.write_all(b"hello").expect("send");
    let segment = far.answer(flag::ACK | flag::PSH, b"hello");
    let expected = at_queue(&net.host, &segment)
        .transmit(&net.host, "eth0")
        .socket("full", "established")
        .cookie(cookie)
        .witness(drops.rise(1).at_least())
        .again();
    lab.expect(&[&net.host], [expected])
}

fn tbf_forwarded(lab: &Lab) -> Outcome {
    let net = lab.router();
    net.host.wait_until_running("eth1");
    net.host.tc(&TBF.replace("eth0", "eth1"));
    let drops = Watched::new(&net.host, "qdisc eth1");
    let segment = Segment::new(net.peer(), net.beyond(), flag::SYN);
    net.near.send(&segment.packet());
    let expected = at_queue(&net.host, &segment).forward(&net.host, "eth1").witness(drops.rise(1).at_least());
    lab.expect(&[&net.host], [expected])
}

/// A program that drops all.
fn classifier(net: &Net, interface: &str, hook: &str) -> Pinned {
    const TC_ACT_SHOT: i32 = 2;
    let program = Pinned::new(&Program::returning(TC_ACT_SHOT, Hook::Classifier).expect("load a classifier"));
    net.tc(&format!(
        "qdisc add dev {interface} clsact
         filter add dev {interface} {hook} protocol all bpf direct-action pinned {}",
        program.path().display()
    ));
    program
}

fn clsact_ingress(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let _program = classifier(&net.host, "eth0", "ingress");
    let syn = net.to_closed_port(flag::SYN);
    net.wire.send(&syn.packet());
    let expected = Expected::new(&net.host, "TC_INGRESS", "__netif_receive_skb_core.constprop.0", &syn)
        .receive(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

fn clsact_egress(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let _program = classifier(&net.host, "eth0", "egress");
    let segment = Segment::new(net.at(1), net.peer(), flag::SYN);
    let _ = net.host.send_raw(&segment.packet(), net.peer_address());
    let expected =
        Expected::new(&net.host, "TC_EGRESS", "__dev_queue_xmit", &segment).transmit(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

fn clsact_egress_forwarded(lab: &Lab) -> Outcome {
    let net = lab.router();
    let _program = classifier(&net.host, "eth1", "egress");
    let segment = Segment::new(net.peer(), net.beyond(), flag::SYN);
    net.near.send(&segment.packet());
    let expected =
        Expected::new(&net.host, "TC_EGRESS", "__dev_queue_xmit", &segment).forward(&net.host, "eth1");
    lab.expect(&[&net.host], [expected])
}

const XDP_DROP: i32 = 1;

fn xdp_generic(lab: &Lab) -> Outcome {
    xdp(lab, true, "do_xdp_generic")
}

fn xdp_veth(lab: &Lab) -> Outcome {
    xdp(lab, false, "veth_xdp_rcv_skb")
}

/// The packet comes from a packet socket in another namespace.
fn xdp(lab: &Lab, generic: bool, site: &str) -> Outcome {
    let net = lab.wired();
    let interface = net.host.index("eth0");
    let _program = net
        .host
        .run(|| Program::returning(XDP_DROP, Hook::Xdp { interface, generic }))
        .expect("attach an XDP program");
    let syn = net.to_closed_port(flag::SYN);
    net.wire.send(&syn.packet());
    let expected =
        Expected::new(&net.host, "NOT_SPECIFIED", site, &syn).receive(&net.host, "eth0").inferred("policy");
    lab.expect(&[&net.host], [expected])
}

/// `skb->sk` is then still the sender's socket, in another namespace.
fn xdp_veth_from_socket(lab: &Lab) -> Outcome {
    let pair = lab.containers();
    let peer = std::net::SocketAddr::new(pair.other_address, 80);
    let interface = pair.other.index("eth0");
    let _program = pair
        .other
        .run(|| Program::returning(XDP_DROP, Hook::Xdp { interface, generic: false }))
        .expect("attach an XDP program");
    let (_socket, syn) = pair.begin(peer);
    let expected = Expected::without_packet(&pair.other, "NOT_SPECIFIED", "veth_xdp_rcv_skb")
        .inferred("policy")
        .seen(&syn)
        .receive(&pair.other, "eth0")
        .again();
    lab.expect(&[&pair.other], [expected])
}

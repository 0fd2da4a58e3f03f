//! What stands in the way of packets, beyond routes: neighbours, options, a SYN proxy, tunnels that lead nowhere.

use super::unseen_syn;
use crate::netns::Family;
use crate::zoo::expect::Expected;
use crate::zoo::lab::{WIRE_MAC, Wired, by};
use crate::zoo::packet::{Segment, VXLAN_PORT, extension, flag, frame, protocol, vxlan_packet};
use crate::zoo::sys;
use crate::zoo::{Lab, Need, Outcome, Scenario};
use std::net::SocketAddr;

const VXLAN: &[Need] = &[Need::Link("vxlan")];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("neighbour: unresolved, sent", neighbour),
    Scenario::both("neighbour: queue full", neighbour_queue),
    Scenario::v4("routing: source route", source_route),
    Scenario::both("routing: unicast in a multicast frame", multicast_frame),
    Scenario::v6("IPv6 option that is to be dropped", dropping_option),
    Scenario::v6("IPv6 routing header with segments left", segments_left),
    Scenario::v4("SYN proxy: ACK with a wrong cookie", syn_proxy).needs(&[Need::Tool("nft")]),
    Scenario::both("VXLAN: no such network here", vxlan_unknown).needs(VXLAN),
    Scenario::both("VXLAN: no remote", vxlan_nowhere).needs(VXLAN),
];

fn received(net: &Wired, reason: &str, site: &str, segment: &Segment) -> Expected {
    Expected::new(&net.host, reason, site, segment).receive(&net.host, "eth0")
}

/// `connect()` to a host that is not there.
fn neighbour(lab: &Lab) -> Outcome {
    let net = lab.wired();
    net.host.ip("neighbour flush dev eth0 nud permanent");
    for family in ["ipv4", "ipv6"] {
        let set = |key: &str, value: &str| net.host.sysctl(&format!("{family}/neigh/eth0/{key}"), value);
        set("mcast_solicit", "1");
        set("retrans_time_ms", "50");
    }
    let peer = net.peer();
    let socket = net.host.run(|| sys::connect_without_waiting(peer)).expect("connect");
    let reason = by(lab.family, "NEIGH_FAILED", "NOT_SPECIFIED");
    let dropped = Expected::without_packet(&net.host, reason, "neigh_invalidate").inferred("neighbour");
    let expected =
        unseen_syn(dropped, &socket, peer).transmit(&net.host, "eth0").socket("full", "syn_sent").again();
    lab.expect(&[&net.host], [expected])
}

/// It holds one packet, the newest.
fn neighbour_queue(lab: &Lab) -> Outcome {
    let net = lab.router();
    net.forget_neighbours();
    for family in ["ipv4", "ipv6"] {
        let set = |key: &str, value: &str| net.host.sysctl(&format!("{family}/neigh/eth1/{key}"), value);
        set("retrans_time_ms", "60000");
        set("unres_qlen_bytes", "0");
    }
    let [first, second] = [0; 2].map(|_| Segment::new(net.peer(), net.beyond(), flag::SYN));
    net.near.send(&first.packet());
    net.near.send(&second.packet());
    let expected = Expected::new(&net.host, "NEIGH_QUEUEFULL", "__neigh_event_send", &first)
        .forward(&net.host, "eth1")
        .severity("ERROR");
    lab.expect(&[&net.host], [expected])
}

fn source_route(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let syn = Segment { ip_options: vec![131, 7, 4, 192, 0, 2, 77], ..net.to_closed_port(flag::SYN) };
    net.wire.send(&syn.packet());
    lab.expect(
        &[&net.host],
        [received(&net, "NOT_SPECIFIED", "ip_rcv_finish_core", &syn).inferred("routing")],
    )
}

fn multicast_frame(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let family = by(lab.family, "ipv4", "ipv6");
    net.host.sysctl(&format!("{family}/conf/eth0/drop_unicast_in_l2_multicast"), "1");
    let syn = net.to_closed_port(flag::SYN);
    net.wire.send_frame(&frame([1, 0, 0x5e, 0, 0, 1], WIRE_MAC, &syn.packet()));
    let site = by(lab.family, "ip_rcv_finish_core", "ip6_rcv_core");
    let expected = received(&net, "UNICAST_IN_L2_MULTICAST", site, &syn).severity("INFO");
    lab.expect(&[&net.host], [expected])
}

fn dropping_option(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let (kind, mut options) = extension(protocol::HOP_BY_HOP, 1);
    options[2] = 0x5e; // of the same experiment: to be dropped by those that do not know it
    let syn = Segment { extensions: vec![(kind, options)], ..net.to_closed_port(flag::SYN) };
    net.wire.send(&syn.packet());
    lab.expect(&[&net.host], [received(&net, "UNHANDLED_PROTO", "ip6_tlvopt_unknown", &syn).severity("INFO")])
}

fn segments_left(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let (kind, mut routing) = extension(protocol::ROUTING, 3);
    routing[2] = 2; // type 2: for mobile hosts
    routing[3] = 1;
    routing[8..24].copy_from_slice(&[0xfd; 16]);
    let syn = Segment { extensions: vec![(kind, routing)], ..net.to_closed_port(flag::SYN) };
    net.wire.send(&syn.packet());
    lab.expect(&[&net.host], [received(&net, "NOT_SPECIFIED", "ipv6_rthdr_rcv", &syn)])
}

fn syn_proxy(lab: &Lab) -> Outcome {
    let net = lab.wired();
    net.host.sysctl("netfilter/nf_conntrack_tcp_loose", "0");
    net.host.nft(
        "table inet zoo {
            chain early { type filter hook prerouting priority raw; tcp dport 80 tcp flags syn notrack; }
            chain proxy {
                type filter hook input priority 0
                tcp dport 80 ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm
            }
        }",
    );
    let far = net.begin(&Segment::new(net.peer(), net.at(80), flag::SYN));
    let ack = Segment { ack: far.ack.wrapping_add(1000), ..far.segment(flag::ACK) };
    net.wire.send(&ack.packet());
    let expected = received(&net, "NETFILTER_DROP", "nft_do_chain", &ack);
    lab.expect(&[&net.host], [expected])
}

fn vxlan(lab: &Lab, net: &Wired, remote: &str) {
    net.host.ip(&format!(
        "link add vxlan0 type vxlan id 7 dstport {VXLAN_PORT} {remote} local {} dev eth0",
        net.address()
    ));
    net.host.ip("link set vxlan0 address 02:00:00:00:01:01 up");
    net.host.add_addresses("vxlan0", [10, 1, 1, 2].into(), "fd00:1::2".parse().expect("an address"));
    let neighbour = by(lab.family, "10.1.1.1", "fd00:1::1");
    net.host.ip(&format!("neighbour replace {neighbour} lladdr 02:00:00:00:01:02 dev vxlan0"));
}

fn inner(family: Family) -> Segment {
    let [source, destination] =
        by(family, ["10.1.1.1:4444", "10.1.1.2:9"], ["[fd00:1::1]:4444", "[fd00:1::2]:9"])
            .map(|text| text.parse::<SocketAddr>().expect("an address"));
    Segment::new(source, destination, flag::SYN)
}

fn vxlan_unknown(lab: &Lab) -> Outcome {
    let net = lab.wired();
    vxlan(lab, &net, &format!("remote {}", net.peer_address()));
    let inside = inner(lab.family);
    net.wire.send(&vxlan_packet(net.peer(), net.at(VXLAN_PORT), 8, &inside.packet()));
    let expected = received(&net, "VXLAN_VNI_NOT_FOUND", "vxlan_rcv", &inside).encapsulated("vxlan");
    lab.expect(&[&net.host], [expected])
}

/// Nobody told the interface where its other end is.
fn vxlan_nowhere(lab: &Lab) -> Outcome {
    let net = lab.wired();
    vxlan(lab, &net, "");
    let Segment { source, destination, .. } = inner(lab.family);
    let segment = Segment::new(destination, source, flag::SYN);
    let _ = net.host.send_raw(&segment.packet(), source.ip());
    let expected =
        Expected::new(&net.host, "NO_TX_TARGET", "vxlan_xmit", &segment).transmit(&net.host, "vxlan0");
    lab.expect(&[&net.host], [expected])
}

//! TCP inside other packets: tunnels and VLAN tags. The TCP packet that is told of is the one inside.

use crate::zoo::expect::Expected;
use crate::zoo::lab::{PEER_PORT, Watched, Wired, by};
use crate::zoo::packet::{
    GENEVE_PORT, Segment, VXLAN_PORT, flag, geneve_packet, gre_packet, ip_in_ip, udp_packet, vxlan_packet,
};
use crate::zoo::{Lab, Need, Outcome, Scenario};
use std::net::SocketAddr;

const NFT: &[Need] = &[Need::Tool("nft")];
const VXLAN_DEVICE: &[Need] = &[Need::Tool("nft"), Need::Link("vxlan id 1 dstport 4789")];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("VXLAN: received, outer", vxlan_received).needs(NFT),
    Scenario::both("VXLAN: forwarded, outer", vxlan_forwarded).needs(NFT),
    Scenario::both("VXLAN: received, inner", vxlan_inner).needs(VXLAN_DEVICE),
    Scenario::both("VXLAN: sent, outer", vxlan_sent).needs(VXLAN_DEVICE),
    Scenario::both("VXLAN: header cut", vxlan_cut).needs(NFT),
    Scenario::both("VXLAN: no TCP inside", vxlan_without_tcp).needs(NFT),
    Scenario::both("Geneve: received, outer", geneve_received).needs(NFT),
    Scenario::both("IP in IP: received, outer", ip_in_ip_received).needs(NFT),
    Scenario::both("IP in IP: the other version inside", ip_in_ip_mixed).needs(NFT),
    Scenario::both("IP in IP: fragment inside", ip_in_ip_no_socket).needs(NFT),
    Scenario::both("GRE: received, outer", gre_received).needs(NFT),
    Scenario::both("GRE: with a key", gre_with_key).needs(NFT),
    Scenario::both("VLAN: no such VLAN here", vlan),
    Scenario::both("VLAN: two tags", two_vlans),
];

fn drop_ingress(net: &Wired) -> Watched<'_> {
    net.host.drop_at("netdev", "ingress device eth0", "meta l4proto != icmpv6")
}

/// The packet inside, of addresses that this host does not know.
fn inner(lab: &Lab) -> Segment {
    let [source, destination] =
        by(lab.family, ["10.1.1.1:1111", "10.1.1.2:2222"], ["[fd00:1::1]:1111", "[fd00:1::2]:2222"]);
    let [source, destination] = [source, destination].map(|text| text.parse().expect("an address"));
    Segment::new(source, destination, flag::SYN | flag::ECE)
}

/// Drops what `wrap` makes of a segment, at ingress.
fn outer(lab: &Lab, tunnel: &str, wrap: impl Fn(&Wired, &[u8]) -> Vec<u8>) -> Outcome {
    let net = lab.wired();
    let counter = drop_ingress(&net);
    let inside = inner(lab);
    net.wire.send(&wrap(&net, &inside.packet()));
    let expected = Expected::new(&net.host, "NETFILTER_DROP", "nft_do_chain", &inside)
        .receive(&net.host, "eth0")
        .encapsulated(tunnel)
        .witness(counter.rise(1).at_least());
    lab.expect(&[&net.host], [expected])
}

fn udp_ends(net: &Wired, port: u16) -> (SocketAddr, SocketAddr) {
    (SocketAddr::new(net.peer_address(), 33333), net.at(port))
}

fn vxlan_received(lab: &Lab) -> Outcome {
    outer(lab, "vxlan", |net, inside| {
        let (source, destination) = udp_ends(net, VXLAN_PORT);
        vxlan_packet(source, destination, 7, inside)
    })
}

fn geneve_received(lab: &Lab) -> Outcome {
    outer(lab, "geneve", |net, inside| {
        let (source, destination) = udp_ends(net, GENEVE_PORT);
        geneve_packet(source, destination, &[0, 0, 0x80, 1, 1, 2, 3, 4], inside)
    })
}

fn ip_in_ip_received(lab: &Lab) -> Outcome {
    outer(lab, "ipip", |net, inside| ip_in_ip(net.peer_address(), net.address(), inside))
}

/// IPv4 in IPv6 and the reverse: what is told of is inside.
fn ip_in_ip_mixed(lab: &Lab) -> Outcome {
    outer(lab, "ipip", |_, inside| {
        let [source, destination] =
            by(lab.family, ["2001:db8:1::2", "2001:db8:1::1"], ["192.0.2.2", "192.0.2.1"]);
        let [source, destination] = [source, destination].map(|text| text.parse().expect("an address"));
        ip_in_ip(source, destination, inside)
    })
}

fn gre_received(lab: &Lab) -> Outcome {
    outer(lab, "gre", |net, inside| gre_packet(net.peer_address(), net.address(), None, inside))
}

fn gre_with_key(lab: &Lab) -> Outcome {
    outer(lab, "gre", |net, inside| gre_packet(net.peer_address(), net.address(), Some(99), inside))
}

fn ip_in_ip_no_socket(lab: &Lab) -> Outcome {
    // The same with an inner packet that was cut behind its ports.
    let net = lab.wired();
    let counter = drop_ingress(&net);
    let inside = inner(lab);
    let packet = inside.packet();
    let cut = &packet[..packet.len() - 10];
    net.wire.send(&ip_in_ip(net.peer_address(), net.address(), cut));
    let expected = Expected::new(&net.host, "NETFILTER_DROP", "nft_do_chain", &inside)
        .addresses_only(inside.source.ip(), inside.destination.ip())
        .flow(inside.source, inside.destination)
        .receive(&net.host, "eth0")
        .encapsulated("ipip")
        .size(cut.len())
        .witness(counter.rise(1).at_least());
    lab.expect(&[&net.host], [expected])
}

fn vxlan_forwarded(lab: &Lab) -> Outcome {
    let net = lab.router();
    let counter = net.host.drop_at("inet", "forward", "udp dport 4789");
    let inside = inner(lab);
    let destination = SocketAddr::new(net.beyond().ip(), VXLAN_PORT);
    net.near.send(&vxlan_packet(net.peer(), destination, 7, &inside.packet()));
    let expected = Expected::new(&net.host, "NETFILTER_DROP", "nft_do_chain", &inside)
        .forward(&net.host, "eth0")
        .encapsulated("vxlan")
        .witness(counter.rise(1));
    lab.expect(&[&net.host], [expected])
}

/// A VXLAN interface with the inner address of the destination.
fn vxlan_device(lab: &Lab, net: &Wired) {
    net.host.ip(&format!(
        "link add vxlan0 type vxlan id 7 dstport {VXLAN_PORT} remote {} local {} dev eth0",
        net.peer_address(),
        net.address()
    ));
    net.host.ip("link set vxlan0 address 02:00:00:00:01:01 up");
    net.host.add_addresses("vxlan0", [10, 1, 1, 2].into(), "fd00:1::2".parse().expect("an address"));
    let neighbour = by(lab.family, "10.1.1.1", "fd00:1::1");
    net.host.ip(&format!("neighbour replace {neighbour} lladdr 02:00:00:00:01:02 dev vxlan0"));
}

/// Once the tunnel's header is off, the packet is one of the VXLAN interface's.
fn vxlan_inner(lab: &Lab) -> Outcome {
    let net = lab.wired();
    vxlan_device(lab, &net);
    let inside = inner(lab);
    let (source, destination) = udp_ends(&net, VXLAN_PORT);
    net.wire.send(&vxlan_packet(source, destination, 7, &inside.packet()));
    let expected = Expected::new(&net.host, "NO_SOCKET", by(lab.family, "tcp_v4_rcv", "tcp_v6_rcv"), &inside)
        .receive(&net.host, "vxlan0")
        .severity("INFO");
    lab.expect(&[&net.host], [expected])
}

/// The outer packet of a socket's segment: whose it is, the socket tells.
fn vxlan_sent(lab: &Lab) -> Outcome {
    let net = lab.wired();
    vxlan_device(lab, &net);
    let counter = net.host.drop_at("inet", "output", "udp dport 4789");
    let tap = net.host.packet_socket("vxlan0");
    let to = SocketAddr::new(by(lab.family, "10.1.1.1", "fd00:1::1").parse().expect("an address"), PEER_PORT);
    let socket = net.host.run(|| crate::zoo::sys::connect_without_waiting(to)).expect("connect");
    let syn = crate::zoo::lab::first_seen(&tap, |seen| seen.destination == to);
    let expected = Expected::without_packet(&net.host, "NETFILTER_DROP", "nft_do_chain")
        .seen(&syn)
        // The way out is not settled yet: it is the tunnel's device that sends.
        .transmit(&net.host, "vxlan0")
        .socket("full", "syn_sent")
        .encapsulated("vxlan")
        .witness(counter.rise(1))
        .again();
    let outcome = lab.expect(&[&net.host], [expected]);
    drop(socket);
    outcome
}

/// What cannot be read is not told of as TCP.
fn vxlan_cut(lab: &Lab) -> Outcome {
    untold(lab, |net, inside| {
        let (source, destination) = udp_ends(net, VXLAN_PORT);
        vxlan_packet(source, destination, 7, &inside[..8])
    })
}

fn vxlan_without_tcp(lab: &Lab) -> Outcome {
    untold(lab, |net, _| {
        let (source, destination) = udp_ends(net, VXLAN_PORT);
        let inside = inner(lab);
        vxlan_packet(source, destination, 7, &udp_packet(inside.source, inside.destination, b"hello"))
    })
}

fn untold(lab: &Lab, wrap: impl Fn(&Wired, &[u8]) -> Vec<u8>) -> Outcome {
    let net = lab.wired();
    let counter = drop_ingress(&net);
    net.wire.send(&wrap(&net, &inner(lab).packet()));
    counter.rise(1);
    lab.expect_nothing(&net.host)
}

fn vlan(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let syn = net.to_closed_port(flag::SYN);
    net.wire.send_tagged(&[(0x8100, 42)], &syn.packet());
    let expected = Expected::new(&net.host, "OTHERHOST", by(lab.family, "ip_rcv_core", "ip6_rcv_core"), &syn)
        .receive(&net.host, "eth0")
        .severity("INFO");
    lab.expect(&[&net.host], [expected])
}

/// The inner tag is in the packet, where the kernel takes the network header to begin.
fn two_vlans(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let syn = net.to_closed_port(flag::SYN);
    net.wire.send_tagged(&[(0x88a8, 42), (0x8100, 43)], &syn.packet());
    let expected = Expected::new(&net.host, "UNHANDLED_PROTO", "__netif_receive_skb_core.constprop.0", &syn)
        .receive(&net.host, "eth0")
        .severity("INFO");
    lab.expect(&[&net.host], [expected])
}

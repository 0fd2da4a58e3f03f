//! Packets that a host passes on, and routes that are not there.

use super::segment_to;
use crate::netns::Family;
use crate::zoo::expect::Expected;
use crate::zoo::field::Field;
use crate::zoo::lab::{HOST_MAC, Router, Watched, by};
use crate::zoo::packet::{Segment, flag};
use crate::zoo::sys;
use crate::zoo::{Lab, Need, Outcome, Scenario};
use std::io::Write;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("forwarding: netfilter", netfilter).needs(&[Need::Tool("nft")]),
    Scenario::both("forwarding: TTL expired", hop_limit),
    Scenario::both("forwarding: no route", no_route),
    Scenario::both("forwarding: blackhole route", blackhole),
    Scenario::both("forwarding: prohibit route", prohibit),
    Scenario::both("forwarding: unreachable route", unreachable),
    Scenario::both("forwarding: larger than the MTU", larger_than_mtu),
    Scenario::both("forwarding: unresolved neighbour", neighbour),
    Scenario::both("forwarding: switched off", switched_off),
    Scenario::v4("forwarding: reverse path filter", reverse_path),
    Scenario::v4("routing: source is this host", martian_source),
    Scenario::v4("routing: source is loopback", loopback_source),
    Scenario::v4("routing: source is multicast", multicast_source),
    Scenario::v4("routing: destination is nowhere", no_destination),
    Scenario::v6("routing: destination is loopback", loopback_destination),
    Scenario::v6("routing: IPv6 switched off", ipv6_disabled),
    Scenario::both("routing: IPsec policy blocks, received", policy_in),
    Scenario::both("routing: IPsec policy blocks, sent", policy_out),
    Scenario::both("routing: IPsec policy blocks, forwarded", policy_forward),
    Scenario::both("routing: other host's frame", other_host),
    Scenario::both("veth: larger than the peer's MTU", larger_than_peer),
    Scenario::both("veth: larger than the peer's MTU, forwarded", larger_than_peer_forwarded),
    Scenario::both("routing: route of a connection lost", route_lost),
    Scenario::both("routing: blackhole route of a connection", blackholed),
    Scenario::v4("routing: broadcast", broadcast),
];

/// A segment through the router.
fn through(net: &Router) -> Segment {
    Segment::new(net.peer(), net.beyond(), flag::SYN)
}

fn forwarded(net: &Router, reason: &str, site: &str, segment: &Segment) -> Expected {
    Expected::new(&net.host, reason, site, segment).forward(&net.host, "eth0")
}

fn netfilter(lab: &Lab) -> Outcome {
    let net = lab.router();
    let counter = net.host.drop_at("inet", "forward", "meta l4proto tcp");
    let syn = through(&net);
    net.near.send(&syn.packet());
    let expected = forwarded(&net, "NETFILTER_DROP", "nft_do_chain", &syn).witness(counter.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn hop_limit(lab: &Lab) -> Outcome {
    let net = lab.router();
    let errors = Watched::new(&net.host, by(lab.family, "Ip.InHdrErrors", "Ip6InHdrErrors"));
    let syn = Segment { hop_limit: 1, ..through(&net) };
    net.near.send(&syn.packet());
    let expected = forwarded(&net, "IP_INHDR", by(lab.family, "ip_forward", "ip6_forward"), &syn)
        // The kernel's reason is that of a wrong header.
        .corrected("routing")
        .witness(errors.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn no_route(lab: &Lab) -> Outcome {
    let net = lab.router();
    net.host.ip(&format!("route del default via {}", net.peer().ip()));
    let missing = Watched::new(&net.host, by(lab.family, "IpExt.InNoRoutes", "Ip6InNoRoutes"));
    let syn = Segment {
        destination: std::net::SocketAddr::new(
            by(lab.family, "203.0.113.9", "2001:db8:9::9").parse().expect("an address"),
            80,
        ),
        ..through(&net)
    };
    net.near.send(&syn.packet());
    let expected = forwarded(&net, "IP_INNOROUTES", by(lab.family, "ip_error", "ip6_pkt_discard"), &syn)
        .witness(missing.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn blackhole(lab: &Lab) -> Outcome {
    refused(lab, "blackhole", "NOT_SPECIFIED", by(lab.family, "ip_error", "dst_discard_out"))
}

fn prohibit(lab: &Lab) -> Outcome {
    refused(
        lab,
        "prohibit",
        by(lab.family, "NOT_SPECIFIED", "IP_INNOROUTES"),
        by(lab.family, "ip_error", "ip6_pkt_prohibit"),
    )
}

fn unreachable(lab: &Lab) -> Outcome {
    refused(
        lab,
        "unreachable",
        by(lab.family, "NOT_SPECIFIED", "IP_INNOROUTES"),
        by(lab.family, "ip_error", "ip6_pkt_discard"),
    )
}

fn refused(lab: &Lab, kind: &str, reason: &str, site: &str) -> Outcome {
    let net = lab.router();
    net.host.ip(&format!("route add {kind} {}", net.beyond().ip()));
    let syn = through(&net);
    net.near.send(&syn.packet());
    lab.expect(&[&net.host], [forwarded(&net, reason, site, &syn).inferred("routing")])
}

fn larger_than_mtu(lab: &Lab) -> Outcome {
    let net = lab.router();
    net.host.ip("link set eth1 mtu 1280");
    let too_big = Watched::new(&net.host, by(lab.family, "Ip.FragFails", "Ip6InTooBigErrors"));
    let data = Segment::new(net.peer(), net.beyond(), flag::ACK).with_payload(&[7; 1400]);
    let mut packet = data.packet();
    if lab.family == Family::V4 {
        packet[6] = 0x40; // do not fragment
        crate::zoo::packet::fix_ipv4_checksum(&mut packet);
    }
    net.near.send(&packet);
    let expected = forwarded(&net, "PKT_TOO_BIG", by(lab.family, "ip_forward", "ip6_forward"), &data)
        .witness(too_big.rise(1));
    // IPv6 has made the way out the packet's device by then.
    let expected = expected.forward(&net.host, by(lab.family, "eth0", "eth1"));
    lab.expect(&[&net.host], [expected])
}

/// The host gives up on the neighbour after a few tries; until then the packet waits.
fn neighbour(lab: &Lab) -> Outcome {
    let net = lab.router();
    net.forget_neighbours();
    let syn = through(&net);
    net.near.send(&syn.packet());
    let reason = by(lab.family, "NEIGH_FAILED", "NOT_SPECIFIED");
    let expected =
        forwarded(&net, reason, "neigh_invalidate", &syn).inferred("neighbour").forward(&net.host, "eth1");
    lab.expect(&[&net.host], [expected])
}

fn switched_off(lab: &Lab) -> Outcome {
    let net = lab.router();
    net.host.sysctl(by(lab.family, "ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"), "0");
    let counter = Watched::new(&net.host, by(lab.family, "Ip.InAddrErrors", "Ip6InAddrErrors"));
    let syn = through(&net);
    net.near.send(&syn.packet());
    let expected = forwarded(&net, "IP_INADDRERRORS", by(lab.family, "ip_error", "ip6_forward"), &syn)
        .witness(counter.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn reverse_path(lab: &Lab) -> Outcome {
    let net = lab.router();
    net.host.sysctl("ipv4/conf/eth0/rp_filter", "1");
    let filtered = Watched::new(&net.host, "TcpExt.IPReversePathFilter");
    let spoofed = Segment::new(net.beyond(), net.beyond(), flag::SYN);
    net.near.send(&spoofed.packet());
    // Where it would have gone was not asked yet.
    let expected = Expected::new(&net.host, "IP_RPFILTER", "ip_rcv_finish_core", &spoofed)
        .receive(&net.host, "eth0")
        .witness(filtered.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn martian_source(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let spoofed = Segment::new(net.at(80), net.at(9), flag::SYN);
    net.wire.send(&spoofed.packet());
    let expected = Expected::new(&net.host, "IP_LOCAL_SOURCE", "ip_rcv_finish_core", &spoofed)
        .receive(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

fn loopback_source(lab: &Lab) -> Outcome {
    refused_addresses(lab, "127.0.0.1:5", None, "IP_LOCALNET")
}

fn multicast_source(lab: &Lab) -> Outcome {
    refused_addresses(lab, "224.0.0.5:5", None, "IP_INVALID_SOURCE")
}

fn no_destination(lab: &Lab) -> Outcome {
    refused_addresses(lab, "192.0.2.2:5", Some("0.0.0.0:9"), "IP_INVALID_DEST")
}

fn refused_addresses(lab: &Lab, source: &str, destination: Option<&str>, reason: &str) -> Outcome {
    let net = lab.wired();
    let destination = destination.map_or(net.at(9), |text| text.parse().expect("an address"));
    let segment = Segment::new(source.parse().expect("an address"), destination, flag::SYN);
    net.wire.send(&segment.packet());
    let expected =
        Expected::new(&net.host, reason, "ip_rcv_finish_core", &segment).receive(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

fn loopback_destination(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let segment = Segment::new(net.peer(), "[::1]:9".parse().expect("an address"), flag::SYN);
    net.wire.send(&segment.packet());
    let expected = Expected::new(&net.host, "IP_INHDR", "ip6_rcv_core", &segment).receive(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

fn ipv6_disabled(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let segment = net.to_closed_port(flag::SYN);
    net.host.sysctl("ipv6/conf/eth0/disable_ipv6", "1");
    let counter = Watched::new(&net.host, "Ip6InDiscards");
    net.wire.send(&segment.packet());
    let expected = Expected::new(&net.host, "IPV6DISABLED", "ip6_rcv_core", &segment)
        .receive(&net.host, "eth0")
        .witness(counter.rise(1).at_least());
    lab.expect(&[&net.host], [expected])
}

/// A policy that lets no TCP through.
fn block(net: &crate::zoo::lab::Net, direction: &str, family: Family) {
    let any = by(family, "0.0.0.0/0", "::/0");
    net.ip(&format!("xfrm policy add src {any} dst {any} proto tcp dir {direction} action block"));
}

/// A packet that no socket wants is told of as such, whatever the policy.
fn policy_in(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let listener = net.host.listen(net.address());
    let cookie = sys::cookie(&listener);
    block(&net.host, "in", lab.family);
    let counter = Watched::new(&net.host, "xfrm XfrmInPolBlock");
    let syn = segment_to(&net, &listener, flag::SYN);
    net.wire.send(&syn.packet());
    let expected = Expected::new(&net.host, "XFRM_POLICY", by(lab.family, "tcp_v4_rcv", "tcp_v6_rcv"), &syn)
        .receive(&net.host, "eth0")
        .socket("listener", "listen")
        .cookie(cookie)
        .witness(counter.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn policy_out(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let (mut socket, far) = net.outgoing();
    let cookie = sys::cookie(&socket);
    block(&net.host, "out", lab.family);
    let counter = Watched::new(&net.host, "xfrm XfrmOutPolBlock");
    let _ = socket.write_all(b"hello");
    let segment = far.answer(flag::ACK | flag::PSH, b"hello");
    let (reason, site) =
        by(lab.family, ("IP_OUTNOROUTES", "__ip_queue_xmit"), ("NOT_SPECIFIED", "inet6_csk_xmit"));
    let expected = Expected::new(&net.host, reason, site, &segment)
        .inferred("routing")
        .transmit_nowhere()
        .without(&[Field::Size])
        .socket("full", "established")
        .cookie(cookie)
        .witness(counter.rise(1))
        .again();
    lab.expect(&[&net.host], [expected])
}

fn policy_forward(lab: &Lab) -> Outcome {
    let net = lab.router();
    block(&net.host, "fwd", lab.family);
    let counter = Watched::new(&net.host, "xfrm XfrmInPolBlock");
    let syn = through(&net);
    net.near.send(&syn.packet());
    let (reason, site) = by(lab.family, ("XFRM_POLICY", "ip_forward"), ("NOT_SPECIFIED", "ip6_forward"));
    let expected = forwarded(&net, reason, site, &syn).witness(counter.rise(1));
    lab.expect(&[&net.host], [expected])
}

/// The other end of a veth pair takes no more than its own MTU.
fn larger_than_peer(lab: &Lab) -> Outcome {
    let net = lab.wired();
    net.host.ip("link set eth0 mtu 3000");
    let data = Segment::new(net.at(1), net.peer(), flag::ACK).with_payload(&[7; 2000]);
    let _ = net.host.send_raw(&data.packet(), net.peer_address());
    let expected = Expected::new(&net.host, "NOT_SPECIFIED", "__dev_forward_skb2", &data)
        .inferred("device")
        .transmit(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

fn larger_than_peer_forwarded(lab: &Lab) -> Outcome {
    let net = lab.router();
    net.near.resize(3000);
    net.host.ip("link set eth0 mtu 3000\nlink set eth1 mtu 3000");
    let data = Segment::new(net.peer(), net.beyond(), flag::ACK).with_payload(&[7; 2000]);
    net.near.send(&data.packet());
    let expected = forwarded(&net, "NOT_SPECIFIED", "__dev_forward_skb2", &data)
        .inferred("device")
        .forward(&net.host, "eth1");
    lab.expect(&[&net.host], [expected])
}

fn other_host(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let syn = net.to_closed_port(flag::SYN);
    let mut mac = HOST_MAC;
    mac[5] = 0x99;
    // Only a promiscuous interface gets so far.
    net.host.ip("link set eth0 promisc on");
    net.wire.send_frame(&crate::zoo::packet::frame(mac, [2, 0, 0, 0, 0, 2], &syn.packet()));
    let expected = Expected::new(&net.host, "OTHERHOST", by(lab.family, "ip_rcv_core", "ip6_rcv_core"), &syn)
        .receive(&net.host, "eth0")
        .severity("INFO");
    lab.expect(&[&net.host], [expected])
}

fn route_lost(lab: &Lab) -> Outcome {
    let prefix = by(lab.family, "192.0.2.0/24", "2001:db8:1::/64");
    unroutable(lab, |peer| format!("route del default via {peer}\nroute del {prefix} dev eth0"))
}

fn blackholed(lab: &Lab) -> Outcome {
    unroutable(lab, |peer| format!("route add blackhole {peer}"))
}

/// TCP has made its header, and no IP header is to come: the addresses are the socket's.
fn unroutable(lab: &Lab, change: impl Fn(std::net::IpAddr) -> String) -> Outcome {
    let net = lab.wired();
    let (mut socket, far) = net.outgoing();
    let cookie = sys::cookie(&socket);
    net.host.ip(&change(net.peer_address()));
    let _ = socket.write_all(b"hello");
    let segment = far.answer(flag::ACK | flag::PSH, b"hello");
    let (reason, site) =
        by(lab.family, ("IP_OUTNOROUTES", "__ip_queue_xmit"), ("NOT_SPECIFIED", "inet6_csk_xmit"));
    let expected = Expected::new(&net.host, reason, site, &segment)
        .inferred("routing")
        .transmit_nowhere()
        .without(&[Field::Size])
        .socket("full", "established")
        .cookie(cookie)
        .again();
    lab.expect(&[&net.host], [expected])
}

fn broadcast(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let syn = Segment {
        destination: "192.0.2.255:9".parse().expect("an address"),
        ..net.to_closed_port(flag::SYN)
    };
    net.wire.send_frame(&crate::zoo::packet::frame([0xff; 6], [2, 0, 0, 0, 0, 2], &syn.packet()));
    let expected = Expected::new(&net.host, "NOT_SPECIFIED", "tcp_v4_rcv", &syn).receive(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

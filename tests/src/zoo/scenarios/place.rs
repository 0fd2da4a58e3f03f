//! Where the packet was: bridges, containers, loopback, TUN and TAP, and sockets of both IP versions.

use super::unseen_syn;
use crate::netns::Family;
use crate::zoo::expect::Expected;
use crate::zoo::field::Field;
use crate::zoo::lab::{HOST_MAC, Net, Watched, Wire, Wired, by, first_seen};
use crate::zoo::packet::{Segment, flag};
use crate::zoo::sys::{self, Tun};
use crate::zoo::{Lab, Need, Outcome, Scenario};
use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr};

const NFT: &[Need] = &[Need::Tool("nft")];
const NFT_BRIDGE: &[Need] = &[Need::Tool("nft"), Need::Link("bridge")];
const TUN: &[Need] = &[Need::File("/dev/net/tun")];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("loopback: closed port", loopback),
    Scenario::both("loopback: netfilter output", loopback_output).needs(NFT),
    Scenario::both("loopback: netfilter input", loopback_input).needs(NFT),
    Scenario::both("containers: closed port", container_closed_port),
    Scenario::both("containers: netfilter input of the other", container_input).needs(NFT),
    Scenario::both("containers: netfilter ingress of the other", container_ingress).needs(NFT),
    Scenario::both("containers: netfilter egress of the one", container_egress)
        .needs(&[Need::Tool("nft"), Need::Kernel(5, 16)]),
    Scenario::both("bridge: netfilter prerouting", bridge_prerouting).needs(NFT_BRIDGE),
    Scenario::both("bridge: netfilter forward", bridge_forward).needs(NFT_BRIDGE),
    Scenario::both("bridge: netfilter postrouting", bridge_postrouting).needs(NFT_BRIDGE),
    Scenario::both("bridge: netfilter input", bridge_input).needs(NFT_BRIDGE),
    Scenario::both("bridge: port's queue full", bridge_queue)
        .needs(&[Need::Tool("tc"), Need::Link("bridge")]),
    Scenario::both("bridge: for the host itself", bridge_local).needs(&[Need::Link("bridge")]),
    Scenario::both("macvlan: closed port", macvlan).needs(&[Need::Link("macvlan")]),
    Scenario::both("TUN: closed port", tun).needs(TUN),
    Scenario::both("TAP: closed port", tap).needs(TUN),
    Scenario::both("TUN: reader too slow", tun_full).needs(TUN),
    Scenario::v4("IPv4 on an IPv6 socket: received", mapped_received).needs(&[Need::RECEIVING_SOCKET]),
    Scenario::v4("IPv4 on an IPv6 socket: sent", mapped_sent).needs(NFT),
    Scenario::v4("IPv4 on an IPv6 socket: route lost", mapped_route_lost),
    Scenario::both("AF_PACKET: sent, netfilter egress", packet_socket_egress)
        .needs(&[Need::Tool("nft"), Need::Kernel(5, 16)]),
    Scenario::both("AF_PACKET: sent, queue full", packet_socket_queue).needs(&[Need::Tool("tc")]),
    Scenario::both("GSO: netfilter output", gso_output).needs(NFT),
    Scenario::both("GSO: netfilter egress", gso_egress).needs(&[Need::Tool("nft"), Need::Kernel(5, 16)]),
    Scenario::both("GSO: received by a container", gso_received).needs(NFT),
];

fn no_socket(net: &Net, family: Family) -> Expected {
    Expected::without_packet(net, "NO_SOCKET", by(family, "tcp_v4_rcv", "tcp_v6_rcv")).severity("INFO")
}

fn filtered(net: &Net) -> Expected {
    Expected::without_packet(net, "NETFILTER_DROP", "nft_do_chain")
}

fn on_loopback(family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(by(family, "127.0.0.1", "::1").parse().expect("an address"), port)
}

fn loopback(lab: &Lab) -> Outcome {
    let net = Net::new();
    let tap = net.packet_socket("lo");
    let to = on_loopback(lab.family, 9);
    net.run(|| crate::netns::connect_refused(to));
    let syn = first_seen(&tap, |seen| seen.destination == to);
    lab.expect(&[&net], [no_socket(&net, lab.family).seen(&syn).receive(&net, "lo")])
}

fn loopback_output(lab: &Lab) -> Outcome {
    at_loopback_hook(lab, "output", |expected, net| expected.transmit(net, "lo"))
}

/// The packet was sent by a socket here, and has arrived.
fn loopback_input(lab: &Lab) -> Outcome {
    at_loopback_hook(lab, "input", |expected, net| expected.receive(net, "lo"))
}

fn at_loopback_hook(lab: &Lab, hook: &str, direct: impl Fn(Expected, &Net) -> Expected) -> Outcome {
    let net = Net::new();
    let counter = net.drop_at("inet", hook, "meta l4proto tcp");
    let to = on_loopback(lab.family, 9);
    let segment = Segment::new(on_loopback(lab.family, 1234), to, flag::SYN);
    let _ = net.send_raw(&segment.packet(), to.ip());
    let expected = Expected::new(&net, "NETFILTER_DROP", "nft_do_chain", &segment);
    lab.expect(&[&net], [direct(expected, &net).witness(counter.rise(1))])
}

fn container_closed_port(lab: &Lab) -> Outcome {
    let pair = lab.containers();
    let (_socket, syn) = pair.begin(SocketAddr::new(pair.other_address, 9));
    let expected = no_socket(&pair.other, lab.family).seen(&syn).receive(&pair.other, "eth0");
    lab.expect(&[&pair.other, &pair.one], [expected])
}

/// The sender's socket is in another namespace, and is not told of.
fn container_input(lab: &Lab) -> Outcome {
    at_other_container(lab, "inet", "input")
}

fn container_ingress(lab: &Lab) -> Outcome {
    at_other_container(lab, "netdev", "ingress device eth0")
}

fn at_other_container(lab: &Lab, table: &str, hook: &str) -> Outcome {
    let pair = lab.containers();
    let counter = pair.other.drop_at(table, hook, "meta l4proto tcp");
    let (_socket, syn) = pair.begin(SocketAddr::new(pair.other_address, 9));
    let expected =
        filtered(&pair.other).seen(&syn).receive(&pair.other, "eth0").witness(counter.rise(1)).again();
    lab.expect(&[&pair.other, &pair.one], [expected])
}

fn container_egress(lab: &Lab) -> Outcome {
    let pair = lab.containers();
    let counter = pair.one.drop_at("netdev", "egress device eth0", "meta l4proto tcp");
    let to = SocketAddr::new(pair.other_address, 9);
    let socket = pair.one.run(|| sys::connect_without_waiting(to)).expect("connect");
    let expected = unseen_syn(filtered(&pair.one), &socket, to)
        .transmit(&pair.one, "eth0")
        .socket("full", "syn_sent")
        .witness(counter.rise(1))
        .again();
    lab.expect(&[&pair.other, &pair.one], [expected])
}

/// A host that bridges two wires.
pub(super) struct Bridged {
    pub(super) host: Net,
    pub(super) near: Wire,
    _far: Wire,
    pub(super) segment: Segment,
}

pub(super) fn bridged(lab: &Lab) -> Bridged {
    let host = Net::new();
    let near = Wire::new(&host, "port1", HOST_MAC, [2, 0, 0, 0, 0, 2]);
    let far = Wire::new(&host, "port2", [2, 0, 0, 0, 0, 3], [2, 0, 0, 0, 0, 4]);
    host.sysctl("ipv6/conf/default/disable_ipv6", "1");
    host.ip("link add bridge type bridge mcast_snooping 0
         link set port1 master bridge
         link set port2 master bridge
         link set bridge up");
    for port in ["port1", "port2"] {
        host.wait_until_running(port);
    }
    let [source, destination] =
        by(lab.family, ["10.7.0.1:1", "10.7.0.2:2"], ["[fd00:7::1]:1", "[fd00:7::2]:2"]);
    let [source, destination] = [source, destination].map(|text| text.parse().expect("an address"));
    Bridged { host, near, _far: far, segment: Segment::new(source, destination, flag::SYN) }
}

impl Bridged {
    /// To a station behind the other port that the bridge has not heard of.
    pub(super) fn send(&self) {
        self.send_to([2, 0, 0, 0, 0, 4]);
    }

    fn send_to(&self, station: [u8; 6]) {
        self.near.send_frame(&crate::zoo::packet::frame(station, [2, 0, 0, 0, 0, 2], &self.segment.packet()));
    }
}

/// Where it will go is not known yet.
fn bridge_prerouting(lab: &Lab) -> Outcome {
    at_bridge_hook(lab, "prerouting", |expected, net| expected.receive(net, "port1"))
}

fn bridge_forward(lab: &Lab) -> Outcome {
    at_bridge_hook(lab, "forward", |expected, net| expected.forward(net, "port2"))
}

fn bridge_postrouting(lab: &Lab) -> Outcome {
    at_bridge_hook(lab, "postrouting", |expected, net| expected.forward(net, "port2"))
}

fn at_bridge_hook(lab: &Lab, hook: &str, direct: impl Fn(Expected, &Net) -> Expected) -> Outcome {
    let net = bridged(lab);
    let counter = net.host.drop_at("bridge", hook, "meta l4proto tcp");
    net.send();
    let rise = counter.rise(1);
    let expected = Expected::new(&net.host, "NETFILTER_DROP", "nft_do_chain", &net.segment);
    lab.expect(&[&net.host], [direct(expected, &net.host).witness(rise)])
}

fn bridge_queue(lab: &Lab) -> Outcome {
    let net = bridged(lab);
    net.host.tc("qdisc add dev port2 root tbf rate 8bit burst 2000 limit 1");
    net.send();
    let expected = Expected::new(&net.host, "QDISC_DROP", "__dev_queue_xmit", &net.segment)
        .forward(&net.host, "port2")
        .severity("ERROR");
    lab.expect(&[&net.host], [expected])
}

/// The bridge takes it for the host.
fn bridge_input(lab: &Lab) -> Outcome {
    let net = bridged(lab);
    net.host.ip("link set bridge address 02:00:00:00:00:09");
    let counter = net.host.drop_at("bridge", "input", "meta l4proto tcp");
    net.send_to([2, 0, 0, 0, 0, 9]);
    let expected = Expected::new(&net.host, "NETFILTER_DROP", "nft_do_chain", &net.segment)
        .receive(&net.host, "bridge")
        .witness(counter.rise(1));
    lab.expect(&[&net.host], [expected])
}

/// The bridge itself is the interface then.
fn bridge_local(lab: &Lab) -> Outcome {
    let net = bridged(lab);
    net.host.sysctl("ipv6/conf/bridge/disable_ipv6", "0");
    net.host.ip("link set bridge address 02:00:00:00:00:09");
    net.host.add_addresses("bridge", [10, 7, 0, 2].into(), "fd00:7::2".parse().expect("an address"));
    // The answer has to leave: one that finds no neighbour is a drop of its own, sooner or later.
    net.host.ip("neighbour add 10.7.0.1 lladdr 02:00:00:00:00:02 dev bridge nud permanent
         neighbour add fd00:7::1 lladdr 02:00:00:00:00:02 dev bridge nud permanent");
    net.send_to([2, 0, 0, 0, 0, 9]);
    let site = by(lab.family, "tcp_v4_rcv", "tcp_v6_rcv");
    let expected = Expected::new(&net.host, "NO_SOCKET", site, &net.segment)
        .receive(&net.host, "bridge")
        .severity("INFO");
    lab.expect(&[&net.host], [expected])
}

fn macvlan(lab: &Lab) -> Outcome {
    let net = lab.wired();
    net.host.ip("link add macvlan0 link eth0 address 02:00:00:00:00:09 type macvlan mode bridge
         link set macvlan0 up");
    net.host.add_addresses("macvlan0", [10, 7, 0, 2].into(), "fd00:7::2".parse().expect("an address"));
    let to = SocketAddr::new(by(lab.family, "10.7.0.2", "fd00:7::2").parse().expect("an address"), 9);
    let syn = Segment::new(net.peer(), to, flag::SYN);
    net.wire.send_frame(&crate::zoo::packet::frame([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 2], &syn.packet()));
    let expected = Expected::new(&net.host, "NO_SOCKET", by(lab.family, "tcp_v4_rcv", "tcp_v6_rcv"), &syn)
        .receive(&net.host, "macvlan0")
        .severity("INFO");
    lab.expect(&[&net.host], [expected])
}

/// A namespace with a TUN or TAP interface, and a segment to its address.
fn with_tun(lab: &Lab, frames: bool) -> (Net, Tun, Segment) {
    let net = Net::new();
    let tun = net.run(|| Tun::open("tun0", frames)).expect("open /dev/net/tun");
    net.ip(if frames { "link set tun0 address 02:00:00:00:00:09 up" } else { "link set tun0 up" });
    net.add_addresses("tun0", [10, 7, 0, 2].into(), "fd00:7::2".parse().expect("an address"));
    if frames {
        // Who never answers would be a drop of its own, a few seconds later.
        net.ip("neighbour add 10.7.0.1 lladdr 02:00:00:00:00:08 dev tun0 nud permanent
             neighbour add fd00:7::1 lladdr 02:00:00:00:00:08 dev tun0 nud permanent");
    }
    let [source, destination] =
        by(lab.family, ["10.7.0.1:1", "10.7.0.2:9"], ["[fd00:7::1]:1", "[fd00:7::2]:9"]);
    let [source, destination] = [source, destination].map(|text| text.parse().expect("an address"));
    (net, tun, Segment::new(source, destination, flag::SYN))
}

fn tun(lab: &Lab) -> Outcome {
    let (net, tun, syn) = with_tun(lab, false);
    tun.send(&syn.packet()).expect("send");
    let expected = Expected::new(&net, "NO_SOCKET", by(lab.family, "tcp_v4_rcv", "tcp_v6_rcv"), &syn);
    lab.expect(&[&net], [expected.receive(&net, "tun0").severity("INFO")])
}

fn tap(lab: &Lab) -> Outcome {
    let (net, tun, syn) = with_tun(lab, true);
    tun.send(&crate::zoo::packet::frame([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 8], &syn.packet()))
        .expect("send");
    let expected = Expected::new(&net, "NO_SOCKET", by(lab.family, "tcp_v4_rcv", "tcp_v6_rcv"), &syn);
    lab.expect(&[&net], [expected.receive(&net, "tun0").severity("INFO")])
}

/// Nobody reads what goes out through the TUN interface; its ring holds `txqueuelen` packets.
fn tun_full(lab: &Lab) -> Outcome {
    let net = Net::new();
    let _tun = net.run(|| Tun::open("tun0", false)).expect("open /dev/net/tun");
    net.ip("link set tun0 txqueuelen 2 up");
    net.sysctl("ipv6/conf/tun0/router_solicitations", "0");
    net.add_addresses("tun0", [10, 7, 0, 2].into(), "fd00:7::2".parse().expect("an address"));
    let [source, destination] = by(lab.family, ["10.7.0.2", "10.7.0.1"], ["fd00:7::2", "fd00:7::1"]);
    let [source, destination]: [std::net::IpAddr; 2] =
        [source, destination].map(|text| text.parse().expect("an address"));
    for _ in 0..4 {
        let _ = net.run(|| std::net::UdpSocket::bind((source, 0))?.send_to(b"fills", (destination, 9)));
    }
    let dropped = Watched::new(&net, "link tun0 tx dropped");
    let segment = Segment::new(SocketAddr::new(source, 1), SocketAddr::new(destination, 2), flag::SYN);
    let _ = net.send_raw(&segment.packet(), destination);
    let expected = Expected::new(&net, "FULL_RING", "tun_net_xmit", &segment)
        .transmit(&net, "tun0")
        .severity("ERROR")
        .witness(dropped.rise(1).at_least());
    lab.expect(&[&net], [expected])
}

fn mapped_listener(net: &Wired) -> std::net::TcpListener {
    net.host.listen(Ipv6Addr::UNSPECIFIED)
}

fn mapped_received(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection_through(mapped_listener(&net), &[]);
    let data = connection.far.data(b"hello");
    connection.deliver(&net.wire, b"hello");
    net.wire.send(&data.packet());
    let expected = Expected::new(&net.host, "TCP_OLD_DATA", "tcp_rcv_established", &data)
        .receive(&net.host, "eth0")
        .socket("full", "established")
        .cookie(connection.cookie)
        .severity("INFO");
    lab.expect(&[&net.host], [expected])
}

fn mapped_sent(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection_through(mapped_listener(&net), &[]);
    let counter = net.host.drop_at("inet", "output", "tcp flags & psh != 0");
    connection.socket.write_all(b"hello").expect("send");
    let segment = connection.far.answer(flag::ACK | flag::PSH, b"hello");
    let expected = Expected::new(&net.host, "NETFILTER_DROP", "nft_do_chain", &segment)
        .transmit(&net.host, "eth0")
        .socket("full", "established")
        .cookie(connection.cookie)
        .witness(counter.rise(1))
        .again();
    lab.expect(&[&net.host], [expected])
}

/// There is no IP header: the socket of IPv6 knows that it speaks IPv4.
fn mapped_route_lost(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection_through(mapped_listener(&net), &[]);
    net.host.ip(&format!("route add blackhole {}", net.peer_address()));
    let _ = connection.socket.write_all(b"hello");
    let segment = connection.far.answer(flag::ACK | flag::PSH, b"hello");
    let expected = Expected::new(&net.host, "IP_OUTNOROUTES", "__ip_queue_xmit", &segment)
        .transmit_nowhere()
        .without(&[Field::Size])
        .socket("full", "established")
        .cookie(connection.cookie)
        .again();
    lab.expect(&[&net.host], [expected])
}

fn packet_socket_egress(lab: &Lab) -> Outcome {
    let net = lab.wired();
    net.host.drop_at("netdev", "egress device eth0", "meta l4proto tcp");
    packet_socket(lab, &net, "NETFILTER_DROP", "nft_do_chain", "WARN")
}

fn packet_socket_queue(lab: &Lab) -> Outcome {
    let net = lab.wired();
    net.host.tc("qdisc add dev eth0 root pfifo limit 0");
    packet_socket(lab, &net, "QDISC_DROP", "__dev_queue_xmit", "ERROR")
}

fn packet_socket(lab: &Lab, net: &Wired, reason: &str, site: &str, severity: &str) -> Outcome {
    let segment = Segment::new(net.at(1), net.peer(), flag::SYN);
    let socket = net.host.packet_socket("eth0");
    let _ = socket.send(&crate::zoo::packet::frame([2, 0, 0, 0, 0, 2], HOST_MAC, &segment.packet()));
    let expected =
        Expected::new(&net.host, reason, site, &segment).transmit(&net.host, "eth0").severity(severity);
    lab.expect(&[&net.host], [expected])
}

/// What a socket sends in one piece, to be cut by the interface: two segments. On a busy host more go in two pieces, as the
/// pace of the connection is (`tcp_min_tso_segs` is 2).
const BULK: usize = 2800;

fn gso_output(lab: &Lab) -> Outcome {
    gso_sent(lab, "inet", "output")
}

fn gso_egress(lab: &Lab) -> Outcome {
    gso_sent(lab, "netdev", "egress device eth0")
}

fn gso_sent(lab: &Lab, table: &str, hook: &str) -> Outcome {
    let net = lab.wired();
    let (mut socket, far) = net.outgoing();
    let cookie = sys::cookie(&socket);
    let counter = net.host.drop_at(table, hook, "meta length > 2000");
    socket.write_all(&[7; BULK]).expect("send");
    let segment = far.answer(flag::ACK | flag::PSH, &[7; BULK]);
    let expected = Expected::new(&net.host, "NETFILTER_DROP", "nft_do_chain", &segment)
        .transmit(&net.host, "eth0")
        .with(Field::Segments, "2")
        .socket("full", "established")
        .cookie(cookie)
        .witness(counter.rise(1));
    lab.expect(&[&net.host], [expected])
}

/// Over veth it arrives in one piece too.
fn gso_received(lab: &Lab) -> Outcome {
    let pair = lab.containers();
    let listener = pair.other.listen(pair.other_address);
    let to = listener.local_addr().expect("an address");
    let mut socket = pair.one.run(|| std::net::TcpStream::connect(to)).expect("connect");
    let (accepted, _) = listener.accept().expect("accept");
    let cookie = sys::cookie(&accepted);
    let counter = pair.other.drop_at("inet", "input", "meta length > 2000");
    let tap = pair.one.packet_socket("eth0");
    socket.write_all(&[7; BULK]).expect("send");
    let data = first_seen(&tap, |seen| seen.destination == to && seen.payload.len() > 2000);
    let expected = filtered(&pair.other)
        .seen(&data)
        .receive(&pair.other, "eth0")
        .with(Field::Segments, "2")
        .socket("full", "established")
        .cookie(cookie)
        .witness(counter.rise(1));
    lab.expect(&[&pair.other], [expected])
}

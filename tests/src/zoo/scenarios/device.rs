//! Interfaces: what they refuse, what they merge, what they cut.

use super::place::bridged;
use crate::zoo::expect::Expected;
use crate::zoo::field::Field;
use crate::zoo::lab::{Net, Watched, Wired, by};
use crate::zoo::packet::{Segment, flag, frame, offload_header};
use crate::zoo::sys::{self, Tun};
use crate::zoo::{Lab, Need, Outcome, Scenario};

const BRIDGE: &[Need] = &[Need::Link("bridge")];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("bridge: netfilter of IP, forwarded", bridge_ip_netfilter).needs(&[
        Need::Tool("nft"),
        Need::Link("bridge"),
        Need::File("/proc/sys/net/bridge"),
    ]),
    Scenario::both("bridge: port blocked", bridge_blocked).needs(BRIDGE),
    Scenario::both("bridge: back to where it came from", bridge_back).needs(BRIDGE),
    Scenario::both("macvlan: interface down", macvlan_down).needs(&[Need::Link("macvlan")]),
    Scenario::both("IFB: queue full", ifb).needs(&[Need::Tool("tc"), Need::Link("ifb")]),
    Scenario::both("veth: peer down", peer_down),
    Scenario::both("CPU backlog full", cpu_backlog).needs(&[Need::Tool("ethtool")]),
    Scenario::both("GRO: merged on reception", gro).needs(&[Need::Tool("nft"), Need::Tool("ethtool")]),
    Scenario::both("GRO: merged on reception, and read", gro_read).needs(&[Need::Tool("ethtool")]),
    Scenario::both("TAP: large packet of a guest", guest).needs(&[Need::File("/dev/net/tun")]),
    Scenario::both("GSO: cannot be cut", cannot_be_cut),
    Scenario::v4("AF_PACKET: headers outside of the linear part", headers_apart).needs(&[Need::Tool("nft")]),
];

fn bridge_ip_netfilter(lab: &Lab) -> Outcome {
    let net = bridged(lab);
    for family in ["iptables", "ip6tables"] {
        net.host.sysctl(&format!("bridge/bridge-nf-call-{family}"), "1");
    }
    let counter = net.host.drop_at("inet", "forward", "meta l4proto tcp");
    net.send();
    let expected = Expected::new(&net.host, "NETFILTER_DROP", "nft_do_chain", &net.segment)
        .forward(&net.host, "port2")
        .witness(counter.rise(1));
    lab.expect(&[&net.host], [expected])
}

/// A port that was just connected, with the spanning tree protocol.
fn bridge_blocked(lab: &Lab) -> Outcome {
    let net = bridged(lab);
    net.host.ip("link set bridge type bridge stp_state 1
         link set port1 nomaster
         link set port1 master bridge");
    net.send();
    let expected = Expected::new(&net.host, "BRIDGE_INGRESS_STP_STATE", "br_handle_frame", &net.segment)
        .receive(&net.host, "port1");
    lab.expect(&[&net.host], [expected])
}

fn bridge_back(lab: &Lab) -> Outcome {
    let net = bridged(lab);
    net.host.command("bridge", "fdb replace 02:00:00:00:00:aa dev port1 master static", "");
    net.near.send_frame(&frame([2, 0, 0, 0, 0, 0xaa], [2, 0, 0, 0, 0, 2], &net.segment.packet()));
    let expected = Expected::new(&net.host, "NOT_SPECIFIED", "br_handle_frame_finish", &net.segment)
        .inferred("device")
        .receive(&net.host, "port1");
    lab.expect(&[&net.host], [expected])
}

fn macvlan_down(lab: &Lab) -> Outcome {
    let net = lab.wired();
    net.host.ip("link add macvlan0 link eth0 address 02:00:00:00:00:09 type macvlan mode bridge
         link set macvlan0 up
         link set macvlan0 down");
    let syn = net.to_closed_port(flag::SYN);
    net.wire.send_frame(&frame([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 2], &syn.packet()));
    let expected = Expected::new(&net.host, "OTHERHOST", "ip_rcv_core", &syn)
        .with(Field::Site, by(lab.family, "ip_rcv_core", "ip6_rcv_core"))
        .severity("INFO")
        .receive(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

/// What came in is shaped as if it went out.
fn ifb(lab: &Lab) -> Outcome {
    let net = lab.wired();
    net.host.ip("link add ifb0 type ifb
         link set ifb0 up");
    net.host.tc("qdisc add dev ifb0 root pfifo limit 0
         qdisc add dev eth0 clsact
         filter add dev eth0 ingress protocol all u32 match u32 0 0 action mirred egress redirect dev ifb0");
    let drops = Watched::new(&net.host, "qdisc ifb0");
    let syn = net.to_closed_port(flag::SYN);
    net.wire.send(&syn.packet());
    let expected = Expected::new(&net.host, "QDISC_DROP", "__dev_queue_xmit", &syn)
        .receive(&net.host, "ifb0")
        .severity("ERROR")
        .witness(drops.rise(1).at_least());
    lab.expect(&[&net.host], [expected])
}

fn peer_down(lab: &Lab) -> Outcome {
    let net = lab.wired();
    net.wire.take_down();
    let segment = Segment::new(net.at(1), net.peer(), flag::SYN);
    let _ = net.host.send_raw(&segment.packet(), net.peer_address());
    let expected = Expected::new(&net.host, "NOT_SPECIFIED", "__dev_forward_skb2", &segment)
        .inferred("device")
        .transmit(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

/// More segments at once than `net.core.netdev_max_backlog`: those that fit are data which a socket takes.
fn cpu_backlog(lab: &Lab) -> Outcome {
    const SIZE: u16 = 50;
    let net = lab.wired();
    let listener = net.host.listen_with(net.address(), |socket| {
        sys::set_number(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 8 << 20).expect("make room");
    });
    let connection = net.connection_through(listener, &[]);
    net.wire.cut();
    let dropped = Watched::new(&net.host, "link eth0 rx dropped");
    let data = connection.far.data(&vec![7; 55_000]);
    net.wire.send_to_cut(&data.packet(), SIZE, 100);
    let rise = dropped.rise(1);
    let one = Segment { payload: vec![7; SIZE.into()], ..data };
    let expected = Expected::new(&net.host, "CPU_BACKLOG", "enqueue_to_backlog", &one)
        // Which do not fit depends on what else is in the queue; the last one has a flag more.
        .unchecked(&[Field::Seq, Field::Flags])
        .receive(&net.host, "eth0")
        .severity("ERROR")
        .count(rise.found);
    lab.expect(&[&net.host], [expected.witness(rise)])
}

/// What goes out in one piece, and is cut into three segments.
fn three_segments(net: &Wired, far: &Segment) -> Segment {
    net.host.command("ethtool", "-K eth0 gro on", "");
    net.wire.cut();
    let data = far.clone().with_payload(&[7; 3000]);
    net.wire.send_to_cut(&data.packet(), 1000, 100);
    data
}

/// The first two are one when netfilter sees them: the second is chained behind the first, and freed with it. The third
/// is still the sender's, and is not merged.
fn gro(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let counter = net.host.drop_at("inet", "input", "meta length > 1500 meta l4proto tcp");
    let data = three_segments(&net, &net.to_closed_port(flag::ACK));
    let merged = data.clone().with_payload(&[7; 2000]);
    let merged = Expected::new(&net.host, "NETFILTER_DROP", "nft_do_chain", &merged)
        .receive(&net.host, "eth0")
        .with(Field::Segments, "2")
        .witness(counter.rise(1));
    let third = Segment { seq: data.seq + 2000, ..data }.with_payload(&[7; 1000]);
    let third = Expected::new(&net.host, "NO_SOCKET", by(lab.family, "tcp_v4_rcv", "tcp_v6_rcv"), &third)
        .receive(&net.host, "eth0")
        .severity("INFO");
    lab.expect(&[&net.host], [merged, third])
}

/// Read to its end, and then freed with what is chained behind it.
fn gro_read(lab: &Lab) -> Outcome {
    use std::io::Read;
    let net = lab.wired();
    let mut connection = net.connection();
    let received = Watched::new(&net.host, by(lab.family, "Ip.InReceives", "Ip6InReceives"));
    three_segments(&net, &connection.far.segment(flag::ACK));
    connection.socket.read_exact(&mut [0; 3000]).expect("read");
    assert_eq!(received.rise(2).found, 2, "packets of three segments");
    lab.expect_nothing(&net.host)
}

fn guest(lab: &Lab) -> Outcome {
    let net = Net::new();
    let tap = net.run(|| Tun::of_guest("tap0")).expect("open /dev/net/tun");
    net.ip("link set tap0 address 02:00:00:00:00:09 up");
    net.add_addresses("tap0", [10, 7, 0, 2].into(), "fd00:7::2".parse().expect("an address"));
    let [source, destination] =
        by(lab.family, ["10.7.0.1:1", "10.7.0.2:9"], ["[fd00:7::1]:1", "[fd00:7::2]:9"])
            .map(|text| text.parse().expect("an address"));
    let data = Segment::new(source, destination, flag::ACK).with_payload(&[7; 3000]);
    let packet = data.packet();
    let bytes =
        [&offload_header(&packet, 1000, 100)[..], &frame([2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 0, 8], &packet)]
            .concat();
    tap.send(&bytes).expect("send");
    let expected = Expected::new(&net, "NO_SOCKET", by(lab.family, "tcp_v4_rcv", "tcp_v6_rcv"), &data)
        .receive(&net, "tap0")
        .with(Field::Segments, "3")
        .severity("INFO");
    lab.expect(&[&net], [expected])
}

/// Its TCP header says that it has less than 20 bytes.
fn cannot_be_cut(lab: &Lab) -> Outcome {
    let net: Wired = lab.wired();
    net.host.wait_until_running("eth0");
    let socket = net.host.packet_socket("eth0");
    socket.expect_offload().expect("expect offload headers");
    let mut data = Segment::new(net.at(1), net.peer(), flag::ACK).with_payload(&[7; 3000]);
    data.data_offset = Some(3);
    let packet = data.packet();
    let header = offload_header(&packet, 1000, 100);
    let bytes = [&header[..], &frame([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1], &packet)].concat();
    let _ = socket.send(&bytes);
    let expected = Expected::new(&net.host, "NOT_SPECIFIED", "validate_xmit_skb.isra.0", &data)
        .transmit(&net.host, "eth0")
        // As the header has it, which makes the data larger.
        .with(Field::Segments, "4");
    lab.expect(&[&net.host], [expected])
}

/// The headers are in a page of which the kernel has no address that a program could read.
fn headers_apart(lab: &Lab) -> Outcome {
    let net = lab.wired();
    net.host.ip("link set eth0 mtu 9000");
    net.wire.resize(9000);
    let counter = net.host.drop_at("netdev", "ingress device eth0", "meta l4proto tcp");
    net.wire.send_apart(&net.to_closed_port(flag::ACK).with_payload(&[7; 8000]).packet());
    counter.rise(1);
    lab.expect_nothing(&net.host)
}

//! What is thrown away with the queue that it waited in.

use crate::fork::close;
use crate::zoo::expect::Expected;
use crate::zoo::lab::{Conversation, Net, Wired, by};
use crate::zoo::packet::{Segment, flag};
use crate::zoo::sys::{self, Tun};
use crate::zoo::{Lab, Need, Outcome, Scenario};
use std::net::SocketAddr;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("left over: in a queue that is deleted", queue_deleted).needs(&[Need::Tool("tc")]),
    Scenario::both("left over: in the queue of an interface that goes down", interface_down)
        .needs(&[Need::Tool("tc")]),
    Scenario::both("left over: in a TUN interface that is closed", tun_closed)
        .needs(&[Need::File("/dev/net/tun")]),
    Scenario::both("left over: waiting for a neighbour, interface down", neighbour),
    Scenario::both("left over: data of a connection that is not accepted", not_accepted),
    Scenario::both("left over: unread data at disconnection", disconnected),
];

/// The first packet uses up what the queue lets out; the second has to wait.
fn queued(net: &Wired) -> Segment {
    net.host.tc("qdisc add dev eth0 root tbf rate 8bit burst 2000 limit 100000");
    let segment = Segment::new(net.at(1), net.peer(), flag::ACK).with_payload(&[7; 1400]);
    for _ in 0..2 {
        net.host.send_raw(&segment.packet(), net.peer_address()).expect("send");
    }
    segment
}

fn left_in_queue(lab: &Lab, take_away: impl FnOnce(&Net)) -> Outcome {
    let net = lab.wired();
    let segment = queued(&net);
    take_away(&net.host);
    let expected = Expected::new(&net.host, "NOT_SPECIFIED", "__rtnl_unlock", &segment)
        .inferred("cleanup")
        .severity("INFO")
        .transmit(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

fn queue_deleted(lab: &Lab) -> Outcome {
    left_in_queue(lab, |host| host.tc("qdisc del dev eth0 root"))
}

fn interface_down(lab: &Lab) -> Outcome {
    left_in_queue(lab, |host| host.ip("link set eth0 down"))
}

fn tun_closed(lab: &Lab) -> Outcome {
    let net = Net::new();
    let tun = net.run(|| Tun::open("tun0", false)).expect("open /dev/net/tun");
    net.ip("link set tun0 up");
    net.sysctl("ipv6/conf/tun0/router_solicitations", "0");
    net.add_addresses("tun0", [10, 7, 0, 2].into(), "fd00:7::2".parse().expect("an address"));
    let [source, destination]: [SocketAddr; 2] =
        by(lab.family, ["10.7.0.2:1", "10.7.0.1:2"], ["[fd00:7::2]:1", "[fd00:7::1]:2"])
            .map(|text| text.parse().expect("an address"));
    let segment = Segment::new(source, destination, flag::SYN);
    net.send_raw(&segment.packet(), destination.ip()).expect("send");
    let expected = Expected::new(&net, "NOT_SPECIFIED", "tun_queue_purge", &segment)
        .inferred("cleanup")
        .severity("INFO")
        .transmit(&net, "tun0");
    close(tun);
    lab.expect(&[&net], [expected])
}

fn neighbour(lab: &Lab) -> Outcome {
    let net = lab.router();
    net.forget_neighbours();
    let syn = Segment::new(net.peer(), net.beyond(), flag::SYN);
    for family in ["ipv4", "ipv6"] {
        net.host.sysctl(&format!("{family}/neigh/eth1/retrans_time_ms"), "10000");
    }
    net.near.send(&syn.packet());
    let expected = Expected::new(&net.host, "QUEUE_PURGE", "neigh_destroy", &syn)
        .severity("INFO")
        .forward(&net.host, "eth1");
    net.host.ip("link set eth1 down");
    lab.expect(&[&net.host], [expected])
}

fn purged(net: &Wired, state: &str, segment: &Segment) -> Expected {
    Expected::new(&net.host, "QUEUE_PURGE", "tcp_disconnect", segment)
        .receive(&net.host, "eth0")
        .socket("full", state)
        .severity("INFO")
}

fn not_accepted(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let listener = net.host.listen(net.address());
    let port = listener.local_addr().expect("an address").port();
    let far = net.open(net.at(port), &[]);
    let data = far.data(b"hello");
    net.wire.send(&data.packet());
    net.wire.receive("an ACK", |seen| (seen.destination == far.own && seen.ack == far.seq + 5).then_some(()));
    close(listener);
    lab.expect(&[&net.host], [purged(&net, "closed", &data)])
}

fn unread(net: &Wired) -> (Conversation, Segment) {
    let connection = net.connection();
    let data = connection.far.data(b"hello");
    net.wire.send(&data.packet());
    let mut buffer = [0; 8];
    connection.socket.peek(&mut buffer).expect("receive");
    (connection, data)
}

fn disconnected(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let (connection, data) = unread(&net);
    sys::disconnect(&connection.socket).expect("disconnect");
    lab.expect(&[&net.host], [purged(&net, "closed", &data).cookie(connection.cookie)])
}

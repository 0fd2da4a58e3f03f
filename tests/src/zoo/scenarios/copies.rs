//! Copies of packets that somebody asked for. What becomes of them is no loss of TCP's, but the kernel reports it.

use crate::fork::close;
use crate::zoo::expect::Expected;
use crate::zoo::lab::Wired;
use crate::zoo::packet::{Segment, flag};
use crate::zoo::sys;
use crate::zoo::{Lab, Outcome, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("copy: capture full, received", capture_full),
    Scenario::both("copy: capture full, sent", capture_full_sent),
    Scenario::both("copy: capture ends with unread packets, received", capture_ends),
    Scenario::both("copy: capture ends with unread packets, sent", capture_ends_sent),
    Scenario::both("copy: raw socket full", raw_socket_full),
    Scenario::both("copy: raw socket closed with unread packets", raw_socket_closed),
    Scenario::both("copy: unread timestamp of a sent segment", timestamp),
];

fn copy(net: &Wired, reason: &str, site: &str, segment: &Segment) -> Expected {
    Expected::new(&net.host, reason, site, segment).severity("INFO")
}

/// The host takes the segment, and does not answer. While it has the packet, the kernel reports no copy.
fn capture_full(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let tap = net.host.packet_socket("eth0");
    tap.shrink().expect("shrink");
    for _ in 0..10 {
        net.wire.send(&connection.far.segment(flag::ACK).packet());
    }
    assert!(tap.await_drops(10) > 0, "all fit");
    lab.expect_nothing(&net.host)
}

fn capture_full_sent(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let tap = net.host.packet_socket("eth0");
    tap.shrink().expect("shrink");
    let segment = Segment::new(net.at(1), net.peer(), flag::SYN);
    for _ in 0..10 {
        net.host.send_raw(&segment.packet(), net.peer_address()).expect("send");
    }
    assert!(tap.await_drops(10) > 0, "all fit");
    // Other packets may be among those that do not fit.
    let expected =
        copy(&net, "PACKET_SOCK_ERROR", "packet_rcv", &segment).transmit(&net.host, "eth0").again();
    lab.expect(&[&net.host], [expected])
}

/// The packet has lost its interface, but the index that it came in by is left.
fn capture_ends(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let tap = net.host.packet_socket("eth0");
    let ack = connection.far.segment(flag::ACK);
    net.wire.send(&ack.packet());
    tap.await_drops(1);
    close(tap);
    let expected = copy(&net, "QUEUE_PURGE", "skb_queue_purge_reason", &ack).receive(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

fn capture_ends_sent(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let tap = net.host.packet_socket("eth0");
    let segment = Segment::new(net.at(1), net.peer(), flag::SYN);
    net.host.send_raw(&segment.packet(), net.peer_address()).expect("send");
    close(tap);
    let expected = copy(&net, "QUEUE_PURGE", "skb_queue_purge_reason", &segment).transmit_nowhere();
    lab.expect(&[&net.host], [expected])
}

fn raw_socket_full(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let raw = net.host.run(|| sys::raw_receiver(net.address())).expect("open a raw socket");
    sys::set_number(&raw, libc::SOL_SOCKET, libc::SO_RCVBUF, 0).expect("shrink");
    for _ in 0..10 {
        net.wire.send(&connection.far.segment(flag::ACK).packet());
    }
    lab.expect_nothing(&net.host)
}

/// Nobody else has the packet by then.
fn raw_socket_closed(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let raw = net.host.run(|| sys::raw_receiver(net.address())).expect("open a raw socket");
    let ack = connection.far.segment(flag::ACK);
    net.wire.send(&ack.packet());
    sys::await_packet(&raw).expect("receive");
    close(raw);
    let expected = copy(&net, "QUEUE_PURGE", "inet_sock_destruct", &ack).receive(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

/// The segment itself was sent, and acknowledged.
fn timestamp(lab: &Lab) -> Outcome {
    const SOFTWARE: i32 = 1 << 4 | 1 << 1;
    let net = lab.wired();
    let (socket, mut far) = net.outgoing();
    sys::set_number(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, SOFTWARE).expect("ask for timestamps");
    sys::send(&socket, b"hello").expect("send");
    let data = far.answer(flag::ACK | flag::PSH, b"hello");
    net.wire.receive("data", |seen| (seen.destination == far.own && !seen.payload.is_empty()).then_some(()));
    far.ack = far.ack.wrapping_add(5);
    net.wire.send(&far.segment(flag::RST | flag::ACK).packet());
    close(socket);
    let expected = copy(&net, "QUEUE_PURGE", "skb_queue_purge_reason", &data)
        .transmit(&net.host, "eth0")
        .socket("full", "closed");
    lab.expect(&[&net.host], [expected])
}

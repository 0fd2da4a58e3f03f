//! Segments that an established connection does not want.

use crate::zoo::expect::Expected;
use crate::zoo::field::Field;
use crate::zoo::kernel::Kernel;
use crate::zoo::lab::{Conversation, Watched, Wired, by};
use crate::zoo::packet::{Segment, flag};
use crate::zoo::sys::{self, Hook, Program};
use crate::zoo::{Lab, Need, Outcome, Scenario};
use std::os::fd::AsRawFd;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("established: the last data again", old_data).needs(&[Need::RECEIVING_SOCKET]),
    Scenario::both("established: older data again", old_sequence).needs(&[Need::SOCKET_DROPS]),
    Scenario::both("established: data beyond the window", beyond_window).needs(&[Need::SOCKET_DROPS]),
    Scenario::both("established: PAWS", paws).needs(&[Need::SOCKET_DROPS]),
    // Before, nothing counts it.
    Scenario::both("established: PAWS, no data", paws_ack).needs(&[Need::Kernel(6, 14)]),
    Scenario::both("established: out-of-order data within newer", overlapped).needs(&[Need::SOCKET_DROPS]),
    Scenario::both("established: out-of-order data again", out_of_order_again)
        .needs(&[Need::RECEIVING_SOCKET]),
    Scenario::both("established: socket filter", filtered),
    Scenario::both("established: ACK of unsent data", ack_of_unsent).needs(&[Need::SOCKET_DROPS]),
    Scenario::both("established: ACK that is too old", ack_too_old).needs(&[Need::SOCKET_DROPS]),
    Scenario::both("established: RST in the window", inexact_reset).needs(&[Need::SOCKET_DROPS]),
    Scenario::both("established: RST beyond the window", reset_beyond_window).needs(&[Need::SOCKET_DROPS]),
    Scenario::both("established: SYN", syn).needs(&[Need::SOCKET_DROPS]),
    Scenario::both("established: no ACK flag", no_ack_flag).needs(&[Need::SOCKET_DROPS]),
];

/// Refused by the socket of an established connection.
pub(super) fn at_socket(
    net: &Wired,
    connection: &Conversation,
    reason: &str,
    site: &str,
    segment: &Segment,
) -> Expected {
    Expected::new(&net.host, reason, site, segment)
        .receive(&net.host, "eth0")
        .socket("full", "established")
        .cookie(connection.cookie)
}

/// Whether the drop is the callee's or the caller's: compilers differ in where they jump, on kernels of one version too.
const CALLERS: &[&str] = &["tcp_rcv_established", "tcp_data_queue"];

fn old_data(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection();
    let data = connection.far.data(b"hello");
    connection.deliver(&net.wire, b"hello");
    net.wire.send(&data.packet());
    let expected = at_socket(&net, &connection, "TCP_OLD_DATA", "tcp_data_queue", &data)
        .severity("INFO")
        .one_of(Field::Site, CALLERS);
    lab.expect(&[&net.host], [expected])
}

fn old_sequence(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection();
    let data = connection.far.data(b"hello");
    connection.deliver(&net.wire, b"hello");
    connection.deliver(&net.wire, b"world");
    net.wire.send(&data.packet());
    let expected = at_socket(&net, &connection, "TCP_OLD_SEQUENCE", "tcp_validate_incoming", &data)
        .severity("INFO")
        .before(Kernel(6, 6), Field::Reason, "TCP_INVALID_SEQUENCE");
    lab.expect(&[&net.host], [expected])
}

fn beyond_window(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let mut data = connection.far.data(b"hello");
    data.seq = data.seq.wrapping_add(100_000_000);
    net.wire.send(&data.packet());
    let expected = at_socket(&net, &connection, "TCP_INVALID_SEQUENCE", "tcp_validate_incoming", &data);
    lab.expect(&[&net.host], [expected])
}

fn paws(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection_with_timestamps(1_000_000);
    let old = Watched::new(&net.host, "TcpExt.PAWSEstab");
    let mut far = connection.far.clone();
    far.clock = Some(900_000);
    let data = far.data(b"hello");
    net.wire.send(&data.packet());
    let expected =
        at_socket(&net, &connection, "TCP_RFC7323_PAWS", "tcp_validate_incoming", &data).witness(old.rise(1));
    lab.expect(&[&net.host], [expected])
}

/// Nothing but an old acknowledgement: taken or dropped by its timestamp.
fn paws_ack(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection_with_timestamps(1_000_000);
    connection.deliver(&net.wire, b"hello");
    let old = Watched::new(&net.host, "TcpExt.PAWSOldAck");
    let mut far = connection.far.clone();
    far.clock = Some(900_000);
    far.seq = far.seq.wrapping_sub(5);
    let ack = far.segment(flag::ACK);
    net.wire.send(&ack.packet());
    let expected = at_socket(&net, &connection, "TCP_RFC7323_PAWS_ACK", "tcp_validate_incoming", &ack)
        .severity("INFO")
        .witness(old.rise(1));
    lab.expect(&[&net.host], [expected])
}

/// Data that waits in the out-of-order queue, at `offset` from what is expected.
fn queue_up(net: &Wired, connection: &Conversation, offset: u32, payload: &[u8]) -> Segment {
    let queued = Watched::new(&net.host, "TcpExt.TCPOFOQueue");
    let mut data = connection.far.data(payload);
    data.seq = data.seq.wrapping_add(offset);
    net.wire.send(&data.packet());
    queued.rise(1);
    data
}

/// What came later covers it. Its place in the queue's tree lies where `skb->dev` does.
fn overlapped(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let covered = queue_up(&net, &connection, 20, b"middle");
    queue_up(&net, &connection, 10, &[b'x'; 40]);
    let expected = at_socket(&net, &connection, "TCP_OFOMERGE", "tcp_data_queue", &covered).severity("INFO");
    lab.expect(&[&net.host], [expected])
}

fn out_of_order_again(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let data = queue_up(&net, &connection, 20, b"middle");
    net.wire.send(&data.packet());
    let expected = at_socket(&net, &connection, "TCP_OFOMERGE", "tcp_data_queue", &data).severity("INFO");
    lab.expect(&[&net.host], [expected])
}

fn filtered(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let nothing = Program::returning(0, Hook::Socket).expect("load a socket filter");
    let descriptor = nothing.descriptor.as_raw_fd();
    sys::set_number(&connection.socket, libc::SOL_SOCKET, libc::SO_ATTACH_BPF, descriptor)
        .expect("attach a socket filter");
    let data = connection.far.data(b"hello");
    net.wire.send(&data.packet());
    let site = by(lab.family, "tcp_v4_rcv", "tcp_v6_rcv");
    let expected = at_socket(&net, &connection, "SOCKET_FILTER", site, &data);
    lab.expect(&[&net.host], [expected])
}

fn ack_of_unsent(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let mut ack = connection.far.segment(flag::ACK);
    ack.ack = ack.ack.wrapping_add(1000);
    net.wire.send(&ack.packet());
    let expected = at_socket(
        &net,
        &connection,
        "TCP_ACK_UNSENT_DATA",
        by(net.family, "tcp_v4_do_rcv", "tcp_v6_do_rcv"),
        &ack,
    );
    lab.expect(&[&net.host], [expected])
}

fn ack_too_old(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let mut ack = connection.far.data(b"hello");
    ack.ack = ack.ack.wrapping_sub(100_000_000);
    net.wire.send(&ack.packet());
    let expected = at_socket(
        &net,
        &connection,
        "TCP_TOO_OLD_ACK",
        by(net.family, "tcp_v4_do_rcv", "tcp_v6_do_rcv"),
        &ack,
    )
    .severity("INFO");
    lab.expect(&[&net.host], [expected])
}

fn inexact_reset(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let challenges = Watched::new(&net.host, "TcpExt.TCPChallengeACK");
    let mut reset = connection.far.segment(flag::RST);
    reset.seq = reset.seq.wrapping_add(10);
    net.wire.send(&reset.packet());
    let expected = at_socket(&net, &connection, "TCP_RESET", "tcp_validate_incoming", &reset)
        .severity("INFO")
        .witness(challenges.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn reset_beyond_window(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let mut reset = connection.far.segment(flag::RST);
    reset.seq = reset.seq.wrapping_add(100_000_000);
    net.wire.send(&reset.packet());
    let expected = at_socket(&net, &connection, "TCP_INVALID_SEQUENCE", "tcp_validate_incoming", &reset);
    lab.expect(&[&net.host], [expected])
}

fn syn(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let challenges = Watched::new(&net.host, "TcpExt.TCPSYNChallenge");
    let syn = connection.far.segment(flag::SYN);
    net.wire.send(&syn.packet());
    let expected = at_socket(&net, &connection, "TCP_INVALID_SYN", "tcp_validate_incoming", &syn)
        .witness(challenges.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn no_ack_flag(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let segment = connection.far.segment(flag::PSH).with_payload(b"hello");
    net.wire.send(&segment.packet());
    let expected =
        at_socket(&net, &connection, "TCP_FLAGS", by(net.family, "tcp_v4_do_rcv", "tcp_v6_do_rcv"), &segment);
    lab.expect(&[&net.host], [expected])
}

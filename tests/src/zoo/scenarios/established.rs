//! Segments that an established connection does not want.

use crate::zoo::expect::Expected;
use crate::zoo::lab::{Conversation, Watched, Wired, by};
use crate::zoo::packet::{Segment, flag};
use crate::zoo::{Lab, Outcome, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("established: the last data again", old_data),
    Scenario::both("established: older data again", old_sequence),
    Scenario::both("established: data beyond the window", beyond_window),
    Scenario::both("established: PAWS", paws),
    Scenario::both("established: ACK of unsent data", ack_of_unsent),
    Scenario::both("established: ACK that is too old", ack_too_old),
    Scenario::both("established: RST in the window", inexact_reset),
    Scenario::both("established: RST beyond the window", reset_beyond_window),
    Scenario::both("established: SYN", syn),
    Scenario::both("established: no ACK flag", no_ack_flag),
];

fn at_socket(
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

fn old_data(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection();
    let data = connection.far.data(b"hello");
    connection.deliver(&net.wire, b"hello");
    net.wire.send(&data.packet());
    let expected =
        at_socket(&net, &connection, "TCP_OLD_DATA", "tcp_rcv_established", &data).severity("INFO");
    lab.expect(&[&net.host], [expected])
}

fn old_sequence(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection();
    let data = connection.far.data(b"hello");
    connection.deliver(&net.wire, b"hello");
    connection.deliver(&net.wire, b"world");
    net.wire.send(&data.packet());
    let expected =
        at_socket(&net, &connection, "TCP_OLD_SEQUENCE", "tcp_validate_incoming", &data).severity("INFO");
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

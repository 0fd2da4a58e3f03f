//! Segments for a socket that its owner holds locked: they wait in its backlog, and the owner takes them later.

use super::established::at_socket;
use crate::zoo::lab::{Watched, by};
use crate::zoo::packet::flag;
use crate::zoo::sys;
use crate::zoo::{Lab, Outcome, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("busy socket: backlog full", backlog_full),
    Scenario::both("busy socket: old data", old_data),
    Scenario::both("busy socket: data behind a RST", behind_reset),
];

fn backlog_full(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    for buffer in [libc::SO_RCVBUF, libc::SO_SNDBUF] {
        sys::set_number(&connection.socket, libc::SOL_SOCKET, buffer, 0).expect("shrink a buffer");
    }
    let dropped = Watched::new(&net.host, "TcpExt.TCPBacklogDrop");
    let mut ack = connection.far.segment(flag::ACK);
    connection.while_locked(|| {
        while dropped.so_far() == 0 {
            // Neighbours that are alike would be merged.
            ack.options = if ack.options.is_empty() { vec![1; 4] } else { Vec::new() };
            net.wire.send(&ack.packet());
        }
    });
    let site = by(lab.family, "tcp_v4_rcv", "tcp_v6_rcv");
    let expected = at_socket(&net, &connection, "SOCKET_BACKLOG", site, &ack).severity("ERROR");
    lab.expect(&[&net.host], [expected.witness(dropped.rise(1))])
}

/// Dropped when the owner lets the socket go, inside its system call.
fn old_data(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection();
    let data = connection.far.data(b"hello");
    connection.deliver(&net.wire, b"hello");
    connection.while_locked(|| {
        net.wire.send(&data.packet());
    });
    let expected =
        at_socket(&net, &connection, "TCP_OLD_DATA", "tcp_rcv_established", &data).severity("INFO");
    lab.expect(&[&net.host], [expected])
}

fn behind_reset(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let data = connection.far.data(b"late");
    connection.while_locked(|| {
        net.wire.send(&connection.far.segment(flag::RST).packet());
        net.wire.send(&data.packet());
    });
    let expected = at_socket(&net, &connection, "TCP_CLOSE", "tcp_rcv_state_process", &data)
        .socket("full", "closed")
        .severity("INFO");
    lab.expect(&[&net.host], [expected])
}

//! All scenarios, by what the packet met.

mod attached;
mod busy;
mod clean;
mod closed_port;
mod copies;
mod device;
mod ending;
mod established;
mod extension;
mod handshake;
mod headers;
mod leftover;
mod listener;
mod listening;
mod memory;
mod netfilter;
mod obstacle;
mod place;
mod queueing;
mod routing;
mod tunnel;

use super::Scenario;
use super::expect::Expected;
use super::field::Field;
use super::lab::{Wired, by};
use super::packet::Segment;
use super::sys;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

/// The SYN by which a socket connects to `peer`, dropped before anybody could see its sequence number and window.
fn unseen_syn(expected: Expected, socket: &OwnedFd, peer: SocketAddr) -> Expected {
    expected
        .flow(sys::local_address(socket), peer)
        .with(Field::Flags, "2")
        .with(Field::Ack, "0")
        .size(if peer.is_ipv4() { 60 } else { 80 })
        .unchecked(&[Field::Seq, Field::Window])
}

/// A segment to the port where `listener` is.
fn segment_to(net: &Wired, listener: &TcpListener, flags: u16) -> Segment {
    Segment::new(net.peer(), net.at(listener.local_addr().expect("an address").port()), flags)
}

/// Of `segment`, which came in and found no socket.
fn no_socket(net: &Wired, segment: &Segment) -> Expected {
    Expected::new(&net.host, "NO_SOCKET", by(net.family, "tcp_v4_rcv", "tcp_v6_rcv"), segment)
        .receive(&net.host, "eth0")
        .severity("INFO")
}

/// All of them, in the order of the table.
pub fn all() -> impl Iterator<Item = Scenario> {
    [
        closed_port::SCENARIOS,
        netfilter::SCENARIOS,
        listener::SCENARIOS,
        handshake::SCENARIOS,
        established::SCENARIOS,
        memory::SCENARIOS,
        busy::SCENARIOS,
        ending::SCENARIOS,
        routing::SCENARIOS,
        obstacle::SCENARIOS,
        queueing::SCENARIOS,
        device::SCENARIOS,
        leftover::SCENARIOS,
        copies::SCENARIOS,
        attached::SCENARIOS,
        place::SCENARIOS,
        headers::SCENARIOS,
        extension::SCENARIOS,
        tunnel::SCENARIOS,
        clean::SCENARIOS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

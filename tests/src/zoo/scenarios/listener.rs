//! Sockets that listen, and their handshakes.

use super::listening::Listening;
use super::no_socket;
use crate::fork::close;
use crate::zoo::field::Field;
use crate::zoo::lab::{Watched, by};
use crate::zoo::packet::{Segment, flag};
use crate::zoo::sys::{self, Hook, Program};
use crate::zoo::{Lab, Need, Outcome, Scenario};
use std::os::fd::AsRawFd;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("listener: ACK", ack),
    Scenario::both("listener: RST", rst).needs(&[Need::SOCKET_DROPS]),
    Scenario::both("listener: SYN and FIN", syn_fin).needs(&[Need::SOCKET_DROPS]),
    Scenario::both("listener: no flags", no_flags).needs(&[Need::SOCKET_DROPS]),
    Scenario::both("listener: socket filter", socket_filter),
    Scenario::both("listener: minimum TTL", minimum_ttl),
    Scenario::both("listener: MD5 missing", md5_missing),
    Scenario::both("listener: MD5 unexpected", md5_unexpected),
    Scenario::both("listener: MD5 wrong", md5_wrong),
    Scenario::both("accept queue full: last ACK", accept_queue),
    Scenario::both("accept queue full: last ACK with cookie", accept_queue_with_cookies),
    Scenario::both("handshake: wrong ACK", handshake_wrong_ack),
    Scenario::both("handshake: RST beyond the window", handshake_reset_beyond_window),
    Scenario::both("handshake: old timestamp", handshake_paws),
    Scenario::both("handshake: listener closed", listener_closed),
];

fn ack(lab: &Lab) -> Outcome {
    flags(lab, flag::ACK, "TCP_FLAGS", by(lab.family, "tcp_v4_do_rcv", "tcp_v6_do_rcv"))
}

fn rst(lab: &Lab) -> Outcome {
    flags(lab, flag::RST, "TCP_RESET", "tcp_rcv_state_process")
}

fn syn_fin(lab: &Lab) -> Outcome {
    flags(lab, flag::SYN | flag::FIN, "TCP_FLAGS", "tcp_rcv_state_process")
}

fn no_flags(lab: &Lab) -> Outcome {
    flags(lab, 0, "TCP_FLAGS", "tcp_rcv_state_process")
}

fn flags(lab: &Lab, flags: u16, reason: &str, site: &str) -> Outcome {
    let here = Listening::new(lab);
    let segment = here.segment(flags);
    here.net.wire.send(&segment.packet());
    let severity = if reason == "TCP_RESET" { "INFO" } else { "WARN" };
    let expected = here.expected(reason, site, &segment).severity(severity);
    lab.expect(&[&here.net.host], [expected])
}

fn socket_filter(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    let nothing = Program::returning(0, Hook::Socket).expect("load a socket filter");
    sys::set_number(&here.listener, libc::SOL_SOCKET, libc::SO_ATTACH_BPF, nothing.descriptor.as_raw_fd())
        .expect("attach a socket filter");
    let syn = here.syn();
    here.net.wire.send(&syn.packet());
    let expected = here.expected("SOCKET_FILTER", here.at_rcv(), &syn);
    lab.expect(&[&here.net.host], [expected])
}

fn minimum_ttl(lab: &Lab) -> Outcome {
    const IP_MINTTL: i32 = 21;
    const IPV6_MINHOPCOUNT: i32 = 73;
    let here = Listening::new(lab);
    let dropped = Watched::new(&here.net.host, "TcpExt.TCPMinTTLDrop");
    let (level, name) = by(lab.family, (libc::IPPROTO_IP, IP_MINTTL), (libc::IPPROTO_IPV6, IPV6_MINHOPCOUNT));
    sys::set_number(&here.listener, level, name, 200).expect("set the minimum TTL");
    let syn = here.syn();
    here.net.wire.send(&syn.packet());
    let expected = here.expected("TCP_MINTTL", here.at_rcv(), &syn).witness(dropped.rise(1));
    lab.expect(&[&here.net.host], [expected])
}

/// Asks the listener for signatures of the far side.
fn sign(here: &Listening) {
    sys::ask_for_md5(&here.listener, here.net.peer_address()).expect("ask for signatures");
}

fn md5_option() -> Vec<u8> {
    let mut option = vec![1, 1, 19, 18];
    option.extend([0x5a; 16]);
    option
}

fn md5_missing(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    sign(&here);
    let counted = Watched::new(&here.net.host, "TcpExt.TCPMD5NotFound");
    let syn = here.syn();
    here.net.wire.send(&syn.packet());
    let expected = here.expected("TCP_MD5NOTFOUND", here.at_rcv(), &syn).witness(counted.rise(1));
    lab.expect(&[&here.net.host], [expected])
}

fn md5_unexpected(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    let counted = Watched::new(&here.net.host, "TcpExt.TCPMD5Unexpected");
    let syn = Segment { options: md5_option(), ..here.syn() };
    here.net.wire.send(&syn.packet());
    let expected = here.expected("TCP_MD5UNEXPECTED", here.at_rcv(), &syn).witness(counted.rise(1));
    lab.expect(&[&here.net.host], [expected])
}

fn md5_wrong(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    sign(&here);
    let counted = Watched::new(&here.net.host, "TcpExt.TCPMD5Failure");
    let syn = Segment { options: md5_option(), ..here.syn() };
    here.net.wire.send(&syn.packet());
    let expected = here.expected("TCP_MD5FAILURE", here.at_rcv(), &syn).witness(counted.rise(1));
    lab.expect(&[&here.net.host], [expected])
}

/// Without cookies, half-open connections are bounded by the backlog too.
fn accept_queue(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    let overflows = Watched::new(&here.net.host, "TcpExt.ListenOverflows");
    let ack = here.overflow(2, "0");
    let expected = here.expected("TCP_LISTEN_OVERFLOW", here.at_rcv(), &ack).severity("ERROR");
    lab.expect(&[&here.net.host], [expected.witness(overflows.rise(1))])
}

fn accept_queue_with_cookies(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    let overflows = Watched::new(&here.net.host, "TcpExt.ListenOverflows");
    let ack = here.overflow(0, "2");
    let site = by(lab.family, "cookie_v4_check", "cookie_v6_check");
    // The kernel says that there is no socket; but there is, and its queue is full.
    let expected = here.expected("NO_SOCKET", site, &ack).corrected("queue_full").severity("ERROR");
    lab.expect(&[&here.net.host], [expected.witness(overflows.rise(1))])
}

fn handshake_wrong_ack(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    let mut ack = here.net.begin(&here.syn()).segment(flag::ACK);
    ack.ack = ack.ack.wrapping_add(1000);
    here.net.wire.send(&ack.packet());
    let expected = here.expected("TCP_FLAGS", here.at_do_rcv(), &ack);
    lab.expect(&[&here.net.host], [expected])
}

fn handshake_reset_beyond_window(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    let mut reset = here.net.begin(&here.syn()).segment(flag::RST);
    reset.seq = reset.seq.wrapping_add(100_000_000);
    here.net.wire.send(&reset.packet());
    let expected = here.expected("TCP_OVERWINDOW", here.at_rcv(), &reset);
    lab.expect(&[&here.net.host], [expected])
}

fn handshake_paws(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    let syn = Segment { options: crate::zoo::lab::timestamps(1_000_000, 0), ..here.syn() };
    let mut far = here.net.begin(&syn);
    far.clock = Some(900_000);
    let ack = far.segment(flag::ACK);
    here.net.wire.send(&ack.packet());
    let expected = here.expected("TCP_RFC7323_PAWS", here.at_rcv(), &ack);
    lab.expect(&[&here.net.host], [expected])
}

/// Its half-open connections are gone with it.
fn listener_closed(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    let far = here.net.begin(&here.syn());
    let Listening { net, listener } = here;
    close(listener);
    let resets = Watched::new(&net.host, "Tcp.OutRsts");
    let ack = far.segment(flag::ACK);
    net.wire.send(&ack.packet());
    let expected = no_socket(&net, &ack).without(&[Field::Socket]).witness(resets.rise(1));
    lab.expect(&[&net.host], [expected])
}

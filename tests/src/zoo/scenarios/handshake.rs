//! Handshakes that the kernel makes in its own ways.

use super::listening::Listening;
use super::no_socket;
use crate::zoo::lab::{Far, Watched, timestamps};
use crate::zoo::packet::{Segment, flag};
use crate::zoo::sys;
use crate::zoo::{Lab, Need, Outcome, Scenario};
use std::net::TcpStream;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("handshake: SYN again", syn_again),
    Scenario::both("handshake: another SYN", another_syn),
    Scenario::both("handshake: no ACK flag", no_ack_flag),
    Scenario::both("handshake: data beyond the window", beyond_window),
    Scenario::both("handshake: wrong timestamp echo", wrong_echo).needs(&[Need::Kernel(6, 15)]),
    Scenario::both("handshake: accept deferred until data comes", deferred),
    Scenario::both("accept queue full: last ACK, answered with a RST", overflow_reset),
    Scenario::both("listener: ACK with a wrong cookie", wrong_cookie),
    Scenario::both("fast open: ACK of unsent data", fast_open_wrong_ack),
    Scenario::both("fast open: SYN again", fast_open_syn_again),
    Scenario::both("MPTCP: unknown token", mptcp_unknown_token),
    Scenario::both("MPTCP: closed port", mptcp_closed_port),
];

fn syn_again(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    let syn = here.syn();
    here.net.begin(&syn);
    here.net.begin(&syn);
    lab.expect(
        &[&here.net.host],
        [here.expected("NOT_SPECIFIED", here.at_rcv(), &syn).inferred("duplicate").severity("INFO")],
    )
}

fn another_syn(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    let syn = here.syn();
    here.net.begin(&syn);
    let other = Segment { seq: syn.seq + 100_000, ..syn };
    here.net.wire.send(&other.packet());
    lab.expect(&[&here.net.host], [here.expected("TCP_OVERWINDOW", here.at_rcv(), &other)])
}

fn no_ack_flag(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    let far = here.net.begin(&here.syn());
    let segment = far.segment(flag::PSH).with_payload(b"hello");
    here.net.wire.send(&segment.packet());
    lab.expect(&[&here.net.host], [here.expected("NOT_SPECIFIED", here.at_rcv(), &segment)])
}

fn beyond_window(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    let mut data = here.net.begin(&here.syn()).data(b"hello");
    data.seq = data.seq.wrapping_add(100_000_000);
    here.net.wire.send(&data.packet());
    lab.expect(&[&here.net.host], [here.expected("TCP_OVERWINDOW", here.at_rcv(), &data)])
}

fn wrong_echo(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    let syn = Segment { options: timestamps(1_000_000, 0), ..here.syn() };
    let mut far = here.net.begin(&syn);
    far.echo = far.echo.wrapping_add(1_000_000);
    let counted = Watched::new(&here.net.host, "TcpExt.TSEcrRejected");
    let ack = far.segment(flag::ACK);
    here.net.wire.send(&ack.packet());
    let expected = here.expected("TCP_RFC7323_TSECR", here.at_rcv(), &ack);
    lab.expect(&[&here.net.host], [expected.witness(counted.rise(1))])
}

fn deferred(lab: &Lab) -> Outcome {
    const TCP_DEFER_ACCEPT: i32 = 9;
    let here = Listening::prepared(lab, |socket| {
        sys::set_number(socket, libc::IPPROTO_TCP, TCP_DEFER_ACCEPT, 30).expect("defer accept");
    });
    let far = here.net.begin(&here.syn());
    let counted = Watched::new(&here.net.host, "TcpExt.TCPDeferAcceptDrop");
    let ack = far.segment(flag::ACK);
    here.net.wire.send(&ack.packet());
    let rise = counted.rise(1);
    here.net.wire.send(&far.data(b"hello").packet());
    here.listener.accept().expect("accept");
    let expected = here.expected("NOT_SPECIFIED", here.at_rcv(), &ack).inferred("duplicate").severity("INFO");
    lab.expect(&[&here.net.host], [expected.witness(rise)])
}

fn overflow_reset(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    here.net.host.sysctl("ipv4/tcp_abort_on_overflow", "1");
    let counted = Watched::new(&here.net.host, "TcpExt.ListenOverflows");
    let ack = here.overflow(2, "0");
    let expected = here.expected("TCP_LISTEN_OVERFLOW", here.at_rcv(), &ack).severity("ERROR");
    lab.expect(&[&here.net.host], [expected.witness(counted.rise(1))])
}

fn wrong_cookie(lab: &Lab) -> Outcome {
    let here = Listening::new(lab);
    here.net.host.sysctl("ipv4/tcp_syncookies", "2");
    let far = here.net.begin(&here.syn());
    let counted = Watched::new(&here.net.host, "TcpExt.SyncookiesFailed");
    let ack = Segment { ack: far.ack.wrapping_add(1000), ..far.segment(flag::ACK) };
    here.net.wire.send(&ack.packet());
    let expected = here.expected("TCP_FLAGS", here.at_do_rcv(), &ack);
    lab.expect(&[&here.net.host], [expected.witness(counted.rise(1))])
}

/// A connection that the application has before the handshake is over.
fn fast_open(lab: &Lab) -> (Listening, Segment, Far, TcpStream) {
    const TCP_FASTOPEN: i32 = 23;
    const SERVER_WITHOUT_COOKIE: &str = "514";
    const FAST_OPEN: [u8; 2] = [34, 2];
    let net = lab.wired();
    net.host.sysctl("ipv4/tcp_fastopen", SERVER_WITHOUT_COOKIE);
    let listener = net.host.listen(net.address());
    sys::set_number(&listener, libc::IPPROTO_TCP, TCP_FASTOPEN, 16).expect("open fast");
    let here = Listening { net, listener };
    let syn = Segment { options: FAST_OPEN.to_vec(), ..here.syn() }.with_payload(b"early");
    let mut far = here.net.begin(&syn);
    far.seq += 5;
    let (socket, _) = here.listener.accept().expect("accept");
    (here, syn, far, socket)
}

fn fast_open_wrong_ack(lab: &Lab) -> Outcome {
    let (here, _, far, socket) = fast_open(lab);
    let cookie = sys::cookie(&socket);
    let ack = Segment { ack: far.ack.wrapping_add(1000), ..far.segment(flag::ACK) };
    here.net.wire.send(&ack.packet());
    let expected = here
        .expected("TCP_ACK_UNSENT_DATA", here.at_do_rcv(), &ack)
        .socket("full", "syn_received")
        .cookie(cookie);
    lab.expect(&[&here.net.host], [expected])
}

fn fast_open_syn_again(lab: &Lab) -> Outcome {
    let (here, syn, _, socket) = fast_open(lab);
    let cookie = sys::cookie(&socket);
    here.net.begin(&syn);
    let expected = here
        .expected("TCP_FASTOPEN", "tcp_rcv_state_process", &syn)
        .socket("full", "syn_received")
        .cookie(cookie);
    lab.expect(&[&here.net.host], [expected])
}

const MP_JOIN: [u8; 12] = [30, 12, 0x10, 1, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4];

fn mptcp_unknown_token(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let listener = net.host.listen_by(socket2::Protocol::MPTCP, net.address(), |_| ());
    let here = Listening { net, listener };
    let syn = Segment { options: MP_JOIN.to_vec(), ..here.syn() };
    here.net.wire.send(&syn.packet());
    here.net.wire.receive("a RST", |seen| {
        (seen.destination == syn.source && seen.flags & flag::RST != 0).then_some(())
    });
    lab.expect_nothing(&here.net.host)
}

fn mptcp_closed_port(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let syn = Segment { options: MP_JOIN.to_vec(), ..net.to_closed_port(flag::SYN) };
    net.wire.send(&syn.packet());
    lab.expect(&[&net.host], [no_socket(&net, &syn)])
}

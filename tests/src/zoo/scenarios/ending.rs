//! Connections that are about to end, or have ended.

use crate::fork::close;
use crate::zoo::expect::Expected;
use crate::zoo::lab::{Conversation, Far, Watched, Wired, by};
use crate::zoo::packet::{Segment, flag};
use crate::zoo::{Lab, Need, Outcome, Scenario};
use std::net::Shutdown;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("closing: data after close", data_after_close),
    Scenario::both("closing: data behind a FIN", data_behind_fin).needs(&[Need::SOCKET_DROPS]),
    Scenario::both("closing: SYN-ACK again", syn_ack_again).needs(&[Need::SOCKET_DROPS]),
    Scenario::both("closing: unread FIN", unread_fin).needs(&[Need::REASONS]),
    Scenario::both("closing: ACK of unsent data in FIN_WAIT_2", ack_of_unsent).needs(&[Need::SOCKET_DROPS]),
    Scenario::both("TIME_WAIT: the FIN that starts it", time_wait_fin).needs(&[Need::REASONS]),
    Scenario::both("TIME_WAIT: data for a closed socket", time_wait_data_for_closed),
    Scenario::both("TIME_WAIT: old segment", time_wait_old).needs(&[Need::REASONS]),
    Scenario::both("TIME_WAIT: data", time_wait_data),
    Scenario::both("TIME_WAIT: RST", time_wait_reset),
    Scenario::both("TIME_WAIT: PAWS", time_wait_paws),
    Scenario::both("connecting: wrong ACK", connecting_wrong_ack),
    Scenario::both("connecting: RST without ACK", connecting_reset).needs(&[Need::SOCKET_DROPS]),
];

fn in_state(net: &Wired, state: &str, reason: &str, site: &str, segment: &Segment) -> Expected {
    Expected::new(&net.host, reason, site, segment).receive(&net.host, "eth0").socket("full", state)
}

/// The host's FIN, acknowledged by the far side: the connection is then in FIN_WAIT_2.
fn half_close(net: &Wired, far: &mut Far) {
    await_fin(net, far);
    net.wire.send(&far.segment(flag::ACK).packet());
}

/// What the far side sends from now on acknowledges the host's FIN.
fn await_fin(net: &Wired, far: &mut Far) {
    let own = far.own;
    let fin = net
        .wire
        .receive("a FIN", |seen| (seen.destination == own && seen.flags & flag::FIN != 0).then_some(seen));
    far.ack = fin.seq.wrapping_add(1);
}

fn data_after_close(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let Conversation { socket, listener, mut far, cookie } = net.connection();
    close(socket);
    await_fin(&net, &mut far);
    let aborted = Watched::new(&net.host, "TcpExt.TCPAbortOnData");
    let data = far.data(b"late");
    net.wire.send(&data.packet());
    let site = by(lab.family, "tcp_v4_do_rcv", "tcp_v6_do_rcv");
    let expected =
        in_state(&net, "closed", "TCP_ABORT_ON_DATA", site, &data).cookie(cookie).witness(aborted.rise(1));
    let outcome = lab.expect(&[&net.host], [expected]);
    drop(listener);
    outcome
}

fn data_behind_fin(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let mut far = connection.far.clone();
    net.wire.send(&far.segment(flag::FIN | flag::ACK).packet());
    far.seq = far.seq.wrapping_add(1);
    let data = far.data(b"late");
    net.wire.send(&data.packet());
    let expected = in_state(&net, "close_wait", "NOT_SPECIFIED", "tcp_rcv_state_process", &data)
        .inferred("tcp_state")
        .cookie(connection.cookie);
    lab.expect(&[&net.host], [expected])
}

fn syn_ack_again(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let (socket, far) = net.outgoing();
    let challenges = Watched::new(&net.host, "TcpExt.TCPSYNChallenge");
    let mut again = far.segment(flag::SYN | flag::ACK);
    again.seq = again.seq.wrapping_sub(1);
    net.wire.send(&again.packet());
    let expected = in_state(&net, "established", "TCP_INVALID_SYN", "tcp_validate_incoming", &again)
        .witness(challenges.rise(1));
    let outcome = lab.expect(&[&net.host], [expected]);
    drop(socket);
    outcome
}

/// A clean close: the host closes first, and the answer to its FIN is a FIN. Nobody will read that: it is purged.
fn unread_fin(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let Conversation { socket, listener, mut far, cookie } = net.connection();
    close(socket);
    await_fin(&net, &mut far);
    let fin = far.segment(flag::FIN | flag::ACK);
    net.wire.send(&fin.packet());
    let expected = in_state(&net, "closed", "QUEUE_PURGE", "sk_stream_kill_queues", &fin)
        .severity("INFO")
        .cookie(cookie);
    let outcome = lab.expect(&[&net.host], [expected]);
    drop(listener);
    outcome
}

fn ack_of_unsent(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection();
    connection.socket.shutdown(Shutdown::Write).expect("shut down");
    half_close(&net, &mut connection.far);
    let mut ack = connection.far.segment(flag::ACK);
    ack.ack = ack.ack.wrapping_add(1000);
    net.wire.send(&ack.packet());
    let expected = in_state(&net, "fin_wait_2", "TCP_ACK_UNSENT_DATA", "tcp_rcv_state_process", &ack)
        .cookie(connection.cookie);
    lab.expect(&[&net.host], [expected])
}

/// A connection that the host closed first, both FINs exchanged. The FIN was read, so that it leaves no record.
fn time_wait(net: &Wired, clock: Option<u32>) -> Far {
    use std::io::Read;
    let mut connection = match clock {
        Some(clock) => net.connection_with_timestamps(clock),
        None => net.connection(),
    };
    connection.socket.shutdown(Shutdown::Write).expect("shut down");
    half_close(net, &mut connection.far);
    net.wire.send(&connection.far.segment(flag::FIN | flag::ACK).packet());
    connection.far.seq = connection.far.seq.wrapping_add(1);
    assert_eq!(connection.socket.read(&mut [0; 8]).expect("read"), 0);
    connection.far
}

fn at_time_wait(net: &Wired, reason: &str, segment: &Segment) -> Expected {
    Expected::new(&net.host, reason, by(net.family, "tcp_v4_rcv", "tcp_v6_rcv"), segment)
        .receive(&net.host, "eth0")
        .socket("timewait", "time_wait")
        .inferred("cleanup")
        .severity("INFO")
}

/// A clean close too: the host closes, and the far side does a moment later. The kernel answers the FIN, and drops it.
fn time_wait_fin(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let Conversation { socket, listener, mut far, .. } = net.connection();
    close(socket);
    half_close(&net, &mut far);
    let fin = far.segment(flag::FIN | flag::ACK);
    net.wire.send(&fin.packet());
    let outcome = lab.expect(&[&net.host], [at_time_wait(&net, "NOT_SPECIFIED", &fin)]);
    drop(listener);
    outcome
}

fn time_wait_data_for_closed(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let Conversation { socket, listener, mut far, .. } = net.connection();
    close(socket);
    half_close(&net, &mut far);
    let data = far.data(b"late");
    net.wire.send(&data.packet());
    let outcome = lab.expect(&[&net.host], [at_time_wait(&net, "NOT_SPECIFIED", &data)]);
    drop(listener);
    outcome
}

fn time_wait_old(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let far = time_wait(&net, None);
    let mut old = far.segment(flag::FIN | flag::ACK);
    old.seq = old.seq.wrapping_sub(1);
    net.wire.send(&old.packet());
    lab.expect(&[&net.host], [at_time_wait(&net, "NOT_SPECIFIED", &old)])
}

fn time_wait_data(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let far = time_wait(&net, None);
    let data = far.data(b"late");
    net.wire.send(&data.packet());
    lab.expect(&[&net.host], [at_time_wait(&net, "NOT_SPECIFIED", &data)])
}

fn time_wait_reset(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let far = time_wait(&net, None);
    let mut reset = far.segment(flag::RST);
    reset.seq = reset.seq.wrapping_add(1000);
    net.wire.send(&reset.packet());
    lab.expect(&[&net.host], [at_time_wait(&net, "NOT_SPECIFIED", &reset)])
}

fn time_wait_paws(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut far = time_wait(&net, Some(1_000_000));
    far.clock = Some(900_000);
    let data = far.data(b"late");
    net.wire.send(&data.packet());
    lab.expect(&[&net.host], [at_time_wait(&net, "TCP_RFC7323_TW_PAWS", &data).severity("INFO")])
}

/// Answers to the host's SYN that are no answers to it.
fn connecting(lab: &Lab, flags: u16, ack: u32, reason: &str, site: &str) -> Outcome {
    let net = lab.wired();
    let peer = net.peer();
    net.host.sysctl("ipv4/tcp_syn_retries", "1");
    std::thread::scope(|scope| {
        let trying = scope.spawn(|| {
            net.host.run(|| {
                let socket = rustix::net::socket(
                    by(lab.family, rustix::net::AddressFamily::INET, rustix::net::AddressFamily::INET6),
                    rustix::net::SocketType::STREAM,
                    None,
                )
                .expect("socket");
                rustix::io::ioctl_fionbio(&socket, true).expect("do not block");
                let _ = rustix::net::connect(&socket, &peer);
                socket
            })
        });
        let socket = trying.join().expect("connect");
        let cookie = crate::zoo::sys::cookie(&socket);
        let syn = net.wire.receive("a SYN", |seen| (seen.destination == peer).then_some(seen));
        let answer = Segment {
            ack: if flags & flag::ACK == 0 { 0 } else { syn.seq.wrapping_add(ack) },
            ..Segment::new(peer, syn.source, flags)
        };
        net.wire.send(&answer.packet());
        let expected = in_state(&net, "syn_sent", reason, site, &answer).cookie(cookie);
        let outcome = lab
            .expect(&[&net.host], [expected.severity(if reason == "TCP_RESET" { "INFO" } else { "WARN" })]);
        drop(socket);
        outcome
    })
}

fn connecting_wrong_ack(lab: &Lab) -> Outcome {
    connecting(
        lab,
        flag::SYN | flag::ACK,
        1000,
        "TCP_INVALID_ACK_SEQUENCE",
        by(lab.family, "tcp_v4_do_rcv", "tcp_v6_do_rcv"),
    )
}

fn connecting_reset(lab: &Lab) -> Outcome {
    connecting(lab, flag::RST, 0, "TCP_RESET", "tcp_rcv_state_process")
}

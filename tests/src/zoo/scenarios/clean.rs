//! What is no drop of TCP's: there must be no record.

use super::segment_to;
use crate::fork::close;
use crate::zoo::expect::Expected;
use crate::zoo::field::Field;
use crate::zoo::lab::{Conversation, Watched, Wired, by};
use crate::zoo::packet::{Segment, flag, icmp_packet, udp_packet};
use crate::zoo::{Lab, Need, Outcome, Scenario};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

const NFT: &[Need] = &[Need::Tool("nft")];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("clean: UDP to a closed port", udp),
    Scenario::both("clean: UDP dropped by a rule", udp_filtered).needs(NFT),
    Scenario::both("clean: ICMP dropped by a rule", icmp_filtered).needs(NFT),
    Scenario::both("clean: ICMP error about TCP dropped by a rule", icmp_error_filtered).needs(NFT),
    Scenario::both("clean: ICMP error about a connection", icmp_error),
    Scenario::both("clean: connection, data, far side closes first", far_closes_first),
    Scenario::both("clean: connection, data, host shuts down and reads to the end", host_shuts_down),
    Scenario::both("clean: connection reset by the far side", far_resets),
    Scenario::both("clean: connection reset by the host", host_resets),
    Scenario::both("clean: both close at once", both_close),
    Scenario::both("clean: unread data at close", unread_data),
    Scenario::both("clean: SYN with data", syn_with_data),
    Scenario::both("clean: urgent data", urgent_data),
    Scenario::both("clean: data out of order", out_of_order),
    Scenario::both("clean: port used again", port_again),
    Scenario::both("clean: two containers, the client closes first", containers_client_first)
        .needs(&[Need::REASONS]),
    Scenario::both("clean: two containers, the server closes first", containers_server_first)
        .needs(&[Need::REASONS]),
    Scenario::both("clean: two containers, a megabyte", containers_bulk),
];

fn udp(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let refused = Watched::new(&net.host, by(lab.family, "Udp.NoPorts", "Udp6NoPorts"));
    net.wire.send(&udp_packet(net.peer(), net.at(9), b"hello"));
    refused.rise(1);
    lab.expect_nothing(&net.host)
}

fn udp_filtered(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let counter = net.host.drop_at("inet", "input", "udp dport 9");
    untold(lab, &net, &counter, &udp_packet(net.peer(), net.at(9), &[7; 100]))
}

fn untold(lab: &Lab, net: &Wired, counter: &Watched<'_>, packet: &[u8]) -> Outcome {
    net.wire.send(packet);
    counter.rise(1);
    lab.expect_nothing(&net.host)
}

fn icmp_filtered(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let counter = net.host.drop_at(
        "inet",
        "input",
        by(lab.family, "icmp type echo-request", "icmpv6 type echo-request"),
    );
    let echo =
        icmp_packet(net.peer_address(), net.address(), by(lab.family, 8, 128), 0, [0, 1, 0, 1], b"hello");
    untold(lab, &net, &counter, &echo)
}

/// An ICMP message: port unreachable, for a segment of the host's.
fn unreachable(net: &Wired, quoted: &Segment) -> Vec<u8> {
    let (kind, code) = by(net.family, (3, 3), (1, 4));
    icmp_packet(net.peer_address(), net.address(), kind, code, [0; 4], &quoted.packet())
}

fn icmp_error_filtered(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let counter = net.host.drop_at(
        "inet",
        "input",
        by(lab.family, "icmp type destination-unreachable", "icmpv6 type destination-unreachable"),
    );
    let quoted = Segment::new(net.at(1), net.peer(), flag::SYN);
    untold(lab, &net, &counter, &unreachable(&net, &quoted))
}

fn icmp_error(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let (socket, far) = net.outgoing();
    let heard = Watched::new(&net.host, by(lab.family, "Icmp.InDestUnreachs", "Icmp6InDestUnreachs"));
    net.wire.send(&unreachable(&net, &far.answer(flag::ACK, b"")));
    heard.rise(1);
    let outcome = lab.expect_nothing(&net.host);
    drop(socket);
    outcome
}

/// Waits for the host's FIN, and acknowledges it from then on.
fn await_fin(net: &Wired, connection: &mut Conversation) {
    let own = connection.far.own;
    let fin = net
        .wire
        .receive("a FIN", |seen| (seen.destination == own && seen.flags & flag::FIN != 0).then_some(seen));
    connection.far.ack = fin.seq.wrapping_add(1);
}

fn send_fin(net: &Wired, connection: &mut Conversation) {
    net.wire.send(&connection.far.segment(flag::FIN | flag::ACK).packet());
    connection.far.seq = connection.far.seq.wrapping_add(1);
}

fn read_to_end(socket: &mut TcpStream) {
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).expect("read to the end");
}

fn far_closes_first(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection();
    connection.deliver(&net.wire, b"hello");
    send_fin(&net, &mut connection);
    read_to_end(&mut connection.socket);
    connection.socket.shutdown(Shutdown::Both).expect("shut down");
    await_fin(&net, &mut connection);
    net.wire.send(&connection.far.segment(flag::ACK).packet());
    lab.expect_nothing(&net.host)
}

fn host_shuts_down(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection();
    connection.deliver(&net.wire, b"hello");
    connection.socket.shutdown(Shutdown::Write).expect("shut down");
    await_fin(&net, &mut connection);
    net.wire.send(&connection.far.segment(flag::ACK).packet());
    send_fin(&net, &mut connection);
    read_to_end(&mut connection.socket);
    lab.expect_nothing(&net.host)
}

fn far_resets(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection();
    connection.deliver(&net.wire, b"hello");
    net.wire.send(&connection.far.segment(flag::RST).packet());
    let error = connection.socket.read(&mut [0; 8]).expect_err("the connection is reset");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    lab.expect_nothing(&net.host)
}

fn host_resets(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let Conversation { socket, listener, far, .. } = connection;
    socket2::SockRef::from(&socket).set_linger(Some(std::time::Duration::ZERO)).expect("linger");
    close(socket);
    net.wire
        .receive("a RST", |seen| (seen.destination == far.own && seen.flags & flag::RST != 0).then_some(()));
    let outcome = lab.expect_nothing(&net.host);
    drop(listener);
    outcome
}

fn both_close(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection();
    connection.socket.shutdown(Shutdown::Write).expect("shut down");
    send_fin(&net, &mut connection);
    read_to_end(&mut connection.socket);
    await_fin(&net, &mut connection);
    net.wire.send(&connection.far.segment(flag::ACK).packet());
    lab.expect_nothing(&net.host)
}

/// The host closes without having read: it resets, and says nothing of the data.
fn unread_data(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let Conversation { socket, listener, far, .. } = net.connection();
    net.wire.send(&far.data(b"hello").packet());
    crate::wait::wait_for("the data", || (socket.peek(&mut [0; 8]).ok()? == 5).then_some(()));
    close(socket);
    net.wire
        .receive("a RST", |seen| (seen.destination == far.own && seen.flags & flag::RST != 0).then_some(()));
    let outcome = lab.expect_nothing(&net.host);
    drop(listener);
    outcome
}

/// Without TCP Fast Open the data is left out, and sent again.
fn syn_with_data(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let listener = net.host.listen(net.address());
    let far = net.begin(&segment_to(&net, &listener, flag::SYN).with_payload(b"early"));
    net.wire.send(&far.data(b"early").packet());
    let (mut socket, _) = listener.accept().expect("accept");
    socket.read_exact(&mut [0; 5]).expect("read");
    lab.expect_nothing(&net.host)
}

fn urgent_data(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection();
    let urgent = Segment { urgent: 3, ..connection.far.segment(flag::ACK | flag::PSH | flag::URG) }
        .with_payload(b"hello");
    net.wire.send(&urgent.packet());
    // The urgent byte is left out of the stream.
    let mut read = [0; 4];
    connection.socket.read_exact(&mut read[..2]).expect("read");
    connection.socket.read_exact(&mut read[2..]).expect("read");
    lab.expect_nothing(&net.host)
}

fn out_of_order(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection();
    let mut late = connection.far.data(b"world");
    late.seq = late.seq.wrapping_add(5);
    net.wire.send(&late.packet());
    net.wire.send(&connection.far.data(b"hello").packet());
    let mut read = [0; 10];
    connection.socket.read_exact(&mut read).expect("read");
    assert_eq!(&read, b"helloworld");
    lab.expect_nothing(&net.host)
}

/// A new connection of the same ports in the place of one in TIME_WAIT.
fn port_again(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let mut connection = net.connection();
    connection.socket.shutdown(Shutdown::Write).expect("shut down");
    await_fin(&net, &mut connection);
    net.wire.send(&connection.far.segment(flag::ACK).packet());
    send_fin(&net, &mut connection);
    read_to_end(&mut connection.socket);
    let far = &connection.far;
    let syn = Segment { seq: far.seq.wrapping_add(100_000), ..Segment::new(far.own, far.near, flag::SYN) };
    let again = net.begin(&syn);
    net.wire.send(&again.segment(flag::ACK).packet());
    connection.listener.accept().expect("accept");
    lab.expect_nothing(&net.host)
}

/// Two ends of a connection between containers: the client's and the server's.
fn connected(pair: &crate::zoo::lab::Containers) -> (TcpStream, TcpStream) {
    let listener = pair.other.listen(pair.other_address);
    let to: SocketAddr = listener.local_addr().expect("an address");
    let mut client = pair.one.run(|| TcpStream::connect(to)).expect("connect");
    let (mut server, _) = listener.accept().expect("accept");
    client.write_all(b"hello").expect("send");
    server.read_exact(&mut [0; 5]).expect("receive");
    (client, server)
}

fn containers_client_first(lab: &Lab) -> Outcome {
    let pair = lab.containers();
    let (client, server) = connected(&pair);
    closed(lab, &pair, &pair.one, (client, server))
}

fn containers_server_first(lab: &Lab) -> Outcome {
    let pair = lab.containers();
    let (client, server) = connected(&pair);
    closed(lab, &pair, &pair.other, (server, client))
}

/// The end in `first_net` closes first. The kernel drops the other end's FIN when it has answered it: as what is left in
/// the socket if it came with the ACK, as a segment for TIME_WAIT if it came later.
fn closed(
    lab: &Lab,
    pair: &crate::zoo::lab::Containers,
    first_net: &crate::zoo::lab::Net,
    (first, mut second): (TcpStream, TcpStream),
) -> Outcome {
    let near = first.local_addr().expect("an address");
    let far = second.local_addr().expect("an address");
    let tap = first_net.packet_socket("eth0");
    close(first);
    read_to_end(&mut second);
    close(second);
    let fin = crate::zoo::lab::first_seen(&tap, |seen| seen.source == far && seen.flags & flag::FIN != 0);
    let expected = Expected::without_packet(first_net, "QUEUE_PURGE", "sk_stream_kill_queues")
        .seen(&fin)
        .receive(first_net, "eth0")
        .one_of(Field::Reason, &["QUEUE_PURGE", "NOT_SPECIFIED"])
        .one_of(Field::Site, &["sk_stream_kill_queues", by(lab.family, "tcp_v4_rcv", "tcp_v6_rcv")])
        .one_of(Field::Socket, &["full / closed", "timewait / time_wait"])
        .one_of(Field::Class, &["cleanup / reason", "cleanup / site"])
        .severity("INFO");
    assert_eq!(fin.destination, near);
    lab.expect(&[&pair.one, &pair.other], [expected])
}

fn containers_bulk(lab: &Lab) -> Outcome {
    const SIZE: usize = 1 << 20;
    let pair = lab.containers();
    let (mut client, mut server) = connected(&pair);
    let received = std::thread::scope(|scope| {
        scope.spawn(|| {
            client.write_all(&vec![7; SIZE]).expect("send");
            client.shutdown(Shutdown::Write).expect("shut down");
        });
        let mut all = Vec::new();
        server.read_to_end(&mut all).expect("receive");
        all.len()
    });
    assert_eq!(received, SIZE);
    close(server);
    read_to_end(&mut client);
    lab.expect_nothing(&pair.other)
}

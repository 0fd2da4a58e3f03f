//! Connections that segments are forged for.

use super::packet::{Flow, Flows, flags};
use rustix::net::{AddressFamily, RecvFlags, SocketType, ipproto, recv, sockopt};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How far before the window a forged segment is.
const BEHIND: u32 = 1 << 20;

/// A connection of this process with itself, and what a segment of its client must look like to be too old.
pub(super) struct Connection {
    pub(super) flow: Flow,
    pub(super) old_sequence: u32,
    _ends: [TcpStream; 2],
}

/// Open connections.
pub(super) struct Connections(Vec<Connection>);

impl Connections {
    /// As many as `flows` has, to one port of its destination.
    pub(super) fn open(flows: &Flows) -> Self {
        let listener = TcpListener::bind((flows.destination, 0)).expect("listen");
        let sniffer = Sniffer::new(flows);
        Self((0..flows.count.max(1)).map(|_| sniffer.connect(&listener)).collect())
    }

    pub(super) fn nth(&self, number: u64) -> &Connection {
        let place = usize::try_from(number % self.0.len() as u64).unwrap_or(0);
        &self.0[place]
    }
}

/// Sees the segments that arrive in the namespace.
struct Sniffer {
    socket: OwnedFd,
    /// IPv4's header comes with the segment, IPv6's does not.
    is_v4: bool,
}

impl Sniffer {
    fn new(flows: &Flows) -> Self {
        let is_v4 = flows.destination.is_ipv4();
        let family = if is_v4 { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket =
            rustix::net::socket(family, SocketType::RAW, Some(ipproto::TCP)).expect("open a raw socket");
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_secs(10)))
            .expect("set a timeout");
        Self { socket, is_v4 }
    }

    fn connect(&self, listener: &TcpListener) -> Connection {
        let destination = listener.local_addr().expect("address of the listener");
        let client = TcpStream::connect(destination).expect("connect");
        let (server, _) = listener.accept().expect("accept");
        let flow = Flow { source: client.local_addr().expect("address of the client"), destination };
        let next = self.next_sequence(flow);
        Connection { flow, old_sequence: next.wrapping_sub(BEHIND), _ends: [client, server] }
    }

    /// The client's sequence number after the handshake: what the SYN+ACK acknowledges.
    fn next_sequence(&self, flow: Flow) -> u32 {
        loop {
            let mut buffer = [0; 128];
            let (received, _) =
                recv(&self.socket, &mut buffer[..], RecvFlags::empty()).expect("see the handshake");
            if let Some(acknowledged) = self.acknowledged(&buffer[..received], flow) {
                return acknowledged;
            }
        }
    }

    fn acknowledged(&self, packet: &[u8], flow: Flow) -> Option<u32> {
        let ip_length = if self.is_v4 { usize::from(packet.first()? & 0xf) * 4 } else { 0 };
        let tcp = packet.get(ip_length..)?;
        let number = |place: usize| Some(u16::from_be_bytes(tcp.get(place..place + 2)?.try_into().ok()?));
        let from_to = [number(0)?, number(2)?];
        let answers = from_to == [flow.destination, flow.source].map(|end: SocketAddr| end.port());
        (answers && tcp.get(13)? & (flags::SYN | flags::ACK) == flags::SYN | flags::ACK)
            .then(|| Some(u32::from_be_bytes(tcp.get(8..12)?.try_into().ok()?)))?
    }
}

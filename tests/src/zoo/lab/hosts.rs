//! Hosts under test, and what they are connected to.

use super::far::timestamp_value;
use super::net::mac_text;
use super::{
    CLOSED_PORT, Conversation, Far, HOST_MAC, Net, PEER_PORT, WIRE_MAC, Wire, by, first_seen, timestamps,
};
use crate::netns::Family;
use crate::zoo::packet::{Seen, Segment, flag};
use crate::zoo::sys::{self, PacketSocket};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU16, Ordering};

/// A host with one interface, `eth0`, and a wire.
#[derive(Debug)]
pub struct Wired {
    /// The namespace under test.
    pub host: Net,
    /// The other end.
    pub wire: Wire,
    /// IP version of the scenario.
    pub family: Family,
    next_port: AtomicU16,
}

/// Addresses of `eth0`.
pub const HOST_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// See [`HOST_V4`].
pub const HOST_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
const PEER_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PEER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);

impl Wired {
    /// A new host. The peer's Ethernet address is known to it.
    pub fn new(family: Family) -> Self {
        let host = Net::new();
        let wire = Wire::new(&host, "eth0", HOST_MAC, WIRE_MAC);
        let mac = mac_text(WIRE_MAC);
        host.add_addresses("eth0", HOST_V4, HOST_V6);
        host.ip(&format!(
            "neighbour replace {PEER_V4} lladdr {mac} dev eth0
             neighbour replace {PEER_V6} lladdr {mac} dev eth0
             route add default via {PEER_V4}
             route add default via {PEER_V6}"
        ));
        Self { host, wire, family, next_port: AtomicU16::new(PEER_PORT + 1) }
    }

    /// Address of `eth0`.
    pub fn address(&self) -> IpAddr {
        by(self.family, HOST_V4.into(), HOST_V6.into())
    }

    /// Address of the far side.
    pub fn peer_address(&self) -> IpAddr {
        by(self.family, PEER_V4.into(), PEER_V6.into())
    }

    /// An address and port of the far side, another one each time.
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.peer_address(), self.next_port.fetch_add(1, Ordering::Relaxed))
    }

    /// The host's address with a port.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address(), port)
    }

    /// A segment from the far side to a port of the host that nobody listens at.
    pub fn to_closed_port(&self, flags: u16) -> Segment {
        Segment::new(self.peer(), self.at(CLOSED_PORT), flags)
    }

    /// A connection that the far side, played by the test, made to a socket of the host.
    pub fn connection(&self) -> Conversation {
        self.connection_through(self.host.listen(self.address()), &[])
    }

    /// The same with TCP timestamps; the far side's clock stands at `clock`.
    pub fn connection_with_timestamps(&self, clock: u32) -> Conversation {
        self.connection_through(self.host.listen(self.address()), &timestamps(clock, 0))
    }

    /// The same through this listener, with these TCP options.
    pub fn connection_through(&self, listener: TcpListener, options: &[u8]) -> Conversation {
        let port = listener.local_addr().expect("an address").port();
        let far = self.open(self.at(port), options);
        let (socket, _) = listener.accept().expect("accept");
        let cookie = sys::cookie(&socket);
        Conversation { socket, listener, far, cookie }
    }

    /// A SYN to `to`, and the answer to its answer.
    pub fn open(&self, to: SocketAddr, options: &[u8]) -> Far {
        let syn = Segment { options: options.to_vec(), ..Segment::new(self.peer(), to, flag::SYN) };
        let far = self.begin(&syn);
        self.wire.send(&far.segment(flag::ACK).packet());
        far
    }

    /// Sends a SYN, and waits for the SYN-ACK.
    pub fn begin(&self, syn: &Segment) -> Far {
        self.wire.send(&syn.packet());
        let answer = self.wire.receive("a SYN-ACK", |seen| {
            (seen.destination == syn.source
                && seen.flags & (flag::SYN | flag::ACK) == (flag::SYN | flag::ACK))
                .then_some(seen)
        });
        let clock = timestamp_value(&syn.options);
        Far {
            near: syn.destination,
            own: syn.source,
            seq: syn.seq + 1,
            ack: answer.seq.wrapping_add(1),
            window: syn.window,
            clock,
            echo: timestamp_value(&answer.options).unwrap_or(0),
            near_window: answer.window,
        }
    }

    /// A connection that a socket of the host made to the far side, played by the test.
    pub fn outgoing(&self) -> (TcpStream, Far) {
        const MSS: [u8; 4] = [2, 4, 0x05, 0xb4]; // 1460
        let peer = self.peer();
        let (socket, far) = std::thread::scope(|scope| {
            let connecting = scope.spawn(|| self.host.run(|| TcpStream::connect(peer)));
            let syn = self.wire.receive("a SYN", |seen| (seen.destination == peer).then_some(seen));
            let mut far = Far {
                near: syn.source,
                own: peer,
                seq: 5_000_000,
                ack: syn.seq.wrapping_add(1),
                window: 60_000,
                clock: None,
                echo: 0,
                near_window: 0,
            };
            self.wire.send(&Segment { options: MSS.to_vec(), ..far.segment(flag::SYN | flag::ACK) }.packet());
            far.seq += 1;
            let done =
                |seen: Seen| (seen.destination == peer && seen.flags == flag::ACK).then_some(seen.window);
            far.near_window = self.wire.receive("the end of the handshake", done);
            (connecting.join().expect("the thread ends"), far)
        });
        (socket.expect("connect"), far)
    }
}

/// A host that passes packets on from `eth0` to `eth1` and back, with a wire at each.
#[derive(Debug)]
pub struct Router {
    /// The namespace under test.
    pub host: Net,
    /// What `eth0` is connected to.
    pub near: Wire,
    /// What `eth1` is connected to.
    pub far: Wire,
    family: Family,
    next_port: AtomicU16,
}

/// Address of `eth1`.
const BEYOND_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const BEYOND_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
const FAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 4];

impl Router {
    /// A new one. The Ethernet addresses of both sides are known to it.
    pub fn new(family: Family) -> Self {
        let Wired { host, wire: near, next_port, .. } = Wired::new(family);
        let far = Wire::new(&host, "eth1", [2, 0, 0, 0, 0, 3], FAR_MAC);
        host.add_addresses("eth1", BEYOND_V4, BEYOND_V6);
        let mac = mac_text(FAR_MAC);
        host.ip(&format!(
            "neighbour replace 198.51.100.2 lladdr {mac} dev eth1
             neighbour replace 2001:db8:2::2 lladdr {mac} dev eth1"
        ));
        for path in ["ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"] {
            host.sysctl(path, "1");
        }
        Self { host, near, far, family, next_port }
    }

    /// An address and port on the near side, another one each time.
    pub fn peer(&self) -> SocketAddr {
        let port = self.next_port.fetch_add(1, Ordering::Relaxed);
        SocketAddr::new(by(self.family, PEER_V4.into(), PEER_V6.into()), port)
    }

    /// An address and port on the far side.
    pub fn beyond(&self) -> SocketAddr {
        let address = by(self.family, "198.51.100.2", "2001:db8:2::2");
        SocketAddr::new(address.parse().expect("an address"), 80)
    }

    /// The far side's Ethernet address is to be asked for, and soon given up.
    pub fn forget_neighbours(&self) {
        self.host.ip("neighbour flush dev eth1 nud permanent");
        for family in ["ipv4", "ipv6"] {
            let set = |key: &str, value: &str| self.host.sysctl(&format!("{family}/neigh/eth1/{key}"), value);
            set("mcast_solicit", "1");
            set("retrans_time_ms", "50");
        }
    }
}

/// Two containers on one host, joined by a veth pair, each with addresses and sockets of its own.
#[derive(Debug)]
pub struct Containers {
    /// One end.
    pub one: Net,
    /// The other end.
    pub other: Net,
    /// Address of the one.
    pub one_address: IpAddr,
    /// Address of the other.
    pub other_address: IpAddr,
}

impl Containers {
    /// New ones.
    pub fn new(family: Family) -> Self {
        let (one, other) = (Net::new(), Net::new());
        one.connect(("eth0", HOST_MAC), &other, ("eth0", WIRE_MAC));
        one.add_addresses("eth0", HOST_V4, HOST_V6);
        other.add_addresses("eth0", PEER_V4, PEER_V6);
        for (net, v4, v6, mac) in [(&one, PEER_V4, PEER_V6, WIRE_MAC), (&other, HOST_V4, HOST_V6, HOST_MAC)] {
            let mac = mac_text(mac);
            net.ip(&format!(
                "neighbour replace {v4} lladdr {mac} dev eth0
                 neighbour replace {v6} lladdr {mac} dev eth0"
            ));
        }
        let one_address = by(family, HOST_V4.into(), HOST_V6.into());
        let other_address = by(family, PEER_V4.into(), PEER_V6.into());
        Self { one, other, one_address, other_address }
    }

    /// Begins a connection from the one, and looks at the SYN as it leaves. What comes first has to be kept: with a packet
    /// socket end its unread copies, and the kernel reports that.
    pub fn begin(&self, to: SocketAddr) -> ((OwnedFd, PacketSocket), Seen) {
        let tap = self.one.packet_socket("eth0");
        let socket = self.one.run(|| sys::connect_without_waiting(to)).expect("connect");
        let syn = first_seen(&tap, |seen| seen.destination == to);
        ((socket, tap), syn)
    }
}

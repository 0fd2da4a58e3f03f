//! The far end of an interface: whole frames, written and read by the test.

use super::{ANSWER, Net};
use crate::zoo::packet::{self, Seen, offload_header};
use crate::zoo::sys::PacketSocket;
use std::time::Instant;

/// Ethernet address of the host's end.
pub const HOST_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Ethernet address of the wire's end.
pub const WIRE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// The far end of an interface under test: whole frames, written and read by the test. Its kernel has no addresses, so it
/// answers nothing.
#[derive(Debug)]
pub struct Wire {
    net: Net,
    socket: PacketSocket,
    to: [u8; 6],
    from: [u8; 6],
}

impl Wire {
    /// Connects `interface` of `host` to a new wire.
    pub fn new(host: &Net, interface: &str, host_mac: [u8; 6], wire_mac: [u8; 6]) -> Self {
        let net = Net::new();
        net.sysctl("ipv6/conf/default/disable_ipv6", "1");
        host.connect((interface, host_mac), &net, ("wire", wire_mac));
        let socket = net.packet_socket("wire");
        // The queue may not be ready yet.
        socket.bypass_queue().expect("bypass the queue");
        Self { net, socket, to: host_mac, from: wire_mac }
    }

    /// Changes its MTU.
    pub fn resize(&self, mtu: u32) {
        self.net.ip(&format!("link set wire mtu {mtu}"));
    }

    /// Sends an IP packet to the host.
    pub fn send(&self, packet: &[u8]) {
        self.send_frame(&packet::frame(self.to, self.from, packet));
    }

    /// Takes it down.
    pub fn take_down(&self) {
        self.net.ip("link set wire down");
    }

    /// Sends an IP packet with VLAN tags, outermost first.
    pub fn send_tagged(&self, tags: &[(u16, u16)], packet: &[u8]) {
        self.send_frame(&packet::tagged_frame(self.to, self.from, tags, packet));
    }

    /// Sends a frame.
    pub fn send_frame(&self, frame: &[u8]) {
        self.socket.send(frame).expect("send a frame");
    }

    /// Sends an IP packet that the kernel may have to cut into segments of `gso_size` bytes, with the first `linear` bytes
    /// of its frame in one piece.
    pub fn send_to_cut(&self, packet: &[u8], gso_size: u16, linear: u16) {
        self.send_with(offload_header(packet, gso_size, linear), packet);
    }

    /// Sends an IP packet larger than a page, with nothing of it in the linear part of the kernel's packet.
    pub fn send_apart(&self, packet: &[u8]) {
        self.send_with(offload_header(packet, 0, 14), packet);
    }

    fn send_with(&self, header: [u8; 10], packet: &[u8]) {
        self.net.wait_until_running("wire");
        let socket = self.net.packet_socket("wire");
        socket.expect_offload().expect("expect offload headers");
        socket
            .send(&[&header[..], &packet::frame(self.to, self.from, packet)].concat())
            .expect("send a frame");
    }

    /// From now on its kernel cuts what is to be cut, by the program `ethtool`.
    pub fn cut(&self) {
        self.net.command("ethtool", "-K wire tso off", "");
    }

    /// The first segment from the host that `wanted` takes.
    ///
    /// # Panics
    /// If none comes.
    pub fn receive<T>(&self, what: &str, mut wanted: impl FnMut(Seen) -> Option<T>) -> T {
        let start = Instant::now();
        while let Some(left) = ANSWER.checked_sub(start.elapsed()) {
            let Some(frame) = self.socket.receive(left).expect("read the wire") else { break };
            // What the test sent itself is seen too.
            if frame.len() < 14 || frame[6..12] == self.from {
                continue;
            }
            if let Some(found) = Seen::parse(&frame[14..]).and_then(&mut wanted) {
                return found;
            }
        }
        panic!("waited in vain for {what} on the wire")
    }
}

/// The first segment that a packet socket sees and `wanted` takes.
///
/// # Panics
/// If none comes.
pub fn first_seen(tap: &PacketSocket, wanted: impl Fn(&Seen) -> bool) -> Seen {
    loop {
        let frame = tap.receive(ANSWER).expect("read the interface").expect("a packet in time");
        if let Some(seen) = frame.get(14..).and_then(Seen::parse).filter(&wanted) {
            return seen;
        }
    }
}

//! Packets, byte for byte, truthful or not.

use std::net::{IpAddr, SocketAddr};

/// Flag bits of the TCP header.
pub mod flag {
    #![allow(missing_docs)]
    pub const FIN: u16 = 0x001;
    pub const SYN: u16 = 0x002;
    pub const RST: u16 = 0x004;
    pub const PSH: u16 = 0x008;
    pub const ACK: u16 = 0x010;
    pub const URG: u16 = 0x020;
    pub const ECE: u16 = 0x040;
    pub const CWR: u16 = 0x080;
    pub const AE: u16 = 0x100;
}

/// Numbers of protocols and extension headers (IANA).
pub mod protocol {
    #![allow(missing_docs)]
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IPIP: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6: u8 = 41;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const GRE: u8 = 47;
    pub const AUTHENTICATION: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const NO_NEXT: u8 = 59;
    pub const DESTINATION: u8 = 60;
    pub const MOBILITY: u8 = 135;
    pub const HIP: u8 = 139;
    pub const SHIM6: u8 = 140;
}

/// UDP port of VXLAN (RFC 7348).
pub const VXLAN_PORT: u16 = 4789;
/// UDP port of Geneve (RFC 8926).
pub const GENEVE_PORT: u16 = 6081;

/// A TCP segment in an IP packet.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Source.
    pub source: SocketAddr,
    /// Destination.
    pub destination: SocketAddr,
    /// Flag bits.
    pub flags: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Window.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// TCP options; padded to four bytes.
    pub options: Vec<u8>,
    /// Data.
    pub payload: Vec<u8>,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// IPv6 extension headers in order, each with its number.
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// Options of the IPv4 header; padded to four bytes.
    pub ip_options: Vec<u8>,
    /// Data offset to claim, in units of four bytes.
    pub data_offset: Option<u8>,
    /// Whether the TCP checksum is right.
    pub checksum: bool,
}

impl Segment {
    /// A segment without data.
    pub fn new(source: SocketAddr, destination: SocketAddr, flags: u16) -> Self {
        Self {
            source,
            destination,
            flags,
            seq: 1_000_000,
            ack: if flags & flag::ACK == 0 { 0 } else { 2_000_000 },
            window: 0x1234,
            urgent: 0,
            options: Vec::new(),
            payload: Vec::new(),
            hop_limit: 64,
            extensions: Vec::new(),
            ip_options: Vec::new(),
            data_offset: None,
            checksum: true,
        }
    }

    /// The same with data.
    #[must_use]
    pub fn with_payload(self, payload: &[u8]) -> Self {
        Self { payload: payload.to_vec(), ..self }
    }

    /// The IP packet.
    pub fn packet(&self) -> Vec<u8> {
        let tcp = self.tcp();
        let (mut next, mut body) = (protocol::TCP, tcp);
        for (kind, extension) in self.extensions.iter().rev() {
            let mut extension = extension.clone();
            extension[0] = next;
            extension.extend(body);
            (next, body) = (*kind, extension);
        }
        let mut packet = ip_header(
            self.source.ip(),
            self.destination.ip(),
            next,
            self.hop_limit,
            &self.ip_options,
            body.len(),
        );
        packet.extend(body);
        packet
    }

    /// TCP header and data.
    pub fn tcp(&self) -> Vec<u8> {
        let mut options = self.options.clone();
        options.resize(options.len().next_multiple_of(4), 1);
        let offset = self.data_offset.unwrap_or_else(|| narrow(5 + options.len() / 4));
        let mut tcp = Vec::new();
        tcp.extend(self.source.port().to_be_bytes());
        tcp.extend(self.destination.port().to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.push(offset << 4 | narrow(usize::from(self.flags >> 8)));
        tcp.push(narrow(usize::from(self.flags & 0xff)));
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0, 0]);
        tcp.extend(self.urgent.to_be_bytes());
        tcp.extend(options);
        tcp.extend(&self.payload);
        let sum = transport_checksum(self.source.ip(), self.destination.ip(), protocol::TCP, &tcp);
        let sum = if self.checksum { sum } else { sum ^ 0x5555 };
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        tcp
    }
}

/// An extension header of `units` times eight bytes, the first being part of the header, filled with padding. Its first
/// byte is set when the packet is made.
pub fn extension(kind: u8, units: usize) -> (u8, Vec<u8>) {
    let mut header = vec![0; units * 8];
    header[1] = narrow(units - 1);
    match kind {
        protocol::HOP_BY_HOP | protocol::DESTINATION => {
            header[2] = 0x1e; // for experiments (RFC 4727): to be skipped by those that do not know it
            header[3] = narrow((units * 8 - 4).min(255));
        }
        protocol::ROUTING => header[2] = 253, // an unknown type, with no segments left
        _ => {}
    }
    (kind, header)
}

/// An authentication header of 12 + 12 bytes.
pub fn authentication_header() -> (u8, Vec<u8>) {
    let mut header = vec![0; 24];
    header[1] = 4;
    (protocol::AUTHENTICATION, header)
}

/// A fragment header.
pub fn fragment_header(offset: u16, more: bool, id: u32) -> (u8, Vec<u8>) {
    let mut header = vec![0; 8];
    header[2..4].copy_from_slice(&(offset & 0xfff8 | u16::from(more)).to_be_bytes());
    header[4..8].copy_from_slice(&id.to_be_bytes());
    (protocol::FRAGMENT, header)
}

/// IP packet with any payload.
pub fn ip_packet(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = ip_header(source, destination, protocol, 64, &[], payload.len());
    packet.extend(payload);
    packet
}

/// UDP datagram with its IP header.
pub fn udp_packet(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut udp = Vec::new();
    udp.extend(source.port().to_be_bytes());
    udp.extend(destination.port().to_be_bytes());
    udp.extend(narrow16(8 + payload.len()).to_be_bytes());
    udp.extend([0, 0]);
    udp.extend(payload);
    let sum = transport_checksum(source.ip(), destination.ip(), protocol::UDP, &udp);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    ip_packet(source.ip(), destination.ip(), protocol::UDP, &udp)
}

/// ICMP or ICMPv6 message with its IP header.
pub fn icmp_packet(
    source: IpAddr,
    destination: IpAddr,
    kind: u8,
    code: u8,
    rest: [u8; 4],
    body: &[u8],
) -> Vec<u8> {
    let mut icmp = vec![kind, code, 0, 0];
    icmp.extend(rest);
    icmp.extend(body);
    let (number, sum) = match source {
        IpAddr::V4(_) => (protocol::ICMP, checksum(&[&icmp])),
        IpAddr::V6(_) => (protocol::ICMPV6, transport_checksum(source, destination, protocol::ICMPV6, &icmp)),
    };
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    ip_packet(source, destination, number, &icmp)
}

/// `inner` as a VXLAN packet between two hosts, in an Ethernet frame inside.
pub fn vxlan_packet(source: SocketAddr, destination: SocketAddr, vni: u32, inner: &[u8]) -> Vec<u8> {
    let mut payload = vec![0x08, 0, 0, 0];
    payload.extend((vni << 8).to_be_bytes());
    payload.extend(frame([2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2], inner));
    udp_packet(source, destination, &payload)
}

/// `inner` as a Geneve packet, in an Ethernet frame inside, with `options` bytes of options.
pub fn geneve_packet(source: SocketAddr, destination: SocketAddr, options: &[u8], inner: &[u8]) -> Vec<u8> {
    let mut payload = vec![narrow(options.len() / 4), 0, 0x65, 0x58, 0, 0, 7, 0];
    payload.extend(options);
    payload.extend(frame([2, 0, 0, 0, 1, 1], [2, 0, 0, 0, 1, 2], inner));
    udp_packet(source, destination, &payload)
}

/// `inner` behind a GRE header; with a key, the header has eight bytes.
pub fn gre_packet(source: IpAddr, destination: IpAddr, key: Option<u32>, inner: &[u8]) -> Vec<u8> {
    let mut payload = vec![if key.is_some() { 0x20 } else { 0 }, 0];
    payload.extend(ether_type(inner).to_be_bytes());
    payload.extend(key.into_iter().flat_map(u32::to_be_bytes));
    payload.extend(inner);
    ip_packet(source, destination, protocol::GRE, &payload)
}

/// `inner` right behind another IP header.
pub fn ip_in_ip(source: IpAddr, destination: IpAddr, inner: &[u8]) -> Vec<u8> {
    let number = if inner[0] >> 4 == 4 { protocol::IPIP } else { protocol::IPV6 };
    ip_packet(source, destination, number, inner)
}

/// The fragments of an IPv4 packet, each but the last with `size` bytes of its payload.
pub fn fragments(packet: &[u8], size: usize) -> Vec<Vec<u8>> {
    let header_length = usize::from(packet[0] & 0x0f) * 4;
    let (header, payload) = packet.split_at(header_length);
    let count = payload.len().div_ceil(size);
    payload
        .chunks(size)
        .enumerate()
        .map(|(index, part)| {
            let mut fragment = [header, part].concat();
            let more = u16::from(index + 1 < count) << 13;
            let length = narrow16(fragment.len());
            fragment[2..4].copy_from_slice(&length.to_be_bytes());
            fragment[6..8].copy_from_slice(&(more | narrow16(index * size / 8)).to_be_bytes());
            fix_ipv4_checksum(&mut fragment);
            fragment
        })
        .collect()
}

/// An Ethernet frame.
pub fn frame(destination: [u8; 6], source: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let mut frame = [destination, source].concat();
    frame.extend(ether_type(packet).to_be_bytes());
    frame.extend(packet);
    frame
}

/// An Ethernet frame with VLAN tags, outermost first: TPID and VLAN id.
pub fn tagged_frame(destination: [u8; 6], source: [u8; 6], tags: &[(u16, u16)], packet: &[u8]) -> Vec<u8> {
    let mut frame = [destination, source].concat();
    for (tpid, id) in tags {
        frame.extend(tpid.to_be_bytes());
        frame.extend(id.to_be_bytes());
    }
    frame.extend(ether_type(packet).to_be_bytes());
    frame.extend(packet);
    frame
}

/// What a virtual machine writes in front of a frame that is to be cut into segments of `gso_size` bytes (linux/virtio_net.h);
/// 0: not to be cut.
/// The kernel takes the first `linear` bytes of the frame for its headers.
pub fn offload_header(packet: &[u8], gso_size: u16, linear: u16) -> [u8; 10] {
    const GSO_TCPV4: u8 = 1;
    const GSO_TCPV6: u8 = 4;
    let mut header = [0; 10];
    let kind = if packet[0] >> 4 == 4 { GSO_TCPV4 } else { GSO_TCPV6 };
    header[1] = if gso_size == 0 { 0 } else { kind };
    header[2..4].copy_from_slice(&linear.to_ne_bytes());
    header[4..6].copy_from_slice(&gso_size.to_ne_bytes());
    header
}

/// Sets the checksum of an IPv4 header.
pub fn fix_ipv4_checksum(packet: &mut [u8]) {
    let length = (usize::from(packet[0] & 0x0f) * 4).clamp(20, packet.len());
    packet[10..12].fill(0);
    let sum = checksum(&[&packet[..length]]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn ether_type(packet: &[u8]) -> u16 {
    if packet[0] >> 4 == 6 { 0x86dd } else { 0x0800 }
}

fn ip_header(
    source: IpAddr,
    destination: IpAddr,
    next: u8,
    hop_limit: u8,
    options: &[u8],
    payload: usize,
) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut options = options.to_vec();
            options.resize(options.len().next_multiple_of(4), 1);
            let length = 20 + options.len();
            let mut header = vec![0x40 | narrow(length / 4), 0];
            header.extend(narrow16(length + payload).to_be_bytes());
            header.extend([0x12, 0x34, 0, 0, hop_limit, next, 0, 0]);
            header.extend(source.octets());
            header.extend(destination.octets());
            header.extend(options);
            fix_ipv4_checksum(&mut header);
            header
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut header = vec![0x60, 0, 0, 0];
            header.extend(narrow16(payload).to_be_bytes());
            header.extend([next, hop_limit]);
            header.extend(source.octets());
            header.extend(destination.octets());
            header
        }
        mixed => panic!("one packet, two families: {mixed:?}"),
    }
}

fn transport_checksum(source: IpAddr, destination: IpAddr, protocol: u8, body: &[u8]) -> u16 {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let length = u32::try_from(body.len()).expect("a short packet").to_be_bytes();
    checksum(&[&octets(source), &octets(destination), &length, &[0, 0, 0, protocol], body])
}

/// The Internet checksum (RFC 1071) over parts of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 =
        words.map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !narrow16(usize::try_from(sum).expect("16 bits"))
}

fn narrow(value: usize) -> u8 {
    u8::try_from(value).expect("a value of one byte")
}

fn narrow16(value: usize) -> u16 {
    u16::try_from(value).expect("a value of two bytes")
}

/// What a test reads from a packet on the wire.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Source.
    pub source: SocketAddr,
    /// Destination.
    pub destination: SocketAddr,
    /// Flag bits.
    pub flags: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Window.
    pub window: u16,
    /// TCP options.
    pub options: Vec<u8>,
    /// Data.
    pub payload: Vec<u8>,
    /// Length of the IP packet.
    pub size: usize,
}

impl Seen {
    /// Reads an IP packet whose TCP header is right behind the IP header; `None` for any other.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let (source, destination, at, end): (IpAddr, IpAddr, usize, usize) = match packet.first()? >> 4 {
            4 if *packet.get(9)? == protocol::TCP => (
                <[u8; 4]>::try_from(packet.get(12..16)?).ok()?.into(),
                <[u8; 4]>::try_from(packet.get(16..20)?).ok()?.into(),
                usize::from(packet[0] & 0x0f) * 4,
                usize::from(u16::from_be_bytes([packet[2], packet[3]])),
            ),
            6 if *packet.get(6)? == protocol::TCP => (
                <[u8; 16]>::try_from(packet.get(8..24)?).ok()?.into(),
                <[u8; 16]>::try_from(packet.get(24..40)?).ok()?.into(),
                40,
                40 + usize::from(u16::from_be_bytes([packet[4], packet[5]])),
            ),
            _ => return None,
        };
        let tcp = packet.get(at..end.min(packet.len()))?;
        let long = |at: usize| Some(u32::from_be_bytes(tcp.get(at..at + 4)?.try_into().ok()?));
        let short = |at: usize| Some(u16::from_be_bytes(tcp.get(at..at + 2)?.try_into().ok()?));
        let offset = usize::from(tcp.get(12)? >> 4) * 4;
        Some(Self {
            source: SocketAddr::new(source, short(0)?),
            destination: SocketAddr::new(destination, short(2)?),
            flags: short(12)? & 0x1ff,
            seq: long(4)?,
            ack: long(8)?,
            window: short(14)?,
            options: tcp.get(20..offset)?.to_vec(),
            payload: tcp.get(offset..)?.to_vec(),
            size: end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(source: &str, destination: &str) -> Segment {
        let [source, destination] = [source, destination].map(|text| text.parse().expect("an address"));
        Segment { seq: 7, ack: 9, ..Segment::new(source, destination, flag::ACK | flag::PSH | flag::AE) }
            .with_payload(b"abc")
    }

    #[test]
    fn what_is_built_is_what_is_read() {
        for (source, destination, size) in
            [("192.0.2.1:1", "192.0.2.2:2", 43), ("[2001:db8::1]:1", "[2001:db8::2]:2", 63)]
        {
            let built = segment(source, destination);
            let seen = Seen::parse(&built.packet()).expect("TCP");
            assert_eq!((seen.source, seen.destination), (built.source, built.destination));
            assert_eq!((seen.seq, seen.ack, seen.window, seen.flags), (7, 9, 0x1234, 0x118));
            assert_eq!((seen.payload.as_slice(), seen.size), (b"abc".as_slice(), size));
        }
    }

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    }

    #[test]
    fn fragments_add_up_to_their_packet() {
        let whole = segment("192.0.2.1:1", "192.0.2.2:2").packet();
        let parts = fragments(&whole, 8);
        assert_eq!(parts.len(), 3);
        let payload: Vec<u8> = parts.iter().flat_map(|part| part[20..].to_vec()).collect();
        assert_eq!(payload, whole[20..]);
        assert_eq!([parts[0][6], parts[2][6], parts[2][7]], [0x20, 0, 2]);
    }
}

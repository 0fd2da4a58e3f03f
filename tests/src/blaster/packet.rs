//! TCP segments as bytes, with their IP header, and flows to put into them.

use rustix::net::SocketAddrAny;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

/// `IPPROTO_TCP`
const TCP: u8 = 6;
const TTL: u8 = 64;
const TCP_HEADER: usize = 20;
const MAX_IP_HEADER: usize = 40;

/// TCP flag bits (RFC 9293, 3.1).
pub(super) mod flags {
    pub(crate) const SYN: u8 = 0x02;
    pub(crate) const RST: u8 = 0x04;
    pub(crate) const ACK: u8 = 0x10;
}

/// A connection's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Where its packets come from.
    pub source: SocketAddr,
    /// Where they go to.
    pub destination: SocketAddr,
}

/// Which flows a storm has: destination ports vary fastest, then source ports, then source addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flows {
    /// How many, at least one.
    pub count: u32,
    /// First source address; further ones follow it where one has too few ports.
    pub source: IpAddr,
    /// Source ports.
    pub source_ports: RangeInclusive<u16>,
    /// Destination address.
    pub destination: IpAddr,
    /// Destination ports.
    pub destination_ports: RangeInclusive<u16>,
}

impl Flows {
    /// Flows of one port of loopback. Nothing may listen there, nor be connected.
    pub fn to_port(port: u16, count: u32) -> Self {
        Self {
            count,
            source: Ipv4Addr::new(127, 1, 0, 1).into(),
            source_ports: 1024..=61_023,
            destination: Ipv4Addr::LOCALHOST.into(),
            destination_ports: port..=port,
        }
    }

    /// A scan of all ports of loopback from one port.
    pub fn scan() -> Self {
        Self {
            count: u16::MAX.into(),
            source_ports: 40_000..=40_000,
            destination_ports: 1..=u16::MAX,
            ..Self::to_port(0, 1)
        }
    }

    /// The flow with this number; beyond `count` they begin anew.
    pub fn nth(&self, number: u64) -> Flow {
        let number = number % u64::from(self.count.max(1));
        let (number, destination_port) = pick(&self.destination_ports, number);
        let (number, source_port) = pick(&self.source_ports, number);
        Flow {
            source: SocketAddr::new(later_address(self.source, number), source_port),
            destination: SocketAddr::new(self.destination, destination_port),
        }
    }
}

/// The port of `ports` with this number, and how often the range was passed.
fn pick(ports: &RangeInclusive<u16>, number: u64) -> (u64, u16) {
    let width = u64::from(ports.end().saturating_sub(*ports.start())) + 1;
    let place = u16::try_from(number % width).unwrap_or(0);
    (number / width, ports.start() + place)
}

fn later_address(first: IpAddr, by: u64) -> IpAddr {
    match first {
        IpAddr::V4(first) => {
            let by = u32::try_from(by).unwrap_or(u32::MAX);
            Ipv4Addr::from_bits(first.to_bits().saturating_add(by)).into()
        }
        IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits().saturating_add(by.into())).into(),
    }
}

/// What a segment says besides its flow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) good_checksum: bool,
}

/// A segment without data, and where a raw socket is to send it.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    bytes: [u8; MAX_IP_HEADER + TCP_HEADER],
    length: usize,
    pub(super) to: SocketAddrAny,
}

impl Packet {
    pub(super) fn new(flow: Flow, header: Header) -> Self {
        let mut bytes = [0; MAX_IP_HEADER + TCP_HEADER];
        let ip_length = ip_header(&mut bytes, flow);
        let length = ip_length + TCP_HEADER;
        let checksum_so_far = pseudo_header_sum(flow);
        tcp_header(&mut bytes[ip_length..length], flow, header, checksum_so_far);
        // For a raw IPv6 socket a port would be another protocol.
        let to = SocketAddr::new(flow.destination.ip(), 0);
        Self { bytes, length, to: to.into() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Writes it and gives its length. A raw socket fills in the IPv4 checksum.
fn ip_header(bytes: &mut [u8], flow: Flow) -> usize {
    match (flow.source.ip(), flow.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            bytes[0] = 0x45;
            bytes[2..4].copy_from_slice(&40_u16.to_be_bytes());
            // An identification of zero would be replaced, which costs the sender time.
            bytes[4..6].copy_from_slice(&1_u16.to_be_bytes());
            bytes[6] = 0x40; // don't fragment
            bytes[8] = TTL;
            bytes[9] = TCP;
            bytes[12..16].copy_from_slice(&source.octets());
            bytes[16..20].copy_from_slice(&destination.octets());
            20
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            bytes[0] = 0x60;
            bytes[4..6].copy_from_slice(&20_u16.to_be_bytes());
            bytes[6] = TCP;
            bytes[7] = TTL;
            bytes[8..24].copy_from_slice(&source.octets());
            bytes[24..40].copy_from_slice(&destination.octets());
            40
        }
        _ => panic!("a flow of two IP versions: {flow:?}"),
    }
}

fn tcp_header(bytes: &mut [u8], flow: Flow, header: Header, pseudo_header_sum: u32) {
    const HEADER_WORDS: u8 = 5;
    const WINDOW: u16 = 512;
    bytes[0..2].copy_from_slice(&flow.source.port().to_be_bytes());
    bytes[2..4].copy_from_slice(&flow.destination.port().to_be_bytes());
    bytes[4..8].copy_from_slice(&header.seq.to_be_bytes());
    bytes[8..12].copy_from_slice(&header.ack.to_be_bytes());
    bytes[12] = HEADER_WORDS << 4;
    bytes[13] = header.flags;
    bytes[14..16].copy_from_slice(&WINDOW.to_be_bytes());
    let checksum = !fold(pseudo_header_sum + sum(bytes));
    let checksum = if header.good_checksum { checksum } else { checksum ^ 0x5555 };
    bytes[16..18].copy_from_slice(&checksum.to_be_bytes());
}

/// Sum of what TCP's checksum covers beside the segment (RFC 9293, 3.1).
fn pseudo_header_sum(flow: Flow) -> u32 {
    const LENGTH: u32 = 20;
    let address = |address: IpAddr| match address {
        IpAddr::V4(address) => sum(&address.octets()),
        IpAddr::V6(address) => sum(&address.octets()),
    };
    address(flow.source.ip()) + address(flow.destination.ip()) + u32::from(TCP) + LENGTH
}

fn sum(bytes: &[u8]) -> u32 {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|&word| u32::from(u16::from_be_bytes(word))).sum()
}

/// One's complement of 16 bits: the carry is added again.
fn fold(sum: u32) -> u16 {
    let once = (sum >> 16) + (sum & 0xffff);
    u16::try_from((once >> 16) + (once & 0xffff)).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn as_many_flows_as_asked_for_and_no_two_alike() {
        for flows in [Flows::to_port(9, 1), Flows::to_port(9, 100_000), Flows::scan()] {
            let different: HashSet<_> = (0..u64::from(flows.count)).map(|number| flows.nth(number)).collect();
            assert_eq!(different.len(), flows.count as usize);
            assert_eq!(flows.nth(flows.count.into()), flows.nth(0));
        }
        let scanned: HashSet<_> =
            (0..65_535).map(|number| Flows::scan().nth(number).destination.port()).collect();
        assert_eq!(scanned.len(), 65_535);
    }

    #[test]
    fn a_checksum_that_was_computed_by_hand() {
        // 127.0.0.1:1 > 127.0.0.1:2 RST: pseudo header fe02 + 6 + 14, ports 3, offset and flags 5004, window 0200.
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let flow = Flow { source: loopback(1), destination: loopback(2) };
        let header = Header { seq: 0, ack: 0, flags: flags::RST, good_checksum: true };
        let packet = Packet::new(flow, header);
        let expected = !fold(0x7f00 + 1 + 0x7f00 + 1 + 6 + 20 + 1 + 2 + 0x5004 + 0x0200);
        assert_eq!(packet.bytes()[36..38], expected.to_be_bytes());
        assert_eq!(packet.bytes().len(), 40);
    }
}

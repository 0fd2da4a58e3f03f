//! Headers that are wrong, cut, or lie.

use crate::netns::Family;
use crate::zoo::expect::Expected;
use crate::zoo::field::Field;
use crate::zoo::lab::{Watched, Wired, by};
use crate::zoo::packet::{fix_ipv4_checksum, flag};
use crate::zoo::{Lab, Need, Outcome, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("TCP checksum: no socket", tcp_checksum),
    Scenario::both("TCP checksum: established", tcp_checksum_established).needs(&[Need::SOCKET_DROPS]),
    Scenario::v4("IPv4 checksum", ip_checksum),
    Scenario::v4("IPv4 header length below 20", header_length_too_small),
    Scenario::v4("IPv4 header length beyond the packet", header_length_too_large),
    Scenario::v4("IPv4 total length beyond the packet", total_length_too_large),
    Scenario::v4("IPv4 total length below the header", total_length_too_small),
    Scenario::v6("IPv6 payload length beyond the packet", payload_length_too_large),
    Scenario::both("Ethernet padding", padding),
    Scenario::v6("IPv6 payload length 0", payload_length_zero).needs(&[Need::REASONS]),
    Scenario::both("TCP header cut, padded, at ingress", cut_at_ingress).needs(&[Need::Tool("nft")]),
    Scenario::both("TCP header missing, padded, at ingress", missing_at_ingress).needs(&[Need::Tool("nft")]),
    Scenario::both("TCP header cut", cut),
    Scenario::both("TCP header cut behind the ports", cut_behind_ports),
    Scenario::both("TCP header missing", missing).needs(&[Need::REASONS]),
    Scenario::both("TCP data offset beyond the packet", data_offset_too_large),
    Scenario::both("TCP data offset below 20", data_offset_too_small),
];

fn tcp_checksum(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let errors = Watched::new(&net.host, "Tcp.InCsumErrors");
    let mut segment = net.to_closed_port(flag::SYN);
    segment.checksum = false;
    net.wire.send(&segment.packet());
    let expected = Expected::new(&net.host, "TCP_CSUM", by(net.family, "tcp_v4_rcv", "tcp_v6_rcv"), &segment)
        .receive(&net.host, "eth0")
        .severity("ERROR")
        .witness(errors.rise(1));
    lab.expect(&[&net.host], [expected])
}

/// Long enough not to be checked before the socket is looked up.
fn tcp_checksum_established(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let errors = Watched::new(&net.host, "Tcp.InCsumErrors");
    let mut segment = connection.far.data(&[7; 500]);
    segment.checksum = false;
    net.wire.send(&segment.packet());
    let expected =
        Expected::new(&net.host, "TCP_CSUM", by(net.family, "tcp_v4_do_rcv", "tcp_v6_do_rcv"), &segment)
            .receive(&net.host, "eth0")
            .socket("full", "established")
            .cookie(connection.cookie)
            .severity("ERROR")
            .witness(errors.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn ip_checksum(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let errors = Watched::new(&net.host, "Ip.InHdrErrors");
    let segment = net.to_closed_port(flag::SYN);
    let mut packet = segment.packet();
    packet[10] ^= 0x55;
    net.wire.send(&packet);
    let expected = Expected::new(&net.host, "IP_CSUM", "ip_rcv_core", &segment)
        .receive(&net.host, "eth0")
        .severity("ERROR")
        .witness(errors.rise(1));
    lab.expect(&[&net.host], [expected])
}

/// The addresses are where they always are; where TCP begins nobody knows.
fn header_length_too_small(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let errors = Watched::new(&net.host, "Ip.InHdrErrors");
    let segment = net.to_closed_port(flag::SYN);
    let mut packet = segment.packet();
    packet[0] = 0x44;
    fix_ipv4_checksum(&mut packet);
    net.wire.send(&packet);
    let expected = Expected::new(&net.host, "IP_INHDR", "ip_rcv_core", &segment)
        .addresses_only(net.peer_address(), net.address())
        .receive(&net.host, "eth0")
        .witness(errors.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn header_length_too_large(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let segment = net.to_closed_port(flag::SYN);
    let mut packet = segment.packet();
    packet[0] = 0x4f;
    fix_ipv4_checksum(&mut packet);
    net.wire.send(&packet);
    let expected = Expected::new(&net.host, "IP_INHDR", "ip_rcv_core", &segment)
        .addresses_only(net.peer_address(), net.address())
        .receive(&net.host, "eth0");
    lab.expect(&[&net.host], [expected])
}

fn total_length_too_large(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let errors = Watched::new(&net.host, "IpExt.InTruncatedPkts");
    let segment = net.to_closed_port(flag::SYN);
    let mut packet = segment.packet();
    packet[2..4].copy_from_slice(&1000u16.to_be_bytes());
    fix_ipv4_checksum(&mut packet);
    net.wire.send(&packet);
    let expected = Expected::new(&net.host, "PKT_TOO_SMALL", "ip_rcv_core", &segment)
        .receive(&net.host, "eth0")
        .witness(errors.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn total_length_too_small(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let errors = Watched::new(&net.host, "Ip.InHdrErrors");
    let segment = net.to_closed_port(flag::SYN);
    let mut packet = segment.packet();
    packet[2..4].copy_from_slice(&10u16.to_be_bytes());
    fix_ipv4_checksum(&mut packet);
    net.wire.send(&packet);
    let expected = Expected::new(&net.host, "IP_INHDR", "ip_rcv_core", &segment)
        .receive(&net.host, "eth0")
        .witness(errors.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn payload_length_too_large(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let errors = Watched::new(&net.host, "Ip6InTruncatedPkts");
    let segment = net.to_closed_port(flag::SYN);
    let mut packet = segment.packet();
    packet[4..6].copy_from_slice(&1000u16.to_be_bytes());
    net.wire.send(&packet);
    let expected = Expected::new(&net.host, "PKT_TOO_SMALL", "ip6_rcv_core", &segment)
        .receive(&net.host, "eth0")
        .witness(errors.rise(1));
    lab.expect(&[&net.host], [expected])
}

/// What Ethernet adds to short packets is no part of them.
fn padding(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let segment = net.to_closed_port(flag::RST);
    let mut packet = segment.packet();
    packet.extend([0xaa; 30]);
    net.wire.send(&packet);
    let expected =
        Expected::new(&net.host, "NO_SOCKET", by(net.family, "tcp_v4_rcv", "tcp_v6_rcv"), &segment)
            .receive(&net.host, "eth0")
            .severity("INFO");
    lab.expect(&[&net.host], [expected])
}

fn cut(lab: &Lab) -> Outcome {
    cut_to(lab, 2)
}

fn cut_behind_ports(lab: &Lab) -> Outcome {
    cut_to(lab, 12)
}

fn missing(lab: &Lab) -> Outcome {
    cut_to(lab, 0)
}

/// An IP packet, correct as such, with `length` bytes of TCP, and padded as Ethernet would.
fn cut_packet(net: &Wired, whole: &[u8], length: usize) -> Vec<u8> {
    let header = whole.len() - 20;
    let mut packet = whole[..header + length].to_vec();
    let told = u16::try_from(by(net.family, packet.len(), length)).expect("a short packet").to_be_bytes();
    match net.family {
        Family::V4 => {
            packet[2..4].copy_from_slice(&told);
            fix_ipv4_checksum(&mut packet);
        }
        Family::V6 => packet[4..6].copy_from_slice(&told),
    }
    packet.extend([0x77; 30]);
    packet
}

fn cut_to(lab: &Lab, length: usize) -> Outcome {
    let net = lab.wired();
    let segment = net.to_closed_port(flag::SYN);
    let whole = segment.packet();
    net.wire.send(&cut_packet(&net, &whole, length));
    let site = by(net.family, "tcp_v4_rcv", "tcp_v6_rcv");
    let expected = Expected::new(&net.host, "NOT_SPECIFIED", site, &segment)
        .inferred("malformed")
        .addresses_only(net.peer_address(), net.address())
        .size(whole.len() - 20 + length);
    let expected = if length < 4 { expected } else { expected.flow(segment.source, segment.destination) };
    lab.expect(&[&net.host], [expected.receive(&net.host, "eth0")])
}

fn payload_length_zero(lab: &Lab) -> Outcome {
    cut_to(lab, 0)
}

/// Here nothing has taken the padding away yet.
fn at_ingress(lab: &Lab, length: usize) -> Outcome {
    let net = lab.wired();
    net.host.drop_at("netdev", "ingress device eth0", "meta l4proto tcp");
    let segment = net.to_closed_port(flag::SYN);
    let whole = segment.packet();
    net.wire.send(&cut_packet(&net, &whole, length));
    let expected = Expected::new(&net.host, "NETFILTER_DROP", "nft_do_chain", &segment)
        .addresses_only(net.peer_address(), net.address())
        .size(whole.len() - 20 + length);
    let expected = if length < 4 { expected } else { expected.flow(segment.source, segment.destination) };
    lab.expect(&[&net.host], [expected.receive(&net.host, "eth0")])
}

fn cut_at_ingress(lab: &Lab) -> Outcome {
    at_ingress(lab, 12)
}

fn missing_at_ingress(lab: &Lab) -> Outcome {
    at_ingress(lab, 0)
}

fn data_offset_too_large(lab: &Lab) -> Outcome {
    data_offset(lab, 15, "NOT_SPECIFIED")
}

fn data_offset_too_small(lab: &Lab) -> Outcome {
    data_offset(lab, 3, "PKT_TOO_SMALL")
}

fn data_offset(lab: &Lab, offset: u8, reason: &str) -> Outcome {
    let net = lab.wired();
    let errors = Watched::new(&net.host, "Tcp.InErrs");
    let mut segment = net.to_closed_port(flag::SYN);
    segment.data_offset = Some(offset);
    net.wire.send(&segment.packet());
    let expected = Expected::new(&net.host, reason, by(net.family, "tcp_v4_rcv", "tcp_v6_rcv"), &segment)
        .receive(&net.host, "eth0");
    let expected = if offset < 5 { expected.witness(errors.rise(1)) } else { expected };
    lab.expect(&[&net.host], [expected.without(&[Field::Segments])])
}

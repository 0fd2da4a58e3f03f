//! IPv6 extension headers, options of IPv4, and fragments.

use super::no_socket;
use crate::netns::Family;
use crate::zoo::expect::Expected;
use crate::zoo::field::Field;
use crate::zoo::lab::{Watched, Wired, by};
use crate::zoo::packet::{
    Segment, authentication_header, extension, flag, fragment_header, fragments, protocol,
};
use crate::zoo::{Lab, Need, Outcome, Scenario};

const NFT: &[Need] = &[Need::Tool("nft")];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::v4("IPv4 options", ipv4_options),
    Scenario::v6("IPv6 hop-by-hop options", hop_by_hop),
    Scenario::v6("IPv6 destination options", destination_options),
    Scenario::v6("IPv6 routing header", routing),
    Scenario::v6("IPv6 authentication header", authentication).needs(NFT),
    Scenario::v6("IPv6 atomic fragment", atomic_fragment),
    Scenario::v6("IPv6 eight extension headers", eight).needs(NFT),
    Scenario::v6("IPv6 sixteen extension headers", sixteen).needs(NFT),
    Scenario::v6("IPv6 seventeen extension headers", seventeen).needs(NFT),
    Scenario::v6("IPv6 extension header as long as can be", long_extension).needs(NFT),
    Scenario::v6("IPv6 extension header cut", cut_extension).needs(NFT),
    Scenario::both("fragment: first", first_fragment).needs(NFT),
    Scenario::both("fragment: later", later_fragment).needs(NFT),
    Scenario::both("fragment: never completed", incomplete),
    Scenario::both("fragment: reassembled", reassembled),
];

/// Dropped by a rule before anything but the IP header is looked at.
fn drop_all(net: &Wired) -> Watched<'_> {
    let rule = by(net.family, "ether type ip", "ip6 nexthdr != icmpv6");
    net.host.drop_at("netdev", "ingress device eth0", rule)
}

fn at_ingress(net: &Wired, segment: &Segment) -> Expected {
    Expected::new(&net.host, "NETFILTER_DROP", "nft_do_chain", segment).receive(&net.host, "eth0")
}

fn ipv4_options(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let syn = Segment { ip_options: vec![1; 40], ..net.to_closed_port(flag::SYN) };
    net.wire.send(&syn.packet());
    lab.expect(&[&net.host], [no_socket(&net, &syn)])
}

/// Through the whole stack, to a closed port.
fn received(lab: &Lab, extensions: Vec<(u8, Vec<u8>)>) -> Outcome {
    let net = lab.wired();
    let syn = Segment { extensions, ..net.to_closed_port(flag::SYN) };
    net.wire.send(&syn.packet());
    lab.expect(&[&net.host], [no_socket(&net, &syn)])
}

/// To a rule at ingress.
fn filtered(lab: &Lab, extensions: Vec<(u8, Vec<u8>)>) -> Outcome {
    let net = lab.wired();
    let counter = drop_all(&net);
    let syn = Segment { extensions, ..net.to_closed_port(flag::SYN) };
    net.wire.send(&syn.packet());
    lab.expect(&[&net.host], [at_ingress(&net, &syn).witness(counter.rise(1).at_least())])
}

fn hop_by_hop(lab: &Lab) -> Outcome {
    received(lab, vec![extension(protocol::HOP_BY_HOP, 1)])
}

fn destination_options(lab: &Lab) -> Outcome {
    received(lab, vec![extension(protocol::DESTINATION, 2), extension(protocol::DESTINATION, 1)])
}

fn routing(lab: &Lab) -> Outcome {
    received(lab, vec![extension(protocol::ROUTING, 1)])
}

fn authentication(lab: &Lab) -> Outcome {
    filtered(lab, vec![authentication_header()])
}

fn atomic_fragment(lab: &Lab) -> Outcome {
    received(lab, vec![fragment_header(0, false, 7)])
}

fn eight(lab: &Lab) -> Outcome {
    filtered(lab, vec![extension(protocol::DESTINATION, 1); 8])
}

fn sixteen(lab: &Lab) -> Outcome {
    filtered(lab, vec![extension(protocol::DESTINATION, 1); 16])
}

/// More than the agent walks: that it is TCP is then not known, and it is not told of. A known drop behind it shows that
/// nothing was.
fn seventeen(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let counter = drop_all(&net);
    let syn = Segment {
        extensions: vec![extension(protocol::DESTINATION, 1); 17],
        ..net.to_closed_port(flag::SYN)
    };
    net.wire.send(&syn.packet());
    counter.rise(1);
    lab.expect_nothing(&net.host)
}

fn long_extension(lab: &Lab) -> Outcome {
    let net = lab.wired();
    drop_all(&net);
    net.wire.resize(4000);
    net.host.ip("link set eth0 mtu 4000");
    let counter = Watched::new(&net.host, "nft dropped");
    let syn =
        Segment { extensions: vec![extension(protocol::DESTINATION, 256)], ..net.to_closed_port(flag::SYN) };
    net.wire.send(&syn.packet());
    lab.expect(&[&net.host], [at_ingress(&net, &syn).witness(counter.rise(1).at_least())])
}

/// It says that it is longer than the packet.
fn cut_extension(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let counter = drop_all(&net);
    let mut long = extension(protocol::DESTINATION, 1);
    long.1[1] = 200;
    let syn = Segment { extensions: vec![long], ..net.to_closed_port(flag::SYN) };
    net.wire.send(&syn.packet());
    let expected = at_ingress(&net, &syn)
        .addresses_only(net.peer_address(), net.address())
        .receive(&net.host, "eth0")
        .witness(counter.rise(1).at_least());
    lab.expect(&[&net.host], [expected])
}

/// A segment of three fragments: the whole packet, and its parts.
fn in_fragments(net: &Wired) -> (Segment, Vec<Vec<u8>>) {
    let data = net.to_closed_port(flag::ACK | flag::PSH).with_payload(&[7; 28]);
    let parts = match net.family {
        Family::V4 => fragments(&data.packet(), 24),
        Family::V6 => {
            let tcp = data.tcp();
            let part = |index: usize| {
                let (kind, mut header) =
                    fragment_header(u16::try_from(index * 24).expect("small"), index < 1, 9);
                header[0] = protocol::TCP;
                let body = [header, tcp[index * 24..tcp.len().min(index * 24 + 24)].to_vec()].concat();
                crate::zoo::packet::ip_packet(data.source.ip(), data.destination.ip(), kind, &body)
            };
            vec![part(0), part(1)]
        }
    };
    (data, parts)
}

fn first_fragment(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let counter = drop_all(&net);
    let (data, parts) = in_fragments(&net);
    net.wire.send(&parts[0]);
    let expected = at_ingress(&net, &data).size(parts[0].len()).witness(counter.rise(1).at_least());
    lab.expect(&[&net.host], [expected])
}

/// No ports: they are in the first one.
fn later_fragment(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let counter = drop_all(&net);
    let (data, parts) = in_fragments(&net);
    net.wire.send(&parts[1]);
    let expected = at_ingress(&net, &data)
        .addresses_only(net.peer_address(), net.address())
        .receive(&net.host, "eth0")
        .size(parts[1].len())
        .witness(counter.rise(1).at_least());
    lab.expect(&[&net.host], [expected])
}

/// The kernel gives up waiting for the rest.
fn incomplete(lab: &Lab) -> Outcome {
    let net = lab.wired();
    net.host.sysctl(by(lab.family, "ipv4/ipfrag_time", "ipv6/ip6frag_time"), "1");
    let timeouts = Watched::new(&net.host, by(lab.family, "Ip.ReasmTimeout", "Ip6ReasmTimeout"));
    let (data, parts) = in_fragments(&net);
    net.wire.send(&parts[0]);
    let expected =
        Expected::new(&net.host, "FRAG_REASM_TIMEOUT", by(lab.family, "ip_expire", "ip6_frag_expire"), &data)
            .receive(&net.host, "eth0")
            .size(parts[0].len())
            .witness(timeouts.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn reassembled(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let (data, parts) = in_fragments(&net);
    for part in &parts {
        net.wire.send(part);
    }
    lab.expect(&[&net.host], [no_socket(&net, &data).without(&[Field::Segments])])
}

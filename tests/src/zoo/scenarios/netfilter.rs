//! Rules of nftables, at each of the hooks.

use super::segment_to;
use crate::zoo::expect::Expected;
use crate::zoo::field::Field;
use crate::zoo::lab::{HOST_V4, HOST_V6, Net, PEER_PORT, Watched, by};
use crate::zoo::packet::{Segment, flag};
use crate::zoo::sys;
use crate::zoo::{Lab, Need, Outcome, Scenario};
use std::io::Write;
use std::net::SocketAddr;

const NFT: &[Need] = &[Need::Tool("nft")];

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("netfilter: ingress", ingress).needs(NFT),
    Scenario::both("netfilter: prerouting", prerouting).needs(NFT),
    Scenario::both("netfilter: input", input).needs(NFT),
    Scenario::both("netfilter: input, established", input_established).needs(NFT),
    Scenario::both("netfilter: conntrack invalid", conntrack_invalid).needs(NFT),
    Scenario::both("netfilter: reject", reject).needs(NFT),
    Scenario::both("netfilter: output", output).needs(NFT),
    Scenario::both("netfilter: output, established", output_established).needs(NFT),
    Scenario::both("netfilter: output, SYN-ACK", output_syn_ack).needs(NFT),
    Scenario::both("netfilter: output, RST for a closed port", output_reset).needs(NFT),
    Scenario::both("netfilter: forward, after DNAT", after_nat).needs(NFT),
    Scenario::both("netfilter: the same packet twenty times", twenty_times).needs(NFT),
    Scenario::both("netfilter: postrouting", postrouting).needs(NFT),
    Scenario::both("netfilter: egress", egress).needs(&[Need::Tool("nft"), Need::Kernel(5, 16)]),
];

fn dropped(net: &Net, segment: &Segment) -> Expected {
    Expected::new(net, "NETFILTER_DROP", "nft_do_chain", segment)
}

fn ingress(lab: &Lab) -> Outcome {
    received(lab, "netdev", "ingress device eth0")
}

fn prerouting(lab: &Lab) -> Outcome {
    received(lab, "inet", "prerouting")
}

fn input(lab: &Lab) -> Outcome {
    received(lab, "inet", "input")
}

fn received(lab: &Lab, table: &str, hook: &str) -> Outcome {
    let net = lab.wired();
    let syn = net.to_closed_port(flag::SYN);
    let counter = net.host.drop_at(table, hook, "meta l4proto tcp");
    net.wire.send(&syn.packet());
    lab.expect(&[&net.host], [dropped(&net.host, &syn).receive(&net.host, "eth0").witness(counter.rise(1))])
}

fn input_established(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    let counter = net.host.drop_at("inet", "input", "meta l4proto tcp");
    let data = connection.far.data(b"hello");
    net.wire.send(&data.packet());
    let expected = dropped(&net.host, &data)
        .receive(&net.host, "eth0")
        .socket("full", "established")
        .cookie(connection.cookie)
        .witness(counter.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn conntrack_invalid(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let counter = net.host.drop_at("inet", "input", "ct state invalid");
    let reset = net.to_closed_port(flag::RST);
    net.wire.send(&reset.packet());
    lab.expect(&[&net.host], [dropped(&net.host, &reset).receive(&net.host, "eth0").witness(counter.rise(1))])
}

/// Answered with a reset, which passes.
fn reject(lab: &Lab) -> Outcome {
    let net = lab.wired();
    net.host.nft(
        "table inet zoo {
            counter rejected { }
            chain rejects {
                type filter hook input priority 0
                tcp dport 9 counter name rejected reject with tcp reset
            }
        }",
    );
    let counter = Watched::new(&net.host, "nft rejected");
    let syn = net.to_closed_port(flag::SYN);
    net.wire.send(&syn.packet());
    net.wire.receive("a RST", |seen| {
        (seen.destination == syn.source && seen.flags & flag::RST != 0).then_some(())
    });
    let expected = dropped(&net.host, &syn).receive(&net.host, "eth0").witness(counter.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn output(lab: &Lab) -> Outcome {
    sent_raw(lab, "inet", "output")
}

fn postrouting(lab: &Lab) -> Outcome {
    sent_raw(lab, "inet", "postrouting")
}

fn egress(lab: &Lab) -> Outcome {
    sent_raw(lab, "netdev", "egress device eth0")
}

/// A raw socket's packet: there is no TCP socket.
fn sent_raw(lab: &Lab, table: &str, hook: &str) -> Outcome {
    let net = lab.wired();
    let counter = net.host.drop_at(table, hook, "meta l4proto tcp");
    let segment = Segment::new(net.at(1234), net.peer(), flag::SYN);
    // Some hooks tell the sender, others do not.
    let _ = net.host.send_raw(&segment.packet(), net.peer_address());
    let expected = dropped(&net.host, &segment).transmit(&net.host, "eth0").witness(counter.rise(1));
    lab.expect(&[&net.host], [expected])
}

fn output_established(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let (mut socket, far) = net.outgoing();
    let cookie = sys::cookie(&socket);
    let counter =
        net.host.drop_at("inet", "output", &format!("tcp dport > {PEER_PORT} tcp flags & psh != 0"));
    socket.write_all(b"hello").expect("send");
    counter.rise(1);
    net.host.nft("flush chain inet zoo drops");
    // TCP may have sent it again by then.
    let dropped_in_all = counter.rise(1);
    let expected = dropped(&net.host, &far.answer(flag::ACK | flag::PSH, b"hello"))
        .transmit(&net.host, "eth0")
        .socket("full", "established")
        .cookie(cookie)
        .count(dropped_in_all.found)
        .witness(dropped_in_all);
    lab.expect(&[&net.host], [expected])
}

/// The handshake is the kernel's request socket until it is over.
fn output_syn_ack(lab: &Lab) -> Outcome {
    let net = lab.wired();
    net.host.sysctl("ipv4/tcp_synack_retries", "0");
    let listener = net.host.listen(net.address());
    let counter = net.host.drop_at("inet", "output", "meta l4proto tcp");
    let syn = segment_to(&net, &listener, flag::SYN);
    net.wire.send(&syn.packet());
    // Nobody but the host knows its sequence number and window.
    let answer = Segment::new(syn.destination, syn.source, flag::SYN | flag::ACK);
    let answer = Segment { ack: syn.seq + 1, options: vec![2, 4, 0, 0], ..answer };
    let expected = dropped(&net.host, &answer)
        .unchecked(&[Field::Seq, Field::Window])
        .transmit(&net.host, "eth0")
        .socket("request", "syn_received")
        .witness(counter.rise(1));
    lab.expect(&[&net.host], [expected])
}

/// A RST is of no socket: the kernel sends it by one of its own, or by none.
fn output_reset(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let counter = net.host.drop_at("inet", "output", "meta l4proto tcp");
    let syn = net.to_closed_port(flag::SYN);
    net.wire.send(&syn.packet());
    let site = by(lab.family, "tcp_v4_rcv", "tcp_v6_rcv");
    let refused =
        Expected::new(&net.host, "NO_SOCKET", site, &syn).receive(&net.host, "eth0").severity("INFO");
    let answer = Segment::new(syn.destination, syn.source, flag::RST | flag::ACK);
    let answer = Segment { seq: 0, ack: syn.seq + 1, window: 0, ..answer };
    let answered = dropped(&net.host, &answer).transmit(&net.host, "eth0").witness(counter.rise(1));
    lab.expect(&[&net.host], [refused, answered])
}

/// The header says where it was going by then.
fn after_nat(lab: &Lab) -> Outcome {
    let net = lab.router();
    let beyond = net.beyond();
    let (family, to) = by(lab.family, ("ip", beyond.ip().to_string()), ("ip6", format!("[{}]", beyond.ip())));
    net.host.nft(&format!(
        "table {family} nat {{
            chain translate {{ type nat hook prerouting priority -100; tcp dport 8080 dnat to {to}:{}; }}
        }}",
        beyond.port()
    ));
    let counter = net.host.drop_at("inet", "forward", "meta l4proto tcp");
    let own = by(lab.family, HOST_V4.into(), HOST_V6.into());
    let syn = Segment::new(net.peer(), SocketAddr::new(own, 8080), flag::SYN);
    net.near.send(&syn.packet());
    let translated = Segment { destination: beyond, ..syn };
    let expected = dropped(&net.host, &translated).forward(&net.host, "eth0").witness(counter.rise(1));
    lab.expect(&[&net.host], [expected])
}

/// Told of as one and nineteen.
fn twenty_times(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let counter = net.host.drop_at("inet", "input", "meta l4proto tcp");
    let syn = net.to_closed_port(flag::SYN);
    for _ in 0..20 {
        net.wire.send(&syn.packet());
    }
    let expected = dropped(&net.host, &syn).receive(&net.host, "eth0").count(20).witness(counter.rise(20));
    lab.expect(&[&net.host], [expected])
}

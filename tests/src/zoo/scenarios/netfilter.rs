//! Rules of nftables, at each of the hooks.

use crate::zoo::expect::Expected;
use crate::zoo::lab::{Net, PEER_PORT, Watched};
use crate::zoo::packet::{Segment, flag};
use crate::zoo::sys;
use crate::zoo::{Lab, Need, Outcome, Scenario};
use std::io::Write;

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
    Scenario::both("netfilter: postrouting", postrouting).needs(NFT),
    Scenario::both("netfilter: egress", egress).needs(&[Need::Tool("nft"), Need::Kernel(5, 16)]),
];

/// A rule that drops and counts TCP packets which fit `rule`.
fn drop_at(net: &Net, table: &str, hook: &str, rule: &str) {
    net.nft(&format!(
        "table {table} zoo {{
            counter dropped {{ }}
            chain drops {{
                type filter hook {hook} priority 0
                {rule} counter name dropped drop
            }}
        }}"
    ));
}

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
    drop_at(&net.host, table, hook, "meta l4proto tcp");
    let counter = Watched::new(&net.host, "nft dropped");
    net.wire.send(&syn.packet());
    lab.expect(&[&net.host], [dropped(&net.host, &syn).receive(&net.host, "eth0").witness(counter.rise(1))])
}

fn input_established(lab: &Lab) -> Outcome {
    let net = lab.wired();
    let connection = net.connection();
    drop_at(&net.host, "inet", "input", "meta l4proto tcp");
    let counter = Watched::new(&net.host, "nft dropped");
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
    drop_at(&net.host, "inet", "input", "ct state invalid");
    let counter = Watched::new(&net.host, "nft dropped");
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
    drop_at(&net.host, table, hook, "meta l4proto tcp");
    let counter = Watched::new(&net.host, "nft dropped");
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
    drop_at(&net.host, "inet", "output", &format!("tcp dport > {PEER_PORT} tcp flags & psh != 0"));
    let counter = Watched::new(&net.host, "nft dropped");
    socket.write_all(b"hello").expect("send");
    counter.rise(1);
    net.host.nft("flush chain inet zoo drops");
    let expected = dropped(&net.host, &far.answer(flag::ACK | flag::PSH, b"hello"))
        .transmit(&net.host, "eth0")
        .socket("full", "established")
        .cookie(cookie)
        .witness(counter.rise(1));
    lab.expect(&[&net.host], [expected])
}

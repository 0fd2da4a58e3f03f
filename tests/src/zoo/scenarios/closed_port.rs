//! Nobody listens.

use super::no_socket;
use crate::zoo::lab::Watched;
use crate::zoo::packet::flag;
use crate::zoo::{Lab, Need, Outcome, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::both("closed port: SYN", syn),
    Scenario::both("closed port: ACK", ack),
    Scenario::both("closed port: RST", rst),
    Scenario::both("closed port: data", data),
    Scenario::both("closed port: FIN", fin).needs(&[Need::REASONS]),
    Scenario::both("closed port: no flags", no_flags),
    Scenario::both("closed port: all flags", all_flags),
];

fn syn(lab: &Lab) -> Outcome {
    answered_with_reset(lab, flag::SYN, b"")
}

fn ack(lab: &Lab) -> Outcome {
    answered_with_reset(lab, flag::ACK, b"")
}

fn data(lab: &Lab) -> Outcome {
    answered_with_reset(lab, flag::ACK | flag::PSH, b"hello")
}

fn fin(lab: &Lab) -> Outcome {
    answered_with_reset(lab, flag::FIN | flag::ACK, b"")
}

fn no_flags(lab: &Lab) -> Outcome {
    answered_with_reset(lab, 0, b"")
}

fn answered_with_reset(lab: &Lab, flags: u16, payload: &[u8]) -> Outcome {
    let net = lab.wired();
    let resets = Watched::new(&net.host, "Tcp.OutRsts");
    let segment = net.to_closed_port(flags).with_payload(payload);
    net.wire.send(&segment.packet());
    lab.expect(&[&net.host], [no_socket(&net, &segment).witness(resets.rise(1))])
}

fn rst(lab: &Lab) -> Outcome {
    not_answered(lab, flag::RST)
}

fn all_flags(lab: &Lab) -> Outcome {
    not_answered(lab, 0x1ff)
}

fn not_answered(lab: &Lab, flags: u16) -> Outcome {
    let net = lab.wired();
    let segment = net.to_closed_port(flags);
    net.wire.send(&segment.packet());
    lab.expect(&[&net.host], [no_socket(&net, &segment)])
}

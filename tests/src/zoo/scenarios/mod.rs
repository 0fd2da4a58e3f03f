//! All scenarios, by what the packet met.

mod attached;
mod busy;
mod clean;
mod closed_port;
mod copies;
mod device;
mod ending;
mod established;
mod extension;
mod handshake;
mod headers;
mod leftover;
mod listener;
mod memory;
mod netfilter;
mod place;
mod queueing;
mod routing;
mod tunnel;

use super::Scenario;

/// All of them, in the order of the table.
pub fn all() -> impl Iterator<Item = Scenario> {
    [
        closed_port::SCENARIOS,
        netfilter::SCENARIOS,
        listener::SCENARIOS,
        handshake::SCENARIOS,
        established::SCENARIOS,
        memory::SCENARIOS,
        busy::SCENARIOS,
        ending::SCENARIOS,
        routing::SCENARIOS,
        queueing::SCENARIOS,
        device::SCENARIOS,
        leftover::SCENARIOS,
        copies::SCENARIOS,
        attached::SCENARIOS,
        place::SCENARIOS,
        headers::SCENARIOS,
        extension::SCENARIOS,
        tunnel::SCENARIOS,
        clean::SCENARIOS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

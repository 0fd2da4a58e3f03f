//! All scenarios, by what the packet met.

mod clean;
mod closed_port;
mod ending;
mod established;
mod extension;
mod headers;
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
        established::SCENARIOS,
        memory::SCENARIOS,
        ending::SCENARIOS,
        routing::SCENARIOS,
        queueing::SCENARIOS,
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

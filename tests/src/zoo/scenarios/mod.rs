//! All scenarios, by what the packet met.

mod closed_port;
mod established;
mod headers;
mod netfilter;

use super::Scenario;

/// All of them, in the order of the table.
pub fn all() -> impl Iterator<Item = Scenario> {
    [closed_port::SCENARIOS, netfilter::SCENARIOS, headers::SCENARIOS, established::SCENARIOS]
        .into_iter()
        .flatten()
        .copied()
}

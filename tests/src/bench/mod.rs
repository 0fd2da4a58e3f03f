//! What the agent costs, beside what others cost. [`run`] measures what a [`Plan`] asks for; [`table`] shows it.

pub mod capacity;
pub mod cost;
pub mod empty_program;
pub mod footprint;
pub mod latency;
pub mod machine;
pub mod rates;
pub mod spread;
pub mod storm;
pub mod subject;
pub mod table;
pub mod workload;

use crate::netns::VethPair;
use capacity::Capacity;
use footprint::Footprint;
use latency::Latencies;
use machine::Machine;
use rates::{Comparison, Rates};
use serde::Serialize;
use std::time::Duration;
use storm::StormReport;
use subject::Place;

/// What is to be measured, and how thoroughly.
pub struct Plan {
    /// Side by side, if at all.
    pub rates: Option<Comparison>,
    /// How long each storm is.
    pub storm: Option<Duration>,
    /// Drops that are watched.
    pub latency: Option<u64>,
    /// Events, and runs.
    pub capacity: Option<(u64, usize)>,
    /// Starts, and how long it idles.
    pub footprint: Option<(usize, Duration)>,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// Side by side.
    pub rates: Option<Rates>,
    /// The agent in long storms.
    pub storms: Vec<StormReport>,
    /// From a drop to its record.
    pub latency: Option<Latencies>,
    /// User space from recorded events.
    pub capacity: Vec<Capacity>,
    /// On a host that is well.
    pub footprint: Option<Footprint>,
}

/// Measures.
pub fn run(plan: &Plan) -> Report {
    let machine = Machine::here();
    let pair = VethPair::new();
    let namespace = &pair.client;
    let place = Place { namespace };
    // The quiet measurements first.
    let footprint = plan.footprint.map(|(starts, idle)| footprint::measure(starts, idle));
    let latency = plan.latency.map(|drops| latency::measure(namespace, drops));
    let capacity = plan.capacity.map(|(events, runs)| capacity::measure(events, runs)).unwrap_or_default();
    let storms = plan.storm.map(|duration| storm::measure(namespace, duration)).unwrap_or_default();
    let rates = plan.rates.as_ref().map(|comparison| rates::measure(comparison, &place));
    Report { machine, rates, storms, latency, capacity, footprint }
}

#[cfg(test)]
mod tests;

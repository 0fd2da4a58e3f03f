//! From a drop to its record at a receiver.

use super::spread::quantile;
use super::subject::AgentRun;
use super::workload::Workload;
use crate::blaster::{Flows, Storm, blast};
use crate::netns::Namespace;
use crate::receiver::Arrival;
use crate::wait::poll;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Destination port of the drops that are watched: not the storm's.
const PORT: u16 = 10;
/// Drops a second that are watched, each of another flow.
const PER_SECOND: u64 = 5;
/// The smallest batch window, and no limit that would hold the watched drops back: the shortest way.
const SETTINGS: [&str; 3] =
    ["export.batch_interval=1ms", "limit.per_stack_per_second=1000", "limit.global_per_second=10000"];

/// How long the records of some drops took.
#[derive(Clone, Debug, Serialize)]
pub struct Latency {
    /// Drops.
    pub drops: u64,
    /// Of them, those whose flow has a record of its own.
    pub with_record: u64,
    /// Median, in milliseconds.
    pub p50_ms: Option<f64>,
    /// In milliseconds.
    pub p99_ms: Option<f64>,
    /// In milliseconds.
    pub max_ms: Option<f64>,
}

/// On a quiet host, and in a storm of another port.
#[derive(Clone, Debug, Serialize)]
pub struct Latencies {
    /// Settings of the agent that are not its defaults.
    pub settings: Vec<&'static str>,
    /// Only the watched drops.
    pub quiet: Latency,
    /// A storm of one flow besides, on the same CPU.
    pub storm: Latency,
    /// That storm, and an agent as it comes.
    pub storm_with_defaults: Latency,
}

/// Measures `drops` drops each.
pub fn measure(namespace: &Namespace, drops: u64) -> Latencies {
    Latencies {
        settings: SETTINGS.to_vec(),
        quiet: watch(namespace, drops, &SETTINGS, false),
        storm: watch(namespace, drops, &SETTINGS, true),
        storm_with_defaults: watch(namespace, drops, &[], true),
    }
}

fn watch(namespace: &Namespace, drops: u64, settings: &[&str], in_storm: bool) -> Latency {
    let run = AgentRun::start(settings);
    let duration = Duration::from_secs_f64(drops as f64 / PER_SECOND as f64);
    let storm = Workload::default().storm(namespace, duration);
    let watched = Storm {
        flows: Flows::to_port(PORT, u32::try_from(drops).unwrap_or(u32::MAX)),
        packets: drops,
        at_most: duration * 2,
        per_second: Some(PER_SECOND),
        ..Workload::default().storm(namespace, duration)
    };
    std::thread::scope(|scope| {
        if in_storm {
            scope.spawn(|| blast(&storm));
        }
        blast(&watched);
    });
    let mut milliseconds = BTreeMap::new();
    // Of a flow the first record is its first drop's.
    poll(Duration::from_secs(3), || {
        for (flow, latency) in run.receiver.take().iter().filter_map(latency) {
            milliseconds.entry(flow).or_insert(latency);
        }
        (milliseconds.len() as u64 == drops).then_some(())
    });
    run.end();
    Latency::of(drops, milliseconds.into_values().collect())
}

/// The flow's source port, and milliseconds from the drop to the arrival.
fn latency(arrival: &Arrival) -> Option<(u64, f64)> {
    let is_watched = arrival.number("destination.port") == Some(PORT.into());
    let nanoseconds = arrival.arrived.saturating_sub(arrival.record.time_unix_nano);
    is_watched.then(|| arrival.number("source.port").map(|port| (port, nanoseconds as f64 / 1e6)))?
}

impl Latency {
    fn of(drops: u64, mut milliseconds: Vec<f64>) -> Self {
        milliseconds.sort_unstable_by(f64::total_cmp);
        let at = |share| (!milliseconds.is_empty()).then(|| quantile(&milliseconds, share));
        Self {
            drops,
            with_record: milliseconds.len() as u64,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            max_ms: at(1.0),
        }
    }
}

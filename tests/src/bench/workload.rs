//! The storms that subjects are compared in.

use crate::blaster::{Flows, Segment, Sender, Storm};
use crate::netns::Namespace;
use rustix::thread::sched_getaffinity;
use serde::Serialize;
use std::time::Duration;

/// Destination port of the storms, where nobody listens.
pub const STORM_PORT: u16 = 9;

/// Which flows, on how many cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Workload {
    /// Flows.
    pub shape: Shape,
    /// Cores that blast.
    pub cores: usize,
}

/// Which flows a storm has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// One.
    OneFlow,
    /// A hundred thousand to one port.
    ManyFlows,
    /// A million to one port.
    MillionFlows,
    /// One host scans all ports.
    PortScan,
}

impl Shape {
    /// What the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OneFlow => "one flow",
            Self::ManyFlows => "100,000 flows",
            Self::MillionFlows => "1,000,000 flows",
            Self::PortScan => "65k-port scan",
        }
    }

    fn flows(self) -> Flows {
        match self {
            Self::OneFlow => Flows::to_port(STORM_PORT, 1),
            Self::ManyFlows => Flows::to_port(STORM_PORT, 100_000),
            Self::MillionFlows => Flows::to_port(STORM_PORT, 1_000_000),
            Self::PortScan => Flows::scan(),
        }
    }
}

impl Default for Workload {
    fn default() -> Self {
        Self { shape: Shape::OneFlow, cores: 1 }
    }
}

impl Workload {
    /// Those of the side-by-side table, as far as this machine has the cores.
    pub fn all() -> Vec<Self> {
        let shapes = [Shape::OneFlow, Shape::ManyFlows, Shape::PortScan];
        let with = |cores: usize| shapes.map(|shape| Self { shape, cores });
        let cores = cpus().len();
        [1, 2].into_iter().filter(|&wanted| wanted <= cores).flat_map(with).collect()
    }

    /// What the table calls it.
    pub fn name(self) -> String {
        let cores = if self.cores == 1 { "core" } else { "cores" };
        format!("{}, {} {cores}", self.shape.name(), self.cores)
    }

    /// RSTs to a closed port in `namespace`, as many as the kernel takes for so long. The senders have the last CPUs, so
    /// that the first are left to others for as long as it goes.
    pub fn storm(self, namespace: &Namespace, duration: Duration) -> Storm<'_> {
        let cpus = cpus();
        let senders = cpus.iter().rev().take(self.cores);
        Storm {
            senders: senders.map(|&cpu| Sender { cpu: Some(cpu), namespace: Some(namespace) }).collect(),
            segment: Segment::Rst,
            flows: self.shape.flows(),
            packets: u64::MAX,
            at_most: duration,
            per_second: None,
            seed: 0,
        }
    }
}

/// CPUs that this process may use.
fn cpus() -> Vec<usize> {
    let allowed = sched_getaffinity(None).expect("ask for the CPUs");
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| allowed.is_set(cpu)).collect()
}

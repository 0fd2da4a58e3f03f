//! Makes a storm of TCP drops in the current network namespace: `ip netns exec NAME blaster --flows 100000`. What it sent
//! and what the kernel counted goes to stdout as JSON.

use clap::{Parser, ValueEnum};
use serde_json::json;
use std::net::IpAddr;
use std::time::Duration;
use tcpdrop_otel_tests::blaster::{Counts, Flows, Segment, Sender, Storm, blast};

/// Makes a storm of TCP drops in the current network namespace, as root.
#[derive(Debug, Parser)]
struct Arguments {
    /// What the packets are.
    #[arg(long, value_enum, default_value_t = Kind::Rst)]
    kind: Kind,
    /// Different flows.
    #[arg(long, default_value_t = 1)]
    flows: u32,
    /// Destination port, which must be closed, or the first of them.
    #[arg(long, default_value_t = 9)]
    port: u16,
    /// Last destination port.
    #[arg(long)]
    last_port: Option<u16>,
    /// All destination ports, from one source port.
    #[arg(long, conflicts_with_all = ["flows", "port", "last_port"])]
    scan: bool,
    /// First source address.
    #[arg(long, default_value = "127.1.0.1")]
    source: IpAddr,
    /// Destination address, of the same IP version.
    #[arg(long, default_value = "127.0.0.1")]
    destination: IpAddr,
    /// CPUs to send from, a thread on each; one that is not pinned if there are none.
    #[arg(long, value_delimiter = ',')]
    cpus: Vec<usize>,
    /// Packets in all.
    #[arg(long, default_value_t = 1_000_000)]
    packets: u64,
    /// Most seconds that it may take.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Packets a second in all; as many as the kernel takes if not given.
    #[arg(long)]
    rate: Option<u64>,
    /// Sequence numbers, and the flow to begin with.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// RST to a closed port: a drop
    Rst,
    /// SYN to a closed port: two drops, for its answer finds no socket either
    Syn,
    /// wrong checksum: a drop
    BadChecksum,
    /// ACK from before the window of an established connection: a drop
    OldSequence,
}

impl From<Kind> for Segment {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Rst => Self::Rst,
            Kind::Syn => Self::Syn,
            Kind::BadChecksum => Self::BadChecksum,
            Kind::OldSequence => Self::OldSequence,
        }
    }
}

impl Arguments {
    fn flows(&self) -> Flows {
        let flows = if self.scan {
            Flows::scan()
        } else {
            let ports = self.port..=self.last_port.unwrap_or(self.port);
            Flows { destination_ports: ports, ..Flows::to_port(self.port, self.flows) }
        };
        Flows { source: self.source, destination: self.destination, ..flows }
    }

    fn senders(&self) -> Vec<Sender<'static>> {
        if self.cpus.is_empty() {
            return vec![Sender::default()];
        }
        self.cpus.iter().map(|&cpu| Sender { cpu: Some(cpu), namespace: None }).collect()
    }
}

fn main() {
    let arguments = Arguments::parse();
    let storm = Storm {
        senders: arguments.senders(),
        segment: arguments.kind.into(),
        flows: arguments.flows(),
        packets: arguments.packets,
        at_most: Duration::from_secs_f64(arguments.seconds),
        per_second: arguments.rate,
        seed: arguments.seed,
    };
    let before = Counts::read(None);
    let blasted = blast(&storm);
    let counts = Counts::read(None) - before;
    let report = json!({
        "packets": blasted.packets,
        "drops": blasted.packets * storm.segment.drops(),
        "seconds": blasted.wall.as_secs_f64(),
        "packets_per_second": blasted.rate().round(),
        "cpu_seconds": blasted.cpu.as_secs_f64(),
        "kernel": {
            "tcp_in_segments": counts.received,
            "tcp_in_checksum_errors": counts.bad_checksum,
            "tcp_out_resets": counts.resets_sent,
            "backlog_full": counts.backlog_full,
        },
    });
    println!("{report:#}");
}

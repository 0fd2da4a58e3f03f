//! What user space takes in, without the kernel: recorded events through the stages up to the spool, on one core.

use super::cost::memory;
use super::spread::Spread;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tcpdrop_otel::config::Config;
use tcpdrop_otel::dedup::Released;
use tcpdrop_otel::enrich::Enricher;
use tcpdrop_otel::enrich::clock::WallClock;
use tcpdrop_otel::enrich::symbols::{Symbol, SymbolSource};
use tcpdrop_otel::export::sink::OtlpSink;
use tcpdrop_otel::export::spool::memory::MemorySpool;
use tcpdrop_otel::ledger::Ledger;
use tcpdrop_otel::otlp::severity::Policy;
use tcpdrop_otel::packet_drop::BootTime;
use tcpdrop_otel::pipeline::{Intake, Reporting, Sink};
use tcpdrop_otel::stack::Boundaries;
use tcpdrop_otel::wire::{TcpDropEvent, present};
use zerocopy::IntoBytes;

/// Frames of a stack: what a drop in a softirq has.
const DEPTH: u16 = 24;
/// `NO_SOCKET` on this kernel or another: just a number here.
const REASON: u32 = 3;
/// Events between two ticks of the clock, which here goes by the events.
const EVENTS_PER_TICK: u64 = 10_000;
/// What a run takes at most, for the numbers that are slow: where each event pushes a stack out of its table.
const MOST_BUSY: Duration = Duration::from_secs(2);
/// Between two ticks, as if a hundred thousand events came a second.
const TICK: Duration = Duration::from_millis(100);

/// Events a second of one core.
#[derive(Clone, Debug, Serialize)]
pub struct Capacity {
    /// Different stacks.
    pub stacks: u64,
    /// Different flows.
    pub flows: u64,
    /// Events a second.
    pub events_per_second: Spread,
    /// By how much memory that no file backs was larger with all tables full than before, in KiB, at most.
    pub memory_kib: u64,
    /// Records that came out of the last run.
    pub records: u64,
    /// Events that went into it.
    pub events: u64,
}

/// Measures some numbers of stacks and flows.
pub fn measure(events: u64, runs: usize) -> Vec<Capacity> {
    [(1, 1), (1, 100_000), (1, 1_000_000), (100, 10_000), (10_000, 10_000), (10_000, 1_000_000)]
        .map(|(stacks, flows)| measure_one(stacks, flows, events, runs))
        .to_vec()
}

fn measure_one(stacks: u64, flows: u64, events: u64, runs: usize) -> Capacity {
    let (mut records, mut taken, mut memory_kib) = (0, 0, 0);
    let anonymous = || memory(std::process::id()).anonymous;
    let rates = (0..runs).map(|_| {
        let mut random = StdRng::seed_from_u64(0);
        let before = anonymous();
        let mut pipeline = Pipeline::new();
        let mut busy = Duration::ZERO;
        taken = 0;
        while taken < events && busy < MOST_BUSY {
            let count = EVENTS_PER_TICK.min(events - taken);
            let recorded = Recorded::random(count, stacks, flows, &mut random);
            let start = Instant::now();
            pipeline.take(&recorded);
            busy += start.elapsed();
            taken += count;
        }
        memory_kib = memory_kib.max(anonymous().saturating_sub(before));
        records = pipeline.finish();
        // Give back what this run took, for the next to start from.
        tcpdrop_otel::memory::give_back();
        taken as f64 / busy.as_secs_f64()
    });
    let events_per_second = Spread::of(rates).expect("at least one run");
    Capacity { stacks, flows, events_per_second, memory_kib, records, events: taken }
}

struct Pipeline {
    intake: Intake,
    reporting: Reporting<OtlpSink>,
    ledger: Arc<Ledger>,
    now: BootTime,
}

impl Pipeline {
    fn new() -> Self {
        let config = Config::default();
        let ledger = Arc::<Ledger>::default();
        let boundaries = Arc::<Boundaries>::default();
        let spool = Arc::new(MemorySpool::new(config.spool.max_bytes, ledger.clone()));
        let enricher = Enricher {
            reasons: BTreeMap::from([(REASON, "NO_SOCKET".to_owned())]).into(),
            symbols: Box::new(OneSymbol("tcp_v4_rcv".into())),
            boundaries: boundaries.clone(),
            site_names: Default::default(),
        };
        let random = || StdRng::seed_from_u64(1);
        let policy = Policy::new(&config.severity);
        let sink = OtlpSink::new(Default::default(), policy, config.spans.clone(), spool, random());
        Self {
            intake: Intake::new(&config, ledger.clone(), boundaries, random()),
            reporting: Reporting::new(enricher, sink, WallClock::read().now()),
            ledger,
            now: BootTime(1_000_000_000),
        }
    }

    /// Events, and the time until the next of them.
    fn take(&mut self, events: &Recorded) {
        let mut summaries = Vec::new();
        for event in events.iter() {
            summaries.extend(self.intake.take(event, self.now, true));
        }
        self.report(Released { summaries, ..Released::default() });
        let evicted = self.intake.take_evicted();
        self.report(evicted);
        self.now = self.now.after(TICK);
        let released = self.intake.release(self.now);
        self.report(released);
    }

    fn report(&mut self, released: Released) {
        if !released.is_empty() {
            self.reporting.report(released, WallClock::read());
        }
    }

    /// Records of all events.
    fn finish(mut self) -> u64 {
        let released = self.intake.release_all();
        self.report(released);
        self.reporting.sink.flush();
        self.ledger.snapshot(Default::default, u64::MAX).spooled.records
    }
}

/// Kernel functions all have a name, and it is found at once: that is remembered for each address.
struct OneSymbol(Arc<str>);

impl SymbolSource for OneSymbol {
    fn resolve(&self, address: u64) -> Option<Symbol> {
        Some(Symbol { name: self.0.clone(), offset: address & 0xfff })
    }
}

/// Events as the ring gives them.
struct Recorded {
    bytes: Vec<u8>,
    size: usize,
}

impl Recorded {
    fn random(count: u64, stacks: u64, flows: u64, random: &mut StdRng) -> Self {
        let mut head = event_head();
        let mut bytes = Vec::new();
        for _ in 0..count {
            let [flow, stack] = [random.random_range(0..flows), random.random_range(0..stacks)];
            head.source[..4].copy_from_slice(&u32::try_from(flow >> 15).unwrap_or(0).to_be_bytes());
            head.source_port = 1024 + u16::try_from(flow & 0x7fff).unwrap_or(0);
            bytes.extend_from_slice(head.as_bytes());
            bytes.extend((0..DEPTH).flat_map(|frame| address(frame, stack).to_ne_bytes()));
        }
        Self { bytes, size: size_of::<TcpDropEvent>() + 8 * usize::from(DEPTH) }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.size)
    }
}

fn event_head() -> TcpDropEvent {
    let mut head = TcpDropEvent {
        boot_ns: 1_000_000_000,
        site: address(0, 0),
        present: present::REASON
            | present::ADDRESSES
            | present::PORTS
            | present::TCP_HEADER
            | present::PACKET_SIZE
            | present::INTERFACE
            | present::NETNS
            | present::NETNS_COOKIE,
        reason: REASON,
        netns_inode: 0xf000_0000,
        netns_cookie: 1,
        interface_index: 1,
        packet_size: 40,
        destination_port: 9,
        stack_frames: DEPTH,
        ip_version: 4,
        direction: 1,
        ..TcpDropEvent::default()
    };
    head.destination[..4].copy_from_slice(&[127, 0, 0, 1]);
    head.comm[..7].copy_from_slice(b"swapper");
    head
}

/// Of a frame; stacks differ below the drop site.
fn address(frame: u16, stack: u64) -> u64 {
    const TEXT: u64 = 0xffff_ffff_8100_0000;
    let function = TEXT + (u64::from(frame) << 16);
    if frame == 0 { function } else { function + stack }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_stacks_and_flows_as_asked_for_reach_the_spool() {
        let [one, many] = [(1, 1), (10, 3)].map(|(stacks, flows)| measure_one(stacks, flows, 1000, 1));
        // The first drop at once, the others when the window ends.
        assert_eq!((one.records, one.events), (2, 1000));
        assert_eq!(many.records, 2 * 10 * 3);
        assert!(one.events_per_second.median > 0.0);
    }
}

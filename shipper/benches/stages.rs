//! What a stage costs, each alone: `cargo bench`. The event is the one of the bundled recording, a SYN to a closed port.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::sync::Arc;
use tcpdrop_otel::config::Config;
use tcpdrop_otel::drop_summary::DropSummary;
use tcpdrop_otel::enrich::Enricher;
use tcpdrop_otel::enrich::clock::WallClock;
use tcpdrop_otel::enrich::symbols::{Symbol, SymbolSource};
use tcpdrop_otel::ledger::Ledger;
use tcpdrop_otel::otlp::encode::{Placed, encode};
use tcpdrop_otel::otlp::logs;
use tcpdrop_otel::otlp::severity::Policy;
use tcpdrop_otel::packet_drop::BootTime;
use tcpdrop_otel::pipeline::Intake;
use tcpdrop_otel::recording::Reader;
use tcpdrop_otel::recording::format::{Bytes, Line};
use tcpdrop_otel::recording::reader::Item;
use tcpdrop_otel::stack::{self, Boundaries, Cut, KernelFunctions};
use tcpdrop_otel::wire::{self, TcpDropEvent};

const NOW: BootTime = BootTime(1 << 40);
/// Records of a full request.
const BATCH: usize = 192;

fn stages(criterion: &mut Criterion) {
    let case = Case::recorded();
    decode(criterion, &case);
    hash(criterion, &case);
    intake(criterion, &case);
    convert(criterion, &case);
    encode_batch(criterion, &case);
}

fn decode(criterion: &mut Criterion, case: &Case) {
    criterion.bench_function("decode", |bench| bench.iter(|| wire::decode(black_box(&case.event))));
}

fn hash(criterion: &mut Criterion, case: &Case) {
    let drop = wire::decode(&case.event).expect("an event");
    criterion.bench_function("hash", |bench| {
        bench.iter(|| stack::group_hash(case.boundaries.cause(black_box(&drop.stack), drop.site), drop.site));
    });
}

/// Decode, hash, dedup and limit, by the number of flows.
fn intake(criterion: &mut Criterion, case: &Case) {
    let mut group = criterion.benchmark_group("intake");
    group.throughput(Throughput::Elements(1));
    for flows in [1_u32, 32, 100_000] {
        group.bench_function(format!("{flows} flows"), |bench| {
            let mut intake = case.intake();
            let mut event = case.event.clone();
            let mut number = 0;
            bench.iter(|| {
                number = (number + 1) % flows;
                set_flow(&mut event, number);
                intake.take(black_box(&event), NOW, true)
            });
        });
    }
    group.finish();
}

/// From a summary to a log record: enrichment with symbols that are remembered, and attributes.
fn convert(criterion: &mut Criterion, case: &Case) {
    let (enricher, summary, policy) =
        (case.enricher(), case.summary(), Policy::new(&Config::default().severity));
    let clock = WallClock::read();
    criterion.bench_function("enrich", |bench| {
        bench.iter_batched(
            || summary.clone(),
            |summary| enricher.report(summary, clock),
            BatchSize::SmallInput,
        );
    });
    let report = enricher.report(summary, clock);
    criterion
        .bench_function("convert", |bench| bench.iter(|| logs::drop_record(black_box(&report), &policy, 1)));
}

fn encode_batch(criterion: &mut Criterion, case: &Case) {
    let report = case.enricher().report(case.summary(), WallClock::read());
    let policy = Policy::new(&Config::default().severity);
    let record = logs::drop_record(&report, &policy, 1);
    let batch: Vec<Placed<_>> = vec![(Arc::default(), record); BATCH];
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("a full request", |bench| {
        bench.iter_batched(|| batch.clone(), encode, BatchSize::SmallInput);
    });
    group.finish();
}

/// The source port, and for more flows than there are ports the source address, of an IPv4 event.
fn set_flow(event: &mut [u8], number: u32) {
    let [address, port] = [number >> 15, 0x8000 | (number & 0x7fff)];
    let source = std::mem::offset_of!(TcpDropEvent, source);
    let source_port = std::mem::offset_of!(TcpDropEvent, source_port);
    event[source + 2..source + 4].copy_from_slice(&u16::try_from(address).unwrap_or(0).to_be_bytes());
    event[source_port..source_port + 2].copy_from_slice(&u16::try_from(port).unwrap_or(0).to_ne_bytes());
}

/// The recorded drop, and what the host knew.
struct Case {
    event: Vec<u8>,
    symbols: HashMap<u64, Symbol>,
    boundaries: Arc<Boundaries>,
}

impl Case {
    fn recorded() -> Self {
        const RECORDING: &[u8] = include_bytes!("../src/cli/demo_recording.jsonl");
        let mut reader = Reader::new(RECORDING).expect("a recording");
        let mut symbols = HashMap::new();
        let mut events = Vec::new();
        while let Some(Item::Line(line)) = reader.next_item().expect("a line of a recording") {
            match line {
                Line::Symbol { address, name, offset } => {
                    symbols.insert(address.0, Symbol { name: name.into(), offset });
                }
                Line::Event(Bytes(event)) => events.push(event),
                _ => {}
            }
        }
        let boundaries = Arc::new(boundaries(&symbols));
        Self { event: events.remove(0), symbols, boundaries }
    }

    fn intake(&self) -> Intake {
        let ledger = Arc::<Ledger>::default();
        Intake::new(&Config::default(), ledger, self.boundaries.clone(), StdRng::seed_from_u64(1))
    }

    fn enricher(&self) -> Enricher {
        Enricher {
            reasons: BTreeMap::from([(3, "NO_SOCKET".to_owned())]).into(),
            symbols: Box::new(Known(self.symbols.clone())),
            boundaries: self.boundaries.clone(),
            site_names: Default::default(),
        }
    }

    fn summary(&self) -> DropSummary {
        self.intake().take(&self.event, NOW, true).expect("the first drop leaves at once")
    }
}

/// Those of this kernel, for the size of the tables, and of the recorded stack.
fn boundaries(symbols: &HashMap<u64, Symbol>) -> Boundaries {
    let mut boundaries = KernelFunctions::of_kernel(&[]).unwrap_or_default().boundaries;
    for (&address, symbol) in symbols {
        if stack::is_tracing(&symbol.name) {
            boundaries.add(address, Cut::Tracing);
        } else if stack::is_interrupt_entry(&symbol.name) {
            boundaries.add(address, Cut::InterruptEntry);
        }
    }
    boundaries
}

struct Known(HashMap<u64, Symbol>);

impl SymbolSource for Known {
    fn resolve(&self, address: u64) -> Option<Symbol> {
        self.0.get(&address).cloned()
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);

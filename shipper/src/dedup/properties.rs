//! What holds of dedup whatever comes in, in whatever order: no drop is lost or told twice, bounds hold, and what is told
//! is told in time.

use super::tests::{SITE, drop_at};
use super::*;
use crate::drop_summary::Tally;
use crate::ledger::{KernelCounts, Ledger};
use crate::packet_drop::{Direction, PacketDrop};
use opentelemetry::trace::{SpanId, TraceId};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

const MILLISECOND: u64 = 1_000_000;

#[derive(Clone, Debug)]
enum Step {
    Observe {
        stack: u64,
        source: u16,
        destination: u16,
        direction: Direction,
        bytes: Option<u32>,
        allow: bool,
    },
    Wait {
        milliseconds: u64,
    },
    Release,
    TakeEvicted,
    Reconfigure(model::Dedup),
}

fn settings() -> impl Strategy<Value = model::Dedup> {
    (1..2000_u64, 1..6_usize, 1..5_usize).prop_map(|(window, max_flows_per_stack, max_stacks)| {
        let window = Duration::from_millis(window);
        model::Dedup { window, max_flows_per_stack, max_stacks }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let direction =
        prop_oneof![Just(Direction::Receive), Just(Direction::Transmit), Just(Direction::Unknown)];
    let drop = (0..6_u64, 0..6_u16, 0..4_u16, direction, prop::option::of(0..2000_u32), any::<bool>());
    let observe = drop.prop_map(|(stack, source, destination, direction, bytes, allow)| Step::Observe {
        stack,
        source,
        destination,
        direction,
        bytes,
        allow,
    });
    prop_oneof![
        20 => observe,
        4 => (0..1500_u64).prop_map(|milliseconds| Step::Wait { milliseconds }),
        2 => Just(Step::Release),
        1 => Just(Step::TakeEvicted),
        1 => settings().prop_map(Step::Reconfigure),
    ]
}

/// Dedup, and what went in and came out.
struct Bench {
    dedup: Dedup,
    ledger: Ledger,
    now: BootTime,
    /// When each drop came in.
    arrivals: Vec<BootTime>,
    seen: Tally,
    told: Tally,
    in_windows: Tally,
    most_flows: usize,
}

impl Bench {
    fn new(settings: model::Dedup) -> Self {
        let mut next = 0;
        let most_flows = settings.max_flows_per_stack;
        let dedup = Dedup::new(settings, move || {
            next += 1;
            SpanIds { trace: TraceId::from(u128::from(next)), span: SpanId::from(next) }
        });
        Self {
            dedup,
            ledger: Ledger::default(),
            now: BootTime(1),
            arrivals: Vec::new(),
            seen: Tally::default(),
            told: Tally::default(),
            in_windows: Tally::default(),
            most_flows,
        }
    }

    fn take(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Observe { stack, source, destination, direction, bytes, allow } => {
                let drop = drop_at(0, source, destination);
                let drop = PacketDrop { time: self.now, direction, packet_size: bytes, ..drop };
                self.observe(stack, drop, allow)?;
            }
            Step::Wait { milliseconds } => self.now = BootTime(self.now.0 + milliseconds * MILLISECOND),
            Step::Release => {
                let released = self.dedup.release(self.now);
                self.leave(released)?;
                self.is_in_time()?;
            }
            Step::TakeEvicted => {
                let evicted = self.dedup.take_evicted();
                self.leave(evicted)?;
            }
            Step::Reconfigure(settings) => {
                self.dedup.reconfigure(&settings);
                // What is pending leaves with the old bounds.
                let evicted = self.dedup.take_evicted();
                self.leave(evicted)?;
                self.most_flows = settings.max_flows_per_stack;
            }
        }
        prop_assert!(self.dedup.groups.len() <= self.dedup.settings.max_stacks);
        self.is_balanced()
    }

    fn observe(&mut self, stack: u64, drop: PacketDrop, allow: bool) -> Result<(), TestCaseError> {
        let key = GroupKey { stack, ..SITE };
        self.ledger.received(1);
        self.ledger.merged(1);
        self.seen.add(Tally { count: 1, bytes: drop.packet_size.unwrap_or(0).into() });
        self.arrivals.push(self.now);
        let immediate = self.dedup.observe(key, drop, self.now, || allow);
        prop_assert!(allow || immediate.is_none(), "told although the limit forbade it");
        let summaries = immediate.into_iter().collect();
        self.leave(Released { summaries, ..Released::default() })
    }

    fn leave(&mut self, released: Released) -> Result<(), TestCaseError> {
        self.ledger.released(released.drops());
        for summary in &released.summaries {
            prop_assert!(summary.tally.count > 0 && summary.interval.first <= summary.interval.last);
            prop_assert_eq!(
                summary.sample.time,
                summary.interval.first,
                "the first drop describes the others"
            );
            self.told.add(summary.tally);
        }
        for window in &released.windows {
            prop_assert!((1..=self.most_flows + 1).contains(&window.flows.len()), "{}", window.flows.len());
            window.flows.iter().for_each(|flow| self.in_windows.add(flow.tally));
        }
        Ok(())
    }

    /// A drop waits no longer than a window, if somebody asks.
    fn is_in_time(&self) -> Result<(), TestCaseError> {
        let window = self.dedup.settings.window;
        let overdue = self.arrivals.iter().filter(|&&arrival| self.now.since(arrival) >= window).count();
        prop_assert!(self.told.count >= overdue as u64, "{} told of {overdue}", self.told.count);
        Ok(())
    }

    fn is_balanced(&self) -> Result<(), TestCaseError> {
        let kernel =
            KernelCounts { seen: self.seen.count, admitted: self.seen.count, ..KernelCounts::default() };
        let ledger = self.ledger.snapshot(|| kernel, 0);
        prop_assert!(ledger.balanced, "{ledger:?}");
        prop_assert_eq!(ledger.pending, self.seen.count - self.told.count);
        Ok(())
    }

    fn end(mut self) -> Result<(), TestCaseError> {
        let last = self.dedup.release_all();
        self.leave(last)?;
        prop_assert_eq!(self.told, self.seen, "over the records");
        prop_assert_eq!(self.in_windows, self.seen, "over the spans");
        prop_assert!(self.dedup.is_empty());
        self.is_balanced()
    }
}

proptest! {
    #![proptest_config(Config { rng_seed: RngSeed::Fixed(1), failure_persistence: None, cases: 192, ..Config::default() })]

    #[test]
    fn every_drop_is_told_once_in_time_and_within_bounds(
        settings in settings(),
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut bench = Bench::new(settings);
        for step in steps {
            bench.take(step)?;
        }
        bench.end()?;
    }
}

//! What holds of ledger and spool whatever happens, in whatever order: after every step each drop is in one place.

use super::*;
use crate::export::spool::memory::MemorySpool;
use crate::export::spool::{Lease, Spool};
use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use std::sync::Arc;

/// Numbers say how much of what there is; a step that has nothing to work on does nothing.
#[derive(Clone, Debug)]
enum Step {
    /// The kernel sees drops: admits some, loses or suppresses others.
    See {
        admitted: u64,
        suppressed: u64,
        ring_lost: u64,
        filtered: u64,
    },
    Receive(u64),
    Undecodable(u64),
    Merge(u64),
    Release(u64),
    Push {
        signal: Signal,
        bytes: usize,
        records: u64,
        drops: u64,
        totals: u64,
    },
    Unexported {
        drops: u64,
    },
    Lend(Signal),
    Settle {
        index: usize,
        refused: u64,
        evicted: u64,
    },
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let signal = || prop_oneof![3 => Just(Signal::Logs), 1 => Just(Signal::Traces)];
    let some = || 0..20_u64;
    prop_oneof![
        4 => (some(), some(), some(), some())
            .prop_map(|(admitted, suppressed, ring_lost, filtered)| Step::See { admitted, suppressed, ring_lost, filtered }),
        4 => some().prop_map(Step::Receive),
        1 => some().prop_map(Step::Undecodable),
        3 => some().prop_map(Step::Merge),
        3 => some().prop_map(Step::Release),
        8 => (signal(), 0..600_usize, 0..5_u64, some(), some())
            .prop_map(|(signal, bytes, records, drops, totals)| Step::Push { signal, bytes, records, drops, totals }),
        1 => some().prop_map(|drops| Step::Unexported { drops }),
        6 => signal().prop_map(Step::Lend),
        6 => (any::<usize>(), some(), some())
            .prop_map(|(index, refused, evicted)| Step::Settle { index, refused, evicted }),
        1 => Just(Step::Close),
    ]
}

struct Bench {
    ledger: Arc<Ledger>,
    spool: MemorySpool,
    max_bytes: u64,
    kernel: KernelCounts,
    leases: Vec<Lease>,
}

impl Bench {
    fn new(max_bytes: u64) -> Self {
        let ledger = Arc::<Ledger>::default();
        let spool = MemorySpool::new(max_bytes, ledger.clone());
        Self { ledger, spool, max_bytes, kernel: KernelCounts::default(), leases: Vec::new() }
    }

    fn now(&self) -> Snapshot {
        self.ledger.snapshot(|| self.kernel, 0)
    }

    fn take(&mut self, step: Step) {
        let now = self.now();
        match step {
            Step::See { admitted, suppressed, ring_lost, filtered } => {
                let kernel = &mut self.kernel;
                kernel.seen += admitted + suppressed + ring_lost + filtered;
                kernel.admitted += admitted;
                kernel.suppressed += suppressed;
                kernel.ring_lost += ring_lost;
                kernel.filtered += filtered;
            }
            Step::Receive(drops) => self.ledger.received(drops.min(now.in_ring)),
            Step::Undecodable(drops) => self.ledger.undecodable(drops.min(now.in_pipeline)),
            Step::Merge(drops) => self.ledger.merged(drops.min(now.in_pipeline)),
            Step::Release(drops) => self.ledger.released(drops.min(now.pending)),
            Step::Push { signal, bytes, records, drops, totals } => {
                let of_logs =
                    |amount: u64, most: u64| if signal == Signal::Logs { amount.min(most) } else { 0 };
                let (drops, totals) = (of_logs(drops, now.in_pipeline), of_logs(totals, now.untold));
                let contents = Contents { records, drops, totals };
                self.spool.push(EncodedRequest { signal, body: Bytes::from(vec![0; bytes]), contents });
            }
            Step::Unexported { drops } => {
                let drops = drops.min(now.in_pipeline);
                self.ledger.unexported(Contents { records: 1, drops, totals: 0 });
            }
            Step::Lend(signal) => self.leases.extend(self.spool.oldest(signal)),
            Step::Settle { index, refused, evicted } if !self.leases.is_empty() => {
                let lease = self.leases.swap_remove(index % self.leases.len());
                self.spool.settle(lease.id, divided(lease.request.contents, refused, evicted));
            }
            Step::Settle { .. } => {}
            Step::Close => _ = self.spool.close(),
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let now = self.now();
        prop_assert!(now.balanced, "{now:?}");
        prop_assert!(now.waiting.bytes <= self.max_bytes, "{now:?}");
        prop_assert_eq!(
            now.in_ring + now.in_pipeline + now.pending + now.decode_errors + now.spooled.drops,
            self.kernel.admitted
        );
        Ok(())
    }
}

/// An outcome whose parts add up to `contents`.
fn divided(contents: Contents, refused: u64, evicted: u64) -> Outcome {
    let part = |whole: u64| {
        let refused = refused.min(whole);
        let evicted = evicted.min(whole - refused);
        (whole - refused - evicted, refused, evicted)
    };
    let (records, drops, totals) = (part(contents.records), part(contents.drops), part(contents.totals));
    Outcome {
        delivered: Contents { records: records.0, drops: drops.0, totals: totals.0 },
        refused: Contents { records: records.1, drops: drops.1, totals: totals.1 },
        evicted: Contents { records: records.2, drops: drops.2, totals: totals.2 },
    }
}

proptest! {
    #![proptest_config(Config { rng_seed: RngSeed::Fixed(2), failure_persistence: None, cases: 192, ..Config::default() })]

    #[test]
    fn after_every_step_each_drop_is_in_one_place(
        max_bytes in 0..4000_u64,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let mut bench = Bench::new(max_bytes);
        for step in steps {
            bench.take(step);
            bench.check()?;
        }
        bench.spool.close();
        bench.check()?;
        let end = bench.now();
        prop_assert_eq!((end.waiting.records, end.waiting.drops, end.waiting.bytes, end.totals.waiting), (0, 0, 0, 0));
    }
}

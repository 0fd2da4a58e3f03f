use super::*;
use crate::export::Contents;
use crate::ledger::{KernelCounts, Snapshot};
use bytes::Bytes;

const ENTRY: u64 = size_of::<Entry>() as u64;

fn request(signal: Signal, bytes: usize, contents: Contents) -> EncodedRequest {
    EncodedRequest { signal, body: Bytes::from(vec![0; bytes]), contents }
}

fn logs(bytes: usize) -> EncodedRequest {
    request(Signal::Logs, bytes, Contents { records: 2, drops: 5, totals: 3 })
}

fn spans(bytes: usize) -> EncodedRequest {
    request(Signal::Traces, bytes, Contents { records: 1, drops: 0, totals: 0 })
}

struct Fixture {
    spool: MemorySpool,
    ledger: Arc<Ledger>,
}

fn spool_of(max_bytes: u64) -> Fixture {
    let ledger = Arc::new(Ledger::default());
    Fixture { spool: MemorySpool::new(max_bytes, Arc::clone(&ledger)), ledger }
}

impl Fixture {
    fn push(&self, request: EncodedRequest) {
        self.ledger.received(request.contents.drops);
        self.spool.push(request);
    }

    fn snapshot(&self) -> Snapshot {
        self.ledger.snapshot(KernelCounts::default, 0)
    }
}

#[test]
fn a_lane_is_lent_in_order_and_apart_from_the_other() {
    let Fixture { spool, ledger } = &spool_of(10_000);
    ledger.received(10);
    spool.push(logs(10));
    spool.push(logs(20));
    spool.push(spans(30));
    let first = spool.oldest(Signal::Logs).unwrap();
    assert_eq!(first.request.body.len(), 10);
    assert_eq!(spool.oldest(Signal::Logs).unwrap().request.body.len(), 20);
    assert!(spool.oldest(Signal::Logs).is_none(), "both are in flight");
    assert_eq!(spool.oldest(Signal::Traces).unwrap().request.body.len(), 30);
}

#[test]
fn a_leased_request_counts_as_waiting_until_it_is_settled() {
    let fixture = spool_of(10_000);
    fixture.push(logs(10));
    let lease = fixture.spool.oldest(Signal::Logs).unwrap();
    assert_eq!(fixture.snapshot().waiting.drops, 5);
    fixture.spool.settle(lease.id, Outcome::delivered(lease.request.contents));
    fixture.spool.settle(lease.id, Outcome::delivered(lease.request.contents));
    let snapshot = fixture.snapshot();
    assert_eq!((snapshot.waiting.drops, snapshot.waiting.bytes, snapshot.delivered.drops), (0, 0, 5));
    assert_eq!(snapshot.totals.delivered, 3);
}

#[test]
fn the_bound_pushes_out_spans_before_log_records_and_the_oldest_first() {
    let fixture = spool_of(3 * (100 + ENTRY));
    fixture.push(logs(98));
    fixture.push(spans(100));
    fixture.push(logs(99));
    fixture.push(logs(100));
    assert_eq!(fixture.snapshot().spans.evicted, 1);
    assert_eq!(fixture.snapshot().evicted.records, 0);
    fixture.push(logs(97));
    assert_eq!(fixture.snapshot().evicted.records, 2);
    assert_eq!(fixture.spool.oldest(Signal::Logs).unwrap().request.body.len(), 99, "98 was the oldest");
}

#[test]
fn what_is_in_flight_is_not_pushed_out() {
    let fixture = spool_of(2 * (100 + ENTRY));
    fixture.push(spans(100));
    fixture.push(logs(100));
    let span = fixture.spool.oldest(Signal::Traces).unwrap();
    let log = fixture.spool.oldest(Signal::Logs).unwrap();
    fixture.push(logs(50));
    assert_eq!(fixture.snapshot().evicted.records, 2, "the newcomer, for nothing else may leave");
    assert_eq!(fixture.snapshot().waiting.bytes, 200);
    fixture.spool.settle(log.id, Outcome::delivered(log.request.contents));
    fixture.spool.settle(span.id, Outcome::delivered(span.request.contents));
    assert_eq!((fixture.snapshot().delivered.records, fixture.snapshot().spans.delivered), (2, 1));
}

#[test]
fn a_request_larger_than_the_bound_is_evicted_alone() {
    let fixture = spool_of(500);
    fixture.push(spans(10));
    fixture.push(logs(501));
    let snapshot = fixture.snapshot();
    assert_eq!((snapshot.evicted.records, snapshot.totals.evicted), (2, 3));
    assert_eq!((snapshot.spans.waiting, snapshot.spans.evicted), (1, 0), "the others stay");
}

#[test]
fn closing_evicts_all_and_later_pushes_too() {
    let fixture = spool_of(10_000);
    fixture.push(logs(10));
    fixture.push(spans(10));
    let lease = fixture.spool.oldest(Signal::Logs).unwrap();
    let evicted = fixture.spool.close();
    assert_eq!((evicted.logs.records, evicted.logs.drops, evicted.traces.records), (2, 5, 1));
    fixture.spool.settle(lease.id, Outcome::delivered(lease.request.contents));
    fixture.push(logs(10));
    let snapshot = fixture.snapshot();
    assert_eq!((snapshot.evicted.records, snapshot.delivered.records), (4, 0));
    assert_eq!((snapshot.waiting.records, snapshot.waiting.bytes), (0, 0));
    assert!(fixture.spool.oldest(Signal::Logs).is_none());
    assert_eq!(fixture.spool.close(), Evicted::default());
}

#[tokio::test]
async fn the_lane_that_got_a_request_is_notified() {
    let Fixture { spool, .. } = &spool_of(10_000);
    spool.push(spans(1));
    spool.arrived(Signal::Traces).notified().await;
    let mut logs = std::pin::pin!(spool.arrived(Signal::Logs).notified());
    assert!(!logs.as_mut().enable(), "nothing came to the other lane");
}

#[test]
fn the_line_about_evictions_says_how_much_and_what_helps() {
    let held = Held { requests: 3, contents: Contents { records: 7, drops: 20, totals: 1 } };
    let line = eviction_line(held, 4096);
    assert!(
        line.contains("3 requests with 7 records of 21 drops") && line.contains("spool.max_bytes"),
        "{line}"
    );
}

/// An outcome with each record and drop put somewhere at random.
fn random_outcome(rng: &mut fastrand::Rng, contents: Contents) -> Outcome {
    let mut split = |whole: u64| {
        let first = rng.u64(0..=whole);
        let second = rng.u64(0..=whole - first);
        [first, second, whole - first - second]
    };
    let (records, drops, totals) = (split(contents.records), split(contents.drops), split(contents.totals));
    let part =
        |index: usize| Contents { records: records[index], drops: drops[index], totals: totals[index] };
    Outcome { delivered: part(0), refused: part(1), evicted: part(2) }
}

/// Random pushes, leases and settles, checked after each step against sums kept beside them.
fn soak(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let max_bytes = rng.u64(0..4_000);
    let fixture = spool_of(max_bytes);
    let (mut leases, mut pushed) = (Vec::<Lease>::new(), Contents::default());
    let (mut pushed_spans, mut in_flight_bytes) = (0, 0_u64);
    for _ in 0..300 {
        match rng.u8(0..10) {
            0..5 => {
                let contents =
                    Contents { records: rng.u64(1..50), drops: rng.u64(0..900), totals: rng.u64(0..9) };
                let bytes = rng.usize(0..1_200);
                if rng.bool() {
                    pushed += contents;
                    fixture.push(request(Signal::Logs, bytes, contents));
                } else {
                    pushed_spans += contents.records;
                    let contents = Contents { records: contents.records, ..Contents::default() };
                    fixture.push(request(Signal::Traces, bytes, contents));
                }
            }
            5..8 => {
                if let Some(lease) = fixture.spool.oldest(Signal::ALL[rng.usize(0..2)]) {
                    in_flight_bytes += lease.request.body.len() as u64;
                    leases.push(lease);
                }
            }
            _ if leases.is_empty() => {}
            _ => {
                let lease = leases.swap_remove(rng.usize(0..leases.len()));
                in_flight_bytes -= lease.request.body.len() as u64;
                fixture.spool.settle(lease.id, random_outcome(&mut rng, lease.request.contents));
            }
        }
        check(&fixture, pushed, pushed_spans, in_flight_bytes.max(max_bytes));
    }
    fixture.spool.close();
    check(&fixture, pushed, pushed_spans, 0);
}

fn check(fixture: &Fixture, pushed: Contents, pushed_spans: u64, most_bytes: u64) {
    let Snapshot { spooled, waiting, delivered, refused, evicted, totals, spans, .. } = fixture.snapshot();
    assert_eq!((spooled.records, spooled.drops), (pushed.records, pushed.drops));
    assert_eq!(spooled.drops, delivered.drops + refused.drops + evicted.drops + waiting.drops);
    assert_eq!(spooled.records, delivered.records + refused.records + evicted.records + waiting.records);
    assert_eq!(pushed.totals, totals.delivered + totals.refused + totals.evicted + totals.waiting);
    assert_eq!(pushed_spans, spans.delivered + spans.refused + spans.evicted + spans.waiting);
    let lanes = fixture.spool.lanes();
    let entries = || lanes.logs.iter().chain(&lanes.traces);
    assert_eq!(waiting.bytes, entries().map(|entry| entry.request.body.len() as u64).sum::<u64>());
    assert_eq!(lanes.weight, entries().map(|entry| weight(&entry.request)).sum::<u64>());
    assert!(waiting.bytes <= most_bytes, "{} bytes wait, of at most {most_bytes}", waiting.bytes);
}

#[test]
fn nothing_is_lost_or_told_twice_whatever_the_order() {
    for seed in 0..200 {
        soak(seed);
    }
}

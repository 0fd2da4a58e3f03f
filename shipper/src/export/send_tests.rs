use super::*;
use crate::export::Contents;
use crate::export::spool::memory::MemorySpool;
use crate::ledger::{KernelCounts, Ledger, Snapshot};
use bytes::Bytes;
use std::collections::VecDeque;

/// Gives scripted answers, then accepts everything. `None` hangs.
#[derive(Clone, Default)]
struct Scripted {
    script: Arc<Mutex<VecDeque<Option<Answer>>>>,
    sent_at: Arc<Mutex<Vec<Instant>>>,
}

const ACCEPTED: Answer = Answer::Accepted { rejected: 0, message: None };

fn retry(after: Option<u64>) -> Option<Answer> {
    Some(Answer::Retry { after: after.map(Duration::from_secs), why: "busy".to_owned() })
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = Option<Answer>>) -> Self {
        Self { script: Arc::new(Mutex::new(script.into_iter().collect())), ..Self::default() }
    }

    fn attempts(&self) -> usize {
        self.sent_at.lock().unwrap().len()
    }
}

impl Transport for Scripted {
    fn name(&self) -> String {
        "http://collector.test/v1/logs".to_owned()
    }

    async fn send(&self, _: &EncodedRequest) -> Answer {
        self.sent_at.lock().unwrap().push(Instant::now());
        let next = self.script.lock().unwrap().pop_front().unwrap_or(Some(ACCEPTED));
        match next {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

struct Fixture {
    ledger: Arc<Ledger>,
    spool: Arc<MemorySpool>,
    exporter: Exporter,
    logs: Scripted,
}

fn start(logs: Scripted, traces: Scripted) -> Fixture {
    let ledger = Arc::new(Ledger::default());
    let spool = Arc::new(MemorySpool::new(1 << 20, Arc::clone(&ledger)));
    let exporter = Exporter::start(Arc::clone(&spool) as Arc<dyn Spool>, logs.clone(), traces, 1);
    Fixture { ledger, spool, exporter, logs }
}

impl Fixture {
    fn push(&self, signal: Signal, records: u64, drops: u64) {
        self.ledger.received(drops);
        let contents = Contents { records, drops, totals: 0 };
        self.spool.push(EncodedRequest { signal, body: Bytes::from_static(b"body"), contents });
    }

    fn snapshot(&self) -> Snapshot {
        self.ledger.snapshot(KernelCounts::default, 0)
    }

    /// Waits for `reached`, for at most an hour of the test's clock.
    async fn until(&self, reached: impl Fn(Snapshot) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(3_600);
        while !reached(self.snapshot()) {
            assert!(Instant::now() < deadline, "{:?}", self.snapshot());
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn all_settled(&self) {
        self.until(|snapshot| snapshot.waiting.records == 0).await;
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_come_back_are_sent_again_with_growing_delays() {
    let fixture = start(Scripted::new([retry(None), retry(None), retry(None)]), Scripted::default());
    fixture.push(Signal::Logs, 1, 4);
    fixture.all_settled().await;
    assert_eq!(fixture.snapshot().delivered.drops, 4);
    let sent_at = fixture.logs.sent_at.lock().unwrap().clone();
    let delays: Vec<f64> = sent_at.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    for (delay, whole) in delays.iter().zip([1.0, 2.0, 4.0]) {
        assert!((whole / 2.0..=whole + 0.01).contains(delay), "{delays:?}");
    }
    let state = fixture.exporter.states().snapshot().logs;
    assert_eq!((state.attempts, state.retries), (4, 3));
}

#[tokio::test(start_paused = true)]
async fn the_receiver_says_when() {
    let fixture = start(Scripted::new([retry(Some(45))]), Scripted::default());
    fixture.push(Signal::Logs, 1, 1);
    fixture.all_settled().await;
    let sent_at = fixture.logs.sent_at.lock().unwrap().clone();
    assert!(sent_at[1] - sent_at[0] >= Duration::from_secs(45));
}

#[tokio::test(start_paused = true)]
async fn refused_and_partly_refused_requests_are_settled_and_not_sent_again() {
    let script = [
        Some(Answer::Refused { why: "HTTP 400".to_owned() }),
        Some(Answer::Accepted { rejected: 1, message: None }),
    ];
    let fixture = start(Scripted::new(script), Scripted::default());
    fixture.push(Signal::Logs, 1, 3);
    fixture.push(Signal::Logs, 2, 10);
    fixture.all_settled().await;
    let snapshot = fixture.snapshot();
    assert_eq!((snapshot.refused.records, snapshot.refused.drops), (2, 12));
    assert_eq!((snapshot.delivered.records, snapshot.delivered.drops), (1, 1));
    assert_eq!(fixture.logs.attempts(), 2);
}

#[tokio::test(start_paused = true)]
async fn trouble_with_one_signal_does_not_hold_up_the_other() {
    let fixture = start(Scripted::new([None]), Scripted::default());
    fixture.push(Signal::Logs, 1, 1);
    fixture.push(Signal::Traces, 2, 0);
    fixture.until(|snapshot| snapshot.spans.delivered == 2).await;
    assert_eq!(fixture.snapshot().waiting.drops, 1);
}

#[tokio::test(start_paused = true)]
async fn a_flush_sends_all_that_waits_and_gives_up_nothing() {
    let fixture = start(Scripted::default(), Scripted::default());
    for _ in 0..50 {
        fixture.push(Signal::Logs, 1, 2);
        fixture.push(Signal::Traces, 1, 0);
    }
    let ledger = Arc::clone(&fixture.ledger);
    assert_eq!(fixture.exporter.flush(Duration::from_secs(1)).await, Evicted::default());
    let snapshot = ledger.snapshot(KernelCounts::default, 0);
    assert_eq!((snapshot.delivered.drops, snapshot.spans.delivered), (100, 50));
}

#[tokio::test(start_paused = true)]
async fn a_flush_cuts_the_backoff_short_for_one_more_attempt() {
    let fixture = start(Scripted::new([retry(Some(200))]), Scripted::default());
    fixture.push(Signal::Logs, 1, 2);
    sleep(Duration::from_secs(3)).await;
    let (ledger, before) = (Arc::clone(&fixture.ledger), Instant::now());
    assert_eq!(fixture.exporter.flush(Duration::from_secs(1)).await, Evicted::default());
    assert!(before.elapsed() < Duration::from_millis(100));
    assert_eq!(ledger.snapshot(KernelCounts::default, 0).delivered.drops, 2);
}

#[tokio::test(start_paused = true)]
async fn a_flush_into_an_absent_receiver_tries_once_and_counts_the_rest() {
    let fixture = start(Scripted::new(vec![retry(None); 9]), Scripted::default());
    for _ in 0..3 {
        fixture.push(Signal::Logs, 1, 2);
    }
    let Fixture { ledger, exporter, logs, .. } = fixture;
    let before = Instant::now();
    let evicted = exporter.flush(Duration::from_secs(1)).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!((evicted.logs.records, evicted.logs.drops), (3, 6));
    assert_eq!(logs.attempts(), 1);
    let snapshot = ledger.snapshot(KernelCounts::default, 0);
    assert_eq!((snapshot.evicted.drops, snapshot.waiting.drops), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn a_flush_into_a_hanging_receiver_ends_at_the_limit() {
    let fixture = start(Scripted::new([None]), Scripted::default());
    fixture.push(Signal::Logs, 1, 2);
    sleep(Duration::from_secs(1)).await;
    let before = Instant::now();
    let evicted = fixture.exporter.flush(Duration::from_millis(1_500)).await;
    assert_eq!(before.elapsed(), Duration::from_millis(1_500));
    assert_eq!(evicted.logs.drops, 2);
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_nothing_ends_at_once() {
    let fixture = start(Scripted::default(), Scripted::default());
    let (before, states) = (Instant::now(), fixture.exporter.states());
    assert!(states.are_running());
    assert_eq!(fixture.exporter.flush(Duration::from_secs(5)).await, Evicted::default());
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert!(!states.are_running());
}

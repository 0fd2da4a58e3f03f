use super::*;
use crate::drop_report::{SuppressionCause, TraceContext, UnixNanos};
use crate::export::Signal;
use crate::export::spool::memory::MemorySpool;
use crate::ledger::KernelCounts;
use rand::SeedableRng;

fn suppressed(count: u64) -> SuppressedReport {
    SuppressedReport {
        class: None,
        reason: None,
        reason_code: None,
        site: None,
        count,
        cause: SuppressionCause::Budget,
        time: UnixNanos(1),
        observed: UnixNanos(2),
    }
}

fn group() -> GroupReport {
    let trace = TraceContext { trace: 1.into(), span: 1.into(), flags: None };
    GroupReport { trace, flows: Vec::new(), time: UnixNanos(1), last_time: UnixNanos(2) }
}

#[test]
fn without_logs_their_drops_are_evicted_and_spans_go_on() {
    let ledger = Arc::new(Ledger::default());
    let spool = Arc::new(MemorySpool::new(1 << 20, ledger.clone()));
    let sink = OtlpSink::new(
        Resource::default(),
        Policy::new(&[]),
        Spans::default(),
        spool.clone(),
        StdRng::seed_from_u64(1),
    );
    let mut sink = sink.without_logs(ledger.clone());
    sink.suppressed(suppressed(40));
    sink.group(group());
    sink.flush();
    ledger.received(5);
    ledger.unexported(Contents { drops: 5, ..Contents::default() });
    assert!(spool.oldest(Signal::Logs).is_none());
    assert!(spool.oldest(Signal::Traces).is_some());
    let kernel = KernelCounts { seen: 45, suppressed: 40, admitted: 5, ..KernelCounts::default() };
    let told = ledger.snapshot(|| kernel, 0);
    assert_eq!((told.evicted.records, told.evicted.drops, told.totals.evicted), (0, 5, 40));
    assert_eq!((told.spooled.drops, told.untold, told.in_pipeline), (5, 0, 0));
    assert!(told.balanced);
}

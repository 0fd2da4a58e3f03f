//! The harness itself: that it counts right. Not what it measures.

use super::*;
use crate::bench::rates::Effort;
use crate::bench::subject::{BASELINE, REFERENCE};
use crate::bench::workload::Workload;
use crate::require;
use crate::requirements::Requirement;

#[test]
fn each_subject_counts_the_storms_that_it_was_shown() {
    require!(Root, Btf, Tool("ip"), Tool("bpftrace"), Tool("perf"));
    let subjects = subject::all().into_iter().filter(|subject| {
        subject.needs().iter().all(|need| match need {
            Requirement::Setting(_) => need.is_met(),
            _ => true,
        })
    });
    let effort = Effort { rounds: 1, storm: Duration::from_millis(20), warm_up: Duration::from_millis(5) };
    let plan = Plan {
        rates: Some(Comparison {
            subjects: subjects.collect(),
            workloads: vec![Workload::default()],
            effort,
        }),
        storm: None,
        latency: None,
        capacity: None,
        footprint: None,
    };
    let report = run(&plan);
    let rates = report.rates.as_ref().expect("what was asked for");
    for seen in &rates.seen {
        assert!(seen.drops > 0, "{seen:?}");
        // Other tests have drops meanwhile, and printing may lose some.
        let sees_all = ["agent", "bpftrace, counting"].iter().any(|name| seen.subject.starts_with(name));
        assert!(!sees_all || seen.counted >= Some(seen.drops), "{seen:?}");
        let has_count = ![BASELINE, REFERENCE].contains(&seen.subject);
        assert_eq!(seen.counted.is_some_and(|counted| counted > 0), has_count, "{seen:?}");
    }
    for row in &rates.rows {
        let is_bpf = row.subject != BASELINE && !row.subject.starts_with("perf");
        assert_eq!(row.program_ns_per_drop.is_some(), is_bpf, "{row:?}");
        assert!(row.rate_to_empty.is_some() && row.drops_per_second.is_some(), "{row:?}");
        assert!(report.to_string().contains(row.subject));
    }
}

#[test]
fn a_storm_is_told_to_the_last_drop_and_watched_flows_have_their_records() {
    require!(Root, Btf, Tool("ip"));
    let plan = Plan {
        rates: None,
        storm: Some(Duration::from_millis(200)),
        latency: Some(5),
        capacity: None,
        footprint: None,
    };
    let report = run(&plan);
    assert_eq!(report.storms.len(), 3);
    for storm in &report.storms {
        assert!(storm.exact && storm.seen >= storm.drops && storm.drops > 0, "{storm:?}");
    }
    let latencies = report.latency.expect("what was asked for");
    for latency in [latencies.quiet, latencies.storm, latencies.storm_with_defaults] {
        assert_eq!((latency.drops, latency.with_record), (5, 5));
    }
}

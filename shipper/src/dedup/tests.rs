use super::*;
use crate::drop_summary::Tally;
use crate::packet_drop::{Direction, Flow, PacketDrop, Ports, Task};
use opentelemetry::trace::{SpanId, TraceId};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::net::IpAddr;

const SECOND: u64 = 1_000_000_000;
pub(super) const SITE: GroupKey =
    GroupKey { stack: 1, reason: Some(3), network_namespace: None, has_socket: false };

fn dedup(max_flows_per_stack: usize, max_stacks: usize) -> Dedup {
    let mut next = 0;
    let settings = model::Dedup { window: Duration::from_secs(10), max_flows_per_stack, max_stacks };
    Dedup::new(settings, move || {
        next += 1;
        SpanIds { trace: TraceId::from(u128::from(next)), span: SpanId::from(next) }
    })
}

pub(super) fn drop_at(seconds: u64, source: u16, destination: u16) -> PacketDrop {
    let localhost = IpAddr::from([127, 0, 0, 1]);
    PacketDrop {
        time: BootTime(seconds * SECOND),
        site: 1,
        reason: Some(3),
        stack: vec![1],
        stack_truncated: false,
        ip_version: None,
        flow: Some(Flow {
            source: localhost,
            destination: localhost,
            ports: Some(Ports { source, destination }),
        }),
        tcp: None,
        packet_size: Some(60),
        segments: None,
        direction: Direction::Receive,
        interface_index: None,
        interface_name: None,
        tunnel: None,
        network_namespace: None,
        socket: None,
        listener: None,
        silent: None,
        task: Task { pid: 0, comm: String::new(), cgroup_id: 0 },
    }
}

impl Dedup {
    fn see(&mut self, seconds: u64, source: u16, destination: u16) -> Option<DropSummary> {
        let drop = drop_at(seconds, source, destination);
        self.observe(SITE, drop, BootTime(seconds * SECOND), || true)
    }

    fn release_at(&mut self, seconds: u64) -> Released {
        self.release(BootTime(seconds * SECOND))
    }
}

#[test]
fn the_first_leaves_at_once_and_the_rest_in_one_summary() {
    let mut dedup = dedup(32, 8);
    let first = dedup.see(1, 4000, 80).unwrap();
    assert_eq!(first.tally, Tally { count: 1, bytes: 60 });
    for second in 2..=5 {
        assert!(dedup.see(second, 4000, 80).is_none());
    }
    assert!(dedup.release_at(10).is_empty());

    let released = dedup.release_at(11);
    let [summary] = released.summaries.as_slice() else { panic!("{released:?}") };
    assert_eq!(summary.tally, Tally { count: 4, bytes: 240 });
    assert_eq!(summary.interval.first, BootTime(2 * SECOND));
    assert_eq!(summary.interval.last, BootTime(5 * SECOND));
    assert_eq!(summary.ids, first.ids);

    let [window] = released.windows.as_slice() else { panic!("{released:?}") };
    assert_eq!(window.ids, first.ids);
    assert_eq!(window.flows[0].tally.count, 5, "a span event tells the whole window");
}

#[test]
fn a_busy_flow_is_new_again_only_after_an_idle_window() {
    let mut dedup = dedup(32, 8);
    let first = dedup.see(1, 4000, 80).unwrap();
    dedup.release_at(11);
    assert!(dedup.see(12, 4000, 80).is_none(), "busy in the window before");
    let released = dedup.release_at(21);
    assert_eq!(released.summaries[0].tally.count, 1);
    assert_ne!(released.summaries[0].ids, first.ids, "a window has a span of its own");
    assert!(dedup.release_at(31).is_empty());
    assert!(dedup.is_empty(), "idle keys are released");
    assert!(dedup.see(32, 4000, 80).is_some());
}

#[test]
fn flows_beyond_the_table_are_one_entry() {
    let mut dedup = dedup(2, 8);
    let immediate = (0..5).filter(|&source| dedup.see(1, source, 80).is_some()).count();
    assert_eq!(immediate, 2);
    let released = dedup.release_at(11);
    let [other] = released.summaries.as_slice() else { panic!("{released:?}") };
    assert!(other.other_flows);
    assert_eq!(other.tally.count, 3);
    assert_eq!(released.windows[0].flows.len(), 3);
}

#[test]
fn a_noisy_port_gives_way_to_a_new_one_and_no_further_than_half() {
    let mut dedup = dedup(8, 8);
    for source in 0..20 {
        dedup.see(1, source, 80);
    }
    let quiet = (0..20).filter(|&source| dedup.see(1, source, 443).is_some()).count();
    assert_eq!(quiet, 4);
    let released = dedup.release_at(11);
    assert_eq!(released.drops() + 8 + 4, 40);
}

#[test]
fn one_flow_per_stack_is_dedup_by_stack_hash() {
    let mut dedup = dedup(1, 8);
    assert!(dedup.see(1, 1, 80).is_some());
    assert!(dedup.see(1, 2, 80).is_none());
    assert!(dedup.see(1, 3, 443).is_none());
    assert_eq!(dedup.release_at(11).summaries.len(), 1);
}

#[test]
fn denied_first_sightings_leave_within_a_second_unless_they_are_a_storm() {
    let mut dedup = dedup(32, 8);
    let deny = |dedup: &mut Dedup, seconds, source, destination| {
        let told =
            dedup.observe(SITE, drop_at(seconds, source, destination), BootTime(seconds * SECOND), || false);
        assert!(told.is_none());
    };
    deny(&mut dedup, 1, 1, 80);
    assert!(dedup.release(BootTime(SECOND + SECOND / 2)).is_empty());
    assert_eq!(dedup.release_at(2).drops(), 1);
    assert!(dedup.release_at(3).is_empty(), "told once");

    (2..22).for_each(|source| deny(&mut dedup, 3, source, 80));
    (0..5).for_each(|source| deny(&mut dedup, 3, source, 443));
    assert_eq!(dedup.release_at(4).drops(), 8 + 5, "a quarter of the table for each port");
    assert_eq!(dedup.release_at(11).drops(), 20 - 8, "the others wait for the window's end");
}

#[test]
fn in_a_storm_of_flows_each_new_flow_of_another_port_is_told() {
    for storm in [1, 1000] {
        let mut dedup = dedup(32, 8);
        let (mut told, mut late) = (Vec::new(), Released::default());
        for decisecond in 0..100_u16 {
            let now = BootTime(u64::from(decisecond) * SECOND / 10);
            let at_now = |source, destination| PacketDrop { time: now, ..drop_at(0, source, destination) };
            // The storm takes whatever the limiter gives: one a decisecond.
            let mut allowed = 1;
            let mut allow = || std::mem::take(&mut allowed) > 0;
            for source in 0..50 {
                let source = (decisecond * 50 + source) % storm;
                dedup.observe(SITE, at_now(source, 80), now, &mut allow);
            }
            if decisecond % 2 == 0 {
                told.extend(dedup.observe(SITE, at_now(decisecond, 443), now, allow));
            }
            late.summaries.extend(dedup.release(now).summaries);
        }
        told.extend(late.summaries);
        let is_quiet =
            |summary: &&DropSummary| summary.sample.flow.unwrap().ports.unwrap().destination == 443;
        let records = told.iter().filter(is_quiet).filter(|summary| !summary.other_flows).count();
        // What came in the last second is still held back.
        assert!((45..=50).contains(&records), "{records} of 50 beside a storm of {storm} flows");
    }
}

#[test]
fn after_a_scan_a_new_flow_is_told_although_the_table_is_full() {
    let mut dedup = dedup(32, 8);
    for port in 0..1000 {
        dedup.observe(SITE, drop_at(1, 1, port), BootTime(SECOND), || false);
    }
    assert!(dedup.see(1, 1, 2000).is_none(), "while it lasts, what finds no room is only counted");
    assert!(dedup.see(2, 1, 2000).is_some());
    assert_eq!(dedup.release_at(2).drops(), 16, "half of the table was held back");
}

#[test]
fn a_full_table_of_idle_flows_has_room_for_as_many_after_the_window() {
    let mut dedup = dedup(4, 8);
    for source in 4000..4004 {
        assert!(dedup.see(1, source, 80).is_some());
    }
    dedup.release_at(11);
    for source in 1..=4 {
        assert!(dedup.see(12, source, 80).is_some(), "flow {source}");
    }
    assert!(dedup.see(12, 5, 80).is_none(), "none is idle now");
}

#[test]
fn a_flow_that_goes_on_keeps_its_place_over_the_end_of_a_window() {
    let mut dedup = dedup(2, 8);
    dedup.see(1, 4000, 80);
    dedup.see(11, 4001, 80);
    dedup.release_at(11);
    assert!(dedup.see(11, 1, 80).is_some(), "in place of the idle one");
    assert!(dedup.see(11, 2, 80).is_none(), "none is idle");
}

#[test]
fn the_group_that_was_quiet_longest_makes_room_and_leaves_first() {
    let mut dedup = dedup(32, 2);
    let observe = |dedup: &mut Dedup, stack| {
        let key = GroupKey { stack, ..SITE };
        dedup.observe(key, drop_at(1, 1, 80), BootTime(SECOND), || true).is_some()
    };
    assert!(observe(&mut dedup, 1));
    assert!(observe(&mut dedup, 2));
    assert!(!observe(&mut dedup, 1));
    assert!(observe(&mut dedup, 3));
    let released = dedup.release_at(1);
    assert_eq!(released.windows.len(), 1);
    assert_eq!(released.windows[0].ids.span, SpanId::from(2));
}

/// Whatever comes in, in whatever order, with whatever the limiter says: every drop leaves exactly once.
#[test]
fn no_drop_is_lost_or_told_twice() {
    for seed in 0..50 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut dedup = dedup(random.random_range(1..6), random.random_range(1..6));
        let (mut told, mut in_windows) = (0, 0);
        let mut count = |released: Released| {
            told += released.drops();
            in_windows +=
                released.windows.iter().flat_map(|window| &window.flows).map(|f| f.tally.count).sum::<u64>();
        };
        let mut immediate = 0;
        let mut seconds = 0;
        for _ in 0..500 {
            seconds += random.random_range(0..2);
            let key = GroupKey { stack: random.random_range(0..8), ..SITE };
            let drop = drop_at(seconds, random.random_range(0..10), random.random_range(80..84));
            let allow = random.random_bool(0.7);
            immediate += u64::from(dedup.observe(key, drop, BootTime(seconds * SECOND), || allow).is_some());
            if random.random_bool(0.1) {
                count(dedup.release_at(seconds));
            }
        }
        count(dedup.release_all());
        assert!(dedup.is_empty());
        assert_eq!(told + immediate, 500, "seed {seed}");
        assert_eq!(in_windows, 500, "seed {seed}");
    }
}

#[test]
fn all_groups_together_have_a_bounded_number_of_flows() {
    let mut dedup = dedup(32, 8);
    dedup.settings.max_stacks = 1000;
    for round in 0..2 {
        for (stack, source) in (0..1000).flat_map(|stack| (0..32).map(move |source| (stack, source))) {
            let key = GroupKey { stack, ..SITE };
            let drop = drop_at(1 + 20 * round, source, 80);
            dedup.observe(key, drop, BootTime((1 + 20 * round) * SECOND), || false);
        }
        let flows = |dedup: &Dedup| dedup.groups.iter().map(|(_, group)| group.flows.len()).sum::<usize>();
        assert_eq!(dedup.flows, flows(&dedup));
        // Each group has one at least.
        assert!((MOST_FLOWS..MOST_FLOWS + 1000).contains(&dedup.flows), "{}", dedup.flows);
        assert_eq!(dedup.release_at(12 + 20 * round).drops(), 32_000);
        assert_eq!(dedup.flows, flows(&dedup));
    }
}

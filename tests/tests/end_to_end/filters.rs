//! Filters that change while drops come cost no count.

use crate::checks::{assert_each_once, dropped_in, drops, flow};
use crate::kinds::{Kinds, all_but, named};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tcpdrop_otel_tests::agent::{Agent, Options};
use tcpdrop_otel_tests::collector::Collector;
use tcpdrop_otel_tests::netns::{VethPair, connect_refused};
use tcpdrop_otel_tests::otlp_json::LogRecord;
use tcpdrop_otel_tests::require;
use tcpdrop_otel_tests::wait::wait_for;

const WANTED: u16 = 9;
const UNWANTED: u16 = 7;
const RELOADS: u64 = 20;
/// Between drops of the load: some hundred a second, so that each flow is told by itself.
const PAUSE: Duration = Duration::from_millis(5);

const WITHOUT_FILTER: &str = "[filter.exclude]\nports = []\n";
const WITH_FILTER: &str = "[filter.exclude]\nports = [7]\n";

#[test]
fn reloads_under_load_lose_no_count() {
    require!(Root, Btf, Tool("ip"), Collector);
    let pair = VethPair::new();
    let mut collector = Collector::start();
    let agent = Options::new(&collector.http_endpoint())
        .set("admission.per_site_per_second=0")
        .config(WITH_FILTER)
        .start();

    let over = AtomicBool::new(false);
    let knocks = std::thread::scope(|scope| {
        let knocker = scope.spawn(|| {
            let mut knocks = 0;
            while !over.load(Ordering::Relaxed) {
                for port in [UNWANTED, WANTED] {
                    pair.client.connect_refused((pair.server.v4, port).into(), 5);
                    knocks += 5;
                }
            }
            knocks
        });
        let end = SetAtEnd(&over);
        for (reload, text) in (0..RELOADS).zip([WITHOUT_FILTER, WITH_FILTER].into_iter().cycle()) {
            agent.reload(text);
            wait_for("the reload to be counted", || (reloads(&agent) > reload).then_some(()));
        }
        drop(end);
        knocker.join().expect("the knocks")
    });
    // The last reload brought the filter back.
    let filtered = agent.ledger().term("filtered");
    pair.client.connect_refused((pair.server.v4, UNWANTED).into(), 3);
    agent.reload("[filter.exclude]\nports = [\"http\"]\n[limit]\nburst = 0\n");
    wait_for("the wrong file to be said", || agent.log().contains("not reloaded").then_some(()));
    let late = pair.client.connect_refused((pair.server.v4, UNWANTED).into(), 3);
    agent.ledger_when("all of these to be filtered", |ledger| ledger.term("filtered") >= filtered + 6);
    let ended = agent.terminate();
    collector.stop();

    let (ledger, records) = (ended.ledger(), collector.records());
    ledger.assert_balanced();
    assert_each_once(&records);
    assert_eq!(drops(&records), ledger.term("seen") - ledger.sum(&["filtered", "own"]), "{ledger:?}");
    let here: Vec<_> =
        records.iter().filter(|record| dropped_in(&record.attributes, &pair.server, "NO_SOCKET")).collect();
    let told = drops(here.iter().copied());
    if ledger.sum(&["suppressed", "ring_lost"]) == 0 {
        assert!(
            (knocks / 2..knocks).contains(&told),
            "half of {knocks} is always wanted: {told}, {ledger:?}"
        );
    }
    assert!(ledger.term("filtered") >= knocks + 6 - told, "{told} of {knocks} told: {ledger:?}");
    let told_late: BTreeSet<_> = here.iter().filter_map(|record| flow(&record.attributes)).collect();
    let of_late =
        |(source, to): &(SocketAddr, SocketAddr)| late.contains(&source.port()) && to.port() == UNWANTED;
    assert!(!told_late.iter().any(of_late), "a wrong file left the filter as it was: {told_late:?}");
    for problem in
        ["agent.toml:2: `filter.exclude.ports[0]` must be a port", "agent.toml:4: `limit.burst` must be"]
    {
        assert!(ended.log.contains(problem), "nothing of {problem:?} in:\n{}", ended.log);
    }
}

#[test]
fn limits_and_severities_change_at_once_and_the_rest_waits_for_a_restart() {
    require!(Root, Btf, Tool("ip"), Collector);
    let pair = VethPair::new();
    let mut collector = Collector::start();
    let agent = Options::new(&collector.http_endpoint()).start();
    let knock = || pair.client.connect_refused((pair.server.v4, WANTED).into(), 1);
    let ours = |record: &LogRecord| dropped_in(&record.attributes, &pair.server, "NO_SOCKET");

    knock();
    collector.records_for(1, ours);
    agent.reload(
        "[[severity]]\nreasons = [\"NO_SOCKET\"]\nlevel = \"error\"\n[dedup]\nmax_flows_per_stack = 1\n\
         [probe]\nring_bytes = \"1MiB\"\n[telemetry]\nlog_level = \"warn\"\n",
    );
    // This line is said as the level was.
    wait_for("the reload to be said", || (reloads(&agent) > 0).then_some(()));
    knock();
    let records = collector.records_for(2, ours);
    let ended = agent.terminate();
    collector.stop();

    let severities: BTreeSet<_> = records.iter().map(|record| record.severity_text.as_str()).collect();
    assert_eq!(severities, BTreeSet::from(["ERROR", "INFO"]), "{records:#?}");
    let line = ended.log.lines().find(|line| line.contains("reloaded")).expect("the line").to_owned();
    assert!(
        line.contains("changed dedup.max_flows_per_stack, severity, telemetry.log_level; needs a restart: probe.ring_bytes"),
        "{line}"
    );
}

#[test]
fn the_host_s_own_namespace_can_be_told_from_the_others() {
    require!(Root, Btf, Tool("ip"), Collector);
    let pair = VethPair::new();
    let mut collector = Collector::start();
    let agent = Options::new(&collector.http_endpoint()).set("filter.include.netns=host").start();

    let closed = SocketAddr::from((Ipv4Addr::LOCALHOST, WANTED));
    let here: BTreeSet<_> = (0..3).map(|_| connect_refused(closed)).collect();
    pair.client.connect_refused((pair.server.v4, WANTED).into(), 3);
    let ports = |records: &[LogRecord]| -> BTreeSet<_> {
        let flows = records.iter().filter_map(|record| flow(&record.attributes));
        flows.filter(|(_, to)| *to == closed).map(|(from, _)| from.port()).collect()
    };
    wait_for("the host's drops", || ports(&collector.records()).is_superset(&here).then_some(()));
    let ended = agent.terminate();
    collector.stop();

    let elsewhere = |record: &LogRecord| dropped_in(&record.attributes, &pair.server, "NO_SOCKET");
    assert!(!collector.records().iter().any(elsewhere), "{:#?}", collector.records());
    assert!(ended.ledger().term("filtered") >= 3, "{}", ended.log);
    ended.ledger().assert_balanced();
}

/// A filter in the file's words, and the kinds of drops that it lets pass.
type Case<'a> = (&'a str, &'a [&'static str]);

#[test]
fn each_filter_holds_after_a_reload_under_load() {
    require!(Root, Btf, Tool("ip"), Tool("nft"), Collector);
    let kinds = Kinds::new();
    let client = &kinds.pair.client;
    let mut collector = Collector::stopped_at(client.v4.into());
    collector.restart(Some(client));
    let options = roomy(Options::new(&collector.http_endpoint())).within(client);
    let inode = format!("netns = [{}]", kinds.pair.server.inode);
    let ports = format!("ports = [7, \"{0}-{0}\"]", kinds.filtered_port);
    assert_told(
        options,
        &kinds,
        &mut collector,
        &[
            ("ports = [9]", &["port9", "v6", "host"]),
            (&ports, &["port7", "filtered"]),
            ("addresses = [\"10.213.0.0/16\"]", &["port9", "port7", "filtered"]),
            ("addresses = [\"fd13::/16\"]", &["v6"]),
            ("netns = [\"self\"]", &["filtered"]),
            (&inode, &["port9", "port7", "v6"]),
            ("reasons = [\"NETFILTER_DROP\"]", &["filtered"]),
            ("direction = [\"receive\"]", &["port9", "port7", "v6", "host"]),
        ],
    );
}

#[test]
fn the_host_s_namespace_holds_after_a_reload_under_load() {
    require!(Root, Btf, Tool("ip"), Tool("nft"), Collector);
    let kinds = Kinds::new();
    let mut collector = Collector::start();
    let options = roomy(Options::new(&collector.http_endpoint()));
    assert_told(options, &kinds, &mut collector, &[("netns = [\"host\"]", &["host"])]);
}

/// With room for each flow to be told by itself.
fn roomy(options: Options) -> Options {
    [
        "admission.per_site_per_second=0",
        "dedup.max_flows_per_stack=4096",
        "limit.burst=1000000",
        "limit.per_stack_per_second=1000000",
        "limit.global_per_second=1000000",
    ]
    .into_iter()
    .fold(options, Options::set)
}

/// Reloads to each filter, included and excluded, while drops of other flows come; of the drops that are made then exactly
/// those that it lets pass are told, and all that was seen is in the ledger.
fn assert_told(options: Options, kinds: &Kinds, collector: &mut Collector, cases: &[Case]) {
    let agent = options.start();
    let over = AtomicBool::new(false);
    let mut batches = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                kinds.make();
                std::thread::sleep(PAUSE);
            }
        });
        let _end = SetAtEnd(&over);
        for (filter, picked) in cases {
            let picked: BTreeSet<_> = picked.iter().copied().collect();
            for (side, wanted) in [("include", picked.clone()), ("exclude", all_but(&picked))] {
                let before = reloads(&agent);
                agent.reload(&format!("[filter.{side}]\n{filter}\n"));
                wait_for("the reload to be counted", || (reloads(&agent) > before).then_some(()));
                let start = now();
                let made = kinds.make();
                batches.push((format!("{side} {filter}"), made, start..now(), wanted));
            }
        }
    });
    let ended = agent.terminate();
    collector.stop();

    let (ledger, records) = (ended.ledger(), collector.records());
    ledger.assert_balanced();
    assert_eq!(drops(&records), ledger.term("seen") - ledger.sum(&["filtered", "own"]), "{ledger:?}");
    for (filter, made, when, wanted) in batches {
        // Ports of clients come again.
        let then = records.iter().filter(|record| when.contains(&record.time));
        let told: Vec<_> = then.filter_map(|record| flow(&record.attributes)).collect();
        assert_eq!(named(&made, &told), wanted, "{filter}: {made:?}");
    }
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(since.as_nanos()).expect("a clock before 2554")
}

fn reloads(agent: &Agent) -> u64 {
    agent.status()["reloads"]["applied"].as_u64().expect("a count")
}

/// Ends what waits for it also when the test fails.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

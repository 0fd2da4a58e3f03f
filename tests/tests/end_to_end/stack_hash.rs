//! One cause is one hash, whatever work the interrupt that dropped the packet came upon.

use std::collections::BTreeSet;
use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;
use tcpdrop_otel_tests::agent::Options;
use tcpdrop_otel_tests::collector::Collector;
use tcpdrop_otel_tests::listener::send_syn;
use tcpdrop_otel_tests::netns::VethPair;
use tcpdrop_otel_tests::otlp_json::LogRecord;
use tcpdrop_otel_tests::require;
use tcpdrop_otel_tests::wait::wait_for;

const NEIGHBOURS: u16 = 50;
const GAP: Duration = Duration::from_millis(20);

/// The timer of a neighbour that does not answer drops what waits for it, on whatever CPU it happens to be due.
#[test]
fn a_timer_that_interrupts_different_work_is_one_cause() {
    require!(Root, Btf, Tool("ip"), Collector);
    let pair = VethPair::new();
    let [a, b, c, _] = pair.client.v4.octets();
    let network = Ipv4Addr::new(a, b.wrapping_add(1), c, 0);
    pair.client.command(
        "ip",
        &["address", "add", &format!("{network}/24"), "dev", pair.client.interface],
        "",
    );
    let collector = Collector::start();
    let agent = Options::new(&collector.http_endpoint()).set("dedup.max_flows_per_stack=256").start();

    let stop = AtomicBool::new(false);
    let records = std::thread::scope(|scope| {
        let _ends = Ends(&stop);
        for number in 0..2 * available_parallelism().map_or(1, usize::from) {
            let stop = &stop;
            scope.spawn(move || busy(number, stop));
        }
        let peer = |host: u16| SocketAddr::from((Ipv4Addr::from(u32::from(network) + u32::from(host)), 9));
        // Each at a moment of its own, so that their timers come upon work of their own.
        let late = |host| {
            std::thread::sleep(GAP);
            send_syn(&pair.client, peer(host))
        };
        let sockets: Vec<_> = (1..=NEIGHBOURS).map(late).collect();
        let failed = |record: &LogRecord| {
            record.attributes.text("tcpdrop.netns") == Some(&pair.client.inode.to_string())
                && record.attributes.text("tcpdrop.reason") == Some("NEIGH_FAILED")
        };
        let records = wait_for("the neighbours' timers", || {
            let records: Vec<_> = collector.records().into_iter().filter(&failed).collect();
            let peers: BTreeSet<_> =
                records.iter().filter_map(|record| record.attributes.text("destination.address")).collect();
            (peers.len() == usize::from(NEIGHBOURS)).then_some(records)
        });
        drop(sockets);
        records
    });
    agent.terminate();

    // Several agents run beside each other here, and the kernel cannot always walk a stack for each. A SYN sent again finds
    // that its neighbour has failed already: that is another cause.
    let of_timers: Vec<_> = records
        .iter()
        .filter(|record| !record.attributes.has("tcpdrop.stack.truncated"))
        .filter(|record| record.attributes.list("tcpdrop.stack.frames").contains(&"neigh_timer_handler"))
        .collect();
    assert!(of_timers.len() >= usize::from(NEIGHBOURS / 2), "{} stacks", of_timers.len());
    let hashes: BTreeSet<_> =
        of_timers.iter().filter_map(|record| record.attributes.text("tcpdrop.stack.hash")).collect();
    assert_eq!(hashes.len(), 1, "{of_timers:#?}");
    let whole: BTreeSet<_> =
        of_timers.iter().map(|record| record.attributes.list("tcpdrop.stack.frames")).collect();
    assert!(whole.len() > 1, "nothing was interrupted that differs: {whole:#?}");
}

/// Ends the work, also when the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Work of some kind, in the kernel and out of it.
fn busy(number: usize, stop: &AtomicBool) {
    let mut file = File::open("/proc/self/maps").expect("open");
    let mut text = String::new();
    let mut sum = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        if number.is_multiple_of(2) {
            sum = black_box((0..10_000).fold(sum, |sum, n| sum.wrapping_mul(31).wrapping_add(n)));
        } else {
            text.clear();
            file.read_to_string(&mut text).expect("read");
            file = File::open("/proc/self/maps").expect("open");
        }
    }
}

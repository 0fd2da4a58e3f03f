//! What the agent tells about itself: metrics by OTLP and on `/metrics`.

use crate::checks::CLOSED_PORT;
use std::net::SocketAddr;
use tcpdrop_otel_tests::agent::{Agent, Options};
use tcpdrop_otel_tests::collector::Collector;
use tcpdrop_otel_tests::netns::VethPair;
use tcpdrop_otel_tests::otlp_json::Point;
use tcpdrop_otel_tests::wait::wait_for;
use tcpdrop_otel_tests::{ports, require};

const DROPS: u32 = 20;

fn of_closed_ports(points: &[Point]) -> f64 {
    let closed = |point: &&Point| point.attributes.text("tcpdrop.reason") == Some("NO_SOCKET");
    points.iter().filter(closed).map(|point| point.value).sum()
}

fn shown(agent: &Agent) -> String {
    let response = agent.get("/metrics").expect("the agent answers");
    assert_eq!(response.status, 200, "{}", response.body);
    response.body
}

#[test]
fn drops_are_counted_by_reason_and_site_in_both_forms() {
    require!(Root, Btf, Tool("ip"), Collector);
    let collector = Collector::start();
    let pair = VethPair::new();
    let agent = Options::new(&collector.http_endpoint()).set("telemetry.metrics_interval=1s").start();
    pair.client.connect_refused((pair.server.v4, CLOSED_PORT).into(), DROPS as usize);

    let dropped = wait_for("the drops in the metrics", || {
        Some(collector.metric("tcpdrop.packet.dropped"))
            .filter(|points| of_closed_ports(points) >= DROPS.into())
    });
    let point =
        dropped.iter().find(|point| point.attributes.has("code.function.name")).expect("a named site");
    assert_eq!(point.resource.text("service.name"), Some("tcpdrop-otel"));
    assert!(point.resource.has("service.version"), "{point:?}");
    assert!(of_closed_ports(&collector.metric("tcpdrop.packet.dropped_size")) >= f64::from(DROPS * 40));
    let seen = |point: &Point| point.attributes.text("tcpdrop.ledger.term") == Some("seen");
    let ledger = collector.metric("tcpdrop.ledger.drops");
    assert!(ledger.iter().any(|point| seen(point) && point.value >= DROPS.into()), "{ledger:?}");
    assert!(collector.metric("process.cpu.time").iter().map(|point| point.value).sum::<f64>() > 0.0);

    let text = shown(&agent);
    for part in [
        "tcpdrop_packet_dropped_total{",
        "tcpdrop_reason=\"NO_SOCKET\"",
        "tcpdrop_spool_size_bytes",
        "tcpdrop_export_attempts_total{",
        "tcpdrop_export_duration_seconds_bucket{",
        "process_memory_usage_bytes",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    agent.terminate().ledger().assert_balanced();
}

#[test]
fn metrics_can_be_kept_from_being_sent() {
    require!(Root, Btf, Collector);
    let collector = Collector::start();
    let settings = ["telemetry.metrics=none", "telemetry.metrics_interval=1s"];
    let agent =
        settings.into_iter().fold(Options::new(&collector.http_endpoint()), |options, s| options.set(s));
    let agent = agent.start();
    assert!(shown(&agent).contains("tcpdrop_ledger_drops_total"), "{}", shown(&agent));
    // The end of the agent sends what there is.
    agent.terminate();
    assert_eq!(collector.metric("process.cpu.time"), []);
}

#[test]
fn a_receiver_of_metrics_that_is_away_is_said_and_its_drops_are_own() {
    require!(Root, Btf, Collector);
    let collector = Collector::start();
    let closed = SocketAddr::from(([127, 0, 0, 1], ports::free()));
    let agent = Options::new(&collector.http_endpoint())
        .set("telemetry.metrics_interval=1s")
        .set(&format!("telemetry.endpoint=http://{closed}"))
        .start();
    agent.ledger_when("drops of its own", |ledger| ledger.term("own") > 0);
    let said = format!("own metrics cannot be delivered to http://{closed}/v1/metrics: no connection");
    wait_for("a line about it", || agent.log().contains(&said).then_some(()));
    agent.terminate().ledger().assert_balanced();
    let about_it = |port: Option<u64>| port == Some(closed.port().into());
    let records = collector.records();
    let ports = ["source.port", "destination.port"];
    let told =
        records.iter().find(|record| ports.iter().any(|name| about_it(record.attributes.number(name))));
    assert_eq!(told, None);
}

#[test]
fn own_log_lines_can_be_sent_too() {
    require!(Root, Btf, Collector);
    let collector = Collector::start();
    let agent = Options::new(&collector.http_endpoint()).set("telemetry.otlp_logs=true").start();
    wait_for("a line of the agent", || {
        let records = collector.records();
        records.iter().any(|record| record.body.contains("watching for dropped TCP packets")).then_some(())
    });
    agent.terminate();
}

//! What the agent tells about itself: metrics by OTLP and on `/metrics`.

use crate::checks::CLOSED_PORT;
use std::net::SocketAddr;
use tcpdrop_otel_tests::agent::{Agent, Options};
use tcpdrop_otel_tests::collector::Collector;
use tcpdrop_otel_tests::netns::VethPair;
use tcpdrop_otel_tests::otlp_json::{LogRecord, Point};
use tcpdrop_otel_tests::wait::wait_for;
use tcpdrop_otel_tests::{ports, require};

const DROPS: u32 = 20;

fn of_closed_ports(points: &[Point]) -> f64 {
    let closed = |point: &&Point| point.attributes.text("tcpdrop.reason") == Some("NO_SOCKET");
    points.iter().filter(closed).map(|point| point.value).sum()
}

/// Waits until the agent's own CPU time arrives, and that of its log line about the start, as `options` send them.
fn arrive(collector: &Collector, options: Options) {
    let agent = options.set("telemetry.metrics_interval=1s").set("telemetry.otlp_logs=true").start();
    let used = |points: &[Point]| points.iter().map(|point| point.value).sum::<f64>() > 0.0;
    wait_for("own metrics", || used(&collector.metric("process.cpu.time")).then_some(()));
    let evicted = |point: &Point| point.attributes.text("tcpdrop.ledger.term") == Some("evicted");
    let ledger = collector.metric("tcpdrop.ledger.drops");
    assert!(ledger.iter().any(|point| evicted(point) && point.value == 0.0), "zeros are told: {ledger:?}");
    wait_for("an own log line", || {
        let about_start = |record: &LogRecord| record.body.contains("watching for dropped TCP packets");
        collector.records().iter().any(about_start).then_some(())
    });
    let ended = agent.terminate();
    assert!(!ended.log.contains("cannot be delivered"), "{}", ended.log);
    ended.ledger().assert_balanced();
}

#[test]
fn own_telemetry_follows_the_data_over_grpc_with_and_without_gzip() {
    require!(Root, Btf, Collector);
    for compression in ["gzip", "none"] {
        let collector = Collector::start();
        let options = Options::new(&format!("http://{}", collector.grpc()));
        let compression = format!("export.compression={compression}");
        arrive(&collector, options.set("export.protocol=grpc").set(&compression));
    }
}

#[test]
fn own_telemetry_follows_the_data_over_http_as_json_and_protobuf_with_and_without_gzip() {
    require!(Root, Btf, Collector);
    for protocol in ["http/json", "http/protobuf"] {
        for compression in ["gzip", "none"] {
            let collector = Collector::start();
            let options = Options::new(&collector.http_endpoint());
            let [protocol, compression] = [("PROTOCOL", protocol), ("COMPRESSION", compression)]
                .map(|(name, value)| (format!("OTEL_EXPORTER_OTLP_{name}"), value));
            arrive(&collector, options.env(&protocol.0, protocol.1).env(&compression.0, compression.1));
        }
    }
}

#[test]
fn own_metrics_can_go_elsewhere_by_the_standard_variables_of_their_signal() {
    require!(Root, Btf, Collector);
    let (data, own) = (Collector::start(), Collector::start());
    let agent = Options::new(&data.http_endpoint())
        .env("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &format!("http://{}", own.grpc()))
        .env("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "1000")
        .start();
    wait_for("own metrics", || (!own.metric("process.cpu.time").is_empty()).then_some(()));
    agent.terminate().ledger().assert_balanced();
    assert_eq!(data.metric("process.cpu.time"), []);
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
    let agent = Options::new(&collector.http_endpoint())
        .env("OTEL_METRICS_EXPORTER", "none")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "1000")
        .start();
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

//! `examples/otel-collector.yaml` does what it says, in a real Collector.

use crate::checks::{CLOSED_PORT, assert_drop_record, dropped_in};
use std::path::Path;
use std::process::Command;
use tcpdrop_otel_tests::agent::Options;
use tcpdrop_otel_tests::collector;
use tcpdrop_otel_tests::netns::VethPair;
use tcpdrop_otel_tests::otlp_json;
use tcpdrop_otel_tests::process::Process;
use tcpdrop_otel_tests::wait::wait_for;
use tcpdrop_otel_tests::{http, ports, require};
use tempfile::TempDir;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/otel-collector.yaml");

/// Pipeline lines that a user takes the comment from.
const SWITCHES: [&str; 5] = [
    "# - otlp_http/loki",
    "# - elasticsearch",
    "# - otlp_http/honeycomb",
    "# - otlp_grpc/traces",
    "# - health_check",
];

#[test]
fn a_posted_record_is_written_to_the_example_s_file() {
    require!(Collector);
    let example = Example::start(&std::fs::read_to_string(EXAMPLE).expect("read the example"));
    let record = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"eventName":"posted"}]}]}]}"#;
    assert_eq!(http::post_json(example.http(), "/v1/logs", record).expect("post a record").status, 200);
    wait_for("the record in the file", || example.has(|record| record.event_name == "posted").then_some(()));
    example.assert_no_trouble();
}

#[test]
fn a_drop_is_written_to_the_example_s_file() {
    require!(Root, Btf, Tool("ip"), Collector);
    let pair = VethPair::new();
    let example = Example::start(&std::fs::read_to_string(EXAMPLE).expect("read the example"));
    let agent = Options::new(&format!("http://{}", example.http())).start();
    pair.client.connect_refused((pair.server.v4, CLOSED_PORT).into(), 1);
    wait_for("the drop in the file", || {
        example
            .has(|record| {
                let ours = dropped_in(&record.attributes, &pair.server, "NO_SOCKET");
                if ours {
                    assert_drop_record(record);
                }
                ours
            })
            .then_some(())
    });
    agent.terminate();
    example.assert_no_trouble();
}

#[test]
fn each_back_end_of_the_example_can_be_switched_on() {
    require!(Collector);
    let mut text = std::fs::read_to_string(EXAMPLE).expect("read the example");
    for switch in SWITCHES {
        assert!(text.contains(switch), "the example has no {switch:?}");
        text = text.replace(switch, switch.trim_start_matches("# "));
    }
    // Nobody is there: it starts all the same, and keeps what it takes.
    Example::start(&text);
}

/// A Collector that runs the example.
struct Example {
    directory: TempDir,
    process: Process,
    http_port: u16,
}

impl Example {
    fn start(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("make a folder");
        let config = directory.path().join("example.yaml");
        std::fs::write(&config, text).expect("write the example");
        // The Collector's own metrics have a fixed port, and two may run at a time here.
        let quiet = directory.path().join("quiet.yaml");
        std::fs::write(&quiet, "service: {telemetry: {metrics: {level: none}}}\n")
            .expect("write the overlay");
        let http_port = ports::free();
        let mut command = collector::command(&[&config, &quiet]);
        set_environment(&mut command, directory.path(), http_port);
        let process = Process::start(command, None, &directory.path().join("output.txt"));
        wait_for("the example to start", || collector::is_ready(&process.output()).then_some(()));
        Self { directory, process, http_port }
    }

    fn http(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.http_port).into()
    }

    fn has(&self, wanted: impl Fn(&otlp_json::LogRecord) -> bool) -> bool {
        let file =
            std::fs::read_to_string(self.directory.path().join("tcpdrop-logs.jsonl")).unwrap_or_default();
        otlp_json::log_records(&file).iter().any(wanted)
    }

    fn assert_no_trouble(&self) {
        let output = self.process.output();
        let trouble = |line: &&str| line.contains("\terror\t") || line.contains("\twarn\t");
        assert_eq!(output.lines().find(trouble), None, "{output}");
    }
}

fn set_environment(command: &mut Command, data: &Path, http_port: u16) {
    let closed = || format!("127.0.0.1:{}", ports::free());
    command
        .env("OTELCOL_DATA", data)
        .env("OTELCOL_GRPC_LISTEN", closed())
        .env("OTELCOL_HTTP_LISTEN", format!("127.0.0.1:{http_port}"))
        .env("OTELCOL_HEALTH_LISTEN", closed())
        .env("LOKI_ENDPOINT", format!("http://{}/otlp", closed()))
        .env("ELASTICSEARCH_ENDPOINT", format!("http://{}", closed()))
        .env("ELASTICSEARCH_API_KEY", "not-a-key")
        .env("HONEYCOMB_ENDPOINT", format!("http://{}", closed()))
        .env("HONEYCOMB_API_KEY", "not-a-key")
        .env("TRACES_ENDPOINT", closed())
        .env("TRACES_INSECURE", "true");
}

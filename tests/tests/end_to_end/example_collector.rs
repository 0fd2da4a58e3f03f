//! `examples/otel-collector.yaml` does what it says, in a real Collector.

use crate::checks::{CLOSED_PORT, assert_drop_record, dropped_in};
use std::path::Path;
use std::process::Command;
use tcpdrop_otel_tests::agent::{Options, run_to_end};
use tcpdrop_otel_tests::collector;
use tcpdrop_otel_tests::netns::VethPair;
use tcpdrop_otel_tests::otlp_json;
use tcpdrop_otel_tests::process::Process;
use tcpdrop_otel_tests::wait::wait_for;
use tcpdrop_otel_tests::{http, ports, require};
use tempfile::TempDir;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/otel-collector.yaml");
const KUBERNETES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/kubernetes/otel-collector.yaml");

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
    let text = std::fs::read_to_string(EXAMPLE).expect("read the example");
    let all = everything_on(&text);
    let (components, service) = all.split_once("\nservice:").expect("a service");
    let names: Vec<_> = components.lines().filter_map(component).collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        assert!(uses(service, name), "{name} is defined, and nothing uses it:\n{service}");
    }
    // Nobody is there: it starts all the same, and keeps what it takes.
    let example = Example::start(&all);
    post_span(&example, "tcpdrop-otel", "tcpdrop NO_SOCKET");
    post_span(&example, "an-application", "GET /");
    let metrics = example.span_metrics();
    assert!(metrics.contains("GET /") && !metrics.contains("NO_SOCKET"), "{metrics}");
}

#[test]
fn the_example_for_kubernetes_goes_on_top() {
    require!(Collector);
    let check = |configs: &[&Path]| {
        let mut command = Command::new(collector::binary());
        command
            .arg("validate")
            .args(configs.iter().flat_map(|config| ["--config".as_ref(), config.as_os_str()]));
        run_to_end(command)
    };
    let outcome = check(&[EXAMPLE.as_ref(), KUBERNETES.as_ref()]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.output);
}

const QUIET: &str = "service: {telemetry: {metrics: {level: none}}}
connectors: {span_metrics: {metrics_flush_interval: 100ms}}
";

/// As a user would who takes the comment from all that can be switched on.
fn everything_on(text: &str) -> String {
    let start = text.find("\nservice:").expect("a service");
    let (components, service) = text.split_at(start);
    let lines = service.lines().map(|line| {
        let body = line.trim_start();
        let indent = &line[..line.len() - body.len()];
        body.strip_prefix("# ").map_or(line.to_owned(), |switched_on| format!("{indent}{switched_on}"))
    });
    format!("{components}{}\n", lines.collect::<Vec<_>>().join("\n"))
}

/// The name of the component that a line begins to define: two spaces before it.
fn component(line: &str) -> Option<&str> {
    let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with([' ', '#']))?.split(':').next()?;
    Some(name)
}

/// Whether the name is an item of a list, in either form.
fn uses(service: &str, name: &str) -> bool {
    let items = service.split(|letter: char| letter.is_whitespace() || "[],".contains(letter));
    items.into_iter().any(|item| item == name)
}

fn post_span(example: &Example, scope: &str, name: &str) {
    let span = format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"shop"}}}}]}},
        "scopeSpans":[{{"scope":{{"name":"{scope}"}},"spans":[{{"name":"{name}","kind":1,
        "traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331",
        "startTimeUnixNano":"1","endTimeUnixNano":"2"}}]}}]}}]}}"#
    );
    assert_eq!(http::post_json(example.http(), "/v1/traces", &span).expect("post a span").status, 200);
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
        // The Collector's own metrics have a fixed port, and two may run at a time here. Those of spans come once a
        // minute by default.
        let quiet = directory.path().join("quiet.yaml");
        std::fs::write(&quiet, QUIET).expect("write the overlay");
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

    /// What it wrote of metrics, once that has some of spans.
    fn span_metrics(&self) -> String {
        let file = self.directory.path().join("metrics.jsonl");
        let read = || std::fs::read_to_string(&file).ok().filter(|text| text.contains("traces.span.metrics"));
        wait_for("metrics of spans", read)
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

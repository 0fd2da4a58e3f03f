//! Which layer wins, and what the variables of the OpenTelemetry specification mean.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;
use tcpdrop_otel::config::model::{Compression, Level, Protocol, SignalExporter};
use tcpdrop_otel::config::{Config, SourceFile, Sources, load};
use tcpdrop_otel::export::Signal;
use tcpdrop_otel::export::destination::Destination;
use tcpdrop_otel::export::service::Service;

fn sources(file: &str, environment: &[(&str, &str)], sets: &[&str]) -> Sources {
    Sources {
        file: Some(SourceFile { path: PathBuf::from("test.toml"), text: file.to_owned() }),
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        sets: sets.iter().map(|&set| set.to_owned()).collect(),
    }
}

fn with_environment(environment: &[(&str, &str)]) -> Config {
    load(&sources("", environment, &[])).unwrap()
}

fn logs(environment: &[(&str, &str)]) -> Destination {
    with_environment(environment).export.destination(Signal::Logs)
}

#[test]
fn the_later_layer_wins() {
    let file = "[export]\nendpoint = 'http://file'";
    let standard = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://standard");
    let own = ("TCPDROP_OTEL_EXPORT_ENDPOINT", "http://own");
    let sets = ["export.endpoint=http://first", "export.endpoint = http://second"];
    let endpoint = |environment: &[_], sets: &[_]| {
        load(&sources(file, environment, sets)).unwrap().export.endpoint.unwrap().to_string()
    };
    assert_eq!(endpoint(&[], &[]), "http://file/");
    assert_eq!(endpoint(&[standard], &[]), "http://standard/");
    for both in [[standard, own], [own, standard]] {
        assert_eq!(endpoint(&both, &[]), "http://own/");
        assert_eq!(endpoint(&both, &sets), "http://second/");
    }
}

#[test]
fn standard_variables_mean_what_the_specification_says() {
    let common = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otlp.example.com/base"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%2Cb, x-team = net"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ];
    let destination = logs(&common);
    assert_eq!(destination.url, "https://otlp.example.com/base/v1/logs");
    assert_eq!(destination.headers["api-key"], "a,b");
    assert_eq!(destination.headers["x-team"], "net");
    assert_eq!(destination.timeout, Duration::from_millis(2500));
    assert_eq!(destination.compression, Compression::None);

    let for_logs = [
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs.example.com/in"),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "other=1"),
        ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/protobuf"),
    ];
    let all = with_environment(&[common, for_logs].concat());
    let own = all.export.destination(Signal::Logs);
    assert_eq!(own.url, "http://logs.example.com/in");
    assert_eq!(own.headers.len(), 1);
    assert_eq!((own.timeout, own.compression), (Duration::from_millis(1), Compression::Gzip));
    assert_eq!(all.export.destination(Signal::Traces).url, "https://otlp.example.com/base/v1/traces");
}

#[test]
fn the_protocol_s_variable_decides_on_the_customary_endpoint() {
    let grpc = logs(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
    assert_eq!((grpc.protocol, grpc.url.port_u16()), (Protocol::Grpc, Some(4317)));
    let both = [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json")];
    let json = logs(&both);
    assert_eq!((json.protocol, json.url.port_u16()), (Protocol::HttpJson, Some(4318)));
}

#[test]
fn certificates_have_standard_variables_too() {
    let tls = logs(&[
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/common.key"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/agent.pem"),
        ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY", "/agent.key"),
        ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/other.key"),
    ])
    .tls;
    let files = [tls.ca_file, tls.cert_file, tls.key_file].map(|file| file.unwrap());
    assert_eq!(files, ["/ca.pem", "/agent.pem", "/agent.key"].map(PathBuf::from));
}

#[test]
fn insecure_completes_an_endpoint_without_a_scheme_and_changes_no_other() {
    let url = |environment: &[_]| logs(environment).url.to_string();
    let bare = ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317");
    assert_eq!(url(&[bare, ("OTEL_EXPORTER_OTLP_INSECURE", "TRUE")]), "http://collector:4317/v1/logs");
    assert_eq!(url(&[bare, ("OTEL_EXPORTER_OTLP_INSECURE", "false")]), "https://collector:4317/v1/logs");
    let https = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector");
    assert_eq!(url(&[https, ("OTEL_EXPORTER_OTLP_INSECURE", "true")]), "https://collector/v1/logs");
    let own = [
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "collector:1"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "false"),
        ("OTEL_EXPORTER_OTLP_LOGS_INSECURE", "true"),
    ];
    assert_eq!(url(&own), "http://collector:1/");
}

#[test]
fn signals_can_be_left_out() {
    let exporters = |environment: &[_], sets: &[_]| {
        let export = load(&sources("", environment, sets)).unwrap().export;
        (export.logs.exporter, export.traces.exporter)
    };
    let (otlp, none) = (SignalExporter::Otlp, SignalExporter::None);
    assert_eq!(exporters(&[("OTEL_LOGS_EXPORTER", "none")], &[]), (none, otlp));
    assert_eq!(exporters(&[("OTEL_TRACES_EXPORTER", "none")], &[]), (otlp, none));
    assert_eq!(exporters(&[("OTEL_TRACES_EXPORTER", "otlp")], &[]), (otlp, otlp));
    let disabled = ("OTEL_SDK_DISABLED", "True");
    assert_eq!(exporters(&[disabled, ("OTEL_LOGS_EXPORTER", "otlp")], &[]), (none, none));
    assert_eq!(exporters(&[disabled], &["export.logs.exporter=otlp"]), (otlp, none));
    assert_eq!(exporters(&[("OTEL_SDK_DISABLED", "false")], &[]), (otlp, otlp));
    let otlp_logs = "telemetry.otlp_logs = true";
    let all_off = load(&sources(otlp_logs, &[disabled], &[])).unwrap();
    assert_eq!((all_off.export.metrics.exporter, all_off.telemetry.otlp_logs), (none, false));
    let metrics = |value| with_environment(&[("OTEL_METRICS_EXPORTER", value)]).export.metrics.exporter;
    assert_eq!(["otlp", "OTLP", "otlp, prometheus"].map(metrics), [otlp; 3]);
    assert_eq!(["none", "prometheus"].map(metrics), [none; 2], "/metrics is served in any case");
}

/// Where own metrics go.
fn metrics(environment: &[(&str, &str)]) -> Destination {
    with_environment(environment).own_export().destination(Service::Metrics)
}

#[test]
fn own_metrics_have_the_standard_variables_too() {
    let common = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://otlp.example.com/base"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=1"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/common.key"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/common.pem"),
    ];
    let general = metrics(&common);
    let path = "opentelemetry.proto.collector.metrics.v1.MetricsService/Export";
    assert_eq!(general.url, format!("https://otlp.example.com/base/{path}").as_str());
    assert_eq!((general.protocol, general.compression), (Protocol::Grpc, Compression::None));
    assert_eq!((general.timeout, general.headers.len()), (Duration::from_millis(2500), 1));
    let specific = [
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://metrics.example.com/in"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "other=1,more=2"),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "1"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "GZIP"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "/metrics-ca.pem"),
        ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", "/metrics.key"),
        ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE", "/metrics.pem"),
    ];
    let own = metrics(&[common, specific].concat());
    assert_eq!(own.url, "http://metrics.example.com/in", "used as it is");
    assert_eq!((own.protocol, own.compression), (Protocol::HttpJson, Compression::Gzip));
    assert_eq!((own.timeout, own.headers.len()), (Duration::from_millis(1), 2));
    let files = [own.tls.ca_file, own.tls.cert_file, own.tls.key_file].map(|file| file.unwrap());
    assert_eq!(files, ["/metrics-ca.pem", "/metrics.pem", "/metrics.key"].map(PathBuf::from));
    assert_eq!(logs(&[common, specific].concat()), logs(&common), "drops go where they went");
}

#[test]
fn own_metrics_keep_their_interval_and_the_agent_its_log_level() {
    let telemetry = |environment: &[_]| with_environment(environment).telemetry;
    assert_eq!(
        telemetry(&[("OTEL_METRIC_EXPORT_INTERVAL", "5000")]).metrics_interval,
        Duration::from_secs(5)
    );
    assert_eq!(telemetry(&[("OTEL_LOG_LEVEL", "DEBUG")]).log_level, Level::Debug);
    let own = [("OTEL_LOG_LEVEL", "debug"), ("TCPDROP_OTEL_TELEMETRY_LOG_LEVEL", "error")];
    assert_eq!(telemetry(&own).log_level, Level::Error);
}

#[test]
fn an_empty_variable_is_unset() {
    let names =
        ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "TCPDROP_OTEL_DEDUP_WINDOW"];
    assert_eq!(with_environment(&names.map(|name| (name, ""))), Config::default());
}

#[test]
fn an_empty_assignment_unsets_what_is_optional() {
    let standard = [("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs.example.com")];
    let config = load(&sources("", &standard, &["export.logs.endpoint="])).unwrap();
    assert_eq!(config, Config::default());
}

#[test]
fn variables_of_others_are_ignored() {
    let others = [
        ("OTEL_TRACES_SAMPLER", "x"),
        ("TCPDROP", "x"),
        ("TCPDROP_OTEL_SERVICE_HOST", "10.0.0.1"),
        ("PATH", "x"),
    ];
    assert_eq!(with_environment(&others), Config::default());
}

#[test]
fn the_rules_of_a_later_layer_replace_those_of_an_earlier() {
    let rule = |level: &str| format!(r#"[{{ reasons = ["A"], level = "{level}" }}]"#);
    let file = format!("severity = {}", rule("info"));
    let config = load(&sources(&file, &[("TCPDROP_OTEL_SEVERITY", &rule("error"))], &[])).unwrap();
    assert_eq!(config.severity[0].level, Level::Error);
    assert_eq!(config.severity.len(), 1 + Config::default().severity.len());
}

#[test]
fn a_file_s_values_are_typed() {
    let file = "
        [probe]
        ring_bytes = 0x10_0000
        [dedup]
        window = '1m 30s'
        [export]
        headers = { api-key = 'a=b,c%2C' }
        [enrich]
        symbols = false
        [[severity]]
        reasons = ['SKB_DROP_REASON_TCP_RESET', 'netfilter_drop']
        level = 'warn'
    ";
    let config = load(&sources(file, &[], &[])).unwrap();
    assert_eq!(config.probe.ring_bytes, 1 << 20);
    assert_eq!(config.dedup.window, Duration::from_secs(90));
    assert_eq!(config.export.headers["api-key"], "a=b,c%2C", "taken as it is");
    assert!(!config.enrich.symbols);
    assert_eq!(config.severity[0].reasons, ["TCP_RESET", "NETFILTER_DROP"]);
}

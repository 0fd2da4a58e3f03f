//! The model, the list of keys and the reference file say the same.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use tcpdrop_otel::config::{Config, SourceFile, Sources, load};
use toml::{Table, Value};

const REFERENCE: &str = include_str!("../../config/tcpdrop-otel.toml");

/// Every key, and a value other than its default.
const KEYS: [(&str, &str); 76] = [
    ("filter.include.netns", "self"),
    ("filter.include.ports", "80,8000-8080"),
    ("filter.include.addresses", "10.0.0.0/8,fd00::/8"),
    ("filter.include.reasons", "no_socket"),
    ("filter.include.direction", "receive"),
    ("filter.exclude.netns", "self"),
    ("filter.exclude.ports", "80,8000-8080"),
    ("filter.exclude.addresses", "10.0.0.0/8,fd00::/8"),
    ("filter.exclude.reasons", "no_socket"),
    ("filter.exclude.direction", "receive"),
    ("admission.per_site_per_second", "0"),
    ("admission.burst", "1"),
    ("admission.first_seen_reserve", "1"),
    ("probe.ring_bytes", "8MiB"),
    ("probe.stack_depth", "8"),
    ("probe.silent", "netstat"),
    ("dedup.window", "5s"),
    ("dedup.max_flows_per_stack", "1"),
    ("dedup.max_stacks", "16"),
    ("limit.per_stack_per_second", "1"),
    ("limit.burst", "1"),
    ("limit.global_per_second", "1"),
    ("enrich.symbols", "false"),
    ("spans.emit", "never"),
    ("spans.events", "none"),
    ("severity", r#"[{ reasons = ["NO_SOCKET"], level = "trace" }]"#),
    ("export.endpoint", "https://otlp.example.com"),
    ("export.protocol", "grpc"),
    ("export.headers", "api-key=1"),
    ("export.headers_file", "/export/headers"),
    ("export.compression", "none"),
    ("export.timeout", "1s"),
    ("export.batch_interval", "2s"),
    ("export.tls.ca_file", "/common/ca.pem"),
    ("export.tls.cert_file", "/common/cert.pem"),
    ("export.tls.key_file", "/common/key.pem"),
    ("export.logs.exporter", "none"),
    ("export.logs.endpoint", "https://logs.example.com"),
    ("export.logs.protocol", "http/json"),
    ("export.logs.headers", "api-key=2"),
    ("export.logs.headers_file", "/export.logs/headers"),
    ("export.logs.compression", "none"),
    ("export.logs.timeout", "3s"),
    ("export.logs.tls.ca_file", "/logs/ca.pem"),
    ("export.logs.tls.cert_file", "/logs/cert.pem"),
    ("export.logs.tls.key_file", "/logs/key.pem"),
    ("export.traces.exporter", "none"),
    ("export.traces.endpoint", "https://traces.example.com"),
    ("export.traces.protocol", "grpc"),
    ("export.traces.headers", "api-key=3"),
    ("export.traces.headers_file", "/export.traces/headers"),
    ("export.traces.compression", "none"),
    ("export.traces.timeout", "4s"),
    ("export.traces.tls.ca_file", "/traces/ca.pem"),
    ("export.traces.tls.cert_file", "/traces/cert.pem"),
    ("export.traces.tls.key_file", "/traces/key.pem"),
    ("export.metrics.exporter", "none"),
    ("export.metrics.endpoint", "https://metrics.example.com"),
    ("export.metrics.protocol", "grpc"),
    ("export.metrics.headers", "api-key=4"),
    ("export.metrics.headers_file", "/export.metrics/headers"),
    ("export.metrics.compression", "none"),
    ("export.metrics.timeout", "5s"),
    ("export.metrics.tls.ca_file", "/metrics/ca.pem"),
    ("export.metrics.tls.cert_file", "/metrics/cert.pem"),
    ("export.metrics.tls.key_file", "/metrics/key.pem"),
    ("spool.mode", "memory"),
    ("spool.max_bytes", "1MiB"),
    ("health.listen", "[::1]:80"),
    ("telemetry.log_level", "debug"),
    ("telemetry.log_format", "json"),
    ("telemetry.metrics_interval", "5s"),
    ("telemetry.endpoint", "http://own.example.com:4318"),
    ("telemetry.protocol", "http/json"),
    ("telemetry.headers", "a=1"),
    ("telemetry.otlp_logs", "true"),
];

/// Keys with one possible value so far, which is their default.
const FIXED: [&str; 1] = ["spool.mode"];

fn keys() -> BTreeSet<String> {
    KEYS.iter().map(|(key, _)| (*key).to_owned()).collect()
}

fn from_file(text: &str) -> Config {
    let file = SourceFile { path: PathBuf::from("tcpdrop-otel.toml"), text: text.to_owned() };
    load(&Sources { file: Some(file), ..Sources::default() }).unwrap()
}

/// The fields of a configuration with their values, as `Debug` prints them.
fn fields(config: &Config) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::<String, String>::new();
    let mut names: Vec<&str> = Vec::new();
    let printed = format!("{config:#?}");
    for line in printed.lines() {
        let text = line.trim_start();
        let depth = (line.len() - text.len()) / 4;
        if let Some((name, _)) = text.split_once(": ") {
            names.truncate(depth - 1);
            names.push(name);
        }
        let path = names.join(".");
        let key = KEYS.iter().find(|(key, _)| path == *key || path.starts_with(&format!("{key}.")));
        let is_frame = text.ends_with('{') || text.starts_with('}');
        if let Some((key, _)) = key {
            fields.entry((*key).to_owned()).or_default().push_str(text.trim_end_matches(['}', ',']));
        } else if !is_frame {
            fields.insert(path, text.to_owned());
        }
    }
    fields
}

/// The keys of a TOML table, sections included.
fn paths(section: &str, table: &Table) -> BTreeSet<String> {
    let mut paths_found = BTreeSet::new();
    for (name, value) in table {
        let path = if section.is_empty() { name.clone() } else { format!("{section}.{name}") };
        match value {
            Value::Table(inner) if !keys().contains(&path) => paths_found.extend(paths(&path, inner)),
            _ => _ = paths_found.insert(path),
        }
    }
    paths_found
}

#[test]
fn the_reference_file_has_every_key_with_its_default() {
    // TOML itself refuses a key that is there twice.
    assert_eq!(paths("", &REFERENCE.parse().unwrap()), keys());
    assert_eq!(from_file(REFERENCE), Config::default());
}

#[test]
fn every_setting_in_the_reference_file_has_a_comment() {
    let mut explained = false;
    for line in REFERENCE.lines() {
        let is_setting = line.contains(" = ") && !line.starts_with([' ', '#']);
        // What a rule is for stands above its heading.
        let is_part_of_rule =
            ["level = ", "reasons = ", "classes = "].iter().any(|key| line.starts_with(key));
        assert!(!is_setting || is_part_of_rule || explained, "no comment above {line:?}");
        assert!(!line.starts_with('[') || explained, "no comment above {line:?}");
        explained = line.starts_with('#');
    }
}

#[test]
fn every_field_of_the_model_has_a_key() {
    assert_eq!(fields(&Config::default()).into_keys().collect::<BTreeSet<_>>(), keys());
}

#[test]
fn every_key_sets_its_own_field_and_no_other_in_every_layer() {
    let defaults = fields(&Config::default());
    for (key, value) in KEYS {
        let variable = format!("TCPDROP_OTEL_{}", key.replace('.', "_").to_uppercase());
        let layers = [
            Sources { sets: vec![format!("{key}={value}")], ..Sources::default() },
            Sources { environment: vec![(variable, value.to_owned())], ..Sources::default() },
        ];
        for sources in layers {
            let set = fields(&load(&sources).unwrap());
            let changed: Vec<_> =
                set.iter().filter(|(path, value)| defaults.get(*path) != Some(value)).collect();
            let wanted: &[&str] = if FIXED.contains(&key) { &[] } else { &[key] };
            assert_eq!(
                changed.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(),
                wanted,
                "{changed:?}"
            );
        }
    }
}

#[test]
fn no_sources_make_the_defaults() {
    assert_eq!(load(&Sources::default()).unwrap(), Config::default());
    assert_eq!(from_file(""), Config::default());
}

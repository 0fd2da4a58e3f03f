//! Every setting: its key, how its value is read, and the field it goes to. Names of variables, checks and the nearest
//! valid name all come from this list; tests compare it with the model and with `config/tcpdrop-otel.toml`.

use super::filter::list;
use super::model::{
    Compression, Config, EmitSpans, Level, LogFormat, Protocol, SignalExporter, SilentMode, SpanEvents,
    SpoolMode,
};
use super::read::{
    Given, Read, address, boolean, bytes, choice, duration, endpoint, file, headers, optional, ring_bytes,
    whole,
};
use super::severity::policy;
use crate::filter::{MOST_DIRECTIONS, MOST_NAMESPACES, MOST_PORTS, MOST_PREFIXES, MOST_REASONS, parse};
use std::ops::RangeInclusive;
use std::time::Duration;

/// A setting.
pub(super) struct Key {
    /// Its name, sections included.
    pub(super) path: &'static str,
    /// Reads a value into its field.
    pub(super) set: fn(&mut Config, Given) -> Read<()>,
}

pub(super) const KEYS: &[Key] = &[
    key("filter.include.netns", |c, v| {
        put(&mut c.filter.include.netns, list(v, MOST_NAMESPACES, parse::namespace))
    }),
    key("filter.include.ports", |c, v| put(&mut c.filter.include.ports, list(v, MOST_PORTS, parse::ports))),
    key("filter.include.addresses", |c, v| {
        put(&mut c.filter.include.addresses, list(v, MOST_PREFIXES, parse::prefix))
    }),
    key("filter.include.reasons", |c, v| {
        put(&mut c.filter.include.reasons, list(v, MOST_REASONS, parse::reason))
    }),
    key("filter.include.direction", |c, v| {
        put(&mut c.filter.include.direction, list(v, MOST_DIRECTIONS, parse::direction))
    }),
    key("filter.exclude.netns", |c, v| {
        put(&mut c.filter.exclude.netns, list(v, MOST_NAMESPACES, parse::namespace))
    }),
    key("filter.exclude.ports", |c, v| put(&mut c.filter.exclude.ports, list(v, MOST_PORTS, parse::ports))),
    key("filter.exclude.addresses", |c, v| {
        put(&mut c.filter.exclude.addresses, list(v, MOST_PREFIXES, parse::prefix))
    }),
    key("filter.exclude.reasons", |c, v| {
        put(&mut c.filter.exclude.reasons, list(v, MOST_REASONS, parse::reason))
    }),
    key("filter.exclude.direction", |c, v| {
        put(&mut c.filter.exclude.direction, list(v, MOST_DIRECTIONS, parse::direction))
    }),
    key("admission.per_site_per_second", |c, v| {
        put(&mut c.admission.per_site_per_second, whole(v, RATE_OR_ALL))
    }),
    key("admission.burst", |c, v| put(&mut c.admission.burst, whole(v, RATE))),
    key("admission.first_seen_reserve", |c, v| put(&mut c.admission.first_seen_reserve, whole(v, RATE))),
    key("probe.ring_bytes", |c, v| put(&mut c.probe.ring_bytes, ring_bytes(v))),
    key("probe.stack_depth", |c, v| put(&mut c.probe.stack_depth, whole(v, 1..=64))),
    key("probe.silent", |c, v| put(&mut c.probe.silent, choice(v, SILENT_MODES))),
    key("dedup.window", |c, v| put(&mut c.dedup.window, duration(v, A_WHILE))),
    key("dedup.max_flows_per_stack", |c, v| put(&mut c.dedup.max_flows_per_stack, whole(v, 1..=4096))),
    key("dedup.max_stacks", |c, v| put(&mut c.dedup.max_stacks, whole(v, 1..=1 << 20))),
    key("limit.per_stack_per_second", |c, v| put(&mut c.limit.per_stack_per_second, whole(v, RATE))),
    key("limit.burst", |c, v| put(&mut c.limit.burst, whole(v, RATE))),
    key("limit.global_per_second", |c, v| put(&mut c.limit.global_per_second, whole(v, RATE))),
    key("enrich.symbols", |c, v| put(&mut c.enrich.symbols, boolean(v))),
    key("spans.emit", |c, v| put(&mut c.spans.emit, choice(v, EMIT_SPANS))),
    key("spans.events", |c, v| put(&mut c.spans.events, choice(v, SPAN_EVENTS))),
    key("severity", |c, v| put(&mut c.severity, policy(v))),
    key("export.endpoint", |c, v| put(&mut c.export.endpoint, optional(v, endpoint))),
    key("export.protocol", |c, v| put(&mut c.export.protocol, choice(v, PROTOCOLS))),
    key("export.headers", |c, v| put(&mut c.export.headers, headers(v))),
    key("export.headers_file", |c, v| put(&mut c.export.headers_file, optional(v, file))),
    key("export.compression", |c, v| put(&mut c.export.compression, choice(v, COMPRESSIONS))),
    key("export.timeout", |c, v| put(&mut c.export.timeout, duration(v, A_WHILE))),
    key("export.batch_interval", |c, v| put(&mut c.export.batch_interval, duration(v, A_WHILE))),
    key("export.tls.ca_file", |c, v| put(&mut c.export.tls.ca_file, optional(v, file))),
    key("export.tls.cert_file", |c, v| put(&mut c.export.tls.cert_file, optional(v, file))),
    key("export.tls.key_file", |c, v| put(&mut c.export.tls.key_file, optional(v, file))),
    key("export.logs.exporter", |c, v| put(&mut c.export.logs.exporter, choice(v, SIGNAL_EXPORTERS))),
    key("export.logs.endpoint", |c, v| put(&mut c.export.logs.endpoint, optional(v, endpoint))),
    key("export.logs.protocol", |c, v| put(&mut c.export.logs.protocol, optional(v, protocol))),
    key("export.logs.headers", |c, v| put(&mut c.export.logs.headers, optional(v, headers))),
    key("export.logs.compression", |c, v| put(&mut c.export.logs.compression, optional(v, compression))),
    key("export.logs.timeout", |c, v| put(&mut c.export.logs.timeout, optional(v, timeout))),
    key("export.logs.headers_file", |c, v| put(&mut c.export.logs.headers_file, optional(v, file))),
    key("export.logs.tls.ca_file", |c, v| put(&mut c.export.logs.tls.ca_file, optional(v, file))),
    key("export.logs.tls.cert_file", |c, v| put(&mut c.export.logs.tls.cert_file, optional(v, file))),
    key("export.logs.tls.key_file", |c, v| put(&mut c.export.logs.tls.key_file, optional(v, file))),
    key("export.traces.exporter", |c, v| put(&mut c.export.traces.exporter, choice(v, SIGNAL_EXPORTERS))),
    key("export.traces.endpoint", |c, v| put(&mut c.export.traces.endpoint, optional(v, endpoint))),
    key("export.traces.protocol", |c, v| put(&mut c.export.traces.protocol, optional(v, protocol))),
    key("export.traces.headers", |c, v| put(&mut c.export.traces.headers, optional(v, headers))),
    key("export.traces.compression", |c, v| put(&mut c.export.traces.compression, optional(v, compression))),
    key("export.traces.timeout", |c, v| put(&mut c.export.traces.timeout, optional(v, timeout))),
    key("export.traces.headers_file", |c, v| put(&mut c.export.traces.headers_file, optional(v, file))),
    key("export.traces.tls.ca_file", |c, v| put(&mut c.export.traces.tls.ca_file, optional(v, file))),
    key("export.traces.tls.cert_file", |c, v| put(&mut c.export.traces.tls.cert_file, optional(v, file))),
    key("export.traces.tls.key_file", |c, v| put(&mut c.export.traces.tls.key_file, optional(v, file))),
    key("export.metrics.exporter", |c, v| put(&mut c.export.metrics.exporter, choice(v, METRICS_EXPORTERS))),
    key("export.metrics.endpoint", |c, v| put(&mut c.export.metrics.endpoint, optional(v, endpoint))),
    key("export.metrics.protocol", |c, v| put(&mut c.export.metrics.protocol, optional(v, protocol))),
    key("export.metrics.headers", |c, v| put(&mut c.export.metrics.headers, optional(v, headers))),
    key("export.metrics.compression", |c, v| {
        put(&mut c.export.metrics.compression, optional(v, compression))
    }),
    key("export.metrics.timeout", |c, v| put(&mut c.export.metrics.timeout, optional(v, timeout))),
    key("export.metrics.headers_file", |c, v| put(&mut c.export.metrics.headers_file, optional(v, file))),
    key("export.metrics.tls.ca_file", |c, v| put(&mut c.export.metrics.tls.ca_file, optional(v, file))),
    key("export.metrics.tls.cert_file", |c, v| put(&mut c.export.metrics.tls.cert_file, optional(v, file))),
    key("export.metrics.tls.key_file", |c, v| put(&mut c.export.metrics.tls.key_file, optional(v, file))),
    key("spool.mode", |c, v| put(&mut c.spool.mode, choice(v, SPOOL_MODES))),
    key("spool.max_bytes", |c, v| put(&mut c.spool.max_bytes, bytes(v, LARGEST_RECORD..=1 << 40))),
    key("health.listen", |c, v| put(&mut c.health.listen, address(v))),
    key("telemetry.log_level", |c, v| put(&mut c.telemetry.log_level, choice(v, LEVELS))),
    key("telemetry.log_format", |c, v| put(&mut c.telemetry.log_format, choice(v, LOG_FORMATS))),
    key("telemetry.metrics_interval", |c, v| put(&mut c.telemetry.metrics_interval, duration(v, SECONDS))),
    key("telemetry.endpoint", |c, v| put(&mut c.telemetry.endpoint, optional(v, endpoint))),
    key("telemetry.protocol", |c, v| put(&mut c.telemetry.protocol, optional(v, protocol))),
    key("telemetry.headers", |c, v| put(&mut c.telemetry.headers, headers(v))),
    key("telemetry.otlp_logs", |c, v| put(&mut c.telemetry.otlp_logs, boolean(v))),
];

/// Timers of the agent: neither a busy loop nor forever.
const A_WHILE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
/// Own metrics: each collection reads the kernel's tables.
const SECONDS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// Rates: what is denied is still counted, but none at all would leave no detail.
const RATE: RangeInclusive<u32> = 1..=1_000_000;
/// 0 sets no limit.
const RATE_OR_ALL: RangeInclusive<u32> = 0..=1_000_000;
/// A spool with less room would evict whatever it is given.
const LARGEST_RECORD: u64 = 16 << 10;

const EMIT_SPANS: &[(&str, EmitSpans)] = &[("always", EmitSpans::Always), ("never", EmitSpans::Never)];
const SPAN_EVENTS: &[(&str, SpanEvents)] = &[("full", SpanEvents::Full), ("none", SpanEvents::None)];
const COMPRESSIONS: &[(&str, Compression)] = &[("gzip", Compression::Gzip), ("none", Compression::None)];
const PROTOCOLS: &[(&str, Protocol)] =
    &[("http/protobuf", Protocol::HttpProtobuf), ("http/json", Protocol::HttpJson), ("grpc", Protocol::Grpc)];
const SIGNAL_EXPORTERS: &[(&str, SignalExporter)] =
    &[("otlp", SignalExporter::Otlp), ("none", SignalExporter::None)];
const SILENT_MODES: &[(&str, SilentMode)] =
    &[("auto", SilentMode::Auto), ("netstat", SilentMode::Netstat), ("off", SilentMode::Off)];
const SPOOL_MODES: &[(&str, SpoolMode)] = &[("memory", SpoolMode::Memory)];
const LOG_FORMATS: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
/// Prometheus is served in any case.
const METRICS_EXPORTERS: &[(&str, SignalExporter)] =
    &[("otlp", SignalExporter::Otlp), ("none", SignalExporter::None), ("prometheus", SignalExporter::None)];
pub(super) const LEVELS: &[(&str, Level)] = &[
    ("trace", Level::Trace),
    ("debug", Level::Debug),
    ("info", Level::Info),
    ("warn", Level::Warn),
    ("error", Level::Error),
];

fn compression(given: Given) -> Read<Compression> {
    choice(given, COMPRESSIONS)
}

fn timeout(given: Given) -> Read<Duration> {
    duration(given, A_WHILE)
}

fn protocol(given: Given) -> Read<Protocol> {
    choice(given, PROTOCOLS)
}

const fn key(path: &'static str, set: fn(&mut Config, Given) -> Read<()>) -> Key {
    Key { path, set }
}

fn put<T>(field: &mut T, read: Read<T>) -> Read<()> {
    *field = read?;
    Ok(())
}

impl Key {
    /// The key with the name `path`.
    pub(super) fn named(path: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.path == path)
    }

    /// `TCPDROP_OTEL_<SECTION>_<KEY>`.
    pub(super) fn variable(&self) -> String {
        format!("TCPDROP_OTEL_{}", upper_snake(self.path))
    }

    /// The variable of the OpenTelemetry specification with the same meaning ("Environment Variable Specification" and
    /// "OTLP Exporter Configuration").
    pub(super) fn standard_variable(&self) -> Option<String> {
        match self.path {
            "telemetry.log_level" => return Some("OTEL_LOG_LEVEL".to_owned()),
            "telemetry.metrics_interval" => return Some("OTEL_METRIC_EXPORT_INTERVAL".to_owned()),
            _ => {}
        }
        let setting = self.path.strip_prefix("export.")?;
        let (signal, setting) = match setting.split_once('.') {
            Some((signal @ ("logs" | "traces" | "metrics"), setting)) => {
                (format!("{}_", upper_snake(signal)), setting)
            }
            _ => (String::new(), setting),
        };
        let name = match setting {
            "exporter" => return Some(format!("OTEL_{signal}EXPORTER")),
            "endpoint" | "protocol" | "headers" | "compression" | "timeout" => &upper_snake(setting),
            "tls.ca_file" => "CERTIFICATE",
            "tls.cert_file" => "CLIENT_CERTIFICATE",
            "tls.key_file" => "CLIENT_KEY",
            _ => return None,
        };
        Some(format!("OTEL_EXPORTER_OTLP_{signal}{name}"))
    }
}

fn upper_snake(path: &str) -> String {
    path.replace('.', "_").to_ascii_uppercase()
}

/// Whether `path` is a section: whether keys lie below it.
pub(super) fn is_section(path: &str) -> bool {
    sections().any(|section| section == path)
}

/// The names of all sections, some of them more than once.
pub(super) fn sections() -> impl Iterator<Item = &'static str> {
    KEYS.iter().flat_map(|key| key.path.match_indices('.').map(|(end, _)| &key.path[..end]))
}

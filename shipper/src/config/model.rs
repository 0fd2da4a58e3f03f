//! The settings, each with its default. `config/tcpdrop-otel.toml` lists and explains them; a test compares the two.

use super::endpoint::Endpoint;
use super::severity::default_policy;
use crate::filter::Filter;
use crate::reasons::Class;
use http::HeaderMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// All settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which drops are wanted.
    pub filter: Filter,
    /// Budget of the kernel side.
    pub admission: Admission,
    /// The kernel side.
    pub probe: Probe,
    /// Grouping of drops.
    pub dedup: Dedup,
    /// Limits on immediate records.
    pub limit: Limit,
    /// What is looked up about a drop.
    pub enrich: Enrich,
    /// Whether and how spans are made.
    pub spans: Spans,
    /// Severity policy, the built-in rules included: the first rule that names its reason or its class wins, and a drop
    /// that none names is [`Level::Warn`].
    pub severity: Vec<SeverityRule>,
    /// Where to send.
    pub export: Export,
    /// What waits to be sent.
    pub spool: Spool,
    /// The agent's own HTTP server.
    pub health: Health,
    /// The agent's own logs.
    pub telemetry: Telemetry,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            filter: Filter::default(),
            admission: Admission::default(),
            probe: Probe::default(),
            dedup: Dedup::default(),
            limit: Limit::default(),
            enrich: Enrich::default(),
            spans: Spans::default(),
            severity: default_policy(),
            export: Export::default(),
            spool: Spool::default(),
            health: Health::default(),
            telemetry: Telemetry::default(),
        }
    }
}

/// `[admission]`: rates of the whole host, which its CPUs share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Drops described per second of one site and reason; 0: all are, of whatever site.
    pub per_site_per_second: u32,
    /// Drops of one site and reason that are described at once after a quiet time.
    pub burst: u32,
    /// First drops of a (local port, site, reason) that are described per second and namespace when the site's budget is
    /// spent; as many for drops with a socket and for those without.
    pub first_seen_reserve: u32,
}

impl Default for Admission {
    fn default() -> Self {
        Self { per_site_per_second: 500, burst: 1000, first_seen_reserve: 100 }
    }
}

/// `[probe]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Size of the ring buffer, in bytes: a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// Most stack frames that are recorded, 1 to 64.
    pub stack_depth: u8,
    /// How SYNs are seen that the tracepoint does not tell.
    pub silent: SilentMode,
}

impl Default for Probe {
    fn default() -> Self {
        Self { ring_bytes: 4 << 20, stack_depth: 64, silent: SilentMode::default() }
    }
}

/// `probe.silent`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SilentMode {
    /// One by one where the kernel allows it, else by the counters.
    #[default]
    Auto,
    /// By the namespaces' counters.
    Netstat,
    /// Not at all.
    Off,
}

/// `[dedup]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dedup {
    /// How long drops of a group are merged before a summary leaves.
    pub window: Duration,
    /// Most flows that a group tells apart.
    pub max_flows_per_stack: usize,
    /// Most groups at a time.
    pub max_stacks: usize,
}

impl Default for Dedup {
    fn default() -> Self {
        Self { window: Duration::from_secs(10), max_flows_per_stack: 32, max_stacks: 4096 }
    }
}

/// `[limit]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Immediate records per second and stack group.
    pub per_stack_per_second: u32,
    /// Immediate records of one stack group at once.
    pub burst: u32,
    /// Immediate records per second in all.
    pub global_per_second: u32,
}

impl Default for Limit {
    fn default() -> Self {
        Self { per_stack_per_second: 10, burst: 50, global_per_second: 500 }
    }
}

/// `[enrich]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrich {
    /// Whether stacks are given symbol names.
    pub symbols: bool,
}

impl Default for Enrich {
    fn default() -> Self {
        Self { symbols: true }
    }
}

/// `[spans]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// When spans are emitted.
    pub emit: EmitSpans,
    /// What their events hold.
    pub events: SpanEvents,
}

/// `spans.emit`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmitSpans {
    /// One for each group and window.
    #[default]
    Always,
    /// None.
    Never,
}

/// `spans.events`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanEvents {
    /// One for each flow, with all its attributes.
    #[default]
    Full,
    /// None.
    None,
}

/// `[[severity]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeverityRule {
    /// Names of drop reasons.
    pub reasons: Vec<String>,
    /// Classes of causes.
    pub classes: Vec<Class>,
    /// The severity of drops with one of those reasons, or of one of those classes.
    pub level: Level,
}

/// A severity, of records and of the agent's own logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// `[export]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Base URL: the path of each signal's service is appended. `None`: this host, at the protocol's customary port.
    pub endpoint: Option<Endpoint>,
    /// Wire protocol.
    pub protocol: Protocol,
    /// Headers of each request. Values may be secret, and are marked sensitive: `Debug` does not show them.
    pub headers: HeaderMap,
    /// A file with more headers, a line each; [`headers`](Self::headers) of the same name win.
    pub headers_file: Option<PathBuf>,
    /// Compression of request bodies.
    pub compression: Compression,
    /// Limit on one attempt to send.
    pub timeout: Duration,
    /// How long records wait for company before a request is made of them.
    pub batch_interval: Duration,
    /// Files for `https`.
    pub tls: Tls,
    /// For log records, over the above.
    pub logs: SignalExport,
    /// For spans, over the above.
    pub traces: SignalExport,
    /// For the agent's own metrics, over the above.
    pub metrics: SignalExport,
}

impl Default for Export {
    fn default() -> Self {
        Self {
            endpoint: None,
            protocol: Protocol::default(),
            headers: HeaderMap::new(),
            headers_file: None,
            compression: Compression::default(),
            timeout: Duration::from_secs(10),
            batch_interval: Duration::from_secs(1),
            tls: Tls::default(),
            logs: SignalExport::default(),
            traces: SignalExport::default(),
            metrics: SignalExport::default(),
        }
    }
}

/// `[export.logs]`, `[export.traces]` and `[export.metrics]`: what differs for one signal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignalExport {
    /// Whether the signal is exported at all.
    pub exporter: SignalExporter,
    /// Full URL, used as it is by OTLP/HTTP; a base URL for OTLP/gRPC.
    pub endpoint: Option<Endpoint>,
    /// Wire protocol.
    pub protocol: Option<Protocol>,
    /// Headers, instead of the general ones.
    pub headers: Option<HeaderMap>,
    /// A file with headers. Where a signal has headers or a file of its own, the general ones do not hold for it.
    pub headers_file: Option<PathBuf>,
    /// Compression.
    pub compression: Option<Compression>,
    /// Limit on one attempt to send.
    pub timeout: Option<Duration>,
    /// Files for `https`, over the general ones one by one.
    pub tls: Tls,
}

/// `export.logs.exporter`, `export.traces.exporter` and `export.metrics.exporter`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignalExporter {
    /// To an OTLP receiver.
    #[default]
    Otlp,
    /// Not at all: nothing is made, and drops without a record count as evicted. Metrics are still at `/metrics`.
    None,
}

/// `[export.tls]`: PEM files for `https`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// CA certificates, in the place of those that the host trusts.
    pub ca_file: Option<PathBuf>,
    /// The agent's certificate and its chain, for receivers that ask for one.
    pub cert_file: Option<PathBuf>,
    /// The private key of `cert_file`.
    pub key_file: Option<PathBuf>,
}

/// `export.protocol`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/HTTP with protobuf bodies.
    #[default]
    HttpProtobuf,
    /// OTLP/HTTP with JSON bodies.
    HttpJson,
    /// OTLP/gRPC.
    Grpc,
}

/// `export.compression`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// gzip
    #[default]
    Gzip,
    /// none
    None,
}

/// `[spool]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Where requests wait.
    pub mode: SpoolMode,
    /// Most bytes of encoded requests that wait; beyond it the oldest are evicted and counted.
    pub max_bytes: u64,
}

impl Default for Spool {
    fn default() -> Self {
        Self { mode: SpoolMode::default(), max_bytes: 16 << 20 }
    }
}

/// `spool.mode`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpoolMode {
    /// In memory.
    #[default]
    Memory,
}

/// `[health]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Address of `/status` and `/readyz`.
    pub listen: SocketAddr,
}

impl Default for Health {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 13134)) }
    }
}

/// `[telemetry]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Least severity of the agent's own log lines.
    pub log_level: Level,
    /// Form of the agent's own log lines.
    pub log_format: LogFormat,
    /// How often own metrics are sent.
    pub metrics_interval: Duration,
    /// Base URL for own metrics and log lines; [`Export::endpoint`] if there is none.
    pub endpoint: Option<Endpoint>,
    /// Wire protocol for them; [`Export::protocol`] if there is none.
    pub protocol: Option<Protocol>,
    /// Headers of their requests; [`Export::headers`] if there are none and no `endpoint` either.
    pub headers: HeaderMap,
    /// Whether own log lines are sent too.
    pub otlp_logs: bool,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log_level: Level::Info,
            log_format: LogFormat::default(),
            metrics_interval: Duration::from_secs(60),
            endpoint: None,
            protocol: None,
            headers: HeaderMap::new(),
            otlp_logs: false,
        }
    }
}

/// `telemetry.log_format`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where a configuration file is looked for when none is named.
pub fn default_path() -> PathBuf {
    PathBuf::from("/etc/tcpdrop-otel/tcpdrop-otel.toml")
}

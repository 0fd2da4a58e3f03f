//! The variables of the OpenTelemetry specification ("Environment Variable Specification", "OTLP Exporter
//! Configuration"): what they say in the words of our own keys. Those that change nothing here are in
//! [`super::ignored`].

use super::keys::Key;
use super::sources::Sources;

/// Stands for several keys at once.
pub(super) const SDK_DISABLED: &str = "OTEL_SDK_DISABLED";

/// Variables that no key stands for, and that are heeded all the same.
pub(super) const WITHOUT_A_KEY: [&str; 7] = [
    SDK_DISABLED,
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_EXPORTER_OTLP_INSECURE",
    "OTEL_EXPORTER_OTLP_LOGS_INSECURE",
    "OTEL_EXPORTER_OTLP_TRACES_INSECURE",
    "OTEL_EXPORTER_OTLP_METRICS_INSECURE",
];

/// What a standard variable says about a key.
pub(super) struct Said {
    /// The variable.
    pub(super) name: String,
    /// Its value as [`Key::set`] takes it, or what is wrong with it.
    pub(super) value: Result<String, String>,
}

/// What the standard variables say about `key`, if anything.
pub(super) fn said(key: &Key, sources: &Sources) -> Option<Said> {
    if let Some(off) = off(key.path)
        && flag(sources, SDK_DISABLED) == Ok(Some(true))
    {
        return Some(Said { name: SDK_DISABLED.to_owned(), value: Ok(off.to_owned()) });
    }
    let name = key.standard_variable()?;
    let value = sources.variable(&name)?;
    let value = match key.path.rsplit('.').next().unwrap_or_default() {
        "endpoint" => Ok(endpoint(&name, value, sources)),
        "timeout" | "metrics_interval" => milliseconds(&name, value),
        "exporter" => Ok(exporter(&value.to_ascii_lowercase())),
        "protocol" | "compression" => Ok(value.to_ascii_lowercase()),
        "log_level" => Ok(level(&value.to_ascii_lowercase()).to_owned()),
        _ => Ok(value.to_owned()),
    };
    Some(Said { name, value })
}

/// What is wrong with variables that no key stands for.
pub(super) fn faults(sources: &Sources) -> impl Iterator<Item = String> {
    let flags = WITHOUT_A_KEY.into_iter().filter(|name| name.ends_with("INSECURE") || *name == SDK_DISABLED);
    flags.filter_map(|name| flag(sources, name).err())
}

/// The value of a key when no signal is to be exported.
fn off(path: &str) -> Option<&'static str> {
    match path {
        "export.logs.exporter" | "export.traces.exporter" | "export.metrics.exporter" => Some("none"),
        "telemetry.otlp_logs" => Some("false"),
        _ => None,
    }
}

/// The endpoint that the variable `name` names by `value`. `OTEL_EXPORTER_OTLP_*INSECURE` says what to put before one
/// without a scheme, and nothing else ("OTLP Exporter Configuration", "Insecure"). The specification's default for it is
/// not used: without the variable, the scheme has to be written.
fn endpoint(name: &str, value: &str, sources: &Sources) -> String {
    let own = name.replace("ENDPOINT", "INSECURE");
    let insecure = [own.as_str(), "OTEL_EXPORTER_OTLP_INSECURE"]
        .into_iter()
        .find_map(|name| flag(sources, name).ok().flatten())
        .filter(|_| !value.contains("://"));
    match insecure {
        Some(true) => format!("http://{value}"),
        Some(false) => format!("https://{value}"),
        None => value.to_owned(),
    }
}

fn milliseconds(name: &str, value: &str) -> Result<String, String> {
    match value.parse::<u64>() {
        Ok(number) => Ok(format!("{number}ms")),
        Err(_) => Err(format!("`{name}` must be a whole number of milliseconds, not {value:?}")),
    }
}

/// A list may be given; Prometheus in it is served in any case.
fn exporter(value: &str) -> String {
    let names: Vec<_> = value.split(',').map(str::trim).collect();
    match names.as_slice() {
        [_] => value.to_owned(),
        names => names.iter().filter(|name| **name != "prometheus").copied().collect::<Vec<_>>().join(","),
    }
}

/// The specification names no levels; these are those of its implementations.
fn level(value: &str) -> &str {
    match value {
        "all" | "verbose" => "trace",
        "warning" => "warn",
        "fatal" => "error",
        level => level,
    }
}

/// A boolean variable, in any case.
fn flag(sources: &Sources, name: &str) -> Result<Option<bool>, String> {
    let Some(value) = sources.variable(name) else { return Ok(None) };
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(format!("`{name}` must be true or false, not {value:?}")),
    }
}

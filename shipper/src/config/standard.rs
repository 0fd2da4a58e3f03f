//! Variables of the OpenTelemetry specification that no key of ours stands for.

use super::sources::Sources;

/// What `OTEL_SDK_DISABLED` says: whether no signal is to be exported.
pub(super) fn sdk_is_disabled(sources: &Sources) -> Result<bool, String> {
    flag(sources, "OTEL_SDK_DISABLED").map(|disabled| disabled.unwrap_or(false))
}

/// The endpoint that the variable `name` names by `value`. `OTEL_EXPORTER_OTLP_{,LOGS_,TRACES_}INSECURE` says what to put
/// before one without a scheme, and nothing else ("OTLP Exporter Configuration", "Insecure"). The specification's default
/// for it is not used: without the variable, the scheme has to be written.
pub(super) fn endpoint(name: &str, value: &str, sources: &Sources) -> String {
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

/// What is wrong with the `INSECURE` variables.
pub(super) fn bad_insecure(sources: &Sources) -> impl Iterator<Item = String> {
    ["", "LOGS_", "TRACES_"]
        .into_iter()
        .filter_map(|signal| flag(sources, &format!("OTEL_EXPORTER_OTLP_{signal}INSECURE")).err())
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

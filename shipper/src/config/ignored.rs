//! Variables of the OpenTelemetry specification that change nothing here: each is answered with a word, for whoever set
//! it expected something.

use super::keys::KEYS;
use super::sources::Sources;
use super::standard::WITHOUT_A_KEY;
use crate::otlp::resource;

/// The beginning of names, the one value that holds here anyway, and what to know.
const IGNORED: &[(&str, Option<&str>, &str)] = &[
    (
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        Some("cumulative"),
        "sums are cumulative: one that is lost costs nothing",
    ),
    (
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        Some("explicit_bucket_histogram"),
        "histograms have explicit buckets",
    ),
    ("OTEL_METRIC_EXPORT_TIMEOUT", None, "an export may take OTEL_EXPORTER_OTLP_METRICS_TIMEOUT"),
    ("OTEL_METRICS_EXEMPLAR_FILTER", Some("always_off"), "there are no exemplars"),
    ("OTEL_TRACES_SAMPLER", None, "spans are not sampled; [dedup] bounds them, spans.emit stops them"),
    ("OTEL_BSP_", None, "batches are bounded by export.batch_interval and spool.max_bytes"),
    ("OTEL_BLRP_", None, "it holds for own log lines only; see export.batch_interval and spool.max_bytes"),
    ("OTEL_ATTRIBUTE_", None, "attributes have bounds of their own"),
    ("OTEL_SPAN_", None, "attributes and events have bounds of their own"),
    ("OTEL_EVENT_", None, "attributes have bounds of their own"),
    ("OTEL_LINK_", None, "spans have no links"),
    ("OTEL_LOGRECORD_", None, "attributes have bounds of their own"),
    ("OTEL_PROPAGATORS", None, "no context is passed on"),
    ("OTEL_EXPORTER_PROMETHEUS_", None, "/metrics is served at health.listen"),
    ("OTEL_EXPORTER_ZIPKIN_", None, "drops are sent by OTLP only"),
    ("OTEL_EXPORTER_JAEGER_", None, "drops are sent by OTLP only"),
    (
        "OTEL_CONFIG_FILE",
        None,
        "declarative configuration is not read; --config names a file of this program's",
    ),
    (
        "OTEL_EXPERIMENTAL_CONFIG_FILE",
        None,
        "declarative configuration is not read; --config names a file of this program's",
    ),
    ("OTEL_ENTITIES", None, "OTEL_RESOURCE_ATTRIBUTES is read"),
];

/// One line for each standard variable that is set and changes nothing, in the order of their names.
pub fn ignored(sources: &Sources) -> Vec<String> {
    let known: Vec<String> = KEYS.iter().filter_map(|key| key.standard_variable()).collect();
    let heeded = |name: &str| WITHOUT_A_KEY.contains(&name) || known.iter().any(|known| known == name);
    let unheeded = sources.standard_variables().filter(|(name, _)| !heeded(name));
    let mut lines: Vec<_> = unheeded.filter_map(|(name, value)| why(name, value, &known)).collect();
    lines.extend(broken_resource(sources));
    lines
}

fn why(name: &str, value: &str, known: &[String]) -> Option<String> {
    if let Some((_, holds, why)) = IGNORED.iter().find(|(start, ..)| name.starts_with(start)) {
        let holds = holds.is_some_and(|holds| value.eq_ignore_ascii_case(holds));
        return (!holds).then(|| format!("{name} is ignored: {why}"));
    }
    let misspelt =
        known.iter().map(String::as_str).chain(WITHOUT_A_KEY).min_by_key(|known| distance(known, name));
    match misspelt.filter(|known| distance(known, name) <= 2) {
        Some(known) => Some(format!("{name} is ignored: no variable has this name; did you mean {known}?")),
        // Others are of other programs.
        None if name.starts_with("OTEL_EXPORTER_OTLP_") => {
            Some(format!("{name} is ignored: it is not known here; tcpdrop-otel --help names those that are"))
        }
        None => None,
    }
}

fn distance(known: &str, name: &str) -> usize {
    strsim::damerau_levenshtein(known, name)
}

fn broken_resource(sources: &Sources) -> Option<String> {
    resource::parse_attributes(sources.variable("OTEL_RESOURCE_ATTRIBUTES")?)
        .err()
        .map(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(environment: &[(&str, &str)]) -> Vec<String> {
        let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        ignored(&Sources { environment, ..Sources::default() })
    }

    #[test]
    fn what_is_heeded_or_empty_or_of_others_is_not_mentioned() {
        let heeded = KEYS.iter().filter_map(|key| key.standard_variable());
        for name in heeded.chain(WITHOUT_A_KEY.map(str::to_owned)) {
            assert_eq!(lines(&[(&name, "a=b")]), [""; 0], "{name}");
        }
        let others = [
            ("OTEL_BSP_SCHEDULE_DELAY", ""),
            ("OTEL_PYTHON_LOG_CORRELATION", "true"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Cumulative"),
        ];
        assert_eq!(lines(&others), [""; 0]);
    }

    #[test]
    fn what_changes_nothing_is_answered_with_a_word() {
        for (name, part) in [
            ("OTEL_TRACES_SAMPLER_ARG", "not sampled"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "spool.max_bytes"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "own log lines"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "cumulative"),
            ("OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT", "not known here"),
            ("OTEL_EXPORTER_OTLP_ENDPIONT", "did you mean OTEL_EXPORTER_OTLP_ENDPOINT?"),
            ("OTEL_SERVICENAME", "did you mean OTEL_SERVICE_NAME?"),
        ] {
            let lines = lines(&[(name, "x")]);
            assert!(lines.len() == 1 && lines[0].starts_with(name) && lines[0].contains(part), "{lines:?}");
        }
    }

    #[test]
    fn attributes_that_cannot_be_read_are_told_before_the_start() {
        assert!(lines(&[("OTEL_RESOURCE_ATTRIBUTES", "nonsense")])[0].contains("OTEL_RESOURCE_ATTRIBUTES"));
    }
}

//! [`effective`]: the settings that hold, each with where it came from. Secrets are hidden.
//!
//! Values are shown as they were given, for every key there is; defaults as the reference file has them.

use super::error::{ConfigError, Origin};
use super::keys::{KEYS, Key};
use super::load::load;
use super::model::{Config, Level, SeverityRule};
use super::read::Given;
use super::sources::{SourceFile, Sources};
use super::standard::{self, Said};
use std::fmt::Write;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

/// The reference: every setting with its default and what it means.
pub const REFERENCE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/tcpdrop-otel.toml"));

/// What stands in the place of a secret.
const HIDDEN: &str = "hidden";

/// Where a setting came from that nothing sets.
const DEFAULT: &str = "default";

/// A setting that holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its key, sections included.
    pub key: &'static str,
    /// Its value.
    pub value: Value,
    /// Where it came from: `default`, `FILE:LINE`, a variable's name, `--set`.
    pub origin: String,
    /// Whether it means something else than the default does.
    pub is_changed: bool,
}

/// The settings that `sources` make, in the order of the reference.
///
/// # Errors
/// All that is wrong with the sources.
pub fn effective(sources: &Sources) -> Result<Vec<Setting>, ConfigError> {
    let config = load(sources)?;
    let defaults = REFERENCE.parse::<Table>().unwrap_or_default();
    let file = sources.file.as_ref().and_then(FileView::new);
    let settings = KEYS.iter().map(|key| {
        let given = last_given(key, sources, file.as_ref());
        let (value, origin) = given.unwrap_or_else(|| {
            (find(&defaults, key.path).cloned().unwrap_or(Value::from("")), DEFAULT.to_owned())
        });
        let is_changed = origin != DEFAULT && read(key, &value).as_ref() != Some(&Config::default());
        match key.path {
            // The built-in rules hold besides the given ones.
            "severity" if origin != DEFAULT => {
                let origin = format!("{origin}, then the built-in rules");
                Setting { key: key.path, value: rules(&config.severity), origin, is_changed }
            }
            path => Setting { key: path, value: hide(key, value), origin, is_changed },
        }
    });
    Ok(settings.collect())
}

/// The value of the last layer that gives one: the order is that of [`load`].
fn last_given(key: &Key, sources: &Sources, file: Option<&FileView>) -> Option<(Value, String)> {
    let text = |text: &str, origin: &str| (value_of_text(key, text), origin.to_owned());
    let assignments = sources.sets.iter().rev().filter_map(|set| set.split_once('='));
    if let Some((_, value)) = { assignments }.find(|(path, _)| path.trim() == key.path) {
        return Some(text(value.trim(), "--set"));
    }
    let variable = key.variable();
    if let Some(value) = sources.variable(&variable) {
        return Some(text(value, &variable));
    }
    if let Some(Said { name, value: Ok(value) }) = standard::said(key, sources) {
        return Some(text(&value, &name));
    }
    file?.get(key.path)
}

/// A configuration file that holds.
struct FileView<'a> {
    file: &'a SourceFile,
    values: Table,
    spans: DeTable<'a>,
}

impl<'a> FileView<'a> {
    fn new(file: &'a SourceFile) -> Option<Self> {
        let spans = DeTable::parse(&file.text).ok()?.into_inner();
        Some(Self { file, values: file.text.parse().ok()?, spans })
    }

    fn get(&self, path: &str) -> Option<(Value, String)> {
        let value = find(&self.values, path)?.clone();
        let line = self.offset(path).map(|offset| self.file.text[..offset].matches('\n').count() + 1);
        let origin = Origin::File { path: self.file.path.clone(), line };
        Some((value, origin.to_string()))
    }

    fn offset(&self, path: &str) -> Option<usize> {
        let mut table = &self.spans;
        let (sections, name) = path.rsplit_once('.').unwrap_or(("", path));
        for section in sections.split('.').filter(|section| !section.is_empty()) {
            table = table.get(section)?.get_ref().as_table()?;
        }
        Some(table.get_key_value(name)?.0.span().start)
    }
}

fn find<'a>(table: &'a Table, path: &str) -> Option<&'a Value> {
    let (sections, name) = path.rsplit_once('.').unwrap_or(("", path));
    let mut table = table;
    for section in sections.split('.').filter(|section| !section.is_empty()) {
        table = table.get(section)?.as_table()?;
    }
    table.get(name)
}

/// The form that a file would have to have, to say the same as `text` does in a variable.
fn value_of_text(key: &Key, text: &str) -> Value {
    let as_written =
        format!("value = {text}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    let list = || Value::Array(text.split(',').map(|part| Value::from(part.trim())).collect());
    let pairs = || {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        Value::Table(pairs.map(|(name, value)| (name.trim().to_owned(), Value::from(value.trim()))).collect())
    };
    let forms = as_written.into_iter().chain([Value::from(text), list(), pairs()]);
    let mut forms = forms.filter(|form| reads_the_same(key, form, text));
    // Headers may be percent-encoded in a variable only; their values are hidden anyway.
    forms.next().unwrap_or_else(|| if is_headers(key) { pairs() } else { Value::from(text) })
}

fn reads_the_same(key: &Key, form: &Value, text: &str) -> bool {
    let from_form = read(key, form);
    from_form.is_some() && from_form == defaults_but_for(key, Given::Text(text))
}

/// The settings with this one alone; `None` if the value is not one that a file may have.
fn read(key: &Key, value: &Value) -> Option<Config> {
    let value = value.to_string();
    DeValue::parse(&value).ok().and_then(|value| defaults_but_for(key, Given::Toml(value.get_ref())))
}

fn defaults_but_for(key: &Key, given: Given) -> Option<Config> {
    let mut config = Config::default();
    (key.set)(&mut config, given).ok().map(|()| config)
}

fn is_headers(key: &Key) -> bool {
    key.path.ends_with(".headers")
}

fn hide(key: &Key, value: Value) -> Value {
    match value {
        Value::Table(headers) if is_headers(key) => {
            Value::Table(headers.into_iter().map(|(name, _)| (name, Value::from(HIDDEN))).collect())
        }
        // Keys to some back ends are in the URL.
        Value::String(url) if url.starts_with("http") && url.contains('?') => {
            let base = url.split('?').next().unwrap_or_default();
            Value::from(format!("{base}?{HIDDEN}"))
        }
        value => value,
    }
}

fn rules(rules: &[SeverityRule]) -> Value {
    let level = |level| match level {
        Level::Trace => "trace",
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let rule = |rule: &SeverityRule| {
        let reasons: Vec<_> = rule.reasons.iter().map(|reason| Value::from(reason.as_str())).collect();
        let classes: Vec<_> = rule.classes.iter().map(|class| Value::from(class.name())).collect();
        let lists = [("reasons", reasons), ("classes", classes)].into_iter();
        let lists = lists.filter(|(_, list)| !list.is_empty());
        let mut table: Table = lists.map(|(key, list)| (key.to_owned(), Value::Array(list))).collect();
        table.insert("level".to_owned(), Value::from(level(rule.level)));
        table
    };
    Value::Array(rules.iter().map(|one| Value::Table(rule(one))).collect())
}

/// The settings as a configuration file, each with its origin as a comment.
pub fn as_toml(settings: &[Setting]) -> String {
    let section_of = |setting: &Setting| setting.key.rsplit_once('.').map_or("", |(section, _)| section);
    let mut sections: Vec<&str> = Vec::new();
    for section in settings.iter().map(section_of).filter(|section| !section.is_empty()) {
        if !sections.contains(&section) {
            sections.push(section);
        }
    }
    let mut text = String::new();
    let mut write = |settings: &mut dyn Iterator<Item = &Setting>| {
        for Setting { key, value, origin, .. } in settings {
            let name = key.rsplit_once('.').map_or(*key, |(_, name)| name);
            // A path may hold anything; a comment ends with its line.
            let origin: String = origin.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            // Writing to a string does not fail.
            _ = match value {
                Value::Array(tables) if tables.iter().all(Value::is_table) && !tables.is_empty() => {
                    writeln!(text, "{name} = [ # {origin}")
                        .and_then(|()| tables.iter().try_for_each(|table| writeln!(text, "    {table},")))
                        .and_then(|()| writeln!(text, "]"))
                }
                value => writeln!(text, "{name} = {value} # {origin}"),
            };
        }
        std::mem::take(&mut text)
    };
    let mut file = write(&mut settings.iter().filter(|setting| section_of(setting).is_empty()));
    for section in sections {
        let of_section = write(&mut settings.iter().filter(|setting| section_of(setting) == section));
        _ = write!(file, "\n[{section}]\n{of_section}");
    }
    file
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sources(file: Option<&str>, environment: &[(&str, &str)], sets: &[&str]) -> Sources {
        Sources {
            file: file.map(|text| SourceFile { path: "/etc/my.toml".into(), text: text.to_owned() }),
            environment: environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            sets: sets.iter().map(|set| (*set).to_owned()).collect(),
        }
    }

    fn shown(sources: &Sources, key: &str) -> (String, String) {
        let settings = effective(sources).unwrap();
        let setting = settings.into_iter().find(|setting| setting.key == key).unwrap();
        (setting.value.to_string(), setting.origin)
    }

    #[track_caller]
    fn assert_shows(sources: &Sources, key: &str, value: &str, origin: &str) {
        assert_eq!(shown(sources, key), (value.to_owned(), origin.to_owned()));
    }

    #[test]
    fn each_setting_says_where_it_came_from() {
        let file =
            "[dedup]\nwindow = \"1m\"\n\n[probe]\nstack_depth = 8\nring_bytes = 65536\n[limit]\nburst = 1\n";
        let environment = [
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://general:4318"),
            ("TCPDROP_OTEL_EXPORT_ENDPOINT", "http://own:4318"),
            ("TCPDROP_OTEL_LIMIT_BURST", "7"),
            ("TCPDROP_OTEL_ENRICH_SYMBOLS", "false"),
        ];
        let sources =
            sources(Some(file), &environment, &["limit.burst=8", "limit.burst = 9", "dedup.max_stacks=5"]);
        assert_shows(&sources, "dedup.window", "\"1m\"", "/etc/my.toml:2");
        assert_shows(&sources, "probe.ring_bytes", "65536", "/etc/my.toml:6");
        assert_shows(&sources, "limit.burst", "9", "--set");
        assert_shows(&sources, "enrich.symbols", "false", "TCPDROP_OTEL_ENRICH_SYMBOLS");
        assert_shows(&sources, "export.timeout", "\"2500ms\"", "OTEL_EXPORTER_OTLP_TIMEOUT");
        assert_shows(&sources, "export.endpoint", "\"http://own:4318\"", "TCPDROP_OTEL_EXPORT_ENDPOINT");
        assert_shows(&sources, "health.listen", "\"127.0.0.1:13134\"", "default");
        assert_eq!(reload(&sources), load(&sources).unwrap());
    }

    #[test]
    fn standard_variables_are_shown_as_what_they_mean() {
        let environment = [
            ("OTEL_SDK_DISABLED", "true"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "5000"),
            ("OTEL_LOG_LEVEL", "VERBOSE"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
            ("OTEL_EXPORTER_OTLP_INSECURE", "true"),
        ];
        let sources = sources(None, &environment, &[]);
        assert_shows(&sources, "export.logs.exporter", "\"none\"", "OTEL_SDK_DISABLED");
        assert_shows(&sources, "telemetry.otlp_logs", "false", "OTEL_SDK_DISABLED");
        assert_shows(&sources, "telemetry.metrics_interval", "\"5000ms\"", "OTEL_METRIC_EXPORT_INTERVAL");
        assert_shows(&sources, "telemetry.log_level", "\"trace\"", "OTEL_LOG_LEVEL");
        assert_shows(&sources, "export.endpoint", "\"http://collector:4317\"", "OTEL_EXPORTER_OTLP_ENDPOINT");
        assert_eq!(reload(&sources), load(&sources).unwrap());
    }

    #[test]
    fn what_means_the_same_as_the_default_is_not_changed() {
        let file = "[dedup]\nwindow = \"10000ms\"\n[limit]\nburst = 50\nglobal_per_second = 1\n";
        let sources = sources(Some(file), &[("OTEL_EXPORTER_OTLP_HEADERS", "a=open%20sesame")], &[]);
        let changed: Vec<_> =
            effective(&sources).unwrap().into_iter().filter(|setting| setting.is_changed).collect();
        let keys: Vec<_> = changed.iter().map(|setting| setting.key).collect();
        assert_eq!(keys, ["limit.global_per_second", "export.headers"]);
        assert!(!as_toml(&changed).contains("sesame"));
    }

    fn reload(sources: &Sources) -> Config {
        let text = as_toml(&effective(sources).unwrap());
        load(&self::sources(Some(&text), &[], &[])).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    /// For every key, also those that come later: what is shown of a value in a variable reads back as the same.
    #[test]
    fn what_is_shown_loads_as_the_same_settings() {
        assert_eq!(reload(&Sources::default()), Config::default());
        let reference = REFERENCE.parse::<Table>().unwrap();
        for key in KEYS.iter().filter(|key| !is_headers(key)) {
            let default = find(&reference, key.path).unwrap();
            let text = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
            let sources = sources(None, &[(&key.variable(), &text)], &[]);
            if let Ok(config) = load(&sources) {
                assert_eq!(reload(&sources), config, "{}", key.path);
            }
        }
    }

    #[test]
    fn rules_of_severity_come_before_the_built_in_ones() {
        let file = "[[severity]]\nreasons = [\"NO_SOCKET\"]\nlevel = \"error\"\n";
        let sources = sources(Some(file), &[], &[]);
        let (rules, origin) = shown(&sources, "severity");
        let first = "[{ level = \"error\", reasons = [\"NO_SOCKET\"] }, { classes = [\"no_listener\"";
        assert!(rules.starts_with(first), "{rules}");
        assert_eq!(origin, "/etc/my.toml:1, then the built-in rules");
        assert_eq!(reload(&sources), load(&sources).unwrap());
    }

    #[test]
    fn secrets_are_hidden() {
        let file = "[export]\nheaders = { api-key = \"sesame\" }\n[export.logs]\nendpoint = \"https://a/b?key=sesame\"\n";
        let environment = [("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a=sesame,b=open%20sesame")];
        let sources = sources(Some(file), &environment, &[]);
        let text = as_toml(&effective(&sources).unwrap());
        assert!(!text.contains("sesame"), "{text}");
        assert_shows(&sources, "export.headers", "{ api-key = \"hidden\" }", "/etc/my.toml:2");
        let origin = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
        assert_shows(&sources, "export.traces.headers", "{ a = \"hidden\", b = \"hidden\" }", origin);
        assert_shows(&sources, "export.logs.endpoint", "\"https://a/b?hidden\"", "/etc/my.toml:4");
        reload(&sources);
    }
}

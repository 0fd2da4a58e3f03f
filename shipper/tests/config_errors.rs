//! What is said about mistakes, word for word; and that no input at all makes the loader panic.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use tcpdrop_otel::config::{Origin, SourceFile, Sources, load};

const REFERENCE: &str = include_str!("../../config/tcpdrop-otel.toml");

fn in_file(text: &str) -> Sources {
    let file = SourceFile { path: PathBuf::from("/etc/test.toml"), text: text.to_owned() };
    Sources { file: Some(file), ..Sources::default() }
}

fn in_environment(variables: &[(&str, &str)]) -> Sources {
    let environment = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Sources { environment: environment.collect(), ..Sources::default() }
}

fn in_sets(sets: &[&str]) -> Sources {
    Sources { sets: sets.iter().map(|&set| set.to_owned()).collect(), ..Sources::default() }
}

fn complaints(sources: &Sources) -> String {
    load(sources).unwrap_err().to_string()
}

/// Compares lines, whatever the indentation of `wanted`.
#[track_caller]
fn assert_complaints(sources: &Sources, wanted: &str) {
    let wanted: Vec<_> = wanted.trim().lines().map(str::trim).collect();
    assert_eq!(complaints(sources), wanted.join("\n"));
}

#[test]
fn unknown_names_come_with_the_nearest() {
    let file = "\
endpoint = 'http://collector'
colour = true

[dedup]
windw = '5s'
max_stack = 5

[limt]
burst = 5

[limit]
window = '5s'

[export.log]
timeout = '1s'

[enrich.symbols]
on = true
";
    assert_complaints(
        &in_file(file),
        r#"
        /etc/test.toml:1: unknown key `endpoint`; did you mean `export.endpoint`?
        /etc/test.toml:2: unknown key `colour`
        /etc/test.toml:5: unknown key `dedup.windw`; did you mean `dedup.window`?
        /etc/test.toml:6: unknown key `dedup.max_stack`; did you mean `dedup.max_stacks`?
        /etc/test.toml:8: unknown section `limt`; did you mean `limit`?
        /etc/test.toml:12: unknown key `limit.window`; did you mean `dedup.window`?
        /etc/test.toml:14: unknown section `export.log`; did you mean `export.logs`?
        /etc/test.toml:17: `enrich.symbols` must be true or false, not a table
        "#,
    );
}

#[test]
fn wrong_types_and_impossible_values_are_told_one_a_line() {
    let file = "\
spool = 'disk'

[probe]
ring_bytes = 5_000_000
stack_depth = 0

[dedup]
window = 10
max_flows_per_stack = -1
max_stacks = 99999999999999999999999

[limit]
per_stack_per_second = 0
burst = 1.5
global_per_second = '500'

[enrich]
symbols = 'yes'

[spans]
emit = 'Always'
events = []

[export]
endpoint = 'localhost:4318'
protocol = 'GRPC'
compression = 'zstd'
timeout = '0s'
batch_interval = '2h'
headers = 'api-key=secret'

[health]
listen = 'localhost:13134'

[telemetry]
log_level = 'warning'
log_format = 2026-01-01
";
    assert_complaints(
        &in_file(file),
        r#"
        /etc/test.toml:1: `spool` is a section: write `[spool]`
        /etc/test.toml:4: `probe.ring_bytes` must be a power of two such as "8MiB", not 5000000
        /etc/test.toml:5: `probe.stack_depth` must be a whole number from 1 to 64, not 0
        /etc/test.toml:8: `dedup.window` must be a duration from 1ms to 1h such as "10s", "200ms" or "1m30s", not 10
        /etc/test.toml:9: `dedup.max_flows_per_stack` must be a whole number from 1 to 4096, not -1
        /etc/test.toml:10: `dedup.max_stacks` must be a whole number from 1 to 1048576, not 99999999999999999999999
        /etc/test.toml:13: `limit.per_stack_per_second` must be a whole number from 1 to 1000000, not 0
        /etc/test.toml:14: `limit.burst` must be a whole number from 1 to 1000000, not 1.5
        /etc/test.toml:15: `limit.global_per_second` must be a whole number from 1 to 1000000, not "500"
        /etc/test.toml:18: `enrich.symbols` must be true or false, not "yes"
        /etc/test.toml:21: `spans.emit` must be `always` or `never`, not "Always"; did you mean `always`?
        /etc/test.toml:22: `spans.events` must be `full` or `none`, not a list
        /etc/test.toml:25: `export.endpoint` must begin with http:// or https://, not "localhost:4318"; did you mean `http://localhost:4318`?
        /etc/test.toml:26: `export.protocol` must be `http/protobuf`, `http/json` or `grpc`, not "GRPC"; did you mean `grpc`?
        /etc/test.toml:27: `export.compression` must be `gzip` or `none`, not "zstd"
        /etc/test.toml:28: `export.timeout` must be a duration from 1ms to 1h such as "10s", "200ms" or "1m30s", not "0s"
        /etc/test.toml:29: `export.batch_interval` must be a duration from 1ms to 1h such as "10s", "200ms" or "1m30s", not "2h"
        /etc/test.toml:30: `export.headers` must be a table such as { api-key = "..." }
        /etc/test.toml:33: `health.listen` must be an IP address and a port such as "127.0.0.1:13134" or "[::1]:13134", not "localhost:13134"
        /etc/test.toml:36: `telemetry.log_level` must be `trace`, `debug`, `info`, `warn` or `error`, not "warning"
        /etc/test.toml:37: `telemetry.log_format` must be `text` or `json`, not 2026-01-01
        "#,
    );
}

#[test]
fn headers_are_told_without_their_values() {
    let file = "\
[export.headers]
'api key' = 'secret'
ok = 'secret'
OK = 'secret'
number = 5
newline = \"secret\\n\"
content-type = 'secret'
";
    assert_complaints(
        &in_file(file),
        r#"
        /etc/test.toml:2: `export.headers` has "api key", which cannot be the name of a header
        /etc/test.toml:3: `export.headers` has "ok" twice (upper and lower case are the same)
        /etc/test.toml:5: `export.headers` has a value for "number" that is not a text in quotes
        /etc/test.toml:6: `export.headers` has a value for `newline` with a line break or another character that no header may hold
        /etc/test.toml:7: `export.headers` must not set `content-type`: the exporter does
        "#,
    );
}

#[test]
fn severity_rules_are_told_apart() {
    let file = "\
[[severity]]
reasons = []
level = 'info'

[[severity]]
reason = ['NO_SOCKET']
level = 'fatal'

[[severity]]
reasons = ['NO SOCKET', 5]
level = 'info'

[[severity]]
classes = ['netfiler', 'Memory']
level = 'info'
";
    assert_complaints(
        &in_file(file),
        r#"
        /etc/test.toml:2: `severity[0].reasons` must be names of drop reasons such as ["NO_SOCKET", "TCP_RESET"]
        /etc/test.toml:5: `severity[1]` has no `reasons` and no `classes`
        /etc/test.toml:6: `severity[1]` has the unknown key `reason`; did you mean `reasons`?
        /etc/test.toml:7: `severity[1].level` must be `trace`, `debug`, `info`, `warn` or `error`, not "fatal"
        /etc/test.toml:10: `severity[2].reasons` must be names of drop reasons such as ["NO_SOCKET", "TCP_RESET"]
        /etc/test.toml:14: `severity[3].classes[0]` is no class: "netfiler"; did you mean `netfilter`?
        "#,
    );
    assert_complaints(
        &in_file("severity = 5"),
        r#"
        /etc/test.toml:1: `severity` must be rules such as [{ reasons = ["NO_SOCKET"], level = "info" }]; in a file, under `[[severity]]`
        "#,
    );
    assert_complaints(
        &in_file("severity = ['NO_SOCKET']"),
        r#"
        /etc/test.toml:1: `severity[0]` must be a table with `reasons` or `classes`, and `level`
        "#,
    );
    assert_complaints(
        &in_sets(&["severity=info", "severity=[{ level = 'inf' }]"]),
        r#"
        --set: `severity` must be rules such as [{ reasons = ["NO_SOCKET"], level = "info" }]
        --set: `severity[0].level` must be `trace`, `debug`, `info`, `warn` or `error`, not "inf"; did you mean `info`?
        --set: `severity[0]` has no `reasons` and no `classes`
        "#,
    );
}

#[test]
fn what_is_not_toml_is_told_once_a_line() {
    assert_complaints(
        &in_file("[dedup]\nwindow = 10s\n\n[spool]\nmode = memory\na:b:c:d\n"),
        r#"
        /etc/test.toml:2: not TOML: string values must be quoted, expected literal string
        /etc/test.toml:5: not TOML: string values must be quoted, expected literal string
        /etc/test.toml:6: not TOML: invalid unquoted key, expected letters, numbers, `-`, `_`
        "#,
    );
    assert_complaints(
        &in_file("[dedup\nwindow = 10s\n\n[spool]\nmode = \"memory\n"),
        r#"
        /etc/test.toml:1: not TOML: unclosed table, expected `]`
        /etc/test.toml:5: not TOML: invalid basic string, expected `"`
        "#,
    );
    assert_complaints(
        &in_file("[dedup]\nwindow = '1s'\nwindow = '2s'\n\n[dedup]\n"),
        r#"
        /etc/test.toml:3: not TOML: duplicate key
        /etc/test.toml:5: not TOML: duplicate key
        "#,
    );
}

#[test]
fn of_many_unknown_keys_the_first_are_told_with_what_was_meant() {
    let keys: String = (0..300).map(|number| format!("dedup.windoww{number} = 1\n")).collect();
    let complaints = complaints(&in_file(&keys));
    let told = complaints.lines().take(100).filter(|line| line.ends_with("did you mean `dedup.window`?"));
    assert_eq!(told.count(), 100, "{complaints}");
    assert!(complaints.ends_with("and 200 more problems: is it the right file?"), "{complaints}");
}

#[test]
fn a_file_of_something_else_is_not_told_line_by_line() {
    let complaints = complaints(&in_file(&"what is this\n".repeat(5000)));
    assert_eq!(complaints.lines().count(), 101);
    assert!(complaints.ends_with("more problems: is it the right file?"), "{complaints}");
}

#[test]
fn the_environment_is_told_by_its_variables() {
    let sources = in_environment(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "htpps://otlp.example.com"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/jsn"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gz"),
        ("OTEL_LOGS_EXPORTER", "console"),
        ("OTEL_SDK_DISABLED", "1"),
        ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "yes"),
        ("TCPDROP_OTEL_DEDUP_WINDW", "5s"),
        ("TCPDROP_OTEL_PROBE_STACK_DEPTH", "65"),
        ("TCPDROP_OTEL_X", ""),
    ]);
    assert_complaints(
        &sources,
        r#"
        environment: `OTEL_EXPORTER_OTLP_ENDPOINT` must begin with http:// or https://, not "htpps://otlp.example.com"; did you mean `https://otlp.example.com`?
        environment: `OTEL_EXPORTER_OTLP_HEADERS` must be a list such as name=value,name2=value2: part 1 has no `=`
        environment: `OTEL_EXPORTER_OTLP_COMPRESSION` must be `gzip` or `none`, not "gz"
        environment: `OTEL_EXPORTER_OTLP_TIMEOUT` must be a whole number of milliseconds, not "10s"
        environment: `OTEL_LOGS_EXPORTER` must be `otlp` or `none`, not "console"
        environment: `OTEL_EXPORTER_OTLP_LOGS_PROTOCOL` must be `http/protobuf`, `http/json` or `grpc`, not "http/jsn"; did you mean `http/json`?
        environment: `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT` must be a duration from 1ms to 1h such as "10s", "200ms" or "1m30s", not "0ms"
        environment: `OTEL_SDK_DISABLED` must be true or false, not "1"
        environment: `OTEL_EXPORTER_OTLP_TRACES_INSECURE` must be true or false, not "yes"
        environment: `TCPDROP_OTEL_PROBE_STACK_DEPTH` must be a whole number from 1 to 64, not "65"
        environment: unknown variable `TCPDROP_OTEL_DEDUP_WINDW`; did you mean `TCPDROP_OTEL_DEDUP_WINDOW`?
        environment: unknown variable `TCPDROP_OTEL_X`
        "#,
    );
}

#[test]
fn assignments_are_told_as_such() {
    assert_complaints(
        &in_sets(&[
            "dedup.window",
            "dedup=1",
            "limit.window=1s",
            "export.endpoint=x:",
            "=1",
            "spool.max_bytes=1k",
        ]),
        r#"
        --set: "dedup.window" must be KEY=VALUE, such as dedup.window=5s
        --set: `dedup` is a section: name a key, dedup.KEY
        --set: unknown key `limit.window`; did you mean `dedup.window`?
        --set: `export.endpoint` must begin with http:// or https://, not "x:"
        --set: unknown key ``
        --set: `spool.max_bytes` must be a size from 16KiB to 1TiB such as "64MiB" or 65536, not "1k"
        "#,
    );
}

#[test]
fn mistakes_of_all_layers_are_told_at_once() {
    let mut sources = in_file("[dedup]\nwindow = 1");
    sources.environment = in_environment(&[("TCPDROP_OTEL_LIMIT_BURST", "x")]).environment;
    sources.sets = vec!["enrich.symbols=x".to_owned()];
    let origins: Vec<_> =
        load(&sources).unwrap_err().problems.into_iter().map(|problem| problem.origin).collect();
    let file = Origin::File { path: PathBuf::from("/etc/test.toml"), line: Some(2) };
    assert_eq!(origins, [file, Origin::Environment, Origin::Set]);
}

/// xorshift64*, seeded: the same inputs in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bound = u64::try_from(bound).unwrap();
        usize::try_from((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % bound).unwrap()
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }

    fn mutated(&mut self, text: &str) -> String {
        const PIECES: [&str; 14] = [
            "\"",
            "'",
            "[",
            "]]",
            "{",
            "}",
            "=",
            ".",
            "\n",
            "#",
            "\\",
            "-0x",
            "\"\"\"",
            "99999999999999999999",
        ];
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(40)).min(bytes.len());
            let new = match self.below(4) {
                0 => Vec::new(),
                1 => self.bytes(8),
                2 => PIECES[self.below(PIECES.len())].as_bytes().to_vec(),
                _ => bytes[at..end].repeat(2),
            };
            bytes.splice(at..end, new);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Loads, and checks that each complaint is one line that names a line of the file.
fn load_anything(sources: &Sources) {
    let Err(error) = load(sources) else { return };
    assert!(!error.problems.is_empty());
    for problem in error.problems {
        assert!(!problem.to_string().contains('\n'), "{problem}");
        if let (Origin::File { line: Some(line), .. }, Some(file)) = (problem.origin, &sources.file) {
            assert!((1..=file.text.split('\n').count()).contains(&line), "{line}: {}", file.text);
        }
    }
}

#[test]
fn no_file_makes_it_panic() {
    let mut random = Random(1);
    for _ in 0..500 {
        let noise = random.bytes(200);
        load_anything(&in_file(&String::from_utf8_lossy(&noise)));
        load_anything(&in_file(&random.mutated(REFERENCE)));
    }
}

#[test]
fn no_text_value_makes_it_panic() {
    let defaults = [
        ("EXPORT_ENDPOINT", "http://[::1]:4318/a?b#c"),
        ("EXPORT_HEADERS", "a=%20,b=c"),
        ("SEVERITY", r#"[{ reasons = ["A"], level = "info" }]"#),
        ("DEDUP_WINDOW", "1m30s"),
        ("PROBE_RING_BYTES", "64MiB"),
        ("HEALTH_LISTEN", "[::1]:13134"),
        ("TELEMETRY_LOG_LEVEL", "info"),
    ];
    let mut random = Random(2);
    for _ in 0..500 {
        let mut environment = vec![(random.mutated("TCPDROP_OTEL_DEDUP_WINDOW"), "1s".to_owned())];
        for (name, value) in defaults {
            environment.push((format!("TCPDROP_OTEL_{name}"), random.mutated(value)));
        }
        load_anything(&Sources { environment, sets: vec![random.mutated("dedup.window=5s")], file: None });
    }
}

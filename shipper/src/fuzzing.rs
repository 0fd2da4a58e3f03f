//! What the fuzz targets in `fuzz/` do with their inputs: a function for each parser of bytes or text from outside. Each
//! demands more than that there is no panic. The corpus runs through them as an ordinary test.

use crate::btf::{Btf, reasons};
use crate::config::{Config, SourceFile, Sources, headers as header_texts, load};
use crate::drop_report::{DropReport, GroupReport, SilentReport, SuppressedReport};
use crate::export::service::Service;
use crate::export::{Contents, answer as http_answer, grpc_answer};
use crate::filter::parse;
use crate::otlp::resource::parse_attributes;
use crate::pipeline::Sink;
use crate::reasons::{Cause, canonical, classify};
use crate::recording::format::{Clock, Header};
use crate::recording::reader::Reader;
use crate::recording::replay::replay;
use crate::silent::netstat::Reading;
use crate::stack::{KernelFunctions, group_hash};
use crate::wire::{STACK_DEPTH, decode};
use http::{HeaderMap, HeaderValue, StatusCode};
use std::str::from_utf8;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

/// Names that the queries of the BTF targets ask for; the corpus has them.
const TYPE: &str = "t";

/// An event of the ring.
pub fn wire(data: &[u8]) {
    let Ok(drop) = decode(data) else { return };
    assert!(drop.stack.len() <= STACK_DEPTH);
    let site = drop.stack.first().map(|_| "tcp_v4_rcv");
    let _ = (group_hash(&drop.stack, drop.site), classify(Cause::of(drop.reason, None), site, Some(&drop)));
}

/// Counts what arrives.
#[derive(Default)]
struct Counted {
    drops: u64,
}

impl Sink for &mut Counted {
    fn drops(&mut self, report: DropReport) {
        self.drops += report.summary.tally.count;
    }
    fn group(&mut self, report: GroupReport) {
        assert!(!report.flows.is_empty());
    }
    fn suppressed(&mut self, _report: SuppressedReport) {}
    fn silent(&mut self, _report: SilentReport) {}
    fn flush(&mut self) {}
}

/// The header of a recording by this program.
static HEADER: LazyLock<Header> =
    LazyLock::new(|| Header::new("6.18".to_owned(), Default::default(), Clock { boot_ns: 1, unix_ns: 2 }));

/// The lines of a recording after its header. All events that can be decoded are told.
pub fn recording(data: &[u8]) {
    let mut reader = Reader::after(HEADER.clone(), Vec::new(), data);
    let mut counted = Counted::default();
    if let Ok(replayed) = replay(&mut reader, &SETTINGS, |_, _| &mut counted, || false) {
        assert_eq!(counted.drops, replayed.events - replayed.undecodable);
    }
}

/// The settings of replays.
static SETTINGS: LazyLock<Config> = LazyLock::new(Config::default);

/// The header of a recording, and what its layout makes of an event of as many bytes as there are.
pub fn recording_header(data: &[u8]) {
    if let Ok(mut reader) = Reader::new(data) {
        while let Ok(Some(_)) = reader.next_item() {}
    }
}

/// The kernel's BTF.
pub fn btf(data: &[u8]) {
    if let Ok(btf) = Btf::parse(data.to_vec()) {
        query(&btf, &btf);
    }
}

/// A module's BTF: after a byte that says how many words of 4 bytes belong to the kernel's.
pub fn btf_split(data: &[u8]) {
    let Some((&words, data)) = data.split_first() else { return };
    let (kernel, module) = data.split_at(data.len().min(4 * usize::from(words)));
    let Ok(kernel) = Btf::parse(kernel.to_vec()).map(Arc::new) else { return };
    if let Ok(module) = Btf::parse_split(module.to_vec(), &kernel) {
        query(&kernel, &module);
    }
}

fn query(kernel: &Btf, btf: &Btf) {
    let subsystems = reasons::subsystems(kernel);
    assert!(!subsystems.contains_key(&0));
    let names = reasons::of_subsystems(btf, &subsystems);
    assert!(names.iter().all(|(&code, name)| reasons::is_of_subsystem(code) && !name.is_empty()));
    assert!(reasons::of_core(kernel).values().all(|name| name != "MAX"));
    let _ =
        (btf.struct_members(TYPE), btf.struct_size(TYPE), btf.parameter_count(TYPE), btf.enum_members(TYPE));
}

/// Settings: the file, then after a zero each, assignments: variables of the environment by their names, else `--set`.
pub fn config(data: &[u8]) {
    let Some(sources) = sources(data) else { return };
    if let Err(error) = load(&sources) {
        let lines = error.to_string();
        assert_eq!(lines.lines().count(), error.problems.len(), "a line each: {lines}");
        assert!(!lines.contains(|c: char| c.is_control() && c != '\n'), "{lines:?}");
    }
}

fn sources(data: &[u8]) -> Option<Sources> {
    let mut parts = from_utf8(data).ok()?.split('\0').map(str::to_owned);
    let file = parts.next().map(|text| SourceFile { path: "/f".into(), text });
    let is_variable = |part: &String| part.starts_with("OTEL_") || part.starts_with("TCPDROP_OTEL_");
    let (variables, sets): (Vec<_>, Vec<_>) = parts.partition(is_variable);
    let split = |part: String| part.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    Some(Sources { file, environment: variables.into_iter().filter_map(split).collect(), sets })
}

/// Headers and resource attributes. No error repeats a secret.
pub fn headers(data: &[u8]) {
    const SECRET: &str = "s3cr3t";
    let Ok(text) = from_utf8(data) else { return };
    let from_file = header_texts::parse_file(&format!("api-key: {SECRET}{text}"));
    let from_variable = header_texts::parse(&format!("api-key={SECRET}{text}"));
    for error in [from_file, from_variable].into_iter().filter_map(Result::err) {
        assert!(!error.contains(SECRET), "{error}");
    }
    let _ = (header_texts::parse_file(text), header_texts::parse(text), parse_attributes(text));
}

/// What a receiver answers, over HTTP and gRPC: two bytes for the status, one for the service and the form, one for the
/// length of a header's value, that value, the body. Whatever it says, all records are accounted for.
pub fn answer(data: &[u8]) {
    let [high, low, form, length, rest @ ..] = data else { return };
    let (value, body) = rest.split_at(rest.len().min(usize::from(*length)));
    let service = [Service::Logs, Service::Traces, Service::Metrics][usize::from(form & 3).min(2)];
    let media = ["application/x-protobuf", "application/json", "text/html", ""][usize::from(form >> 2 & 3)];
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static(media));
    if let Ok(value) = HeaderValue::from_bytes(value) {
        for name in ["retry-after", "grpc-status", "grpc-message", "grpc-status-details-bin"] {
            headers.insert(name, value.clone());
        }
    }
    let contents = Contents { records: 3, drops: 12, totals: u64::from(form >> 4) };
    let status = StatusCode::from_u16(u16::from_be_bytes([*high, *low])).unwrap_or(StatusCode::OK);
    let over_http = http_answer::classify(service, status, &headers, body, SystemTime::UNIX_EPOCH);
    // A status in few digits, so that the other headers matter too.
    headers.insert("grpc-status", HeaderValue::from(u16::from(*low)));
    let over_grpc = grpc_answer::classify(service, &headers, body);
    for answer in std::iter::once(over_http).chain(over_grpc) {
        assert!(answer.outcome(contents).is_none_or(|outcome| outcome.contents() == contents), "{answer:?}");
    }
}

/// An entry of a filter, as each kind.
pub fn filter(data: &[u8]) {
    let Ok(text) = from_utf8(data) else { return };
    if let Ok(ports) = parse::ports(text) {
        assert!(ports.start() <= ports.end());
    }
    if let Ok(name) = parse::reason(text) {
        assert_eq!(name, canonical(text));
        assert!(name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'));
    }
    if let Ok(prefix) = parse::prefix(text) {
        assert_eq!(parse::prefix(&prefix.to_string()), Ok(prefix), "its own form is read back");
    }
    let _ = (parse::namespace(text), parse::direction(text), crate::reasons::find(text));
}

/// `/proc/kallsyms`: eight bytes of an address, then the text.
pub fn kallsyms(data: &[u8]) {
    let Some((address, text)) = data.split_first_chunk() else { return };
    let Ok(KernelFunctions { boundaries, .. }) = KernelFunctions::read(text, &["kfree_skb"]) else { return };
    let address = u64::from_le_bytes(*address);
    let stack = [address, 1, u64::MAX, address.wrapping_add(1)];
    assert!(
        boundaries.cause(&stack, address).first() == Some(&address) || boundaries.cut_at(address).is_some()
    );
}

/// A namespace's `netstat`.
pub fn netstat(data: &[u8]) {
    let Some(text) = from_utf8(data).ok() else { return };
    if let Some(reading) = Reading::parse(text) {
        assert!(text.contains(&reading.drops.to_string()));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::show::{as_toml, effective};
    use std::path::Path;

    type Target = fn(&[u8]);

    /// Inputs that were interesting once, those that found a mistake among them.
    #[test]
    fn the_corpus_passes() {
        let targets: [(&str, Target); 11] = [
            ("answer", answer),
            ("btf", btf),
            ("btf_split", btf_split),
            ("config", config),
            ("filter", filter),
            ("headers", headers),
            ("kallsyms", kallsyms),
            ("netstat", netstat),
            ("recording", recording),
            ("recording_header", recording_header),
            ("wire", wire),
        ];
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let directories = std::fs::read_dir(&corpus).unwrap().count();
        assert_eq!(directories, targets.len());
        for (name, target) in targets {
            let inputs: Vec<_> = std::fs::read_dir(corpus.join(name)).unwrap().collect();
            assert!(inputs.len() > 1, "{name}");
            for input in inputs {
                target(&std::fs::read(input.unwrap().path()).unwrap());
            }
        }
    }

    /// Too slow for the fuzzer: what is shown of settings loads as the same. Secrets are hidden: they are another then.
    #[test]
    fn what_is_shown_of_the_corpus_loads_again() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/config");
        for input in std::fs::read_dir(corpus).unwrap() {
            let Some(sources) = sources(&std::fs::read(input.unwrap().path()).unwrap()) else { continue };
            let Ok(config) = load(&sources) else { continue };
            let text = as_toml(&effective(&sources).unwrap());
            let shown = Sources {
                file: Some(SourceFile { path: "/f".into(), text: text.clone() }),
                ..Sources::default()
            };
            let again = load(&shown).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert!(again == config || text.contains("hidden"), "{text}");
        }
    }
}

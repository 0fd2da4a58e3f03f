//! What holds for every record, and how a test picks its own.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use tcpdrop_otel_tests::netns::Namespace;
use tcpdrop_otel_tests::otlp_json::{Attributes, LogRecord, Span, SpanEvent};

/// A TCP port that nobody listens at in the tests' namespaces.
pub(crate) const CLOSED_PORT: u16 = 9;

/// Severity number of WARN, from which on a record has an `error.type`.
const WARN: u64 = 13;

/// Functions that trace a drop or free its packet, which no stack may begin with.
const TRACING: [&str; 6] =
    ["bpf_prog_", "bpf_trace_run", "__bpf_", "__traceiter_", "kfree_skb", "sk_skb_reason_drop"];

/// Whether these are attributes of a drop in `namespace` for `reason`.
pub(crate) fn dropped_in(attributes: &Attributes, namespace: &Namespace, reason: &str) -> bool {
    attributes.text("tcpdrop.netns") == Some(&namespace.inode.to_string())
        && attributes.text("tcpdrop.reason") == Some(reason)
}

/// Source and destination as in the packet's headers.
pub(crate) fn flow(attributes: &Attributes) -> Option<(SocketAddr, SocketAddr)> {
    Some((end(attributes, "source")?, end(attributes, "destination")?))
}

/// The namespace's own end and the other, as the record says.
pub(crate) fn local_and_peer(attributes: &Attributes) -> Option<(SocketAddr, SocketAddr)> {
    Some((end(attributes, "network.local")?, end(attributes, "network.peer")?))
}

fn end(attributes: &Attributes, name: &str) -> Option<SocketAddr> {
    let address: IpAddr = attributes.text(&format!("{name}.address"))?.parse().ok()?;
    let port = attributes.number(&format!("{name}.port"))?;
    Some(SocketAddr::new(address, u16::try_from(port).ok()?))
}

/// The number of drops: the sum of `tcpdrop.count`. Those that the kernel does not report stand outside.
pub(crate) fn drops<'a>(records: impl IntoIterator<Item = &'a LogRecord>) -> u64 {
    records.into_iter().filter(|record| !is_silent(record)).map(LogRecord::count).sum()
}

/// Whether it tells of SYNs that were refused without a drop.
pub(crate) fn is_silent(record: &LogRecord) -> bool {
    record.attributes.text("tcpdrop.record") == Some("silent")
}

/// Checks what holds for the log record of every drop.
pub(crate) fn assert_drop_record(record: &LogRecord) {
    let attributes = &record.attributes;
    assert_eq!(record.event_name, "tcpdrop.packet.dropped", "{record:#?}");
    assert_eq!(attributes.text("tcpdrop.record"), Some("drop"), "{record:#?}");
    assert_stack(attributes);
    assert_eq!(attributes.has("error.type"), record.severity_number >= WARN, "{record:#?}");
    assert!(record.time > 0 && record.time <= record.observed_time, "{record:#?}");
    assert_eq!(attributes.text("log.record.uid").map(str::len), Some(26), "{record:#?}");
    assert!(record.resource.has("service.name") && record.resource.has("host.name"), "{record:#?}");
    let reason = attributes.text("tcpdrop.reason").expect("this kernel gives reasons");
    let site = attributes.text("code.function.name").expect("this kernel names its functions");
    assert!(record.body.starts_with(reason) && record.body.contains(site), "{record:#?}");
}

/// Checks a stack: it starts at the drop site, without the frames of the tracing machinery.
pub(crate) fn assert_stack(attributes: &Attributes) {
    let frames = attributes.list("tcpdrop.stack.frames");
    // Several agents run beside each other here, and the kernel cannot always walk a stack for each.
    let walked = !attributes.has("tcpdrop.stack.truncated");
    assert!(frames.len() > 3 || !walked, "{attributes:#?}");
    assert_eq!(frames.first().copied(), attributes.text("code.function.name"), "{attributes:#?}");
    // Below an interrupt's entry is whatever was interrupted: another agent's start, or a freed packet.
    let cause = frames.iter().take_while(|frame| !frame.starts_with("asm_"));
    let tracing = |frame: &&&str| TRACING.iter().any(|name| frame.starts_with(name));
    assert_eq!(cause.clone().find(tracing), None, "{attributes:#?}");
    let offsets = attributes.0.get("tcpdrop.stack.offsets").and_then(|offsets| offsets.as_array());
    assert_eq!(offsets.map(Vec::len), Some(frames.len()), "{attributes:#?}");
    let hash = attributes.text("tcpdrop.stack.hash").unwrap_or_default();
    let is_hash = hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
    assert!(is_hash || !walked, "{attributes:#?}");
}

/// Checks that no two records have the same `log.record.uid`, as a record that was sent twice would.
pub(crate) fn assert_each_once(records: &[LogRecord]) {
    let ids: BTreeSet<_> = records.iter().map(|record| record.attributes.text("log.record.uid")).collect();
    assert_eq!(ids.len(), records.len(), "records came twice");
}

/// The span event for the flow of `record`, on the span that the record's ids name.
pub(crate) fn event_of<'a>(record: &LogRecord, spans: &'a [Span]) -> Option<&'a SpanEvent> {
    let named = |span: &&Span| span.trace_id == record.trace_id && span.span_id == record.span_id;
    spans
        .iter()
        .filter(named)
        .flat_map(|span| &span.events)
        .find(|event| flow(&event.attributes) == flow(&record.attributes))
}

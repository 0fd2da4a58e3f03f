//! `docs/attributes.md` is generated from the tables of attributes.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "golden/blessed.rs"]
mod blessed;

use std::fmt::Write;
use tcpdrop_otel::otlp::semconv::{ATTRIBUTES, RESOURCE_ATTRIBUTES, SCHEMA_URL};

#[test]
fn the_attribute_reference_is_up_to_date() {
    blessed::assert_blessed("../docs/attributes.md", &reference());
}

fn reference() -> String {
    let mut text = format!(
        "# Attributes

Generated from `shipper/src/otlp/semconv.rs` by `BLESS=1 cargo test --test golden_attributes`: change it there.

Names that do not begin with `tcpdrop.` are OpenTelemetry's, schema <{SCHEMA_URL}>. An attribute that is not known is
absent. 64-bit ids are strings, since several back ends lose precision above 2^53.

The number of drops is the sum of `tcpdrop.count` over the log records whose `tcpdrop.record` is `drop` or `suppressed`.
`silent` stands outside that sum: SYNs that a listener refused for a full queue, which the kernel does not report as drops.

## Log records, spans and span events

Log records of dropped packets are named `tcpdrop.packet.dropped`, as are span events; those of drops that were counted
without detail `tcpdrop.drops.suppressed`, those of refused SYNs `tcpdrop.drops.silent`.

| attribute | type | on | example | |
|---|---|---|---|---|
"
    );
    for attribute in ATTRIBUTES {
        let places = attribute.places;
        let on = [
            (places.drop, "drop"),
            (places.suppressed, "suppressed"),
            (places.silent, "silent"),
            (places.span, "span"),
            (places.event, "event"),
        ];
        let on: Vec<_> = on.into_iter().filter_map(|(there, place)| there.then_some(place)).collect();
        let (name, kind, on) = (attribute.name, attribute.kind.name(), on.join(", "));
        writeln!(text, "| `{name}` | {kind} | {on} | `{}` | {} |", attribute.example, attribute.note)
            .unwrap();
    }
    text += "
## Resource

All are strings. `OTEL_RESOURCE_ATTRIBUTES` of the agent adds to them and overrides none but the default of
`service.name`.

| attribute | example | |
|---|---|---|
";
    for attribute in RESOURCE_ATTRIBUTES {
        writeln!(text, "| `{}` | `{}` | {} |", attribute.name, attribute.example, attribute.note).unwrap();
    }
    text
}

//! `docs/reasons.md` is generated from the catalogue of drop reasons.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "golden/blessed.rs"]
mod blessed;

use std::fmt::Write;
use tcpdrop_otel::config::default_policy;
use tcpdrop_otel::otlp::severity::{Policy, text};
use tcpdrop_otel::reasons::{self, Cause, Class, ClassSource, Classified, classify};

#[test]
fn the_reference_of_reasons_is_up_to_date() {
    blessed::assert_blessed("../docs/reasons.md", &reference());
}

fn reference() -> String {
    let mut page = "# Drop reasons

Generated from `shipper/src/reasons/` by `BLESS=1 cargo test --test golden_reasons`: change it there.
`tcpdrop-otel explain REASON` shows the same on a terminal.

The names are those of `tcpdrop.reason`: the kernel's, without `SKB_DROP_REASON_`. Reasons of a subsystem begin with its
name and go on with what follows `DROP_` in the kernel's: `OPENVSWITCH_METER` is `OVS_DROP_METER`. Kernels differ in which
they have, and in their numbers. Which this kernel has: `tcpdrop-otel explain --list`, second column.

In what is to be looked at, `DEV` stands for a network interface. Commands are to be run in the network namespace of the
record (`tcpdrop.netns`): `nsenter --net -t PID`.

## Classes

`tcpdrop.class` says what kind of cause a drop has. It is that of the reason (`tcpdrop.class_source` = `reason`). Where the
kernel gives none, or `NOT_SPECIFIED`, it is inferred from the function that dropped (`site`), if that drops for one kind of
cause only; else it is absent. The severity is the default, for reasons of the class that no rule names: see `[[severity]]`
in the configuration.

| class | what its drops have in common | severity |
|---|---|---|
"
    .to_owned();
    let policy = Policy::new(&default_policy());
    for &class in Class::ALL {
        let level = policy.level(None, Some(Classified { class, source: ClassSource::Site }));
        writeln!(page, "| `{class}` | {} | {} |", class.meaning(), text(level)).unwrap();
    }
    page += "
## Reasons

| reason | class | severity | meaning | usual causes | look at |
|---|---|---|---|---|---|
";
    for reason in reasons::all() {
        let class = reason.class.map_or(String::new(), |class| format!("`{class}`"));
        let level = policy.level(Some(reason.name), classify(Cause::of(None, Some(reason.name)), None, None));
        let cell = |items: &[&str]| items.join("<br>").replace('|', "\\|");
        let (meaning, causes, look) = (cell(&[reason.meaning]), cell(reason.causes), cell(reason.look));
        writeln!(page, "| `{}` | {class} | {} | {meaning} | {causes} | {look} |", reason.name, text(level))
            .unwrap();
    }
    page
}

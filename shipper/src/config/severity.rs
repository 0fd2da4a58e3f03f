//! The severity policy: the built-in rules, and the reader of `[[severity]]`.

use super::keys::LEVELS;
use super::model::{Level, SeverityRule};
use super::nearest::{hint, nearest};
use super::read::{Fault, Given, Read, choice, fault};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// What goes wrong in every healthy network: closed ports that are probed, late duplicates, the rest of a connection
/// that is over.
const NOISE: [&str; 13] = [
    "NO_SOCKET",
    "OTHERHOST",
    "QUEUE_PURGE",
    "SOCKET_CLOSE",
    "TCP_CLOSE",
    "TCP_OFOMERGE",
    "TCP_OLD_ACK",
    "TCP_OLD_DATA",
    "TCP_OLD_SEQUENCE",
    "TCP_RESET",
    "TCP_RFC7323_PAWS_ACK",
    "TCP_RFC7323_TW_PAWS",
    "TCP_TOO_OLD_ACK",
];

/// A queue or memory that is full.
const EXHAUSTED: [&str; 15] = [
    "CPU_BACKLOG",
    "FQ_BAND_LIMIT",
    "FQ_FLOW_LIMIT",
    "FULL_RING",
    "NEIGH_QUEUEFULL",
    "NOMEM",
    "PFMEMALLOC",
    "PROTO_MEM",
    "QDISC_DROP",
    "QDISC_OVERLIMIT",
    "SOCKET_BACKLOG",
    "SOCKET_RCVBUFF",
    "TCP_LISTEN_OVERFLOW",
    "TCP_OFO_DROP",
    "TCP_OFO_QUEUE_PRUNE",
];

/// A packet that was damaged on its way.
const CORRUPT: [&str; 3] = ["IP_CSUM", "SKB_CSUM", "TCP_CSUM"];

/// The built-in rules, which come after the user's. A reason that no rule names is [`Level::Warn`]. The names are those
/// of `enum skb_drop_reason` (include/net/dropreason-core.h) without `SKB_DROP_REASON_`; kernels differ in which they have.
pub fn default_policy() -> Vec<SeverityRule> {
    let rule = |reasons: &[&str], level| SeverityRule {
        reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
        level,
    };
    vec![rule(&NOISE, Level::Info), rule(&EXHAUSTED, Level::Error), rule(&CORRUPT, Level::Error)]
}

/// The rules of `given`, followed by the built-in ones that are not among them.
pub(super) fn policy(given: Given) -> Read<Vec<SeverityRule>> {
    let mut policy = rules(given)?;
    let built_in: Vec<_> = default_policy().into_iter().filter(|rule| !policy.contains(rule)).collect();
    policy.extend(built_in);
    Ok(policy)
}

fn rules(given: Given) -> Read<Vec<SeverityRule>> {
    const WANTED: &str = "must be rules such as [{ reasons = [\"NO_SOCKET\"], level = \"info\" }]";
    match given {
        Given::Toml(DeValue::Array(rules)) => read_rules(rules),
        Given::Toml(_) => fault(format!("{WANTED}; in a file, under `[[severity]]`")),
        Given::Text(text) => match DeValue::parse(text) {
            Ok(value) => match value.get_ref() {
                DeValue::Array(rules) => read_rules(rules),
                _ => fault(WANTED.to_owned()),
            },
            Err(_) => fault(WANTED.to_owned()),
        },
    }
}

fn read_rules(rules: &DeArray) -> Read<Vec<SeverityRule>> {
    let mut read = Vec::new();
    let mut faults = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        match read_rule(rule) {
            Ok(rule) => read.push(rule),
            Err(wrong) => faults.extend(wrong.into_iter().map(|fault| Fault {
                part: format!("[{index}]{}", fault.part),
                span: fault.span.or(Some(rule.span())),
                ..fault
            })),
        }
    }
    if faults.is_empty() { Ok(read) } else { Err(faults) }
}

fn read_rule(rule: &Spanned<DeValue>) -> Read<SeverityRule> {
    let Some(table) = rule.get_ref().as_table() else {
        return fault("must be a table with `reasons` and `level`".to_owned());
    };
    let mut faults = unknown_keys(table);
    let mut reasons = None;
    let mut level = None;
    for (name, value) in table {
        let part = format!(".{}", name.get_ref());
        let given = Given::Toml(value.get_ref());
        let outcome = match name.get_ref().as_ref() {
            "reasons" => read_reasons(given).map(|read| reasons = Some(read)),
            "level" => choice(given, LEVELS).map(|read| level = Some(read)),
            _ => continue,
        };
        if let Err(wrong) = outcome {
            faults.extend(wrong.into_iter().map(|fault| located(fault, &part, value.span())));
        }
    }
    for missing in KEYS.into_iter().filter(|key| !table.contains_key(*key)) {
        faults.push(Fault { part: String::new(), span: None, what: format!("has no `{missing}`") });
    }
    match (reasons, level) {
        (Some(reasons), Some(level)) if faults.is_empty() => Ok(SeverityRule { reasons, level }),
        _ => Err(faults),
    }
}

const KEYS: [&str; 2] = ["reasons", "level"];

fn unknown_keys(table: &DeTable) -> Vec<Fault> {
    let unknown = table.keys().filter(|name| !KEYS.contains(&name.get_ref().as_ref()));
    unknown
        .map(|name| {
            let what =
                format!("has the unknown key `{}`{}", name.get_ref(), hint(nearest(name.get_ref(), KEYS)));
            Fault { part: String::new(), span: Some(name.span()), what }
        })
        .collect()
}

fn located(fault: Fault, part: &str, span: Range<usize>) -> Fault {
    Fault { part: format!("{part}{}", fault.part), span: fault.span.or(Some(span)), ..fault }
}

/// Reasons as records carry them: people also write them in lower case, or as the kernel's C sources do.
fn read_reasons(given: Given) -> Read<Vec<String>> {
    let names: Option<Vec<_>> = match given {
        Given::Toml(DeValue::Array(names)) => names.iter().map(|name| name.get_ref().as_str()).collect(),
        _ => None,
    };
    let well_formed =
        |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match names {
        Some(names) if !names.is_empty() && names.iter().all(well_formed) => Ok(names
            .into_iter()
            .map(str::to_ascii_uppercase)
            .map(|name| name.strip_prefix("SKB_DROP_REASON_").map_or(name.clone(), str::to_owned))
            .collect()),
        _ => fault("must be names of drop reasons such as [\"NO_SOCKET\", \"TCP_RESET\"]".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rule(reasons: &[&str], level: Level) -> SeverityRule {
        SeverityRule { reasons: reasons.iter().map(|&name| name.to_owned()).collect(), level }
    }

    #[test]
    fn the_user_s_rules_come_before_the_built_in_ones() {
        let given = Given::Text(r#"[{ reasons = ["skb_drop_reason_no_socket", "X"], level = "error" }]"#);
        let policy = policy(given).unwrap();
        assert_eq!(policy[0], rule(&["NO_SOCKET", "X"], Level::Error));
        assert_eq!(policy[1..], default_policy());
    }

    #[test]
    fn no_built_in_rule_names_a_reason_of_another() {
        let mut reasons: Vec<_> = default_policy().into_iter().flat_map(|rule| rule.reasons).collect();
        let all = reasons.len();
        reasons.sort();
        reasons.dedup();
        assert_eq!(reasons.len(), all);
    }
}

//! The severity policy: the built-in rules, and the reader of `[[severity]]`.

use super::filter::list;
use super::keys::LEVELS;
use super::model::{Level, SeverityRule};
use super::nearest::{hint, nearest};
use super::read::{Fault, Given, Read, choice, fault};
use crate::reasons::{Class, canonical};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// The built-in rules, which come after the user's. What no rule names is [`Level::Warn`].
pub fn default_policy() -> Vec<SeverityRule> {
    vec![
        // What goes wrong in every healthy network, and copies that a capture could not take.
        SeverityRule {
            reasons: names(&["PACKET_SOCK_ERROR", "TCP_RESET"]),
            classes: vec![Class::NoListener, Class::Cleanup, Class::Duplicate, Class::NotForUs],
            level: Level::Info,
        },
        // Queue management that does its work: no queue is full.
        SeverityRule {
            reasons: names(&[
                "DUALPI2_STEP_DROP",
                "FQ_HORIZON_LIMIT",
                "QDISC_CONGESTED",
                "QDISC_HORIZON_LIMIT",
                "QDISC_L4S_STEP_NON_ECN",
            ]),
            classes: Vec::new(),
            level: Level::Warn,
        },
        // A queue, a table or memory that is full; a packet that was damaged.
        SeverityRule {
            reasons: names(&["NEIGH_CREATEFAIL", "NEIGH_QUEUEFULL"]),
            classes: vec![Class::QueueFull, Class::Memory, Class::Qdisc, Class::Checksum],
            level: Level::Error,
        },
    ]
}

fn names(reasons: &[&str]) -> Vec<String> {
    reasons.iter().map(|&reason| reason.to_owned()).collect()
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
        return fault("must be a table with `reasons` or `classes`, and `level`".to_owned());
    };
    let mut faults = unknown_keys(table);
    let mut rule = (Vec::new(), Vec::new(), None);
    for (name, value) in table {
        let part = format!(".{}", name.get_ref());
        let given = Given::Toml(value.get_ref());
        let outcome = match name.get_ref().as_ref() {
            "reasons" => read_reasons(given).map(|read| rule.0 = read),
            "classes" => read_classes(given).map(|read| rule.1 = read),
            "level" => choice(given, LEVELS).map(|read| rule.2 = Some(read)),
            _ => continue,
        };
        if let Err(wrong) = outcome {
            faults.extend(wrong.into_iter().map(|fault| located(fault, &part, value.span())));
        }
    }
    faults.extend(missing_keys(table));
    match rule {
        (reasons, classes, Some(level)) if faults.is_empty() => Ok(SeverityRule { reasons, classes, level }),
        _ => Err(faults),
    }
}

const KEYS: [&str; 3] = ["reasons", "classes", "level"];

fn missing_keys(table: &DeTable) -> Vec<Fault> {
    let missing = |what: &str| Fault { part: String::new(), span: None, what: format!("has no {what}") };
    let names_nothing = !table.contains_key("reasons") && !table.contains_key("classes");
    let no_level = (!table.contains_key("level")).then(|| missing("`level`"));
    names_nothing.then(|| missing("`reasons` and no `classes`")).into_iter().chain(no_level).collect()
}

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
        Some(names) if !names.is_empty() && names.iter().all(well_formed) => {
            Ok(names.into_iter().map(canonical).collect())
        }
        _ => fault("must be names of drop reasons such as [\"NO_SOCKET\", \"TCP_RESET\"]".to_owned()),
    }
}

/// Classes of the closed list that records carry.
fn read_classes(given: Given) -> Read<Vec<Class>> {
    let classes = list(given, Class::ALL.len(), |name| {
        let name = name.to_ascii_lowercase();
        let names = Class::ALL.iter().map(|class| class.name());
        Class::named(&name).ok_or_else(|| format!("is no class: {name:?}{}", hint(nearest(&name, names))))
    })?;
    if classes.is_empty() { fault("must name a class such as \"netfilter\"".to_owned()) } else { Ok(classes) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<(String, String)> {
        let faults = policy(Given::Text(text)).unwrap_err();
        faults.into_iter().map(|fault| (fault.part, fault.what)).collect()
    }

    #[test]
    fn the_user_s_rules_come_before_the_built_in_ones() {
        let given = Given::Text(
            r#"[{ reasons = ["skb_drop_reason_no_socket", "X"], level = "error" }, { classes = ["netfilter"], level = "info" }]"#,
        );
        let policy = policy(given).unwrap();
        let first =
            SeverityRule { reasons: names(&["NO_SOCKET", "X"]), classes: Vec::new(), level: Level::Error };
        let second =
            SeverityRule { reasons: Vec::new(), classes: vec![Class::Netfilter], level: Level::Info };
        assert_eq!(policy[..2], [first, second]);
        assert_eq!(policy[2..], default_policy());
    }

    #[test]
    fn a_misspelt_class_gets_a_hint() {
        let found = faults(r#"[{ classes = ["netfilter", "queue_ful"], level = "info" }]"#);
        let what = "is no class: \"queue_ful\"; did you mean `queue_full`?";
        assert_eq!(found, [("[0].classes[1]".to_owned(), what.to_owned())]);
    }

    #[test]
    fn a_rule_must_name_something() {
        let found = faults(r#"[{ level = "info" }, { classes = [], level = "info" }]"#);
        let nothing = ("[0]".to_owned(), "has no `reasons` and no `classes`".to_owned());
        let empty = ("[1].classes".to_owned(), "must name a class such as \"netfilter\"".to_owned());
        assert_eq!(found, [nothing, empty]);
    }

    #[test]
    fn no_built_in_rule_names_a_reason_or_a_class_of_another() {
        let rules = default_policy();
        let mut reasons: Vec<_> = rules.iter().flat_map(|rule| &rule.reasons).collect();
        let mut classes: Vec<_> = rules.iter().flat_map(|rule| &rule.classes).collect();
        let all = (reasons.len(), classes.len());
        reasons.sort();
        reasons.dedup();
        classes.sort();
        classes.dedup();
        assert_eq!((reasons.len(), classes.len()), all);
        assert!(reasons.into_iter().all(|reason| crate::reasons::find(reason).is_some()));
    }
}

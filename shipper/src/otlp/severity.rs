//! The severity policy: which drop reasons deserve attention.

use crate::config::model::{Level, SeverityRule};
use crate::reasons::{Class, Classified};
use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use std::collections::HashMap;

/// Severities by drop reason and by class; WARN where no rule names either.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    reasons: HashMap<String, Ruled>,
    classes: HashMap<Class, Ruled>,
}

/// What a rule says, and which it is: the first that fits wins.
type Ruled = (usize, Level);

impl Policy {
    /// The policy of these rules.
    pub fn new(rules: &[SeverityRule]) -> Self {
        let mut policy = Self::default();
        for (index, rule) in rules.iter().enumerate() {
            for reason in &rule.reasons {
                policy.reasons.entry(reason.clone()).or_insert((index, rule.level));
            }
            for &class in &rule.classes {
                policy.classes.entry(class).or_insert((index, rule.level));
            }
        }
        policy
    }

    /// The severity of drops with this reason and class.
    pub fn level(&self, reason: Option<&str>, class: Option<Classified>) -> Level {
        let by_reason = reason.and_then(|reason| self.reasons.get(reason));
        let by_class = class.and_then(|class| self.classes.get(&class.class));
        by_reason.into_iter().chain(by_class).min().map_or(Level::Warn, |&(_, level)| level)
    }
}

/// The text of OpenTelemetry's log data model for a severity.
pub fn text(level: Level) -> &'static str {
    number_and_text(level).1
}

/// The number and text of OpenTelemetry's log data model ("Severity Fields").
pub(super) fn number_and_text(level: Level) -> (SeverityNumber, &'static str) {
    match level {
        Level::Trace => (SeverityNumber::Trace, "TRACE"),
        Level::Debug => (SeverityNumber::Debug, "DEBUG"),
        Level::Info => (SeverityNumber::Info, "INFO"),
        Level::Warn => (SeverityNumber::Warn, "WARN"),
        Level::Error => (SeverityNumber::Error, "ERROR"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::reasons::ClassSource;

    fn rule(reasons: &[&str], classes: &[Class], level: Level) -> SeverityRule {
        let reasons = reasons.iter().map(|&reason| reason.to_owned()).collect();
        SeverityRule { reasons, classes: classes.to_vec(), level }
    }

    fn of(class: Class) -> Option<Classified> {
        Some(Classified { class, source: ClassSource::Site })
    }

    #[test]
    fn the_first_rule_that_fits_by_reason_or_class_wins() {
        let policy = Policy::new(&[
            rule(&["NO_SOCKET", "TCP_OLD_DATA"], &[Class::Cleanup], Level::Info),
            rule(&["SOCKET_RCVBUFF", "NO_SOCKET"], &[Class::NoListener, Class::Cleanup], Level::Error),
            rule(&["PROTO_MEM"], &[], Level::Debug),
            rule(&[], &[Class::Memory], Level::Error),
        ]);
        assert_eq!(policy.level(Some("NO_SOCKET"), of(Class::NoListener)), Level::Info);
        assert_eq!(policy.level(Some("SOCKET_RCVBUFF"), of(Class::Cleanup)), Level::Info);
        assert_eq!(policy.level(Some("SOCKET_RCVBUFF"), None), Level::Error);
        assert_eq!(policy.level(Some("PROTO_MEM"), of(Class::Memory)), Level::Debug);
        assert_eq!(policy.level(Some("NOT_SPECIFIED"), of(Class::Memory)), Level::Error);
        assert_eq!(policy.level(None, of(Class::Cleanup)), Level::Info);
    }

    #[test]
    fn what_no_rule_names_is_a_warning() {
        let policy = Policy::new(&[rule(&["NO_SOCKET"], &[Class::Cleanup], Level::Info)]);
        assert_eq!(policy.level(Some("NETFILTER_DROP"), of(Class::Netfilter)), Level::Warn);
        assert_eq!(policy.level(None, None), Level::Warn);
    }
}

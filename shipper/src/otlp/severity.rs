//! The severity policy: which drop reasons deserve attention.

use crate::config::model::{Level, SeverityRule};
use opentelemetry_proto::tonic::logs::v1::SeverityNumber;
use std::collections::HashMap;

/// Severities by drop reason; WARN where no rule names the reason.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    levels: HashMap<String, Level>,
}

impl Policy {
    /// The policy of these rules; the first that names a reason wins.
    pub fn new(rules: &[SeverityRule]) -> Self {
        let mut levels = HashMap::new();
        for rule in rules {
            for reason in &rule.reasons {
                levels.entry(reason.clone()).or_insert(rule.level);
            }
        }
        Self { levels }
    }

    /// The severity of drops with this reason.
    pub fn level(&self, reason: Option<&str>) -> Level {
        reason.and_then(|reason| self.levels.get(reason)).copied().unwrap_or(Level::Warn)
    }
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

    fn rule(reasons: &[&str], level: Level) -> SeverityRule {
        SeverityRule { reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(), level }
    }

    #[test]
    fn the_first_rule_that_names_a_reason_wins() {
        let policy = Policy::new(&[
            rule(&["NO_SOCKET", "TCP_OLD_DATA"], Level::Info),
            rule(&["SOCKET_RCVBUFF", "NO_SOCKET"], Level::Error),
        ]);
        assert_eq!(policy.level(Some("NO_SOCKET")), Level::Info);
        assert_eq!(policy.level(Some("SOCKET_RCVBUFF")), Level::Error);
    }

    #[test]
    fn what_no_rule_names_is_a_warning() {
        let policy = Policy::new(&[rule(&["NO_SOCKET"], Level::Info)]);
        assert_eq!(policy.level(Some("NETFILTER_DROP")), Level::Warn);
        assert_eq!(policy.level(None), Level::Warn);
    }
}

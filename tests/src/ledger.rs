//! The agent's ledger, read from its JSON.

use serde_json::Value;

/// A ledger as `/status` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger(Value);

impl Ledger {
    /// From its JSON.
    pub fn new(json: Value) -> Self {
        Self(json)
    }

    /// Its JSON.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// The one in the last line of `log` that holds `final ledger {json}`.
    pub fn last_of(log: &str) -> Option<Self> {
        let line = log.lines().rev().find(|line| line.contains("final ledger"))?;
        let json = &line[line.find('{')?..];
        serde_json::Deserializer::from_str(json).into_iter().next()?.ok().map(Self)
    }

    /// A term by its path: `seen`, `delivered.drops`.
    ///
    /// # Panics
    /// If there is none: a term that nobody fills must not pass for a zero.
    pub fn term(&self, path: &str) -> u64 {
        let value = path.split('.').fold(&self.0, |value, key| &value[key]);
        value.as_u64().unwrap_or_else(|| panic!("no {path} in the ledger {}", self.0))
    }

    /// The sum of terms.
    pub fn sum(&self, paths: &[&str]) -> u64 {
        paths.iter().map(|path| self.term(path)).sum()
    }

    /// Panics unless every equation of the design holds exactly: the ledger of an agent that has detached and drained.
    pub fn assert_balanced(&self) {
        const EQUATIONS: [(&[&str], &[&str]); 5] = [
            (&["seen"], &["filtered", "own", "suppressed", "ring_lost", "admitted"]),
            (&["admitted"], &["in_ring", "in_pipeline", "pending", "decode_errors", "spooled.drops"]),
            (&["spooled.drops"], &["delivered.drops", "refused.drops", "evicted.drops", "waiting.drops"]),
            (
                &["spooled.records"],
                &["delivered.records", "refused.records", "evicted.records", "waiting.records"],
            ),
            (
                &["suppressed", "ring_lost", "decode_errors"],
                &["untold", "totals.waiting", "totals.delivered", "totals.refused", "totals.evicted"],
            ),
        ];
        for (left, right) in EQUATIONS {
            assert_eq!(self.sum(left), self.sum(right), "{left:?} against {right:?} in {}", self.0);
        }
        assert_eq!(self.0["balanced"], true, "{}", self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_final_ledger_is_found_in_the_log() {
        let log = "started\n12:00 INFO final ledger {\"seen\":7,\"delivered\":{\"drops\":3}} \nbye {}\n";
        let ledger = Ledger::last_of(log).expect("a ledger");
        assert_eq!((ledger.term("seen"), ledger.term("delivered.drops")), (7, 3));
        assert_eq!(ledger.sum(&["seen", "delivered.drops"]), 10);
        assert_eq!(Ledger::last_of("started\n"), None);
    }

    #[test]
    #[should_panic(expected = "no admitted in the ledger")]
    fn a_term_that_is_missing_is_no_zero() {
        Ledger(json!({"seen": 1})).term("admitted");
    }

    #[test]
    #[should_panic(expected = "against")]
    fn a_ledger_that_is_off_by_one_is_not_balanced() {
        let amount = json!({"records": 0, "drops": 0});
        Ledger(json!({
            "seen": 2, "filtered": 0, "own": 0, "suppressed": 0, "ring_lost": 0, "admitted": 1,
            "in_ring": 0, "in_pipeline": 0, "pending": 0, "decode_errors": 0, "untold": 0, "balanced": true,
            "spooled": {"records": 1, "drops": 1}, "delivered": {"records": 1, "drops": 1},
            "refused": amount, "evicted": amount, "waiting": amount,
            "totals": {"waiting": 0, "delivered": 0, "refused": 0, "evicted": 0},
        }))
        .assert_balanced();
    }
}

//! [`Want`], what a field has to be, and the [`Verdict`] on what it is.

use super::field::Field;
use crate::otlp_json::LogRecord;

/// The reason that says nothing.
pub(super) const UNTOLD: &str = "NOT_SPECIFIED";

/// What a field has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// This.
    Is(String),
    /// Not there: nobody can know.
    Absent,
    /// Anything.
    Known,
    /// One of these, where this kernel tells.
    IfTold(Vec<String>),
    /// One of these: the kernel's timing decides.
    OneOf(Vec<String>),
}

impl Want {
    pub(super) fn fits(&self, found: Option<&str>) -> bool {
        match self {
            Self::Is(value) => found == Some(value),
            Self::Absent => found.is_none(),
            Self::Known => found.is_some(),
            Self::IfTold(_) if found.is_none_or(|found| found == UNTOLD) => true,
            Self::OneOf(values) | Self::IfTold(values) => {
                found.is_some_and(|found| values.iter().any(|value| value == found))
            }
        }
    }
}

impl std::fmt::Display for Want {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Is(value) => formatter.write_str(value),
            Self::Absent => formatter.write_str("absent"),
            Self::Known => formatter.write_str("anything"),
            Self::IfTold(values) => write!(formatter, "{} if anything", values.join(" or ")),
            Self::OneOf(values) => formatter.write_str(&values.join(" or ")),
        }
    }
}

pub(super) fn judge_field(field: Field, want: &Want, records: &[&LogRecord]) -> Verdict {
    let found = records.iter().map(|record| field.of(record));
    let wrong: Vec<_> = found.filter(|found| !want.fits(found.as_deref())).collect();
    match (wrong.first(), want) {
        (Some(found), _) => Verdict::Wrong(format!("{want}, not {}", found.as_deref().unwrap_or("absent"))),
        (None, Want::Absent) => Verdict::CannotBe,
        (None, Want::IfTold(_)) if records.iter().any(|record| !is_told(field, record)) => Verdict::Untold,
        (None, _) => Verdict::Right,
    }
}

fn is_told(field: Field, record: &LogRecord) -> bool {
    field.of(record).is_some_and(|value| value != UNTOLD)
}

pub(super) fn compare(wanted: u64, found: u64, what: &str) -> Verdict {
    if wanted == found { Verdict::Right } else { Verdict::Wrong(format!("{wanted} {what}, not {found}")) }
}

/// Whether a field is as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Right,
    /// It is absent, as it has to be: nobody can know it.
    CannotBe,
    /// This kernel does not tell it, newer ones do.
    Untold,
    /// It is not: what was wanted, and what was found.
    Wrong(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_kernel_leaves_out_is_marked_and_what_it_says_wrong_is_wrong() {
        let record =
            |severity: &str| LogRecord { severity_text: severity.to_owned(), ..LogRecord::default() };
        let want = Want::IfTold(vec!["WARN".to_owned(), "ERROR".to_owned()]);
        let verdict = |severity| judge_field(Field::Severity, &want, &[&record(severity)]);
        assert_eq!(verdict("ERROR"), Verdict::Right);
        assert_eq!(verdict(UNTOLD), Verdict::Untold);
        assert!(matches!(verdict("INFO"), Verdict::Wrong(_)));
    }
}

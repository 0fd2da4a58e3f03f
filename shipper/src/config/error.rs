//! [`ConfigError`]: all that is wrong with the settings, one line each.

use std::fmt::{self, Write};
use std::path::PathBuf;

/// The settings were refused: why, with at least one problem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(problems))]
pub struct ConfigError {
    /// What is wrong, in the order of the layers and, in a file, of its lines.
    pub problems: Vec<Problem>,
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// One thing that is wrong. Shown as `ORIGIN: WHAT`. Never holds the value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was given.
    pub origin: Origin,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names come from outside: they must neither break the line nor steer the terminal.
        for c in format!("{}: {}", self.origin, self.what).chars() {
            match c {
                c if c.is_control() => write!(f, "{}", c.escape_default())?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File {
        /// Its path.
        path: PathBuf,
        /// The line, from 1. `None` if it is about the file as a whole.
        line: Option<usize>,
    },
    /// In an environment variable.
    Environment,
    /// With `--set`.
    Set,
    /// Wherever: it is about what the settings name.
    Settings,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Settings => f.write_str("settings"),
            Self::Environment => f.write_str("environment"),
            Self::Set => f.write_str("--set"),
        }
    }
}

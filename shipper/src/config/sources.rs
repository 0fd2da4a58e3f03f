//! [`Sources`]: the texts that settings are read from, and how they are got from the process.

use super::error::{ConfigError, Origin, Problem};
use super::model::default_path;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// More than any configuration; a device or a log that was named by mistake must not fill the memory.
const MAX_FILE_BYTES: u64 = 1 << 20;

const OWN_PREFIX: &str = "TCPDROP_OTEL_";
const STANDARD_PREFIX: &str = "OTEL_";

/// What settings are read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file.
    pub file: Option<SourceFile>,
    /// Environment variables; those of others are ignored.
    pub environment: Vec<(String, String)>,
    /// The arguments of `--set`, in their order.
    pub sets: Vec<String>,
}

/// A configuration file.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its path, as complaints name it.
    pub path: PathBuf,
    /// What it holds.
    pub text: String,
}

impl Sources {
    /// The sources of this process: `file`, else the one in the default place if there is one; the environment; `sets`.
    ///
    /// # Errors
    /// The file cannot be read, or does not exist although it was named.
    pub fn gather(file: Option<&Path>, sets: &[String]) -> Result<Self, ConfigError> {
        let environment = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .filter(|(name, _)| name.starts_with(OWN_PREFIX) || name.starts_with(STANDARD_PREFIX));
        let file = match file {
            Some(path) => Some(read(path)?),
            None => read_if_it_exists(&default_path())?,
        };
        Ok(Self { file, environment: environment.collect(), sets: sets.to_vec() })
    }

    /// `file` and `sets` alone: nothing of the host that this runs on.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn given(file: Option<&Path>, sets: &[String]) -> Result<Self, ConfigError> {
        Ok(Self { file: file.map(read).transpose()?, environment: Vec::new(), sets: sets.to_vec() })
    }

    /// The value of an environment variable. An empty one counts as unset (OpenTelemetry specification, "Environment
    /// Variable Specification", "Empty value").
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let given = self.environment.iter().find(|(given, _)| given == name);
        given.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// The variables of the OpenTelemetry project that are set, in the order of their names.
    pub(super) fn standard_variables(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut names: Vec<_> = self.environment.iter().map(|(name, _)| name.as_str()).collect();
        names.retain(|name| name.starts_with(STANDARD_PREFIX));
        names.sort_unstable();
        names.into_iter().filter_map(|name| Some((name, self.variable(name)?)))
    }

    /// The names of the product's own variables, in order.
    pub(super) fn own_variables(&self) -> impl Iterator<Item = &str> {
        let mut names: Vec<_> = self.environment.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
            .into_iter()
            .filter(|name| name.strip_prefix(OWN_PREFIX).is_some_and(|rest| !is_service_link(rest)))
    }
}

/// Whether Kubernetes made the variable `TCPDROP_OTEL_<rest>`, for a Service called `tcpdrop-otel` or
/// `tcpdrop-otel-something` (kubernetes.io, "Accessing the Service", environment variables).
fn is_service_link(rest: &str) -> bool {
    let words = format!("_{rest}_");
    ["_SERVICE_HOST_", "_SERVICE_PORT_", "_PORT_"].into_iter().any(|made| words.contains(made))
}

fn read_if_it_exists(path: &Path) -> Result<Option<SourceFile>, ConfigError> {
    match File::open(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        _ => read(path).map(Some),
    }
}

fn read(path: &Path) -> Result<SourceFile, ConfigError> {
    let text = read_text(path).map_err(|cause| {
        let problem = Problem {
            origin: Origin::File { path: path.to_owned(), line: None },
            what: format!("cannot be read: {cause}"),
        };
        ConfigError { problems: vec![problem] }
    })?;
    Ok(SourceFile { path: path.to_owned(), text })
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(io::Error::other("it is over 1 MiB, too large for a configuration"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubernetes_adds_for_a_service_is_not_taken_for_settings() {
        for made in
            ["SERVICE_HOST", "SERVICE_PORT_HEALTH", "PORT", "PORT_13134_TCP_ADDR", "METRICS_SERVICE_HOST"]
        {
            assert!(is_service_link(made), "{made}");
        }
        for own in ["HEALTH_LISTEN", "EXPORT_ENDPOINT", "EXPORT_PROTOCOL"] {
            assert!(!is_service_link(own), "{own}");
        }
    }
}

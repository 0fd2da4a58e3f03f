//! Reload: what of a changed configuration holds at once, and what waits for a restart.
//!
//! Environment and command line of a process do not change, so only the file can. [`diff`] decides, [`Reloader`] does it:
//! either all that can change does, or nothing.

use crate::config::model::{self, Config};
use crate::config::{ConfigError, SourceFile, Sources, key_paths, load};
use crate::probe::{Admission, Filters, ProbeError};
use crate::telemetry;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use toml::{Table, Value};

/// Keys and sections that change at run time; all else sizes or opens something at the start.
const LIVE: [&str; 6] = ["filter", "admission", "dedup", "limit", "severity", "telemetry.log_level"];

/// The settings that the tasks take over at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Grouping.
    pub dedup: model::Dedup,
    /// Limits.
    pub limit: model::Limit,
    /// Severity policy.
    pub severity: Vec<model::SeverityRule>,
}

impl From<&Config> for Live {
    fn from(config: &Config) -> Self {
        Self { dedup: config.dedup.clone(), limit: config.limit.clone(), severity: config.severity.clone() }
    }
}

impl Live {
    /// Settings that stay as they are.
    pub fn fixed(config: &Config) -> watch::Receiver<Self> {
        watch::channel(Self::from(config)).1
    }

    /// Waits for new settings; for ever if none can come. Cancel safe.
    pub async fn next(settings: &mut watch::Receiver<Self>) -> Self {
        if settings.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        settings.borrow_and_update().clone()
    }
}

/// A changed configuration, taken apart.
#[derive(Clone, Debug)]
pub struct Reload {
    /// Keys that change at once.
    pub applied: Vec<&'static str>,
    /// Keys whose change waits for a restart.
    pub needs_restart: Vec<&'static str>,
    /// What holds from now on.
    pub sources: Sources,
    /// The same, read.
    pub config: Config,
}

/// What `new` changes, if `old` is in force.
///
/// # Errors
/// All that is wrong with `new`.
pub fn diff(old: &Sources, new: &Sources) -> Result<Reload, ConfigError> {
    load(new)?;
    let [old_table, new_table] = [old, new].map(table);
    let changed = |path: &&str| {
        let [old_part, new_part] = [(old, &old_table), (new, &new_table)]
            .map(|(sources, table)| (sources, only(table, path)))
            .map(|(sources, part)| (load(&with_table(sources, &part)), part));
        // Other words for the same value are no change. What makes no sense alone is compared as it is written.
        old_part.1 != new_part.1 && (old_part.0.is_err() || old_part.0 != new_part.0)
    };
    let (applied, needs_restart) = key_paths().filter(changed).partition(|path| is_live(path));

    let mut in_force = Table::new();
    for path in key_paths() {
        let from = if is_live(path) { &new_table } else { &old_table };
        merge(&mut in_force, only(from, path));
    }
    let sources = with_table(new, &in_force);
    let config = load(&sources)?;
    Ok(Reload { applied, needs_restart, sources, config })
}

fn is_live(path: &str) -> bool {
    LIVE.iter()
        .any(|live| path.strip_prefix(live).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

/// The file's content; nothing if there is no file. It has been read before, so it is TOML.
fn table(sources: &Sources) -> Table {
    sources.file.as_ref().and_then(|file| file.text.parse().ok()).unwrap_or_default()
}

fn with_table(sources: &Sources, table: &Table) -> Sources {
    let path = sources.file.as_ref().map_or_else(PathBuf::new, |file| file.path.clone());
    Sources { file: Some(SourceFile { path, text: table.to_string() }), ..sources.clone() }
}

/// The setting `path` of a table, alone.
fn only(table: &Table, path: &str) -> Table {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let value = match table.get(name) {
        Some(Value::Table(section)) if !rest.is_empty() => Some(Value::Table(only(section, rest))),
        value => value.cloned(),
    };
    value.map(|value| (name.to_owned(), value)).into_iter().collect()
}

fn merge(into: &mut Table, from: Table) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(Value::Table(section)), Value::Table(more)) => merge(section, more),
            (_, value) => _ = into.insert(name, value),
        }
    }
}

/// Why nothing was reloaded.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The filter or the budget could not be changed.
    #[error(transparent)]
    Probe(#[from] ProbeError),
}

/// How often the configuration was read again, for `/status`.
#[derive(Debug, Default)]
pub struct Reloads {
    applied: AtomicU64,
    refused: AtomicU64,
}

/// [`Reloads`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReloadCounts {
    /// What it said is in force.
    pub applied: u64,
    /// It was wrong, and nothing changed.
    pub refused: u64,
}

impl Reloads {
    /// The counts now.
    pub fn counts(&self) -> ReloadCounts {
        let [applied, refused] = [&self.applied, &self.refused].map(|count| count.load(Ordering::Relaxed));
        ReloadCounts { applied, refused }
    }
}

/// Reads the configuration again, and hands on what can change.
pub struct Reloader {
    /// Counts what is done.
    pub reloads: Arc<Reloads>,
    /// The file that was named.
    pub file: Option<PathBuf>,
    /// What is in force.
    pub sources: Sources,
    /// Level of the agent's log lines.
    pub log_level: model::Level,
    /// Takes the filter.
    pub filters: Filters,
    /// Takes the budget.
    pub admission: Admission,
    /// Takes the rest.
    pub live: watch::Sender<Live>,
}

impl Reloader {
    /// Reloads at each SIGHUP, and says what came of it.
    pub async fn on_hangup(mut self, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            let reload = self.reload();
            let count = if reload.is_ok() { &self.reloads.applied } else { &self.reloads.refused };
            count.fetch_add(1, Ordering::Relaxed);
            match reload {
                Ok(reload) => self.say(&reload),
                Err(ReloadError::Config(ConfigError { problems })) => {
                    for problem in problems {
                        tracing::error!("{problem}");
                    }
                    tracing::error!(
                        "not reloaded, for the configuration cannot be used; the settings stay as they were"
                    );
                }
                Err(ReloadError::Probe(error)) => {
                    tracing::error!("not reloaded: {error}; the settings stay as they were");
                }
            }
        }
    }

    /// What goes to the kernel goes first, as it can fail.
    fn reload(&mut self) -> Result<Reload, ReloadError> {
        let reload = diff(&self.sources, &Sources::gather(self.file.as_deref(), &self.sources.sets)?)?;
        if reload.applied.iter().any(|path| path.starts_with("filter.")) {
            let report = self.filters.set(&reload.config.filter)?;
            report.warning().inspect(|warning| tracing::warn!("{warning}"));
        }
        if reload.applied.iter().any(|path| path.starts_with("admission.")) {
            self.admission.set(&reload.config.admission)?;
        }
        self.live.send_if_modified(|live| {
            let next = Live::from(&reload.config);
            let changed = *live != next;
            *live = next;
            changed
        });
        self.sources = reload.sources.clone();
        Ok(reload)
    }

    /// At the old level or the new one: whichever lets it through.
    fn say(&mut self, reload: &Reload) {
        let next = reload.config.telemetry.log_level;
        telemetry::set_level(next.min(self.log_level));
        match reload.needs_restart.is_empty() {
            true => tracing::info!("{}", summary(reload)),
            false => tracing::warn!("{}", summary(reload)),
        }
        telemetry::set_level(next);
        self.log_level = next;
    }
}

fn summary(reload: &Reload) -> String {
    let changed = match reload.applied.as_slice() {
        [] => "reloaded: nothing changed".to_owned(),
        paths => format!("reloaded: changed {}", paths.join(", ")),
    };
    match reload.needs_restart.as_slice() {
        [] => changed,
        paths => format!("{changed}; needs a restart: {}", paths.join(", ")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn sources(text: &str) -> Sources {
        let file = SourceFile { path: "a.toml".into(), text: text.to_owned() };
        Sources { file: Some(file), ..Sources::default() }
    }

    #[test]
    fn what_can_change_does_and_what_cannot_waits_for_a_restart() {
        let old =
            sources("[probe]\nring_bytes = \"4MiB\"\n[limit]\nburst = 1\n[filter.exclude]\nports = [1]\n");
        let new =
            sources("[probe]\nring_bytes = \"8MiB\"\n[limit]\nburst = 2\n[health]\nlisten = \"[::1]:1\"\n");
        let reload = diff(&old, &new).unwrap();
        assert_eq!(reload.applied, ["filter.exclude.ports", "limit.burst"]);
        assert_eq!(reload.needs_restart, ["probe.ring_bytes", "health.listen"]);
        let mut in_force = load(&old).unwrap();
        in_force.limit.burst = 2;
        in_force.filter.exclude.ports = vec![];
        assert_eq!(reload.config, in_force);
        assert_eq!(
            summary(&reload),
            "reloaded: changed filter.exclude.ports, limit.burst; needs a restart: probe.ring_bytes, health.listen"
        );
        // What waits is said until the restart comes, or the change is taken back.
        let again = diff(&reload.sources, &new).unwrap();
        assert_eq!((again.applied, again.needs_restart), (vec![], vec!["probe.ring_bytes", "health.listen"]));
        assert!(diff(&reload.sources, &old).unwrap().needs_restart.is_empty());
    }

    #[test]
    fn other_words_for_the_same_value_are_no_change() {
        let old = sources("[dedup]\nwindow = \"60s\"\n[probe]\nring_bytes = \"4MiB\"\n");
        let new = sources("# new\n[dedup]\nwindow = \"1m\"\n");
        let reload = diff(&old, &new).unwrap();
        assert_eq!(
            (reload.applied.as_slice(), reload.needs_restart.as_slice()),
            (&[] as &[&str], &[] as &[&str])
        );
        assert_eq!(summary(&reload), "reloaded: nothing changed");
    }

    #[test]
    fn rules_of_severity_are_one_setting() {
        let new = sources("[[severity]]\nreasons = [\"NO_SOCKET\"]\nlevel = \"error\"\n");
        let reload = diff(&Sources::default(), &new).unwrap();
        assert_eq!(reload.applied, ["severity"]);
        assert_eq!(reload.config.severity, load(&new).unwrap().severity);
    }

    #[test]
    fn what_is_set_over_the_file_stays() {
        let set = |text: &str| Sources { sets: vec!["limit.burst=7".to_owned()], ..sources(text) };
        let reload = diff(&set("[limit]\nburst = 1\n"), &set("[limit]\nburst = 2\n")).unwrap();
        assert!(reload.applied.is_empty());
        assert_eq!(reload.config.limit.burst, 7);
    }

    #[test]
    fn all_problems_of_a_wrong_file_are_told_with_their_lines() {
        let wrong = sources("[limit]\nburst = 0\n[filter.include]\nports = [\"x\", 70000]\n");
        let problems = diff(&Sources::default(), &wrong).unwrap_err().to_string();
        for part in ["a.toml:2: `limit.burst`", "a.toml:4: `filter.include.ports[0]`", "ports[1]"] {
            assert!(problems.contains(part), "{problems}");
        }
    }

    #[test]
    fn every_live_name_is_a_key_or_a_section() {
        for live in LIVE {
            assert!(key_paths().any(|path| is_live(path) && path.starts_with(live)), "{live}");
        }
        assert!(!is_live("filters.x") && !is_live("telemetry.log_level_x") && !is_live("probe.ring_bytes"));
    }
}

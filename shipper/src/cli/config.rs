//! `config`: whether the settings hold, which do, which there are. Nothing is started.

use super::args::{ConfigCommand, SettingsArgs, ShowArgs, usage_error};
use crate::config::model::{Export, SignalExporter};
use crate::config::nearest::{hint, nearest};
use crate::config::show::{REFERENCE, Setting, as_toml, effective};
use crate::config::{Config, ConfigError, Origin, Problem, Sources, default_path, ignored, load};
use crate::export::route::Route;
use crate::export::service::Service;
use crate::reasons::{self, names::ReasonNames};
use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

/// Runs a command of `config`.
pub fn run(command: &ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Check(settings) => check(settings),
        ConfigCommand::Show(args) => show(args),
        ConfigCommand::Reference => print(REFERENCE),
    }
}

/// Shows the settings that hold; what is wrong goes to stderr, with status 2.
pub fn show(args: &ShowArgs) -> ExitCode {
    let ShowArgs { json, changed, settings } = args;
    let sources = Sources::gather(settings.config.as_deref(), &settings.sets);
    let mut settings = match sources.and_then(|sources| effective(&sources)) {
        Ok(settings) => settings,
        Err(error) => return refuse(&error),
    };
    settings.retain(|setting| !changed || setting.is_changed);
    if *json {
        print(&(as_json(&settings).to_string() + "\n"))
    } else if settings.is_empty() {
        print("# all settings are as by default\n")
    } else {
        print(&as_toml(&settings))
    }
}

fn as_json(settings: &[Setting]) -> serde_json::Value {
    let settings = settings.iter().map(
        |Setting { key, value, origin, .. }| serde_json::json!({ "key": key, "value": value, "origin": origin }),
    );
    settings.collect()
}

fn print(text: &str) -> ExitCode {
    super::written(anstream::stdout().write_all(text.as_bytes()))
}

/// Checks the settings: what holds goes to stdout, what is wrong to stderr, with status 2.
pub fn check(settings: &SettingsArgs) -> ExitCode {
    match verdict(settings) {
        Ok(verdict) => print(&(verdict + "\n")),
        Err(error) => refuse(&error),
    }
}

/// The settings that a command was given, and what they were read from.
///
/// # Errors
/// All that is wrong with them; to be shown with [`refuse`].
pub fn settings(args: &SettingsArgs) -> Result<(Config, Sources), ConfigError> {
    let sources = Sources::gather(args.config.as_deref(), &args.sets)?;
    Ok((load(&sources)?, sources))
}

/// The same for a command that exports: the files that the settings name are checked too.
///
/// # Errors
/// As [`settings`], and what is wrong with those files.
pub fn settings_with_files(args: &SettingsArgs) -> Result<(Config, Sources), ConfigError> {
    let (config, sources) = settings(args)?;
    let own = config.own_export();
    let routes = [
        Route::of(&config.export, Service::Logs),
        Route::of(&config.export, Service::Traces),
        Route::of(&own, Service::Metrics),
        Route::of(&own, Service::Logs),
    ];
    let mut problems: Vec<_> = routes
        .into_iter()
        .filter_map(Result::err)
        .map(|error| Problem { origin: Origin::Settings, what: error.to_string() })
        .collect();
    // The signals usually share their files.
    problems.dedup();
    if problems.is_empty() { Ok((config, sources)) } else { Err(ConfigError { problems }) }
}

/// Says what is wrong with the settings, on stderr. The status to exit with is 2.
pub fn refuse(error: &ConfigError) -> ExitCode {
    // The status says it too if stderr is closed.
    _ = writeln!(anstream::stderr(), "{error}");
    usage_error()
}

/// What holds, and what should be looked at although it does.
fn verdict(args: &SettingsArgs) -> Result<String, ConfigError> {
    let (config, sources) = settings_with_files(args)?;
    let verdict = match &sources.file {
        Some(file) => format!("{}: fine", file.path.display()),
        None => without_a_file(&config),
    };
    let words = ignored(&sources).into_iter().chain(unheard_of_reasons(&config));
    Ok(std::iter::once(verdict).chain(words).collect::<Vec<_>>().join("\n"))
}

/// Names of drop reasons that neither the catalogue nor this kernel has. Another kernel may, so they are no mistake.
fn unheard_of_reasons(config: &Config) -> Vec<String> {
    let here = ReasonNames::read().map(|names| names.all()).unwrap_or_default();
    let filtered = config.filter.include.reasons.iter().chain(&config.filter.exclude.reasons);
    let given = config.severity.iter().flat_map(|rule| &rule.reasons).chain(filtered);
    let is_known = |name: &String| reasons::find(name).is_some() || here.values().any(|known| known == name);
    let unknown: BTreeSet<_> = given.filter(|name| !is_known(name)).collect();
    let warning = |name: &String| {
        let hint = hint(nearest(name, reasons::all().map(|reason| reason.name)));
        format!("warning: no known kernel has the drop reason `{name}`{hint}")
    };
    unknown.into_iter().map(warning).collect()
}

fn without_a_file(config: &Config) -> String {
    let goes_to = |export: &Export, service| match export.of(service).exporter {
        SignalExporter::Otlp => export.destination(service).name(),
        SignalExporter::None => "nowhere (not exported)".to_owned(),
    };
    let [logs, traces] = [Service::Logs, Service::Traces].map(|service| goes_to(&config.export, service));
    let metrics = goes_to(&config.own_export(), Service::Metrics);
    format!(
        "{}: does not exist, so the built-in defaults hold, and what environment and --set change: fine\n\
         log records go to {logs}, spans to {traces}, own metrics to {metrics}; status at http://{}/status",
        default_path().display(),
        config.health.listen
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::path::{Path, PathBuf};

    fn verdict_on(path: &Path, set: &str) -> Result<String, ConfigError> {
        verdict(&SettingsArgs { config: Some(path.to_owned()), sets: vec![set.to_owned()] })
    }

    fn reference() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/tcpdrop-otel.toml")
    }

    #[test]
    fn a_file_that_holds_is_fine() {
        let path = reference();
        assert_eq!(verdict_on(&path, "dedup.window=5s").unwrap(), format!("{}: fine", path.display()));
    }

    #[test]
    fn a_named_file_must_be_there() {
        let missing = verdict_on(Path::new("/nowhere/my.toml"), "dedup.window=5s").unwrap_err().to_string();
        assert!(missing.starts_with("/nowhere/my.toml: cannot be read: No such file"), "{missing}");
    }

    #[test]
    fn assignments_are_checked_too() {
        let wrong = verdict_on(&reference(), "dedup.windw=5s").unwrap_err().to_string();
        assert_eq!(wrong, "--set: unknown key `dedup.windw`; did you mean `dedup.window`?");
    }

    #[test]
    fn reasons_that_no_kernel_has_are_warned_of() {
        let set = "severity=[{ reasons = [\"NO_SOKET\", \"no_socket\"], level = \"info\" }]".to_owned();
        let filter = "filter.exclude.reasons=XYZZY,qdisc_drop_overlimit".to_owned();
        let args = SettingsArgs { config: Some(reference()), sets: vec![set, filter] };
        let warning = "warning: no known kernel has the drop reason ";
        let expected =
            [format!("{warning}`NO_SOKET`; did you mean `NO_SOCKET`?"), format!("{warning}`XYZZY`")];
        assert_eq!(verdict(&args).unwrap().lines().skip(1).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn without_a_file_it_says_what_holds() {
        let verdict = without_a_file(&Config::default());
        for part in ["built-in defaults", "http://localhost:4318/v1/logs", "http://127.0.0.1:13134/status"] {
            assert!(verdict.contains(part), "{verdict}");
        }
    }
}

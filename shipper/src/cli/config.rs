//! `config check`: says whether the settings hold, without starting anything.

use super::args::{ConfigCommand, SettingsArgs, usage_error};
use crate::config::{Config, ConfigError, Sources, default_path, load};
use crate::export::Signal;
use std::process::ExitCode;

/// Runs a command of `config`.
pub fn run(command: &ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Check(settings) => check(settings),
    }
}

/// Checks the settings: what holds goes to stdout, what is wrong to stderr, with status 2.
pub fn check(settings: &SettingsArgs) -> ExitCode {
    match verdict(settings) {
        Ok(verdict) => {
            anstream::println!("{verdict}");
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&error),
    }
}

/// The settings that a command was given.
///
/// # Errors
/// All that is wrong with them; to be shown with [`refuse`].
pub fn settings(args: &SettingsArgs) -> Result<Config, ConfigError> {
    load(&Sources::gather(args.config.as_deref(), &args.sets)?)
}

/// Says what is wrong with the settings, on stderr. The status to exit with is 2.
pub fn refuse(error: &ConfigError) -> ExitCode {
    anstream::eprintln!("{error}");
    usage_error()
}

fn verdict(args: &SettingsArgs) -> Result<String, ConfigError> {
    let sources = Sources::gather(args.config.as_deref(), &args.sets)?;
    let config = load(&sources)?;
    Ok(match &sources.file {
        Some(file) => format!("{}: fine", file.path.display()),
        None => without_a_file(&config),
    })
}

fn without_a_file(config: &Config) -> String {
    let [logs, traces] = [Signal::Logs, Signal::Traces].map(|signal| config.export.destination(signal).url);
    format!(
        "{}: does not exist, so the built-in defaults hold, and what environment and --set change: fine\n\
         log records go to {logs}, spans to {traces}; status at http://{}/status",
        default_path().display(),
        config.health.listen
    )
}

//! The command line: [`args`] is its grammar, and each command has a file of its own.

pub mod args;
pub mod classic;
pub mod compact_json;
pub mod completions;
pub mod config;
pub mod console;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod filter_args;
pub mod record;
pub mod replay;
pub mod run;
pub mod stacks;
pub mod watch;

use crate::config::{Config, ConfigError, Sources};
use crate::otlp::resource::{self, HostView};
use crate::telemetry;
use args::{Command, SettingsArgs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::process::ExitCode;
use tokio::runtime::Builder;

/// The resource of drops without a known owner: this host, named as the environment says.
pub fn observed_resource() -> Resource {
    let service_name = std::env::var("OTEL_SERVICE_NAME").ok();
    let declared = match std::env::var("OTEL_RESOURCE_ATTRIBUTES") {
        // What is wrong with them is among what `config::ignored` says.
        Ok(text) => resource::parse_attributes(&text).unwrap_or_default(),
        Err(_) => BTreeMap::new(),
    };
    resource::observed_host(&HostView::read(), service_name.as_deref(), &declared)
}

/// Release of the running kernel, as `uname -r` prints it.
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Runs the command of this process. Errors are said on stderr.
pub fn main() -> ExitCode {
    let Some(command) = Command::of_process() else { return ExitCode::SUCCESS };
    match command {
        Command::Config(command) => config::run(&command),
        Command::Run(args) => with_sources(config::settings_with_files(&args), async |config, sources| {
            telemetry::start(&config.telemetry);
            // The default file, once read, is missed if it is gone at a reload.
            let file = sources.file.as_ref().map(|file| file.path.clone());
            run::run(config, sources, file).await
        }),
        Command::Watch(args) => with_settings(&args.settings, async |mut config| {
            args.filter.clone().apply(&mut config.filter);
            watch::run(config, args.json, args.text.stacks, args.count).await
        }),
        Command::Record(args) => with_settings(&args.settings.clone(), async |mut config| {
            args.filter.clone().apply(&mut config.filter);
            record::run(config, *args).await
        }),
        Command::Replay(args) => replay::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Completions { shell } => completions::run(shell),
        Command::Demo(args) => {
            with_settings(&SettingsArgs::default(), async |config| demo::run(&config, args.json).await)
        }
    }
}

/// Loads the settings, then runs `command` with them. Exit status: 0 fine, 1 failed, 2 wrong settings.
fn with_settings<E: Error>(
    args: &SettingsArgs,
    command: impl AsyncFnOnce(Config) -> Result<(), E>,
) -> ExitCode {
    with_sources(config::settings(args), async |config, _| command(config).await)
}

/// The same for a command that reads the settings again later.
fn with_sources<E: Error>(
    settings: Result<(Config, Sources), ConfigError>,
    command: impl AsyncFnOnce(Config, Sources) -> Result<(), E>,
) -> ExitCode {
    let (config, sources) = match settings {
        Ok(settings) => settings,
        Err(error) => return config::refuse(&error),
    };
    let runtime = match Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let result = runtime.block_on(command(config, sources));
    // A name that hangs in the resolver holds a blocking thread: not to be waited for.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// What came of writing all output.
fn written(result: io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Who reads has seen enough, as `head` has.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("tcpdrop-otel: the output could not be written: {error}");
            ExitCode::FAILURE
        }
    }
}

fn failed(error: &dyn Error) -> ExitCode {
    anstream::eprintln!("tcpdrop-otel: {error}");
    ExitCode::FAILURE
}

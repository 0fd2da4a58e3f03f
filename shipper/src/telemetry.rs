//! The agent's own log lines, on stderr.

use crate::config::model::{Level, LogFormat, Telemetry};
use std::sync::OnceLock;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, reload};

/// Changes the level of the process's log lines.
static SET_LEVEL: OnceLock<Box<dyn Fn(Level) + Send + Sync>> = OnceLock::new();

/// Starts logging. Only the first call in a process has an effect.
pub fn start(settings: &Telemetry) {
    let (filter, handle) = reload::Layer::new(filter_of(settings.log_level));
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = match settings.log_format {
        LogFormat::Text => lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let started = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
    match started {
        Ok(()) => {
            // It fails only after the subscriber is gone, which it never is.
            let set = move |level| _ = handle.reload(filter_of(level));
            _ = SET_LEVEL.set(Box::new(set));
        }
        Err(_) => tracing::debug!("logging had been started before"),
    }
}

/// Changes the least severity that is written, from now on. Nothing before [`start`].
pub fn set_level(level: Level) {
    if let Some(set_level) = SET_LEVEL.get() {
        set_level(level);
    }
}

fn filter_of(level: Level) -> Targets {
    let level = match level {
        Level::Trace => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    // Libraries speak up only when something is wrong.
    Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("tcpdrop_otel", level)
}

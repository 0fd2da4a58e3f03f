//! `replay`: a recording, as text or as the OTLP that `run` would have sent.

use super::args::ReplayArgs;
use super::config;
use super::console::{Console, Form, JsonForm};
use crate::config::model::EmitSpans;
use crate::config::{Config, Sources, load};
use crate::recording::{Header, ReadError, Reader, Replayed, replay};
use rand::rngs::StdRng;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::sync::watch;

/// Why a replay failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No file.
    #[error("{} cannot be opened: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is damaged, or no recording.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ReadError,
    },
    /// Nowhere to write to.
    #[error("the output could not be written: {0}")]
    Output(io::Error),
}

/// Replays a recording. This host's configuration file and environment are not read: the result is to be the same
/// everywhere.
pub fn run(args: &ReplayArgs) -> ExitCode {
    let sources = Sources::given(args.settings.config.as_deref(), &args.settings.sets);
    let config = match sources.and_then(|sources| load(&sources)) {
        Ok(config) => config,
        Err(error) => return config::refuse(&error),
    };
    match replay_file(args, &config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => super::failed(&error),
    }
}

fn replay_file(args: &ReplayArgs, config: &Config) -> Result<(), ReplayError> {
    let ReplayArgs { file: path, json, text, .. } = args;
    let input: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let open = |source| ReplayError::Open { path: path.to_owned(), source };
        Box::new(BufReader::new(File::open(path).map_err(open)?))
    };
    let read_error = |source| ReplayError::Read { path: path.to_owned(), source };
    let mut reader = Reader::new(input).map_err(read_error)?;
    let stop = watch::Sender::new(false);
    let failure = Cell::new(None);
    let console = |header: &Header, random: StdRng| {
        let terminal = anstream::stdout();
        let form = if *json {
            Form::Json(json_form(header, config, random))
        } else {
            Form::classic(&terminal, text.stacks)
        };
        let out = Output { out: terminal, failure: &failure };
        Console { out, form, remaining: None, stop: stop.clone() }.start()
    };
    let replayed = replay(&mut reader, config, console, || *stop.borrow()).map_err(read_error)?;
    match failure.into_inner() {
        // Who reads has seen enough, as `head` has.
        Some(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Some(error) => Err(ReplayError::Output(error)),
        None => {
            for remark in remarks(&replayed) {
                anstream::eprintln!("{}: {remark}", path.display());
            }
            Ok(())
        }
    }
}

fn json_form(header: &Header, config: &Config, random: StdRng) -> Box<JsonForm> {
    let span_events = (config.spans.emit != EmitSpans::Never).then_some(config.spans.events);
    Box::new(JsonForm { span_events, ..JsonForm::new(header.resource.clone(), config, random) })
}

/// What who looks at the output should know about the recording.
fn remarks(replayed: &Replayed) -> Vec<String> {
    let Replayed { events, undecodable, left_out, kernel, lines } = *replayed;
    let mut remarks = Vec::new();
    if kernel.is_none() {
        remarks.push(format!(
            "it ends after line {lines} without its last line: the recording was cut short, by a crash or a full disk. \
             The {events} events before that were replayed"
        ));
    }
    if undecodable > 0 {
        remarks.push(format!("{undecodable} of {events} events make no sense, and are told as totals"));
    }
    if left_out > 0 {
        remarks.push(format!("{left_out} more events came when it ended, and are not in it"));
    }
    remarks
}

/// Remembers why writing failed, for which the console just stops.
struct Output<'a, W> {
    out: W,
    failure: &'a Cell<Option<io::Error>>,
}

impl<W: Write> Output<'_, W> {
    fn note<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            self.failure.set(Some(error));
            kind.into()
        })
    }
}

impl<W: Write> Write for Output<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.note(flushed)
    }
}

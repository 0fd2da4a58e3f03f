//! The grammar of the command line, and its help.

use super::filter_args::FilterArgs;
use super::stacks::StackChoice;
use clap::{Args, ColorChoice, CommandFactory, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  tcpdrop-otel demo                     make a drop on loopback, see its record
  sudo tcpdrop-otel watch               every TCP drop here, with its kernel stack
  sudo tcpdrop-otel watch --json --count 10 | jq .
  sudo tcpdrop-otel run                 ship drops to the Collector on this host
  sudo tcpdrop-otel run --set export.endpoint=https://otlp.example.com
  tcpdrop-otel config check             find mistakes before a restart
  tcpdrop-otel explain NETFILTER_DROP   what a drop reason means, where to look
  sudo tcpdrop-otel doctor              what this host allows, what to do about it
  sudo tcpdrop-otel record --output drops.jsonl --duration 10s
  tcpdrop-otel replay drops.jsonl       show a recording, on any machine

Exit status:
  0  fine
  1  failed: the message says why, and what would help
  2  wrong usage or configuration; nothing was started

Environment:
  OTEL_EXPORTER_OTLP_{ENDPOINT,HEADERS,TIMEOUT,COMPRESSION,PROTOCOL}
  OTEL_EXPORTER_OTLP_{CERTIFICATE,CLIENT_CERTIFICATE,CLIENT_KEY,INSECURE}
      as in the OpenTelemetry specification, also with _LOGS_, _TRACES_ and
      _METRICS_ (the agent's own)
  OTEL_{LOGS,TRACES,METRICS}_EXPORTER, OTEL_SDK_DISABLED, OTEL_LOG_LEVEL,
  OTEL_METRIC_EXPORT_INTERVAL, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
      likewise; others of the specification are ignored, and run says so
  TCPDROP_OTEL_<SECTION>_<KEY>
      any setting, such as TCPDROP_OTEL_DEDUP_WINDOW=5s
  NO_COLOR
      no colours

The later wins: defaults, the file, OTEL_*, TCPDROP_OTEL_*, --set.";

const RUN_EXAMPLES: &str = "\
Examples:
  tcpdrop-otel run --config /etc/tcpdrop-otel/tcpdrop-otel.toml
  tcpdrop-otel run --set export.endpoint=http://collector:4318

It needs root, or the capabilities CAP_BPF and CAP_PERFMON. SIGTERM or Ctrl-C
ends it, within two seconds: what is left is sent first. SIGHUP reads the
configuration again: filters, limits, dedup, severities and log level change
at once and no drop is lost; a wrong file changes nothing. Its state is at
http://127.0.0.1:13134/status (see health.listen).";

const WATCH_EXAMPLES: &str = "\
Examples:
  tcpdrop-otel watch                      until Ctrl-C
  tcpdrop-otel watch --count 1            wait for one drop
  tcpdrop-otel watch --json | jq .        one OTLP/JSON object a line
  tcpdrop-otel watch --port 443,8443 --not-reason NO_SOCKET
                                          of some ports, without their noise
  tcpdrop-otel watch --stacks never       a line for each drop

A drop is shown if each kind of filter that is given fits it, and no --not-*
does. Flags take the place of the same keys of [filter] in the configuration.

It needs root, or the capabilities CAP_BPF and CAP_PERFMON.";

const CHECK_EXAMPLES: &str = "\
Examples:
  tcpdrop-otel config check
  tcpdrop-otel config check --config my.toml && echo good

Each mistake is a line on stderr, FILE:LINE: WHAT; the exit status is then 2.";

const RECORD_EXAMPLES: &str = "\
Examples:
  tcpdrop-otel record --output drops.jsonl                  until Ctrl-C
  tcpdrop-otel record --output drops.jsonl --duration 10s
  tcpdrop-otel record --output drops.jsonl --count 100

It needs root, or the capabilities CAP_BPF and CAP_PERFMON; CAP_SYSLOG too, for
the names of kernel functions. The file holds addresses and ports of packets and
addresses of this kernel: think before you publish it.";

const REPLAY_EXAMPLES: &str = "\
Examples:
  tcpdrop-otel replay drops.jsonl
  tcpdrop-otel replay --json drops.jsonl | jq .
  tcpdrop-otel replay --set dedup.window=1m --json drops.jsonl

It needs no rights. Configuration file and environment of this host are not
read, so that the result is the same on every machine.";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  sudo tcpdrop-otel doctor
  sudo -u tcpdrop-otel tcpdrop-otel doctor    as the user that runs the agent
  tcpdrop-otel doctor --json | jq '.checks[] | select(.verdict != \"ok\")'

Nothing is changed: the probe is loaded, but not attached; the receiver gets an
empty export request. Exit status 0: the agent can run; 1: it cannot, or what it
sends would be refused.";

const SHOW_EXAMPLES: &str = "\
Examples:
  tcpdrop-otel config show
  tcpdrop-otel config show --changed      only what differs from the defaults
  tcpdrop-otel config show --json

Secrets (headers, queries of URLs) are hidden.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  tcpdrop-otel explain NETFILTER_DROP
  tcpdrop-otel explain skb_drop_reason_tcp_zerowindow
  tcpdrop-otel explain 3                 the number, as on this kernel
  tcpdrop-otel explain --list            all of them, a line each

All reasons with all texts: docs/reasons.md. Exit status 1: no such reason.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  tcpdrop-otel completions bash > /etc/bash_completion.d/tcpdrop-otel
  tcpdrop-otel completions zsh > \"${fpath[1]}/_tcpdrop-otel\"
  tcpdrop-otel completions fish > ~/.config/fish/completions/tcpdrop-otel.fish";

/// Sees every TCP packet that the Linux kernel drops, says why and where, and ships that over OpenTelemetry.
#[derive(Debug, Parser)]
#[command(name = "tcpdrop-otel", version, after_help = EXAMPLES, disable_help_subcommand = true, max_term_width = 120)]
pub struct CommandLine {
    /// When to use colours: auto is on a terminal, unless NO_COLOR is set.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto", hide_default_value = true)]
    pub color: ColorChoice,
    /// What to do; without it, the help is shown.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the agent: watch for drops and ship them over OTLP.
    #[command(after_help = RUN_EXAMPLES)]
    Run(SettingsArgs),
    /// Show drops on the terminal as they happen.
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(Box<WatchArgs>),
    /// Make a real drop on loopback and show the record it becomes.
    ///
    /// Without the rights to load the probe, a bundled recording is shown instead, and said to be one.
    Demo(DemoArgs),
    /// Record raw drops in a file, to be shown again anywhere.
    #[command(after_help = RECORD_EXAMPLES)]
    Record(Box<RecordArgs>),
    /// Show a recording: as text, or as the OTLP that would have been sent.
    #[command(after_help = REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
    /// Say what this host allows, what is missing, and how to get it.
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Say what a drop reason means, why it happens, and what to look at next.
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// Work with the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the script that lets a shell complete this command's arguments.
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// Where settings come from.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsArgs {
    /// Configuration file [default: /etc/tcpdrop-otel/tcpdrop-otel.toml, if it exists].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Set one key over file and environment, such as dedup.window=5s; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

/// What text shows; goes beside a `--json`.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TextArgs {
    /// When to show a kernel stack whole in text: if it is new or was last shown a while ago, always, or never.
    #[arg(
        long,
        value_name = "new|always|never",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        conflicts_with = "json"
    )]
    pub stacks: StackChoice,
}

/// Arguments of `watch`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchArgs {
    /// Print OTLP/JSON, one object a line, instead of text.
    #[arg(long)]
    pub json: bool,
    /// How much of the stacks.
    #[command(flatten)]
    pub text: TextArgs,
    /// End after N records.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// Where settings come from.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Which drops.
    #[command(flatten)]
    pub filter: FilterArgs,
}

/// Arguments of `demo`.
#[derive(Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DemoArgs {
    /// Print the OTLP/JSON record only.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `record`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordArgs {
    /// File to write; it must not exist.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: PathBuf,
    /// End after N drops.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after this time, such as 10s or 5m.
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub duration: Option<Duration>,
    /// Overwrite the file if it exists.
    #[arg(long)]
    pub force: bool,
    /// Where settings come from.
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Which drops.
    #[command(flatten)]
    pub filter: FilterArgs,
}

fn some_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| !time.is_zero());
    time.filter(|time| *time <= LONGEST_TIME)
        .ok_or_else(|| "it must be a time such as 10s, 5m or 1h30m, up to a year".to_owned())
}

const LONGEST_TIME: Duration = Duration::from_secs(366 * 86_400);

/// Arguments of `replay`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayArgs {
    /// The recording; - is standard input.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Print OTLP/JSON, one object a line: log records and spans.
    #[arg(long)]
    pub json: bool,
    /// How much of the stacks.
    #[command(flatten)]
    pub text: TextArgs,
    /// Settings of the replay.
    #[command(flatten)]
    pub settings: ExplicitSettingsArgs,
}

/// Settings that come from the command line alone.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ExplicitSettingsArgs {
    /// Configuration file [default: none, the built-in defaults hold].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Set one key, such as dedup.window=5s; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

/// Arguments of `doctor`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct DoctorArgs {
    /// Print one JSON object instead of text.
    #[arg(long)]
    pub json: bool,
    /// Where settings come from.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// Arguments of `explain`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ExplainArgs {
    /// The reason: its name, in any case, or its number on this kernel.
    #[arg(required_unless_present = "list")]
    pub reason: Option<String>,
    /// List all reasons, a line each.
    #[arg(long, conflicts_with = "reason")]
    pub list: bool,
    /// Print JSON instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `config show`.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ShowArgs {
    /// Print one JSON array instead of TOML.
    #[arg(long)]
    pub json: bool,
    /// Print only what differs from the defaults.
    #[arg(long)]
    pub changed: bool,
    /// Where settings come from.
    #[command(flatten)]
    pub settings: SettingsArgs,
}

/// The commands of `config`.
#[derive(Debug, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Check file, environment and --set, without starting anything.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(SettingsArgs),
    /// Print the effective settings, each with where it came from.
    #[command(after_help = SHOW_EXAMPLES)]
    Show(ShowArgs),
    /// Print the reference: every setting with its default and what it means.
    Reference,
}

/// Wrong usage or configuration.
pub fn usage_error() -> ExitCode {
    ExitCode::from(2)
}

impl Command {
    /// The command of this process, once `--color` has taken effect. `None` after the help was shown because nothing
    /// was asked for. Help, version (status 0) and wrong usage (status 2) end the process.
    pub fn of_process() -> Option<Self> {
        let line = CommandLine::parse();
        colors(line.color).write_global();
        if line.command.is_none() {
            // Nobody reads it when this fails.
            _ = write!(anstream::stdout(), "{}", CommandLine::command().render_help().ansi());
        }
        line.command
    }
}

fn colors(choice: ColorChoice) -> anstream::ColorChoice {
    match choice {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;

    fn parse(line: &str) -> Result<CommandLine, clap::Error> {
        CommandLine::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_grammar_holds_together() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn all_arguments_arrive() {
        let line =
            parse("tcpdrop-otel watch --json --count 3 --config a.toml --set a=1 --set b=2 --color never")
                .unwrap();
        let settings =
            SettingsArgs { config: Some("a.toml".into()), sets: vec!["a=1".to_owned(), "b=2".to_owned()] };
        assert_eq!(
            line.command,
            Some(Command::Watch(Box::new(WatchArgs {
                json: true,
                count: Some(3),
                settings,
                ..WatchArgs::default()
            })))
        );
        assert_eq!(line.color, ColorChoice::Never);
        assert_eq!(
            parse("tcpdrop-otel config check").unwrap().command,
            Some(Command::Config(ConfigCommand::Check(SettingsArgs::default())))
        );
        assert_eq!(parse("tcpdrop-otel run").unwrap().command, Some(Command::Run(SettingsArgs::default())));
        assert_eq!(parse("tcpdrop-otel").unwrap().command, None);
        let record = RecordArgs {
            output: "a".into(),
            count: Some(3),
            duration: Some(Duration::from_secs(90)),
            force: true,
            settings: SettingsArgs::default(),
            filter: FilterArgs::default(),
        };
        let line = "tcpdrop-otel record -o a --count 3 --duration 1m30s --force";
        assert_eq!(parse(line).unwrap().command, Some(Command::Record(Box::new(record))));
    }

    #[test]
    fn wrong_usage_is_refused_with_status_2() {
        for line in [
            "x",
            "run --count 1",
            "watch --count 0",
            "config",
            "config chek",
            "run --color blue",
            "demo --set a=1",
            "explain",
            "explain NO_SOCKET --list",
        ] {
            let error = parse(&format!("tcpdrop-otel {line}")).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        assert_eq!(parse("tcpdrop-otel --version").unwrap_err().kind(), ErrorKind::DisplayVersion);
    }

    #[test]
    fn the_help_teaches() {
        let help = CommandLine::command().render_long_help().to_string();
        for part in ["Examples:", "Exit status:", "Environment:", "demo", "watch", "run", "explain", "config"]
        {
            assert!(help.contains(part), "{part}");
        }
    }
}

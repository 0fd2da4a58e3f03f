//! `doctor`: what this host allows, what is missing, and how to get it.
//!
//! `facts` and `service` ask, `host` and `service` judge, each check has the one shape of [`Check`].

mod check;
mod facts;
mod host;
mod service;

pub use check::{Check, Verdict};

use super::args::DoctorArgs;
use anstyle::{AnsiColor, Style};
use facts::HostFacts;
use std::io::{self, Write};
use std::process::ExitCode;
use tokio::runtime::Builder;

/// Looks, says what was found, and tells by the status whether the agent can run.
pub fn run(args: &DoctorArgs) -> ExitCode {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return super::failed(&error),
    };
    let checks = runtime.block_on(examine(args));
    // A name that hangs in the resolver is not to be waited for.
    runtime.shutdown_background();
    let can_run = checks.iter().all(|check| check.verdict != Verdict::Fail);
    let mut out = anstream::stdout();
    let written = match args.json {
        true => writeln!(out, "{:#}", serde_json::json!({ "can_run": can_run, "checks": checks })),
        false => write_text(&mut out, &checks, &super::kernel_release()),
    };
    match super::written(written) {
        ExitCode::SUCCESS if !can_run => ExitCode::FAILURE,
        status => status,
    }
}

async fn examine(args: &DoctorArgs) -> Vec<Check> {
    let settings = super::config::settings(&args.settings);
    let probe = settings.as_ref().map(|(config, _)| config.probe.clone()).unwrap_or_default();
    let facts = HostFacts::read(&probe);
    let mut checks: Vec<_> = host::CHECKS.iter().map(|check| check(&facts)).collect();
    checks.extend(service::checks(settings.as_ref(), facts.memory_available).await);
    checks
}

/// A line for each check, then what to do, worst first.
fn write_text(out: &mut impl Write, checks: &[Check], kernel: &str) -> io::Result<()> {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    writeln!(out, "tcpdrop-otel {} on Linux {kernel}\n", env!("CARGO_PKG_VERSION"))?;
    for Check { name, verdict, found, .. } in checks {
        let (word, style) = shown(*verdict);
        // Lines after the first stand below it.
        let found = found.replace('\n', &format!("\n{:1$}", "", 2 + 6 + width + 2));
        writeln!(out, "  {style}{word:<4}{style:#}  {name:<width$}  {found}")?;
    }
    for (verdict, heading) in [
        (Verdict::Fail, "The agent cannot do its work here. What to do:"),
        (Verdict::Warn, "The agent can run, but not all is well. What to do:"),
    ] {
        let failed = checks.iter().any(|check| check.verdict == Verdict::Fail);
        let heading = if verdict == Verdict::Warn && failed { "Besides:" } else { heading };
        for (index, (names, remedy)) in to_do(checks, verdict).iter().enumerate() {
            if index == 0 {
                writeln!(out, "\n{heading}")?;
            }
            writeln!(out, "  {}. {}: {}", index + 1, names.join(", "), remedy.replace('\n', "\n     "))?;
        }
    }
    if checks.iter().all(|check| check.remedy.is_none()) {
        writeln!(out, "\nAll is well. To start: tcpdrop-otel run")?;
    }
    Ok(())
}

/// The remedies of a verdict, each once, with the names of the checks that ask for it.
fn to_do(checks: &[Check], verdict: Verdict) -> Vec<(Vec<&str>, &str)> {
    let mut list: Vec<(Vec<&str>, &str)> = Vec::new();
    for check in checks.iter().filter(|check| check.verdict == verdict) {
        let Some(remedy) = check.remedy.as_deref() else { continue };
        match list.iter_mut().find(|(_, listed)| *listed == remedy) {
            Some((names, _)) => names.push(check.name),
            None => list.push((vec![check.name], remedy)),
        }
    }
    list
}

fn shown(verdict: Verdict) -> (&'static str, Style) {
    let colour = |colour: AnsiColor| colour.on_default().bold();
    match verdict {
        Verdict::Ok => ("ok", colour(AnsiColor::Green)),
        Verdict::Warn => ("warn", colour(AnsiColor::Yellow)),
        Verdict::Fail => ("FAIL", colour(AnsiColor::Red)),
        Verdict::Skipped => ("skip", Style::new().dimmed()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn text(checks: &[Check]) -> String {
        let mut out = Vec::new();
        write_text(&mut out, checks, "6.18").unwrap();
        anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string()
    }

    #[test]
    fn it_ends_with_what_to_do_worst_first() {
        let text = text(&[
            Check::ok("BTF", "there"),
            Check::warn("symbols", "hidden", "show them"),
            Check::fail("rights", "none\nat all", "get some\nfrom root"),
            Check::fail("rites", "none", "get some\nfrom root"),
            Check::skipped("program", "needs rights"),
        ]);
        let expected = format!(
            "tcpdrop-otel {} on Linux 6.18\n\n  ok    BTF      there\n  warn  symbols  hidden\n  FAIL  rights   none\n  \
             {:15}at all\n  FAIL  rites    none\n  skip  program  needs rights\n\nThe agent cannot do its work here. What to do:\n  1. rights, rites: \
             get some\n     from root\n\nBesides:\n  1. symbols: show them\n",
            env!("CARGO_PKG_VERSION"),
            ""
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn where_nothing_is_to_be_done_it_says_how_to_start() {
        assert!(
            text(&[Check::ok("BTF", "there")]).ends_with("\n\nAll is well. To start: tcpdrop-otel run\n")
        );
        let warned = text(&[Check::warn("symbols", "hidden", "show them")]);
        assert!(
            warned.ends_with(
                "\n\nThe agent can run, but not all is well. What to do:\n  1. symbols: show them\n"
            )
        );
    }
}

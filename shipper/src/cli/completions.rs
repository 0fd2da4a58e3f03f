//! `completions`: what a shell needs to complete this command's arguments.

use super::args::CommandLine;
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::{self, Write};
use std::process::ExitCode;

/// Prints the completions for `shell`.
pub fn run(shell: Shell) -> ExitCode {
    super::written(io::stdout().write_all(&completions(shell)))
}

fn completions(shell: Shell) -> Vec<u8> {
    let mut command = CommandLine::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    match shell {
        Shell::Bash => consistent(script),
        _ => script,
    }
}

/// With a hyphen in the program's name, clap_complete 4.6 sets one name for a subcommand and looks for another.
fn consistent(script: Vec<u8>) -> Vec<u8> {
    String::from_utf8(script)
        .map(|script| script.replace("tcpdrop__subcmd__otel", "tcpdrop__otel").into_bytes())
        .unwrap_or_else(|error| error.into_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn bash_completes_below_the_first_word() {
        let script = String::from_utf8(completions(Shell::Bash)).unwrap();
        let ask = "\nCOMP_WORDS=(tcpdrop-otel watch --js); COMP_CWORD=2\n\
                   _tcpdrop__otel tcpdrop-otel --js watch; echo \"${COMPREPLY[@]}\"";
        let Ok(bash) = std::process::Command::new("bash").arg("-c").arg(script + ask).output() else {
            return;
        };
        assert_eq!(String::from_utf8_lossy(&bash.stdout).trim(), "--json", "{bash:?}");
    }

    #[test]
    fn every_shell_learns_every_command() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completions(*shell)).unwrap();
            for command in CommandLine::command().get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}

//! `explain`: what a drop reason means, why it happens, what to look at next.

use super::args::ExplainArgs;
use crate::config::default_policy;
use crate::config::model::Level;
use crate::config::nearest::{hint, nearest};
use crate::otlp::severity::{Policy, text};
use crate::reasons::names::ReasonNames;
use crate::reasons::{self, Cause, Reason, canonical, classify};
use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Lines of text are no longer than this, however wide the terminal is.
const WIDEST: usize = 100;
/// Where the output is no terminal.
const CUSTOMARY: usize = 80;
/// Names that are offered for a part of a name.
const MOST_OFFERED: usize = 6;

/// Explains a reason, or lists all.
pub fn run(args: &ExplainArgs) -> ExitCode {
    // Without rights or BTF the numbers are missing, the texts are not.
    let kernel = Kernel(ReasonNames::read().map(|names| names.all()).unwrap_or_default());
    let width = terminal_width();
    let shown = match args.reason.as_deref() {
        None if args.json => Ok(lines(reasons::all().map(|reason| as_json(reason.name, reason, &kernel)))),
        None => Ok(list(&kernel, width)),
        Some(asked) => kernel.identify(asked).map(|(name, reason)| match args.json {
            true => lines([as_json(&name, reason, &kernel)]),
            false => explanation(&name, reason, &kernel, width.unwrap_or(CUSTOMARY).min(WIDEST)),
        }),
    };
    match shown {
        Ok(shown) => super::written(anstream::stdout().write_all(shown.as_bytes())),
        Err(unknown) => super::failed(&io::Error::other(unknown)),
    }
}

/// The reasons of the running kernel, by number.
struct Kernel(BTreeMap<u32, String>);

impl Kernel {
    /// The reason that somebody asks for by name or number, or why there is none.
    fn identify(&self, asked: &str) -> Result<(String, &'static Reason), String> {
        let name = match asked.trim().parse::<u32>() {
            Ok(number) => self.name(number)?,
            Err(_) => canonical(asked),
        };
        match reasons::find(&name) {
            Some(reason) => Ok((name, reason)),
            None => Err(self.unknown(&name)),
        }
    }

    fn name(&self, number: u32) -> Result<String, String> {
        match self.0.get(&number) {
            Some(name) => Ok(name.clone()),
            None if self.0.is_empty() => Err(format!(
                "numbers of drop reasons differ between kernels, and this one shows none ({}): ask by name",
                crate::btf::KERNEL_BTF
            )),
            None => Err(format!("this kernel has no drop reason with the number {number}")),
        }
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.0.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
    }

    fn unknown(&self, name: &str) -> String {
        if let Some(number) = self.number(name) {
            return format!(
                "{name} is drop reason {number} of this kernel, too new for this version to explain"
            );
        }
        let names = || reasons::all().map(|reason| reason.name);
        let parts = || names().filter(|known| name.len() > 2 && known.contains(name)).take(MOST_OFFERED);
        let offered = nearest(name, names()).map_or_else(|| parts().collect(), |name| vec![name]);
        let offered = Some(offered.join("`, `")).filter(|names| !names.is_empty());
        format!("no drop reason is known by the name {:?}{}", name, hint(offered))
    }
}

fn default_level(reason: &Reason) -> Level {
    let class = classify(Cause::of(None, Some(reason.name)), None, None);
    Policy::new(&default_policy()).level(Some(reason.name), class)
}

/// The severity by default, and what it says.
fn severity(reason: &Reason) -> String {
    let level = default_level(reason);
    let ordinary = if level <= Level::Info { ", ordinary noise" } else { "" };
    format!("severity {} by default{ordinary}", text(level))
}

fn explanation(name: &str, reason: &Reason, kernel: &Kernel, width: usize) -> String {
    let (title, head) = (AnsiColor::Red.on_default().bold(), Style::new().bold());
    let mut shown = format!("{title}{name}{title:#}\n");
    let class = reason.class.map(|class| format!("class {class}"));
    let number = kernel.number(name).map(|number| format!("number {number} on this kernel"));
    let facts: Vec<_> = class.into_iter().chain([severity(reason)]).chain(number).collect();
    shown += &wrapped(&facts.join("; "), "", "", width);
    shown.push('\n');
    shown += &wrapped(reason.meaning, "", "", width);
    for (heading, items) in [("Usual causes", reason.causes), ("Look at", reason.look)] {
        // Writing to a string does not fail.
        _ = write!(shown, "\n{head}{heading}{head:#}\n");
        items.iter().for_each(|item| shown += &wrapped(item, "  - ", "    ", width));
    }
    shown
}

/// A line for each reason: name, class, severity, and the first sentence, as far as the terminal is wide.
fn list(kernel: &Kernel, width: Option<usize>) -> String {
    let mut shown = String::new();
    for reason in reasons::all() {
        let class = reason.class.map_or("-", |class| class.name());
        let number = kernel.number(reason.name).map_or("-".to_owned(), |number| number.to_string());
        let (first, _) = reason.meaning.split_once(". ").unwrap_or((reason.meaning, ""));
        let level = text(default_level(reason));
        let line = format!("{:<32} {number:>7} {class:<11} {level:<5} {first}", reason.name);
        shown.extend(line.chars().take(width.unwrap_or(usize::MAX)));
        shown.push('\n');
    }
    shown
}

fn as_json(name: &str, reason: &Reason, kernel: &Kernel) -> Value {
    json!({
        "reason": name,
        "number": kernel.number(name),
        "class": reason.class.map(|class| class.name()),
        "severity": text(default_level(reason)),
        "meaning": reason.meaning,
        "causes": reason.causes,
        "look_at": reason.look,
    })
}

fn lines(values: impl IntoIterator<Item = Value>) -> String {
    values.into_iter().map(|value| format!("{value}\n")).collect()
}

/// `text` in lines of at most `width`, of which the first begins with `first`, the others with `next`.
fn wrapped(text: &str, first: &str, next: &str, width: usize) -> String {
    let mut lines = String::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            lines = lines + &line + "\n";
            line = next.to_owned();
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    lines + &line + "\n"
}

/// Columns of the terminal that the output goes to.
fn terminal_width() -> Option<usize> {
    let size = Some(io::stdout()).filter(IsTerminal::is_terminal).map(rustix::termios::tcgetwinsize)?.ok()?;
    Some(usize::from(size.ws_col)).filter(|&columns| columns > 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn kernel() -> Kernel {
        Kernel(BTreeMap::from([(3, "NO_SOCKET".to_owned()), (77, "BRAND_NEW".to_owned())]))
    }

    #[track_caller]
    fn assert_is(asked: &str, name: &str) {
        assert_eq!(kernel().identify(asked).unwrap().0, name);
    }

    #[test]
    fn a_reason_is_known_by_many_names() {
        for asked in ["NO_SOCKET", "no_socket", "SKB_DROP_REASON_NO_SOCKET", " 3"] {
            assert_is(asked, "NO_SOCKET");
        }
        assert_is("OVS_DROP_METER", "OPENVSWITCH_METER");
        assert_is("QDISC_DROP", "QDISC_DROP");
        assert_is("QDISC_DROP_OVERLIMIT", "QDISC_OVERLIMIT");
        assert_is("rx_drop_u_mic_fail", "MAC80211_UNUSABLE_U_MIC_FAIL");
    }

    #[test]
    fn an_unknown_name_says_so_and_offers_what_is_like_it() {
        let unknown = |asked| kernel().identify(asked).unwrap_err();
        let nearest = "no drop reason is known by the name \"NO_SOKET\"; did you mean `NO_SOCKET`?";
        assert_eq!(unknown("no_soket"), nearest);
        assert!(
            unknown("md5")
                .ends_with("did you mean `TCP_MD5NOTFOUND`, `TCP_MD5UNEXPECTED`, `TCP_MD5FAILURE`?")
        );
        assert_eq!(unknown("?"), "no drop reason is known by the name \"?\"");
        assert!(unknown("BRAND_NEW").contains("drop reason 77 of this kernel"));
        assert_eq!(unknown("999"), "this kernel has no drop reason with the number 999");
        assert!(Kernel(BTreeMap::new()).identify("3").unwrap_err().contains("ask by name"));
    }

    #[test]
    fn lines_are_as_wide_as_the_terminal_and_keep_all_words() {
        for reason in reasons::all() {
            let shown = wrapped(reason.meaning, "  - ", "    ", 40);
            assert!(
                shown.lines().all(|line| line.chars().count() <= 40 || line.trim().split(' ').count() <= 2),
                "{shown}"
            );
            let words: Vec<_> = shown.trim_start_matches("  - ").split_whitespace().collect();
            assert_eq!(words.join(" "), reason.meaning);
        }
    }

    #[test]
    fn the_explanation_has_all_parts() {
        let (name, reason) = kernel().identify("3").unwrap();
        let shown = anstream::adapter::strip_str(&explanation(&name, reason, &kernel(), 80)).to_string();
        let facts = "class no_listener; severity INFO by default, ordinary noise; number 3 on this";
        for part in ["NO_SOCKET\n", facts, "\nUsual causes\n  - ", "\nLook at\n  - `ss -ltnp`"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }

    #[test]
    fn the_list_has_a_line_for_each() {
        let shown = list(&kernel(), Some(60));
        assert_eq!(shown.lines().count(), reasons::all().count());
        assert!(shown.lines().all(|line| line.chars().count() <= 60));
        assert!(
            shown.contains("\nNO_SOCKET                              3 no_listener INFO  N\n"),
            "{shown}"
        );
    }
}

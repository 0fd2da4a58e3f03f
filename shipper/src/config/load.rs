//! [`load`]: the layers, one over the other.

use super::error::{ConfigError, Origin, Problem};
use super::keys::{KEYS, Key, is_section, sections};
use super::model::Config;
use super::nearest::{hint, nearest};
use super::read::Given;
use super::sources::{SourceFile, Sources};
use super::standard::{self, Said};
use std::borrow::Cow;
use std::iter::once;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The settings that `sources` make, one layer over the other (see [`crate::config`]).
///
/// # Errors
/// All that is wrong with any of the layers.
pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let mut loader = Loader::default();
    if let Some(file) = &sources.file {
        loader.file(file);
    }
    if !sources.environment.is_empty() {
        loader.standard_variables(sources);
        loader.variables(sources);
    }
    for assignment in &sources.sets {
        loader.set(assignment);
    }
    if loader.problems.is_empty() {
        Ok(loader.config)
    } else {
        Err(ConfigError { problems: loader.problems })
    }
}

#[derive(Default)]
struct Loader {
    config: Config,
    problems: Vec<Problem>,
}

impl Loader {
    fn file(&mut self, file: &SourceFile) {
        let origin = |line| Origin::File { path: file.path.clone(), line };
        let findings = findings(&mut self.config, &file.text);
        let untold = findings.len().saturating_sub(MOST_FINDINGS);
        for (line, what) in findings.into_iter().take(MOST_FINDINGS) {
            self.problems.push(Problem { origin: origin(Some(line)), what: what.told() });
        }
        if untold > 0 {
            let what = format!("and {untold} more problems: is it the right file?");
            self.problems.push(Problem { origin: origin(None), what });
        }
    }

    fn standard_variables(&mut self, sources: &Sources) {
        for key in KEYS {
            match standard::said(key, sources) {
                Some(Said { name, value: Ok(value) }) => self.text(key, &name, Origin::Environment, &value),
                Some(Said { value: Err(what), .. }) => {
                    self.problems.push(Problem { origin: Origin::Environment, what });
                }
                None => {}
            }
        }
        for what in standard::faults(sources) {
            self.problems.push(Problem { origin: Origin::Environment, what });
        }
    }

    fn variables(&mut self, sources: &Sources) {
        let keys: Vec<_> = KEYS.iter().map(|key| (key.variable(), key)).collect();
        for (name, key) in &keys {
            if let Some(value) = sources.variable(name) {
                self.text(key, name, Origin::Environment, value);
            }
        }
        let known = || keys.iter().map(|(name, _)| name.as_str());
        for name in sources.own_variables().filter(|name| !known().any(|known| known == *name)) {
            let what = format!("unknown variable `{name}`{}", hint(nearest(name, known())));
            self.problems.push(Problem { origin: Origin::Environment, what });
        }
    }

    fn set(&mut self, assignment: &str) {
        let what = match assignment.split_once('=') {
            None => format!("{assignment:?} must be KEY=VALUE, such as dedup.window=5s"),
            Some((path, value)) => match Key::named(path.trim()) {
                Some(key) => return self.text(key, key.path, Origin::Set, value.trim()),
                None if is_section(path.trim()) => {
                    format!("`{0}` is a section: name a key, {0}.KEY", path.trim())
                }
                None => unknown_key(path.trim()),
            },
        };
        self.problems.push(Problem { origin: Origin::Set, what });
    }

    fn text(&mut self, key: &Key, name: &str, origin: Origin, value: &str) {
        for fault in (key.set)(&mut self.config, Given::Text(value)).err().into_iter().flatten() {
            let what = format!("`{name}{}` {}", fault.part, fault.what);
            self.problems.push(Problem { origin: origin.clone(), what });
        }
    }
}

/// Something wrong in a file, and where: an offset in bytes.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    offset: usize,
    what: What,
}

/// What is wrong. To look for what was meant takes time, so that is done for what is told only.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Said(String),
    UnknownKey(String),
    UnknownSection(String),
}

impl What {
    fn told(self) -> String {
        match self {
            Self::Said(what) => what,
            Self::UnknownKey(path) => unknown_key(&path),
            Self::UnknownSection(path) => {
                format!("unknown section `{path}`{}", hint(nearest(&path, sections())))
            }
        }
    }
}

/// A file with more problems than this is none of ours.
const MOST_FINDINGS: usize = 100;

/// Sets all that `text` sets, and says what is wrong with it, with the lines, in their order.
fn findings(config: &mut Config, text: &str) -> Vec<(usize, What)> {
    let line_starts: Vec<_> = once(0).chain(text.match_indices('\n').map(|(end, _)| end + 1)).collect();
    let line_of = |offset| line_starts.partition_point(|start| *start <= offset);
    let (table, syntax_errors) = DeTable::parse_recoverable(text);
    // What remains of a broken file misleads: keys below a broken heading seem to be in the section above. So does all
    // but the first error of a line.
    let is_broken = !syntax_errors.is_empty();
    let mut findings = match is_broken {
        true => syntax_errors.iter().map(syntax_error).collect(),
        false => walk(config, "", table.get_ref()),
    };
    findings.sort();
    let mut findings: Vec<_> =
        findings.into_iter().map(|finding| (line_of(finding.offset), finding.what)).collect();
    if is_broken {
        findings.dedup_by_key(|(line, _)| *line);
    }
    findings
}

fn syntax_error(error: &toml::de::Error) -> Finding {
    Finding {
        offset: error.span().map_or(0, |span| span.start),
        what: What::Said(format!("not TOML: {}", error.message().replace('\n', "; "))),
    }
}

/// Sets all keys of `table`, whose name is `section`, and says what is wrong with them.
fn walk(config: &mut Config, section: &str, table: &DeTable) -> Vec<Finding> {
    table.iter().flat_map(|(name, value)| entry(config, section, name, value)).collect()
}

fn entry(
    config: &mut Config,
    section: &str,
    name: &Spanned<Cow<str>>,
    value: &Spanned<DeValue>,
) -> Vec<Finding> {
    let dot = if section.is_empty() { "" } else { "." };
    let path = format!("{section}{dot}{}", name.get_ref());
    let finding = |what| vec![Finding { offset: name.span().start, what }];
    if let Some(key) = Key::named(&path) {
        let faults = (key.set)(config, Given::Toml(value.get_ref())).err().unwrap_or_default();
        let found = faults.into_iter().map(|fault| Finding {
            offset: fault.span.unwrap_or(value.span()).start,
            what: What::Said(format!("`{path}{}` {}", fault.part, fault.what)),
        });
        return found.collect();
    }
    match (value.get_ref(), is_section(&path)) {
        (DeValue::Table(table), true) => walk(config, &path, table),
        (_, true) => finding(What::Said(format!("`{path}` is a section: write `[{path}]`"))),
        (DeValue::Table(_), false) => finding(What::UnknownSection(path)),
        (_, false) => finding(What::UnknownKey(path)),
    }
}

fn unknown_key(path: &str) -> String {
    format!("unknown key `{path}`{}", hint(nearest(path, KEYS.iter().map(|key| key.path))))
}

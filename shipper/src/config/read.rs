//! Readers: each turns a value, as it was given, into what a setting holds, or says what is wrong with it.

use super::endpoint::Endpoint;
use super::headers;
use super::nearest::{hint, nearest};
use http::HeaderMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;
use toml::de::DeValue;

/// A value: with a type in a file, as bare text in the environment and after `--set`.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    Toml(&'a DeValue<'a>),
    Text(&'a str),
}

/// What is wrong with a value, or with a part of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The part, as it follows the key: empty for the whole.
    pub(super) part: String,
    /// Where the part is in the file.
    pub(super) span: Option<Range<usize>>,
    /// Reads on after the key: "must be ...".
    pub(super) what: String,
}

/// What was read, or all that is wrong with it.
pub(super) type Read<T> = Result<T, Vec<Fault>>;

/// One fault of the whole value.
pub(super) fn fault<T>(what: String) -> Read<T> {
    Err(vec![Fault { part: String::new(), span: None, what }])
}

impl<'a> Given<'a> {
    pub(super) fn text(self) -> Option<&'a str> {
        match self {
            Self::Toml(value) => value.as_str(),
            Self::Text(text) => Some(text),
        }
    }

    fn number(self) -> Option<u64> {
        match self {
            Self::Toml(value) => {
                value.as_integer().and_then(|n| u64::from_str_radix(n.as_str(), n.radix()).ok())
            }
            Self::Text(text) => text.parse().ok(),
        }
    }

    /// Whether it is empty, which leaves an optional setting unset.
    fn is_empty(self) -> bool {
        match self {
            Self::Toml(DeValue::Table(table)) => table.is_empty(),
            given => given.text() == Some(""),
        }
    }

    /// How it is shown in a complaint.
    fn shown(self) -> String {
        const LONGEST: usize = 60;
        let quoted = |text: &str| match text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{:?}...", &text[..end]),
            None => format!("{text:?}"),
        };
        match self {
            Self::Text(text) => quoted(text),
            Self::Toml(DeValue::String(text)) => quoted(text),
            Self::Toml(DeValue::Integer(number)) => number.to_string(),
            Self::Toml(DeValue::Float(number)) => number.to_string(),
            Self::Toml(DeValue::Boolean(truth)) => truth.to_string(),
            Self::Toml(DeValue::Datetime(time)) => time.to_string(),
            Self::Toml(DeValue::Array(_)) => "a list".to_owned(),
            Self::Toml(DeValue::Table(_)) => "a table".to_owned(),
        }
    }

    fn must_be<T>(self, wanted: impl Display) -> Read<T> {
        fault(format!("must be {wanted}, not {}", self.shown()))
    }
}

pub(super) fn boolean(given: Given) -> Read<bool> {
    match given {
        Given::Toml(DeValue::Boolean(truth)) => Ok(*truth),
        Given::Text("true") => Ok(true),
        Given::Text("false") => Ok(false),
        _ => given.must_be("true or false"),
    }
}

pub(super) fn whole<T>(given: Given, range: RangeInclusive<T>) -> Read<T>
where
    T: TryFrom<u64> + PartialOrd + Display,
{
    match given.number().and_then(|number| T::try_from(number).ok()).filter(|number| range.contains(number)) {
        Some(number) => Ok(number),
        None => given.must_be(format_args!("a whole number from {} to {}", range.start(), range.end())),
    }
}

/// A duration such as `1m30s`.
pub(super) fn duration(given: Given, range: RangeInclusive<Duration>) -> Read<Duration> {
    match given
        .text()
        .and_then(|text| humantime::parse_duration(text).ok())
        .filter(|time| range.contains(time))
    {
        Some(time) => Ok(time),
        None => given.must_be(format_args!(
            "a duration from {} to {} such as \"10s\", \"200ms\" or \"1m30s\"",
            humantime::format_duration(*range.start()),
            humantime::format_duration(*range.end())
        )),
    }
}

const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// A number of bytes such as `4096` or `64MiB`.
pub(super) fn bytes<T>(given: Given, range: RangeInclusive<T>) -> Read<T>
where
    T: TryFrom<u64> + Into<u64> + PartialOrd + Copy,
{
    let size = given.number().or_else(|| given.text().and_then(parse_bytes));
    match size.and_then(|size| T::try_from(size).ok()).filter(|size| range.contains(size)) {
        Some(size) => Ok(size),
        None => given.must_be(format_args!(
            "a size from {} to {} such as \"64MiB\" or 65536",
            format_bytes((*range.start()).into()),
            format_bytes((*range.end()).into())
        )),
    }
}

/// A size that the kernel takes for a ring buffer: a power of two and a multiple of the page size
/// (`ringbuf_map_alloc`, kernel/bpf/ringbuf.c).
pub(super) fn ring_bytes(given: Given) -> Read<u32> {
    let page = u32::try_from(rustix::param::page_size()).unwrap_or(u32::MAX);
    let size = bytes(given, page..=1 << 30)?;
    if size.is_power_of_two() {
        return Ok(size);
    }
    let nearest = format_bytes(u64::from(size.next_power_of_two()));
    given.must_be(format_args!("a power of two such as \"{nearest}\""))
}

fn parse_bytes(text: &str) -> Option<u64> {
    let (digits, unit) =
        UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1));
    digits.trim_end().parse::<u64>().ok()?.checked_mul(unit)
}

fn format_bytes(size: u64) -> String {
    match UNITS.iter().find(|(_, unit)| size >= *unit && size.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", size / unit),
        None => format!("{size} bytes"),
    }
}

/// One of a few names.
pub(super) fn choice<T: Copy>(given: Given, choices: &[(&str, T)]) -> Read<T> {
    if let Some((_, chosen)) = choices.iter().find(|(name, _)| given.text() == Some(name)) {
        return Ok(*chosen);
    }
    let names: Vec<_> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
    let nearest = given.text().and_then(|text| {
        let text = text.trim().to_ascii_lowercase();
        nearest(&text, choices.iter().map(|(name, _)| *name))
    });
    let names = match names.as_slice() {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        names => names.concat(),
    };
    fault(format!("must be {names}, not {}{}", given.shown(), hint(nearest)))
}

pub(super) fn address(given: Given) -> Read<SocketAddr> {
    match given.text().and_then(|text| text.parse().ok()) {
        Some(address) => Ok(address),
        None => given.must_be("an IP address and a port such as \"127.0.0.1:13134\" or \"[::1]:13134\""),
    }
}

pub(super) fn endpoint(given: Given) -> Read<Endpoint> {
    match given.text() {
        Some(text) => text.parse().or_else(|wrong: super::InvalidEndpoint| fault(wrong.to_string())),
        None => given.must_be("a URL such as \"http://localhost:4318\""),
    }
}

pub(super) fn file(given: Given) -> Read<PathBuf> {
    match given.text() {
        Some(path) => Ok(path.into()),
        None => given.must_be("the path of a file, in quotes"),
    }
}

/// A table of texts, or `name=value,name2=value2` where there is only text.
pub(super) fn headers(given: Given) -> Read<HeaderMap> {
    let table = match given {
        Given::Text(text) => return headers::parse(text).or_else(fault),
        Given::Toml(DeValue::Table(table)) => table,
        Given::Toml(_) => return fault("must be a table such as { api-key = \"...\" }".to_owned()),
    };
    let mut read = HeaderMap::new();
    let mut faults = Vec::new();
    for (name, value) in table {
        let inserted = match value.get_ref().as_str() {
            Some(text) => headers::insert(&mut read, name.get_ref(), text),
            None => Err(format!("has a value for {:?} that is not a text in quotes", name.get_ref())),
        };
        if let Err(what) = inserted {
            faults.push(Fault { part: String::new(), span: Some(name.span()), what });
        }
    }
    if faults.is_empty() { Ok(read) } else { Err(faults) }
}

/// What `reader` reads, or nothing from an empty text or table.
pub(super) fn optional<T>(given: Given, reader: impl FnOnce(Given) -> Read<T>) -> Read<Option<T>> {
    if given.is_empty() { Ok(None) } else { reader(given).map(Some) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_exactly() {
        for (text, size) in
            [("0", 0), ("4096", 4096), ("4KiB", 4096), ("64 MiB", 64 << 20), ("1TiB", 1 << 40)]
        {
            assert_eq!(parse_bytes(text), Some(size), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5MiB", "64MB", "64mib", "1 2KiB", "99999999TiB"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_as_they_are_read() {
        for size in [1 << 10, 3 << 20, 1 << 30, 5 << 40] {
            assert_eq!(parse_bytes(&format_bytes(size)), Some(size));
        }
        assert_eq!(format_bytes(1000), "1000 bytes");
    }

    #[test]
    fn a_ring_is_a_power_of_two_from_a_page_to_a_gibibyte() {
        let page = rustix::param::page_size();
        let read = |text: &str| ring_bytes(Given::Text(text));
        assert_eq!(read("1GiB").unwrap(), 1 << 30);
        assert_eq!(read(&page.to_string()).unwrap() as usize, page);
        for text in [&(page / 2).to_string(), "2GiB", "3MiB", "0"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        let range = Duration::from_millis(1)..=Duration::from_secs(3600);
        let read = |text| duration(Given::Text(text), range.clone());
        assert_eq!(read("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(read("200ms").unwrap(), Duration::from_millis(200));
        for text in ["10", "0s", "-1s", "2h", "", "s", "99999999999999999999s"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let text = "ä".repeat(1000);
        assert!(Given::Text(&text).shown().len() < 150);
    }
}

//! The reader of `[filter]`: lists of entries, each written as [`crate::filter::parse`] has it.

use super::read::{Fault, Given, Read, fault};
use toml::Spanned;
use toml::de::{DeArray, DeValue};

/// A list of at most `most` entries, in a file `["80", 443]`; where there is only text, also `80,443`.
pub(super) fn list<T>(given: Given, most: usize, parse: fn(&str) -> Result<T, String>) -> Read<Vec<T>> {
    let entries = match given {
        Given::Toml(DeValue::Array(entries)) => from_array(entries, parse)?,
        Given::Toml(_) => return fault("must be a list, in brackets".to_owned()),
        Given::Text(text) if text.starts_with('[') => {
            match DeValue::parse(text).as_ref().map(Spanned::get_ref) {
                Ok(DeValue::Array(entries)) => from_array(entries, parse)?,
                _ => return fault("must be a list such as A,B or [\"A\", \"B\"]".to_owned()),
            }
        }
        Given::Text(text) => from_text(text, parse)?,
    };
    if entries.len() > most {
        return fault(format!("has {} entries, and can have {most}", entries.len()));
    }
    Ok(entries)
}

fn from_array<T>(entries: &DeArray, parse: fn(&str) -> Result<T, String>) -> Read<Vec<T>> {
    collect(entries.iter().map(|entry| (entry_of(entry.get_ref(), parse), Some(entry.span()))))
}

fn entry_of<T>(value: &DeValue, parse: fn(&str) -> Result<T, String>) -> Result<T, String> {
    match value {
        DeValue::String(text) => parse(text.trim()),
        DeValue::Integer(number) if number.radix() == 10 => parse(number.as_str()),
        _ => Err("must be a text in quotes or a whole number".to_owned()),
    }
}

fn from_text<T>(text: &str, parse: fn(&str) -> Result<T, String>) -> Read<Vec<T>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    collect(text.split(',').map(|entry| (parse(entry.trim()), None)))
}

fn collect<T>(
    entries: impl Iterator<Item = (Result<T, String>, Option<std::ops::Range<usize>>)>,
) -> Read<Vec<T>> {
    let mut read = Vec::new();
    let mut faults = Vec::new();
    for (index, (entry, span)) in entries.enumerate() {
        match entry {
            Ok(entry) => read.push(entry),
            Err(what) => faults.push(Fault { part: format!("[{index}]"), span, what }),
        }
    }
    if faults.is_empty() { Ok(read) } else { Err(faults) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::filter::parse;

    fn ports(text: &str) -> Read<Vec<std::ops::RangeInclusive<u16>>> {
        list(Given::Text(text), 3, parse::ports)
    }

    #[test]
    fn text_and_toml_say_the_same() {
        let wanted = vec![80..=80, 8000..=8080];
        for text in ["80,8000-8080", "80, 8000-8080", r#"[80, "8000-8080"]"#, r#"["80","8000-8080"]"#] {
            assert_eq!(ports(text).unwrap(), wanted, "{text}");
        }
        assert_eq!(ports("").unwrap(), []);
        assert_eq!(ports("[]").unwrap(), []);
    }

    #[test]
    fn each_wrong_entry_is_named() {
        let parts = |text| ports(text).unwrap_err().into_iter().map(|fault| fault.part).collect::<Vec<_>>();
        assert_eq!(parts("80,http,443,0x1"), ["[1]", "[3]"]);
        assert_eq!(parts("[80, true, 0x50]"), ["[1]", "[2]"]);
        assert_eq!(parts("80,"), ["[1]"]);
        assert_eq!(parts("[80"), [""]);
    }

    #[test]
    fn a_list_that_is_too_long_is_refused() {
        assert_eq!(ports("1,2,3").unwrap().len(), 3);
        assert_eq!(ports("1,2,3,4").unwrap_err()[0].what, "has 4 entries, and can have 3");
    }
}

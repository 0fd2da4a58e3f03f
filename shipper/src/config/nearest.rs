//! What somebody may have meant who misspelt a name.

/// Names less alike than this are no help. From 0 to 1, as [`strsim::normalized_damerau_levenshtein`] counts.
const ALIKE: f64 = 0.7;

/// Longer than any name: comparing takes time that grows with the length. The fuzzer would spend all its time on it.
const LONGEST: usize = if cfg!(feature = "fuzzing") { 0 } else { 100 };

/// The name of `names` that is most like `given`, else one that ends in the same word: a key in the wrong section.
pub(crate) fn nearest<'n>(given: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    if given.len() > LONGEST {
        return None;
    }
    let names: Vec<_> = names.into_iter().collect();
    let alike = |name: &str| strsim::normalized_damerau_levenshtein(given, name);
    let best = names.iter().copied().max_by(|left, right| alike(left).total_cmp(&alike(right)));
    best.filter(|name| alike(name) >= ALIKE)
        .or_else(|| names.iter().copied().find(|name| last_word(name) == last_word(given)))
}

fn last_word(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// `; did you mean NAME?`, or nothing.
pub(crate) fn hint(nearest: Option<impl std::fmt::Display>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["dedup.window", "limit.burst", "export.timeout", "export.endpoint"];

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        assert_eq!(nearest("dedup.windw", NAMES), Some("dedup.window"));
        assert_eq!(nearest("exprot.timeout", NAMES), Some("export.timeout"));
    }

    #[test]
    fn a_key_in_the_wrong_section_is_found_in_its_own() {
        assert_eq!(nearest("limit.window", NAMES), Some("dedup.window"));
        assert_eq!(nearest("endpoint", NAMES), Some("export.endpoint"));
    }

    #[test]
    fn what_is_like_nothing_gets_no_hint() {
        assert_eq!(nearest("colour", NAMES), None);
        assert_eq!(nearest("colour", []), None);
    }
}

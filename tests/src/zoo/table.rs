//! The table that the zoo prints, and the one in `docs/drop-zoo.md`.

use super::field::Field;
use super::verdict::{Verdict, Want};
use super::{Animal, Sighting};
use crate::netns::Family;
use std::fmt::Write;

/// Scenario by field: `+` right, `X` wrong, `-` cannot be (and is absent), `.` not told by this kernel, a blank is not looked
/// at.
pub fn print(sightings: &[Sighting]) -> String {
    let width = sightings.iter().map(|sighting| sighting.title().len()).max().unwrap_or(0);
    let mut text = heading(width);
    for sighting in sightings {
        for animal in sighting.animals() {
            let marks: Vec<_> = Field::ALL.iter().map(|field| mark(animal.verdicts.get(field))).collect();
            let _ = writeln!(text, "{:width$}  {}", sighting.title(), marks.join(" "));
        }
        if let Some(reason) = sighting.absence() {
            let _ = writeln!(text, "{:width$}  cannot be made here: {reason}", sighting.title());
        } else if sighting.animals().is_empty() && sighting.failures().is_empty() {
            let _ = writeln!(text, "{:width$}  no record, as it should be", sighting.title());
        }
        for failure in sighting.failures() {
            let words = failure.lines().next().unwrap_or_default();
            let _ = writeln!(text, "{:width$}  X {words}", sighting.title());
        }
    }
    text + &counts(sightings)
}

/// A line for each scenario: `SCENARIO MARK TITLE`, where the mark is `+` right, `X` wrong, `-` this machine cannot make it,
/// a number for so many fields that this kernel cannot tell. Of what cannot be made, `ABSENT TITLE: WHY` too.
pub fn brief(sightings: &[Sighting]) -> String {
    let line = |sighting: &Sighting| {
        let verdicts = sighting.animals().iter().flat_map(|animal| animal.verdicts.values());
        let untold = verdicts.filter(|verdict| **verdict == Verdict::Untold).count();
        let mark = match untold {
            _ if !sighting.faults().is_empty() => "X".to_owned(),
            _ if sighting.absence().is_some() => "-".to_owned(),
            0 => "+".to_owned(),
            untold => untold.to_string(),
        };
        let title = sighting.title();
        let absence = sighting.absence().map(|why| format!("ABSENT {title}: {why}\n"));
        format!("SCENARIO {mark} {title}\n{}", absence.unwrap_or_default())
    };
    sightings.iter().map(line).collect()
}

/// Names of the fields, from top to bottom.
fn heading(width: usize) -> String {
    let names: Vec<Vec<u8>> = Field::ALL.iter().map(|field| format!("{field:?}").into_bytes()).collect();
    let height = names.iter().map(Vec::len).max().unwrap_or(0);
    let mut text = String::new();
    for row in 0..height {
        let letters: Vec<_> = names
            .iter()
            .map(|name| {
                let blank = height - name.len();
                row.checked_sub(blank).map_or(" ".to_owned(), |at| char::from(name[at]).to_string())
            })
            .collect();
        let _ = writeln!(text, "{:width$}  {}", "", letters.join(" "));
    }
    text
}

fn mark(verdict: Option<&Verdict>) -> &'static str {
    match verdict {
        None => " ",
        Some(Verdict::Right) => "+",
        Some(Verdict::CannotBe) => "-",
        Some(Verdict::Untold) => ".",
        Some(Verdict::Wrong(_)) => "X",
    }
}

fn counts(sightings: &[Sighting]) -> String {
    let verdicts =
        || sightings.iter().flat_map(Sighting::animals).flat_map(|animal| animal.verdicts.values());
    let right = verdicts().filter(|verdict| **verdict == Verdict::Right).count();
    let cannot_be = verdicts().filter(|verdict| **verdict == Verdict::CannotBe).count();
    let untold = verdicts().filter(|verdict| **verdict == Verdict::Untold).count();
    let wrong = verdicts().count() - right - cannot_be - untold;
    let failures: usize = sightings.iter().map(|sighting| sighting.failures().len()).sum();
    let absent = sightings.iter().filter(|sighting| sighting.absence().is_some()).count();
    let scenarios = sightings.len();
    format!(
        "{scenarios} scenarios: {right} fields right, {wrong} wrong, {cannot_be} cannot be, {untold} not told by this kernel; {failures} failures; \
         {absent} scenarios this machine cannot make\n"
    )
}

/// The rows of `docs/drop-zoo.md`: what each scenario shows.
pub fn document(sightings: &[Sighting]) -> String {
    let mut rows: Vec<Row> = Vec::new();
    for row in sightings.iter().flat_map(rows_of) {
        match rows.iter_mut().find(|other| other.is_alike(&row)) {
            Some(other) => other.absorb(row),
            None => rows.push(row),
        }
    }
    rows.iter().map(Row::text).collect()
}

/// The column of a row that may differ between IP versions.
const SITE: usize = 1;

struct Row {
    name: &'static str,
    families: Vec<Family>,
    cells: Vec<String>,
}

impl Row {
    fn is_alike(&self, other: &Self) -> bool {
        let apart_from_site = |row: &Self| {
            let mut cells = row.cells.clone();
            cells.remove(SITE);
            cells
        };
        let other_family = self.families != other.families;
        let same = if other_family {
            apart_from_site(self) == apart_from_site(other)
        } else {
            self.cells == other.cells
        };
        self.name == other.name && same
    }

    fn absorb(&mut self, other: Self) {
        if self.cells[SITE] != other.cells[SITE] {
            self.cells[SITE] = format!("{}, {}", self.cells[SITE], other.cells[SITE]);
        }
        self.families.extend(other.families);
        self.families.dedup();
    }

    fn text(&self) -> String {
        format!("| {} | {} | {} |\n", self.name, self.families(), self.cells.join(" | "))
    }

    fn families(&self) -> String {
        let text: Vec<_> =
            self.families.iter().map(|family| if *family == Family::V4 { "4" } else { "6" }).collect();
        text.join(", ")
    }
}

fn rows_of(sighting: &Sighting) -> Vec<Row> {
    let row = |cells| Row { name: sighting.name, families: vec![sighting.family], cells };
    let cells = |animal: &Animal| {
        let cell = |field| match animal.expected.want(field) {
            None | Some(Want::Absent) => "–".to_owned(),
            Some(want) => want.to_string(),
        };
        let code = |field| {
            Some(cell(field)).filter(|text| text != "–").map_or("–".to_owned(), |text| format!("`{text}`"))
        };
        let interface = cell(Field::Interface).split('#').next().unwrap_or_default().to_owned();
        vec![
            code(Field::Reason),
            code(Field::Site),
            cell(Field::Direction),
            interface,
            cell(Field::Socket),
            cell(Field::Encapsulated),
            cell(Field::Severity),
        ]
    };
    if sighting.absence().is_some() {
        return Vec::new();
    }
    if sighting.animals().is_empty() {
        return vec![row(vec![
            "no record".to_owned(),
            "–".to_owned(),
            "–".to_owned(),
            "–".to_owned(),
            "–".to_owned(),
            "–".to_owned(),
            "–".to_owned(),
        ])];
    }
    let mut rows: Vec<Row> = sighting.animals().iter().map(|animal| row(cells(animal))).collect();
    rows.dedup_by(|one, other| one.cells == other.cells);
    rows
}

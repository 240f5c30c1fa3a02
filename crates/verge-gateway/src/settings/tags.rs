//! Lists of tags: `tags = "tags.csv"` in a source.
//!
//! A list is a CSV file with a line of column names, separated by commas, semicolons or tabulators. `name` is the name of a
//! signal, or `device/signal`; the others may be absent, and so may values in them.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use verge_domain::finding::Expected;
use verge_domain::id::{TagText, Unit};
use verge_domain::tag::{SignalTag, TagBook, TagEntry};

use super::{JudgeSection, SourceSection};
use crate::config::{Fault, Warning, nearest};

/// Largest list, and most lines in it.
const MOST_BYTES: u64 = 16 << 20;
const MOST_TAGS: usize = 100_000;
/// Faults of one list that are reported.
const MOST_FAULTS: usize = 10;
const COLUMNS: [&str; 7] = ["name", "description", "unit", "machine", "group", "low", "high"];

/// Reads the lists of all sources.
pub(super) fn read_all(sources: &[SourceSection]) -> Result<TagBook, Vec<Fault>> {
    let (mut book, mut faults) = (TagBook::default(), Vec::new());
    for source in sources {
        let Some(path) = &source.tags else { continue };
        let mut list = TagFile { key: format!("source.{}.tags", source.name), path, faults: Vec::new() };
        if let Some(entries) = list.read() {
            book.insert(source.name.clone(), entries);
        }
        faults.extend(list.faults.into_iter().take(MOST_FAULTS));
    }
    if faults.is_empty() { Ok(book) } else { Err(faults) }
}

/// Signals that a judge names and the list of their source does not. What a pattern may meet is not known.
pub(super) fn warnings(book: &TagBook, sources: &[SourceSection], judges: &[JudgeSection]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for judge in judges {
        for input in judge.readings().map(|rules| rules.inputs.as_slice()).unwrap_or_default() {
            let (source, pattern) = (&sources[usize::from(input.source.0)], input.signals.as_ref());
            let Some(signal) = pattern.map(|pattern| pattern.pattern()) else { continue };
            if !signal.contains(['*', '?']) && book.lacks(&source.name, &signal) {
                let list = source.tags.as_deref().map_or(String::new(), |path| path.display().to_string());
                let remark =
                    format!("{signal:?} of source {} is not in its list of tags, {list}", source.name);
                warnings.push(Warning { key: format!("judge.{}.inputs", judge.name), remark });
            }
        }
    }
    warnings
}

/// A list that is being read.
struct TagFile<'a> {
    key: String,
    path: &'a Path,
    faults: Vec<Fault>,
}

/// A place in a list.
#[derive(Clone, Copy)]
struct TagCell<'a> {
    line: u64,
    /// Counted from 1, with its name.
    column: Option<(usize, &'a str)>,
    text: &'a str,
}

impl TagFile<'_> {
    fn read(&mut self) -> Option<HashMap<String, TagEntry>> {
        let text = match read_text(self.path) {
            Ok(text) => text,
            Err(problem) => {
                self.whole(&problem, "write the path of a CSV file with a column name");
                return None;
            }
        };
        let first = text.lines().next().unwrap_or_default();
        let delimiter = [b',', b';', b'\t']
            .into_iter()
            .max_by_key(|one| first.bytes().filter(|byte| byte == one).count());
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter.unwrap_or(b','))
            .from_reader(text.as_bytes());
        let (mut columns, mut entries, mut lines) = (None::<Vec<usize>>, HashMap::new(), HashMap::new());
        for record in reader.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    self.whole(&format!("not CSV: {error}"), "correct the line");
                    return None;
                }
            };
            let line = record.position().map_or(0, csv::Position::line);
            let Some(columns) = &columns else {
                columns = Some(self.columns(line, &record)?);
                continue;
            };
            if record.iter().all(|field| field.trim().is_empty()) {
                continue;
            }
            if entries.len() >= MOST_TAGS {
                self.whole(&format!("more than {MOST_TAGS} tags"), "split the source");
                return None;
            }
            let Some((name, entry)) = self.entry(line, columns, &record) else { continue };
            if let Some(earlier) = lines.insert(name.clone(), line) {
                let cell = TagCell { line, column: Some((1 + columns[0], COLUMNS[0])), text: &name };
                self.at(
                    cell,
                    &format!("a name that does not stand in line {earlier} already"),
                    "take one of the lines out",
                );
            }
            entries.insert(name, entry);
        }
        if columns.is_none() {
            self.whole("empty", "write a line of column names with a column name");
        }
        Some(entries)
    }

    /// Where each of [`COLUMNS`] stands; `usize::MAX` where it is absent.
    fn columns(&mut self, line: u64, header: &StringRecord) -> Option<Vec<usize>> {
        let mut places = vec![usize::MAX; COLUMNS.len()];
        for (place, field) in header.iter().enumerate() {
            let name = field.trim().trim_start_matches('\u{feff}').to_lowercase();
            let cell = TagCell { line, column: Some((1 + place, "of names")), text: field };
            match COLUMNS.iter().position(|column| *column == name) {
                Some(column) if places[column] == usize::MAX => places[column] = place,
                Some(_) => self.at(cell, "each column once", "take one of the columns out"),
                None => {
                    let near = nearest(&name, COLUMNS)
                        .map_or_else(|| "take the column out".to_owned(), |near| format!("write {near}"));
                    self.at(cell, &format!("one of {}", COLUMNS.join(", ")), &near);
                }
            }
        }
        if places[0] == usize::MAX {
            let cell = TagCell { line, column: None, text: &header.iter().collect::<Vec<_>>().join(",") };
            self.at(cell, "a column name", "call the column of signals' names name");
            return None;
        }
        Some(places)
    }

    fn entry(&mut self, line: u64, columns: &[usize], record: &StringRecord) -> Option<(String, TagEntry)> {
        let cell = |column: usize| {
            let text = record.get(columns[column]).map_or("", str::trim);
            TagCell { line, column: Some((columns[column].saturating_add(1), COLUMNS[column])), text }
        };
        let given = |column: usize| Some(cell(column)).filter(|cell| !cell.text.is_empty());
        let Some(name) = given(0) else {
            self.at(
                cell(0),
                "the name of a signal, or device/signal",
                "write the name, or take the line out",
            );
            return None;
        };
        let name = self.named(name, TagText::new)?.to_string();
        let (description, machine, group) = (
            given(1).map(|cell| self.named(cell, TagText::new)),
            given(3).map(|cell| self.named(cell, TagText::new)),
            given(4).map(|cell| self.named(cell, TagText::new)),
        );
        let unit = given(2).map(|cell| self.named(cell, Unit::new));
        let (low, high) = (given(5).map(|cell| self.number(cell)), given(6).map(|cell| self.number(cell)));
        let normal = Expected { low: low.flatten(), high: high.flatten() };
        if normal.low.zip(normal.high).is_some_and(|(low, high)| low >= high) {
            self.at(cell(6), &format!("more than low, {}", cell(5).text), "exchange the two");
        }
        let tag = SignalTag {
            description: description.flatten(),
            machine: machine.flatten(),
            group: group.flatten(),
        };
        let tag = Some(tag).filter(|tag| *tag != SignalTag::default());
        Some((name, TagEntry { tag, unit: unit.flatten(), normal }))
    }

    /// A text that people read; none with marks that turn the direction of what stands around it.
    fn named<T, E: std::fmt::Display>(
        &mut self,
        cell: TagCell<'_>,
        new: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let turns = |letter: char| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if cell.text.contains(turns) {
            self.at(cell, "no marks of the direction of text", "write it without");
            return None;
        }
        match new(cell.text) {
            Ok(made) => Some(made),
            Err(error) => {
                self.at(cell, &format!("another text: {error}"), "write a shorter or plainer one");
                None
            }
        }
    }

    fn number(&mut self, cell: TagCell<'_>) -> Option<f64> {
        let number = cell.text.parse::<f64>().ok().filter(|number| number.is_finite());
        if number.is_none() {
            self.at(
                cell,
                "a number, with a point before its decimals",
                "write it so, or leave the field empty",
            );
        }
        number
    }

    fn at(&mut self, cell: TagCell<'_>, expected: &str, remedy: &str) {
        let TagCell { line, column, text } = cell;
        let column = column.map_or_else(String::new, |(at, name)| format!(", column {at} ({name})"));
        let shown: String = text.chars().take(40).flat_map(char::escape_debug).collect();
        // In front: a value is cut where it is long.
        let expected = format!("{expected}, in {}, line {line}{column}", self.path.display());
        self.faults.push(Fault::new(self.key.clone(), format!("\"{shown}\""), expected).remedy(remedy));
    }

    fn whole(&mut self, problem: &str, remedy: &str) {
        let expected = format!("a list of tags; {} is {problem}", self.path.display());
        let value =
            self.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        self.faults.push(Fault::new(self.key.clone(), format!("{value:?}"), expected).remedy(remedy));
    }
}

/// The text of a file, which is bounded.
fn read_text(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    let read = file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if read as u64 > MOST_BYTES {
        return Err(format!("larger than {} MiB", MOST_BYTES >> 20));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use verge_domain::id::{DeviceId, SignalId, SourceId};
    use verge_domain::verdict::Subject;

    use super::*;

    fn read(text: &str) -> (Option<HashMap<String, TagEntry>>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tags.csv");
        std::fs::write(&path, text).unwrap();
        let mut list = TagFile { key: "source.plc.tags".to_owned(), path: &path, faults: Vec::new() };
        let entries = list.read();
        let place = format!("{}/", folder.path().display());
        (entries, list.faults.iter().map(|fault| fault.to_string().replace(&place, "")).collect())
    }

    #[test]
    fn a_list_says_what_a_signal_is() {
        let (entries, faults) = read(
            "Name;Description;Unit;Machine;Group;Low;High\nTI101;Outlet, hot;°C;boiler;heat;20;95.5\n\nboiler/TI101;;K;;;;\n",
        );
        assert_eq!(faults, [""; 0]);
        let mut book = TagBook::default();
        book.insert(SourceId::new("plc").unwrap(), entries.unwrap());
        let of = |device: &str| {
            let (device, signal) = (DeviceId::new(device).unwrap(), SignalId::new("TI101").ok());
            book.of(&Subject { source: SourceId::new("plc").unwrap(), device, signal }).unwrap().clone()
        };
        let entry = of("any");
        let tag = entry.tag.unwrap();
        assert_eq!(tag.description.unwrap().as_str(), "Outlet, hot");
        assert_eq!([tag.machine.unwrap().as_str(), tag.group.unwrap().as_str()], ["boiler", "heat"]);
        assert_eq!(entry.unit.unwrap().as_str(), "°C");
        assert_eq!(entry.normal, Expected { low: Some(20.0), high: Some(95.5) });
        let of_boiler = of("boiler");
        assert_eq!((of_boiler.unit.unwrap().as_str(), of_boiler.tag), ("K", None));
    }

    #[test]
    fn each_fault_of_a_list_has_its_place() {
        let check = |text: &str, expected: &[&str]| {
            let (_, faults) = read(text);
            assert_eq!(faults.len(), expected.len(), "{faults:?}");
            for (fault, expected) in faults.iter().zip(expected) {
                assert!(fault.contains(expected), "{fault} has no {expected}");
            }
        };
        check("", &["tags.csv is empty"]);
        let columns = ["\"tag\", expected one of name,", "in tags.csv, line 1"];
        check("tag,unit\n", &columns);
        check("name,unti\na,K\n", &["in tags.csv, line 1, column 2 (of names); write unit"]);
        check(
            "name,low,high\na,1,x\nb,3,2\n",
            &[
                "\"x\", expected a number",
                "\"2\", expected more than low, 3, in tags.csv, line 3, column 3 (high)",
            ],
        );
        check(
            "name,unit\na,K\n,K\na,C\n",
            &[
                "in tags.csv, line 3, column 1 (name)",
                "does not stand in line 2 already, in tags.csv, line 4",
            ],
        );
        // What would not fit into a verdict, or would turn what stands around it.
        check(&format!("name,description\na,{}\n", "x".repeat(129)), &["column 2 (description)"]);
        check("name,description\na,good\u{202e}live\n", &["\"good\\u{202e}live\", expected no marks"]);
        // Markup is text like any other.
        check("name,description\na,<b>hot</b>\n", &[]);
    }
}

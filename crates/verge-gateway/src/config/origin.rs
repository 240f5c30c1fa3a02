//! Where each key of a configuration comes from: a place in the file, or an environment variable.

use std::collections::HashMap;

use config::{Map, Value, ValueKind};

use super::environment::is_variable;
use super::fault::{Fault, Place, show};

/// Line and column, both from 1.
type At = (usize, usize);

/// Where the keys of a configuration come from.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    file: String,
    /// Line and column of each key that the file holds, and of each element of its lists.
    places: HashMap<String, At>,
    /// Elements of lists as they are shown, by their list.
    elements: HashMap<String, Vec<(String, At)>>,
    /// Paths as they were meant, and as they were written.
    aliases: Vec<(String, String)>,
    /// The variable of each key that one sets, and of each section that is there by one alone.
    variables: HashMap<String, String>,
}

/// Finds line and column of an offset.
#[derive(Debug)]
pub(super) struct LineIndex<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> LineIndex<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// Line and column, both from 1.
    pub(super) fn locate(&self, offset: usize) -> At {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let before = self.text.get(start..offset.min(self.text.len())).unwrap_or_default();
        (line, before.chars().count() + 1)
    }
}

impl Origins {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), ..Self::default() }
    }

    pub(super) fn place_at(&self, (line, column): At) -> Place {
        Place { file: self.file.clone(), line: Some(line), column: Some(column) }
    }

    /// Notes where a key stands.
    pub(super) fn note(&mut self, path: &str, at: At) {
        // Names with a dot are quoted in paths that the walk makes, and not in those of the checks.
        if path.contains('"') {
            self.places.insert(path.replace('"', ""), at);
        }
        self.places.insert(path.to_owned(), at);
    }

    /// Notes where an element of a list stands.
    pub(super) fn note_element(&mut self, list: &str, element: &Value, at: At) {
        self.elements.entry(list.to_owned()).or_default().push((show(element), at));
    }

    /// Notes which keys variables set, in the merged tree.
    pub(super) fn note_variables(&mut self, path: &str, table: &Map<String, Value>) {
        for (key, value) in table {
            let path = super::walk::join(path, key);
            match (&value.kind, value.origin().filter(|origin| is_variable(origin))) {
                (_, Some(variable)) => {
                    let plain = path.replace('"', "");
                    for name in [&path, &plain] {
                        self.variables.insert(name.clone(), variable.to_owned());
                    }
                }
                (ValueKind::Table(inner), None) => {
                    self.note_variables(&path, inner);
                    // A section that the file does not hold.
                    if !self.places.contains_key(&path)
                        && let Some(variable) = first_variable(inner)
                    {
                        self.variables.insert(path, variable);
                    }
                }
                _ => {}
            }
        }
    }

    /// Notes that what is meant at one path was written at another.
    pub(super) fn alias(&mut self, meant: &str, written: &str) {
        self.aliases.push((meant.to_owned(), written.to_owned()));
    }

    /// Where a key stands; of one that is not there, where its section does. `None` for what a variable sets.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<Place> {
        self.locate(Fault::missing(key, "")).place
    }

    /// Where a key comes from, in words: `gateway.toml line 34`, or the name of a variable; `None` where that is unknown.
    #[must_use]
    pub fn describe(&self, key: &str) -> Option<String> {
        let Fault { place, variable, .. } = self.locate(Fault::missing(key, ""));
        variable.or_else(|| place.filter(|place| place.line.is_some()).map(|place| place.to_string()))
    }

    /// The path as it was written, of one that was meant.
    fn written(&self, path: &str) -> Option<String> {
        self.aliases.iter().rev().find_map(|(meant, written)| {
            let rest = path.strip_prefix(meant.as_str())?;
            (rest.is_empty() || rest.starts_with(['.', '['])).then(|| format!("{written}{rest}"))
        })
    }

    /// The fault with its place, or with the variable that it comes from.
    pub(crate) fn locate(&self, mut fault: Fault) -> Fault {
        if fault.place.is_some() || fault.variable.is_some() {
            return fault;
        }
        let mut path = fault.key.clone();
        loop {
            for path in std::iter::once(path.clone()).chain(self.written(&path)) {
                if let Some(variable) = self.variables.get(&path) {
                    fault.variable = Some(variable.clone());
                    fault.remedy =
                        fault.remedy.replace("take the line out", "take it out of the environment");
                    return fault;
                }
                if let Some(at) = self.places.get(&path) {
                    let mut elements = self.elements.get(&path).into_iter().flatten();
                    let element = elements.find(|(shown, _)| *shown == fault.value).map(|(_, at)| at);
                    fault.place = Some(self.place_at(*element.unwrap_or(at)));
                    return fault;
                }
            }
            match parent(&path) {
                Some(outer) => path = outer.to_owned(),
                None => break,
            }
        }
        fault.place = Some(Place { file: self.file.clone(), line: None, column: None });
        fault
    }

    /// The order of the file, then what stands nowhere in it, then what variables set.
    pub(crate) fn sort(faults: &mut [Fault]) {
        faults.sort_by_key(|fault| {
            let at = fault.place.as_ref().and_then(|place| Some((place.line?, place.column?)));
            let class = if fault.variable.is_some() { 2 } else { u8::from(at.is_none()) };
            (class, at)
        });
    }
}

fn first_variable(table: &Map<String, Value>) -> Option<String> {
    table.values().find_map(|value| match &value.kind {
        ValueKind::Table(inner) => first_variable(inner),
        _ => value.origin().filter(|origin| is_variable(origin)).map(str::to_owned),
    })
}

/// The path of the table that a key stands in.
fn parent(path: &str) -> Option<&str> {
    let mut quoted = false;
    let mut cut = None;
    for (at, letter) in path.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '.' | '[' if !quoted => cut = Some(at),
            _ => {}
        }
    }
    cut.map(|at| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_lines_and_columns() {
        let index = LineIndex::new("ab\nößc\n");
        let found: Vec<_> = [0, 2, 3, 5, 9].into_iter().map(|offset| index.locate(offset)).collect();
        assert_eq!(found, [(1, 1), (1, 3), (2, 1), (2, 2), (3, 1)]);
    }

    #[test]
    fn a_missing_key_stands_in_its_section() {
        let check = |path: &str, expected: Option<&str>| assert_eq!(parent(path), expected, "{path}");
        check("source.pump.reading[0].pointer", Some("source.pump.reading[0]"));
        check("source.pump.reading[0]", Some("source.pump.reading"));
        check(r#"judge."a.b""#, Some("judge"));
        check("judge", None);
    }
}

//! Where each key and value of a configuration comes from: a place in the file, or an environment variable.

use std::collections::HashMap;

use super::fault::{Fault, FilePlace, Warning};
use super::tree::{ConfigNode, Table, Value};

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct At {
    /// From 1.
    pub(super) line: usize,
    /// From 1, in characters.
    pub(super) column: usize,
    /// Whether another key or value stands before it on its line, so that the line alone does not say which is meant.
    pub(super) follows: bool,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ValueOrigin {
    /// It is a default, or made from what was meant.
    Default,
    /// The file.
    File { key: At, value: At },
    /// What people drew: where that is, who drew it and when.
    Drawn(String),
    /// An environment variable.
    Variable(String),
}

/// Where the keys of a configuration come from.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    file: String,
    /// The origin of each key that is written, and of each element of its lists.
    places: HashMap<String, ValueOrigin>,
    /// Elements of lists as they are shown, by their list.
    elements: HashMap<String, Vec<(String, At)>>,
    /// Paths as they were meant, and as they were written.
    aliases: Vec<(String, String)>,
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
    pub(super) fn locate(&self, offset: usize) -> (usize, usize) {
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

    /// The place at the begin of what a line holds.
    pub(super) fn place_at(&self, line: usize, column: usize) -> FilePlace {
        self.place_of(At { line, column, follows: false })
    }

    fn place_of(&self, at: At) -> FilePlace {
        let At { line, column, follows } = at;
        FilePlace { file: self.file.clone(), line: Some(line), column: Some(column), follows }
    }

    /// Notes where the keys of a table come from, and those of the tables within.
    pub(super) fn note(&mut self, path: &str, table: &Table) {
        for (key, node) in table {
            let path = super::walk::join(path, key);
            self.note_node(&path, node);
            // A section that is there by a variable alone.
            if let (ValueOrigin::Default, Value::Table(inner)) = (&node.origin, &node.value)
                && let Some(variable) = first_variable(inner)
            {
                self.places.insert(path, ValueOrigin::Variable(variable.to_owned()));
            }
        }
    }

    fn note_node(&mut self, path: &str, node: &ConfigNode) {
        // Names with a dot are quoted in paths that the walk makes, and not in those of the checks.
        if path.contains('"') {
            self.places.insert(path.replace('"', ""), node.origin.clone());
        }
        self.places.insert(path.to_owned(), node.origin.clone());
        match &node.value {
            Value::Table(table) => self.note(path, table),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.note_node(&format!("{path}[{index}]"), item);
                    if let ValueOrigin::File { value, .. } = item.origin {
                        self.elements.entry(path.to_owned()).or_default().push((item.to_string(), value));
                    }
                }
            }
            _ => {}
        }
    }

    /// Notes that what is meant at one path was written at another.
    pub(super) fn alias(&mut self, meant: &str, written: &str) {
        self.aliases.push((meant.to_owned(), written.to_owned()));
    }

    /// Where a key comes from, in words: `gateway.toml line 34`, or the name of a variable; `None` where that is unknown.
    #[must_use]
    pub fn describe(&self, key: &str) -> Option<String> {
        if let Some(ValueOrigin::Drawn(words)) = self.places.get(key) {
            return Some(words.clone());
        }
        let Fault { place, variable, .. } = self.locate(Fault::missing(key, ""));
        variable.or_else(|| place.filter(|place| place.line.is_some()).map(|place| place.to_string()))
    }

    /// The file of the configuration.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// Whether people drew what a key says.
    #[must_use]
    pub fn is_drawn(&self, key: &str) -> bool {
        matches!(self.places.get(key), Some(ValueOrigin::Drawn(_)))
    }

    /// Where a key stands; of one that is not there, where its section does. `None` for what a variable sets.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<FilePlace> {
        self.locate(Fault::missing(key, "")).place
    }

    /// Where the value of exactly this key comes from.
    pub(super) fn of(&self, key: &str) -> &ValueOrigin {
        let known = self.places.get(key);
        let known = known.or_else(|| self.places.get(&self.written(key)?));
        known.unwrap_or(&ValueOrigin::Default)
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
        let mut path = fault.key.as_str();
        let mut of_value = fault.of_value;
        loop {
            for path in std::iter::once(path.to_owned()).chain(self.written(path)) {
                match self.places.get(&path) {
                    Some(ValueOrigin::Variable(variable)) => {
                        fault.variable = Some(variable.clone());
                        fault.remedy =
                            fault.remedy.replace("take the line out", "take it out of the environment");
                        return fault;
                    }
                    Some(ValueOrigin::Drawn(words)) => {
                        fault.place = Some(FilePlace { file: words.clone(), ..FilePlace::default() });
                        return fault;
                    }
                    Some(ValueOrigin::File { key, value }) => {
                        let mut elements = self.elements.get(&path).into_iter().flatten();
                        let element = elements.find(|(shown, _)| *shown == fault.value).map(|(_, at)| at);
                        let at = element.unwrap_or(if of_value { value } else { key });
                        fault.place = Some(self.place_of(*at));
                        return fault;
                    }
                    Some(ValueOrigin::Default) | None => {}
                }
            }
            // What stands nowhere is missing in its section.
            of_value = false;
            match parent(path) {
                Some(outer) => path = outer,
                None => break,
            }
        }
        fault.place = Some(FilePlace { file: self.file.clone(), ..FilePlace::default() });
        fault
    }

    /// The order of the file, then what stands nowhere in it, then what variables set.
    pub(crate) fn sort(faults: &mut [Fault]) {
        faults.sort_by_key(rank);
    }

    /// The same order for warnings.
    pub fn sort_warnings(&self, warnings: &mut [Warning]) {
        warnings.sort_by_cached_key(|warning| rank(&self.locate(Fault::missing(&warning.key, ""))));
    }
}

fn rank(fault: &Fault) -> (u8, Option<(usize, usize)>) {
    let at = fault.place.as_ref().and_then(|place| Some((place.line?, place.column?)));
    (if fault.variable.is_some() { 2 } else { u8::from(at.is_none()) }, at)
}

fn first_variable(table: &Table) -> Option<&str> {
    table.values().find_map(|node| node.variable().or_else(|| first_variable(node.table()?)))
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

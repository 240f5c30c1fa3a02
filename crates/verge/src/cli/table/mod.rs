//! Tables of readings in text files, as spreadsheets, historians and programs export them: read whole, column by column.
//! What is wrong is reported with its file and line; what is left out is counted by kind.
//!
//! Reading order: `options` (what a table does not say of itself), `open` with `text` (encoding) and `layout` (delimiter,
//! header, rows), `timing` with `times`, `values` with `numbers`, `left_out`.

#[cfg(feature = "eval")]
mod labelled;
mod layout;
mod left_out;
mod numbers;
mod open;
mod options;
mod text;
mod times;
mod timing;
mod values;

use std::path::{Path, PathBuf};

use anyhow::Context;
use csv::StringRecord;

use layout::Holds;
pub(super) use left_out::{Left, LeftKind, LeftOut};
pub(super) use numbers::plain;
pub(super) use options::{TableArgs, Usual};
pub(super) use text::{decode, is_utf_16};
use verge_codec::is_switch;

/// Names by which a column of times is known where none is given.
pub(super) const TIMES: [&str; 14] = [
    "time",
    "timestamp",
    "datetime",
    "date",
    "ts",
    "_time",
    "timestring",
    "t_stamp",
    "date time",
    "date/time",
    "zeit",
    "zeitstempel",
    "datum",
    "datum/uhrzeit",
];
/// Names by which labels are known; such columns are never taken for values.
pub(super) const LABELS: [&str; 7] =
    ["label", "anomaly", "is_anomaly", "labels", "fault", "outlier", "changepoint"];

/// Columns that count rows or split times: never taken for values unless they are named.
const COUNTERS: [&str; 13] = [
    "index",
    "row",
    "no",
    "no.",
    "nr",
    "nr.",
    "#",
    "ms",
    "millitm",
    "millisecond",
    "milliseconds",
    "time_ms",
    "table",
];

/// A table with a name for each column.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    options: TableArgs,
    names: Vec<String>,
    /// Other lines above the values, which may name columns too.
    headings: Vec<StringRecord>,
    /// Line of the header; of the first row where there is none.
    header_line: usize,
    holds: Vec<Holds>,
    rows: Vec<StringRecord>,
    /// Where each row stands in the file, from 1.
    lines: Vec<usize>,
    notes: Vec<String>,
    left: LeftOut,
}

impl Table {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn header(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(super) fn name(&self, column: usize) -> &str {
        self.names.get(column).map_or("", String::as_str)
    }

    /// What a column is called: its name, that without a unit or an ending for values, and what other lines of the head
    /// say.
    pub(super) fn names_of(&self, column: usize) -> Vec<&str> {
        let headings = self.headings.iter().filter_map(|line| line.get(column));
        let names = [self.name(column)].into_iter().chain(headings).filter(|name| !name.is_empty());
        names.flat_map(|name| [name, bare(name)]).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Remarks on how the file is read, and what of it is left out so far.
    pub(super) fn take_notes(&mut self) -> (Vec<String>, LeftOut) {
        (std::mem::take(&mut self.notes), std::mem::take(&mut self.left))
    }

    /// Where the column of this name stands.
    pub(super) fn column(&self, name: &str) -> anyhow::Result<usize> {
        self.names.iter().position(|known| known == name).with_context(|| {
            let known: Vec<String> = self.header().map(|known| format!("`{known}`")).collect();
            let (path, line) = (self.path.display(), self.header_line);
            format!("{path}, line {line}: no column `{name}`, only {}", known.join(", "))
        })
    }

    /// The column of this name, else that with the first of the known names, in any case.
    pub(super) fn named(&self, name: Option<&str>, known: &[&str]) -> anyhow::Result<Option<usize>> {
        if let Some(name) = name {
            return self.column(name).map(Some);
        }
        let find = |name: &&str| self.header().position(|header| name.eq_ignore_ascii_case(header));
        Ok(known.iter().find_map(find))
    }

    /// Columns but for these, labels and counters that hold numbers.
    pub(super) fn values(&self, but: &[usize]) -> Vec<usize> {
        let is_other = |column: &usize| {
            let is = |known: &&str| known.eq_ignore_ascii_case(self.name(*column));
            but.contains(column) || self.name(*column).is_empty() || LABELS.iter().chain(&COUNTERS).any(is)
        };
        (0..self.names.len())
            .filter(|column| self.holds[*column] == Holds::Numbers && !is_other(column))
            .collect()
    }

    /// Columns but for these that hold words: one of them may distinguish series, or say how good a value is.
    pub(super) fn words(&self, but: &[usize]) -> Vec<usize> {
        let words = |column: &usize| self.holds[*column] == Holds::Words && !but.contains(column);
        (0..self.names.len()).filter(words).collect()
    }

    /// Columns but for these of words that every source reads as 1 and 0.
    pub(super) fn switches(&self, but: &[usize]) -> Vec<usize> {
        let may_be = |text: &str| text.is_empty() || is_switch(text);
        self.words(but).into_iter().filter(|column| self.texts(*column).all(may_be)).collect()
    }

    /// Columns without a value.
    pub(super) fn empty_columns(&self) -> Vec<usize> {
        let is_empty =
            |column: &usize| self.holds[*column] == Holds::Nothing && self.texts(*column).all(str::is_empty);
        (0..self.names.len()).filter(is_empty).collect()
    }

    /// A cell as it is written.
    pub(super) fn text(&self, row: usize, column: usize) -> &str {
        self.rows.get(row).and_then(|row| row.get(column)).unwrap_or_default()
    }

    /// The cells as they are written.
    pub(super) fn texts(&self, column: usize) -> impl Iterator<Item = &str> + Clone {
        self.rows.iter().map(move |row| row.get(column).unwrap_or_default())
    }

    /// The line of a row, from 1.
    pub(super) fn line(&self, row: usize) -> usize {
        self.lines.get(row).copied().unwrap_or_default()
    }

    /// Where a row stands in the file, for messages.
    pub(super) fn place(&self, row: usize) -> String {
        format!("{}, line {}", self.path.display(), self.line(row))
    }

    /// Columns but for these and labels that hold few texts, each in several rows: one of them may distinguish series.
    pub(super) fn groups(&self, but: &[usize]) -> Vec<(usize, usize)> {
        let group = |column: usize| {
            let mut texts: Vec<&str> = self.texts(column).collect();
            texts.sort_unstable();
            texts.dedup();
            let are_words = texts.iter().all(|text| !text.is_empty());
            (are_words && texts.len() > 1 && texts.len() * 2 <= self.rows.len())
                .then_some((column, texts.len()))
        };
        let is_label =
            |column: &usize| LABELS.iter().any(|label| label.eq_ignore_ascii_case(self.name(*column)));
        self.words(but).into_iter().filter(|column| !is_label(column)).filter_map(group).collect()
    }
}

/// `T07` of `T07 [°C]`, `T07 (bar)`, `T07_VALUE` and the like.
fn bare(name: &str) -> &str {
    if let Some(at) = name.find(['[', '(']).filter(|_| name.ends_with([']', ')'])) {
        return name[..at].trim_end();
    }
    let ending = ["_value", ".value", " value", ".pv"].into_iter().find(|end| {
        name.len() > end.len()
            && name.is_char_boundary(name.len() - end.len())
            && name[name.len() - end.len()..].eq_ignore_ascii_case(end)
    });
    ending.map_or(name, |end| &name[..name.len() - end.len()])
}

#[cfg(test)]
mod tests;

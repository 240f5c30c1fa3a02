//! From the bytes of a file to a header and rows.

use std::path::Path;

use anyhow::{Context, ensure};
use csv::StringRecord;

use super::layout::{self, Layout};
use super::left_out::{LeftKind, LeftOut};
use super::text::decode;
use super::{Table, TableArgs};
use crate::cli::file_guess::refuse_other_files;

impl Table {
    pub(in crate::cli) fn open(path: &Path, options: &TableArgs) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read {}", path.display());
        let bytes = std::fs::read(path).with_context(cannot)?;
        ensure!(!bytes.is_empty(), "{} is empty", path.display());
        refuse_other_files(path, &bytes)?;
        let (text, note) = decode(&bytes, options.encoding);
        let (named, body) =
            layout::sep_line(&text).map_or((None, &*text), |(named, rest)| (Some(named), rest));
        let delimiter = options.delimiter.or(named).unwrap_or_else(|| layout::delimiter(body));
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .delimiter(delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(body.as_bytes());
        let records = reader.records().collect::<Result<Vec<_>, _>>().with_context(cannot)?;
        let lines = lines(&records, body.as_bytes(), 1 + usize::from(named.is_some()));
        let mut table = Self {
            path: path.to_owned(),
            options: options.clone(),
            names: Vec::new(),
            headings: Vec::new(),
            header_line: 1,
            holds: Vec::new(),
            rows: records,
            lines,
            notes: note.into_iter().collect(),
            left: LeftOut::default(),
        };
        table.lay_out()?;
        Ok(table)
    }

    /// Divides the records into header and rows; what stands above, between and below is left out.
    fn lay_out(&mut self) -> anyhow::Result<()> {
        let mut found = if self.options.exact { Layout::plain(&self.rows) } else { Layout::of(&self.rows) };
        // More than a summary: times that cannot be read, to be refused with their line.
        let below =
            self.rows[found.end..].iter().filter(|row| row.iter().any(|cell| !cell.is_empty())).count();
        if below >= found.end - found.first {
            found.end = self.rows.len();
        }
        for row in (0..self.rows.len()).filter(|row| Some(*row) != found.header) {
            let what = match found.header {
                _ if (found.first..found.end).contains(&row) => continue,
                _ if row >= found.end => LeftKind::BelowValues,
                Some(header) if row > header => LeftKind::BelowHeader,
                _ => LeftKind::AboveHeader,
            };
            let line: Vec<&str> = self.rows[row].iter().collect();
            if line.iter().any(|cell| !cell.is_empty()) {
                self.left.add(what, self.lines[row], &line.join(" "));
            }
        }
        self.names = match found.header {
            Some(header) => self.rows[header].iter().map(str::to_owned).collect(),
            None => (1..=found.width).map(|number| number.to_string()).collect(),
        };
        let headings = (0..found.first).filter(|row| Some(*row) != found.header);
        self.headings = headings.map(|row| self.rows[row].clone()).collect();
        if found.header.is_none() {
            self.notes.push("no header: the columns are called 1, 2, and so on".to_owned());
        }
        self.header_line = found.header.map_or(1, |header| self.lines[header]);
        self.rows = self.rows.drain(found.first..found.end).collect();
        self.lines = self.lines.drain(found.first..found.end).collect();
        ensure!(
            !self.rows.is_empty(),
            "{} has no rows: nothing stands below the header in line {}",
            self.path.display(),
            self.header_line
        );
        for (row, line) in self.rows.iter().zip(&self.lines) {
            let beyond = (self.names.len()..row.len()).any(|column| !row[column].is_empty());
            ensure!(
                !beyond,
                "{}, line {line}: {} cells where the header in line {} has {}; a decimal comma needs quotes around the cell, \
                 or another delimiter",
                self.path.display(),
                row.len(),
                self.header_line,
                self.names.len()
            );
        }
        self.distinguish_names();
        self.holds = (0..self.names.len())
            .map(|column| {
                layout::most(layout::sample(&self.rows).map(|row| row.get(column).unwrap_or_default()))
            })
            .collect();
        Ok(())
    }

    /// A name that stands twice gets a number behind it.
    fn distinguish_names(&mut self) {
        for column in 1..self.names.len() {
            let name = self.names[column].clone();
            let earlier = self.names[..column].iter().filter(|known| **known == name).count();
            if earlier == 0 || name.is_empty() {
                continue;
            }
            let apart = (earlier + 1..).map(|number| format!("{name}.{number}"));
            let free = apart.into_iter().find(|free| !self.names.contains(free));
            self.names[column] = free.unwrap_or_default();
            self.notes.push(format!(
                "the name `{name}` stands again over column {}, which is called `{}`",
                column + 1,
                self.names[column]
            ));
        }
    }
}

/// The line that each record starts in. The reader's own count is behind where lines end with CR LF, or are empty.
fn lines(records: &[StringRecord], bytes: &[u8], first: usize) -> Vec<usize> {
    let (mut line, mut counted) = (first, 0);
    records
        .iter()
        .map(|record| {
            let start = record.position().and_then(|at| usize::try_from(at.byte()).ok()).unwrap_or(counted);
            let blank = bytes[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            line += bytes[counted..start + blank].iter().filter(|byte| **byte == b'\n').count();
            counted = start + blank;
            line
        })
        .collect()
}

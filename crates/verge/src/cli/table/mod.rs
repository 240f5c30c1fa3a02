//! Tables of readings in text files, as spreadsheets, historians and programs export them: read whole, column by column.
//! What is wrong is reported with its file and line; what is left out is counted by kind.
//!
//! Reading order: [`options`] (what a table does not say of itself), [`text`] (its encoding), [`layout`] (header, rows,
//! delimiter), [`numbers`], [`times`], [`left_out`].

mod layout;
mod left_out;
mod numbers;
mod options;
mod text;
mod times;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use csv::StringRecord;
use verge_codec::Decimal;
use verge_domain::excerpt::Excerpt;
use verge_domain::time::UtcMillis;

use crate::cli::file_guess::refuse_other_files;
use crate::cli::instant::iso;
use crate::describe;
use layout::{Holds, Layout};
pub(super) use left_out::{Kind, Left, LeftOut};
pub(super) use numbers::plain;
pub(super) use options::TableArgs;
pub(super) use text::{decode, is_utf_16};
use times::TimeForm;

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
    pub(super) fn open(path: &Path, options: &TableArgs) -> anyhow::Result<Self> {
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
                _ if row >= found.end => Kind::BelowValues,
                Some(header) if row > header => Kind::BelowHeader,
                _ => Kind::AboveHeader,
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
        self.tell_names_apart();
        self.holds = (0..self.names.len())
            .map(|column| {
                layout::most(layout::sample(&self.rows).map(|row| row.get(column).unwrap_or_default()))
            })
            .collect();
        Ok(())
    }

    /// A name that stands twice gets a number behind it.
    fn tell_names_apart(&mut self) {
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

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn header(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(super) fn name(&self, column: usize) -> &str {
        self.names.get(column).map_or("", String::as_str)
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

    /// Columns but for these that hold words: one of them may tell series apart, or say how good a value is.
    pub(super) fn words(&self, but: &[usize]) -> Vec<usize> {
        let words = |column: &usize| self.holds[*column] == Holds::Words && !but.contains(column);
        (0..self.names.len()).filter(words).collect()
    }

    /// Columns but for these of words that every source reads as 1 and 0.
    pub(super) fn switches(&self, but: &[usize]) -> Vec<usize> {
        let is_switch = |text: &str| {
            text.is_empty()
                || ["on", "off", "true", "false", "online", "offline"]
                    .iter()
                    .any(|word| word.eq_ignore_ascii_case(text))
        };
        self.words(but).into_iter().filter(|column| self.texts(*column).all(is_switch)).collect()
    }

    /// Columns without a value.
    pub(super) fn empty_columns(&self) -> Vec<usize> {
        let is_empty =
            |column: &usize| self.holds[*column] == Holds::Nothing && self.texts(*column).all(str::is_empty);
        (0..self.names.len()).filter(is_empty).collect()
    }

    /// The column of times, or those of dates and of times of day: the one that is named, that is called so, or the first
    /// that holds dates.
    pub(super) fn time_columns(&self, named: &[String]) -> anyhow::Result<Vec<usize>> {
        if !named.is_empty() {
            return named.iter().map(|name| self.column(name)).collect();
        }
        let holding = |kind: Holds| (0..self.names.len()).filter(move |column| self.holds[*column] == kind);
        let called = self.named(None, &TIMES)?.filter(|column| self.holds[*column] != Holds::Words);
        let dates = called
            .filter(|column| self.holds[*column] == Holds::Times)
            .or_else(|| holding(Holds::Times).next());
        let Some(date) = dates else {
            let clock = holding(Holds::Clocks)
                .next()
                .filter(|_| called.is_none_or(|called| self.holds[called] == Holds::Clocks));
            return Ok(vec![clock.or(called).unwrap_or(0)]);
        };
        let bare = layout::sample(&self.rows)
            .filter_map(|row| row.get(date).filter(|text| !text.is_empty()))
            .all(times::is_bare_date);
        let clock = holding(Holds::Clocks).next().filter(|_| bare);
        Ok([Some(date), clock].into_iter().flatten().collect())
    }

    /// Columns of dates, where each has columns of values of its own behind it: exports of trends have one for each pen.
    pub(super) fn time_of_each(&self, values: &[usize]) -> Option<Vec<(usize, Vec<usize>)>> {
        let mut pens: Vec<(usize, Vec<usize>)> = Vec::new();
        for column in 0..self.names.len() {
            match pens.last_mut() {
                _ if self.holds[column] == Holds::Times => pens.push((column, Vec::new())),
                Some((_, of)) if values.contains(&column) => of.push(column),
                _ => {}
            }
        }
        let starts_at_once = pens.first().is_some_and(|(time, _)| values.iter().all(|value| value > time));
        (pens.len() > 1 && starts_at_once && pens.iter().all(|(_, of)| !of.is_empty())).then_some(pens)
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

    /// The time of each row, from one column or from those of dates and of times of day. A row without one is left out.
    pub(super) fn times(&mut self, columns: &[usize]) -> anyhow::Result<Vec<Option<UtcMillis>>> {
        let cells: Vec<String> = match columns {
            [column] => self.texts(*column).map(str::to_owned).collect(),
            columns => (0..self.rows.len())
                .map(|row| columns.iter().map(|column| self.text(row, *column)).collect::<Vec<_>>().join(" "))
                .collect(),
        };
        let column = columns.first().copied().unwrap_or_default();
        let texts = || cells.iter().map(|text| text.trim());
        let form = TimeForm::of(texts(), &self.options)
            .map_err(|unclear| self.unclear_time(&cells, column, &unclear))?;
        let times = form.instants(texts());
        let unread: Vec<usize> = (0..times.len()).filter(|row| times[*row].is_none()).collect();
        let empty = |row: usize| cells[row].trim().is_empty();
        if let Some(row) = unread.iter().copied().find(|row| !empty(*row))
            && unread.len() * 2 >= times.len()
        {
            bail!(self.no_time(row, column, &cells[row]));
        }
        if unread.len() == times.len() {
            bail!("{}: the column `{}` has no times", self.path.display(), self.name(column));
        }
        for row in unread {
            let what = if empty(row) { Kind::WithoutTime } else { Kind::UnreadTime };
            let line: Vec<&str> = self.rows[row].iter().collect();
            self.left.add(what, self.lines[row], &line.join(" "));
        }
        self.note_form(&form, &cells, &times, columns);
        Ok(times)
    }

    /// An example of times that are written in another way than RFC 3339.
    fn note_form(
        &mut self,
        form: &TimeForm,
        cells: &[String],
        times: &[Option<UtcMillis>],
        columns: &[usize],
    ) {
        let first = cells.iter().zip(times).find_map(|(cell, time)| Some((cell, (*time)?)));
        let Some((cell, time)) = first.filter(|(cell, _)| !matches!(iso(cell), Some(Ok(_)))) else { return };
        let how = match form.kind() {
            times::Kind::Serial => " (days since 1899-12-30, as spreadsheets write dates)",
            times::Kind::SinceEpoch => " (a number since 1970)",
            times::Kind::Compact => " (year, month, day)",
            times::Kind::Text => "",
        };
        let names: Vec<String> = columns.iter().map(|column| format!("`{}`", self.name(*column))).collect();
        self.notes.push(format!(
            "time `{cell}` in {} is read as {} UTC{how}",
            names.join(" and "),
            describe::short_utc(time)
        ));
    }

    fn no_time(&self, row: usize, column: usize, text: &str) -> String {
        let excerpt = Excerpt::of(text.as_bytes());
        format!("{}, column `{}`: {excerpt} is not a time", self.place(row), self.name(column))
    }

    fn unclear_time(&self, cells: &[String], column: usize, unclear: &times::Unclear) -> anyhow::Error {
        use times::Unclear;
        let at =
            |row: usize| format!("{}, column `{}`: `{}`", self.place(row), self.name(column), cells[row]);
        anyhow!(match *unclear {
            Unclear::Order { row } => format!(
                "{}: the day or the month may stand first, and no date of the column decides it; say --day-first or \
                 --month-first",
                at(row)
            ),
            Unclear::Mixed { day, month } => format!(
                "{} begins with the day, but `{}` in line {} with the month; say --day-first or --month-first, and rows \
                 of the other kind are left out",
                at(day),
                cells[month],
                self.line(month)
            ),
            Unclear::Rounded { row } => format!(
                "{}: a spreadsheet has rounded the times; let it show the column as a date, or as a number without an exponent",
                at(row)
            ),
            Unclear::NoDate { row } => format!(
                "{} is a time of day without a date; if the date has a column, name both: --time-column DATE \
                 --time-column TIME",
                at(row)
            ),
            Unclear::Abbreviation { row } => format!(
                "{}: the abbreviation of a zone has no one meaning; say --time-zone, such as --time-zone Europe/Berlin",
                at(row)
            ),
        })
    }

    /// Removes rows without a time, and puts the others in the order of time; says so where they stand in another.
    pub(super) fn sort_by_time(&mut self, columns: &[usize]) -> anyhow::Result<Vec<UtcMillis>> {
        let times = self.times(columns)?;
        let mut order: Vec<(UtcMillis, usize)> =
            times.iter().enumerate().filter_map(|(row, time)| Some(((*time)?, row))).collect();
        self.note_order(&times);
        order.sort_by_key(|(time, _)| *time);
        self.rows = order.iter().map(|(_, row)| self.rows[*row].clone()).collect();
        self.lines = order.iter().map(|(_, row)| self.lines[*row]).collect();
        Ok(order.into_iter().map(|(time, _)| time).collect())
    }

    /// A remark where rows stand in another order than that of time.
    pub(super) fn note_order(&mut self, times: &[Option<UtcMillis>]) {
        let timed: Vec<(UtcMillis, usize)> =
            times.iter().enumerate().filter_map(|(row, time)| Some(((*time)?, row))).collect();
        let Some(back) = timed.windows(2).find(|pair| pair[1].0 < pair[0].0) else { return };
        let how = if timed.windows(2).all(|pair| pair[1].0 <= pair[0].0) {
            "the rows stand newest first".to_owned()
        } else {
            let (line, earlier) = (self.line(back[0].1), self.line(back[1].1));
            format!("the rows are not in the order of time (line {earlier} is earlier than line {line})")
        };
        self.notes.push(format!("{how}; they are sorted by time"));
    }

    /// Columns but for these and labels that hold few texts, each in several rows: one of them may tell series apart.
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

    /// What stands before the fraction of a column's numbers: as the options say, as its cells show, or as those of
    /// another column do.
    pub(super) fn decimal(&self, column: usize) -> anyhow::Result<Decimal> {
        if let Some(decimal) = self.options.decimal {
            return Ok(decimal);
        }
        let at = |row: usize| {
            format!("{}, column `{}`: `{}`", self.place(row), self.name(column), self.text(row, column))
        };
        match numbers::decimal_of(self.texts(column)) {
            Ok(decimal) => Ok(decimal),
            Err(numbers::Unclear::Mixed { comma, point }) => bail!(
                "{} has a decimal comma, but `{}` in line {} a decimal point; say --decimal , or --decimal . and cells of \
                 the other kind are left out",
                at(comma),
                self.text(point, column),
                self.line(point)
            ),
            Err(numbers::Unclear::Units { first, other }) => bail!(
                "{} has another unit than `{}` in line {}; one column holds one unit",
                at(first),
                self.text(other, column),
                self.line(other)
            ),
            Err(numbers::Unclear::Comma { row }) => {
                let elsewhere = (0..self.names.len())
                    .filter(|other| self.holds[*other] == Holds::Numbers)
                    .find_map(|other| {
                        let has_mark = self.texts(other).any(|text| text.contains([',', '.']));
                        numbers::decimal_of(self.texts(other)).ok().filter(|_| has_mark)
                    });
                elsewhere.with_context(|| {
                    format!(
                        "{}: the comma may be a decimal comma or stand between thousands, and no cell decides it; say \
                         --decimal , or --decimal .",
                        at(row)
                    )
                })
            }
        }
    }

    /// Numbers, each of which must be one.
    pub(super) fn numbers(&self, column: usize) -> anyhow::Result<Vec<f64>> {
        self.cells(column, number)
    }

    /// Numbers where there are any; other cells are left out, and counted unless they are empty.
    pub(super) fn readings(&mut self, column: usize) -> anyhow::Result<Vec<Option<f64>>> {
        let decimal = self.decimal(column)?;
        let read = |text: &str| plain(text, decimal).and_then(|plain| plain.parse().ok());
        let values: Vec<Option<f64>> = self.texts(column).map(read).collect();
        let unread: Vec<usize> = (0..values.len())
            .filter(|row| values[*row].is_none() && !self.text(*row, column).is_empty())
            .collect();
        if let Some(row) = unread.first().filter(|_| unread.len() * 2 >= values.len()) {
            self.cells(column, number)?;
            bail!("{}, column `{}`: no number", self.place(*row), self.name(column));
        }
        for row in unread {
            let text = self.text(row, column).to_owned();
            self.left.add(Kind::NoNumber, self.lines[row], &text);
        }
        Ok(values)
    }

    pub(super) fn flags(&self, column: usize) -> anyhow::Result<Vec<bool>> {
        self.cells(column, flag)
    }

    /// Times, each of which must be one.
    pub(super) fn exact_times(&mut self, column: usize) -> anyhow::Result<Vec<UtcMillis>> {
        let times = self.times(&[column])?;
        let none = times.iter().position(Option::is_none);
        match none {
            Some(row) => bail!(self.no_time(row, column, self.text(row, column))),
            None => Ok(times.into_iter().flatten().collect()),
        }
    }

    fn cells<T>(&self, column: usize, parse: impl Fn(&str) -> anyhow::Result<T>) -> anyhow::Result<Vec<T>> {
        let cell = |(row, text): (usize, &str)| {
            parse(text)
                .map_err(|error| anyhow!("{}, column `{}`: {error}", self.place(row), self.name(column)))
        };
        self.texts(column).enumerate().map(cell).collect()
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

fn number(text: &str) -> anyhow::Result<f64> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.with_context(|| format!("{} is not a number", Excerpt::of(text.as_bytes())))
}

/// 0 or 1, also as decimals, or a word.
fn flag(text: &str) -> anyhow::Result<bool> {
    if let Ok(flag) = text.to_ascii_lowercase().parse::<bool>() {
        return Ok(flag);
    }
    match text.parse::<f64>() {
        Ok(0.0) => Ok(false),
        Ok(1.0) => Ok(true),
        _ => bail!("{} is neither 0 nor 1", Excerpt::of(text.as_bytes())),
    }
}

#[cfg(test)]
mod tests;

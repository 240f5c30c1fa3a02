//! The times of a table's rows: where they stand, and in which order.

use anyhow::{anyhow, bail};
use verge_domain::excerpt::Excerpt;
use verge_domain::time::UtcMillis;

use super::layout::{self, Holds};
use super::left_out::LeftKind;
use super::numbers::plain;
use super::times::{self, TimeForm, UnclearTimes};
use super::{TIMES, Table};
use crate::cli::instant::iso;
use crate::describe;

impl Table {
    /// The column of times, or those of dates and of times of day: the one that is named, that is called so, or the first
    /// that holds dates.
    pub(in crate::cli) fn time_columns(&self, named: &[String]) -> anyhow::Result<Vec<usize>> {
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
            return match clock.or(called) {
                Some(column) => Ok(vec![column]),
                None => self.first_that_goes_on().map(|column| vec![column]),
            };
        };
        let bare = layout::sample(&self.rows)
            .filter_map(|row| row.get(date).filter(|text| !text.is_empty()))
            .all(times::is_bare_date);
        let clock = holding(Holds::Clocks).next().filter(|_| bare);
        Ok([Some(date), clock].into_iter().flatten().collect())
    }

    /// The first column, where nothing says which one holds times: numbers that are times go on from row to row.
    fn first_that_goes_on(&self) -> anyhow::Result<usize> {
        let decimal = self.decimal(0).unwrap_or_default();
        let number = |text: &str| plain(text, decimal)?.parse().ok();
        let numbers: Vec<f64> = self.texts(0).filter_map(number).collect();
        let goes_on = numbers.is_sorted() || numbers.is_sorted_by(|one, next| one >= next);
        if self.holds.first() == Some(&Holds::Numbers) && !goes_on {
            let names: Vec<String> = self.header().map(|name| format!("`{name}`")).collect();
            bail!(
                "{}: no column of times among {}; --time-column names one",
                self.path.display(),
                names.join(", ")
            );
        }
        Ok(0)
    }

    /// Columns of dates, where each has columns of values of its own behind it: exports of trends have one for each pen.
    pub(in crate::cli) fn time_of_each(&self, values: &[usize]) -> Option<Vec<(usize, Vec<usize>)>> {
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

    /// The time of each row, from one column or from those of dates and of times of day. A row without one is left out.
    pub(in crate::cli) fn times(&mut self, columns: &[usize]) -> anyhow::Result<Vec<Option<UtcMillis>>> {
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
            let what = if empty(row) { LeftKind::WithoutTime } else { LeftKind::UnreadTime };
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
            times::TimeKind::Serial => " (days since 1899-12-30, as spreadsheets write dates)",
            times::TimeKind::SinceEpoch => " (a number since 1970)",
            times::TimeKind::Compact => " (year, month, day)",
            times::TimeKind::Text => "",
        };
        let whose = self.options.usual.zone_words().filter(|_| self.options.time_zone.is_none());
        let whose = whose.map_or(String::new(), |words| format!(", {words}"));
        let names: Vec<String> = columns.iter().map(|column| format!("`{}`", self.name(*column))).collect();
        self.notes.push(format!(
            "time `{cell}` in {} is read as {} UTC{how}{whose}",
            names.join(" and "),
            describe::short_utc(time)
        ));
    }

    pub(super) fn no_time(&self, row: usize, column: usize, text: &str) -> String {
        let excerpt = Excerpt::of(text.as_bytes());
        format!("{}, column `{}`: {excerpt} is not a time", self.place(row), self.name(column))
    }

    fn unclear_time(&self, cells: &[String], column: usize, unclear: &UnclearTimes) -> anyhow::Error {
        let at =
            |row: usize| format!("{}, column `{}`: `{}`", self.place(row), self.name(column), cells[row]);
        anyhow!(match *unclear {
            UnclearTimes::Order { row } => format!(
                "{}: the day or the month may stand first, and no date of the column decides it; say --day-first or \
                 --month-first",
                at(row)
            ),
            UnclearTimes::Mixed { day, month } => format!(
                "{} begins with the day, but `{}` in line {} with the month; say --day-first or --month-first, and rows \
                 of the other kind are left out",
                at(day),
                cells[month],
                self.line(month)
            ),
            UnclearTimes::Rounded { row } => format!(
                "{}: a spreadsheet has rounded the times; let it show the column as a date, or as a number without an exponent",
                at(row)
            ),
            UnclearTimes::NoDate { row } => format!(
                "{} is a time of day without a date; if the date has a column, name both: --time-column DATE \
                 --time-column TIME",
                at(row)
            ),
            UnclearTimes::Abbreviation { row } => format!(
                "{}: the abbreviation of a zone has no one meaning; say --time-zone, such as --time-zone Europe/Berlin",
                at(row)
            ),
        })
    }

    /// A remark where rows stand in another order than that of time.
    pub(in crate::cli) fn note_order(&mut self, times: &[Option<UtcMillis>]) {
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
}

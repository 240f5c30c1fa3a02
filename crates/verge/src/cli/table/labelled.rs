//! Columns of labelled tables, as evaluations read them: whole, and each cell what it must be.

use anyhow::{Context, anyhow, bail};
use verge_domain::excerpt::Excerpt;
use verge_domain::time::UtcMillis;

use super::left_out::LeftKind;
use super::numbers::plain;
use super::{Table, TableArgs};

impl TableArgs {
    /// Of a public board: columns between this character, a header, and rows of which nothing is left out.
    pub(in crate::cli) fn exact(delimiter: u8) -> Self {
        Self { delimiter: Some(delimiter), exact: true, ..Self::default() }
    }
}

impl Table {
    /// Removes rows without a time, and puts the others in the order of time; says so where they stand in another.
    pub(in crate::cli) fn sort_by_time(&mut self, columns: &[usize]) -> anyhow::Result<Vec<UtcMillis>> {
        let times = self.times(columns)?;
        let mut order: Vec<(UtcMillis, usize)> =
            times.iter().enumerate().filter_map(|(row, time)| Some(((*time)?, row))).collect();
        self.note_order(&times);
        order.sort_by_key(|(time, _)| *time);
        self.rows = order.iter().map(|(_, row)| self.rows[*row].clone()).collect();
        self.lines = order.iter().map(|(_, row)| self.lines[*row]).collect();
        Ok(order.into_iter().map(|(time, _)| time).collect())
    }

    /// Times, each of which must be one.
    pub(in crate::cli) fn exact_times(&mut self, column: usize) -> anyhow::Result<Vec<UtcMillis>> {
        let times = self.times(&[column])?;
        let none = times.iter().position(Option::is_none);
        match none {
            Some(row) => bail!(self.no_time(row, column, self.text(row, column))),
            None => Ok(times.into_iter().flatten().collect()),
        }
    }

    /// Numbers, each of which must be one.
    pub(in crate::cli) fn numbers(&self, column: usize) -> anyhow::Result<Vec<f64>> {
        self.cells(column, number)
    }

    /// Numbers where there are any; other cells are left out, and counted unless they are empty.
    pub(in crate::cli) fn readings(&mut self, column: usize) -> anyhow::Result<Vec<Option<f64>>> {
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
            self.left.add(LeftKind::NoNumber, self.lines[row], &text);
        }
        Ok(values)
    }

    pub(in crate::cli) fn flags(&self, column: usize) -> anyhow::Result<Vec<bool>> {
        self.cells(column, flag)
    }

    fn cells<T>(&self, column: usize, parse: impl Fn(&str) -> anyhow::Result<T>) -> anyhow::Result<Vec<T>> {
        let cell = |(row, text): (usize, &str)| {
            parse(text)
                .map_err(|error| anyhow!("{}, column `{}`: {error}", self.place(row), self.name(column)))
        };
        self.texts(column).enumerate().map(cell).collect()
    }
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

//! The cells of a table as numbers and flags.

use anyhow::{Context, anyhow, bail};
use verge_codec::Decimal;
use verge_domain::excerpt::Excerpt;

use super::Table;
use super::layout::Holds;
use super::left_out::Kind;
use super::numbers::{self, plain};

impl Table {
    /// What stands before the fraction of a column's numbers: as the options say, as its cells show, or as those of
    /// another column do.
    pub(in crate::cli) fn decimal(&self, column: usize) -> anyhow::Result<Decimal> {
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
                elsewhere.or(self.options.usual.decimal).with_context(|| {
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
            self.left.add(Kind::NoNumber, self.lines[row], &text);
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

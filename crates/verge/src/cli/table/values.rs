//! The numbers of a column: what stands before their fraction.

use anyhow::{Context, bail};
use verge_codec::Decimal;

use super::Table;
use super::layout::Holds;
use super::numbers;

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
            Err(numbers::UnclearNumbers::Mixed { comma, point }) => bail!(
                "{} has a decimal comma, but `{}` in line {} a decimal point; say --decimal , or --decimal . and cells of \
                 the other kind are left out",
                at(comma),
                self.text(point, column),
                self.line(point)
            ),
            Err(numbers::UnclearNumbers::Units { first, other }) => bail!(
                "{} has another unit than `{}` in line {}; one column holds one unit",
                at(first),
                self.text(other, column),
                self.line(other)
            ),
            Err(numbers::UnclearNumbers::Comma { row }) => {
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
}

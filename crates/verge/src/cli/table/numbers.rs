//! Numbers as people and spreadsheets write them.

use std::borrow::Cow;

use verge_codec::Decimal;

/// Why the numbers of a column cannot be read: rows, counted from 0.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UnclearNumbers {
    /// Every comma may be a decimal comma or stand between thousands.
    Comma { row: usize },
    /// Some cells have a decimal comma, some a decimal point.
    Mixed { comma: usize, point: usize },
    /// Cells have different units.
    Units { first: usize, other: usize },
}

/// Cells that say that there is no value, as spreadsheets and historians write them. Errors of spreadsheets begin with
/// `#`.
const MISSING: [&str; 17] = [
    "nan",
    "null",
    "none",
    "na",
    "n/a",
    "n.a.",
    "nil",
    "-",
    "--",
    "---",
    "?",
    "bad",
    "no data",
    "bad input",
    "i/o timeout",
    "comm fail",
    "not connected",
];

/// Whether a cell says that there is no value.
pub(super) fn is_missing(text: &str) -> bool {
    text.starts_with('#') || MISSING.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Whether a cell is a number in some way of writing.
pub(super) fn is_number(text: &str) -> bool {
    plain(text, Decimal::Point).is_some() || plain(text, Decimal::Comma).is_some()
}

/// The number as programs write it: a decimal point, no thousands separators, no unit.
pub(in crate::cli) fn plain(text: &str, decimal: Decimal) -> Option<Cow<'_, str>> {
    // The minus of typography.
    if text.starts_with('−') {
        return plain(&text.replacen('−', "-", 1), decimal).map(|text| Cow::Owned(text.into_owned()));
    }
    let (text, _) = split(text);
    // Words that Rust reads as numbers are none here.
    let starts =
        text.trim_start_matches(['-', '+', '.', ',']).starts_with(|first: char| first.is_ascii_digit());
    if !starts {
        return None;
    }
    let (mark, group) = match decimal {
        Decimal::Point => ('.', ','),
        Decimal::Comma => (',', '.'),
    };
    let is_group =
        |letter: char| letter == group || matches!(letter, ' ' | '\'' | '’' | '\u{a0}' | '\u{202f}');
    let (digits, exponent) = text.find(['e', 'E']).map_or((text, ""), |at| text.split_at(at));
    let (whole, fraction) =
        digits.split_once(mark).map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let has_groups = whole.contains(is_group);
    if has_groups {
        let separator = whole.chars().find(|letter| is_group(*letter))?;
        let mut groups = whole.trim_start_matches(['-', '+']).split(separator);
        let first = groups.next()?;
        let is_first = (1..=3).contains(&first.len())
            && !first.starts_with('0')
            && first.bytes().all(|digit| digit.is_ascii_digit());
        let are_groups =
            groups.all(|group| group.len() == 3 && group.bytes().all(|digit| digit.is_ascii_digit()));
        if !is_first || !are_groups {
            return None;
        }
    }
    let read = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite);
    if !has_groups && (mark == '.' || fraction.is_none()) {
        return read(text).then_some(Cow::Borrowed(text));
    }
    let whole: String = whole.chars().filter(|letter| !is_group(*letter)).collect();
    let text = match fraction {
        Some(fraction) => format!("{whole}.{fraction}{exponent}"),
        None => format!("{whole}{exponent}"),
    };
    read(&text).then_some(Cow::Owned(text))
}

/// A number, and the unit that stands behind it: `%`, or what follows a space. Spreadsheets put an apostrophe before it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim().trim_start_matches('\'');
    let unit = text.char_indices().find(|(at, letter)| {
        let behind_space = text[..*at].ends_with(char::is_whitespace);
        matches!(letter, '%' | '°') || (behind_space && letter.is_alphabetic())
    });
    let (number, unit) = unit.map_or((text, ""), |(at, _)| text.split_at(at));
    (number.trim_end(), unit)
}

/// What the numbers of a column have before their fraction.
pub(super) fn decimal_of<'a>(cells: impl Iterator<Item = &'a str>) -> Result<Decimal, UnclearNumbers> {
    let (mut comma, mut point, mut open) = (None, None, None);
    let mut unit: Option<(usize, &str)> = None;
    for (row, text) in cells.enumerate() {
        let (number, behind) = split(text);
        if !behind.is_empty() && is_number(text) {
            let (first, known) = *unit.get_or_insert((row, behind));
            if known != behind {
                return Err(UnclearNumbers::Units { first, other: row });
            }
        }
        if !number.contains([',', '.']) {
            continue;
        }
        match (plain(text, Decimal::Comma).is_some(), plain(text, Decimal::Point).is_some()) {
            (true, false) => comma = comma.or(Some(row)),
            (false, true) => point = point.or(Some(row)),
            // `1.234` is a decimal point, as everywhere, unless another cell says otherwise.
            (true, true) if number.contains(',') => open = open.or(Some(row)),
            _ => {}
        }
    }
    match (comma, point, open) {
        (Some(comma), Some(point), _) => Err(UnclearNumbers::Mixed { comma, point }),
        (Some(_), None, _) => Ok(Decimal::Comma),
        (None, None, Some(row)) => Err(UnclearNumbers::Comma { row }),
        (None, _, _) => Ok(Decimal::Point),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let check = |text: &str, decimal: Decimal, expected: Option<&str>| {
            assert_eq!(plain(text, decimal).as_deref(), expected, "{text} with {decimal:?}");
        };
        use Decimal::{Comma, Point};
        check("20.5", Point, Some("20.5"));
        check("-20,5", Comma, Some("-20.5"));
        check("-20,5", Point, None);
        check("20.5", Comma, None);
        check("1,234,567.5", Point, Some("1234567.5"));
        check("1.234.567,5", Comma, Some("1234567.5"));
        check("1,234", Point, Some("1234"));
        check("1,234", Comma, Some("1.234"));
        check("1'234.5", Point, Some("1234.5"));
        check("1 234,5", Comma, Some("1234.5"));
        check("1\u{a0}234,5", Comma, Some("1234.5"));
        check("12,34,567", Point, None);
        check("1,5E+03", Comma, Some("1.5E+03"));
        check("1.5e3", Point, Some("1.5e3"));
        check("+3", Comma, Some("+3"));
        check(".5", Point, Some(".5"));
        check(",5", Comma, Some(".5"));
        check("'20.5", Point, Some("20.5"));
        check("21.5 °C", Point, Some("21.5"));
        check("21,5%", Comma, Some("21.5"));
        check("12 m3/h", Point, Some("12"));
        check("−3,5", Comma, Some("-3.5"));
        for text in
            ["", "-", "nan", "inf", "12B", "ON", "1.2.3", "2026-03-01", "10:15", "#N/A", "1e999", "Infinity"]
        {
            check(text, Point, None);
            check(text, Comma, None);
        }
    }

    #[test]
    fn what_stands_before_the_fraction_is_found_out_or_asked_for() {
        let check = |cells: &[&str], expected: Result<Decimal, UnclearNumbers>| {
            assert_eq!(decimal_of(cells.iter().copied()), expected, "{cells:?}");
        };
        check(&["20", "20.5"], Ok(Decimal::Point));
        check(&["20", "20,5"], Ok(Decimal::Comma));
        check(&["1.234", "2.345"], Ok(Decimal::Point));
        check(&["1.234", "20,5"], Ok(Decimal::Comma));
        check(&["1,234", "20.5"], Ok(Decimal::Point));
        check(&["1,234", "20,5"], Ok(Decimal::Comma));
        check(&["1,234,567"], Ok(Decimal::Point));
        check(&["0,123", "1,234"], Ok(Decimal::Comma));
        check(&["5", "1,234", "2,345"], Err(UnclearNumbers::Comma { row: 1 }));
        check(&["20,5", "#N/A", "20.5"], Err(UnclearNumbers::Mixed { comma: 0, point: 2 }));
        check(&["#N/A", ""], Ok(Decimal::Point));
        check(&["1.5 bar", "0", "#N/A"], Ok(Decimal::Point));
        check(&["1.5 bar", "0", "900 mbar"], Err(UnclearNumbers::Units { first: 0, other: 2 }));
    }
}

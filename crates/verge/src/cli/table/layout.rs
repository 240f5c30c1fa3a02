//! Where in a file the header and the values stand, and what stands between columns.

use std::collections::BTreeSet;

use csv::StringRecord;

use super::{numbers, times};

/// Lines that the delimiter is found out by.
const LINES: usize = 200;
/// Rows that the kind of a column is found out by.
const SAMPLE: usize = 1000;

/// A first line by which spreadsheets learn the delimiter: `sep=;`.
pub(super) fn sep_line(text: &str) -> Option<(u8, &str)> {
    let (line, rest) = text.split_once('\n')?;
    let line = line.trim_end_matches('\r').trim_matches('"');
    let named =
        line.get(..4).filter(|start| start.eq_ignore_ascii_case("sep=")).and_then(|_| line.get(4..))?;
    match named.as_bytes() {
        [delimiter] => Some((*delimiter, rest)),
        _ => None,
    }
}

/// Of semicolon, tab, bar and comma, the one that most lines have equally often.
pub(super) fn delimiter(text: &str) -> u8 {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).take(LINES).collect();
    let agreement = |delimiter: u8| {
        let mut counts: Vec<usize> = lines.iter().map(|line| unquoted(line, delimiter)).collect();
        counts.retain(|count| *count > 0);
        counts.sort_unstable();
        let longest = counts.chunk_by(|one, next| one == next).max_by_key(|run| run.len());
        longest.map_or((0, 0), |run| (run.len(), run[0]))
    };
    // The last of equals is taken: a comma where there is none of them.
    b",|\t;"
        .iter()
        .copied()
        .max_by_key(|delimiter| agreement(*delimiter))
        .filter(|found| agreement(*found).0 > 0)
        .unwrap_or(b',')
}

/// How often a delimiter stands outside of quotes.
fn unquoted(line: &str, delimiter: u8) -> usize {
    let mut quoted = false;
    let mut count = 0;
    for byte in line.bytes() {
        match byte {
            b'"' => quoted = !quoted,
            byte if byte == delimiter && !quoted => count += 1,
            _ => {}
        }
    }
    count
}

/// What a column holds, as far as most of its cells say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Nothing,
    Numbers,
    /// Dates.
    Times,
    /// Times of day.
    Clocks,
    Words,
}

pub(super) fn holds(text: &str) -> Holds {
    match text {
        _ if text.is_empty() || numbers::is_missing(text) => Holds::Nothing,
        _ if text.parse::<f64>().is_ok() => Holds::Numbers,
        _ if times::is_date(text) => Holds::Times,
        _ if times::time_of_day(text).is_some() => Holds::Clocks,
        _ if numbers::is_number(text) => Holds::Numbers,
        _ => Holds::Words,
    }
}

/// What most cells hold that are not empty: at least half of them, or a quarter if that are dates, which nothing else
/// looks like.
pub(super) fn most<'a>(cells: impl Iterator<Item = &'a str>) -> Holds {
    let mut counts = [(Holds::Times, 0), (Holds::Numbers, 0), (Holds::Clocks, 0), (Holds::Words, 0)];
    for cell in cells {
        let held = holds(cell);
        counts.iter_mut().filter(|(kind, _)| *kind == held).for_each(|(_, count)| *count += 1);
    }
    let all: usize = counts.iter().map(|(_, count)| count).sum();
    let share = |kind: Holds| if kind == Holds::Times { 4 } else { 2 };
    let known = counts.iter().find(|(kind, count)| *count > 0 && count * share(*kind) >= all);
    known.map_or(if all > 0 { Holds::Words } else { Holds::Nothing }, |(kind, _)| *kind)
}

/// Rows at even distances, few enough.
pub(super) fn sample<T>(rows: &[T]) -> impl Iterator<Item = &T> + Clone {
    rows.iter().step_by(rows.len().div_ceil(SAMPLE).max(1))
}

/// Where header and rows stand among the records of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) header: Option<usize>,
    pub(super) first: usize,
    pub(super) end: usize,
    pub(super) width: usize,
}

impl Layout {
    /// A header in the first line, and rows below.
    pub(super) fn plain(records: &[StringRecord]) -> Self {
        let width = records.first().map_or(0, StringRecord::len);
        Self {
            header: (!records.is_empty()).then_some(0),
            first: records.len().min(1),
            end: records.len(),
            width,
        }
    }

    pub(super) fn of(records: &[StringRecord]) -> Self {
        let all = records.len();
        // The first line is the header of most files, and says nothing of what columns hold.
        let body = if all > 1 { &records[1..] } else { records };
        let width = usual_width(body);
        let kinds: Vec<Holds> = (0..width)
            .map(|column| most(sample(body).map(|record| record.get(column).unwrap_or_default())))
            .collect();
        let time = kinds.iter().position(|kind| *kind == Holds::Times);
        // Cells that hold what their column does, and those that do not.
        let fit = |record: &StringRecord| {
            let fits = |column: usize| match holds(record.get(column).unwrap_or_default()) {
                Holds::Nothing => None,
                held => Some(held == kinds[column]),
            };
            if let Some(time) = time {
                return if fits(time) == Some(true) { (1, 0) } else { (0, 1) };
            }
            let typed = (0..width).filter(|column| kinds[*column] == Holds::Numbers).filter_map(fits);
            let (good, bad): (Vec<bool>, Vec<bool>) = typed.partition(|fits| *fits);
            (good.len(), bad.len())
        };
        // A header may have names that are numbers.
        let Some(first) = records.iter().position(|record| matches!(fit(record), (1.., 0))) else {
            return Self::plain(records);
        };
        let last = records.iter().rposition(|record| {
            let (good, bad) = fit(record);
            good > bad
        });
        let end = last.map_or(all, |last| last + 1);
        let names = |record: &StringRecord| {
            record.iter().filter(|cell| !cell.is_empty()).collect::<BTreeSet<_>>().len()
        };
        // The first of those with the most names: units may stand below.
        let header = (0..first).rev().max_by_key(|row| names(&records[*row]));
        let header = header.filter(|row| names(&records[*row]) * 2 > width.min(2));
        Self { header, first, end, width }
    }
}

/// The number of cells that most rows have.
fn usual_width(records: &[StringRecord]) -> usize {
    let mut widths: Vec<usize> = sample(records).map(StringRecord::len).collect();
    widths.sort_unstable();
    widths.chunk_by(|one, next| one == next).max_by_key(|run| run.len()).map_or(0, |run| run[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_the_one_that_lines_agree_on() {
        let check = |text: &str, expected: u8| assert_eq!(delimiter(text), expected, "{text}");
        check("time,value,label\n", b',');
        check("time;value;label\n1,5;2;0\n", b';');
        check("time\tvalue\tlabel", b'\t');
        check("time|value\n1|2,5\n2|3,5\n", b'|');
        check("time", b',');
        check("a;b\n1;20,5\n2;20,7\n3;21,1\n", b';');
        check("Plant A, hall 3\nTrend; exported\na;b\n1;20,5\n2;20,7\n", b';');
        check("time,note,value\n1,\"a;b;c\",2\n2,\"a;b;c\",3\n", b',');
    }

    #[test]
    fn a_line_for_spreadsheets_names_the_delimiter() {
        assert_eq!(sep_line("sep=;\r\na;b\n"), Some((b';', "a;b\n")));
        assert_eq!(sep_line("\"sep=\t\"\na\tb\n"), Some((b'\t', "a\tb\n")));
        assert_eq!(sep_line("SEP=,\na,b\n"), Some((b',', "a,b\n")));
        assert_eq!(sep_line("separator;a\n1;2\n"), None);
        assert_eq!(sep_line("sep=\na\n"), None);
    }

    #[test]
    fn header_and_values_are_found_between_other_lines() {
        let check = |rows: &[&str], header: Option<usize>, first: usize, end: usize| {
            let records: Vec<StringRecord> = rows.iter().map(|row| row.split(';').collect()).collect();
            let found = Layout::of(&records);
            assert_eq!((found.header, found.first, found.end), (header, first, end), "{rows:?}");
        };
        let day = "2026-03-01 00:00;1;2";
        check(&["time;a;b", day, day], Some(0), 1, 3);
        check(&["60;1;2", "120;1;2"], None, 0, 2);
        check(&["time;101;102", "60;1;2", "120;1;2"], Some(0), 1, 3);
        check(&["time;a;b", "60;1;2", "120;1;2"], Some(0), 1, 3);
        check(&["Report", "Hall 3;;", "time;a;b", "s;°C;bar", day, day, day, "Mean;1;2"], Some(2), 4, 7);
        check(&["Exported;2026-03-02;", "time;a;b", day, day, day], Some(1), 2, 5);
        check(&["time;a;b", "60;1;2", "never;1;x", "180;1;2", "Sum;;3", ";;"], Some(0), 1, 4);
        check(&["a", "x", "y"], Some(0), 1, 3);
        check(&["a"], Some(0), 1, 1);
    }
}

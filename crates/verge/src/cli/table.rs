//! Tables of readings in CSV files, read whole, column by column. What is wrong is told with its file and line.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use csv::StringRecord;
use verge_domain::time::UtcMillis;

use crate::cli::{recording, say};

/// Names by which a column of times is known where none is given.
pub(super) const TIMES: [&str; 6] = ["time", "timestamp", "datetime", "date", "ts", "_time"];
/// Names by which labels are known; such columns are never taken for values.
pub(super) const LABELS: [&str; 7] =
    ["label", "anomaly", "is_anomaly", "labels", "fault", "outlier", "changepoint"];

/// Numbers from here on are milliseconds since 1970, below seconds: 1973 as the one, 5138 as the other.
const MILLISECONDS_FROM: f64 = 1e11;

/// Numbers that are days since 1899-12-30, as spreadsheets count them: from 1970 to 2100. As seconds they would all lie
/// within the first day of 1970.
const SERIAL_DAYS: std::ops::Range<f64> = 25_569.0..73_051.0;
const UNIX_EPOCH_DAYS: f64 = 25_569.0;
const DAY_MS: f64 = 86_400_000.0;

/// A table with a header.
#[derive(Debug)]
pub(super) struct Table {
    path: PathBuf,
    header: StringRecord,
    rows: Vec<StringRecord>,
    /// Where each row stands in the file, from 1.
    lines: Vec<usize>,
}

impl Table {
    /// Reads a file whose columns stand between commas, semicolons or tabs, whatever its first line has most of.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        Self::read(path, delimiter_of(path)?)
    }

    pub(super) fn read(path: &Path, delimiter: u8) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read {}", path.display());
        let bytes = std::fs::read(path).with_context(cannot)?;
        let mut reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .delimiter(delimiter)
            .flexible(true)
            .from_reader(&bytes[..]);
        let header = reader.headers().with_context(cannot)?.clone();
        let rows = reader.into_records().collect::<Result<Vec<_>, _>>().with_context(cannot)?;
        ensure!(!rows.is_empty(), "{} has no rows", path.display());
        let lines = lines(&rows, &bytes);
        if let Some((row, line)) = rows.iter().zip(&lines).find(|(row, _)| row.len() != header.len()) {
            bail!(
                "{}, line {line}: {} cells where the header has {}",
                path.display(),
                row.len(),
                header.len()
            );
        }
        Ok(Self { path: path.to_owned(), header, rows, lines })
    }

    pub(super) fn header(&self) -> impl Iterator<Item = &str> {
        self.header.iter()
    }

    /// Where the column of this name stands.
    pub(super) fn column(&self, name: &str) -> anyhow::Result<usize> {
        let found = self.header.iter().position(|known| known == name);
        found.with_context(|| {
            let known: Vec<String> = self.header().map(|known| format!("`{known}`")).collect();
            format!("{}, line 1: no column `{name}`, only {}", self.path.display(), known.join(", "))
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

    /// Columns but for these and labels whose first cell that is not empty is a number.
    pub(super) fn values(&self, but: &[usize]) -> Vec<usize> {
        let is_number = |column: usize| {
            let first = self.texts(column).find(|text| !text.is_empty());
            first.is_some_and(|text| text.parse::<f64>().is_ok())
        };
        self.header()
            .enumerate()
            .filter(|(column, name)| {
                let is_label = LABELS.iter().any(|label| label.eq_ignore_ascii_case(name));
                !but.contains(column) && !is_label && is_number(*column)
            })
            .map(|(column, _)| column)
            .collect()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A cell as it is written.
    pub(super) fn text(&self, row: usize, column: usize) -> &str {
        self.rows.get(row).and_then(|row| row.get(column)).unwrap_or_default()
    }

    /// The cells as they are written.
    pub(super) fn texts(&self, column: usize) -> impl Iterator<Item = &str> {
        self.rows.iter().map(move |row| row.get(column).unwrap_or_default())
    }

    /// Where a row stands in the file, for messages.
    pub(super) fn place(&self, row: usize) -> String {
        format!("{}, line {}", self.path.display(), self.lines.get(row).copied().unwrap_or_default())
    }

    pub(super) fn times(&self, column: usize) -> anyhow::Result<Vec<UtcMillis>> {
        let serial = |text: &str| text.parse::<f64>().ok().filter(|days| SERIAL_DAYS.contains(days));
        let Some(days) = self.texts(column).map(serial).collect::<Option<Vec<f64>>>() else {
            return self.cells(column, time);
        };
        #[expect(clippy::cast_possible_truncation, reason = "some 4e12 at most")]
        let at = |days: &f64| UtcMillis(((days - UNIX_EPOCH_DAYS) * DAY_MS).round() as i64);
        let times: Vec<UtcMillis> = days.iter().map(at).collect();
        if let Some(first) = times.first() {
            say(&format!(
                "{}: the times in column `{}` are read as days since 1899-12-30, as spreadsheets write dates: {} is {} (UTC)",
                self.path.display(),
                self.header.get(column).unwrap_or_default(),
                self.text(0, column),
                crate::describe::date_and_time(*first)
            ));
        }
        Ok(times)
    }

    /// The times of the rows, which are put in their order; says so where they stand in another.
    pub(super) fn sort_by_time(&mut self, column: usize) -> anyhow::Result<Vec<UtcMillis>> {
        let times = self.times(column)?;
        let Some(back) = times.windows(2).position(|pair| pair[1] < pair[0]) else { return Ok(times) };
        let mut order: Vec<usize> = (0..times.len()).collect();
        let how = if times.windows(2).all(|pair| pair[1] <= pair[0]) {
            order.reverse();
            "the rows stand newest first".to_owned()
        } else {
            order.sort_by_key(|row| times[*row]);
            format!(
                "the rows are not in the order of time (line {} is earlier than line {})",
                self.lines[back + 1],
                self.lines[back]
            )
        };
        say(&format!("{}: {how}; they are sorted by time", self.path.display()));
        self.rows = order.iter().map(|row| self.rows[*row].clone()).collect();
        self.lines = order.iter().map(|row| self.lines[*row]).collect();
        Ok(order.into_iter().map(|row| times[row]).collect())
    }

    /// Columns but for these and labels that hold few texts, each in several rows: one of them may tell series apart.
    pub(super) fn groups(&self, but: &[usize]) -> Vec<(usize, usize)> {
        let group = |column: usize| {
            let mut texts: Vec<&str> = self.texts(column).collect();
            texts.sort_unstable();
            texts.dedup();
            let words = texts.iter().all(|text| !text.is_empty() && text.parse::<f64>().is_err());
            (words && texts.len() > 1 && texts.len() * 2 <= self.rows.len()).then_some((column, texts.len()))
        };
        let is_label = |name: &str| LABELS.iter().any(|label| label.eq_ignore_ascii_case(name));
        let columns =
            self.header().enumerate().filter(|(column, name)| !but.contains(column) && !is_label(name));
        columns.filter_map(|(column, _)| group(column)).collect()
    }

    pub(super) fn numbers(&self, column: usize) -> anyhow::Result<Vec<f64>> {
        self.cells(column, number)
    }

    /// Numbers where there are any: an empty cell is no reading.
    pub(super) fn readings(&self, column: usize) -> anyhow::Result<Vec<Option<f64>>> {
        self.cells(column, |text| if text.is_empty() { Ok(None) } else { number(text).map(Some) })
    }

    pub(super) fn flags(&self, column: usize) -> anyhow::Result<Vec<bool>> {
        self.cells(column, flag)
    }

    fn cells<T>(&self, column: usize, parse: impl Fn(&str) -> anyhow::Result<T>) -> anyhow::Result<Vec<T>> {
        let cell = |(line, text): (&usize, &str)| {
            let name = self.header.get(column).unwrap_or_default();
            parse(text)
                .map_err(|error| anyhow!("{}, line {line}, column `{name}`: {error}", self.path.display()))
        };
        self.lines.iter().zip(self.texts(column)).map(cell).collect()
    }
}

/// Of comma, semicolon and tab, the one that the first line has most of.
fn delimiter_of(path: &Path) -> anyhow::Result<u8> {
    let cannot = || format!("cannot read {}", path.display());
    let mut line = Vec::new();
    BufReader::new(File::open(path).with_context(cannot)?)
        .read_until(b'\n', &mut line)
        .with_context(cannot)?;
    let count = |delimiter: u8| line.iter().filter(|byte| **byte == delimiter).count();
    // The last of equals is taken: a comma where there is none of them.
    Ok([b'\t', b';', b','].into_iter().max_by_key(|delimiter| count(*delimiter)).unwrap_or(b','))
}

/// The line that each row starts in. The reader's own count is behind where lines end with CR LF, or are empty.
fn lines(rows: &[StringRecord], bytes: &[u8]) -> Vec<usize> {
    let (mut line, mut counted) = (1, 0);
    rows.iter()
        .map(|row| {
            let start = row.position().and_then(|at| usize::try_from(at.byte()).ok()).unwrap_or(counted);
            let blank = bytes[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            line += bytes[counted..start + blank].iter().filter(|byte| **byte == b'\n').count();
            counted = start + blank;
            line
        })
        .collect()
}

/// RFC 3339, date and time without an offset (UTC), seconds or milliseconds since 1970.
fn time(text: &str) -> anyhow::Result<UtcMillis> {
    match text.parse::<f64>() {
        Ok(number) if !number.is_finite() => bail!("{text:?} is not a time"),
        Ok(number) if number.abs() >= MILLISECONDS_FROM => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "saturates, and is refused as a time beyond all"
            )]
            let at = jiff::Timestamp::from_millisecond(number.round() as i64);
            at.map(|at| UtcMillis(at.as_millisecond())).map_err(|_| anyhow!("{text:?} is not a time"))
        }
        _ => recording::parse_time(text),
    }
}

fn number(text: &str) -> anyhow::Result<f64> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.with_context(|| format!("{text:?} is not a number"))
}

/// 0 or 1, also as decimals, or a word.
fn flag(text: &str) -> anyhow::Result<bool> {
    if let Ok(flag) = text.to_ascii_lowercase().parse::<bool>() {
        return Ok(flag);
    }
    match text.parse::<f64>() {
        Ok(0.0) => Ok(false),
        Ok(1.0) => Ok(true),
        _ => bail!("{text:?} is neither 0 nor 1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> (tempfile::TempDir, anyhow::Result<Table>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        let table = Table::read(&path, b',');
        (folder, table)
    }

    #[test]
    fn columns_are_read_by_their_name() {
        let (_folder, table) = table("time,x,y\r\n2020-01-01 00:00:01,1.5,1.0\r\n1577836802,,0\r\n");
        let table = table.unwrap();
        let column = |name: &str| table.column(name).unwrap();
        let times = table.times(column("time")).unwrap();
        assert_eq!(times, [UtcMillis(1_577_836_801_000), UtcMillis(1_577_836_802_000)]);
        assert_eq!(table.readings(column("x")).unwrap(), [Some(1.5), None]);
        assert_eq!(table.flags(column("y")).unwrap(), [true, false]);
        assert_eq!(table.header().collect::<Vec<_>>(), ["time", "x", "y"]);
    }

    #[test]
    fn a_bad_cell_is_told_with_file_line_and_column() {
        let check = |text: &str, read: fn(&Table) -> anyhow::Result<()>, expected: &str| {
            let (_folder, table) = table(text);
            let error = table.and_then(|table| read(&table)).unwrap_err();
            let told = format!("{error:#}");
            assert!(told.contains("a.csv") && told.contains(expected), "{told}");
        };
        let numbers = |table: &Table| table.column("x").and_then(|x| table.numbers(x)).map(|_| ());
        check("x\n1\n\nabc\n", numbers, "a.csv, line 4, column `x`: \"abc\" is not a number");
        check("x\n1\nNaN\n", numbers, "line 3, column `x`: \"NaN\" is not a number");
        check("t,x\n1,\n", numbers, "line 2, column `x`: \"\" is not a number");
        check("y\n1\n", numbers, "line 1: no column `x`");
        check("x\n", numbers, "has no rows");
        check("x,y\r\n1,2\r\n1\r\n", numbers, "line 3: 1 cells where the header has 2");
        check("x\n2\n", |table| table.flags(0).map(|_| ()), "line 2, column `x`: \"2\" is neither 0 nor 1");
        check(
            "x\n2020-13-01\n",
            |table| table.times(0).map(|_| ()),
            "line 2, column `x`: \"2020-13-01\" is not",
        );
    }

    #[test]
    fn times_come_in_many_forms() {
        let check =
            |text: &str, expected: i64| assert_eq!(time(text).unwrap(), UtcMillis(expected), "{text}");
        check("2020-03-09T10:14:33Z", 1_583_748_873_000);
        check("2020-03-09T11:14:33+01:00", 1_583_748_873_000);
        check("2020-03-09 10:14:33", 1_583_748_873_000);
        check("2020-03-09 10:14:33.250000", 1_583_748_873_250);
        check("1583748873", 1_583_748_873_000);
        check("1583748873.25", 1_583_748_873_250);
        check("1583748873250", 1_583_748_873_250);
        for text in ["", "noon", "inf", "1e300", "NaN"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rows_are_put_in_the_order_of_time() {
        let check = |rows: &str, expected: &[&str]| {
            let (_folder, table) = table(&format!("time,x\n{rows}"));
            let mut table = table.unwrap();
            let times = table.sort_by_time(0).unwrap();
            assert!(times.is_sorted());
            assert_eq!(table.texts(1).collect::<Vec<_>>(), expected, "{rows}");
            assert!((0..table.rows.len()).all(|row| table.place(row).ends_with(table.text(row, 1))));
        };
        // The value is the line that the row stands in.
        check("1,2\n2,3\n2,4\n", &["2", "3", "4"]);
        check("3,2\n2,3\n2,4\n1,5\n", &["5", "4", "3", "2"]);
        check("3,2\n1,3\n2,4\n1,5\n", &["3", "5", "4", "2"]);
    }

    #[test]
    fn dates_of_spreadsheets_are_read() {
        let check = |rows: &str, expected: &[i64]| {
            let (_folder, table) = table(&format!("time\n{rows}\n"));
            let times: Vec<i64> = table.unwrap().times(0).unwrap().iter().map(|at| at.0).collect();
            assert_eq!(times, expected, "{rows}");
        };
        // 2025-11-26 12:00 and a minute later.
        check("45987.5\n45987.500694444", &[1_764_158_400_000, 1_764_158_460_000]);
        check("45987\n45988", &[1_764_115_200_000, 1_764_201_600_000]);
        // Seconds from any beginning.
        check("0\n45987.5", &[0, 45_987_500]);
        check("45987.5\n90000", &[45_987_500, 90_000_000]);
    }

    #[test]
    fn columns_that_may_tell_series_apart_are_found() {
        let groups = |text: &str| table(text).1.unwrap().groups(&[0]);
        assert_eq!(groups("time,tag,value\n1,A,1\n1,B,2\n2,A,3\n2,B,4\n"), [(1, 2)]);
        assert_eq!(groups("time,note,value\n1,a,1\n2,b,2\n3,c,3\n"), []);
        assert_eq!(groups("time,tag,label\n1,A,x\n2,A,y\n3,A,x\n4,A,y\n"), []);
        assert_eq!(groups("time,value\n1,1\n2,1\n3,2\n4,2\n"), []);
    }

    #[test]
    fn the_delimiter_is_the_one_there_is_most_of() {
        let folder = tempfile::tempdir().unwrap();
        let check = |text: &str, expected: u8| {
            let path = folder.path().join("a.csv");
            std::fs::write(&path, text).unwrap();
            assert_eq!(delimiter_of(&path).unwrap(), expected, "{text}");
        };
        check("time,value,label\n", b',');
        check("time;value;label\n1,5;2;0\n", b';');
        check("time\tvalue\tlabel", b'\t');
        check("time", b',');
    }
}

//! Labelled series from any folder of CSV files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use verge_domain::time::UtcMillis;

use super::CsvArgs;
use crate::cli::file_name::file_name;
use crate::cli::say;
use crate::cli::table::{LABELS, TIMES, Table};

/// One column of values with its labels. A row without a value is no reading.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CsvSeries {
    /// Path of the file within the folder, and the column.
    pub(super) name: String,
    /// Path of a plot within its folder.
    pub(super) plot: PathBuf,
    pub(super) at: Vec<UtcMillis>,
    pub(super) values: Vec<f64>,
    pub(super) labels: Vec<bool>,
}

/// Paths of all CSV files within a folder, in order.
pub(super) fn find(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        let cannot = || format!("cannot read the folder {}", folder.display());
        for entry in fs::read_dir(&folder).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let path = entry.path();
            // Links to folders are not followed: they may lead in circles.
            if entry.file_type().with_context(cannot)?.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv")) {
                found.push(path);
            }
        }
    }
    found.sort();
    ensure!(!found.is_empty(), "{} holds no file .csv", folder.display());
    Ok(found)
}

/// The series of one file.
pub(super) fn read(path: &Path, args: &CsvArgs) -> anyhow::Result<Vec<CsvSeries>> {
    let mut table = Table::open(path, &args.table)?;
    let place = path.display();
    let time = table.named(args.time.as_deref(), &TIMES)?.with_context(|| {
        format!("{place}, line 1: none of the columns {}; --time names it", TIMES.join(", "))
    })?;
    let label = table.named(args.label.as_deref(), &LABELS)?;
    let at = table.sort_by_time(&[time])?;
    let labels = match label {
        Some(label) => table.flags(label)?,
        None => {
            let known = LABELS.join(", ");
            say(&format!("{place}: no labels (none of the columns {known}); every alarm counts as false"));
            vec![false; at.len()]
        }
    };
    let other: Vec<usize> = [Some(time), label].into_iter().flatten().collect();
    let columns = match &args.value {
        Some(name) => vec![table.column(name)?],
        None => table.values(&other),
    };
    if columns.is_empty() {
        bail!("{place}: no column of numbers");
    }
    let readings =
        columns.iter().map(|column| table.readings(*column)).collect::<anyhow::Result<Vec<_>>>()?;
    let (notes, left) = table.take_notes();
    let left = left.kinds().iter().map(|left| format!("left out: {left}"));
    for note in notes.into_iter().chain(left) {
        say(&format!("{place}: {note}"));
    }
    let within = path.strip_prefix(&args.data).unwrap_or(path);
    let several = columns.len() > 1;
    columns
        .into_iter()
        .zip(readings)
        .map(|(column, readings)| {
            let rows: Vec<(usize, f64)> =
                readings.iter().enumerate().filter_map(|(row, value)| Some((row, (*value)?))).collect();
            let header = table.header().nth(column).unwrap_or_default();
            let of =
                if several { format!("{}:{header}", within.display()) } else { within.display().to_string() };
            let end = if several { format!("-{}.svg", file_name(header)) } else { ".svg".to_owned() };
            let stem = within.file_stem().unwrap_or_default().to_string_lossy();
            Ok(CsvSeries {
                name: of,
                plot: within.with_file_name(format!("{stem}{end}")),
                at: rows.iter().map(|(row, _)| at[*row]).collect(),
                values: rows.iter().map(|(_, value)| *value).collect(),
                labels: rows.iter().map(|(row, _)| labels[*row]).collect(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::table::TableArgs;

    fn args(folder: &Path) -> CsvArgs {
        CsvArgs {
            data: folder.to_owned(),
            value: None,
            time: None,
            label: None,
            table: TableArgs::default(),
            plot: None,
        }
    }

    fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn columns_are_known_by_name_or_content() {
        let folder = tempfile::tempdir().unwrap();
        let text = "Timestamp;pump;site;flow rate;changepoint;anomaly\n1583748873;1;hall;;1;0\n1583748874;2;hall;7.5;0;1\n";
        let path = write(folder.path(), "deep/a.csv", text);
        let mut args = args(folder.path());
        let series = read(&path, &args).unwrap();
        let names: Vec<&str> = series.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["deep/a.csv:pump", "deep/a.csv:flow rate"]);
        assert_eq!(series[1].plot, Path::new(&format!("deep/a-{}.svg", file_name("flow rate"))));
        assert_eq!((&series[0].values, &series[0].labels), (&vec![1.0, 2.0], &vec![false, true]));
        assert_eq!((&series[1].values, &series[1].labels), (&vec![7.5], &vec![true]));
        assert_eq!(series[1].at, [UtcMillis(1_583_748_874_000)]);
        args.value = Some("pump".to_owned());
        let series = read(&path, &args).unwrap();
        assert_eq!((series[0].name.as_str(), &*series[0].plot), ("deep/a.csv", Path::new("deep/a.svg")));
    }

    #[test]
    fn files_are_searched_in_all_folders() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a/c.CSV", "a/d/e.csv", "a/notes.txt"] {
            write(folder.path(), name, "");
        }
        let found = find(folder.path()).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.strip_prefix(folder.path()).unwrap()).collect();
        assert_eq!(names, ["a/c.CSV", "a/d/e.csv", "b.csv"].map(Path::new));
        let empty = tempfile::tempdir().unwrap();
        assert!(find(empty.path()).unwrap_err().to_string().contains("holds no file .csv"));
    }

    #[test]
    fn what_is_wrong_is_reported_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let check = |text: &str, expected: &str| {
            let path = write(folder.path(), "a.csv", text);
            let text = format!("{:#}", read(&path, &args(folder.path())).unwrap_err());
            assert!(text.contains(expected), "{text}");
        };
        check("t,value,label\n0,1,0\n", "a.csv, line 1: none of the columns time");
        check("time,value,label\n0,1,0\n1,2,\n", "a.csv, line 3, column `label`");
        check("time,value,label\n0,a,0\n", "a.csv: no column of numbers");
        check("time,value,label\n0,1,0\n1,b,0\n", "a.csv, line 3, column `value`: `b` is not a number");
        check("time,value,label\n0,1,0\n1,2,maybe\n", "a.csv, line 3, column `label`");
    }

    #[test]
    fn a_table_without_labels_has_no_events() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "a.csv", "time,value\n0,1\n60,2\n");
        let series = read(&path, &args(folder.path())).unwrap();
        assert_eq!((&series[0].values, &series[0].labels), (&vec![1.0, 2.0], &vec![false, false]));
        let named = CsvArgs { label: Some("fault".to_owned()), ..args(folder.path()) };
        let error = read(&path, &named).unwrap_err().to_string();
        assert!(error.contains("no column `fault`, only `time`, `value`"), "{error}");
    }
}

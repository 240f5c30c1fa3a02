//! The folder of the Numenta Anomaly Benchmark: `data/GROUP/FILE.csv` and `labels/combined_windows.json`.

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Component, Path};

use anyhow::{Context, ensure};
use verge_domain::time::UtcMillis;

use crate::cli::instant::parse_time;
use crate::cli::table::{Table, TableArgs};

/// One series with its labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NabSeries {
    /// `GROUP/FILE.csv`.
    pub(super) name: String,
    /// Times as they are written.
    pub(super) times: Vec<String>,
    pub(super) at: Vec<UtcMillis>,
    pub(super) values: Vec<f64>,
    /// Rows of each window, first and last included.
    pub(super) windows: Vec<RangeInclusive<usize>>,
}

/// All series that the labels name, by name.
pub(super) fn read(folder: &Path) -> anyhow::Result<Vec<NabSeries>> {
    let path = folder.join("labels").join("combined_windows.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let labels: BTreeMap<String, Vec<[String; 2]>> =
        serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    ensure!(!labels.is_empty(), "{} names no series", path.display());
    labels
        .into_iter()
        .map(|(name, windows)| {
            // It names a file of scores too.
            let is_within = Path::new(&name).components().all(|part| matches!(part, Component::Normal(_)));
            ensure!(is_within, "{}: {name:?} is no path within the folder data", path.display());
            let mut series = read_series(&folder.join("data").join(&name), name)?;
            let windows = windows.iter().map(|window| rows_of(window, &series.at));
            series.windows = windows
                .collect::<anyhow::Result<_>>()
                .with_context(|| format!("{}: {}", path.display(), series.name))?;
            Ok(series)
        })
        .collect()
}

fn read_series(path: &Path, name: String) -> anyhow::Result<NabSeries> {
    let mut table = Table::open(path, &TableArgs::exact(b','))?;
    let (time, value) = (table.column("timestamp")?, table.column("value")?);
    Ok(NabSeries {
        name,
        times: table.texts(time).map(str::to_owned).collect(),
        at: table.exact_times(time)?,
        values: table.numbers(value)?,
        windows: Vec::new(),
    })
}

/// Of rows with the same time the first starts a window, the last ends it.
fn rows_of([start, end]: &[String; 2], at: &[UtcMillis]) -> anyhow::Result<RangeInclusive<usize>> {
    let no_row = |time: &str| format!("window {start} to {end}: no row of the file is at {time}");
    let first = parse_time(start)?;
    let last = parse_time(end)?;
    let first = at.iter().position(|row| *row == first).with_context(|| no_row(start))?;
    let last = at.iter().rposition(|row| *row == last).with_context(|| no_row(end))?;
    Ok(first..=last)
}

/// A file of scores as the benchmark's own scorers read them.
pub(super) fn write_scores(folder: &Path, series: &NabSeries, scores: &[f64]) -> anyhow::Result<()> {
    let mut text = String::from("timestamp,anomaly_score\n");
    for (time, score) in series.times.iter().zip(scores) {
        text += &format!("{time},{score}\n");
    }
    let path = folder.join(&series.name);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(series: &str, labels: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("data/group/a.csv", series), ("labels/combined_windows.json", labels)] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    const SERIES: &str = "timestamp,value\n2014-04-01 00:00:00,20.5\n2014-04-01 00:05:00,1\n2014-04-01 00:05:00,2\n\
                          2014-04-01 00:10:00,3\n";

    #[test]
    fn series_come_with_the_rows_of_their_windows() {
        // Two rows have the time that ends the window: the later one is in it.
        let labels = r#"{"group/a.csv": [["2014-04-01 00:00:00.000000", "2014-04-01 00:05:00.000000"]]}"#;
        let folder = folder(SERIES, labels);
        let read = read(folder.path()).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].name, "group/a.csv");
        assert_eq!(read[0].values, [20.5, 1.0, 2.0, 3.0]);
        assert_eq!(read[0].windows, [0..=2]);
        assert_eq!(read[0].at[3].0 - read[0].at[0].0, 600_000);

        let scores = tempfile::tempdir().unwrap();
        write_scores(scores.path(), &read[0], &[0.0, 0.25, 1.0, 0.125]).unwrap();
        let written = fs::read_to_string(scores.path().join("group/a.csv")).unwrap();
        assert_eq!(
            written,
            "timestamp,anomaly_score\n2014-04-01 00:00:00,0\n2014-04-01 00:05:00,0.25\n\
             2014-04-01 00:05:00,1\n2014-04-01 00:10:00,0.125\n"
        );
    }

    #[test]
    fn what_is_wrong_is_reported_with_its_place() {
        let check = |series: &str, labels: &str, expected: &str| {
            let folder = folder(series, labels);
            let text = format!("{:#}", read(folder.path()).unwrap_err());
            assert!(text.contains(expected), "{text}");
        };
        let none = r#"{"group/a.csv": []}"#;
        check(
            &SERIES.replace(",1\n", ",x\n"),
            none,
            "group/a.csv, line 3, column `value`: `x` is not a number",
        );
        check(&SERIES.replace("00:10:00", "25:10:00"), none, "a.csv, line 5, column `timestamp`");
        check(&SERIES.replace("value", "reading"), none, "a.csv, line 1: no column `value`");
        check(SERIES, r#"{"group/b.csv": []}"#, "b.csv");
        check(SERIES, "{\n[", "combined_windows.json: ");
        check(SERIES, "{}", "names no series");
        check(SERIES, r#"{"../../a.csv": []}"#, "no path within the folder data");
        check(SERIES, r#"{"/tmp/a.csv": []}"#, "no path within the folder data");
        let window = r#"{"group/a.csv": [["2014-04-01 00:00:00", "2014-04-01 00:07:00"]]}"#;
        check(SERIES, window, "combined_windows.json: group/a.csv: window 2014-04-01 00:00:00 to");
        check(SERIES, window, "no row of the file is at 2014-04-01 00:07:00");
    }
}

//! The folder of the Skoltech Anomaly Benchmark: `data/{valve1,valve2,other}/N.csv`, with semicolons.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use verge_anomaly::multi::MAX_SIGNALS;
use verge_domain::time::UtcMillis;

use crate::cli::table::{Table, TableArgs};

const GROUPS: [&str; 3] = ["valve1", "valve2", "other"];
const TIME: &str = "datetime";
const ABNORMAL: &str = "anomaly";
const CHANGE: &str = "changepoint";

/// One run with its labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SkabRun {
    /// `GROUP/FILE.csv`.
    pub(super) name: String,
    pub(super) at: Vec<UtcMillis>,
    /// One value per signal in each row.
    pub(super) rows: Vec<Vec<f64>>,
    pub(super) signals: usize,
    pub(super) abnormal: Vec<bool>,
    pub(super) change: Vec<bool>,
}

/// All runs, in the order of groups and numbers.
pub(super) fn read(folder: &Path) -> anyhow::Result<Vec<SkabRun>> {
    let mut runs = Vec::new();
    for group in GROUPS {
        let place = folder.join("data").join(group);
        for path in files(&place)? {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            runs.push(read_run(&path, format!("{group}/{file}"))?);
        }
    }
    ensure!(!runs.is_empty(), "{} holds no runs", folder.display());
    Ok(runs)
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read the folder {}", folder.display());
    let entries = fs::read_dir(folder).with_context(cannot)?;
    let paths =
        entries.map(|entry| Ok(entry.with_context(cannot)?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    let mut paths: Vec<PathBuf> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "csv")).collect();
    // 2 before 10.
    let number = |path: &PathBuf| path.file_stem().and_then(|stem| stem.to_str()?.parse::<u32>().ok());
    paths.sort_by_cached_key(|path| (number(path).unwrap_or(u32::MAX), path.clone()));
    Ok(paths)
}

fn read_run(path: &Path, name: String) -> anyhow::Result<SkabRun> {
    let mut table = Table::open(path, &TableArgs::exact(b';'))?;
    let at = table.exact_times(table.column(TIME)?)?;
    let abnormal = table.flags(table.column(ABNORMAL)?)?;
    let change = table.flags(table.column(CHANGE)?)?;
    let backwards = at.windows(2).position(|pair| pair[1] < pair[0]);
    if let Some(row) = backwards {
        bail!("{}: earlier than the row before", table.place(row + 1));
    }
    let columns = table
        .header()
        .enumerate()
        .filter(|(_, name)| ![TIME, ABNORMAL, CHANGE].contains(name))
        .map(|(column, _)| table.numbers(column))
        .collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(
        (1..=MAX_SIGNALS).contains(&columns.len()),
        "{}, line 1: {} columns of signals, of 1 to {MAX_SIGNALS}",
        path.display(),
        columns.len()
    );
    let rows = (0..at.len()).map(|row| columns.iter().map(|column| column[row]).collect()).collect();
    Ok(SkabRun { name, at, rows, signals: columns.len(), abnormal, change })
}

/// A column of 0 and 1, a line per row of the run.
pub(super) fn write_predictions(folder: &Path, run: &SkabRun, predicted: &[bool]) -> anyhow::Result<()> {
    let mut text = format!("{ABNORMAL}\n");
    for &one in predicted {
        text += if one { "1\n" } else { "0\n" };
    }
    let path = folder.join(&run.name);
    let parent = path.parent().unwrap_or(folder);
    fs::create_dir_all(parent).with_context(|| format!("cannot make the folder {}", parent.display()))?;
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "datetime;Pressure;Volume Flow RateRMS;anomaly;changepoint\r\n\
                       2020-03-09 10:14:33;0.5;32.0;0.0;0.0\r\n2020-03-09 10:14:34;0.25;31.0;1.0;1.0\r\n";

    fn folder(runs: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for group in GROUPS {
            fs::create_dir_all(folder.path().join("data").join(group)).unwrap();
        }
        for (name, text) in runs {
            fs::write(folder.path().join("data").join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn runs_come_in_order_with_a_value_per_signal() {
        let folder = folder(&[("valve1/10.csv", RUN), ("valve1/2.csv", RUN), ("other/1.csv", RUN)]);
        let runs = read(folder.path()).unwrap();
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["valve1/2.csv", "valve1/10.csv", "other/1.csv"]);
        assert_eq!((runs[0].signals, &runs[0].rows), (2, &vec![vec![0.5, 32.0], vec![0.25, 31.0]]));
        assert_eq!((&runs[0].abnormal, &runs[0].change), (&vec![false, true], &vec![false, true]));
        write_predictions(folder.path(), &runs[0], &[false, true]).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("valve1/2.csv")).unwrap(), "anomaly\n0\n1\n");
    }

    #[test]
    fn what_is_wrong_is_reported_with_its_place() {
        let check = |text: &str, expected: &str| {
            let folder = folder(&[("valve2/0.csv", text)]);
            let text = format!("{:#}", read(folder.path()).unwrap_err());
            assert!(text.contains(expected), "{text}");
        };
        check(
            &RUN.replace(";31.0", ";?"),
            "valve2/0.csv, line 3, column `Volume Flow RateRMS`: `?` is not a number",
        );
        check(&RUN.replace(";1.0;1.0", ";1.0;0.5"), "line 3, column `changepoint`: `0.5` is neither 0 nor 1");
        check(&RUN.replace("changepoint", "cp"), "line 1: no column `changepoint`");
        check(&RUN.replace("10:14:34", "10:14:32"), "valve2/0.csv, line 3: earlier than the row before");
        check(
            "datetime;anomaly;changepoint\n2020-03-09 10:14:33;0;0\n",
            "line 1: 0 columns of signals, of 1 to 64",
        );
        let text = format!("{:#}", read(folder(&[]).path()).unwrap_err());
        assert!(text.contains("holds no runs"), "{text}");
    }
}

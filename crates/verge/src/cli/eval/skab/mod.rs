//! `verge eval skab`.

mod runs;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use verge_eval::detectors::{DetectorCost, multi_level, run_multi, score_of};
use verge_eval::measure::ScoreProfile;
use verge_eval::measure::skab::{ChangePoints, RowCounts, ScoredRun, WARM_UP};
use verge_gateway::exit::{Exit, ExitWith};

use super::{PROFILES, number, yes_or_no};
use crate::cli::output::{Progress, json_line};
use crate::cli::say;
use runs::SkabRun;

// What is to be reached: F1 of rows, and the share of normal rows with a false alarm.
const LEAST_F1: f64 = 0.80;
const MOST_FAR: f64 = 0.20;

#[derive(Debug, Args)]
#[command(after_help = "The folder is laid out as the Skoltech Anomaly Benchmark is:
  data/valve1/N.csv, data/valve2/N.csv, data/other/N.csv

The files have semicolons; columns `datetime`, `anomaly`, `changepoint` and one per signal.

The detector `multi` runs over each file from its first row to its last, with its settings as shipped. The first 400 \
rows are for learning and are not scored. A reading is one value of one signal.

Example:
  verge eval skab --data SKAB --scores results/verge")]
pub(super) struct SkabArgs {
    /// The folder of the benchmark
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Write what each row was called, as GROUP/N.csv with the column `anomaly` (0 or 1), a line for each row
    #[arg(long, value_name = "DIR")]
    scores: Option<PathBuf>,
}

/// What all runs come to.
#[derive(Debug, Default)]
struct Measured {
    rows: RowCounts,
    changes: ChangePoints,
    spent: Duration,
    readings: usize,
    /// Bytes per signal, the most of any run.
    bytes: usize,
}

pub(super) fn skab(args: &SkabArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let runs = runs::read(&args.data).exit_with(Exit::BadInput)?;
    let measured = run(&runs, args.scores.as_deref())?;
    let level = score_of(multi_level());
    if as_json {
        json_line(out, &as_value(&measured, level))?;
    } else {
        print(out, &format!("{} runs, {} readings", runs.len(), measured.readings), &measured, level)
            .context("standard output")?;
    }
    Ok(Exit::Fine)
}

fn run(runs: &[SkabRun], scores_to: Option<&Path>) -> anyhow::Result<Measured> {
    let mut progress = Progress::new();
    let mut measured = Measured::default();
    for (count, one) in runs.iter().enumerate() {
        progress.show(&format!("{count} of {} runs", runs.len()))?;
        let ran = run_multi(&one.rows, one.signals);
        let mut predicted = ran.abnormal;
        // A longer or shorter time to learn does not change which rows are scored.
        predicted.iter_mut().take(WARM_UP).for_each(|row| *row = false);
        let at_ms: Vec<i64> = one.at.iter().map(|at| at.0).collect();
        let scored =
            ScoredRun { at_ms: &at_ms, predicted: &predicted, abnormal: &one.abnormal, change: &one.change };
        let bad = || one.name.clone();
        measured.rows = measured.rows + scored.rows().with_context(bad)?;
        measured.changes = measured.changes + scored.change_points().with_context(bad)?;
        measured.spent += ran.spent;
        measured.readings += one.rows.len() * one.signals;
        measured.bytes = measured.bytes.max(ran.bytes_per_signal);
        if let Some(folder) = scores_to {
            runs::write_predictions(folder, one, &predicted)?;
        }
    }
    progress.clear()?;
    if let Some(folder) = scores_to {
        say(&format!("scores: {}", folder.display()));
    }
    Ok(measured)
}

impl Measured {
    fn cost(&self) -> DetectorCost {
        DetectorCost::new(self.spent, self.readings, self.bytes)
    }

    fn meets_marks(&self) -> bool {
        self.rows.f1() >= LEAST_F1 && self.rows.far() <= MOST_FAR
    }
}

fn as_value(measured: &Measured, level: f64) -> Value {
    let rows = &measured.rows;
    let [standard, low_fp, low_fn] = ScoreProfile::ALL.map(|profile| measured.changes.score(profile));
    let cost = measured.cost();
    json!({
        "f1": rows.f1(), "far": rows.far() * 100.0, "mar": rows.mar() * 100.0,
        "changepoint": { "standard": standard, "low_fp": low_fp, "low_fn": low_fn },
        "level": level, "us_per_reading": cost.us_per_reading, "bytes_per_signal": cost.bytes_per_signal,
        "marks": { "f1": LEAST_F1, "far": MOST_FAR * 100.0 }, "meets_marks": measured.meets_marks(),
    })
}

fn print(out: &mut impl Write, heading: &str, measured: &Measured, level: f64) -> std::io::Result<()> {
    let (rows, changes, cost) = (&measured.rows, &measured.changes, measured.cost());
    let scored = rows.true_positives + rows.false_positives + rows.true_negatives + rows.false_negatives;
    writeln!(out, "{heading}; abnormal from score {level:.4}")?;
    writeln!(
        out,
        "rows           F1 {:.3}, false alarms {:.2} % of normal rows, missed {:.2} % of abnormal rows; {scored} rows",
        rows.f1(),
        rows.far() * 100.0,
        rows.mar() * 100.0
    )?;
    let scores: Vec<String> = PROFILES
        .iter()
        .zip(ScoreProfile::ALL)
        .map(|(name, profile)| format!("{name} {}", number(changes.score(profile), 2)))
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "numbers of rows")]
    let per_thousand = 1000.0 * changes.false_alarms as f64 / scored.max(1) as f64;
    writeln!(
        out,
        "change points  {}; {}/{} found, {per_thousand:.2} false alarms per 1000 rows",
        scores.join(", "),
        changes.found,
        changes.windows
    )?;
    writeln!(out, "{:.2} µs per reading, {} bytes per signal", cost.us_per_reading, cost.bytes_per_signal)?;
    let meets = yes_or_no(measured.meets_marks());
    let most = MOST_FAR * 100.0;
    writeln!(out, "marks: rows F1 >= {LEAST_F1:.2} with false alarms <= {most:.0} %; meets them: {meets}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_run_and_its_predictions_are_written() {
        let folder = tempfile::tempdir().unwrap();
        for group in ["valve1", "valve2", "other"] {
            std::fs::create_dir_all(folder.path().join("data").join(group)).unwrap();
        }
        let mut text = String::from("datetime;a;b;anomaly;changepoint\n");
        for row in 0..600_u32 {
            let bad = row >= 500;
            let value = f64::from(row % 5) + if bad { 100.0 } else { 0.0 };
            let (at, label, change) = (1_583_748_873 + row, u8::from(bad), u8::from(row == 500));
            text += &format!("{at};{value};{};{label};{change}\n", f64::from(row % 3));
        }
        std::fs::write(folder.path().join("data/other/1.csv"), text).unwrap();
        let args = SkabArgs { data: folder.path().to_owned(), scores: Some(folder.path().join("scores")) };
        let mut out = Vec::new();
        skab(&args, true, &mut out).unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 9, "{keys:?}");
        assert!(value["f1"].as_f64().unwrap() > 0.0 && value["far"].as_f64().unwrap() < 10.0, "{value}");
        assert!(value["changepoint"]["low_fn"].is_number(), "{value}");
        let lines = std::fs::read_to_string(folder.path().join("scores/other/1.csv")).unwrap();
        assert_eq!(lines.lines().count(), 601);
        assert!(lines.lines().skip(1).take(WARM_UP).all(|line| line == "0"));
        let mut out = Vec::new();
        skab(&SkabArgs { scores: None, ..args }, false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("1 runs, 1200 readings") && text.contains("/1 found"), "{text}");
    }

    #[test]
    fn shares_are_printed_in_percent() {
        let rows = RowCounts { true_positives: 3, false_positives: 2, true_negatives: 2, false_negatives: 1 };
        let measured = Measured { rows, ..Measured::default() };
        let value = as_value(&measured, 0.3);
        assert_eq!((&value["far"], &value["mar"]), (&json!(50.0), &json!(25.0)));
        assert_eq!(value["changepoint"]["standard"], Value::Null);
        assert_eq!(value["meets_marks"], json!(false), "half of the normal rows are called abnormal");
        let rows = RowCounts { true_positives: 8, false_positives: 1, true_negatives: 9, false_negatives: 2 };
        let mut out = Vec::new();
        print(&mut out, "1 runs", &Measured { rows, ..measured }, 0.3).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("F1 >= 0.80 with false alarms <= 20 %; meets them: yes\n"), "{text}");
    }
}

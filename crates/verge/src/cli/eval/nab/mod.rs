//! `verge eval nab`.

mod corpus;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use verge_eval::candidates::AutoCandidates;
use verge_eval::detectors::{DetectorCost, ReadingScore, auto_bytes, auto_level, run_auto, score_of};
use verge_eval::measure::ScoreProfile;
use verge_eval::measure::nab::{Best, Series, WindowOutcome, at, best};
use verge_eval::nested::Nested;
use verge_gateway::exit::{Exit, ExitWith};

use super::{PROFILES, number, yes_or_no};
use crate::cli::output::{Progress, json_line};
use crate::cli::say;
use corpus::NabSeries;

/// What nested cross-validation is to score at least, standard profile.
const LEAST_NESTED: f64 = 76.0;

#[derive(Debug, Args)]
#[command(after_help = "The folder is laid out as the Numenta Anomaly Benchmark is:
  data/GROUP/FILE.csv            with the columns `timestamp` and `value`
  labels/combined_windows.json   windows (start, end) per GROUP/FILE.csv

The detector `auto` runs over each file from its first row to its last, with its settings as shipped. Its score is \
-log10(p)/10, at most 1; 0 for a row that is held back because an alarm came shortly before. `optimised` takes the one \
threshold for all files with which the score is highest, as the benchmark does; `shipped` the level at which the \
detector alarms.

Example:
  verge eval nab --data NAB --scores results/verge")]
pub(super) struct NabArgs {
    /// The folder of the benchmark
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Write the score of every row, as GROUP/FILE.csv with the columns `timestamp` and `anomaly_score`
    #[arg(long, value_name = "DIR")]
    scores: Option<PathBuf>,
    /// Also score settings that were chosen without the series they are scored on, by nested cross-validation
    #[arg(long)]
    nested: bool,
}

pub(super) fn nab(args: &NabArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let corpus = corpus::read(&args.data).exit_with(Exit::BadInput)?;
    let level = score_of(auto_level());
    let (series, spent) = run(&corpus, args.scores.as_deref())?;
    let optimised = ScoreProfile::ALL.map(|profile| best(&series, profile));
    let fixed = ScoreProfile::ALL.map(|profile| at(&series, profile, level));
    let readings = corpus.iter().map(|one| one.values.len()).sum();
    let cost = DetectorCost::new(spent, readings, auto_bytes());
    let nested = if args.nested { cross_validate(&corpus)? } else { None };
    if as_json {
        let mut value = as_value(&optimised, &fixed, level, cost);
        if let Some(nested) = nested {
            value["nested"] = json!({
                "standard": nested.mean, "spread": nested.spread, "mark": LEAST_NESTED,
                "meets_mark": nested.mean >= LEAST_NESTED,
            });
        }
        json_line(out, &value)?;
    } else {
        let heading = format!("{} series, {readings} readings", corpus.len());
        print(out, &heading, &optimised, &fixed, level, cost).context("standard output")?;
        if let Some(nested) = nested {
            print_nested(out, &nested).context("standard output")?;
        }
    }
    Ok(Exit::Fine)
}

fn print_nested(out: &mut impl Write, nested: &Nested) -> std::io::Result<()> {
    let Nested { mean, spread, candidates } = nested;
    writeln!(
        out,
        "nested cross-validation, standard: {mean:.2} ± {spread:.2}, chosen among {candidates} (members, level, hold-off) \
         on four fifths of the series and scored on the rest"
    )?;
    let meets = yes_or_no(*mean >= LEAST_NESTED);
    writeln!(out, "mark: nested cross-validation >= {LEAST_NESTED:.0}; meets it: {meets}")
}

/// The detector over each series, and how long it took in all.
fn run(corpus: &[NabSeries], scores_to: Option<&Path>) -> anyhow::Result<(Vec<Series>, Duration)> {
    let mut progress = Progress::new();
    let mut spent = Duration::ZERO;
    let mut series = Vec::with_capacity(corpus.len());
    for (count, one) in corpus.iter().enumerate() {
        progress.show(&format!("{count} of {} series", corpus.len()))?;
        let (said, took) = run_auto(&one.at, &one.values);
        spent += took;
        let scores: Vec<f64> = said.iter().map(ReadingScore::score).collect();
        let measured = Series::new(&scores, &one.windows).with_context(|| one.name.clone());
        series.push(measured.exit_with(Exit::BadInput)?);
        if let Some(folder) = scores_to {
            corpus::write_scores(folder, one, &scores)?;
        }
    }
    progress.clear()?;
    if let Some(folder) = scores_to {
        say(&format!("scores: {}", folder.display()));
    }
    Ok((series, spent))
}

/// What settings score that were chosen on other series.
fn cross_validate(corpus: &[NabSeries]) -> anyhow::Result<Option<Nested>> {
    let mut progress = Progress::new();
    let mut candidates = AutoCandidates::default();
    for (count, one) in corpus.iter().enumerate() {
        progress.show(&format!("cross-validation: {count} of {} series", corpus.len()))?;
        candidates.add(&one.at, &one.values, &one.windows).with_context(|| one.name.clone())?;
    }
    progress.clear()?;
    Ok(candidates.cross_validate())
}

fn as_value(optimised: &[Best; 3], fixed: &[WindowOutcome; 3], level: f64, cost: DetectorCost) -> Value {
    let best = |index: usize| optimised[index].outcome.score();
    json!({
        "standard": best(0), "low_fp": best(1), "low_fn": best(2),
        "fixed": { "standard": fixed[0].score(), "low_fp": fixed[1].score(), "low_fn": fixed[2].score() },
        "level": level, "us_per_reading": cost.us_per_reading, "bytes_per_signal": cost.bytes_per_signal,
    })
}

fn print(
    out: &mut impl Write,
    heading: &str,
    optimised: &[Best; 3],
    fixed: &[WindowOutcome; 3],
    level: f64,
    cost: DetectorCost,
) -> std::io::Result<()> {
    writeln!(out, "{heading}")?;
    writeln!(
        out,
        "{:<10} {:<9} {:>8} {:>8} {:>9}  false alarms",
        "threshold", "profile", "level", "score", "windows"
    )?;
    for (name, best) in PROFILES.iter().zip(optimised) {
        line(out, "optimised", name, best.threshold, &best.outcome)?;
    }
    for (name, outcome) in PROFILES.iter().zip(fixed) {
        line(out, "shipped", name, Some(level), outcome)?;
    }
    writeln!(out, "{:.2} µs per reading, {} bytes per signal", cost.us_per_reading, cost.bytes_per_signal)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of rows")]
fn line(
    out: &mut impl Write,
    threshold: &str,
    profile: &str,
    level: Option<f64>,
    outcome: &WindowOutcome,
) -> std::io::Result<()> {
    let per_thousand = 1000.0 * outcome.false_alarms as f64 / outcome.readings.max(1) as f64;
    writeln!(
        out,
        "{threshold:<10} {profile:<9} {:>8} {:>8} {:>9}  {per_thousand:.2} per 1000 readings",
        number(level, 4),
        number(outcome.score(), 2),
        format!("{}/{}", outcome.found, outcome.windows),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_the_result_stand() {
        let series = Series::new(&[0.0, 0.0, 0.0, 1.0, 0.0], &[3..=4]).unwrap();
        let optimised = ScoreProfile::ALL.map(|profile| best([&series], profile));
        let fixed = ScoreProfile::ALL.map(|profile| at([&series], profile, 0.0));
        let cost = DetectorCost { us_per_reading: 0.5, bytes_per_signal: 100 };
        let value = as_value(&optimised, &fixed, 0.25, cost);
        let keys: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 7, "{keys:?}");
        assert_eq!(
            (&value["standard"], &value["low_fp"], &value["low_fn"]),
            (&json!(100.0), &json!(100.0), &json!(100.0))
        );
        // The three rows before the window alarm too: 2 - .33, 2 - .66, 3 - .33.
        let fixed = |key: &str| value["fixed"][key].as_f64().unwrap();
        assert!((fixed("standard") - 83.5).abs() < 1e-9 && (fixed("low_fp") - 67.0).abs() < 1e-9);
        assert!((fixed("low_fn") - 89.0).abs() < 1e-9);
        let mut out = Vec::new();
        let outcomes = ScoreProfile::ALL.map(|profile| at([&series], profile, 0.25));
        print(&mut out, "1 series", &optimised, &outcomes, 0.25, cost).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("optimised  low FN      1.0000   100.00       1/1  0.00 per 1000"), "{text}");
        assert!(text.contains("shipped    standard    0.2500   100.00       1/1  0.00 per 1000"), "{text}");
        assert!(text.ends_with("0.50 µs per reading, 100 bytes per signal\n"), "{text}");
        for (mean, meets) in [(75.99, "no"), (76.0, "yes")] {
            let mut out = Vec::new();
            print_nested(&mut out, &Nested { mean, spread: 1.0, candidates: 8 }).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.ends_with(&format!(">= 76; meets it: {meets}\n")), "{text}");
        }
    }

    #[test]
    fn a_folder_is_run_and_its_scores_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut text = String::from("timestamp,value\n");
        for row in 0..400 {
            let value = if row == 300 { 50.0 } else { f64::from(row % 7) };
            text += &format!("2020-01-01 {:02}:{:02}:00,{value}\n", row / 60, row % 60);
        }
        std::fs::create_dir_all(folder.path().join("data/group")).unwrap();
        std::fs::create_dir_all(folder.path().join("labels")).unwrap();
        std::fs::write(folder.path().join("data/group/a.csv"), text).unwrap();
        let labels = r#"{"group/a.csv": [["2020-01-01 04:58:00", "2020-01-01 05:05:00"]]}"#;
        std::fs::write(folder.path().join("labels/combined_windows.json"), labels).unwrap();
        let args = NabArgs {
            data: folder.path().to_owned(),
            scores: Some(folder.path().join("scores")),
            nested: false,
        };
        let mut out = Vec::new();
        nab(&args, true, &mut out).unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert!(value["standard"].as_f64().unwrap() > 50.0, "{value}");
        let scores = std::fs::read_to_string(folder.path().join("scores/group/a.csv")).unwrap();
        assert_eq!(scores.lines().count(), 401);
        let empty = NabArgs { data: folder.path().join("none"), scores: None, nested: false };
        assert_eq!(Exit::of(&nab(&empty, true, &mut out).unwrap_err()), Exit::BadInput);
    }
}

//! `verge eval csv`.

mod files;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use verge_eval::detectors::{DetectorCost, ReadingScore, auto_bytes, auto_level, bands, run_auto, score_of};
use verge_eval::events::Events;
use verge_eval::plot::{PlottedSeries, svg};
use verge_gateway::exit::{Exit, ExitWith};

use super::number;
use crate::cli::output::{Progress, json_line};
use crate::cli::say;
use crate::cli::table::TableArgs;
use files::CsvSeries;

#[derive(Debug, Args)]
#[command(
    after_help = "All files .csv within the folder are read. Each has a column of times, values, and one of labels (0 or 1) \
to count by; docs/tables.md says how they may be written. An empty cell is no reading.

Columns that are not named: times are `time`, `timestamp`, `datetime`, `date`, `ts` and the like; labels `label`, \
`anomaly`, `is_anomaly`, `labels`, `fault`, `outlier` or `changepoint`, in this order; values are all other columns of \
numbers.

The detector `auto` runs over each column from the first row to the last, with its settings as shipped. An event is a \
stretch of labelled readings; it is found if there is an alarm in it. Alarms outside are false.

Example:
  verge eval csv --data recordings --value pressure --label fault --plot plots"
)]
pub(super) struct CsvArgs {
    /// The folder
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Only the values in this column
    #[arg(long, value_name = "COLUMN")]
    value: Option<String>,
    /// Column of times
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// Column of labels
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    #[command(flatten)]
    table: TableArgs,
    /// Draw each series, with what was expected, alarms and labels, into an SVG file
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
}

/// What came of one series.
struct JudgedSeries {
    name: String,
    events: Events,
}

pub(super) fn csv(args: &CsvArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let (judged, cost) = run(args)?;
    let mut total = Events::default();
    judged.iter().for_each(|one| total.add(&one.events));
    if as_json {
        let series: Vec<Value> = judged.iter().map(|one| as_value(Some(&one.name), &one.events)).collect();
        let value = json!({
            "series": series, "total": as_value(None, &total), "level": score_of(auto_level()),
            "us_per_reading": cost.us_per_reading, "bytes_per_signal": cost.bytes_per_signal,
        });
        json_line(out, &value)?;
    } else {
        print(out, &judged, &total, cost).context("standard output")?;
    }
    Ok(Exit::Fine)
}

/// File by file, so that one at a time is in memory.
fn run(args: &CsvArgs) -> anyhow::Result<(Vec<JudgedSeries>, DetectorCost)> {
    let files = files::find(&args.data).exit_with(Exit::BadInput)?;
    let mut progress = Progress::new();
    let mut judged: Vec<JudgedSeries> = Vec::new();
    let mut spent = Duration::ZERO;
    for (count, path) in files.iter().enumerate() {
        progress.show(&format!("{count} of {} files", files.len()))?;
        for one in files::read(path, args).exit_with(Exit::BadInput)? {
            let (said, took) = run_auto(&one.at, &one.values);
            spent += took;
            let alarms: Vec<bool> = said.iter().map(|said| said.alarm).collect();
            if let Some(folder) = &args.plot {
                draw(&folder.join(&one.plot), &one, &said)?;
            }
            judged.push(JudgedSeries { name: one.name, events: Events::of(&one.labels, &alarms) });
        }
    }
    progress.clear()?;
    if let Some(folder) = &args.plot {
        say(&format!("plots: {}", folder.display()));
    }
    let readings = judged.iter().map(|one| one.events.readings).sum();
    Ok((judged, DetectorCost::new(spent, readings, auto_bytes())))
}

/// Draws a series into a file; folders are made.
fn draw(path: &Path, series: &CsvSeries, said: &[ReadingScore]) -> anyhow::Result<()> {
    let CsvSeries { name, at, values, labels, .. } = series;
    if values.is_empty() {
        return Ok(());
    }
    let svg = svg(PlottedSeries { name, at, values, labels }, said, &bands(at, values))
        .with_context(|| format!("cannot draw {name}"))?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))
}

fn as_value(name: Option<&str>, events: &Events) -> Value {
    let mut value = json!({
        "readings": events.readings, "labelled": events.labelled, "events": events.events,
        "alarms": events.alarms, "found": events.delays.len(), "false_alarms": events.false_alarms,
        "delays": events.delays,
    });
    if let Some(name) = name {
        value["name"] = name.into();
    }
    value
}

fn print(
    out: &mut impl Write,
    judged: &[JudgedSeries],
    total: &Events,
    cost: DetectorCost,
) -> std::io::Result<()> {
    let width = judged.iter().map(|one| one.name.chars().count()).max().unwrap_or_default().max(6);
    writeln!(
        out,
        "{:<width$} {:>9} {:>9} {:>8} {:>9} {:>7} {:>6}  median delay",
        "series", "readings", "labelled", "alarms", "found", "false", "/1000"
    )?;
    for one in judged {
        line(out, width, &one.name, &one.events)?;
    }
    line(out, width, "total", total)?;
    let level = auto_level();
    writeln!(
        out,
        "alarms from p = {level:.4} on, at any rate of readings; a judge alarms as its alarm_budget says"
    )?;
    writeln!(out, "{:.2} µs per reading, {} bytes per signal", cost.us_per_reading, cost.bytes_per_signal)
}

#[expect(clippy::cast_precision_loss, reason = "numbers of readings")]
fn line(out: &mut impl Write, width: usize, name: &str, events: &Events) -> std::io::Result<()> {
    let per_thousand = 1000.0 * events.false_alarms as f64 / events.readings.max(1) as f64;
    let delay = number(events.median_delay().map(|delay| delay as f64), 0);
    writeln!(
        out,
        "{name:<width$} {:>9} {:>9} {:>8} {:>9} {:>7} {per_thousand:>6.2}  {delay}",
        events.readings,
        events.labelled,
        events.alarms,
        format!("{}/{}", events.delays.len(), events.events),
        events.false_alarms,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let mut text = String::from("time,level,label\n");
        for row in 0..6000_u32 {
            let bad = (5000..5020).contains(&row);
            let value = f64::from(row % 11) + if bad { 500.0 } else { 0.0 };
            text += &format!("{},{value},{}\n", 1_600_000_000 + 60 * row, u8::from(bad));
        }
        fs::create_dir(folder.path().join("tank")).unwrap();
        fs::write(folder.path().join("tank/a.csv"), text).unwrap();
        folder
    }

    fn args(folder: &Path) -> CsvArgs {
        let plot = Some(folder.join("plots"));
        CsvArgs {
            data: folder.join("tank"),
            value: None,
            time: None,
            label: None,
            table: TableArgs::default(),
            plot,
        }
    }

    #[test]
    fn a_jump_is_found_reported_and_drawn() {
        let folder = folder();
        let mut out = Vec::new();
        csv(&args(folder.path()), true, &mut out).unwrap();
        let value: Value = serde_json::from_slice(&out).unwrap();
        let series = &value["series"][0];
        assert_eq!(series["name"], "a.csv");
        assert_eq!(
            (&series["readings"], &series["events"], &series["found"]),
            (&json!(6000), &json!(1), &json!(1))
        );
        assert_eq!(value["total"]["labelled"], 20);
        let svg = fs::read_to_string(folder.path().join("plots/a.svg")).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{}", &svg[..200]);
        assert!(svg.len() < 1_000_000, "{}", svg.len());

        let mut out = Vec::new();
        csv(&CsvArgs { plot: None, ..args(folder.path()) }, false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let total = text.lines().find(|line| line.starts_with("total")).unwrap();
        assert!(total.contains(" 6000 ") && total.contains(" 1/1 "), "{text}");
    }

    #[test]
    fn bad_data_end_with_65() {
        let folder = folder();
        fs::write(folder.path().join("tank/b.csv"), "time,level,label\n0,1,0\n1,x,0\n").unwrap();
        let error = csv(&args(folder.path()), true, &mut Vec::new()).unwrap_err();
        assert_eq!(Exit::of(&error), Exit::BadInput);
        assert!(format!("{error:#}").contains("b.csv, line 3"), "{error:#}");
        let none = CsvArgs { data: folder.path().join("none"), ..args(folder.path()) };
        assert_eq!(Exit::of(&csv(&none, true, &mut Vec::new()).unwrap_err()), Exit::BadInput);
    }
}

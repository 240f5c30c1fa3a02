//! `verge eval forecast`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::json;
use verge_eval::forecast::{ForecastScore, ForecastedSeries, days, score};
use verge_gateway::exit::{Exit, ExitWith};

use crate::cli::output::json_line;
use crate::cli::table::{Table, TableArgs};

#[derive(Debug, Args)]
#[command(
    after_help = "The folder is laid out as the Numenta Anomaly Benchmark is; of its data/realTraffic/*.csv (columns `timestamp` and \
`value`) the means of five minutes are forecast. Simulated days have a flow and a queue for each minute.

forecast, seasonal, trend: mean absolute error of the forecast as judges make it with `forecast = [\"5m\", \"15m\"]`, of the value \
at the same time of the day before, and of a damped trend with the best of twelve settings so far; ratio: of the forecast to the \
better one of both; within: share of values within the interval of the forecast, which is meant to be 90 %.

Examples:
  verge eval forecast --data NAB
  verge eval forecast --seeds 10"
)]
pub(super) struct ForecastArgs {
    /// The folder of the benchmark
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Simulate days with this many seeds
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=1000))]
    seeds: u64,
}

/// Minutes of an interval of the benchmark's series.
const MINUTES: i64 = 5;

pub(super) fn forecast(args: &ForecastArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut series = match &args.data {
        Some(folder) => read(folder).exit_with(Exit::BadInput)?,
        None => Vec::new(),
    };
    series.extend((1..=args.seeds).flat_map(days::simulated));
    let scores: Vec<(String, ForecastScore)> =
        series.iter().flat_map(|one| score(one).map(|score| (one.name.clone(), score))).collect();
    let scores: Vec<_> = scores.into_iter().filter(|(_, score)| score.values > 0).collect();
    if as_json {
        json_line(out, &json!({ "rows": scores.iter().map(object).collect::<Vec<_>>() }))?;
    } else {
        write(&scores, out).context("standard output")?;
    }
    Ok(Exit::Fine)
}

fn read(folder: &Path) -> anyhow::Result<Vec<ForecastedSeries>> {
    let folder = folder.join("data").join("realTraffic");
    let found = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths: Result<Vec<PathBuf>, _> = found.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.with_context(|| format!("cannot read {}", folder.display()))?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "csv"));
    paths.sort();
    ensure!(!paths.is_empty(), "{} holds no file *.csv", folder.display());
    paths.iter().map(|path| read_series(path)).collect()
}

fn read_series(path: &Path) -> anyhow::Result<ForecastedSeries> {
    let mut table = Table::open(path, &TableArgs::exact(b','))?;
    let (time, value) = (table.column("timestamp")?, table.column("value")?);
    let values: Vec<_> = table.exact_times(time)?.into_iter().zip(table.numbers(value)?).collect();
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(ForecastedSeries::new(name, MINUTES, &values))
}

fn object((name, score): &(String, ForecastScore)) -> serde_json::Value {
    json!({
        "series": name,
        "ahead_min": score.ahead,
        "values": score.values,
        "forecast": score.forecast,
        "seasonal": score.seasonal,
        "trend": score.trend,
        "ratio": score.ratio(),
        "within": score.within,
    })
}

fn write(scores: &[(String, ForecastScore)], out: &mut impl Write) -> std::io::Result<()> {
    writeln!(
        out,
        "{:<26} {:>7} {:>7} {:>9} {:>9} {:>9} {:>6} {:>7}",
        "series", "ahead", "values", "forecast", "seasonal", "trend", "ratio", "within"
    )?;
    for (name, score) in scores {
        writeln!(
            out,
            "{name:<26} {:>3} min {:>7} {:>9.3} {:>9.3} {:>9.3} {:>6.3} {:>7}",
            score.ahead,
            score.values,
            score.forecast,
            score.seasonal,
            score.trend,
            score.ratio(),
            score.within.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", 100.0 * share)),
        )?;
    }
    let beaten = scores.iter().filter(|(_, score)| score.ratio() < 1.0).count();
    let logs: f64 = scores.iter().map(|(_, score)| score.ratio().ln()).sum();
    #[expect(clippy::cast_precision_loss, reason = "some rows")]
    let mean = (logs / scores.len().max(1) as f64).exp();
    writeln!(out, "beats both in {beaten} of {} rows; mean ratio {mean:.3}", scores.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_a_folder_are_forecast_beside_simulated_days() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/realTraffic");
        fs::create_dir_all(&path).unwrap();
        let mut text = String::from("timestamp,value\n");
        for row in 0..3 * 288 {
            let (day, minute) = (1 + row / 288, row % 288 * 5);
            let value = 50 + minute / 30 + row * 7 % 5;
            text += &format!("2020-01-{day:02} {:02}:{:02}:00,{value}\n", minute / 60, minute % 60);
        }
        fs::write(path.join("speed.csv"), text).unwrap();
        let args = ForecastArgs { data: Some(folder.path().to_owned()), seeds: 0 };
        let mut out = Vec::new();
        forecast(&args, true, &mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let rows = value["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0]["series"].as_str(), rows[1]["ahead_min"].as_u64()), (Some("speed"), Some(15)));
        assert_eq!(rows[0]["values"].as_u64(), Some(2 * 288));
        out.clear();
        forecast(&args, false, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("series ") && text.contains("of 2 rows; mean ratio"), "{text}");
        let none = ForecastArgs { data: Some(folder.path().join("none")), seeds: 0 };
        assert_eq!(Exit::of(&forecast(&none, true, &mut Vec::new()).unwrap_err()), Exit::BadInput);
    }
}

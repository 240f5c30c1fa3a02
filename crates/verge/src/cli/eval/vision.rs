//! `verge eval vision`: what the tracker counts of simulated traffic, against what truly crossed.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use verge_eval::traffic::detector::BoxNoise;
use verge_eval::traffic::scenario::{Scenario, TrafficCase};
use verge_eval::traffic::score::{CaseScore, SceneScore};
use verge_eval::traffic::{self, RATES};

use crate::cli::output::json_line;
use verge_gateway::exit::Exit;

#[derive(Debug, Args)]
#[command(
    after_help = "Vehicles and people are simulated, seen by a camera, and counted at 30, 10, 5, 3, 2 and 1 frames a second: \
of boxes as they truly are (ideal), and of boxes as detectors give them (misses, trembling edges, cut and merged boxes, \
ghosts, wrong classes).

wrong: the differences of all lines and directions against the truth; worst: the worst line and direction; in time: crossings \
found within a second; trips: turning movements; headway, gap: the median headway and the mean gap of the worst lane; seldom: \
intervals that say that frames came too seldom.

Examples:
  verge eval vision
  verge eval vision --case road --case queue --share 0.2"
)]
pub(super) struct VisionArgs {
    /// Only these scenes; may be given more than once
    #[arg(long, value_parser = parse_case, value_name = "road|queue|turning|pacing|angles|lanes")]
    case: Vec<TrafficCase>,
    /// This share of each scene's time, for a quick look
    #[arg(long, default_value_t = 1.0, value_name = "SHARE")]
    share: f64,
    /// Seed of the traffic
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    seed: u64,
}

fn parse_case(text: &str) -> Result<TrafficCase, String> {
    let named = TrafficCase::ALL.into_iter().find(|case| case.as_str() == text);
    named.ok_or_else(|| "road, queue, turning, pacing, angles or lanes".to_owned())
}

/// A case, a kind of boxes and a rate, with its score.
type Row = (TrafficCase, BoxNoise, u32, CaseScore);

pub(super) fn vision(args: &VisionArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let cases = if args.case.is_empty() { TrafficCase::ALL.to_vec() } else { args.case.clone() };
    let share = args.share.clamp(0.001, 10.0);
    let mut rows: Vec<Row> = Vec::new();
    for case in cases {
        let scenes = counted(Scenario::of(case, args.seed, share), args.seed);
        for boxes in [BoxNoise::Ideal, BoxNoise::Detected] {
            for rate in RATES {
                let own = |scene: &&SceneScore| (scene.boxes, scene.rate) == (boxes, rate);
                let own: Vec<SceneScore> = scenes.iter().filter(own).cloned().collect();
                rows.push((case, boxes, rate, CaseScore::of(&own)));
            }
        }
    }
    if as_json {
        json_line(
            out,
            &json!({ "seed": args.seed, "share": share, "rows": rows.iter().map(object).collect::<Vec<_>>() }),
        )?;
    } else {
        write(&rows, out).context("standard output")?;
    }
    Ok(Exit::Fine)
}

/// Counts the scenes in as many threads as there are cores; the result does not depend on which.
fn counted(scenarios: Vec<Scenario>, seed: u64) -> Vec<SceneScore> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(scenarios.len().max(1));
    let next = AtomicUsize::new(0);
    let mut scores: Vec<(usize, Vec<SceneScore>)> = std::thread::scope(|scope| {
        let (sender, results) = mpsc::channel();
        for _ in 0..threads {
            let (sender, next, scenarios) = (sender.clone(), &next, &scenarios);
            scope.spawn(move || {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let number = scenarios.iter().position(|known| known.name == scenario.name).unwrap_or(0);
                    let scores = traffic::count(
                        scenario.clone(),
                        &[BoxNoise::Ideal, BoxNoise::Detected],
                        &RATES,
                        seed,
                    );
                    if sender.send((number, scores)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        results.into_iter().collect()
    });
    scores.sort_by_key(|(number, _)| *number);
    scores.into_iter().flat_map(|(_, scores)| scores).collect()
}

fn object((case, boxes, rate, score): &Row) -> serde_json::Value {
    json!({
        "case": case.as_str(),
        "boxes": boxes.as_str(),
        "frames_per_s": rate,
        "crossings": score.crossings,
        "wrong": score.wrong,
        "worst": score.worst,
        "in_time": score.in_time,
        "trips_wrong": score.trips,
        "occupancy_off": score.occupancy,
        "speed_off": score.speed,
        "queue_off": score.queue,
        "headway_off": score.headway,
        "short_headways_off": score.short_headways,
        "gap_off": score.gap,
        "seldom": score.seldom,
    })
}

fn write(rows: &[Row], out: &mut impl Write) -> std::io::Result<()> {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let or_dash = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), percent);
    writeln!(
        out,
        "{:<8} {:<13} {:>4} {:>9} {:>8} {:>8} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "scene",
        "boxes",
        "1/s",
        "crossings",
        "wrong",
        "worst",
        "in time",
        "trips",
        "occupancy",
        "speed",
        "queue",
        "headway",
        "gap",
        "seldom"
    )?;
    for (case, boxes, rate, score) in rows {
        writeln!(
            out,
            "{:<8} {:<13} {rate:>4} {:>9} {:>8} {:>8} {:>8} {:>8} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8}",
            case.as_str(),
            boxes.as_str(),
            score.crossings,
            percent(score.wrong),
            percent(score.worst),
            percent(score.in_time),
            or_dash(score.trips),
            score.occupancy.map_or_else(|| "-".to_owned(), |off| format!("{off:.3}")),
            or_dash(score.speed),
            or_dash(score.queue),
            or_dash(score.headway),
            or_dash(score.gap),
            percent(score.seldom),
        )?;
    }
    Ok(())
}

//! `verge eval plant`.

mod files;
mod judged;
mod words;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use clap::Args;
use verge_eval::plant::score::PlantScore;
use verge_eval::plant::{Plant, PlantRun, PlantVariety};
use verge_gateway::config;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::Settings;

use crate::cli::output::json_line;

#[derive(Debug, Args)]
#[command(
    after_help = "Forty tags: temperatures with a daily course, pressures and flows that follow a load, pumps that stop, \
tanks, currents, a run contact, a counter; shifts, weekends, maintenance stops, set points. Nine known faults: stuck, \
drift, step, spike, silent. Each seed is another plant.

The judges `auto` (alarm_budget = \"1/week\"), `health` and `silence` watch all tags, in simulated time. An alarm is what a \
control room gets: an event in lane alarm, or with severity warning or critical. It is false where nothing is wrong with \
its tag; within a day after a fault of its tag it counts neither way. What is noted as info while a judge learns is no \
alarm: faults of which no more was said are counted apart, as only noted.

Examples:
  verge eval plant
  verge eval plant --run minutes --seeds 2 --list
  verge eval plant --write plant
  verge judge -c plant/minutes/verge.toml unusual plant/minutes/plant.jsonl"
)]
pub(super) struct PlantArgs {
    /// Three weeks at a reading a minute, or a day at a reading a second. No default: both
    #[arg(long, value_parser = parse_run, value_name = "minutes|seconds")]
    run: Option<PlantRun>,
    /// Which sensors the plants have, and how they work: usual, coarse, fine, clamped, weekends, plain
    #[arg(long, value_parser = parse_variety, value_name = "VARIETY", default_value = "usual")]
    variety: PlantVariety,
    /// Number of plants
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Seed of the first plant
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    first_seed: u64,
    /// List false alarms and missed faults one by one
    #[arg(long)]
    list: bool,
    /// Judge with the judges of this configuration, which has one source that takes the topics plant/DEVICE
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Do not judge: write the readings of the first plant to a folder for each run: a recording (plant.jsonl), a table
    /// for each device, the faults (faults.csv) and a configuration (verge.toml)
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    write: Option<PathBuf>,
}

fn parse_run(text: &str) -> Result<PlantRun, String> {
    let named = PlantRun::ALL.into_iter().find(|run| run.as_str() == text);
    named.ok_or_else(|| "minutes or seconds".to_owned())
}

fn parse_variety(text: &str) -> Result<PlantVariety, String> {
    let named = PlantVariety::ALL.into_iter().find(|variety| variety.as_str() == text);
    named.ok_or_else(|| PlantVariety::ALL.map(PlantVariety::as_str).join(", "))
}

/// One plant, judged.
struct Judged {
    run: PlantRun,
    seed: u64,
    score: PlantScore,
}

/// The configuration whose judges are measured. Nothing but the budget is set.
fn config_of(run: PlantRun) -> String {
    let after = match run {
        PlantRun::Minutes => "15m",
        PlantRun::Seconds => "2m",
    };
    format!(
        "[gateway]
id = \"plant\"
state_dir = \"state\"

[local]
url = \"mqtt://127.0.0.1:1883\"

[source.plant]
topic = \"plant/+\"
codec = \"json\"
device = \"topic:1\"
[[source.plant.reading]]
pointer = \"/*\"

[judge.unusual]
inputs = [\"plant\"]
alarm_budget = \"1/week\"

[judge.sensors]
inputs = [\"plant\"]
detector = \"health\"

[judge.silent]
inputs = [\"plant\"]
detector = \"silence\"
after = \"{after}\"
"
    )
}

pub(super) fn plant(args: &PlantArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let runs: Vec<PlantRun> = args.run.map_or_else(|| PlantRun::ALL.to_vec(), |run| vec![run]);
    if let Some(folder) = &args.write {
        for run in runs {
            let plant = Plant::of(args.first_seed, run, args.variety);
            files::write(&folder.join(run.as_str()), plant, run, &config_of(run))?;
        }
        return Ok(Exit::Fine);
    }
    let mut plants = Vec::new();
    for run in runs {
        let settings = settings(args.config.as_deref(), run).exit_with(Exit::BadConfig)?;
        let seeds = args.first_seed..args.first_seed.saturating_add(args.seeds);
        plants.extend(judge_all(&settings, (run, args.variety), &seeds.collect::<Vec<_>>())?);
    }
    if as_json {
        json_line(out, &words::as_value(&plants))?;
    } else {
        words::print(out, &plants, args.list).context("standard output")?;
    }
    Ok(Exit::Fine)
}

fn settings(path: Option<&Path>, run: PlantRun) -> anyhow::Result<Settings> {
    if let Some(path) = path {
        return Ok(Settings::load(path, std::env::vars_os())?);
    }
    let loaded = config::parse(config_of(run), Path::new("plant.toml"), []);
    Settings::check(&loaded.raw).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the configuration of the plant: {}", faults.join("; "))
    })
}

/// Judges several plants, in as many threads as there are cores.
fn judge_all(
    settings: &Settings,
    (run, variety): (PlantRun, PlantVariety),
    seeds: &[u64],
) -> anyhow::Result<Vec<Judged>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(seeds.len());
    let next = AtomicUsize::new(0);
    let work = || {
        let mut judged = Vec::new();
        while let Some(&seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            judged.push(Judged {
                run,
                seed,
                score: judged::judge(settings, run, Plant::of(seed, run, variety))?,
            });
        }
        anyhow::Ok(judged)
    };
    let mut all: Vec<Judged> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined =
            threads.into_iter().map(|thread| thread.join().expect("a plant is judged without a panic"));
        joined.collect::<anyhow::Result<Vec<_>>>()
    })?
    .into_iter()
    .flatten()
    .collect();
    all.sort_by_key(|one| one.seed);
    Ok(all)
}

#[cfg(test)]
mod tests;

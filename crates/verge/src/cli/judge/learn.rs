//! `verge learn`: history teaches a judge, so that it need not begin from nothing.

use std::io::Write;
use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use serde_json::json;
use verge_domain::stage::{Checkpoint, Scope, is_learnt};
use verge_domain::time::{Moment, UtcMillis};
use verge_domain::verdict::Detector;
use verge_pipeline::clock::Clock;
use verge_pipeline::judging::judge_taught;
use verge_wire::{SiteZone, counted};

use super::history::{History, PassedOver};
use super::shelf::{Shelved, StateShelf, some_of};
use super::trial::JudgeTrial;
use super::{InputArgs, JudgeSummary, VerdictPrinter, chosen};
use crate::cli::output::json_line;
use crate::cli::{FileArgs, say};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::{JudgeRules, JudgeSection, ReadingRules, Settings};
use verge_gateway::wiring::Autoencoders;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge learn -c gateway.toml unusual march.jsonl april.jsonl
  verge learn -c gateway.toml unusual history.csv --device pump-1
  verge learn -c gateway.toml unusual long.csv --signal-column tag

The judge learns of the history what the gateway would have learnt of the same readings, and the gateway goes on from there at its next start. It must be stopped meanwhile, and this must run as its user. Several files are read as one, in the order of time. What a signal has learnt already stays, unless --replace is given. Inputs are those of `verge judge`, but pictures.")]
pub(in crate::cli) struct LearnArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Name of the judge in the configuration
    judge: String,
    /// Recorded messages, tables or samples
    #[arg(required = true, value_name = "HISTORY")]
    history: Vec<PathBuf>,
    /// Replace what signals of the history have learnt already
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    input: InputArgs,
}

/// What was learnt, and of what.
struct Lesson {
    summary: JudgeSummary,
    states: Vec<Checkpoint>,
    /// Signals or devices with too few readings to learn anything of.
    too_few: usize,
    from: Option<UtcMillis>,
    to: Option<UtcMillis>,
    passed_over: PassedOver,
}

pub(in crate::cli) fn learn(args: &LearnArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut settings = args.file.settings()?;
    let judge = chosen(&settings, &args.judge).exit_with(Exit::Usage)?;
    let rules = learning(&judge).exit_with(Exit::Usage)?.clone();
    settings.judges = vec![judge.clone()];
    // Before the work: it is refused while the gateway runs.
    let mut shelf = StateShelf::open(&settings)?;
    let lesson = teach(args, &settings, (&judge, &rules), json)?;
    let path = args.history.first().map(PathBuf::as_path).unwrap_or(std::path::Path::new(""));
    if lesson.summary.observations == 0 {
        let passed_over = lesson.passed_over.words().map_or_else(String::new, |words| format!("; {words}"));
        let summary = lesson.summary.words(path, "readings");
        return Err(anyhow!(
            "nothing is learnt: no reading of the history is judged ({summary}{passed_over})"
        ))
        .exit_with(Exit::BadInput);
    }
    let Lesson { summary, states, too_few, from, to, passed_over } = lesson;
    if !states.iter().any(|one| is_learnt(&one.key)) {
        return Err(anyhow!(
            "nothing is learnt: no signal of the history has eight readings ({} in all)",
            summary.observations
        ))
        .exit_with(Exit::BadInput);
    }
    let shelved = shelf.put(states, args.replace)?;
    let outdated = shelf.outdated_words();
    drop(shelf);
    let range = from.zip(to).map(|(from, to)| (from.0, to.0));
    let store = settings.store.dir();
    if json {
        let mut document = summary.json(path, "readings");
        let alarms: u64 = summary.alarms.values().sum();
        document["judge"] = judge.name.as_str().into();
        document["learnt"] =
            json!({ "states": shelved.written, "bytes": shelved.bytes, "kept": shelved.kept });
        document["too_few"] = too_few.into();
        document["from"] = range.map(|(from, _)| from).into();
        document["to"] = range.map(|(_, to)| to).into();
        document["alarms"] = alarms.into();
        document["left_out"] = json!({ "backwards": passed_over.backwards, "future": passed_over.future });
        document["store"] = store.display().to_string().into();
        json_line(out, &document)?;
        return Ok(Exit::Fine);
    }
    for words in passed_over.words().into_iter().chain(outdated) {
        say(&words);
    }
    say(&summary.words(path, "readings"));
    if too_few > 0 {
        say(&format!("{} had fewer than 8 readings and learnt nothing", counted(too_few as u64, "signal")));
    }
    if let Some(young) = &summary.young {
        say(young);
    }
    writeln!(out, "{}", words(&judge, &summary, &shelved, (from.zip(to), &settings.gateway.zone)))?;
    if !shelved.kept.is_empty() {
        writeln!(out, "{}", kept_words(&shelved.kept))?;
    }
    if shelved.written > 0 {
        writeln!(out, "written to {}; the gateway goes on from it at its next start", store.display())?;
    }
    Ok(Exit::Fine)
}

fn words(
    judge: &JudgeSection,
    summary: &JudgeSummary,
    shelved: &Shelved,
    (range, zone): (Option<(UtcMillis, UtcMillis)>, &SiteZone),
) -> String {
    let range = range.map_or_else(String::new, |(from, to)| {
        format!(", {} to {}", zone.to_minute(from), zone.to_minute(to))
    });
    let alarms: u64 = summary.alarms.values().sum();
    let alarms = match alarms {
        0 => "no alarm".to_owned(),
        alarms => counted(alarms, "alarm"),
    };
    let noted = summary.no_alarms.words().map_or_else(String::new, |words| format!("; {words}"));
    let what = if judge.readings().is_some_and(is_of_devices) { "device" } else { "signal" };
    format!(
        "{}: {} learnt from {}{range}; {alarms} in that time{noted}",
        judge.name,
        counted(shelved.written as u64, what),
        counted(summary.observations, "reading")
    )
}

fn is_of_devices(rules: &ReadingRules) -> bool {
    rules.rule.scope() == Scope::Device
}

pub(super) fn kept_words(kept: &[String]) -> String {
    let (stay, them) = if kept.len() == 1 {
        ("has learnt already and stays as it is", "it")
    } else {
        ("have learnt already and stay as they are", "them")
    };
    format!("{} {stay}; --replace replaces {them}", some_of(kept))
}

/// The rules of a judge that learns from readings.
fn learning(judge: &JudgeSection) -> anyhow::Result<&ReadingRules> {
    let detector = judge.detector();
    let name = &judge.name;
    let JudgeRules::Readings(rules) = &judge.rules else {
        return Err(anyhow!("judge {name} looks at frames; a history of readings teaches it nothing"));
    };
    match detector {
        Detector::Auto
        | Detector::Multi
        | Detector::Pattern
        | Detector::Vibration
        | Detector::Cusum
        | Detector::Autoencoder => Ok(rules),
        Detector::Health if !rules.arrivals => Ok(rules),
        Detector::Health => {
            Err(anyhow!("judge {name} watches cameras; a history of readings teaches it nothing"))
        }
        Detector::Threshold
        | Detector::Rate
        | Detector::Silence
        | Detector::Anomaly
        | Detector::Loop
        | Detector::Classify
        | Detector::Detect
        | Detector::Track => Err(anyhow!(
            "judge {name} (detector {}) follows rules and does not learn; auto, multi, pattern, vibration, cusum, \
             autoencoder and health do",
            detector.as_str()
        )),
    }
}

/// Lets the judge see the history, as the gateway would have.
fn teach(
    args: &LearnArgs,
    settings: &Settings,
    judge: (&JudgeSection, &ReadingRules),
    json: bool,
) -> anyhow::Result<Lesson> {
    let models = Autoencoders::load(settings, None)?;
    let now: Moment = Clock::start().now();
    let (mut history, decoders) =
        History::open((&args.input, &args.history), settings, judge, json, now.wall)?;
    let printer = VerdictPrinter::silent(settings.gateway.id.clone());
    let mut nothing = std::io::sink();
    let mut trial = JudgeTrial::new(settings, &printer, &models, decoders, &mut nothing);
    while let Some((line, recorded, source)) = history.next()? {
        trial.source = source;
        trial.message(recorded, line)?;
    }
    let (states, streams) = trial.learnt();
    let states: Vec<Checkpoint> = states.into_iter().filter(|one| judge_taught(&one.key).is_some()).collect();
    let too_few = streams.saturating_sub(states.iter().filter(|one| is_learnt(&one.key)).count());
    let summary = trial.end()?;
    let (from, to) = (history.first, history.last());
    Ok(Lesson { summary, states, too_few, from, to, passed_over: history.passed_over })
}

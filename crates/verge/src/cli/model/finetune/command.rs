//! The command from pictures to files.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use verge_domain::frame::EncodedFrame;
use verge_engine::{ContentDigest, ModelLimits, ProcessorClass, Runtime};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::wiring;
use verge_models::card::{ModelTask, Provenance};
use verge_models::gate::Rules;
use verge_models::head::cheapest::{Behind, behind_the_best, cheapest};
use verge_models::head::trained::HeadTrial;
use verge_models::head::{Head, Method, Samples, Sums, append};
use verge_models::taps::Tap;
use verge_vision::Picture;

use super::super::super::output::{Progress, json_line};
use super::super::super::say;
use super::super::files::{NewFiles, can_be_written, no_model, write_one};
use super::super::measure::Subject;
use super::super::proof::{check_max_drop, costs, folder};
use super::FinetuneArgs;
use super::data::{self, Dropped, Kept, Labelled};
use super::features::{Features, Taps};
use super::from::from;
use super::gate::{Answer, Answers};
use super::tried::{hold_out, noted, said_by, same_as_head};
use super::words::{print, refused};
use super::written::NewHead;

/// The class for what is like nothing of the training.
pub(super) const UNKNOWN: &str = "unknown";
/// Pictures that taps are compared on at most: the solve of each takes the third power of them.
const COMPARED: usize = 400;
/// Pictures that both models look at for their cost, and on which the new one is held against its head.
pub(super) const TRIED: usize = 24;

/// What was learnt of one picture.
struct Seen {
    /// Features of the picture and of those that were made of it, tap by tap.
    rows: Vec<Vec<Vec<f32>>>,
    /// What the old model says, where it has the class.
    old: Option<String>,
    digest: ContentDigest,
}

/// Pictures to train with.
struct Training {
    kept: Vec<Kept>,
    /// Those of before stand behind the others, from this place on.
    rehearsed: usize,
    old: Vec<Option<String>>,
    features: Features,
    samples: Samples,
    counts: BTreeMap<String, usize>,
    dropped: Dropped,
    digest: ContentDigest,
    /// Some of them, as cameras send them.
    frames: Vec<EncodedFrame>,
}

/// What the head is to read, and what is known of it.
pub(super) struct Choice {
    /// All that it could read, by places of taps.
    pub(super) all: Vec<Vec<usize>>,
    /// The place of what was chosen among these.
    pub(super) chosen: usize,
    /// Right ones of each, the mean of several divisions into folds, and of how many.
    right: Vec<f64>,
    compared: usize,
    /// How far each is behind the best.
    behind: Vec<Behind>,
    trial: HeadTrial,
}

pub(in super::super) fn finetune(
    args: &FinetuneArgs,
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let mut progress = Progress::new();
    let result = made_of(args, as_json, &mut progress, out);
    progress.clear()?;
    result.inspect_err(|error| no_model(error, as_json, out))
}

fn made_of(
    args: &FinetuneArgs,
    as_json: bool,
    progress: &mut Progress,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    check_max_drop(args.max_drop)?;
    let runtime = Runtime::load(&wiring::user_runtime_search()).exit_with(Exit::Unavailable)?;
    let card = args.card.with_extension("toml");
    let mut old = Subject::load(&runtime, &card, ModelLimits::default())?;
    can_be_tuned(&old).exit_with(Exit::BadInput)?;
    let files = NewFiles::of(&args.output)?;
    files.are_free(&card, &card.with_file_name(&old.model.card().file))?;
    args.statistics.as_deref().map_or(Ok(()), can_be_written)?;
    progress.show("the layers of the model are looked at")?;
    if !args.from.is_empty() {
        return from(args, (&runtime, &mut old), &files, (as_json, progress), out);
    }
    let mut taps = Taps::of(&old.model, &args.tap).exit_with(Exit::BadInput)?;
    let training = training(args, &mut old, &mut taps, progress).exit_with(Exit::BadInput)?;
    let classes: Vec<String> = training.counts.keys().cloned().collect();
    let known = (&training.samples, &training.features);
    let choice = choose(args.method, &taps, known, progress).exit_with(Exit::BadInput)?;
    let chosen = &choice.all[choice.chosen];
    let tapped: Vec<Tap> = chosen.iter().map(|tap| taps.taps[*tap].clone()).collect();
    let names: Vec<&str> = tapped.iter().map(|tap| tap.tensor.as_str()).collect();
    let rules = Rules { max_drop: args.max_drop, strict: args.strict, ..Rules::default() };
    let said = |place: usize| classes[choice.trial.said[place]].clone();
    let answer = |place: usize| Answer {
        class: training.kept[place].labelled.class.clone(),
        new: said(place),
        old: training.old[place].clone(),
        group: training.samples.groups[training.samples.pictures[place][0]],
    };
    let folds = Answers((0..training.rehearsed).map(answer).collect());
    let rehearsal = Answers((training.rehearsed..training.kept.len()).map(answer).collect());
    let tried = choice.all.iter().zip(&choice.right).zip(&choice.behind).map(|((places, right), behind)| {
        let of: Vec<&Tap> = places.iter().map(|place| &taps.taps[*place]).collect();
        json!({
            "tap": of.iter().map(|tap| &tap.tensor).collect::<Vec<_>>(), "right": right, "of": choice.compared,
            "behind": behind.share * 100.0, "error": behind.error * 100.0, "as_good": behind.is_as_good(),
            "features": of.iter().map(|tap| tap.width()).sum::<usize>(), "products": products(&taps.taps, places),
        })
    });
    let mut report = json!({
        "written": false, "refused": null, "classes": classes, "tap": names, "samples": training.kept.len(),
        "dropped": {
            "duplicate": training.dropped.duplicate.len(), "damaged": training.dropped.damaged.len(),
            "blurred": training.dropped.blurred.len(),
        },
        "left_out": {
            "duplicate": training.dropped.duplicate, "damaged": training.dropped.damaged, "blurred": training.dropped.blurred,
        },
        "counts": training.counts, "choices": tried.collect::<Vec<_>>(), "cross_validation": folds.json(), "hold_out": null,
        "rehearsal": if rehearsal.0.is_empty() { Value::Null } else { rehearsal.json() },
    });
    let early = folds.guesses(choice.all.len(), "in cross-validation");
    let early = early.or_else(|| rehearsal.worse(&rules, "on the pictures of before, in cross-validation"));
    // With pictures to test on these decide.
    let by_folds = || folds.worse(&rules, "in cross-validation");
    let early = early.or_else(|| if args.hold_out.is_none() { by_folds() } else { None });
    if let Some(reason) = early {
        progress.clear()?;
        return refused(reason, report, as_json, out);
    }

    progress.show("the head is trained")?;
    let every: Vec<usize> = (0..training.samples.labels.len()).collect();
    let features = training.features.matrix(chosen, &every);
    let with_unknown = !args.no_unknown && !classes.iter().any(|class| class == UNKNOWN);
    let head = Head::train(&features, &training.samples, args.method, with_unknown);
    let head = head.context("the features of these pictures allow no solution").exit_with(Exit::BadInput)?;
    let mut labels = classes.clone();
    labels.extend(head.unknown.as_ref().map(|_| UNKNOWN.to_owned()));
    let mut graph = taps.graph.clone();
    let output = append(&mut graph, &tapped, &head).context("the new graph").exit_with(Exit::BadInput)?;
    let weights = graph.write();
    let mut made = made(args, &old, &runtime, &training, &folds);
    let trial = folder()?;
    let tried = files.within(trial.path());
    // Of its own: the old model looks at pictures meanwhile.
    let model = old.model.clone();
    let head_of = NewHead { old: &model, output: &output, weights: &weights, labels: &labels };
    head_of.write(&tried, &made, None)?;
    let mut new = Subject::load(&runtime, &tried.card, ModelLimits::default())?;
    same_as_head(&mut new, &head, &features, (&training.kept, &training.samples), &labels)
        .exit_with(Exit::BadInput)?;
    let (before, after) = costs((&mut old, 0), (&mut new, 0), &training.frames, progress)?;
    let (before, after) = (before.cpu_ms, after.cpu_ms);
    report["before"] = json!({ "cpu_ms": before, "bytes": old.model.bytes().len() });
    report["after"] = json!({ "cpu_ms": after, "bytes": weights.len() });
    report["temperature"] = json!(head.temperature);
    report["lambda"] = json!(head.lambda);
    report["unknown"] = head
        .unknown
        .as_ref()
        .map_or(Value::Null, |known| json!({ "limit": known.limit, "kept": known.kept.rows() }));
    if let Some(folder) = &args.hold_out {
        let known = training.kept.clone();
        let answers = hold_out(folder, (&mut old, &mut new), &classes, known, progress);
        let answers = answers.exit_with(Exit::BadInput)?;
        let refusal = noted(&answers, &rules, &mut report, &mut made);
        progress.clear()?;
        if let Some(reason) = refusal {
            return refused(reason, report, as_json, out);
        }
    }
    progress.clear()?;
    made.figures.insert("CPU ms before".to_owned(), before);
    made.figures.insert("CPU ms".to_owned(), after);
    report["written"] = json!(true);
    report["out"] = json!(files.weights);
    report["card"] = json!(files.card);
    report["made"] = json!(made);
    if let Some(path) = &args.statistics {
        let taps: Vec<String> = tapped.iter().map(|tap| tap.tensor.clone()).collect();
        let known = (&training.samples.labels[..], &classes[..]);
        let pictures = (folds.0.len() as u64, folds.right() as u64);
        let sums = Sums::of((&made.source_sha256, &taps), &features, known, &head, pictures);
        write_one(path, sums.text().as_bytes())?;
    }
    head_of.write(&files, &made, Some(&report))?;
    if as_json {
        json_line(out, &report)?;
    } else {
        print(&report, out).context("standard output")?;
    }
    Ok(Exit::Fine)
}

pub(super) fn can_be_tuned(old: &Subject) -> anyhow::Result<()> {
    let frames = old.model.frames();
    match frames.task {
        ModelTask::Classify if frames.state.is_empty() => Ok(()),
        ModelTask::Classify => {
            bail!("a model that remembers from frame to frame ([[state]]) is not fine-tuned")
        }
        ModelTask::Detect => {
            bail!(
                "detectors are not fine-tuned on the box: cut their objects out and sort those, for a classifier behind it"
            )
        }
        ModelTask::Reconstruct | ModelTask::Anomaly => {
            bail!("the card says task = \"{}\": a new head is for models that classify", frames.task.as_str())
        }
    }
}

/// Reads all that is trained with.
fn training(
    args: &FinetuneArgs,
    old: &mut Subject,
    taps: &mut Taps,
    progress: &mut Progress,
) -> anyhow::Result<Training> {
    let data = args.data.as_deref().context("--data names the pictures")?;
    let mut all: Vec<Labelled> = data::find(data)?;
    let own = all.len();
    let before = args.rehearse.as_deref().map(data::find).transpose()?;
    all.extend(before.into_iter().flatten());
    let is_of_data: BTreeSet<_> = all[..own].iter().map(|one| one.path.clone()).collect();
    let step = (all.len() / TRIED).max(1);
    let (mut kept, mut dropped, mut frames, mut number) = (Vec::new(), Dropped::default(), Vec::new(), 0);
    let mut seen = data::read(&all, &mut kept, &mut dropped, progress, |read| {
        if number % step == 0 && frames.len() < TRIED {
            frames.push(read.frame.clone());
        }
        number += 1;
        let of = |picture: &Picture, taps: &mut Taps| {
            taps.read(picture).with_context(|| read.labelled.path.display().to_string())
        };
        let mut rows = vec![of(&read.picture, taps)?];
        for picture in args.augment.iter().flat_map(|kind| kind.apply(&read.picture)) {
            rows.push(of(&picture, taps)?);
        }
        let old = said_by(old, &read.labelled.class, &read.frame)?;
        Ok(Seen { rows, old, digest: ContentDigest::of(&read.frame.bytes) })
    })?;
    let blurred = data::blurred(&kept, |place| &kept[place].labelled.class);
    dropped.blurred = blurred.iter().map(|place| kept[*place].labelled.path.clone()).collect();
    for place in blurred.iter().rev() {
        let one: Kept = kept.remove(*place);
        say(&format!("{}: left out: blurred", one.labelled.path.display()));
        seen.remove(*place);
    }
    let counts = data::classes(&kept)?;
    let rehearsed =
        kept.iter().position(|one| !is_of_data.contains(&one.labelled.path)).unwrap_or(kept.len());
    let groups = data::groups(&kept);
    let apart = groups.iter().collect::<BTreeSet<_>>().len();
    ensure!(
        apart > 1,
        "{}: all {} pictures say the same (near doubles, or of one folder within that of their class): nothing can be tested; \
         take pictures of other parts, places or times",
        data.display(),
        kept.len()
    );
    let names: Vec<&String> = counts.keys().collect();
    let (mut samples, mut rows) =
        (Samples { classes: counts.len(), labels: vec![], groups: vec![], pictures: vec![] }, Vec::new());
    let (mut digests, mut old) = (Vec::new(), Vec::new());
    for (place, one) in seen.into_iter().enumerate() {
        let label =
            names.iter().position(|name| **name == kept[place].labelled.class).context("a known class")?;
        samples.pictures.push((rows.len()..rows.len() + one.rows.len()).collect());
        samples.labels.extend(one.rows.iter().map(|_| label));
        samples.groups.extend(one.rows.iter().map(|_| groups[place]));
        rows.extend(one.rows);
        digests.push(one.digest);
        old.push(one.old);
    }
    let features = Features::of(rows);
    let digest = ContentDigest::joined(&digests);
    Ok(Training { kept, rehearsed, old, features, samples, counts, dropped, digest, frames })
}

/// Products that it takes to compute taps: those before the last are computed for it anyway, as far as one leads to the other.
fn products(taps: &[Tap], places: &[usize]) -> u64 {
    places.iter().map(|place| taps[*place].products).max().unwrap_or(0)
}

/// The cheapest choice that is as good as the best.
pub(super) fn choose(
    method: Method,
    of: &Taps,
    (whole, features): (&Samples, &Features),
    progress: &mut Progress,
) -> anyhow::Result<Choice> {
    let (all, taps) = (of.choices.clone(), &of.taps[..]);
    let step = if all.len() > 1 { whole.pictures.len().div_ceil(COMPARED) } else { 1 };
    let (samples, rows) = whole.every(step);
    let mut trials = Vec::new();
    for (number, places) in all.iter().enumerate() {
        progress.show(&format!("layers {} of {}", number + 1, all.len()))?;
        trials.push(samples.cross_validate(&features.matrix(places, &rows), method));
    }
    // What allows no solution has no picture right.
    let shares: Vec<Vec<f64>> = trials
        .iter()
        .map(|trial| {
            trial.as_ref().map_or_else(|| vec![0.0; samples.pictures.len()], |trial| trial.shares.clone())
        })
        .collect();
    let groups: Vec<usize> = samples.pictures.iter().map(|rows| samples.groups[rows[0]]).collect();
    let behind = behind_the_best(&shares, &groups);
    #[expect(clippy::cast_precision_loss, reason = "only their order counts")]
    let costs: Vec<f64> = all.iter().map(|places| products(taps, places) as f64).collect();
    let compared = samples.pictures.len();
    let right = shares.iter().map(|shares| shares.iter().sum()).collect();
    let chosen = cheapest(&costs, &behind).context("a layer")?;
    let mut trial = trials.swap_remove(chosen);
    if compared < whole.pictures.len() {
        let every: Vec<usize> = (0..whole.labels.len()).collect();
        trial = whole.cross_validate(&features.matrix(&all[chosen], &every), method);
    }
    let trial = trial.context("the features of these pictures allow no solution")?;
    Ok(Choice { all, chosen, right, compared, behind, trial })
}

fn made(
    args: &FinetuneArgs,
    old: &Subject,
    runtime: &Runtime,
    training: &Training,
    folds: &Answers,
) -> Provenance {
    let command = format!("finetune --tap {} --method {}", args.tap, args.method);
    let (top1, low, high) = folds.share();
    Provenance {
        pictures: training.kept.len() as u64,
        pictures_sha256: Some(training.digest.to_string()),
        figures: BTreeMap::from([("cross-validation top-1 %".to_owned(), top1)]),
        bounds: BTreeMap::from([("cross-validation top-1 %".to_owned(), [low, high])]),
        ..made_here(command, old, runtime)
    }
}

/// What does not depend on pictures.
pub(super) fn made_here(command: String, old: &Subject, runtime: &Runtime) -> Provenance {
    Provenance {
        command,
        source_sha256: old.model.digest().to_string(),
        processor: ProcessorClass::here().as_str().to_owned(),
        verge: env!("CARGO_PKG_VERSION").to_owned(),
        onnxruntime: runtime.version().unwrap_or_default().to_owned(),
        ..Provenance::default()
    }
}

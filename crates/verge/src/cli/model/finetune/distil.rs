//! `verge model distil`: a small model learns what a large one says of pictures without labels.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::{Value, json};
use verge_engine::{ContentDigest, ModelLimits, Runtime};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::wiring;
use verge_models::gate::Rules;
use verge_models::head::distilled::{TEMPERATURE, chosen};
use verge_models::head::{Matrix, Method, append};
use verge_models::taps::Tap;

use super::super::super::output::{Progress, json_line};
use super::super::files::{NewFiles, no_model};
use super::super::measure::Subject;
use super::super::proof::{check_max_drop, costs, folder};
use super::command::{can_be_tuned, choose, made_here};
use super::features::Taps;
use super::gate::{Answer, Answers};
use super::lesson::{Lessons, Taught};
use super::tried::{hold_out, noted, same_as_head};
use super::words::{print, refused};
use super::written::NewHead;

#[derive(Debug, Args)]
#[command(
    override_usage = "verge model distil [OPTIONS] --teacher <CARD2> --data <DIR>\n                           -o <OUT> <CARD>",
    after_help = "The teacher is a model that is too large for the box, or too slow: it says once what it thinks of each picture of \
--data, whose classes nobody needs to know, and a new head of CARD learns those probabilities at temperature 2. Where people know \
classes (--labels, a folder for each), these count instead of what the teacher says.

Examples:
  verge model distil small.toml --teacher big.toml --data frames/ -o small-2
  verge model distil s.toml --teacher b.toml --data f/ --labels few/ -o s-2

With 20 labels a class `verge model finetune` is as good. The classes are those that the teacher \
sees in the pictures, and those of the labels. The head is put behind the cheapest layer that is as good as the best, as by \
`verge model finetune`.

The head is refused, with 1 and without a file, where it is no better than chance; where it is worse than CARD is for the classes \
that both have (beside what the teacher says, where there are no labels), or than a head from the labels alone; and where it \
takes no less time than the teacher (--keep-slower). Without labels nothing says how often the teacher is right: what is shown is how often the head says the same.

It runs in one thread at the lowest priority (nice 19), beside a gateway on the same box."
)]
pub(in super::super) struct DistilArgs {
    /// The card of the small model, whose head is replaced
    #[arg(value_name = "CARD")]
    card: PathBuf,
    /// The card of the large model that it learns from
    #[arg(long, value_name = "CARD2")]
    teacher: PathBuf,
    /// Pictures of the cameras, without labels
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Pictures whose classes are known: a folder for each, or labels.csv
    #[arg(long, value_name = "DIR2")]
    labels: Option<PathBuf>,
    /// The new model: OUT.onnx, OUT.toml, OUT_labels.txt and OUT.report.json
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Pictures that are tested with, and never learnt from; laid out as --labels
    #[arg(long, value_name = "DIR")]
    hold_out: Option<PathBuf>,
    /// The tensor behind which the head is put: auto, last, or its name (two joined by a comma)
    #[arg(long, value_name = "TAP", default_value = "auto")]
    tap: String,
    /// What may be lost on pictures of classes that both models have, in points
    #[arg(long, value_name = "POINTS", default_value_t = 1.0)]
    max_drop: f64,
    /// The pictures must prove that no more is lost, not only show it
    #[arg(long)]
    strict: bool,
    /// Take it even where it takes as much time as the teacher
    #[arg(long)]
    keep_slower: bool,
    /// Only this many pictures of --data, evenly spread over all
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
}

impl DistilArgs {
    /// As it stands in `[made]`.
    fn command(&self, teacher: &Subject) -> String {
        let name = &teacher.model.card().identity.name;
        let digest = teacher.model.digest().to_string();
        let flags = [
            (" --labels", self.labels.is_some()),
            (" --strict", self.strict),
            (" --keep-slower", self.keep_slower),
        ];
        let flags: String =
            flags.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| flag).collect();
        format!(
            "distil --teacher {name} ({}) --tap {} --max-drop {}{flags}",
            &digest[..12],
            self.tap,
            self.max_drop
        )
    }
}

pub(in super::super) fn distil(
    args: &DistilArgs,
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let mut progress = Progress::new();
    let result = made_of(args, as_json, &mut progress, out);
    progress.clear()?;
    result.inspect_err(|error| no_model(error, as_json, out))
}

fn made_of(
    args: &DistilArgs,
    as_json: bool,
    progress: &mut Progress,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    check_max_drop(args.max_drop)?;
    /// The lowest priority that there is.
    const IDLE: i32 = 19;
    // A gateway beside it has the processor first.
    rustix::process::nice(IDLE).context("the priority of this process").exit_with(Exit::Temporary)?;
    let runtime = Runtime::load(&wiring::user_runtime_search()).exit_with(Exit::Unavailable)?;
    let card = args.card.with_extension("toml");
    let mut old = Subject::load(&runtime, &card, ModelLimits::default())?;
    can_be_tuned(&old).exit_with(Exit::BadInput)?;
    let files = NewFiles::of(&args.output)?;
    files.are_free(&card, &card.with_file_name(&old.model.card().file))?;
    let mut teacher =
        Subject::load_for_all(&runtime, &args.teacher.with_extension("toml"), ModelLimits::default())?;
    can_teach(args, &teacher, &old).exit_with(Exit::BadInput)?;
    progress.show("the layers of the model are looked at")?;
    let mut taps = Taps::of(&old.model, &args.tap).exit_with(Exit::BadInput)?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let from = Lessons { data: &args.data, labels: args.labels.as_deref(), limit };
    let taught = from.read((&mut old, &mut teacher), &mut taps, progress).exit_with(Exit::BadInput)?;
    let Taught { kept, classes, samples, features, lesson, labelled, .. } = &taught;
    let choice = choose(Method::Ridge, &taps, (samples, features), progress).exit_with(Exit::BadInput)?;
    let chosen = &choice.all[choice.chosen];
    let tapped: Vec<Tap> = chosen.iter().map(|tap| taps.taps[*tap].clone()).collect();
    let every: Vec<usize> = (0..samples.labels.len()).collect();
    let matrix = features.matrix(chosen, &every);
    progress.show("the head is tested, fold by fold")?;
    let folds = Folds::of(&taught, &matrix);
    let rules = Rules {
        max_drop: args.max_drop,
        strict: args.strict,
        keep_slower: args.keep_slower,
        ..Rules::default()
    };
    let mut report = report(&taught, &tapped, &folds);
    let early = folds.refusal(&rules, choice.all.len(), args.hold_out.is_some());
    if let Some(reason) = early {
        progress.clear()?;
        return refused(reason, report, as_json, out);
    }
    progress.show("the head is trained")?;
    let head = lesson.head(&matrix, &folds.left_out);
    let mut graph = taps.graph.clone();
    let output = append(&mut graph, &tapped, &head).context("the new graph").exit_with(Exit::BadInput)?;
    let weights = graph.write();
    let mut made = made_here(args.command(&teacher), &old, &runtime);
    made.pictures = kept.len() as u64;
    made.pictures_sha256 = Some(ContentDigest::joined(&taught.digests).to_string());
    let (top1, low, high) = folds.shown().share();
    made.figures.insert(format!("{} %", folds.what()), top1);
    made.bounds.insert(format!("{} %", folds.what()), [low, high]);
    let trial = folder()?;
    let tried = files.within(trial.path());
    // Of its own: the old model looks at pictures meanwhile.
    let model = old.model.clone();
    let head_of = NewHead { old: &model, output: &output, weights: &weights, labels: classes };
    head_of.write(&tried, &made, None)?;
    let mut new = Subject::load(&runtime, &tried.card, ModelLimits::default())?;
    same_as_head(&mut new, &head, &matrix, (kept, samples), classes).exit_with(Exit::BadInput)?;
    let [bytes, new_bytes, teacher_bytes] =
        [old.model.bytes(), &weights[..], teacher.model.bytes()].map(|bytes| bytes.len() as u64);
    let (before, after) = costs((&mut old, bytes), (&mut new, new_bytes), &taught.frames, progress)?;
    let (of_teacher, beside) =
        costs((&mut teacher, teacher_bytes), (&mut new, new_bytes), &taught.frames, progress)?;
    report["before"] = json!({ "cpu_ms": before.cpu_ms, "bytes": bytes });
    report["after"] = json!({ "cpu_ms": after.cpu_ms, "bytes": new_bytes });
    report["teacher"] = json!({
        "name": teacher.model.card().identity.name.to_string(), "cpu_ms": of_teacher.cpu_ms, "bytes": teacher_bytes,
        "sha256": teacher.model.digest().to_string(), "temperature": TEMPERATURE,
    });
    report["temperature"] = json!(head.temperature);
    made.figures.insert("CPU ms before".to_owned(), before.cpu_ms);
    made.figures.insert("CPU ms".to_owned(), after.cpu_ms);
    made.figures.insert("CPU ms of the teacher".to_owned(), of_teacher.cpu_ms);
    let pays = rules.cost(&of_teacher, &beside);
    let mut refusal = (!pays.passes).then(|| format!("beside the teacher: {}", pays.reason));
    if let Some(folder) = &args.hold_out {
        let answers = hold_out(folder, (&mut old, &mut new), classes, kept.clone(), progress);
        let answers = answers.exit_with(Exit::BadInput)?;
        refusal = noted(&answers, &rules, &mut report, &mut made).or(refusal);
    }
    progress.clear()?;
    if let Some(reason) = refusal {
        return refused(reason, report, as_json, out);
    }
    report["written"] = json!(true);
    report["out"] = json!(files.weights);
    report["card"] = json!(files.card);
    report["made"] = json!(made);
    head_of.write(&files, &made, Some(&report))?;
    if as_json {
        json_line(out, &report)?;
    } else {
        writeln!(
            out,
            "teacher           {}: {:.2} ms of CPU, {teacher_bytes} bytes; the head says the same of {:.1} %; {} pictures \
             have labels",
            teacher.model.card().identity.name,
            of_teacher.cpu_ms,
            folds.beside_teacher.share().0,
            labelled.iter().filter(|known| **known).count()
        )
        .context("standard output")?;
        print(&report, out).context("standard output")?;
    }
    Ok(Exit::Fine)
}

fn can_teach(args: &DistilArgs, teacher: &Subject, old: &Subject) -> anyhow::Result<()> {
    can_be_tuned(teacher).with_context(|| args.teacher.display().to_string())?;
    ensure!(
        teacher.model.digest() != old.model.digest(),
        "{}: the teacher is the model itself: it can learn nothing from it",
        args.teacher.display()
    );
    Ok(())
}

/// What heads say of pictures of folds that they have not seen.
struct Folds {
    /// Beside what people say, of pictures whose class is known; `old` is the model as it was.
    labelled: Answers,
    /// The same; `old` is a head from the labels alone.
    beside_labels: Answers,
    /// Beside what the teacher thinks most of; `old` is the model as it was.
    beside_teacher: Answers,
    /// The scores behind them.
    left_out: Matrix,
}

impl Folds {
    fn of(taught: &Taught, features: &Matrix) -> Self {
        let Taught { kept, classes, samples, lesson, labelled, old, teacher, .. } = taught;
        let left_out = lesson.left_out(features, samples, &vec![true; labelled.len()]);
        let said = chosen(&left_out);
        let has_labels = labelled.iter().any(|known| *known);
        let alone = has_labels.then(|| chosen(&lesson.left_out(features, samples, labelled)));
        let known: Vec<usize> = (0..labelled.len()).filter(|place| labelled[*place]).collect();
        let answer = |place: usize, old: Option<String>| Answer {
            class: kept[place].labelled.class.clone(),
            new: classes[said[place]].clone(),
            old,
            group: samples.groups[place],
        };
        // Of pictures with labels the old model was asked for another class.
        let of_old = |place: usize| if labelled[place] { None } else { old[place].clone() };
        let of_teacher = |place: usize| {
            let class = classes[teacher[place]?].clone();
            Some(Answer { class, ..answer(place, of_old(place)) })
        };
        Self {
            labelled: Answers(known.iter().map(|place| answer(*place, old[*place].clone())).collect()),
            beside_labels: Answers(
                known
                    .iter()
                    .map(|place| answer(*place, alone.as_ref().map(|alone| classes[alone[*place]].clone())))
                    .collect(),
            ),
            beside_teacher: Answers((0..labelled.len()).filter_map(of_teacher).collect()),
            left_out,
        }
    }

    /// What is shown: beside people where there are labels, else beside the teacher.
    const fn shown(&self) -> &Answers {
        if self.labelled.0.is_empty() { &self.beside_teacher } else { &self.labelled }
    }

    fn what(&self) -> &'static str {
        if self.labelled.0.is_empty() { "as the teacher" } else { "cross-validation top-1" }
    }

    /// Why the head is refused, where it is. With a hold-out, that decides whether it is worse than the old one.
    fn refusal(&self, rules: &Rules, choices: usize, has_hold_out: bool) -> Option<String> {
        let by_chance = || {
            // Few labels show nothing by themselves, however right the head is.
            if !self.labelled.suffice(choices) {
                self.beside_teacher.guesses(choices, "beside the teacher, in cross-validation")
            } else {
                self.labelled.guesses(choices, "in cross-validation")
            }
        };
        let alone = || {
            let alone = self.beside_labels.drop().map(|drop| rules.labelled(&drop));
            let alone = alone.filter(|decision| !decision.passes);
            alone.map(|decision| format!("beside a head from the labels alone: {}", decision.reason))
        };
        let lost = || match (has_hold_out, self.labelled.0.is_empty()) {
            (true, _) => None,
            (false, true) => self.beside_teacher.worse(rules, "held against the teacher"),
            (false, false) => self.labelled.worse(rules, "in cross-validation"),
        };
        by_chance().or_else(lost).or_else(alone)
    }
}

fn report(taught: &Taught, tapped: &[Tap], folds: &Folds) -> Value {
    let Taught { kept, classes, samples, dropped, labelled, strange, .. } = taught;
    let taps: Vec<&str> = tapped.iter().map(|tap| tap.tensor.as_str()).collect();
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    samples.labels.iter().for_each(|label| *counts.entry(&classes[*label]).or_default() += 1);
    let none_is = |answers: &Answers| if answers.0.is_empty() { Value::Null } else { answers.json() };
    json!({
        "written": false, "refused": null, "classes": classes, "tap": taps, "samples": kept.len(),
        "labelled": labelled.iter().filter(|known| **known).count(), "unknown_to_teacher": strange,
        "dropped": {
            "duplicate": dropped.duplicate.len(), "damaged": dropped.damaged.len(), "blurred": dropped.blurred.len(),
        },
        "counts": counts, "cross_validation": none_is(&folds.labelled),
        "labels_alone": none_is(&folds.beside_labels)["drop"], "as_teacher": folds.beside_teacher.json(),
        "hold_out": null,
    })
}

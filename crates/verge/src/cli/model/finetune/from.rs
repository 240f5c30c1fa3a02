//! A head from sums of several places, without a picture of theirs.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use verge_engine::{ModelLimits, Runtime};
use verge_gateway::exit::{Exit, ExitWith};
use verge_models::gate::Rules;
use verge_models::head::{Sums, append};

use super::super::super::output::{Progress, json_line};
use super::super::files::NewFiles;
use super::super::measure::Subject;
use super::super::proof::folder;
use super::FinetuneArgs;
use super::command::made_here;
use super::features::Taps;
use super::gate::{guesses, share_of};
use super::tried::{hold_out, noted};
use super::words::{print, refused};
use super::written::NewHead;

/// Bytes of a file of sums at most.
const MOST_BYTES: u64 = 1 << 30;

pub(super) fn from(
    args: &FinetuneArgs,
    (runtime, old): (&Runtime, &mut Subject),
    files: &NewFiles,
    (as_json, progress): (bool, &mut Progress),
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    let sums = sums(args, old).exit_with(Exit::BadInput)?;
    let taps = Taps::of(&old.model, &sums.taps.join(",")).exit_with(Exit::BadInput)?;
    let head = sums.solve().context("these sums allow no solution").exit_with(Exit::BadInput)?;
    let mut graph = taps.graph.clone();
    let output = append(&mut graph, &taps.taps, &head).context("the new graph").exit_with(Exit::BadInput)?;
    let weights = graph.write();
    let mut made = made_here(format!("finetune --from {} files", args.from.len()), old, runtime);
    let (pictures, right) = sums.pictures;
    let (top1, low, high) = share_of(right, pictures);
    made.pictures = pictures;
    made.figures = BTreeMap::from([("cross-validation top-1 %".to_owned(), top1)]);
    made.bounds = BTreeMap::from([("cross-validation top-1 %".to_owned(), [low, high])]);
    let counts: BTreeMap<&String, f64> = sums.classes.iter().zip(sums.rows.iter().copied()).collect();
    let mut report = json!({
        "written": false, "refused": null, "classes": sums.classes, "tap": sums.taps, "samples": pictures,
        "dropped": { "duplicate": 0, "damaged": 0, "blurred": 0 }, "counts": counts,
        // Each place by itself: none of them saw a picture of another.
        "cross_validation": { "top1": top1, "low": low, "high": high, "pictures": pictures, "drop": null },
        "hold_out": null, "temperature": head.temperature, "lambda": head.lambda, "unknown": null,
        "before": { "bytes": old.model.bytes().len() }, "after": { "bytes": weights.len() },
    });
    let rows: f64 = sums.rows.iter().sum();
    let chance = sums.rows.iter().copied().fold(0.0, f64::max) / rows.max(1.0);
    if let Some(reason) = guesses((right, pictures), chance, 1, "in the places' own cross-validation") {
        return refused(reason, report, as_json, out);
    }
    let trial = folder()?;
    let tried = files.within(trial.path());
    // Of its own: the old model looks at pictures meanwhile.
    let model = old.model.clone();
    let head_of = NewHead { old: &model, output: &output, weights: &weights, labels: &sums.classes };
    head_of.write(&tried, &made, None)?;
    let mut new = Subject::load(runtime, &tried.card, ModelLimits::default())?;
    if let Some(folder) = &args.hold_out {
        let rules = Rules { max_drop: args.max_drop, strict: args.strict, ..Rules::default() };
        let answers = hold_out(folder, (old, &mut new), &sums.classes, Vec::new(), progress);
        let answers = answers.exit_with(Exit::BadInput)?;
        if let Some(reason) = noted(&answers, &rules, &mut report, &mut made) {
            return refused(reason, report, as_json, out);
        }
    }
    report["written"] = json!(true);
    report["out"] = json!(files.weights);
    report["card"] = json!(files.card);
    report["made"] = serde_json::to_value(&made).unwrap_or(Value::Null);
    head_of.write(files, &made, Some(&report))?;
    if as_json {
        json_line(out, &report)?;
    } else {
        print(&report, out).context("standard output")?;
    }
    Ok(Exit::Fine)
}

fn sums(args: &FinetuneArgs, old: &Subject) -> anyhow::Result<Sums> {
    let mut all: Option<Sums> = None;
    for path in &args.from {
        let read = || -> anyhow::Result<Sums> {
            let bytes = path.metadata()?.len();
            ensure!(bytes <= MOST_BYTES, "{bytes} bytes, {MOST_BYTES} at most");
            Ok(Sums::parse(&std::fs::read_to_string(path)?)?)
        };
        let next = read().with_context(|| path.display().to_string())?;
        let own = old.model.digest().to_string();
        ensure!(
            next.source == own,
            "{}: made with a model of SHA-256 {}, this one has {own}",
            path.display(),
            next.source
        );
        match &mut all {
            Some(all) => all.add(&next).with_context(|| path.display().to_string())?,
            None => all = Some(next),
        }
    }
    all.context("--from names no file")
}

//! The mark of `verge model bench`: what it measures of a model is what `verge eval` takes for it.

use anyhow::Context;

use super::bench::{Workbench, number, text};
use super::{Bound, Mark};

/// Models that classify: `eval` looks for more boxes than a judge does, which takes time of its own.
const SUBJECTS: [&str; 2] = ["mobilenet_v2_1.0_224_quant", "mobilenet_v1_0.75_192_quant"];
/// Both commands take turns, and the quickest of each counts: whatever else runs on the machine only ever slows them.
const TURNS: usize = 4;
/// Pictures of each turn.
const PICTURES: &str = "40";

pub(super) fn marks(workbench: &Workbench) -> anyhow::Result<Vec<Mark>> {
    SUBJECTS.iter().map(|name| mark(workbench, name)).collect()
}

fn mark(workbench: &Workbench, name: &str) -> anyhow::Result<Mark> {
    let card = text(&workbench.card(name)?);
    let data = text(&workbench.data.join("imagenet_sample"));
    let (mut of_bench, mut of_eval) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let ran = workbench.done(&["model", "bench", &card, "--data", &data, "--limit", PICTURES])?;
        of_bench.push(number(&ran, "/models/0/cpu_ms")?);
        let arguments =
            ["eval", "classify", "--model", &card, "--data", &data, "--limit", PICTURES, "--threads", "1"];
        of_eval.push(number(&workbench.done(&arguments)?, "/cpu_ms")?);
    }
    let least = |all: Vec<f64>| all.into_iter().min_by(f64::total_cmp).context("at least one turn");
    let (bench, eval) = (least(of_bench)?, least(of_eval)?);
    let what = format!("{name}, {bench:.2} ms beside {eval:.2} of eval");
    Ok(Mark::new(what, (bench / eval - 1.0).abs() * 100.0, "%", Bound::AtMost(10.0)))
}

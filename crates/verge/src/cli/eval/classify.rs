//! `verge eval classify`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use verge_models::card::ModelTask;
use verge_vision::VisionJudge;
use verge_vision::viewer::Inference;

use super::{ModelArgs, look_at, median_cpu_ms, of_another_task, write_file};
use crate::cli::labelled::classes;
use crate::cli::output::json_line;
use verge_gateway::exit::{Exit, ExitWith};

const TOP: usize = 5;

#[derive(Debug, Args)]
#[command(after_help = "The folder is laid out in one of two ways:
  images/ and labels.csv
  one folder per class, named as the model's labels name it

labels.csv has a header; column `file`, and the class in `class_index_N` where the model has N labels, else in \
`class_index` (from 0) or `label` (as the model's labels name it).")]
pub(super) struct ClassifyArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Write one JSON line per picture with the classes of its top five, for scorers of another make
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
}

pub(super) fn classify(args: &ClassifyArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let model = args.model.load()?;
    let task = model.frames().task;
    if task != ModelTask::Classify {
        return Err(of_another_task(task)).exit_with(Exit::Usage);
    }
    let labelled =
        args.model.spread(classes::read(&args.model.data, model.labels()).exit_with(Exit::BadInput)?);
    let paths: Vec<&Path> = labelled.iter().map(|one| one.path.as_path()).collect();
    let judge = VisionJudge { top: TOP, ..VisionJudge::of(0) };
    let seen = look_at(&args.model, &model, &paths, judge, 0.0)?;
    let (mut top1, mut top5) = (0_usize, 0_usize);
    let mut lines = String::new();
    for (one, seen) in labelled.iter().zip(&seen) {
        let Inference::Classes(classes) = &seen.inference else { bail!("a classifier gives classes") };
        let best: Vec<usize> = classes.iter().map(|class| class.label).collect();
        top1 += usize::from(best.first() == Some(&one.class));
        top5 += usize::from(best.contains(&one.class));
        lines += &format!("{}\n", json!({ "file": one.name, "top5": best }));
    }
    if let Some(path) = &args.predictions {
        write_file(path, &lines, "predictions")?;
    }
    #[expect(clippy::cast_precision_loss, reason = "numbers of pictures")]
    let share = |count: usize| count as f64 / seen.len() as f64;
    if as_json {
        let line = json!({ "top1": share(top1), "top5": share(top5), "n": seen.len(), "cpu_ms": median_cpu_ms(&seen) });
        json_line(out, &line)?;
    } else {
        writeln!(
            out,
            "{}: top-1 {:.2} %, top-5 {:.2} % of {} pictures, {:.2} ms of processor time each",
            model.card().identity.name,
            share(top1) * 100.0,
            share(top5) * 100.0,
            seen.len(),
            median_cpu_ms(&seen)
        )
        .context("standard output")?;
    }
    Ok(Exit::Fine)
}

//! `verge eval detect`.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use verge_models::FrameModel;
use verge_models::card::{ModelTask, Nms};
use verge_models::gate::average_precision::{AveragePrecision, FoundObject, LabelledObject};
use verge_vision::VisionJudge;
use verge_vision::detect::{CandidateBox, select};
use verge_vision::viewer::Inference;

use super::{ModelArgs, SeenPicture, look_at, median_cpu_ms, of_another_task, write_file};
use crate::cli::labelled::objects::{self, found, truth};
use crate::cli::output::json_line;
use verge_gateway::exit::{Exit, ExitWith};

#[derive(Debug, Args)]
#[command(
    after_help = "The folder holds images/ and labels/, or folders that do (train/, valid/). Of images/NAME.jpg \
labels/NAME.txt has a line for each object, as YOLO writes them: its class, then centre x, centre y, width and height \
in shares of the picture; without that file there is none.

The class is the line of the model's label, from 0. With --group the first group is class 0, the second class 1, and \
so on; labels in no group do not count."
)]
pub(super) struct DetectArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// 2: the model looks at the whole and at four parts of each picture, as a judge with tiles = 2
    #[arg(long, value_name = "N", default_value = "1", value_parser = parse_tiles)]
    tiles: usize,
    /// Lowest score that counts
    #[arg(long, value_name = "SCORE", default_value_t = 0.01)]
    score: f32,
    /// Labels of the model that are one class of the pictures; may be given more than once
    #[arg(long, value_name = "CLASS=LABEL,…")]
    group: Vec<String>,
    /// Within a group, boxes that overlap a surer one by more are dropped (intersection over union)
    #[arg(long, value_name = "IOU", default_value_t = 0.6)]
    group_iou: f32,
    /// Write all detections as a COCO result, for scorers of another make: image_id is the name of the file where \
    /// that is a number, else its place in order of names from 1; category_id is the class
    #[arg(long, value_name = "FILE")]
    detections: Option<PathBuf>,
}

fn parse_tiles(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "2" => Ok(2),
        _ => Err("1 or 2".to_owned()),
    }
}

pub(super) fn detect(args: &DetectArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    if !(0.0..=1.0).contains(&args.score) || !(0.0..=1.0).contains(&args.group_iou) {
        return Err(anyhow::anyhow!("--score and --group-iou are from 0 to 1")).exit_with(Exit::Usage);
    }
    let model = args.model.load()?;
    let task = model.frames().task;
    if task != ModelTask::Detect {
        return Err(of_another_task(task)).exit_with(Exit::Usage);
    }
    let groups = groups(&args.group, &model).exit_with(Exit::Usage)?;
    let classes = groups.as_ref().map_or(model.labels().len(), Vec::len);
    let labelled = args.model.spread(objects::read(&args.model.data, classes).exit_with(Exit::BadInput)?);
    let paths: Vec<&Path> = labelled.iter().map(|one| one.path.as_path()).collect();
    let judge = VisionJudge { tiles: args.tiles, ..VisionJudge::of(0) };
    let seen = look_at(&args.model, &model, &paths, judge, args.score)?;
    let cpu_ms = median_cpu_ms(&seen);
    let mut precision = AveragePrecision::new();
    let mut results = Vec::new();
    for (number, (one, seen)) in labelled.iter().zip(seen).enumerate() {
        let SeenPicture { inference: Inference::Objects(mut objects), width, height, .. } = seen else {
            bail!("a detector gives objects")
        };
        if let Some(groups) = &groups {
            regroup(&mut objects, groups, args.group_iou);
        }
        let (width, height) = (f64::from(width), f64::from(height));
        let truths: Vec<LabelledObject> =
            one.objects.iter().map(|object| truth(*object, width, height)).collect();
        let found: Vec<FoundObject> = objects.iter().map(found).collect();
        precision.add(&truths, &found);
        results.extend(found.iter().map(|found| coco(&one.path, number, found)));
    }
    if let Some(path) = &args.detections {
        write_file(path, &Value::Array(results).to_string(), "detections")?;
    }
    let scores = precision.scores().context("no picture has a labelled object").exit_with(Exit::BadInput)?;
    if as_json {
        json_line(
            out,
            &json!({ "map": scores.map, "ap50": scores.ap50, "n": labelled.len(), "cpu_ms": cpu_ms }),
        )?;
    } else {
        writeln!(
            out,
            "{}: mAP {:.4}, AP50 {:.4} on {} pictures, {cpu_ms:.2} ms of processor time each",
            model.card().identity.name,
            scores.map,
            scores.ap50,
            labelled.len()
        )
        .context("standard output")?;
    }
    Ok(Exit::Fine)
}

/// Per group, the labels in it by their index; `None` where there are no groups.
fn groups(texts: &[String], model: &FrameModel) -> anyhow::Result<Option<Vec<Vec<usize>>>> {
    let group = |text: &String| {
        let (_, labels) =
            text.split_once('=').with_context(|| format!("--group {text:?} is not CLASS=LABEL,…"))?;
        let index = |label: &str| {
            let found = model.labels().iter().position(|known| known.as_str() == label.trim());
            found.with_context(|| format!("--group: {} has no label {label:?}", model.card().identity.name))
        };
        labels.split(',').map(index).collect::<anyhow::Result<Vec<_>>>()
    };
    let groups = texts.iter().map(group).collect::<anyhow::Result<Vec<_>>>()?;
    Ok((!groups.is_empty()).then_some(groups))
}

/// Labels become groups; of boxes of a group that mean the same object the surest stays.
fn regroup(objects: &mut Vec<CandidateBox>, groups: &[Vec<usize>], iou: f32) {
    objects.retain_mut(|object| {
        let group = groups.iter().position(|labels| labels.contains(&object.label));
        object.label = group.unwrap_or_default();
        group.is_some()
    });
    select(objects, Some(Nms { iou, per_class: true }));
}

/// One entry of a COCO result (cocodataset.org, "Results format").
fn coco(path: &Path, number: usize, found: &FoundObject) -> Value {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let image_id = stem.parse::<u64>().unwrap_or(number as u64 + 1);
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    json!({
        "image_id": image_id, "file_name": file_name, "category_id": found.class, "bbox": found.area,
        "score": found.score,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_classes_of_their_own() {
        let candidate =
            |left: f32, label, score| CandidateBox { corners: [left, 0.0, left + 10.0, 10.0], label, score };
        let mut objects = vec![
            candidate(0.0, 2, 0.9),
            candidate(1.0, 7, 0.8),
            candidate(40.0, 7, 0.7),
            candidate(0.0, 5, 0.6),
        ];
        regroup(&mut objects, &[vec![2, 7]], 0.6);
        let kept: Vec<(usize, f32)> = objects.iter().map(|one| (one.label, one.score)).collect();
        assert_eq!(kept, [(0, 0.9), (0, 0.7)]);
    }

    #[test]
    fn results_name_their_picture() {
        let found = FoundObject { class: 3, area: [1.0, 2.0, 3.0, 4.0], score: 0.5 };
        let id = |path: &str| coco(Path::new(path), 6, &found)["image_id"].clone();
        assert_eq!(id("images/000000000139.jpg"), 139);
        assert_eq!(id("images/clip-1.jpg"), 7);
    }
}

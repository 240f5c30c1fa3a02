//! The marks of `verge model quantize`: a float twin of a MobileNet V2, and a detector that gains or is refused.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, ensure};
use bytes::Bytes;
use serde_json::Value;
use verge_engine::EditableModel;

use super::bench::{Workbench, number, text};
use super::{Bound, Mark};

/// The model whose float twin is quantised again.
const QUANTISED: &str = "mobilenet_v2_1.0_224_quant";
const DETECTOR: &str = "yolox_nano";
/// What stands for zero in its input, and the step.
const INPUT: (f64, f64) = (128.0, 1.0 / 128.0);

pub(super) fn marks(workbench: &Workbench) -> anyhow::Result<Vec<Mark>> {
    let mut marks = classifier(workbench)?;
    marks.extend(detector(workbench)?);
    Ok(marks)
}

fn classifier(workbench: &Workbench) -> anyhow::Result<Vec<Mark>> {
    let card = twin(workbench)?;
    let data = workbench.data.join("imagenet_sample");
    let out = workbench.path("twin-int8");
    let ran =
        workbench.done(&["model", "quantize", &text(&card), "--data", &text(&data), "-o", &text(&out)])?;
    let number = |pointer: &str| number(&ran, pointer);
    Ok(vec![
        Mark::new("MobileNet V2, float twin, top-1", number("/before/top1")?, "%", Bound::Shown),
        Mark::new("MobileNet V2, int8, top-1", number("/after/top1")?, "%", Bound::Shown),
        Mark::new("MobileNet V2, points lost", number("/drop/points")?, "pts", Bound::AtMost(1.0)),
        Mark::new(
            "MobileNet V2, CPU of the float twin's",
            number("/after/ms")? / number("/before/ms")? * 100.0,
            "%",
            Bound::AtMost(80.0),
        ),
        Mark::new("MobileNet V2, answers as written", number("/saturation")?, "%", Bound::AtLeast(95.0)),
        Mark::new(
            "MobileNet V2, divergence of its probabilities",
            number("/divergence")?,
            "nats",
            Bound::Shown,
        ),
        Mark::new("MobileNet V2, longest run", ran.seconds, "s", Bound::Shown),
        Mark::new("MobileNet V2, most memory", ran.memory, "MiB", Bound::Shown),
    ])
}

/// Good and fast, or refused in words that say which of both it is not.
fn detector(workbench: &Workbench) -> anyhow::Result<Vec<Mark>> {
    let card = workbench.card(DETECTOR)?;
    let data = workbench.data.join("coco_val128");
    let out = workbench.path("yolox-int8");
    let arguments =
        ["model", "quantize", &text(&card), "--data", &text(&data), "--max-drop", "1.5", "-o", &text(&out)];
    let ran = workbench.run(&arguments)?;
    let kept = number(&ran, "/after/ap50")? / number(&ran, "/before/ap50")? * 100.0;
    let is_written = ran.said.get("written").and_then(Value::as_bool) == Some(true);
    let reason = ran.said.get("refused").and_then(Value::as_str).unwrap_or_default();
    let is_left = out.with_extension("onnx").exists();
    let is_consistent =
        is_written == is_left && is_written == (ran.code == 0) && is_written == reason.is_empty();
    ensure!(is_consistent, "written: {is_written}, a file is there: {is_left}, code {}: {reason}", ran.code);
    let bound = if is_written { Bound::AtLeast(97.0) } else { Bound::Shown };
    let outcome = if is_written { "written" } else { "refused" };
    let cpu = number(&ran, "/after/ms")? / number(&ran, "/before/ms")? * 100.0;
    Ok(vec![
        Mark::new(format!("YOLOX nano, {outcome}, of its AP50"), kept, "%", bound),
        Mark::new(format!("YOLOX nano, {outcome}, of its CPU"), cpu, "%", Bound::Shown),
    ])
}

/// The float twin: weights are what they stand for, and activations are no longer rounded.
pub(super) fn twin(workbench: &Workbench) -> anyhow::Result<PathBuf> {
    let known = workbench.card(QUANTISED)?;
    let weights = workbench.data.join(format!("models/imagenet/{QUANTISED}.onnx"));
    let bytes = fs::read(&weights).with_context(|| text(&weights))?;
    let mut model = EditableModel::read(&Bytes::from(bytes)).with_context(|| text(&weights))?;
    model.dequantise().with_context(|| text(&weights))?;
    fs::write(workbench.path("twin.onnx"), model.write())?;
    let (zero, step) = INPUT;
    let element = format!(
        "element = \"f32\"\nmean = [{zero:?}, {zero:?}, {zero:?}]\nscale = [{step:?}, {step:?}, {step:?}]"
    );
    let lines = fs::read_to_string(&known)?;
    let lines = lines.lines().filter(|line| !line.starts_with("sha256") && !line.starts_with("quantisation"));
    let line = |line: &str| match line {
        line if line.starts_with("file") => "file = \"twin.onnx\"\n".to_owned(),
        line if line.starts_with("element") => format!("{element}\n"),
        line => format!("{line}\n"),
    };
    let card = workbench.path("twin.toml");
    fs::write(&card, lines.map(line).collect::<String>())?;
    Ok(card)
}

//! The prices of `verge model prune`, `quantize --bits 4` and `distil`: what each gains and loses, and that the gate refuses it unless
//! the loss is asked for.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use bytes::Bytes;
use fastrand::Rng;
use serde_json::Value;
use verge_engine::{EditableModel, Tensor};

use super::bench::{Workbench, number, text};
use super::quantize::twin;
use super::{Bound, Mark};

/// Classes of steel surfaces, and of each the pictures that the teacher learns from, that have labels, that have none, and that
/// are tested with.
const CLASSES: usize = 6;
const SCHOOL: std::ops::Range<usize> = 0..20;
const LABELS: std::ops::Range<usize> = 20..22;
const FRAMES: std::ops::Range<usize> = 22..40;
const LATER: std::ops::Range<usize> = 40..59;
const TEACHER: &str = "mobilenet_v2_1.0_224_quant";
const SMALL: &str = "mobilenet_v1_0.25_128_quant";

pub(super) fn marks(workbench: &Workbench) -> anyhow::Result<Vec<Mark>> {
    let card = twin(workbench)?;
    smooth(&card.with_extension("onnx"))?;
    let mut marks = Vec::new();
    for (what, arguments) in [
        ("30 % zeros", &["prune", "--sparsity", "0.3"][..]),
        ("50 % zeros", &["prune", "--sparsity", "0.5"]),
        ("4 bits", &["quantize", "--bits", "4"]),
    ] {
        marks.extend(price(workbench, &card, what, arguments)?);
    }
    marks.extend(taught(workbench)?);
    Ok(marks)
}

/// Moves the weights by up to a hundredth: those of the twin were whole numbers, and pack to a third as those of no float model do.
fn smooth(weights: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(weights).with_context(|| text(weights))?;
    let mut model = EditableModel::read(&Bytes::from(bytes)).with_context(|| text(weights))?;
    let mut random = Rng::with_seed(11);
    let names: Vec<String> = model.constants().map(str::to_owned).collect();
    for name in names {
        let Some((dims, mut numbers)) = model.floats(&name) else { continue };
        if dims.len() == 4 {
            numbers.iter_mut().for_each(|number| *number *= 0.99 + 0.02 * random.f32());
            model.replace_initializer(&name, &dims, &Tensor::F32(numbers)).with_context(|| name.clone())?;
        }
    }
    fs::write(weights, model.write()).with_context(|| text(weights))
}

/// What a command makes of a MobileNet V2, with consent to any loss; without, it is refused.
fn price(workbench: &Workbench, card: &Path, what: &str, arguments: &[&str]) -> anyhow::Result<Vec<Mark>> {
    let (command, options) = arguments.split_first().context("a command")?;
    let data = text(&workbench.data.join("imagenet_sample"));
    let run = |out: &Path, more: &[&str]| {
        let (card, out) = (text(card), text(out));
        let all = [&["model", command, &card, "--data", &data, "-o", &out], options, more].concat();
        workbench.run(&all)
    };
    let refused = run(&workbench.path("refused"), &[])?;
    let is_refused = refused.code == 1 && refused.said.get("written").and_then(Value::as_bool) == Some(false);
    let out = workbench.path(&what.replace([' ', '%'], ""));
    let ran = run(&out, &["--max-drop", "100", "--keep-slower"])?;
    let share = |member: &str| {
        let side = |side: &str| number(&ran, &format!("/{side}/{member}"));
        Ok::<_, anyhow::Error>(side("after")? / side("before")? * 100.0)
    };
    let before = ran.said.pointer("/unrepaired/top1").and_then(Value::as_f64);
    let mut marks = vec![
        Mark::new(
            format!("MobileNet V2, {what}, written with consent"),
            f64::from(u8::from(ran.code == 0)),
            "",
            Bound::AtLeast(1.0),
        ),
        Mark::new(
            format!("MobileNet V2, {what}, refused without consent"),
            f64::from(u8::from(is_refused)),
            "",
            Bound::AtLeast(1.0),
        ),
        Mark::new(format!("MobileNet V2, {what}, top-1"), number(&ran, "/after/top1")?, "%", Bound::Shown),
    ];
    marks.extend(
        before.map(|before| {
            Mark::new(format!("MobileNet V2, {what}, before repair"), before, "%", Bound::Shown)
        }),
    );
    marks.extend([
        Mark::new(format!("MobileNet V2, {what}, of its bytes"), share("bytes")?, "%", Bound::Shown),
        Mark::new(format!("MobileNet V2, {what}, in a package"), share("packed")?, "%", Bound::AtMost(95.0)),
        Mark::new(format!("MobileNet V2, {what}, of its CPU"), share("ms")?, "%", Bound::Shown),
    ]);
    Ok(marks)
}

/// Steel surfaces, two labels of each: a small model by these alone, and taught by a large one.
fn taught(workbench: &Workbench) -> anyhow::Result<Vec<Mark>> {
    let folder = workbench.path("taught");
    divided(&workbench.data.join("neu_det/images"), &folder)?;
    let [school, labels, frames, later] =
        ["school", "labels", "frames", "later"].map(|part| text(&folder.join(part)));
    let (small, large) = (workbench.card(SMALL)?, text(&workbench.card(TEACHER)?));
    let card = workbench.path("teacher");
    let known = ["--data", &school, "--hold-out", &later, "--tap", "last", "--no-unknown"];
    let stem = text(&card);
    let arguments = [&["model", "finetune", &large, "-o", &stem], &known[..]].concat();
    let teacher = workbench.done(&arguments)?;
    let out = workbench.path("small-taught");
    let ran = workbench.done(&[
        "model",
        "distil",
        &text(&small),
        "--teacher",
        &text(&card.with_extension("toml")),
        "--data",
        &frames,
        "--labels",
        &labels,
        "--hold-out",
        &later,
        "--tap",
        "last",
        "-o",
        &text(&out),
    ])?;
    let of_teacher = |member: &str, own: &str| {
        Ok::<_, anyhow::Error>(number(&ran, own)? / number(&ran, &format!("/teacher/{member}"))? * 100.0)
    };
    Ok(vec![
        Mark::new(
            "steel, the teacher, 20 labels a class",
            number(&teacher, "/hold_out/top1")?,
            "%",
            Bound::Shown,
        ),
        Mark::new(
            "steel, small, 2 labels a class, taught",
            number(&ran, "/hold_out/top1")?,
            "%",
            Bound::Shown,
        ),
        Mark::new(
            "steel, small, of the teacher's CPU",
            of_teacher("cpu_ms", "/after/cpu_ms")?,
            "%",
            Bound::AtMost(95.0),
        ),
        Mark::new(
            "steel, small, of the teacher's bytes",
            of_teacher("bytes", "/after/bytes")?,
            "%",
            Bound::Shown,
        ),
        Mark::new(
            "steel, small, in folds, by the labels alone",
            number(&ran, "/labels_alone/old")?,
            "%",
            Bound::Shown,
        ),
        Mark::new(
            "steel, small, in folds, points beside that",
            number(&ran, "/labels_alone/new")? - number(&ran, "/labels_alone/old")?,
            "pts",
            Bound::AtLeast(-1.0),
        ),
        Mark::new("steel, small, taught, time of the run", ran.seconds, "s", Bound::Shown),
    ])
}

/// Pictures of steel in folders: for the teacher, with labels, without, and to test with.
fn divided(images: &Path, to: &Path) -> anyhow::Result<()> {
    let entries = fs::read_dir(images).with_context(|| text(images))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    let mut classes: std::collections::BTreeMap<String, Vec<PathBuf>> = std::collections::BTreeMap::new();
    for path in paths.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "jpg")) {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let class = stem.rsplit_once('_').map_or(&*stem, |(class, _)| class).to_owned();
        classes.entry(class).or_default().push(path);
    }
    ensure!(classes.len() == CLASSES, "{}: {} classes, {CLASSES} are expected", text(images), classes.len());
    for (class, paths) in &classes {
        for (part, places) in [("school", SCHOOL), ("labels", LABELS), ("frames", FRAMES), ("later", LATER)] {
            let folder = if part == "frames" { to.join(part) } else { to.join(part).join(class) };
            fs::create_dir_all(&folder)?;
            for path in paths.get(places).with_context(|| format!("{class}: too few pictures"))? {
                fs::copy(path, folder.join(path.file_name().unwrap_or_default()))?;
            }
        }
    }
    Ok(())
}

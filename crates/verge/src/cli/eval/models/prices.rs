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
/// How often they are drawn for a mean at most: a draw takes some 20 s.
const DRAWS: u64 = 5;
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

/// What came of one draw of pictures, in percent of those tested with, and of the teacher's CPU and bytes.
struct Taught {
    teacher: f64,
    small: f64,
    /// Nothing where the labels alone are refused, since they show nothing.
    alone: Option<f64>,
    cpu: f64,
    bytes: f64,
    seconds: f64,
}

/// Steel surfaces, two labels of each: a small model by these alone, and taught by a large one.
fn taught(workbench: &Workbench) -> anyhow::Result<Vec<Mark>> {
    let draws = workbench.draws.min(DRAWS);
    let all: Vec<Taught> =
        (0..draws).map(|draw| taught_once(workbench, draw)).collect::<anyhow::Result<_>>()?;
    let mean = |of: fn(&Taught) -> f64| mean_of(all.iter().map(of));
    let gain = mean_of(all.iter().filter_map(|one| Some(one.small - one.alone?)));
    let alone = mean_of(all.iter().filter_map(|one| one.alone));
    Ok(vec![
        Mark::new("steel, the teacher, 20 labels a class", mean(|one| one.teacher), "%", Bound::Shown),
        Mark::new("steel, small, 2 labels a class, by these alone", alone, "%", Bound::Shown),
        Mark::new("steel, small, 2 labels a class, taught", mean(|one| one.small), "%", Bound::Shown),
        Mark::new("steel, small, gained by the teacher", gain, "pts", Bound::AtLeast(0.0)),
        Mark::new("steel, small, of the teacher's CPU", mean(|one| one.cpu), "%", Bound::AtMost(95.0)),
        Mark::new("steel, small, of the teacher's bytes", mean(|one| one.bytes), "%", Bound::Shown),
        Mark::new("steel, small, taught, time of the run", mean(|one| one.seconds), "s", Bound::Shown),
    ])
}

fn mean_of(numbers: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = numbers.fold((0.0, 0.0), |(count, sum), number| (count + 1.0, sum + number));
    sum / f64::max(count, 1.0)
}

fn taught_once(workbench: &Workbench, draw: u64) -> anyhow::Result<Taught> {
    let folder = workbench.path(&format!("taught-{draw}"));
    divided(&workbench.data.join("neu_det/images"), &folder, draw)?;
    let [school, labels, frames, later] =
        ["school", "labels", "frames", "later"].map(|part| text(&folder.join(part)));
    let (small, large) = (text(&workbench.card(SMALL)?), text(&workbench.card(TEACHER)?));
    let [teacher, taught, alone] = ["teacher", "small", "alone"].map(|name| folder.join(name));
    let tested = ["--hold-out", &later, "--tap", "last"];
    let tuned = |card: &str, data: &str, out: &Path, more: &[&str]| {
        let arguments = ["model", "finetune", card, "-o", &text(out), "--data", data, "--no-unknown"];
        workbench.run(&[&arguments[..], &tested[..], more].concat())
    };
    let of_teacher = tuned(&large, &school, &teacher, &[])?;
    // The method that distillation has, too.
    let of_alone = tuned(&small, &labels, &alone, &["--method", "softmax"])?;
    let alone = if of_alone.code == 1 { None } else { Some(number(&of_alone, "/hold_out/top1")?) };
    let teacher = text(&teacher.with_extension("toml"));
    let out = text(&taught);
    let arguments = [
        "model",
        "distil",
        &small,
        "--teacher",
        &teacher,
        "--data",
        &frames,
        "--labels",
        &labels,
        "-o",
        &out,
    ];
    let ran = workbench.done(&[&arguments[..], &tested[..]].concat())?;
    let share = |own: &str, of: &str| Ok::<_, anyhow::Error>(number(&ran, own)? / number(&ran, of)? * 100.0);
    Ok(Taught {
        teacher: number(&of_teacher, "/hold_out/top1")?,
        small: number(&ran, "/hold_out/top1")?,
        alone,
        cpu: share("/after/cpu_ms", "/teacher/cpu_ms")?,
        bytes: share("/after/bytes", "/teacher/bytes")?,
        seconds: ran.seconds,
    })
}

/// Pictures of steel in folders: for the teacher, with labels, without, and to test with.
fn divided(images: &Path, to: &Path, draw: u64) -> anyhow::Result<()> {
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
    let mut random = Rng::with_seed(draw);
    for (class, mut paths) in classes {
        random.shuffle(&mut paths);
        for (part, places) in [("school", SCHOOL), ("labels", LABELS), ("frames", FRAMES), ("later", LATER)] {
            let folder = if part == "frames" { to.join(part) } else { to.join(part).join(&class) };
            fs::create_dir_all(&folder)?;
            for path in paths.get(places).with_context(|| format!("{class}: too few pictures"))? {
                fs::copy(path, folder.join(path.file_name().unwrap_or_default()))?;
            }
        }
    }
    Ok(())
}

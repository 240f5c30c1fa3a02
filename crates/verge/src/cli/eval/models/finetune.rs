//! The marks of `verge model finetune`: six classes of steel surfaces and 43 traffic signs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use fastrand::Rng;
use verge_vision::{Picture, annotate};

use super::bench::{Ran, Workbench, number, text};
use super::{Bound, Mark};

/// Labels of each class of steel.
const LABELS: usize = 20;
/// The model whose head is replaced.
const TRUNK: &str = "mobilenet_v2_1.0_224_quant";

/// Pictures by their class.
type Labelled = BTreeMap<String, Vec<PathBuf>>;

pub(super) fn marks(workbench: &Workbench) -> anyhow::Result<Vec<Mark>> {
    let card = text(&workbench.card(TRUNK)?);
    let steel = steel(&workbench.data.join("neu_det/images"))?;
    let (mut auto, mut ahead, mut own, mut cheaper) = (0.0, Vec::new(), 0.0, 0.0);
    let (mut seconds, mut memory) = (0.0_f64, 0.0_f64);
    let mut first = None;
    for draw in 0..workbench.draws {
        let (train, test) = drawn(workbench, &steel, draw)?;
        let run = |tap: &str| -> anyhow::Result<(Ran, PathBuf)> {
            let out = workbench.path(&format!("steel-{draw}-{tap}"));
            let arguments = [
                "model",
                "finetune",
                &card,
                "--data",
                &text(&train),
                "--hold-out",
                &text(&test),
                "--tap",
                tap,
                "-o",
                &text(&out),
            ];
            Ok((workbench.done(&arguments)?, out.with_extension("toml")))
        };
        let ((of_auto, new), (of_last, whole)) = (run("auto")?, run("last")?);
        let top1 = number(&of_auto, "/hold_out/top1")?;
        auto += top1;
        ahead.push(top1 - number(&of_last, "/hold_out/top1")?);
        own += number(&of_auto, "/hold_out/unknown")?;
        let costs = workbench.done(&[
            "model",
            "bench",
            &text(&whole),
            &text(&new),
            "--data",
            &text(&test),
            "--limit",
            "60",
        ])?;
        let cpu = |place: usize| number(&costs, &format!("/models/{place}/cpu_ms"));
        cheaper += (1.0 - cpu(1)? / cpu(0)?) * 100.0;
        seconds = seconds.max(of_auto.seconds);
        memory = memory.max(of_auto.memory);
        first.get_or_insert((new, train));
    }
    #[expect(clippy::cast_precision_loss, reason = "a few draws")]
    let mean = |sum: f64| sum / workbench.draws as f64;
    let (ahead, error) = with_error(&ahead);
    let (model, train) = first.context("at least one draw")?;
    let signs = signs(workbench)?;
    let strangers =
        workbench.done(&["eval", "classify", "--model", &text(&model), "--data", &text(&signs.strangers)])?;
    let random = random(workbench, &card, &train)?;
    let (sign_auto, sign_last) =
        (sign_score(workbench, &card, &signs, "auto")?, sign_score(workbench, &card, &signs, "last")?);
    Ok(vec![
        Mark::new("steel, 20 labels a class, hold-out, mean", mean(auto), "%", Bound::AtLeast(97.0)),
        Mark::new("steel, tap auto less tap last", ahead, "pts", Bound::AtLeast(-0.5)),
        Mark::new("steel, standard error of that", error, "pts", Bound::Shown),
        Mark::new("steel, CPU saved by tap auto", mean(cheaper), "%", Bound::AtLeast(20.0)),
        Mark::new("steel, of its own called unknown", mean(own), "%", Bound::AtMost(3.0)),
        Mark::new(
            "traffic signs called unknown by the steel model",
            number(&strangers, "/top1")? * 100.0,
            "%",
            Bound::AtLeast(95.0),
        ),
        Mark::new("traffic signs by halves, tap last", sign_last, "%", Bound::Shown),
        Mark::new(
            "traffic signs by halves, tap auto less tap last",
            sign_auto - sign_last,
            "pts",
            Bound::AtLeast(0.0),
        ),
        Mark::new("labels at random, ends with", f64::from(random), "", Bound::AtMost(1.0)),
        Mark::new("longest run", seconds, "s", Bound::AtMost(60.0)),
        Mark::new("most memory of a run", memory, "MiB", Bound::AtMost(400.0)),
    ])
}

/// The mean of numbers, and its standard error; of one number that is not known, and 0 stands for it.
#[expect(clippy::cast_precision_loss, reason = "a few draws")]
fn with_error(numbers: &[f64]) -> (f64, f64) {
    let count = numbers.len().max(1) as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    (mean, (squares / (count - 1.0).max(1.0) / count).sqrt())
}

/// Pictures of steel; the class is in the name.
fn steel(folder: &Path) -> anyhow::Result<Labelled> {
    let mut found = Labelled::new();
    for path in listed(folder)? {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let Some((class, _)) = stem.rsplit_once('_') else {
            bail!("{}: no class in its name", path.display())
        };
        found.entry(class.to_owned()).or_default().push(path);
    }
    ensure!(found.len() == 6, "{}: six classes are expected, {} found", folder.display(), found.len());
    Ok(found)
}

fn listed(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// [`LABELS`] pictures of each class in a folder, the others in another.
fn drawn(workbench: &Workbench, all: &Labelled, draw: u64) -> anyhow::Result<(PathBuf, PathBuf)> {
    let mut random = Rng::with_seed(draw);
    let folders = ["train", "test"].map(|kind| workbench.path(&format!("steel-{draw}-{kind}")));
    for (class, paths) in all {
        let mut paths = paths.clone();
        random.shuffle(&mut paths);
        for (place, path) in paths.iter().enumerate() {
            let folder = folders[usize::from(place >= LABELS)].join(class);
            fs::create_dir_all(&folder)?;
            fs::copy(path, folder.join(path.file_name().unwrap_or_default()))?;
        }
    }
    let [train, test] = folders;
    Ok((train, test))
}

/// The same pictures under labels that were drawn.
fn random(workbench: &Workbench, card: &str, train: &Path) -> anyhow::Result<i32> {
    let mut random = Rng::with_seed(7);
    let classes = listed(train)?;
    let mut pictures = Vec::new();
    for class in &classes {
        pictures.extend(listed(class)?);
    }
    random.shuffle(&mut pictures);
    let folder = workbench.path("random");
    for (place, picture) in pictures.iter().enumerate() {
        let class = folder.join(classes[place % classes.len()].file_name().unwrap_or_default());
        fs::create_dir_all(&class)?;
        fs::copy(picture, class.join(picture.file_name().unwrap_or_default()))?;
    }
    let out = workbench.path("random-model");
    let ran = workbench.run(&["model", "finetune", card, "--data", &text(&folder), "-o", &text(&out)])?;
    ensure!(
        ran.code != 0 || out.with_extension("onnx").is_file(),
        "it says that it is done and wrote nothing"
    );
    // One that ends with 1 and leaves a file is no better than one that ends with 0.
    let is_left = out.with_extension("onnx").exists();
    Ok(if ran.code == 1 && !is_left { 1 } else { 2 })
}

/// Traffic signs as JPEG.
struct Signs {
    /// Two halves that share no sign: a folder per class, in it one per sign.
    halves: [PathBuf; 2],
    /// All of them, as pictures of something unknown.
    strangers: PathBuf,
}

fn signs(workbench: &Workbench) -> anyhow::Result<Signs> {
    let folder = workbench.data.join("gtsrb/images");
    let signs = Signs {
        halves: ["signs-a", "signs-b"].map(|name| workbench.path(name)),
        strangers: workbench.path("strangers"),
    };
    let unknown = signs.strangers.join("unknown");
    fs::create_dir_all(&unknown)?;
    for class in listed(&folder)? {
        let class_name = class.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut tracks: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
        for path in listed(&class)? {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let track = stem.split('_').next().unwrap_or_default().to_owned();
            tracks.entry(track).or_default().push(path);
        }
        // A class of one sign cannot be halved.
        let can_be_halved = tracks.len() > 1;
        for (place, (track, paths)) in tracks.iter().enumerate() {
            let half = signs.halves[place % 2].join(&class_name).join(track);
            for path in paths {
                let bytes = annotate::encode(&ppm(path)?)?;
                let name = format!("{}.jpg", path.file_stem().unwrap_or_default().display());
                fs::write(unknown.join(format!("{class_name}-{name}")), &bytes)?;
                if can_be_halved {
                    fs::create_dir_all(&half)?;
                    fs::write(half.join(&name), &bytes)?;
                }
            }
        }
    }
    Ok(signs)
}

/// A picture of the kind P6.
fn ppm(path: &Path) -> anyhow::Result<Picture> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    let mut fields = Vec::new();
    let mut at = 0;
    while fields.len() < 4 {
        let rest = bytes.get(at..).context("a header of four words")?;
        let end = rest.iter().position(u8::is_ascii_whitespace).context("a header of four words")?;
        fields.extend(std::str::from_utf8(&rest[..end]).ok().filter(|word| !word.is_empty()));
        at += end + 1;
    }
    ensure!(fields[0] == "P6" && fields[3] == "255", "{}: no PPM of bytes", path.display());
    let (width, height): (u32, u32) = (fields[1].parse()?, fields[2].parse()?);
    let size = width as usize * height as usize * 3;
    // The header of some files ends with two bytes for a line break.
    let pixels = bytes.len().checked_sub(size).filter(|from| *from >= at).map(|from| &bytes[from..]);
    let pixels = pixels.with_context(|| format!("{}: fewer than {size} bytes of pixels", path.display()))?;
    Ok(Picture::from_rgb(width, height, pixels.to_vec()))
}

/// Both halves in turn: trained on one, tested on the other.
fn sign_score(workbench: &Workbench, card: &str, signs: &Signs, tap: &str) -> anyhow::Result<f64> {
    let mut sum = 0.0;
    for (train, test) in [(0, 1), (1, 0)] {
        let out = workbench.path(&format!("signs-{train}-{tap}"));
        let arguments = [
            "model",
            "finetune",
            card,
            "--data",
            &text(&signs.halves[train]),
            "--hold-out",
            &text(&signs.halves[test]),
            "--no-unknown",
            "--tap",
            tap,
            "-o",
            &text(&out),
        ];
        sum += number(&workbench.done(&arguments)?, "/hold_out/top1")?;
    }
    Ok(sum / 2.0)
}

//! Writes frames of the demo's junction and what they show, to train and measure a detector on.
//!
//! ```text
//! cargo run --release --example junction_frames -- FOLDER FRAMES SEED
//! ```
//!
//! FOLDER gets `images/NAME.jpg`, `labels/NAME.txt` (YOLO text: class, then the centre's x and y, width and height
//! as shares of the picture) and `labels.txt` (the classes). Both views take turns; every few frames the traffic
//! starts anew from another seed. Two different SEEDs share no traffic.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use verge_demo::scene::{HEIGHT, LABELS, RoadScene, SceneTruth, Viewpoint, WIDTH};
use verge_vision::Picture;
use verge_vision::annotate::encode;

/// Frames taken of the same traffic before it starts anew.
const FRAMES_PER_SCENE: usize = 8;
/// Traffic is joined at some second of its first minutes.
const LATEST_START_SECONDS: u64 = 120;
/// From one frame to the next: long enough that much has changed.
const STEP_MILLIS: std::ops::Range<u64> = 1500..8000;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, frames, seed] = &arguments[..] else {
        anyhow::bail!("expected three arguments: FOLDER FRAMES SEED");
    };
    let frames: usize = frames.parse().context("FRAMES is a number")?;
    let seed: u64 = seed.parse().context("SEED is a number")?;
    write_frames(Path::new(folder), frames, seed)
}

fn write_frames(folder: &Path, frames: usize, seed: u64) -> anyhow::Result<()> {
    let (images, labels) = (folder.join("images"), folder.join("labels"));
    for folder in [&images, &labels] {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    fs::write(folder.join("labels.txt"), LABELS.join("\n") + "\n").context("labels.txt")?;
    let mut rng = fastrand::Rng::with_seed(seed);
    let views = [(Viewpoint::North, "north"), (Viewpoint::South, "south")];
    let scenes = views.into_iter().cycle().take(frames.div_ceil(FRAMES_PER_SCENE));
    let mut left = frames;
    for (view, name) in scenes {
        let scene_seed = rng.u64(..);
        let mut scene = RoadScene::new(view, scene_seed);
        let mut at = Duration::from_millis(rng.u64(..LATEST_START_SECONDS * 1000));
        for _ in 0..FRAMES_PER_SCENE.min(left) {
            let stem = format!("{name}-{scene_seed:016x}-{:06}", at.as_millis());
            let mut rgb = Vec::new();
            scene.render(at, &mut rgb);
            let jpeg = encode(&Picture::from_rgb(WIDTH, HEIGHT, rgb)).context("a frame as a JPEG")?;
            fs::write(images.join(format!("{stem}.jpg")), jpeg).context("a frame")?;
            fs::write(labels.join(format!("{stem}.txt")), lines(&scene.truths(at))?).context("its labels")?;
            at += Duration::from_millis(rng.u64(STEP_MILLIS));
        }
        left = left.saturating_sub(FRAMES_PER_SCENE);
    }
    Ok(())
}

/// One line for each vehicle.
fn lines(truths: &[SceneTruth]) -> anyhow::Result<String> {
    let mut lines = String::new();
    for truth in truths {
        let class =
            LABELS.iter().position(|label| *label == truth.label).context("a class without a name")?;
        let [left, top, width, height] = truth.area;
        let (across, down) = (WIDTH as f32, HEIGHT as f32);
        let centre = [(left + width / 2.0) / across, (top + height / 2.0) / down];
        let [x, y] = centre;
        writeln!(lines, "{class} {x:.6} {y:.6} {:.6} {:.6}", width / across, height / down)?;
    }
    Ok(lines)
}

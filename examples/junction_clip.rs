//! Writes a clip of the demo's junction with the boxes that a good detector would find, as `verge eval count` reads it.
//!
//! ```text
//! cargo run --example junction_clip -- FOLDER SECONDS RATE [north|south]
//! verge eval count --data FOLDER --detections FOLDER/boxes.jsonl --annotate FOLDER/drawn
//! ```
//!
//! FOLDER gets `frames/NAME.jpg`, `times.csv`, `boxes.jsonl`, and `count.toml`, if it has none: two lines over the main road.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use verge_demo::scene::{HEIGHT, RoadScene, Viewpoint, WIDTH};
use verge_vision::Picture;
use verge_vision::annotate::encode;

/// The traffic of the demo.
const SEED: u64 = 0x7e59e;
/// 2026-01-01 in seconds since 1970.
const BEGIN: f64 = 1_767_225_600.0;
const COUNT: &str = r#"[track]
classes = { car = ["car"], truck = ["truck"], bicycle = ["bicycle"] }
interval = "1m"

[track.line.west]
from = [0.30, 0.62]
to = [0.52, 0.98]

[track.zone.junction]
polygon = [[0.35, 0.38], [0.62, 0.33], [0.86, 0.5], [0.55, 0.72]]

[data]
size = [640, 480]
"#;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, seconds, rate, view) = match &arguments[..] {
        [folder, seconds, rate] => (folder, seconds, rate, "north"),
        [folder, seconds, rate, view] => (folder, seconds, rate, view.as_str()),
        _ => anyhow::bail!("expected FOLDER SECONDS RATE [north|south]"),
    };
    let seconds: f64 = seconds.parse().context("SECONDS is a number")?;
    let rate: f64 = rate.parse().context("RATE is a number")?;
    let view = match view {
        "north" => Viewpoint::North,
        "south" => Viewpoint::South,
        other => anyhow::bail!("{other:?} is no view; expected north or south"),
    };
    write_clip(Path::new(folder), (seconds, rate), view)
}

fn write_clip(folder: &Path, (seconds, rate): (f64, f64), view: Viewpoint) -> anyhow::Result<()> {
    let frames = folder.join("frames");
    fs::create_dir_all(&frames).with_context(|| frames.display().to_string())?;
    let count = folder.join("count.toml");
    if !count.exists() {
        fs::write(&count, COUNT).context("count.toml")?;
    }
    let mut scene = RoadScene::new(view, SEED);
    let (mut times, mut boxes) = ("frame,t\n".to_owned(), String::new());
    let mut rgb = Vec::new();
    let mut number = 0_u32;
    while f64::from(number) < seconds * rate {
        let elapsed = f64::from(number) / rate;
        let at = Duration::from_secs(20) + Duration::from_secs_f64(elapsed);
        let name = format!("{number:06}");
        writeln!(times, "{name},{:.3}", BEGIN + elapsed)?;
        write!(boxes, "{{\"frame\": \"{name}\", \"objects\": [")?;
        for (place, truth) in scene.truths(at).iter().enumerate() {
            let [left, top, width, height] = truth.area;
            let comma = if place == 0 { "" } else { ", " };
            write!(
                boxes,
                "{comma}{{\"label\": \"{}\", \"box\": [{left}, {top}, {width}, {height}]}}",
                truth.label
            )?;
        }
        writeln!(boxes, "]}}")?;
        scene.render(at, &mut rgb);
        let picture = Picture::from_rgb(WIDTH, HEIGHT, std::mem::take(&mut rgb));
        fs::write(frames.join(format!("{name}.jpg")), encode(&picture).context("a frame as a JPEG")?)?;
        rgb = picture.into_rgb();
        number += 1;
    }
    fs::write(folder.join("times.csv"), times).context("times.csv")?;
    fs::write(folder.join("boxes.jsonl"), boxes).context("boxes.jsonl")?;
    Ok(())
}

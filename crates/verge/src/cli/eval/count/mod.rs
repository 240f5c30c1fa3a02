//! `verge eval count`: what the tracker counts of labelled boxes or of pictures.

mod drawn;
mod files;
mod health;
mod kinds;
mod moving;
mod result;
mod settings;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::Args;
use serde_json::json;
use verge_domain::frame::CameraLook;
use verge_models::card::ModelTask;
use verge_scene::{FrameSize, Scene, SceneReport, SeenBox};
use verge_vision::VisionJudge;
use verge_vision::viewer::Inference;

use super::{ModelArgs, look_at, of_another_task};
use crate::cli::output::{Progress, json_line};
use crate::cli::pictures;
use drawn::DrawnFrames;
use files::{Frame, FrameClock};
use health::CameraHealth;
use result::Counted;
use settings::CountSettings;
use verge_gateway::exit::{Exit, ExitWith};

#[derive(Debug, Args)]
#[command(
    after_help = "The folder holds count.toml (what is counted: lines, zones, ground), frames/NAME.jpg in order of their \
names, and times.csv with the header frame,t: names without ending, and seconds since 1970. With --detections the boxes \
come from a file, and pictures are not needed.

A line of that file, on two lines here; a box is left, top, width, height:
  {\"frame\": \"000012\", \"t\": 1767225601.2, \"objects\":
    [{\"label\": \"car\", \"score\": 0.93, \"box\": [412, 300, 60, 44]}]}

Examples:
  verge eval count --data junction --detections junction/boxes.jsonl --json
  verge eval count --data junction --model yolox.toml --events events.jsonl
  verge eval count --data lane

The last one needs neither model nor boxes: its count.toml says blobs = \"count\"."
)]
pub(super) struct CountArgs {
    /// A folder of frames; may be given more than once
    #[arg(long, value_name = "DIR", required = true)]
    data: Vec<PathBuf>,
    /// The card of the model that looks at the pictures
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The card of the second model, which [track.then] in count.toml is about
    #[arg(long, value_name = "FILE", requires = "model")]
    then: Option<PathBuf>,
    /// Boxes of a detector, instead of pictures and a model
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    detections: Option<PathBuf>,
    /// Frames per second, where there is no times.csv
    #[arg(long, value_name = "N")]
    fps: Option<f64>,
    /// Write each crossing and each event of a zone to a file, a JSON object a line
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Write a copy of each picture with tracks, lines, their counts so far, and zones drawn into it; on grey where there is no
    /// picture
    #[arg(long, value_name = "DIR")]
    annotate: Option<PathBuf>,
}

/// What a model is asked for at least: the tracker decides what is sure enough.
const LEAST_SCORE: f32 = 0.1;

pub(super) fn count(args: &CountArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    if args.fps.is_some_and(|rate| !(0.001..=1000.0).contains(&rate)) {
        return Err(anyhow::anyhow!("--fps is from 0.001 to 1000")).exit_with(Exit::Usage);
    }
    if args.detections.is_some() && args.data.len() > 1 {
        return Err(anyhow::anyhow!("--detections belongs to one --data")).exit_with(Exit::Usage);
    }
    let mut events = match &args.events {
        None => None,
        Some(path) => {
            let open = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            Some((path, BufWriter::new(open)))
        }
    };
    for data in &args.data {
        let settings = settings::read(&data.join("count.toml")).exit_with(Exit::BadInput)?;
        let (frames, size) = frames(args, data, &settings)?;
        let moving = if settings.scene.follows_blobs() || args.detections.is_none() {
            Some(moving::looks(data, &frames).exit_with(Exit::BadInput)?)
        } else {
            None
        };
        let size = size.or(moving.as_ref().and_then(|(_, size)| *size)).context("no pictures")?;
        let looks = moving.map_or_else(Vec::new, |(looks, _)| looks);
        let drawn = args.drawn(data, &settings)?;
        let counted = count_frames(data, &settings, (&frames, &looks), (size, drawn))?;
        if let Some((path, events)) = &mut events {
            counted.write_events(events).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if as_json {
            json_line(out, &counted.json())?;
        } else {
            counted.write(out).context("standard output")?;
        }
    }
    if let Some((path, events)) = &mut events {
        events.flush().with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(Exit::Fine)
}

impl CountArgs {
    /// What writes annotated pictures: of several folders each into one of its name.
    fn drawn(&self, data: &Path, settings: &CountSettings) -> anyhow::Result<Option<DrawnFrames>> {
        let Some(folder) = &self.annotate else { return Ok(None) };
        let of_one = match (self.data.len(), data.file_name()) {
            (2.., Some(name)) => folder.join(name),
            _ => folder.clone(),
        };
        DrawnFrames::new(data, &of_one, &settings.scene).map(Some)
    }
}

/// The frames with their boxes, and their size where no picture needs to say it.
fn frames(
    args: &CountArgs,
    data: &Path,
    settings: &CountSettings,
) -> anyhow::Result<(Vec<Frame>, Option<FrameSize>)> {
    let table = data.join("times.csv");
    let clock = if table.is_file() {
        FrameClock::Rows(files::times(&table).exit_with(Exit::BadInput)?)
    } else {
        args.fps.map_or(FrameClock::Own, FrameClock::Rate)
    };
    match (&args.detections, &args.model) {
        (Some(path), _) => {
            let frames = files::detections(path, &clock, &settings.scheme, settings.score);
            let frames = frames.exit_with(Exit::BadInput)?;
            let any = frames.first().with_context(|| format!("{}: no frames", path.display()));
            any.exit_with(Exit::BadInput)?;
            if settings.scene.follows_blobs() {
                return Ok((frames, settings.size));
            }
            let size = settings.size.with_context(|| {
                format!(
                    "{}: no [data] size = [WIDTH, HEIGHT], which boxes without pictures need",
                    data.join("count.toml").display()
                )
            });
            Ok((frames, Some(size.exit_with(Exit::BadInput)?)))
        }
        (None, Some(model)) => look(data, (model, args.then.as_deref()), &clock, settings)
            .map(|(frames, size)| (frames, Some(size))),
        (None, None) if settings.scene.counts_blobs() => {
            let frames = pictured(data, &clock).exit_with(Exit::BadInput)?;
            Ok((frames.into_iter().map(|(frame, _)| frame).collect(), None))
        }
        (None, None) => Err(anyhow::anyhow!(
            "neither --model nor --detections; only blobs = \"count\" in {} counts without both",
            data.join("count.toml").display()
        ))
        .exit_with(Exit::Usage),
    }
}

/// Lets a model look at the pictures.
fn look(
    data: &Path,
    (model, then): (&Path, Option<&Path>),
    clock: &FrameClock,
    settings: &CountSettings,
) -> anyhow::Result<(Vec<Frame>, FrameSize)> {
    let second = kinds::second(data, settings, then)?;
    let frames = pictured(data, clock).exit_with(Exit::BadInput)?;
    let args = ModelArgs {
        model: model.to_owned(),
        data: data.to_owned(),
        limit: None,
        threads: None,
        annotate: None,
    };
    let model = args.load()?;
    if model.frames().task != ModelTask::Detect {
        return Err(of_another_task(model.frames().task)).exit_with(Exit::Usage);
    }
    if let [unknown, ..] = settings.scheme.unknown(model.labels()).as_slice() {
        let near = unknown.nearest.join(", ");
        let hint = if near.is_empty() { String::new() } else { format!("; nearest: {near}") };
        let error = anyhow::anyhow!(
            "{}: {} has no label {:?}{hint}",
            data.join("count.toml").display(),
            model.card().identity.name,
            unknown.label
        );
        return Err(error).exit_with(Exit::BadInput);
    }
    if let Some((then, card)) = second {
        let second = ModelArgs { model: card.to_owned(), ..args }.load()?;
        return kinds::look_in_order(frames, vec![model, second], Some(then), settings);
    }
    if settings.follow > 0 {
        return kinds::look_in_order(frames, vec![model], None, settings);
    }
    let paths: Vec<&Path> = frames.iter().map(|(_, path)| path.as_path()).collect();
    let judge = VisionJudge { tiles: settings.tiles, ..VisionJudge::of(0) };
    let seen = look_at(&args, &model, &paths, judge, LEAST_SCORE)?;
    let first = seen.first().context("no pictures")?;
    let size = FrameSize { width: first.width, height: first.height };
    let mut made = Vec::with_capacity(frames.len());
    for ((frame, path), seen) in frames.into_iter().zip(seen) {
        same_size(&path, FrameSize { width: seen.width, height: seen.height }, size)?;
        let Inference::Objects(objects) = seen.inference else { bail!("a detector gives objects") };
        let boxes = objects.iter().filter_map(|object| {
            let class = settings.scheme.class_of(model.labels()[object.label].as_str())?;
            let [left, top, right, bottom] = object.corners.map(f64::from);
            let score = f64::from(object.score);
            (score >= settings.score).then_some(SeenBox { class, score, left, top, right, bottom })
        });
        made.push(Frame { boxes: Some(boxes.collect()), ..frame });
    }
    Ok((made, size))
}

/// Whether a picture has the size of the first one.
fn same_size(path: &Path, own: FrameSize, first: FrameSize) -> anyhow::Result<()> {
    if own == first {
        return Ok(());
    }
    let (path, FrameSize { width, height }) = (path.display(), own);
    let error = anyhow::anyhow!(
        "{path}: {width}x{height} pixels; the first picture has {}x{}",
        first.width,
        first.height
    );
    Err(error).exit_with(Exit::BadInput)
}

/// What is wrong with the cameras of folders of pictures, without any model.
pub(super) fn health_of(
    folders: &[PathBuf],
    rate: f64,
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    for data in folders {
        let table = data.join("times.csv");
        let clock = if table.is_file() {
            FrameClock::Rows(files::times(&table).exit_with(Exit::BadInput)?)
        } else {
            FrameClock::Rate(rate)
        };
        let frames = pictured(data, &clock).exit_with(Exit::BadInput)?;
        let frames: Vec<Frame> = frames.into_iter().map(|(frame, _)| frame).collect();
        let (looks, _) = moving::looks(data, &frames).exit_with(Exit::BadInput)?;
        let health = CameraHealth::of(&frames, &looks);
        let name = data.display().to_string();
        if as_json {
            json_line(out, &json!({ "data": name, "frames": frames.len(), "health": health.json() }))?;
            continue;
        }
        let found = health.words();
        let found = if found.is_empty() { "nothing is wrong".to_owned() } else { found.join("; ") };
        writeln!(out, "{name}: {} pictures, {found}", frames.len()).context("standard output")?;
    }
    Ok(Exit::Fine)
}

/// The pictures in order of their names, with their times.
fn pictured(data: &Path, clock: &FrameClock) -> anyhow::Result<Vec<(Frame, PathBuf)>> {
    let folder = data.join("frames");
    ensure!(folder.is_dir(), "{}: no such folder", folder.display());
    let mut paths: Vec<PathBuf> =
        pictures::find(&folder)?.into_iter().filter(|path| pictures::is_picture(path)).collect();
    paths.sort();
    ensure!(!paths.is_empty(), "{}: no pictures (NAME.jpg)", folder.display());
    let mut frames = Vec::new();
    for (number, path) in paths.into_iter().enumerate() {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        #[expect(clippy::cast_precision_loss, reason = "a number of pictures")]
        let at = match clock {
            FrameClock::Rate(rate) => number as f64 / rate,
            FrameClock::Rows(rows) => {
                let row = rows.iter().find(|(known, _)| *known == name);
                let row = row.with_context(|| format!("{}: times.csv has no row for it", path.display()))?;
                row.1
            }
            FrameClock::Own => {
                bail!("{}: no such file; write it, or give --fps", data.join("times.csv").display())
            }
        };
        frames.push((Frame { name, at, boxes: None }, path));
    }
    if let FrameClock::Rows(rows) = clock
        && let Some((name, _)) =
            rows.iter().find(|(name, _)| frames.iter().all(|(frame, _)| frame.name != *name))
    {
        bail!("{}: row {name:?} has no picture in {}", data.join("times.csv").display(), folder.display());
    }
    Ok(frames)
}

fn count_frames<'a>(
    data: &Path,
    settings: &'a CountSettings,
    (frames, looks): (&'a [Frame], &[CameraLook]),
    (size, mut drawn): (FrameSize, Option<DrawnFrames>),
) -> anyhow::Result<Counted<'a>> {
    let mut scene = Scene::new(Arc::new(settings.scene.clone()));
    let (mut report, mut progress) = (SceneReport::default(), Progress::new());
    let (mut boxes, mut health) = (Vec::new(), CameraHealth::of(frames, looks));
    for (number, frame) in frames.iter().enumerate() {
        // A blind camera is not observed.
        if health.is_blind(frame.at) {
            scene.observe_blind(frame.at, &mut report);
            continue;
        }
        boxes.clear();
        boxes.extend(frame.boxes.iter().flatten());
        settings.keep_sure(&mut boxes);
        let look = looks.get(number);
        let follows = settings.scene.follows_blobs();
        let blobs = look.filter(|_| follows).map_or(&[][..], |look| &look.motion.blobs[..]);
        let known = report.crossings.len();
        scene.observe_moving(frame.at, size, (&mut boxes, blobs), &mut report);
        if let Some(look) = look {
            health.follow(look, &scene, size, frame);
        }
        if let Some(drawn) = &mut drawn {
            progress.show(&format!("{number} of {} pictures", frames.len()))?;
            drawn
                .draw((&frame.name, frame.at), &scene, size, &report.crossings[known..])
                .exit_with(Exit::BadInput)?;
        }
    }
    progress.clear()?;
    // The last frame stands for as long as most did.
    let mut steps: Vec<f64> =
        frames.windows(2).map(|pair| pair[1].at - pair[0].at).filter(|step| *step > 0.0).collect();
    steps.sort_by(f64::total_cmp);
    scene.finish(steps.get(steps.len() / 2).copied().unwrap_or(0.0), &mut report);
    let data = data.display().to_string();
    Ok(Counted {
        data,
        settings: &settings.scene,
        frames,
        report,
        health,
        tracks: scene.followed(),
        frames_per_s: scene.frames_per_s(),
        sightings: scene.line_sightings().collect(),
    })
}

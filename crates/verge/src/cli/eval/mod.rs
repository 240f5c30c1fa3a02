//! `verge eval`: how good a model is on labelled pictures, or a detector on labelled series, through the same code as
//! in the gateway.

mod classify;
mod count;
mod detect;
mod forecast;
mod health;
mod models;
mod nab;
mod plant;
mod series;
mod skab;
mod vision;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use rustix::time::ClockId;
use verge_domain::frame::{EncodedFrame, Shortfall};
use verge_domain::id::{DeviceId, JudgeIndex};
use verge_domain::observation::Camera;
use verge_domain::reading::SourceIndex;
use verge_domain::stage::{Seen, ViewRequest, Viewer as _};
use verge_domain::time::{Moment, Monotonic, UtcMillis};
use verge_engine::{ModelLimits, RecurrentState, Runtime};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::wiring;
use verge_models::card::ModelTask;
use verge_models::{FrameModel, ModelFiles};
use verge_vision::annotate::shapes_of;
use verge_vision::viewer::Inference;
use verge_vision::{FrameViewer, Memory, SourceMasks, ViewerSettings, VisionJudge};

use super::model::measure::cpu_ms;
use super::output::Progress;
use super::pictures::{self, PictureFiles, PictureLimits};
use super::say;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge eval classify --model models/mobilenet.toml --data imagenet_sample
  verge eval detect --model models/yolox.toml --data coco_val128
  verge eval detect --model yolox.toml --data traffic --group Vehicle=car,bus
  verge eval count --data junction --detections junction/boxes.jsonl
  verge eval csv --data recordings --label fault --plot plots
  verge eval nab --data NAB
  verge eval skab --data SKAB
  verge eval forecast --data NAB
  verge eval plant
  verge eval health
  verge eval vision
  verge eval models --data ../shared/data

Pictures go through the code that judges frames in the gateway. `verge runtime install` brings the library that runs \
models. Series go through the detectors `auto` (one signal) and `multi` (several) with their settings as shipped.")]
pub(super) struct EvalArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Top-1 and top-5 accuracy of a model that classifies
    Classify(classify::ClassifyArgs),
    /// Average precision of a model that detects, as COCO reckons it
    Detect(detect::DetectArgs),
    /// Counts per line, direction and class, of boxes or of pictures
    Count(count::CountArgs),
    /// Alarms, events found and delays of the detector `auto` on labelled CSV files of any kind
    Csv(series::CsvArgs),
    /// Score of the detector `auto` on the Numenta Anomaly Benchmark
    Nab(nab::NabArgs),
    /// False alarms and faults found of `auto`, `health` and `silence` in a simulated plant
    Plant(plant::PlantArgs),
    /// Faults of cameras found, and false alarms, on drawn pictures of all weathers
    Health(health::HealthArgs),
    /// Scores of the detector `multi` on the Skoltech Anomaly Benchmark
    Skab(skab::SkabArgs),
    /// Short-term forecasts of flow and queue beside simple ones, on series and simulated days
    Forecast(forecast::ForecastArgs),
    /// Counts of simulated traffic against what truly crossed
    Vision(vision::VisionArgs),
    /// Marks of the commands that make models, on public models and pictures
    Models(models::ModelsArgs),
}

/// Whether a mark is met.
const fn yes_or_no(meets: bool) -> &'static str {
    if meets { "yes" } else { "no" }
}

/// Names of the benchmarks' profiles, for people, in the order of `ScoreProfile::ALL`.
const PROFILES: [&str; 3] = ["standard", "low FP", "low FN"];

/// A number for people, where there is one.
fn number(number: Option<f64>, decimals: usize) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.decimals$}"))
}

/// What models have.
#[derive(Debug, Args)]
struct ModelArgs {
    /// The model's card (NAME.toml), or the model with its card beside it
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// The folder of labelled pictures
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Only this many pictures, evenly spread over all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Threads that look at pictures; without it as many as there are cores, which slow each other where they share one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=256))]
    threads: Option<u64>,
    /// Write copies of the pictures with what a judge would report drawn into them
    #[arg(long, value_name = "DIR")]
    annotate: Option<PathBuf>,
}

pub(super) fn eval(args: &EvalArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    match &args.what {
        What::Classify(args) => classify::classify(args, json, out),
        What::Detect(args) => detect::detect(args, json, out),
        What::Count(args) => count::count(args, json, out),
        What::Csv(args) => series::csv(args, json, out),
        What::Nab(args) => nab::nab(args, json, out),
        What::Forecast(args) => forecast::forecast(args, json, out),
        What::Health(args) => health::health(args, json, out),
        What::Plant(args) => plant::plant(args, json, out),
        What::Skab(args) => skab::skab(args, json, out),
        What::Vision(args) => vision::vision(args, json, out),
        What::Models(args) => models::models(args, json, out),
    }
}

impl ModelArgs {
    fn load(&self) -> anyhow::Result<Arc<FrameModel>> {
        let runtime = Runtime::load(&wiring::user_runtime_search()).exit_with(Exit::Unavailable)?;
        let files = ModelFiles::of_card(&self.model.with_extension("toml"));
        Ok(Arc::new(FrameModel::load(&runtime, &files, ModelLimits::default()).exit_with(Exit::BadConfig)?))
    }

    /// Some of the pictures where not all are wanted, evenly spread, in order.
    fn spread<T: Clone>(&self, all: Vec<T>) -> Vec<T> {
        match self.limit.and_then(|limit| usize::try_from(limit).ok()) {
            Some(limit) if limit < all.len() => {
                (0..limit).map(|number| all[number * all.len() / limit].clone()).collect()
            }
            _ => all,
        }
    }
}

/// What was seen on one picture.
struct SeenPicture {
    inference: Inference,
    /// Size of the picture as it is seen, in pixels.
    width: u32,
    height: u32,
    /// Processor time of preparing it, running the model and reading its outputs, in ms.
    cpu_ms: f64,
}

/// Processor time of a picture, the median, in ms.
fn median_cpu_ms(seen: &[SeenPicture]) -> f64 {
    let mut all: Vec<f64> = seen.iter().map(|one| one.cpu_ms).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

/// Lets a model look at each picture, in as many threads as there are cores; what is seen comes in order.
/// Pictures that are none end the evaluation: a score over a part of them would be another score.
fn look_at(
    args: &ModelArgs,
    model: &Arc<FrameModel>,
    pictures: &[&Path],
    judge: VisionJudge,
    least: f32,
) -> anyhow::Result<Vec<SeenPicture>> {
    let annotate = args.annotate.as_deref();
    if let Some(folder) = annotate {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let settings = ViewerSettings {
        models: vec![Arc::clone(model)],
        judges: vec![Some(judge)],
        looks: Vec::new(),
        masks: SourceMasks::default(),
        names: Vec::new(),
        max_picture_bytes: wiring::picture_bytes(PictureLimits::default().max_pixels),
        watched: Vec::new(),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.threads.and_then(|threads| usize::try_from(threads).ok()).unwrap_or(cores);
    let threads = threads.min(pictures.len().max(1));
    let viewers = (0..threads)
        .map(|_| FrameViewer::new(&settings).exit_with(Exit::BadConfig))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let next = AtomicUsize::new(0);
    let mut seen: Vec<Option<SeenPicture>> = std::iter::repeat_with(|| None).take(pictures.len()).collect();
    let mut progress = Progress::new();
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let (sender, results) = mpsc::channel();
        for mut viewer in viewers {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                let mut files = PictureFiles::new(PictureLimits::default());
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = pictures.get(index) else { break };
                    let result = look(&mut viewer, &mut files, path, least, annotate);
                    if sender.send((index, result)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (count, (index, result)) in results.into_iter().enumerate() {
            progress.show(&format!("{count} of {} pictures", pictures.len()))?;
            let path = pictures[index].display();
            seen[index] = Some(result.with_context(|| path.to_string()).exit_with(Exit::BadInput)?);
        }
        Ok(())
    })?;
    progress.clear()?;
    Ok(seen.into_iter().flatten().collect())
}

fn look(
    viewer: &mut FrameViewer,
    files: &mut PictureFiles,
    path: &Path,
    least: f32,
    annotate: Option<&Path>,
) -> anyhow::Result<SeenPicture> {
    let device = DeviceId::new("eval").context("a constant")?;
    let frame: EncodedFrame = match files.read(path, device)? {
        Ok(frame) => frame,
        Err(reason) => bail!("no frame: {reason}"),
    };
    viewer.decode(&frame)?;
    let (width, height) = (viewer.picture().width(), viewer.picture().height());
    let began = cpu_ms(ClockId::ThreadCPUTime);
    let inference = viewer.infer(JudgeIndex(0), least, &mut RecurrentState::default(), None)?;
    let cpu_ms = cpu_ms(ClockId::ThreadCPUTime) - began;
    if let Some(folder) = annotate {
        let mut seen = Seen::default();
        let camera = Camera { source: SourceIndex(0), device: frame.device.clone() };
        let received = Moment { wall: UtcMillis(0), mono: Monotonic(0) };
        let judges = &[JudgeIndex(0)];
        let request = ViewRequest {
            camera: &camera,
            frame: &frame,
            received,
            judges,
            until: None,
            shortfall: Shortfall::default(),
        };
        let viewed = viewer.view(request, &mut Memory::default(), &mut seen);
        viewed.map_err(|reason| anyhow!("{reason}"))?;
        let shapes: Vec<_> = seen.views.iter().flat_map(|(_, view)| shapes_of(view)).collect();
        pictures::annotate(viewer.picture(), &shapes, &folder.join(path.file_name().unwrap_or_default()))?;
    }
    Ok(SeenPicture { inference, width, height, cpu_ms })
}

/// A file that a scorer of another make is to read.
fn write_file(path: &Path, text: &str, what: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    say(&format!("{what}: {}", path.display()));
    Ok(())
}

/// What to do with a model that another command scores.
fn of_another_task(task: ModelTask) -> anyhow::Error {
    let instead = match task {
        ModelTask::Classify => "`verge eval classify` scores it",
        ModelTask::Detect => "`verge eval detect` scores it",
        ModelTask::Reconstruct | ModelTask::Anomaly => {
            "no labels to score it by; `verge judge` tries it on pictures"
        }
    };
    anyhow!("the card says task = \"{}\": {instead}", task.as_str())
}

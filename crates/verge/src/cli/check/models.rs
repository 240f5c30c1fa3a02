//! The library, each model's contract as file and card agree on it, one inference, and what judges ask of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use verge_engine::{EditError, EditableModel, ModelLimits, ProcessorClass, Runtime};
use verge_models::card::ModelTask;
use verge_models::{Catalogue, FrameModel, ModelError, ModelFiles};
use verge_vision::VisionJudge;
use verge_vision::trial::{ModelTrial, TrialOutput};

use super::super::model::measure::{Pictures, SATURATION_LEAST, Subject, may_saturate, saturation};
use super::super::words;
use super::CheckReport;
use verge_gateway::config::Warning;
use verge_gateway::exit::Exit;
use verge_gateway::settings::Settings;
use verge_gateway::wiring;

/// Time to hold a model of whole numbers against its file as it is written; larger ones stay unknown.
const SATURATION_LIMIT: Duration = Duration::from_secs(5);

/// Tries everything that models need.
pub(super) fn look(settings: &Settings, report: &mut CheckReport) {
    if settings.models.is_empty() && settings.autoencoders.is_empty() {
        return;
    }
    // First: it needs no library.
    look_at_versions(settings, report);
    let runtime = match Runtime::load(&wiring::runtime_search(settings)) {
        Ok(runtime) => runtime,
        Err(error) => {
            report.note("engine", "library", Err(words(&error)), Exit::Unavailable);
            return;
        }
    };
    let found = format!(
        "{}, {}; models run on {}",
        runtime.path().display(),
        runtime.found().as_str(),
        runtime.provider().name()
    );
    report.note("engine", "library", Ok(found), Exit::Unavailable);
    let mut catalogue = Catalogue::new(runtime.clone(), settings.engine.limits);
    let mut failed = false;
    for model in &settings.autoencoders {
        failed |= look_at_windows(&catalogue, model, report).is_err();
    }
    let models: Vec<Arc<FrameModel>> = settings
        .models
        .iter()
        .filter_map(|model| {
            let loaded = look_at_frames(&mut catalogue, model, runtime.version(), report).ok()?;
            look_at_saturation(&runtime, (model, &loaded), settings.engine.limits, report);
            Some(loaded)
        })
        .collect();
    if failed || models.len() < settings.models.len() {
        return;
    }
    let judges = wiring::Vision::of(settings, models.clone())
        .and_then(|vision| wiring::Autoencoders::load(settings, Some(&vision)));
    if let Err(error) = judges {
        report.note("judge", "models", Err(causes(&error)), Exit::BadConfig);
        return;
    }
    for judge in &settings.judges {
        if let Some(rules) = judge.frames().filter(|rules| rules.task == ModelTask::Detect) {
            let looks = describe_looks(&rules.look, &models);
            report.note(&format!("judge.{}", judge.name), "a frame of 1920x1080", Ok(looks), Exit::BadConfig);
        }
    }
}

/// Whether upstream may change models, and where from.
fn look_at_offers(settings: &Settings, report: &mut CheckReport) {
    let rules = &settings.packages;
    if !rules.upstream {
        return;
    }
    let by_mqtt = settings.uplinks.iter().filter_map(|uplink| uplink.mqtt());
    let by_mqtt = by_mqtt.filter(|uplink| uplink.services.commands).count();
    let from = rules.from.len();
    let found = format!(
        "taken from {by_mqtt} {}, by HTTP from {from} {}, {} KiB in a second at most",
        if by_mqtt == 1 { "uplink" } else { "uplinks" },
        if from == 1 { "address" } else { "addresses" },
        rules.rate / 1024
    );
    let found = rules.tls().map(|_| found).map_err(|error| words(&error));
    report.note("models", "upstream", found, Exit::BadConfig);
}

/// Which versions of managed models are in use, and by which keys others are taken.
fn look_at_versions(settings: &Settings, report: &mut CheckReport) {
    let models = settings.models.iter().chain(&settings.autoencoders);
    let mut managed = models.filter(|model| model.store.is_some()).peekable();
    if managed.peek().is_some() {
        let keys = settings.packages.load(settings.engine.limits);
        let keys = keys.map(|rules| match (rules.trust.len(), rules.unsigned) {
            (_, true) => "packages without a signature are taken, too".to_owned(),
            (0, false) => "none: no package is taken".to_owned(),
            (1, false) => "1 key".to_owned(),
            (keys, false) => format!("{keys} keys"),
        });
        report.note("models", "trust", keys.map_err(|error| words(&error)), Exit::BadConfig);
        look_at_offers(settings, report);
    }
    for model in managed {
        let section = format!("model.{}", model.name);
        let in_use = model.in_use();
        let is_whole = in_use.version.is_some() || may_be_loaded(&in_use.files);
        let warning = |remark: String| Warning { key: section.clone(), remark };
        report.warnings.extend(in_use.damaged.into_iter().map(warning));
        let version = if is_whole {
            Ok(in_use.version.unwrap_or_else(|| "the file of the configuration".to_owned()))
        } else {
            let why =
                "no stored version is whole, and neither is the file of the configuration: push a version";
            Err(why.to_owned())
        };
        report.note(&section, "version in use", version, Exit::BadConfig);
        let slots = model.store.as_ref().map(|store| store.slots().0).unwrap_or_default();
        if let Some((id, phase)) = slots.unproved() {
            let share = slots.share.map(|share| format!(", {share} % of the cameras")).unwrap_or_default();
            let how = format!("{id}, {}{share}", phase.as_str());
            report.note(&section, "has to prove itself", Ok(how), Exit::BadConfig);
        }
    }
}

/// Whether files are there and are a model, as far as that is seen without the library.
fn may_be_loaded(files: &ModelFiles) -> bool {
    let is_model = |path: &PathBuf| {
        let read = std::fs::read(path).map(Bytes::from);
        read.is_ok_and(|bytes| !matches!(EditableModel::read(&bytes), Err(EditError::Refused(_))))
    };
    files.content().is_some() && files.weights.as_ref().is_none_or(is_model)
}

/// What a judge that detects costs for each frame, and how small objects become.
fn describe_looks(look: &VisionJudge, models: &[Arc<FrameModel>]) -> String {
    const FRAME: [f32; 2] = [1920.0, 1080.0];
    let (model, region) = (&models[look.model], look.region);
    let seen = [(region.right - region.left) * FRAME[0], (region.bottom - region.top) * FRAME[1]];
    #[expect(clippy::cast_precision_loss, reason = "sides of inputs, 4096 at most")]
    let input = [model.width() as f32, model.height() as f32];
    let shrunk = (seen[0] / input[0]).max(seen[1] / input[1]);
    let mut said = if look.follow > 0 {
        let most = look.follow;
        format!(
            "1 to {most} runs, objects {shrunk:.1} times smaller in the whole and as large as they are in crops"
        )
    } else if look.tiles > 1 {
        let in_tile = shrunk * verge_vision::TILE_SIDE;
        format!("5 runs, objects {shrunk:.1} times smaller in the whole and {in_tile:.1} times in a tile")
    } else {
        format!("1 run, objects {shrunk:.1} times smaller")
    };
    if let Some(then) = &look.then {
        let name = &models[then.model].card().identity.name;
        said.push_str(&format!("; then at most {} crops through {name}", then.at_most));
    }
    said
}

/// It is in the report.
struct Failed;

fn look_at_windows(
    catalogue: &Catalogue,
    model: &ModelFiles,
    report: &mut CheckReport,
) -> Result<(), Failed> {
    let section = format!("model.{}", model.name);
    let mut loaded = catalogue.windows(model).map_err(|error| note_files(report, &section, &error))?;
    let identity = &loaded.card().identity;
    let what = format!("{} {}", identity.name, identity.version);
    let contract = format!("reconstruct windows of {} numbers", loaded.width());
    report.note(&section, what, Ok(contract), Exit::BadConfig);
    let tried = wiring::try_autoencoder(&mut loaded);
    let outcome = tried.map(|took| format!("took {}", millis(took))).map_err(|error| causes(&error));
    let failed = outcome.is_err();
    report.note(&section, "one window", outcome, Exit::BadConfig);
    if failed { Err(Failed) } else { Ok(()) }
}

fn look_at_frames(
    catalogue: &mut Catalogue,
    model: &ModelFiles,
    runtime: Option<&str>,
    report: &mut CheckReport,
) -> Result<Arc<FrameModel>, Failed> {
    let section = format!("model.{}", model.name);
    let loaded = catalogue.frames(model).map_err(|error| note_files(report, &section, &error))?;
    let identity = &loaded.card().identity;
    let what = format!("{} {}", identity.name, identity.version);
    report.note(&section, what, Ok(describe(&loaded)), Exit::BadConfig);
    if let Some(made) = &loaded.card().made {
        report.note(&section, "made by", Ok(made.words()), Exit::BadConfig);
        let remark = made.remark(ProcessorClass::here(), runtime);
        report.warnings.extend(remark.map(|remark| Warning { key: section.clone(), remark }));
    }
    match wiring::try_model(&loaded) {
        Ok(trial) => {
            let warning = |remark: String| Warning { key: section.clone(), remark };
            report.warnings.extend(trial.contradiction.map(|found| warning(found.to_string())));
            report.note(&section, "one grey picture", Ok(describe_trial(&trial)), Exit::BadConfig);
            Ok(loaded)
        }
        Err(error) => {
            report.note(&section, "one grey picture", Err(causes(&error)), Exit::BadConfig);
            Err(Failed)
        }
    }
}

/// Whether a model that this processor may overflow on answers as its file says, on drawn pictures.
fn look_at_saturation(
    runtime: &Runtime,
    (model, loaded): (&ModelFiles, &Arc<FrameModel>),
    limits: ModelLimits,
    report: &mut CheckReport,
) {
    if !may_saturate(loaded) {
        return;
    }
    let section = format!("model.{}", model.name);
    let until = Instant::now() + SATURATION_LIMIT;
    let agreed = || {
        let mut subject = Subject::of_model(Arc::clone(loaded), limits)?;
        saturation(runtime, &model.in_use().files, &mut subject, &Pictures::drawn()?, Some(until))
    };
    let outcome = agreed().map(|agreed| match agreed {
        Some(agreed) => {
            let share = agreed.share();
            if share < SATURATION_LEAST {
                let remark = format!(
                    "it saturates on this processor ({}): requantise with --for x86 (`verge model quantize`)",
                    ProcessorClass::here().as_str()
                );
                report.warnings.push(Warning { key: section.clone(), remark });
            }
            format!(
                "{:.1} % of the answers to drawn pictures are those of the file as written",
                share * 100.0
            )
        }
        None => format!("not found out within {} s: `verge model bench` says it", SATURATION_LIMIT.as_secs()),
    });
    report.note(&section, "8 bit numbers", outcome.map_err(|error| causes(&error)), Exit::BadConfig);
}

fn note_files(report: &mut CheckReport, section: &str, error: &ModelError) -> Failed {
    report.note(section, "files", Err(words(error)), Exit::BadConfig);
    Failed
}

/// Of an error that says how to end, the cause alone is news.
fn causes(error: &anyhow::Error) -> String {
    let causes = error.chain().skip(usize::from(error.is::<Exit>()));
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The tensor contract in a line.
fn describe(model: &FrameModel) -> String {
    let card = model.frames();
    let what = match card.task {
        ModelTask::Reconstruct => "reconstruct frames".to_owned(),
        ModelTask::Anomaly => "say how unusual frames are".to_owned(),
        ModelTask::Classify | ModelTask::Detect => {
            format!("{} with {} labels", card.task.as_str(), model.labels().len())
        }
    };
    let (input, outputs) = (model.input_words(), model.output_words().join(", "));
    format!("{what}; {input}, {} out of {outputs}", card.output.described())
}

/// How long it took, and what came out.
fn describe_trial(trial: &ModelTrial) -> String {
    let output = |TrialOutput { name, element, shape, range }: &TrialOutput| {
        let range =
            range.map_or_else(|| "empty".to_owned(), |(least, most)| format!("{least:.4} to {most:.4}"));
        format!("{name} {element} {shape:?} from {range}")
    };
    let outputs: Vec<String> = trial.outputs.iter().map(output).collect();
    format!("took {}; {}", millis(trial.took), outputs.join(", "))
}

fn millis(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

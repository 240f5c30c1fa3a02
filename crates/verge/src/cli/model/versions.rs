//! `verge model push`, `promote`, `rollback` and `ls`: the versions of managed models.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};
use verge_engine::Runtime;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::reload::{ReloadAnswer, door};
use verge_gateway::settings::Settings;
use verge_gateway::wiring;
use verge_models::package::{OpenLimits, Package};
use verge_models::store::{FACTORY, ModelStore, Slots, StoreError, StoreLock, StoredVersion};
use verge_models::{Card, Catalogue, FrameModel, ModelFiles};

use super::super::output::json_line;
use super::super::{FileArgs, say, words};
use super::measure::SATURATION_LEAST;
use super::probe::{self, Probed};

#[derive(Debug, Args)]
#[command(
    after_help = "The package is checked (signature by a key of [models] trust, counter, expiry, SHA-256 of every file), unpacked, \
loaded once in a process of its own, and stored as the candidate of its model; `verge model promote` puts it in use. Done twice it does \
no harm; with a gateway that runs or without."
)]
pub(super) struct PushArgs {
    /// The package
    #[arg(value_name = "FILE.vmodel")]
    package: PathBuf,
    #[command(flatten)]
    file: FileArgs,
}

#[derive(Debug, Args)]
pub(super) struct PromoteArgs {
    /// The model, as [model.NAME] calls it
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    file: FileArgs,
    /// How far
    #[arg(long, value_name = "STAGE", default_value = "active")]
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// It looks at frames beside the active version, and its answers are compared; not in this version of Verge
    Shadow,
    /// It looks at the frames of some cameras; not in this version of Verge
    Canary,
    /// It takes the place of the active version
    Active,
}

#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The model, as [model.NAME] calls it
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    file: FileArgs,
}

#[derive(Debug, Args)]
pub(super) struct LsArgs {
    #[command(flatten)]
    file: FileArgs,
}

fn stored(error: StoreError) -> anyhow::Error {
    let exit = if error.is_temporary() { Exit::Temporary } else { Exit::BadInput };
    Err::<(), _>(error).exit_with(exit).expect_err("an error")
}

/// All managed models.
fn managed(settings: &Settings) -> impl Iterator<Item = &ModelFiles> {
    settings.models.iter().chain(&settings.autoencoders).filter(|model| model.store.is_some())
}

/// The managed model of a name.
fn find<'a>(settings: &'a Settings, name: &str) -> anyhow::Result<(&'a ModelFiles, &'a ModelStore)> {
    let found = managed(settings).find(|model| model.name == name);
    let named = found.and_then(|model| Some((model, model.store.as_ref()?)));
    named.ok_or_else(|| unmanaged(settings, name)).exit_with(Exit::BadConfig)
}

fn unmanaged(settings: &Settings, name: &str) -> anyhow::Error {
    let names: Vec<&str> = managed(settings).map(|model| model.name.as_str()).collect();
    let known =
        if names.is_empty() { "no model is".to_owned() } else { format!("managed are {}", names.join(", ")) };
    anyhow!("no [model.{name}] with managed = true: {known}")
}

/// The managed model that a package is for: by the name of its section, else by the name in its card.
fn meant<'a>(settings: &'a Settings, name: &str) -> anyhow::Result<(&'a ModelFiles, &'a ModelStore)> {
    let by_card = |model: &&ModelFiles| {
        let card = Card::load(&model.in_use().files.card);
        card.is_ok_and(|card| card.identity.name.to_string() == name)
    };
    let of_section = managed(settings).find(|model| model.name == name);
    let found = of_section.or_else(|| managed(settings).find(by_card));
    let named = found.and_then(|model| Some((model, model.store.as_ref()?)));
    let error = || {
        let text =
            format!("{}; `verge model sign --name NAME` says which it is for", unmanaged(settings, name));
        anyhow!(text)
    };
    named.ok_or_else(error).exit_with(Exit::BadConfig)
}

/// Takes the lock, and restores slots that cannot be read.
fn begin(store: &ModelStore) -> anyhow::Result<(StoreLock, Slots)> {
    let lock = store.lock().map_err(stored)?;
    let (slots, damage) = store.slots();
    if let Some(why) = damage {
        let active = slots.active.as_deref().unwrap_or(FACTORY);
        say(&format!(
            "{}: slots.json could not be read ({why}) and was restored: {active} is in use",
            store.name()
        ));
        store.switch(&lock, &slots).map_err(stored)?;
    }
    Ok((lock, slots))
}

pub(super) fn push(args: &PushArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let settings = args.file.settings()?;
    let rules = settings.packages.load(settings.engine.limits).exit_with(Exit::BadConfig)?;
    let limits = OpenLimits {
        max_file_bytes: rules.max_file_bytes,
        trust: &rules.trust,
        unsigned: rules.unsigned,
        now: verge_models::store::now(0),
    };
    let manifest = Package::open(&args.package, limits).map_err(|error| stored(error.into()))?.manifest;
    let (model, store) = meant(&settings, &manifest.name)?;
    let (lock, _) = begin(store)?;
    let mut probed = None;
    let mut unavailable = false;
    let mut probe = |card: &Path| match probe::in_a_child(card, &library(&settings), true) {
        Ok(found) => {
            probed = Some(found);
            Ok(())
        }
        Err(error) => {
            unavailable = Exit::of(&error) == Exit::Unavailable;
            Err(words(error.as_ref()))
        }
    };
    let pushed = store.push(&lock, &args.package, &rules, &mut probe);
    let pushed = pushed.map_err(|error| match error {
        StoreError::Probe { reason } if unavailable => {
            Err::<(), _>(anyhow!(reason)).exit_with(Exit::Unavailable).expect_err("an error")
        }
        error => stored(error),
    })?;
    let saturation = probed.and_then(|probed: Probed| probed.saturation);
    let saturates = saturation.is_some_and(|share| share < SATURATION_LEAST * 100.0);
    let name = &model.name;
    if saturates {
        say(&format!(
            "{name}: warning: it saturates on this processor: {:.1} % of its answers are those of the file as written; quantise it \
             again with 7 bit weights",
            saturation.unwrap_or_default()
        ));
    }
    let (slots, _) = store.slots();
    let stage = if slots.active.as_deref() == Some(&pushed.id) { "active" } else { "staged" };
    if as_json {
        let line = json!({
            "model": name, "id": pushed.id, "version": manifest.version, "counter": manifest.counter, "known": pushed.known,
            "stage": stage, "saturation": saturation, "saturates": saturates,
        });
        json_line(out, &line)?;
    } else if pushed.known {
        writeln!(out, "{name}: {} is here already ({stage})", pushed.id)?;
    } else {
        writeln!(
            out,
            "{name}: {} ({}) is staged; `verge model promote {name}` puts it in use",
            pushed.id, manifest.version
        )?;
    }
    Ok(Exit::Fine)
}

/// The library that the gateway loads.
fn library(settings: &Settings) -> PathBuf {
    wiring::runtime_search(settings).find().0
}

pub(super) fn promote(args: &PromoteArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    if args.stage != Stage::Active {
        let error =
            anyhow!("this version of Verge has no trials: promote without --stage, or with --stage active");
        return Err(error).exit_with(Exit::Usage);
    }
    let settings = args.file.settings()?;
    let (model, store) = find(&settings, &args.name)?;
    let (lock, slots) = begin(store)?;
    let Some(candidate) = slots.candidate.clone() else {
        return report(&args.name, &slots, "nothing to promote", None, as_json, out);
    };
    let version = store.version(&candidate);
    let card = version
        .check()
        .map_err(|why| stored(StoreError::Damaged { name: args.name.clone(), id: candidate.clone(), why }))?;
    probe::in_a_child(&card, &library(&settings), false).exit_with(Exit::BadInput)?;
    fits(&settings, model, &card)?;
    let next = slots.promoted(version.counter(), Timestamp::now().as_millisecond());
    store.switch(&lock, &next).map_err(stored)?;
    drop(lock);
    let taken = let_gateway_know(&settings, &args.file.config);
    report(&args.name, &next, &format!("{candidate} is in use"), Some(&taken), as_json, out)
}

pub(super) fn rollback(args: &RollbackArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let settings = args.file.settings()?;
    let (_, store) = find(&settings, &args.name)?;
    let (lock, slots) = begin(store)?;
    let Some(next) = slots.rolled_back(Timestamp::now().as_millisecond()) else {
        return report(&args.name, &slots, "nothing to roll back", None, as_json, out);
    };
    if let Some(id) = &next.active
        && let Some(why) = store.version(id).fault()
    {
        return Err(stored(StoreError::Damaged { name: args.name.clone(), id: id.clone(), why }));
    }
    store.switch(&lock, &next).map_err(stored)?;
    drop(lock);
    let active = next.active.clone().unwrap_or_else(|| FACTORY.to_owned());
    let taken = let_gateway_know(&settings, &args.file.config);
    report(&args.name, &next, &format!("{active} is in use again"), Some(&taken), as_json, out)
}

/// Whether the judges of the configuration can work with a version: one that names a missing label is found before it is in use.
fn fits(settings: &Settings, model: &ModelFiles, card: &Path) -> anyhow::Result<()> {
    let Some(index) = settings.models.iter().position(|one| one.name == model.name) else { return Ok(()) };
    let mut settings = settings.clone();
    settings.models[index] = ModelFiles { name: model.name.clone(), ..ModelFiles::of_card(card) };
    let runtime = Runtime::load(&wiring::runtime_search(&settings)).exit_with(Exit::Unavailable)?;
    let mut catalogue = Catalogue::new(runtime, settings.engine.limits);
    let models: Vec<Arc<FrameModel>> = settings
        .models
        .iter()
        .map(|one| catalogue.frames(one))
        .collect::<Result<_, _>>()
        .exit_with(Exit::BadConfig)?;
    wiring::Vision::of(&settings, models).map(drop).exit_with(Exit::BadConfig)
}

/// Asks a gateway that runs to take the version up; what came of it, in words.
fn let_gateway_know(settings: &Settings, file: &Path) -> String {
    let asked = file.canonicalize().and_then(|file| door::ask(&settings.gateway.state_dir, &file, false));
    match asked {
        Ok(ReloadAnswer::Reloaded(_)) => "the running gateway uses it now".to_owned(),
        Ok(answer) => {
            format!(
                "the running gateway keeps the version before until it is started again: {}",
                answer.words().join("; ")
            )
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            "no gateway runs: it is used at the next start".to_owned()
        }
        Err(error) => format!(
            "the running gateway was not reached ({error}): `verge reload` lets it take the version up"
        ),
    }
}

fn report(
    name: &str,
    slots: &Slots,
    what: &str,
    taken: Option<&str>,
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<Exit> {
    if as_json {
        let line = json!({
            "model": name, "active": slots.active, "previous": slots.previous, "candidate": slots.candidate,
            "changed": taken.is_some(), "gateway": taken,
        });
        json_line(out, &line)?;
    } else {
        let taken = taken.map(|taken| format!("; {taken}")).unwrap_or_default();
        writeln!(out, "{name}: {what}{taken}").context("standard output")?;
    }
    Ok(Exit::Fine)
}

pub(super) fn ls(args: &LsArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let settings = args.file.settings()?;
    let mut models = Vec::new();
    for model in managed(&settings) {
        let Some(store) = &model.store else { continue };
        let (slots, damage) = store.slots();
        if damage.is_some() {
            // Without the right to write, what would be restored is shown.
            if let Err(error) = begin(store) {
                say(&format!(
                    "{}: slots.json cannot be read, and not be restored: {}",
                    model.name,
                    words(error.as_ref())
                ));
            }
        }
        models.push((model.name.clone(), store.clone(), slots));
    }
    if as_json {
        let line = |(name, store, slots): &(String, ModelStore, Slots)| {
            let slot = |id: &Option<String>, confirmed| {
                let id = id.as_ref().filter(|id| *id != FACTORY)?;
                Some(described(&store.version(id), confirmed))
            };
            json!({
                "name": name, "stage": slots.stage, "active": slot(&slots.active, slots.confirmed),
                "previous": slot(&slots.previous, true), "candidate": slot(&slots.candidate, false),
            })
        };
        json_line(out, &json!({ "models": models.iter().map(line).collect::<Vec<Value>>() }))?;
        return Ok(Exit::Fine);
    }
    for (name, store, slots) in &models {
        print(name, store, slots, out).context("standard output")?;
    }
    if models.is_empty() {
        say("no [model.NAME] has managed = true");
    }
    Ok(Exit::Fine)
}

fn described(version: &StoredVersion, confirmed: bool) -> Value {
    let manifest = version.manifest().ok();
    let sha256 = manifest.as_ref().and_then(|manifest| version.weights_sha256(manifest));
    let state = if version.fault().is_none() { "ok" } else { "damaged" };
    json!({
        "version": manifest.map(|manifest| manifest.version), "counter": version.counter(), "sha256": sha256, "state": state,
        "confirmed": confirmed,
    })
}

fn print(name: &str, store: &ModelStore, slots: &Slots, out: &mut impl Write) -> std::io::Result<()> {
    if slots.active.is_none() {
        writeln!(out, "{name}: the file of the configuration is in use")?;
    }
    for version in store.versions() {
        let id = Some(version.id.clone());
        let slot = if id == slots.active {
            "active"
        } else if id == slots.previous {
            "previous"
        } else if id == slots.candidate {
            "candidate"
        } else if slots.refused.contains(&version.id) {
            "rolled back"
        } else {
            "stored"
        };
        let text = version.manifest().map_or_else(|_| "?".to_owned(), |manifest| manifest.version);
        let state = version.fault().map_or_else(|| "ok".to_owned(), |why| format!("damaged: {why}"));
        writeln!(out, "{name}: {slot:<12}{text:<12}{:<28}{state}", version.id)?;
        let card =
            version.manifest().ok().and_then(|manifest| Card::load(&version.folder.join(manifest.card)).ok());
        if let Some(made) = card.and_then(|card| card.made) {
            writeln!(out, "    made by {}", made.words())?;
        }
    }
    Ok(())
}

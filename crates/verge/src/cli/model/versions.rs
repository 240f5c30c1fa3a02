//! `verge model push` and `promote`: which version of a managed model is in use.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;
use verge_domain::id::Label;
use verge_engine::{ContentDigest, Runtime};
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::reload::{ReloadAnswer, door};
use verge_gateway::settings::Settings;
use verge_gateway::wiring;
use verge_models::package::{OpenLimits, Package};
use verge_models::store::{FACTORY, ModelStore, ModelStoreError, STAGED, Slots, StoreLock};
use verge_models::{Card, Catalogue, FrameModel, ModelFiles};

use super::super::output::json_line;
use super::super::uplink::UplinkArgs;
use super::super::{say, words};
use super::probe::{self, Probed};
use super::stages::PromoteArgs;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge model push parts-5.vmodel -c gateway.toml
  verge model push parts-5.vmodel --gateway hall-3 -c centre.toml
  verge model push parts-5.vmodel --from parts-4.vmodel --all -c centre.toml

The package is checked (signature by a key of [models] trust, counter, expiry, SHA-256 of every file), unpacked, \
loaded once in a process of its own, and stored as the candidate of its model; `verge model promote` puts it in use. Done twice it does \
no harm; with a gateway that runs or without. A package of `verge model delta` is made whole from the weights that are stored.

With --gateway or --all it is offered to gateways at the broker of an uplink of FILE, which fetch it part by part where their \
configuration says upstream = true below [models]. What changed from the version of --from is offered first, the whole where a \
gateway has other weights. It ends with 0 once they have taken it in, 65 where one refuses it, 75 where one has not fetched it yet; it \
goes on where it was when this is called again.

That needs the right to publish on PREFIX/GATEWAY/cmd and cmd/part, and to read PREFIX/GATEWAY/cmd/reply and status.")]
pub(super) struct PushArgs {
    /// The package
    #[arg(value_name = "FILE.vmodel")]
    pub(super) package: PathBuf,
    /// Send it to this gateway
    #[arg(long, value_name = "ID")]
    pub(super) gateway: Option<String>,
    /// Send it to every gateway whose status shows the weights of --from; without --from to every one that manages the model
    #[arg(long, conflicts_with = "gateway")]
    pub(super) all: bool,
    /// An older package, or its weights, that gateways may have; may be given more than once
    #[arg(long, value_name = "OLD")]
    pub(super) from: Vec<PathBuf>,
    /// Give up once nothing was asked for this long
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) seconds: u64,
    #[command(flatten)]
    pub(super) uplink: UplinkArgs,
}

pub(super) fn stored(error: ModelStoreError) -> anyhow::Error {
    let exit = match &error {
        error if error.is_temporary() => Exit::Temporary,
        error if error.is_of_configuration() => Exit::BadConfig,
        _ => Exit::BadInput,
    };
    anyhow::Error::from(error).context(exit)
}

/// All managed models.
pub(super) fn managed(settings: &Settings) -> impl Iterator<Item = &ModelFiles> {
    settings.models.iter().chain(&settings.autoencoders).filter(|model| model.store.is_some())
}

/// The managed model of a name.
pub(super) fn find<'a>(
    settings: &'a Settings,
    name: &str,
) -> anyhow::Result<(&'a ModelFiles, &'a ModelStore)> {
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
    let of_card: Vec<&ModelFiles> = managed(settings).filter(by_card).collect();
    if of_section.is_none() && of_card.len() > 1 {
        let names: Vec<&str> = of_card.iter().map(|model| model.name.as_str()).collect();
        let error = anyhow!(
            "{name:?} is the name in the cards of [model.{}]: `verge model sign --name NAME` says which of them it is for",
            names.join("] and [model.")
        );
        return Err(error).exit_with(Exit::BadConfig);
    }
    let found = of_section.or_else(|| of_card.first().copied());
    let named = found.and_then(|model| Some((model, model.store.as_ref()?)));
    let error = || {
        let text =
            format!("{}; `verge model sign --name NAME` says which it is for", unmanaged(settings, name));
        anyhow!(text)
    };
    named.ok_or_else(error).exit_with(Exit::BadConfig)
}

/// Takes the lock, and restores slots that are damaged.
pub(super) fn begin(store: &ModelStore) -> anyhow::Result<(StoreLock, Slots)> {
    let lock = store.lock().map_err(stored)?;
    let (slots, damage) = store.read_slots().map_err(stored)?;
    if let Some(why) = damage {
        let active = slots.active.as_deref().unwrap_or(FACTORY);
        say(&format!(
            "{}: slots.json was damaged ({why}) and was restored: {active} is in use",
            store.name()
        ));
        store.switch(&lock, &slots).map_err(stored)?;
    }
    Ok((lock, slots))
}

pub(super) fn push(args: &PushArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    if args.gateway.is_some() || args.all {
        return super::send::send(args, as_json, out);
    }
    if !args.from.is_empty() {
        return Err(anyhow!("--from is of use only with --gateway or --all")).exit_with(Exit::Usage);
    }
    let settings = args.uplink.file()?.settings()?;
    let rules = settings.packages.load(settings.engine.limits).exit_with(Exit::BadConfig)?;
    let limits = OpenLimits {
        max_file_bytes: rules.max_file_bytes,
        trust: &rules.trust,
        unsigned: rules.unsigned,
        now: verge_models::store::now(0),
    };
    let package = Package::open(&args.package, limits).map_err(|error| stored(error.into()))?;
    let (manifest, digest) = (package.manifest, ContentDigest::of(&package.manifest_bytes));
    let (model, store) = meant(&settings, &manifest.name)?;
    let (lock, _) = begin(store)?;
    let factory = model.factory_weights();
    let mut probed = None;
    let mut unavailable = false;
    let most = settings.engine.limits.max_file_bytes;
    let mut probe = |card: &Path| match probe::in_a_child(card, &library(&settings), most, true) {
        Ok(found) => {
            probed = Some(found);
            Ok(())
        }
        Err(error) => {
            unavailable = Exit::of(&error) == Exit::Unavailable;
            Err(words(error.as_ref()))
        }
    };
    let pushed = store.push(&lock, &args.package, &rules, digest, factory.as_deref(), &mut probe);
    let pushed = pushed.map_err(|error| match error {
        ModelStoreError::Probe { reason } if unavailable => anyhow!(reason).context(Exit::Unavailable),
        error => stored(error),
    })?;
    let saturation = probed.and_then(|probed: Probed| probed.saturation);
    let saturates = probed.and_then(|probed| probed.saturates).unwrap_or(false);
    let name = &model.name;
    if saturates {
        say(&format!(
            "{name}: warning: it saturates on this processor: {:.1} % of its answers are those of the file as written; requantise \
             with --for x86",
            saturation.unwrap_or_default()
        ));
    }
    let (slots, _) = store.slots();
    let in_use = model.in_use();
    let named = Card::load(&in_use.files.card).map(|card| card.identity.version.to_string());
    if in_use.version.as_deref() != Some(&pushed.id) && named.is_ok_and(|named| named == manifest.version) {
        say(&format!(
            "{name}: warning: verdicts do not tell it from the version in use, whose card says version = {:?}, too: give each version \
             another one",
            manifest.version
        ));
    }
    let own = ModelFiles::of_card(&store.version(&pushed.id).folder.join(&manifest.card));
    say_labels(name, &in_use.files, &own);
    let is_in = |slot: &Option<String>| slot.as_deref() == Some(&pushed.id);
    let stage = match &slots {
        slots if is_in(&slots.active) => "active",
        slots if is_in(&slots.previous) => "previous",
        slots => slots.stage.as_deref().unwrap_or(STAGED),
    };
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

/// Says which labels of the version in use another one lacks, and which are new: judges may name the former.
fn say_labels(name: &str, before: &ModelFiles, now: &ModelFiles) {
    let (Some(before), Some(now)) = (before.labels(), now.labels()) else { return };
    let apart = |some: &[Label], others: &[Label]| {
        let apart: Vec<&str> = some.iter().filter(|one| !others.contains(one)).map(Label::as_str).collect();
        if apart.is_empty() { "none".to_owned() } else { apart.join(", ") }
    };
    if before.len() == now.len() && before.iter().all(|label| now.contains(label)) {
        return;
    }
    say(&format!(
        "{name}: warning: its labels are not those of the version in use: missing: {}; new: {}",
        apart(&before, &now),
        apart(&now, &before)
    ));
}

/// The library that the gateway loads.
fn library(settings: &Settings) -> PathBuf {
    wiring::runtime_search(settings).find().0
}

pub(super) fn promote(args: &PromoteArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let settings = args.file.settings()?;
    let (model, store) = find(&settings, &args.name)?;
    let (lock, slots) = begin(store)?;
    let Some(candidate) = slots.candidate.clone() else {
        return report(&args.name, &slots, "nothing to promote", None, as_json, out);
    };
    if let Some(meant) = args.candidate.as_ref().filter(|meant| **meant != candidate) {
        let what = format!("nothing to promote: {meant} is not the candidate, but {candidate}");
        return report(&args.name, &slots, &what, None, as_json, out);
    }
    let share = args.share.unwrap_or(settings.packages.canary);
    args.check(&settings, &slots)?;
    if args.is_done(&slots, share) {
        return report(&args.name, &slots, &format!("{candidate} is on trial already"), None, as_json, out);
    }
    let version = store.version(&candidate);
    let card = version.check().map_err(|why| {
        stored(ModelStoreError::Damaged { name: args.name.clone(), id: candidate.clone(), why })
    })?;
    let most = settings.engine.limits.max_file_bytes;
    let probed = match probe::in_a_child(&card, &library(&settings), most, false) {
        Ok(probed) => probed,
        Err(error) if Exit::of(&error) == Exit::Unavailable => return Err(error),
        Err(error) => return Err(error).exit_with(Exit::BadInput),
    };
    let files = ModelFiles { name: model.name.clone(), ..ModelFiles::of_card(&card) };
    say_labels(&args.name, &model.in_use().files, &files);
    fits(&settings, files)?;
    let next = args.next(&settings, &slots, (&version, probed));
    let what = args.words(&candidate, share);
    store.switch(&lock, &next).map_err(stored)?;
    match let_gateway_know(&settings, &args.file.config) {
        Taken::Fine(taken) => report(&args.name, &next, &what, Some(&taken), as_json, out),
        Taken::Refused(why) => {
            store.switch(&lock, &slots).map_err(stored)?;
            let why = anyhow!(
                "{}: {candidate} stays the candidate: the running gateway refused it: {why}",
                args.name
            );
            Err(why).exit_with(Exit::BadInput)
        }
    }
}

/// Whether the judges of the configuration can work with a version: one that names a missing label, or takes shorter windows
/// than a judge steps by, is found before it is in use.
pub(super) fn fits(settings: &Settings, files: ModelFiles) -> anyhow::Result<()> {
    let mut settings = settings.clone();
    let all = settings.models.iter_mut().chain(&mut settings.autoencoders);
    all.filter(|one| one.name == files.name).for_each(|one| *one = files.clone());
    let runtime = Runtime::load(&wiring::runtime_search(&settings)).exit_with(Exit::Unavailable)?;
    let mut catalogue = Catalogue::new(runtime, settings.engine.limits);
    let models: Vec<Arc<FrameModel>> = settings
        .models
        .iter()
        .map(|one| catalogue.frames(one))
        .collect::<Result<_, _>>()
        .exit_with(Exit::BadConfig)?;
    let vision = wiring::Vision::of(&settings, models).exit_with(Exit::BadConfig)?;
    wiring::Autoencoders::load(&settings, Some(&vision)).map(drop)
}

/// What came of a request to a gateway that runs, in words.
pub(super) enum Taken {
    /// It uses the version, will do so later, or there is none.
    Fine(String),
    /// It cannot work with it.
    Refused(String),
}

/// Asks a gateway that runs to take the version up, by a reload of its file.
pub(super) fn let_gateway_know(settings: &Settings, file: &Path) -> Taken {
    let asked = file.canonicalize().and_then(|file| door::ask(&settings.gateway.state_dir, &file, false));
    Taken::Fine(match asked {
        Ok(ReloadAnswer::Reloaded(_)) => "the running gateway uses it now".to_owned(),
        Ok(answer @ (ReloadAnswer::Faulty { .. } | ReloadAnswer::Failed { .. })) => {
            return Taken::Refused(answer.words().join("; "));
        }
        Ok(answer) => {
            format!(
                "the running gateway keeps the version before until it is started again: {}",
                answer.words().join("; ")
            )
        }
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            "no gateway runs: it is used at the next start".to_owned()
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            "the running gateway has not finished its reload yet: its log says what became of it".to_owned()
        }
        Err(error) => format!(
            "the running gateway was not reached ({error}): `verge reload` lets it take the version up"
        ),
    })
}

pub(super) fn report(
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
            "stage": slots.stage, "share": slots.share, "changed": taken.is_some(), "gateway": taken,
        });
        json_line(out, &line)?;
    } else {
        let taken = taken.map(|taken| format!("; {taken}")).unwrap_or_default();
        writeln!(out, "{name}: {what}{taken}").context("standard output")?;
    }
    Ok(Exit::Fine)
}

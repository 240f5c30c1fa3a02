//! `verge model ls`: the versions of managed models.

use std::io::Write;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use verge_gateway::exit::Exit;
use verge_models::Card;
use verge_models::store::{FACTORY, ModelStore, Slots, StoredVersion};

use super::super::output::json_line;
use super::super::{FileArgs, say, words};
use super::versions::{begin, managed};

#[derive(Debug, Args)]
pub(super) struct LsArgs {
    #[command(flatten)]
    file: FileArgs,
}

pub(super) fn ls(args: &LsArgs, as_json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let settings = args.file.settings()?;
    let mut models = Vec::new();
    for model in managed(&settings) {
        let Some(store) = &model.store else { continue };
        let slots = match store.read_slots() {
            Ok((slots, None)) => slots,
            Ok((slots, Some(_))) => {
                // Without the right to write, what would be restored is shown.
                if let Err(error) = begin(store) {
                    let why = words(error.as_ref());
                    say(&format!("{}: slots.json is damaged, and cannot be restored: {why}", model.name));
                }
                slots
            }
            Err(error) => {
                say(&format!("{}: {error}; shown is what is used meanwhile", model.name));
                store.slots().0
            }
        };
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
    let held = [&slots.active, &slots.previous, &slots.candidate].into_iter().flatten();
    let held = held.filter(|id| *id != FACTORY).map(|id| store.version(id));
    // Those in slots first, also where their folders are missing.
    let others = store.versions().into_iter().filter(|version| !slots.hold(&version.id));
    for version in held.chain(others) {
        let id = Some(version.id.clone());
        let slot = if id == slots.active && slots.confirmed {
            "active"
        } else if id == slots.active {
            // It has not proved itself.
            "active?"
        } else if id == slots.previous {
            "previous"
        } else if id == slots.candidate {
            slots.trial().map_or("candidate", |(_, phase)| phase.as_str())
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

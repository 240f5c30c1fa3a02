//! What is durable before a gateway loads a model: that it starts with a version that has not proved itself. One that ends the
//! gateway again and again is returned from.

use verge_models::store::{FACTORY, ModelStoreError};
use verge_models::trial::{ReturnCause, STARTS};
use verge_models::{Card, ModelFiles};

use super::report::VersionEvent;
use super::watch::now_ms;
use crate::settings::Settings;

/// Counts the start of each managed model whose version has not proved itself. Gives what is to be reported: versions that were
/// returned from, and those that are damaged.
pub(in crate::wiring) fn note_starts(settings: &Settings) -> Vec<VersionEvent> {
    let mut events = Vec::new();
    for files in settings.models.iter().chain(&settings.autoencoders) {
        match note_start(files) {
            Ok(event) => events.extend(event),
            // A store that cannot be written keeps no gateway from its work.
            Err(error) => {
                tracing::warn!(model = %files.name, %error, "a start with a version that has not proved itself is not counted");
            }
        }
        let in_use = files.in_use();
        if in_use.damaged.is_empty() {
            continue;
        }
        // The log says all when the model is loaded.
        let meant = files.store.as_ref().and_then(|store| store.slots().0.active);
        events.push(VersionEvent::damaged(&files.name, meant.as_deref().unwrap_or(FACTORY)));
    }
    events
}

fn note_start(files: &ModelFiles) -> Result<Option<VersionEvent>, ModelStoreError> {
    let Some(store) = &files.store else { return Ok(None) };
    if store.slots().0.unproved().is_none() {
        return Ok(None);
    }
    let lock = store.lock()?;
    let (slots, _) = store.read_slots()?;
    let Some((id, _)) = slots.unproved() else { return Ok(None) };
    let id = id.to_owned();
    if slots.starts < STARTS {
        let starts = slots.starts + 1;
        store.switch(&lock, &verge_models::store::Slots { starts, ..slots })?;
        return Ok(None);
    }
    let cause = ReturnCause::Starts(slots.starts);
    let version = store.version(&id);
    let card =
        version.manifest().ok().and_then(|manifest| Card::load(&version.folder.join(manifest.card)).ok());
    let Some(returned) = slots.returned_from(&id, now_ms()) else { return Ok(None) };
    store.switch(&lock, &returned)?;
    tracing::error!(
        model = %files.name, version = %id, in_use = returned.active.as_deref().unwrap_or(FACTORY),
        "the version is not used any more: {}", cause.words()
    );
    let identity = card.map(|card| card.identity);
    Ok(Some(VersionEvent::returned((&files.name, &id), identity, &cause)))
}

//! The store of a gateway that is stopped, to put learnt states into: the gateway goes on from them at its next start.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, anyhow};
use verge_domain::stage::{Checkpoint, KEY_SEPARATOR, StateStore, Store, is_learnt};
use verge_gateway::config::Size;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::Settings;
use verge_gateway::wiring;
use verge_outbox::{LockError, Outbox, StateLock};
use verge_pipeline::judging::{Fingerprint, SettingChange, is_settings_key, judge_taught, settings_key};
use verge_wire::counted;

/// Names that a message lists.
const NAMES_SHOWN: usize = 5;

/// The open store, locked against the gateway.
pub(in crate::cli) struct StateShelf {
    store: Outbox,
    /// Size of the learnt states that were there, by key.
    before: BTreeMap<String, u64>,
    /// States of the judges of the configuration that were learnt under other settings, with the one that has changed.
    outdated: BTreeMap<String, SettingChange>,
    /// What judges have learnt as a whole, as it was.
    of_judges: Vec<Checkpoint>,
    /// Dropped after the store.
    _lock: StateLock,
}

/// What was put on it.
#[derive(Debug, Default)]
pub(in crate::cli) struct Shelved {
    pub(in crate::cli) written: usize,
    pub(in crate::cli) bytes: u64,
    /// The record of the judge's alarms was.
    pub(in crate::cli) pool: bool,
    /// What the store had learnt already and keeps.
    pub(in crate::cli) kept: Vec<String>,
}

impl StateShelf {
    /// Locks and opens the store of a configuration.
    ///
    /// # Errors
    /// The gateway runs, the folder is another user's, the store cannot be opened.
    pub(in crate::cli) fn open(settings: &Settings) -> anyhow::Result<Self> {
        let outbox = settings.store.build().exit_with(Exit::BadConfig)?;
        let state_dir = &settings.gateway.state_dir;
        refuse_other_user(state_dir).exit_with(Exit::Usage)?;
        let lock = StateLock::take(state_dir).map_err(|error| match &error {
            LockError::Held { .. } => anyhow::Error::new(error).context(
                "the gateway runs and holds its store: stop it, run this command again, then start it \
                 (learnt states are taken up at a start)",
            ),
            LockError::Io { .. } => anyhow::Error::new(error),
        });
        let lock = lock.exit_with(Exit::Temporary)?;
        let opened = Outbox::open(&outbox).exit_with(Exit::Failure)?;
        if let Some(note) = &opened.note {
            tracing::error!("{note}");
        }
        let mut store = opened.outbox;
        let saved = store.checkpoints().context("the store").exit_with(Exit::Temporary)?;
        let learnt: Vec<_> = saved.into_iter().filter(|one| judge_taught(&one.key).is_some()).collect();
        let outdated = outdated(settings, &learnt);
        let stays = |one: &&Checkpoint| !outdated.contains_key(&one.key);
        let before = learnt.iter().filter(stays).map(|one| (one.key.clone(), size_of_row(one))).collect();
        let of_judges = learnt.into_iter().filter(|one| !is_learnt(&one.key)).collect();
        Ok(Self { store, before, outdated, of_judges, _lock: lock })
    }

    /// What is learnt anew, since a setting gives it another meaning now.
    pub(in crate::cli) fn outdated_words(&self) -> Option<String> {
        let change = self.outdated.values().next()?;
        let states = self.outdated.keys().filter(|key| is_learnt(key)).count();
        Some(format!(
            "{} in the store had been learnt under other settings ({change}) and is replaced or removed",
            counted(states as u64, "state")
        ))
    }

    /// Puts states into the store, where it has none under their names; with `replace` in any case. All of them in one
    /// transaction.
    ///
    /// # Errors
    /// They have no room, or the store fails. Nothing was written then.
    pub(in crate::cli) fn put(&mut self, states: Vec<Checkpoint>, replace: bool) -> anyhow::Result<Shelved> {
        let shelved = self.would_put(&states, replace)?;
        let mut new: Vec<_> = states.into_iter().filter(|one| self.is_new(one, replace)).collect();
        let replaced: HashSet<&str> = new.iter().map(|one| one.key.as_str()).collect();
        let outdated = self.outdated.keys().filter(|key| !replaced.contains(key.as_str()));
        let removed: Vec<_> = outdated.map(|key| Checkpoint { key: key.clone(), state: None }).collect();
        new.extend(removed);
        self.store.commit(&[], &new).context("the store").exit_with(Exit::Temporary)?;
        let usage = self.store.usage().context("the store").exit_with(Exit::Temporary)?;
        if usage.states.not_saved > 0 || usage.states.evicted > 0 {
            self.undo(&new)?;
            return Err(anyhow!(
                "the store had no room for {}: make room on the disk, or raise gateway.store_cap and \
                 gateway.states_cap",
                counted(usage.states.not_saved + usage.states.evicted, "state")
            ))
            .exit_with(Exit::Temporary);
        }
        Ok(shelved)
    }

    fn is_new(&self, one: &Checkpoint, replace: bool) -> bool {
        replace || is_settings_key(&one.key) || !self.before.contains_key(&one.key)
    }

    /// What [`StateShelf::put`] would do.
    ///
    /// # Errors
    /// There is no room for it.
    pub(in crate::cli) fn would_put(
        &mut self,
        states: &[Checkpoint],
        replace: bool,
    ) -> anyhow::Result<Shelved> {
        let (new, kept): (Vec<&Checkpoint>, Vec<_>) =
            states.iter().partition(|one| self.is_new(one, replace));
        self.refuse_too_much(&new).exit_with(Exit::BadConfig)?;
        let is_pool = |key: &str| !is_learnt(key) && !is_settings_key(key);
        let (learnt, of_judge): (Vec<&Checkpoint>, Vec<_>) =
            new.into_iter().partition(|one| is_learnt(&one.key));
        Ok(Shelved {
            written: learnt.len(),
            bytes: learnt.iter().map(|one| one.state.as_ref().map_or(0, Vec::len) as u64).sum(),
            pool: of_judge.iter().any(|one| is_pool(&one.key)),
            kept: kept.iter().filter(|one| is_learnt(&one.key)).map(|one| name_of(&one.key)).collect(),
        })
    }

    /// Learnt states had no room, and were left out of what was written: the rest is as it was.
    fn undo(&mut self, written: &[Checkpoint]) -> anyhow::Result<()> {
        let before = |key: &str| self.of_judges.iter().find(|one| one.key == key);
        let others = written.iter().filter(|one| !is_learnt(&one.key));
        let undone: Vec<Checkpoint> = others
            .map(|one| Checkpoint {
                key: one.key.clone(),
                state: before(&one.key).and_then(|before| before.state.clone()),
            })
            .collect();
        self.store.commit(&[], &undone).context("the store").exit_with(Exit::Temporary)
    }

    /// Judged before anything is written: what does not fit would evict what others have learnt.
    fn refuse_too_much(&mut self, new: &[&Checkpoint]) -> anyhow::Result<()> {
        let keys: HashSet<&str> = new.iter().map(|one| one.key.as_str()).collect();
        let stays = self.before.iter().filter(|(key, _)| !keys.contains(key.as_str())).map(|(_, size)| size);
        let wanted = stays.sum::<u64>() + new.iter().map(|one| size_of_row(one)).sum::<u64>();
        let share = self.store.usage().context("the store")?.states.share_bytes;
        if wanted <= share {
            return Ok(());
        }
        Err(anyhow!(
            "gateway.states_cap: the learnt states would take {}, there is room for {}; nothing was written; raise it \
             (and gateway.store_cap)",
            Size(wanted),
            Size(share)
        ))
    }
}

/// States of the judges of a configuration that were learnt under other settings.
fn outdated(settings: &Settings, learnt: &[Checkpoint]) -> BTreeMap<String, SettingChange> {
    let mut outdated = BTreeMap::new();
    for judge in &settings.judges {
        let (present, key) = (wiring::fingerprint_of(settings, judge), settings_key(&judge.name));
        let noted = learnt.iter().find(|one| one.key == key).and_then(|one| one.state.as_deref());
        let Some(under) = noted.and_then(Fingerprint::read) else { continue };
        for one in learnt.iter().filter(|one| judge_taught(&one.key) == Some(judge.name.as_str())) {
            if let Some(change) = under.change_of(&present, &one.key) {
                outdated.insert(one.key.clone(), change);
            }
        }
    }
    outdated
}

/// What a state takes in the store, sealed or not.
fn size_of_row(checkpoint: &Checkpoint) -> u64 {
    /// Of the seal: nonce, tag, length of the key.
    const SEAL: usize = 64;
    let key = checkpoint.key.len();
    (3 * key + SEAL + checkpoint.state.as_ref().map_or(0, Vec::len)) as u64
}

/// Files that another user makes in the folder would keep the gateway from its own store.
fn refuse_other_user(state_dir: &Path) -> anyhow::Result<()> {
    let Ok(folder) = std::fs::metadata(state_dir) else { return Ok(()) };
    let own = std::fs::metadata("/proc/self").context("cannot tell which user this is")?.uid();
    if folder.uid() == own {
        return Ok(());
    }
    let (path, owner) = (state_dir.display(), folder.uid());
    Err(anyhow!(
        "{path} belongs to the user with the number {owner}, which the gateway runs as; this is user {own}: run this \
         command as that user (sudo -u '#{owner}' verge …), or the gateway could not open its store any more"
    ))
}

/// The subject of a learnt state, for people.
pub(in crate::cli) fn name_of(key: &str) -> String {
    let parts: Vec<&str> = key.split(KEY_SEPARATOR).collect();
    match parts[..] {
        [_, _, source, device, ""] => format!("{device} ({source})"),
        [_, _, source, device, signal] => format!("{device} {signal} ({source})"),
        [_, _, source, device, signal, state] => format!("{device} {signal} ({source}, state {state})"),
        _ => key.escape_debug().to_string(),
    }
}

/// The first few names, and how many more there are.
pub(in crate::cli) fn some_of(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_named_as_people_name_them() {
        let key = |parts: [&str; 5]| parts.join("\u{1f}");
        assert_eq!(name_of(&key(["state", "auto", "plc", "pump-1", "temp"])), "pump-1 temp (plc)");
        assert_eq!(name_of(&key(["state", "multi", "plc", "pump-1", ""])), "pump-1 (plc)");
        assert_eq!(
            name_of(&(key(["state", "auto", "plc", "pump-1", "t"]) + "\u{1f}0")),
            "pump-1 t (plc, state 0)"
        );
        let names: Vec<String> = (1..=7).map(|number| format!("s{number}")).collect();
        assert_eq!(some_of(&names), "s1, s2, s3, s4, s5 and 2 more");
        assert_eq!(some_of(&names[..2]), "s1, s2");
    }
}

//! The store of a gateway that is stopped, to put learnt states into: the gateway goes on from them at its next start.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, anyhow};
use verge_domain::stage::{Checkpoint, KEY_SEPARATOR, StateStore, Store, is_learnt};
use verge_gateway::config::Size;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::Settings;
use verge_outbox::{LockError, Outbox, StateLock};
use verge_pipeline::judging::judge_taught;
use verge_wire::counted;

/// Bytes of states in one commit.
const BYTES_AT_ONCE: usize = 1 << 20;
/// Names that a message lists.
const NAMES_SHOWN: usize = 5;

/// The open store, locked against the gateway.
pub(super) struct StateShelf {
    store: Outbox,
    /// Size of the learnt states that were there, by key.
    before: BTreeMap<String, u64>,
    /// Dropped after the store.
    _lock: StateLock,
}

/// What was put on it.
#[derive(Debug, Default)]
pub(super) struct Shelved {
    pub(super) written: usize,
    pub(super) bytes: u64,
    /// What the store had learnt already and keeps.
    pub(super) kept: Vec<String>,
}

impl StateShelf {
    /// Locks and opens the store of a configuration.
    ///
    /// # Errors
    /// The gateway runs, the folder is another user's, the store cannot be opened.
    pub(super) fn open(settings: &Settings) -> anyhow::Result<Self> {
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
        let learnt = saved.into_iter().filter(|one| judge_taught(&one.key).is_some());
        let before = learnt.map(|one| (one.key.clone(), size_of_row(&one))).collect();
        Ok(Self { store, before, _lock: lock })
    }

    /// Puts states into the store, where it has none under their names; with `replace` in any case.
    ///
    /// # Errors
    /// They have no room, or the store fails. Nothing was written for want of room.
    pub(super) fn put(&mut self, states: Vec<Checkpoint>, replace: bool) -> anyhow::Result<Shelved> {
        let (new, kept): (Vec<_>, Vec<_>) =
            states.into_iter().partition(|one| replace || !self.before.contains_key(&one.key));
        let mut shelved = Shelved {
            kept: kept.iter().filter(|one| is_learnt(&one.key)).map(|one| name_of(&one.key)).collect(),
            ..Shelved::default()
        };
        self.refuse_too_much(&new).exit_with(Exit::BadConfig)?;
        let (mut piece, mut bytes) = (Vec::new(), 0);
        for state in new {
            let size = state.state.as_ref().map_or(0, Vec::len);
            shelved.written += usize::from(is_learnt(&state.key));
            shelved.bytes += size as u64;
            bytes += size;
            piece.push(state);
            if bytes >= BYTES_AT_ONCE {
                self.store.commit(&[], &piece).context("the store").exit_with(Exit::Temporary)?;
                (piece, bytes) = (Vec::new(), 0);
            }
        }
        self.store.commit(&[], &piece).context("the store").exit_with(Exit::Temporary)?;
        let usage = self.store.usage().context("the store").exit_with(Exit::Temporary)?;
        if usage.states.not_saved > 0 || usage.states.evicted > 0 {
            return Err(anyhow!(
                "the store had no room for {}: make room on the disk, or raise gateway.store_cap and \
                 gateway.states_cap",
                counted(usage.states.not_saved + usage.states.evicted, "state")
            ))
            .exit_with(Exit::Temporary);
        }
        Ok(shelved)
    }

    /// Judged before anything is written: what does not fit would evict what others have learnt.
    fn refuse_too_much(&mut self, new: &[Checkpoint]) -> anyhow::Result<()> {
        let keys: HashSet<&str> = new.iter().map(|one| one.key.as_str()).collect();
        let stays = self.before.iter().filter(|(key, _)| !keys.contains(key.as_str())).map(|(_, size)| size);
        let wanted = stays.sum::<u64>() + new.iter().map(size_of_row).sum::<u64>();
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
pub(super) fn name_of(key: &str) -> String {
    let parts: Vec<&str> = key.split(KEY_SEPARATOR).collect();
    match parts[..] {
        [_, _, source, device, ""] => format!("{device} ({source})"),
        [_, _, source, device, signal] => format!("{device} {signal} ({source})"),
        _ => key.escape_debug().to_string(),
    }
}

/// The first few names, and how many more there are.
pub(super) fn some_of(names: &[String]) -> String {
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
        let names: Vec<String> = (1..=7).map(|number| format!("s{number}")).collect();
        assert_eq!(some_of(&names), "s1, s2, s3, s4, s5 and 2 more");
        assert_eq!(some_of(&names[..2]), "s1, s2");
    }
}

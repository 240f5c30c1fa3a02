//! What outlives a restart: open events and the states of judges.
//!
//! An event that is open when the gateway stops is restored at the next start. If its judge is no
//! longer configured, it is cleared: an alarm upstream must not stay open because a file was edited.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use verge_domain::id::{JudgeId, SignalId};
use verge_domain::observation::Camera;
use verge_domain::reading::{Reading, SourceIndex};
use verge_domain::stage::{Checkpoint, Decoder, Judge, RestoreError, Scope, is_learnt};
use verge_domain::time::Moment;
use verge_domain::verdict::Subject;

use super::contacts::CONTACTS;
use super::containment::contained;
use super::groups::GROUPS;
pub(super) use super::keys::{EVENTS, MAINTENANCE, SEPARATOR, SHELVING, STATE, key, key_in_state};
pub use super::keys::{
    is_settings_key, judge_taught, learnt_key, learnt_subject, pool_key, settings_key, subject_of,
};
use super::keys::{judge_of_settings, parse_key, pooled_judge};
use super::limits::LIMIT;
use super::machine::{MACHINE, MISSING_STATE};
use super::raised::RAISED;
use super::register::{LABELS, NUMBERS};
use super::saved_life::SavedLife;
use super::saving;
use super::{Decision, Fingerprint, InstanceKey, JudgeSet, Part, SettingChange};

/// Why something learnt was not taken up.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Its judge is not configured.
    #[error("there is no judge of its name")]
    UnknownJudge,
    /// Its source is not configured.
    #[error("there is no source of its name")]
    UnknownSource,
    /// Its judge does not look at its subject.
    #[error("its judge does not look at it")]
    NotWatched,
    /// It was learnt in a state of a machine, and its judge does not learn apart by states; or the other way round.
    #[error("its judge learns apart by other states of the machine (by)")]
    OtherStates,
    /// It was learnt under settings that gave it another meaning.
    #[error("learnt under other settings: {0}")]
    OtherSettings(SettingChange),
    /// The judge does not accept it.
    #[error(transparent)]
    Refused(#[from] RestoreError),
    /// The judges have no memory left.
    #[error("the judges have no room for it (gateway.judges_memory)")]
    NoRoom,
    /// The judge failed.
    #[error("the judge failed at it, which is a defect of this program")]
    Defect,
    /// What it is saved under cannot be read.
    #[error("it is saved under an unknown key")]
    UnknownKey,
}

/// Something learnt that was not taken up.
#[derive(Debug)]
pub struct LeftState {
    /// What it is saved under.
    pub key: String,
    /// Why.
    pub why: NotTaken,
}

/// What became of saved state.
#[derive(Debug, Default)]
pub struct RestoreReport {
    /// What was learnt and is not taken up.
    pub left: Vec<LeftState>,
}

impl RestoreReport {
    fn leave(&mut self, key: &str, why: NotTaken) {
        self.left.push(LeftState { key: key.to_owned(), why });
    }

    /// One line for each change of a setting, however many states it concerns.
    fn log(&self) {
        let mut by_change: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for left in &self.left {
            if let NotTaken::OtherSettings(change) = &left.why {
                let judge = judge_taught(&left.key).unwrap_or_default();
                *by_change.entry((judge, change.to_string())).or_default() += 1;
            }
        }
        for ((judge, changed), states) in by_change {
            tracing::warn!(
                judge,
                changed,
                states,
                "learnt states are not taken up: they were learnt under settings that gave them another meaning; what \
                 they are of is learnt anew"
            );
        }
    }
}

/// Where saved state belongs.
enum Home {
    /// To this instance.
    Instance(usize),
    /// To none.
    Nowhere(NotTaken),
}

impl<D: Decoder<Item = Reading>, J: Judge> JudgeSet<D, J> {
    /// Restores saved state. Events whose judge is no longer configured are cleared: those verdicts, and the removal of
    /// checkpoints without further use, are added to `out`.
    pub fn restore(&mut self, checkpoints: &[Checkpoint], now: Moment, out: &mut Decision) -> RestoreReport {
        let from = out.verdicts.len();
        let mut report = RestoreReport::default();
        let under = self.restore_settings(checkpoints, out);
        self.restore_limits(checkpoints, out);
        // Learnt states come in the order in which they were saved: where room is scarce, the newest are restored.
        let (learnt, others): (Vec<_>, Vec<_>) = checkpoints.iter().partition(|one| is_learnt(&one.key));
        // The others need the states of machines.
        let (machines, others): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|one| one.key.starts_with(MACHINE));
        for checkpoint in machines.into_iter().chain(others).chain(learnt.into_iter().rev()) {
            let Some(state) = &checkpoint.state else { continue };
            let key = &checkpoint.key;
            let kept = if key == NUMBERS || key == LABELS || judge_of_settings(key).is_some() {
                // The register has taken it up.
                true
            } else if key.split(SEPARATOR).next() == Some(LIMIT) {
                // Taken up before.
                true
            } else if key.starts_with(RAISED) {
                // The board has taken it up.
                self.specs
                    .iter()
                    .any(|(_, spec)| parse_key(key).is_some_and(|(_, judge, ..)| judge == spec.name))
            } else if key.starts_with(MACHINE) {
                self.restore_machine(key, state, now)
            } else if key.starts_with(GROUPS) {
                self.groups.restore(key, state);
                true
            } else if key.starts_with(CONTACTS) {
                let (set, specs, sources) = (self.groups.set_name(), &self.specs, &self.sources);
                self.contacts.restore((key, state), set, specs, sources)
            } else if key.starts_with(MAINTENANCE) || key.starts_with(SHELVING) {
                self.restore_window(key, state, now)
            } else if let Some(judge) = pooled_judge(key) {
                self.restore_pool(judge, key, state, &under, &mut report)
            } else {
                self.restore_one(key, state, now, (&under, &mut report), out)
            };
            if !kept {
                out.checkpoints.push(Checkpoint { key: key.clone(), state: None });
            }
        }
        report.log();
        let without_room = report.left.iter().filter(|left| matches!(left.why, NotTaken::NoRoom)).count();
        if without_room > 0 {
            tracing::warn!(
                states = without_room,
                judges_memory = self.room.limit(),
                "judges have no room for all states that were saved: these are not taken up, and their judges start \
                 anew; raise gateway.judges_memory"
            );
        }
        // Only now do all judges exist that must receive the end of a window that ended meanwhile.
        self.windows_changed();
        self.end_windows(now, out);
        self.groups.arrange(from, now, out);
        report
    }

    /// Under which settings each judge had learnt. From now on it learns under the present ones.
    fn restore_settings(
        &mut self,
        checkpoints: &[Checkpoint],
        out: &mut Decision,
    ) -> HashMap<JudgeId, Fingerprint> {
        let mut under = HashMap::new();
        for Checkpoint { key, state } in checkpoints {
            let (Some(judge), Some(state)) = (judge_of_settings(key), state) else { continue };
            let name = self.specs.iter().map(|(_, spec)| &spec.name).find(|name| name.as_str() == judge);
            match (name, Fingerprint::read(state)) {
                (Some(name), Some(read)) => drop(under.insert(name.clone(), read)),
                (Some(_), None) => {
                    tracing::warn!(
                        judge,
                        "it is not known under which settings this judge has learnt (the note of them is damaged): what \
                         it has learnt is taken up where it fits"
                    );
                }
                (None, _) => out.checkpoints.push(Checkpoint { key: key.clone(), state: None }),
            }
        }
        self.settings_saved.clone_from(&under);
        self.save_settings(out);
        under
    }

    /// The setting of a judge that was another one when this was learnt.
    fn changed_since(
        &self,
        under: &HashMap<JudgeId, Fingerprint>,
        judge: &str,
        key: &str,
    ) -> Option<SettingChange> {
        let (_, spec) = self.specs.iter().find(|(_, spec)| spec.name.as_str() == judge)?;
        under.get(&spec.name)?.change_of(&spec.fingerprint, key)
    }

    /// Whether the checkpoint is still of use.
    fn restore_one(
        &mut self,
        key: &str,
        state: &[u8],
        now: Moment,
        (under, report): (&HashMap<JudgeId, Fingerprint>, &mut RestoreReport),
        out: &mut Decision,
    ) -> bool {
        let Some((kind, judge, subject, in_state)) = parse_key(key) else {
            tracing::warn!("saved state under an unknown key was dropped");
            report.leave(key, NotTaken::UnknownKey);
            return false;
        };
        if kind == STATE
            && let Some(change) = self.changed_since(under, judge.as_str(), key)
        {
            report.leave(key, NotTaken::OtherSettings(change));
            return false;
        }
        let home = match kind {
            MISSING_STATE => Home::Nowhere(NotTaken::NotWatched),
            _ => self.home_of(&judge, &subject, in_state, now),
        };
        match (kind, home) {
            (EVENTS | MISSING_STATE, home) => match serde_json::from_slice::<SavedLife>(state) {
                Ok(life) if kind == MISSING_STATE && self.restore_missing(&judge, &subject, &life) => true,
                Ok(life) => self.restore_life(life, &home, &judge, &subject, now, out),
                Err(error) => {
                    tracing::error!(%judge, device = %subject.device, %error, "saved events are damaged");
                    false
                }
            },
            (STATE, Home::Instance(index)) => match self.restore_state(index, state, now, out) {
                Ok(()) => true,
                Err(why) => {
                    report.leave(key, why);
                    false
                }
            },
            (STATE, Home::Nowhere(why)) => {
                // It stays for a start with more room.
                let stays = matches!(why, NotTaken::NoRoom);
                report.leave(key, why);
                stays
            }
            _ => false,
        }
    }

    fn restore_pool(
        &mut self,
        judge: &str,
        key: &str,
        state: &[u8],
        under: &HashMap<JudgeId, Fingerprint>,
        report: &mut RestoreReport,
    ) -> bool {
        if let Some(change) = self.changed_since(under, judge, key) {
            report.leave(key, NotTaken::OtherSettings(change));
            return false;
        }
        let spec = self.specs.iter().find(|(_, spec)| spec.name.as_str() == judge);
        let Some((name, pool)) = spec.and_then(|(_, spec)| Some((&spec.name, spec.pool.as_ref()?))) else {
            return false;
        };
        match pool.restore(state) {
            Ok(()) => {
                self.pools_saved.insert(name.clone(), saving::checksum(state));
                true
            }
            Err(error) => {
                tracing::warn!(
                    judge, %error,
                    "the saved record of this judge's alarms was not taken up: its budget is learnt again"
                );
                report.leave(key, error.into());
                false
            }
        }
    }

    fn restore_state(
        &mut self,
        index: usize,
        state: &[u8],
        now: Moment,
        out: &mut Decision,
    ) -> Result<(), NotTaken> {
        let instance = &mut self.instances[index];
        let spec = &self.specs[instance.judge_index];
        let doing = "taking up its saved state";
        let restored = contained(instance, spec, &self.counters, doing, now, out, |instance, _| {
            instance.restore(state, now)
        });
        let (bytes, before) = instance.reckon();
        self.room.add_bytes(bytes);
        self.room.sub_bytes(before);
        match restored {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                let Subject { source, device, signal } = &instance.subject;
                let signal = signal.as_ref().map_or("all", SignalId::as_str);
                tracing::warn!(
                    judge = %spec.name, %source, %device, signal, %error,
                    "a saved state was not taken up: the judge starts anew on this subject"
                );
                Err(error.into())
            }
            None => Err(NotTaken::Defect),
        }
    }

    fn restore_life(
        &mut self,
        life: SavedLife,
        home: &Home,
        judge: &JudgeId,
        subject: &Subject,
        now: Moment,
        out: &mut Decision,
    ) -> bool {
        let Home::Instance(index) = *home else {
            tracing::info!(
                %judge, device = %subject.device,
                "no judge looks at this subject any more; its open events are cleared"
            );
            out.verdicts.extend(life.clear(judge, subject, now));
            return false;
        };
        if life.detector != self.specs[self.instances[index].judge_index].detector {
            tracing::info!(
                %judge, device = %subject.device, before = life.detector.as_str(),
                "the judge has another detector; its open events are cleared"
            );
            out.verdicts.extend(life.clear(judge, subject, now));
            return false;
        }
        self.instances[index].restore_life(life, now.mono);
        true
    }

    /// The instance that a saved key belongs to, made again if its judge still looks at that subject.
    fn home_of(&mut self, judge: &JudgeId, subject: &Subject, in_state: Option<&str>, now: Moment) -> Home {
        let source = self.sources.iter().position(|source| *source == subject.source);
        let source = source.and_then(|source| u16::try_from(source).ok()).map(SourceIndex);
        let judge = self.specs.iter().find(|(_, spec)| spec.name == *judge);
        let Some((judge, spec)) = judge else { return Home::Nowhere(NotTaken::UnknownJudge) };
        let Some(source) = source else { return Home::Nowhere(NotTaken::UnknownSource) };
        let device = subject.device.clone();
        let part = match (&subject.signal, spec.scope) {
            (Some(signal), Scope::Signal) => spec.part_of_signal(source, &device, signal),
            (None, Scope::Device) => Some(Part::Whole),
            (signal, Scope::Camera) if *signal == spec.signal_of_camera() => {
                spec.part_of_camera(&Camera { source, device: device.clone() })
            }
            _ => None,
        };
        let Some(part) = part else { return Home::Nowhere(NotTaken::NotWatched) };
        let Some(state) = self.machines.state_named(judge, &device, in_state) else {
            return Home::Nowhere(NotTaken::OtherStates);
        };
        let key = InstanceKey { judge, part, device, state };
        let known = self.by_key.contains_key(&key);
        let new_device = !known && !self.streams.knows(source, &subject.device).unwrap_or(true);
        if !known && !self.room.takes(new_device) {
            return Home::Nowhere(NotTaken::NoRoom);
        }
        let Ok(index) = catch_unwind(AssertUnwindSafe(|| self.instance(key, now))) else {
            self.counters.defects_total.add(1);
            tracing::error!(judge = %self.specs[judge].name, "a judge cannot be made, which is a defect of this program");
            return Home::Nowhere(NotTaken::Defect);
        };
        self.keep_restored(source, index, now.mono);
        Home::Instance(index)
    }
}

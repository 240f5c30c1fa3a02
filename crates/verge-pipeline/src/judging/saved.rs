//! What outlives a restart: open events and the states of judges.
//!
//! An event that is open when the gateway stops is restored at the next start. If its judge is no
//! longer configured, it is cleared: an alarm upstream must not stay open because a file was edited.

use std::panic::{AssertUnwindSafe, catch_unwind};

use verge_domain::id::{JudgeId, SignalId};
use verge_domain::observation::Camera;
use verge_domain::reading::{Reading, SourceIndex};
use verge_domain::stage::{Checkpoint, Decoder, Judge, Scope, is_learnt};
use verge_domain::time::Moment;
use verge_domain::verdict::Subject;

use super::containment::contained;
use super::groups::GROUPS;
pub(super) use super::keys::{EVENTS, MAINTENANCE, SEPARATOR, STATE, key, key_in_state};
pub use super::keys::{judge_taught, subject_of};
use super::keys::{parse_key, pooled_judge};
use super::machine::{MACHINE, MISSING_STATE};
use super::register::{LABELS, NUMBERS};
use super::saved_life::SavedLife;
use super::saving;
use super::{Decision, InstanceKey, JudgeSet, Part};

/// Where saved state belongs.
enum Home {
    /// To this instance.
    Instance(usize),
    /// No judge looks at its subject any more.
    Nowhere,
    /// There is no room for another instance.
    NoRoom,
}

impl<D: Decoder<Item = Reading>, J: Judge> JudgeSet<D, J> {
    /// Restores saved state. Events whose judge is no longer configured are cleared: those verdicts, and the removal of
    /// checkpoints without further use, are added to `out`.
    pub fn restore(&mut self, checkpoints: &[Checkpoint], now: Moment, out: &mut Decision) {
        let from = out.verdicts.len();
        let mut without_room = 0_u64;
        // Learnt states come in the order in which they were saved: where room is scarce, the newest are restored.
        let (learnt, others): (Vec<_>, Vec<_>) = checkpoints.iter().partition(|one| is_learnt(&one.key));
        // The others need the states of machines.
        let (machines, others): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|one| one.key.starts_with(MACHINE));
        for checkpoint in machines.into_iter().chain(others).chain(learnt.into_iter().rev()) {
            let Some(state) = &checkpoint.state else { continue };
            let key = &checkpoint.key;
            let kept = if key == NUMBERS || key == LABELS {
                // The register has taken it up.
                true
            } else if key.starts_with(MACHINE) {
                self.restore_machine(key, state, now)
            } else if key.starts_with(GROUPS) {
                self.groups.restore(key, state);
                true
            } else if key.starts_with(MAINTENANCE) {
                self.restore_window(key, state, now)
            } else if let Some(judge) = pooled_judge(key) {
                self.restore_pool(judge, state)
            } else {
                self.restore_one(key, state, now, &mut without_room, out)
            };
            if !kept {
                out.checkpoints.push(Checkpoint { key: key.clone(), state: None });
            }
        }
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
    }

    /// Whether the checkpoint is still of use.
    fn restore_one(
        &mut self,
        key: &str,
        state: &[u8],
        now: Moment,
        without_room: &mut u64,
        out: &mut Decision,
    ) -> bool {
        let Some((kind, judge, subject, in_state)) = parse_key(key) else {
            tracing::warn!("saved state under an unknown key was dropped");
            return false;
        };
        let home = match kind {
            MISSING_STATE => Home::Nowhere,
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
            (STATE, Home::Instance(index)) => self.restore_state(index, state, now, out),
            (STATE, Home::NoRoom) => {
                *without_room += 1;
                true
            }
            _ => false,
        }
    }

    fn restore_pool(&mut self, judge: &str, state: &[u8]) -> bool {
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
                false
            }
        }
    }

    fn restore_state(&mut self, index: usize, state: &[u8], now: Moment, out: &mut Decision) -> bool {
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
            Some(Ok(())) => true,
            Some(Err(error)) => {
                let Subject { source, device, signal } = &instance.subject;
                let signal = signal.as_ref().map_or("all", SignalId::as_str);
                tracing::warn!(
                    judge = %spec.name, %source, %device, signal, %error,
                    "a saved state was not taken up: the judge starts anew on this subject"
                );
                false
            }
            None => false,
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
        let (Some(source), Some((judge, spec))) = (source, judge) else { return Home::Nowhere };
        let device = subject.device.clone();
        let part = match (&subject.signal, spec.scope) {
            (Some(signal), Scope::Signal) => spec.part_of_signal(source, &device, signal),
            (None, Scope::Device) => Some(Part::Whole),
            (signal, Scope::Camera) if *signal == spec.signal_of_camera() => {
                spec.part_of_camera(&Camera { source, device: device.clone() })
            }
            _ => None,
        };
        let Some(part) = part else { return Home::Nowhere };
        let Some(state) = self.machines.state_named(judge, &device, in_state) else { return Home::Nowhere };
        let key = InstanceKey { judge, part, device, state };
        let known = self.by_key.contains_key(&key);
        let new_device = !known && !self.streams.knows(source, &subject.device).unwrap_or(true);
        if !known && !self.room.takes(new_device) {
            return Home::NoRoom;
        }
        let Ok(index) = catch_unwind(AssertUnwindSafe(|| self.instance(key, now))) else {
            self.counters.defects_total.add(1);
            tracing::error!(judge = %self.specs[judge].name, "a judge cannot be made, which is a defect of this program");
            return Home::NoRoom;
        };
        self.keep_restored(source, index, now.mono);
        Home::Instance(index)
    }
}

//! What outlives a restart: open events and the states of judges.
//!
//! An event that is open when the gateway stops is restored at the next start. If its judge is no
//! longer configured, it is cleared: an alarm upstream must not stay open because a file was edited.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Condition, Expected, Member, Standing};
use verge_domain::id::{EventNumber, JudgeId, Lane, SignalId, Unit};
use verge_domain::observation::Camera;
use verge_domain::policy::OpenEvent;
use verge_domain::reading::{Reading, SourceIndex};
use verge_domain::stage::{Checkpoint, Decoder, Judge, Scope, is_learnt};
use verge_domain::time::{DeviceClock, Moment, UtcMillis};
use verge_domain::verdict::{Detector, Event, EventState, Severity, Subject, Times, Verdict};

use super::containment::contained;
use super::instance::body_of;
use super::keys::parse_key;
pub(super) use super::keys::{EVENTS, MAINTENANCE, SEPARATOR, STATE, key, key_in_state};
pub use super::keys::{judge_taught, subject_of};
use super::machine::{MACHINE, UNHEARD};
use super::register::NUMBERS;
use super::{Decision, InstanceKey, JudgeSet, JudgeSpec, Part};

/// The open events of one instance, with enough about them to clear them without their judge.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedLife {
    detector: Detector,
    severity: Severity,
    lane: Lane,
    pub(super) unit: Option<Unit>,
    pub(super) events: Vec<SavedEvent>,
    /// Its silence was ended, see [`Instance::vanish`](super::instance::Instance::vanish).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) vanished: bool,
}

/// An open event, and its last report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SavedEvent {
    pub(super) member: Member,
    pub(super) event: OpenEvent,
    pub(super) observed: f64,
    pub(super) expected: Expected,
    /// Its number; earlier versions gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) number: Option<EventNumber>,
    /// When that report was made; earlier versions did not save it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reported: Option<UtcMillis>,
    /// The highest severity it was reported with; earlier versions gave all the one of their judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) severity: Option<Severity>,
}

impl SavedLife {
    /// `None` when there is nothing to remember.
    pub(super) fn of<J>(
        spec: &JudgeSpec<J>,
        unit: Option<&Unit>,
        events: &[SavedEvent],
        vanished: bool,
    ) -> Option<Self> {
        (vanished || !events.is_empty()).then(|| Self {
            detector: spec.detector,
            severity: spec.policy.severity,
            lane: spec.policy.lane,
            unit: unit.cloned(),
            events: events.to_vec(),
            vanished,
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("saved events hold finite numbers and text only")
    }

    /// Verdicts that clear these events on behalf of a judge that is no longer configured.
    pub(super) fn clear(
        &self,
        judge: &JudgeId,
        subject: &Subject,
        now: Moment,
    ) -> impl Iterator<Item = Verdict> {
        self.events
            .iter()
            .map(move |saved| self.repeated(saved, judge, subject, EventState::Cleared, now.wall))
    }

    /// The last report of an event once more, in this state and as of this time.
    fn repeated(
        &self,
        saved: &SavedEvent,
        judge: &JudgeId,
        subject: &Subject,
        state: EventState,
        at: UtcMillis,
    ) -> Verdict {
        let SavedEvent {
            member, event: OpenEvent { id, since, suspended }, observed, expected, number, ..
        } = *saved;
        let condition = Condition::of_rule(member, Standing::Normal, observed, expected);
        let lasted_ms = u64::try_from(at.since(since).as_millis()).unwrap_or(u64::MAX);
        Verdict {
            judge: judge.clone(),
            subject: subject.clone(),
            times: Times {
                captured: None,
                clock: DeviceClock::Absent,
                received: at,
                decided: at,
                estimated: false,
            },
            detector: self.detector,
            tag: None,
            model: None,
            severity: saved.severity.unwrap_or(self.severity),
            lane: self.lane,
            event: Some(Event {
                id,
                state,
                since,
                lasted_ms,
                number,
                change: None,
                suspended: suspended && state != EventState::Cleared,
            }),
            body: body_of(&condition, self.unit.as_ref()),
        }
    }
}

/// The events that were open when these checkpoints were saved, each as its last saved report, in the state `updated`.
/// Checkpoints that cannot be read are skipped: [`JudgeSet::restore`] reports them.
pub fn open_events(checkpoints: &[Checkpoint]) -> impl Iterator<Item = Verdict> {
    let saved = checkpoints.iter().filter_map(|checkpoint| {
        let (kind, judge, subject, _) = parse_key(&checkpoint.key)?;
        let state = checkpoint.state.as_ref().filter(|_| [EVENTS, UNHEARD].contains(&kind))?;
        Some((judge, subject, serde_json::from_slice::<SavedLife>(state).ok()?))
    });
    saved.flat_map(|(judge, subject, life)| {
        let repeated = |event: &SavedEvent| {
            let at = event.reported.unwrap_or(event.event.since);
            life.repeated(event, &judge, &subject, EventState::Updated, at)
        };
        life.events.iter().map(repeated).collect::<Vec<_>>()
    })
}

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
        let mut without_room = 0_u64;
        // Learnt states come in the order in which they were saved: where room is scarce, the newest are restored.
        let (learnt, others): (Vec<_>, Vec<_>) = checkpoints.iter().partition(|one| is_learnt(&one.key));
        // The others need the states of machines.
        let (machines, others): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|one| one.key.starts_with(MACHINE));
        for checkpoint in machines.into_iter().chain(others).chain(learnt.into_iter().rev()) {
            let Some(state) = &checkpoint.state else { continue };
            let key = &checkpoint.key;
            let kept = if key == NUMBERS {
                // The register has taken it up.
                true
            } else if key.starts_with(MACHINE) {
                self.restore_machine(key, state, now)
            } else if key.starts_with(MAINTENANCE) {
                self.restore_window(key, state, now)
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
            UNHEARD => Home::Nowhere,
            _ => self.home_of(&judge, &subject, in_state, now),
        };
        match (kind, home) {
            (EVENTS | UNHEARD, home) => match serde_json::from_slice::<SavedLife>(state) {
                Ok(life) if kind == UNHEARD && self.restore_unheard(&judge, &subject, &life) => true,
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

#[cfg(test)]
mod tests {
    use verge_domain::verdict::Body;

    use super::*;

    fn checkpoint(key: &str, state: Option<&str>) -> Checkpoint {
        let state = state.map(|state| state.as_bytes().to_vec());
        Checkpoint { key: key.replace('/', &SEPARATOR.to_string()), state }
    }

    #[test]
    fn open_events_are_read_back_with_value_and_time_as_version_0_1_saved_them_too() {
        let event = |member: &str, more: &str| {
            format!(
                r#"{{"member":"{member}","event":{{"id":{:?},"since":5000}},"observed":8.5,"expected":{{"low":null,"high":7.1}}{more}}}"#,
                [10; 16]
            )
        };
        let life = format!(
            r#"{{"detector":"health","severity":"critical","lane":"alarm","unit":"mm/s","events":[{},{}]}}"#,
            event("high", ""),
            event("stuck", r#","reported":9000"#)
        );
        let checkpoints = [
            checkpoint("events/j/s/d/x", Some(&life)),
            checkpoint("events/j/s/other/x", None),
            checkpoint("events/j/s/damaged/x", Some("{")),
            checkpoint("state/j/s/d/x", Some(&life)),
            checkpoint("a key of another kind", Some(&life)),
        ];
        let open: Vec<Verdict> = open_events(&checkpoints).collect();
        assert_eq!(open.len(), 2);
        for (verdict, at, lasted_ms) in [(&open[0], 5_000, 0), (&open[1], 9_000, 4_000)] {
            let event = verdict.event.unwrap();
            assert_eq!((verdict.times.received.0, event.since.0, event.lasted_ms), (at, 5_000, lasted_ms));
            assert_eq!((verdict.subject.device.as_str(), event.state), ("d", EventState::Updated));
        }
        let Body::Anomaly(anomaly) = &open[0].body else { panic!("{:?}", open[0]) };
        assert_eq!((anomaly.observed, anomaly.expected.high), (8.5, Some(7.1)));
        assert!(matches!(&open[1].body, Body::Health(health) if health.cause == Member::Stuck));
    }
}

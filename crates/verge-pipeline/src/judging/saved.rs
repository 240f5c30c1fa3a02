//! What outlives a restart: open events and the state of judges.
//!
//! An event that is open when the gateway stops is taken up again at the next start. If its judge is no
//! longer configured, it is cleared: an alarm upstream must never hang because a file was edited.

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Condition, Expected, Member, Standing};
use verge_domain::id::{DeviceId, JudgeId, Lane, SignalId, SourceId, Unit};
use verge_domain::policy::{EventLife, OpenEvent};
use verge_domain::reading::{Reading, SourceIndex};
use verge_domain::stage::{Checkpoint, Decoder, Judge, KEY_SEPARATOR, LEARNT_KEY, Scope};
use verge_domain::time::{DeviceClock, Moment};
use verge_domain::verdict::{Detector, Event, EventState, Severity, Subject, Times, Verdict};

use super::instance::body_of;
use super::{Bench, Decision, InstanceKey, JudgeSpec};

/// First part of the key of open events.
pub(super) const EVENTS: &str = "events";
/// First part of the key of a judge's state: the store may evict those for want of room.
pub(super) const STATE: &str = LEARNT_KEY;
/// First part of the key of a maintenance window.
pub(super) const MAINTENANCE: &str = "maintenance";

/// Names never contain control characters, so this separates them without doubt.
pub(super) const SEPARATOR: char = KEY_SEPARATOR;

pub(super) fn key(kind: &str, judge: &JudgeId, subject: &Subject) -> String {
    let signal = subject.signal.as_ref().map_or("", SignalId::as_str);
    format!(
        "{kind}{SEPARATOR}{judge}{SEPARATOR}{}{SEPARATOR}{}{SEPARATOR}{signal}",
        subject.source, subject.device
    )
}

fn parse_key(key: &str) -> Option<(&str, JudgeId, Subject)> {
    let mut parts = key.split(SEPARATOR);
    let kind = parts.next()?;
    let judge = JudgeId::new(parts.next()?).ok()?;
    let source = SourceId::new(parts.next()?).ok()?;
    let device = DeviceId::new(parts.next()?).ok()?;
    let signal = Some(parts.next()?).filter(|signal| !signal.is_empty());
    let signal = signal.map(SignalId::new).transpose().ok()?;
    parts.next().is_none().then_some((kind, judge, Subject { source, device, signal }))
}

/// The open events of one instance, with enough about them to clear them without their judge.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedLife {
    detector: Detector,
    severity: Severity,
    lane: Lane,
    unit: Option<Unit>,
    events: Vec<SavedEvent>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedEvent {
    member: Member,
    event: OpenEvent,
    observed: f64,
    expected: Expected,
}

impl SavedLife {
    /// `None` when nothing is open. `condition` is the one that has just changed something.
    pub(super) fn of<J>(
        life: &EventLife,
        spec: &JudgeSpec<J>,
        condition: &Condition,
        unit: Option<&Unit>,
    ) -> Option<Self> {
        let events: Vec<SavedEvent> = life
            .open()
            .map(|(member, event)| SavedEvent {
                member,
                event,
                observed: condition.observed,
                expected: if member == condition.member.strand() {
                    condition.expected
                } else {
                    Expected::default()
                },
            })
            .collect();
        (!events.is_empty()).then(|| Self {
            detector: spec.detector,
            severity: spec.policy.severity,
            lane: spec.policy.lane,
            unit: unit.cloned(),
            events,
        })
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("saved events hold finite numbers and text only")
    }

    /// Verdicts that clear these events on behalf of a judge that is gone.
    fn clear(&self, judge: &JudgeId, subject: &Subject, now: Moment) -> impl Iterator<Item = Verdict> {
        self.events.iter().map(move |saved| {
            let condition =
                Condition::of_rule(saved.member, Standing::Normal, saved.observed, saved.expected);
            Verdict {
                judge: judge.clone(),
                subject: subject.clone(),
                times: Times {
                    captured: None,
                    clock: DeviceClock::Absent,
                    received: now.wall,
                    decided: now.wall,
                },
                detector: self.detector,
                model: None,
                severity: self.severity,
                lane: self.lane,
                event: Some(Event {
                    id: saved.event.id,
                    state: EventState::Cleared,
                    since: saved.event.since,
                    lasted_ms: u64::try_from(now.wall.since(saved.event.since).as_millis())
                        .unwrap_or(u64::MAX),
                }),
                body: body_of(&condition, self.unit.as_ref()),
            }
        })
    }
}

impl<D: Decoder<Item = Reading>, J: Judge<Observation = Reading>> Bench<D, J> {
    /// Takes up what was saved. Events whose judge is gone are cleared: those verdicts, and the removal of
    /// checkpoints that are of no more use, are added to `out`.
    pub fn restore(&mut self, checkpoints: &[Checkpoint], now: Moment, out: &mut Decision) {
        for checkpoint in checkpoints {
            let Some(state) = &checkpoint.state else { continue };
            let key = &checkpoint.key;
            let kept = if key.starts_with(MAINTENANCE) {
                self.restore_window(key, state, now)
            } else {
                self.restore_one(key, state, now, out)
            };
            if !kept {
                out.checkpoints.push(Checkpoint { key: key.clone(), state: None });
            }
        }
        // Only now are all judges there that must hear that a window has ended meanwhile.
        self.windows_changed();
        self.end_windows(now.mono, out);
    }

    /// Whether the checkpoint is still of use.
    fn restore_one(&mut self, key: &str, state: &[u8], now: Moment, out: &mut Decision) -> bool {
        let Some((kind, judge, subject)) = parse_key(key) else {
            tracing::warn!("saved state under an unknown key was dropped");
            return false;
        };
        if !self.place.owns(&subject.device) {
            return true;
        }
        let index = self.instance_for(&judge, &subject, now);
        match (kind, index) {
            (EVENTS, index) => match serde_json::from_slice::<SavedLife>(state) {
                Ok(life) => self.restore_life(&life, index, &judge, &subject, now, out),
                Err(error) => {
                    tracing::error!(%judge, device = %subject.device, %error, "saved events are damaged");
                    false
                }
            },
            (STATE, Some(index)) => match self.instances[index].restore(state, now) {
                Ok(()) => true,
                Err(error) => {
                    tracing::warn!(%judge, device = %subject.device, %error, "judge starts afresh");
                    false
                }
            },
            _ => false,
        }
    }

    fn restore_life(
        &mut self,
        life: &SavedLife,
        index: Option<usize>,
        judge: &JudgeId,
        subject: &Subject,
        now: Moment,
        out: &mut Decision,
    ) -> bool {
        let Some(index) = index else {
            tracing::info!(%judge, device = %subject.device, "judge is gone; its open events are cleared");
            out.verdicts.extend(life.clear(judge, subject, now));
            return false;
        };
        let instance = &mut self.instances[index];
        for saved in &life.events {
            instance.life.restore(saved.member, saved.event, now.mono);
        }
        instance.restore_unit(life.unit.clone());
        true
    }

    /// The instance a saved key belongs to, made again if its judge still looks at that subject.
    fn instance_for(&mut self, judge: &JudgeId, subject: &Subject, now: Moment) -> Option<usize> {
        let judge = self.specs.iter().position(|spec| spec.name == *judge)?;
        let source = self.sources.iter().position(|source| *source == subject.source)?;
        let source = SourceIndex(u16::try_from(source).ok()?);
        let spec = &self.specs[judge];
        match (&subject.signal, spec.scope) {
            (Some(signal), Scope::Signal) => {
                if !spec.takes(source, &subject.device, signal) {
                    return None;
                }
                self.streams.admit(source, &subject.device, signal).ok()?;
                let key = InstanceKey {
                    judge,
                    signal: Some((source, signal.clone())),
                    device: subject.device.clone(),
                };
                Some(self.instance(key, now))
            }
            (None, Scope::Device) => {
                Some(self.instance(InstanceKey { judge, signal: None, device: subject.device.clone() }, now))
            }
            _ => None,
        }
    }
}

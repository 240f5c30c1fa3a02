//! What contacts explain over a restart: the events of a judge come days apart, a gateway restarts in between.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use verge_domain::id::{DeviceId, JudgeId, SignalId, SourceId};
use verge_domain::reading::SourceIndex;
use verge_domain::stage::Checkpoint;

use super::super::saved::SEPARATOR;
use super::super::{Decision, Specs};
use super::{Contacts, EVENTS, NOTED, NotedChange};

/// First part of the key of the last events of a judge, with the contacts that changed before them.
pub(in crate::judging) const CONTACTS: &str = "contacts";
const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct SavedEvents {
    v: u8,
    events: Vec<Vec<SavedChange>>,
}

#[derive(Serialize, Deserialize)]
struct SavedChange {
    source: SourceId,
    signal: SignalId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    device: Option<DeviceId>,
    before: f64,
    became: f64,
    is_binary: bool,
    delay_ms: u64,
    rate: f64,
}

impl SavedChange {
    fn of(noted: &NotedChange, sources: &[SourceId]) -> Option<Self> {
        Some(Self {
            source: sources.get(usize::from(noted.source.0))?.clone(),
            signal: noted.signal.clone(),
            device: noted.elsewhere.clone(),
            before: noted.before,
            became: noted.became,
            is_binary: noted.is_binary,
            delay_ms: u64::try_from(noted.delay.as_millis()).unwrap_or(u64::MAX),
            rate: noted.rate,
        })
    }

    /// `None` where its source is not configured any more.
    fn noted(self, sources: &[SourceId]) -> Option<NotedChange> {
        let source = sources.iter().position(|source| *source == self.source)?;
        let is_sound = [self.before, self.became, self.rate].iter().all(|number| number.is_finite());
        is_sound.then_some(NotedChange {
            source: SourceIndex(u16::try_from(source).ok()?),
            signal: self.signal,
            elsewhere: self.device,
            before: self.before,
            became: self.became,
            is_binary: self.is_binary,
            delay: Duration::from_millis(self.delay_ms),
            rate: self.rate,
        })
    }
}

/// The key of a judge in this set of judges.
fn key_of(judge: &JudgeId, set: &str) -> String {
    format!("{CONTACTS}{SEPARATOR}{judge}{SEPARATOR}{set}")
}

impl Contacts {
    /// Events of these judges have begun since this was called last.
    pub(in crate::judging) fn save(&mut self, set: &str, sources: &[SourceId], out: &mut Decision) {
        for judge in std::mem::take(&mut self.unsaved) {
            let Some(events) = self.by_judge.get(&judge) else { continue };
            let of_event = |noted: &Vec<NotedChange>| {
                noted.iter().filter_map(|one| SavedChange::of(one, sources)).collect()
            };
            let saved = SavedEvents { v: VERSION, events: events.iter().map(of_event).collect() };
            let state = serde_json::to_vec(&saved).expect("finite numbers");
            out.checkpoints.push(Checkpoint { key: key_of(&judge, set), state: Some(state) });
        }
    }

    /// Takes that up. Returns whether it is still of use.
    pub(in crate::judging) fn restore<J>(
        &mut self,
        (key, state): (&str, &[u8]),
        set: &str,
        specs: &Specs<J>,
        sources: &[SourceId],
    ) -> bool {
        let Some(judge) = specs.iter().map(|(_, spec)| &spec.name).find(|name| {
            let rest = key.strip_prefix(CONTACTS).and_then(|rest| rest.strip_prefix(SEPARATOR));
            rest.and_then(|rest| rest.strip_prefix(name.as_str()))
                .is_some_and(|rest| rest.starts_with(SEPARATOR))
        }) else {
            return false;
        };
        if key != key_of(judge, set) {
            // Of the judges of the other class, which take it up.
            return true;
        }
        let saved = match serde_json::from_slice::<SavedEvents>(state) {
            Ok(saved) if saved.v == VERSION => saved,
            Ok(_) => {
                tracing::warn!(%judge, "what contacts explain of its events is of another version: it is learnt anew");
                return false;
            }
            Err(error) => {
                tracing::warn!(%judge, %error, "what contacts explain of its events is damaged: it is learnt anew");
                return false;
            }
        };
        let of_event = |noted: Vec<SavedChange>| -> Vec<NotedChange> {
            noted.into_iter().filter_map(|one| one.noted(sources)).take(NOTED).collect()
        };
        let newest = saved.events.len().saturating_sub(EVENTS);
        let events: VecDeque<_> = saved.events.into_iter().skip(newest).map(of_event).collect();
        self.by_judge.insert(judge.clone(), events);
        true
    }
}

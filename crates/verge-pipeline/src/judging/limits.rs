//! Limits that operators move while the gateway runs, within the bounds of the configuration. What is set is saved, holds for
//! all instances of its judge, and is taken over by a judge in its place that admits it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use verge_domain::finding::Expected;
use verge_domain::id::{JudgeId, JudgeIndex};
use verge_domain::policy::Observed;
use verge_domain::settable::{LimitKey, SetLimit, SettableLimit};
use verge_domain::stage::{Checkpoint, Judge};
use verge_domain::time::Moment;
use verge_domain::verdict::{ActionKind, OperatorAction};

use super::containment::contained;
use super::instance::Instance;
use super::keys::SEPARATOR;
use super::orders::{Names, OrderError};
use super::outcome::Outcome;
use super::{Decision, JudgeSet, JudgeSpec, Operator};

/// First part of the key of a limit that was set.
pub(super) const LIMIT: &str = "limit";

/// The limits of a judge that may be set; whoever makes its instances asks here where they are.
#[derive(Debug, Default)]
pub struct JudgeLimits {
    settable: Vec<SettableLimit>,
    set: Mutex<Vec<SetLimit>>,
}

impl JudgeLimits {
    /// Those that the configuration opens.
    #[must_use]
    pub fn new(settable: Vec<SettableLimit>) -> Arc<Self> {
        Arc::new(Self { settable, set: Mutex::default() })
    }

    fn set(&self) -> MutexGuard<'_, Vec<SetLimit>> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where an operator has set a limit.
    #[must_use]
    pub fn value(&self, key: LimitKey) -> Option<f64> {
        self.set().iter().find(|set| set.key == key).map(|set| set.value)
    }

    /// Where a limit that may be set is now.
    fn in_force(&self, key: LimitKey) -> Option<f64> {
        let configured = || self.find(key).map(|limit| limit.configured);
        self.value(key).or_else(configured)
    }

    fn find(&self, key: LimitKey) -> Option<&SettableLimit> {
        self.settable.iter().find(|limit| limit.key == key)
    }

    fn admits(&self, set: &SetLimit) -> bool {
        self.find(set.key).is_some_and(|limit| limit.admits(set.value))
    }

    fn put(&self, key: LimitKey, set: Option<SetLimit>) {
        let mut all = self.set();
        all.retain(|known| known.key != key);
        all.extend(set);
    }

    /// Takes over what was set of a judge before, as far as it is admitted.
    pub(super) fn take_over(&self, before: &Self) {
        if !std::ptr::eq(self, before) {
            let sets = before.set().clone();
            sets.into_iter().filter(|set| self.admits(set)).for_each(|set| self.put(set.key, Some(set)));
        }
    }
}

fn saved_key(judge: &JudgeId, key: LimitKey) -> String {
    format!("{LIMIT}{SEPARATOR}{judge}{SEPARATOR}{key}")
}

fn forgotten(set: &SetLimit) -> Checkpoint {
    Checkpoint { key: saved_key(&set.judge, set.key), state: None }
}

impl<J: Judge> Instance<J> {
    /// Its judge is made anew with the limits in force. Its open events are reported with them; says how many.
    fn take_limits(
        &mut self,
        spec: &JudgeSpec<J>,
        action: &OperatorAction,
        now: Moment,
        out: &mut Decision,
    ) -> usize {
        if let Err(error) = self.set_anew(spec, now) {
            tracing::warn!(judge = %spec.name, %error, "what was learnt does not fit the limit: it is learnt anew");
        }
        let [high, low] = [LimitKey::Above, LimitKey::Below].map(|key| spec.limits.in_force(key));
        let (when, mut reports) = (Observed { at: now.wall, received: now }, Vec::new());
        for open in &mut self.open {
            let Expected { low: lowest, high: highest } = open.expected;
            open.expected = Expected { low: low.or(lowest), high: high.or(highest) };
            let strand = open.strand();
            let event = self.life.handle(&strand, open.event.handling, when);
            reports.extend(event.map(|event| (strand, event)));
        }
        self.report_again(spec, &reports, Some(action), now, out);
        reports.len()
    }
}

impl<D, J: Judge> JudgeSet<D, J> {
    /// Sets a limit of a judge, or puts it back to where the configuration has it.
    pub(super) fn set_limit(
        &mut self,
        (judge, key, value): (&JudgeId, LimitKey, Option<f64>),
        operator: &Operator,
        now: Moment,
        out: &mut Decision,
    ) -> Result<Outcome, OrderError> {
        let found = self.specs.iter().find(|(_, spec)| spec.name == *judge);
        let Some((index, spec)) = found else {
            let known = Names::of(self.specs.iter().map(|(_, spec)| spec.name.to_string()));
            return Err(OrderError::UnknownJudge { judge: judge.clone(), known });
        };
        let limits = Arc::clone(&spec.limits);
        let Some(limit) = limits.find(key) else {
            let known = Names::of(limits.settable.iter().map(|limit| limit.key.to_string()));
            return Err(OrderError::NotSettable { judge: judge.clone(), key, known });
        };
        if let Some(value) = value.filter(|value| !limit.admits(*value)) {
            let SettableLimit { lowest, highest, .. } = *limit;
            return Err(OrderError::BeyondBounds { judge: judge.clone(), key, value, lowest, highest });
        }
        let Operator { by, note } = operator.clone();
        let set = value.map(|value| SetLimit { judge: judge.clone(), key, value, by, note, at: now.wall });
        let state =
            set.as_ref().map(|set| serde_json::to_vec(set).expect("names, texts and a finite number"));
        out.checkpoints.push(Checkpoint { key: saved_key(judge, key), state });
        limits.put(key, set);
        let events = self.limits_moved(index, &operator.did(ActionKind::Set), now, out);
        self.note_limits();
        tracing::info!(%judge, %key, value, configured = limit.configured, by = %operator.by, "a limit is set");
        Ok(Outcome::Set { key, value, configured: limit.configured, events })
    }

    fn limits_moved(
        &mut self,
        judge: JudgeIndex,
        action: &OperatorAction,
        now: Moment,
        out: &mut Decision,
    ) -> usize {
        let (from, mut events) = (out.verdicts.len(), 0);
        let spec = &self.specs[judge];
        for (_, instance) in self.instances.iter_mut().filter(|(_, one)| one.judge_index == judge) {
            let doing = "taking up a limit";
            let reported = contained(instance, spec, &self.counters, doing, now, out, |instance, out| {
                instance.take_limits(spec, action, now, out)
            });
            events += reported.unwrap_or(0);
        }
        self.groups.arrange(from, now, out);
        events
    }

    /// All limits that are set.
    pub(super) fn set_limits(&self) -> Vec<SetLimit> {
        self.specs.iter().flat_map(|(_, spec)| spec.limits.set().clone()).collect()
    }

    fn note_limits(&self) {
        self.counters.note_set_limits(self.set_limits());
    }

    /// Takes up limits that were set before a restart; what the configuration does not admit any more is as configured.
    pub(super) fn restore_limits(&mut self, checkpoints: &[Checkpoint], out: &mut Decision) {
        let saved = checkpoints.iter().filter(|one| one.key.split(SEPARATOR).next() == Some(LIMIT));
        for Checkpoint { key, state } in saved {
            let set = state.as_ref().and_then(|state| serde_json::from_slice::<SetLimit>(state).ok());
            let spec = set.as_ref().and_then(|set| self.specs.named(&set.judge));
            match spec.zip(set.clone()).filter(|(spec, set)| spec.limits.admits(set)) {
                Some((spec, set)) => spec.limits.put(set.key, Some(set)),
                None => {
                    out.checkpoints.push(Checkpoint { key: key.clone(), state: None });
                    not_admitted(set.as_ref());
                }
            }
        }
        self.note_limits();
    }

    /// Other judges are at work: forgets what is not set any more of these.
    pub(super) fn forget_limits(&self, before: &[SetLimit], out: &mut Decision) {
        let now = self.set_limits();
        for set in before.iter().filter(|set| !now.contains(set)) {
            out.checkpoints.push(forgotten(set));
            not_admitted(Some(set));
        }
        self.note_limits();
    }
}

fn not_admitted(set: Option<&SetLimit>) {
    match set {
        Some(SetLimit { judge, key, value, .. }) => tracing::warn!(
            %judge, %key, value,
            "a limit that was set is not taken up: the configuration does not open it that far; it is as configured"
        ),
        None => tracing::error!("a limit that was set is damaged: it is as configured"),
    }
}

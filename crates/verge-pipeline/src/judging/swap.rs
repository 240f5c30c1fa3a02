//! Other judges take the place of those at work, between two messages. Instances whose judge stays go on with what they
//! have learnt and with their open events; those of a judge whose detector is set anew carry over what they have learnt a
//! few at a time, each before its next observation, so that judging pauses for milliseconds however many there are.

use std::sync::Arc;
use std::time::Duration;

use verge_domain::id::{DeviceId, JudgeId, JudgeIndex};
use verge_domain::policy::EventPolicy;
use verge_domain::stage::{Judge, Scope, SharedState};
use verge_domain::tag::TagBook;
use verge_domain::time::Moment;

use super::containment::contained;
use super::instance::Instance;
use super::watched::{WatchedSubjects, source_of};
use super::{Decision, Fingerprint, Inputs, JudgeSet, JudgeSpec, Part, StateRules};

/// A judge that is to be at work.
pub enum PlannedJudge<J> {
    /// One that is at work, and whose detector stays as it is.
    Kept(KeptJudge),
    /// A new one, or one whose detector is set anew: it takes up what the judge of its name has learnt, if it accepts that.
    Made(JudgeSpec<J>),
    /// One in the place of another of its name, whose open events it goes on with. It takes up nothing of what that has
    /// learnt, and this is why.
    Anew(JudgeSpec<J>, &'static str),
}

/// What can change of a judge without its detector.
pub struct KeptJudge {
    /// Its name.
    pub name: JudgeId,
    /// What it looks at.
    pub inputs: Inputs,
    /// How its conditions become events.
    pub policy: EventPolicy,
    /// See [`JudgeSpec::expect`].
    pub expect: Vec<DeviceId>,
    /// See [`JudgeSpec::machine`].
    pub machine: Option<DeviceId>,
    /// See [`JudgeSpec::states`].
    pub states: StateRules,
    /// See [`JudgeSpec::model`]; `None` where it is the one before.
    pub model: Option<verge_domain::verdict::Model>,
    /// See [`JudgeSpec::smaller`]; `None` where it is the one before.
    pub smaller: Option<verge_domain::verdict::Model>,
    /// See [`JudgeSpec::candidate`].
    pub candidate: Option<verge_domain::verdict::Model>,
    /// See [`JudgeSpec::tags`].
    pub tags: Arc<TagBook>,
    /// See [`JudgeSpec::fingerprint`].
    pub fingerprint: Fingerprint,
}

impl<J> PlannedJudge<J> {
    pub(super) fn name(&self) -> &JudgeId {
        match self {
            Self::Kept(kept) => &kept.name,
            Self::Made(spec) | Self::Anew(spec, _) => &spec.name,
        }
    }

    /// Whether the instances of the judge of its name can be its own.
    fn continues(&self, before: &JudgeSpec<J>) -> bool {
        match self {
            Self::Kept(kept) => {
                kept.machine == before.machine
                    && kept.inputs.observes == before.inputs.observes
                    && kept.states.by == before.states.by
            }
            Self::Made(spec) | Self::Anew(spec, _) => {
                (spec.detector, spec.scope, &spec.machine, spec.inputs.observes, &spec.states.by)
                    == (
                        before.detector,
                        before.scope,
                        &before.machine,
                        before.inputs.observes,
                        &before.states.by,
                    )
            }
        }
    }

    fn into_spec(self, before: Option<JudgeSpec<J>>) -> JudgeSpec<J> {
        match self {
            Self::Made(spec) | Self::Anew(spec, _) => spec,
            Self::Kept(kept) => {
                let before = before.expect("a judge is kept that is at work");
                let KeptJudge {
                    inputs,
                    policy,
                    expect,
                    machine,
                    states,
                    model,
                    smaller,
                    candidate,
                    tags,
                    fingerprint,
                    ..
                } = kept;
                let (model, smaller) = (model.or(before.model), smaller.or(before.smaller));
                JudgeSpec {
                    inputs,
                    policy,
                    expect,
                    machine,
                    states,
                    model,
                    smaller,
                    candidate,
                    tags,
                    fingerprint,
                    ..before
                }
            }
        }
    }
}

/// What the instances of a judge shared is shared by those of the judge that takes its place.
fn carry_over(before: &dyn SharedState, after: &dyn SharedState, judge: &JudgeId) {
    let carried = before.save().map_or(Ok(()), |state| after.restore(&state));
    if let Err(error) = carried {
        tracing::warn!(%judge, %error, "the record of this judge's alarms does not fit its new settings: its budget is learnt again");
    }
}

/// What became of the instances of judges.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SwapReport {
    /// They go on as they were.
    pub kept: usize,
    /// Their detector was set anew, and they go on with what they had learnt.
    pub carried: usize,
    /// They ended: their judge was removed, or does not look at their subject any more.
    pub ended: usize,
    /// Their detector was set anew, and what they had learnt does not fit it.
    pub anew: Vec<StartedAnew>,
    /// How long judging paused.
    pub pause: Duration,
    /// What is watched from now on.
    pub watched: WatchedSubjects,
}

/// Instances of one judge that start anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedAnew {
    /// The judge.
    pub judge: JudgeId,
    /// The number of them.
    pub instances: usize,
    /// Why the first of them does.
    pub why: String,
}

impl SwapReport {
    /// Adds what became of the instances of another thread.
    pub fn add(&mut self, other: Self) {
        let Self { kept, carried, ended, anew, pause, watched } = other;
        self.kept += kept;
        self.carried += carried;
        self.ended += ended;
        anew.into_iter().for_each(|started| self.note_anew(started));
        self.pause = self.pause.max(pause);
        self.watched.add(watched);
    }

    fn note_anew(&mut self, started: StartedAnew) {
        match self.anew.iter_mut().find(|known| known.judge == started.judge) {
            Some(known) => known.instances += started.instances,
            None => self.anew.push(started),
        }
    }
}

/// Instances whose judge is to be replaced by one with other settings.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    left: usize,
    /// The instance that comes next.
    next: usize,
    /// Places of judges that take up nothing of what their predecessors have learnt, and why.
    fresh: Vec<(usize, String)>,
    report: SwapReport,
}

impl Renewals {
    pub(super) const fn are_due(&self) -> bool {
        self.left > 0
    }

    /// An instance has ended.
    pub(super) fn forget<J>(&mut self, instance: &Instance<J>) {
        self.left -= usize::from(instance.outdated);
    }
}

impl<D, J: Judge> JudgeSet<D, J> {
    /// Puts these judges, each under its index, in the place of those at work. A judge that goes on has the index that it has.
    /// What their instances end is added to `out`. Call [`JudgeSet::renew`] until it gives the report.
    pub fn swap(&mut self, planned: Vec<(JudgeIndex, PlannedJudge<J>)>, now: Moment, out: &mut Decision) {
        let from = out.verdicts.len();
        self.end_waiting(now, out);
        // What ends is cleared as the former judges reported it.
        let goes_on = |(index, planned): &(JudgeIndex, PlannedJudge<J>)| {
            let before = self.specs.get(*index).filter(|before| before.name == *planned.name());
            before.is_some_and(|before| planned.continues(before)).then_some(*index)
        };
        let going_on: Vec<JudgeIndex> = planned.iter().filter_map(goes_on).collect();
        let mut ended = self.ended_where(|_, instance| !going_on.contains(&instance.judge_index));
        self.end(&ended, now, out);
        let expected: Vec<Vec<DeviceId>> = self.specs.0.iter().map(expected_of).collect();
        let policies: Vec<Option<EventPolicy>> =
            self.specs.0.iter().map(|spec| spec.as_ref().map(|spec| spec.policy)).collect();
        let limits = self.set_limits();
        let remade = self.place(planned, &going_on);
        self.forget_limits(&limits, out);
        self.regate(now, out);
        for (_, instance) in &mut self.instances {
            let place = instance.judge_index.position();
            let device = &instance.subject.device;
            let was = expected[place].contains(device);
            let spec = &self.specs[instance.judge_index];
            let is = spec.expect.contains(device);
            let said = |policy: &EventPolicy| (policy.severity, policy.lane);
            if !instance.open.is_empty() && policies[place].as_ref().map(said) != Some(said(&spec.policy)) {
                // A start shows them as they are reported from now on.
                out.checkpoints.push(instance.saved_life(spec));
            }
            instance.users = instance.users + usize::from(is) - usize::from(was);
            if remade.contains(&place) && !instance.outdated {
                instance.outdated = true;
                self.renewals.left += 1;
            }
        }
        let passed_over = self.ended_where(|set, instance| !set.watches(instance) || instance.users == 0);
        self.end(&passed_over, now, out);
        ended.iter_mut().zip(&passed_over).for_each(|(ended, also)| *ended |= also);
        self.streams.judges_changed(|index| ended.get(index) == Some(&true));
        self.keep_whole_devices(now);
        let ended = ended.iter().filter(|ended| **ended).count();
        let kept = self.instances.len() - self.renewals.left;
        self.expect_devices(now);
        let names: Vec<_> = self.specs.iter().map(|(_, spec)| &spec.name).collect();
        self.contacts.forget(|judge| names.contains(&judge));
        self.renewals.next = 0;
        let watched = WatchedSubjects::of(&self.specs, &self.sources);
        self.renewals.report = SwapReport { kept, ended, watched, ..SwapReport::default() };
        self.groups.arrange(from, now, out);
    }

    /// Of a device as a whole, as after a restart, the instance stays although none of the signals may be looked at that it
    /// looked at before.
    fn keep_whole_devices(&mut self, now: Moment) {
        let is_whole =
            |(_, instance): &(usize, &Instance<J>)| self.specs[instance.judge_index].scope == Scope::Device;
        let of = |(index, instance): (usize, &Instance<J>)| {
            Some((source_of(&self.sources, &instance.subject)?, index))
        };
        let whole: Vec<_> = self.instances.iter().filter(is_whole).filter_map(of).collect();
        for (source, index) in whole {
            self.keep_restored(source, index, now.mono);
        }
    }

    fn ended_where(&self, ends: impl Fn(&Self, &Instance<J>) -> bool) -> Vec<bool> {
        let place = |index| self.instances.get(index).is_some_and(|instance| ends(self, instance));
        (0..self.instances.capacity()).map(place).collect()
    }

    fn end(&mut self, ended: &[bool], now: Moment, out: &mut Decision) {
        for index in (0..ended.len()).filter(|&index| ended[index]) {
            self.remove_instance(index, now, out);
        }
    }

    /// Sets up the judges, of which these go on; gives the places of those whose detector was set anew.
    fn place(&mut self, planned: Vec<(JudgeIndex, PlannedJudge<J>)>, going_on: &[JudgeIndex]) -> Vec<usize> {
        let mut before = std::mem::take(&mut self.specs.0);
        let places = planned.iter().map(|(index, _)| index.position() + 1).max().unwrap_or_default();
        let mut specs: Vec<Option<JudgeSpec<J>>> = (0..places).map(|_| None).collect();
        let mut remade = Vec::new();
        self.renewals.fresh.clear();
        for (index, planned) in planned {
            let place = index.position();
            let is_known = |one: &JudgeSpec<J>| one.name == *planned.name();
            let known = before.iter_mut().find(|one| one.as_ref().is_some_and(is_known));
            let known = known.and_then(Option::take);
            let pool_before = known.as_ref().and_then(|before| before.pool.clone());
            let (is_made, fresh) = match &planned {
                PlannedJudge::Kept(_) => (false, None),
                PlannedJudge::Made(_) => (true, None),
                PlannedJudge::Anew(_, why) => (true, Some((*why).to_owned())),
            };
            let limits_before = known.as_ref().map(|before| Arc::clone(&before.limits));
            let under = known.as_ref().map(|before| before.fingerprint.clone());
            let spec = planned.into_spec(known);
            limits_before.iter().for_each(|before| spec.limits.take_over(before));
            let changed = under.and_then(|under| under.change_of_judge(&spec.fingerprint));
            let fresh = fresh.or(changed.map(|change| change.to_string()));
            if is_made && going_on.contains(&index) {
                match (fresh, pool_before.zip(spec.pool.as_ref())) {
                    (Some(why), _) => self.renewals.fresh.push((place, why)),
                    (None, Some((before, pool))) => carry_over(&*before, &**pool, &spec.name),
                    (None, None) => {}
                }
                remade.push(place);
            }
            specs[place] = Some(spec);
        }
        self.specs.0 = specs;
        remade
    }

    /// Whether the judge of an instance still looks at its subject.
    fn watches(&self, instance: &Instance<J>) -> bool {
        let source = source_of(&self.sources, &instance.subject);
        source.is_some_and(|source| self.specs[instance.judge_index].watches(source, &instance.subject))
    }

    /// Makes the instances of devices that are expected and not there yet.
    pub(super) fn expect_devices(&mut self, now: Moment) {
        let expected = self
            .specs
            .iter()
            .flat_map(|(judge, spec)| spec.expect.iter().map(move |device| (judge, device.clone())));
        for (judge, device) in expected.collect::<Vec<_>>() {
            for key in self.keys(judge, Part::Whole, device) {
                self.instance(key, now);
            }
        }
    }

    /// Carries over what up to `most` instances have learnt. Gives the report when none is left, once.
    pub fn renew(&mut self, most: usize, now: Moment, out: &mut Decision) -> Option<SwapReport> {
        let from = out.verdicts.len();
        let mut done = 0;
        while self.renewals.are_due() && done < most && self.renewals.next < self.instances.capacity() {
            let index = self.renewals.next;
            self.renewals.next += 1;
            done += usize::from(self.renew_one(index, now, out));
        }
        self.groups.arrange(from, now, out);
        let is_over = !self.renewals.are_due();
        is_over.then(|| std::mem::take(&mut self.renewals.report))
    }

    /// The same for instances that are about to observe.
    #[cold]
    pub(super) fn renew_all(&mut self, instances: Vec<usize>, now: Moment, out: &mut Decision) {
        for index in instances {
            self.renew_one(index, now, out);
        }
    }

    fn renew_one(&mut self, index: usize, now: Moment, out: &mut Decision) -> bool {
        let Some(instance) = self.instances.get_mut(index).filter(|instance| instance.outdated) else {
            return false;
        };
        instance.outdated = false;
        self.renewals.left -= 1;
        let spec = &self.specs[instance.judge_index];
        let place = instance.judge_index.position();
        let fresh = self.renewals.fresh.iter().find(|(fresh, _)| *fresh == place).map(|(_, why)| why.clone());
        let doing = "carrying over what it has learnt";
        let carried = contained(instance, spec, &self.counters, doing, now, out, |instance, _| match fresh {
            None => instance.set_anew(spec, now).map_err(|error| error.to_string()),
            Some(why) => {
                instance.judge = (spec.make)(now);
                Err(why)
            }
        });
        let (bytes, before) = instance.reckon();
        self.room.add_bytes(bytes);
        self.room.sub_bytes(before);
        let why = match carried {
            Some(Ok(())) => {
                self.renewals.report.carried += 1;
                return true;
            }
            Some(Err(why)) => {
                out.checkpoints.extend(instance.forgotten_state(&spec.name));
                instance.forget_saved();
                why
            }
            None => "the judge failed, which is a defect of this program".to_owned(),
        };
        self.renewals.report.note_anew(StartedAnew { judge: spec.name.clone(), instances: 1, why });
        true
    }
}

fn expected_of<J>(spec: &Option<JudgeSpec<J>>) -> Vec<DeviceId> {
    spec.as_ref().map_or_else(Vec::new, |spec| spec.expect.clone())
}

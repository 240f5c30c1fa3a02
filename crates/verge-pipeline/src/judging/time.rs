//! Time passes: silence is found, intervals and windows end, and devices vanish or say that they are away.

use verge_domain::finding::Finding;
use verge_domain::id::DeviceId;
use verge_domain::reading::{Reading, SourceIndex};
use verge_domain::stage::{Decoder, Judge};
use verge_domain::time::Moment;
use verge_domain::verdict::Subject;

use super::containment::contained;
use super::instance::VANISHED_AFTER;
use super::{Decision, JudgeSet, measures};

impl<D: Decoder<Item = Reading>, J: Judge> JudgeSet<D, J> {
    /// Advances time: detects silence, ends intervals and maintenance windows. Call it about twice a second.
    pub fn tick(&mut self, now: Moment, out: &mut Decision) {
        self.let_each(J::tick, |_| true, now, out);
    }

    /// A device says that it is away.
    pub(super) fn device_away(
        &mut self,
        source: SourceIndex,
        device: &DeviceId,
        now: Moment,
        out: &mut Decision,
    ) {
        let Some(source) = self.sources.get(usize::from(source.0)).cloned() else { return };
        let is_of = |subject: &Subject| subject.device == *device && subject.source == source;
        self.let_each(J::away, is_of, now, out);
    }

    /// Nothing follows: see [`Judge::finish`].
    pub fn finish(&mut self, now: Moment, out: &mut Decision) {
        self.let_each(J::finish, |_| true, now, out);
    }

    fn let_each(
        &mut self,
        look: fn(&mut J, Moment, &mut Vec<Finding>),
        selected: impl Fn(&Subject) -> bool,
        now: Moment,
        out: &mut Decision,
    ) {
        let from = out.verdicts.len();
        self.end_windows(now, out);
        for (_, instance) in &mut self.instances {
            if instance.is_vanished() || instance.outdated || !selected(&instance.subject) {
                continue;
            }
            let spec = &self.specs[instance.judge_index];
            if !self.machines.lets_time_pass(instance, spec, now.wall, now, out) {
                continue;
            }
            let (findings, naming, measured) = (&mut self.findings, &mut self.naming, &mut self.measured);
            findings.clear();
            contained(instance, spec, &self.counters, "looking at the time", now, out, |instance, out| {
                look(&mut instance.judge, now, findings);
                if !findings.is_empty() {
                    measures::keep(findings, &instance.subject, measured);
                    instance.decide(spec, None, now, now, findings, naming, out);
                    self.counters.raises_held_back_total.add(instance.life.take_held_back());
                }
            });
        }
        self.judge_measures(now, now, out);
        self.report_overdue(now, out);
        self.arrange(from, now, out);
    }

    /// Ends the silence of devices that have vanished: they sent nothing for a week and are not expected. What was
    /// learnt of them stays.
    pub fn expire(&mut self, now: Moment, out: &mut Decision) {
        let from = out.verdicts.len();
        for (_, instance) in &mut self.instances {
            let spec = &self.specs[instance.judge_index];
            if instance.vanish(spec, now, out) {
                tracing::warn!(
                    judge = %spec.name, source = %instance.subject.source, device = %instance.subject.device,
                    days = VANISHED_AFTER.as_secs() / 86_400,
                    "no reading of a device for so long that its silence is no event any more: cleared"
                );
            }
        }
        self.groups.arrange(from, now, out);
    }
}

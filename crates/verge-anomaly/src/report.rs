//! `classify` and `detect`: which views of a camera are worth a verdict: all of them, or those that differ from the last
//! that was reported.

use std::time::Duration;

use verge_domain::finding::Finding;
use verge_domain::frame::{Classification, Detections, View};
use verge_domain::id::Label;
use verge_domain::stage::RestoreError;
use verge_domain::time::{Moment, UtcMillis};

use crate::state::{self, StateKind};

/// When a judge over frames reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportPolicy {
    /// Every frame.
    Every,
    /// Where what is seen differs from what was last reported: another best label, or another number of objects
    /// of a label.
    Change {
        /// A difference must hold for this long before it is reported; zero reports at once.
        hold: Duration,
        /// While nothing changes, it is reported again after this long; `None` never.
        again: Option<Duration>,
    },
}

/// What of a view counts as the same: labels and how many of each, in order of the labels.
type Gist = Vec<(Label, u32)>;

/// What was seen, and since when. The time continues over a restart.
#[derive(Debug, Clone)]
struct Since {
    gist: Gist,
    at: Moment,
    /// How long before `at` it was, where an earlier run saw it.
    before: Duration,
}

/// [`Since`] as it is saved.
type SavedSince = (Gist, UtcMillis);

impl Since {
    fn now(gist: &Gist, at: Moment) -> Self {
        Self { gist: gist.clone(), at, before: Duration::ZERO }
    }

    fn lasts(&self, now: Moment) -> Duration {
        self.before + now.mono.since(self.at.mono)
    }

    fn saved(&self) -> SavedSince {
        let before = i64::try_from(self.before.as_millis()).unwrap_or(i64::MAX);
        (self.gist.clone(), UtcMillis(self.at.wall.0.saturating_sub(before)))
    }

    fn restored((gist, since): SavedSince, now: Moment) -> Self {
        Self { gist, at: now, before: now.wall.since(since) }
    }
}

/// Watches what the model of one judge sees of one camera.
#[derive(Debug)]
pub struct ReportJudge {
    policy: ReportPolicy,
    reported: Option<Since>,
    changing: Option<Since>,
    gist: Gist,
}

impl ReportJudge {
    pub(crate) const fn new(policy: ReportPolicy) -> Self {
        Self { policy, reported: None, changing: None, gist: Vec::new() }
    }

    pub(crate) fn observe(&mut self, view: &View, received: Moment, findings: &mut Vec<Finding>) {
        if self.is_due(view, received) {
            findings.push(Finding::View);
        }
    }

    fn is_due(&mut self, view: &View, now: Moment) -> bool {
        let ReportPolicy::Change { hold, again } = self.policy else { return *view != View::Still };
        match view {
            View::Classification(view) => gist_of_classes(view, &mut self.gist),
            View::Detections(view) => gist_of_objects(view, &mut self.gist),
            // A score is judged as a number, by another judge; and nobody looked at what stands still.
            View::Reconstruction(_) | View::Appearance(_) | View::Still => return false,
        }
        let due = match &self.reported {
            None => true,
            Some(reported) if reported.gist == self.gist => {
                self.changing = None;
                again.is_some_and(|again| reported.lasts(now) >= again)
            }
            Some(_) => {
                let lasts = match &self.changing {
                    Some(changing) if changing.gist == self.gist => changing.lasts(now),
                    _ => {
                        self.changing = Some(Since::now(&self.gist, now));
                        Duration::ZERO
                    }
                };
                lasts >= hold
            }
        };
        if due {
            self.reported = Some(Since::now(&self.gist, now));
            self.changing = None;
        }
        due
    }

    /// Only where something was reported that is not to be reported again.
    pub(crate) fn save(&self) -> Option<Vec<u8>> {
        let reported = self.reported.as_ref()?.saved();
        Some(state::seal(StateKind::Report, &(reported, self.changing.as_ref().map(Since::saved))))
    }

    pub(crate) fn restore(&mut self, bytes: &[u8], now: Moment) -> Result<(), RestoreError> {
        let (reported, changing): (SavedSince, Option<SavedSince>) = state::open(StateKind::Report, bytes)?;
        self.reported = Some(Since::restored(reported, now));
        self.changing = changing.map(|changing| Since::restored(changing, now));
        Ok(())
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let saved = [&self.reported, &self.changing].into_iter().flatten().map(|since| since.gist.capacity());
        (self.gist.capacity() + saved.sum::<usize>()) * size_of::<(Label, u32)>()
    }
}

fn gist_of_classes(view: &Classification, gist: &mut Gist) {
    gist.clear();
    gist.extend(view.labels.first().map(|best| (best.label.clone(), 1)));
}

fn gist_of_objects(view: &Detections, gist: &mut Gist) {
    gist.clear();
    for object in &view.objects {
        match gist.iter_mut().find(|(label, _)| *label == object.label) {
            Some((_, count)) => *count += 1,
            None => gist.push((object.label.clone(), 1)),
        }
    }
    gist.sort_unstable();
}

#[cfg(test)]
mod tests {
    use super::*;
    use verge_domain::frame::{Detection, PixelBox, Score, Scored};

    fn objects(labels: &str) -> View {
        let area = PixelBox { x: 0, y: 0, width: 1, height: 1 };
        let score = Score::new(0.5).unwrap();
        let object = |label: char| Detection {
            label: Label::new(&label.to_string()).unwrap(),
            score,
            area,
            track: None,
        };
        let labels = labels.trim_matches('-').chars();
        View::Detections(Detections { width: 9, height: 9, objects: labels.map(object).collect() })
    }

    /// Views a second apart, as words; what is reported of them, as `R` or `.`.
    #[track_caller]
    fn check(policy: ReportPolicy, views: &str, expected: &str) {
        let mut judge = ReportJudge::new(policy);
        let mut reported = String::new();
        for (view, second) in views.split(' ').zip(0..) {
            if view == "|" {
                // A restart: the monotonic clock begins again.
                let saved = judge.save().unwrap();
                judge = ReportJudge::new(policy);
                judge.restore(&saved, at(second)).unwrap();
                continue;
            }
            reported.push(if judge.is_due(&objects(view), at(second)) { 'R' } else { '.' });
        }
        assert_eq!(reported, expected, "{views}");
    }

    fn at(second: i64) -> Moment {
        Moment::from_wall(UtcMillis(second * 1000))
    }

    #[test]
    fn every_view_or_only_changes_are_reported() {
        check(ReportPolicy::Every, "c c c", "RRR");
        let change = ReportPolicy::Change { hold: Duration::ZERO, again: None };
        check(change, "c c cb bc cc - - c", "R.R.RR.R");
        let again = ReportPolicy::Change { hold: Duration::ZERO, again: Some(Duration::from_secs(3)) };
        check(again, "c c c c c c c b b", "R..R..RR.");
    }

    #[test]
    fn a_change_must_hold() {
        let policy = ReportPolicy::Change { hold: Duration::from_secs(2), again: None };
        check(policy, "c cc c cc cc cc cc", "R....R.");
        check(policy, "c cc b b cc b b b", "R......R");
    }

    #[test]
    fn a_restart_forgets_neither_what_was_reported_nor_since_when_it_changes() {
        let change = ReportPolicy::Change { hold: Duration::ZERO, again: None };
        check(change, "c c | c c b | b", "R...R.");
        let again = ReportPolicy::Change { hold: Duration::ZERO, again: Some(Duration::from_secs(3)) };
        check(again, "c | c c c | c c", "R.R.R.");
        let hold = ReportPolicy::Change { hold: Duration::from_secs(3), again: None };
        check(hold, "c b b | b", "R..R");
        check(hold, "c b | b b", "R..R");
        assert_eq!(ReportJudge::new(ReportPolicy::Every).save(), None);
        let mut judge = ReportJudge::new(change);
        assert!(judge.is_due(&objects("c"), at(9)));
        let saved = judge.save().unwrap();
        // The clock was set back, and a damaged state changes nothing.
        judge.restore(&saved, at(2)).unwrap();
        assert!(judge.restore(&saved[..saved.len() - 1], at(2)).is_err());
        assert!(!judge.is_due(&objects("c"), at(3)));
    }

    #[test]
    fn the_best_class_counts() {
        let class = |label: &str, score: f32| {
            let scored = Scored { label: Label::new(label).unwrap(), score: Score::new(score).unwrap() };
            View::Classification(Classification { labels: vec![scored] })
        };
        let policy = ReportPolicy::Change { hold: Duration::ZERO, again: None };
        let mut judge = ReportJudge::new(policy);
        assert!(judge.is_due(&class("cat", 0.9), at(0)));
        assert!(!judge.is_due(&class("cat", 0.7), at(1)));
        assert!(judge.is_due(&class("dog", 0.7), at(2)));
        let none = View::Classification(Classification { labels: Vec::new() });
        assert!(judge.is_due(&none, at(3)));
    }
}

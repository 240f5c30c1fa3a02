//! Which views of a camera are worth a verdict: all of them, or only those that differ from the last.
//!
//! Pure, like [`policy`](crate::policy), its counterpart for conditions.

use std::time::Duration;

use crate::frame::{Classification, Detections, View};
use crate::id::Label;
use crate::time::Monotonic;

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

/// What one judge last reported of one camera.
#[derive(Debug, Clone, Default)]
pub struct ReportLife {
    reported: Option<(Gist, Monotonic)>,
    changing: Option<(Gist, Monotonic)>,
    gist: Gist,
}

impl ReportLife {
    /// Takes note of a view; says whether it is worth a verdict.
    pub fn advance(&mut self, policy: ReportPolicy, view: &View, now: Monotonic) -> bool {
        let ReportPolicy::Change { hold, again } = policy else { return true };
        match view {
            View::Classification(view) => gist_of_classes(view, &mut self.gist),
            View::Detections(view) => gist_of_objects(view, &mut self.gist),
            // What is observed is not reported: who judges it wants all of it.
            View::Reconstruction(_) => return true,
        }
        let due = match &self.reported {
            None => true,
            Some((reported, at)) if *reported == self.gist => {
                self.changing = None;
                again.is_some_and(|again| now.since(*at) >= again)
            }
            Some(_) => {
                let since = match &self.changing {
                    Some((changing, since)) if *changing == self.gist => *since,
                    _ => {
                        self.changing = Some((self.gist.clone(), now));
                        now
                    }
                };
                now.since(since) >= hold
            }
        };
        if due {
            self.reported = Some((self.gist.clone(), now));
            self.changing = None;
        }
        due
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
    use crate::frame::{Detection, PixelBox, Score, Scored};

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
        let mut life = ReportLife::default();
        let told: String = views
            .split(' ')
            .zip(0..)
            .map(|(view, second)| {
                let now = Monotonic(second * 1_000_000);
                if life.advance(policy, &objects(view), now) { 'R' } else { '.' }
            })
            .collect();
        assert_eq!(told, expected, "{views}");
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
    fn the_best_class_counts() {
        let class = |label: &str, score: f32| {
            let scored = Scored { label: Label::new(label).unwrap(), score: Score::new(score).unwrap() };
            View::Classification(Classification { labels: vec![scored] })
        };
        let policy = ReportPolicy::Change { hold: Duration::ZERO, again: None };
        let mut life = ReportLife::default();
        assert!(life.advance(policy, &class("cat", 0.9), Monotonic(0)));
        assert!(!life.advance(policy, &class("cat", 0.7), Monotonic(1)));
        assert!(life.advance(policy, &class("dog", 0.7), Monotonic(2)));
        let none = View::Classification(Classification { labels: Vec::new() });
        assert!(life.advance(policy, &none, Monotonic(3)));
    }
}

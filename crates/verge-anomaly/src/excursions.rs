//! The excursions of one subject, and those that people said are no faults.
//!
//! An alarm that is labelled false teaches what kind of excursion is no fault: which members found it strange, and how
//! strange at most. What is of that kind again, to a margin, counts as usual; what is larger, or found by another
//! member, alarms as before. Each such label also halves the part of the budget that the subject has, since it has spent
//! more of it than others.

use serde::{Deserialize, Serialize};
use verge_domain::stage::RestoreError;
use verge_domain::time::UtcMillis;

/// Events that are remembered, so that one can be labelled hours later.
const REMEMBERED: usize = 4;
/// An excursion of the same kind may be this many times as strange.
const MARGIN: f32 = 1.25;
/// The budget is halved this many times at most.
const MOST_HALVINGS: u8 = 3;
/// A member takes part in an excursion if its probability is at most this many times the level of an alarm.
const TAKES_PART: f64 = 10.0;
/// Larger scores are kept as this one, and so alarm again.
const LARGEST: f32 = 1e30;

/// What is remembered of them. Most signals have none, and pay for a pointer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Excursions(Option<Box<KnownExcursions>>);

/// Members are known by their positions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct KnownExcursions {
    /// Of the last events, the newest last.
    recent: Vec<Excursion>,
    /// Scores by member up to which an excursion is no fault; empty where there is none.
    harmless: Vec<f32>,
    /// Events labelled false.
    labelled: u8,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Excursion {
    since: i64,
    /// The strangest score of each member that took part; zero of the others.
    scores: Vec<f32>,
    harmless: bool,
}

impl Excursions {
    /// Whether a score of a member is of a kind that people said is no fault.
    pub(crate) fn is_harmless(&self, member: usize, score: f64) -> bool {
        let known = self.0.as_ref().and_then(|known| known.harmless.get(member));
        known.is_some_and(|&most| score <= f64::from(most))
    }

    /// Notes one observation of an open event: score and probability of each member.
    pub(crate) fn note(
        &mut self,
        at: UtcMillis,
        was_open: bool,
        level: f64,
        members: impl ExactSizeIterator<Item = (f64, f64)>,
    ) {
        let recent = &mut self.0.get_or_insert_default().recent;
        if !was_open {
            if recent.len() == REMEMBERED {
                recent.remove(0);
            }
            let scores = vec![0.0; members.len()];
            recent.push(Excursion { since: at.0, scores, harmless: false });
        }
        let Some(last) = recent.last_mut() else { return };
        for (most, (score, p)) in last.scores.iter_mut().zip(members) {
            if p <= TAKES_PART * level {
                *most = most.max((score as f32).min(LARGEST));
            }
        }
    }

    /// Notes one observation of several members that have one score together. `parts`: each member with its part in that;
    /// those count that have half as much as the strangest, since which of them is that may be chance.
    pub(crate) fn note_together(
        &mut self,
        at: UtcMillis,
        was_open: bool,
        level: f64,
        (members, parts): (usize, &[(usize, f64)]),
        (score, p): (f64, f64),
    ) {
        let most = parts.iter().fold(0.0, |most: f64, part| most.max(part.1));
        let counts = |member| parts.iter().any(|part| part.0 == member && part.1 >= most / 2.0);
        let of = |member| if counts(member) { (score, p) } else { (0.0, 1.0) };
        self.note(at, was_open, level, (0..members).map(of));
    }

    /// The event that began then, or the last one.
    fn meant(&mut self, since: Option<UtcMillis>) -> Option<&mut Excursion> {
        let recent = &mut self.0.as_mut()?.recent;
        match since {
            // Exactly: what is learnt apart for each state of a machine must not take the label of another state's event.
            Some(since) => recent.iter_mut().rfind(|one| one.since == since.0),
            None => recent.last_mut(),
        }
    }

    /// Whether the last event is meant, whose lessons may still be known.
    pub(crate) fn is_last(&mut self, since: Option<UtcMillis>) -> bool {
        let last = self.meant(None).map(|last| last.since);
        since.is_none() || self.meant(since).map(|meant| meant.since) == last
    }

    /// An event was no fault: its kind is usual from now on. Returns whether the event is still known.
    pub(crate) fn was_false(&mut self, since: Option<UtcMillis>) -> bool {
        let Some(event) = self.meant(since) else { return false };
        let is_new = !std::mem::replace(&mut event.harmless, true);
        let scores = event.scores.clone();
        let Some(known) = &mut self.0 else { return false };
        known.harmless.resize(scores.len().max(known.harmless.len()), 0.0);
        for (most, score) in known.harmless.iter_mut().zip(scores) {
            *most = most.max((MARGIN * score).min(LARGEST));
        }
        known.labelled = known.labelled.saturating_add(u8::from(is_new));
        true
    }

    /// An event was a fault: its kind is none of the usual, whatever was said before. Returns whether that changed
    /// anything.
    pub(crate) fn was_real(&mut self, since: Option<UtcMillis>) -> bool {
        let Some(event) = self.meant(since) else { return false };
        let was_harmless = std::mem::replace(&mut event.harmless, false);
        let scores = event.scores.clone();
        let Some(known) = &mut self.0 else { return false };
        let mut changed = was_harmless;
        for (most, score) in known.harmless.iter_mut().zip(scores) {
            if score > 0.0 && *most > 0.0 {
                (*most, changed) = (0.0, true);
            }
        }
        known.labelled = known.labelled.saturating_sub(u8::from(was_harmless));
        changed
    }

    /// What is usual is learnt again from here on.
    pub(crate) fn was_maintenance(&mut self) {
        if let Some(known) = &mut self.0 {
            **known = KnownExcursions { labelled: known.labelled, ..KnownExcursions::default() };
        }
    }

    /// The part of its budget that the subject keeps.
    pub(crate) fn part(&self) -> f64 {
        let halvings = self.0.as_ref().map_or(0, |known| known.labelled.min(MOST_HALVINGS));
        if halvings == 0 { 1.0 } else { 0.5_f64.powi(i32::from(halvings)) }
    }

    /// Whether it can be what was saved of this many members.
    pub(crate) fn check(&self, members: usize) -> Result<(), RestoreError> {
        let Some(known) = &self.0 else { return Ok(()) };
        let is_score = |score: &f32| (0.0..=LARGEST).contains(score);
        let sound = known.recent.len() <= REMEMBERED
            && known.recent.iter().all(|one| one.scores.len() == members && one.scores.iter().all(is_score))
            && (known.harmless.is_empty() || known.harmless.len() == members)
            && known.harmless.iter().all(is_score);
        if sound { Ok(()) } else { Err(RestoreError::Misfit { part: "the excursions that people labelled" }) }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |known| {
            let scores: usize = known.recent.iter().map(|one| one.scores.capacity()).sum();
            size_of::<KnownExcursions>()
                + known.recent.capacity() * size_of::<Excursion>()
                + (scores + known.harmless.capacity()) * size_of::<f32>()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event of two members at this time: the first finds it strange by this score.
    fn event(excursions: &mut Excursions, at: i64, score: f64) {
        let at = UtcMillis(at);
        excursions.note(at, false, 1e-3, [(score / 2.0, 1e-4), (9.0, 0.5)].into_iter());
        excursions.note(at, true, 1e-3, [(score, 1e-6), (9.0, 0.5)].into_iter());
    }

    #[test]
    fn what_is_labelled_false_is_harmless_to_a_margin_and_no_other_kind_is() {
        let mut excursions = Excursions::default();
        assert!(!excursions.was_false(None), "there was no event");
        event(&mut excursions, 100, 8.0);
        assert!(excursions.was_false(None));
        assert!(excursions.is_harmless(0, 10.0) && !excursions.is_harmless(0, 10.1));
        assert!(!excursions.is_harmless(1, 0.1), "the other member took no part in it");
        assert_eq!(excursions.part(), 0.5);
        assert!(excursions.was_false(None), "twice is once");
        assert_eq!(excursions.part(), 0.5);
        // The last label counts.
        assert!(excursions.was_real(None));
        assert!(!excursions.is_harmless(0, 1.0));
        assert_eq!(excursions.part(), 1.0);
    }

    #[test]
    fn contradictory_labels_leave_what_the_last_one_says_however_many_there_were() {
        let mut excursions = Excursions::default();
        event(&mut excursions, 100, 8.0);
        event(&mut excursions, 200, 4.0);
        let size =
            |excursions: &Excursions| crate::state::seal(crate::state::StateKind::Auto, excursions).len();
        excursions.was_false(Some(UtcMillis(100)));
        let labelled = (excursions.clone(), size(&excursions));
        for _ in 0..300 {
            excursions.was_real(Some(UtcMillis(100)));
            assert!(!excursions.is_harmless(0, 8.0) && excursions.part() == 1.0);
            excursions.was_false(Some(UtcMillis(100)));
        }
        assert_eq!((excursions.clone(), size(&excursions)), labelled);
        // Of two events of one kind the last label counts as well, and the kind alarms again.
        excursions.was_real(Some(UtcMillis(200)));
        assert!(!excursions.is_harmless(0, 4.0));
        excursions.was_false(Some(UtcMillis(200)));
        assert!(excursions.is_harmless(0, 5.0) && !excursions.is_harmless(0, 8.0));
        assert!(excursions.part() >= 0.25 && excursions.check(2).is_ok());
    }

    #[test]
    fn an_event_is_found_by_its_time_as_long_as_it_is_remembered() {
        let mut excursions = Excursions::default();
        for (at, score) in [(100, 1.0), (200, 2.0), (300, 3.0), (400, 4.0), (500, 5.0)] {
            event(&mut excursions, at, score);
        }
        assert!(excursions.was_false(Some(UtcMillis(300))));
        assert!(excursions.is_harmless(0, 3.75) && !excursions.is_harmless(0, 3.8));
        assert!(excursions.check(2).is_ok() && excursions.check(8).is_err());
        excursions.was_maintenance();
        assert!(!excursions.is_harmless(0, 0.1) && !excursions.was_false(Some(UtcMillis(300))));
    }
}

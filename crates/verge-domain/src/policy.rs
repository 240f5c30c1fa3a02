//! From conditions to events with a life: raised, updated, cleared.
//!
//! Pure: state goes in and out explicitly, time and fresh identities are arguments. The state of an open
//! event is saved in the same transaction as the verdict that changed it, so a restart can neither forget
//! to clear an event nor raise it twice.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::finding::{Condition, Member};
use crate::id::{EventId, Lane};
use crate::time::{Moment, Monotonic, UtcMillis};
use crate::verdict::{Event, EventChange, EventState, Severity};

mod course;

use course::EventCourse;
pub use course::GROWS_BY;

/// How conditions of one judge become events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventPolicy {
    /// Severity of the judge's events.
    pub severity: Severity,
    /// Lane of the judge's verdicts. All states of an event travel in one lane, so that they stay in order.
    pub lane: Lane,
    /// A condition must hold for this long before it is raised; zero raises at once.
    pub raise_after: Duration,
    /// A condition must be normal for this long before it is cleared; zero clears at once.
    pub clear_after: Duration,
    /// While it continues, an event is reported again after this long; `None` never, zero at every observation.
    pub update_every: Option<Duration>,
}

impl EventPolicy {
    /// The lane that suits a severity: what a person must look at overtakes the rest.
    #[must_use]
    pub const fn lane_for(severity: Severity) -> Lane {
        match severity {
            Severity::Info => Lane::Verdict,
            Severity::Warning | Severity::Critical => Lane::Alarm,
        }
    }
}

/// An open event, as it is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenEvent {
    /// Identity over the whole life.
    pub id: EventId,
    /// Since when the condition holds.
    pub since: UtcMillis,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    /// Nothing is wrong.
    Quiet,
    /// Abnormal, but not yet for long enough.
    Rising { first_at: UtcMillis, since: Monotonic },
    /// It would have been raised, had raises not been held back.
    HeldBack { first_at: UtcMillis, since: Monotonic },
    /// Raised; `begun` is its begin where it was seen by this process, `calm` since when it has been normal again, if it has.
    Open {
        event: OpenEvent,
        begun: Option<Monotonic>,
        reported: Monotonic,
        calm: Option<Monotonic>,
        course: EventCourse,
    },
}

/// The life of the events of one judge about one subject: one phase per member, since a value can be too
/// high and rise too fast at once. Members of one strand share a phase.
#[derive(Debug, Clone, Default)]
pub struct EventLife {
    phases: Vec<(Member, Phase)>,
    holding: bool,
    held_back: u64,
}

/// Two clocks read one after the other, and roundings.
const CLOCKS_AGREE: Duration = Duration::from_secs(2);

/// When the observation was made and received.
#[derive(Debug, Clone, Copy)]
pub struct Observed {
    /// Time to reckon with: the device's where trusted, else that of receipt.
    pub at: UtcMillis,
    /// Receipt; its monotonic part measures all durations.
    pub received: Moment,
}

impl EventLife {
    /// Takes up an event that was open when its state was saved.
    pub fn restore(&mut self, member: Member, event: OpenEvent, now: Monotonic) {
        let course = EventCourse::default();
        *self.phase(member) = Phase::Open { event, begun: None, reported: now, calm: None, course };
    }

    /// Holds raises back, or allows them again. What is open continues and is cleared as usual; what would have been
    /// raised is counted once, and is raised afterwards if it still holds then.
    pub fn hold(&mut self, holding: bool) {
        self.holding = holding;
    }

    /// Whether raises are held back.
    #[must_use]
    pub const fn is_holding(&self) -> bool {
        self.holding
    }

    /// How many raises were held back since this was last asked.
    pub fn take_held_back(&mut self) -> u64 {
        std::mem::take(&mut self.held_back)
    }

    /// Ends the phase of a member, open or not. The caller clears what was open.
    pub fn end(&mut self, member: Member) {
        self.phases.retain(|&(known, _)| known != member.strand());
    }

    /// The open events, to be saved.
    pub fn open(&self) -> impl Iterator<Item = (Member, OpenEvent)> + '_ {
        self.phases.iter().filter_map(|&(member, phase)| match phase {
            Phase::Open { event, .. } => Some((member, event)),
            Phase::Quiet | Phase::Rising { .. } | Phase::HeldBack { .. } => None,
        })
    }

    /// Takes note of a condition; says what to report, if anything. `fresh_id` is called once for each new
    /// event.
    pub fn advance(
        &mut self,
        policy: &EventPolicy,
        condition: &Condition,
        observed: Observed,
        fresh_id: impl FnOnce() -> EventId,
    ) -> Option<Event> {
        let now = observed.received.mono;
        let standing = condition.standing;
        // Most readings are normal and find nothing open: they must cost nothing.
        if standing.is_normal() && !self.phases.iter().any(|&(member, _)| member == condition.member.strand())
        {
            return None;
        }
        let holding = self.holding;
        let phase = self.phase(condition.member.strand());
        let before = *phase;
        let (next, report) = match before {
            Phase::Quiet if standing.is_abnormal() => {
                rise(policy, condition, (observed.at, now), observed, holding, fresh_id)
            }
            Phase::Rising { first_at, since } | Phase::HeldBack { first_at, since }
                if standing.is_abnormal() =>
            {
                rise(policy, condition, (first_at, since), observed, holding, fresh_id)
            }
            Phase::HeldBack { .. } if holding && !standing.is_normal() => (before, None),
            Phase::Quiet | Phase::Rising { .. } | Phase::HeldBack { .. } => (Phase::Quiet, None),
            Phase::Open { event, begun, reported, calm, mut course } => {
                let calm = standing.is_normal().then(|| calm.unwrap_or(now));
                let change = course.note(condition);
                let escalated = change.is_some_and(EventChange::is_escalation) && !holding;
                let report = |state| Event { change, ..event.report(state, observed, begun) };
                let is_due = || policy.update_every.is_some_and(|every| now.since(reported) >= every);
                if calm.is_some_and(|since| now.since(since) >= policy.clear_after) {
                    (Phase::Quiet, Some(report(EventState::Cleared)))
                } else if escalated || is_due() {
                    let change = change.filter(|_| escalated);
                    let report = Event { change, ..report(EventState::Updated) };
                    (Phase::Open { event, begun, reported: now, calm, course }, Some(report))
                } else {
                    (Phase::Open { event, begun, reported, calm, course }, None)
                }
            }
        };
        *phase = next;
        if matches!(next, Phase::HeldBack { .. }) && !matches!(before, Phase::HeldBack { .. }) {
            self.held_back += 1;
        }
        if matches!(next, Phase::Quiet) {
            self.phases.retain(|&(member, _)| member != condition.member.strand());
        }
        report
    }

    fn phase(&mut self, member: Member) -> &mut Phase {
        let index = self.phases.iter().position(|&(known, _)| known == member).unwrap_or_else(|| {
            self.phases.push((member, Phase::Quiet));
            self.phases.len() - 1
        });
        &mut self.phases[index].1
    }
}

fn rise(
    policy: &EventPolicy,
    condition: &Condition,
    (first_at, since): (UtcMillis, Monotonic),
    observed: Observed,
    holding: bool,
    fresh_id: impl FnOnce() -> EventId,
) -> (Phase, Option<Event>) {
    let now = observed.received.mono;
    if now.since(since) < policy.raise_after {
        return (Phase::Rising { first_at, since }, None);
    }
    if holding {
        return (Phase::HeldBack { first_at, since }, None);
    }
    let event = OpenEvent { id: fresh_id(), since: first_at };
    let report = event.report(EventState::Raised, observed, Some(since));
    let course = EventCourse::of(condition);
    (Phase::Open { event, begun: Some(since), reported: now, calm: None, course }, Some(report))
}

impl OpenEvent {
    /// Where the time of receipt is reckoned with and the wall clock has moved otherwise than the monotonic one, that
    /// one says how long it lasted.
    fn report(self, state: EventState, observed: Observed, begun: Option<Monotonic>) -> Event {
        let Observed { at, received } = observed;
        let by_wall = at.since(self.since);
        let begun = begun.filter(|_| at == received.wall).map(|begun| received.mono.since(begun));
        let lasted = begun.filter(|lasted| lasted.abs_diff(by_wall) > CLOCKS_AGREE).unwrap_or(by_wall);
        let lasted_ms = u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX);
        Event { id: self.id, state, since: self.since, lasted_ms, number: None, change: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Expected, Standing};

    const POLICY: EventPolicy = EventPolicy {
        severity: Severity::Warning,
        lane: Lane::Alarm,
        raise_after: Duration::ZERO,
        clear_after: Duration::ZERO,
        update_every: None,
    };

    /// Runs standings, one a second, through a policy: what is reported, as `R`, `U`, `C` or `.`.
    fn life(policy: &EventPolicy, standings: &str) -> (String, EventLife) {
        let mut life = EventLife::default();
        let mut ids = 0;
        let reported = standings
            .chars()
            .enumerate()
            .map(|(second, letter)| {
                let at = UtcMillis(second as i64 * 1000);
                let standing = match letter {
                    'a' => Standing::Abnormal,
                    'm' => Standing::Margin,
                    _ => Standing::Normal,
                };
                let condition = Condition::of_rule(Member::High, standing, 1.0, Expected::default());
                let observed = Observed { at, received: Moment::from_wall(at) };
                let event = life.advance(policy, &condition, observed, || {
                    ids += 1;
                    EventId([ids; 16])
                });
                match event.map(|event| event.state) {
                    Some(EventState::Raised) => 'R',
                    Some(EventState::Updated) => 'U',
                    Some(EventState::Cleared) => 'C',
                    None => '.',
                }
            })
            .collect();
        (reported, life)
    }

    fn check(policy: &EventPolicy, standings: &str, expected: &str) {
        assert_eq!(life(policy, standings).0, expected, "{standings} under {policy:?}");
    }

    #[test]
    fn an_event_is_raised_once_and_cleared_once() {
        check(&POLICY, "nnaaannaan", "..R..C.R.C");
    }

    #[test]
    fn the_margin_changes_nothing() {
        check(&POLICY, "mmammmnmm", "..R...C..");
    }

    #[test]
    fn a_condition_must_hold_before_it_is_raised() {
        let policy = EventPolicy { raise_after: Duration::from_secs(2), ..POLICY };
        check(&policy, "aanaaaan", ".....R.C");
        check(&policy, "aamaaa", ".....R");
    }

    #[test]
    fn a_condition_must_be_calm_before_it_is_cleared() {
        let policy = EventPolicy { clear_after: Duration::from_secs(2), ..POLICY };
        check(&policy, "annannnn", "R.....C.");
        check(&policy, "annmnnn", "R.....C");
    }

    #[test]
    fn an_open_event_is_reported_again_on_schedule() {
        let policy = EventPolicy { update_every: Some(Duration::from_secs(3)), ..POLICY };
        check(&policy, "aaaaaaaan", "R..U..U.C");
        let every = EventPolicy { update_every: Some(Duration::ZERO), ..POLICY };
        check(&every, "aaan", "RUUC");
    }

    #[test]
    fn while_raises_are_held_back_open_events_are_cleared_and_others_counted_once() {
        let mut life = EventLife::default();
        let mut reported = String::new();
        let mut held_back = Vec::new();
        // `(` begins to hold raises back, `)` ends it.
        for (second, letter) in "a(anaaamanaa)aan".chars().enumerate() {
            let standing = match letter {
                '(' | ')' => {
                    life.hold(letter == '(');
                    assert_eq!(life.is_holding(), letter == '(');
                    continue;
                }
                'a' => Standing::Abnormal,
                'm' => Standing::Margin,
                _ => Standing::Normal,
            };
            let at = UtcMillis(second as i64 * 1000);
            let condition = Condition::of_rule(Member::High, standing, 1.0, Expected::default());
            let observed = Observed { at, received: Moment::from_wall(at) };
            let event = life.advance(&POLICY, &condition, observed, || EventId([7; 16]));
            reported.push(match event.map(|event| event.state) {
                Some(EventState::Raised) => 'R',
                Some(EventState::Updated) => 'U',
                Some(EventState::Cleared) => 'C',
                None => '.',
            });
            held_back.push(life.take_held_back());
        }
        assert_eq!(reported, "R.C........R.C");
        assert_eq!(held_back, [0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn a_step_of_the_wall_clock_is_no_duration() {
        let mut life = EventLife::default();
        let mut reported = Vec::new();
        let steps =
            [(0, Standing::Abnormal), (1_700_000_005_000, Standing::Abnormal), (-7, Standing::Normal)];
        for (seconds, (wall, standing)) in (0..).zip(steps) {
            let at = UtcMillis(wall);
            let observed =
                Observed { at, received: Moment { wall: at, mono: Monotonic(seconds * 5_000_000) } };
            let condition = Condition::of_rule(Member::Level, standing, 0.0, Expected::default());
            let policy = EventPolicy { update_every: Some(Duration::ZERO), ..POLICY };
            reported.extend(life.advance(&policy, &condition, observed, || EventId([7; 16])));
        }
        let lasted: Vec<_> = reported.iter().map(|event| event.lasted_ms).collect();
        assert_eq!(lasted, [0, 5_000, 10_000]);
    }

    #[test]
    fn a_restored_event_keeps_its_identity() {
        let (_, before) = life(&POLICY, "na");
        let (member, open) = before.open().next().unwrap();
        assert_eq!(open.since, UtcMillis(1000));
        let mut after = EventLife::default();
        after.restore(member, open, Monotonic(0));
        let condition = Condition::of_rule(member, Standing::Normal, 0.0, Expected::default());
        let at = UtcMillis(9000);
        let observed = Observed { at, received: Moment::from_wall(at) };
        let cleared = after.advance(&POLICY, &condition, observed, || unreachable!()).unwrap();
        assert_eq!((cleared.id, cleared.state, cleared.lasted_ms), (open.id, EventState::Cleared, 8000));
        assert_eq!(after.open().count(), 0);
    }
}

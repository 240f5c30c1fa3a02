//! What operators do about alarms.

use verge_domain::id::OperatorText;
use verge_domain::verdict::{ActionKind, AlarmHandling, Verdict};

use super::*;

fn operator(by: &str) -> Operator {
    Operator { by: OperatorText::new(by).unwrap(), note: OperatorText::new("ordered").ok() }
}

impl Trial<AboveTen> {
    fn acknowledge(&mut self, second: u64, event: Option<u64>) -> Result<Outcome, OrderError> {
        let event = event.map(|number| {
            self.set.naming.register.find(verge_domain::id::EventNumber(number)).expect("a known event")
        });
        let selector = selector("a", Some("temp"), Some("hot"));
        let order = Order::Acknowledge { selector, event, operator: operator("anna") };
        self.set.carry_out(&order, false, at(second), &mut self.out)
    }

    fn shelve(&mut self, second: u64, minutes: u64) -> Result<Outcome, OrderError> {
        let length = Duration::from_secs(minutes * 60);
        let selector = selector("a", Some("temp"), Some("hot"));
        let order = Order::Shelve { selector, length, operator: operator("anna") };
        self.set.carry_out(&order, false, at(second), &mut self.out)
    }

    /// State, handling and action of the newest verdict.
    fn newest(&self) -> (EventState, AlarmHandling, Option<(ActionKind, &str)>) {
        let Verdict { event, action, .. } = self.out.verdicts.last().unwrap();
        let event = event.unwrap();
        let action = action.as_ref().map(|action| (action.kind, action.by.as_str()));
        (event.state, event.handling, action)
    }

    /// A gateway that starts with what was saved.
    fn restarted(&self, second: u64) -> Self {
        let mut after = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
        after.set.restore(&self.out.checkpoints, at(second), &mut after.out);
        after
    }
}

const OPEN: AlarmHandling = AlarmHandling { acknowledged: None, shelved: None };

#[test]
fn an_acknowledgement_is_a_verdict_of_its_event_and_outlives_a_restart() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    trial.send(0, "a temp 1");
    let none = trial.acknowledge(1, None).unwrap_err().to_string();
    assert_eq!(none, "no open event of device a signal temp judge hot is known here");
    trial.send(2, "a temp 11");
    assert_eq!(trial.acknowledge(3, Some(1)), Ok(Outcome::Acknowledged { events: 1, already: 0 }));
    let acknowledged = AlarmHandling { acknowledged: Some(UtcMillis(3_000)), shelved: None };
    let (updated, cleared) = (EventState::Updated, EventState::Cleared);
    assert_eq!(trial.newest(), (updated, acknowledged, Some((ActionKind::Acknowledged, "anna"))));
    let (first, last) = (&trial.out.verdicts[0], trial.out.verdicts.last().unwrap());
    assert_eq!(first.event.unwrap().id, last.event.unwrap().id);
    assert_eq!((first.severity, first.lane), (last.severity, last.lane));
    let verdicts = trial.out.verdicts.len();
    assert_eq!(trial.acknowledge(4, None), Ok(Outcome::Acknowledged { events: 0, already: 1 }));
    assert_eq!(trial.out.verdicts.len(), verdicts, "the first one counts");
    let mut after = trial.restarted(10);
    assert_eq!(after.acknowledge(11, None), Ok(Outcome::Acknowledged { events: 0, already: 1 }));
    after.send(12, "a temp 1");
    assert_eq!(after.newest(), (cleared, acknowledged, None));
    after.send(13, "a temp 11");
    assert_eq!(after.newest(), (EventState::Raised, OPEN, None), "a new event");
}

#[test]
fn what_was_said_of_an_open_event_is_reported_with_it() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    trial.send(0, "a temp 11");
    trial.send(0, "b temp 11");
    trial.acknowledge(1, None).unwrap();
    let handling = AlarmHandling { acknowledged: Some(UtcMillis(1_000)), ..OPEN };
    let by = OperatorText::new("dashboard: anna").unwrap();
    let label = |event| {
        let selector = selector("a", Some("temp"), Some("hot"));
        Order::Label { selector, remark: Remark::False, event, by: by.clone() }
    };
    let before = trial.out.verdicts.len();
    trial.set.carry_out(&label(None), false, at(2), &mut trial.out).unwrap();
    assert_eq!(trial.out.verdicts.len(), before + 1, "the other device is not meant");
    let said = (EventState::Updated, handling, Some((ActionKind::Labelled, "dashboard: anna")));
    assert_eq!(trial.newest(), said, "what was done about it before stays");
    let action = trial.out.verdicts.last().unwrap().action.clone().unwrap();
    assert_eq!(action.note.as_ref().map(OperatorText::as_str), Some("false"));
    // Once it is over there is nothing to report; the label counts all the same.
    trial.send(3, "a temp 1");
    let before = trial.out.verdicts.len();
    let labelled = trial.set.carry_out(&label(None), false, at(4), &mut trial.out);
    assert!(matches!(labelled, Ok(Outcome::Applied { matched: 1, .. })), "{labelled:?}");
    assert_eq!(trial.out.verdicts.len(), before);
}

#[test]
fn a_shelved_alarm_comes_back_unacknowledged_and_raises_nothing_meanwhile() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    trial.send(0, "a temp 11");
    trial.acknowledge(1, None).unwrap();
    let until = UtcMillis(302_000);
    assert_eq!(trial.shelve(2, 5), Ok(Outcome::Shelved { points: 1, until }));
    let shelved = AlarmHandling { acknowledged: Some(UtcMillis(1_000)), shelved: Some(until) };
    assert_eq!(trial.newest(), (EventState::Updated, shelved, Some((ActionKind::Shelved, "anna"))));
    let mut after = trial.restarted(60);
    let windows = after.counters.maintenance();
    let note = windows[0].note.as_ref().map(OperatorText::as_str);
    assert_eq!((windows.len(), windows[0].by.as_ref().unwrap().as_str(), note), (1, "anna", Some("ordered")));
    after.tick(61);
    assert!(after.out.verdicts.is_empty());
    let mut at_its_end = trial.restarted(302);
    let back = (EventState::Updated, OPEN, Some((ActionKind::Unshelved, "end of its time")));
    assert_eq!(at_its_end.newest(), back, "it ended while the gateway did not run");
    at_its_end.tick(303);
    assert!(at_its_end.counters.maintenance().is_empty());
    // The condition ends and comes again while it is shelved.
    assert_eq!(after.send(70, "a temp 1"), ["hot a temp anomaly cleared 1"]);
    assert!(after.send(71, "a temp 12").is_empty());
    assert_eq!(after.shelve(72, 0), Ok(Outcome::Unshelved { points: 1 }));
    assert_eq!(after.send(73, "a temp 12"), ["hot a temp anomaly raised 1"]);
    let not_shelved = after.shelve(74, 0).unwrap_err().to_string();
    assert_eq!(not_shelved, "nothing is shelved of device a signal temp judge hot; shelved are: none");
    assert_eq!(after.shelve(75, 10_000), Ok(Outcome::Shelved { points: 1, until: UtcMillis(28_875_000) }));
}

#[test]
fn a_shelved_alarm_comes_back_within_hours_whatever_the_clock_says_after_a_restart() {
    const HOUR: u64 = 3600;
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    trial.send(100 * HOUR, "a temp 11");
    trial.shelve(100 * HOUR, 5).unwrap();
    // The clock was four days fast, or is now slow.
    let after = trial.restarted(4 * HOUR);
    let until = after.counters.maintenance()[0].until;
    assert_eq!(until, UtcMillis(12 * 3_600_000), "8 h, as of any that is shelved");
}

#[test]
fn maintenance_and_shelving_of_the_same_end_apart() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    trial.send(0, "a temp 1");
    trial.shelve(1, 5).unwrap();
    let selector = selector("a", Some("temp"), Some("hot"));
    let length = Duration::from_secs(60);
    let maintenance = Order::Maintenance { selector, length };
    trial.set.carry_out(&maintenance, false, at(1), &mut trial.out).unwrap();
    assert_eq!(trial.counters.maintenance().len(), 2);
    trial.tick(61);
    assert!(trial.counters.maintenance().iter().all(|window| window.by.is_some()));
    assert!(trial.send(62, "a temp 12").is_empty(), "still shelved");
    assert!(trial.send(300, "a temp 12").is_empty(), "to the end");
    trial.tick(301);
    assert_eq!(trial.send(302, "a temp 12"), ["hot a temp anomaly raised 1"]);
}

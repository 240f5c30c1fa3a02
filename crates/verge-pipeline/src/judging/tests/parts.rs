//! Judges that tell parts of their subject apart.

use verge_domain::id::{EventNumber, OperatorText};
use verge_domain::verdict::ActionKind;

use super::*;

/// Finds nearly the same about each of its parts: the first is abnormal above five, the others above ten.
struct Zones(Vec<SignalId>);

impl Judge for Zones {
    fn observe(&mut self, observed: Observable<'_>, _received: Moment, findings: &mut Vec<Finding>) {
        let Observable::Reading(reading) = observed else { return };
        let queue = |part: &SignalId| {
            let limit = if self.0.first() == Some(part) { 5.0 } else { 10.0 };
            let standing = if reading.value > limit { Standing::Abnormal } else { Standing::Normal };
            let expected = Expected { low: None, high: Some(limit) };
            let condition = Condition::of_rule(Member::Queue, standing, reading.value, expected);
            Finding::Condition(condition.about(part.clone()))
        };
        findings.extend(self.0.iter().map(queue));
    }

    fn tick(&mut self, _now: Moment, _findings: &mut Vec<Finding>) {}

    fn save(&self) -> Option<Vec<u8>> {
        None
    }

    fn restore(&mut self, _state: &[u8], _now: Moment) -> Result<(), RestoreError> {
        Err(RestoreError::Foreign)
    }

    fn parts(&self) -> &[SignalId] {
        &self.0
    }
}

fn trial() -> Trial<Zones> {
    let zones = || ["north", "south"].map(|zone| SignalId::new(zone).unwrap()).to_vec();
    Trial::with(vec![spec_of("count", Scope::Device, &[], move |_| Zones(zones()))])
}

impl Trial<Zones> {
    fn order(&mut self, second: u64, order: &Order) -> Result<Outcome, OrderError> {
        self.set.carry_out(order, false, at(second), &mut self.out)
    }

    fn label(&mut self, zone: Option<&str>, remark: Remark) -> Result<Outcome, OrderError> {
        self.order(
            9,
            &Order::Label {
                selector: selector("a", zone, None),
                remark,
                event: None,
                by: OperatorText::new("anna").unwrap(),
            },
        )
    }

    /// The number and the part of each event that is reported because it was labelled.
    fn reports(&mut self, zone: Option<&str>, remark: Remark) -> Vec<(u64, String)> {
        let before = self.out.verdicts.len();
        self.label(zone, remark).unwrap();
        let labelled = self.out.verdicts[before..].iter().map(|verdict| {
            assert_eq!(verdict.action.as_ref().map(|action| action.kind), Some(ActionKind::Labelled));
            (verdict.event.unwrap().number.unwrap().0, verdict.subject.signal.as_ref().unwrap().to_string())
        });
        labelled.collect()
    }

    fn labels(&self) -> [Option<Remark>; 2] {
        [1, 2].map(|number| self.set.naming.register.find(EventNumber(number)).unwrap().label)
    }
}

#[test]
fn one_part_is_shelved_before_anything_is_raised_about_it_and_the_others_are_not() {
    let mut trial = trial();
    trial.send(0, "a temp 1");
    let operator = Operator { by: OperatorText::new("anna").unwrap(), note: None };
    let (selector, length) = (selector("a", Some("north"), Some("count")), Duration::from_secs(60));
    let shelve = Order::Shelve { selector, length, operator };
    assert_eq!(trial.order(1, &shelve), Ok(Outcome::Shelved { points: 1, until: UtcMillis(61_000) }));
    assert_eq!(trial.send(2, "a temp 11"), ["count a south anomaly raised 1"]);
    assert_eq!(trial.counters.raises_held_back_total.get(), 1);
    trial.tick(61);
    assert_eq!(trial.send(62, "a temp 11"), ["count a north anomaly raised 2"], "it still holds");
    // A subject that comes while the window is open is held back as well.
    assert!(trial.order(70, &shelve).is_ok());
    assert_eq!(trial.send(71, "a temp 1").len(), 2);
    assert_eq!(trial.send(72, "a temp 11"), ["count a south anomaly raised 3"]);
}

#[test]
fn the_last_event_of_one_part_is_labelled_also_after_its_end() {
    let mut trial = trial();
    trial.send(0, "a temp 11");
    trial.send(1, "a temp 1");
    let applied = trial.label(Some("north"), Remark::False);
    assert!(matches!(applied, Ok(Outcome::Applied { matched: 1, .. })), "{applied:?}");
    assert_eq!(trial.labels(), [Some(Remark::False), None]);
    trial.label(None, Remark::Real).unwrap();
    assert_eq!(trial.labels(), [Some(Remark::False), Some(Remark::Real)], "the newest of all its parts");
    let unknown = trial.label(Some("east"), Remark::Real).unwrap_err().to_string();
    assert!(
        unknown.starts_with("no judge watches device a signal east; of that device there are"),
        "{unknown}"
    );
}

#[test]
fn the_event_that_was_labelled_is_reported_and_no_other() {
    let mut trial = trial();
    trial.send(0, "a temp 11");
    let north = vec![(1, "north".to_owned())];
    assert_eq!(trial.reports(Some("north"), Remark::False), north, "the one of south is newer");
    assert_eq!(trial.labels(), [Some(Remark::False), None]);
    assert!(trial.reports(Some("north"), Remark::False).is_empty(), "it says nothing new");
    assert_eq!(trial.reports(Some("north"), Remark::Real), north);
    trial.send(1, "a temp 7");
    assert!(trial.reports(None, Remark::False).is_empty(), "the newest one is over");
    assert_eq!(trial.labels(), [Some(Remark::Real), Some(Remark::False)]);
}

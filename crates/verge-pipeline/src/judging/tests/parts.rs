//! Judges that tell parts of their subject apart.

use verge_domain::id::{EventNumber, OperatorText};

use super::*;

/// Finds the same about each of its parts: abnormal above ten.
struct Zones(Vec<SignalId>);

impl Judge for Zones {
    fn observe(&mut self, observed: Observable<'_>, _received: Moment, findings: &mut Vec<Finding>) {
        let Observable::Reading(reading) = observed else { return };
        let standing = if reading.value > 10.0 { Standing::Abnormal } else { Standing::Normal };
        let queue = |part: &SignalId| {
            let expected = Expected { low: None, high: Some(10.0) };
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

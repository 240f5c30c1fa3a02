//! Limits that operators move.

use verge_domain::id::OperatorText;
use verge_domain::settable::{LimitKey, SettableLimit};
use verge_domain::verdict::ActionKind;

use super::*;

/// Abnormal above a limit that may be moved.
struct AboveLimit(f64);

impl Judge for AboveLimit {
    fn observe(&mut self, observed: Observable<'_>, _received: Moment, findings: &mut Vec<Finding>) {
        let Observable::Reading(reading) = observed else { return };
        let standing = if reading.value > self.0 { Standing::Abnormal } else { Standing::Normal };
        let expected = Expected { low: None, high: Some(self.0) };
        let condition = Condition::of_rule(Member::High, standing, reading.value, expected);
        findings.push(Finding::Condition(condition));
    }

    fn tick(&mut self, _now: Moment, _findings: &mut Vec<Finding>) {}

    fn save(&self) -> Option<Vec<u8>> {
        None
    }

    fn restore(&mut self, _state: &[u8], _now: Moment) -> Result<(), RestoreError> {
        Err(RestoreError::Foreign)
    }
}

fn limited(configured: f64, [lowest, highest]: [f64; 2]) -> JudgeSpec<AboveLimit> {
    let limits = JudgeLimits::new(vec![SettableLimit { key: LimitKey::Above, configured, lowest, highest }]);
    let asked = Arc::clone(&limits);
    let make = move |_| AboveLimit(asked.value(LimitKey::Above).unwrap_or(configured));
    JudgeSpec { limits, ..spec_of("hot", Scope::Signal, &[], make) }
}

impl Trial<AboveLimit> {
    fn set(&mut self, second: u64, key: LimitKey, value: Option<f64>) -> Result<Outcome, String> {
        let operator = Operator { by: OperatorText::new("anna").unwrap(), note: None };
        let order = Order::Set { judge: JudgeId::new("hot").unwrap(), key, value, operator };
        self.set.carry_out(&order, false, at(second), &mut self.out).map_err(|error| error.to_string())
    }

    fn in_force(&self) -> Vec<f64> {
        self.counters.set_limits().iter().map(|set| set.value).collect()
    }
}

#[test]
fn a_limit_moves_within_its_bounds_and_back_and_open_events_say_so() {
    let mut trial = Trial::with(vec![limited(7.0, [6.0, 10.0])]);
    assert_eq!(trial.send(0, "a temp 8"), ["hot a temp anomaly raised 1"]);
    let set = |value, events| Ok(Outcome::Set { key: LimitKey::Above, value, configured: 7.0, events });
    assert_eq!(trial.set(1, LimitKey::Above, Some(9.0)), set(Some(9.0), 1));
    let updated = trial.out.verdicts.last().unwrap();
    let Body::Anomaly(body) = &updated.body else { panic!("{updated:?}") };
    assert_eq!((updated.action.as_ref().unwrap().kind, body.expected.high), (ActionKind::Set, Some(9.0)));
    assert_eq!(trial.send(2, "a temp 8"), ["hot a temp anomaly cleared 1"]);
    // A signal that comes later is judged by it as well.
    assert!(trial.send(3, "a tension 8").is_empty());
    let beyond = "above of judge hot may be set from 6 to 10, not to 10.5";
    assert_eq!(trial.set(4, LimitKey::Above, Some(10.5)), Err(beyond.to_owned()));
    assert!(trial.set(4, LimitKey::Above, Some(f64::NAN)).is_err());
    let closed = "below of judge hot may not be set; the key settable of the judge opens: above";
    assert_eq!(trial.set(4, LimitKey::Below, Some(1.0)), Err(closed.to_owned()));
    assert_eq!(trial.in_force(), [9.0]);
    assert_eq!(trial.set(5, LimitKey::Above, None), set(None, 0));
    assert_eq!((trial.in_force().len(), trial.send(6, "a temp 8").len()), (0, 1));
}

#[test]
fn a_limit_outlives_a_restart_and_a_reload_as_far_as_its_bounds_go() {
    let mut trial = Trial::with(vec![limited(7.0, [6.0, 10.0])]);
    trial.send(0, "a temp 1");
    trial.set(1, LimitKey::Above, Some(9.0)).unwrap();
    let restarted = |spec| {
        let mut after = Trial::with(vec![spec]);
        after.set.restore(&trial.out.checkpoints, at(2), &mut after.out);
        after
    };
    let mut narrower = restarted(limited(7.0, [6.0, 8.0]));
    assert_eq!((narrower.in_force().len(), narrower.send(3, "a temp 8").len()), (0, 1), "as configured");
    assert!(narrower.out.checkpoints.iter().any(|one| one.key.starts_with("limit") && one.state.is_none()));
    let mut after = restarted(limited(7.0, [6.0, 10.0]));
    assert!(after.send(3, "a temp 8").is_empty());
    // Another configured limit, and the same bounds: what was set holds.
    let mut reload = |second, spec| {
        after.set.swap(vec![(JudgeIndex(0), PlannedJudge::Made(spec))], at(second), &mut after.out);
        while after.set.renew(8, at(second), &mut after.out).is_none() {}
        let raised = after.send(second + 1, "a temp 8");
        (after.in_force(), raised.len())
    };
    assert_eq!(reload(10, limited(6.5, [6.0, 10.0])), (vec![9.0], 0));
    assert_eq!(reload(20, limited(6.5, [6.0, 8.0])), (vec![], 1));
}

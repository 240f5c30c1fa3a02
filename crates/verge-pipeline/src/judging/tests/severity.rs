//! Events that become critical by their judge's rule.

use verge_domain::policy::CriticalRule;
use verge_domain::verdict::EventChange;

use super::*;

#[test]
fn an_event_that_was_critical_is_critical_to_its_end_and_over_a_restart() {
    let rules = || {
        let mut spec = spec("high", Scope::Signal, &[]);
        spec.policy.severity = Severity::Info;
        spec.policy.critical_when = CriticalRule::new(Some(5.0), None, None);
        vec![spec]
    };
    let mut trial = Trial::new(rules());
    // The limit is 10: five times as far is 50.
    for (second, value) in [(1, 20), (2, 60), (3, 30)] {
        trial.send(second, &format!("pump temp {value}"));
    }
    let mut after = Trial::new(rules());
    after.set.restore(&trial.out.checkpoints, at(4), &mut after.out);
    // That it is critical was reported before the restart.
    after.send(5, "pump temp 60");
    after.send(6, "pump temp 1");
    let severities = |out: &Decision| -> Vec<(EventState, Severity)> {
        let event = |verdict: &Verdict| (verdict.event.unwrap().state, verdict.severity);
        out.verdicts.iter().map(event).collect()
    };
    let expected = [(EventState::Raised, Severity::Info), (EventState::Updated, Severity::Critical)];
    assert_eq!(severities(&trial.out), expected);
    assert_eq!(severities(&after.out), [(EventState::Cleared, Severity::Critical)]);
}

#[test]
fn a_list_of_tags_gives_verdicts_a_unit_a_description_and_a_distance() {
    use verge_domain::id::{TagText, Unit};
    use verge_domain::tag::{SignalTag, TagBook, TagEntry};

    let description = TagText::new("outlet").ok();
    let entry = TagEntry {
        tag: Some(SignalTag { description, ..SignalTag::default() }),
        unit: Unit::new("°C").ok(),
        normal: Expected { low: Some(0.0), high: Some(4.0) },
    };
    let mut book = TagBook::default();
    book.insert(SourceId::new("plant").unwrap(), [("temp".to_owned(), entry)].into());
    let mut trial = Trial::new(vec![JudgeSpec { tags: Arc::new(book), ..spec("high", Scope::Signal, &[]) }]);
    trial.send(1, "pump temp 20");
    trial.send(2, "pump temperature 20");
    let [known, unknown] = &trial.out.verdicts[..] else { panic!("two are raised: {:?}", trial.out) };
    let Body::Anomaly(anomaly) = &known.body else { panic!("{known:?}") };
    assert_eq!(known.tag.as_ref().unwrap().description.as_ref().unwrap().as_str(), "outlet");
    assert_eq!(anomaly.unit.as_ref().map(Unit::as_str), Some("°C"));
    // Twice the limit of 10, but nine times as far from 2 as 4 is.
    assert_eq!(anomaly.distance, Some(9.0));
    let Body::Anomaly(anomaly) = &unknown.body else { panic!("{unknown:?}") };
    assert_eq!((anomaly.distance, &unknown.tag), (Some(2.0), &None));
}

/// Abnormal above ten; what lies above a hundred has become usual.
struct Adapting;

impl Judge for Adapting {
    fn observe(&mut self, observed: Observable<'_>, _received: Moment, findings: &mut Vec<Finding>) {
        let Observable::Reading(reading) = observed else { return };
        let standing = match reading.value {
            value if value > 100.0 => Standing::Adapted,
            value if value > 10.0 => Standing::Abnormal,
            _ => Standing::Normal,
        };
        let expected = Expected { low: Some(0.0), high: Some(10.0) };
        let condition = Condition::of_rule(Member::Level, standing, reading.value, expected);
        findings.push(Finding::Condition(Condition { p_value: Some(1e-9), ..condition }));
    }
    fn tick(&mut self, _now: Moment, _findings: &mut Vec<Finding>) {}
    fn save(&self) -> Option<Vec<u8>> {
        None
    }
    fn restore(&mut self, _state: &[u8], _now: Moment) -> Result<(), RestoreError> {
        Err(RestoreError::Foreign)
    }
}

#[test]
fn how_an_event_goes_on_is_saved_when_it_changes_and_outlives_a_kill() {
    let rules = || {
        let mut spec = spec_of("unusual", Scope::Signal, &[], |_| Adapting);
        spec.policy.clear_after = Duration::from_secs(5);
        vec![spec]
    };
    let mut trial = Trial::with(rules());
    let mut saved = Vec::new();
    for (second, value) in [(1, 20), (2, 20), (3, 20), (4, 200), (5, 200)] {
        let before = trial.out.checkpoints.len();
        trial.send(second, &format!("pump temp {value}"));
        saved.push(trial.out.checkpoints.len() - before);
    }
    // When it is raised, and when what it is about has become usual, of which nothing is reported yet.
    assert_eq!((saved, trial.out.verdicts.len()), (vec![1, 0, 0, 1, 0], 1));
    let mut after = Trial::with(rules());
    after.set.restore(&trial.out.checkpoints, at(6), &mut after.out);
    after.send(7, "pump temp 9");
    after.send(13, "pump temp 9");
    let ends: Vec<_> = after.out.verdicts.iter().map(|verdict| verdict.event.unwrap()).collect();
    let [end] = &ends[..] else { panic!("{ends:?}") };
    assert_eq!((end.state, end.change), (EventState::Cleared, Some(EventChange::Adapted)));
}

//! Events that become critical by their judge's rule.

use verge_domain::policy::CriticalRule;

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
    after.send(5, "pump temp 1");
    let severities = |out: &Decision| -> Vec<(EventState, Severity)> {
        let event = |verdict: &Verdict| (verdict.event.unwrap().state, verdict.severity);
        out.verdicts.iter().map(event).collect()
    };
    let expected = [(EventState::Raised, Severity::Info), (EventState::Updated, Severity::Critical)];
    assert_eq!(severities(&trial.out), expected);
    assert_eq!(severities(&after.out), [(EventState::Cleared, Severity::Critical)]);
}

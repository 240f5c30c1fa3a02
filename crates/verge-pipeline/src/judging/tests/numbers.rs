//! Short numbers of events.

use super::*;
use crate::judging::register::saved_number;
use verge_domain::id::EventNumber;

/// State and number of the events of all verdicts so far.
fn events(out: &Decision) -> Vec<(EventState, u64)> {
    let events = out.verdicts.iter().filter_map(|verdict| verdict.event);
    events.map(|event| (event.state, event.number.expect("each event has a number").0)).collect()
}

#[test]
fn an_event_keeps_its_number_to_its_end_also_over_a_restart() {
    use EventState::{Cleared, Raised};
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    trial.send(0, "a temp 11");
    trial.send(1, "b temp 11");
    trial.send(2, "a temp 1");
    trial.send(3, "a temp 11");
    assert_eq!(events(&trial.out), [(Raised, 1), (Raised, 2), (Cleared, 1), (Raised, 3)]);

    // What the committer saves of it.
    let mut saved = std::mem::take(&mut trial.out.checkpoints);
    saved.push(saved_number(EventNumber(3)));
    let register = Arc::new(EventRegister::restored(&saved));
    let mut later = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    later.set.number_events_by(&register);
    later.set.restore(&saved, at(10), &mut later.out);
    assert!(later.out.is_empty(), "the number is no state of a judge, and is kept: {:?}", later.out);
    later.send(11, "b temp 1");
    later.send(12, "b temp 11");
    assert_eq!(events(&later.out), [(Cleared, 2), (Raised, 4)]);
}

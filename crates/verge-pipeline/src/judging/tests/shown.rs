//! What signals show is noted for people who look at them.

use verge_domain::history::{SignalHistory, Step};
use verge_domain::verdict::Subject;

use super::*;

fn signal(device: &str, signal: &str) -> Subject {
    Subject {
        source: SourceId::new("plant").unwrap(),
        device: DeviceId::new(device).unwrap(),
        signal: SignalId::new(signal).ok(),
    }
}

#[test]
fn what_came_is_shown_as_it_came_with_what_was_expected() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    trial.send(0, "a temp 3");
    let room = Arc::new(SignalRoom::new(1 << 20));
    trial.set.show_signals(&room);
    for value in ["7.25", "-2.5", "0.1"] {
        trial.send(1, &format!("a temp {value};a humidity 1"));
    }
    assert!(room.list(&mut |_, _| true).is_empty(), "noted on the tick");
    trial.set.note_signals(at(2));
    let shown = room.newest(&signal("a", "temp")).unwrap();
    assert_eq!((shown.value, shown.at), (0.1, UtcMillis(2_000)));
    let hot = (JudgeId::new("hot").unwrap(), Some(Expected { low: None, high: Some(10.0) }));
    assert_eq!(shown.judges, [hot]);
    let course = room.course(&signal("a", "temp"), Step::Fine, UtcMillis(0)).unwrap();
    let samples: Vec<_> = course.samples.iter().map(|one| (one.least, one.greatest, one.held)).collect();
    assert_eq!(samples, [(-2.5, 7.25, false)]);
    let unjudged = room.newest(&signal("a", "humidity")).unwrap();
    assert_eq!((unjudged.value, unjudged.judges.len()), (1.0, 0));

    // Nothing new is no step, and maintenance is marked.
    trial.set.note_signals(at(20));
    let maintenance = Order::Maintenance {
        selector: maintenance::selector("a", None, None),
        length: Duration::from_secs(600),
    };
    trial.set.carry_out(&maintenance, false, at(30), &mut trial.out).unwrap();
    trial.send(31, "a temp 12");
    trial.set.note_signals(at(32));
    let course = room.course(&signal("a", "temp"), Step::Fine, UtcMillis(0)).unwrap();
    assert_eq!(course.samples.iter().map(|one| one.held).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn both_threads_show_what_they_judge_in_one_place() {
    let room = Arc::new(SignalRoom::new(1 << 20));
    let mut sides = ["prompt", "bulk"].map(|judge| Trial::new(vec![spec(judge, Scope::Signal, &[])]));
    for side in &mut sides {
        side.set.show_signals(&room);
        side.send(1, "a temp 3");
        side.set.note_signals(at(2));
    }
    let shown = room.newest(&signal("a", "temp")).unwrap();
    let judges: Vec<_> = shown.judges.iter().map(|(judge, _)| judge.as_str()).collect();
    assert_eq!(judges, ["prompt", "bulk"]);
    // One of them looks at it no more.
    for second in (10..600).step_by(10) {
        sides[0].send(second, "a temp 3");
        sides[0].set.note_signals(at(second));
    }
    assert_eq!(room.newest(&signal("a", "temp")).unwrap().judges.len(), 1);
}

#[test]
fn a_signal_keeps_its_note_where_the_judges_change() {
    let mut trial = Trial::new(vec![spec("hot", Scope::Signal, &[])]);
    let room = Arc::new(SignalRoom::new(1 << 20));
    trial.set.show_signals(&room);
    trial.send(1, "a temp 3");
    trial.set.streams.judges_changed(|_| false);
    trial.send(1, "a temp 4");
    trial.set.note_signals(at(2));
    let course = room.course(&signal("a", "temp"), Step::Fine, UtcMillis(0)).unwrap();
    assert_eq!((course.samples[0].least, course.samples[0].greatest), (3.0, 4.0));
}

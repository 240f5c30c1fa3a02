use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Wake;

use verge_domain::board::PointKind;
use verge_domain::finding::{Expected, Member};
use verge_domain::id::{Lane, Seq};
use verge_domain::sample::verdict_of;
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{Body, Counts, EventState, Health};

use super::*;

fn verdict(device: usize, at: i64, severity: Severity, state: Option<EventState>, body: Body) -> Verdict {
    let verdict = verdict_of("j", (&format!("d{device}"), None), UtcMillis(at), state, body);
    Verdict { severity, ..verdict }
}

fn health(cause: Member) -> Body {
    Body::Health(Health::of(cause, 1.0, Expected::default()))
}

/// A stuck sensor of a device.
fn stuck(device: usize, at: i64, state: EventState) -> Verdict {
    verdict(device, at, Severity::Warning, Some(state), health(Member::Stuck))
}

fn post(board: &LastWords, seq: u64, verdict: Verdict) {
    board.post(std::iter::once(LastWord::new(verdict, Some(Seq(seq)))));
}

/// The numbers on the board, in order, with what is open.
fn numbers(board: &LastWords) -> Vec<(Option<u64>, bool)> {
    let words = board.words(&|_| true);
    let mut numbers: Vec<_> =
        words.iter().map(|word| (word.seq.map(|seq| seq.0), word.open_event().is_some())).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn each_point_has_its_last_word_and_open_events_are_counted() {
    let board = LastWords::default();
    let counts = Counts {
        from: UtcMillis(0),
        length_ms: 60_000,
        observed_ms: 60_000,
        partial: false,
        readings: 1,
        vehicles: Some(3),
        flow_per_hour: None,
        occupancy: None,
        mean_speed: None,
        forecasts: Vec::new(),
    };
    post(&board, 1, stuck(1, 1, EventState::Raised));
    post(&board, 2, stuck(2, 2, EventState::Raised));
    let critical = |state| verdict(1, 3, Severity::Critical, Some(state), health(Member::Noisy));
    post(&board, 3, critical(EventState::Raised));
    post(&board, 4, verdict(1, 4, Severity::Info, None, Body::Counts(counts.clone())));
    post(&board, 5, stuck(1, 5, EventState::Updated));
    assert_eq!(board.open_events(), OpenEvents { open: 3, warning: 2, critical: 1, ..OpenEvents::default() });
    post(&board, 6, stuck(2, 6, EventState::Cleared));
    post(&board, 7, verdict(1, 7, Severity::Info, None, Body::Counts(counts.clone())));
    assert_eq!(numbers(&board), [(Some(3), true), (Some(5), true), (Some(6), false), (Some(7), false)]);
    assert_eq!(board.open_events(), OpenEvents { open: 2, warning: 1, critical: 1, ..OpenEvents::default() });
    let counted = board.words(&|word| word.point().2 == PointKind::Counts);
    assert_eq!((counted.len(), &counted[0].verdict.body), (1, &Body::Counts(counts)));
}

#[test]
fn what_was_open_before_the_start_is_marked_until_its_judge_reports() {
    let board =
        LastWords::restored([stuck(1, 1, EventState::Updated), stuck(2, 1, EventState::Updated)], Vec::new());
    let open = |open, restored| OpenEvents { open, warning: open, restored, ..OpenEvents::default() };
    assert_eq!((numbers(&board), board.open_events()), (vec![(None, true), (None, true)], open(2, 2)));
    post(&board, 9, stuck(1, 2, EventState::Updated));
    assert_eq!(board.open_events(), open(2, 1));
    post(&board, 10, stuck(2, 3, EventState::Cleared));
    assert_eq!(board.open_events(), open(1, 0));
}

#[test]
fn where_there_is_no_room_the_oldest_that_are_closed_go_and_open_ones_stay() {
    let board = LastWords::with_room(64, [], Vec::new());
    for device in 0..32 {
        post(&board, device, stuck(device as usize, 0, EventState::Raised));
    }
    for device in 32..100 {
        post(&board, device, stuck(device as usize, device as i64, EventState::Cleared));
    }
    let expected: Vec<_> =
        (0..32).map(|seq| (Some(seq), true)).chain((68..100).map(|seq| (Some(seq), false))).collect();
    assert_eq!(numbers(&board), expected, "in batches of four");
    assert_eq!(board.open_events().left_out, 0);
    for device in 100..200 {
        post(&board, device, stuck(device as usize, 0, EventState::Raised));
    }
    let OpenEvents { open, left_out, .. } = board.open_events();
    assert!(board.words(&|_| true).len() <= 64);
    assert_eq!(open + left_out, 132, "none vanishes uncounted");
    assert!(open > 60, "{open}");
    // What is on it is found whether there is room or not.
    post(&board, 300, stuck(0, 1, EventState::Cleared));
    assert_eq!(board.open_events().open, open - 1);
}

#[test]
fn the_committer_does_not_wait_for_a_reader() {
    let board = LastWords::default();
    post(&board, 1, stuck(1, 1, EventState::Raised));
    let reader = board.points.lock().unwrap();
    // On the thread that holds the points: to wait would be for ever.
    post(&board, 2, stuck(1, 2, EventState::Updated));
    post(&board, 3, stuck(1, 3, EventState::Cleared));
    post(&board, 4, stuck(2, 4, EventState::Raised));
    drop(reader);
    assert_eq!(board.open_events().open, 1);
    assert_eq!(numbers(&board), [(Some(3), false), (Some(4), true)]);
    // And what came in the meantime stands before what comes next.
    let reader = board.points.lock().unwrap();
    post(&board, 5, stuck(1, 5, EventState::Raised));
    drop(reader);
    post(&board, 6, stuck(1, 6, EventState::Cleared));
    assert_eq!(numbers(&board), [(Some(4), true), (Some(6), false)]);
}

#[test]
fn what_a_reader_holds_stays_as_it_is() {
    let board = LastWords::default();
    post(&board, 1, stuck(1, 1, EventState::Raised));
    let held = board.words(&|_| true);
    for seq in 2..6 {
        post(&board, seq, stuck(1, 2, EventState::Updated));
    }
    assert_eq!((held.len(), held[0].seq), (1, Some(Seq(1))));
    assert_eq!(numbers(&board), [(Some(5), true)]);
}

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicU64);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The numbers behind a place, and how many were missed; `None` while there are none.
fn behind(board: &LastWords, place: &mut u64, woken: &Arc<Woken>) -> Option<(u64, Vec<u64>)> {
    match board.poll_behind(place, &mut Context::from_waker(&Waker::from(Arc::clone(woken)))) {
        Poll::Ready(CommittedWords { missed, words }) => {
            Some((missed, words.iter().map(|word| word.seq.unwrap().0).collect()))
        }
        Poll::Pending => None,
    }
}

#[test]
fn a_follower_sees_each_verdict_once_in_the_order_of_commits_and_is_woken_by_the_next() {
    let board = LastWords::restored([stuck(9, 1, EventState::Updated)], Vec::new());
    post(&board, 1, stuck(1, 1, EventState::Raised));
    let (woken, mut place) = (Arc::new(Woken::default()), board.follow());
    assert_eq!(behind(&board, &mut place, &woken), None);
    assert_eq!(behind(&board, &mut place, &woken), None, "it waits once");
    post(&board, 2, stuck(1, 2, EventState::Updated));
    post(&board, 3, stuck(1, 3, EventState::Updated));
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(behind(&board, &mut place, &woken), Some((0, vec![2, 3])));
    assert_eq!(behind(&board, &mut place, &woken), None);
    // Also while a reader holds the points.
    let reader = board.points.lock().unwrap();
    post(&board, 4, stuck(2, 4, EventState::Raised));
    drop(reader);
    assert_eq!(woken.0.load(Ordering::Relaxed), 2);
    assert_eq!(behind(&board, &mut place, &woken), Some((0, vec![4])));
    // Another one goes on behind what it saw last, and not behind what was never kept.
    assert_eq!(
        behind(&board, &mut board.place_behind(Lane::Alarm, Seq(2)).unwrap(), &woken),
        Some((0, vec![3, 4]))
    );
    assert_eq!(board.place_behind(Lane::Alarm, Seq(1)), None);
    assert_eq!(board.place_behind(Lane::Verdict, Seq(3)), None);
}

#[test]
fn who_copies_the_board_and_follows_then_sees_nothing_twice() {
    let board = LastWords::default();
    let (woken, _) = (Arc::new(Woken::default()), board.follow());
    for seq in 1..=600 {
        post(&board, seq, stuck(1, 1, EventState::Updated));
    }
    let copy = board.copy(&|_| true);
    assert_eq!(copy.words.iter().map(|word| word.seq).collect::<Vec<_>>(), [Some(Seq(600))]);
    post(&board, 601, stuck(1, 2, EventState::Cleared));
    let mut place = copy.place;
    assert_eq!(behind(&board, &mut place, &woken), Some((0, vec![601])));
}

#[test]
fn standing_alarms_are_counted_as_they_come_and_go() {
    let board = LastWords::restored([stuck(1, 1, EventState::Updated)], Vec::new());
    let critical = |state| verdict(2, 3, Severity::Critical, Some(state), health(Member::Noisy));
    post(&board, 1, critical(EventState::Raised));
    post(&board, 2, verdict(3, 3, Severity::Info, Some(EventState::Raised), health(Member::Noisy)));
    let standing =
        |standing, critical| StandingAlarms { standing, unacknowledged: standing, critical, shelved: 0 };
    assert_eq!(board.standing(), standing(2, 1), "what is for the record is no alarm");
    post(&board, 3, critical(EventState::Cleared));
    assert_eq!(board.standing(), standing(1, 0));
    let figures = board.alarms(UtcMillis(9));
    assert_eq!((figures.standing, figures.unacknowledged), (1, 1), "the same in both");
}

#[test]
fn a_follower_that_is_too_slow_learns_how_much_it_missed() {
    let board = LastWords::default();
    let (woken, mut place) = (Arc::new(Woken::default()), board.follow());
    let kept = recent::RECENT as u64;
    for seq in 1..=kept + 10 {
        post(&board, seq, stuck(1, 1, EventState::Updated));
    }
    let mut expected = 11;
    while let Some((missed, numbers)) = behind(&board, &mut place, &woken) {
        assert_eq!(missed, if expected == 11 { 10 } else { 0 });
        for number in numbers {
            assert_eq!(number, expected);
            expected += 1;
        }
    }
    assert_eq!(expected, kept + 11);
}

/// 656 bytes a point, of these 16 for who acknowledged it; with its reference counts and its place in the set 42 MiB of
/// 65,536, without what is on the heap.
#[test]
fn a_point_is_small() {
    assert!(size_of::<LastWord>() <= 672 - 16, "{} bytes", size_of::<LastWord>());
}

#[test]
fn what_is_not_watched_any_more_goes_unless_it_is_open() {
    let board = LastWords::default();
    let mut place = board.follow();
    post(&board, 1, stuck(1, 10, EventState::Raised));
    post(&board, 2, stuck(2, 20, EventState::Raised));
    post(&board, 3, stuck(2, 30, EventState::Cleared));
    post(&board, 4, stuck(3, 40, EventState::Cleared));
    board.retain(|verdict| verdict.subject.device.as_str() == "d3");
    assert_eq!(numbers(&board), [(Some(1), true), (Some(4), false)]);
    assert_eq!(board.open_events().open, 1);
    // A follower has all that was said.
    let Poll::Ready(words) = board.poll_behind(&mut place, &mut Context::from_waker(Waker::noop())) else {
        panic!("four words were committed")
    };
    assert_eq!((words.missed, words.words.len()), (0, 4));
    post(&board, 5, stuck(1, 50, EventState::Cleared));
    board.retain(|verdict| verdict.subject.device.as_str() == "d3");
    assert_eq!(numbers(&board), [(Some(4), false)]);
    assert_eq!(board.open_events().open, 0);
}

#[test]
fn who_acknowledged_an_event_stays_with_it_and_not_with_the_next() {
    use verge_domain::id::{EventId, OperatorText};
    use verge_domain::verdict::{ActionKind, OperatorAction};
    let board = LastWords::default();
    let by = |seq| board.words(&|word| word.seq == Some(Seq(seq)))[0].acknowledged_by.clone();
    let acknowledged = |at: i64, state| {
        let mut verdict = stuck(1, at, state);
        verdict.event.as_mut().unwrap().handling.acknowledged = Some(UtcMillis(2));
        verdict
    };
    let anna = OperatorText::new("dashboard: anna").unwrap();
    post(&board, 1, stuck(1, 1, EventState::Raised));
    assert_eq!(by(1), None);
    let action = OperatorAction { kind: ActionKind::Acknowledged, by: anna.clone(), note: None };
    let verdict = Verdict { action: Some(Box::new(action)), ..acknowledged(2, EventState::Updated) };
    post(&board, 2, verdict);
    post(&board, 3, acknowledged(3, EventState::Updated));
    assert_eq!(by(3), Some(anna.clone()), "a later report does not forget it");
    let action =
        OperatorAction { kind: ActionKind::Shelved, by: OperatorText::new("bob").unwrap(), note: None };
    let verdict = Verdict { action: Some(Box::new(action)), ..acknowledged(4, EventState::Updated) };
    post(&board, 4, verdict);
    assert_eq!(by(4), Some(anna), "whoever shelves it has not acknowledged it");
    post(&board, 5, stuck(1, 5, EventState::Updated));
    assert_eq!(by(5), None, "it has got worse: nobody has acknowledged that");
    let mut other = acknowledged(6, EventState::Updated);
    other.event.as_mut().unwrap().id = EventId([9; 16]);
    post(&board, 6, other);
    assert_eq!(by(6), None, "another event");
}

#[test]
fn alarms_of_the_last_day_are_counted_over_a_restart() {
    let (hour, now) = (3_600_000, 100 * 3_600_000);
    let board = LastWords::default();
    let raised =
        |device, at| verdict(device, at, Severity::Critical, Some(EventState::Raised), health(Member::Noisy));
    let mut stored: Vec<Verdict> =
        (0..12).map(|index| raised(index, now - 60_000 - 1_000 * index as i64)).collect();
    stored.extend([raised(1, now - 2 * hour), raised(2, now - 30 * hour), raised(3, now + hour)]);
    stored.push(verdict(
        4,
        now - 60_000,
        Severity::Critical,
        Some(EventState::Cleared),
        health(Member::Noisy),
    ));
    stored.push(verdict(5, now - 60_000, Severity::Info, Some(EventState::Raised), health(Member::Noisy)));
    board.recall(&stored, UtcMillis(now));
    let figures = board.alarms(UtcMillis(now));
    assert_eq!((figures.last_ten_minutes, figures.peak_of_day, figures.floods), (12, 12, 1));
    post(&board, 1, raised(6, now + 1_000));
    let figures = board.alarms(UtcMillis(now + 1_000));
    assert_eq!((figures.last_ten_minutes, figures.floods, figures.standing), (13, 1, 1), "the flood goes on");
}

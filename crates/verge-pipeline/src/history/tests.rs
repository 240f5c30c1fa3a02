//! Courses over simulated time, and what goes where there is no room.

use verge_domain::finding::Expected;
use verge_domain::id::{DeviceId, JudgeId, SignalId, SourceId};

use super::*;

fn subject(number: usize) -> Subject {
    Subject {
        source: SourceId::new("s").unwrap(),
        device: DeviceId::new(&format!("d-{number:04}")).unwrap(),
        signal: SignalId::new("x").ok(),
    }
}

fn judge() -> JudgeId {
    JudgeId::new("j").unwrap()
}

/// What the judging thread does on its tick.
fn note(room: &SignalRoom, signal: usize, at: i64, value: f64) {
    let cell = room.open(&subject(signal)).unwrap();
    let mut course = cell.try_course().unwrap();
    let before = course.bytes();
    course.note(UtcMillis(at), Noted::of(value), None);
    let expected = Expected { low: Some(0.0), high: Some(10.0 + (at / 3_600_000 % 100) as f64) };
    course.expect(UtcMillis(at), &judge(), Some(expected));
    cell.noted(UtcMillis(at));
    room.grown(before, course.bytes());
    drop(course);
    room.fit();
}

const START: i64 = 1_764_000_000_000;

#[test]
fn an_hour_is_kept_by_ten_seconds_and_a_day_by_minutes_with_what_was_expected() {
    let room = SignalRoom::new(1 << 20);
    for second in 0..26 * 3_600 {
        note(&room, 0, START + second * 1_000, (second % 60) as f64);
    }
    let now = UtcMillis(START + 26 * 3_600_000);
    let fine = room.course(&subject(0), Step::Fine, UtcMillis(0)).unwrap();
    let coarse = room.course(&subject(0), Step::Coarse, UtcMillis(0)).unwrap();
    assert_eq!((fine.samples.len(), coarse.samples.len()), (360, 1_440));
    let newest = fine.samples.last().unwrap();
    assert_eq!((newest.last, newest.least, newest.greatest), (59.0, 50.0, 59.0));
    assert!(coarse.samples.iter().all(|sample| (sample.least, sample.greatest) == (0.0, 59.0)));
    assert!(now.since(fine.samples[0].at) <= Step::Fine.span());
    assert!(now.since(coarse.samples[0].at) <= Step::Coarse.span());
    let (by, changes) = &coarse.bands[0];
    assert_eq!(*by, judge());
    // Once an hour, and where it was before the day began.
    assert!((24..=26).contains(&changes.len()), "{changes:?}");
    let late = room.course(&subject(0), Step::Fine, UtcMillis(now.0 - 60_000)).unwrap();
    assert_eq!((late.samples.len(), late.bands[0].1.len()), (6, 1));
    let shown = room.newest(&subject(0)).unwrap();
    assert_eq!(
        (shown.value, shown.at, shown.since),
        (59.0, UtcMillis(now.0 - 1_000), Some(UtcMillis(START)))
    );
    let cell = room.find(&subject(0)).unwrap();
    let bytes = cell.course().bytes();
    assert!(bytes < 40_000, "a signal takes {bytes} bytes");
}

#[test]
fn a_band_without_an_end_comes_out_as_it_went_in_and_one_that_ends_does_too() {
    let room = SignalRoom::new(1 << 20);
    let cell = room.open(&subject(0)).unwrap();
    let mut course = cell.course();
    let band = |low, high| Some(Expected { low, high });
    let all = [band(None, Some(7.5)), band(Some(-1.0), None), None, band(Some(0.0), Some(1.0))];
    for (step, expected) in all.iter().enumerate() {
        let at = UtcMillis(START + step as i64 * 10_000);
        course.note(at, Noted::of(1.0), None);
        course.expect(at, &judge(), *expected);
    }
    drop(course);
    let course = room.course(&subject(0), Step::Fine, UtcMillis(START)).unwrap();
    let seen: Vec<_> = course.bands[0].1.iter().map(|change| change.expected).collect();
    assert_eq!(seen, all);
}

#[test]
fn a_clock_that_goes_back_adds_to_the_newest_step_or_begins_anew() {
    let room = SignalRoom::new(1 << 20);
    note(&room, 0, START + 20_000, 1.0);
    note(&room, 0, START, 2.0);
    let course = room.course(&subject(0), Step::Fine, UtcMillis(0)).unwrap();
    assert_eq!(course.samples.iter().map(|sample| sample.greatest).collect::<Vec<_>>(), [2.0]);
    note(&room, 0, START - 7_200_000, 3.0);
    let course = room.course(&subject(0), Step::Fine, UtcMillis(0)).unwrap();
    assert_eq!(course.samples.iter().map(|sample| sample.last).collect::<Vec<_>>(), [3.0]);
    // Where it is expected begins anew, too.
    let expected =
        |at: i64| Some(Expected { low: Some(0.0), high: Some(10.0 + (at / 3_600_000 % 100) as f64) });
    let back = START - 7_200_000;
    let changes: Vec<_> = course.bands[0].1.iter().map(|change| (change.from, change.expected)).collect();
    assert_eq!(changes, [(UtcMillis(back), expected(back))]);
}

#[test]
fn beyond_its_room_the_course_goes_that_nobody_looks_at_and_begins_again_with_the_next_look() {
    let cap = 300_000;
    let room = SignalRoom::new(cap);
    let mut most = 0;
    for step in 0..360 {
        for signal in 0..100 {
            note(&room, signal, START + step * 10_000, 1.0);
        }
        most = most.max(room.bytes.load(Ordering::Relaxed));
        for signal in 90..100 {
            room.course(&subject(signal), Step::Fine, UtcMillis(0));
        }
    }
    assert!(most + 100 * SIGNAL_BYTES <= cap + cap / 10, "{most} bytes");
    let kept = |signal| room.newest(&subject(signal)).unwrap().since;
    assert!((90..100).all(|signal| kept(signal) == Some(UtcMillis(START))), "those that somebody looks at");
    let dropped: Vec<usize> = (0..90).filter(|&signal| kept(signal).is_none()).collect();
    assert!(dropped.len() > 20 && dropped.len() < 90, "{} went", dropped.len());
    let shown = room.newest(&subject(dropped[0])).unwrap();
    assert_eq!((shown.value, shown.judges.len()), (1.0, 1), "the newest value stays");
    let course = room.course(&subject(dropped[0]), Step::Fine, UtcMillis(0)).unwrap();
    assert_eq!((course.since, course.samples.len()), (None, 0));
    note(&room, dropped[0], START + 3_600_000, 2.0);
    let course = room.course(&subject(dropped[0]), Step::Fine, UtcMillis(0)).unwrap();
    assert_eq!((course.since, course.samples.len()), (Some(UtcMillis(START + 3_600_000)), 1));
}

#[test]
fn names_beyond_the_room_are_left_out_and_counted() {
    let room = SignalRoom::new(100 * SIGNAL_BYTES);
    let open: Vec<_> = (0..60).filter_map(|signal| room.open(&subject(signal))).collect();
    assert_eq!((open.len(), room.left_out()), (50, 10));
    // Those of devices that are not known any more make room, with the next sweep.
    drop(open);
    assert!((0..=50).any(|_| room.open(&subject(55)).is_some()));
    assert_eq!(room.list(&mut |_, _| true), [subject(55)]);
}

#[test]
fn names_that_find_no_room_share_a_sweep_among_as_many_as_there_are_names() {
    let room = SignalRoom::new(100 * SIGNAL_BYTES);
    let open: Vec<_> = (0..51).filter_map(|signal| room.open(&subject(signal))).collect();
    assert_eq!((open.len(), room.left_out()), (50, 1), "the first one swept");
    drop(open);
    let refused = (0..60).take_while(|_| room.open(&subject(50)).is_none()).count();
    assert_eq!(refused, 50, "the others do not");
}

#[test]
fn a_course_that_is_kept_again_gives_back_as_many_bytes_as_it_took() {
    let room = SignalRoom::new(1 << 20);
    note(&room, 0, START, 1.0);
    let cell = room.find(&subject(0)).unwrap();
    for _ in 0..3 {
        room.grown(cell.course().drop_all(), 0);
        room.course(&subject(0), Step::Fine, UtcMillis(0));
        assert_eq!(room.bytes.load(Ordering::Relaxed), cell.course().bytes());
    }
    room.grown(cell.course().drop_all(), 0);
    assert_eq!(room.bytes.load(Ordering::Relaxed), 0);
}

#[test]
fn a_reader_makes_no_writer_wait() {
    let room = SignalRoom::new(1 << 20);
    let cell = room.open(&subject(0)).unwrap();
    let _reader = cell.course();
    assert!(cell.try_course().is_none());
    let _list = room.table();
    assert!(room.open(&subject(1)).is_none());
    room.fit();
}

//! What is reported when.

use verge_pipeline::beats::Hang;

use super::*;

const INTERVAL: Duration = Duration::from_secs(30);

fn pulse(takes_input: bool) -> PulseLook {
    PulseLook { takes_input, hang: None, words: "well".to_owned() }
}

fn after(start: Instant, seconds: f64) -> Instant {
    start + Duration::from_secs_f64(seconds)
}

fn said(words: &str) -> Notice {
    Notice::Status(words.to_owned())
}

#[test]
fn a_start_asks_for_time_until_it_is_ready_which_it_is_once_it_takes_input() {
    let start = Instant::now();
    let mut notices = Notices::new(Some(INTERVAL), start);
    assert_eq!(notices.look(start, None), [Notice::MoreTime, said("opens the store and loads models")]);
    assert_eq!(notices.look(after(start, 4.0), None), []);
    assert_eq!(notices.look(after(start, 5.0), None), [Notice::MoreTime]);
    assert_eq!(notices.enter(Phase::Running, after(start, 6.0)), []);
    assert_eq!(notices.look(after(start, 6.0), Some(&pulse(false))), [said("well")]);
    let ready = notices.look(after(start, 7.0), Some(&pulse(true)));
    assert_eq!(ready, [Notice::Ready, said("well"), Notice::Beat]);
    assert_eq!(notices.look(after(start, 8.0), Some(&pulse(true))), []);
}

#[test]
fn without_a_broker_it_is_ready_after_ten_seconds() {
    let start = Instant::now();
    let mut notices = Notices::new(None, start);
    notices.enter(Phase::Running, start);
    assert!(!notices.look(after(start, 9.9), Some(&pulse(false))).contains(&Notice::Ready));
    let ready = notices.look(after(start, 10.0), Some(&pulse(false)));
    assert_eq!(ready, [Notice::Ready, said("well")], "and no beat without a watchdog");
}

#[test]
fn a_start_that_never_ends_gets_no_more_time() {
    let start = Instant::now();
    let mut notices = Notices::new(Some(INTERVAL), start);
    assert!(notices.look(start, None).contains(&Notice::MoreTime));
    assert_eq!(notices.look(start + RELOAD_LIMIT, None), [Notice::MoreTime], "a large store takes long");
    assert_eq!(notices.look(start + START_LIMIT, None), []);
}

#[test]
fn a_reload_that_never_ends_gets_no_more_time_and_no_beat() {
    let start = Instant::now();
    let mut notices = running(start);
    notices.enter(Phase::Reloading, start);
    let just_before = start + RELOAD_LIMIT - Duration::from_secs(1);
    let given = notices.look(just_before, Some(&pulse(true)));
    assert!(given.contains(&Notice::MoreTime) && given.contains(&Notice::Beat), "{given:?}");
    assert_eq!(notices.look(start + RELOAD_LIMIT + EXTEND_EVERY, Some(&pulse(true))), []);
}

fn running(start: Instant) -> Notices {
    let mut notices = Notices::new(Some(INTERVAL), start);
    notices.enter(Phase::Running, start);
    let ready = notices.look(start, Some(&pulse(true)));
    assert_eq!(ready, [Notice::Ready, said("well"), Notice::Beat]);
    notices
}

#[test]
fn the_watchdog_is_beaten_four_times_an_interval_while_nothing_hangs() {
    let start = Instant::now();
    let mut notices = running(start);
    let mut beats = 0;
    for half_second in 1..=120 {
        let now = after(start, f64::from(half_second) / 2.0);
        beats += notices.look(now, Some(&pulse(true))).iter().filter(|one| **one == Notice::Beat).count();
    }
    assert_eq!(beats, 8);
    let hang = Hang { thread: "verge-store".to_owned(), stands: Duration::from_secs(15) };
    let stuck = PulseLook { hang: Some(hang), ..pulse(true) };
    let silent = notices.look(after(start, 60.5), Some(&stuck));
    assert_eq!(silent, [said("verge-store makes no progress for 15 s")]);
    assert!(!notices.look(after(start, 600.0), Some(&stuck)).contains(&Notice::Beat));
    let again = notices.look(after(start, 601.0), Some(&pulse(true)));
    assert!(again.contains(&Notice::Beat), "it goes on: {again:?}");
}

#[test]
fn a_reload_is_reported_with_its_end_and_a_stop_is_the_last_word() {
    let start = Instant::now();
    let mut notices = running(start);
    let began = notices.enter(Phase::Reloading, after(start, 1.0));
    assert_eq!(began, [Notice::Reloading, said("takes up its configuration")]);
    let states: Vec<String> = began.iter().flat_map(Notice::states).map(|state| state.to_string()).collect();
    assert!(states[0] == "RELOADING=1" && states[1].starts_with("MONOTONIC_USEC="), "{states:?}");
    assert_eq!(notices.look(after(start, 1.0), Some(&pulse(true))), [Notice::MoreTime]);
    assert_eq!(notices.enter(Phase::Running, after(start, 2.0)), [Notice::Ready]);
    assert_eq!(notices.enter(Phase::Running, after(start, 2.0)), [], "a dry run is no reload");
    assert!(notices.look(after(start, 2.1), Some(&pulse(true))).contains(&said("well")), "as before");
    let last = notices.enter(Phase::Stopping, after(start, 3.0));
    assert_eq!(last, [Notice::Stopping, said("stops"), Notice::Beat]);
    assert_eq!(notices.look(after(start, 60.0), None), []);
}

#[test]
fn a_reload_before_it_is_ready_is_not_reported() {
    let start = Instant::now();
    let mut notices = Notices::new(None, start);
    notices.enter(Phase::Running, start);
    assert_eq!(notices.enter(Phase::Reloading, after(start, 1.0)), []);
    assert_eq!(notices.enter(Phase::Running, after(start, 9.0)), []);
    let ready = notices.look(after(start, 10.0), Some(&pulse(false)));
    assert!(ready.contains(&Notice::Ready), "the ten seconds go on: {ready:?}");
}

//! Healthy signals raise no alarm.

use super::signals::{ARRIVALS, Arrival, Line, SHAPES, Shape};
use super::{SentReading, Trial};

/// Nothing is abnormal in this number of readings.
fn check(shape: Shape, arrival: Arrival, seed: u64, readings: u64) {
    let mut trial = Trial::new();
    let mut line = Line::new(shape, arrival, seed);
    let mut next_tick_ms = 0;
    for _ in 0..readings {
        let sent = line.next();
        while next_tick_ms < sent.at_ms {
            trial.tick(next_tick_ms);
            next_tick_ms += 500;
        }
        trial.observe(sent);
    }
    assert!(trial.first.is_empty(), "{shape:?}, {arrival:?}, seed {seed}: {:?}", trial.first);
}

#[test]
fn healthy_signals_are_never_abnormal_in_200_000_readings() {
    for (seed, shape) in (1..).zip(SHAPES) {
        check(shape, ARRIVALS[seed as usize % ARRIVALS.len()], seed, 200_000);
    }
    for (seed, arrival) in (100..).zip(ARRIVALS) {
        check(Shape::White, arrival, seed, 200_000);
    }
    check(Shape::WildTails, Arrival::Jittered, 200, 200_000);
}

/// Many seeds; as many as `VERGE_SEEDS` says, for a thorough look.
#[test]
fn young_judges_hold_their_tongue() {
    let seeds = std::env::var("VERGE_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    let readings = std::env::var("VERGE_READINGS").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000);
    let mut faults = Vec::new();
    for seed in 0..seeds {
        for (index, shape) in SHAPES.into_iter().chain([Shape::WildTails]).enumerate() {
            let arrival = ARRIVALS[(seed as usize + index) % ARRIVALS.len()];
            let run = || check(shape, arrival, seed * 1000 + index as u64, readings);
            if let Err(panic) = std::panic::catch_unwind(run) {
                faults.push(panic.downcast::<String>().map_or_else(|_| "?".to_owned(), |text| *text));
            }
        }
    }
    assert!(faults.is_empty(), "{}: {faults:#?}", faults.len());
}

#[test]
fn nothing_is_said_of_the_first_hundred_readings_but_that_a_clock_is_right() {
    for (seed, shape) in (300..).zip(SHAPES) {
        let mut trial = Trial::new();
        let mut line = Line::new(shape, Arrival::Jittered, seed);
        for _ in 0..100 {
            trial.observe(line.next());
        }
        assert!(trial.first.is_empty(), "{shape:?}: {:?}", trial.first);
    }
}

/// The broker kept the readings of an outage and hands them over within a second: the usual gaps are not forgotten.
#[test]
fn a_flood_does_not_make_the_usual_gap_a_silence() {
    let mut trial = Trial::new();
    let mut line = Line::new(Shape::White, Arrival::Regular, 7);
    let mut at_ms = 0;
    for n in 0..30_000 {
        at_ms += if (5_000..25_000).contains(&n) { i64::from(n % 20 == 0) } else { 1000 };
        trial.tick(at_ms);
        trial.observe(SentReading { at_ms, ..line.next() });
    }
    assert!(trial.first.is_empty(), "{:?}", trial.first);
    trial.tick(at_ms + 4_500);
    assert!(trial.first.contains_key(&verge_domain::finding::Member::Silent), "nor is the limit lost");
}

/// An outage after which the device sends what it stored, at once, with live readings between.
#[test]
fn a_device_that_catches_up_is_neither_skewed_nor_doubled() {
    let mut trial = Trial::new();
    let mut line = Line::new(Shape::White, Arrival::Jittered, 7);
    for _ in 0..3000 {
        trial.observe(line.next());
    }
    let stored: Vec<SentReading> = (0..600).map(|_| line.next()).collect();
    let mut stored = stored.into_iter();
    // Silence is a correct finding, and not checked here.
    trial.first.clear();
    while stored.len() > 0 {
        let live = line.next();
        trial.observe(live);
        for (late_ms, old) in (1..).zip(stored.by_ref().take(10)) {
            trial.observe(SentReading { at_ms: live.at_ms + late_ms * 5, ..old });
        }
    }
    for _ in 0..1000 {
        trial.observe(line.next());
    }
    trial.first.remove(&verge_domain::finding::Member::Silent);
    assert!(trial.first.is_empty(), "{:?}", trial.first);
}

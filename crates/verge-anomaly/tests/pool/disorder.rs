//! What plants do to a judge's budget: signals that come and go, pauses, very many signals at once.

use super::*;

#[test]
fn signals_that_appear_and_vanish_spend_nothing_and_leave_nothing_behind() {
    const DAYS: usize = 21;
    let mut site = Site::new(30, 1.0, 6);
    let mut sizes = Vec::new();
    for day in 0..DAYS {
        // Each day ten signals vanish, and ten appear under new names.
        if day > 0 {
            site.watched.drain(..10);
            (0..10).for_each(|_| site.add(day * DAY));
        }
        site.quiet_run(day * DAY..(day + 1) * DAY);
        sizes.push(site.pool.save().map_or(0, |state| state.len()));
    }
    // None of them is there for longer than three days, and signals of that age are stranger than the budget reckons
    // with: it is kept on the first day of each, and bounded beyond.
    let early = site.events.iter().find(|event| !event.2 && event.1 >= 20);
    assert_eq!(early, None, "one of the newest ten alarms on its first day");
    let alarms = site.alarms(0..DAYS);
    assert!(alarms.len() <= site.added / 5, "{} alarms of {} signals", alarms.len(), site.added);
    assert!(sizes[DAYS - 1] <= sizes[2] + 64, "what is known of the judge grows: {sizes:?}");
    let expected = site.expected_per_week();
    assert!((0.2..=1.05).contains(&expected), "{expected} alarms a week are said to be expected");
}

#[test]
fn signals_of_a_few_hundred_readings_change_nothing_for_those_that_last() {
    const DAYS: usize = 14;
    const LASTING: usize = 12;
    // The plant rests for three days, in which nothing but visitors is there.
    let rests = |day: usize| (8..11).contains(&day);
    // What is said of those that last, and how many alarms a week are expected of them.
    let run = |visitors: usize| {
        let mut site = Site::new(LASTING, 2.0, 1);
        for quarter in 0..4 * DAYS {
            let begin = quarter * DAY / 4;
            let mut away = Vec::new();
            if rests(quarter / 4) {
                std::mem::swap(&mut away, &mut site.watched);
            }
            let own = site.watched.len();
            (0..visitors).for_each(|_| site.add(begin));
            // Each visitor sends three hundred readings, some of them wild, and never comes again.
            site.run(begin..begin + 300, |minute, number, value| match number >= own && minute % 50 < 2 {
                true => 40.0 * value,
                false => value,
            });
            site.watched.truncate(own);
            site.watched.append(&mut away);
            if !rests(quarter / 4) {
                site.quiet_run(begin + 300..begin + DAY / 4);
            }
        }
        let (lasting, of_visitors): (Vec<Raised>, Vec<Raised>) =
            site.events.iter().copied().partition(|event| event.1 < LASTING && !rests(event.0 / DAY));
        assert!(of_visitors.iter().all(|event| event.2), "an alarm of a visitor: {of_visitors:?}");
        assert_eq!(of_visitors.is_empty(), visitors == 0);
        (lasting, site.expected_per_week())
    };
    let (alone, expected) = run(0);
    assert!((1.9..2.1).contains(&expected), "{expected} alarms a week are said to be expected");
    let (among_visitors, expected) = run(12);
    assert_eq!(among_visitors, alone);
    assert!((1.9..2.1).contains(&expected), "among visitors, {expected}");
}

#[test]
fn a_pause_of_days_is_neither_strange_nor_forgets_the_budget() {
    let mut site = Site::new(40, 1.0, 2);
    site.quiet_run(0..10 * DAY);
    let before = site.alarms(0..10).len();
    // Nothing comes for three days, as from a plant that rests or history with a gap.
    site.quiet_run(13 * DAY..20 * DAY);
    let after = site.alarms(13..20);
    assert!(after.len() <= 4, "{before} before it, in the week after it {after:?}");
    let learning = site.watched.iter().filter(|one| one.judge.alarm_rate().unwrap().supported_in.is_some());
    assert_eq!(learning.count(), 0, "all that was known is known");
}

#[test]
fn ten_thousand_signals_at_once_after_a_restart_raise_nothing_and_share_the_budget() {
    let mut site = Site::new(40, 1.0, 3);
    site.quiet_run(0..8 * DAY);
    let states: Vec<Vec<u8>> = site.watched.iter().map(|one| one.judge.save().unwrap()).collect();
    let pool = AlarmPool::of(&alarms(1.0, WhileLearning::Info)).unwrap();
    pool.restore(&site.pool.save().unwrap()).unwrap();
    let begin = 8 * DAY;
    let mut many: Vec<ReadingJudge> = (0..10_000)
        .map(|number| {
            let mut judge = ReadingJudge::sharing(&site.settings, Some(&pool), at(begin));
            judge.restore(&states[number % 40], at(begin)).unwrap();
            judge
        })
        .collect();
    let (mut findings, mut raised) = (Vec::new(), 0);
    for minute in begin..begin + 90 {
        site.plant.pass(minute);
        for one in &mut site.watched {
            one.reading.value = one.signal.value(&site.plant, minute);
        }
        for (number, judge) in many.iter_mut().enumerate() {
            findings.clear();
            judge.observe((&site.watched[number % 40].reading).into(), at(minute), &mut findings);
            let Some(Finding::Condition(condition)) = findings.first() else { continue };
            raised += u32::from(condition.standing.is_abnormal() && !condition.learning);
        }
    }
    assert_eq!(raised, 0);
    let rates: Vec<_> = many.iter().filter_map(|judge| judge.alarm_rate()).collect();
    assert_eq!(rates.len(), 10_000);
    let together = rates.iter().map(|rate| rate.expected_per_second).sum::<f64>() * 7.0 * 86_400.0;
    assert!((0.5..=1.1).contains(&together), "{together} alarms a week of all together");
}

//! The budget of a judge over forty signals: as many false alarms as were accepted, from the first day on.

mod disorder;
mod signals;

use std::sync::Arc;
use std::time::Duration;

use signals::{DAY, Plant, Signal};
use verge_anomaly::alarm::{AlarmSettings, BudgetOf, WhileLearning};
use verge_anomaly::auto::AutoSettings;
use verge_anomaly::budget::AlarmBudget;
use verge_anomaly::{AlarmPool, JudgeSettings, ReadingJudge};
use verge_domain::finding::{Condition, Finding, Standing};
use verge_domain::id::{DeviceId, SignalId};
use verge_domain::reading::Reading;
use verge_domain::stage::{Judge as _, SharedState as _};
use verge_domain::time::{Moment, UtcMillis};

/// A Monday, 00:00 UTC.
const BEGIN: i64 = 1_700_438_400_000;

fn at(minute: usize) -> Moment {
    Moment::from_wall(UtcMillis(BEGIN + minute as i64 * 60_000))
}

/// One signal under its judge.
struct Watched {
    signal: Signal,
    judge: ReadingJudge,
    reading: Reading,
    /// An event is open, and was raised while learning.
    open: Option<bool>,
}

/// Minute and signal of an event that began, and whether that was while learning.
type Raised = (usize, usize, bool);

/// A judge over many signals.
struct Site {
    settings: JudgeSettings,
    pool: Arc<AlarmPool>,
    plant: Plant,
    watched: Vec<Watched>,
    /// Signals so far: numbers are not given twice.
    added: usize,
    seed: u64,
    events: Vec<Raised>,
}

fn alarms(per_week: f64, while_learning: WhileLearning) -> AlarmSettings {
    let budget = AlarmBudget::new(per_week, Duration::from_secs(7 * 86_400)).expect("a budget");
    AlarmSettings::new(Some(budget), 100).expect("a hold-off").with(BudgetOf::Judge, while_learning)
}

impl Site {
    fn new(signals: usize, per_week: f64, seed: u64) -> Self {
        let alarms = alarms(per_week, WhileLearning::Info);
        let settings = JudgeSettings::Auto(AutoSettings::new(alarms, None).expect("good settings and names"));
        let pool = AlarmPool::of(&alarms).expect("good settings and names");
        let (plant, watched, events) = (Plant::new(99 + seed), Vec::new(), Vec::new());
        let mut site = Self { settings, pool, plant, watched, added: 0, seed, events };
        (0..signals).for_each(|_| site.add(0));
        site
    }

    fn add(&mut self, minute: usize) {
        let number = self.added;
        self.added += 1;
        let reading = Reading::of(
            DeviceId::new("plc").expect("good settings and names"),
            SignalId::new(&format!("s{number}")).expect("good settings and names"),
            0.0,
        );
        let judge = ReadingJudge::sharing(&self.settings, Some(&self.pool), at(minute));
        self.watched.push(Watched { signal: Signal::new(number, self.seed), judge, reading, open: None });
    }

    /// Lets time pass; `change` may change what a signal sends.
    fn run(&mut self, minutes: std::ops::Range<usize>, mut change: impl FnMut(usize, usize, f64) -> f64) {
        let mut findings = Vec::new();
        for minute in minutes {
            self.plant.pass(minute);
            for (number, watched) in self.watched.iter_mut().enumerate() {
                watched.reading.value = change(minute, number, watched.signal.value(&self.plant, minute));
                findings.clear();
                watched.judge.observe((&watched.reading).into(), at(minute), &mut findings);
                let Some(Finding::Condition(Condition { standing, learning, .. })) = findings.first() else {
                    continue;
                };
                match standing {
                    Standing::Abnormal if watched.open != Some(*learning) => {
                        watched.open = Some(*learning);
                        self.events.push((minute, number, *learning));
                    }
                    Standing::Normal => watched.open = None,
                    _ => {}
                }
            }
        }
    }

    fn quiet_run(&mut self, minutes: std::ops::Range<usize>) {
        self.run(minutes, |_, _, value| value);
    }

    fn alarms(&self, days: std::ops::Range<usize>) -> Vec<usize> {
        let minutes = days.start * DAY..days.end * DAY;
        let is_alarm = |event: &&(usize, usize, bool)| minutes.contains(&event.0) && !event.2;
        self.events.iter().filter(is_alarm).map(|event| event.1).collect()
    }

    fn expected_per_week(&self) -> f64 {
        let rates = self.watched.iter().filter_map(|watched| watched.judge.alarm_rate());
        rates.map(|rate| rate.expected_per_second).sum::<f64>() * 7.0 * 86_400.0
    }
}

/// Alarms of a quarter, against a budget.
fn check_quarter(signals: usize, per_week: f64, seed: u64) {
    const DAYS: usize = 91;
    let mut site = Site::new(signals, per_week, seed);
    site.quiet_run(0..DAYS * DAY);
    let learnt = (1.0 / per_week).ceil() as usize + 1;
    let what = format!("{signals} signals, {per_week} a week, seed {seed}");
    assert!(site.alarms(0..learnt).is_empty(), "{what}: while learning");
    let expected = per_week * (DAYS - learnt) as f64 / 7.0;
    let times = site.alarms(learnt..DAYS).len() as f64 / expected;
    assert!((0.5..=2.0).contains(&times), "{what}: {times:.2} times as many as accepted");
    let said = site.expected_per_week() / per_week;
    assert!((0.95..1.05).contains(&said), "{what}: {said} times the budget is said to be expected");
}

#[test]
fn forty_signals_together_keep_to_the_budget_of_their_judge_over_a_quarter() {
    check_quarter(40, 1.0, 0);
    if std::env::var_os("VERGE_FULL").is_some_and(|full| full == "1") {
        for seed in 1..6 {
            check_quarter(40, 1.0, seed);
        }
        check_quarter(40, 7.0, 1);
        check_quarter(20, 2.0, 2);
        check_quarter(80, 1.0, 3);
    }
}

#[test]
fn neither_one_bad_signal_nor_faults_of_others_deafen_a_judge() {
    let mut site = Site::new(40, 1.0, 0);
    let mut noise = signals::Noise::new(5);
    let bad = 6;
    // A signal that jumps seven times a day, and a fault on another each second day.
    let fault_of = |minute: usize, number: usize| {
        let day = minute / DAY;
        day >= 4 && day.is_multiple_of(2) && number == day % 40 && (600..640).contains(&(minute % DAY))
    };
    site.run(0..28 * DAY, |minute, number, value| match number {
        _ if number == bad && noise.uniform() < 0.005 => value + 12.0 + 10.0 * noise.uniform(),
        _ if fault_of(minute, number) => 3.0 * value + 60.0,
        _ => value,
    });
    let false_alarms = |event: &&(usize, usize, bool)| {
        !event.2 && (0..100).all(|back| !fault_of(event.0.saturating_sub(back), event.1))
    };
    let of_bad = site.alarms(0..28).into_iter().filter(|&number| number == bad).count();
    // The budget of four weeks. A signal spends up to half of it by the members of its detector, and as much by steps and
    // places, of which the level is apart.
    assert!(of_bad <= 4, "the bad signal: {of_bad} alarms");
    let others = site.events.iter().filter(false_alarms).filter(|event| event.1 != bad).count();
    assert!(others <= 8, "the others: {others} false alarms in four weeks");
    let found = (4..28).step_by(2).filter(|&day| {
        let during =
            |event: &&(usize, usize, bool)| !event.2 && fault_of(event.0, event.1) && event.0 / DAY == day;
        site.events.iter().any(|event| during(&event))
    });
    let found = found.count();
    assert!(found >= 11, "{found} of 12 faults found");
}

#[test]
fn a_fault_that_comes_back_is_an_alarm_each_time() {
    let mut site = Site::new(12, 1.0, 3);
    let days = [10, 11, 12, 14, 17];
    let fault_of = |minute: usize, number: usize| {
        number == 1 && days.contains(&(minute / DAY)) && (600..630).contains(&(minute % DAY))
    };
    site.run(
        0..18 * DAY,
        |minute, number, value| {
            if fault_of(minute, number) { 3.0 * value + 60.0 } else { value }
        },
    );
    let found = days.map(|day| {
        let during = |event: &&Raised| !event.2 && fault_of(event.0, event.1) && event.0 / DAY == day;
        site.events.iter().any(|event| during(&event))
    });
    assert_eq!(found, [true; 5], "on days {days:?}");
}

#[test]
fn a_newcomer_learns_by_itself_and_spends_nothing() {
    let mut site = Site::new(20, 1.0, 4);
    site.quiet_run(0..8 * DAY);
    (0..10).for_each(|_| site.add(8 * DAY));
    site.quiet_run(8 * DAY..11 * DAY);
    let early = site.alarms(8..9);
    assert!(early.iter().all(|&number| number < 20), "on their first day: {early:?}");
    assert!(site.alarms(8..11).len() <= 2);
    let rates: Vec<_> = site.watched.iter().map(|watched| watched.judge.alarm_rate().unwrap()).collect();
    assert!(rates.iter().all(|rate| rate.supported_in.is_none()), "all have learnt by now");
    site.add(11 * DAY);
    site.quiet_run(11 * DAY..11 * DAY + 100);
    let newest = site.watched[30].judge.alarm_rate().unwrap().supported_in.unwrap();
    assert!((22.0..25.0).contains(&(newest.as_secs_f64() / 3600.0)), "{newest:?}");
}

#[test]
fn what_is_beyond_doubt_is_an_alarm_on_the_first_day_and_a_stop_is_not() {
    let mut site = Site::new(40, 1.0, 0);
    let noon = DAY - 120;
    site.run(0..noon + 200, |minute, number, value| match (minute >= noon, number) {
        // A temperature between 56 and 64, and a pump that stops.
        (true, 0) => 160.0,
        (true, 3) => 0.0,
        _ => value,
    });
    assert_eq!(site.alarms(0..1), [0], "{:?}", site.events);
}

#[test]
fn a_judge_says_nothing_while_it_learns_where_that_is_asked_for_and_everything_too() {
    let events = |while_learning| {
        let settings = JudgeSettings::Auto(AutoSettings::new(alarms(1.0, while_learning), None).unwrap());
        let mut site = Site { settings, ..Site::new(0, 1.0, 0) };
        (0..40).for_each(|_| site.add(0));
        site.quiet_run(0..DAY);
        let learning = site.events.iter().filter(|event| event.2).count();
        (learning, site.events.len() - learning)
    };
    assert_eq!(events(WhileLearning::Quiet), (0, 0));
    let (info, none) = events(WhileLearning::Info);
    assert!(info > 20 && none == 0, "{info} {none}");
    assert_eq!(events(WhileLearning::Alarm), (0, info));
}

#[test]
fn a_restart_changes_nothing_and_the_order_of_signals_neither() {
    let mut whole = Site::new(12, 2.0, 1);
    let mut reversed = Site::new(12, 2.0, 1);
    reversed.watched.reverse();
    // At the begin of a period: what came in during one is entered again after a restart.
    let (cut, end) = (6 * DAY, 9 * DAY);
    whole.quiet_run(0..cut);
    reversed.quiet_run(0..cut);
    let mut restarted = Site::new(12, 2.0, 1);
    restarted.pool.restore(&whole.pool.save().unwrap()).unwrap();
    for (after, before) in restarted.watched.iter_mut().zip(&whole.watched) {
        after.judge.restore(&before.judge.save().unwrap(), at(cut)).unwrap();
        after.open = before.open;
    }
    // The signals themselves have no restart.
    restarted.run_signals_of(&mut whole, cut..end);
    let mut again = Site::new(12, 2.0, 1);
    again.quiet_run(0..end);
    reversed.quiet_run(cut..end);
    let said = |site: &Site, from: usize| -> Vec<(usize, usize, bool)> {
        site.events.iter().copied().filter(|event| event.0 >= from).collect()
    };
    let mirrored: Vec<_> =
        said(&reversed, 0).into_iter().map(|(at, number, learning)| (at, 11 - number, learning)).collect();
    let sorted = |mut events: Vec<(usize, usize, bool)>| {
        events.sort_unstable();
        events
    };
    assert_eq!(sorted(mirrored), sorted(said(&again, 0)));
    assert_eq!(said(&restarted, cut), said(&again, cut));
}

impl Site {
    /// Judges what the signals of another site send.
    fn run_signals_of(&mut self, other: &mut Self, minutes: std::ops::Range<usize>) {
        std::mem::swap(&mut self.plant, &mut other.plant);
        for (own, theirs) in self.watched.iter_mut().zip(&mut other.watched) {
            std::mem::swap(&mut own.signal, &mut theirs.signal);
        }
        self.quiet_run(minutes);
    }
}

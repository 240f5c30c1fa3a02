use super::*;

/// A run of a row per second: 400 rows of warm-up, then these.
struct RunColumns {
    at_ms: Vec<i64>,
    predicted: Vec<bool>,
    abnormal: Vec<bool>,
    change: Vec<bool>,
}

impl RunColumns {
    fn new(rows: usize) -> Self {
        let length = WARM_UP + rows;
        let none = vec![false; length];
        Self {
            at_ms: (0..length as i64).map(|second| second * 1000).collect(),
            predicted: none.clone(),
            abnormal: none.clone(),
            change: none,
        }
    }

    fn run(&self) -> ScoredRun<'_> {
        ScoredRun {
            at_ms: &self.at_ms,
            predicted: &self.predicted,
            abnormal: &self.abnormal,
            change: &self.change,
        }
    }
}

/// Change points and rows that are called abnormal, counted from the first scored row.
fn change_points(changes: &[usize], abnormal: &[usize]) -> ChangePoints {
    let mut columns = RunColumns::new(400);
    changes.iter().for_each(|row| columns.change[WARM_UP + row] = true);
    abnormal.iter().for_each(|row| columns.predicted[WARM_UP + row] = true);
    columns.run().change_points().unwrap()
}

/// By the text of the rule: Atp early, Afp at the end.
fn by_rule(k: f64, hit: f64, loss: f64) -> f64 {
    let x = -std::f64::consts::PI / 2.0 + std::f64::consts::PI * k / 999.0;
    let half = (hit - loss) / 2.0;
    half * (-x.tanh() / (std::f64::consts::PI / 2.0).tanh()) + half + loss
}

#[track_caller]
fn check(found: ChangePoints, profile: ScoreProfile, expected: f64) {
    let score = found.score(profile).unwrap();
    assert!((score - expected).abs() < 1e-9, "{score} is not {expected}: {found:?}");
}

#[test]
fn rows_are_counted_behind_the_warm_up_and_pooled() {
    let mut one = RunColumns::new(10);
    // In the warm-up nothing counts.
    one.predicted[..WARM_UP].fill(true);
    one.abnormal[..100].fill(true);
    one.abnormal[WARM_UP..WARM_UP + 4].fill(true);
    one.predicted[WARM_UP + 1..WARM_UP + 6].fill(true);
    let rows = one.run().rows().unwrap();
    let expected = RowCounts { true_positives: 3, false_positives: 2, true_negatives: 4, false_negatives: 1 };
    assert_eq!(rows, expected);
    assert_eq!((rows.f1(), rows.far(), rows.mar()), (3.0 / 4.5, 2.0 / 6.0, 1.0 / 4.0));
    let pooled: RowCounts = [rows, rows, RunColumns::new(1).run().rows().unwrap()].into_iter().sum();
    assert_eq!((pooled.f1(), pooled.far(), pooled.mar()), (3.0 / 4.5, 4.0 / 13.0, 1.0 / 4.0));
    assert_eq!(
        (RowCounts::default().f1(), RowCounts::default().far(), RowCounts::default().mar()),
        (0.0, 0.0, 0.0)
    );
}

#[test]
fn an_alarm_gains_the_more_the_earlier_it_is() {
    // The prediction changes once and stays; a second later is k = floor(1000/60) = 16, at the end 999.
    let from = |row: usize| change_points(&[100], &(row..400).collect::<Vec<_>>());
    for (profile, hit, loss, miss) in [
        (ScoreProfile::STANDARD, 1.0, -0.11, -1.0),
        (ScoreProfile::LOW_FP, 1.0, -0.22, -1.0),
        (ScoreProfile::LOW_FN, 1.0, -0.11, -2.0),
    ] {
        let scaled = |total: f64| 100.0 * (total - miss) / (hit - miss);
        check(from(100), profile, 100.0);
        check(from(101), profile, scaled(by_rule(16.0, hit, loss)));
        check(from(130), profile, scaled(by_rule(500.0, hit, loss)));
        // The end of the window is inside, and counts as much as a false alarm.
        check(from(160), profile, scaled(loss));
        // A row later, and a row before, the window is missed and the alarm is false.
        check(from(161), profile, scaled(miss + loss));
        check(from(99), profile, scaled(miss + loss));
        check(change_points(&[100], &[]), profile, 0.0);
    }
}

#[test]
fn every_change_is_an_alarm() {
    // Up at 99, down at 104: one false, one found.
    let found = change_points(&[100], &[99, 100, 101, 102, 103]);
    assert_eq!((found.windows, found.found, found.false_alarms), (1, 1, 1));
    let k = (1000.0_f64 * 4.0 / 60.0).floor();
    check(found, ScoreProfile::STANDARD, 100.0 * (by_rule(k, 1.0, -0.11) - 0.11 + 1.0) / 2.0);
    // A second alarm in the window does neither good nor harm.
    let found = change_points(&[100], &[100]);
    assert_eq!((found.found, found.false_alarms), (1, 0));
    check(found, ScoreProfile::STANDARD, 100.0);
    // The first scored row changes if it is abnormal, whatever came before it.
    assert_eq!(change_points(&[100], &(0..400).collect::<Vec<_>>()).false_alarms, 1);
    let mut columns = RunColumns::new(100);
    columns.predicted[..=WARM_UP].fill(true);
    assert_eq!(columns.run().change_points().unwrap().false_alarms, 2);
}

#[test]
fn windows_do_not_overlap() {
    // The second window starts where the first ends, at 160, and ends at 190.
    let found = change_points(&[100, 130], &(175..400).collect::<Vec<_>>());
    assert_eq!((found.windows, found.found, found.false_alarms), (2, 1, 0));
    let k = (1000.0_f64 * 15.0 / 30.0).floor();
    check(found, ScoreProfile::STANDARD, 100.0 * (by_rule(k, 1.0, -0.11) - 1.0 + 2.0) / 4.0);
    // An alarm on the border is in both.
    let found = change_points(&[100, 160], &(160..400).collect::<Vec<_>>());
    assert_eq!((found.windows, found.found, found.false_alarms), (2, 2, 0));
    check(found, ScoreProfile::STANDARD, 100.0 * (-0.11 + 1.0 + 2.0) / 4.0);
    // A change point that the warm-up holds opens no window.
    let mut columns = RunColumns::new(100);
    columns.change[WARM_UP - 1] = true;
    assert_eq!(columns.run().change_points().unwrap(), ChangePoints::default());
}

#[test]
fn runs_add_up() {
    let perfect = change_points(&[100], &(100..400).collect::<Vec<_>>());
    let missed = change_points(&[100, 300], &[]);
    let all: ChangePoints = [perfect, missed].into_iter().sum();
    check(all, ScoreProfile::LOW_FN, 100.0 / 3.0);
    assert_eq!(ChangePoints::default().score(ScoreProfile::STANDARD), None);
}

#[test]
fn columns_of_different_lengths_are_refused() {
    let mut columns = RunColumns::new(3);
    columns.change.pop();
    let text = columns.run().rows().unwrap_err();
    assert_eq!(text, MeasureError::Length { expected: 403, actual: 402 });
    assert!(columns.run().change_points().is_err());
}

use super::*;

/// Ten rows, of which row 0 is not scored; one window of four rows.
const WINDOW: RangeInclusive<usize> = 4..=7;

fn series(rows: usize, scores: &[(usize, f64)], windows: &[RangeInclusive<usize>]) -> Series {
    let mut all = vec![0.0; rows];
    for &(row, score) in scores {
        all[row] = score;
    }
    Series::new(&all, windows).unwrap()
}

/// Gain over silence of one alarm in one row of ten.
#[track_caller]
fn check_row(row: usize, profile: ScoreProfile, expected: f64) {
    let outcome = at([&series(10, &[(row, 1.0)], &[WINDOW])], profile, 0.5);
    assert!((outcome.gain - expected).abs() < 1e-12, "row {row}: {outcome:?}");
}

/// By the text of the rule, not by the code: 2/(1+exp(5p)) - 1.
fn by_rule(p: f64) -> f64 {
    2.0 / (1.0 + f64::exp(5.0 * p)) - 1.0
}

#[test]
fn sigma_is_as_published() {
    assert!((by_rule(-1.0) - 0.986_614_298_151_43).abs() < 1e-12);
    let check = |position: f64, expected: f64| assert!((sigma(position) - expected).abs() < 1e-12);
    check(0.0, 0.0);
    check(-1.0, 0.986_614_298_151_43);
    check(1.0, -0.986_614_298_151_43);
    check(3.0, by_rule(3.0));
    check(3.01, -1.0);
    check(f64::INFINITY, -1.0);
}

#[test]
fn an_alarm_counts_by_where_it_is() {
    let full = by_rule(-1.0);
    for profile in ScoreProfile::ALL {
        // Probation: floor(.15 * 10) = 1 row.
        check_row(0, profile, 0.0);
        // Before any window.
        check_row(1, profile, -profile.false_alarm);
        check_row(3, profile, -profile.false_alarm);
        // First row of the window, then p = -3/4, -2/4, -1/4.
        check_row(4, profile, profile.miss + profile.hit);
        check_row(5, profile, profile.miss + profile.hit * by_rule(-0.75) / full);
        check_row(6, profile, profile.miss + profile.hit * by_rule(-0.5) / full);
        check_row(7, profile, profile.miss + profile.hit * by_rule(-0.25) / full);
        // After it, p = 1/3, 2/3.
        check_row(8, profile, profile.false_alarm * by_rule(1.0 / 3.0));
        check_row(9, profile, profile.false_alarm * by_rule(2.0 / 3.0));
    }
    // In numbers, once: (2/(1+e^-1.25) - 1) / 0.98661.
    check_row(7, ScoreProfile::STANDARD, 1.0 + 0.554_599_722_349 / 0.986_614_298_151_43);
}

#[test]
fn far_behind_a_window_all_of_a_false_alarm_counts() {
    // Width 4: p = 9/3 = 3 is not beyond 3, 10/3 is.
    let gain = |row| at([&series(40, &[(row, 1.0)], &[10..=13])], ScoreProfile::STANDARD, 0.5).gain;
    assert!((gain(22) - 0.11 * by_rule(3.0)).abs() < 1e-15);
    assert_eq!(gain(23), -0.11);
    // A window of one row has no length to be behind.
    let gain = |row| at([&series(40, &[(row, 1.0)], &[10..=10])], ScoreProfile::STANDARD, 0.5).gain;
    assert_eq!((gain(10), gain(11)), (2.0, -0.11));
}

#[test]
fn probation_is_a_share_and_has_an_end() {
    assert_eq!([0, 6, 7, 13, 14, 4999, 5000, 100_000].map(probation), [0, 0, 1, 1, 2, 749, 750, 750]);
    // A window that begins in probation is found from its first row that is looked at.
    let outcome = at([&series(20, &[(2, 1.0), (3, 1.0)], &[2..=5])], ScoreProfile::STANDARD, 0.5);
    assert!((outcome.gain - 1.0 - by_rule(-0.75) / by_rule(-1.0)).abs() < 1e-12);
    let counts = (outcome.windows, outcome.found, outcome.false_alarms, outcome.readings);
    assert_eq!(counts, (1, 1, 0, 17));
}

#[test]
fn only_the_earliest_alarm_of_a_window_pays_and_each_outside_costs() {
    let alarms = [(2, 0.9), (3, 0.9), (5, 0.9), (6, 0.9), (7, 0.9), (8, 0.9)];
    let outcome = at([&series(10, &alarms, &[WINDOW])], ScoreProfile::LOW_FP, 0.9);
    let expected = 1.0 + by_rule(-0.75) / by_rule(-1.0) - 0.44 + 0.22 * by_rule(1.0 / 3.0);
    assert!((outcome.gain - expected).abs() < 1e-12, "{outcome:?}");
    assert_eq!((outcome.windows, outcome.found, outcome.false_alarms, outcome.readings), (1, 1, 3, 9));
}

#[test]
fn a_false_alarm_between_windows_belongs_to_the_one_before() {
    let windows = [10..=13, 20..=21];
    let gain = |row| at([&series(30, &[(row, 1.0)], &windows)], ScoreProfile::STANDARD, 0.5).gain;
    assert_eq!(gain(9), -0.11);
    assert!((gain(15) - 0.11 * by_rule(2.0 / 3.0)).abs() < 1e-15);
    assert!((gain(22) - 0.11 * by_rule(1.0)).abs() < 1e-15);
    // Adjacent windows: the first row of the second is not the last of the first.
    let gain = |row| at([&series(30, &[(row, 1.0)], &[10..=13, 14..=17])], ScoreProfile::STANDARD, 0.5).gain;
    assert!((gain(13) - 1.0 - by_rule(-0.25) / by_rule(-1.0)).abs() < 1e-15);
    assert_eq!(gain(14), 2.0);
    // A window that ends with the series.
    let gain = |row| at([&series(30, &[(row, 1.0)], &[28..=29])], ScoreProfile::STANDARD, 0.5).gain;
    assert!((gain(29) - 1.0 - by_rule(-0.5) / by_rule(-1.0)).abs() < 1e-15);
}

#[test]
fn scores_run_from_silence_to_perfect() {
    let windows = [10..=13, 20..=21];
    for profile in ScoreProfile::ALL {
        let perfect = series(30, &[(10, 1.0), (20, 1.0)], &windows);
        let silent = series(30, &[], &windows);
        let score = |series: &Series| at([series], profile, 0.5).score().unwrap();
        assert_eq!((score(&perfect), score(&silent)), (100.0, 0.0));
        // One of two windows, missed: half of everything.
        assert_eq!(score(&series(30, &[(20, 1.0)], &windows)), 50.0);
        // The corpus counts windows, not series.
        let outcome = at([&perfect, &series(30, &[], &[5..=6])], profile, 0.5);
        assert!((outcome.score().unwrap() - 200.0 / 3.0).abs() < 1e-12, "{outcome:?}");
    }
    // Without a window there is nothing to be scaled by; the gain still counts.
    let outcome = at([&series(30, &[(20, 1.0)], &[])], ScoreProfile::STANDARD, 0.5);
    assert_eq!((outcome.score(), outcome.gain, outcome.perfect), (None, -0.11, 0.0));
}

#[test]
fn the_best_threshold_weighs_windows_against_false_alarms() {
    // Six false alarms at .6 come before the window's alarm at .5: worth it at .11 each, not at 3.
    let noise = (6..12).map(|row| (row, 0.6));
    let one = series(40, &noise.chain([(20, 0.5), (21, 0.55)]).collect::<Vec<_>>(), &[20..=23]);
    let check = |profile: ScoreProfile, threshold: Option<f64>, false_alarms: usize| {
        let best = best([&one], profile);
        assert_eq!((best.threshold, best.outcome.false_alarms), (threshold, false_alarms), "{best:?}");
        let again = threshold.map_or(0.0, |threshold| at([&one], profile, threshold).gain);
        assert!((best.outcome.gain - again).abs() < 1e-12);
    };
    check(ScoreProfile::STANDARD, Some(0.5), 6);
    check(ScoreProfile::LOW_FN, Some(0.5), 6);
    let strict = ScoreProfile { false_alarm: 3.0, ..ScoreProfile::STANDARD };
    check(strict, None, 0);
    let merit = best([&one], ScoreProfile::STANDARD).outcome.gain;
    assert!((merit - (2.0 - 0.66)).abs() < 1e-12, "{merit}");
}

#[test]
fn of_equal_thresholds_the_highest_is_taken() {
    // Rows 20 and 21 both alarm first in a window of their own; row 22 lowers the threshold for nothing.
    let one = series(40, &[(20, 0.9), (21, 0.7)], &[20..=23]);
    assert_eq!(best([&one], ScoreProfile::STANDARD).threshold, Some(0.9));
    // Nothing but silence gains nothing: every row scores the same, and there is no window.
    let flat = Series::new(&[0.5; 40], &[]).unwrap();
    assert_eq!(best([&flat], ScoreProfile::STANDARD).threshold, None);
    assert_eq!(best([], ScoreProfile::STANDARD).outcome.score(), None);
}

#[test]
fn one_threshold_serves_all_series_and_rows_of_equal_score_alarm_together() {
    let a = series(40, &[(20, 0.8), (6, 0.6)], &[20..=23]);
    let b = series(40, &[(30, 0.6), (8, 0.6)], &[30..=33]);
    let both = best([&a, &b], ScoreProfile::STANDARD);
    assert_eq!((both.threshold, both.outcome.found, both.outcome.false_alarms), (Some(0.6), 2, 2));
    assert!((both.outcome.gain - (4.0 - 0.22)).abs() < 1e-12);
    assert_eq!(best([&a], ScoreProfile::STANDARD).threshold, Some(0.8));
    assert_eq!(a.thresholds().collect::<Vec<_>>(), [0.8, 0.6, 0.0]);
}

#[test]
fn steps_agree_with_a_scan_of_the_rows() {
    // Scores with many ties, from a fixed sequence.
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from((state >> 33) as u32 % 8) / 8.0
    };
    let windows = [3..=60, 70..=70, 71..=90, 150..=199];
    let corpus: Vec<(Vec<f64>, Series)> = (0..3)
        .map(|_| {
            let scores: Vec<f64> = (0..200).map(|_| next()).collect();
            let series = Series::new(&scores, &windows).unwrap();
            (scores, series)
        })
        .collect();
    for profile in ScoreProfile::ALL {
        let scan = |threshold: f64| {
            corpus.iter().map(|(scores, _)| by_scan(scores, &windows, profile, threshold)).sum::<f64>()
        };
        let thresholds = (0..8).map(|step| f64::from(step) / 8.0);
        let best_by_scan = thresholds.clone().map(scan).fold(0.0, f64::max);
        let series = || corpus.iter().map(|(_, series)| series);
        for threshold in thresholds {
            assert!((at(series(), profile, threshold).gain - scan(threshold)).abs() < 1e-9, "{threshold}");
        }
        assert!((best(series(), profile).outcome.gain - best_by_scan).abs() < 1e-9);
    }
}

/// The rule, row by row; gain over silence.
fn by_scan(scores: &[f64], windows: &[RangeInclusive<usize>], profile: ScoreProfile, threshold: f64) -> f64 {
    let alarms = |row: &usize| *row >= probation(scores.len()) && scores[*row] >= threshold;
    let mut total = 0.0;
    for window in windows {
        let width = (window.end() - window.start() + 1) as f64;
        let value =
            |row: usize| by_rule(-((window.end() - row + 1) as f64) / width) / by_rule(-1.0) * profile.hit;
        let best = window.clone().filter(alarms).map(value).fold(-profile.miss, f64::max);
        total += best + profile.miss;
    }
    let outside = |row: &usize| !windows.iter().any(|window| window.contains(row));
    for row in (0..scores.len()).filter(alarms).filter(outside) {
        let before = windows.iter().rfind(|window| *window.end() < row);
        let value = before.map_or(-1.0, |window| {
            let p = (row - window.end()) as f64 / (window.end() - window.start()) as f64;
            if p > 3.0 { -1.0 } else { by_rule(p) }
        });
        total += profile.false_alarm * value;
    }
    total
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let check = |scores: &[f64], windows: &[RangeInclusive<usize>], expected: &str| {
        let text = Series::new(scores, windows).unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    };
    check(&[0.0, 1.1], &[], "row 1: score 1.1");
    check(&[f64::NAN], &[], "row 0: score NaN");
    check(&[0.0; 5], &[3..=5], "window 3..=5");
    check(&[0.0; 5], &[0..=2, 2..=3], "window 2..=3");
    #[expect(clippy::reversed_empty_ranges, reason = "what is refused")]
    check(&[0.0; 5], &[3..=2], "beyond the 5 rows");
    assert!(Series::new(&[], &[]).is_ok());
}

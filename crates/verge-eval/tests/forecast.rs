//! Short-term forecasts against simulated days: what `verge eval forecast` prints of more of them.

use verge_eval::forecast::{ForecastedSeries, days, score};

#[test]
fn forecasts_of_simulated_days_beat_both_simple_ones_and_their_interval_holds() {
    let mut ratios = Vec::new();
    for series in days::simulated(1) {
        for score in score(&series) {
            let (ahead, ratio, within) = (score.ahead, score.ratio(), score.within.unwrap_or(0.0));
            assert!(score.values > 14 * 1400, "{} values", score.values);
            // The queue of this seed grows for hours: the trend alone is 1 % better 15 minutes ahead.
            assert!(ratio < 1.02, "{}, {ahead} minutes: {ratio} of the better simple one", series.name);
            ratios.push(ratio);
            assert!((0.88..0.92).contains(&within), "{}, {ahead} minutes: {within} within", series.name);
        }
    }
    let mean = ratios.iter().sum::<f64>() / 4.0;
    assert!(mean < 0.985 && ratios.iter().filter(|ratio| **ratio < 1.0).count() >= 3, "{ratios:?}");
}

#[test]
fn values_at_any_times_are_put_into_intervals() {
    let at = |minutes: i64, value: f64| (verge_domain::time::UtcMillis(minutes * 60_000), value);
    let series = ForecastedSeries::new("a".to_owned(), 5, &[at(1, 2.0), at(4, 4.0), at(11, 7.0)]);
    assert_eq!(series.values, [(0, 3.0), (2, 7.0)]);
    // Of too short a series nothing is said.
    assert!(score(&series).iter().all(|score| score.values == 0 && score.within.is_none()));
}

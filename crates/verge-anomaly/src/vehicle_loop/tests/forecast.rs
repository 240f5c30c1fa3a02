use super::*;
use crate::forecast::ForecastSettings;
use verge_domain::verdict::ForecastMeasure;

fn forecasting(ahead_s: u64) -> LoopSettings {
    let grid = IntervalGrid::new(Duration::from_secs(10)).unwrap();
    let forecast = ForecastSettings::new(grid, &[Duration::from_secs(ahead_s)]).unwrap();
    settings(&["pulses"], None).with_forecast(forecast)
}

/// A vehicle every second.
fn pass(trial: &mut LoopTrial, seconds: std::ops::Range<u32>) {
    for second in seconds {
        trial.send("pulses", f64::from(second), 1.0, 0.0);
    }
}

/// Of each interval: its begin, and whether a flow is expected; it is the usual one.
fn expected(trial: &mut LoopTrial) -> Vec<(i64, bool)> {
    let counts = trial.findings.drain(..).map(|finding| match finding {
        Finding::Counts(counts) => counts,
        other => panic!("only counts, not {other:?}"),
    });
    // The first vehicle is counted and not observed.
    let usual = |expected: f64| (3500.0..3700.0).contains(&expected);
    let one = |counts: Counts| {
        let forecast = counts.forecasts.first();
        assert!(forecast.is_none_or(|one| one.place.is_none() && one.measure == ForecastMeasure::Flow));
        assert!(forecast.is_none_or(|one| usual(one.expected)), "{forecast:?}");
        (counts.from.0 / 1000, forecast.is_some())
    };
    counts.map(one).collect()
}

#[test]
fn the_flow_is_forecast_and_a_restart_keeps_what_was_learnt() {
    let mut trial = LoopTrial::new(forecasting(20));
    pass(&mut trial, 100..191);
    let found = expected(&mut trial);
    assert_eq!((found.len(), &found[6..]), (9, &[(160, false), (170, true), (180, true)][..]));
    trial.restart(191.0);
    pass(&mut trial, 191..221);
    let found = expected(&mut trial);
    assert_eq!(found.last(), Some(&(210, true)));
    assert!(found.len() == 3 && found[1].1, "{found:?}");
}

#[test]
fn of_a_state_with_another_horizon_or_without_one_the_counts_go_on() {
    let mut trial = LoopTrial::new(forecasting(20));
    pass(&mut trial, 100..195);
    let saved = trial.judge.save().unwrap();
    let other = [forecasting(30), settings(&["pulses"], None)];
    for (settings, forecasts) in other.into_iter().zip([true, false]) {
        let mut next = LoopTrial::new(settings);
        next.judge.restore(&saved, moment(195.0, 0.0)).unwrap();
        pass(&mut next, 195..296);
        let found = expected(&mut next);
        assert_eq!(found[0], (190, false));
        assert_eq!(found.last().unwrap().1, forecasts, "{found:?}");
    }
}

use super::*;

const MINUTE: i64 = 60_000;

fn settings(minutes: u64, ahead: &[u64]) -> ForecastSettings {
    let grid = IntervalGrid::new(Duration::from_secs(60 * minutes)).unwrap();
    let ahead: Vec<Duration> = ahead.iter().map(|minutes| Duration::from_secs(60 * minutes)).collect();
    ForecastSettings::new(grid, &ahead).unwrap()
}

/// Vehicles per hour at a time of day with two peaks, with a noise that repeats after a prime number of steps.
fn flow(number: i64) -> f64 {
    let hour = (number * 5).rem_euclid(1440) as f64 / 60.0;
    let peak = |at: f64, width: f64| (-((hour - at) / width).powi(2)).exp();
    let noise = ((number * 7919).rem_euclid(211) as f64 / 211.0 - 0.5) * 40.0;
    60.0 + 500.0 * peak(8.0, 1.5) + 400.0 * peak(17.0, 2.0) + noise
}

fn feed(series: &mut ForecastSeries, settings: &ForecastSettings, numbers: std::ops::Range<i64>) {
    for number in numbers {
        series.observe(settings, UtcMillis(number * 5 * MINUTE), flow(number));
    }
}

#[test]
fn horizons_are_multiples_of_the_interval() {
    let grid = IntervalGrid::new(Duration::from_secs(300)).unwrap();
    let made = |ahead: &[u64]| {
        let spans: Vec<_> = ahead.iter().map(|seconds| Duration::from_secs(*seconds)).collect();
        ForecastSettings::new(grid, &spans)
    };
    assert_eq!(made(&[900, 300, 900]).unwrap().ahead_ms().collect::<Vec<_>>(), [300_000, 900_000]);
    assert!(made(&[]).unwrap().is_empty());
    for wrong in [&[60][..], &[0], &[450], &[300 * 61], &[300, 600, 900, 1200, 1500]] {
        assert!(made(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_course_that_repeats_is_known_after_some_days_and_nine_of_ten_values_lie_within() {
    let settings = settings(5, &[5, 15]);
    let mut series = ForecastSeries::new(&settings);
    feed(&mut series, &settings, 0..7);
    assert!(series.forecasts(&settings).all(|(_, value)| value.is_none()), "seven values are too few");
    feed(&mut series, &settings, 7..8);
    let first: Vec<_> = series.forecasts(&settings).collect();
    assert!(first.iter().all(|(_, value)| value.is_some_and(|value| value.range.is_none())), "{first:?}");
    feed(&mut series, &settings, 8..14 * 288);
    let (mut off, mut held) = ([0.0; 2], [0; 2]);
    let numbers = 14 * 288..21 * 288;
    for number in numbers.clone() {
        feed(&mut series, &settings, number..number + 1);
        for (at, (ahead_ms, value)) in series.forecasts(&settings).enumerate() {
            let came = flow(number + i64::try_from(ahead_ms).unwrap() / (5 * MINUTE));
            let value = value.unwrap();
            let (low, high) = value.range.unwrap();
            assert!(0.0 <= low && low <= value.expected && value.expected <= high);
            off[at] += (value.expected - came).abs() / 2016.0;
            held[at] += u32::from((low..=high).contains(&came));
        }
    }
    // The noise alone is 10 off on average.
    assert!(off.iter().all(|off| (10.0..14.0).contains(off)), "{off:?}");
    let share = held.map(|held| f64::from(held) / numbers.clone().count() as f64);
    assert!(share.iter().all(|share| (0.88..0.92).contains(share)), "{share:?}");
}

#[test]
fn gaps_and_clocks_that_run_back_leave_it_sound() {
    let settings = settings(5, &[5, 15]);
    let mut series = ForecastSeries::new(&settings);
    feed(&mut series, &settings, 0..600);
    feed(&mut series, &settings, 800..803);
    assert!(series.fits(&settings));
    feed(&mut series, &settings, 300..302);
    let forecasts: Vec<_> = series.forecasts(&settings).collect();
    assert!(forecasts.iter().all(|(_, value)| value.is_some_and(|value| value.range.is_some())));
    assert!(series.fits(&settings));
    for nonsense in [f64::NAN, f64::INFINITY, -1.0] {
        let before = series.clone();
        series.observe(&settings, UtcMillis(700 * 5 * MINUTE), nonsense);
        assert_eq!(series, before);
    }
    series.observe(&settings, UtcMillis(i64::MAX), 1e300);
    series.observe(&settings, UtcMillis(i64::MIN), 0.0);
    assert!(series.forecasts(&settings).flat_map(|(_, value)| value).all(|value| value.expected.is_finite()));
}

#[test]
fn a_saved_series_goes_on_as_if_nothing_had_happened() {
    let settings = settings(5, &[5, 15]);
    let mut series = ForecastSeries::new(&settings);
    feed(&mut series, &settings, 0..700);
    let saved = postcard::to_allocvec(&series).unwrap();
    assert!(saved.len() < 8 << 10, "{}", saved.len());
    assert!(series.heap_bytes() < 8 << 10, "{}", series.heap_bytes());
    let mut restored: ForecastSeries = postcard::from_bytes(&saved).unwrap();
    assert!(restored.fits(&settings) && !restored.fits(&self::settings(5, &[5, 20])));
    feed(&mut series, &settings, 700..800);
    feed(&mut restored, &settings, 700..800);
    assert_eq!(restored, series);
}

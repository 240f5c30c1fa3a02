//! Simulated days of traffic: two peaks on working days, one at weekends, days that differ, slow drifts, incidents that take
//! most of the flow or bring a detour's, and counts as they come by chance.

use fastrand::Rng;

use super::ForecastedSeries;

/// Days that are simulated.
const DAYS: i64 = 15;
const DAY: i64 = 1440;
/// A Monday, in minutes since 1970.
const FIRST: i64 = 20_087 * DAY;

/// One day after another, minute by minute: the flow over a line in vehicles per hour, and the queue before a signal.
#[must_use]
pub fn simulated(seed: u64) -> [ForecastedSeries; 2] {
    let mut chance = Rng::with_seed(seed);
    let incidents: Vec<(i64, i64, f64)> = (0..DAYS)
        .map(|day| {
            let at = day * DAY + chance.i64(6 * 60..20 * 60);
            (at, chance.i64(20..90), if chance.bool() { 0.3 } else { 1.5 })
        })
        .collect();
    let (mut of_day, mut drift, mut queue) = (1.0, 0.0, 0.0);
    let (mut flows, mut queues) = (Vec::new(), Vec::new());
    for minute in 0..DAYS * DAY {
        if minute % DAY == 0 {
            of_day = (0.08 * normal(&mut chance)).exp();
        }
        drift = 0.995 * drift + 0.008 * normal(&mut chance);
        let is_on = |(at, lasts, _): &&(i64, i64, f64)| (*at..at + lasts).contains(&minute);
        let incident: f64 = incidents.iter().filter(is_on).map(|(_, _, factor)| factor).product();
        let demand = usual(minute) * of_day * f64::exp(drift) * incident;
        let came = poisson(&mut chance, demand / 60.0);
        flows.push((FIRST + minute, f64::from(came) * 60.0));
        // A signal lets 11 vehicles a minute go; those that wait for green are a third of a minute's.
        let leaves = 9.0 + 2.0 * chance.f64() + if incident < 1.0 { -6.0 } else { 0.0 };
        queue = f64::max(queue + f64::from(came) - leaves, 0.0);
        queues.push((FIRST + minute, queue.min(60.0) + f64::from(poisson(&mut chance, demand / 180.0))));
    }
    let named =
        |what: &str, values| ForecastedSeries { name: format!("{what}, seed {seed}"), minutes: 1, values };
    [named("simulated flow", flows), named("simulated queue", queues)]
}

/// Vehicles per hour at a minute, as they come on average.
#[expect(clippy::cast_precision_loss, reason = "minutes of some days")]
fn usual(minute: i64) -> f64 {
    let hour = (minute % DAY) as f64 / 60.0;
    let peak = |at: f64, width: f64| f64::exp(-((hour - at) / width).powi(2));
    if minute / DAY % 7 < 5 {
        40.0 + 500.0 * peak(8.0, 1.5) + 450.0 * peak(17.0, 2.0) + 200.0 * peak(12.5, 4.0)
    } else {
        30.0 + 300.0 * peak(14.0, 4.0)
    }
}

/// By the sum of twelve numbers, which is near enough.
fn normal(chance: &mut Rng) -> f64 {
    (0..12).map(|_| chance.f64()).sum::<f64>() - 6.0
}

/// By multiplication (Knuth): means are some ten at most.
fn poisson(chance: &mut Rng, mean: f64) -> u32 {
    let (least, mut product, mut count) = ((-mean).exp(), chance.f64(), 0);
    while product > least && count < 1000 {
        product *= chance.f64();
        count += 1;
    }
    count
}

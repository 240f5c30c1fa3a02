//! What an interval has measured, as numbers that other judges may look at: signals `<judge>.<line or zone>.<measure>` of the
//! camera.

use verge_domain::finding::{Finding, Measure};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::{
    DirectionCounts, ForecastMeasure, LineCounts, Traffic, TrafficForecast, ZoneMeasures,
};

use super::settings::{MeasureName, NamedScene};
use crate::forecast::ForecastSeries;

/// A measure of a line.
pub(super) type LineMeasure = fn(&LineCounts, &Traffic) -> Option<f64>;
/// A measure of a zone.
pub(super) type ZoneMeasure = fn(&ZoneMeasures) -> Option<f64>;

/// Unit of flows.
pub(super) const FLOW_UNIT: Option<&str> = Some("/h");

/// Of each line: what is measured, the last part of its name, its unit.
pub(super) const LINE_MEASURES: [(LineMeasure, &str, Option<&str>); 4] = [
    (|line, _| total(line.forward.as_ref()), "forward", None),
    (|line, _| total(line.backward.as_ref()), "backward", None),
    (flow, "flow", FLOW_UNIT),
    (|line, _| speed(line), "speed", Some("m/s")),
];

/// Of each zone.
pub(super) const ZONE_MEASURES: [(ZoneMeasure, &str, Option<&str>); 6] = [
    (|zone| zone.entered.map(exact), "entered", None),
    (|zone| zone.occupancy, "occupancy", None),
    (|zone| zone.mean_speed, "speed", Some("m/s")),
    (|zone| zone.queue_mean, "queue", None),
    (|zone| zone.queue_max.map(exact), "queue_max", None),
    (|zone| zone.queue_length, "queue_length", Some("m")),
];

#[expect(clippy::cast_precision_loss, reason = "a count of objects")]
const fn exact(count: u64) -> f64 {
    count as f64
}

fn total(direction: Option<&DirectionCounts>) -> Option<f64> {
    direction.map(|direction| exact(direction.total))
}

/// Objects per hour of observed time, in both directions; of an interval that was not observed none, though something may have
/// been found late that crossed in it.
fn flow(line: &LineCounts, of: &Traffic) -> Option<f64> {
    let crossed = total(line.forward.as_ref())? + total(line.backward.as_ref())?;
    (of.observed_ms > 0).then(|| crossed * 3_600_000.0 / exact(of.observed_ms))
}

/// Mean speed of both directions, each by its count.
fn speed(line: &LineCounts) -> Option<f64> {
    let directions = [&line.forward, &line.backward].into_iter().flatten();
    let (sum, count) = directions.fold((0.0, 0.0), |(sum, count), direction| match direction.mean_speed {
        Some(speed) => (sum + speed * exact(direction.total), count + exact(direction.total)),
        None => (sum, count),
    });
    (count > 0.0).then(|| sum / count)
}

/// An interval of which less than this share was observed says too little to forecast from.
const LEAST_SHARE: f64 = 0.5;

/// Takes what an interval has measured and forecasts. `series`: of each line and then of each zone.
pub(super) fn forecast(of: &NamedScene, series: &mut [ForecastSeries], traffic: &mut Traffic) {
    if series.is_empty() || exact(traffic.observed_ms) < LEAST_SHARE * exact(traffic.length_ms) {
        return;
    }
    let flows = traffic.lines.iter().map(|line| (&line.line, ForecastMeasure::Flow, flow(line, traffic)));
    let queues = traffic.zones.iter().map(|zone| (&zone.zone, ForecastMeasure::Queue, zone.queue_mean));
    let mut found = Vec::new();
    for (series, (place, measure, value)) in series.iter_mut().zip(flows.chain(queues)) {
        let Some(value) = value else { continue };
        series.observe(&of.forecast, traffic.from, value);
        let forecasts = series.forecasts(&of.forecast);
        found.extend(
            forecasts.filter_map(|(ahead_ms, value)| Some(value?.of(Some(place), measure, ahead_ms))),
        );
    }
    traffic.forecasts = found;
}

/// Reports what an interval has measured. What was not observed is no measure.
pub(super) fn report(names: &NamedScene, traffic: &Traffic, findings: &mut Vec<Finding>) {
    let at = UtcMillis(traffic.from.0.saturating_add_unsigned(traffic.length_ms));
    let time = traffic.time;
    let mut add = |name: &MeasureName, value: Option<f64>| {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            let (signal, unit) = (name.signal.clone(), name.unit.clone());
            findings.push(Finding::Measure(Measure { signal, value, unit, at, time }));
        }
    };
    for (line, names) in traffic.lines.iter().zip(&names.lines) {
        names.iter().zip(LINE_MEASURES).for_each(|(name, (of, ..))| add(name, of(line, traffic)));
    }
    for (zone, names) in traffic.zones.iter().zip(&names.zones) {
        names.iter().zip(ZONE_MEASURES).for_each(|(name, (of, ..))| add(name, of(zone)));
    }
    let places =
        traffic.lines.iter().map(|line| &line.line).chain(traffic.zones.iter().map(|zone| &zone.zone));
    let is_flow = |at: usize| at < traffic.lines.len();
    for (at, (place, own)) in places.zip(&names.ahead).enumerate() {
        for (name, ahead_ms) in own.iter().zip(names.forecast.ahead_ms()) {
            let is_own = |forecast: &&TrafficForecast| {
                forecast.place.as_ref() == Some(place)
                    && forecast.ahead_ms == ahead_ms
                    && is_flow(at) == (forecast.measure == ForecastMeasure::Flow)
            };
            add(name, traffic.forecasts.iter().find(is_own).map(|forecast| forecast.expected));
        }
    }
}

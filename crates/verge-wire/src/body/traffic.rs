//! What was counted before a camera.

use verge_domain::verdict::{
    ClassCount, DirectionCounts, ForecastMeasure, LineCounts, PartialReason, Traffic, TrafficForecast,
    TripCount, ZoneMeasures,
};

use super::Decided;
use crate::number::exact;
use crate::record::{record, tuple};
use crate::scalar::SpanMs;
use crate::words::{Occasion, counted, span};

record! {
    [Traffic {
        from,
        length_ms: length_s,
        observed_ms: observed_s,
        judged,
        skipped,
        partial,
        time,
        lines,
        zones,
        trips,
        forecasts,
    }]
    Traffic as Traffic: "traffic" {
        0 from,
        1 length_s (SpanMs),
        2 observed_s (SpanMs),
        3 judged,
        4 skipped,
        5 partial,
        6 time,
        7 lines,
        8 zones,
        9 trips,
        10 forecasts optional,
    }
}

record!(LineCounts: "line" { 0 line, 1 forward optional, 2 backward optional, 3 unresolved });

record!(DirectionCounts: "direction" {
    0 total,
    1 classes,
    2 mean_speed optional,
    3 space_mean_speed optional,
    4 headway optional,
    5 short_headways optional,
    6 gap optional,
});

record!(ZoneMeasures: "zone" {
    0 zone,
    1 entered optional,
    2 occupancy optional,
    3 mean_speed optional,
    4 queue_mean optional,
    5 queue_max optional,
    6 queue_end optional,
    7 queue_length optional,
});

tuple!(ClassCount: "class" { label, count });

tuple!(TripCount: "trip" { origin, destination, count });

record! {
    [TrafficForecast { place, measure, ahead_ms: ahead_s, expected, low, high }]
    TrafficForecast as TrafficForecast: "forecast" {
        0 place optional,
        1 measure,
        2 ahead_s (SpanMs),
        3 expected,
        4 low optional,
        5 high optional,
    }
}

impl Decided for Traffic {
    fn words(&self, _: &Occasion<'_>) -> String {
        let reasons: Vec<&str> = self.partial.iter().map(|reason| reason_words(*reason)).collect();
        let reasons = reasons.join(", ");
        if self.observed_ms == 0 {
            let why = if reasons.is_empty() { String::new() } else { format!(" ({reasons})") };
            return format!("nothing observed in {}{why}", span(self.length_ms));
        }
        let mut parts: Vec<String> = self.lines.iter().filter_map(line_words).collect();
        parts.extend(self.zones.iter().filter_map(zone_words));
        if parts.is_empty() {
            parts.push("nothing".to_owned());
        }
        let seen = if reasons.is_empty() {
            String::new()
        } else {
            format!(" (observed {} of it; partial: {reasons})", span(self.observed_ms))
        };
        let ahead = forecast_words(&self.forecasts);
        format!("{} in {}{seen}{ahead}", parts.join("; "), span(self.length_ms))
    }

    /// All that crossed.
    fn observed(&self) -> Option<f64> {
        self.crossings().and_then(exact)
    }
}

/// What is expected, as the end of a sentence; nothing where nothing is forecast.
pub(super) fn forecast_words(forecasts: &[TrafficForecast]) -> String {
    let one = |forecast: &TrafficForecast| {
        let place = forecast.place.as_ref().map_or_else(String::new, |place| format!("{place} "));
        let what = match forecast.measure {
            ForecastMeasure::Flow => format!("{:.0} veh/h", forecast.expected),
            ForecastMeasure::Queue => format!("queue of {:.1}", forecast.expected),
        };
        let range = match (forecast.low, forecast.high) {
            (Some(low), Some(high)) => format!(" ({low:.0} to {high:.0})"),
            _ => String::new(),
        };
        format!("{place}{what}{range} in {}", span(forecast.ahead_ms))
    };
    let all: Vec<String> = forecasts.iter().map(one).collect();
    if all.is_empty() { String::new() } else { format!("; expected: {}", all.join(", ")) }
}

const fn reason_words(reason: PartialReason) -> &'static str {
    match reason {
        PartialReason::Start => "counting began or ended within it",
        PartialReason::Gap => "a time without frames",
        PartialReason::Rate => "too few frames per second for its lines",
        PartialReason::Clock => "the frames' clock was set back or stood still",
        PartialReason::Health => "the camera was blind",
        PartialReason::Overload => "overload: less was looked at",
    }
}

fn line_words(line: &LineCounts) -> Option<String> {
    let (forward, backward) = (line.forward.as_ref()?.total, line.backward.as_ref()?.total);
    let unresolved = match line.unresolved {
        0 => String::new(),
        more => format!(", {more} unresolved"),
    };
    Some(format!("{}: {forward} forward, {backward} backward{unresolved}", line.line))
}

/// Zones in which nothing was are passed over.
fn zone_words(zone: &ZoneMeasures) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(entered) = zone.entered.filter(|entered| *entered > 0) {
        parts.push(format!("{entered} entered"));
    }
    if let Some(occupancy) = zone.occupancy.filter(|share| *share > 0.0) {
        parts.push(format!("occupied {:.0} %", occupancy * 100.0));
    }
    if let Some(most) = zone.queue_max.filter(|most| *most > 0) {
        parts.push(format!("queue of up to {}", counted(most, "object")));
    }
    (!parts.is_empty()).then(|| format!("{}: {}", zone.zone, parts.join(", ")))
}

//! What is counted before cameras.

use verge_domain::id::PlaceId;
use verge_domain::verdict::{
    ClassCount, DirectionCounts, ForecastMeasure, LineCounts, PartialReason, TimeBasis, Traffic,
    TrafficForecast, TripCount, ZoneMeasures,
};

use super::*;

fn place() -> impl Strategy<Value = PlaceId> {
    name().prop_map(|name| PlaceId::new(&name).expect(NAME))
}

fn measure() -> impl Strategy<Value = Option<f64>> {
    prop::option::of(float())
}

fn direction() -> impl Strategy<Value = DirectionCounts> {
    let class =
        (name(), any::<u64>()).prop_map(|(label, count)| ClassCount { label: label_of(label), count });
    let measures = (measure(), measure(), measure(), measure(), measure());
    (any::<u64>(), prop::collection::vec(class, 0..3), measures).prop_map(
        |(total, classes, (mean_speed, space_mean_speed, headway, short_headways, gap))| DirectionCounts {
            total,
            classes,
            mean_speed,
            space_mean_speed,
            headway,
            short_headways,
            gap,
        },
    )
}

fn zone() -> impl Strategy<Value = ZoneMeasures> {
    let counts = [0; 3].map(|_| prop::option::of(any::<u64>()));
    (place(), counts, measure(), measure(), measure(), measure()).prop_map(
        |(zone, [entered, queue_max, queue_end], occupancy, mean_speed, queue_mean, queue_length)| {
            ZoneMeasures {
                zone,
                entered,
                occupancy,
                mean_speed,
                queue_mean,
                queue_max,
                queue_end,
                queue_length,
            }
        },
    )
}

pub(super) fn forecasts() -> impl Strategy<Value = Vec<TrafficForecast>> {
    let measure = prop::sample::select(ForecastMeasure::ALL.to_vec());
    let one = (prop::option::of(place()), measure, span(), float(), self::measure(), self::measure());
    let one = one.prop_map(|(place, measure, ahead_ms, expected, low, high)| TrafficForecast {
        place,
        measure,
        ahead_ms,
        expected,
        low,
        high,
    });
    prop::collection::vec(one, 0..3)
}

pub(super) fn traffic() -> impl Strategy<Value = Traffic> {
    let times = (time(), span(), span());
    let counts = any::<[u64; 2]>();
    let line =
        (place(), prop::option::of(direction().boxed()), prop::option::of(direction().boxed()), any::<u64>());
    let line = line.prop_map(|(line, forward, backward, unresolved)| LineCounts {
        line,
        forward,
        backward,
        unresolved,
    });
    let trip = (place(), place(), any::<u64>()).prop_map(|(origin, destination, count)| TripCount {
        origin,
        destination,
        count,
    });
    let reasons = prop::sample::subsequence(PartialReason::ALL.to_vec(), 0..=PartialReason::ALL.len());
    let basis = prop::sample::select(TimeBasis::ALL.to_vec());
    let places = (
        prop::collection::vec(line.boxed(), 0..3),
        prop::collection::vec(zone().boxed(), 0..3),
        prop::collection::vec(trip, 0..3),
        forecasts(),
    );
    (times, counts, reasons, basis, places).prop_map(
        |(
            (from, length_ms, observed_ms),
            [judged, skipped],
            partial,
            time,
            (lines, zones, trips, forecasts),
        )| Traffic {
            from,
            length_ms,
            observed_ms,
            judged,
            skipped,
            partial,
            time,
            lines,
            zones,
            trips,
            forecasts,
        },
    )
}

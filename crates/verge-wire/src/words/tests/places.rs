//! What is said of lines and zones before a camera.

use verge_domain::id::PlaceId;
use verge_domain::verdict::{
    Counts, DirectionCounts, ForecastMeasure, LineCounts, PartialReason, TimeBasis, Traffic, TrafficForecast,
    TripCount, ZoneMeasures,
};

use super::*;

fn place(name: &str) -> PlaceId {
    PlaceId::new(name).unwrap()
}

fn traffic() -> Traffic {
    let direction = |total| Some(DirectionCounts { total, ..DirectionCounts::default() });
    let north =
        LineCounts { line: place("north"), forward: direction(12), backward: direction(0), unresolved: 1 };
    let zone = |name: &str, entered, queue_max| ZoneMeasures {
        zone: place(name),
        entered: Some(entered),
        occupancy: Some(0.0),
        mean_speed: None,
        queue_mean: Some(0.0),
        queue_max: Some(queue_max),
        queue_end: Some(0),
        queue_length: None,
    };
    Traffic {
        from: UtcMillis(0),
        length_ms: 60_000,
        observed_ms: 60_000,
        judged: 300,
        skipped: 0,
        partial: Vec::new(),
        time: TimeBasis::Captured,
        lines: vec![north],
        zones: vec![zone("lane-1", 11, 1), zone("crossing", 0, 0)],
        trips: vec![TripCount { origin: place("a"), destination: place("b"), count: 1 }],
        forecasts: Vec::new(),
    }
}

#[test]
fn traffic_reads_as_a_sentence() {
    let whole =
        "north: 12 forward, 0 backward, 1 unresolved; lane-1: 11 entered, queue of up to 1 object in 1 min";
    check(Body::Traffic(traffic()), None, whole);
    let partial = vec![PartialReason::Gap, PartialReason::Rate];
    let part = Traffic { observed_ms: 45_000, partial, zones: Vec::new(), ..traffic() };
    let said = "north: 12 forward, 0 backward, 1 unresolved in 1 min (observed 45.0 s of it; partial: a time without \
                frames, too few frames per second for its lines)";
    check(Body::Traffic(part), None, said);
    let blind = Traffic { observed_ms: 0, partial: vec![PartialReason::Health], ..traffic() };
    check(Body::Traffic(blind), None, "nothing observed in 1 min (the camera was blind)");
}

#[test]
fn events_of_zones_say_how_many_objects() {
    let event = |member, observed, high| {
        let own = unusual(member, observed, range(None, Some(high)));
        Body::Anomaly(Anomaly { p_value: None, distance: None, ..own })
    };
    check(event(Member::Stopped, 1.0, 0.0), None, "stopped: 1 object");
    check(event(Member::WrongWay, 2.0, 0.0), None, "wrong way: 2 objects");
    check(event(Member::Person, 1.0, 0.0), None, "not allowed here: 1 object");
    check(event(Member::Queue, 7.0, 4.0), None, "queue of 7 objects (expected at most 4)");
    let cleared = Some(EventState::Cleared);
    check(event(Member::Stopped, 0.0, 0.0), cleared, "cleared after 10 min: nothing stands still");
}

#[test]
fn counts_read_as_a_sentence() {
    let counts = Counts {
        from: UtcMillis(0),
        length_ms: 60_000,
        observed_ms: 45_000,
        partial: true,
        readings: 9,
        vehicles: Some(12),
        flow_per_hour: Some(960.0),
        occupancy: Some(0.254),
        mean_speed: None,
        forecasts: Vec::new(),
    };
    check(
        Body::Counts(counts.clone()),
        None,
        "12 vehicles, 960 veh/h, occupied 25 % in 1 min (saw 45.0 s of it)",
    );
    check(
        Body::Counts(Counts {
            observed_ms: 300,
            vehicles: Some(1),
            flow_per_hour: None,
            occupancy: None,
            ..counts.clone()
        }),
        None,
        "not counted: saw 300 ms of 1 min, 1 vehicle then",
    );
    let one = Counts { vehicles: Some(1), partial: false, ..counts };
    check(Body::Counts(one.clone()), None, "1 vehicle, 960 veh/h, occupied 25 % in 1 min");
    let forecast = TrafficForecast {
        place: None,
        measure: ForecastMeasure::Flow,
        ahead_ms: 300_000,
        expected: 912.4,
        low: Some(700.0),
        high: Some(1100.0),
    };
    let queue =
        TrafficForecast { measure: ForecastMeasure::Queue, expected: 2.25, low: None, ..forecast.clone() };
    check(
        Body::Counts(Counts { forecasts: vec![forecast, queue], ..one }),
        None,
        "1 vehicle, 960 veh/h, occupied 25 % in 1 min; expected: 912 veh/h (700 to 1100) in 5 min, queue of 2.2 in 5 min",
    );
}

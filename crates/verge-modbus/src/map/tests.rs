use std::sync::Arc;

use verge_domain::id::{PlaceId, Seq};
use verge_domain::sample::verdict_of;
use verge_domain::verdict::{EventState, LineCounts, TimeBasis, ZoneMeasures};

use super::*;

fn place(name: &str) -> PlaceId {
    PlaceId::new(name).unwrap()
}

fn direction(total: u64, mean_speed: Option<f64>) -> DirectionCounts {
    DirectionCounts { total, mean_speed, ..DirectionCounts::default() }
}

/// A minute of which half was observed: a line that 9 and 3 crossed, one that was not seen, and a zone.
fn traffic() -> Traffic {
    let line =
        |name, forward, backward, unresolved| LineCounts { line: place(name), forward, backward, unresolved };
    Traffic {
        from: UtcMillis(3_600_000),
        length_ms: 60_000,
        observed_ms: 30_000,
        judged: 60,
        skipped: 0,
        partial: Vec::new(),
        time: TimeBasis::Captured,
        lines: vec![
            line("stop", Some(direction(9, Some(10.0))), Some(direction(3, Some(14.0))), 2),
            line("far", None, None, 0),
        ],
        zones: vec![ZoneMeasures {
            zone: place("crossing"),
            entered: Some(7),
            occupancy: Some(0.25),
            mean_speed: Some(5.0),
            queue_mean: Some(1.5),
            queue_max: Some(4),
            queue_end: Some(2),
            queue_length: None,
        }],
        trips: Vec::new(),
        forecasts: Vec::new(),
    }
}

/// The registers 16 to 22 and 26 to 31 of a point of counts.
fn counted(body: Body, of: Option<&str>) -> ([u16; 7], [u16; 6]) {
    let verdict = verdict_of("junction", ("north", None), UtcMillis(0), None, body);
    let point =
        ImagePoint { counts: Some(Arc::new(LastWord::new(verdict, Some(Seq(1))))), ..ImagePoint::default() };
    let signal = of.map(|of| SignalId::new(of).unwrap());
    let registers = shown(&point, signal.as_ref()).registers(|_| 0);
    (registers[16..23].try_into().unwrap(), registers[26..].try_into().unwrap())
}

fn shown<'a>(point: &'a ImagePoint, place: Option<&'a SignalId>) -> ShownPoint<'a> {
    let (quality, alarm) = (PointQuality::Good, AlarmState::Normal);
    ShownPoint { point, raised: 65_537, place, quality, alarm, age: 0, fail_safe: FailSafe::Call }
}

#[test]
fn what_a_camera_counts_stands_by_line_and_zone() {
    let of = |place| counted(Body::Traffic(traffic()), place);
    // 11 m/s are 39.6 km/h; 12 in half a minute are 1440 in an hour; half was observed; it began at 3600 s.
    assert_eq!(of(Some("stop")), ([12, 0, 396, 500, 0, 3600, 1440], [9, 3, 2, 0, 0, 0]));
    assert_eq!(of(Some("crossing")), ([7, 250, 180, 500, 0, 3600, 840], [0, 0, 0, 15, 4, 2]));
    assert_eq!(of(None), ([12, 0, 0, 500, 0, 3600, 1440], [0; 6]), "all lines together");
    assert_eq!(of(Some("far")), ([0, 0, 0, 500, 0, 3600, 0], [0; 6]), "nothing was seen of it");
}

#[test]
fn what_a_loop_counts_stands_as_it_is() {
    let counts = Counts {
        from: UtcMillis(60_000),
        length_ms: 60_000,
        observed_ms: 60_000,
        partial: false,
        readings: 9,
        vehicles: Some(8),
        flow_per_hour: Some(480.0),
        occupancy: Some(0.125),
        mean_speed: Some(41.25),
        forecasts: Vec::new(),
    };
    assert_eq!(counted(Body::Counts(counts), None), ([8, 125, 413, 1000, 0, 60, 480], [0; 6]));
}

#[test]
fn presence_is_a_call_while_it_is_not_known() {
    let point = ImagePoint::default();
    let presence = |quality, fail_safe| ShownPoint { quality, fail_safe, ..shown(&point, None) }.inputs()[3];
    for quality in [PointQuality::Never, PointQuality::Uncertain, PointQuality::Stale] {
        assert!(presence(quality, FailSafe::Call), "{quality:?}");
        assert!(!presence(quality, FailSafe::NoCall), "{quality:?}");
    }
    assert!(!presence(PointQuality::Good, FailSafe::Call));
    let stuck = verge_domain::verdict::Health::of(Member::Stuck, 1.0, Expected::default());
    let open = verdict_of("j", ("north", None), UtcMillis(0), Some(EventState::Raised), Body::Health(stuck));
    let point =
        ImagePoint { event: Some(Arc::new(LastWord::new(open, Some(Seq(1))))), ..ImagePoint::default() };
    let of = |fail_safe| ShownPoint { fail_safe, ..shown(&point, None) }.inputs()[3];
    assert!(of(FailSafe::NoCall) && of(FailSafe::Hold));
    assert_eq!(shown(&point, None).registers(|_| 0)[14], 1, "the count of events wraps");
}

//! Verdicts with what versions after 0.1 added.

use verge_domain::frame::PixelBox;
use verge_domain::group::{AlarmGroup, GroupKind, GroupMember};
use verge_domain::id::{OperatorText, PlaceId, TagText};
use verge_domain::tag::SignalTag;
use verge_domain::verdict::{
    ActionKind, AlarmHandling, ClassCount, DirectionCounts, ForecastMeasure, LineCounts, OperatorAction,
    PartialReason, RegionBox, Regions, TimeBasis, Traffic, TrafficForecast, TripCount, ZoneMeasures,
};

use super::*;

fn tag(texts: [&str; 3]) -> Option<SignalTag> {
    let [description, machine, group] = texts.map(|text| TagText::new(text).ok());
    Some(SignalTag { description, machine, group })
}

/// Members that version 0.1 does not know.
pub(super) const LATER_MEMBERS: [Member; 5] =
    [Member::Appearance, Member::Stopped, Member::WrongWay, Member::Person, Member::Queue];

/// With what versions after 0.1 added.
pub(super) fn later_verdicts() -> Vec<(String, Verdict)> {
    let event = sample().event.expect("the sample is of an event");
    let numbered = Event { number: Some(EventNumber(142)), ..event };
    let mut all = vec![("event with a number".to_owned(), Verdict { event: Some(numbered), ..sample() })];
    for change in [EventChange::Renewed, EventChange::Turned, EventChange::Grown, EventChange::Adapted] {
        let state = if change.is_escalation() { EventState::Updated } else { EventState::Cleared };
        let changed = Event { state, change: Some(change), ..event };
        all.push((
            format!("event that is {}", change.as_str()),
            Verdict { event: Some(changed), ..sample() },
        ));
    }
    let celsius = || Some(Unit::new("°C").expect(NAME));
    let shown = Anomaly {
        distance: Some(16.4),
        value: Some(89.1),
        usual: between(86.0, 88.0),
        value_unit: celsius(),
        ..plain_anomaly(Member::TimeOfDay, 7.99)
    };
    let half = Expected { low: None, high: Some(3.47) };
    all.extend([
        ("tag".to_owned(), Verdict { tag: tag(["Outlet, hot", "boiler 1", "<b>heating</b>"]), ..sample() }),
        ("tag, least".to_owned(), Verdict { tag: tag(["", "", "heating"]), ..bare(Body::Counts(counts())) }),
        (
            "anomaly, distance".to_owned(),
            with(Body::Anomaly(Anomaly { distance: Some(1.16), ..full_anomaly() })),
        ),
        ("anomaly, what is shown".to_owned(), with(Body::Anomaly(shown.clone()))),
        (
            "anomaly, half of what is usual".to_owned(),
            bare(Body::Anomaly(Anomaly { distance: None, usual: half, value_unit: None, ..shown })),
        ),
        (
            "health, distance".to_owned(),
            bare(Body::Health(Health { distance: Some(1.05), ..Health::of(Member::Silent, 31.5, half) })),
        ),
    ]);
    let suspended = Event { state: EventState::Updated, suspended: true, ..event };
    all.push(("event suspended".to_owned(), Verdict { event: Some(suspended), ..sample() }));
    let learning = Event { learning: true, ..numbered };
    let learning =
        Verdict { event: Some(learning), severity: Severity::Info, lane: Lane::Telemetry, ..sample() };
    all.push(("event while learning".to_owned(), learning));
    let part = Event { group: Some(EventId([0x22; 16])), ..event };
    all.push(("event of a group".to_owned(), Verdict { event: Some(part), ..sample() }));
    let member = |signal: Option<&str>| GroupMember {
        device: DeviceId::new("pump-1").expect("a name"),
        signal: signal.map(|signal| SignalId::new(signal).expect("a name")),
        judge: JudgeId::new("unusual").expect("a name"),
        event: EventId([0x33; 16]),
    };
    for (kind, others, members) in [
        (GroupKind::Machine, 2, vec![member(Some("flow")), member(None)]),
        (GroupKind::Flood, 17, vec![member(Some("flow"))]),
    ] {
        let group = Some(AlarmGroup { kind, others, members });
        all.push((format!("group {}", kind.as_str()), Verdict { group, ..sample() }));
    }
    let stuck = Health::of(Member::Stuck, 33.0, Expected { low: None, high: Some(32.0) });
    let value_unit = Some(Unit::new("bar").expect(NAME));
    let stuck = Health { distance: Some(1.03), value: Some(6.42), value_unit, ..stuck };
    let noisy =
        Health { value: Some(0.33), usual: between(0.0, 0.05), ..Health::of(Member::Noisy, 6.6, half) };
    all.push(("health, a value".to_owned(), with(Body::Health(stuck))));
    all.push(("health, what is usual of it".to_owned(), bare(Body::Health(noisy))));
    let handled = |acknowledged, shelved| Event {
        state: EventState::Updated,
        handling: AlarmHandling { acknowledged, shelved },
        ..event
    };
    for (kind, note, event) in [
        (ActionKind::Acknowledged, Some("bearing ordered"), handled(Some(UtcMillis(RECEIVED - 250)), None)),
        (
            ActionKind::Shelved,
            Some("sensor is being exchanged"),
            handled(None, Some(UtcMillis(RECEIVED + 3_600_000))),
        ),
        (ActionKind::Unshelved, None, handled(None, None)),
        (ActionKind::Set, None, handled(None, None)),
    ] {
        let text = |text| OperatorText::new(text).expect(NAME);
        let action = OperatorAction { kind, by: text("uplink centre: anna"), note: note.map(text) };
        let verdict = Verdict { event: Some(event), action: Some(Box::new(action)), ..sample() };
        all.push((format!("alarm {}", kind.as_str()), verdict));
    }
    let region = |x, y, width, height, peak| RegionBox { area: PixelBox { x, y, width, height }, peak };
    let boxes = vec![region(12, 0, 640, 48, 0.875), region(1900, 1079, 1, 1, 0.55)];
    let regions = Regions { width: 1920, height: 1080, boxes };
    let odd = Anomaly { p_value: Some(0.001), regions, ..plain_anomaly(Member::Appearance, 0.875) };
    let odd = Verdict { detector: Detector::Anomaly, ..with(Body::Anomaly(odd)) };
    all.push(("anomaly, regions".to_owned(), odd));
    for member in LATER_MEMBERS {
        let body = Body::Anomaly(plain_anomaly(member, 1.5));
        all.push((format!("member {}", member.as_str()), bare(body)));
    }
    for cause in Member::OF_CAMERAS.into_iter().chain([Member::UnexplainedMotion]) {
        let health = Health::of(cause, 0.5, between(1.0, 2.0));
        all.push((format!("health of a camera, {cause}"), bare(Body::Health(health))));
    }
    all.push(("traffic".to_owned(), bare(Body::Traffic(traffic()))));
    all.push(("traffic, nothing observed".to_owned(), bare(Body::Traffic(unobserved()))));
    let track = Detector::Track;
    all.push((format!("detector {}", track.as_str()), Verdict { detector: track, ..sample() }));
    let of_flow = forecast(None, ForecastMeasure::Flow, 300_000);
    let counts = Counts { forecasts: vec![of_flow.clone()], ..counts() };
    all.push(("counts, forecast".to_owned(), bare(Body::Counts(counts))));
    let north = TrafficForecast { place: Some(place("north")), ..of_flow };
    let queue = forecast(Some(place("lane-1")), ForecastMeasure::Queue, 900_000);
    let forecasts = vec![north, TrafficForecast { low: None, high: None, ..queue }];
    all.push(("traffic, forecast".to_owned(), bare(Body::Traffic(Traffic { forecasts, ..traffic() }))));
    let partial = vec![PartialReason::Overload];
    all.push(("traffic, overload".to_owned(), bare(Body::Traffic(Traffic { partial, ..unobserved() }))));
    for cause in Member::OF_MODELS {
        let health = Health::of(cause, 0.5, between(1.0, 2.0));
        all.push((format!("health of a model, {cause}"), bare(Body::Health(health))));
    }
    let text = |text| OperatorText::new(text).expect(NAME);
    let (kind, note) = (ActionKind::Labelled, Some(text("false")));
    let action = Some(Box::new(OperatorAction { kind, by: text("dashboard: anna"), note }));
    let event = Some(handled(None, None));
    all.push((format!("alarm {}", kind.as_str()), Verdict { event, action, ..sample() }));
    all
}

fn place(name: &str) -> PlaceId {
    PlaceId::new(name).expect(NAME)
}

fn forecast(place: Option<PlaceId>, measure: ForecastMeasure, ahead_ms: u64) -> TrafficForecast {
    TrafficForecast { place, measure, ahead_ms, expected: 420.5, low: Some(300.0), high: Some(541.25) }
}

fn traffic() -> Traffic {
    let class = |name: &str, count| ClassCount { label: label(name), count };
    let forward = DirectionCounts {
        total: 12,
        classes: vec![class("car", 9), class("heavy", 3)],
        mean_speed: Some(13.5),
        space_mean_speed: Some(12.75),
        headway: Some(4.25),
        short_headways: Some(0.25),
        gap: Some(3.1),
    };
    let north = LineCounts {
        line: place("north"),
        forward: Some(forward),
        backward: Some(DirectionCounts::default()),
        unresolved: 1,
    };
    let lane = ZoneMeasures {
        zone: place("lane-1"),
        entered: Some(12),
        occupancy: Some(0.254),
        mean_speed: Some(8.5),
        queue_mean: Some(1.5),
        queue_max: Some(4),
        queue_end: Some(0),
        queue_length: Some(23.5),
    };
    let trip = TripCount { origin: place("south"), destination: place("west"), count: 3 };
    Traffic {
        from: UtcMillis(RECEIVED - 60_000),
        length_ms: 60_000,
        observed_ms: 45_250,
        judged: 226,
        skipped: 2,
        // Those of version 0.1.
        partial: PartialReason::ALL[..5].to_vec(),
        time: TimeBasis::Received,
        lines: vec![north],
        zones: vec![lane],
        trips: vec![trip],
        forecasts: Vec::new(),
    }
}

/// Of an interval in which the camera was blind throughout.
fn unobserved() -> Traffic {
    let line = LineCounts { line: place("north"), forward: None, backward: None, unresolved: 0 };
    let zone = ZoneMeasures {
        zone: place("lane-1"),
        entered: None,
        occupancy: None,
        mean_speed: None,
        queue_mean: None,
        queue_max: None,
        queue_end: None,
        queue_length: None,
    };
    Traffic {
        observed_ms: 0,
        judged: 0,
        skipped: 300,
        partial: vec![PartialReason::Health],
        time: TimeBasis::Captured,
        lines: vec![line],
        zones: vec![zone],
        trips: Vec::new(),
        ..traffic()
    }
}

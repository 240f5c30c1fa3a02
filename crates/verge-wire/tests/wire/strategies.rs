//! Every verdict there can be.

mod places;

use proptest::prelude::*;
use verge_domain::finding::{Contribution, Expected, Feedback, Member};
use verge_domain::frame::{Classification, Detection, Detections, PixelBox, Score, Scored};
use verge_domain::group::{AlarmGroup, GroupKind, GroupMember};
use verge_domain::id::{
    DeviceId, EventId, EventNumber, JudgeId, Label, Lane, ModelName, OperatorText, SignalId, SourceId,
    TagText, Unit,
};
use verge_domain::tag::SignalTag;
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{
    ActionKind, AlarmHandling, Anomaly, Body, Counts, Detector, Event, EventChange, EventState, Health,
    Model, OperatorAction, RegionBox, Regions, Severity, Subject, Times, Verdict,
};
use verge_domain::withdrawn::Withdrawal;

use crate::samples::NAME;
use places::{forecasts, traffic};

fn name() -> impl Strategy<Value = String> {
    "[a-zäß/:.-]{1,20}|[ -~]{1,40}"
}

/// A time within a century or at the edge of what a date can say.
fn time() -> impl Strategy<Value = UtcMillis> {
    prop_oneof![
        8 => 0i64..4_000_000_000_000,
        1 => Just(253_402_207_200_999i64),
        1 => Just(-377_705_023_201_000i64),
    ]
    .prop_map(UtcMillis)
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("verdicts are finite", |value| value.is_finite()),
        any::<f32>().prop_filter("verdicts are finite", |value| value.is_finite()).prop_map(f64::from),
        (-1000i32..1000).prop_map(|eighths| f64::from(eighths) / 8.0),
    ]
}

fn expected() -> impl Strategy<Value = Expected> {
    (prop::option::of(float()), prop::option::of(float())).prop_map(|(low, high)| Expected { low, high })
}

fn member() -> impl Strategy<Value = Member> {
    prop::sample::select(Member::ALL.to_vec())
}

fn contribution() -> impl Strategy<Value = Contribution> {
    (name(), float(), float(), expected()).prop_map(|(signal, share, observed, expected)| Contribution {
        signal: SignalId::new(&signal).expect(NAME),
        share,
        observed,
        expected,
    })
}

fn explained() -> impl Strategy<Value = (Vec<Contribution>, Feedback)> {
    let feedback =
        (any::<u32>(), any::<u32>()).prop_map(|(maintenance, real)| Feedback { maintenance, real });
    (prop::collection::vec(contribution(), 0..4), prop_oneof![Just(Feedback::default()), feedback])
}

/// Spans that are exact in seconds, as the JSON twin writes them.
fn span() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..100_000, 0u64..(1 << 43)]
}

fn body() -> impl Strategy<Value = Body> {
    let shown =
        || (prop::option::of(float()), prop::option::of(float()), expected(), prop::option::of(name()));
    let regions = || {
        let of_box = ((any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>()), float());
        let boxes = prop::collection::vec(of_box, 0..3);
        (any::<u32>(), any::<u32>(), boxes).prop_map(|(width, height, boxes)| {
            let of_box =
                |((x, y, width, height), peak)| RegionBox { area: PixelBox { x, y, width, height }, peak };
            let boxes: Vec<RegionBox> = boxes.into_iter().map(of_box).collect();
            if boxes.is_empty() { Regions::default() } else { Regions { width, height, boxes } }
        })
    };
    let anomaly = (
        member(),
        float(),
        expected(),
        prop::option::of(float()),
        prop::option::of(name()),
        explained(),
        (shown(), regions()),
    );
    let counts = (
        (time(), span(), span(), any::<bool>(), any::<u64>()),
        (prop::option::of(any::<u64>()), prop::option::of(float())),
        (prop::option::of(float()), prop::option::of(float()), forecasts()),
    );
    // Boxed: trees of values of this size do not fit into a test's stack.
    prop_oneof![
        anomaly.boxed().prop_map(
            |(member, observed, expected, p_value, unit, (contributions, feedback), (shown, regions))| {
                let unit_of = |unit: Option<String>| unit.map(|unit| Unit::new(&unit).expect(NAME));
                let (unit, (distance, value, usual, value_unit)) = (unit_of(unit), shown);
                let value_unit = unit_of(value_unit);
                Body::Anomaly(Anomaly {
                    member,
                    observed,
                    expected,
                    p_value,
                    unit,
                    contributions,
                    feedback,
                    distance,
                    value,
                    usual,
                    value_unit,
                    regions,
                })
            }
        ),
        counts.boxed().prop_map(
            |(
                (from, length_ms, observed_ms, partial, readings),
                (vehicles, flow_per_hour),
                (occupancy, mean_speed, forecasts),
            )| {
                Body::Counts(Counts {
                    from,
                    length_ms,
                    observed_ms,
                    partial,
                    readings,
                    vehicles,
                    flow_per_hour,
                    occupancy,
                    mean_speed,
                    forecasts,
                })
            }
        ),
        (member(), float(), expected(), shown()).prop_map(|(cause, observed, expected, shown)| {
            let (distance, value, usual, unit) = shown;
            let value_unit = unit.map(|unit| Unit::new(&unit).expect(NAME));
            Body::Health(Health { cause, observed, expected, distance, value, usual, value_unit })
        }),
        prop::collection::vec((name(), 0u16..=1000), 0..4).prop_map(|labels| {
            let scored = |(label, score)| Scored { label: label_of(label), score: score_of(score) };
            Body::Classification(Classification { labels: labels.into_iter().map(scored).collect() })
        }),
        (any::<u32>(), any::<u32>(), prop::collection::vec(object().boxed(), 0..4))
            .prop_map(|(width, height, objects)| Body::Detections(Detections { width, height, objects })),
        traffic().boxed().prop_map(Body::Traffic),
    ]
}

fn label_of(label: String) -> Label {
    Label::new(&label).expect(NAME)
}

fn score_of(thousandths: u16) -> Score {
    Score::from_thousandths(thousandths).expect("at most 1000")
}

fn object() -> impl Strategy<Value = Detection> {
    (name(), 0u16..=1000, any::<[u32; 4]>(), prop::option::of(any::<u64>())).prop_map(
        |(label, score, [x, y, width, height], track)| Detection {
            label: label_of(label),
            score: score_of(score),
            area: PixelBox { x, y, width, height },
            track,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let states = vec![EventState::Raised, EventState::Updated, EventState::Cleared];
    let number = prop::option::of(any::<u64>().prop_map(EventNumber));
    let changes = vec![EventChange::Renewed, EventChange::Turned, EventChange::Grown, EventChange::Adapted];
    let change = prop::option::of(prop::sample::select(changes));
    let states = prop::sample::select(states);
    let group = prop::option::of(any::<[u8; 16]>().prop_map(EventId));
    let handling = (prop::option::of(time()), prop::option::of(time()));
    let more = (change, any::<[bool; 2]>(), group, handling);
    (any::<[u8; 16]>(), states, time(), span(), number, more).prop_map(
        |(
            id,
            state,
            since,
            lasted_ms,
            number,
            (change, [suspended, learning], group, (acknowledged, shelved)),
        )| Event {
            id: EventId(id),
            state,
            since,
            lasted_ms,
            number,
            change,
            suspended,
            learning,
            group,
            handling: AlarmHandling { acknowledged, shelved },
        },
    )
}

fn group() -> impl Strategy<Value = AlarmGroup> {
    let member = (name(), prop::option::of(name()), name(), any::<[u8; 16]>()).prop_map(
        |(device, signal, judge, event)| GroupMember {
            device: DeviceId::new(&device).expect(NAME),
            signal: signal.map(|signal| SignalId::new(&signal).expect(NAME)),
            judge: JudgeId::new(&judge).expect(NAME),
            event: EventId(event),
        },
    );
    let kind = prop::sample::select(vec![GroupKind::Machine, GroupKind::Flood]);
    (kind, any::<u32>(), prop::collection::vec(member, 0..4)).prop_map(|(kind, others, members)| AlarmGroup {
        kind,
        others,
        members,
    })
}

fn times() -> impl Strategy<Value = Times> {
    let captured = prop::option::of((time(), any::<bool>()));
    (captured, time(), time(), any::<bool>()).prop_map(|(captured, received, decided, estimated)| {
        let clock = match captured {
            None => DeviceClock::Absent,
            Some((_, true)) => DeviceClock::Trusted,
            Some((_, false)) => DeviceClock::Skewed,
        };
        Times { captured: captured.map(|(at, _)| at), clock, received, decided, estimated }
    })
}

fn action() -> impl Strategy<Value = OperatorAction> {
    let text = |text: String| OperatorText::new(&text).expect(NAME);
    (prop::sample::select(ActionKind::ALL.to_vec()), name(), prop::option::of(name()))
        .prop_map(move |(kind, by, note)| OperatorAction { kind, by: text(by), note: note.map(text) })
}

fn verdict(lane: Lane) -> impl Strategy<Value = Verdict> {
    let detectors =
        vec![Detector::Threshold, Detector::Loop, Detector::Classify, Detector::Detect, Detector::Health];
    let severities = vec![Severity::Info, Severity::Warning, Severity::Critical];
    let names = (name(), name(), name(), prop::option::of(name()));
    let choices = (prop::sample::select(detectors), prop::sample::select(severities));
    let model = prop::option::of((name(), name()));
    let text = || prop::option::of(name().prop_map(|text| TagText::new(&text).expect(NAME)));
    let tag = (text(), text(), text()).prop_map(|(description, machine, group)| SignalTag {
        description,
        machine,
        group,
    });
    let events = (
        prop::option::of(event().boxed()),
        prop::option::of(group().boxed()),
        prop::option::of(action().boxed()),
    );
    (names, times(), choices, model, events, body().boxed(), prop::option::of(tag)).prop_map(
        move |(
            (judge, source, device, signal),
            times,
            (detector, severity),
            model,
            (event, group, action),
            body,
            tag,
        )| {
            Verdict {
                tag,
                judge: JudgeId::new(&judge).expect(NAME),
                subject: Subject {
                    source: SourceId::new(&source).expect(NAME),
                    device: DeviceId::new(&device).expect(NAME),
                    signal: signal.map(|signal| SignalId::new(&signal).expect(NAME)),
                },
                times,
                detector,
                model: model.map(|(name, version)| Model {
                    name: ModelName::new(&name).expect(NAME),
                    version: ModelName::new(&version).expect(NAME),
                }),
                severity,
                lane,
                event,
                group,
                action: action.map(Box::new),
                body,
            }
        },
    )
}

pub(crate) fn lane_and_verdicts() -> impl Strategy<Value = (Lane, Vec<Verdict>)> {
    prop::sample::select(Lane::ALL.to_vec())
        .prop_flat_map(|lane| (Just(lane), prop::collection::vec(verdict(lane), 1..12)))
}

pub(crate) fn reason() -> impl Strategy<Value = Withdrawal> {
    prop::sample::select(Withdrawal::ALL.to_vec())
}

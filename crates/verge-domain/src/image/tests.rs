use super::*;
use crate::finding::Expected;
use crate::id::{EventId, Lane, Seq, SourceId};
use crate::time::UtcMillis;
use crate::verdict::{AlarmHandling, Anomaly, Counts, Detector, EventState, Health, Subject, Times, Verdict};

const STALE_AFTER: Duration = Duration::from_secs(60);
const FRESH: Option<Duration> = Some(Duration::from_secs(1));
const OLD: Option<Duration> = Some(Duration::from_secs(61));

fn word(judge: &str, signal: Option<&str>, state: EventState, body: Body) -> Arc<LastWord> {
    let at = UtcMillis(1_000);
    let event = Event {
        id: EventId([1; 16]),
        state,
        since: at,
        lasted_ms: 0,
        number: None,
        change: None,
        suspended: false,
        learning: false,
        group: None,
        handling: AlarmHandling::default(),
    };
    let has_event = !matches!(body, Body::Counts(_));
    let verdict = Verdict {
        judge: JudgeId::new(judge).unwrap(),
        subject: Subject {
            source: SourceId::new("s").unwrap(),
            device: DeviceId::new("d").unwrap(),
            signal: signal.map(|signal| SignalId::new(signal).unwrap()),
        },
        times: Times {
            captured: None,
            clock: DeviceClock::Absent,
            received: at,
            decided: at,
            estimated: false,
        },
        detector: Detector::Threshold,
        tag: None,
        model: None,
        severity: Severity::Critical,
        lane: Lane::Alarm,
        event: has_event.then_some(event),
        group: None,
        action: None,
        body,
    };
    Arc::new(LastWord::new(verdict, Some(Seq(1))))
}

fn high() -> Body {
    Body::Anomaly(Anomaly {
        member: Member::High,
        observed: 1.0,
        expected: Expected::default(),
        p_value: None,
        unit: None,
        contributions: Vec::new(),
        feedback: crate::finding::Feedback::default(),
        distance: None,
        value: None,
        usual: Expected::default(),
        value_unit: None,
        regions: Default::default(),
    })
}

fn silent() -> Body {
    Body::Health(Health::of(Member::Silent, 90.0, Expected::default()))
}

fn image(points: &[(&str, Option<&str>, Option<Member>)]) -> Image {
    let selector = |&(judge, signal, strand): &(&str, Option<&str>, Option<Member>)| PointSelector {
        judge: JudgeId::new(judge).unwrap(),
        device: DeviceId::new("d").unwrap(),
        signal: signal.map(|signal: &str| SignalId::new(signal).unwrap()),
        strand,
    };
    Image::of(points.iter().map(selector).collect())
}

#[test]
fn a_point_takes_the_words_of_its_judge_subject_and_strand() {
    let mut image = image(&[("hot", Some("t"), Some(Member::High)), ("hot", Some("t"), Some(Member::Low))]);
    image.fold(&word("hot", Some("t"), EventState::Raised, high()));
    image.fold(&word("hot", Some("u"), EventState::Raised, high()));
    image.fold(&word("cold", Some("t"), EventState::Raised, high()));
    assert_eq!(image.points()[0].severity(), Some(Severity::Critical));
    assert!(image.points()[0].open().is_some() && image.points()[1].event.is_none());
    image.fold(&word("hot", Some("t"), EventState::Cleared, high()));
    assert_eq!(
        (image.points()[0].severity(), image.alarm(0, HeldBack::default())),
        (None, AlarmState::Normal)
    );
}

#[test]
fn quality_has_one_meaning() {
    let mut image = image(&[("hot", Some("t"), None), ("away", None, None)]);
    let quality = |image: &Image, index, age| image.quality(index, age, STALE_AFTER);
    assert_eq!(quality(&image, 0, None), PointQuality::Never);
    assert_eq!(quality(&image, 0, FRESH), PointQuality::Good, "a healthy device has no verdict");
    assert_eq!(quality(&image, 0, OLD), PointQuality::Stale);
    image.fold(&word("hot", Some("t"), EventState::Updated, high()));
    assert_eq!(quality(&image, 0, None), PointQuality::Uncertain, "from before a restart");
    assert_eq!(quality(&image, 0, FRESH), PointQuality::Good);
    // A silence makes the others stale, and is itself good.
    image.fold(&word("away", None, EventState::Raised, silent()));
    assert_eq!(
        (quality(&image, 0, FRESH), quality(&image, 1, OLD)),
        (PointQuality::Stale, PointQuality::Good)
    );
    image.fold(&word("away", None, EventState::Cleared, silent()));
    assert_eq!(quality(&image, 0, FRESH), PointQuality::Good);
    // Of another signal it says nothing.
    image.fold(&word("stuck", Some("u"), EventState::Raised, silent()));
    assert_eq!(quality(&image, 0, FRESH), PointQuality::Good);
    let counts = Counts {
        from: UtcMillis(0),
        length_ms: 60_000,
        observed_ms: 30_000,
        partial: true,
        readings: 1,
        vehicles: Some(3),
        flow_per_hour: None,
        occupancy: None,
        mean_speed: None,
    };
    image.fold(&word("hot", Some("t"), EventState::Raised, Body::Counts(counts)));
    assert_eq!(quality(&image, 0, FRESH), PointQuality::Uncertain, "a partial interval");
    assert_eq!(quality(&image, 7, FRESH), PointQuality::Never);
}

#[test]
fn the_alarm_has_the_states_of_isa_18_2() {
    let mut image = image(&[("hot", Some("t"), None)]);
    let (maintenance, shelved) =
        (HeldBack { maintenance: true, shelved: false }, HeldBack { maintenance: true, shelved: true });
    let alarm = |image: &Image, held_back| image.alarm(0, held_back);
    assert_eq!(alarm(&image, HeldBack::default()), AlarmState::Normal);
    assert_eq!(alarm(&image, maintenance), AlarmState::Suppressed);
    assert_eq!(alarm(&image, shelved), AlarmState::Shelved);
    let raised = word("hot", Some("t"), EventState::Raised, high());
    let handled = |acknowledged, shelved| {
        let handling = AlarmHandling { acknowledged, shelved };
        let event = raised.verdict.event.map(|event| Event { handling, ..event });
        Arc::new(LastWord::new(Verdict { event, ..raised.verdict.clone() }, Some(Seq(2))))
    };
    image.fold(&raised);
    assert_eq!(alarm(&image, maintenance), AlarmState::Unacknowledged, "what was open stays");
    image.fold(&handled(Some(UtcMillis(5)), None));
    assert_eq!(alarm(&image, HeldBack::default()), AlarmState::Acknowledged);
    image.fold(&handled(Some(UtcMillis(5)), Some(UtcMillis(9))));
    assert_eq!(alarm(&image, HeldBack::default()), AlarmState::Shelved);
    let words = vec![handled(None, None)];
    image.begin_anew(&words);
    assert_eq!(alarm(&image, HeldBack::default()), AlarmState::Unacknowledged);
    image.begin_anew(&[]);
    assert!(image.points()[0].newest().is_none() && image.selectors().len() == 1);
}

#[test]
fn the_heart_stops_when_one_stage_stalls() {
    let mut heart = Heartbeat::default();
    assert!(!heart.second(&[1, 1]), "nothing is known yet");
    assert!(heart.second(&[3, 2]));
    assert!(!heart.second(&[5, 2]), "committing stalls");
    assert!(!heart.second(&[5, 4]), "judging stalls");
    assert!(heart.second(&[6, 5]));
    assert_eq!(heart.beats(), 2);
    let mut old = Heartbeat { beats: u16::MAX, last: vec![1] };
    assert!(old.second(&[2]) && old.beats() == 0, "it wraps");
}

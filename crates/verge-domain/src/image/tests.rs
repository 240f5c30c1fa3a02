use super::*;
use crate::finding::Expected;
use crate::frame::Detections;
use crate::id::Seq;
use crate::sample::verdict_of;
use crate::time::UtcMillis;
use crate::verdict::{
    AlarmHandling, Anomaly, Counts, EventState, Health, PartialReason, TimeBasis, Traffic, Verdict,
};

const STALE_AFTER: Duration = Duration::from_secs(60);
const FRESH: InputAge = InputAge { received: true, lasts: Duration::from_secs(1) };
const OLD: InputAge = InputAge { received: true, lasts: Duration::from_secs(61) };
/// Not received since the start, which was a while ago.
const AWAITED: InputAge = InputAge { received: false, lasts: Duration::from_secs(1) };
const MISSED: InputAge = InputAge { received: false, lasts: Duration::from_secs(61) };

fn word(judge: &str, signal: Option<&str>, state: EventState, body: Body) -> Arc<LastWord> {
    let state = Some(state).filter(|_| PointKind::of(&body) != PointKind::Counts);
    let verdict = verdict_of(judge, ("d", signal), UtcMillis(1_000), state, body);
    Arc::new(LastWord::new(Verdict { severity: Severity::Critical, ..verdict }, Some(Seq(1))))
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
        content: PointContent::Events,
    };
    Image::of(points.iter().map(selector).collect::<Vec<_>>())
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
    assert_eq!(quality(&image, 0, AWAITED), PointQuality::Never);
    assert_eq!(quality(&image, 0, FRESH), PointQuality::Good, "a healthy device has no verdict");
    assert_eq!(quality(&image, 0, OLD), PointQuality::Stale);
    image.fold(&word("hot", Some("t"), EventState::Updated, high()));
    assert_eq!(quality(&image, 0, AWAITED), PointQuality::Uncertain, "from before a restart");
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
    assert_eq!(quality(&image, 7, FRESH), PointQuality::Never);
}

/// An image of one point.
fn image_of(content: PointContent) -> Image {
    let image = image(&[("see", Some("t"), None)]);
    Image::of(vec![PointSelector { content, ..image.selectors()[0].clone() }])
}

#[test]
fn what_stood_before_a_restart_is_not_gone_before_a_camera_says_so() {
    let mut image = image_of(PointContent::Views);
    let quality = |image: &Image, age| image.quality(0, age, STALE_AFTER);
    assert_eq!(quality(&image, AWAITED), PointQuality::Never);
    assert_eq!(quality(&image, FRESH), PointQuality::Uncertain, "frames come, and no view is reported yet");
    let nothing = Body::Detections(Detections { width: 9, height: 9, objects: Vec::new() });
    image.fold(&word("see", Some("t"), EventState::Updated, nothing));
    assert_eq!(quality(&image, FRESH), PointQuality::Good);
}

#[test]
fn counts_are_good_once_a_whole_interval_was_counted() {
    let mut image = image_of(PointContent::Counts);
    let quality = |image: &Image| image.quality(0, FRESH, STALE_AFTER);
    assert_eq!(quality(&image), PointQuality::Uncertain, "no interval is counted yet");
    let mut of = |partial| {
        let counts = Counts {
            from: UtcMillis(0),
            length_ms: 60_000,
            observed_ms: 30_000,
            partial,
            readings: 1,
            vehicles: Some(3),
            flow_per_hour: None,
            occupancy: None,
            mean_speed: None,
            forecasts: Vec::new(),
        };
        image.fold(&word("see", Some("t"), EventState::Raised, Body::Counts(counts)));
        quality(&image)
    };
    assert_eq!((of(false), of(true)), (PointQuality::Good, PointQuality::Uncertain));
    for (partial, expected) in
        [(vec![], PointQuality::Good), (vec![PartialReason::Gap], PointQuality::Uncertain)]
    {
        let traffic = Traffic {
            from: UtcMillis(0),
            length_ms: 60_000,
            observed_ms: 60_000,
            judged: 9,
            skipped: 0,
            partial,
            time: TimeBasis::Captured,
            lines: Vec::new(),
            zones: Vec::new(),
            trips: Vec::new(),
            forecasts: Vec::new(),
        };
        image.fold(&word("see", Some("t"), EventState::Raised, Body::Traffic(traffic)));
        assert_eq!(quality(&image), expected);
    }
}

#[test]
fn a_device_that_does_not_come_back_after_a_restart_is_stale() {
    let mut image = image(&[("hot", Some("t"), None), ("away", None, None)]);
    let quality = |image: &Image, index, age| image.quality(index, age, STALE_AFTER);
    image.fold(&word("hot", Some("t"), EventState::Updated, high()));
    assert_eq!(quality(&image, 0, AWAITED), PointQuality::Uncertain, "from before a restart");
    assert_eq!(quality(&image, 0, MISSED), PointQuality::Stale, "it has had its time since the start");
    // Its silence was open before the restart, or is since.
    image.fold(&word("away", None, EventState::Updated, silent()));
    assert_eq!(quality(&image, 0, AWAITED), PointQuality::Stale);
    assert_eq!(quality(&image, 1, MISSED), PointQuality::Good, "its judge reports since the start");
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
    let info = Verdict { severity: Severity::Info, ..raised.verdict.clone() };
    image.fold(&Arc::new(LastWord::new(info, Some(Seq(1)))));
    assert_eq!(alarm(&image, HeldBack::default()), AlarmState::Normal, "it requires no response");
    assert!(image.points()[0].open().is_some());
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
fn a_point_that_the_configuration_names_stays_while_its_judge_is_at_work() {
    use super::book::{PointBook, key_of};
    let words = [
        word("hot", Some("t"), EventState::Raised, high()),
        word("hot", Some("u"), EventState::Raised, high()),
    ];
    let judges = |name: &str| HashMap::from([(JudgeId::new(name).unwrap(), PointContent::Events)]);
    let keys: Vec<_> = words.iter().map(|word| key_of(word)).collect();
    let book = PointBook::new(STALE_AFTER, judges("hot"));
    let mut book = book.with_configured([keys[0].clone()]);
    book.add(keys.clone());
    book.fold(&words);
    // The board has dropped the words of both.
    assert_eq!(book.select(judges("hot"), &[]), Some(vec![0]));
    assert!(book.index_of(&keys[0]).is_some() && book.index_of(&keys[1]).is_none());
    assert_eq!(book.select(judges("other"), &[]), Some(vec![]));
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

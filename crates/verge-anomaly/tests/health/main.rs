//! The health judge through the seam that the pipeline uses: faults are found, healthy signals raise no alarm.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod faults;
mod healthy;
mod rests;
mod saved;
mod signals;

use std::collections::BTreeMap;

use verge_anomaly::health::HealthJudge;
use verge_anomaly::{HealthSettings, JudgeSettings, ReadingJudge};
use verge_domain::finding::{Condition, Finding, Member, Standing};
use verge_domain::id::{DeviceId, SignalId};
use verge_domain::reading::Reading;
use verge_domain::stage::Judge as _;
use verge_domain::time::{DeviceClock, Moment, UtcMillis};

/// When the trials begin, in milliseconds.
const START_MS: i64 = 1_700_000_000_000;

/// One reading as it arrives.
#[derive(Debug, Clone, Copy)]
struct SentReading {
    value: f64,
    /// Receipt after the start, in milliseconds.
    at_ms: i64,
    /// The device's time, in the same unit.
    captured_ms: Option<i64>,
}

/// A judge in a trial, and when each cause was first abnormal.
struct Trial {
    judge: ReadingJudge,
    reading: Reading,
    readings: u64,
    last: BTreeMap<Member, Condition>,
    /// Readings that had come when the cause was first abnormal.
    first: BTreeMap<Member, u64>,
    /// Whether that was for the record, and not an alarm.
    raised: BTreeMap<Member, bool>,
}

impl Trial {
    fn new() -> Self {
        Self::with(HealthSettings::default())
    }

    fn with(settings: HealthSettings) -> Self {
        let reading = Reading::of(DeviceId::new("pump-1").unwrap(), SignalId::new("vibration").unwrap(), 0.0);
        Self {
            judge: ReadingJudge::new(&JudgeSettings::Health(settings), moment(0)),
            reading,
            readings: 0,
            last: BTreeMap::new(),
            first: BTreeMap::new(),
            raised: BTreeMap::new(),
        }
    }

    fn observe(&mut self, sent: SentReading) -> Vec<Finding> {
        let captured = sent.captured_ms.map(|ms| UtcMillis(START_MS + ms));
        self.observe_as(sent, DeviceClock::of(captured, moment(sent.at_ms).wall))
    }

    fn observe_as(&mut self, sent: SentReading, clock: DeviceClock) -> Vec<Finding> {
        let received = moment(sent.at_ms);
        self.reading.value = sent.value;
        self.reading.captured_at = sent.captured_ms.map(|ms| UtcMillis(START_MS + ms));
        self.reading.clock = clock;
        self.readings += 1;
        let mut found = Vec::new();
        self.judge.observe((&self.reading).into(), received, &mut found);
        self.note(&found);
        found
    }

    fn tick(&mut self, at_ms: i64) -> Vec<Finding> {
        let mut found = Vec::new();
        self.judge.tick(moment(at_ms), &mut found);
        self.note(&found);
        found
    }

    fn note(&mut self, found: &[Finding]) {
        for finding in found {
            let Finding::Condition(condition) = finding else { panic!("only conditions, not {finding:?}") };
            let expected = condition.expected;
            for number in [Some(condition.observed), expected.low, expected.high, condition.p_value] {
                assert!(number.is_none_or(f64::is_finite), "{condition:?}");
            }
            let shown = condition.shown.map(|shown| [Some(shown.value), shown.usual.low, shown.usual.high]);
            assert!(shown.into_iter().flatten().flatten().all(f64::is_finite), "{condition:?}");
            assert!(condition.member.is_health());
            if condition.standing == Standing::Abnormal {
                self.first.entry(condition.member).or_insert(self.readings);
                let learning = self.raised.entry(condition.member).or_insert(true);
                *learning &= condition.learning;
            }
            self.last.insert(condition.member, condition.clone());
        }
    }

    /// What was abnormal so far does not count.
    fn forget(&mut self) {
        self.first.clear();
        self.raised.clear();
    }

    fn standing(&self, member: Member) -> Option<Standing> {
        self.last.get(&member).map(|condition| condition.standing)
    }
}

fn moment(ms: i64) -> Moment {
    Moment::from_wall(UtcMillis(START_MS + ms))
}

#[test]
fn a_judge_fits_into_1280_bytes() {
    let bytes = size_of::<HealthJudge>();
    assert!(bytes <= 1280, "{bytes} bytes");
    println!("{bytes} bytes");
}

#[test]
fn settings_are_checked() {
    let check = |causes: &[Member], patience: f64, expected: &str| {
        let error = HealthSettings::new(causes, patience).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&[], 1.0, "at least one cause");
    check(&[Member::Stuck, Member::High], 1.0, "high is not a cause");
    check(&[Member::Stuck], 0.5, "patience must be from 1 to 1000");
    check(&[Member::Stuck], f64::NAN, "patience must be from 1 to 1000");
    let some = HealthSettings::new(&[Member::Flat, Member::Silent], 2.0).unwrap();
    for member in Member::ALL {
        assert_eq!(some.watches(member), matches!(member, Member::Flat | Member::Silent), "{member:?}");
        let of_cameras = Member::OF_CAMERAS.contains(&member) || member == Member::UnexplainedMotion;
        let of_models = Member::OF_MODELS.contains(&member);
        assert_eq!(
            HealthSettings::default().watches(member),
            member.is_health() && !of_cameras && !of_models,
            "{member:?}"
        );
        let name = serde_json::to_string(&member).unwrap();
        assert_eq!(name, format!("\"{}\"", member.as_str()), "as it is saved with open events");
    }
}

//! What a judge costs per reading, nothing being wrong.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use verge_anomaly::alarm::{AlarmSettings, BudgetOf, WhileLearning};
use verge_anomaly::auto::AutoSettings;
use verge_anomaly::budget::AlarmBudget;
use verge_anomaly::multi::MultiSettings;
use verge_anomaly::vibration::VibrationSettings;
use verge_anomaly::{
    CusumSettings, HealthSettings, JudgeSettings, LoopRoles, LoopSettings, OccupancyScale, PatternSettings,
    RateSettings, ReadingJudge, SilenceSettings, ThresholdSettings,
};
use verge_domain::finding::Finding;
use verge_domain::id::{DeviceId, SignalId};
use verge_domain::interval::IntervalGrid;
use verge_domain::reading::Reading;
use verge_domain::stage::Judge as _;
use verge_domain::time::{DeviceClock, Moment, UtcMillis};

const GOOD: &str = "good settings";

fn signal() -> SignalId {
    SignalId::new("value").expect("a name")
}

fn judges() -> [JudgeSettings; 5] {
    let second = Duration::from_secs(1);
    let roles = LoopRoles { presence: Some(signal()), ..LoopRoles::default() };
    let grid = IntervalGrid::new(60 * second).expect(GOOD);
    [
        JudgeSettings::Threshold(ThresholdSettings::new(Some(7.1), Some(6.5), Some(0.1), None).expect(GOOD)),
        JudgeSettings::Rate(RateSettings::new(Some(1e9), Some(1e9), 30 * second, 0.2).expect(GOOD)),
        JudgeSettings::Silence(SilenceSettings::new(30 * second).expect(GOOD)),
        JudgeSettings::Health(HealthSettings::default()),
        JudgeSettings::Loop(
            LoopSettings::new(grid, roles, OccupancyScale::Percent, None, 30 * second).expect(GOOD),
        ),
    ]
}

fn observe(criterion: &mut Criterion) {
    for settings in judges() {
        let mut at = UtcMillis(1_700_000_000_000);
        let mut judge = ReadingJudge::new(&settings, Moment::from_wall(at));
        let mut reading = Reading::of(DeviceId::new("pump-1").expect("a name"), signal(), 0.0);
        let mut findings = Vec::new();
        criterion.bench_function(&format!("observe/{}", settings.detector().as_str()), |bench| {
            bench.iter(|| {
                at.0 += 20;
                reading.value = if at.0 % 1000 < 400 { 1.0 } else { 0.5 };
                findings.clear();
                judge.observe(black_box(&reading).into(), Moment::from_wall(at), &mut findings);
                black_box(&findings);
            });
        });
    }
}

/// Judges that learn, and the signals that take turns.
fn learning() -> [(&'static str, JudgeSettings, usize); 7] {
    let alarms = AlarmSettings::default();
    let weekly = AlarmBudget::new(1.0, Duration::from_secs(7 * 86_400)).expect(GOOD);
    let budgeted = AlarmSettings::new(Some(weekly), 100).expect(GOOD);
    let vibration = VibrationSettings::new(12_000.0, None, 512).expect(GOOD);
    [
        ("health", JudgeSettings::Health(HealthSettings::default()), 1),
        ("auto", JudgeSettings::Auto(AutoSettings::default()), 1),
        ("auto with a budget", JudgeSettings::Auto(AutoSettings::new(budgeted, None).expect(GOOD)), 1),
        ("multi", JudgeSettings::Multi(MultiSettings::default()), 8),
        ("pattern", JudgeSettings::Pattern(PatternSettings::new(128).expect(GOOD), alarms), 1),
        ("vibration", JudgeSettings::Vibration(vibration, alarms), 1),
        (
            "cusum",
            JudgeSettings::Cusum(CusumSettings::new(None, None, 200, 0.5, 5.0, 0.5, false).expect(GOOD)),
            1,
        ),
    ]
}

/// Noise for a judge: every reading differs, and the device gives its time.
struct Observing {
    judge: ReadingJudge,
    readings: Vec<Reading>,
    at: UtcMillis,
    every: i64,
    turn: usize,
    random: u64,
    findings: Vec<Finding>,
}

impl Observing {
    fn new(settings: &JudgeSettings, signals: usize, every: i64) -> Self {
        let at = UtcMillis(1_700_000_000_000);
        let reading = |number| Reading {
            clock: DeviceClock::Trusted,
            ..Reading::of(
                DeviceId::new("pump-1").expect("a name"),
                SignalId::new(&format!("signal-{number}")).expect("a name"),
                0.0,
            )
        };
        let judge = ReadingJudge::new(settings, Moment::from_wall(at));
        let readings = (0..signals).map(reading).collect();
        Self { judge, readings, at, every, turn: 0, random: 1, findings: Vec::new() }
    }

    fn next(&mut self) {
        self.turn = (self.turn + 1) % self.readings.len();
        self.at.0 += i64::from(self.turn == 0) * self.every;
        // The sum of four uniform numbers is bell-shaped enough.
        let mut value = 0.0;
        for _ in 0..4 {
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            value += (self.random >> 40) as f64;
        }
        let reading = &mut self.readings[self.turn];
        reading.value = value;
        reading.captured_at = Some(UtcMillis(self.at.0 - 5));
        self.findings.clear();
        self.judge.observe(black_box(&*reading).into(), Moment::from_wall(self.at), &mut self.findings);
        black_box(&self.findings);
    }
}

/// Noise, learnt for 20,000 readings before.
fn observe_noise(criterion: &mut Criterion) {
    for (name, settings, signals) in learning() {
        let mut observe = Observing::new(&settings, signals, 20);
        (0..20_000).for_each(|_| observe.next());
        criterion.bench_function(&format!("observe/{name} of noise"), |bench| bench.iter(|| observe.next()));
    }
}

/// What the stage costs that is shared by all signals of a judge: the difference of the two, a reading a minute for two
/// weeks before, so that both budgets are supported.
fn pooled_stage(criterion: &mut Criterion) {
    const MINUTE: i64 = 60_000;
    let weekly = AlarmBudget::new(1.0, Duration::from_secs(7 * 86_400)).expect(GOOD);
    for (of, name) in
        [(BudgetOf::Signal, "a budget of its own"), (BudgetOf::Judge, "the budget of its judge")]
    {
        let alarms = AlarmSettings::new(Some(weekly), 100).expect(GOOD).with(of, WhileLearning::Info);
        let settings = JudgeSettings::Auto(AutoSettings::new(alarms, None).expect(GOOD));
        let mut observe = Observing::new(&settings, 1, MINUTE);
        (0..20_000).for_each(|_| observe.next());
        assert!(
            observe
                .judge
                .alarm_rate()
                .is_some_and(|rate| of == BudgetOf::Signal || rate.supported_in.is_none())
        );
        criterion.bench_function(&format!("pooled/auto with {name}"), |bench| bench.iter(|| observe.next()));
    }
}

criterion_group!(benches, observe, observe_noise, pooled_stage);
criterion_main!(benches);

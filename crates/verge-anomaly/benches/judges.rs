//! What a judge costs per reading, nothing being wrong.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use verge_anomaly::alarm::AlarmSettings;
use verge_anomaly::auto::AutoSettings;
use verge_anomaly::budget::AlarmBudget;
use verge_anomaly::multi::MultiSettings;
use verge_anomaly::vibration::VibrationSettings;
use verge_anomaly::{
    CusumSettings, HealthSettings, JudgeSettings, LoopRoles, LoopSettings, OccupancyScale, PatternSettings,
    RateSettings, ReadingJudge, SilenceSettings, ThresholdSettings,
};
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

/// Noise, learnt for 20,000 readings before: every reading differs, and the device gives its time.
fn observe_noise(criterion: &mut Criterion) {
    for (name, settings, signals) in learning() {
        let mut at = UtcMillis(1_700_000_000_000);
        let mut judge = ReadingJudge::new(&settings, Moment::from_wall(at));
        let mut readings: Vec<Reading> = (0..signals)
            .map(|number| Reading {
                clock: DeviceClock::Trusted,
                ..Reading::of(
                    DeviceId::new("pump-1").expect("a name"),
                    SignalId::new(&format!("signal-{number}")).expect("a name"),
                    0.0,
                )
            })
            .collect();
        let mut findings = Vec::new();
        let (mut random, mut turn) = (1_u64, 0);
        let mut observe = || {
            turn = (turn + 1) % signals;
            at.0 += i64::from(turn == 0) * 20;
            // The sum of four uniform numbers is bell-shaped enough.
            let mut value = 0.0;
            for _ in 0..4 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                value += (random >> 40) as f64;
            }
            let reading = &mut readings[turn];
            reading.value = value;
            reading.captured_at = Some(UtcMillis(at.0 - 5));
            findings.clear();
            judge.observe(black_box(&*reading).into(), Moment::from_wall(at), &mut findings);
            black_box(&findings);
        };
        for _ in 0..20_000 {
            observe();
        }
        criterion.bench_function(&format!("observe/{name} of noise"), |bench| bench.iter(&mut observe));
    }
}

criterion_group!(benches, observe, observe_noise);
criterion_main!(benches);

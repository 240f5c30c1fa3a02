//! What is known of cameras outlives the process, with the judges and the store that a gateway has.

use std::path::Path;
use std::time::Duration;

use verge_domain::frame::{Detection, Detections, PixelBox, Score, Shortfall, View};
use verge_domain::id::{DeviceId, Label};
use verge_domain::observation::{Camera, Captured, Observation};
use verge_domain::reading::SourceIndex;
use verge_domain::stage::{Checkpoint, StateStore, Store};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::Verdict;
use verge_outbox::{Outbox, OutboxSettings};
use verge_pipeline::judging::{Decision, SavePass, Undecoded};

use super::*;
use crate::config;

mod track;

const CONFIG: &str = r#"
    [gateway]
    id = "trial"
    state_dir = "state"
    [local]
    url = "mqtt://localhost:1883"
    [uplink.centre]
    url = "mqtt://localhost:1883"
    insecure_plaintext = true
    [model.flat]
    file = "flat.onnx"
    [source.belt]
    topic = "line/+/frame"
    codec = "jpeg"
    device = "topic:1"
    [judge.strange]
    inputs = ["belt"]
    detector = "autoencoder"
    model = "flat"
    while_learning = "alarm"
    [judge.alive]
    inputs = ["belt"]
    detector = "silence"
    after = "1h"
    [judge.seen]
    inputs = ["belt"]
    detector = "detect"
    model = "flat"
    update_every = "1h"
"#;

/// Seconds since 1970 at which the fixture was made, about.
const THEN: i64 = 1_795_949_703;

/// Judges with the store of a gateway.
struct RestoredRun {
    store: Outbox,
    set: JudgeSet<Undecoded, ReadingJudge>,
}

impl RestoredRun {
    fn open(folder: &Path, second: i64) -> Self {
        let mut store = open(folder);
        let loaded = config::parse(CONFIG, Path::new("/gateway.toml"), []);
        let settings = Settings::check(&loaded.raw).unwrap();
        let counters = Arc::new(Counters::new(source_ids(&settings)));
        let models = Autoencoders::default();
        let mut set = judge_set(&settings, &models, Undecoded, counters, at(second));
        let mut restored = Decision::default();
        set.restore(&store.checkpoints().unwrap(), at(second), &mut restored);
        let removes_nothing = restored.checkpoints.iter().all(|kept| kept.state.is_some());
        assert!(
            restored.verdicts.is_empty() && removes_nothing,
            "all is taken up, and nothing is cleared: {restored:?}"
        );
        store.commit(&[], &restored.checkpoints).unwrap();
        Self { store, set }
    }

    /// Judges a frame with this error and this number of cars; what it causes is durable. Each verdict in short.
    fn frame(&mut self, second: i64, error: f64, cars: usize) -> Vec<String> {
        let car = || Detection {
            label: Label::new("car").unwrap(),
            score: Score::new(0.9).unwrap(),
            area: PixelBox { x: 0, y: 0, width: 1, height: 1 },
            track: None,
        };
        let objects = std::iter::repeat_with(car).take(cars).collect();
        let views = vec![
            (JudgeIndex(0), View::Reconstruction(error)),
            (JudgeIndex(2), View::Detections(Detections { width: 9, height: 9, objects })),
        ];
        let camera = Camera { source: SourceIndex(0), device: DeviceId::new("press").unwrap() };
        let (captured, received) = (Captured::UNKNOWN, at(second));
        let mut out = Decision::default();
        self.set.observation(
            Observation {
                camera,
                captured,
                received,
                look: None,
                shortfall: Shortfall::default(),
                views,
                by_candidate: Vec::new(),
            },
            received,
            &mut out,
        );
        self.store.commit(&[], &out.checkpoints).unwrap();
        out.verdicts.iter().map(words).collect()
    }

    /// The states that are due are saved as every few seconds, and the process is killed.
    fn killed(mut self, second: i64) {
        let (mut pass, mut out) = (SavePass::of_all(), Decision::default());
        while self.set.save(&mut pass, at(second), &mut out) {}
        self.store.commit(&[], &out.checkpoints).unwrap();
    }

    fn alarms(&self, second: i64) -> Vec<(String, u64)> {
        let rates = self.set.alarm_rates(at(second));
        rates.iter().map(|rate| (rate.judge.to_string(), rate.alarms)).collect()
    }
}

fn open(folder: &Path) -> Outbox {
    let settings = OutboxSettings {
        dir: folder.to_owned(),
        cap_bytes: 16 << 20,
        replay_age: Duration::ZERO,
        replay_bytes: 0,
        states_bytes: 4 << 20,
        ballast_bytes: 0,
        drop_oldest: false,
        lives: [None; 3],
        key: None,
    };
    Outbox::open(&settings).unwrap().outbox
}

fn at(second: i64) -> Moment {
    Moment::from_wall(UtcMillis(second * 1000))
}

fn words(verdict: &Verdict) -> String {
    match verdict.event {
        Some(event) => {
            let signal = verdict.subject.signal.as_ref().unwrap();
            format!("{} {signal} {} {}", verdict.judge, event.state.as_str(), event.id)
        }
        None => format!("{} {}", verdict.judge, verdict.body.kind()),
    }
}

/// What is usual on this camera.
fn usual(number: i64) -> f64 {
    (f64::from(10 + u32::try_from(number * 7 % 13).unwrap()) / 255.0).powi(2)
}

#[test]
fn a_camera_is_known_after_the_process_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut before = RestoredRun::open(folder.path(), 0);
    assert_eq!(before.frame(1, usual(1), 2), ["seen detections"]);
    for second in 2..300 {
        assert_eq!(before.frame(second, usual(second), 2), [""; 0]);
    }
    let raised = before.frame(300, 0.15, 3);
    let id = raised[1].strip_prefix("strange strange raised ").unwrap().to_owned();
    assert_eq!(raised[0], "seen detections");
    assert_eq!(before.alarms(300), [("strange".to_owned(), 1)]);
    before.killed(301);

    let mut after = RestoredRun::open(folder.path(), 310);
    assert_eq!(after.alarms(310), [("strange".to_owned(), 1)]);
    assert_eq!(after.frame(311, 0.15, 3), [""; 0], "neither is reported again");
    let verdicts: Vec<String> = (312..400).flat_map(|second| after.frame(second, usual(second), 3)).collect();
    assert_eq!(verdicts, [format!("strange strange cleared {id}")], "and nothing is to be learnt anew");
    assert_eq!(after.frame(400, usual(400), 1), ["seen detections"]);
}

#[test]
fn what_an_earlier_version_knew_of_a_camera_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = include_str!("../../../../../tests/fixtures/cameras/checkpoints.txt");
    let checkpoints: Vec<Checkpoint> = fixture
        .lines()
        .map(|line| {
            let (key, hex) = line.split_once(' ').unwrap();
            let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
            let state = Some((0..hex.len()).step_by(2).map(byte).collect());
            Checkpoint { key: key.replace('|', "\u{1f}"), state }
        })
        .collect();
    assert_eq!(checkpoints.len(), 3);
    open(folder.path()).commit(&[], &checkpoints).unwrap();

    let mut run = RestoredRun::open(folder.path(), THEN + 10);
    assert_eq!(run.alarms(THEN + 10), [("strange".to_owned(), 1)]);
    assert_eq!(run.set.account().instances, 2, "of the two judges that had saved something");
    // The open event goes on, and is cleared under its identity.
    let first = run.frame(THEN + 11, 0.15, 1);
    assert_eq!(first, ["seen detections"], "nothing was saved of what was reported");
    let verdicts: Vec<String> =
        (0..90).flat_map(|number| run.frame(THEN + 12 + number, usual(number), 1)).collect();
    let [cleared] = &verdicts[..] else { panic!("{verdicts:?}") };
    assert!(cleared.starts_with("strange strange cleared "), "{cleared}");
    let events = checkpoints[0].state.as_ref().unwrap();
    let id = cleared.rsplit(' ').next().unwrap();
    let bytes: Vec<String> = (0..id.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&id[at..at + 2], 16).unwrap().to_string())
        .collect();
    let saved = String::from_utf8(events.clone()).unwrap();
    assert!(saved.contains(&bytes.join(",")), "{saved}: {id}");
}

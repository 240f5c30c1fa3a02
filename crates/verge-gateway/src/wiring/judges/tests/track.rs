//! Counts of a camera, from the settings to the verdicts.

use verge_domain::finding::Member;
use verge_domain::verdict::{Body, EventState, PartialReason, Traffic};

use super::*;

const JUNCTION: &str = r#"
    [gateway]
    id = "trial"
    state_dir = "state"
    [local]
    url = "mqtt://localhost:1883"
    [uplink.centre]
    url = "mqtt://localhost:1883"
    insecure_plaintext = true
    [model.vehicles]
    file = "vehicles.onnx"
    [source.cameras]
    topic = "cameras/+/frame"
    codec = "jpeg"
    device = "topic:1"
    [judge.junction]
    inputs = ["cameras"]
    detector = "track"
    model = "vehicles"
    labels = ["car", "person"]
    [judge.junction.line.north]
    from = [0.1, 0.5]
    to = [0.9, 0.5]
    [judge.junction.zone.kerb]
    polygon = [[0.0, 0.0], [0.3, 0.0], [0.3, 1.0], [0.0, 1.0]]
    stopped_after = "5s"
    [judge.junction.zone.lane]
    polygon = [[0.4, 0.0], [0.7, 0.0], [0.7, 1.0], [0.4, 1.0]]
    stopped_after = "5s"
    [judge.busy]
    inputs = ["cameras:junction.north.flow"]
    detector = "threshold"
    above = 300
"#;

/// A run of judges with what was saved of the run before.
struct CountingRun {
    set: JudgeSet<Undecoded, ReadingJudge>,
    saved: Vec<Checkpoint>,
}

impl CountingRun {
    fn open(saved: &[Checkpoint], ms: i64) -> Self {
        Self::with(JUNCTION, saved, ms)
    }

    fn with(text: &str, saved: &[Checkpoint], ms: i64) -> Self {
        let loaded = config::parse(text, Path::new("/gateway.toml"), []);
        assert!(loaded.faults.is_empty(), "{:?}", loaded.faults);
        let settings = Settings { values: loaded.values, ..Settings::check(&loaded.raw).unwrap() };
        let counters = Arc::new(Counters::new(source_ids(&settings)));
        let mut set = judge_set(&settings, &Autoencoders::default(), Undecoded, counters, moment(ms));
        let mut restored = Decision::default();
        set.restore(saved, moment(ms), &mut restored);
        assert!(restored.verdicts.is_empty(), "{restored:?}");
        let mut run = Self { set, saved: Vec::new() };
        run.keep(restored.checkpoints);
        run
    }

    /// Ten pictures a second: a car drives down once in ten seconds, and others stand where `standing` says. Is saved at the
    /// end.
    fn watch(&mut self, span: (i64, i64), standing: &[u32]) -> Vec<Verdict> {
        self.watch_as(span, standing, |_| "car")
    }

    /// The same, where the one that drives is called so at that time of its way.
    fn watch_as(
        &mut self,
        (from, to): (i64, i64),
        standing: &[u32],
        called: impl Fn(i64) -> &'static str,
    ) -> Vec<Verdict> {
        let mut decision = Decision::default();
        for ms in (from..to).step_by(100) {
            let driving = (480, u32::try_from(ms % 10_000).unwrap() / 10);
            let places = standing.iter().map(|x| ("car", (*x, 300))).chain([(called(ms % 10_000), driving)]);
            let objects = places.map(|(label, (x, y))| Detection {
                label: Label::new(label).unwrap(),
                score: Score::new(0.9).unwrap(),
                area: PixelBox { x, y, width: 60, height: 40 },
                track: None,
            });
            let view = View::Detections(Detections { width: 1000, height: 1000, objects: objects.collect() });
            let camera = Camera { source: SourceIndex(0), device: DeviceId::new("cam-1").unwrap() };
            let (received, views) = (moment(ms), vec![(JudgeIndex(0), view)]);
            let captured = Captured::UNKNOWN;
            self.set.observation(
                Observation {
                    camera,
                    captured,
                    received,
                    look: None,
                    shortfall: verge_domain::frame::Shortfall::default(),
                    views,
                    by_candidate: Vec::new(),
                },
                received,
                &mut decision,
            );
        }
        let mut pass = SavePass::of_all();
        while self.set.save(&mut pass, moment(to), &mut decision) {}
        self.keep(decision.checkpoints);
        decision.verdicts
    }

    fn keep(&mut self, checkpoints: Vec<Checkpoint>) {
        for new in checkpoints {
            self.saved.retain(|known| known.key != new.key);
            if new.state.is_some() {
                self.saved.push(new);
            }
        }
    }
}

fn moment(ms: i64) -> Moment {
    Moment::from_wall(UtcMillis(1_767_225_600_000 + ms))
}

fn counted(verdict: &Verdict) -> Option<&Traffic> {
    if let Body::Traffic(traffic) = &verdict.body { Some(traffic) } else { None }
}

fn traffic(verdicts: &[Verdict]) -> Vec<&Traffic> {
    verdicts.iter().filter_map(counted).collect()
}

/// Events as "judge signal member state".
fn events(verdicts: &[Verdict]) -> Vec<String> {
    let said = |verdict: &Verdict| {
        let Body::Anomaly(anomaly) = &verdict.body else { return None };
        let signal = verdict.subject.signal.as_ref().map_or("-", |signal| signal.as_str());
        let state = verdict.event?.state.as_str();
        Some(format!("{} {signal} {} {state}", verdict.judge, anomaly.member.as_str()))
    };
    verdicts.iter().filter_map(said).collect()
}

#[test]
fn a_threshold_watches_the_flow_that_another_judge_counts() {
    let mut run = CountingRun::open(&[], 0);
    let verdicts = run.watch((0, 66_000), &[]);
    let counted = traffic(&verdicts);
    let forward = counted[0].lines[0].forward.as_ref().unwrap();
    assert_eq!((counted.len(), forward.total, forward.classes[0].label.as_str()), (1, 6, "car"));
    assert_eq!(events(&verdicts), ["busy junction.north.flow high raised"]);
    let Body::Anomaly(busy) = &verdicts.iter().find(|one| one.event.is_some()).unwrap().body else {
        panic!("{verdicts:?}")
    };
    assert_eq!((busy.observed, busy.unit.as_ref().map(|unit| unit.as_str())), (360.0, Some("/h")));
    assert_eq!(run.set.account().instances, 2, "signals that no judge looks at have none");
}

#[test]
fn zones_have_events_of_their_own_that_outlive_a_restart() {
    let mut run = CountingRun::open(&[], 0);
    let first = run.watch((0, 7_000), &[480]);
    assert_eq!(events(&first), ["junction lane stopped raised"]);
    assert_eq!((first[0].severity.as_str(), first[0].lane.as_str()), ("warning", "alarm"));
    let verdicts = run.watch((7_000, 20_000), &[480, 100]);
    // Alarms of one camera that come together are reported as one, see `gateway.group_within`.
    assert_eq!(events(&verdicts), ["junction kerb stopped raised", "junction lane stopped updated"]);
    let raised = verdicts[0].clone();
    let mut after = CountingRun::open(&run.saved, 21_000);
    let verdicts = after.watch((21_000, 40_000), &[480]);
    assert_eq!(events(&verdicts)[0], "junction kerb stopped cleared");
    let cleared = verdicts.iter().find(|verdict| verdict.event.is_some()).unwrap();
    let (of, event) = (&cleared.subject, cleared.event.unwrap());
    assert_eq!((event.id, event.number, event.state), {
        let before = raised.event.unwrap();
        (before.id, before.number, EventState::Cleared)
    });
    assert_eq!((of.device.as_str(), Member::Stopped.own_unit()), ("cam-1", Some("objects")));
}

#[test]
fn a_kill_in_the_middle_of_an_interval_is_said_and_counts_go_the_lane_of_the_record() {
    let mut run = CountingRun::open(&[], 0);
    assert!(traffic(&run.watch((0, 20_000), &[])).is_empty());
    let mut after = CountingRun::open(&run.saved, 24_000);
    let verdicts = after.watch((24_000, 66_000), &[]);
    let counted = traffic(&verdicts);
    assert_eq!(counted[0].partial, [PartialReason::Gap]);
    assert_eq!((counted[0].observed_ms, counted[0].lines[0].forward.as_ref().unwrap().total), (55_900, 6));
    let of_counts = verdicts.iter().find(|verdict| matches!(verdict.body, Body::Traffic(_))).unwrap();
    assert_eq!((of_counts.severity.as_str(), of_counts.lane.as_str()), ("info", "verdict"));
    // Killed before anything was saved: it begins within the interval.
    let mut fresh = CountingRun::open(&[], 24_000);
    let counted = fresh.watch((24_000, 66_000), &[]);
    assert_eq!(traffic(&counted)[0].partial, [PartialReason::Start]);
}

#[test]
fn what_was_counted_of_another_line_is_not_taken_up() {
    let mut run = CountingRun::open(&[], 0);
    run.watch((0, 20_000), &[]);
    let moved = JUNCTION.replace("from = [0.1, 0.5]", "from = [0.1, 0.6]");
    let mut after = CountingRun::with(&moved, &run.saved, 20_000);
    let verdicts = after.watch((20_000, 66_000), &[]);
    assert_eq!(traffic(&verdicts)[0].partial, [PartialReason::Start]);
    let mut same = CountingRun::open(&run.saved, 20_000);
    assert_eq!(traffic(&same.watch((20_000, 66_000), &[]))[0].partial, [PartialReason::Gap]);
}

/// A second model tells the colours of cars.
const COLOURS: &str = r#"
    [model.colours]
    file = "colours.onnx"
    [judge.junction.then]
    model = "colours"
    labels = ["car"]
    classes = { red = ["red"], plain = ["*"] }
"#;

#[test]
fn the_kind_that_a_second_model_saw_once_counts_and_outlives_a_restart() {
    let text = format!("{JUNCTION}{COLOURS}");
    let mut run = CountingRun::with(&text, &[], 0);
    // A colour is seen once on the way, long before the line.
    let seen_once = |ms: i64| if ms == 1_000 { "car/red" } else { "car" };
    run.watch_as((0, 3_000), &[], seen_once);
    let mut after = CountingRun::with(&text, &run.saved, 3_000);
    let mut verdicts = after.watch_as((3_000, 20_000), &[], seen_once);
    // What the second model has not seen counts as its class alone.
    verdicts.extend(after.watch((20_000, 66_000), &[]));
    let counted = traffic(&verdicts);
    let forward = counted[0].lines[0].forward.as_ref().unwrap();
    let classes: Vec<_> = forward.classes.iter().map(|one| (one.label.as_str(), one.count)).collect();
    assert_eq!((forward.total, &classes[..]), (6, &[("car", 4), ("car/red", 2)][..]));
    // Without the second model these are other classes.
    let mut without = CountingRun::with(JUNCTION, &run.saved, 3_000);
    assert_eq!(traffic(&without.watch((3_000, 66_000), &[]))[0].partial, [PartialReason::Start]);
}

//! Random reloads in a row, held against a model of what must be open and learnt, and against a gateway that starts with what
//! is configured then.

use std::collections::{BTreeMap, BTreeSet};

use verge_domain::board::{Board, LastWord};
use verge_domain::id::Seq;
use verge_domain::verdict::Subject;

use super::swap::{kept, shelved};
use super::*;
use crate::board::LastWords;

/// What a judge of a name is: fixed, as a configuration gives a name another detector by another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JudgeKind {
    Signals,
    Device,
    Arrivals,
    Errors,
    Views,
}

const JUDGES: [(&str, JudgeKind); 9] = [
    ("p", JudgeKind::Signals),
    ("q", JudgeKind::Signals),
    ("r", JudgeKind::Signals),
    ("machine", JudgeKind::Device),
    ("alive", JudgeKind::Arrivals),
    ("odd", JudgeKind::Errors),
    ("strange", JudgeKind::Errors),
    ("seen", JudgeKind::Views),
    ("shown", JudgeKind::Views),
];

/// What a plan says of a judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Config {
    kind: JudgeKind,
    signals: &'static str,
    devices: &'static str,
    detector: Detector,
    /// What a new instance begins with.
    made: u8,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Made,
    Anew,
    /// Made with a detector that takes up nothing.
    Refuses,
}

impl Config {
    fn matches(pattern: &str, name: &str) -> bool {
        WildMatch::new(pattern).matches(name)
    }

    fn watches(&self, device: &str, signal: Option<&str>) -> bool {
        Self::matches(self.devices, device)
            && match (self.kind, signal) {
                (JudgeKind::Signals | JudgeKind::Device, Some(signal)) => Self::matches(self.signals, signal),
                (JudgeKind::Signals | JudgeKind::Device, None) => false,
                (_, signal) => signal.is_none(),
            }
    }

    /// The signal that its verdicts name.
    fn subject(&self, judge: &str, signal: Option<&str>) -> String {
        match self.kind {
            JudgeKind::Signals => signal.unwrap_or("-").to_owned(),
            JudgeKind::Errors => judge.to_owned(),
            JudgeKind::Device | JudgeKind::Arrivals | JudgeKind::Views => "-".to_owned(),
        }
    }

    fn spec(&self, name: &str) -> JudgeSpec<AboveTen> {
        let (observes, scope) = match self.kind {
            JudgeKind::Signals => (Observes::Readings, Scope::Signal),
            JudgeKind::Device => (Observes::Readings, Scope::Device),
            JudgeKind::Arrivals => (Observes::Arrivals, Scope::Camera),
            JudgeKind::Errors => (Observes::Errors, Scope::Camera),
            JudgeKind::Views => (Observes::Views, Scope::Camera),
        };
        let is_of_readings = observes == Observes::Readings;
        let signals = is_of_readings.then(|| WildMatch::new(self.signals));
        let patterns = vec![InputPattern { source: SourceIndex(0), signals }];
        let mut spec = spec(name, scope, &[]);
        spec.inputs =
            Inputs { observes, looks: false, patterns, devices: vec![WildMatch::new(self.devices)] };
        spec.policy.update_every = Some(Duration::ZERO);
        spec.detector = self.detector;
        let seen = self.made;
        spec.make = Box::new(move |now| AboveTen { seen, received: now, rate: None, weight: 0 });
        spec
    }
}

/// Judge, device, signal.
type Point = (String, String, String);

/// What must be so.
#[derive(Debug, Default)]
struct Expectations {
    judges: BTreeMap<&'static str, Config>,
    /// Observations that each instance has learnt of, and whether its event is open.
    instances: BTreeMap<Point, (u8, bool)>,
}

impl Expectations {
    /// The verdicts of other judges in the place of those at work.
    fn swap(&mut self, judges: &BTreeMap<&'static str, Config>) -> Vec<String> {
        let mut verdicts = Vec::new();
        let before = std::mem::replace(&mut self.judges, judges.clone());
        self.instances.retain(|(judge, device, signal), (seen, open)| {
            let stays = judges.get(judge.as_str()).filter(|now| {
                let signal = match now.kind {
                    JudgeKind::Signals => Some(signal.as_str()),
                    _ => None,
                };
                // An instance of a whole device stays while anything of its device may be looked at.
                let looks = now.kind == JudgeKind::Device && Config::matches(now.devices, device);
                now.detector == before[judge.as_str()].detector && (looks || now.watches(device, signal))
            });
            match stays.map(|now| now.fate) {
                Some(Fate::Kept | Fate::Made) => {}
                Some(Fate::Anew) => *seen = 0,
                Some(Fate::Refuses) => *seen = REFUSES,
                None if *open => verdicts.push(format!("{judge} {device} {signal} cleared")),
                None => {}
            }
            stays.is_some()
        });
        verdicts
    }

    fn observe(
        &mut self,
        device: &str,
        signal: Option<&str>,
        value: f64,
        kinds: &[JudgeKind],
    ) -> Vec<String> {
        let mut verdicts = Vec::new();
        let looking = self.judges.iter().filter(|(_, config)| kinds.contains(&config.kind));
        for (judge, config) in looking.filter(|(_, config)| config.watches(device, signal)) {
            let subject = config.subject(judge, signal);
            let point = ((*judge).to_owned(), device.to_owned(), subject.clone());
            let (seen, open) = self.instances.entry(point).or_insert((config.made, false));
            *seen = seen.saturating_add(1);
            let state = match (config.kind, *open, value > 10.0) {
                (JudgeKind::Views, ..) => "view",
                (_, false, true) => "raised",
                (_, true, true) => "updated",
                (_, true, false) => "cleared",
                (_, false, false) => continue,
            };
            if config.kind != JudgeKind::Views {
                *open = value > 10.0;
            }
            verdicts.push(format!("{judge} {device} {subject} {state}"));
        }
        verdicts
    }
}

/// A set of judges with the board of its gateway.
struct BoardedSet {
    trial: Trial<AboveTen>,
    board: LastWords,
    seq: u64,
}

impl BoardedSet {
    fn new(judges: &BTreeMap<&'static str, Config>, open: impl IntoIterator<Item = Verdict>) -> Self {
        let mut trial = Trial::new(judges.iter().map(|(name, config)| config.spec(name)).collect());
        let mut next = 0_u64;
        trial.set.naming = EventNaming::new(move || {
            next += 1;
            EventId(std::array::from_fn(|at| next.to_le_bytes().get(at).copied().unwrap_or(7)))
        });
        Self { trial, board: LastWords::restored(open, Vec::new()), seq: 0 }
    }

    /// What was decided goes to the board; gives it in words.
    fn commit(&mut self, shelf: &mut BTreeMap<String, Vec<u8>>) -> Vec<String> {
        let out = std::mem::take(&mut self.trial.out);
        *shelf = shelved(std::mem::take(shelf), &out);
        let words = |verdict: &Verdict| {
            let (judge, device, signal) = point(verdict);
            format!(
                "{judge} {device} {signal} {}",
                verdict.event.map_or("view", |event| event.state.as_str())
            )
        };
        let verdicts = out.verdicts.iter().map(words).collect();
        self.board.post(out.verdicts.into_iter().map(|verdict| {
            self.seq += 1;
            LastWord::new(verdict, Some(Seq(self.seq)))
        }));
        verdicts
    }

    fn camera(device: &str) -> Camera {
        Camera { source: SourceIndex(0), device: DeviceId::new(device).unwrap() }
    }

    fn arrival(&mut self, second: u64, device: &str, value: i64) {
        let captured = Captured { at: Some(UtcMillis(value)), clock: DeviceClock::Skewed };
        let Trial { set, out, .. } = &mut self.trial;
        set.arrival(&Self::camera(device), captured, at(second), at(second), out).unwrap();
    }

    /// What viewers of the present judges see.
    fn frame(&mut self, second: u64, device: &str, error: f64) {
        let camera = Self::camera(device);
        let sees = |(index, spec): (JudgeIndex, &JudgeSpec<AboveTen>)| match spec.inputs.observes {
            _ if !spec.inputs.takes_camera(&camera) => None,
            Observes::Errors => Some((index, View::Reconstruction(error))),
            Observes::Views => {
                let view = Detections { width: 1, height: 1, objects: Vec::new() };
                Some((index, View::Detections(view)))
            }
            Observes::Readings | Observes::Arrivals => None,
        };
        let views = self.trial.set.specs.iter().filter_map(sees).collect();
        let (captured, received) = (Captured::UNKNOWN, at(second));
        let Trial { set, out, .. } = &mut self.trial;
        set.observation(
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
            out,
        );
    }

    /// What is on the board: the state of each point.
    fn points(&self) -> BTreeMap<Point, &'static str> {
        let words = self.board.words(&|_| true);
        let state = |word: &Arc<LastWord>| word.verdict.event.map_or("view", |event| event.state.as_str());
        words.iter().map(|word| (point(&word.verdict), state(word))).collect()
    }

    fn open_points(&self) -> BTreeSet<(Point, [u8; 16])> {
        let words = self.board.words(&|word| word.open_event().is_some());
        words.iter().map(|word| (point(&word.verdict), word.verdict.event.unwrap().id.0)).collect()
    }

    fn learnt(&self) -> BTreeMap<Point, u8> {
        let specs = &self.trial.set.specs;
        let of = |instance: &Instance<AboveTen>| {
            let Subject { device, signal, .. } = &instance.subject;
            let signal = signal.as_ref().map_or("-", SignalId::as_str);
            (specs[instance.judge_index].name.to_string(), device.to_string(), signal.to_owned())
        };
        self.trial.set.instances.iter().map(|(_, instance)| (of(instance), instance.judge.seen)).collect()
    }
}

fn point(verdict: &Verdict) -> Point {
    let Subject { device, signal, .. } = &verdict.subject;
    let signal = signal.as_ref().map_or("-", SignalId::as_str);
    (verdict.judge.to_string(), device.to_string(), signal.to_owned())
}

fn sorted(mut words: Vec<String>) -> Vec<String> {
    words.sort();
    words
}

#[test]
fn random_reloads_keep_what_they_may_and_end_where_a_start_would() {
    let reloads = if std::env::var("VERGE_FULL").is_ok_and(|full| full == "1") { 1_000 } else { 40 };
    let mut next = 11_u64;
    let mut random = move |below: usize| {
        next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(next >> 33).unwrap() % below
    };
    let (mut model, mut shelf) = (Expectations::default(), BTreeMap::new());
    let mut running = BoardedSet::new(&model.judges, []);
    let (mut verdicts, mut readings, mut kept_instances, mut ended) = (0, 0, 0, 0);
    for reload in 0..reloads {
        let second = 10 * reload as u64;
        let mut plan = BTreeMap::new();
        for (name, kind) in JUDGES {
            if random(4) == 0 {
                continue;
            }
            let before = model.judges.get(name).copied();
            let config = Config {
                kind,
                signals: ["te*", "temp", "*", "tension"][random(4)],
                devices: ["*", "*", "d0", "d1*"][random(4)],
                detector: [Detector::Threshold, Detector::Threshold, Detector::Rate][random(3)],
                made: 0,
                fate: [Fate::Kept, Fate::Kept, Fate::Made, Fate::Anew, Fate::Refuses][random(5)],
            };
            let config = match (config.fate, before) {
                // It keeps its detector with all of its settings.
                (Fate::Kept, Some(Config { detector, made, .. })) => Config { detector, made, ..config },
                (Fate::Kept, None) => Config { fate: Fate::Made, ..config },
                (Fate::Refuses, _) => Config { made: REFUSES, ..config },
                (Fate::Made | Fate::Anew, _) => config,
            };
            plan.insert(name, config);
        }
        let planned = plan.iter().map(|(name, config)| match config.fate {
            Fate::Kept => kept(config.spec(name)),
            Fate::Made | Fate::Refuses => PlannedJudge::Made(config.spec(name)),
            Fate::Anew => PlannedJudge::Anew(config.spec(name), "its model is another"),
        });
        let (_, report) = running.trial.swap(second, planned.collect());
        let expected = model.swap(&plan);
        assert_eq!(sorted(running.commit(&mut shelf)), sorted(expected), "reload {reload}: {plan:?}");
        running.board.retain(|verdict| report.watched.include(verdict));
        assert_eq!(running.trial.set.account().instances, model.instances.len() as u64, "reload {reload}");
        let learnt: BTreeMap<Point, u8> =
            model.instances.iter().map(|(point, (seen, _))| (point.clone(), *seen)).collect();
        assert_eq!(running.learnt(), learnt, "reload {reload}: {plan:?}");
        kept_instances += report.kept + report.carried;
        ended += report.ended;

        // A gateway that starts with this plan, from what was saved.
        running.trial.save();
        running.commit(&mut shelf);
        let saved: Vec<Checkpoint> = shelf
            .iter()
            .map(|(key, state)| Checkpoint { key: key.clone(), state: Some(state.clone()) })
            .collect();
        let mut fresh = BoardedSet::new(&plan, open_events(&saved));
        let Trial { set, out, .. } = &mut fresh.trial;
        set.restore(&saved, at(second), out);
        let mut fresh_shelf = shelf.clone();
        assert!(fresh.commit(&mut fresh_shelf).is_empty(), "reload {reload}: nothing is left to clear");
        assert_eq!(running.open_points(), fresh.open_points(), "reload {reload}");

        // Both judge the same: each value is high, or not, and ends normal every third time.
        let calm = reload % 3 == 2;
        let mut batch = Vec::new();
        for (number, device) in ["d0", "d1", "d10", "other"].into_iter().enumerate() {
            for signal in ["temp", "tension", "humidity"] {
                let highs = [11 + random(5), random(22)];
                let values = highs.into_iter().chain(calm.then_some(number));
                batch.extend(values.map(|value| (device, Some(signal), value)));
            }
            let highs = [11 + random(5), random(22)];
            batch.extend(highs.into_iter().chain(calm.then_some(number)).map(|value| (device, None, value)));
        }
        for (device, signal, value) in batch {
            let mut expected = Vec::new();
            for gateway in [&mut running, &mut fresh] {
                match signal {
                    Some(signal) => {
                        gateway.trial.send(second + 1, &format!("{device} {signal} {value}"));
                    }
                    None => {
                        gateway.arrival(second + 1, device, value as i64);
                        gateway.frame(second + 1, device, value as f64);
                    }
                }
            }
            match signal {
                Some(_) => {
                    readings += 1;
                    let kinds = [JudgeKind::Signals, JudgeKind::Device];
                    expected.extend(model.observe(device, signal, value as f64, &kinds));
                }
                None => {
                    let kinds = [JudgeKind::Arrivals, JudgeKind::Errors, JudgeKind::Views];
                    expected.extend(model.observe(device, None, value as f64, &kinds));
                }
            }
            let found = sorted(running.commit(&mut shelf));
            verdicts += found.len();
            assert_eq!(found, sorted(expected), "reload {reload}: {device} {signal:?} {value}");
            assert_eq!(found, sorted(fresh.commit(&mut fresh_shelf)), "reload {reload}: as a start would");
        }
        assert_eq!(running.points(), fresh.points(), "reload {reload}: one board");
        let source = &running.trial.counters.sources()[0];
        assert_eq!(source.rejections().count(), 0);
    }
    let judged = running.trial.counters.sources()[0].messages_judged_total.get();
    assert_eq!(judged, readings, "each message is accounted for once");
    assert!(verdicts > 20 * reloads && kept_instances > reloads && ended > reloads);
}

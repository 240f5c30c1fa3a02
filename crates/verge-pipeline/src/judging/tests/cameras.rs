//! Observations of cameras.

use verge_domain::frame::{GivenUp, Shortfall};
use verge_domain::id::ModelName;
use verge_domain::verdict::Model;

use super::*;

/// Judges over the cameras of two sources.
fn over_cameras(name: &str, observes: Observes) -> JudgeSpec<AboveTen> {
    let patterns = [0, 1].map(|source| InputPattern { source: SourceIndex(source), signals: None }).to_vec();
    JudgeSpec {
        inputs: Inputs { observes, looks: false, patterns, devices: Vec::new() },
        model: Some(model("large")),
        smaller: Some(model("small")),
        ..spec(name, Scope::Camera, &[])
    }
}

fn model(name: &str) -> Model {
    Model { name: ModelName::new(name).unwrap(), version: ModelName::new("1").unwrap() }
}

struct Yard {
    set: JudgeSet<Words, AboveTen>,
    counters: Arc<Counters>,
    out: Decision,
}

impl Yard {
    fn new() -> Self {
        let sources = ["yard", "gate"].map(|name| SourceId::new(name).unwrap()).to_vec();
        let counters = Arc::new(Counters::new(sources.clone()));
        let mut ids = 0_u8;
        let fresh = move || {
            ids += 1;
            EventId([ids; 16])
        };
        let specs = [("alive", Observes::Arrivals), ("odd", Observes::Errors), ("seen", Observes::Views)]
            .map(|(name, observes)| over_cameras(name, observes))
            .into();
        let set = JudgeSet::new(Words, specs, sources, Arc::clone(&counters), fresh, at(0));
        Self { set, counters, out: Decision::default() }
    }

    fn camera(source: u16) -> Camera {
        Camera { source: SourceIndex(source), device: DeviceId::new("north").unwrap() }
    }

    fn arrival(&mut self, second: u64, source: u16, value: i64) -> Vec<String> {
        let before = self.out.verdicts.len();
        let captured = Captured { at: Some(UtcMillis(value)), clock: DeviceClock::Skewed };
        let now = at(second);
        self.set.arrival(&Self::camera(source), captured, now, now, &mut self.out).unwrap();
        self.out.verdicts[before..].iter().map(described).collect()
    }

    /// What each frame shows: the error of the judge `odd`, and objects that the judge `seen` reports.
    fn frame(&mut self, second: u64, error: f64) -> Vec<String> {
        self.frame_under(second, error, GivenUp::Nothing)
    }

    /// The same where this is given up.
    fn frame_under(&mut self, second: u64, error: f64, given_up: GivenUp) -> Vec<String> {
        let by_candidate = Vec::new();
        let before = self.out.verdicts.len();
        let objects = View::Detections(Detections { width: 1, height: 1, objects: Vec::new() });
        let views = vec![(JudgeIndex(1), View::Reconstruction(error)), (JudgeIndex(2), objects)];
        let (captured, received) = (Captured::UNKNOWN, at(second));
        let shortfall = Shortfall { given_up, passed_over: 0 };
        let observation = Observation {
            camera: Self::camera(1),
            captured,
            received,
            look: None,
            shortfall,
            views,
            by_candidate,
        };
        self.set.observation(observation, received, &mut self.out);
        let words = |verdict: &Verdict| match verdict.event {
            Some(_) => described(verdict),
            None => format!("{} {}", verdict.judge, verdict.body.kind()),
        };
        self.out.verdicts[before..].iter().map(words).collect()
    }

    /// A restart: what was saved, in another set.
    fn restarted(mut self, second: u64) -> Self {
        let mut pass = SavePass::of_all();
        while self.set.save(&mut pass, at(second), &mut self.out) {}
        let mut after = Self::new();
        after.set.restore(&self.out.checkpoints, at(second), &mut after.out);
        assert!(after.out.is_empty(), "{:?}", after.out);
        after
    }
}

#[test]
fn of_a_camera_it_is_said_without_a_signal_and_by_its_own_source() {
    // Two cameras of one name, each of its own source.
    let mut yard = Yard::new();
    assert_eq!(yard.arrival(1, 1, 20), ["alive north - anomaly raised 1"]);
    assert!(yard.arrival(1, 0, 2).is_empty());
    let subject = &yard.out.verdicts[0].subject;
    assert_eq!((subject.source.as_str(), subject.device.as_str(), &subject.signal), ("gate", "north", &None));

    // Open events are restored, and cleared by the camera they belong to; an evicted camera is forgotten as a whole.
    let mut yard = yard.restarted(2);
    assert!(yard.arrival(3, 0, 2).is_empty());
    assert_eq!(yard.arrival(3, 1, 2), ["alive north - anomaly cleared 1"]);
    for source in [0, 1] {
        let Camera { source, device } = Yard::camera(source);
        yard.set.forget(source, &device, at(4), &mut yard.out);
    }
    assert_eq!((yard.set.by_key.len(), yard.set.instances.len()), (0, 0));
}

#[test]
fn views_and_errors_have_the_life_that_readings_have() {
    let mut yard = Yard::new();
    // Reports come before events that errors cause, about a signal of the camera with the judge's name.
    assert_eq!(yard.frame(1, 20.0), ["seen detections", "odd north odd anomaly raised 1"]);
    let seen = &yard.out.verdicts[0];
    assert_eq!((seen.severity, seen.lane, &seen.subject.signal), (Severity::Critical, Lane::Alarm, &None));
    let counted = |yard: &Yard| yard.counters.source(SourceIndex(1)).unwrap().readings_judged_total.get();
    assert_eq!(counted(&yard), 1, "an error is a number, a view is not");
    assert_eq!(yard.set.account().instances, 3, "each judge watches the camera by itself");

    let states = |yard: &Yard| {
        let saved = yard.out.checkpoints.iter().filter(|saved| saved.key.starts_with("state"));
        saved.map(|saved| saved.state.clone().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(states(&yard), [[1]], "the state of what is reported goes with the report");
    let mut yard = yard.restarted(2);
    assert_eq!(yard.frame(3, 2.0), ["seen detections", "odd north odd anomaly cleared 1"]);
    assert_eq!(states(&yard), [[2]], "it goes on from what was saved");

    // A maintenance window suppresses raises, but no report.
    let order =
        Order::Maintenance { selector: selector("north", None, None), length: Duration::from_secs(10) };
    let opened = yard.set.carry_out(&order, false, at(4), &mut yard.out).unwrap();
    assert_eq!(opened, Outcome::Opened { instances: 3, until: UtcMillis(14_000) });
    assert_eq!(yard.frame(5, 20.0), ["seen detections"]);
    yard.set.tick(at(14), &mut yard.out);
    assert_eq!(yard.frame(15, 20.0), ["seen detections", "odd north odd anomaly raised 1"]);
}

#[test]
fn a_view_names_the_model_that_looked() {
    let mut yard = Yard::new();
    for (second, given_up) in (1..).zip([GivenUp::Gates, GivenUp::Models, GivenUp::Coverage]) {
        assert_eq!(yard.frame_under(second, 1.0, given_up), ["seen detections"]);
    }
    let named = |verdict: &Verdict| verdict.model.as_ref().unwrap().name.to_string();
    assert_eq!(yard.out.verdicts.iter().map(named).collect::<Vec<_>>(), ["large", "small", "small"]);
}

//! Counts before one camera.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use verge_domain::countable::SeenLines;
use verge_domain::finding::{Condition, Expected, Finding, Standing};
use verge_domain::frame::{CameraLook, Detections, SceneSketch, Shortfall, View};
use verge_domain::id::SignalId;
use verge_domain::motion::Blobs;
use verge_domain::observation::Captured;
use verge_domain::stage::RestoreError;
use verge_domain::time::{DeviceClock, Moment, Monotonic, UtcMillis};
use verge_domain::verdict::TimeBasis;
use verge_scene::{
    FrameSize, Scene, SceneMisfit, SceneReport, SceneState, SceneTrace, SeenBox, SightingTally, ZoneEventKind,
};

use super::live::Reported;
use super::settings::{TrackSettings, ZoneCondition};
use super::{counts, measures};
use crate::camera::{Blindness, CameraCauses, CausesMore, UnexplainedMotion};
use crate::forecast::ForecastSeries;
use crate::state::{self, SavedParts, StateKind};

/// A clock that gives the same time to frames received over this span stands still.
const STANDS_STILL: Duration = Duration::from_secs(3);

/// Counts what one camera sees.
#[derive(Debug)]
pub struct TrackJudge {
    settings: TrackSettings,
    scene: Scene,
    clock: CameraClock,
    /// What blinds the camera, by its own past, and what moves before it that its model does not know.
    causes: CameraCauses,
    /// Of each line and then of each zone, where it forecasts.
    forecasts: Vec<ForecastSeries>,
    unexplained: UnexplainedMotion,
    /// When the newest frame was captured, and for how long it was the newest, in seconds.
    newest: Option<f64>,
    step: f64,
    /// It was blind in the frame before.
    was_blind: bool,
    /// When the frame was received whose view comes next, its size, and what moves in it.
    looked: Option<(Monotonic, FrameSize, Blobs)>,
    /// What was given up for want of time since the last view.
    shortfall: Shortfall,
    boxes: Vec<SeenBox>,
    report: SceneReport,
    /// What pictures show of it.
    trace: SceneTrace,
    /// The objects that were reported last.
    reported: Reported,
}

impl TrackJudge {
    pub(crate) fn parts(&self) -> &[SignalId] {
        self.settings.parts()
    }
}

/// What is known of the times that frames come with.
#[derive(Debug, Default)]
struct CameraClock {
    /// The newest time that a frame gave, and when that was received first.
    claimed: Option<(UtcMillis, Monotonic)>,
    /// It does not move.
    stands: bool,
    /// Milliseconds by which the newest frame was received after its time.
    lag_ms: i64,
    saved: SavedClock,
}

/// What of it outlives a restart.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct SavedClock {
    /// The newest frame of which no time of its own is trusted, in seconds since 1970.
    received: Option<f64>,
}

impl CameraClock {
    /// The time of a frame. `true`: it is on another clock than that of the frame before.
    fn time(&mut self, captured: Captured, received: Moment) -> (UtcMillis, bool) {
        let claim = captured.at.filter(|_| captured.clock == DeviceClock::Trusted);
        let stood = self.stands;
        match (claim, self.claimed) {
            (Some(claim), Some((known, since))) if claim == known => {
                self.stands |= received.mono.since(since) >= STANDS_STILL;
            }
            (Some(claim), _) => (self.claimed, self.stands) = (Some((claim, received.mono)), false),
            (None, _) => (self.claimed, self.stands) = (None, false),
        }
        let at = claim.filter(|_| !self.stands).unwrap_or(received.wall);
        if claim.is_none() || self.stands {
            self.saved.received = Some(seconds(at));
        }
        self.lag_ms = received.wall.0.saturating_sub(at.0);
        (at, stood != self.stands)
    }

    /// Whose clock the times of an interval rest on that begins then.
    fn basis(&self, from: UtcMillis) -> TimeBasis {
        let received = self.saved.received.is_some_and(|at| at >= seconds(from));
        if received { TimeBasis::Received } else { TimeBasis::Captured }
    }
}

impl TrackJudge {
    pub(crate) fn new(settings: &TrackSettings) -> Self {
        Self {
            settings: settings.clone(),
            scene: Scene::new(Arc::clone(&settings.named.scene)),
            clock: CameraClock::default(),
            causes: CameraCauses::default(),
            forecasts: series_of(settings),
            unexplained: UnexplainedMotion::default(),
            newest: None,
            step: 0.0,
            was_blind: false,
            looked: None,
            shortfall: Shortfall::default(),
            boxes: Vec::new(),
            report: SceneReport::default(),
            trace: SceneTrace::new(settings.scene()),
            reported: Reported::default(),
        }
    }

    /// Looks at what a frame says of its camera, ahead of what its model saw in it.
    pub(crate) fn look(&mut self, look: &CameraLook, received: Moment) {
        self.causes.look(look, received, 1.0);
        let size = FrameSize { width: look.width, height: look.height };
        self.looked = Some((received.mono, size, look.motion.blobs));
        self.shortfall = Shortfall {
            given_up: self.shortfall.given_up.max(look.shortfall.given_up),
            passed_over: self.shortfall.passed_over.saturating_add(look.shortfall.passed_over),
        };
    }

    /// Looks at what its model saw in a frame.
    pub(crate) fn observe(
        &mut self,
        view: &View,
        captured: Captured,
        received: Moment,
        findings: &mut Vec<Finding>,
    ) {
        let looked = self.looked.take().filter(|(of, ..)| *of == received.mono);
        match (view, looked) {
            (View::Detections(_) | View::Still, _) if self.causes.blind().is_some() => {
                return self.observe_blind(captured, received, findings);
            }
            (View::Detections(view), looked) => {
                let at = self.time(captured, received);
                let blobs = looked.map_or(Blobs::NONE, |(_, _, blobs)| blobs);
                self.observe_boxes(view, at, &blobs);
                if let Some((at, _, mut blobs)) = looked {
                    let size = FrameSize { width: view.width, height: view.height };
                    blobs.retain(|blob| blob.reaches(self.settings.region));
                    self.unexplained.look(&blobs, &self.scene, size, at);
                    findings.push(Finding::Condition(self.unexplained.condition()));
                }
            }
            // Its gate has spared the model this frame: too little moves in it.
            (View::Still, Some((_, size, blobs))) => {
                let at = self.time(captured, received);
                self.scene.observe_still(at, size, (&mut self.boxes, &blobs[..]), &mut self.report);
                self.note_shortfall(at);
            }
            _ => return,
        }
        self.was_blind = false;
        if let Some(how) = self.settings.live {
            let has_crossed = !self.report.crossings.is_empty();
            self.reported.look(how, (&self.scene, has_crossed), received.mono, findings);
        }
        self.say(findings);
        self.say_conditions(findings);
    }

    fn observe_boxes(&mut self, view: &Detections, at: f64, blobs: &Blobs) {
        let classes = self.settings.scene().classes();
        self.boxes.clear();
        self.boxes.extend(view.objects.iter().filter_map(|object| {
            let class = classes.iter().position(|class| *class == object.label)?;
            let area = object.area;
            let (left, top) = (f64::from(area.x), f64::from(area.y));
            let (right, bottom) = (left + f64::from(area.width), top + f64::from(area.height));
            Some(SeenBox { class, score: object.score.as_f64(), left, top, right, bottom })
        }));
        let size = FrameSize { width: view.width, height: view.height };
        self.scene.observe_moving(at, size, (&mut self.boxes, &blobs[..]), &mut self.report);
        self.trace.follow(&self.scene, at);
        self.note_shortfall(at);
    }

    fn note_shortfall(&mut self, at: f64) {
        let shortfall = std::mem::take(&mut self.shortfall);
        self.scene.note_overload(at, shortfall.passed_over, shortfall.is_reduced());
    }

    /// The camera is blind in this frame, and has been since before that was known: what happens then is not observed.
    pub(super) fn observe_blind(
        &mut self,
        captured: Captured,
        received: Moment,
        findings: &mut Vec<Finding>,
    ) {
        let at = self.time(captured, received);
        if !std::mem::replace(&mut self.was_blind, true)
            && let Some(Blindness { since, .. }) = self.causes.blind()
        {
            let lag = seconds(UtcMillis(self.clock.lag_ms));
            self.scene.doubt_since(since - lag);
        }
        self.scene.observe_blind(at, &mut self.report);
        self.note_shortfall(at);
        self.say(findings);
    }

    /// The time to reckon with, in seconds since 1970.
    fn time(&mut self, captured: Captured, received: Moment) -> f64 {
        let (at, is_other_clock) = self.clock.time(captured, received);
        if is_other_clock {
            self.scene.doubt_clock();
        }
        let at = seconds(at);
        if let Some(step) = self.newest.replace(at).map(|newest| at - newest).filter(|step| *step > 0.0) {
            self.step = step;
        }
        at
    }

    /// Nothing follows the newest frame, which stands for as long as the one before did.
    pub(crate) fn finish(&mut self, findings: &mut Vec<Finding>) {
        self.scene.finish(self.step, &mut self.report);
        self.say(findings);
    }

    /// Intervals end without frames too.
    pub(crate) fn tick(&mut self, now: Moment, findings: &mut Vec<Finding>) {
        let now = UtcMillis(now.wall.0.saturating_sub(self.clock.lag_ms));
        self.scene.tick(seconds(now), &mut self.report);
        self.say(findings);
    }

    /// What follows is not joined to what was before.
    pub(crate) fn resume(&mut self) {
        self.scene.interrupt();
    }

    fn say(&mut self, findings: &mut Vec<Finding>) {
        self.trace.count(&self.report.crossings);
        self.report.crossings.clear();
        self.report.events.clear();
        for interval in self.report.intervals.drain(..) {
            let basis = self.clock.basis(interval.from);
            let mut traffic = counts::traffic(self.settings.scene(), &interval, basis);
            measures::forecast(&self.settings.named, &mut self.forecasts, &mut traffic);
            measures::report(&self.settings.named, &traffic, findings);
            findings.push(Finding::Traffic(Box::new(traffic)));
        }
    }

    /// How what is watched in zones stands now.
    fn say_conditions(&self, findings: &mut Vec<Finding>) {
        for condition in &self.settings.named.conditions {
            let found = self.objects(condition);
            let standing = if found > condition.most { Standing::Abnormal } else { Standing::Normal };
            let expected = Expected { low: None, high: Some(condition.most) };
            let condition =
                Condition::of_rule(condition.member, standing, found, expected).about(condition.part.clone());
            findings.push(Finding::Condition(condition));
        }
    }

    /// How many objects a condition is about.
    fn objects(&self, condition: &ZoneCondition) -> f64 {
        let open = self.scene.open_events().iter();
        let mut own = open.filter(|event| event.zone == condition.zone && event.kind == condition.kind);
        match condition.kind {
            // It lasts for a moment when it has become too short.
            ZoneEventKind::Queue => own.next().map_or(0.0, |event| event.value.max(condition.most + 1.0)),
            ZoneEventKind::Stopped | ZoneEventKind::WrongWay | ZoneEventKind::Person => {
                own.fold(0.0, |count, _| count + 1.0)
            }
        }
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        let known = (self.scene.state(), self.clock.saved, &self.causes);
        let more = (self.causes.more(), self.was_blind, &self.unexplained);
        let newest = (&self.forecasts, &self.scene.sighting_tallies());
        state::seal(StateKind::Scene, &(known, more, newest, self.causes.reference()))
    }

    pub(crate) fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        type Saved = (SceneState, SavedClock, CameraCauses);
        type More = (CausesMore, bool, UnexplainedMotion);
        type Newest = (Vec<ForecastSeries>, Vec<SightingTally>);
        let mut parts = SavedParts::of(StateKind::Scene, bytes)?;
        let known: Saved = parts.first()?;
        let (more, was_blind, unexplained): More = parts.next()?;
        let (forecasts, sightings): Newest = parts.next()?;
        let reference = parts.next()?;
        let (scene, clock, causes) = known;
        let misfit = RestoreError::Misfit { part: "what is usual of the camera" };
        let causes = causes.restored(more, reference).ok_or(misfit)?;
        self.scene.restore(scene).map_err(|misfit| match misfit {
            SceneMisfit::OtherPlaces => RestoreError::Foreign,
            SceneMisfit::OutOfRange => RestoreError::Misfit { part: "a track or a count" },
        })?;
        self.clock = CameraClock { saved: clock, ..CameraClock::default() };
        (self.causes, self.was_blind, self.unexplained) = (causes, was_blind, unexplained);
        self.scene.restore_sightings(sightings);
        // What is forecast may have changed, and is learnt anew then.
        let of = &self.settings.named.forecast;
        if forecasts.len() == self.forecasts.len() && forecasts.iter().all(|series| series.fits(of)) {
            self.forecasts = forecasts;
        }
        Ok(())
    }

    /// Whether what crosses its lines is seen often enough.
    pub(crate) fn seen_lines(&self) -> Option<SeenLines> {
        let lines: Vec<_> = self.scene.line_sightings().collect();
        (!lines.is_empty()).then(|| SeenLines { frames_per_s: self.scene.frames_per_s(), lines })
    }

    /// What pictures of the camera show of it.
    pub(crate) fn sketch(&self) -> SceneSketch {
        self.trace.sketch(&self.scene)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let forecasts = self.forecasts.iter().map(ForecastSeries::heap_bytes).sum::<usize>()
            + self.forecasts.capacity() * size_of::<ForecastSeries>();
        let boxes = self.boxes.capacity() * size_of::<SeenBox>();
        self.scene.heap_bytes() + self.trace.heap_bytes() + self.reported.heap_bytes() + boxes + forecasts
    }
}

/// One for each line, then one for each zone.
fn series_of(settings: &TrackSettings) -> Vec<ForecastSeries> {
    let forecast = &settings.named.forecast;
    let places = settings.scene().lines().len() + settings.scene().zones().len();
    let count = if forecast.is_empty() { 0 } else { places };
    (0..count).map(|_| ForecastSeries::new(forecast)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
fn seconds(at: UtcMillis) -> f64 {
    at.0 as f64 / 1e3
}

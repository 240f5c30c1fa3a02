//! All judges over frames at work in one thread: the frame is decoded once, each judge's model sees its part of it,
//! and what comes out is read by the model's card.

mod again;
mod error;

use std::sync::Arc;
use std::time::{Duration, Instant};

use verge_domain::frame::{
    Appearance, CameraLook, EncodedFrame, FrameSnapshot, SceneSketch, ShownFrame, SnapshotError,
    SnapshotOrder, View,
};
use verge_domain::id::{JudgeId, JudgeIndex};
use verge_domain::observation::Camera;
use verge_domain::rejection::Reason;
use verge_domain::scheme::ClassScheme;
use verge_domain::stage::{Seen, ViewRequest, Viewer};
use verge_domain::time::Monotonic;
use verge_engine::RecurrentState;
use verge_models::FrameModel;

use crate::annotate::AnnotatedShape;
use crate::candidate::WatchedModel;
use crate::cascade::CascadeSettings;
use crate::classify::ScoredClass;
use crate::detect::CandidateBox;
use crate::gate::{GateSettings, JudgedFrame};
use crate::judge_run::JudgeRun;
use crate::mask::{SourceMasks, masks_of};
use crate::memory::Memory;
use crate::model_run::{ModelRun, OutputReader, SharedModelRun};
use crate::picture::Picture;
use crate::preprocess::Region;
use crate::snapshot::JudgeSight;
use crate::trial::ModelTrial;
use again::{KeptView, behind};
pub use error::{InferenceError, ViewerError};

/// One judge over frames.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionJudge {
    /// Position of its model among the viewer's.
    pub model: usize,
    /// The one that looks in its place under overload, see [`verge_domain::frame::GivenUp::Models`].
    pub smaller: Option<usize>,
    /// The part of the frame it looks at.
    pub region: Region,
    /// Into how many parts a detector cuts it on each side, which it looks at besides the whole: 2, or 1 for none.
    pub tiles: usize,
    /// Crops of a frame that a detector looks at around what it found before and what moves, in the place of the whole; 0: none.
    pub follow: usize,
    /// Labels reported of a classification at most.
    pub top: usize,
    /// Lowest score that counts; `None` takes the card's.
    pub score: Option<f32>,
    /// The only labels that are reported; empty reports all.
    pub labels: Vec<String>,
    /// Classes of its own that the labels of the model become.
    pub classes: Option<ClassScheme>,
    /// Lowest scores of single labels, of its own classes where it has them.
    pub scores: Vec<(String, f32)>,
    /// What spares it frames in which nothing moves; `None` looks at all.
    pub gate: Option<GateSettings>,
    /// The second model that looks at what it finds.
    pub then: Option<Arc<CascadeSettings>>,
}

impl VisionJudge {
    /// Whether these models do what it asks of them.
    ///
    /// # Errors
    /// See [`ViewerError`].
    pub fn check(&self, models: &[Arc<FrameModel>]) -> Result<(), ViewerError> {
        JudgeRun::new(self, models).map(drop)
    }

    /// Looks at whole frames with the model at this position, and reports what its card says.
    #[must_use]
    pub const fn of(model: usize) -> Self {
        Self {
            model,
            smaller: None,
            region: Region::WHOLE,
            tiles: 1,
            follow: 0,
            top: 0,
            score: None,
            labels: Vec::new(),
            classes: None,
            scores: Vec::new(),
            gate: None,
            then: None,
        }
    }
}

/// What a viewer is made of. Workers share it.
#[derive(Debug, Clone)]
pub struct ViewerSettings {
    /// The models.
    pub models: Vec<Arc<FrameModel>>,
    /// The judges, by their index; `None` where one looks at no frames.
    pub judges: Vec<Option<VisionJudge>>,
    /// The judges that want to know what frames say of their cameras, by their index.
    pub looks: Vec<bool>,
    /// What of pictures is hidden before anything sees them.
    pub masks: SourceMasks,
    /// The names of the judges over frames, by their index.
    pub names: Vec<Option<JudgeId>>,
    /// Memory that decoding one picture may take; each worker decodes one at a time.
    pub max_picture_bytes: usize,
    /// Models of which a version has to prove itself.
    pub watched: Vec<WatchedModel>,
}

/// The judges over frames of one worker.
pub struct FrameViewer {
    judges: Vec<Option<JudgeRun>>,
    models: Vec<SharedModelRun>,
    looks: Vec<bool>,
    masks: SourceMasks,
    names: Vec<Option<JudgeId>>,
    picture: Picture,
    watched: Vec<WatchedModel>,
    /// What judges saw in the last frame of whose models a version is on trial.
    kept: Vec<KeptView>,
    /// When the last frame was received.
    last: Monotonic,
    /// Time that versions on trial have taken of the last frame without an answer.
    given_back: Duration,
}

/// What one judge saw, before it is rounded for a verdict. For measuring.
#[derive(Debug)]
pub enum Inference {
    /// Classes, best first.
    Classes(Vec<ScoredClass>),
    /// Objects, surest first.
    Objects(Vec<CandidateBox>),
    /// Mean square error of what the model made of the frame.
    Reconstruction(f64),
    /// How unusual it is, and where.
    Appearance(Appearance),
}

impl FrameViewer {
    /// Opens a runner of each model and prepares the judges.
    ///
    /// # Errors
    /// See [`ViewerError`].
    pub fn new(settings: &ViewerSettings) -> Result<Self, ViewerError> {
        Self::beside(settings, |_| false)
    }

    /// A viewer that comes in the place of one that has a runner of these models, see [`Viewer::take_over`].
    ///
    /// # Errors
    /// See [`ViewerError`].
    pub fn beside(
        settings: &ViewerSettings,
        has: impl Fn(&Arc<FrameModel>) -> bool,
    ) -> Result<Self, ViewerError> {
        let run = |model: &Arc<FrameModel>| {
            let run = if has(model) { None } else { Some(ModelRun::new(model)?) };
            Ok((Arc::clone(model), run))
        };
        let models = settings.models.iter().map(run).collect::<Result<Vec<_>, ViewerError>>()?;
        let mut judges: Vec<_> = settings
            .judges
            .iter()
            .map(|judge| {
                let run = |judge| JudgeRun::on_trial(judge, &settings.models, &settings.watched);
                judge.as_ref().map(run).transpose()
            })
            .collect::<Result<_, _>>()?;
        JudgeRun::share(&mut judges);
        let ViewerSettings { looks, masks, names, max_picture_bytes, watched, .. } = settings.clone();
        let picture = Picture::within(max_picture_bytes);
        let (kept, last, given_back) = (Vec::new(), Monotonic(0), Duration::ZERO);
        let mut viewer =
            Self { judges, models, looks, masks, names, picture, watched, kept, last, given_back };
        viewer.watch_runs();
        Ok(viewer)
    }

    /// The frame that was last decoded.
    #[must_use]
    pub const fn picture(&self) -> &Picture {
        &self.picture
    }

    /// What of pictures is hidden.
    #[must_use]
    pub const fn masks(&self) -> &SourceMasks {
        &self.masks
    }

    /// Lets one judge look at the frame that was last decoded, down to this score, and gives what it saw as numbers.
    ///
    /// # Errors
    /// See [`InferenceError`].
    ///
    /// # Panics
    /// If this judge looks at no frames, or the viewer is not whole.
    pub fn infer(
        &mut self,
        judge: JudgeIndex,
        least: f32,
        state: &mut RecurrentState,
        until: Option<Instant>,
    ) -> Result<Inference, InferenceError> {
        let run = self.judges[judge.position()].as_ref().expect("the caller names judges of frames only");
        let model = self.models[run.model].1.as_mut().expect("a whole viewer");
        model.find_in_tiles(&self.picture, &run.tiles, least, until)?;
        let placement = model.preprocess.fill(&self.picture, run.region, model.runner.input());
        let (top, map_above) = (run.top, run.map_above);
        let size = (self.picture.width(), self.picture.height());
        let reader = &mut model.reader;
        model.runner.run(state, until, |outputs| match reader {
            OutputReader::Classifier(classifier) => {
                let (_, elements) = outputs.get(0)?;
                Ok(Inference::Classes(classifier.top(elements, top)?))
            }
            OutputReader::Detector(detector) => {
                detector.find(outputs, placement, least)?;
                Ok(Inference::Objects(detector.join_tiles().to_vec()))
            }
            OutputReader::Comparison(comparison) => {
                Ok(Inference::Reconstruction(comparison.mean_square_error(outputs)?))
            }
            OutputReader::Appearance(reader) => {
                Ok(Inference::Appearance(reader.read(outputs, placement, map_above, size)?))
            }
        })
    }

    /// Lets a model look at a grey picture of no meaning; see [`ModelTrial`].
    ///
    /// # Errors
    /// See [`InferenceError`].
    ///
    /// # Panics
    /// If there is no model at this position, or the viewer is not whole.
    pub fn try_out(&mut self, model: usize, until: Option<Instant>) -> Result<ModelTrial, InferenceError> {
        self.models[model].1.as_mut().expect("a whole viewer").try_out(until)
    }

    /// The map that a judge's model made of the frame that was last decoded, where it is one of visual anomalies.
    #[must_use]
    pub fn heat_map(&self, judge: JudgeIndex) -> Option<AnnotatedShape> {
        let run = self.judges.get(judge.position())?.as_ref()?;
        // The version on trial, where that looked.
        let by_candidate = self.kept_of(judge).is_some_and(|kept| kept.by_candidate);
        let run = run.candidate.as_ref().filter(|_| by_candidate).map_or(run, |(candidate, _)| &**candidate);
        let model = self.models.get(run.model)?.1.as_ref()?;
        if model.looked_for != Some(judge) {
            return None;
        }
        model.reader.heat_map((self.picture.width(), self.picture.height()))
    }

    /// Decodes a frame for [`FrameViewer::infer`].
    ///
    /// # Errors
    /// The frame cannot be decoded.
    pub fn decode(&mut self, frame: &EncodedFrame) -> Result<(), crate::PictureError> {
        self.begin_frame();
        self.picture.decode(frame)
    }

    /// How often its models were run for judges. For measuring.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.models.iter().filter_map(|(_, run)| run.as_ref()).map(|run| run.runs).sum()
    }

    /// Whether a judge wants to know what frames say of their camera.
    fn looks_at_camera(&self, judge: JudgeIndex) -> bool {
        self.looks.get(judge.position()).is_some_and(|looks| *looks)
    }

    /// Whether what moves in a frame decides how a judge looks at it.
    fn needs_motion(&self, judge: JudgeIndex) -> bool {
        let run = self.judges.get(judge.position()).and_then(Option::as_ref);
        run.is_some_and(|run| run.gate.is_some() || run.follow > 0)
    }

    fn has_gate(&self, judge: JudgeIndex) -> bool {
        self.judges.get(judge.position()).and_then(Option::as_ref).is_some_and(|run| run.gate.is_some())
    }
}

impl Viewer for FrameViewer {
    type Memory = Memory;

    fn view(&mut self, request: ViewRequest<'_>, memory: &mut Memory, seen: &mut Seen) -> Result<(), Reason> {
        let ViewRequest { camera, frame, received, judges, until, shortfall } = request;
        self.decode(frame).map_err(|error| {
            tracing::debug!(device = %frame.device, %error, "frame refused");
            error.reason()
        })?;
        memory.hidden.fill(&self.masks, camera, &mut self.picture);
        memory.keep(judges);
        // Not that of capture, which stands still with some cameras' pictures.
        let at = received.mono;
        let look = if judges.iter().any(|judge| self.looks_at_camera(*judge) || self.needs_motion(*judge)) {
            let watch = memory.watch.get_or_insert_default();
            Some(watch.look_past(memory.hidden.samples(), &self.picture, at))
        } else {
            memory.watch = None;
            None
        };
        let look = look.map(|look| CameraLook { shortfall, ..look });
        seen.look = look.filter(|_| judges.iter().any(|judge| self.looks_at_camera(*judge)));
        let of = JudgedFrame {
            motion: look.as_ref().map(|look| &look.motion),
            at,
            until,
            given_up: shortfall.given_up,
        };
        let mut fault = None;
        self.last = at;
        for &judge in judges {
            let Some(looked) = self.look_for(judge, &camera.device, of, (memory, seen)) else { continue };
            match looked {
                Ok(view) => {
                    let is_still = view == View::Still;
                    seen.gates.skipped += u64::from(is_still);
                    seen.gates.passed += u64::from(!is_still && self.has_gate(judge));
                    // A judge that knows of the camera counts it as seen; to others it says nothing.
                    let says = !is_still || self.looks_at_camera(judge);
                    seen.views.extend(says.then_some((judge, view)));
                }
                Err(error) => {
                    tracing::debug!(device = %frame.device, judge = judge.0, %error, "a judge saw nothing");
                    fault.get_or_insert(error.reason());
                }
            }
        }
        fault.map_or(Ok(()), Err)
    }

    fn snapshot(
        &self,
        (camera, judges): (&Camera, &[JudgeIndex]),
        order: &SnapshotOrder,
        seen: (&Seen, &[(JudgeIndex, SceneSketch)]),
    ) -> Result<FrameSnapshot, SnapshotError> {
        let (seen, sketches) = seen;
        let sights = judges.iter().filter_map(|judge| {
            let name = self.names.get(judge.position()).and_then(Option::as_ref)?;
            let view = seen.views.iter().find(|(of, _)| of == judge).map(|(_, view)| view);
            let view = view.filter(|view| **view != View::Still);
            let sketch = sketches.iter().find(|(of, _)| of == judge).map(|(_, sketch)| sketch);
            // Without a view of this frame its heat map is of another.
            Some(JudgeSight { name, view, sketch, heat: view.and_then(|_| self.heat_map(*judge)) })
        });
        crate::snapshot::take((&self.picture, camera), &self.masks, &sights.collect::<Vec<_>>(), order)
    }

    fn show(
        &self,
        (camera, judges): (&Camera, &[JudgeIndex]),
        frame: &EncodedFrame,
        seen: &Seen,
    ) -> Option<ShownFrame> {
        let masked = masks_of(&self.masks, camera).next().is_some();
        // With a mask the camera's own bytes are nobody's to see.
        let jpeg = if masked { crate::snapshot::redrawn(&self.picture)?.into() } else { frame.bytes.clone() };
        let name = |judge: &JudgeIndex| self.names.get(judge.position()).and_then(Option::as_ref);
        let views = seen.views.iter().filter(|(judge, _)| judges.contains(judge));
        let views = views.filter_map(|(judge, view)| Some((name(judge)?.clone(), view.clone())));
        let (width, height) = (self.picture.width(), self.picture.height());
        Some(ShownFrame { jpeg, width, height, masked, views: views.collect() })
    }

    fn has_trial(&self) -> bool {
        !self.kept.is_empty()
    }

    fn look_again(&mut self, (camera, _): (&Camera, &[JudgeIndex]), until: Instant) {
        behind(|| self.compare_versions(&camera.device, until));
    }

    fn rest(&mut self) {
        self.picture.rest();
    }

    fn take_over(&mut self, mut former: Self) -> bool {
        for (model, run) in self.models.iter_mut().filter(|(_, run)| run.is_none()) {
            let held = former.models.iter_mut().find(|(known, _)| Arc::ptr_eq(known, model));
            *run = held.and_then(|(_, run)| run.take());
        }
        self.watch_runs();
        self.models.iter().all(|(_, run)| run.is_some())
    }
}

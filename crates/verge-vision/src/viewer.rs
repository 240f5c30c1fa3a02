//! All judges over frames at work in one thread: the frame is decoded once, each judge's model sees its part of it,
//! and what comes out is read by the model's card.

use std::sync::Arc;
use std::time::Instant;

use verge_domain::frame::{
    Appearance, EncodedFrame, FrameSnapshot, SceneSketch, SnapshotError, SnapshotOrder, View,
};
use verge_domain::id::{JudgeId, JudgeIndex};
use verge_domain::observation::Camera;
use verge_domain::rejection::Reason;
use verge_domain::scheme::ClassScheme;
use verge_domain::stage::{Seen, ViewRequest, Viewer};
use verge_engine::{GraphError, RecurrentState, RunError};
use verge_models::FrameModel;

use crate::annotate::AnnotatedShape;
use crate::classify::{BadOutput, ScoredClass};
use crate::detect::{Candidate, DetectError};
use crate::gate::{GateSettings, JudgedFrame};
use crate::judge_run::JudgeRun;
use crate::mask::SourceMasks;
use crate::memory::Memory;
use crate::model_run::{ModelRun, OutputReader};
use crate::picture::Picture;
use crate::preprocess::Region;
use crate::snapshot::JudgeSight;
use crate::trial::ModelTrial;

/// One judge over frames.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionJudge {
    /// Position of its model among the viewer's.
    pub model: usize,
    /// The part of the frame it looks at.
    pub region: Region,
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
}

impl VisionJudge {
    /// Looks at whole frames with the model at this position, and reports what its card says.
    #[must_use]
    pub const fn of(model: usize) -> Self {
        Self {
            model,
            region: Region::WHOLE,
            top: 0,
            score: None,
            labels: Vec::new(),
            classes: None,
            scores: Vec::new(),
            gate: None,
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
}

/// Why there is no viewer.
#[derive(Debug, thiserror::Error)]
pub enum ViewerError {
    /// No runner of a model.
    #[error(transparent)]
    Model(#[from] GraphError),
    /// A judge asks for a label that its model does not have.
    #[error("its model has no label {label:?}{}", nearest_words(nearest))]
    UnknownLabel {
        /// The label.
        label: String,
        /// Labels of the model that may be meant.
        nearest: Vec<String>,
    },
}

/// What may be meant, in words.
fn nearest_words(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; nearest: {}", nearest.join(", ")) }
}

/// The judges over frames of one worker.
pub struct FrameViewer {
    judges: Vec<Option<JudgeRun>>,
    /// `None` where the viewer in whose place it comes has a runner.
    models: Vec<(Arc<FrameModel>, Option<ModelRun>)>,
    looks: Vec<bool>,
    masks: SourceMasks,
    names: Vec<Option<JudgeId>>,
    picture: Picture,
}

/// What one judge saw, before it is rounded for a verdict. For measuring.
#[derive(Debug)]
pub enum Inference {
    /// Classes, best first.
    Classes(Vec<ScoredClass>),
    /// Objects, surest first.
    Objects(Vec<Candidate>),
    /// Mean square error of what the model made of the frame.
    Reconstruction(f64),
    /// How unusual it is, and where.
    Appearance(Appearance),
}

/// Why one judge saw nothing.
#[derive(Debug, thiserror::Error)]
pub enum InferenceError {
    /// The model did not run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Its outputs mean nothing.
    #[error(transparent)]
    Bad(#[from] BadOutput),
}

impl InferenceError {
    /// The reason it is counted under.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Run(RunError::Deadline) => Reason::Overrun,
            Self::Run(RunError::Failed(_)) => Reason::ModelFailed,
            Self::Run(RunError::Output { .. }) | Self::Bad(_) => Reason::BadOutput,
        }
    }
}

impl From<DetectError> for InferenceError {
    fn from(error: DetectError) -> Self {
        match error {
            DetectError::Output(error) => Self::Run(error),
            DetectError::Bad(error) => Self::Bad(error),
        }
    }
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
        let judges = settings
            .judges
            .iter()
            .map(|judge| judge.as_ref().map(|judge| JudgeRun::new(judge, &settings.models)).transpose())
            .collect::<Result<_, _>>()?;
        let ViewerSettings { looks, masks, names, max_picture_bytes, .. } = settings.clone();
        Ok(Self { judges, models, looks, masks, names, picture: Picture::within(max_picture_bytes) })
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
                Ok(Inference::Objects(detector.find(outputs, placement, least)?.to_vec()))
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
        self.picture.decode(frame)
    }

    /// Whether a judge wants to know what frames say of their camera.
    fn looks_at_camera(&self, judge: JudgeIndex) -> bool {
        self.looks.get(judge.position()).is_some_and(|looks| *looks)
    }

    fn has_gate(&self, judge: JudgeIndex) -> bool {
        self.judges.get(judge.position()).and_then(Option::as_ref).is_some_and(|run| run.gate.is_some())
    }

    fn find(
        &mut self,
        judge: JudgeIndex,
        of: JudgedFrame<'_>,
        memory: &mut Memory,
    ) -> Result<Option<View>, InferenceError> {
        let Some(Some(run)) = self.judges.get(judge.position()) else { return Ok(None) };
        let (shared, model) = &mut self.models[run.model];
        let model = model.as_mut().expect("a whole viewer");
        let remembered = memory.of(judge, shared, run.region);
        if let Some(settings) = &run.gate
            && !remembered.gate.is_open(settings, of, run.region)
        {
            return Ok(Some(View::Still));
        }
        let size = (self.picture.width(), self.picture.height());
        let placement = model.preprocess.fill(&self.picture, run.region, model.runner.input());
        let reader = &mut model.reader;
        let mut view = model.runner.run(&mut remembered.state, of.until, |outputs| match reader {
            OutputReader::Classifier(classifier) => {
                let (_, elements) = outputs.get(0)?;
                let view = classifier.classify(elements, run.top, run.score)?;
                Ok::<_, InferenceError>(View::Classification(view))
            }
            OutputReader::Detector(detector) => {
                let view = detector.detect(outputs, placement, &run.objects, size)?;
                Ok(View::Detections(view))
            }
            OutputReader::Comparison(comparison) => {
                Ok(View::Reconstruction(comparison.mean_square_error(outputs)?))
            }
            OutputReader::Appearance(reader) => {
                Ok(View::Appearance(reader.read(outputs, placement, run.map_above, size)?))
            }
        })?;
        model.looked_for = Some(judge);
        if !run.labels.is_empty() {
            match &mut view {
                View::Classification(view) => view.labels.retain(|one| run.labels.contains(&one.label)),
                View::Detections(view) => view.objects.retain(|one| run.labels.contains(&one.label)),
                View::Reconstruction(_) | View::Appearance(_) | View::Still => {}
            }
        }
        remembered.gate.looked(&view, of);
        Ok(Some(view))
    }
}

impl Viewer for FrameViewer {
    type Memory = Memory;

    fn view(&mut self, request: ViewRequest<'_>, memory: &mut Memory, seen: &mut Seen) -> Result<(), Reason> {
        let ViewRequest { camera, frame, received, judges, until } = request;
        self.decode(frame).map_err(|error| {
            tracing::debug!(device = %frame.device, %error, "frame refused");
            error.reason()
        })?;
        memory.hidden.fill(&self.masks, camera, &mut self.picture);
        memory.keep(judges);
        let at = frame.captured().time(received.wall);
        let look = if judges.iter().any(|judge| self.looks_at_camera(*judge) || self.has_gate(*judge)) {
            Some(memory.watch.get_or_insert_default().look(&self.picture, at))
        } else {
            memory.watch = None;
            None
        };
        seen.look = look.filter(|_| judges.iter().any(|judge| self.looks_at_camera(*judge)));
        let of = JudgedFrame { motion: look.as_ref().map(|look| &look.motion), at, until };
        let mut fault = None;
        for &judge in judges {
            match self.find(judge, of, memory) {
                Ok(view) => {
                    let is_still = view == Some(View::Still);
                    seen.gates.skipped += u64::from(is_still);
                    seen.gates.passed += u64::from(!is_still && self.has_gate(judge));
                    // A judge that knows of the camera counts it as seen; to others it says nothing.
                    let says = !is_still || self.looks_at_camera(judge);
                    seen.views.extend(view.filter(|_| says).map(|view| (judge, view)));
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

    fn rest(&mut self) {
        self.picture.rest();
    }

    fn take_over(&mut self, mut former: Self) -> bool {
        for (model, run) in self.models.iter_mut().filter(|(_, run)| run.is_none()) {
            let held = former.models.iter_mut().find(|(known, _)| Arc::ptr_eq(known, model));
            *run = held.and_then(|(_, run)| run.take());
        }
        self.models.iter().all(|(_, run)| run.is_some())
    }
}

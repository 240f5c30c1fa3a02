//! A second model that looks at objects which a first one has found: it is given their crops, a few a frame, and names their
//! kinds. Crops live no longer than the call that cuts them out.

mod places;

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use verge_domain::frame::{Detections, PixelBox};
use verge_domain::id::Label;
use verge_domain::scheme::{ClassScheme, unknown_label};
use verge_domain::stage::CropCount;
use verge_engine::{RecurrentState, RunError};
use verge_models::FrameModel;
use verge_models::card::ModelTask;

use crate::gate::JudgedFrame;
use crate::model_run::{ModelRun, OutputReader};
use crate::picture::Picture;
use crate::preprocess::Region;
use crate::viewer::{InferenceError, ViewerError};
use places::{CropPlaces, DueCrop};

/// Lowest score of a kind that counts where neither the judge nor the card of the second model sets one.
const LEAST_SCORE: f32 = 0.5;

/// A second model that looks at what a first one has found.
#[derive(Debug, Clone, PartialEq)]
pub struct CascadeSettings {
    /// Position of the second model among the viewer's: a classifier.
    pub model: usize,
    /// Which objects it looks at, by the classes of the judge or the labels of the first model; empty: all.
    pub labels: Vec<String>,
    /// What of an object's surroundings it sees on each side, as a share of the object's side.
    pub margin: f32,
    /// Crops of one frame at most.
    pub at_most: usize,
    /// It looks at each object this often; `None`: at first sight, and again at a crop that is better by a factor of two.
    pub every: Option<Duration>,
    /// Lowest score that names a kind; `None` takes the second model's card's.
    pub score: Option<f32>,
    /// Kinds of the user's own that the labels of the second model become.
    pub kinds: Option<ClassScheme>,
    /// Whether an object keeps the kind that was last found, in frames in which the second model does not look at it. What
    /// follows objects itself is given each answer once.
    pub keeps: bool,
}

/// The same, held against its model.
pub(crate) struct Cascade {
    settings: Arc<CascadeSettings>,
    score: f32,
    /// Classes whose objects it looks at.
    classes: Vec<Label>,
    /// The kind that each label of its model means.
    kind_of: Vec<Option<Label>>,
}

/// What is kept of the objects of one camera that a second model looks at.
#[derive(Debug, Default)]
pub(crate) struct CascadeMemory {
    /// What it was kept by.
    of: Weak<CascadeSettings>,
    places: CropPlaces,
}

impl Cascade {
    /// `names`: what the objects of the judge are called.
    pub(crate) fn new(
        settings: &Arc<CascadeSettings>,
        names: &[Label],
        models: &[Arc<FrameModel>],
    ) -> Result<Self, ViewerError> {
        let model = &models[settings.model];
        let task = model.frames().task;
        let called = || model.card().identity.name.to_string();
        if task != ModelTask::Classify {
            let model = called();
            return Err(ViewerError::NoClassifier { model, task: task.as_str() });
        }
        let scheme = settings.kinds.as_ref();
        if let Some(unknown) = scheme.and_then(|kinds| kinds.unknown(model.labels()).into_iter().next()) {
            let (model, label, nearest) = (called(), unknown.label, unknown.nearest);
            return Err(ViewerError::UnknownKind { model, label, nearest });
        }
        if let Some(unknown) = settings.labels.iter().find_map(|label| unknown_label(label, names)) {
            return Err(ViewerError::UnknownLabel { label: unknown.label, nearest: unknown.nearest });
        }
        let is_wanted = |name: &&Label| {
            settings.labels.is_empty() || settings.labels.iter().any(|label| label == name.as_str())
        };
        let classes: Vec<Label> = names.iter().filter(is_wanted).cloned().collect();
        let kind = |label: &Label| match scheme {
            Some(scheme) => scheme.class_of(label.as_str()).map(|kind| scheme.names()[kind].clone()),
            None => Some(label.clone()),
        };
        let kind_of: Vec<Option<Label>> = model.labels().iter().map(kind).collect();
        let longest = |one: &&Label| one.as_str().len();
        if let (Some(class), Some(kind)) =
            (classes.iter().max_by_key(longest), kind_of.iter().flatten().max_by_key(longest))
        {
            class.kind(kind)?;
        }
        let score = settings.score.or(model.frames().output.score).unwrap_or(LEAST_SCORE);
        Ok(Self { settings: Arc::clone(settings), score, classes, kind_of })
    }

    /// Position of its model among the viewer's.
    pub(crate) fn model(&self) -> usize {
        self.settings.model
    }

    /// Names the kinds of the objects of a frame, as far as its second model looks at them.
    pub(crate) fn name_kinds(
        &self,
        model: &mut ModelRun,
        (picture, of): (&Picture, JudgedFrame<'_>),
        view: &mut Detections,
        memory: &mut CascadeMemory,
        count: &mut CropCount,
    ) {
        if memory.of.as_ptr() != Arc::as_ptr(&self.settings) {
            *memory = CascadeMemory { of: Arc::downgrade(&self.settings), ..CascadeMemory::default() };
        }
        let places = &mut memory.places;
        let is_wanted = |label: &Label| self.classes.contains(label);
        places.follow(picture, (&view.objects, is_wanted), of.at, self.settings.every);
        let budget = self.settings.at_most.min(places.due().len());
        let mut looked = 0;
        while looked < budget {
            let due @ DueCrop { object, .. } = places.due()[looked];
            if of.until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            match self.classify(model, picture, view.objects[object].area, of.until) {
                Ok(kind) => {
                    count.classified += 1;
                    places.note(due, &view.objects[object].label, kind);
                }
                // It is out of time: the object is looked at in the next frame.
                Err(InferenceError::Run(RunError::Deadline)) => break,
                Err(error) => {
                    tracing::debug!(%error, "a crop was not classified");
                    count.failed += 1;
                    places.note(due, &view.objects[object].label, None);
                }
            }
            looked += 1;
        }
        count.postponed += (places.due().len() - looked) as u64;
        places.write(&mut view.objects, self.settings.keeps);
    }

    /// The kind that a part of the picture shows, where the second model is sure enough.
    fn classify(
        &self,
        model: &mut ModelRun,
        picture: &Picture,
        area: PixelBox,
        until: Option<Instant>,
    ) -> Result<Option<&Label>, InferenceError> {
        let ModelRun { runner, preprocess, reader, looked_for, .. } = model;
        let OutputReader::Classifier(classifier) = reader else { return Ok(None) };
        *looked_for = None;
        let crop = widened(area, self.settings.margin, (picture.width(), picture.height()));
        preprocess.fill(picture, crop, runner.input());
        let best = runner.run(&mut RecurrentState::default(), until, |outputs| {
            let (_, elements) = outputs.get(0)?;
            Ok::<_, InferenceError>(classifier.best(elements)?)
        })?;
        let sure = best.filter(|best| best.probability >= self.score);
        Ok(sure.and_then(|best| self.kind_of.get(best.label)?.as_ref()))
    }
}

/// A box with what surrounds it, within the picture.
#[expect(clippy::cast_precision_loss, reason = "pixels of a frame, 65,535 a side at most")]
fn widened(area: PixelBox, margin: f32, (width, height): (u32, u32)) -> Region {
    let side = |from: u32, length: u32, all: u32| {
        let (from, length, all) = (from as f32, length as f32, all.max(1) as f32);
        let (low, high) = (from - margin * length, from + (1.0 + margin) * length);
        ((low / all).clamp(0.0, 1.0), (high / all).clamp(0.0, 1.0))
    };
    let (left, right) = side(area.x, area.width, width);
    let (top, bottom) = side(area.y, area.height, height);
    Region { left, top, right, bottom }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crop_has_its_margin_as_far_as_the_picture_reaches() {
        let area = PixelBox { x: 40, y: 0, width: 20, height: 50 };
        assert_eq!(widened(area, 0.5, (100, 100)), Region { left: 0.3, top: 0.0, right: 0.7, bottom: 0.75 });
        let whole = PixelBox { x: 0, y: 0, width: 100, height: 100 };
        assert_eq!(widened(whole, 1.0, (100, 100)), Region::WHOLE);
        assert_eq!(widened(area, 0.0, (100, 100)), Region { left: 0.4, top: 0.0, right: 0.6, bottom: 0.5 });
    }
}

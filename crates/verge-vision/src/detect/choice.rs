//! Which objects of a frame a judge reports, and as what: thresholds per label, and classes of a user's own.

use verge_domain::id::Label;
use verge_domain::scheme::ClassScheme;
use verge_models::FrameModel;
use verge_models::card::Nms;

use super::{CandidateBox, select};

/// Overlap of boxes of one object, where the card states none: the model has suppressed its own classes alone.
pub(super) const SAME_OBJECT: f32 = 0.6;

/// What a judge reports of a model's objects.
#[derive(Debug, Clone)]
pub(crate) struct ObjectChoice {
    /// Lowest of all thresholds.
    least: f32,
    /// Lowest score of each label, or of each class.
    scores: Vec<f32>,
    classes: Option<ClassesOfLabels>,
}

/// A scheme over the labels of one model.
#[derive(Debug, Clone)]
struct ClassesOfLabels {
    names: Vec<Label>,
    /// The class of each label; `None` where the scheme does not list it.
    of: Vec<Option<usize>>,
    iou: f32,
}

impl ObjectChoice {
    /// `scores`: the lowest score of each label of the model or, with a scheme, of each of its classes.
    pub(crate) fn new(scores: Vec<f32>, scheme: Option<&ClassScheme>, model: &FrameModel) -> Self {
        let least = scores.iter().copied().fold(1.0, f32::min);
        let classes = scheme.map(|scheme| ClassesOfLabels {
            names: scheme.names().to_vec(),
            of: model.labels().iter().map(|label| scheme.class_of(label.as_str())).collect(),
            iou: model.frames().output.nms.map_or(SAME_OBJECT, |nms| nms.iou),
        });
        Self { least, scores, classes }
    }

    /// The lowest score that can count.
    pub(crate) const fn least(&self) -> f32 {
        self.least
    }

    /// The names that labels of its objects stand for, where they are not the model's.
    pub(super) fn names(&self) -> Option<&[Label]> {
        self.classes.as_ref().map(|classes| &classes.names[..])
    }

    /// Leaves those that are sure enough for their label. Of boxes of one object that the model gives several labels the
    /// surest stays, whatever their classes.
    pub(super) fn apply(&self, candidates: &mut Vec<CandidateBox>) {
        candidates.retain_mut(|candidate| {
            let label = match &self.classes {
                Some(classes) => classes.of.get(candidate.label).copied().flatten(),
                None => Some(candidate.label),
            };
            candidate.label = label.unwrap_or_default();
            label.is_some_and(|label| self.scores.get(label).is_some_and(|least| candidate.score >= *least))
        });
        if let Some(classes) = &self.classes {
            select(candidates, Some(Nms { iou: classes.iou, per_class: false }));
        }
    }
}

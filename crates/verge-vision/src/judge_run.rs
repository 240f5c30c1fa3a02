//! One judge over frames, held against its model and ready to look.

use std::sync::Arc;

use verge_domain::id::Label;
use verge_domain::scheme::{ClassScheme, UnknownLabel, unknown_label};
use verge_models::FrameModel;
use verge_models::card::ModelTask;

use crate::detect::{DEFAULT_SCORE, ObjectChoice};
use crate::gate::GateSettings;
use crate::preprocess::Region;
use crate::viewer::{ViewerError, VisionJudge};

/// One judge, ready to look.
pub(crate) struct JudgeRun {
    pub(crate) model: usize,
    pub(crate) region: Region,
    pub(crate) top: usize,
    pub(crate) score: f32,
    pub(crate) labels: Vec<Label>,
    pub(crate) objects: ObjectChoice,
    /// Lowest value of a map that belongs to a region, where one is set.
    pub(crate) map_above: Option<f32>,
    pub(crate) gate: Option<GateSettings>,
}

impl JudgeRun {
    pub(crate) fn new(judge: &VisionJudge, models: &[Arc<FrameModel>]) -> Result<Self, ViewerError> {
        let model = &models[judge.model];
        let names = judge.classes.as_ref().map_or(model.labels(), ClassScheme::names);
        let known = |label: &str, names: &[Label]| match unknown_label(label, names) {
            None => Ok(()),
            Some(UnknownLabel { label, nearest }) => Err(ViewerError::UnknownLabel { label, nearest }),
        };
        if let Some(UnknownLabel { label, nearest }) =
            judge.classes.iter().flat_map(|classes| classes.unknown(model.labels())).next()
        {
            return Err(ViewerError::UnknownLabel { label, nearest });
        }
        let label =
            |label: &String| known(label, names).map(|()| Label::new(label).expect("it is one of the names"));
        let stated = judge.score.or(model.frames().output.score);
        let score = stated.unwrap_or(match model.frames().task {
            // The best few classes are an answer whatever their probability.
            ModelTask::Classify | ModelTask::Reconstruct | ModelTask::Anomaly => 0.0,
            ModelTask::Detect => DEFAULT_SCORE,
        });
        let mut scores = vec![score; names.len()];
        for (label, score) in &judge.scores {
            known(label, names)?;
            let of = scores.iter_mut().zip(names).find(|(_, name)| name.as_str() == label);
            *of.expect("it is one of the names").0 = *score;
        }
        let objects = ObjectChoice::new(scores, judge.classes.as_ref(), model);
        let labels = judge.labels.iter().map(label).collect::<Result<_, _>>()?;
        let VisionJudge { model, region, top, gate, .. } = *judge;
        Ok(Self { model, region, top, score, labels, objects, map_above: stated, gate })
    }
}

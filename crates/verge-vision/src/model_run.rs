//! One model, ready to be looked through: its runner, how pictures go in, how outputs are read.

use std::sync::Arc;
use std::time::Instant;

use verge_domain::id::JudgeIndex;
use verge_engine::{RecurrentState, Runner};
use verge_models::FrameModel;
use verge_models::card::{ModelTask, OutputForm};

use crate::annotate::AnnotatedShape;
use crate::appearance::AppearanceReader;
use crate::candidate::RunWatch;
use crate::classify::Classifier;
use crate::detect::{ObjectDetector, Tile};
use crate::picture::Picture;
use crate::preprocess::{Preprocess, Region};
use crate::reconstruct::Comparison;
use crate::viewer::{InferenceError, ViewerError};

/// A model and this worker's run of it; `None` where the viewer in whose place it comes has that.
pub(crate) type SharedModelRun = (Arc<FrameModel>, Option<ModelRun>);

/// One model, ready to be looked through.
pub(crate) struct ModelRun {
    pub(crate) runner: Runner,
    pub(crate) preprocess: Preprocess,
    pub(crate) reader: OutputReader,
    /// The judge for which it looked last.
    pub(crate) looked_for: Option<JudgeIndex>,
    /// Where it looked in this frame, while what it found is kept for other judges.
    pub(crate) found: Option<LookedPart>,
    /// How often it was run.
    pub(crate) runs: u64,
    /// Width and height of its input in pixels.
    pub(crate) size: (u32, u32),
    /// Where its runs are noted, where a version has to prove itself.
    pub(crate) watch: Option<RunWatch>,
}

/// What of a frame a detector looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LookedPart {
    pub(crate) region: Region,
    pub(crate) tiles: usize,
}

pub(crate) enum OutputReader {
    Classifier(Box<Classifier>),
    Detector(Box<ObjectDetector>),
    Comparison(Comparison),
    Appearance(Box<AppearanceReader>),
}

impl OutputReader {
    /// The map of the frame that was last looked at, of this size, where the model makes one.
    pub(crate) fn heat_map(&self, frame: (u32, u32)) -> Option<AnnotatedShape> {
        match self {
            Self::Appearance(reader) => reader.heat_map(frame),
            Self::Classifier(_) | Self::Detector(_) | Self::Comparison(_) => None,
        }
    }
}

impl ModelRun {
    pub(crate) fn new(model: &Arc<FrameModel>) -> Result<Self, ViewerError> {
        let (card, width, height) = (model.frames(), model.width(), model.height());
        let labels = model.labels().to_vec();
        let output = card.output.clone();
        let reader = match card.task {
            ModelTask::Classify => OutputReader::Classifier(Box::new(Classifier::new(output, labels))),
            ModelTask::Detect => {
                OutputReader::Detector(Box::new(ObjectDetector::new(output, labels, width, height)))
            }
            ModelTask::Reconstruct => {
                OutputReader::Comparison(Comparison::new(card.input.quantisation, card.output.quantisation))
            }
            ModelTask::Anomaly => {
                let OutputForm::Anomaly(form) = card.output.form else {
                    unreachable!("its decoder is of its task")
                };
                let reader = AppearanceReader::new(form, card.output.quantisation, (width, height));
                OutputReader::Appearance(Box::new(reader))
            }
        };
        let preprocess = Preprocess::new(&card.input, width, height);
        let size = (width, height);
        Ok(Self {
            runner: model.runner()?,
            preprocess,
            reader,
            looked_for: None,
            found: None,
            runs: 0,
            size,
            watch: None,
        })
    }

    /// Lets a detector look at parts of a picture, ahead of the whole.
    pub(crate) fn find_in_tiles(
        &mut self,
        picture: &Picture,
        tiles: &[Tile],
        least: f32,
        until: Option<Instant>,
    ) -> Result<(), InferenceError> {
        let Self { runner, preprocess, reader: OutputReader::Detector(detector), runs, .. } = self else {
            return Ok(());
        };
        detector.forget_tiles();
        for tile in tiles {
            let placement = preprocess.fill(picture, tile.region, runner.input());
            *runs += 1;
            // What a model keeps from frame to frame is that of the whole.
            runner.run(&mut RecurrentState::default(), until, |outputs| {
                Ok::<_, InferenceError>(detector.find_in_tile(outputs, (tile, placement), least)?)
            })?;
        }
        Ok(())
    }
}

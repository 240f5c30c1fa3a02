//! From samples to what a baseline says of each block.

use serde::{Deserialize, Serialize};
use verge_domain::stage::RestoreError;

use super::VibrationSettings;
use super::baseline::{BlockBaseline, Judgement};
use super::decimate::{Decimator, SavedDecimator};
use super::features::{Analyser, Features};
use crate::state::{self, StateKind};

/// What was found in a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockAssessment {
    /// Blocks seen before this one.
    pub index: u64,
    /// What the block shows.
    pub features: Features,
    /// What the baseline says of it; `None` while it learns.
    pub judgement: Option<Judgement>,
}

/// Gathers samples into blocks and judges each against those before.
#[derive(Debug)]
pub struct VibrationDetector {
    settings: VibrationSettings,
    decimator: Decimator,
    /// The block that is being gathered.
    block: Vec<f64>,
    analyser: Analyser,
    baseline: BlockBaseline,
}

/// What a baseline holds for.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Shape {
    analysis_rate_hz: f64,
    block: usize,
    bands: usize,
    envelope: (usize, usize),
}

impl Shape {
    const fn of(settings: &VibrationSettings) -> Self {
        let VibrationSettings { analysis_rate_hz, block, bands, envelope, .. } = *settings;
        Self { analysis_rate_hz, block, bands, envelope }
    }
}

#[derive(Serialize, Deserialize)]
struct SavedDetector {
    shape: Shape,
    factor: usize,
    decimator: SavedDecimator,
    block: Vec<f64>,
    baseline: BlockBaseline,
}

impl VibrationDetector {
    /// A detector that has seen nothing.
    #[must_use]
    pub fn new(settings: VibrationSettings) -> Self {
        Self {
            decimator: Decimator::new(settings.factor),
            block: Vec::with_capacity(settings.block),
            analyser: Analyser::new(&settings),
            baseline: BlockBaseline::new(settings.width(), settings.learn_blocks, settings.memory_blocks),
            settings,
        }
    }

    /// Takes one sample, finite and in the signal's unit; the last one of a block says what was found.
    pub fn observe(&mut self, sample: f64) -> Option<BlockAssessment> {
        let sample = self.decimator.push(sample)?;
        self.block.push(sample);
        if self.block.len() < self.settings.block {
            return None;
        }
        let features = self.analyser.features(&self.block);
        self.block.clear();
        let index = self.baseline.blocks();
        let judgement = self.baseline.observe(&features.scaled());
        Some(BlockAssessment { index, features, judgement })
    }

    /// Samples are missing here: forgets the unfinished block, which must not span the gap, but nothing that
    /// was learnt.
    pub fn gap(&mut self) {
        self.decimator.clear();
        self.block.clear();
    }

    /// The machine has changed, for example by a repair: learns again what is normal.
    pub fn relearn(&mut self) {
        let settings = &self.settings;
        self.baseline = BlockBaseline::new(settings.width(), settings.learn_blocks, settings.memory_blocks);
    }

    /// The whole state, exactly: a detector that takes it up continues bit for bit. Up to 8 bytes per sample of a
    /// block; after [`VibrationDetector::gap`] some 3 KiB.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        let saved = SavedDetector {
            shape: Shape::of(&self.settings),
            factor: self.settings.factor,
            decimator: self.decimator.save(),
            block: self.block.clone(),
            baseline: self.baseline.clone(),
        };
        state::seal(StateKind::Blocks, &saved)
    }

    /// Takes up a saved state. One that was saved after [`VibrationDetector::gap`] serves at another sample rate
    /// too, as long as the analysis rate is the same.
    ///
    /// # Errors
    /// Not readable, of another version, or of other settings. Nothing has changed then.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), RestoreError> {
        let saved: SavedDetector = state::open(StateKind::Blocks, saved)?;
        let settings = &self.settings;
        let ours = saved.shape == Shape::of(settings);
        let at_rest = saved.block.is_empty() && saved.decimator.is_at_rest();
        let rate = saved.factor == settings.factor || at_rest;
        let block = saved.block.len() < settings.block && saved.block.iter().all(|sample| sample.is_finite());
        if !(ours && rate && block && self.baseline.fits(&saved.baseline)) {
            return Err(RestoreError::Foreign);
        }
        if !self.decimator.restore(&saved.decimator) {
            return Err(RestoreError::Foreign);
        }
        self.block.clear();
        self.block.extend_from_slice(&saved.block);
        self.baseline = saved.baseline;
        Ok(())
    }

    /// About: the plans of the transforms are shared by none, and take as much as their buffers.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.block.capacity() * size_of::<f64>()
            + 2 * self.analyser.buffer_bytes()
            + self.decimator.heap_bytes()
            + self.baseline.heap_bytes()
    }
}

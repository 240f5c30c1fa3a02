//! Vibration of rotating machines: blocks of raw samples to features, features to one probability.
//!
//! | step | module | from |
//! |---|---|---|
//! | samples to the analysis rate | [`decimate`] | Kaiser's windowed sinc (Oppenheim and Schafer, *Discrete-Time Signal Processing*, section 7.6) |
//! | block to features | [`features`] | ISO 13373-2; Randall and Antoni 2011, *Rolling element bearing diagnostics: a tutorial*, Mech. Syst. Signal Process. 25 |
//! | features to distance and p | [`baseline`] | Hotelling 1931; shrinkage to the diagonal as in Schäfer and Strimmer 2005; Wilson and Hilferty 1931 |
//! | all of it | [`detector`] | |
//!
//! Blocks follow each other without overlap. Only frequencies up to the analysis rate / 2.56 are analysed,
//! as analysers of vibration do: beyond, what the sensor's own anti-alias filter left decides.
//!
//! Memory per signal: about 100 bytes per sample of a block, 600 per unit of the decimation factor, and 4 KiB.
//! Nothing is allocated per sample or block.

pub mod baseline;
pub mod decimate;
pub mod detector;
pub mod features;
mod judge;
#[cfg(test)]
mod tests;

pub use baseline::{FeatureDeviation, Judgement};
pub use detector::{BlockAssessment, VibrationDetector};
pub use features::{Feature, Features};
pub use judge::VibrationJudge;

use crate::fault::{SettingsError, check_count, check_finite, check_range};

/// Highest decimation factor.
pub const MAX_FACTOR: usize = 64;

/// Most bands.
pub const MAX_BANDS: usize = 16;

/// The part of the spectrum that is analysed, as a part of the Nyquist frequency: 2 / 2.56.
pub const USABLE: f64 = 2.0 / 2.56;

/// How a signal of raw samples is analysed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VibrationSettings {
    pub(crate) factor: usize,
    analysis_rate_hz: f64,
    pub(crate) block: usize,
    pub(crate) bands: usize,
    /// First line of the envelope band and the one after its last.
    pub(crate) envelope: (usize, usize),
    pub(crate) learn_blocks: u64,
    pub(crate) memory_blocks: f64,
}

impl VibrationSettings {
    /// Checks rates in samples per second and the block's length in samples *at the analysis rate*, which is
    /// the sample rate unless `analysis_rate_hz` asks for a whole fraction of it. The rest as recommended: 8
    /// bands, the envelope of the upper half of the usable spectrum, 32 blocks to learn from, a memory of
    /// 50,000 blocks.
    ///
    /// # Errors
    /// Rates that are not from 1 Hz to 10 MHz, a factor between them that is not whole or exceeds
    /// [`MAX_FACTOR`], a block that is no power of two from 256 to 16384.
    pub fn new(
        sample_rate_hz: f64,
        analysis_rate_hz: Option<f64>,
        block: usize,
    ) -> Result<Self, SettingsError> {
        check_rate("sample_rate", sample_rate_hz)?;
        let analysis_rate_hz = analysis_rate_hz.unwrap_or(sample_rate_hz);
        check_rate("analysis_rate", analysis_rate_hz)?;
        let factor = (sample_rate_hz / analysis_rate_hz).round();
        let error_hz = (factor * analysis_rate_hz - sample_rate_hz).abs();
        if !(1.0..=MAX_FACTOR as f64).contains(&factor) || error_hz > 1e-6 * sample_rate_hz {
            let most = MAX_FACTOR as u64;
            return Err(SettingsError::NotAMultiple { sample_rate_hz, analysis_rate_hz, most });
        }
        check_count("block", block as u64, 256, 16_384)?;
        if !block.is_power_of_two() {
            return Err(SettingsError::NotPowerOfTwo { key: "block", actual: block as u64 });
        }
        let usable = usable_lines(block);
        Ok(Self {
            factor: factor as usize,
            analysis_rate_hz,
            block,
            bands: 8,
            envelope: (usable / 2, usable),
            learn_blocks: 32,
            memory_blocks: 50_000.0,
        })
    }

    /// The same with another number of bands, an octave each where the block is long enough.
    ///
    /// # Errors
    /// Not from 2 to [`MAX_BANDS`].
    pub fn with_bands(self, bands: usize) -> Result<Self, SettingsError> {
        check_count("bands", bands as u64, 2, MAX_BANDS as u64)?;
        Ok(Self { bands, ..self })
    }

    /// The same with other lengths, in blocks: nothing is judged before `learn`; what is older than `memory`
    /// fades.
    ///
    /// # Errors
    /// `learn` not from 16 to 1,000,000; `memory` not from twice that to 10,000,000.
    pub fn with_learning(self, learn: u64, memory: u64) -> Result<Self, SettingsError> {
        check_count("learn_blocks", learn, 16, 1_000_000)?;
        check_count("memory_blocks", memory, 2 * learn, 10_000_000)?;
        Ok(Self { learn_blocks: learn, memory_blocks: memory as f64, ..self })
    }

    /// Samples per second that come in.
    #[must_use]
    pub fn sample_rate_hz(&self) -> f64 {
        self.factor as f64 * self.analysis_rate_hz
    }

    /// Seconds that one block lasts.
    #[must_use]
    pub fn block_seconds(&self) -> f64 {
        self.block as f64 / self.analysis_rate_hz
    }

    /// Features per block.
    pub(crate) const fn width(&self) -> usize {
        features::FIXED + self.bands
    }
}

fn check_rate(key: &'static str, rate_hz: f64) -> Result<(), SettingsError> {
    check_finite(key, Some(rate_hz))?;
    check_range(key, rate_hz, 1.0, 1e7)
}

/// The line after the last that is analysed.
fn usable_lines(block: usize) -> usize {
    (USABLE * (block / 2) as f64) as usize
}

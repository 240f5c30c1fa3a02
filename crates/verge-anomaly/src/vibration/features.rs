//! What a block of samples shows.
//!
//! The mean is taken off first. Then, with `x` the samples and `N` their number:
//!
//! | feature | definition | unit |
//! |---|---|---|
//! | RMS | `sqrt(mean x²)` | the signal's |
//! | kurtosis | `mean x⁴ / (mean x²)²`; 3 for Gaussian noise, 1.5 for a sine | 1 |
//! | crest factor | `max abs x / RMS` | 1 |
//! | band energy | mean square within the band (Hann's window, its gain made good), as natural logarithm | ln of the signal's unit squared |
//! | envelope peak | largest line of the squared envelope's spectrum over the median line; periodic impacts make it large | 1 |
//!
//! The envelope is that of a band: `x_b² + H(x_b)²` with `H` the Hilbert transform, both halves by inverse FFT
//! (Randall and Antoni 2011, section 5). Its spectrum is analysed from the second line to the width of the
//! band or a quarter of the sample rate, whichever is less.
//!
//! The features are computed on samples scaled by the largest of them, so that no finite sample overflows. What
//! is less than 10⁻¹² of the largest sample is rounding: such a block counts as flat, with an RMS of just that.

use std::fmt;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use serde::{Deserialize, Serialize};

use super::{MAX_BANDS, VibrationSettings, usable_lines};

/// Features beside the bands.
pub(crate) const FIXED: usize = 4;

/// Most features.
pub const MAX_FEATURES: usize = FIXED + MAX_BANDS;

/// Least part of the largest sample, and of other quantities' largest, that is not taken for rounding.
const ROUNDING: f64 = 1e-12;

/// Stands for the largest sample of a block of zeros, and for anything smaller.
const LEAST_SCALE: f64 = 1e-150;

/// First line that belongs to a band: what Hann's window leaks of the mean lies below.
const FIRST_LINE: usize = 2;

/// Least lines of a band: the logarithm of a single line's energy is far from normal.
const LEAST_BAND_LINES: usize = 4;

const LENGTHS: &str = "buffers have the lengths of the plan";

/// Names a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// Root mean square.
    Rms,
    /// Fourth moment.
    Kurtosis,
    /// Largest sample over RMS.
    Crest,
    /// Peak over median of the envelope's spectrum.
    EnvelopePeak,
    /// Energy of a band, counted from the lowest.
    Band(u8),
}

impl Feature {
    /// The one at a place of [`Features::scaled`].
    #[must_use]
    pub const fn at(place: usize) -> Self {
        match place {
            0 => Self::Rms,
            1 => Self::Kurtosis,
            2 => Self::Crest,
            3 => Self::EnvelopePeak,
            // At most MAX_BANDS.
            _ => Self::Band((place - FIXED) as u8),
        }
    }

    /// Its place there.
    #[must_use]
    pub const fn place(self) -> usize {
        match self {
            Self::Rms => 0,
            Self::Kurtosis => 1,
            Self::Crest => 2,
            Self::EnvelopePeak => 3,
            Self::Band(index) => FIXED + index as usize,
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rms => formatter.write_str("rms"),
            Self::Kurtosis => formatter.write_str("kurtosis"),
            Self::Crest => formatter.write_str("crest"),
            Self::EnvelopePeak => formatter.write_str("envelope_peak"),
            Self::Band(index) => write!(formatter, "band_{index}"),
        }
    }
}

/// What one block shows. Everything is finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Features {
    /// Root mean square about the mean, in the signal's unit; above zero.
    pub rms: f64,
    /// Kurtosis, from 1 to the block's length.
    pub kurtosis: f64,
    /// Crest factor, at least 1.
    pub crest: f64,
    /// Peak over median of the squared envelope's spectrum, at least 1.
    pub envelope_peak: f64,
    ln_bands: [f64; MAX_BANDS],
    bands: usize,
}

impl Features {
    /// Energies of the bands from the lowest to the highest: natural logarithms of mean squares, in the
    /// signal's unit squared.
    #[must_use]
    pub fn ln_bands(&self) -> &[f64] {
        &self.ln_bands[..self.bands]
    }

    /// All features on logarithmic scales, on which they are nearly normal; see [`Feature::at`]. Places
    /// beyond the bands are zero.
    #[must_use]
    pub fn scaled(&self) -> [f64; MAX_FEATURES] {
        let mut scaled = [0.0; MAX_FEATURES];
        let fixed = [self.rms, self.kurtosis, self.crest, self.envelope_peak].map(f64::ln);
        scaled[..FIXED].copy_from_slice(&fixed);
        scaled[FIXED..].copy_from_slice(&self.ln_bands);
        scaled
    }
}

/// Makes features of blocks; holds plans and buffers, no state.
pub struct Analyser {
    forward: Arc<dyn RealToComplex<f64>>,
    inverse: Arc<dyn ComplexToReal<f64>>,
    window: Vec<f64>,
    /// Line at which each band begins, and the one after the last.
    edges: Vec<usize>,
    envelope: (usize, usize),
    /// The block, free of its mean and scaled.
    block: Vec<f64>,
    work: Vec<f64>,
    squared_envelope: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    masked: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
}

impl fmt::Debug for Analyser {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Analyser").field("edges", &self.edges).finish_non_exhaustive()
    }
}

impl Analyser {
    pub(super) fn buffer_bytes(&self) -> usize {
        let real = [&self.window, &self.block, &self.work, &self.squared_envelope];
        let complex = [&self.spectrum, &self.masked, &self.scratch];
        real.iter().map(|buffer| buffer.capacity()).sum::<usize>() * size_of::<f64>()
            + complex.iter().map(|buffer| buffer.capacity()).sum::<usize>() * size_of::<Complex<f64>>()
    }

    /// Plans the transforms.
    #[must_use]
    pub fn new(settings: &VibrationSettings) -> Self {
        let length = settings.block;
        let mut planner = RealFftPlanner::new();
        let forward = planner.plan_fft_forward(length);
        let inverse = planner.plan_fft_inverse(length);
        let scratch = forward.get_scratch_len().max(inverse.get_scratch_len());
        let turn = 2.0 * std::f64::consts::PI / length as f64;
        Self {
            window: (0..length).map(|index| 0.5 - 0.5 * (turn * index as f64).cos()).collect(),
            edges: edges(length, settings.bands),
            envelope: settings.envelope,
            block: vec![0.0; length],
            work: vec![0.0; length],
            squared_envelope: vec![0.0; length],
            spectrum: forward.make_output_vec(),
            masked: inverse.make_input_vec(),
            scratch: vec![Complex::default(); scratch],
            forward,
            inverse,
        }
    }

    /// What a block shows.
    ///
    /// # Panics
    /// The block has not the length of the settings.
    pub fn features(&mut self, samples: &[f64]) -> Features {
        assert_eq!(samples.len(), self.block.len(), "a block is as long as the settings say");
        let length = samples.len() as f64;
        let scale = samples.iter().fold(LEAST_SCALE, |most, sample| sample.abs().max(most));
        for (scaled, sample) in self.block.iter_mut().zip(samples) {
            *scaled = sample / scale;
        }
        let mean = self.block.iter().sum::<f64>() / length;
        self.block.iter_mut().for_each(|sample| *sample -= mean);
        let moment = |power: i32| self.block.iter().map(|sample| sample.powi(power)).sum::<f64>() / length;
        let (second, fourth) = (moment(2), moment(4));
        let peak = self.block.iter().fold(0.0, |most: f64, sample| most.max(sample.abs()));
        let mut features = Features {
            rms: scale * ROUNDING,
            kurtosis: 1.0,
            crest: 1.0,
            envelope_peak: 1.0,
            ln_bands: [0.0; MAX_BANDS],
            bands: self.edges.len() - 1,
        };
        let rms = second.sqrt();
        let flat = rms <= ROUNDING;
        if !flat {
            features.rms = rms * scale;
            features.kurtosis = (fourth / (second * second)).max(1.0);
            features.crest = (peak / rms).max(1.0);
            features.envelope_peak = self.envelope_peak();
        }
        self.transform_block();
        let least = second.max(ROUNDING * ROUNDING) * ROUNDING;
        // Hann's window keeps 3/8 of the energy; each line stands for two, of both signs.
        let gain = 2.0 / (length * length * 0.375);
        for (band, edges) in features.ln_bands.iter_mut().zip(self.edges.windows(2)) {
            let energy: f64 = self.spectrum[edges[0]..edges[1]].iter().map(Complex::norm_sqr).sum();
            *band = if flat { least } else { (energy * gain).max(least) }.ln() + 2.0 * scale.ln();
        }
        features
    }

    /// Spectrum of the block under the window.
    fn transform_block(&mut self) {
        for ((work, sample), weight) in self.work.iter_mut().zip(&self.block).zip(&self.window) {
            *work = sample * weight;
        }
        self.transform_work();
    }

    fn transform_work(&mut self) {
        let scratch = &mut self.scratch[..self.forward.get_scratch_len()];
        self.forward.process_with_scratch(&mut self.work, &mut self.spectrum, scratch).expect(LENGTHS);
    }

    fn envelope_peak(&mut self) -> f64 {
        self.work.copy_from_slice(&self.block);
        self.transform_work();
        self.squared_envelope.fill(0.0);
        // The band itself, then its Hilbert transform: every line a quarter turn behind.
        for turn in [Complex::new(1.0, 0.0), Complex::new(0.0, -1.0)] {
            let band = self.envelope.0..self.envelope.1;
            self.masked.fill(Complex::default());
            for (masked, line) in self.masked[band.clone()].iter_mut().zip(&self.spectrum[band]) {
                *masked = line * turn;
            }
            let scratch = &mut self.scratch[..self.inverse.get_scratch_len()];
            self.inverse.process_with_scratch(&mut self.masked, &mut self.work, scratch).expect(LENGTHS);
            for (squared, part) in self.squared_envelope.iter_mut().zip(&self.work) {
                *squared += part * part;
            }
        }
        let mean = self.squared_envelope.iter().sum::<f64>() / self.block.len() as f64;
        for ((work, squared), weight) in self.work.iter_mut().zip(&self.squared_envelope).zip(&self.window) {
            *work = (squared - mean) * weight;
        }
        self.transform_work();
        let last = (self.envelope.1 - self.envelope.0).min(self.block.len() / 4);
        let lines = &mut self.work[..last - FIRST_LINE];
        for (magnitude, line) in lines.iter_mut().zip(&self.spectrum[FIRST_LINE..last]) {
            *magnitude = line.norm();
        }
        let peak = lines.iter().fold(0.0, |most: f64, line| most.max(*line));
        let middle = lines.len() / 2;
        let (_, median, _) = lines.select_nth_unstable_by(middle, f64::total_cmp);
        if peak <= ROUNDING * mean { 1.0 } else { peak / median.max(ROUNDING * peak) }
    }
}

/// Octaves downwards from the usable end, as many as there are bands; where they would not fit above the
/// first line, narrower ones.
fn edges(block: usize, bands: usize) -> Vec<usize> {
    let last = usable_lines(block);
    let first = (last >> bands).max(FIRST_LINE);
    let ratio = last as f64 / first as f64;
    let mut edges = Vec::with_capacity(bands + 1);
    for band in 0..=bands {
        let line = (first as f64 * ratio.powf(band as f64 / bands as f64)).round() as usize;
        edges.push(edges.last().map_or(line, |before| line.max(before + LEAST_BAND_LINES)));
    }
    edges
}

//! Fewer samples per second, without aliases in the part of the spectrum that is analysed.
//!
//! A linear-phase low-pass (sinc with Kaiser's window, 24 taps per unit of the factor and one more) passes up
//! to [`super::USABLE`] of the new Nyquist frequency within 0.1 % and lets from its mirror image on less than
//! 1/5000 (-74 dB) through. Only the samples that are kept are computed. Between calls the state is exact:
//! however a signal is cut into messages, the same samples come out, bit for bit.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// Half the filter's length per unit of the factor.
const HALF_TAPS: usize = 12;

/// Kaiser's shape for 80 dB: 0.1102 (80 - 8.7).
const BETA: f64 = 7.857;

/// Beyond this, samples are clipped, so that no sum overflows. No sensor sends such numbers.
const MOST: f64 = 1e300;

/// Keeps one sample of every `factor`.
#[derive(Debug, Clone)]
pub struct Decimator {
    factor: usize,
    taps: Vec<f64>,
    /// Twice the newest samples, one copy after the other: any run of them is one slice.
    ring: Vec<f64>,
    /// Where the next sample goes, in the first copy.
    at: usize,
    /// Samples held, up to the filter's length.
    held: usize,
    /// Samples since the last one kept.
    since_kept: usize,
}

/// The state of a [`Decimator`], exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedDecimator {
    recent: Vec<f64>,
    since_kept: usize,
}

impl SavedDecimator {
    /// Saved before any sample or after [`Decimator::clear`].
    pub(crate) const fn is_at_rest(&self) -> bool {
        self.recent.is_empty() && self.since_kept == 0
    }
}

impl Decimator {
    /// A filter at rest. A factor of one passes every sample on.
    #[must_use]
    pub fn new(factor: usize) -> Self {
        let factor = factor.max(1);
        let taps = if factor == 1 { vec![1.0] } else { low_pass(factor) };
        let ring = vec![0.0; 2 * taps.len()];
        Self { factor, taps, ring, at: 0, held: 0, since_kept: 0 }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        (self.taps.capacity() + self.ring.capacity()) * size_of::<f64>()
    }

    /// Takes a sample; returns one of the new rate where one is due and the filter is full.
    pub fn push(&mut self, sample: f64) -> Option<f64> {
        let sample = sample.clamp(-MOST, MOST);
        let length = self.taps.len();
        self.ring[self.at] = sample;
        self.ring[self.at + length] = sample;
        self.at = (self.at + 1) % length;
        self.held = (self.held + 1).min(length);
        self.since_kept += 1;
        if self.since_kept < self.factor || self.held < length {
            // Until the filter is full nothing is due.
            self.since_kept = self.since_kept.min(self.factor - 1);
            return None;
        }
        self.since_kept = 0;
        let window = &self.ring[self.at..self.at + length];
        Some(window.iter().zip(&self.taps).map(|(sample, tap)| sample * tap).sum())
    }

    /// Forgets the samples: what follows does not join what was.
    pub fn clear(&mut self) {
        (self.at, self.held, self.since_kept) = (0, 0, 0);
    }

    /// The state.
    #[must_use]
    pub fn save(&self) -> SavedDecimator {
        let length = self.taps.len();
        let end = self.at + length;
        SavedDecimator { recent: self.ring[end - self.held..end].to_vec(), since_kept: self.since_kept }
    }

    /// Takes up a state; `false` for one that this filter cannot have had, and nothing has changed then.
    pub fn restore(&mut self, saved: &SavedDecimator) -> bool {
        let fits = saved.recent.len() <= self.taps.len() && saved.since_kept < self.factor;
        if !fits || saved.recent.iter().any(|sample| !sample.is_finite()) {
            return false;
        }
        self.clear();
        for sample in &saved.recent {
            self.push(*sample);
        }
        self.since_kept = saved.since_kept;
        true
    }
}

fn low_pass(factor: usize) -> Vec<f64> {
    let half = (HALF_TAPS * factor) as f64;
    let mut taps: Vec<f64> = (0..=2 * HALF_TAPS * factor)
        .map(|index| {
            let from_centre = index as f64 - half;
            let phase = PI * from_centre / factor as f64;
            let sinc = if from_centre == 0.0 { 1.0 } else { phase.sin() / phase };
            let inside = (1.0 - (from_centre / half).powi(2)).max(0.0);
            sinc * bessel_i0(BETA * inside.sqrt())
        })
        .collect();
    let sum: f64 = taps.iter().sum();
    for tap in &mut taps {
        *tap /= sum;
    }
    taps
}

/// Modified Bessel function of order zero, by its power series; exact to rounding for the arguments here.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut term, mut sum) = (1.0, 1.0);
    for order in 1..60 {
        term *= quarter / f64::from(order * order);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest sample that comes out for a sine of amplitude one; its frequency in units of the old rate.
    fn gain(factor: usize, frequency: f64) -> f64 {
        let mut filter = Decimator::new(factor);
        let sine = (0..4000 * factor).map(|index| (2.0 * PI * frequency * index as f64).sin());
        sine.filter_map(|sample| filter.push(sample)).fold(0.0, |most: f64, sample| most.max(sample.abs()))
    }

    #[test]
    fn the_usable_part_passes_and_its_images_do_not() {
        for factor in [2, 4, 7, 64] {
            let nyquist = 0.5 / factor as f64;
            // 0.3 % of an amplitude may be missed between samples.
            for part in [0.011, 0.303, 0.601, 0.781] {
                let gain = gain(factor, part * nyquist);
                assert!((gain - 1.0).abs() < 4e-3, "factor {factor}, {part} of Nyquist: {gain}");
            }
            let first_image = 2.0 - crate::vibration::USABLE;
            for part in [first_image, 1.4003, 1.703, 1.98] {
                let gain = gain(factor, part * nyquist);
                assert!(gain < 2e-4, "factor {factor}, {part} of Nyquist: {gain}");
            }
        }
    }

    #[test]
    fn a_saved_filter_goes_on_bit_for_bit() {
        for cut in [0, 5, 96, 97, 98, 150] {
            let mut one = Decimator::new(4);
            let mut other = Decimator::new(4);
            let sample = |index: i32| f64::from(index * 7919 % 1009).sin();
            for index in 0..cut {
                one.push(sample(index));
            }
            assert!(other.restore(&one.save()));
            assert_eq!(other.save(), one.save());
            for index in cut..400 {
                let (a, b) = (one.push(sample(index)), other.push(sample(index)));
                assert_eq!(a.map(f64::to_bits), b.map(f64::to_bits), "cut {cut}, sample {index}");
            }
        }
        let mut other = Decimator::new(4);
        assert!(!other.restore(&SavedDecimator { recent: vec![0.0; 98], since_kept: 0 }));
        assert!(!other.restore(&SavedDecimator { recent: Vec::new(), since_kept: 4 }));
    }

    #[test]
    fn no_sum_overflows() {
        let mut filter = Decimator::new(3);
        for index in 0..500 {
            let sample = if index % 2 == 0 { f64::MAX } else { f64::MIN };
            assert!(filter.push(sample).is_none_or(f64::is_finite));
        }
    }
}

//! How often events of all signals of a judge reach a given surprise: peaks over a threshold again, of events instead of
//! readings.

use serde::{Deserialize, Serialize};
use verge_domain::stage::RestoreError;

use crate::budget::alarms_per_abnormal;

/// Least surprise of a peak, in nats: one in a hundred.
pub(super) const LEAST: f64 = 4.605_170_185_988_091;
/// Width of a bin in nats.
const WIDTH: f64 = 0.25;
/// Bins up to a surprise of 68.6, beyond that of the least probability there is.
pub(super) const BINS: usize = 256;
/// The law is fitted from this bin on (6.1 nats: .0022).
const FIRST: usize = 6;
/// A peak further out than this many nats beyond there counts as "further out", however far: a fault must not teach the
/// law how heavy its tail is.
const CENSORED: usize = 16;
/// What is known of the scale before any peak was seen, and how many peaks that is worth. Measured on forty signals of ten
/// kinds: 1.05 to 1.3 nats.
const SCALE: (f64, f64) = (1.15, 20.0);
/// Limits of the scale.
const SCALES: (f64, f64) = (0.9, 2.5);
/// Peaks that the rate is worth before any was seen.
const RATE_PEAKS: f64 = 5.0;
/// No level is beyond this surprise.
const HIGHEST: f64 = 60.0;
const _: () = assert!(BINS.is_multiple_of(8));
/// Weight of one whole peak.
pub(super) const WHOLE: u32 = 1024;

/// Bin of a surprise, which is at least [`LEAST`].
pub(super) fn bin_of(surprise: f64) -> usize {
    (((surprise - LEAST) / WIDTH) as usize).min(BINS - 1)
}

fn edge(bin: usize) -> f64 {
    LEAST + WIDTH * bin as f64
}

/// The peaks of events, by their surprise, and among how many readings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PeakLaw {
    bins: Vec<f32>,
    readings: f64,
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FittedPeaks {
    /// Peaks beyond the first bin of the law, per reading.
    pub(super) rate: f64,
    /// How many nats further out an e-th part of them lies.
    pub(super) scale: f64,
}

impl PeakLaw {
    pub(super) fn new() -> Self {
        Self { bins: vec![0.0; BINS], readings: 0.0 }
    }

    /// Whether this can be what was saved.
    pub(super) fn check(&self) -> Result<(), RestoreError> {
        let sound = |weight: f64| weight.is_finite() && weight >= 0.0;
        let bins = self.bins.len() == BINS && self.bins.iter().all(|&weight| sound(f64::from(weight)));
        if bins && sound(self.readings) {
            Ok(())
        } else {
            Err(RestoreError::Misfit { part: "the peaks of its events" })
        }
    }

    /// Readings that are remembered.
    pub(super) fn readings(&self) -> f64 {
        self.readings
    }

    /// Fades what is known, then adds peaks (in parts of [`WHOLE`]) and readings.
    pub(super) fn learn(&mut self, kept: f64, peaks: &[u32; BINS], readings: u64) {
        self.readings = self.readings * kept + readings as f64;
        self.bins.iter_mut().for_each(|bin| *bin *= kept as f32);
        // Few bins of a period have a peak, of most eights none has.
        let eights = self.bins.as_chunks_mut::<8>().0.iter_mut().zip(peaks.as_chunks::<8>().0);
        for (bins, peaks) in eights.filter(|(_, peaks)| peaks.iter().fold(0, |all, peaks| all | peaks) != 0) {
            for (bin, &peaks) in bins.iter_mut().zip(peaks) {
                *bin = (f64::from(*bin) + f64::from(peaks) / f64::from(WHOLE)) as f32;
            }
        }
    }

    /// Weight of this bin and all above. Eight sums side by side: one would wait for itself 250 times.
    fn weight_from(&self, bin: usize) -> f64 {
        let (eights, rest) = self.bins[bin..].as_chunks::<8>();
        let mut sums = [0.0; 8];
        for eight in eights {
            for (sum, &weight) in sums.iter_mut().zip(eight) {
                *sum += f64::from(weight);
            }
        }
        sums.iter().sum::<f64>() + rest.iter().map(|&weight| f64::from(weight)).sum::<f64>()
    }

    pub(super) fn fitted(&self) -> FittedPeaks {
        let p = (-edge(FIRST)).exp();
        let usual = p * alarms_per_abnormal(p);
        let (mut nats, mut peaks) = (SCALE.0 * SCALE.1, 0.0);
        for (place, &weight) in self.bins[FIRST..FIRST + CENSORED].iter().enumerate() {
            nats += (place as f64 + 0.5) * WIDTH * f64::from(weight);
            peaks += f64::from(weight);
        }
        let censored = self.weight_from(FIRST + CENSORED);
        let rate = (peaks + censored + RATE_PEAKS) / (self.readings + RATE_PEAKS / usual);
        nats += CENSORED as f64 * WIDTH * censored;
        peaks += SCALE.1;
        FittedPeaks { rate, scale: (nats / peaks).clamp(SCALES.0, SCALES.1) }
    }

    /// The surprise that peaks reach this often, per reading, by what was fitted to them.
    pub(super) fn level(&self, fitted: &FittedPeaks, rate: f64) -> f64 {
        if rate < fitted.rate {
            return (edge(FIRST) + fitted.scale * (fitted.rate / rate).ln()).min(HIGHEST);
        }
        // So often that the record itself says it.
        let allowed = rate * self.readings;
        (0..FIRST).find(|&bin| self.weight_from(bin) <= allowed).map_or(edge(FIRST), edge)
    }
}

/// Where the law begins.
pub(super) fn first() -> f64 {
    edge(FIRST)
}

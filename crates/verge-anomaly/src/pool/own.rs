//! What one instance knows of itself beside the record of all: its own peaks, and the range of what it observes.

use serde::{Deserialize, Serialize};

/// Highest peaks that are remembered.
const HIGHEST: usize = 10;
/// An alarm is this many times as surprising as what its signal has shown too often.
pub(super) const BEYOND: f64 = 1.25;
/// What is this many times as surprising as an ordinary alarm is one, whatever its signal has shown: a fault that comes back
/// is a fault, and false alarms hardly lie so far out.
const DOUBTLESS: f64 = 4.0;
/// Ordinary signals that one with many peaks counts for at most.
const MOST_SHARES: f64 = 3.0;
/// Peaks that a signal must have before it is held to be another than the rest.
const DOUBT: f64 = 4.0;
/// How much more or less often than others a signal may be held to have peaks, as a logarithm.
const APART: (f64, f64) = (-0.7, 3.0);

/// The peaks of one signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OwnPeaks {
    /// Period and surprise, the highest first.
    highest: Vec<(i64, f32)>,
    /// Peaks and readings since the signal is judged with the others; they fade as the record of all does.
    peaks: f32,
    readings: f32,
}

impl OwnPeaks {
    /// Readings passed; peaks of other periods than these are forgotten. Gives the readings that are remembered.
    pub(super) fn pass(&mut self, readings: u32, kept: f64, lately: std::ops::RangeInclusive<i64>) -> f64 {
        self.peaks *= kept as f32;
        self.readings = self.readings * kept as f32 + readings as f32;
        self.highest.retain(|(period, _)| lately.contains(period));
        f64::from(self.readings)
    }

    /// Enters a peak; gives the weight with which it counts among those of all, of which `rate` come on each reading.
    pub(super) fn note(&mut self, period: i64, surprise: f64, rate: f64) -> f64 {
        let place = self.highest.partition_point(|&(_, higher)| f64::from(higher) >= surprise);
        if place < HIGHEST {
            self.highest.truncate(HIGHEST - 1);
            self.highest.reserve_exact(HIGHEST - self.highest.len());
            self.highest.insert(place, (period, surprise as f32));
        }
        if surprise < super::law::first() {
            return 1.0;
        }
        self.peaks += 1.0;
        let allowed = MOST_SHARES * (rate * f64::from(self.readings)).max(1.0);
        (allowed / f64::from(self.peaks)).min(1.0)
    }

    /// The newest peak was a real fault: it is none of the usual.
    pub(super) fn forget_newest(&mut self) {
        let newest = self.highest.iter().map(|&(period, _)| period).max();
        self.highest.retain(|&(period, _)| Some(period) != newest);
    }

    /// How much more surprise than others this signal needs, where it has peaks more often; a law of `scale` nats.
    pub(super) fn apart(&self, rate: f64, scale: f64) -> f64 {
        let expected = rate * f64::from(self.readings);
        let times = (f64::from(self.peaks) + DOUBT) / (expected + DOUBT);
        scale * times.ln().clamp(APART.0, APART.1)
    }

    /// The surprise that this signal must exceed, where it has shown `level` more than `allowed` times.
    pub(super) fn beyond_shown(&self, level: f64, allowed: f64) -> f64 {
        let place = (allowed as usize).min(HIGHEST - 1);
        let shown = self.highest.get(place).map_or(0.0, |&(_, peak)| f64::from(peak));
        if shown >= level { (BEYOND * shown).min(DOUBTLESS * level) } else { level }
    }

    pub(super) fn is_sound(&self) -> bool {
        let finite = self.highest.iter().all(|&(_, peak)| peak.is_finite());
        finite && self.highest.len() <= HIGHEST && self.peaks.is_finite() && self.readings.is_finite()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.highest.capacity() * size_of::<(i64, f32)>()
    }
}

/// The range of what was observed so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct OwnRange {
    low: f64,
    high: f64,
}

/// A value this many widths of its signal's own range beyond it is beyond doubt; a score, this many times the highest.
const WIDTHS: f64 = 6.0;

impl OwnRange {
    pub(super) const NONE: Self = Self { low: f64::INFINITY, high: f64::NEG_INFINITY };

    pub(super) fn note(&mut self, value: f64) {
        (self.low, self.high) = (self.low.min(value), self.high.max(value));
    }

    /// Whether a value lies beyond doubt outside. Towards zero is no doubt at all: machines stop. Nor is what a signal
    /// does that was at rest about zero: machines start.
    pub(super) fn is_far(&self, value: f64) -> bool {
        let width = self.high - self.low;
        // Also where nothing was seen, or nothing but one value.
        if !(width > 0.0 && width.is_finite()) {
            return false;
        }
        let at_rest = self.low - width <= 0.0 && self.high + width >= 0.0;
        let (above, below) = (value - self.high, self.low - value);
        let towards_zero = if self.low > 0.0 {
            (0.0..=self.low).contains(&value)
        } else {
            (self.high..=0.0).contains(&value)
        };
        !at_rest && !towards_zero && above.max(below) > WIDTHS * width
    }

    /// The same for a score, which is never negative and grows with strangeness.
    pub(super) fn is_far_score(&self, score: f64) -> bool {
        self.high > 0.0 && score > WIDTHS * self.high
    }

    pub(super) fn is_sound(&self) -> bool {
        !self.low.is_nan() && !self.high.is_nan()
    }
}

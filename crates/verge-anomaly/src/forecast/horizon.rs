//! One horizon: which forecasts were right lately, and how far off their mixture was.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::ForecastValue;
use super::candidates::CANDIDATES;

/// What an earlier error counts after the next one.
const FORGET: f64 = 0.98;
/// Weights are losses to this power: the best of them have nearly all.
const SHARPNESS: i32 = 16;
/// Errors that the interval is made of at most, and at least.
const ERRORS: usize = 200;
const LEAST_ERRORS: usize = 19;
/// Share of values that lie outside of the interval.
const OUTSIDE: f64 = 0.1;
/// How fast its level follows how often it held.
const LEVEL_STEP: f64 = 0.01;
/// Of the usual value, what counts beside the expected one for how large errors are.
const FLOOR: f64 = 0.1;

/// A forecast that waits for its time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct PendingForecast {
    /// The number of the interval.
    target: i64,
    expected: f64,
    /// Half of its interval; `None` while errors are too few.
    reach: Option<f64>,
    /// Errors are taken in this.
    scale: f64,
    candidates: [f32; CANDIDATES],
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ForecastHorizon {
    /// How many intervals it lies ahead.
    steps: u64,
    /// Of each candidate: its errors, the newer counting more.
    losses: [f64; CANDIDATES],
    pending: VecDeque<PendingForecast>,
    errors: Vec<f32>,
    /// Where the next error goes once there are [`ERRORS`].
    next: u16,
    /// Share of errors that the interval leaves out.
    outside: f64,
}

impl ForecastHorizon {
    pub(super) fn new(steps: u64) -> Self {
        let losses = [0.0; CANDIDATES];
        Self { steps, losses, pending: VecDeque::new(), errors: Vec::new(), next: 0, outside: OUTSIDE }
    }

    /// Compares what was forecast of an interval with what came.
    pub(super) fn score(&mut self, number: i64, value: f64) {
        while let Some(oldest) = self.pending.front().filter(|oldest| oldest.target <= number).copied() {
            self.pending.pop_front();
            // Of an interval without a value nothing is known.
            if oldest.target < number {
                continue;
            }
            for (loss, candidate) in self.losses.iter_mut().zip(oldest.candidates) {
                *loss = FORGET * *loss + (f64::from(candidate) - value).abs();
            }
            let error = (oldest.expected - value).abs();
            if let Some(reach) = oldest.reach {
                let was_outside = f64::from(u8::from(error > reach));
                self.outside = (self.outside + LEVEL_STEP * (OUTSIDE - was_outside)).clamp(0.005, 0.5);
            }
            self.note_error(error / oldest.scale);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "single precision is enough for a quantile")]
    fn note_error(&mut self, error: f64) {
        let error = (error as f32).min(f32::MAX);
        if self.errors.len() < ERRORS {
            self.errors.push(error);
        } else {
            self.errors[usize::from(self.next)] = error;
        }
        self.next = (self.next + 1) % ERRORS as u16;
    }

    /// Forecasts an interval. `mean`: what values are on average.
    pub(super) fn forecast(&mut self, target: i64, candidates: [f32; CANDIDATES], mean: f64) {
        let expected = self.mixed(&candidates);
        let scale = (expected + FLOOR * mean).max(1e-9).sqrt();
        let reach = self.quantile().map(|quantile| quantile * scale);
        self.pending.push_back(PendingForecast { target, expected, reach, scale, candidates });
    }

    /// All candidates, each by how far it was off lately.
    fn mixed(&self, candidates: &[f32; CANDIDATES]) -> f64 {
        let sum: f64 = self.losses.iter().sum();
        #[expect(clippy::cast_precision_loss, reason = "a dozen")]
        let floor = 0.001 * sum / CANDIDATES as f64 + f64::MIN_POSITIVE;
        let least = self.losses.iter().copied().fold(f64::INFINITY, f64::min) + floor;
        let mut mixed = (0.0, 0.0);
        for (loss, candidate) in self.losses.iter().zip(candidates) {
            let weight = (least / (loss + floor)).powi(SHARPNESS);
            mixed = (mixed.0 + weight * f64::from(*candidate), mixed.1 + weight);
        }
        mixed.0 / mixed.1
    }

    /// The error that is not exceeded as often as is meant.
    fn quantile(&self) -> Option<f64> {
        if self.errors.len() < LEAST_ERRORS {
            return None;
        }
        let mut sorted = self.errors.clone();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 200"
        )]
        let rank = ((1.0 - self.outside) * (sorted.len() + 1) as f64).ceil() as usize;
        let rank = rank.clamp(1, sorted.len()) - 1;
        let (_, error, _) = sorted.select_nth_unstable_by(rank, f32::total_cmp);
        Some(f64::from(*error))
    }

    /// What was forecast of this interval last.
    pub(super) fn newest(&self, target: i64) -> Option<ForecastValue> {
        let newest = self.pending.back().filter(|newest| newest.target == target)?;
        let range = newest.reach.map(|reach| ((newest.expected - reach).max(0.0), newest.expected + reach));
        Some(ForecastValue { expected: newest.expected, range })
    }

    /// The times that it was made for will not come.
    pub(super) fn forget_pending(&mut self) {
        self.pending.clear();
    }

    pub(super) fn is_sound(&self, steps: u64) -> bool {
        let finite = |pending: &PendingForecast| {
            pending.expected.is_finite()
                && pending.scale > 0.0
                && pending.scale.is_finite()
                && pending.candidates.iter().all(|one| one.is_finite())
        };
        self.steps == steps
            && self.pending.len() as u64 <= steps
            && self.errors.len() <= ERRORS
            && usize::from(self.next) < ERRORS
            && (0.0..=1.0).contains(&self.outside)
            && self.losses.iter().all(|loss| loss.is_finite())
            && self.errors.iter().all(|error| error.is_finite())
            && self.pending.iter().all(finite)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.pending.capacity() * size_of::<PendingForecast>() + self.errors.capacity() * size_of::<f32>()
    }
}

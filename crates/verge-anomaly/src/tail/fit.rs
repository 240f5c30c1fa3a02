//! The law of the highest scores: peaks over a threshold, fitted by moments.

use serde::{Deserialize, Serialize};

use super::BINS;
use super::level::edge;

/// Share of scores that count as exceedances.
const TAIL_SHARE: f64 = 0.02;
/// A bin that crosses that share is an exceedance itself only while less than this lies above it.
const LEAST_SHARE: f64 = 0.005;
/// Limits of the fitted shape, before `1/k` is added.
const SHAPE: (f64, f64) = (-0.3, 0.2);

/// A generalised Pareto law over a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct ParetoFit {
    /// Exceedances begin here. Infinite while there is no fit.
    pub(super) threshold: f64,
    /// Share of scores above it.
    pub(super) share: f64,
    pub(super) scale: f64,
    pub(super) shape: f64,
}

impl ParetoFit {
    /// How far above the threshold one in `times` exceedances lies.
    pub(super) fn excess(&self, times: f64) -> f64 {
        let Self { scale, shape, .. } = *self;
        scale * if shape.abs() < 1e-3 { times.ln() } else { (times.powf(shape) - 1.0) / shape }
    }

    /// The same law, were it bounded, without its end.
    pub(super) fn open_ended(self) -> Self {
        Self { shape: self.shape.max(0.0), ..self }
    }

    /// Share of all scores that lie above one beyond the threshold.
    pub(super) fn survival(&self, score: f64) -> f64 {
        let Self { threshold, share, scale, shape } = *self;
        let excess = (score - threshold) / scale;
        share
            * if shape.abs() < 1e-3 {
                (-excess).exp()
            } else {
                // Beyond the end point of a bounded law nothing is left.
                let base = 1.0 + shape * excess;
                if base > 0.0 { base.powf(-1.0 / shape) } else { 0.0 }
            }
    }
}

pub(super) const NO_FIT: ParetoFit =
    ParetoFit { threshold: f64::INFINITY, share: 0.0, scale: 1.0, shape: 0.0 };

/// The law of the exceedances in a histogram whose first bin begins at `base`. `dependence`: exceedances that are worth
/// one.
pub(super) fn fitted(bins: &[f32], base: i32, total: f32, dependence: f32) -> Option<ParetoFit> {
    let total = f64::from(total);
    let (want, least) = (TAIL_SHARE * total, LEAST_SHARE * total);
    let mut above = 0.0_f64;
    let mut first = BINS;
    for bin in (0..BINS).rev() {
        let weight = f64::from(bins[bin]);
        if weight == 0.0 {
            continue;
        }
        let crosses = above + weight >= want;
        if crosses && above >= least {
            break;
        }
        above += weight;
        first = bin;
        if crosses {
            break;
        }
    }
    if first == BINS {
        return None;
    }
    let threshold = edge(base, first);
    let (mut mean, mut square) = (0.0, 0.0);
    for (bin, weight) in bins.iter().enumerate().skip(first) {
        let weight = f64::from(*weight);
        if weight > 0.0 {
            let centre = 0.5 * (edge(base, bin) + edge(base, bin + 1)) - threshold;
            mean += weight * centre;
            square += weight * centre * centre;
        }
    }
    mean /= above;
    let variance = (square / above - mean * mean).max(1e-3 * mean * mean);
    let shape = (0.5 * (1.0 - mean * mean / variance)).clamp(SHAPE.0, SHAPE.1);
    let scale = mean * (1.0 - shape);
    let shape = shape + f64::from(dependence) / above;
    (scale > 0.0 && scale.is_finite()).then_some(ParetoFit { threshold, share: above / total, scale, shape })
}

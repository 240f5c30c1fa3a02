//! A value with its rate, filtered: what a track knows about one coordinate of its box.

use serde::{Deserialize, Serialize};

/// One coordinate: a Kalman filter of value and rate, whose noise is counted in seconds, so that frames may come at any
/// times.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Axis {
    pub(super) value: f64,
    pub(super) rate: f64,
    value_variance: f64,
    covariance: f64,
    rate_variance: f64,
}

impl Axis {
    pub(super) const fn new(value: f64, deviation: f64, rate_deviation: f64) -> Self {
        Self {
            value,
            rate: 0.0,
            value_variance: deviation * deviation,
            covariance: 0.0,
            rate_variance: rate_deviation * rate_deviation,
        }
    }

    /// Lets `seconds` pass; the rate wanders by `noise` per root of a second. By `recession` the distance from the camera
    /// has grown in that time, as a factor: what goes evenly on the ground slows down in the picture as it goes away.
    pub(super) fn predict(&mut self, seconds: f64, noise: f64, recession: f64) {
        let q = noise * noise;
        self.value += self.rate * seconds / recession;
        self.rate /= recession * recession;
        self.value_variance +=
            seconds * (2.0 * self.covariance + seconds * self.rate_variance + q * seconds * seconds / 3.0);
        self.covariance += seconds * (self.rate_variance + q * seconds / 2.0);
        self.rate_variance += q * seconds;
    }

    pub(super) fn update(&mut self, measured: f64, deviation: f64) {
        let sum = self.value_variance + deviation * deviation;
        let (gain, rate_gain) = (self.value_variance / sum, self.covariance / sum);
        let off = measured - self.value;
        self.value += gain * off;
        self.rate += rate_gain * off;
        self.rate_variance -= rate_gain * self.covariance;
        self.covariance *= 1.0 - gain;
        self.value_variance *= 1.0 - gain;
    }

    pub(super) fn deviation(&self) -> f64 {
        self.value_variance.max(0.0).sqrt()
    }

    pub(super) const fn is_finite(&self) -> bool {
        self.value.is_finite()
            && self.rate.is_finite()
            && self.value_variance.is_finite()
            && self.covariance.is_finite()
            && self.rate_variance.is_finite()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_the_rate_of_what_moves_evenly_at_uneven_times() {
        let mut axis = Axis::new(0.0, 1.0, 100.0);
        let mut at = 0.0;
        for step in [0.1, 0.3, 0.05, 0.4, 0.1, 0.1, 0.2, 0.1] {
            at += step;
            axis.predict(step, 1.0, 1.0);
            axis.update(20.0 * at, 0.1);
        }
        assert!((axis.rate - 20.0).abs() < 0.5, "{axis:?}");
        assert!((axis.value - 20.0 * at).abs() < 0.2, "{axis:?}");
        assert!(axis.deviation() < 0.1);
        axis.predict(2.0, 1.0, 1.0);
        assert!(axis.deviation() > 0.5 && axis.is_finite());
    }
}

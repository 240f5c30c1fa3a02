//! One temperature makes probabilities of scores: as sure as the answers are right.
//!
//! **Source**: Guo et al. (2017), "On Calibration of Modern Neural Networks".

use super::matrix::{Matrix, count};

/// Between these the temperature is looked for, on a logarithmic scale.
const RANGE: (f64, f64) = (0.005, 20.0);
/// Steps of the search; each shortens the range by 0.618.
const STEPS: usize = 40;

/// The temperature with the least log loss, of scores for pictures that were left out.
#[must_use]
pub fn temperature(scores: &Matrix, labels: &[usize]) -> f64 {
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let loss = |log: f64| log_loss(scores, labels, log.exp());
    let (mut low, mut high) = (RANGE.0.ln(), RANGE.1.ln());
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut of_left, mut of_right) = (loss(left), loss(right));
    for _ in 0..STEPS {
        if of_left <= of_right {
            (high, right, of_right) = (right, left, of_left);
            left = high - golden * (high - low);
            of_left = loss(left);
        } else {
            (low, left, of_left) = (left, right, of_right);
            right = low + golden * (high - low);
            of_right = loss(right);
        }
    }
    f64::midpoint(low, high).exp()
}

/// Mean of the logarithm of what is missing to certainty.
#[must_use]
pub fn log_loss(scores: &Matrix, labels: &[usize], temperature: f64) -> f64 {
    let one = |(row, label): (usize, &usize)| {
        let scores = scores.row(row);
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| ((score - most) / temperature).exp()).sum();
        sum.ln() - (scores[*label] - most) / temperature
    };
    labels.iter().enumerate().map(one).sum::<f64>() / count(labels.len().max(1))
}

/// Probabilities of a row of scores.
#[must_use]
pub fn probabilities(scores: &[f64], temperature: f64) -> Vec<f64> {
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| ((score - most) / temperature).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    #[test]
    fn it_finds_the_temperature_that_answers_were_drawn_with() {
        let mut random = Rng::with_seed(1);
        let rows = 4_000;
        let mut scores = Matrix::zeros(rows, 3);
        let mut labels = Vec::new();
        for row in 0..rows {
            scores.row_mut(row).iter_mut().for_each(|score| *score = random.f64());
            let likely = probabilities(scores.row(row), 0.2);
            let drawn = random.f64();
            let label = if drawn < likely[0] { 0 } else { 1 + usize::from(drawn >= likely[0] + likely[1]) };
            labels.push(label);
        }
        let found = temperature(&scores, &labels);
        assert!((found - 0.2).abs() < 0.03, "{found}");
        for other in [found * 0.9, found * 1.1] {
            assert!(log_loss(&scores, &labels, other) > log_loss(&scores, &labels, found));
        }
    }

    #[test]
    fn answers_that_are_always_right_are_sure_and_noise_is_not() {
        let scores = Matrix::of_rows(2, [&[1.0, 0.0][..], &[0.0, 1.0]]);
        assert!(temperature(&scores, &[0, 1]) < 0.01);
        assert!(temperature(&scores, &[1, 1]) > 5.0);
    }
}

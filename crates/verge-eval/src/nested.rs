//! Nested cross-validation: what would settings score that were chosen without the series they are scored on?
//!
//! The series are dealt into five parts. For each part, the candidate that is best on the other four, in the mean of
//! its neighbours, is scored on it; the five scores are pooled. That is repeated with the series dealt anew, so that a
//! mean and a spread come out.

use fastrand::Rng;

const FOLDS: usize = 5;
/// Times that the series are dealt.
const DEALS: usize = 40;
/// The same each time, so that the figure can be repeated.
const SEED: u64 = 1;

/// What one candidate gets on one series: parts of a sum whose ratio is the score.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ScorePart {
    /// What it gains.
    pub gain: f64,
    /// What could be gained.
    pub perfect: f64,
}

/// Candidates with what each gets on each series, and which of them are neighbours.
pub struct Candidates {
    /// For each candidate, a part for each series.
    pub parts: Vec<Vec<ScorePart>>,
    /// For each candidate, itself and those whose settings lie next to its own.
    pub neighbours: Vec<Vec<usize>>,
}

/// Mean of the pooled score over all deals, and its standard deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nested {
    /// The mean.
    pub mean: f64,
    /// The standard deviation.
    pub spread: f64,
    /// Number of candidates.
    pub candidates: usize,
}

impl Candidates {
    /// `None` with fewer series than parts.
    #[must_use]
    pub fn cross_validate(&self) -> Option<Nested> {
        let series = self.parts.first()?.len();
        if series < FOLDS {
            return None;
        }
        let smooth: Vec<Vec<ScorePart>> = self.neighbours.iter().map(|around| self.mean_of(around)).collect();
        let mut random = Rng::with_seed(SEED);
        let mut order: Vec<usize> = (0..series).collect();
        let scores: Vec<f64> = (0..DEALS)
            .map(|_| {
                random.shuffle(&mut order);
                self.pooled(&smooth, &order)
            })
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "a number of deals")]
        let count = scores.len() as f64;
        let mean = scores.iter().sum::<f64>() / count;
        let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / count;
        Some(Nested { mean, spread: variance.sqrt(), candidates: self.parts.len() })
    }

    fn mean_of(&self, candidates: &[usize]) -> Vec<ScorePart> {
        let mut sum = vec![ScorePart::default(); self.parts[0].len()];
        for &candidate in candidates {
            for (sum, part) in sum.iter_mut().zip(&self.parts[candidate]) {
                sum.gain += part.gain;
                sum.perfect += part.perfect;
            }
        }
        sum
    }

    fn pooled(&self, smooth: &[Vec<ScorePart>], order: &[usize]) -> f64 {
        let mut pooled = ScorePart::default();
        for fold in 0..FOLDS {
            let held_out = |place: usize| place % FOLDS == fold;
            let seen: Vec<usize> = order
                .iter()
                .enumerate()
                .filter(|(place, _)| !held_out(*place))
                .map(|(_, &one)| one)
                .collect();
            let best = (0..smooth.len())
                .max_by(|&one, &other| score(&smooth[one], &seen).total_cmp(&score(&smooth[other], &seen)))
                .unwrap_or_default();
            for (_, &one) in order.iter().enumerate().filter(|(place, _)| held_out(*place)) {
                pooled.gain += self.parts[best][one].gain;
                pooled.perfect += self.parts[best][one].perfect;
            }
        }
        100.0 * pooled.gain / pooled.perfect
    }
}

fn score(parts: &[ScorePart], series: &[usize]) -> f64 {
    let (mut gain, mut perfect) = (0.0, 0.0);
    for &one in series {
        gain += parts[one].gain;
        perfect += parts[one].perfect;
    }
    if perfect > 0.0 { gain / perfect } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(gains: &[Vec<f64>]) -> Candidates {
        let parts = gains
            .iter()
            .map(|gains| gains.iter().map(|&gain| ScorePart { gain, perfect: 1.0 }).collect())
            .collect();
        Candidates { parts, neighbours: (0..gains.len()).map(|one| vec![one]).collect() }
    }

    #[test]
    fn one_candidate_gets_its_own_score_without_spread() {
        let nested = candidates(&[vec![0.5; 10]]).cross_validate().unwrap();
        assert_eq!((nested.mean, nested.spread, nested.candidates), (50.0, 0.0, 1));
        assert_eq!(candidates(&[vec![0.5; 4]]).cross_validate(), None);
    }

    #[test]
    fn a_candidate_that_only_fits_the_series_it_was_chosen_on_gains_nothing() {
        // Each of ten is perfect on its own series and useless on all others; one is fair everywhere.
        let mut gains: Vec<Vec<f64>> =
            (0..10).map(|own| (0..10).map(|one| if one == own { 1.0 } else { 0.0 }).collect()).collect();
        assert_eq!(candidates(&gains).cross_validate().unwrap().mean, 0.0, "chosen on other series");
        gains.push(vec![0.4; 10]);
        let mean = candidates(&gains).cross_validate().unwrap().mean;
        assert!((mean - 40.0).abs() < 1e-9, "{mean}");
    }
}

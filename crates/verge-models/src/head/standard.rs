//! Features on one scale: each less its mean, by its deviation.

use super::matrix::{Matrix, count};

/// Share of the mean deviation that is added to each: what hardly ever changes would be blown up.
const FLOOR: f64 = 0.001;

/// What brings features on one scale.
#[derive(Debug, Clone, PartialEq)]
pub struct Standard {
    /// Mean of each.
    pub means: Vec<f64>,
    /// What each is divided by.
    pub deviations: Vec<f64>,
}

impl Standard {
    /// That of some rows.
    #[must_use]
    pub fn of(features: &Matrix) -> Self {
        let means = features.means();
        let mut squares = vec![0.0; features.columns()];
        for row in 0..features.rows() {
            let away = features.row(row).iter().zip(&means).map(|(x, mean)| (x - mean).powi(2));
            squares.iter_mut().zip(away).for_each(|(sum, away)| *sum += away);
        }
        let rows = count(features.rows().max(1));
        Self::of_moments(means, squares.iter().map(|sum| sum / rows))
    }

    /// That of known means and variances.
    #[must_use]
    pub fn of_moments(means: Vec<f64>, variances: impl Iterator<Item = f64>) -> Self {
        let mut deviations: Vec<f64> = variances.map(|variance| variance.max(0.0).sqrt()).collect();
        let mean = deviations.iter().sum::<f64>() / count(deviations.len().max(1));
        // Of features that never change at all any number will do.
        let floor = if mean > 0.0 { FLOOR * mean } else { 1.0 };
        deviations.iter_mut().for_each(|deviation| *deviation += floor);
        Self { means, deviations }
    }

    /// The rows on that scale.
    #[must_use]
    pub fn apply(&self, features: &Matrix) -> Matrix {
        let mut scaled = features.clone();
        for row in 0..scaled.rows() {
            let by = self.means.iter().zip(&self.deviations);
            scaled
                .row_mut(row)
                .iter_mut()
                .zip(by)
                .for_each(|(x, (mean, deviation))| *x = (*x - mean) / deviation);
        }
        scaled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_have_no_mean_and_one_deviation() {
        let rows: Vec<[f32; 3]> = (0..50).map(|x| x as f32).map(|x| [x, 5.0 - 100.0 * x, 7.0]).collect();
        let features = Matrix::of_rows(3, rows.iter().map(|row| &row[..]));
        let scaled = Standard::of(&features).apply(&features);
        for column in 0..2 {
            let values: Vec<f64> = (0..50).map(|row| scaled.row(row)[column]).collect();
            let mean = values.iter().sum::<f64>() / 50.0;
            let variance = values.iter().map(|x| x * x).sum::<f64>() / 50.0;
            assert!(mean.abs() < 1e-9 && (0.9..=1.0).contains(&variance), "{mean} {variance}");
        }
        assert!((0..50).all(|row| scaled.row(row)[2].abs() < 1e-9), "what never changes says nothing");
    }
}

//! Weights by descent: softmax regression with a penalty on large weights, for many pictures.
//!
//! **Source**: Kingma and Ba (2015), Adam.

use super::matrix::{Matrix, add_times, count};
use super::temperature::probabilities;

/// Steps at most.
const STEPS: usize = 400;
/// Steps without a gain after which it ends.
const PATIENCE: usize = 15;
/// What is a gain, in parts of the loss.
const GAIN: f64 = 1e-4;
const RATE: f64 = 0.01;
const MOMENTS: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

/// Weights of each feature, and the constant of each class.
#[derive(Debug, Clone, PartialEq)]
pub struct Descent {
    /// Numbers per class of each feature.
    pub weights: Matrix,
    /// Number of each class.
    pub constant: Vec<f64>,
}

/// Descends from nothing; `penalty` is that of the squares of the weights.
#[must_use]
pub fn descend(rows: &Matrix, targets: &Matrix, penalty: f64) -> Descent {
    descend_at(rows, targets, &vec![1.0; rows.rows()], penalty)
}

/// The same where each row has a temperature of its own: its scores are divided by that before they are held against the targets,
/// and its loss counts by its square, since slopes would be smaller by that otherwise.
///
/// **Source**: Hinton et al. (2015), "Distilling the Knowledge in a Neural Network".
#[must_use]
pub fn descend_at(rows: &Matrix, targets: &Matrix, temperatures: &[f64], penalty: f64) -> Descent {
    let classes = targets.columns();
    let mut at = Descent { weights: Matrix::zeros(rows.columns(), classes), constant: vec![0.0; classes] };
    let size = rows.columns() * classes + classes;
    let (mut means, mut squares) = (vec![0.0; size], vec![0.0; size]);
    let (mut best, mut since) = (f64::INFINITY, 0);
    let (mut first, mut second) = (1.0, 1.0);
    let turned = rows.transposed();
    for _ in 0..STEPS {
        let (loss, gradient) = loss((rows, &turned), (targets, temperatures), &at, penalty);
        since += 1;
        if loss < best * (1.0 - GAIN) {
            (best, since) = (loss, 0);
        }
        if since > PATIENCE {
            break;
        }
        first *= MOMENTS.0;
        second *= MOMENTS.1;
        let step = |place: usize, slope: f64, means: &mut [f64], squares: &mut [f64]| {
            means[place] = MOMENTS.0 * means[place] + (1.0 - MOMENTS.0) * slope;
            squares[place] = MOMENTS.1 * squares[place] + (1.0 - MOMENTS.1) * slope * slope;
            RATE * (means[place] / (1.0 - first)) / ((squares[place] / (1.0 - second)).sqrt() + EPSILON)
        };
        let mut place = 0;
        for row in 0..rows.columns() {
            for (weight, slope) in at.weights.row_mut(row).iter_mut().zip(gradient.weights.row(row)) {
                *weight -= step(place, *slope, &mut means, &mut squares);
                place += 1;
            }
        }
        for (constant, slope) in at.constant.iter_mut().zip(&gradient.constant) {
            *constant -= step(place, *slope, &mut means, &mut squares);
            place += 1;
        }
    }
    at
}

/// Mean log loss with the penalty, and its slope.
fn loss(
    (rows, turned): (&Matrix, &Matrix),
    (targets, temperatures): (&Matrix, &[f64]),
    at: &Descent,
    penalty: f64,
) -> (f64, Descent) {
    let mut away = super::ridge::say(rows, &at.weights, &at.constant);
    let share = 1.0 / count(rows.rows().max(1));
    let mut loss = 0.0;
    for (row, temperature) in temperatures.iter().enumerate() {
        let likely = probabilities(away.row(row), *temperature);
        for ((away, likely), target) in away.row_mut(row).iter_mut().zip(likely).zip(targets.row(row)) {
            loss -= share * temperature.powi(2) * target * likely.max(f64::MIN_POSITIVE).ln();
            *away = share * temperature * (likely - target);
        }
    }
    let mut weights = turned.times(&away);
    let mut constant = vec![0.0; targets.columns()];
    (0..away.rows()).for_each(|row| add_times(&mut constant, 1.0, away.row(row)));
    for row in 0..weights.rows() {
        let own = at.weights.row(row);
        loss += penalty / 2.0 * own.iter().map(|weight| weight * weight).sum::<f64>();
        add_times(weights.row_mut(row), penalty, own);
    }
    (loss, Descent { weights, constant })
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::super::matrix::greatest;
    use super::*;

    fn drawn() -> (Matrix, Matrix, Vec<usize>) {
        let mut random = Rng::with_seed(3);
        let labels: Vec<usize> = (0..60).map(|row| row % 3).collect();
        let rows: Vec<Vec<f32>> = labels
            .iter()
            .map(|label| (0..5).map(|place| f32::from(u8::from(place == *label)) + random.f32()).collect())
            .collect();
        (Matrix::of_rows(5, rows.iter().map(|row| &row[..])), Matrix::one_hot(3, &labels), labels)
    }

    #[test]
    fn slopes_are_those_of_finite_differences() {
        let (rows, targets, _) = drawn();
        let temperatures: Vec<f64> = (0..60_u32).map(|row| if row % 4 == 0 { 2.0 } else { 1.0 }).collect();
        let mut at = descend_at(&rows, &targets, &temperatures, 0.5);
        let turned = rows.transposed();
        let (_, slope) = loss((&rows, &turned), (&targets, &temperatures), &at, 0.1);
        let small = 1e-6;
        for (row, class) in [(0, 0), (2, 1), (4, 2)] {
            let mut value = |offset: f64| {
                at.weights.row_mut(row)[class] += offset;
                let (loss, _) = loss((&rows, &turned), (&targets, &temperatures), &at, 0.1);
                at.weights.row_mut(row)[class] -= offset;
                loss
            };
            let expected = (value(small) - value(-small)) / (2.0 * small);
            let found = slope.weights.row(row)[class];
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
        let end = descend_at(&rows, &targets, &temperatures, 0.1);
        let (_, slope) = loss((&rows, &turned), (&targets, &temperatures), &end, 0.1);
        let most = slope.weights.values().iter().map(|x| x.abs()).fold(0.0, f64::max);
        assert!(most < 5e-3, "at the end it is level: {most}");
    }

    #[test]
    fn classes_that_differ_are_separated() {
        let (rows, targets, labels) = drawn();
        let at = descend(&rows, &targets, 1e-3);
        let said = super::super::ridge::say(&rows, &at.weights, &at.constant);
        let right =
            labels.iter().enumerate().filter(|(row, label)| greatest(said.row(*row)) == **label).count();
        assert!(right >= 50, "{right} of 60");
    }
}

//! A head that learns what another model says: probabilities made softer by a temperature, which show what is like what, and the
//! classes of pictures where people know them.
//!
//! **Source**: Hinton et al. (2015), "Distilling the Knowledge in a Neural Network".

use super::matrix::{Matrix, greatest};
use super::ridge::say;
use super::softmax::descend_at;
use super::standard::Standard;
use super::temperature::temperature;
use super::trained::{Head, PENALTY, Samples};

/// What scores are divided by before softmax, of the teacher and of the head that learns from it.
pub const TEMPERATURE: f64 = 2.0;

/// What each picture is to be: by people, else by the teacher.
#[derive(Debug, Clone, PartialEq)]
pub struct Lesson {
    targets: Matrix,
    temperatures: Vec<f64>,
}

impl Lesson {
    /// Of the probabilities that a teacher gives each picture, and of classes that people know.
    #[must_use]
    pub fn new(classes: usize, pictures: &[(Vec<f64>, Option<usize>)]) -> Self {
        let mut targets = Matrix::zeros(pictures.len(), classes);
        let mut temperatures = Vec::with_capacity(pictures.len());
        for (row, (said, known)) in pictures.iter().enumerate() {
            match known {
                Some(class) => targets.row_mut(row)[*class] = 1.0,
                None => targets.row_mut(row).copy_from_slice(&softened(said, TEMPERATURE)),
            }
            temperatures.push(if known.is_some() { 1.0 } else { TEMPERATURE });
        }
        Self { targets, temperatures }
    }

    /// The class that each picture is of: what people say, else what the teacher thinks most of.
    #[must_use]
    pub fn labels(&self) -> Vec<usize> {
        (0..self.targets.rows()).map(|row| greatest(self.targets.row(row))).collect()
    }

    /// The scores that each picture is given by a head that has not seen its fold. `used`: rows that are learnt from at all; a fold
    /// without any of these beside it has scores of zero.
    #[must_use]
    pub fn left_out(&self, features: &Matrix, samples: &Samples, used: &[bool]) -> Matrix {
        let rows = Standard::of(features).apply(features);
        let mut scores = Matrix::zeros(rows.rows(), self.targets.columns());
        for fold in samples.folds(0) {
            let others: Vec<usize> =
                (0..rows.rows()).filter(|row| used[*row] && !fold.contains(row)).collect();
            if others.is_empty() {
                continue;
            }
            let (weights, constant) = self.learnt(&rows, &others);
            let said = say(&rows.chosen(&fold), &weights, &constant);
            for (place, row) in fold.iter().enumerate() {
                scores.row_mut(*row).copy_from_slice(said.row(place));
            }
        }
        scores
    }

    /// Weights and constants by descent from some rows.
    fn learnt(&self, rows: &Matrix, chosen: &[usize]) -> (Matrix, Vec<f64>) {
        let temperatures: Vec<f64> = chosen.iter().map(|row| self.temperatures[*row]).collect();
        let (rows, targets) = (rows.chosen(chosen), self.targets.chosen(chosen));
        let found = descend_at(&rows, &targets, &temperatures, PENALTY);
        (found.weights, found.constant)
    }

    /// The head. Its temperature makes probabilities of scores for what people say, and what the teacher thinks most of; it is found
    /// on the scores that [`left_out`](Self::left_out) gives for all rows.
    #[must_use]
    pub fn head(&self, features: &Matrix, left_out: &Matrix) -> Head {
        let standard = Standard::of(features);
        let every: Vec<usize> = (0..features.rows()).collect();
        let (weights, constant) = self.learnt(&standard.apply(features), &every);
        let temperature = temperature(left_out, &self.labels());
        Head { standard, weights, constant, temperature, lambda: 0.0, unknown: None }
    }
}

/// The class of the greatest score, row by row.
#[must_use]
pub fn chosen(scores: &Matrix) -> Vec<usize> {
    (0..scores.rows()).map(|row| greatest(scores.row(row))).collect()
}

/// Probabilities as they would be had the scores been divided by a temperature. Their sum need not be one: classes may have been
/// left out.
#[must_use]
pub fn softened(probabilities: &[f64], temperature: f64) -> Vec<f64> {
    let powers: Vec<f64> = probabilities.iter().map(|one| one.max(0.0).powf(1.0 / temperature)).collect();
    let sum: f64 = powers.iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "a number of classes")]
    let even = 1.0 / powers.len().max(1) as f64;
    powers.iter().map(|power| if sum > 0.0 { power / sum } else { even }).collect()
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::super::temperature::probabilities;
    use super::*;

    #[test]
    fn softer_probabilities_are_those_of_scores_that_were_divided() {
        let scores = [3.0, 1.0, -2.0];
        let found = softened(&probabilities(&scores, 1.0), 2.0);
        for (found, expected) in found.iter().zip(probabilities(&scores, 2.0)) {
            assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
        }
        assert_eq!(softened(&[0.0, 0.0], 2.0), [0.5, 0.5]);
    }

    #[test]
    fn a_head_learns_what_the_teacher_says_and_labels_outweigh_it() {
        // The teacher's scores are sums of features; of half the pictures people know the class.
        let mut random = Rng::with_seed(5);
        let rows: Vec<Vec<f32>> = (0..120).map(|_| (0..6).map(|_| random.f32() - 0.5).collect()).collect();
        let features = Matrix::of_rows(6, rows.iter().map(|row| &row[..]));
        let scores = |row: &[f32]| -> Vec<f64> {
            (0..3).map(|class| 8.0 * f64::from(row[class] + row[class + 3])).collect()
        };
        let said: Vec<Vec<f64>> = rows.iter().map(|row| probabilities(&scores(row), 1.0)).collect();
        let samples = Samples {
            classes: 3,
            labels: said.iter().map(|said| greatest(said)).collect(),
            groups: (0..120).collect(),
            pictures: (0..120).map(|row| vec![row]).collect(),
        };
        let soft: Vec<(Vec<f64>, Option<usize>)> = said.iter().map(|said| (said.clone(), None)).collect();
        let lesson = Lesson::new(3, &soft);
        assert_eq!(lesson.labels(), samples.labels);
        let left_out = lesson.left_out(&features, &samples, &[true; 120]);
        let given = chosen(&left_out);
        let right =
            |given: &[usize]| given.iter().zip(&samples.labels).filter(|(one, other)| one == other).count();
        assert!(right(&given) >= 108, "{} of 120", right(&given));
        // Its order among classes is the teacher's as well, not the best alone.
        let head = lesson.head(&features, &left_out);
        let least = |of: &[f64]| greatest(&of.iter().map(|one| -one).collect::<Vec<f64>>());
        let answers = head.answer(&features);
        let same =
            answers.iter().zip(&said).filter(|((answer, _), said)| least(answer) == least(said)).count();
        assert!(same >= 100, "{same} of 120");
        // People turn the classes round: the head follows them.
        let turned: Vec<(Vec<f64>, Option<usize>)> =
            said.iter().map(|said| (said.clone(), Some((greatest(said) + 1) % 3))).collect();
        let given = chosen(&Lesson::new(3, &turned).left_out(&features, &samples, &[true; 120]));
        let follows =
            given.iter().zip(&samples.labels).filter(|(one, label)| **one == (**label + 1) % 3).count();
        assert!(follows >= 100, "{follows} of 120");
    }

    #[test]
    fn a_fold_with_all_that_is_learnt_from_has_no_scores() {
        let rows: [[f32; 2]; 6] = [[0.0, 1.0], [0.1, 0.9], [0.2, 1.1], [1.0, 0.0], [0.9, 0.1], [1.1, 0.2]];
        let features = Matrix::of_rows(2, rows.iter().map(|row| &row[..]));
        let known: Vec<(Vec<f64>, Option<usize>)> =
            (0..6).map(|row| (vec![0.5, 0.5], Some(row / 3))).collect();
        let lesson = Lesson::new(2, &known);
        let samples = Samples {
            classes: 2,
            labels: lesson.labels(),
            groups: (0..6).collect(),
            pictures: (0..6).map(|row| vec![row]).collect(),
        };
        let mut used = [false; 6];
        used[2] = true;
        let scores = lesson.left_out(&features, &samples, &used);
        assert_eq!(scores.row(2), [0.0, 0.0]);
        assert!(scores.row(5).iter().any(|score| *score != 0.0));
    }
}

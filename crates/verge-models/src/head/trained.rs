//! A head: features on one scale, weights, a temperature, and what is unknown.

use fastrand::Rng;

use super::groups::folds;
use super::matrix::{Matrix, count, greatest};
use super::ridge::{Ridge, say};
use super::softmax::descend;
use super::standard::Standard;
use super::temperature::{probabilities, temperature};
use super::unknown::{MOST_KEPT, Unknown};

/// Folds of the cross-validation.
pub const FOLDS: usize = 5;
/// Ways in which groups are divided among folds. How often a picture is right over all of them says more of it than one of them does.
const DIVISIONS: u64 = 5;
/// The penalty of descent on the squares of weights.
pub(super) const PENALTY: f64 = 1e-2;

verge_domain::words! {
    /// How weights are found.
    #[derive(Default)]
    pub enum Method {
        /// By one solve.
        #[default]
        Ridge = "ridge",
        /// By descent.
        Softmax = "softmax",
    }
}

/// Pictures whose classes are known, as far as a head is about them: rows of features belong to them.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// How many classes there are.
    pub classes: usize,
    /// The class of each row.
    pub labels: Vec<usize>,
    /// The group of each row: rows of one group say the same.
    pub groups: Vec<usize>,
    /// Rows of one picture: the first is the picture, the others were made of it.
    pub pictures: Vec<Vec<usize>>,
}

/// A head.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// What brings features on one scale.
    pub standard: Standard,
    /// Numbers per class of each feature on that scale.
    pub weights: Matrix,
    /// Number of each class.
    pub constant: Vec<f64>,
    /// What scores are divided by before softmax.
    pub temperature: f64,
    /// λ in parts of the mean square of a row; 0 where weights were found by descent.
    pub lambda: f64,
    /// What is unknown, where that is asked for and can be said.
    pub unknown: Option<Unknown>,
}

/// What is known of a head before anything is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadTrial {
    /// The class that each picture is given by weights that were solved without its fold.
    pub said: Vec<usize>,
    /// Right ones among them.
    pub right: usize,
    /// Share of several divisions into folds with which each picture is right; the first of them is that of `said`.
    pub shares: Vec<f64>,
}

impl Samples {
    /// The class of each picture.
    #[must_use]
    pub fn picture_labels(&self) -> Vec<usize> {
        self.pictures.iter().map(|rows| self.labels[rows[0]]).collect()
    }

    /// Every picture that comes after `step` others, with the places of its rows.
    #[must_use]
    pub fn every(&self, step: usize) -> (Self, Vec<usize>) {
        let (mut part, mut rows) = (
            Self { classes: self.classes, labels: Vec::new(), groups: Vec::new(), pictures: Vec::new() },
            Vec::new(),
        );
        for picture in self.pictures.iter().step_by(step.max(1)) {
            part.pictures.push((rows.len()..rows.len() + picture.len()).collect());
            part.labels.extend(picture.iter().map(|row| self.labels[*row]));
            part.groups.extend(picture.iter().map(|row| self.groups[*row]));
            rows.extend(picture);
        }
        (part, rows)
    }

    /// Rows of each group.
    fn blocks(&self) -> Vec<Vec<usize>> {
        let most = self.groups.iter().max().map_or(0, |most| most + 1);
        let mut groups = vec![Vec::new(); most];
        self.groups.iter().enumerate().for_each(|(row, group)| groups[*group].push(row));
        groups.retain(|group: &Vec<usize>| !group.is_empty());
        groups
    }

    /// What is left out at once where λ and temperature are chosen: a group, since the others of it would say what it says.
    fn left_together(&self) -> Vec<Vec<usize>> {
        let blocks = self.blocks();
        if blocks.len() < 2 { self.pictures.clone() } else { blocks }
    }

    /// Folds of rows that divide no group, in one of several ways.
    pub(super) fn folds(&self, division: u64) -> Vec<Vec<usize>> {
        let mut blocks = self.blocks();
        if division > 0 {
            Rng::with_seed(division).shuffle(&mut blocks);
        }
        folds(&blocks, &self.labels, FOLDS)
    }

    fn targets(&self) -> (Matrix, Vec<f64>) {
        let mut targets = Matrix::one_hot(self.classes, &self.labels);
        let means = targets.means();
        for row in 0..targets.rows() {
            targets.row_mut(row).iter_mut().zip(&means).for_each(|(target, mean)| *target -= mean);
        }
        (targets, means)
    }

    /// What a head would say of each picture without the pictures of its fold. Scale and λ are those of all rows: neither looks at a
    /// picture's own class for more than one of many. `None` where the numbers allow no solution.
    #[must_use]
    pub fn cross_validate(&self, features: &Matrix, method: Method) -> Option<HeadTrial> {
        // Descent takes its time: it is not repeated.
        let divisions = if method == Method::Ridge { DIVISIONS } else { 1 };
        let scores = self.left_out(features, method, divisions)?;
        let labels = self.picture_labels();
        let said_of = |scores: &Matrix| -> Vec<usize> {
            self.pictures.iter().map(|rows| greatest(scores.row(rows[0]))).collect()
        };
        let mut shares = vec![0.0; labels.len()];
        for said in scores.iter().map(said_of) {
            let right = said.iter().zip(&labels).map(|(said, label)| f64::from(u8::from(said == label)));
            shares.iter_mut().zip(right).for_each(|(share, right)| *share += right / count(scores.len()));
        }
        let said = said_of(scores.first()?);
        let right = said.iter().zip(&labels).filter(|(said, label)| said == label).count();
        Some(HeadTrial { said, right, shares })
    }

    /// What would be said of each row without its fold, for each division into folds.
    fn left_out(&self, features: &Matrix, method: Method, divisions: u64) -> Option<Vec<Matrix>> {
        let rows = Standard::of(features).apply(features);
        let divisions: Vec<Vec<Vec<usize>>> = (0..divisions).map(|division| self.folds(division)).collect();
        let (targets, means) = self.targets();
        let mut scores = match method {
            Method::Ridge => {
                let ridge = Ridge::new(&rows, &targets);
                let (lambda, _) = ridge.best(&self.left_together())?;
                let divisions: Vec<&[Vec<usize>]> = divisions.iter().map(Vec::as_slice).collect();
                ridge.solve_each(lambda * ridge.scale(), &divisions)?.1
            }
            Method::Softmax => {
                return Some(divisions.iter().map(|folds| self.descended(&rows, folds)).collect());
            }
        };
        for scores in &mut scores {
            (0..scores.rows()).for_each(|row| {
                scores.row_mut(row).iter_mut().zip(&means).for_each(|(score, mean)| *score += mean);
            });
        }
        Some(scores)
    }

    fn descended(&self, rows: &Matrix, folds: &[Vec<usize>]) -> Matrix {
        let whole = Matrix::one_hot(self.classes, &self.labels);
        let mut scores = Matrix::zeros(rows.rows(), self.classes);
        for fold in folds {
            let others: Vec<usize> = (0..rows.rows()).filter(|row| !fold.contains(row)).collect();
            let found = descend(&rows.chosen(&others), &whole.chosen(&others), PENALTY);
            let said = say(&rows.chosen(fold), &found.weights, &found.constant);
            fold.iter().enumerate().for_each(|(place, row)| {
                scores.row_mut(*row).copy_from_slice(said.row(place));
            });
        }
        scores
    }
}

impl Head {
    /// Trains one; `None` where the numbers allow no solution.
    #[must_use]
    pub fn train(features: &Matrix, samples: &Samples, method: Method, with_unknown: bool) -> Option<Self> {
        let standard = Standard::of(features);
        let rows = standard.apply(features);
        let (weights, constant, lambda, left_out) = match method {
            Method::Ridge => {
                let (targets, means) = samples.targets();
                let (lambda, solution) = Ridge::new(&rows, &targets).best(&samples.left_together())?;
                (solution.weights, means, lambda, solution.left_out)
            }
            Method::Softmax => {
                let found = descend(&rows, &Matrix::one_hot(samples.classes, &samples.labels), PENALTY);
                (found.weights, found.constant, 0.0, samples.left_out(features, method, 1)?.pop()?)
            }
        };
        // Scores of both methods are compared with the constant in them.
        let own: &[f64] = if method == Method::Ridge { &constant[..] } else { &[] };
        let pictures: Vec<usize> = samples.pictures.iter().map(|rows| rows[0]).collect();
        let mut scores = left_out.chosen(&pictures);
        (0..scores.rows()).for_each(|row| {
            scores.row_mut(row).iter_mut().zip(own).for_each(|(score, own)| *score += own);
        });
        let temperature = temperature(&scores, &samples.picture_labels());
        let unknown = if with_unknown { Unknown::of(features, &samples.groups, MOST_KEPT) } else { None };
        Some(Self { standard, weights, constant, temperature, lambda, unknown })
    }

    /// What it says of features, and how far they are from what is known, where it says that.
    #[must_use]
    pub fn answer(&self, features: &Matrix) -> Vec<(Vec<f64>, Option<f64>)> {
        let rows = self.standard.apply(features);
        let scores = say(&rows, &self.weights, &self.constant);
        let answer = |row: usize| {
            let distance = self.unknown.as_ref().map(|unknown| unknown.distance(features.row(row)));
            (probabilities(scores.row(row), self.temperature), distance)
        };
        (0..rows.rows()).map(answer).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Classes around directions of their own, so far apart.
    fn drawn(apart: f32, seed: u64) -> (Matrix, Samples) {
        let mut random = Rng::with_seed(seed);
        let labels: Vec<usize> = (0..90).map(|row| row % 3).collect();
        let rows: Vec<Vec<f32>> = labels
            .iter()
            .map(|label| {
                let own = |place: usize| if place % 3 == *label { apart } else { 0.0 };
                (0..150).map(|place| own(place) + random.f32() + random.f32() + random.f32()).collect()
            })
            .collect();
        let features = Matrix::of_rows(150, rows.iter().map(|row| &row[..]));
        let samples = Samples {
            classes: 3,
            labels,
            groups: (0..90).collect(),
            pictures: (0..90).map(|row| vec![row]).collect(),
        };
        (features, samples)
    }

    #[test]
    fn both_methods_tell_classes_apart_and_neither_noise() {
        for method in [Method::Ridge, Method::Softmax] {
            let (features, samples) = drawn(0.5, 1);
            let trial = samples.cross_validate(&features, method).unwrap();
            assert!(trial.right >= 85, "{method:?}: {} of 90", trial.right);
            let head = Head::train(&features, &samples, method, true).unwrap();
            let (fresh, truth) = drawn(0.5, 2);
            let answers = head.answer(&fresh);
            let right =
                answers.iter().zip(&truth.labels).filter(|((said, _), label)| greatest(said) == **label);
            assert!(right.count() >= 85);
            let sure: f64 = answers.iter().map(|(said, _)| said[greatest(said)]).sum::<f64>() / 90.0;
            assert!(sure > 0.8, "{method:?}: {sure}");
            let (noise, samples) = drawn(0.0, 3);
            let trial = samples.cross_validate(&noise, method).unwrap();
            assert!(trial.right < 45, "{method:?}: {} of 90 without anything to see", trial.right);
            let answers = Head::train(&noise, &samples, method, false).unwrap().answer(&fresh);
            let sure: f64 = answers.iter().map(|(said, _)| said[greatest(said)]).sum::<f64>() / 90.0;
            assert!(sure < 0.7, "{method:?}: {sure} of noise");
        }
    }

    #[test]
    fn copies_of_a_picture_teach_and_do_not_count() {
        let (features, samples) = drawn(0.5, 1);
        let twice = |rows: &[usize]| rows.iter().chain(rows).copied().collect::<Vec<usize>>();
        let doubled = Matrix::of_rows(
            150,
            (0..180)
                .map(|row| features.row(row % 90).iter().map(|x| *x as f32).collect::<Vec<f32>>())
                .collect::<Vec<_>>()
                .iter()
                .map(|row| &row[..]),
        );
        let copied = Samples {
            labels: twice(&samples.labels),
            groups: twice(&samples.groups),
            pictures: (0..90).map(|row| vec![row, row + 90]).collect(),
            ..samples
        };
        let trial = copied.cross_validate(&doubled, Method::Ridge).unwrap();
        assert_eq!(trial.said.len(), 90);
        assert!((80..=90).contains(&trial.right), "{}", trial.right);
    }
}

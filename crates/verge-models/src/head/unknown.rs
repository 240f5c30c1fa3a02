//! What is like nothing that was shown: a picture whose features point elsewhere than those of all pictures of the training.

use super::matrix::{Matrix, count, dot};

/// Rows that are kept at most: more cost time in each run, and say little more.
pub const MOST_KEPT: usize = 512;
/// Share of pictures like those of the training that count as known, as expected.
const KNOWN: f64 = 0.99;

/// The pictures of the training, as far as they are kept, and how far from them is too far.
#[derive(Debug, Clone, PartialEq)]
pub struct Unknown {
    /// Directions of features, each of length 1.
    pub kept: Matrix,
    /// One less the cosine of the angle to the nearest; beyond this a picture is unknown.
    pub limit: f64,
}

impl Unknown {
    /// Of features, and the group of each row: the nearest picture of another group counts. `None` where all are of one group.
    #[must_use]
    pub fn of(rows: &Matrix, groups: &[usize], most: usize) -> Option<Self> {
        let rows = directions(rows);
        let centres = centres(&rows, most);
        let away = |row: usize| {
            let others = centres.iter().filter(|centre| groups[**centre] != groups[row]);
            others.map(|centre| 1.0 - dot(rows.row(row), rows.row(*centre))).min_by(f64::total_cmp)
        };
        let mut distances: Vec<f64> = (0..rows.rows()).filter_map(away).collect();
        distances.sort_by(f64::total_cmp);
        let limit = limit(&distances, KNOWN)?;
        Some(Self { kept: rows.chosen(&centres), limit })
    }

    /// How far features are from the nearest.
    #[must_use]
    pub fn distance(&self, features: &[f64]) -> f64 {
        let length = dot(features, features).sqrt().max(f64::MIN_POSITIVE);
        let nearest = (0..self.kept.rows()).map(|row| dot(self.kept.row(row), features) / length);
        1.0 - nearest.fold(-1.0, f64::max)
    }
}

/// Each row with the length 1.
fn directions(rows: &Matrix) -> Matrix {
    let mut rows = rows.clone();
    for row in 0..rows.rows() {
        let length = dot(rows.row(row), rows.row(row)).sqrt().max(f64::MIN_POSITIVE);
        rows.row_mut(row).iter_mut().for_each(|x| *x /= length);
    }
    rows
}

/// Rows that stand for all: each is the one that is farthest from those before it.
///
/// **Source**: Gonzalez (1985).
fn centres(rows: &Matrix, most: usize) -> Vec<usize> {
    if rows.rows() <= most {
        return (0..rows.rows()).collect();
    }
    let mut chosen = vec![0];
    let mut nearest = vec![f64::NEG_INFINITY; rows.rows()];
    while chosen.len() < most {
        let last = rows.row(chosen[chosen.len() - 1]);
        for (row, cosine) in nearest.iter_mut().enumerate() {
            *cosine = cosine.max(dot(rows.row(row), last));
        }
        let farthest = nearest.iter().enumerate().min_by(|(_, one), (_, other)| one.total_cmp(other));
        chosen.extend(farthest.map(|(row, _)| row));
    }
    chosen.sort_unstable();
    chosen
}

/// The distance that a further picture of the same kind keeps within with this probability: it is as likely to stand in any place
/// among those that are known, in order. With too few of them for that it is the greatest.
///
/// **Source**: Vovk et al. (2005), conformal prediction. The quantile of the sample itself is passed twice as often with 120 pictures.
fn limit(ordered: &[f64], share: f64) -> Option<f64> {
    let last = ordered.len().checked_sub(1)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    let rank = (share * count(ordered.len() + 1)).ceil() as usize;
    ordered.get(rank.saturating_sub(1).min(last)).copied()
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    fn around(direction: &[f32], rows: usize, seed: u64) -> Vec<Vec<f32>> {
        let mut random = Rng::with_seed(seed);
        (0..rows).map(|_| direction.iter().map(|x| x + 0.3 * (random.f32() - 0.5)).collect()).collect()
    }

    fn matrix(rows: &[Vec<f32>]) -> Matrix {
        Matrix::of_rows(rows[0].len(), rows.iter().map(|row| &row[..]))
    }

    #[test]
    fn its_own_are_known_and_strangers_are_not() {
        let own = around(&[1.0, 0.0, 0.0, 1.0, 0.0, 0.5], 100, 1);
        let groups: Vec<usize> = (0..100).collect();
        let unknown = Unknown::of(&matrix(&own), &groups, MOST_KEPT).unwrap();
        let far = |rows: &[Vec<f32>]| {
            let rows = matrix(rows);
            (0..rows.rows()).filter(|row| unknown.distance(rows.row(*row)) > unknown.limit).count()
        };
        assert_eq!(far(&own), 0, "each is its own nearest");
        assert!(far(&around(&[1.0, 0.0, 0.0, 1.0, 0.0, 0.5], 200, 2)) <= 10);
        assert_eq!(far(&around(&[0.0, 1.0, 1.0, 0.0, -1.0, 0.0], 200, 3)), 200);
    }

    #[test]
    fn few_stand_for_many_and_doubles_do_not_make_it_strict() {
        let own = around(&[1.0, 0.0, 0.0, 1.0], 300, 4);
        let doubled: Vec<Vec<f32>> = own.iter().flat_map(|row| [row.clone(), row.clone()]).collect();
        let groups: Vec<usize> = (0..600).map(|row| row / 2).collect();
        let alone: Vec<usize> = (0..600).collect();
        let grouped = Unknown::of(&matrix(&doubled), &groups, 1_000).unwrap();
        assert!(grouped.limit > 1e-4, "{}", grouped.limit);
        assert!(Unknown::of(&matrix(&doubled), &alone, 1_000).unwrap().limit < 1e-9);
        let few = Unknown::of(&matrix(&doubled), &groups, 64).unwrap();
        assert_eq!(few.kept.rows(), 64);
        assert!(few.limit >= grouped.limit);
        assert_eq!(Unknown::of(&matrix(&own), &[0; 300], 64), None, "one group");
    }

    #[test]
    fn one_in_a_hundred_of_the_same_kind_is_beyond_the_limit() {
        let mut random = Rng::with_seed(8);
        // 120 are as many as six classes of 20.
        for known in [120, 500] {
            let (rounds, fresh) = (400, 50);
            let mut beyond = 0;
            for _ in 0..rounds {
                let mut seen: Vec<f64> = (0..known).map(|_| random.f64()).collect();
                seen.sort_by(f64::total_cmp);
                let limit = limit(&seen, KNOWN).unwrap();
                beyond += (0..fresh).filter(|_| random.f64() > limit).count();
            }
            let share = count(beyond) / count(rounds * fresh);
            assert!((0.006..=0.011).contains(&share), "{share} of {known}");
        }
        assert_eq!(limit(&[1.0, 2.0, 4.0], 0.99), Some(4.0), "too few");
        assert_eq!(limit(&[], 0.99), None);
    }
}

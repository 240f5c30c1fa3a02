//! Ridge regression on one number per class: one solve, and in closed form what it would have said of each picture without that
//! picture.
//!
//! **Source**: Hoerl and Kennard (1970); left out by blocks, Cook and Weisberg (1982): e = (I - H)⁻¹(y - ŷ) over the block. In
//! the dual form W = Zᵀ(ZZᵀ + λI)⁻¹Y where there are fewer pictures than features, else W = (ZᵀZ + λI)⁻¹ZᵀY: the same weights.

use nalgebra::{Cholesky, DMatrix, Dyn};

use super::matrix::{Matrix, add_times, count, dot};

/// What λ is chosen from, in parts of the mean square of a row.
pub const LAMBDAS: [f64; 7] = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 3e-1, 1.0];

/// Rows and what is to be said of them, ready to be solved for any λ.
#[derive(Debug)]
pub struct Ridge<'a> {
    rows: &'a Matrix,
    targets: &'a Matrix,
    /// Rows times rows, or columns times columns: whichever is smaller.
    gram: Matrix,
    is_dual: bool,
}

/// A solution.
#[derive(Debug)]
pub struct Solution {
    /// Numbers per class of each feature.
    pub weights: Matrix,
    /// What each row would be given by weights that were solved without its block.
    pub left_out: Matrix,
}

impl<'a> Ridge<'a> {
    /// Of rows of features and of targets, both without their means.
    ///
    /// # Panics
    /// If there are not as many targets as rows.
    #[must_use]
    pub fn new(rows: &'a Matrix, targets: &'a Matrix) -> Self {
        assert_eq!(rows.rows(), targets.rows(), "a target for each row");
        let is_dual = rows.rows() <= rows.columns();
        let gram = if is_dual { rows.gram() } else { rows.transposed().gram() };
        Self { rows, targets, gram, is_dual }
    }

    /// The mean square of a row, which λ is counted in.
    #[must_use]
    pub fn scale(&self) -> f64 {
        let side = self.gram.rows();
        let trace: f64 = (0..side).map(|place| self.gram.row(place)[place]).sum();
        (trace / count(self.rows.rows().max(1))).max(f64::MIN_POSITIVE)
    }

    /// Solves for a λ, and leaves out each of these blocks of rows; nothing where the numbers allow no solution.
    #[must_use]
    pub fn solve(&self, lambda: f64, blocks: &[Vec<usize>]) -> Option<Solution> {
        let (weights, mut left_out) = self.solve_each(lambda, &[blocks])?;
        Some(Solution { weights, left_out: left_out.pop()? })
    }

    /// The same weights, and what rows would be given without each block of several divisions: the solve, which costs most, is one.
    #[must_use]
    pub fn solve_each(&self, lambda: f64, divisions: &[&[Vec<usize>]]) -> Option<(Matrix, Vec<Matrix>)> {
        let inverse = inverse(&self.gram, lambda)?;
        let (weights, hat): (Matrix, Box<dyn Fn(usize, usize) -> f64>);
        // The constant is solved anew without a block, too: rows without their mean sum up to nothing, so that any one of them could
        // be reckoned from the others, and noise would look as if it were learnt.
        let constant = 1.0 / count(self.rows.rows().max(1));
        if self.is_dual {
            let dual = inverse.times(self.targets);
            weights = self.rows.transposed().times(&dual);
            // H = K(K + λI)⁻¹ = I - λ(K + λI)⁻¹, and that of the constant.
            hat = Box::new(move |one, other| {
                f64::from(u8::from(one == other)) - lambda * inverse.row(one)[other] + constant
            });
        } else {
            let projected = self.rows.times(&inverse);
            weights = projected.transposed().times(self.targets);
            hat = Box::new(move |one, other| dot(projected.row(one), self.rows.row(other)) + constant);
        }
        let said = self.rows.times(&weights);
        let without = |blocks: &&[Vec<usize>]| {
            let mut left_out = said.clone();
            for block in *blocks {
                leave_out(&mut left_out, self.targets, block, &hat)?;
            }
            Some(left_out)
        };
        let left_out = divisions.iter().map(without).collect::<Option<Vec<_>>>()?;
        Some((weights, left_out))
    }

    /// The solution whose left-out answers are nearest to the targets, and its λ in parts of [`Self::scale`].
    #[must_use]
    pub fn best(&self, blocks: &[Vec<usize>]) -> Option<(f64, Solution)> {
        let scale = self.scale();
        let solved = LAMBDAS.into_iter().filter_map(|part| Some((part, self.solve(part * scale, blocks)?)));
        let error = |solution: &Solution| {
            let pairs = solution.left_out.values().iter().zip(self.targets.values());
            pairs.map(|(said, target)| (said - target).powi(2)).sum::<f64>()
        };
        solved.min_by(|(_, one), (_, other)| error(one).total_cmp(&error(other)))
    }
}

/// Puts in the place of what is said of a block what would be said without it.
fn leave_out(
    said: &mut Matrix,
    targets: &Matrix,
    block: &[usize],
    hat: &dyn Fn(usize, usize) -> f64,
) -> Option<()> {
    let size = block.len();
    let classes = targets.columns();
    let mut system = DMatrix::from_fn(size, size, |one, other| {
        f64::from(u8::from(one == other)) - hat(block[one], block[other])
    });
    let residual =
        |place: usize, class: usize| targets.row(block[place])[class] - said.row(block[place])[class];
    let mut errors = DMatrix::from_fn(size, classes, residual);
    if size == 1 {
        errors /= system[(0, 0)];
    } else {
        // Symmetric but for rounding.
        system = (&system + system.transpose()) * 0.5;
        errors = system.cholesky()?.solve(&errors);
    }
    for (place, row) in block.iter().enumerate() {
        for class in 0..classes {
            said.row_mut(*row)[class] = targets.row(*row)[class] - errors[(place, class)];
        }
    }
    Some(())
}

/// The inverse of a symmetric matrix with `lambda` added along its diagonal.
pub(super) fn inverse(gram: &Matrix, lambda: f64) -> Option<Matrix> {
    let side = gram.rows();
    let mut whole = DMatrix::from_row_slice(side, side, gram.values());
    (0..side).for_each(|place| whole[(place, place)] += lambda);
    let factor: Cholesky<f64, Dyn> = whole.cholesky()?;
    // (LLᵀ)⁻¹ = (L⁻¹)ᵀL⁻¹, with rows of (L⁻¹)ᵀ where they lie one behind the other.
    let lower = factor.l();
    let mut turned = Matrix::zeros(side, side);
    for column in 0..side {
        // Column of L⁻¹ by substitution, kept as a row.
        let mut solved = vec![0.0; side];
        solved[column] = 1.0;
        for place in column..side {
            let value = solved[place] / lower[(place, place)];
            solved[place] = value;
            let below = &lower.column(place);
            for after in place + 1..side {
                solved[after] -= value * below[after];
            }
        }
        turned.row_mut(column).copy_from_slice(&solved);
    }
    Some(turned.gram())
}

/// What weights and a constant say of rows.
#[must_use]
pub fn say(rows: &Matrix, weights: &Matrix, constant: &[f64]) -> Matrix {
    let mut said = rows.times(weights);
    (0..said.rows()).for_each(|row| add_times(said.row_mut(row), 1.0, constant));
    said
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    fn drawn(rows: usize, columns: usize, seed: u64) -> Matrix {
        let mut random = Rng::with_seed(seed);
        let values: Vec<Vec<f32>> =
            (0..rows).map(|_| (0..columns).map(|_| random.f32() * 2.0 - 1.0).collect()).collect();
        Matrix::of_rows(columns, values.iter().map(|row| &row[..]))
    }

    /// The normal equations, solved by elimination.
    fn foreign(rows: &Matrix, targets: &Matrix, lambda: f64) -> Matrix {
        let side = rows.columns();
        let z = DMatrix::from_row_slice(rows.rows(), side, rows.values());
        let y = DMatrix::from_row_slice(targets.rows(), targets.columns(), targets.values());
        let system = z.transpose() * &z + DMatrix::identity(side, side) * lambda;
        let solved = system.lu().solve(&(z.transpose() * y)).unwrap();
        let mut weights = Matrix::zeros(side, targets.columns());
        for row in 0..side {
            for column in 0..targets.columns() {
                weights.row_mut(row)[column] = solved[(row, column)];
            }
        }
        weights
    }

    /// Rows less one row.
    fn less(rows: &Matrix, one: &[f64]) -> Matrix {
        let mut rows = rows.clone();
        (0..rows.rows()).for_each(|row| add_times(rows.row_mut(row), -1.0, one));
        rows
    }

    fn same(one: &Matrix, other: &Matrix, what: &str) {
        assert_eq!((one.rows(), one.columns()), (other.rows(), other.columns()));
        let most = one.values().iter().zip(other.values()).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        assert!(most < 1e-8, "{what}: {most}");
    }

    #[test]
    fn both_forms_are_the_normal_equations_and_left_out_is_solved_without() {
        for (rows, columns) in [(12, 30), (30, 12), (20, 20)] {
            let (features, targets) = (drawn(rows, columns, 1), drawn(rows, 3, 2));
            let (features, targets) = (less(&features, &features.means()), less(&targets, &targets.means()));
            for lambda in [0.01, 1.0, 50.0] {
                let blocks: Vec<Vec<usize>> = vec![vec![0], vec![1, 2, 3], vec![5, 9]];
                let solution = Ridge::new(&features, &targets).solve(lambda, &blocks).unwrap();
                same(&solution.weights, &foreign(&features, &targets, lambda), "weights");
                for block in &blocks {
                    let others: Vec<usize> = (0..rows).filter(|row| !block.contains(row)).collect();
                    let (of_features, of_targets) = (features.chosen(&others), targets.chosen(&others));
                    let (x, y) = (of_features.means(), of_targets.means());
                    let refitted = foreign(&less(&of_features, &x), &less(&of_targets, &y), lambda);
                    let said = say(&less(&features.chosen(block), &x), &refitted, &y);
                    same(&solution.left_out.chosen(block), &said, &format!("{rows} x {columns}, {block:?}"));
                }
            }
        }
    }

    #[test]
    fn the_best_lambda_is_large_where_targets_are_noise() {
        // Rows and targets have no mean: what a solve takes for granted.
        let centred = |matrix: Matrix| less(&matrix, &matrix.means());
        let alone = |rows: usize| (0..rows).map(|row| vec![row]).collect::<Vec<_>>();
        let features = centred(drawn(40, 60, 3));
        let noise = centred(drawn(40, 2, 5));
        let (of_noise, _) = Ridge::new(&features, &noise).best(&alone(40)).unwrap();
        assert_eq!(of_noise, LAMBDAS[LAMBDAS.len() - 1]);
        let features = centred(drawn(200, 60, 3));
        let direction = drawn(60, 2, 4);
        let truth = features.times(&direction);
        let (of_truth, solution) = Ridge::new(&features, &truth).best(&alone(200)).unwrap();
        assert_eq!(of_truth, LAMBDAS[0]);
        let off = solution.weights.values().iter().zip(direction.values()).map(|(x, y)| (x - y).abs());
        assert!(off.fold(0.0, f64::max) < 0.01);
    }
}

//! Numbers in rows, and the few things that are done with them.

/// Numbers in rows of one length.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    columns: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// Of zeros.
    #[must_use]
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { columns, values: vec![0.0; rows * columns] }
    }

    /// Of rows.
    ///
    /// # Panics
    /// If they differ in length.
    #[must_use]
    pub fn of_rows<'a>(columns: usize, rows: impl IntoIterator<Item = &'a [f32]>) -> Self {
        let mut values = Vec::new();
        for row in rows {
            assert_eq!(row.len(), columns, "rows of one length");
            values.extend(row.iter().map(|x| f64::from(*x)));
        }
        Self { columns, values }
    }

    /// Of numbers that are in rows already.
    ///
    /// # Panics
    /// If they do not fill the last row.
    #[must_use]
    pub fn of_values(columns: usize, values: Vec<f64>) -> Self {
        assert!(values.len().checked_rem(columns).unwrap_or(0) == 0, "whole rows");
        Self { columns, values }
    }

    /// Which class each row is of, as a one among zeros.
    ///
    /// # Panics
    /// If a class is not among them.
    #[must_use]
    pub fn one_hot(classes: usize, labels: &[usize]) -> Self {
        let mut matrix = Self::zeros(labels.len(), classes);
        labels.iter().enumerate().for_each(|(row, label)| matrix.row_mut(row)[*label] = 1.0);
        matrix
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Numbers of a row.
    #[must_use]
    pub const fn columns(&self) -> usize {
        self.columns
    }

    /// A row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.columns..][..self.columns]
    }

    /// A row, to be changed.
    pub fn row_mut(&mut self, row: usize) -> &mut [f64] {
        &mut self.values[row * self.columns..][..self.columns]
    }

    /// All numbers, row by row.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Some of its rows.
    #[must_use]
    pub fn chosen(&self, rows: &[usize]) -> Self {
        let values = rows.iter().flat_map(|row| self.row(*row).iter().copied()).collect();
        Self { columns: self.columns, values }
    }

    /// Rows become columns.
    #[must_use]
    pub fn transposed(&self) -> Self {
        let mut turned = Self::zeros(self.columns, self.rows());
        for row in 0..self.rows() {
            self.row(row).iter().enumerate().for_each(|(column, value)| turned.row_mut(column)[row] = *value);
        }
        turned
    }

    /// The product with another.
    ///
    /// # Panics
    /// If the other has not as many rows as this has columns.
    #[must_use]
    pub fn times(&self, other: &Self) -> Self {
        assert_eq!(self.columns, other.rows(), "sides of a product");
        let mut product = Self::zeros(self.rows(), other.columns);
        for row in 0..self.rows() {
            let to = &mut product.values[row * other.columns..][..other.columns];
            for (place, factor) in self.row(row).iter().enumerate() {
                add_times(to, *factor, other.row(place));
            }
        }
        product
    }

    /// The product of each row with each: symmetric.
    #[must_use]
    pub fn gram(&self) -> Self {
        let rows = self.rows();
        let mut gram = Self::zeros(rows, rows);
        for one in 0..rows {
            for other in 0..=one {
                let product = dot(self.row(one), self.row(other));
                gram.values[one * rows + other] = product;
                gram.values[other * rows + one] = product;
            }
        }
        gram
    }

    /// The mean of each column.
    #[must_use]
    pub fn means(&self) -> Vec<f64> {
        let mut means = vec![0.0; self.columns];
        let share = 1.0 / count(self.rows().max(1));
        (0..self.rows()).for_each(|row| add_times(&mut means, share, self.row(row)));
        means
    }
}

/// The sum of the products of two rows.
#[must_use]
pub fn dot(one: &[f64], other: &[f64]) -> f64 {
    const LANES: usize = 8;
    // Sums side by side: the processor adds several at once.
    let mut sums = [0.0; LANES];
    let (one_chunks, other_chunks) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest: f64 = one_chunks.remainder().iter().zip(other_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in one_chunks.zip(other_chunks) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// Adds a multiple of a row to another.
pub fn add_times(to: &mut [f64], factor: f64, from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}

/// The place of the greatest number, the first of equal ones.
#[must_use]
pub fn greatest(row: &[f64]) -> usize {
    row.iter().enumerate().fold(0, |best, (place, value)| if *value > row[best] { place } else { best })
}

#[expect(clippy::cast_precision_loss, reason = "numbers of pictures and of features")]
pub(super) const fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_by_hand() {
        let one = Matrix::of_rows(3, [&[1.0, 2.0, 3.0][..], &[4.0, 5.0, 6.0]]);
        assert_eq!(one.gram(), one.times(&one.transposed()));
        assert_eq!(one.gram().values(), [14.0, 32.0, 32.0, 77.0]);
        assert_eq!(one.means(), [2.5, 3.5, 4.5]);
        assert_eq!(one.chosen(&[1]).values(), [4.0, 5.0, 6.0]);
        let long: Vec<f64> = (0..21).map(f64::from).collect();
        assert_eq!(dot(&long, &long), 2870.0);
        assert_eq!(greatest(&[0.1, 0.5, 0.5]), 1);
        assert_eq!(Matrix::one_hot(3, &[2, 0]).values(), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    }
}

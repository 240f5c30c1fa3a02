//! Ranges: which part of the numbers that a tensor was seen to hold its 256 steps stand for.

/// Bins of a histogram.
pub const BINS: usize = 2_048;
/// Share of the numbers that [`RangeMethod::Percentile`] keeps.
const KEPT: f64 = 0.9999;
/// Steps in which [`RangeMethod::Mse`] draws one end in, down to a twentieth.
const STEPS: u32 = 60;
/// Bins that [`RangeMethod::Entropy`] begins with: as many as the steps of one sign.
const FIRST: usize = 128;
/// Share of the numbers that the least loss of information may cut off. What is cut off counts as one bin, the last that is
/// kept; where all numbers lie far from zero, that bin alone would lose nothing.
const MOST_CUT: f64 = 0.01;

verge_domain::words! {
    /// How a range is chosen.
    pub enum RangeMethod {
        /// All that was seen.
        MinMax = "minmax",
        /// All but one number of ten thousand.
        Percentile = "percentile",
        /// The least mean square error, over both ends of the range.
        Mse = "mse",
        /// The least loss of information: Kullback and Leibler's divergence of the histogram from its quantised one.
        ///
        /// **Source**: Migacz, "8-bit inference with TensorRT", GTC 2017.
        Entropy = "entropy",
    }
}

/// The numbers that steps stand for. Zero is always inside: padding and what is cut off is exactly zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// The lower end, at most 0.
    pub low: f32,
    /// The upper end, at least 0.
    pub high: f32,
}

impl Range {
    /// From the least to the greatest, with zero inside.
    #[must_use]
    pub fn new(low: f32, high: f32) -> Self {
        Self { low: low.min(0.0), high: high.max(0.0) }
    }

    /// The larger distance from zero.
    #[must_use]
    pub fn reach(self) -> f32 {
        self.high.max(-self.low)
    }
}

/// How steps lie over a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grid {
    /// 256 steps from end to end.
    Affine,
    /// 127 on each side of zero, as far as the farther end: activations with a sign.
    Symmetric,
}

/// What a tensor was seen to hold: in the first pass the least and the greatest number, in the second how often each.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedRange {
    low: f32,
    high: f32,
    bins: Vec<u64>,
}

impl Default for ObservedRange {
    fn default() -> Self {
        Self { low: f32::INFINITY, high: f32::NEG_INFINITY, bins: Vec::new() }
    }
}

/// A number that cannot be quantised: NaN or an infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite;

impl ObservedRange {
    /// First pass.
    ///
    /// # Errors
    /// [`NotFinite`].
    pub fn widen(&mut self, numbers: &[f32]) -> Result<(), NotFinite> {
        // A product with zero is NaN for each that is not finite, and a sum keeps it.
        let spoilt: f32 = numbers.iter().map(|number| number * 0.0).sum();
        if spoilt.is_nan() {
            return Err(NotFinite);
        }
        for number in numbers {
            self.low = self.low.min(*number);
            self.high = self.high.max(*number);
        }
        Ok(())
    }

    /// Second pass, over the same numbers.
    pub fn count(&mut self, numbers: &[f32]) {
        self.bins.resize(BINS, 0);
        let Range { low, high } = self.whole();
        #[expect(clippy::cast_precision_loss, reason = "2,048 bins")]
        let of_width = BINS as f32 / (high - low).max(f32::MIN_POSITIVE);
        for number in numbers {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "what is outside saturates"
            )]
            let bin = ((number - low) * of_width) as usize;
            self.bins[bin.min(BINS - 1)] += 1;
        }
    }

    /// All that was seen.
    #[must_use]
    pub fn whole(&self) -> Range {
        if self.low > self.high { Range { low: 0.0, high: 0.0 } } else { Range::new(self.low, self.high) }
    }

    /// The range of a method; of one pass alone it is all that was seen.
    #[must_use]
    pub fn range(&self, method: RangeMethod, grid: Grid) -> Range {
        let whole = self.whole();
        if self.bins.is_empty() || whole.high - whole.low <= f32::MIN_POSITIVE {
            return whole;
        }
        match method {
            RangeMethod::MinMax => whole,
            RangeMethod::Percentile => self.percentile(),
            RangeMethod::Mse => self.least_error(grid),
            RangeMethod::Entropy => self.least_loss(),
        }
    }

    /// Middles of the bins that something fell into, and how much.
    fn filled(&self) -> impl Iterator<Item = (f32, u64)> + Clone + '_ {
        let Range { low, high } = self.whole();
        #[expect(clippy::cast_precision_loss, reason = "2,048 bins")]
        let middle = move |bin: usize| low + (high - low) * (bin as f32 + 0.5) / BINS as f32;
        self.bins
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(move |(bin, count)| (middle(bin), *count))
    }

    fn percentile(&self) -> Range {
        let total: u64 = self.bins.iter().sum();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of elements, far below 2^52"
        )]
        let cut = (total as f64 * (1.0 - KEPT) / 2.0) as u64;
        let end = |bins: &[(f32, u64)]| {
            let mut passed = 0;
            let mut beyond = bins.iter().skip_while(|(_, count)| {
                passed += count;
                passed <= cut
            });
            beyond.next().map_or(0.0, |(middle, _)| *middle)
        };
        let mut all: Vec<(f32, u64)> = self.filled().collect();
        let low = end(&all);
        all.reverse();
        let high = end(&all);
        let whole = self.whole();
        // An end that nothing is cut from is the end itself, not the middle of its bin.
        Range::new(if cut == 0 { whole.low } else { low }, if cut == 0 { whole.high } else { high })
    }

    /// One end after the other is drawn in while the error falls; twice, since each depends on the other. Steps that are the same
    /// on both sides of zero have one end.
    fn least_error(&self, grid: Grid) -> Range {
        let all: Vec<(f32, u64)> = self.filled().collect();
        let whole = self.whole();
        let mut best = (error(&all, whole, grid), whole);
        #[expect(clippy::cast_precision_loss, reason = "sixty steps")]
        let shares = (1..STEPS).map(|step| 1.0 - 0.95 * step as f32 / STEPS as f32);
        let mut tries = |tried: Range| {
            let lost = error(&all, tried, grid);
            if lost < best.0 {
                best = (lost, tried);
            }
            best.1
        };
        if grid == Grid::Symmetric {
            let within = |reach: f32| Range { low: whole.low.max(-reach), high: whole.high.min(reach) };
            for share in shares {
                tries(within(whole.reach() * share));
            }
            return best.1;
        }
        let mut known = whole;
        for _ in 0..2 {
            for is_high in [true, false] {
                let Range { low, high } = known;
                for share in shares.clone() {
                    known = tries(if is_high {
                        Range { low, high: whole.high * share }
                    } else {
                        Range { low: whole.low * share, high }
                    });
                }
            }
        }
        best.1
    }

    /// Over the distances from zero, whatever the sign.
    fn least_loss(&self) -> Range {
        let whole = self.whole();
        let reach = whole.reach();
        let mut bins = vec![0.0_f64; BINS];
        for (middle, count) in self.filled() {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "2,048 bins"
            )]
            let bin = (middle.abs() / reach * BINS as f32) as usize;
            #[expect(clippy::cast_precision_loss, reason = "a number of elements")]
            let count = count as f64;
            bins[bin.min(BINS - 1)] += count;
        }
        // Zero is exact however wide a step is: what is cut off, and padding, would outweigh all else.
        bins[0] = bins[1];
        let most = bins.iter().sum::<f64>() * MOST_CUT;
        let mut best = (f64::INFINITY, BINS);
        for width in (FIRST..=BINS).step_by(16) {
            if bins[width..].iter().sum::<f64>() > most {
                continue;
            }
            let lost = loss(&bins, width);
            if lost < best.0 {
                best = (lost, width);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "2,048 bins")]
        let kept = reach * best.1 as f32 / BINS as f32;
        Range { low: whole.low.max(-kept), high: whole.high.min(kept) }
    }
}

/// Mean square error of the steps of a range, times the numbers.
fn error(all: &[(f32, u64)], range: Range, grid: Grid) -> f64 {
    let Range { low, high } = range;
    let (step, least, most) = match grid {
        Grid::Affine => {
            let step = (high - low) / 255.0;
            // Zero falls on a step.
            let least = (low / step).round();
            (step, least, least + 255.0)
        }
        Grid::Symmetric => (range.reach() / 127.0, -127.0, 127.0),
    };
    if step <= 0.0 {
        return f64::INFINITY;
    }
    let lost = |(number, count): &(f32, u64)| {
        let nearest = (number / step).round().clamp(least, most) * step;
        #[expect(clippy::cast_precision_loss, reason = "a number of elements")]
        let count = *count as f64;
        f64::from(number - nearest).powi(2) * count
    };
    all.iter().map(lost).sum()
}

/// Divergence of the first `width` bins, which take what lies beyond, from the same in 128 steps.
fn loss(bins: &[f64], width: usize) -> f64 {
    let beyond: f64 = bins[width..].iter().sum();
    let mut old = bins[..width].to_vec();
    old[width - 1] += beyond;
    let mut new = vec![0.0; width];
    for step in 0..FIRST {
        let (from, to) = (step * width / FIRST, (step + 1) * width / FIRST);
        let filled = bins[from..to].iter().filter(|count| **count > 0.0).count();
        let sum: f64 = bins[from..to].iter().sum();
        for (place, count) in new[from..to].iter_mut().zip(&bins[from..to]) {
            #[expect(clippy::cast_precision_loss, reason = "bins")]
            let share = sum / filled.max(1) as f64;
            *place = if *count > 0.0 { share } else { 0.0 };
        }
    }
    let (old_sum, new_sum): (f64, f64) = (old.iter().sum(), new.iter().sum());
    if new_sum <= 0.0 {
        return f64::INFINITY;
    }
    const LEAST: f64 = 1e-9;
    let pairs = old.iter().zip(&new).filter(|(old, _)| **old > 0.0);
    pairs.map(|(old, new)| old / old_sum * (old / old_sum / (new / new_sum).max(LEAST)).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(numbers: &[f32]) -> ObservedRange {
        let mut seen = ObservedRange::default();
        seen.widen(numbers).unwrap();
        seen.count(numbers);
        seen
    }

    /// 100,000 numbers evenly from 0 to 1, and one far away.
    fn with_one_far(far: f32) -> Vec<f32> {
        let evenly = (0..100_000_u32).map(|number| f32::from(u16::try_from(number / 2).unwrap()) / 50_000.0);
        evenly.chain([far]).collect()
    }

    #[test]
    fn one_number_far_away_is_cut_off_where_that_pays() {
        let seen = observed(&with_one_far(100.0));
        assert_eq!(seen.range(RangeMethod::MinMax, Grid::Affine), Range { low: 0.0, high: 100.0 });
        for method in [RangeMethod::Percentile, RangeMethod::Entropy] {
            let found = seen.range(method, Grid::Affine);
            assert!(found.high < 8.0 && found.low == 0.0, "{method:?}: {found:?}");
        }
        // The error of one number of ten thousand outweighs that of all others where it is this far away.
        let all: Vec<(f32, u64)> = seen.filled().collect();
        let found = seen.range(RangeMethod::Mse, Grid::Affine);
        assert!(error(&all, found, Grid::Affine) <= error(&all, seen.whole(), Grid::Affine), "{found:?}");
        let seen = observed(&with_one_far(1.5));
        assert!(seen.range(RangeMethod::Mse, Grid::Affine).high <= 1.5);
    }

    #[test]
    fn mean_square_error_draws_in_long_tails_of_both_signs() {
        const COUNT: u32 = 400_000;
        // Nearly normal: the inverse of the logistic function.
        let number = |number: u32| {
            let at = (f64::from(number) + 0.5) / f64::from(COUNT);
            #[expect(clippy::cast_possible_truncation, reason = "a test")]
            let number = ((at / (1.0 - at)).ln() / 1.702) as f32;
            number
        };
        let numbers: Vec<f32> = (0..COUNT).map(number).chain([20.0, -25.0]).collect();
        let seen = observed(&numbers);
        let found = seen.range(RangeMethod::Mse, Grid::Affine);
        assert!(found.high < 19.0 && found.low > -24.0, "{found:?}");
        assert!(found.high > 3.0 && found.low < -3.0, "{found:?}");
        let all: Vec<(f32, u64)> = seen.filled().collect();
        assert!(
            error(&all, found, Grid::Affine) < 0.8 * error(&all, seen.whole(), Grid::Affine),
            "{found:?}"
        );
    }

    #[test]
    fn steps_with_a_sign_are_chosen_for_what_they_are() {
        // Dense near zero, and a long tail below it: its own end may be drawn in, the other need not keep it company.
        let dense = (0..200_000_u32).map(|number| f32::from(u16::try_from(number / 4).unwrap()) / 50_000.0);
        let tail = (0..4_u8).map(|number| -3.0 - f32::from(number));
        let seen = observed(&dense.chain(tail).collect::<Vec<_>>());
        let all: Vec<(f32, u64)> = seen.filled().collect();
        let lost = |range| error(&all, range, Grid::Symmetric);
        let (affine, symmetric) =
            (seen.range(RangeMethod::Mse, Grid::Affine), seen.range(RangeMethod::Mse, Grid::Symmetric));
        assert!(
            lost(symmetric) <= lost(affine) && lost(symmetric) < lost(seen.whole()),
            "{symmetric:?}, {affine:?}"
        );
        // The few numbers far below are cut off, and both sides are as wide.
        assert!(symmetric.reach() < 4.0 && symmetric.reach() >= 1.0, "{symmetric:?}");
    }

    #[test]
    fn numbers_far_from_zero_are_kept_by_every_method() {
        let numbers: Vec<f32> = (0..400_u16).map(|number| 0.8 + f32::from(number) / 2_000.0).collect();
        let seen = observed(&numbers);
        for method in RangeMethod::ALL {
            let found = seen.range(method, Grid::Affine);
            assert!(found.low == 0.0 && found.high > 0.98, "{method:?}: {found:?}");
        }
    }

    #[test]
    fn zero_is_inside_and_what_is_not_finite_is_refused() {
        assert_eq!(observed(&[2.0, 3.0]).whole(), Range { low: 0.0, high: 3.0 });
        assert_eq!(observed(&[-2.0, -3.0]).whole(), Range { low: -3.0, high: 0.0 });
        assert_eq!(
            observed(&[0.0, 0.0]).range(RangeMethod::Mse, Grid::Affine),
            Range { low: 0.0, high: 0.0 }
        );
        assert_eq!(ObservedRange::default().whole(), Range { low: 0.0, high: 0.0 });
        for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(ObservedRange::default().widen(&[1.0, number]), Err(NotFinite));
        }
    }
}

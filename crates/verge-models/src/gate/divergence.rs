//! How far the probabilities of one model are from those of another, on pictures without labels. It shows what the agreement of the
//! best class hides: answers that are the same still, and less certain.

/// Probabilities below this count as this: numbers that were rounded to nothing would make one picture outweigh all others.
const LEAST: f64 = 1e-6;

/// The mean over pictures of the Kullback-Leibler divergence of a model's probabilities from another's, in nats.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Divergence {
    sum: f64,
    pictures: f64,
}

impl Divergence {
    /// Of one picture: the classes that both models name, with the probability that the old and the new one give. All other classes
    /// count as one, so that this is the whole divergence where every class is named, and no more than it elsewhere.
    #[must_use]
    pub fn of(named: &[(f64, f64)]) -> Self {
        let rest = |sum: f64| (1.0 - sum).max(0.0);
        let (old, new) = named.iter().fold((0.0, 0.0), |(old, new), pair| (old + pair.0, new + pair.1));
        let term = |(old, new): (f64, f64)| if old > 0.0 { old * (old / new.max(LEAST)).ln() } else { 0.0 };
        let sum: f64 = named.iter().copied().chain([(rest(old), rest(new))]).map(term).sum();
        // Rounded probabilities do not sum up to one: less than nothing is nothing.
        Self { sum: sum.max(0.0), pictures: 1.0 }
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, pictures: self.pictures + other.pictures }
    }

    /// The mean; `None` without a picture.
    #[must_use]
    pub fn mean(self) -> Option<f64> {
        (self.pictures > 0.0).then(|| self.sum / self.pictures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_scipy() {
        let check = |named: &[(f64, f64)], expected: f64| {
            let found = Divergence::of(named).mean().unwrap();
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        };
        // scipy.stats.entropy([.7, .2, .1], [.5, .3, .2])
        check(&[(0.7, 0.5), (0.2, 0.3), (0.1, 0.2)], 0.085_123);
        // The same with the last two as one: scipy.stats.entropy([.7, .3], [.5, .5])
        check(&[(0.7, 0.5)], 0.082_283);
        check(&[(0.7, 0.7), (0.3, 0.3)], 0.0);
        check(&[(1.0, 0.0)], (1.0_f64 / LEAST).ln());
        check(&[(0.0, 0.6), (1.0, 0.4)], 0.916_291);
        let two = Divergence::of(&[(0.7, 0.5)]).and(Divergence::of(&[(0.7, 0.7)]));
        assert!((two.mean().unwrap() - 0.041_141).abs() < 1e-5);
        assert_eq!(Divergence::default().mean(), None);
    }
}

//! Shares and what a sample of N says of them: exact where that is possible, Wilson's bounds elsewhere.
//!
//! **Source**: McNemar (1947), exact form: of the answers that differ, either model is right as often as the other where they
//! are equally good. Wilson (1927), "Probable inference". `tests/fixtures/gate/make.py` has scipy and statsmodels compute the
//! same.

use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal};

/// Probability that a model which is as good as another loses at least `lost` of the answers that differ, and wins `won` at most.
#[must_use]
pub fn mcnemar(lost: u64, won: u64) -> f64 {
    at_least(lost, lost + won, 0.5)
}

/// Probability of at least `hits` of `seen` where each hits with this chance.
#[must_use]
pub fn at_least(hits: u64, seen: u64, chance: f64) -> f64 {
    let Some(below) = hits.checked_sub(1) else { return 1.0 };
    let Ok(distribution) = Binomial::new(chance.clamp(0.0, 1.0), seen) else { return 1.0 };
    distribution.sf(below)
}

/// Bounds of a share that was seen `count` times of `seen`: each holds by itself with a probability of 1 - `alpha`.
#[must_use]
pub fn wilson(count: u64, seen: u64, alpha: f64) -> (f64, f64) {
    if seen == 0 {
        return (0.0, 1.0);
    }
    #[expect(clippy::cast_precision_loss, reason = "numbers of pictures")]
    let (count, seen) = (count as f64, seen as f64);
    let z = Normal::standard().inverse_cdf(1.0 - alpha.clamp(1e-9, 0.5));
    let share = count / seen;
    let spread = z * z / seen;
    let centre = (share + spread / 2.0) / (1.0 + spread);
    let half = z * (share * (1.0 - share) / seen + spread / (4.0 * seen)).sqrt() / (1.0 + spread);
    // At 0 and 1 the bound is exactly there; rounding must not pass it.
    let low = if share <= 0.0 { 0.0 } else { (centre - half).max(0.0) };
    let high = if share >= 1.0 { 1.0 } else { (centre + half).min(1.0) };
    (low, high)
}

/// The largest share that is compatible with none of `seen`: one that is larger shows itself with a probability of 1 - `alpha`.
#[must_use]
pub fn ruled_out(seen: usize, alpha: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "numbers of pictures")]
    let seen = seen.max(1) as f64;
    1.0 - alpha.powf(1.0 / seen)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn golden() -> Value {
        let text = include_str!("../../../../tests/fixtures/gate/golden.json");
        serde_json::from_str(text).unwrap()
    }

    fn rows<const N: usize>(key: &str) -> Vec<[f64; N]> {
        let golden = golden();
        let row = |row: &Value| {
            let numbers = row.as_array().unwrap().iter().map(|number| number.as_f64().unwrap());
            numbers.collect::<Vec<_>>().try_into().unwrap()
        };
        golden[key].as_array().unwrap().iter().map(row).collect()
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small whole numbers")]
    fn whole(number: f64) -> u64 {
        number as u64
    }

    fn check(found: f64, expected: f64, what: &str) {
        assert!((found - expected).abs() <= 1e-9 + 1e-7 * expected, "{what}: {found} instead of {expected}");
    }

    #[test]
    fn figures_are_those_of_scipy_and_statsmodels() {
        let pairs = rows::<3>("mcnemar");
        assert!(pairs.len() > 8);
        for [lost, won, p] in pairs {
            check(mcnemar(whole(lost), whole(won)), p, &format!("{lost} lost, {won} won"));
        }
        for [count, seen, alpha, low, high] in rows::<5>("wilson") {
            let found = wilson(whole(count), whole(seen), alpha);
            check(found.0, low, &format!("low end of {count} of {seen} at {alpha}"));
            check(found.1, high, &format!("high end of {count} of {seen} at {alpha}"));
        }
        for [hits, seen, chance, p] in rows::<4>("chance") {
            check(at_least(whole(hits), whole(seen), chance), p, &format!("{hits} of {seen} at {chance}"));
        }
    }

    #[test]
    fn nothing_seen_says_nothing() {
        assert_eq!(wilson(0, 0, 0.05), (0.0, 1.0));
        assert_eq!(mcnemar(0, 0), 1.0);
        assert!((ruled_out(59, 0.05) - 0.05).abs() < 0.001, "59 pictures rule out one in twenty");
    }
}

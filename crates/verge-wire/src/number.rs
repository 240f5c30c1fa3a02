//! Numbers, exactly or not at all.

/// Every integer up to this one is a double; beyond it some are not.
const MAX_EXACT: u64 = 1 << 53;

/// An integer as a double, if it is one.
pub(crate) fn exact(integer: u64) -> Option<f64> {
    (integer <= MAX_EXACT).then(|| nearest(integer))
}

/// A span in seconds: exact up to 2^53 ms, which is far beyond any span that a gateway measures, and no longer than that.
pub(crate) fn seconds(millis: u64) -> f64 {
    nearest(millis.min(MAX_EXACT)) / 1000.0
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "exact up to 2^53; there is no other conversion"
)]
fn nearest(integer: u64) -> f64 {
    integer as f64
}

/// A span in whole milliseconds, if it is one.
pub(crate) fn millis(seconds: f64) -> Option<u64> {
    const LIMIT: f64 = 9.2e18;
    let millis = (seconds * 1000.0).round();
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked; there is no other conversion"
    )]
    (0.0..LIMIT).contains(&millis).then_some(millis as u64)
}

/// The nearest single-precision number; infinite where it is out of range.
pub(crate) fn to_single(value: f64) -> f32 {
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        reason = "rounding is what is asked for"
    )]
    let single = value as f32;
    single
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_whole_milliseconds() {
        let check = |seconds: f64, expected: Option<u64>| assert_eq!(millis(seconds), expected, "{seconds}");
        check(0.0, Some(0));
        check(-0.0004, Some(0));
        check(1.2345, Some(1235));
        check(-1.0, None);
        check(1e19, None);
        check(f64::NAN, None);
        check(f64::INFINITY, None);
        assert_eq!(seconds(u64::MAX), 9_007_199_254_740.992);
        assert_eq!((exact(1 << 53), exact((1 << 53) + 1)), (Some(9_007_199_254_740_992.0), None));
    }
}

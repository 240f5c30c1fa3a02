//! Numbers, exactly or not at all.

use verge_domain::rejection::Reason;

/// Every integer up to this one is a double; beyond it some are not.
const MAX_EXACT: u64 = 1 << 53;

/// An integer as a double.
pub(crate) fn from_u64(integer: u64) -> Result<f64, Reason> {
    if integer > MAX_EXACT {
        return Err(Reason::NotExact);
    }
    let [a, b, c, d, e, f, g, h] = integer.to_be_bytes();
    let high = f64::from(u32::from_be_bytes([a, b, c, d]));
    let low = f64::from(u32::from_be_bytes([e, f, g, h]));
    Ok(high * 4_294_967_296.0 + low)
}

/// A signed integer as a double.
pub(crate) fn from_i64(integer: i64) -> Result<f64, Reason> {
    let magnitude = from_u64(integer.unsigned_abs())?;
    Ok(if integer < 0 { -magnitude } else { magnitude })
}

/// A double that can be used in computations.
pub(crate) fn finite(value: f64) -> Result<f64, Reason> {
    if value.is_finite() { Ok(value) } else { Err(Reason::NotFinite) }
}

/// Decimal text, as people and JSON write numbers. Words such as `nan` and `inf` are read, to be refused as
/// what they are.
pub(crate) fn from_text(text: &str) -> Result<f64, Reason> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // All digits, so it fails only where it is too large.
        return text.parse::<i64>().map_err(|_| Reason::NotExact).and_then(from_i64);
    }
    text.parse::<f64>().map_err(|_| Reason::NotANumber).and_then(finite)
}

/// Words for NaN and the infinities that Rust does not know, as printf writes them on Windows.
pub(crate) fn is_not_finite(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let starts = |start: &str| text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    starts("1.#") || starts("nan(")
}

/// The nearest whole number, if it fits.
pub(crate) fn rounded(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9.2e18;
    if value.is_nan() || value.abs() >= LIMIT {
        return None;
    }
    #[expect(clippy::as_conversions, reason = "the range is checked above; there is no other conversion")]
    let whole = value.round() as i64;
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_exactly_or_refused() {
        let check =
            |text: &str, expected: Result<f64, Reason>| assert_eq!(from_text(text), expected, "{text:?}");
        check("21.5", Ok(21.5));
        check("-3", Ok(-3.0));
        check("+7", Ok(7.0));
        check("1e3", Ok(1000.0));
        check(".5", Ok(0.5));
        check("00012", Ok(12.0));
        check("9007199254740992", Ok(9_007_199_254_740_992.0));
        check("-9007199254740992", Ok(-9_007_199_254_740_992.0));
        check("9007199254740993", Err(Reason::NotExact));
        check("99999999999999999999999", Err(Reason::NotExact));
        check("1e400", Err(Reason::NotFinite));
        check("NaN", Err(Reason::NotFinite));
        check("-inf", Err(Reason::NotFinite));
        check("", Err(Reason::NotANumber));
        check("-", Err(Reason::NotANumber));
        check("21,5", Err(Reason::NotANumber));
        check("0x10", Err(Reason::NotANumber));
        check("5 bar", Err(Reason::NotANumber));
    }

    #[test]
    fn whole_numbers_fit_or_are_refused() {
        let check = |value: f64, expected: Option<i64>| assert_eq!(rounded(value), expected, "{value}");
        check(0.5, Some(1));
        check(-2.4, Some(-2));
        check(1e19, None);
        check(-1e19, None);
        check(f64::NAN, None);
        check(f64::INFINITY, None);
    }
}

//! Numbers: exactly or not at all, and in as few bytes as exactness allows.

use crate::portable::{CborWriter, Written};

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

/// The shortest float that is exact (RFC 8949 section 4.2.1).
pub(crate) fn write_float(cbor: &mut CborWriter<'_>, value: f64) -> Written {
    let single = to_single(value);
    if f64::from(single).to_bits() != value.to_bits() {
        cbor.items.f64(value)?;
    } else if fits_half(single) {
        cbor.items.f16(single)?;
    } else {
        cbor.items.f32(single)?;
    }
    Ok(())
}

/// Whether a finite number is a half-precision one: 10 bits of fraction, exponents from -14 to 15, and below
/// that multiples of 2^-24 (IEEE 754).
fn fits_half(single: f32) -> bool {
    const FRACTION_BITS: u32 = 23;
    const SPARE_BITS: u32 = 13;
    let bits = single.to_bits();
    let fraction = bits & 0x007f_ffff;
    let biased_exponent = bits >> FRACTION_BITS & 0xff;
    let spare = match biased_exponent {
        0 => return fraction == 0,
        113..=142 => SPARE_BITS,
        // Below the smallest normal number each exponent costs one more bit.
        103..=112 => SPARE_BITS.saturating_add(113u32.saturating_sub(biased_exponent)),
        _ => return false,
    };
    fraction.trailing_zeros() >= spare
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

    fn written(value: f64) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_float(&mut CborWriter::new(&mut bytes), value).unwrap();
        bytes
    }

    #[test]
    fn floats_are_as_short_as_exactness_allows() {
        let check = |value: f64, length: usize| assert_eq!(written(value).len(), length, "{value:e}");
        check(0.0, 3);
        check(-0.0, 3);
        check(1.5, 3);
        check(65_504.0, 3);
        check(65_505.0, 5);
        check(65_536.0, 5);
        check(f64::exp2(-14.0), 3);
        check(f64::exp2(-24.0), 3);
        check(f64::exp2(-24.0) * 1.5, 5);
        check(f64::exp2(-23.0) * 1.5, 3);
        check(f64::exp2(-25.0), 5);
        check(100_000.5, 5);
        check(f64::exp2(-149.0), 5);
        check(7.1, 9);
        check(1e300, 9);
        check(f64::MIN_POSITIVE / 2.0, 9);
    }

    #[test]
    fn every_half_is_written_as_one_and_nothing_else_is() {
        for bits in 0..=u16::MAX {
            let cbor = [&[0xf9][..], &bits.to_be_bytes()].concat();
            let half = minicbor::Decoder::new(&cbor).f16().unwrap();
            if half.is_finite() {
                assert_eq!(written(f64::from(half)), cbor, "{half:e}");
                let next = f32::from_bits(half.to_bits() ^ 1);
                assert!(written(f64::from(next)).len() > 3 || half == 0.0 && next == 0.0, "{next:e}");
            }
        }
    }
}

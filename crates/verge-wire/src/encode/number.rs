//! Numbers, in as few bytes as exactness allows.

use super::{Writer, Written};
use crate::number::to_single;

/// The shortest float that is exact (RFC 8949 section 4.2.1).
pub(super) fn write_float(cbor: &mut Writer<'_>, value: f64) -> Written {
    let single = to_single(value);
    if f64::from(single).to_bits() != value.to_bits() {
        return cbor.f64(value)?.ok();
    }
    if fits_half(single) { cbor.f16(single)?.ok() } else { cbor.f32(single)?.ok() }
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
    use super::super::writer;
    use super::*;

    fn written(value: f64) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_float(&mut writer(&mut bytes), value).unwrap();
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

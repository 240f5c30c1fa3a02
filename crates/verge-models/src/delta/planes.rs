//! Numbers as they are compressed best: bytes of one significance together (the first bytes of all numbers, then the second ones),
//! and how far each has moved.

/// Whether `bytes` are whole numbers of this width; otherwise they stay as they are.
fn divides(bytes: usize, width: u8) -> bool {
    width > 1 && bytes > 0 && bytes.is_multiple_of(usize::from(width))
}

/// Takes numbers apart.
pub(super) fn split(numbers: &[u8], width: u8, to: &mut Vec<u8>) {
    if !divides(numbers.len(), width) {
        return to.extend_from_slice(numbers);
    }
    for place in 0..usize::from(width) {
        to.extend(numbers.iter().skip(place).step_by(usize::from(width)));
    }
}

/// Puts them together again.
pub(super) fn joined(planes: &[u8], width: u8, to: &mut Vec<u8>) {
    if !divides(planes.len(), width) {
        return to.extend_from_slice(planes);
    }
    let (begin, width) = (to.len(), usize::from(width));
    to.resize(begin + planes.len(), 0);
    for (place, plane) in planes.chunks_exact(planes.len() / width).enumerate() {
        to[begin..].iter_mut().skip(place).step_by(width).zip(plane).for_each(|(new, byte)| *new = *byte);
    }
}

/// Bits that planes take at least, each byte by how frequent it is in its plane: what a compressed stream of them comes near to.
///
/// **Source**: Shannon (1948).
#[expect(clippy::cast_precision_loss, reason = "numbers of bytes")]
pub(super) fn bits(planes: &[u8], width: u8) -> f64 {
    let width = if divides(planes.len(), width) { usize::from(width) } else { 1 };
    let of_plane = |plane: &[u8]| -> f64 {
        let mut counts = [0_u64; 256];
        plane.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
        let all = plane.len() as f64;
        let seen = counts.into_iter().filter(|count| *count > 0).map(|count| count as f64);
        seen.map(|count| count * (all / count).log2()).sum()
    };
    planes.chunks_exact((planes.len() / width).max(1)).map(of_plane).sum()
}

/// How far numbers have moved from others, as whole numbers of their width: what is near to zero, up or down, has high bytes of zero.
/// Bits of floating point count as such a number: of near ones of the same sign the difference is small. Nothing for other widths.
pub(super) fn differences(new: &[u8], old: &[u8], width: u8) -> Option<Vec<u8>> {
    each(new, old, width, |new, old, bits| folded(new.wrapping_sub(old), bits))
}

/// The other way round: moves numbers by differences.
pub(super) fn moved(differences: &[u8], old: &[u8], width: u8) -> Option<Vec<u8>> {
    each(differences, old, width, |difference, old, bits| old.wrapping_add(unfolded(difference, bits)))
}

fn each(one: &[u8], other: &[u8], width: u8, of: impl Fn(u64, u64, u32) -> u64) -> Option<Vec<u8>> {
    let bytes = usize::from(width);
    if !matches!(width, 1 | 2 | 4 | 8) || one.len() != other.len() || !one.len().is_multiple_of(bytes) {
        return None;
    }
    let number = |bytes: &[u8]| {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(whole)
    };
    let bits = 8 * u32::from(width);
    let pairs = one.chunks_exact(bytes).zip(other.chunks_exact(bytes));
    Some(
        pairs
            .flat_map(|(one, other)| {
                of(number(one), number(other), bits).to_le_bytes().into_iter().take(bytes)
            })
            .collect(),
    )
}

/// 0, -1, 1, -2, … become 0, 1, 2, 3, …
///
/// **Source**: protobuf.dev, Encoding: signed integers.
const fn folded(number: u64, bits: u32) -> u64 {
    let above = 64 - bits;
    // With its sign, whatever stands above its bits.
    let signed = (number << above).cast_signed() >> above;
    ((signed << 1) ^ (signed >> 63)).cast_unsigned()
}

const fn unfolded(number: u64, bits: u32) -> u64 {
    let number = number & (u64::MAX >> (64 - bits));
    (number >> 1) ^ (number & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_take_as_many_bits_as_their_bytes_differ() {
        assert_eq!([bits(&[], 4), bits(&[7; 40], 4), bits(&[0, 1, 0, 1], 1)], [0.0, 0.0, 4.0]);
        // Of each plane by itself; what is no whole number of numbers is one plane.
        assert_eq!(
            [bits(&[0, 0, 1, 1], 2), bits(&[0, 0, 1], 2)],
            [0.0, 3.0_f64.log2() + 2.0 * 1.5_f64.log2()]
        );
    }

    #[test]
    fn numbers_are_moved_and_back() {
        let mut random = fastrand::Rng::with_seed(5);
        for width in [1, 2, 4, 8] {
            let (old, new): (Vec<u8>, Vec<u8>) = (0..512).map(|_| (random.u8(..), random.u8(..))).unzip();
            let apart = differences(&new, &old, width).unwrap();
            assert_eq!(moved(&apart, &old, width).unwrap(), new, "{width}");
            assert_eq!(differences(&new, &new, width).unwrap(), vec![0; 512]);
        }
        // Near ones are small, whichever is the greater, also beyond the ends.
        let of = |new: i8, old: i8| differences(&new.to_le_bytes(), &old.to_le_bytes(), 1).unwrap()[0];
        assert_eq!([of(5, 5), of(4, 5), of(6, 5), of(3, 5), of(-128, 127)], [0, 1, 2, 3, 2]);
        let of = |new: f32, old: f32| differences(&new.to_le_bytes(), &old.to_le_bytes(), 4).unwrap();
        assert_eq!(of(1.000_001, 1.0)[1..], [0; 3]);
        assert_eq!(of(-0.999_999_9, -1.0)[1..], [0; 3]);
        for (new, old, width) in [
            (&[0_u8; 6][..], &[0; 6][..], 4),
            (&[0; 4], &[0; 5], 1),
            (&[0; 16], &[0; 16], 16),
            (&[0], &[0], 0),
        ] {
            assert_eq!((differences(new, old, width), moved(new, old, width)), (None, None), "{width}");
        }
    }

    #[test]
    fn numbers_are_taken_apart_and_put_together() {
        for (width, bytes) in [(1, 7), (2, 8), (4, 12), (8, 64), (4, 13), (8, 0), (255, 3)] {
            let numbers: Vec<u8> = (0..bytes).collect();
            let (mut planes, mut back) = (Vec::new(), vec![9]);
            split(&numbers, width, &mut planes);
            joined(&planes, width, &mut back);
            assert_eq!(back[1..], numbers, "{width}");
        }
        let mut planes = Vec::new();
        split(&[1, 2, 3, 4], 2, &mut planes);
        assert_eq!(planes, [1, 3, 2, 4]);
    }
}

//! Bytes of one significance together: the first bytes of all numbers, then the second ones.

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

#[cfg(test)]
mod tests {
    use super::*;

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

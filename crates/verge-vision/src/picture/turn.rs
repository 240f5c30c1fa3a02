//! Brings stored pixels into the place where they are seen (EXIF 2.32, tag 0x0112).

use verge_domain::frame::Orientation;

use super::SAMPLES;

/// Width and height as seen, of a picture stored with these.
pub(super) const fn seen((width, height): (u32, u32), orientation: Orientation) -> (u32, u32) {
    if orientation.swaps_sides() { (height, width) } else { (width, height) }
}

/// Column and row at which the pixel seen at (x, y) is stored.
fn stored_at(
    (x, y): (usize, usize),
    (width, height): (usize, usize),
    orientation: Orientation,
) -> (usize, usize) {
    let (right, bottom) = (width - 1, height - 1);
    match orientation {
        Orientation::Upright => (x, y),
        Orientation::Mirrored => (right - x, y),
        Orientation::Turned180 => (right - x, bottom - y),
        Orientation::MirroredTurned180 => (x, bottom - y),
        Orientation::MirroredTurned270 => (y, x),
        Orientation::Turned90 => (y, bottom - x),
        Orientation::MirroredTurned90 => (right - y, bottom - x),
        Orientation::Turned270 => (right - y, x),
    }
}

/// From one buffer into another.
pub(super) fn into(stored: &[u8], out: &mut [u8], size: (u32, u32), orientation: Orientation) {
    let (seen_width, _) = seen(size, orientation);
    let size = (size.0 as usize, size.1 as usize);
    for (y, row) in out.chunks_exact_mut(seen_width as usize * SAMPLES).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(SAMPLES).enumerate() {
            let (column, line) = stored_at((x, y), size, orientation);
            let at = (line * size.0 + column) * SAMPLES;
            pixel.copy_from_slice(&stored[at..at + SAMPLES]);
        }
    }
}

/// Within one buffer: cycle by cycle of the permutation. Some five times as slow, for a bit per pixel.
pub(super) fn within(pixels: &mut [u8], size: (u32, u32), orientation: Orientation) {
    const BITS: usize = 64;
    if orientation == Orientation::Upright {
        return;
    }
    let seen_width = seen(size, orientation).0 as usize;
    let size = (size.0 as usize, size.1 as usize);
    let count = pixels.len() / SAMPLES;
    let mut done = vec![0_u64; count.div_ceil(BITS)];
    let source = |at: usize| {
        let (column, line) = stored_at((at % seen_width, at / seen_width), size, orientation);
        line * size.0 + column
    };
    for first in 0..count {
        if done[first / BITS] >> (first % BITS) & 1 == 1 {
            continue;
        }
        let mut kept = [0; SAMPLES];
        kept.copy_from_slice(&pixels[first * SAMPLES..][..SAMPLES]);
        let mut at = first;
        loop {
            done[at / BITS] |= 1 << (at % BITS);
            let from = source(at);
            if from == first {
                pixels[at * SAMPLES..][..SAMPLES].copy_from_slice(&kept);
                break;
            }
            pixels.copy_within(from * SAMPLES..(from + 1) * SAMPLES, at * SAMPLES);
            at = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_one_buffer_it_is_turned_as_into_another() {
        for (width, height) in [(1_u32, 1_u32), (5, 3), (4, 4), (1, 7), (16, 9)] {
            let stored: Vec<u8> =
                (0..width as usize * height as usize * SAMPLES).map(|at| at as u8).collect();
            for value in 1..=8 {
                let orientation = Orientation::from_exif(value);
                let mut expected = vec![0; stored.len()];
                into(&stored, &mut expected, (width, height), orientation);
                let mut turned = stored.clone();
                within(&mut turned, (width, height), orientation);
                assert_eq!(turned, expected, "{width}x{height} {orientation:?}");
            }
        }
    }
}

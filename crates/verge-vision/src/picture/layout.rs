//! How the samples of a JPEG are laid out (T.81 sections B.2.2 and B.2.3), as far as it decides what decoding costs.

use super::SAMPLES;

/// Frame and scan headers in front of the data.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct JpegLayout {
    width: usize,
    height: usize,
    /// Blocks of 8 x 8 of all components in a unit, and the largest factors: 4:2:0 has 6, 2 and 2.
    blocks: usize,
    across: usize,
    down: usize,
    /// More and more of each coefficient comes with each scan.
    is_progressive: bool,
    /// Not all components come with the first scan.
    is_by_component: bool,
    /// Huffman codes stand in front of the first scan.
    has_codes: bool,
}

impl JpegLayout {
    /// Reads the headers up to the first scan; `None` where they break off.
    pub(super) fn of(jpeg: &[u8]) -> Option<Self> {
        const SIDE: usize = 8;
        let mut layout = Self::default();
        let mut components = 0;
        let mut at = 2;
        loop {
            let (marker, rest) = match jpeg.get(at..)? {
                [0xff, 0xff, ..] => {
                    at += 1;
                    continue;
                }
                [0xff, marker, rest @ ..] => (*marker, rest),
                _ => return None,
            };
            let length = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
            let content = rest.get(2..length.max(2))?;
            match (marker, content) {
                (0xc0..=0xc2, &[_, high, low, wide, narrow, count, ref rest @ ..]) => {
                    layout.height = usize::from(u16::from_be_bytes([high, low]));
                    layout.width = usize::from(u16::from_be_bytes([wide, narrow]));
                    layout.is_progressive = marker == 0xc2;
                    components = count;
                    for one in rest.chunks_exact(3).take(count.into()) {
                        let (across, down) = (usize::from(one[1] >> 4), usize::from(one[1] & 15));
                        layout.blocks += across * down;
                        layout.across = layout.across.max(across);
                        layout.down = layout.down.max(down);
                    }
                }
                (0xc4, _) => layout.has_codes = true,
                (0xda, &[in_scan, ..]) => {
                    layout.is_by_component = in_scan != components;
                    let unit = |factor: usize| factor.max(1) * SIDE;
                    layout.across = unit(layout.across);
                    layout.down = unit(layout.down);
                    return Some(layout);
                }
                _ => {}
            }
            at += 2 + length;
        }
    }

    /// Whether it leaves its Huffman codes out, as the frames of webcams and of AVI files do: they are those of T.81
    /// section K.3.
    pub(super) const fn lacks_codes(&self) -> bool {
        !self.has_codes && !self.is_progressive && self.blocks > 0
    }

    /// Whether zune-jpeg 0.5.15 takes every second row of its blocks for the next component's: sequential, a scan for
    /// each component, and fewer rows of colour than of luma. No camera is known that does this.
    pub(super) const fn is_mistaken(&self) -> bool {
        !self.is_progressive && self.is_by_component && self.down > 8
    }

    /// Bytes that decoding takes at most beside the picture's own: coefficients of two bytes where they are kept, and
    /// some rows of units before and after each component has been brought to full size.
    pub(super) fn working_bytes(&self) -> usize {
        const COEFFICIENTS: usize = 64 * size_of::<i16>();
        const ROWS: usize = 4;
        let units_across = self.width.div_ceil(self.across.max(1));
        let is_kept = self.is_progressive || self.is_by_component;
        let units = if is_kept { units_across * self.height.div_ceil(self.down.max(1)) } else { 0 };
        let kept = units * self.blocks * COEFFICIENTS;
        kept + units_across * self.across * self.down * SAMPLES * size_of::<i16>() * ROWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Start, a segment, fill, a frame of three components, a scan of as many as asked for.
    fn headers(sof: u8, factors: [u8; 3], in_scan: u8) -> Vec<u8> {
        let [y, cb, cr] = factors;
        let mut bytes = vec![0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xff];
        bytes.extend([sof, 0, 17, 8, 0, 100, 0, 200, 3, 1, y, 0, 2, cb, 0, 3, cr, 0]);
        bytes.extend([0xff, 0xda, 0, 3, in_scan]);
        bytes
    }

    #[test]
    fn what_is_kept_is_reckoned_from_the_headers() {
        let rows = |across: usize, down: usize| across * down * SAMPLES * 2 * 4;
        let check = |sof, factors, in_scan, expected: usize| {
            let layout = JpegLayout::of(&headers(sof, factors, in_scan)).unwrap();
            assert_eq!(layout.working_bytes(), expected, "{sof:x} {factors:x?} {in_scan}");
        };
        check(0xc0, [0x22, 0x11, 0x11], 3, rows(208, 16));
        // 13 x 7 units of six blocks.
        check(0xc2, [0x22, 0x11, 0x11], 3, 13 * 7 * 6 * 128 + rows(208, 16));
        check(0xc0, [0x22, 0x11, 0x11], 1, 13 * 7 * 6 * 128 + rows(208, 16));
        check(0xc2, [0x11, 0x11, 0x11], 3, 25 * 13 * 3 * 128 + rows(200, 8));
        let whole = headers(0xc2, [0x22, 0x11, 0x11], 3);
        for end in 0..whole.len() {
            assert_eq!(JpegLayout::of(&whole[..end]), None, "cut at {end}");
        }
    }
}

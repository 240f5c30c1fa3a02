//! How a frame of another size is made to fit a model's input: what is cut out, how large that becomes, and where
//! it lies. The rules follow the programs that models are trained and measured with, to the pixel: a cut that is
//! off by one changes the answer of small quantised models for one picture in ten.

use verge_models::card::{InputCard, Resize, SideRounding};

use super::{InputPlacement, Region};

/// The rule of a card.
#[derive(Debug, Clone, Copy)]
pub(super) struct FitRule {
    width: u32,
    height: u32,
    resize: Resize,
    crop_fraction: f64,
    shorter_side: u32,
    longest_side: u32,
    enlarge: bool,
    rounding: SideRounding,
}

/// What is cut out of the frame, and how large that becomes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PictureFit {
    /// Whole pixels of the frame: left, top, width, height. What lies beyond is not mixed in at the edges.
    pub(super) cut: [u32; 4],
    /// The part of it that is resized: left, top, width, height.
    pub(super) part: [f64; 4],
    pub(super) to_width: u32,
    pub(super) to_height: u32,
    /// Input's pixel where it begins.
    pub(super) pad_left: u32,
    pub(super) pad_top: u32,
}

impl FitRule {
    pub(super) fn new(card: &InputCard, width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            resize: card.resize,
            crop_fraction: card.crop_fraction.unwrap_or(1.0),
            shorter_side: card.shorter_side.unwrap_or(1),
            longest_side: card.longest_side.unwrap_or(u32::MAX),
            enlarge: card.enlarge,
            rounding: card.rounding,
        }
    }

    /// Fits a part of a frame of this size.
    pub(super) fn fit(&self, (frame_width, frame_height): (u32, u32), region: Region) -> PictureFit {
        let (left, width) = edges(region.left, region.right, frame_width);
        let (top, height) = edges(region.top, region.bottom, frame_height);
        let stretched = |[left, top, width, height]: [u32; 4]| PictureFit {
            cut: [left, top, width, height],
            part: [0.0, 0.0, f64::from(width), f64::from(height)],
            to_width: self.width,
            to_height: self.height,
            pad_left: 0,
            pad_top: 0,
        };
        match self.resize {
            Resize::Stretch => stretched([left, top, width, height]),
            Resize::CentralCrop => {
                // As Python rounds, half to even; a middle that is off by half a pixel lies further left and up.
                let side = |side: u32| {
                    whole((f64::from(side) * self.crop_fraction).round_ties_even()).clamp(1, side)
                };
                let (inner_width, inner_height) = (side(width), side(height));
                let (left, top) = (left + (width - inner_width) / 2, top + (height - inner_height) / 2);
                stretched([left, top, inner_width, inner_height])
            }
            Resize::ShorterSideCrop => {
                let part = self.shorter_side_crop(width, height);
                PictureFit { part, ..stretched([left, top, width, height]) }
            }
            Resize::Letterbox | Resize::LetterboxTopleft => {
                let along = |limit: u32, side: u32| f64::from(limit.min(self.longest_side)) / f64::from(side);
                let ratio = along(self.width, width).min(along(self.height, height));
                let ratio = if self.enlarge { ratio } else { ratio.min(1.0) };
                let side = |side: u32, limit: u32| {
                    let resized = f64::from(side) * ratio;
                    let rounded = match self.rounding {
                        SideRounding::Down => resized,
                        // As Python rounds, half to even.
                        SideRounding::Nearest => resized.round_ties_even(),
                    };
                    whole(rounded).clamp(1, limit)
                };
                let (to_width, to_height) = (side(width, self.width), side(height, self.height));
                let (pad_left, pad_top) = match self.resize {
                    Resize::Letterbox => ((self.width - to_width) / 2, (self.height - to_height) / 2),
                    _ => (0, 0),
                };
                PictureFit { to_width, to_height, pad_left, pad_top, ..stretched([left, top, width, height]) }
            }
        }
    }

    /// The frame is resized, then its middle is cut out, as torchvision does it: what is found here is the same part
    /// before the resize. Only that is resized.
    fn shorter_side_crop(&self, width: u32, height: u32) -> [f64; 4] {
        let shorter = width.min(height);
        let along = |side: u32, wanted: u32| {
            let (side, wanted) = (f64::from(side), f64::from(wanted));
            let resized = (side * f64::from(self.shorter_side) / f64::from(shorter)).floor().max(1.0);
            // The card's check leaves `wanted` within the shorter side.
            let start = ((resized - wanted) / 2.0).round_ties_even().max(0.0);
            let scale = side / resized;
            let length = (wanted * scale).min(side);
            ((start * scale).min(side - length), length)
        };
        let (left, part_width) = along(width, self.width);
        let (top, part_height) = along(height, self.height);
        [left, top, part_width, part_height]
    }
}

/// First pixel and number of pixels between shares of a side. A part of a tiny frame may round to nothing; one pixel
/// of it is always there.
fn edges(low: f32, high: f32, side: u32) -> (u32, u32) {
    let edge = |share: f32| whole((f64::from(share) * f64::from(side)).round());
    let first = edge(low).min(side.saturating_sub(1));
    (first, edge(high).min(side).saturating_sub(first).max(1))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sides of frames, 65,535 at most"
)]
const fn whole(side: f64) -> u32 {
    side as u32
}

impl PictureFit {
    /// Whether this is all of a frame, at its own size.
    pub(super) fn is_whole(&self, width: u32, height: u32) -> bool {
        self.cut == [0, 0, width, height]
            && (self.to_width, self.to_height) == (width, height)
            && self.part == [0.0, 0.0, f64::from(width), f64::from(height)]
    }

    pub(super) fn placement(&self) -> InputPlacement {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "pixels of a frame; fractions of them do not matter"
        )]
        let single = |value: f64| value as f32;
        let [left, top, width, height] = self.part;
        let (left, top) = (left + f64::from(self.cut[0]), top + f64::from(self.cut[1]));
        let scale_x = width / f64::from(self.to_width);
        let scale_y = height / f64::from(self.to_height);
        InputPlacement {
            scale_x: single(scale_x),
            scale_y: single(scale_y),
            offset_x: single(left - f64::from(self.pad_left) * scale_x),
            offset_y: single(top - f64::from(self.pad_top) * scale_y),
            seen: [left, top, left + width, top + height].map(single),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::card;
    use super::*;

    #[track_caller]
    fn check(resize: Resize, frame: (u32, u32), region: Region, expected: PictureFit) {
        assert_eq!(FitRule::new(&card(resize), 8, 8).fit(frame, region), expected, "{resize:?}");
    }

    #[test]
    fn a_frame_is_fitted_by_every_rule() {
        // Wide: 40 x 20 into 8 x 8.
        let whole = PictureFit {
            cut: [0, 0, 40, 20],
            part: [0.0, 0.0, 40.0, 20.0],
            to_width: 8,
            to_height: 8,
            pad_left: 0,
            pad_top: 0,
        };
        let check = |resize, expected| check(resize, (40, 20), Region::WHOLE, expected);
        check(Resize::Stretch, whole);
        let middle = PictureFit { cut: [10, 5, 20, 10], part: [0.0, 0.0, 20.0, 10.0], ..whole };
        check(Resize::CentralCrop, middle);
        check(Resize::ShorterSideCrop, PictureFit { part: [10.0, 0.0, 20.0, 20.0], ..whole });
        check(Resize::LetterboxTopleft, PictureFit { to_height: 4, ..whole });
        check(Resize::Letterbox, PictureFit { to_height: 4, pad_top: 2, ..whole });
    }

    #[test]
    fn letterboxes_differ_in_rounding_and_size() {
        let fit = |card: &InputCard, frame| FitRule::new(card, 64, 64).fit(frame, Region::WHOLE);
        let to = |card: &InputCard, frame| {
            let fit = fit(card, frame);
            [fit.to_width, fit.to_height, fit.pad_left, fit.pad_top]
        };
        let down = card(Resize::Letterbox);
        // 64 / 99 * 40 = 25.86; ultralytics: round() gives 26, and round(19 - 0.1) rows above.
        assert_eq!(to(&down, (99, 40)), [64, 25, 0, 19]);
        let nearest = InputCard { rounding: SideRounding::Nearest, ..down.clone() };
        assert_eq!(to(&nearest, (99, 40)), [64, 26, 0, 19]);
        // Small frames stay as they are, large ones do not.
        let kept = InputCard { enlarge: false, ..nearest.clone() };
        assert_eq!((to(&kept, (32, 20)), to(&kept, (128, 64))), ([32, 20, 16, 22], [64, 32, 0, 16]));
        let within = InputCard { longest_side: Some(60), ..nearest };
        assert_eq!(to(&within, (120, 60)), [60, 30, 2, 17]);
    }

    #[test]
    fn odd_sides_are_rounded_as_the_reference_does() {
        let fit = |frame| FitRule::new(&card(Resize::CentralCrop), 8, 8).fit(frame, Region::WHOLE).cut;
        // Python: round(2.5) == 2, round(3.5) == 4, (5 - 2) // 2 == 1, (7 - 4) // 2 == 1.
        assert_eq!(fit((5, 7)), [1, 1, 2, 4]);
        assert_eq!(fit((1, 1)), [0, 0, 1, 1]);
        // torchvision: 33 x 16 becomes 16 x 8 (8 * 33 / 16 = 16.5), cut at (16 - 8) / 2 = 4.
        let wide = FitRule::new(&card(Resize::ShorterSideCrop), 8, 8).fit((33, 16), Region::WHOLE).part;
        assert_eq!(wide, [4.0 * 33.0 / 16.0, 0.0, 8.0 * 33.0 / 16.0, 16.0]);
    }

    #[test]
    fn a_region_is_cut_in_whole_pixels() {
        let region = Region::new([0.5, 0.0, 1.0, 0.5]).unwrap();
        let cut = |frame| FitRule::new(&card(Resize::Stretch), 8, 8).fit(frame, region).cut;
        assert_eq!(cut((40, 20)), [20, 0, 20, 10]);
        assert_eq!(cut((1, 1)), [0, 0, 1, 1]);
        assert_eq!(cut((3, 1)), [2, 0, 1, 1]);
        let sliver = Region::new([0.999, 0.0, 1.0, 0.001]).unwrap();
        assert_eq!(FitRule::new(&card(Resize::Stretch), 8, 8).fit((10, 10), sliver).cut, [9, 0, 1, 1]);
    }
}

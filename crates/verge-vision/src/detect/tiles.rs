//! Frames larger than the input: parts of a frame go through the model one by one, and what is found in all of them is put
//! together.

use verge_engine::Outputs;
use verge_models::card::Nms;

use super::choice::SAME_OBJECT;
use super::{CandidateBox, DetectError, ObjectDetector, select};
use crate::preprocess::{InputPlacement, Region};

/// Side of a tile as a share of the whole: two of them overlap by a fifth of themselves.
pub const SIDE: f32 = 1.0 / 1.8;
/// A box that comes nearer to a cut than this number of the input's pixels is cut itself.
const CUT: f32 = 3.0;

/// A part of what a judge looks at, and which of its sides cut through it: left, top, right, bottom.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tile {
    pub(crate) region: Region,
    inner: [bool; 4],
}

impl Tile {
    /// The parts of a whole that is cut in two on each side; none where it is not cut.
    pub(crate) fn of(whole: Region, tiles: usize) -> Vec<Self> {
        let mut all = Vec::new();
        if tiles > 1 {
            let (width, height) = (whole.right - whole.left, whole.bottom - whole.top);
            for (is_lower, is_right) in [(false, false), (false, true), (true, false), (true, true)] {
                let part = |from: f32, length: f32, is_second: bool| {
                    if is_second {
                        (from + (1.0 - SIDE) * length, from + length)
                    } else {
                        (from, from + SIDE * length)
                    }
                };
                let (left, right) = part(whole.left, width, is_right);
                let (top, bottom) = part(whole.top, height, is_lower);
                let inner = [is_right, is_lower, !is_right, !is_lower];
                all.push(Self { region: Region { left, top, right, bottom }, inner });
            }
        }
        all
    }

    /// A part of a whole, whose sides cut where they are not those of the whole.
    pub(crate) fn within(region: Region, whole: Region) -> Self {
        let [own, all] = [region.sides(), whole.sides()];
        Self { region, inner: [own[0] > all[0], own[1] > all[1], own[2] < all[2], own[3] < all[3]] }
    }

    /// Whether a side of the tile cuts what lies in this box of the frame.
    fn cuts(&self, [left, top, right, bottom]: [f32; 4], placement: &InputPlacement) -> bool {
        let [seen_left, seen_top, seen_right, seen_bottom] = placement.seen;
        let (across, down) = (CUT * placement.scale_x, CUT * placement.scale_y);
        let near = [
            left - seen_left < across,
            top - seen_top < down,
            seen_right - right < across,
            seen_bottom - bottom < down,
        ];
        self.inner.iter().zip(near).any(|(inner, near)| *inner && near)
    }
}

impl ObjectDetector {
    /// The objects of one tile from `least` on, to be put together with those of the whole, which comes last.
    pub(crate) fn find_in_tile(
        &mut self,
        outputs: &Outputs<'_, '_>,
        (tile, placement): (&Tile, InputPlacement),
        least: f32,
    ) -> Result<(), DetectError> {
        self.find(outputs, placement, least)?;
        self.of_tiles.extend(self.candidates.iter().filter(|one| !tile.cuts(one.corners, &placement)));
        Ok(())
    }

    /// What was found in tiles belongs to another frame.
    pub(crate) fn forget_tiles(&mut self) {
        self.of_tiles.clear();
    }

    /// There is no whole: what was found in tiles is all.
    pub(crate) fn without_whole(&mut self) {
        self.candidates.clear();
    }

    /// Puts what was found in the whole together with what was found in its tiles: of boxes of one object the surest stays.
    pub(crate) fn join_tiles(&mut self) -> &[CandidateBox] {
        if !self.of_tiles.is_empty() {
            self.candidates.append(&mut self.of_tiles);
            let nms = self.output.nms.unwrap_or(Nms { iou: SAME_OBJECT, per_class: true });
            select(&mut self.candidates, Some(nms));
        }
        &self.candidates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_the_whole_and_overlap_by_a_fifth() {
        let all = Tile::of(Region::WHOLE, 2);
        assert_eq!((all.len(), Tile::of(Region::WHOLE, 1).len()), (4, 0));
        let [first, second] = [all[0].region, all[1].region];
        assert!((first.left, first.top, second.right) == (0.0, 0.0, 1.0));
        let common = (first.right - second.left) / (first.right - first.left);
        assert!((common - 0.2).abs() < 1e-3, "{common}");
        // Of a part of the frame, too.
        let part = Region::new([0.5, 0.0, 1.0, 0.5]).unwrap();
        let last = Tile::of(part, 2)[3].region;
        assert!(last.right == 1.0 && last.bottom == 0.5 && last.left > 0.7 && last.top > 0.2, "{last:?}");
    }

    #[test]
    fn a_box_at_a_cut_is_left_to_the_other_tile() {
        let tile = Tile::of(Region::WHOLE, 2)[0];
        let seen = [0.0, 0.0, 556.0, 556.0];
        let placement = InputPlacement { scale_x: 2.0, scale_y: 2.0, offset_x: 0.0, offset_y: 0.0, seen };
        assert!(!tile.cuts([0.0, 0.0, 549.0, 100.0], &placement), "the border of the frame cuts nothing");
        assert!(tile.cuts([400.0, 0.0, 551.0, 100.0], &placement));
        assert!(tile.cuts([0.0, 400.0, 100.0, 556.0], &placement));
    }
}

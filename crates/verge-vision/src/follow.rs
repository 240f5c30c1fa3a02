//! Frames larger than the input, where something is: crops of the input's own size around what was found in the frame before
//! and around what moves. The whole is looked at now and then, and wherever the crops do not suffice.

use verge_domain::frame::Detections;
use verge_domain::motion::Motion;

use crate::detect::Tile;
use crate::preprocess::Region;

/// After this many frames that were looked at in crops alone comes one that is looked at as a whole.
const WHOLE_EVERY: u8 = 4;
/// A crop is larger than what it is made for by this factor at least.
const ROOM: f32 = 2.0;
/// A crop that takes more than this share of the whole shows nothing larger than the whole does.
const WHOLE: f32 = 0.6;

/// What is kept of one camera and judge from frame to frame.
#[derive(Debug, Default)]
pub(crate) struct FollowMemory {
    /// What was found in the frame before: left, top, right, bottom in shares of the frame.
    found: Vec<[f32; 4]>,
    /// Frames that were looked at in crops alone since the whole was.
    in_crops: u8,
    targets: Vec<[f32; 4]>,
    /// Where to look in this frame.
    pub(crate) crops: Vec<Tile>,
}

impl FollowMemory {
    /// Plans the looks at a frame: crops, `at_most` of them, and whether the whole is looked at, too. `sides`: of the frame
    /// and of the input, in pixels.
    pub(crate) fn plan(
        &mut self,
        motion: Option<&Motion>,
        (region, at_most): (Region, usize),
        [frame, input]: [[f32; 2]; 2],
    ) -> bool {
        self.crops.clear();
        self.targets.clear();
        let is_due = self.in_crops >= WHOLE_EVERY;
        self.targets.extend(&self.found);
        let moving = motion.filter(|motion| motion.settled && !motion.light);
        let blobs = moving.iter().flat_map(|motion| motion.blobs.iter());
        for blob in blobs.map(|blob| [blob.left, blob.top, blob.right, blob.bottom]) {
            if !self.found.iter().any(|found| overlap(found, &blob)) {
                self.targets.push(blob);
            }
        }
        let whole = region.sides();
        self.targets.retain(|target| overlap(target, &whole));
        // What is small gains the most.
        self.targets.sort_by(|a, b| area(a).total_cmp(&area(b)));
        let mut is_enough = !self.targets.is_empty() && motion.is_none_or(|motion| !motion.light);
        for target in &self.targets {
            if self.crops.iter().any(|crop| holds(&crop.region.sides(), target)) {
                continue;
            }
            match crop_around(target, &whole, [frame, input]) {
                Some(crop) if self.crops.len() < at_most => self.crops.push(Tile::within(crop, region)),
                _ => is_enough = false,
            }
        }
        let looks_at_whole = is_due || !is_enough;
        if looks_at_whole {
            // Never more runs than are allowed.
            self.crops.truncate(at_most.saturating_sub(1));
        }
        self.in_crops = if looks_at_whole { 0 } else { self.in_crops + 1 };
        looks_at_whole
    }

    /// Keeps what was found.
    #[expect(clippy::cast_precision_loss, reason = "pixels of a frame")]
    pub(crate) fn keep(&mut self, view: &Detections) {
        self.found.clear();
        let (width, height) = (view.width.max(1) as f32, view.height.max(1) as f32);
        self.found.extend(view.objects.iter().map(|object| {
            let area = object.area;
            let (left, top) = (area.x as f32 / width, area.y as f32 / height);
            [left, top, left + area.width as f32 / width, top + area.height as f32 / height]
        }));
    }
}

/// A part of the whole with the shape of the input, around a target in shares of the frame; `None` where it would show hardly
/// less than the whole.
fn crop_around(target: &[f32; 4], whole: &[f32; 4], [frame, input]: [[f32; 2]; 2]) -> Option<Region> {
    let sides = [target[2] - target[0], target[3] - target[1]];
    let needed = |axis: usize| ROOM * sides[axis] * frame[axis] / input[axis];
    let scale = needed(0).max(needed(1)).max(1.0);
    let side = |axis: usize| (scale * input[axis] / frame[axis]).min(whole[axis + 2] - whole[axis]);
    let (width, height) = (side(0), side(1));
    if width * height > WHOLE * area(whole) {
        return None;
    }
    let from = |axis: usize, side: f32| {
        let middle = f32::midpoint(target[axis], target[axis + 2]);
        (middle - side / 2.0).clamp(whole[axis], whole[axis + 2] - side)
    };
    let (left, top) = (from(0, width), from(1, height));
    Region::new([left, top, (left + width).min(1.0), (top + height).min(1.0)])
}

fn area(of: &[f32; 4]) -> f32 {
    (of[2] - of[0]) * (of[3] - of[1])
}

fn overlap(one: &[f32; 4], other: &[f32; 4]) -> bool {
    one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3]
}

/// Whether a crop shows a target with room around it.
fn holds(crop: &[f32; 4], target: &[f32; 4]) -> bool {
    let room = [0, 1].map(|axis| (target[axis + 2] - target[axis]) / 4.0);
    let within = |axis: usize| {
        let (from, to) = (target[axis] - room[axis], target[axis + 2] + room[axis]);
        from.max(0.0) >= crop[axis] && to.min(1.0) <= crop[axis + 2]
    };
    within(0) && within(1)
}

#[cfg(test)]
mod tests {
    use verge_domain::motion::Blob;

    use super::*;

    const SIDES: [[f32; 2]; 2] = [[1920.0, 1080.0], [416.0, 416.0]];

    fn memory(found: &[[f32; 4]]) -> FollowMemory {
        FollowMemory { found: found.to_vec(), ..FollowMemory::default() }
    }

    fn plan(memory: &mut FollowMemory, motion: Option<&Motion>, at_most: usize) -> (usize, bool) {
        let whole = memory.plan(motion, (Region::WHOLE, at_most), SIDES);
        (memory.crops.len(), whole)
    }

    #[test]
    fn the_whole_is_looked_at_where_nothing_is_known_and_now_and_then() {
        let mut nothing = memory(&[]);
        assert_eq!(plan(&mut nothing, None, 3), (0, true));
        let mut one = memory(&[[0.5, 0.5, 0.52, 0.53]]);
        let looked: Vec<(usize, bool)> = (0..6).map(|_| plan(&mut one, None, 3)).collect();
        assert_eq!(looked, [(1, false), (1, false), (1, false), (1, false), (1, true), (1, false)]);
        // The light changes: nothing is known.
        let light = Motion { light: true, settled: true, ..Motion::default() };
        assert_eq!(plan(&mut one, Some(&light), 3), (1, true));
    }

    #[test]
    fn near_ones_share_a_crop_and_no_more_are_made_than_allowed() {
        let near = [[0.50, 0.50, 0.52, 0.53], [0.53, 0.52, 0.55, 0.55]];
        assert_eq!(plan(&mut memory(&near), None, 3), (1, false));
        let far: Vec<[f32; 4]> = [0.1, 0.4, 0.7, 0.9].map(|x| [x, 0.5, x + 0.02, 0.53]).to_vec();
        assert_eq!(plan(&mut memory(&far), None, 4), (4, false));
        // The others are seen in the whole.
        assert_eq!(plan(&mut memory(&far), None, 3), (2, true));
        assert_eq!(plan(&mut memory(&far), None, 1), (0, true));
        // What fills half of the picture is seen as well in the whole.
        assert_eq!(plan(&mut memory(&[[0.2, 0.2, 0.7, 0.8]]), None, 3), (0, true));
    }

    #[test]
    fn what_moves_and_was_not_found_is_looked_at() {
        let mut motion = Motion { settled: true, ..Motion::default() };
        motion.blobs.add(Blob { left: 0.1, top: 0.1, right: 0.13, bottom: 0.14, area: 0.001 });
        motion.blobs.add(Blob { left: 0.5, top: 0.5, right: 0.53, bottom: 0.54, area: 0.002 });
        let mut one = memory(&[[0.5, 0.5, 0.52, 0.53]]);
        assert_eq!(plan(&mut one, Some(&motion), 3), (2, false));
        // A part of the frame: nothing beyond it is looked at.
        let half = Region::new([0.3, 0.0, 1.0, 1.0]).unwrap();
        assert!(!one.plan(Some(&motion), (half, 3), SIDES));
        assert_eq!(one.crops.len(), 1);
        let crop = one.crops[0].region;
        assert!(crop.left >= 0.3 && ((crop.right - crop.left) * 1920.0 - 416.0).abs() < 1.0, "{crop:?}");
    }
}

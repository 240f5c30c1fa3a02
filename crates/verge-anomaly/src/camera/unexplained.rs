//! Motion that no model explains: something passes through the picture, and nothing is tracked there.

use serde::{Deserialize, Serialize};
use verge_domain::finding::{Condition, Expected, Member, Standing};
use verge_domain::motion::Blob;
use verge_domain::time::Monotonic;
use verge_scene::{FrameSize, Scene, SeenBox};

/// Blobs from this share of the picture count.
const LEAST_AREA: f32 = 0.005;
/// What moved through this share of the picture's sides has passed through it.
const LEAST_WAY: f32 = 0.2;
/// One passage without a track in this number of the last ones is too many, but no fewer than `LEAST` are.
const ONE_IN: u32 = 4;
const LEAST: u32 = 3;
const LAST: u32 = 20;
/// A passage is explained where something is tracked in this share of its frames.
const TRACKED: f32 = 0.2;
/// A track and a blob that share more than this part of the smaller area are of one object.
const SAME_PLACE: f32 = 0.25;
/// A passage that is not seen for longer than this is over, in seconds.
const OVER: f64 = 1.0;
/// Passages followed at once; further ones are not.
const MOST: usize = 8;

/// Left, top, right and bottom edge, as shares of the picture's sides.
type Sides = [f32; 4];

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct MovingPassage {
    sides: Sides,
    /// The least and the greatest place of its middle so far.
    reached: Sides,
    newest: f64,
    frames: u32,
    tracked: u32,
}

/// Follows what moves, and counts what no track explains. Some 500 bytes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UnexplainedMotion {
    passing: [Option<MovingPassage>; MOST],
    /// One bit for each of the last passages, the newest lowest: nothing was tracked there.
    unexplained: u32,
    passages: u32,
}

impl UnexplainedMotion {
    /// Takes in what moves in a frame of this time and size, and what a scene follows there.
    pub fn look(&mut self, blobs: &[Blob], scene: &Scene, size: FrameSize, at: Monotonic) {
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let is_tracked = |sides: &Sides| {
            let share = |of: SeenBox| {
                [of.left / width, of.top / height, of.right / width, of.bottom / height]
                    .map(|side| side as f32)
            };
            scene.tracks().any(|(_, of)| overlap(sides, &share(of)) > SAME_PLACE)
        };
        self.look_for(blobs, is_tracked, at.0 as f64 / 1e6);
    }

    fn look_for(&mut self, blobs: &[Blob], is_tracked: impl Fn(&Sides) -> bool, at: f64) {
        for slot in &mut self.passing {
            let is_over = |passage: &mut MovingPassage| at - passage.newest > OVER || at < passage.newest;
            if let Some(passage) = slot.take_if(is_over)
                && passage.way() > LEAST_WAY
            {
                let tracked = passage.tracked as f32 >= TRACKED * passage.frames as f32;
                self.unexplained = (self.unexplained << 1 | u32::from(!tracked)) & ((1 << LAST) - 1);
                self.passages = (self.passages + 1).min(LAST);
            }
        }
        for blob in blobs.iter().filter(|blob| blob.area >= LEAST_AREA) {
            let sides = [blob.left, blob.top, blob.right, blob.bottom];
            self.follow(sides, is_tracked(&sides), at);
        }
    }

    /// How it stands: the number of the last passages that nothing explains.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let unexplained = self.unexplained.count_ones();
        let standing = if self.is_found() { Standing::Abnormal } else { Standing::Normal };
        let expected = Expected { low: None, high: Some(f64::from(self.too_many() - 1)) };
        Condition::of_rule(Member::UnexplainedMotion, standing, f64::from(unexplained), expected)
    }

    /// Whether too much moved that nothing explains.
    #[must_use]
    pub fn is_found(&self) -> bool {
        self.unexplained.count_ones() >= self.too_many()
    }

    fn too_many(&self) -> u32 {
        self.passages.div_ceil(ONE_IN).max(LEAST)
    }

    fn follow(&mut self, sides: Sides, is_tracked: bool, at: f64) {
        let known = self.passing.iter_mut().flatten().filter(|passage| passage.newest < at);
        let nearest = known
            .map(|passage| (overlap(&passage.sides, &sides), passage))
            .filter(|(overlap, _)| *overlap > 0.0)
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        if let Some((_, passage)) = nearest {
            return passage.go_on(sides, is_tracked, at);
        }
        if let Some(free) = self.passing.iter_mut().find(|slot| slot.is_none()) {
            let (x, y) = middle(&sides);
            *free = Some(MovingPassage {
                sides,
                reached: [x, y, x, y],
                newest: at,
                frames: 1,
                tracked: u32::from(is_tracked),
            });
        }
    }
}

impl MovingPassage {
    fn go_on(&mut self, sides: Sides, is_tracked: bool, at: f64) {
        let (x, y) = middle(&sides);
        let [left, top, right, bottom] = self.reached;
        self.reached = [left.min(x), top.min(y), right.max(x), bottom.max(y)];
        (self.sides, self.newest) = (sides, at);
        self.frames = self.frames.saturating_add(1);
        self.tracked = self.tracked.saturating_add(u32::from(is_tracked));
    }

    /// How far it came, in shares of the picture's sides.
    fn way(&self) -> f32 {
        let [left, top, right, bottom] = self.reached;
        (right - left).hypot(bottom - top)
    }
}

fn middle([left, top, right, bottom]: &Sides) -> (f32, f32) {
    (f32::midpoint(*left, *right), f32::midpoint(*top, *bottom))
}

/// The area that two boxes share, as a share of the smaller.
fn overlap(one: &Sides, other: &Sides) -> f32 {
    let side = |from: usize, to: usize| (one[to].min(other[to]) - one[from].max(other[from])).max(0.0);
    let area = |sides: &Sides| (sides[2] - sides[0]) * (sides[3] - sides[1]);
    let smaller = area(one).min(area(other));
    if smaller > 0.0 { side(0, 2) * side(1, 3) / smaller } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A car passes from left to right at this height, and is tracked as far as a share of its way.
    fn pass(motion: &mut UnexplainedMotion, from: f64, top: f32, tracked: f32) -> f64 {
        for frame in 0..20_u8 {
            let left = f32::from(frame) * 0.04;
            let blob = Blob { left, top, right: left + 0.15, bottom: top + 0.1, area: 0.012 };
            let track = [left + 0.02, top, left + 0.13, top + 0.1];
            let is_tracked = |sides: &Sides| left < 0.8 * tracked && overlap(sides, &track) > SAME_PLACE;
            motion.look_for(&[blob], is_tracked, from + f64::from(frame) * 0.2);
        }
        from + 10.0
    }

    #[test]
    fn a_quarter_of_twenty_passages_that_nothing_explains_is_too_many_and_so_are_the_first_three() {
        let (mut motion, mut first) = (UnexplainedMotion::default(), UnexplainedMotion::default());
        let mut at = 0.0;
        for passage in 1..20_u8 {
            assert!(!motion.is_found(), "{motion:?}");
            at = pass(&mut motion, at, 0.3, if passage % 5 == 0 || passage > 17 { 0.0 } else { 0.5 });
            motion.look_for(&[], |_| false, at);
            assert_eq!(first.is_found(), passage > 3);
            pass(&mut first, at, 0.3, 0.0);
            first.look_for(&[], |_| false, at + 10.0);
        }
        assert_eq!((motion.condition().standing, motion.condition().observed), (Standing::Abnormal, 5.0));
        // Twenty that are tracked later it is over.
        for _ in 0..20 {
            at = pass(&mut motion, at, 0.3, 0.9);
            motion.look_for(&[], |_| false, at);
        }
        assert!(!motion.is_found());
    }

    #[test]
    fn what_stays_where_it_is_and_what_is_small_does_not_pass() {
        let mut motion = UnexplainedMotion::default();
        for frame in 0..2000_u16 {
            let sway = f32::from(frame % 7) * 0.01;
            let tree = Blob { left: 0.1 + sway, top: 0.1, right: 0.4 + sway, bottom: 0.5, area: 0.06 };
            let left = f32::from(frame % 50) * 0.02;
            let bird = Blob { left, top: 0.7, right: left + 0.03, bottom: 0.73, area: 0.0009 };
            motion.look_for(&[tree, bird], |_| false, f64::from(frame) * 0.2);
            if frame % 100 == 99 {
                motion.look_for(&[], |_| false, f64::from(frame) * 0.2 + 5.0);
            }
        }
        assert_eq!(motion.passages, 0);
    }
}

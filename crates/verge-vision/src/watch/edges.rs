//! The edges that a camera usually sees: where they are and which way they face, whatever the light.

use verge_domain::frame::EdgeLook;
use verge_domain::motion::Blob;

use super::gradients::{Gradients, square as square_of};

/// Length of a mean direction from which a pixel is usually an edge: it is one in most frames, and faces one way.
const USUAL: f32 = 0.5;
/// Least share of pixels that must usually be edges before anything is said of them.
const LEAST_USUAL: f32 = 0.005;
/// The picture's parts, across and down, that count alike.
const PARTS: (usize, usize) = (16, 9);
/// Usual edges that a part must have to count.
const LEAST_IN_PART: u32 = 5;
/// Parts that must count.
const LEAST_PARTS: usize = 8;
/// What moves is passed over up to this share of the picture each: more may be a hand on the lens.
const LARGEST_MOVING: f32 = 0.25;

/// The mean direction of each pixel's edge, over the frames that were learnt.
#[derive(Debug, Default)]
pub(super) struct EdgeMap {
    size: (usize, usize),
    x: Vec<f32>,
    y: Vec<f32>,
}

impl EdgeMap {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.size = (0, 0);
    }

    /// Forgets what is hidden from now on.
    pub(super) fn hide(&mut self, hidden: &[u32]) {
        for side in [&mut self.x, &mut self.y] {
            for at in hidden {
                if let Some(known) = side.get_mut(*at as usize) {
                    *known = 0.0;
                }
            }
        }
    }

    /// The mean directions, across and down; lengths from 0 to 1.
    pub(super) fn directions(&self) -> (&[f32], &[f32]) {
        (&self.x, &self.y)
    }

    /// Takes in the edges of a frame with this weight, `0..=1`.
    pub(super) fn learn(&mut self, gradients: &Gradients, weight: f32) {
        let count = gradients.x().len();
        if self.size != gradients.size() {
            self.size = gradients.size();
            for side in [&mut self.x, &mut self.y] {
                side.clear();
                side.resize(count, 0.0);
            }
        }
        let means = self.x.iter_mut().zip(&mut self.y);
        for ((x, y), (now_x, now_y)) in means.zip(gradients.directions()) {
            *x += weight * (now_x - *x);
            *y += weight * (now_y - *y);
        }
    }

    /// How many of the usual edges a frame lacks, whose layout correlates with the usual one so much; `None` where too few
    /// are known.
    pub(super) fn look(&self, gradients: &Gradients, moving: &[Blob], layout: f32) -> Option<EdgeLook> {
        if self.size != gradients.size() || self.x.is_empty() {
            return None;
        }
        let (width, height) = self.size;
        let mut parts = [(0_u32, 0_u32); PARTS.0 * PARTS.1];
        let (mut usual, mut counted, mut missing) = (0_u32, 0_u32, 0_u32);
        for y in 1..height.saturating_sub(1) {
            let row = y * PARTS.1 / height * PARTS.0;
            for x in 1..width.saturating_sub(1) {
                let at = y * width + x;
                let edge = (self.x[at], self.y[at]);
                if edge.0 * edge.0 + edge.1 * edge.1 < USUAL * USUAL {
                    continue;
                }
                usual += 1;
                let is_missing = !self.is_shown(gradients, at, edge);
                if is_missing && is_within(moving, x as f32 / width as f32, y as f32 / height as f32) {
                    continue;
                }
                counted += 1;
                missing += u32::from(is_missing);
                let part = &mut parts[row + x * PARTS.0 / width];
                part.0 += 1;
                part.1 += u32::from(is_missing);
            }
        }
        let share = usual as f32 / gradients.visible().max(1) as f32;
        if share < LEAST_USUAL || counted == 0 {
            return None;
        }
        let missing = missing as f32 / counted as f32;
        let parts = parts.iter().filter(|part| part.0 >= LEAST_IN_PART);
        let (count, sum) =
            parts.fold((0, 0.0), |(count, sum), part| (count + 1, sum + part.1 as f32 / part.0 as f32));
        let missing_area = if count >= LEAST_PARTS { sum / count as f32 } else { missing };
        Some(EdgeLook { usual: share, missing, missing_area, layout })
    }

    /// Whether a usual edge shows in a frame, there or one pixel beside: a gradient within 45° of its direction.
    fn is_shown(&self, gradients: &Gradients, at: usize, edge: (f32, f32)) -> bool {
        let (xs, ys, width) = (gradients.x(), gradients.y(), self.size.0);
        let length = edge.0 * edge.0 + edge.1 * edge.1;
        [
            at,
            at - 1,
            at + 1,
            at - width,
            at + width,
            at - width - 1,
            at - width + 1,
            at + width - 1,
            at + width + 1,
        ]
        .into_iter()
        .any(|near| {
            let (x, y) = (xs[near], ys[near]);
            let square = square_of(x, y);
            if square < gradients.shown() {
                return false;
            }
            let along = f32::from(x) * edge.0 + f32::from(y) * edge.1;
            along > 0.0 && along * along >= 0.5 * square as f32 * length
        })
    }
}

fn is_within(moving: &[Blob], x: f32, y: f32) -> bool {
    let of = |blob: &Blob| (blob.right - blob.left) * (blob.bottom - blob.top);
    moving
        .iter()
        .filter(|blob| of(blob) <= LARGEST_MOVING)
        .any(|blob| x >= blob.left && x <= blob.right && y >= blob.top && y <= blob.bottom)
}

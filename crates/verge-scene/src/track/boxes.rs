//! Boxes of objects in one frame, before anything is known of what they were in the last.

use crate::geometry::Point;

/// One object that a detector sees in a frame, in pixels of the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SeenBox {
    /// Position of its class in the scheme.
    pub class: usize,
    /// How sure the detector is, `0..=1`.
    pub score: f64,
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Right edge, not left of the left one.
    pub right: f64,
    /// Lower edge, not above the upper one.
    pub bottom: f64,
}

impl SeenBox {
    pub(crate) fn width(&self) -> f64 {
        self.right - self.left
    }

    pub(crate) fn height(&self) -> f64 {
        self.bottom - self.top
    }

    pub(crate) fn smaller_side(&self) -> f64 {
        self.width().min(self.height())
    }

    /// Middle of the lower edge: where it stands.
    pub(crate) fn foot(&self) -> Point {
        Point::new(f64::midpoint(self.left, self.right), self.bottom)
    }

    pub(crate) fn centre(&self) -> Point {
        Point::new(f64::midpoint(self.left, self.right), f64::midpoint(self.top, self.bottom))
    }

    pub(crate) fn is_sound(&self) -> bool {
        [self.left, self.top, self.right, self.bottom, self.score].iter().all(|number| number.is_finite())
            && self.right > self.left
            && self.bottom > self.top
    }

    /// Common area over joined area, with `margin` of its own size added to both on each side.
    pub(crate) fn overlap(&self, other: &Self, margin: f64) -> f64 {
        let edges = |low: f64, high: f64| ((low - margin * (high - low)), (high + margin * (high - low)));
        let common = |a: (f64, f64), b: (f64, f64)| (a.1.min(b.1) - a.0.max(b.0)).max(0.0);
        let across = common(edges(self.left, self.right), edges(other.left, other.right));
        if across == 0.0 {
            return 0.0;
        }
        let down = common(edges(self.top, self.bottom), edges(other.top, other.bottom));
        let both = across * down;
        let grown = (1.0 + 2.0 * margin) * (1.0 + 2.0 * margin);
        let area = |of: &Self| of.width() * of.height() * grown;
        both / (area(self) + area(other) - both)
    }
}

impl SeenBox {
    pub(crate) fn square(&self) -> f64 {
        self.width() * self.height()
    }

    /// The area that lies in both boxes.
    pub(crate) fn common(&self, other: &Self) -> f64 {
        let across = (self.right.min(other.right) - self.left.max(other.left)).max(0.0);
        across * (self.bottom.min(other.bottom) - self.top.max(other.top)).max(0.0)
    }

    /// The share of another box that it covers.
    pub(crate) fn covers(&self, other: &Self) -> f64 {
        self.common(other) / other.square()
    }
}

/// Boxes over each other by more than this show one object, whatever the detector calls it.
const SAME: f64 = 0.7;

/// Keeps the surest box of each object, at most `most`, surest first.
pub(crate) fn suppress(boxes: &mut Vec<SeenBox>, most: usize) {
    boxes.retain(SeenBox::is_sound);
    boxes.sort_unstable_by(|a, b| {
        let edges = |of: &SeenBox| [of.left, of.top, of.right, of.bottom];
        let by_place = || edges(a).partial_cmp(&edges(b)).unwrap_or(std::cmp::Ordering::Equal);
        b.score.total_cmp(&a.score).then_with(by_place).then(a.class.cmp(&b.class))
    });
    boxes.truncate(most);
    let mut kept = 0;
    for at in 0..boxes.len() {
        let own = boxes[at];
        if boxes[..kept].iter().all(|surer| surer.overlap(&own, 0.0) <= SAME) {
            boxes[kept] = own;
            kept += 1;
        }
    }
    boxes.truncate(kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(left: f64, score: f64, class: usize) -> SeenBox {
        SeenBox { class, score, left, top: 0.0, right: left + 10.0, bottom: 10.0 }
    }

    #[test]
    fn one_object_under_two_names_is_one_box() {
        let mut boxes = vec![seen(0.0, 0.4, 1), seen(1.0, 0.9, 0), seen(8.0, 0.3, 0), seen(f64::NAN, 1.0, 0)];
        suppress(&mut boxes, 10);
        assert_eq!(boxes, [seen(1.0, 0.9, 0), seen(8.0, 0.3, 0)]);
        suppress(&mut boxes, 1);
        assert_eq!(boxes.len(), 1);
    }

    #[test]
    fn boxes_that_do_not_touch_overlap_once_they_are_widened() {
        let (a, b) = (seen(0.0, 1.0, 0), seen(12.0, 1.0, 0));
        assert_eq!(a.overlap(&b, 0.0), 0.0);
        // 20 wide each, 8 in common, 20 high.
        assert!((a.overlap(&b, 0.5) - 8.0 / 32.0).abs() < 1e-12);
        assert!((a.overlap(&a, 0.0) - 1.0).abs() < 1e-12);
    }
}

//! Privacy masks: parts of a picture that are filled right after it was decoded, before anything else sees it.

use std::ops::Range;
use std::sync::Arc;

use verge_domain::observation::Camera;
use wildmatch::WildMatch;

use crate::annotate::AnnotatedShape;
use crate::picture::{Picture, SAMPLES};

/// What is filled in: the grey that models know as the border of letterboxed pictures.
const FILL: u8 = 114;

/// A part of the pictures of a source that nothing sees.
#[derive(Debug, Clone, PartialEq)]
pub struct PrivacyMask {
    /// Its name.
    pub name: String,
    /// Corners in order, in shares of the sides of the picture as it is seen.
    pub corners: Vec<[f64; 2]>,
    /// Patterns of names of the devices whose pictures it hides; empty for all.
    pub devices: Vec<WildMatch>,
}

impl PrivacyMask {
    /// Whether it hides a part of a device's pictures.
    #[must_use]
    pub fn is_of(&self, device: &str) -> bool {
        self.devices.is_empty() || self.devices.iter().any(|pattern| pattern.matches(device))
    }

    /// To be drawn.
    #[must_use]
    pub fn to_shape(&self) -> AnnotatedShape {
        AnnotatedShape::Mask { name: self.name.clone(), corners: self.corners.clone() }
    }
}

/// The masks of all sources, by their index.
pub type SourceMasks = Arc<[Vec<PrivacyMask>]>;

/// The masks of a camera.
pub fn masks_of<'a>(masks: &'a SourceMasks, camera: &'a Camera) -> impl Iterator<Item = &'a PrivacyMask> {
    let of_source = masks.get(usize::from(camera.source.0)).into_iter().flatten();
    of_source.filter(|mask| mask.is_of(camera.device.as_str()))
}

/// Which pixels of a camera's pictures are hidden: found once for each size.
#[derive(Debug, Default)]
pub(crate) struct HiddenPixels {
    /// Of these masks, in pictures of this size.
    masks: Option<SourceMasks>,
    size: (u32, u32),
    /// Ranges of samples.
    samples: Vec<Range<usize>>,
}

impl HiddenPixels {
    /// The samples that are filled in.
    pub(crate) fn samples(&self) -> &[Range<usize>] {
        &self.samples
    }

    /// Fills them in.
    pub(crate) fn fill(&mut self, masks: &SourceMasks, camera: &Camera, picture: &mut Picture) {
        let size = (picture.width(), picture.height());
        let is_known = self.masks.as_ref().is_some_and(|known| Arc::ptr_eq(known, masks));
        if !is_known || self.size != size {
            let polygons: Vec<&[[f64; 2]]> =
                masks_of(masks, camera).map(|mask| mask.corners.as_slice()).collect();
            *self = Self { masks: Some(Arc::clone(masks)), size, samples: hidden(&polygons, size) };
        }
        for range in &self.samples {
            picture.rgb_mut()[range.clone()].fill(FILL);
        }
    }
}

/// The samples of all pixels that polygons touch.
pub(crate) fn hidden(polygons: &[&[[f64; 2]]], (width, height): (u32, u32)) -> Vec<Range<usize>> {
    let mut samples: Vec<Range<usize>> = Vec::new();
    for row in 0..height {
        let mut columns: Vec<Range<u32>> = Vec::new();
        for polygon in polygons {
            touched(polygon, (width, height), row, &mut columns);
        }
        columns.sort_unstable_by_key(|range| range.start);
        let begin = row as usize * width as usize;
        for range in columns {
            let [start, end] = [range.start, range.end].map(|column| (begin + column as usize) * SAMPLES);
            match samples.last_mut() {
                Some(last) if last.end >= start => last.end = last.end.max(end),
                _ => samples.push(start..end),
            }
        }
    }
    samples
}

/// The columns of a row in which a polygon touches a pixel, in ranges that may overlap: those between its edges at the
/// middle of the row, and those that an edge passes.
fn touched(polygon: &[[f64; 2]], (width, height): (u32, u32), row: u32, columns: &mut Vec<Range<u32>>) {
    let (top, bottom) = (f64::from(row), f64::from(row) + 1.0);
    let place = |[x, y]: [f64; 2]| (x * f64::from(width), y * f64::from(height));
    let mut add = |from: f64, to: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the picture")]
        let column = |x: f64| x.clamp(0.0, f64::from(width)) as u32;
        let (from, to) = (column(from.floor()), column(to.ceil()));
        if from < to {
            columns.push(from..to);
        }
    };
    let mut crossings = Vec::new();
    let ends = polygon.iter().zip(polygon.iter().cycle().skip(1));
    for ((ax, ay), (bx, by)) in ends.map(|(&a, &b)| (place(a), place(b))) {
        let at = |y: f64| if ay == by { ax } else { ax + (y - ay) / (by - ay) * (bx - ax) };
        let (low, high) = (ay.min(by).max(top), ay.max(by).min(bottom));
        if low < high {
            let (from, to) = (at(low), at(high));
            add(from.min(to), from.max(to));
        } else if ay == by && ay > top && ay < bottom {
            add(ax.min(bx), ax.max(bx));
        }
        let middle = f64::midpoint(top, bottom);
        if (ay > middle) != (by > middle) {
            crossings.push(at(middle));
        }
    }
    crossings.sort_unstable_by(f64::total_cmp);
    for pair in crossings.chunks_exact(2) {
        add(pair[0], pair[1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a picture, `#` where it is hidden.
    fn drawn(polygons: &[&[[f64; 2]]], (width, height): (u32, u32)) -> Vec<String> {
        let hidden = hidden(polygons, (width, height));
        let is_hidden = |at: usize| hidden.iter().any(|range| range.contains(&(at * SAMPLES)));
        let pixel = |at: usize| if is_hidden(at) { '#' } else { '.' };
        let row = |row: u32| (0..width).map(|column| pixel((row * width + column) as usize)).collect();
        (0..height).map(row).collect()
    }

    #[test]
    fn every_pixel_that_a_polygon_touches_is_hidden_and_no_other() {
        let square: &[[f64; 2]] = &[[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]];
        assert_eq!(drawn(&[square], (8, 4)), ["........", "..####..", "..####..", "........"]);
        // A corner within a pixel hides all of it.
        assert_eq!(drawn(&[square], (6, 3)), [".####.", ".####.", ".####."]);
        let triangle: &[[f64; 2]] = &[[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
        assert_eq!(drawn(&[triangle], (4, 4)), ["#...", "##..", "###.", "####"]);
        let hollow: &[[f64; 2]] = &[
            [0.0, 0.0],
            [1.0, 0.0],
            [1.0, 1.0],
            [0.75, 1.0],
            [0.75, 0.5],
            [0.25, 0.5],
            [0.25, 1.0],
            [0.0, 1.0],
        ];
        assert_eq!(drawn(&[hollow], (8, 4)), ["########", "########", "##....##", "##....##"]);
        assert_eq!(drawn(&[square, triangle], (4, 4)), ["#...", "###.", "###.", "####"]);
        let thin: &[[f64; 2]] = &[[0.1, 0.26], [0.9, 0.26], [0.9, 0.27], [0.1, 0.27]];
        assert_eq!(drawn(&[thin], (4, 4)), ["....", "####", "....", "...."], "thinner than a pixel");
    }

    #[test]
    fn what_is_hidden_at_once_is_one_range_and_ranges_never_overlap() {
        let whole: &[[f64; 2]] = &[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
        let all = hidden(&[whole, whole], (5, 4));
        assert_eq!((all.len(), &all[0]), (1, &(0..5 * 4 * SAMPLES)));
        let low: &[[f64; 2]] = &[[0.2, 0.1], [0.9, 0.8], [0.1, 0.7]];
        let ranges = hidden(&[low, whole, low], (33, 17));
        assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
    }
}

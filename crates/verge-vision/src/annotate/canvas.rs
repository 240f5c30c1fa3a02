//! A picture to draw on, by places in shares of its sides.

use std::convert::Infallible;

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Dimensions, OriginDimensions, Point, Size};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::{Line, Primitive, PrimitiveStyle, Rectangle, Triangle};
use embedded_graphics::{Drawable, Pixel};

use crate::mask::hidden;
use crate::picture::{Picture, SAMPLES};

/// Around everything, so that it stands out from light and dark.
pub(super) const HALO: Rgb888 = Rgb888::new(16, 16, 16);
/// The width at which everything can be read.
const SHOWN: f64 = 360.0;
/// Normals have this length.
const UNIT: f64 = 1024.0;

pub(super) struct AnnotationCanvas<'a> {
    picture: &'a mut Picture,
    /// Pixels of a stroke, and of its halo on either side.
    stroke: u32,
    halo: u32,
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "pixels of pictures")]
impl<'a> AnnotationCanvas<'a> {
    pub(super) fn new(picture: &'a mut Picture) -> Self {
        let unit = f64::from(picture.width()) / SHOWN;
        let stroke = (1.4 * unit).round().max(1.0) as u32;
        Self { picture, stroke, halo: (unit / 2.0).round().max(1.0) as u32 }
    }

    pub(super) fn point(&self, [x, y]: [f64; 2]) -> Point {
        let along = |share: f64, side: u32| (share.clamp(-1.0, 2.0) * f64::from(side)).round() as i32;
        Point::new(along(x, self.picture.width()), along(y, self.picture.height()))
    }

    pub(super) fn points(&self, places: &[[f64; 2]]) -> Vec<Point> {
        places.iter().map(|&place| self.point(place)).collect()
    }

    /// Pixels of an arrow.
    pub(super) const fn arrow_length(&self) -> i32 {
        9 * self.stroke as i32
    }

    /// The middle of a line, and the direction to its right: forward.
    pub(super) fn middle(&self, from: [f64; 2], to: [f64; 2]) -> (Point, Point) {
        let (from, to) = (self.point(from), self.point(to));
        let (dx, dy) = (f64::from(to.x - from.x), f64::from(to.y - from.y));
        let length = dx.hypot(dy).max(1.0);
        let along = |part: f64| (part / length * UNIT).round() as i32;
        ((from + to) / 2, Point::new(along(-dy), along(dx)))
    }

    pub(super) fn rectangle(&mut self, [left, top, width, height]: [f64; 4], colour: Rgb888) {
        let (first, last) = (self.point([left, top]), self.point([left + width, top + height]));
        let size = Size::new((last.x - first.x).unsigned_abs(), (last.y - first.y).unsigned_abs());
        let area = Rectangle::new(first, size);
        self.both(colour, |style| area.into_styled(style));
    }

    /// From place to place.
    pub(super) fn path(&mut self, places: &[[f64; 2]], colour: Rgb888) {
        let points = self.points(places);
        self.lines(&points, colour);
    }

    /// The same, and back to the first.
    pub(super) fn outline(&mut self, corners: &[[f64; 2]], colour: Rgb888) {
        let mut points = self.points(corners);
        points.extend(points.first().copied());
        self.lines(&points, colour);
    }

    fn lines(&mut self, points: &[Point], colour: Rgb888) {
        let (stroke, halo) = (self.stroke, self.halo);
        for (colour, width) in [(HALO, stroke + 2 * halo), (colour, stroke)] {
            for pair in points.windows(2) {
                let style = PrimitiveStyle::with_stroke(colour, width);
                never(Line::new(pair[0], pair[1]).into_styled(style).draw(self));
            }
        }
    }

    /// From a point on in a direction.
    pub(super) fn arrow(&mut self, from: Point, direction: Point, colour: Rgb888) {
        let length = self.arrow_length();
        let on = |by: i32| from + scaled(direction, by);
        let aside = Point::new(-direction.y, direction.x);
        let (neck, tip) = (on(length * 2 / 3), on(length));
        let [left, right] = [1, -1].map(|side| neck + scaled(aside, side * length / 3));
        self.lines(&[from, neck], colour);
        let head = Triangle::new(left, right, tip);
        let halo = PrimitiveStyle::with_stroke(HALO, 2 * self.halo);
        never(head.into_styled(halo).draw(self));
        never(head.into_styled(PrimitiveStyle::with_fill(colour)).draw(self));
    }

    /// Mixes a colour into the inside of a polygon.
    pub(super) fn tint(&mut self, corners: &[[f64; 2]], colour: Rgb888, of_256: u16) {
        let size = (self.picture.width(), self.picture.height());
        for range in hidden(&[corners], size) {
            self.mix(range, colour, of_256);
        }
    }

    /// The same of a cell, whose neighbours have the pixels that it has only a part of.
    pub(super) fn tint_cell(&mut self, [left, top, width, height]: [f64; 4], colour: Rgb888, of_256: u16) {
        let size = (self.picture.width(), self.picture.height());
        let (first, last) = (self.point([left, top]), self.point([left + width, top + height]));
        let within = |value: i32, side: u32| value.clamp(0, side as i32) as usize;
        let (left, right) = (within(first.x, size.0), within(last.x, size.0));
        for row in within(first.y, size.1)..within(last.y, size.1) {
            let begin = row * size.0 as usize;
            self.mix((begin + left) * SAMPLES..(begin + right) * SAMPLES, colour, of_256);
        }
    }

    fn mix(&mut self, samples: std::ops::Range<usize>, colour: Rgb888, of_256: u16) {
        let colour = [colour.r(), colour.g(), colour.b()];
        for pixel in self.picture.rgb_mut()[samples].chunks_exact_mut(SAMPLES) {
            for (sample, new) in pixel.iter_mut().zip(colour) {
                *sample = ((u16::from(*sample) * (256 - of_256) + u16::from(new) * of_256) >> 8) as u8;
            }
        }
    }

    /// A shape in its halo.
    fn both<S: Drawable<Color = Rgb888>>(
        &mut self,
        colour: Rgb888,
        shape: impl Fn(PrimitiveStyle<Rgb888>) -> S,
    ) {
        let (stroke, halo) = (self.stroke, self.halo);
        for (colour, width) in [(HALO, stroke + 2 * halo), (colour, stroke)] {
            never(shape(PrimitiveStyle::with_stroke(colour, width)).draw(self).map(drop));
        }
    }
}

/// A direction times a number of pixels.
#[expect(clippy::cast_possible_truncation, reason = "within pictures")]
pub(super) fn scaled(direction: Point, by: i32) -> Point {
    let along = |part: i32| (f64::from(part) * f64::from(by) / UNIT).round() as i32;
    Point::new(along(direction.x), along(direction.y))
}

/// Drawing into memory does not fail.
pub(super) fn never<T>(result: Result<T, Infallible>) {
    if let Err(error) = result.map(drop) {
        match error {}
    }
}

impl OriginDimensions for AnnotationCanvas<'_> {
    fn size(&self) -> Size {
        Size::new(self.picture.width(), self.picture.height())
    }
}

impl DrawTarget for AnnotationCanvas<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, colour) in pixels {
            never(self.fill_solid(&Rectangle::new(point, Size::new(1, 1)), colour));
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, colour: Rgb888) -> Result<(), Infallible> {
        let area = area.intersection(&self.bounding_box());
        let colour = [colour.r(), colour.g(), colour.b()];
        let width = self.picture.width() as usize;
        for row in area.rows() {
            #[expect(clippy::cast_sign_loss, reason = "within the picture")]
            let begin = (row as usize * width + area.top_left.x as usize) * SAMPLES;
            let samples = &mut self.picture.rgb_mut()[begin..begin + area.size.width as usize * SAMPLES];
            samples.chunks_exact_mut(SAMPLES).for_each(|pixel| pixel.copy_from_slice(&colour));
        }
        Ok(())
    }
}

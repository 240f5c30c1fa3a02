//! Letters with an outline, as large as the picture needs, and where words find room.

use std::convert::Infallible;

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{Dimensions, OriginDimensions, Point, Size};
use embedded_graphics::mono_font::iso_8859_1::{FONT_6X12, FONT_7X13_BOLD, FONT_9X15_BOLD, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::{BinaryColor, Rgb888};
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Baseline, Text};
use embedded_graphics::{Drawable, Pixel};

use super::canvas::{AnnotationCanvas, HALO, never, scaled};

/// Letters have this height where a picture is shown 360 pixels wide.
const SHOWN_HEIGHT: f64 = 12.0;
const SHOWN_WIDTH: f64 = 360.0;

/// A font, each of whose pixels becomes a square of `scale`. The fonts know Latin-1; other letters become question marks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lettering {
    font: &'static MonoFont<'static>,
    scale: u32,
}

impl Lettering {
    /// For a picture of this width.
    pub(super) fn of(width: u32) -> Self {
        const FONTS: [&MonoFont<'static>; 4] = [&FONT_6X12, &FONT_7X13_BOLD, &FONT_9X15_BOLD, &FONT_10X20];
        let wanted = f64::from(width) * SHOWN_HEIGHT / SHOWN_WIDTH;
        let all = (1..=16).flat_map(|scale| FONTS.map(|font| Self { font, scale }));
        let off = |one: &Self| (f64::from(one.height()) - wanted).abs();
        all.min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or(Self { font: &FONT_6X12, scale: 1 })
    }

    pub(super) const fn height(self) -> u32 {
        self.font.character_size.height * self.scale
    }

    fn size(self, text: &str) -> Size {
        let letters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let step = self.font.character_size.width + self.font.character_spacing;
        Size::new(letters.saturating_mul(step * self.scale), self.height())
    }
}

/// PlacedWords with their places, none upon another where there is room.
pub(super) struct PlacedWords {
    lettering: Lettering,
    picture: Rectangle,
    placed: Vec<(Rectangle, String, Rgb888)>,
    captions: i32,
}

impl PlacedWords {
    pub(super) fn new(lettering: Lettering, (width, height): (u32, u32)) -> Self {
        let picture = Rectangle::new(Point::zero(), Size::new(width, height));
        Self { lettering, picture, placed: Vec::new(), captions: 0 }
    }

    /// Above a box, else below it, else in its middle.
    pub(super) fn beside(
        &mut self,
        text: &str,
        colour: Rgb888,
        (above, below, middle): (Point, Point, Point),
    ) {
        let (height, gap) = (self.height(), self.gap());
        let places = [
            above - Point::new(0, height + gap),
            below + Point::new(0, gap),
            self.centred(text, middle),
            above + Point::new(gap, gap),
        ];
        self.place(text, colour, &places);
    }

    /// Behind the tip of an arrow from a point in a direction.
    pub(super) fn ahead(&mut self, text: &str, colour: Rgb888, from: Point, direction: Point, length: i32) {
        let size = self.lettering.size(text);
        // As far as half of it reaches in this direction.
        let reach = |side: u32, part: i32| (i64::from(side) * i64::from(part.abs()) / 2048) as i32;
        let half = reach(size.width, direction.x) + reach(size.height, direction.y);
        let place = |more: i32| from + scaled(direction, length + half + self.gap() * more);
        let places = [1, 3, 6].map(|more| self.centred(text, place(more)));
        self.place(text, colour, &places);
    }

    /// At one end of a line.
    pub(super) fn along(&mut self, text: &str, colour: Rgb888, from: Point, to: Point, normal: Point) {
        let away = self.height() / 2 + 2 * self.gap();
        let size = self.lettering.size(text);
        let half = i32::try_from(size.width / 2).unwrap_or(0);
        let [at_from, at_to] = [(from, to), (to, from)].map(|(end, other)| {
            let inward = Point::new((other.x - end.x).signum() * half, 0);
            end + inward
        });
        let places =
            [(at_from, -away), (at_to, -away), (at_from, away), (at_to, away), ((from + to) / 2, -2 * away)]
                .map(|(place, by)| self.centred(text, place + scaled(normal, by)));
        self.place(text, colour, &places);
    }

    /// In the middle of a polygon, else at one of its corners.
    pub(super) fn within(&mut self, text: &str, colour: Rgb888, corners: &[Point]) {
        let count = i32::try_from(corners.len().max(1)).unwrap_or(i32::MAX);
        let sum = corners.iter().fold(Point::zero(), |sum, &corner| sum + corner);
        let middle = self.centred(text, sum / count);
        let gap = Point::new(self.gap(), self.gap());
        let places: Vec<Point> =
            std::iter::once(middle).chain(corners.iter().map(|&corner| corner + gap)).collect();
        self.place(text, colour, &places);
    }

    /// The next line in the corner.
    pub(super) fn caption(&mut self, text: &str, colour: Rgb888) {
        let place = Point::new(self.gap(), self.gap() + self.captions * self.height());
        self.captions += 1;
        self.place(text, colour, &[place]);
    }

    /// Where words stand.
    #[cfg(test)]
    pub(super) fn areas(&self) -> Vec<Rectangle> {
        self.placed.iter().map(|(area, ..)| *area).collect()
    }

    pub(super) fn draw(self, canvas: &mut AnnotationCanvas<'_>) {
        let Self { lettering, placed, .. } = self;
        let around = i32::try_from(lettering.scale).unwrap_or(1);
        for (area, text, _) in &placed {
            for (x, y) in [(-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1)] {
                let at = area.top_left + Point::new(x * around, y * around);
                write(canvas, lettering, text, at, HALO);
            }
        }
        for (area, text, colour) in &placed {
            write(canvas, lettering, text, area.top_left, *colour);
        }
    }

    fn height(&self) -> i32 {
        i32::try_from(self.lettering.height()).unwrap_or(i32::MAX)
    }

    fn gap(&self) -> i32 {
        (self.height() / 6).max(2)
    }

    fn centred(&self, text: &str, at: Point) -> Point {
        let size = self.lettering.size(text);
        let half = |side: u32| i32::try_from(side / 2).unwrap_or(0);
        at - Point::new(half(size.width), half(size.height))
    }

    /// At the first of these places that is free and within the picture, else moved into it; where none is free, at the first.
    fn place(&mut self, text: &str, colour: Rgb888, places: &[Point]) {
        let size = self.lettering.size(text);
        let as_asked: Vec<Rectangle> = places.iter().map(|&at| Rectangle::new(at, size)).collect();
        let moved: Vec<Rectangle> = as_asked.iter().map(|&area| self.inside(area)).collect();
        let is_free = |area: &&Rectangle| {
            self.placed.iter().all(|(other, ..)| area.intersection(other).is_zero_sized())
        };
        let within =
            as_asked.iter().zip(&moved).filter(|(asked, moved)| asked == moved).map(|(asked, _)| asked);
        if let Some(&area) = within.chain(&moved).find(is_free).or(moved.first()) {
            self.placed.push((area, text.to_owned(), colour));
        }
    }

    /// Moved into the picture, as far as it fits.
    fn inside(&self, area: Rectangle) -> Rectangle {
        let most = self.picture.size.saturating_sub(area.size);
        let within = |at: i32, most: u32| at.clamp(0, i32::try_from(most).unwrap_or(i32::MAX));
        let at = Point::new(within(area.top_left.x, most.width), within(area.top_left.y, most.height));
        Rectangle::new(at, area.size)
    }
}

fn write(canvas: &mut AnnotationCanvas<'_>, lettering: Lettering, text: &str, at: Point, colour: Rgb888) {
    let style = MonoTextStyle::new(lettering.font, BinaryColor::On);
    let mut letters = EnlargedLetters { canvas, at, scale: lettering.scale, colour };
    never(Text::with_baseline(text, Point::zero(), style, Baseline::Top).draw(&mut letters));
}

/// Letters of two colours, of which one is drawn, each pixel as a square.
struct EnlargedLetters<'a, 'b> {
    canvas: &'a mut AnnotationCanvas<'b>,
    at: Point,
    scale: u32,
    colour: Rgb888,
}

impl OriginDimensions for EnlargedLetters<'_, '_> {
    fn size(&self) -> Size {
        self.canvas.bounding_box().size
    }
}

impl DrawTarget for EnlargedLetters<'_, '_> {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        let scale = i32::try_from(self.scale).unwrap_or(1);
        for Pixel(point, _) in pixels.into_iter().filter(|Pixel(_, colour)| colour.is_on()) {
            let square = Rectangle::new(self.at + point * scale, Size::new(self.scale, self.scale));
            never(self.canvas.fill_solid(&square, self.colour));
        }
        Ok(())
    }
}

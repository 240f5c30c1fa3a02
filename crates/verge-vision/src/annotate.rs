//! Views drawn into a picture: boxes with their labels, or the labels of the whole.

use std::convert::Infallible;

use embedded_graphics::Drawable;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyleBuilder;
use embedded_graphics::mono_font::ascii::{FONT_6X13_BOLD, FONT_10X20};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::{Primitive, PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Baseline, Text};
use jpeg_encoder::{ColorType, EncodingError};
use verge_domain::frame::{Detection, Scored, View};

use crate::picture::{Picture, SAMPLES};

/// Quality of annotated pictures: good to look at, and small.
const JPEG_QUALITY: u8 = 90;
/// Colours that stand apart from each other and from asphalt (Okabe and Ito's palette), by label.
const COLOURS: [Rgb888; 7] = [
    Rgb888::new(230, 159, 0),
    Rgb888::new(86, 180, 233),
    Rgb888::new(0, 158, 115),
    Rgb888::new(240, 228, 66),
    Rgb888::new(0, 114, 178),
    Rgb888::new(213, 94, 0),
    Rgb888::new(204, 121, 167),
];
/// Pictures wider than this get the larger letters.
const LARGE_FROM: u32 = 1000;

/// Draws what was found.
pub fn draw(picture: &mut Picture, view: &View) {
    match view {
        View::Detections(view) => view.objects.iter().for_each(|object| draw_object(picture, object)),
        View::Classification(view) => {
            for (line, scored) in (0..).zip(&view.labels) {
                let height = if picture.width() >= LARGE_FROM { 20 } else { 13 };
                write(
                    picture,
                    Point::new(2, 2 + line * height),
                    &caption(scored),
                    colour_of(scored.label.as_str()),
                );
            }
        }
        View::Reconstruction(error) => {
            write(picture, Point::new(2, 2), &format!("error {error:.3e}"), colour_of("error"));
        }
    }
}

/// The picture as a JPEG.
///
/// # Errors
/// It is larger than the format can say: 65,535 pixels a side.
pub fn encode(picture: &Picture) -> Result<Vec<u8>, EncodingError> {
    let mut bytes = Vec::new();
    // Beyond 65,535 the encoder is asked for no pixels at all, and refuses.
    let side = |side: u32| u16::try_from(side).unwrap_or(0);
    jpeg_encoder::Encoder::new(&mut bytes, JPEG_QUALITY).encode(
        picture.rgb(),
        side(picture.width()),
        side(picture.height()),
        ColorType::Rgb,
    )?;
    Ok(bytes)
}

fn caption(scored: &Scored) -> String {
    format!("{} {:.2}", scored.label, scored.score.as_f64())
}

fn draw_object(picture: &mut Picture, object: &Detection) {
    let colour = colour_of(object.label.as_str());
    let side = |side: u32| i32::try_from(side).unwrap_or(i32::MAX);
    let corner = Point::new(side(object.area.x), side(object.area.y));
    let size = Size::new(object.area.width, object.area.height);
    let stroke = if picture.width() >= LARGE_FROM { 3 } else { 2 };
    let style = PrimitiveStyle::with_stroke(colour, stroke);
    never(Rectangle::new(corner, size).into_styled(style).draw(&mut PictureCanvas(picture)));
    let height = if picture.width() >= LARGE_FROM { 20 } else { 13 };
    // Above the box, or within where there is no room above.
    let top = if corner.y >= height { corner.y - height } else { corner.y };
    let label = Scored { label: object.label.clone(), score: object.score };
    write(picture, Point::new(corner.x, top), &caption(&label), colour);
}

/// Dark letters on the label's colour. The fonts know ASCII alone; other letters become question marks.
fn write(picture: &mut Picture, at: Point, text: &str, colour: Rgb888) {
    let font = if picture.width() >= LARGE_FROM { &FONT_10X20 } else { &FONT_6X13_BOLD };
    let style =
        MonoTextStyleBuilder::new().font(font).text_color(Rgb888::BLACK).background_color(colour).build();
    never(Text::with_baseline(text, at, style, Baseline::Top).draw(&mut PictureCanvas(picture)));
}

/// Drawing into memory does not fail.
fn never<T>(result: Result<T, Infallible>) {
    if let Err(error) = result.map(drop) {
        match error {}
    }
}

/// The same label has the same colour in every picture.
fn colour_of(label: &str) -> Rgb888 {
    let sum: usize = label.bytes().map(usize::from).sum();
    COLOURS[sum % COLOURS.len()]
}

struct PictureCanvas<'a>(&'a mut Picture);

impl OriginDimensions for PictureCanvas<'_> {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for PictureCanvas<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        let (width, height) = (self.0.width(), self.0.height());
        for Pixel(point, colour) in pixels {
            if let (Ok(x), Ok(y)) = (u32::try_from(point.x), u32::try_from(point.y))
                && x < width
                && y < height
            {
                let at = (y as usize * width as usize + x as usize) * SAMPLES;
                self.0.rgb_mut()[at..at + SAMPLES].copy_from_slice(&[colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::frame::{Classification, Detections, PixelBox, Score};
    use verge_domain::id::Label;

    use super::*;

    #[test]
    fn a_box_is_drawn_where_the_object_is_and_nowhere_else() {
        let mut picture = Picture::from_rgb(64, 48, vec![0; 64 * 48 * SAMPLES]);
        let object = |x, y| Detection {
            label: Label::new("car").unwrap(),
            score: Score::new(0.9).unwrap(),
            area: PixelBox { x, y, width: 20, height: 10 },
            track: None,
        };
        let objects = vec![object(10, 30), object(50, 45)];
        draw(&mut picture, &View::Detections(Detections { width: 64, height: 48, objects }));
        let pixel = |x: usize, y: usize| &picture.rgb()[(y * 64 + x) * SAMPLES..][..SAMPLES];
        let colour = colour_of("car");
        assert_eq!(pixel(10, 30), [colour.r(), colour.g(), colour.b()]);
        assert_eq!(pixel(20, 35), [0, 0, 0], "inside the box");
        assert_eq!(pixel(2, 2), [0, 0, 0]);
        assert!(!encode(&picture).unwrap().is_empty());
    }

    #[test]
    fn labels_of_the_whole_stand_in_the_corner() {
        let mut picture = Picture::from_rgb(64, 48, vec![0; 64 * 48 * SAMPLES]);
        let labels = vec![Scored { label: Label::new("é").unwrap(), score: Score::new(0.5).unwrap() }];
        for view in [View::Classification(Classification { labels }), View::Reconstruction(0.025)] {
            picture.rgb_mut().fill(0);
            draw(&mut picture, &view);
            assert!(picture.rgb()[..64 * 16 * SAMPLES].iter().any(|sample| *sample > 0), "{view:?}");
            assert!(picture.rgb()[64 * 16 * SAMPLES..].iter().all(|sample| *sample == 0), "{view:?}");
        }
    }
}

//! Shapes of the site drawn into a picture, by tiny-skia.

use std::collections::BTreeMap;

use tiny_skia::{
    BlendMode, Color, FillRule, GradientStop, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap,
    PixmapPaint, Point, RadialGradient, Shader, SpreadMode, Stroke, Transform,
};

use super::geometry::{Pixel, Projection, Vec3};

/// Red, green and blue, each 0 to 1.
pub(super) type Colour = [f32; 3];

/// Between two colours.
pub(super) fn mix(one: Colour, other: Colour, share: f32) -> Colour {
    [0, 1, 2].map(|channel| one[channel] + (other[channel] - one[channel]) * share)
}

/// Brighter or darker.
pub(super) fn scaled(colour: Colour, factor: f32) -> Colour {
    colour.map(|channel| channel * factor)
}

/// Glows by the number of their size and their colour: gradients cost too much to be computed for each picture.
#[derive(Debug, Default)]
pub(super) struct Glows(BTreeMap<(u8, [u8; 3]), Pixmap>);

/// Each size of a glow is larger than the one before by this factor.
const GLOW_STEP: f32 = 1.12;
/// The largest: more than half the picture's height.
const LARGEST_GLOW: f32 = 50.0;

/// A picture and the camera it is taken by.
pub(super) struct SceneCanvas<'a> {
    pub(super) pixmap: &'a mut Pixmap,
    pub(super) camera: &'a Projection,
    pub(super) glows: &'a mut Glows,
}

impl SceneCanvas<'_> {
    /// A filled polygon of the site.
    pub(super) fn polygon(&mut self, points: &[Vec3], colour: Colour) {
        self.outline(&self.camera.project_polygon(points), colour, 1.0, BlendMode::SourceOver);
    }

    /// A filled polygon that lets some of what lies below show.
    pub(super) fn veil(&mut self, points: &[Vec3], colour: Colour, alpha: f32) {
        self.outline(&self.camera.project_polygon(points), colour, alpha, BlendMode::SourceOver);
    }

    /// A filled polygon of light that is added to what lies below.
    pub(super) fn light(&mut self, points: &[Vec3], colour: Colour, alpha: f32) {
        if let Some(path) = closed(&self.camera.project_polygon(points)) {
            // Faint and many, one above the other: their edges are not seen.
            self.fill(&path, &Paint { anti_alias: false, ..paint(colour, alpha, BlendMode::Plus) });
        }
    }

    /// A filled polygon of the picture.
    pub(super) fn outline(&mut self, points: &[Pixel], colour: Colour, alpha: f32, blend: BlendMode) {
        if let Some(path) = closed(points) {
            self.fill(&path, &paint(colour, alpha, blend));
        }
    }

    /// A line through points of the site, as thick as this many metres.
    pub(super) fn line(&mut self, points: &[Vec3], metres: f32, colour: Colour) {
        self.stroke(points, metres, colour, false);
    }

    /// The same, back to its start.
    pub(super) fn ring(&mut self, points: &[Vec3], metres: f32, colour: Colour) {
        self.stroke(points, metres, colour, true);
    }

    fn stroke(&mut self, points: &[Vec3], metres: f32, colour: Colour, close: bool) {
        let seen = points.iter().map(|point| self.camera.project(*point)).collect::<Option<Vec<_>>>();
        let Some((seen, first)) = seen.zip(points.first()) else { return };
        let mut builder = PathBuilder::new();
        for (index, [x, y]) in seen.into_iter().enumerate() {
            if index == 0 { builder.move_to(x, y) } else { builder.line_to(x, y) }
        }
        if close {
            builder.close();
        }
        let width = (self.camera.pixels_per_metre(*first) * metres).max(0.6);
        let stroke =
            Stroke { width, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };
        if let Some(path) = builder.finish() {
            let paint = paint(colour, 1.0, BlendMode::SourceOver);
            self.pixmap.stroke_path(&path, &paint, &stroke, Transform::identity(), None);
        }
    }

    /// A disc that faces the camera, with its radius in pixels.
    pub(super) fn disc(&mut self, [x, y]: Pixel, radius: f32, colour: Colour) {
        if let Some(path) = PathBuilder::from_circle(x, y, radius) {
            self.fill(&path, &paint(colour, 1.0, BlendMode::SourceOver));
        }
    }

    /// Light around a point that fades to nothing within this radius in pixels.
    pub(super) fn glow(&mut self, [x, y]: Pixel, radius: f32, colour: Colour, alpha: f32) {
        let step = radius.max(1.0).ln() / GLOW_STEP.ln();
        // Clamped to what a byte can hold, and to the largest size ever seen.
        let step = step.clamp(0.0, LARGEST_GLOW).round() as u8;
        let key = (step, colour.map(|channel| (channel * 255.0) as u8));
        let glow = self.glows.0.entry(key).or_insert_with(|| draw_glow(GLOW_STEP.powi(step.into()), colour));
        let half = glow.width() as f32 / 2.0;
        let paint = PixmapPaint {
            opacity: alpha.clamp(0.0, 1.0),
            blend_mode: BlendMode::Plus,
            ..PixmapPaint::default()
        };
        let (left, top) = ((x - half).round() as i32, (y - half).round() as i32);
        self.pixmap.draw_pixmap(left, top, glow.as_ref(), &paint, Transform::identity(), None);
    }

    fn fill(&mut self, path: &Path, paint: &Paint<'_>) {
        self.pixmap.fill_path(path, paint, FillRule::Winding, Transform::identity(), None);
    }
}

fn draw_glow(radius: f32, colour: Colour) -> Pixmap {
    let side = (radius * 2.0).ceil().max(1.0);
    let mut pixmap = Pixmap::new(side as u32, side as u32).expect("it has a side");
    let stops = [(0.0, 1.0), (0.15, 0.55), (0.4, 0.16), (1.0, 0.0)]
        .map(|(position, share)| GradientStop::new(position, opaque(colour, share)));
    let centre = Point::from_xy(side / 2.0, side / 2.0);
    let shader = RadialGradient::new(
        centre,
        0.0,
        centre,
        radius,
        stops.to_vec(),
        SpreadMode::Pad,
        Transform::identity(),
    );
    if let (Some(shader), Some(path)) = (shader, PathBuilder::from_circle(side / 2.0, side / 2.0, radius)) {
        let paint = Paint { shader, ..Paint::default() };
        pixmap.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
    }
    pixmap
}

/// Fills a polygon with one value, without soft edges: for masks.
pub(super) fn stamp(pixmap: &mut Pixmap, points: &[Pixel], value: u8) {
    if let Some(path) = closed(points) {
        let shader = Shader::SolidColor(Color::from_rgba8(value, 0, 0, u8::MAX));
        let paint = Paint { shader, anti_alias: false, ..Paint::default() };
        pixmap.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
    }
}

fn closed(points: &[Pixel]) -> Option<Path> {
    let ([x, y], rest) = points.split_first()?;
    let mut builder = PathBuilder::new();
    builder.move_to(*x, *y);
    rest.iter().for_each(|[x, y]| builder.line_to(*x, *y));
    builder.close();
    builder.finish()
}

fn paint(colour: Colour, alpha: f32, blend_mode: BlendMode) -> Paint<'static> {
    Paint { shader: Shader::SolidColor(opaque(colour, alpha)), blend_mode, ..Paint::default() }
}

fn opaque(colour: Colour, alpha: f32) -> Color {
    let [red, green, blue] = colour.map(|channel| channel.clamp(0.0, 1.0));
    Color::from_rgba(red, green, blue, alpha.clamp(0.0, 1.0)).unwrap_or(Color::BLACK)
}

//! Shapes drawn into a picture: objects with their labels, trails, lines with their counts, zones, masks, heat maps.
//!
//! Callers hand in a list of shapes; nothing here knows a judge. Widths and letters grow with the picture, so that they can
//! be read where it is shown 360 pixels wide.
//!
//! Reading order: [`AnnotatedShape`], [`draw`], `canvas` (pixels), `text` (letters, and where they find room), [`encode`].

mod canvas;
mod encode;
mod text;

use embedded_graphics::geometry::Point;
use embedded_graphics::pixelcolor::Rgb888;
use verge_domain::frame::{SceneSketch, View};

use crate::picture::Picture;
use canvas::AnnotationCanvas;
pub(crate) use encode::encode_at;
pub use encode::{Encoded, SizeError, encode, encode_within};
use text::{Lettering, PlacedWords};

/// Okabe and Ito's palette: apart from each other for all eyes, and from asphalt. The colours of labels:
const LABELS: [Rgb888; 5] = [
    Rgb888::new(230, 159, 0),
    Rgb888::new(0, 190, 140),
    Rgb888::new(235, 110, 20),
    Rgb888::new(224, 141, 187),
    Rgb888::new(40, 150, 225),
];
const LINES: Rgb888 = Rgb888::new(240, 228, 66);
const ZONES: Rgb888 = Rgb888::new(86, 180, 233);
const MASKS: Rgb888 = Rgb888::new(220, 220, 220);
const CAPTIONS: Rgb888 = Rgb888::new(255, 255, 255);
/// How much of a zone's colour its inside takes, of 256.
const TINT: u16 = 36;
/// The same of a heat map where it is hottest.
const HEAT: f32 = 190.0;

/// One shape. All places are shares of the picture's sides, from its upper left.
#[derive(Debug, Clone, PartialEq)]
pub enum AnnotatedShape {
    /// An object in its box: left, top, width, height.
    Object {
        /// Its box.
        area: [f64; 4],
        /// What it is.
        label: String,
        /// How sure that is.
        score: Option<f64>,
        /// The number under which it is followed.
        track: Option<u64>,
    },
    /// Where an object has been, oldest first.
    Trail {
        /// What it is.
        label: String,
        /// Its places.
        points: Vec<[f64; 2]>,
    },
    /// A directed line: its arrow shows where forward is.
    Line {
        /// Its name.
        name: String,
        /// Where it begins.
        from: [f64; 2],
        /// Where it ends.
        to: [f64; 2],
        /// What has crossed it forward and backward.
        counts: Option<[u64; 2]>,
    },
    /// A part of the picture in which something is measured.
    Zone {
        /// Its name, and what is measured.
        text: String,
        /// Its corners.
        corners: Vec<[f64; 2]>,
    },
    /// A part of the picture that is hidden.
    Mask {
        /// Its name.
        name: String,
        /// Its corners.
        corners: Vec<[f64; 2]>,
    },
    /// How strange each part of an area is.
    HeatMap {
        /// Cells from left to right.
        columns: usize,
        /// From 0 to 1, row by row.
        cells: Vec<f32>,
        /// Left, top, width and height of the area.
        area: [f64; 4],
    },
    /// A line of text about the whole, one below the other in the corner.
    Caption(String),
}

impl AnnotatedShape {
    /// Which are drawn first.
    const fn layer(&self) -> u8 {
        match self {
            Self::HeatMap { .. } => 0,
            Self::Mask { .. } => 1,
            Self::Zone { .. } => 2,
            Self::Trail { .. } => 3,
            Self::Object { .. } => 4,
            Self::Line { .. } => 5,
            Self::Caption(_) => 6,
        }
    }
}

/// What a view shows, as shapes.
#[must_use]
pub fn shapes_of(view: &View) -> Vec<AnnotatedShape> {
    match view {
        View::Detections(view) => {
            let (width, height) = (f64::from(view.width.max(1)), f64::from(view.height.max(1)));
            let shape = |object: &verge_domain::frame::Detection| {
                let [left, top] = [f64::from(object.area.x) / width, f64::from(object.area.y) / height];
                let sides = [f64::from(object.area.width) / width, f64::from(object.area.height) / height];
                AnnotatedShape::Object {
                    area: [left, top, sides[0], sides[1]],
                    label: object.label.to_string(),
                    score: Some(object.score.as_f64()),
                    track: object.track,
                }
            };
            view.objects.iter().map(shape).collect()
        }
        View::Classification(view) => {
            let caption = |one: &verge_domain::frame::Scored| {
                AnnotatedShape::Caption(format!("{} {:.2}", one.label, one.score.as_f64()))
            };
            view.labels.iter().map(caption).collect()
        }
        View::Reconstruction(error) => vec![AnnotatedShape::Caption(format!("error {error:.3e}"))],
        View::Appearance(seen) => {
            let (width, height) =
                (f64::from(seen.regions.width.max(1)), f64::from(seen.regions.height.max(1)));
            let region = |one: &verge_domain::frame::RegionBox| AnnotatedShape::Object {
                area: [
                    f64::from(one.area.x) / width,
                    f64::from(one.area.y) / height,
                    f64::from(one.area.width) / width,
                    f64::from(one.area.height) / height,
                ],
                label: "unusual".to_owned(),
                score: Some(one.peak),
                track: None,
            };
            let caption = AnnotatedShape::Caption(format!("score {:.3}", seen.score));
            seen.regions.boxes.iter().map(region).chain([caption]).collect()
        }
        View::Still => Vec::new(),
    }
}

/// What a judge knows of a scene, as shapes.
#[must_use]
pub fn shapes_of_scene(sketch: &SceneSketch) -> Vec<AnnotatedShape> {
    let zones = sketch
        .zones
        .iter()
        .map(|zone| AnnotatedShape::Zone { text: zone.name.to_string(), corners: zone.corners.clone() });
    let lines = sketch.lines.iter().map(|line| AnnotatedShape::Line {
        name: line.name.to_string(),
        from: line.from,
        to: line.to,
        counts: Some(line.counts),
    });
    let tracks = sketch.tracks.iter().flat_map(|track| {
        let label = track.label.to_string();
        let trail = AnnotatedShape::Trail { label: label.clone(), points: track.trail.clone() };
        let (area, track) = (track.area, Some(track.number));
        [trail, AnnotatedShape::Object { area, label, score: None, track }]
    });
    zones.chain(lines).chain(tracks).collect()
}

/// Draws shapes into a picture, whatever their order in the list, and their words on top of all.
pub fn draw(picture: &mut Picture, shapes: &[AnnotatedShape]) {
    let mut words = PlacedWords::new(Lettering::of(picture.width()), (picture.width(), picture.height()));
    let mut canvas = AnnotationCanvas::new(picture);
    let mut ordered: Vec<&AnnotatedShape> = shapes.iter().collect();
    ordered.sort_by_key(|shape| shape.layer());
    for shape in &ordered {
        draw_one(&mut canvas, shape);
    }
    // What says most finds room first.
    for shape in ordered.iter().rev() {
        name_one(&canvas, shape, &mut words);
    }
    words.draw(&mut canvas);
}

fn draw_one(canvas: &mut AnnotationCanvas<'_>, shape: &AnnotatedShape) {
    match shape {
        AnnotatedShape::Object { area, label, .. } => canvas.rectangle(*area, colour_of(label)),
        AnnotatedShape::Trail { label, points } => canvas.path(points, colour_of(label)),
        AnnotatedShape::Line { from, to, .. } => {
            canvas.path(&[*from, *to], LINES);
            let (middle, normal) = canvas.middle(*from, *to);
            canvas.arrow(middle, normal, LINES);
        }
        AnnotatedShape::Zone { corners, .. } => {
            canvas.tint(corners, ZONES, TINT);
            canvas.outline(corners, ZONES);
        }
        AnnotatedShape::Mask { corners, .. } => canvas.outline(corners, MASKS),
        AnnotatedShape::HeatMap { columns, cells, area } => {
            let rows = cells.len() / (*columns).max(1);
            for (number, share) in cells.iter().enumerate().filter(|(_, share)| share.is_finite()) {
                let share = share.clamp(0.0, 1.0);
                let area = cell(*area, (number % columns, number / columns), (*columns, rows));
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 256")]
                canvas.tint_cell(area, heat(share), (share * HEAT) as u16);
            }
        }
        AnnotatedShape::Caption(_) => {}
    }
}

/// One cell of an area.
fn cell(
    [left, top, width, height]: [f64; 4],
    (column, row): (usize, usize),
    (columns, rows): (usize, usize),
) -> [f64; 4] {
    #[expect(clippy::cast_precision_loss, reason = "cells of a map")]
    let ([column, row], [columns, rows]) = ([column as f64, row as f64], [columns as f64, rows as f64]);
    [left + width * column / columns, top + height * row / rows, width / columns, height / rows]
}

/// From black over red and yellow to white, lighter all the way for every eye.
fn heat(share: f32) -> Rgb888 {
    const STOPS: [[f32; 3]; 5] = [
        [0.0, 0.0, 4.0],
        [87.0, 16.0, 110.0],
        [188.0, 55.0, 84.0],
        [249.0, 142.0, 9.0],
        [252.0, 255.0, 164.0],
    ];
    let place = share * 4.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 3, and colours")]
    let (stop, channel) = ((place as usize).min(3), |value: f32| value as u8);
    let part = place - stop as f32;
    let [red, green, blue] =
        std::array::from_fn(|at| channel(STOPS[stop][at] + (STOPS[stop + 1][at] - STOPS[stop][at]) * part));
    Rgb888::new(red, green, blue)
}

fn name_one(canvas: &AnnotationCanvas<'_>, shape: &AnnotatedShape, words: &mut PlacedWords) {
    match shape {
        AnnotatedShape::Object { area: [left, top, width, height], label, score, track } => {
            let text = match (track, score) {
                (Some(track), _) => format!("{label} {track}"),
                (None, Some(score)) => format!("{label} {score:.2}"),
                (None, None) => label.clone(),
            };
            let (above, below) = (canvas.point([*left, *top]), canvas.point([*left, top + height]));
            let middle = canvas.point([left + width / 2.0, top + height / 2.0]);
            words.beside(&text, colour_of(label), (above, below, middle));
        }
        AnnotatedShape::Line { name, from, to, counts } => {
            let (middle, normal) = canvas.middle(*from, *to);
            if let Some([forward, backward]) = counts {
                words.ahead(&forward.to_string(), LINES, middle, normal, canvas.arrow_length());
                let back = Point::new(-normal.x, -normal.y);
                words.ahead(&backward.to_string(), LINES, middle, back, 0);
            }
            words.along(name, LINES, canvas.point(*from), canvas.point(*to), normal);
        }
        AnnotatedShape::Zone { text, corners } => words.within(text, ZONES, &canvas.points(corners)),
        AnnotatedShape::Mask { name, corners } => words.within(name, MASKS, &canvas.points(corners)),
        AnnotatedShape::Caption(text) => words.caption(text, CAPTIONS),
        AnnotatedShape::Trail { .. } | AnnotatedShape::HeatMap { .. } => {}
    }
}

/// The same label has the same colour in every picture.
fn colour_of(label: &str) -> Rgb888 {
    let sum: usize = label.bytes().map(usize::from).sum();
    LABELS[sum % LABELS.len()]
}

#[cfg(test)]
mod tests;

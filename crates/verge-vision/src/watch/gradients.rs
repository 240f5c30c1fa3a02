//! The gradients of a grey picture: which way it gets brighter, and how steeply.

use std::num::Wrapping;

use verge_domain::frame::{EDGE_PARTS, EdgeParts};

use super::GreyPicture;
use super::hidden::HiddenCells;

/// Steps of a grey level across two pixels that gradients are counted in: Sobel's, undivided.
const STEPS: f32 = 4.0;
/// A step of at least this many grey levels across two pixels is an edge. So is only what stands out of the noise.
const EDGE: f32 = 8.0;
const EDGE_IN_NOISE: f32 = 3.5;
/// Far less than makes an edge still shows one that is known, so that a dim or hazy picture does. With less of the noise, what
/// covers a camera by night would show some by accident.
const SHOWN: f32 = 4.0;
const SHOWN_IN_NOISE: f32 = 3.0;
/// Noise of a gradient as a multiple of that of a pixel: the root of the sum of the squares of Sobel's weights.
const NOISE: f32 = 3.464_101_6;

/// The gradient of each pixel; none along the border.
#[derive(Debug, Default)]
pub(super) struct Gradients {
    width: usize,
    height: usize,
    x: Vec<i16>,
    y: Vec<i16>,
    /// Squares of the least gradients that are an edge, and that show one.
    edge: i32,
    shown: i32,
    /// Pixels that are not hidden.
    visible: usize,
}

impl Gradients {
    pub(super) const fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    pub(super) fn x(&self) -> &[i16] {
        &self.x
    }

    pub(super) fn y(&self) -> &[i16] {
        &self.y
    }

    /// The square of the least gradient that shows an edge which is known.
    pub(super) const fn shown(&self) -> i32 {
        self.shown
    }

    /// Pixels that are not hidden.
    pub(super) const fn visible(&self) -> usize {
        self.visible
    }

    /// Takes a picture in place of what was there, with this much noise in a pixel, in grey levels. Where it is hidden it has
    /// no gradient.
    pub(super) fn fill(&mut self, grey: &GreyPicture, noise: f32, hidden: &HiddenCells) {
        let (width, height, pixels) = (grey.width(), grey.height(), grey.pixels());
        if self.size() != (width, height) {
            (self.width, self.height) = (width, height);
            for side in [&mut self.x, &mut self.y] {
                side.clear();
                side.resize(width * height, 0);
            }
        }
        let square = |least: f32, in_noise: f32| (least * STEPS).max(in_noise * NOISE * noise).powi(2) as i32;
        (self.edge, self.shown) = (square(EDGE, EDGE_IN_NOISE), square(SHOWN, SHOWN_IN_NOISE));
        self.visible = width * height - hidden.cells().len();
        if width < 3 || height < 3 {
            return;
        }
        for y in 1..height - 1 {
            let row = |y: usize| &pixels[y * width..][..width];
            let (above, here, below) = (row(y - 1), row(y), row(y + 1));
            let (out_x, out_y) = (&mut self.x[y * width..][..width], &mut self.y[y * width..][..width]);
            // At most 4 * 255: nothing wraps, and without a check for it many pixels are done at once.
            let level = |pixel: u8| Wrapping(i16::from(pixel));
            let twice = Wrapping(2);
            for x in 1..width - 1 {
                let across = |row: &[u8]| level(row[x + 1]) - level(row[x - 1]);
                let along = |row: &[u8]| level(row[x - 1]) + twice * level(row[x]) + level(row[x + 1]);
                out_x[x] = (across(above) + twice * across(here) + across(below)).0;
                out_y[x] = (along(below) - along(above)).0;
            }
        }
        for at in hidden.around().iter().map(|at| *at as usize) {
            (self.x[at], self.y[at]) = (0, 0);
        }
    }

    /// Share of pixels that are edges.
    pub(super) fn edges(&self) -> f32 {
        let is_edge = |(x, y): (&i16, &i16)| square(*x, *y) >= self.edge;
        let edges = self.x.iter().zip(&self.y).filter(|both| is_edge(*both)).count();
        if self.visible == 0 { 0.0 } else { edges as f32 / self.visible as f32 }
    }

    /// The share of edges in each part.
    pub(super) fn parts(&self) -> EdgeParts {
        let (across, down) = EDGE_PARTS;
        let mut parts = [0_u32; EDGE_PARTS.0 * EDGE_PARTS.1];
        let width = self.width.max(1);
        for (y, (xs, ys)) in self.x.chunks_exact(width).zip(self.y.chunks_exact(width)).enumerate() {
            let row = &mut parts[y * down / self.height.max(1) * across..][..across];
            for (part, count) in row.iter_mut().enumerate() {
                let (left, right) = (part * width / across, (part + 1) * width / across);
                let edges = xs[left..right].iter().zip(&ys[left..right]);
                *count += edges.filter(|(x, y)| square(**x, **y) >= self.edge).count() as u32;
            }
        }
        let pixels = (width * self.height / parts.len()).max(1) as u32;
        EdgeParts(parts.map(|count| (count * 255 / pixels).min(255) as u8))
    }

    /// The direction of each edge, of length one; zero for what is no edge.
    pub(super) fn directions(&self) -> impl Iterator<Item = (f32, f32)> + '_ {
        let least = self.edge as f32;
        self.x.iter().zip(&self.y).map(move |(&x, &y)| {
            let (x, y) = (f32::from(x), f32::from(y));
            let square = x * x + y * y;
            let scale = if square >= least { 1.0 / square.sqrt() } else { 0.0 };
            (x * scale, y * scale)
        })
    }
}

/// The square of a gradient's length.
pub(super) fn square(x: i16, y: i16) -> i32 {
    let (x, y) = (i32::from(x), i32::from(y));
    x.wrapping_mul(x).wrapping_add(y.wrapping_mul(y))
}

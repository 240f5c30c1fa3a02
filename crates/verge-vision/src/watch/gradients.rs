//! The gradients of a grey picture: which way it gets brighter, and how steeply.

use super::GreyPicture;

/// A step of at least this many grey levels across two pixels is an edge.
const EDGE: i32 = 8;

/// The gradient of each pixel, in grey levels across two pixels; none along the border.
#[derive(Debug, Default)]
pub(super) struct Gradients {
    width: usize,
    height: usize,
    x: Vec<i16>,
    y: Vec<i16>,
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

    /// Takes a picture in place of what was there.
    pub(super) fn fill(&mut self, grey: &GreyPicture) {
        let (width, height, pixels) = (grey.width(), grey.height(), grey.pixels());
        if self.size() != (width, height) {
            (self.width, self.height) = (width, height);
            for side in [&mut self.x, &mut self.y] {
                side.clear();
                side.resize(width * height, 0);
            }
        }
        if width < 3 || height < 3 {
            return;
        }
        for y in 1..height - 1 {
            let row = |y: usize| &pixels[y * width..][..width];
            let (above, here, below) = (row(y - 1), row(y), row(y + 1));
            let (out_x, out_y) = (&mut self.x[y * width..][..width], &mut self.y[y * width..][..width]);
            for x in 1..width - 1 {
                out_x[x] = i16::from(here[x + 1]) - i16::from(here[x - 1]);
                out_y[x] = i16::from(below[x]) - i16::from(above[x]);
            }
        }
    }

    /// Share of pixels that are edges.
    pub(super) fn edges(&self) -> f32 {
        let edges: u32 = self.x.iter().zip(&self.y).map(|(x, y)| u32::from(is_edge(*x, *y))).sum();
        if self.x.is_empty() { 0.0 } else { edges as f32 / self.x.len() as f32 }
    }

    /// The direction of each edge, of length one; zero for what is no edge.
    pub(super) fn directions(&self) -> impl Iterator<Item = (f32, f32)> + '_ {
        self.x.iter().zip(&self.y).map(|(&x, &y)| {
            let (x, y) = (f32::from(x), f32::from(y));
            let square = x * x + y * y;
            let scale = if square >= (EDGE * EDGE) as f32 { 1.0 / square.sqrt() } else { 0.0 };
            (x * scale, y * scale)
        })
    }
}

fn is_edge(x: i16, y: i16) -> bool {
    let (x, y) = (i32::from(x), i32::from(y));
    x * x + y * y >= EDGE * EDGE
}

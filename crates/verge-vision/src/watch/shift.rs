//! How far a picture is shifted: the correlation of its edges with the usual ones, for all shifts at once by FFT.

use std::fmt;
use std::sync::Arc;

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};
use verge_domain::frame::PictureShift;

use super::edges::EdgeMap;
use super::gradients::Gradients;

/// Less than this share of the width is no shift: masts sway.
const LEAST_SHIFT: f32 = 0.02;
/// The shifted picture must correlate this much, and by this factor better than it does unshifted.
const LEAST_CORRELATION: f32 = 0.25;
const LEAST_GAIN: f32 = 1.2;

type Plane = Vec<Complex<f32>>;

/// What finds shifts. Its buffers grow when it is first used.
#[derive(Default)]
pub(super) struct ShiftSearch {
    plans: Option<Plans>,
    now: Plane,
    usual: Plane,
    turned: Plane,
    scratch: Plane,
}

struct Plans {
    size: (usize, usize),
    /// Forward and back, along rows and along columns.
    rows: [Arc<dyn Fft<f32>>; 2],
    columns: [Arc<dyn Fft<f32>>; 2],
}

impl fmt::Debug for ShiftSearch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.plans.as_ref().map(|plans| plans.size);
        formatter.debug_struct("ShiftSearch").field("size", &size).finish_non_exhaustive()
    }
}

impl Plans {
    fn of((width, height): (usize, usize)) -> Self {
        let mut planner = FftPlanner::new();
        let mut both = |length| [planner.plan_fft_forward(length), planner.plan_fft_inverse(length)];
        Self { size: (width, height), rows: both(width), columns: both(height) }
    }
}

impl ShiftSearch {
    /// How the picture is shifted against the usual edges; `None` where it is not, or it is not known.
    pub(super) fn find(&mut self, gradients: &Gradients, map: &EdgeMap) -> Option<PictureShift> {
        let (width, height) = gradients.size();
        let (xs, ys) = map.directions();
        if width == 0 || height == 0 || xs.len() != width * height {
            return None;
        }
        let plans = match self.plans.take() {
            Some(plans) if plans.size == (width, height) => plans,
            _ => Plans::of((width, height)),
        };
        self.now.clear();
        self.now.extend(gradients.directions().map(|(re, im)| Complex { re, im }));
        self.usual.clear();
        self.usual.extend(xs.iter().zip(ys).map(|(&re, &im)| Complex { re, im }));
        let energy = |plane: &Plane| plane.iter().map(Complex::norm_sqr).sum::<f32>();
        let scale = (energy(&self.now) * energy(&self.usual)).sqrt();
        self.correlate(&plans);
        let found = peak(&self.now, (width, height), scale * (width * height) as f32);
        self.plans = Some(plans);
        found
    }

    /// The correlation of both planes at every shift, in the place of the first.
    fn correlate(&mut self, plans: &Plans) {
        let (width, height) = plans.size;
        let Self { now, usual, turned, scratch, .. } = self;
        for plane in [&mut *now, &mut *usual] {
            transform(&plans.rows[0], plane, scratch);
            transpose(plane, turned, width);
            transform(&plans.columns[0], turned, scratch);
            std::mem::swap(plane, turned);
        }
        now.iter_mut().zip(usual).for_each(|(now, usual)| *now *= usual.conj());
        transform(&plans.columns[1], now, scratch);
        transpose(now, turned, height);
        std::mem::swap(now, turned);
        transform(&plans.rows[1], now, scratch);
    }
}

fn transform(fft: &Arc<dyn Fft<f32>>, plane: &mut Plane, scratch: &mut Plane) {
    scratch.resize(fft.get_inplace_scratch_len().max(scratch.len()), Complex::default());
    fft.process_with_scratch(plane, scratch);
}

/// Rows of `width` become columns.
fn transpose(plane: &Plane, out: &mut Plane, width: usize) {
    let height = plane.len() / width;
    out.resize(plane.len(), Complex::default());
    for (y, row) in plane.chunks_exact(width).enumerate() {
        for (x, one) in row.iter().enumerate() {
            out[x * height + y] = *one;
        }
    }
}

fn peak(plane: &Plane, (width, height): (usize, usize), scale: f32) -> Option<PictureShift> {
    let at = |x: usize, y: usize| plane[y * width + x].re / scale;
    let (place, _) = plane.iter().enumerate().max_by(|(_, a), (_, b)| a.re.total_cmp(&b.re))?;
    let (x, y) = (place % width, place / width);
    let correlation = at(x, y);
    let near = |length: usize| [0, 1 % length, length - 1];
    let around = near(height).into_iter().flat_map(|y| near(width).map(|x| (x, y)));
    let unshifted = around.map(|(x, y)| at(x, y)).fold(f32::MIN, f32::max);
    let share = |at: usize, length: usize| {
        let signed = if at > length / 2 { at as f32 - length as f32 } else { at as f32 };
        signed / length as f32
    };
    let (x, y) = (share(x, width), share(y, height));
    let is_finite = correlation.is_finite() && unshifted.is_finite();
    let pixels = (x * width as f32).hypot(y * height as f32);
    let is_shift = pixels > LEAST_SHIFT * width as f32
        && correlation >= LEAST_CORRELATION
        && correlation >= LEAST_GAIN * unshifted.max(0.0);
    (is_finite && is_shift).then_some(PictureShift { x, y, correlation, unshifted })
}

//! One pass from pixels to a tensor: orders channels, subtracts and scales, and writes each element where the model
//! wants it.

use verge_engine::card::{Colour, Element, InputCard, Layout, Quantisation};
use verge_engine::f16;

use super::fit::Fit;
use crate::picture::SAMPLES;

/// Weights of red, green and blue in luma (ITU-R BT.601), in thousandths.
const LUMA: [u32; SAMPLES] = [299, 587, 114];

/// What each of the 256 values of a sample becomes, per channel.
pub(super) enum Table {
    F32(Vec<[f32; 256]>),
    F16(Vec<[f16; 256]>),
    U8(Vec<[u8; 256]>),
    I8(Vec<[i8; 256]>),
}

/// Where elements go, by the card.
pub(super) struct Pass {
    width: usize,
    height: usize,
    pad: u8,
    layout: Layout,
    colour: Colour,
}

impl Pass {
    pub(super) fn new(card: &InputCard, width: u32, height: u32) -> Self {
        Self {
            width: width as usize,
            height: height as usize,
            pad: card.pad,
            layout: card.layout,
            colour: card.colour,
        }
    }

    /// Writes pixels, that have the size of the fit, into `out`.
    pub(super) fn run<T: Copy>(&self, pixels: &[u8], fit: &Fit, table: &[[T; 256]], out: &mut [T]) {
        let channels = self.colour.channels();
        let plane = self.width * self.height;
        let out = &mut out[..plane * channels];
        let inner = fit.to_width as usize;
        let (left, top) = (fit.pad_left as usize, fit.pad_top as usize);
        let is_padded = inner < self.width || (fit.to_height as usize) < self.height;
        if is_padded {
            self.fill_padding(table, out);
        }
        // Position of each output channel's sample within a pixel.
        let order: &[usize] = match self.colour {
            Colour::Rgb => &[0, 1, 2],
            Colour::Bgr => &[2, 1, 0],
            Colour::Grey => &[],
        };
        for (y, row) in pixels.chunks_exact(inner * SAMPLES).enumerate() {
            let start = (top + y) * self.width + left;
            match (self.layout, self.colour) {
                (_, Colour::Grey) => {
                    for (pixel, element) in row.chunks_exact(SAMPLES).zip(&mut out[start..]) {
                        *element = table[0][luma(pixel)];
                    }
                }
                (Layout::Nhwc, _) => {
                    let to = out[start * SAMPLES..][..inner * SAMPLES].chunks_exact_mut(SAMPLES);
                    for (pixel, elements) in row.chunks_exact(SAMPLES).zip(to) {
                        for (channel, element) in elements.iter_mut().enumerate() {
                            *element = table[channel][usize::from(pixel[order[channel]])];
                        }
                    }
                }
                (Layout::Nchw, _) => {
                    let (first, rest) = out.split_at_mut(plane);
                    let (second, third) = rest.split_at_mut(plane);
                    let first = &mut first[start..][..inner];
                    let second = &mut second[start..][..inner];
                    let third = &mut third[start..][..inner];
                    let planes = first.iter_mut().zip(second).zip(third);
                    for (pixel, ((a, b), c)) in row.chunks_exact(SAMPLES).zip(planes) {
                        *a = table[0][usize::from(pixel[order[0]])];
                        *b = table[1][usize::from(pixel[order[1]])];
                        *c = table[2][usize::from(pixel[order[2]])];
                    }
                }
            }
        }
    }

    fn fill_padding<T: Copy>(&self, table: &[[T; 256]], out: &mut [T]) {
        let pad = usize::from(self.pad);
        match self.layout {
            Layout::Nchw => {
                for (plane, table) in out.chunks_exact_mut(self.width * self.height).zip(table) {
                    plane.fill(table[pad]);
                }
            }
            Layout::Nhwc => {
                for pixel in out.chunks_exact_mut(self.colour.channels()) {
                    for (element, table) in pixel.iter_mut().zip(table) {
                        *element = table[pad];
                    }
                }
            }
        }
    }
}

fn luma(pixel: &[u8]) -> usize {
    let sum: u32 = pixel.iter().zip(LUMA).map(|(sample, weight)| u32::from(*sample) * weight).sum();
    ((sum + 500) / 1000) as usize
}

impl Table {
    pub(super) fn new(card: &InputCard) -> Self {
        let channels = card.colour.channels();
        let of = |list: &Option<Vec<f32>>, channel: usize, default: f32| {
            list.as_ref().and_then(|list| list.get(channel)).copied().unwrap_or(default)
        };
        let real = |channel: usize, value: usize| {
            #[expect(clippy::cast_precision_loss, reason = "0 to 255")]
            let pixel = value as f32;
            (pixel - of(&card.mean, channel, 0.0)) * of(&card.scale, channel, 1.0)
        };
        let whole = |channel: usize, value: usize, low: f32, high: f32| {
            let real = real(channel, value);
            let element = match card.quantisation {
                #[expect(clippy::cast_precision_loss, reason = "zero points of bytes")]
                Some(Quantisation { scale, zero_point }) => {
                    (real / scale).round_ties_even() + zero_point as f32
                }
                None => real.round(),
            };
            element.clamp(low, high)
        };
        macro_rules! tables {
            ($element:expr) => {
                (0..channels).map(|channel| std::array::from_fn(|value| $element(channel, value))).collect()
            };
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to the type above"
        )]
        match card.element {
            Element::F32 => Self::F32(tables!(real)),
            Element::F16 => Self::F16(tables!(|channel, value| f16::from_f32(real(channel, value)))),
            Element::U8 => Self::U8(tables!(|channel, value| whole(channel, value, 0.0, 255.0) as u8)),
            Element::I8 => Self::I8(tables!(|channel, value| whole(channel, value, -128.0, 127.0) as i8)),
        }
    }
}

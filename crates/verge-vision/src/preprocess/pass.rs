//! One pass from pixels to a tensor: orders channels, subtracts and scales, and writes each element where the model
//! wants it.

use verge_engine::f16;
use verge_models::card::{Colour, InputCard, PixelElement, Quantisation, TensorLayout};

use super::fit::PictureFit;
use crate::picture::SAMPLES;

/// Weights of red, green and blue in luma (ITU-R BT.601), in thousandths.
const LUMA: [u32; SAMPLES] = [299, 587, 114];

/// What each of the 256 values of a sample becomes, per channel.
pub(super) enum PixelTable {
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
    layout: TensorLayout,
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
    pub(super) fn run<T: Copy>(&self, pixels: &[u8], fit: &PictureFit, table: &[[T; 256]], out: &mut [T]) {
        let out = &mut out[..self.width * self.height * self.colour.channels()];
        if (fit.to_width as usize) < self.width || (fit.to_height as usize) < self.height {
            self.fill_padding(table, out);
        }
        match (self.layout, self.colour, table) {
            (_, Colour::Grey, [table]) => self.grey(pixels, fit, table, out),
            (TensorLayout::Nhwc, Colour::Rgb, [a, b, c]) => {
                self.interleaved::<T, 0, 2>(pixels, fit, [a, b, c], out)
            }
            (TensorLayout::Nhwc, Colour::Bgr, [a, b, c]) => {
                self.interleaved::<T, 2, 0>(pixels, fit, [a, b, c], out)
            }
            (TensorLayout::Nchw, Colour::Rgb, [a, b, c]) => {
                self.planar::<T, 0, 2>(pixels, fit, [a, b, c], out)
            }
            (TensorLayout::Nchw, Colour::Bgr, [a, b, c]) => {
                self.planar::<T, 2, 0>(pixels, fit, [a, b, c], out)
            }
            _ => unreachable!("there is a table for each channel"),
        }
    }

    /// Rows of pixels, and where each begins in the input.
    fn rows<'a>(
        &'a self,
        pixels: &'a [u8],
        fit: &PictureFit,
    ) -> impl Iterator<Item = (&'a [[u8; SAMPLES]], usize)> {
        let inner = fit.to_width as usize;
        let (left, top) = (fit.pad_left as usize, fit.pad_top as usize);
        let (pixels, _) = pixels.as_chunks::<SAMPLES>();
        let start = move |y: usize| (top + y) * self.width + left;
        pixels.chunks_exact(inner).enumerate().map(move |(y, row)| (row, start(y)))
    }

    fn grey<T: Copy>(&self, pixels: &[u8], fit: &PictureFit, table: &[T; 256], out: &mut [T]) {
        for (row, start) in self.rows(pixels, fit) {
            for (pixel, element) in row.iter().zip(&mut out[start..]) {
                *element = table[usize::from(luma(*pixel))];
            }
        }
    }

    /// The first and the last channel are those samples of a pixel.
    fn interleaved<T: Copy, const FIRST: usize, const LAST: usize>(
        &self,
        pixels: &[u8],
        fit: &PictureFit,
        tables: [&[T; 256]; SAMPLES],
        out: &mut [T],
    ) {
        let (out, _) = out.as_chunks_mut::<SAMPLES>();
        for (row, start) in self.rows(pixels, fit) {
            for (pixel, elements) in row.iter().zip(&mut out[start..]) {
                *elements = [
                    tables[0][usize::from(pixel[FIRST])],
                    tables[1][usize::from(pixel[1])],
                    tables[2][usize::from(pixel[LAST])],
                ];
            }
        }
    }

    /// The same, each channel in a plane of its own.
    fn planar<T: Copy, const FIRST: usize, const LAST: usize>(
        &self,
        pixels: &[u8],
        fit: &PictureFit,
        tables: [&[T; 256]; SAMPLES],
        out: &mut [T],
    ) {
        let plane = self.width * self.height;
        let (first, rest) = out.split_at_mut(plane);
        let (second, third) = rest.split_at_mut(plane);
        for (row, start) in self.rows(pixels, fit) {
            let planes = first[start..].iter_mut().zip(&mut second[start..]).zip(&mut third[start..]);
            for (pixel, ((a, b), c)) in row.iter().zip(planes) {
                *a = tables[0][usize::from(pixel[FIRST])];
                *b = tables[1][usize::from(pixel[1])];
                *c = tables[2][usize::from(pixel[LAST])];
            }
        }
    }

    /// Pixels that are the elements already: rows are copied. `false` where this input is none of that kind.
    pub(super) fn copy(&self, pixels: &[u8], fit: &PictureFit, table: &[[u8; 256]], out: &mut [u8]) -> bool {
        let is_same =
            |table: &[u8; 256]| table.iter().zip(0..=u8::MAX).all(|(element, value)| *element == value);
        let is_raw =
            (self.layout, self.colour) == (TensorLayout::Nhwc, Colour::Rgb) && table.iter().all(is_same);
        if is_raw {
            let out = &mut out[..self.width * self.height * SAMPLES];
            if (fit.to_width as usize) < self.width || (fit.to_height as usize) < self.height {
                out.fill(self.pad);
            }
            for (row, start) in self.rows(pixels, fit) {
                let row = row.as_flattened();
                out[start * SAMPLES..][..row.len()].copy_from_slice(row);
            }
        }
        is_raw
    }

    fn fill_padding<T: Copy>(&self, table: &[[T; 256]], out: &mut [T]) {
        let pad = usize::from(self.pad);
        match self.layout {
            TensorLayout::Nchw => {
                for (plane, table) in out.chunks_exact_mut(self.width * self.height).zip(table) {
                    plane.fill(table[pad]);
                }
            }
            TensorLayout::Nhwc => {
                for pixel in out.chunks_exact_mut(self.colour.channels()) {
                    for (element, table) in pixel.iter_mut().zip(table) {
                        *element = table[pad];
                    }
                }
            }
        }
    }
}

fn luma(pixel: [u8; SAMPLES]) -> u8 {
    let sum: u32 = pixel.into_iter().zip(LUMA).map(|(sample, weight)| u32::from(sample) * weight).sum();
    #[expect(clippy::cast_possible_truncation, reason = "the weights are a thousand in all")]
    let mean = ((sum + 500) / 1000) as u8;
    mean
}

impl PixelTable {
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
            PixelElement::F32 => Self::F32(tables!(real)),
            PixelElement::F16 => Self::F16(tables!(|channel, value| f16::from_f32(real(channel, value)))),
            PixelElement::U8 => Self::U8(tables!(|channel, value| whole(channel, value, 0.0, 255.0) as u8)),
            PixelElement::I8 => {
                Self::I8(tables!(|channel, value| whole(channel, value, -128.0, 127.0) as i8))
            }
        }
    }
}

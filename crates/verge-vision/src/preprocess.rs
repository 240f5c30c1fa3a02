//! From pixels to a model's input: cut, resize, then one pass that orders channels, subtracts and scales, and
//! writes each element where the model wants it.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use verge_engine::card::{Colour, Element, InputCard, Layout, Quantisation, Resize};
use verge_engine::{Tensor, f16};

use crate::picture::{Picture, SAMPLES};

/// Weights of red, green and blue in luma (ITU-R BT.601), in thousandths.
const LUMA: [u32; SAMPLES] = [299, 587, 114];

/// A part of a frame, in shares of its sides: `0..=1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Region {
    /// Left edge.
    pub left: f32,
    /// Top edge.
    pub top: f32,
    /// Right edge, beyond `left`.
    pub right: f32,
    /// Bottom edge, beyond `top`.
    pub bottom: f32,
}

impl Region {
    /// The whole frame.
    pub const WHOLE: Self = Self { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 };

    /// Checks its edges.
    #[must_use]
    pub fn new([left, top, right, bottom]: [f32; 4]) -> Option<Self> {
        let ordered = |low: f32, high: f32| low >= 0.0 && low < high && high <= 1.0;
        (ordered(left, right) && ordered(top, bottom)).then_some(Self { left, top, right, bottom })
    }
}

/// Where a pixel of the input lies in the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placement {
    /// Pixels of the frame per pixel of the input, across.
    pub scale_x: f32,
    /// Pixels of the frame per pixel of the input, down.
    pub scale_y: f32,
    /// Frame's pixel at the input's left edge.
    pub offset_x: f32,
    /// Frame's pixel at the input's top edge.
    pub offset_y: f32,
    /// The part that was seen, in pixels of the frame: left, top, right, bottom.
    pub seen: [f32; 4],
}

/// Makes inputs for one model. It keeps its buffers; one per worker and model.
pub struct Preprocess {
    width: u32,
    height: u32,
    resize: Resize,
    crop_fraction: f32,
    shorter_side: u32,
    pad: u8,
    layout: Layout,
    colour: Colour,
    table: Table,
    resizer: Resizer,
    resized: Vec<u8>,
}

/// What each of the 256 values of a sample becomes, per channel.
enum Table {
    F32(Vec<[f32; 256]>),
    F16(Vec<[f16; 256]>),
    U8(Vec<[u8; 256]>),
    I8(Vec<[i8; 256]>),
}

/// What is cut out of the frame, in its pixels, and how large that becomes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fit {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    to_width: u32,
    to_height: u32,
    /// Input's pixel where it begins.
    pad_left: u32,
    pad_top: u32,
}

impl Preprocess {
    /// Prepares for inputs of this card and size.
    #[must_use]
    pub fn new(card: &InputCard, width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            resize: card.resize,
            crop_fraction: card.crop_fraction.unwrap_or(1.0),
            shorter_side: card.shorter_side.unwrap_or(1),
            pad: card.pad,
            layout: card.layout,
            colour: card.colour,
            table: Table::new(card),
            resizer: Resizer::new(),
            resized: Vec::new(),
        }
    }

    /// Writes the input for the part of a picture into `tensor`, whose type and size are those of the card.
    ///
    /// # Panics
    /// If the tensor is of another type or size: it belongs to another card.
    pub fn fill(&mut self, picture: &Picture, region: Region, tensor: &mut Tensor) -> Placement {
        let fit = self.fit(picture, region);
        let whole = (fit.to_width, fit.to_height) == (picture.width(), picture.height())
            && (fit.left, fit.top) == (0.0, 0.0)
            && (fit.width, fit.height) == (f64::from(fit.to_width), f64::from(fit.to_height));
        let source = if whole {
            picture.rgb()
        } else {
            self.resized.resize(fit.to_width as usize * fit.to_height as usize * SAMPLES, 0);
            let from = ImageRef::new(picture.width(), picture.height(), picture.rgb(), PixelType::U8x3)
                .expect("a picture has three bytes for each pixel");
            let mut to =
                Image::from_slice_u8(fit.to_width, fit.to_height, &mut self.resized, PixelType::U8x3)
                    .expect("the buffer was made for it above");
            let options = ResizeOptions::new()
                // Wider than two pixels where the picture shrinks, so that nothing is skipped: as Pillow does.
                .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
                .crop(fit.left, fit.top, fit.width, fit.height)
                .use_alpha(false);
            self.resizer.resize(&from, &mut to, &options).expect("what is cut out lies within the picture");
            &self.resized
        };
        let pass = Pass {
            source,
            fit,
            width: self.width as usize,
            height: self.height as usize,
            pad: self.pad,
            layout: self.layout,
            colour: self.colour,
        };
        match (&self.table, tensor) {
            (Table::F32(table), Tensor::F32(out)) => pass.run(table, out),
            (Table::F16(table), Tensor::F16(out)) => pass.run(table, out),
            (Table::U8(table), Tensor::U8(out)) => pass.run(table, out),
            (Table::I8(table), Tensor::I8(out)) => pass.run(table, out),
            _ => panic!("the tensor is of another type than its card says"),
        }
        fit.placement()
    }

    fn fit(&self, picture: &Picture, region: Region) -> Fit {
        let (frame_width, frame_height) = (f64::from(picture.width()), f64::from(picture.height()));
        let edge = |share: f32, side: f64| (f64::from(share) * side).round();
        let (left, top) = (edge(region.left, frame_width), edge(region.top, frame_height));
        // A part of a tiny frame may round to nothing; one pixel of it is always there.
        let (left, top) = (left.min(frame_width - 1.0), top.min(frame_height - 1.0));
        let width = (edge(region.right, frame_width) - left).max(1.0);
        let height = (edge(region.bottom, frame_height) - top).max(1.0);
        let stretched = Fit {
            left,
            top,
            width,
            height,
            to_width: self.width,
            to_height: self.height,
            pad_left: 0,
            pad_top: 0,
        };
        let (to_width, to_height) = (f64::from(self.width), f64::from(self.height));
        match self.resize {
            Resize::Stretch => stretched,
            Resize::CentralCrop => {
                let part = f64::from(self.crop_fraction);
                stretched.central(width * part, height * part)
            }
            Resize::ShorterSideCrop => {
                // What of the frame ends up in the input, once its shorter side has become `shorter_side`.
                let scale = width.min(height) / f64::from(self.shorter_side);
                stretched.central((to_width * scale).min(width), (to_height * scale).min(height))
            }
            Resize::Letterbox | Resize::LetterboxTopleft => {
                let ratio = (to_width / width).min(to_height / height);
                let side = |pixels: f64, limit: u32| pixels_of(pixels * ratio).clamp(1, limit);
                let (inner_width, inner_height) = (side(width, self.width), side(height, self.height));
                let middle = |outer: u32, inner: u32| match self.resize {
                    Resize::Letterbox => (outer - inner) / 2,
                    _ => 0,
                };
                Fit {
                    to_width: inner_width,
                    to_height: inner_height,
                    pad_left: middle(self.width, inner_width),
                    pad_top: middle(self.height, inner_height),
                    ..stretched
                }
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sides of inputs, 4096 at most")]
const fn pixels_of(side: f64) -> u32 {
    side as u32
}

impl Fit {
    /// The middle of it, of this size.
    fn central(self, width: f64, height: f64) -> Self {
        let left = self.left + (self.width - width) / 2.0;
        let top = self.top + (self.height - height) / 2.0;
        Self { left, top, width, height, ..self }
    }

    fn placement(&self) -> Placement {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "pixels of a frame; fractions of them do not matter"
        )]
        let single = |value: f64| value as f32;
        let scale_x = self.width / f64::from(self.to_width);
        let scale_y = self.height / f64::from(self.to_height);
        Placement {
            scale_x: single(scale_x),
            scale_y: single(scale_y),
            offset_x: single(self.left - f64::from(self.pad_left) * scale_x),
            offset_y: single(self.top - f64::from(self.pad_top) * scale_y),
            seen: [self.left, self.top, self.left + self.width, self.top + self.height].map(single),
        }
    }
}

/// The pass from resized pixels to elements.
struct Pass<'a> {
    source: &'a [u8],
    fit: Fit,
    width: usize,
    height: usize,
    pad: u8,
    layout: Layout,
    colour: Colour,
}

impl Pass<'_> {
    /// `out` may be longer, where the model's batch is: the rest stays as it is.
    fn run<T: Copy>(&self, table: &[[T; 256]], out: &mut [T]) {
        let channels = self.colour.channels();
        let plane = self.width * self.height;
        let out = &mut out[..plane * channels];
        let inner = self.fit.to_width as usize;
        let (left, top) = (self.fit.pad_left as usize, self.fit.pad_top as usize);
        let is_padded = inner < self.width || (self.fit.to_height as usize) < self.height;
        if is_padded {
            self.fill_padding(table, out);
        }
        // Position of each output channel's sample within a pixel.
        let order: &[usize] = match self.colour {
            Colour::Rgb => &[0, 1, 2],
            Colour::Bgr => &[2, 1, 0],
            Colour::Grey => &[],
        };
        for (y, row) in self.source.chunks_exact(inner * SAMPLES).enumerate() {
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
    fn new(card: &InputCard) -> Self {
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

#[cfg(test)]
mod tests;

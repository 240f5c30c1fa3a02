//! From pixels to a model's input: cut, resize, then one pass that orders channels, subtracts and scales, and
//! writes each element where the model wants it.

mod fit;
mod pass;

use fast_image_resize::images::{CroppedImage, Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use fit::{Fit, Rule};
use pass::{Pass, Table};
use verge_engine::Tensor;
use verge_engine::card::InputCard;

use crate::picture::{Picture, SAMPLES};

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
    rule: Rule,
    pass: Pass,
    table: Table,
    shrinker: Shrinker,
}

/// Resizes as Pillow does: bilinear over as many pixels as become one, across and then down, rounded between. The
/// other order is faster by a little and changes one sample in seven by one, which small quantised models notice.
#[derive(Default)]
struct Shrinker {
    resizer: Resizer,
    across: Vec<u8>,
    resized: Vec<u8>,
}

impl Preprocess {
    /// Prepares for inputs of this card and size.
    #[must_use]
    pub fn new(card: &InputCard, width: u32, height: u32) -> Self {
        Self {
            rule: Rule::new(card, width, height),
            pass: Pass::new(card, width, height),
            table: Table::new(card),
            shrinker: Shrinker::default(),
        }
    }

    /// Writes the input for the part of a picture into `tensor`, whose type and size are those of the card. `tensor`
    /// may be longer, where the model's batch is: the rest stays as it is.
    ///
    /// # Panics
    /// If the tensor is of another type or is smaller: it belongs to another card. If the picture is empty: nothing
    /// was decoded.
    pub fn fill(&mut self, picture: &Picture, region: Region, tensor: &mut Tensor) -> Placement {
        let (width, height) = (picture.width(), picture.height());
        assert!(width > 0 && height > 0, "only a picture that was decoded is looked at");
        let fit = self.rule.fit((width, height), region);
        let pixels = if fit.is_whole(width, height) {
            picture.rgb()
        } else {
            self.shrinker.resize(picture, &fit);
            &self.shrinker.resized
        };
        match (&self.table, tensor) {
            (Table::F32(table), Tensor::F32(out)) => self.pass.run(pixels, &fit, table, out),
            (Table::F16(table), Tensor::F16(out)) => self.pass.run(pixels, &fit, table, out),
            (Table::U8(table), Tensor::U8(out)) => self.pass.run(pixels, &fit, table, out),
            (Table::I8(table), Tensor::I8(out)) => self.pass.run(pixels, &fit, table, out),
            _ => panic!("the tensor is of another type than its card says"),
        }
        fit.placement()
    }
}

impl Shrinker {
    fn resize(&mut self, picture: &Picture, fit: &Fit) {
        let frame = view(picture.width(), picture.height(), picture.rgb());
        let [left, top, cut_width, cut_height] = fit.cut;
        let from = CroppedImage::new(&frame, left, top, cut_width, cut_height)
            .expect("what is cut out lies within the picture");
        let [left, top, width, height] = fit.part;
        let options =
            ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(false);
        let across = options.crop(left, 0.0, width, f64::from(cut_height));
        let mut to = target(&mut self.across, fit.to_width, cut_height);
        self.resizer.resize(&from, &mut to, &across).expect("what is resized lies within what is cut out");
        let from = view(fit.to_width, cut_height, &self.across);
        let down = options.crop(0.0, top, f64::from(fit.to_width), height);
        let mut to = target(&mut self.resized, fit.to_width, fit.to_height);
        self.resizer.resize(&from, &mut to, &down).expect("what is resized lies within what is cut out");
    }
}

fn view(width: u32, height: u32, rgb: &[u8]) -> ImageRef<'_> {
    ImageRef::new(width, height, rgb, PixelType::U8x3).expect("there are three bytes for each pixel")
}

fn target(buffer: &mut Vec<u8>, width: u32, height: u32) -> Image<'_> {
    // Not cleared first: every byte is written anew.
    buffer.resize(width as usize * height as usize * SAMPLES, 0);
    Image::from_slice_u8(width, height, buffer, PixelType::U8x3).expect("the buffer was made for it above")
}

#[cfg(test)]
mod tests;

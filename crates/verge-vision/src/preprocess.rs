//! From pixels to a model's input: cut, resize, then one pass that orders channels, subtracts and scales, and
//! writes each element where the model wants it.

mod fit;
mod pass;

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use fit::{FitRule, PictureFit};
use pass::{Pass, PixelTable};
use verge_engine::Tensor;
use verge_models::card::InputCard;

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

    /// Its edges: left, top, right, bottom.
    #[must_use]
    pub const fn sides(self) -> [f32; 4] {
        [self.left, self.top, self.right, self.bottom]
    }

    /// Checks its edges.
    #[must_use]
    pub fn new([left, top, right, bottom]: [f32; 4]) -> Option<Self> {
        let ordered = |low: f32, high: f32| low >= 0.0 && low < high && high <= 1.0;
        (ordered(left, right) && ordered(top, bottom)).then_some(Self { left, top, right, bottom })
    }
}

/// Where a pixel of the input lies in the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputPlacement {
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
    rule: FitRule,
    pass: Pass,
    table: PixelTable,
    shrinker: Shrinker,
}

/// Resizes as Pillow does: bilinear, over as many pixels as become one. It goes down first and then across, Pillow the
/// other way: that changes one sample in seven by one, costs half as much, and models agree with the reference as
/// often.
#[derive(Default)]
struct Shrinker {
    resizer: Resizer,
    resized: Vec<u8>,
}

impl Preprocess {
    /// Prepares for inputs of this card and size.
    #[must_use]
    pub fn new(card: &InputCard, width: u32, height: u32) -> Self {
        Self {
            rule: FitRule::new(card, width, height),
            pass: Pass::new(card, width, height),
            table: PixelTable::new(card),
            shrinker: Shrinker::default(),
        }
    }

    /// Writes the input for the part of a picture into `tensor`, whose type and size are those of the card. `tensor`
    /// may be longer, where the model's batch is: the rest stays as it is.
    ///
    /// # Panics
    /// If the tensor is of another type or is smaller: it belongs to another card. If the picture is empty: nothing
    /// was decoded.
    pub fn fill(&mut self, picture: &Picture, region: Region, tensor: &mut Tensor) -> InputPlacement {
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
            (PixelTable::F32(table), Tensor::F32(out)) => self.pass.run(pixels, &fit, table, out),
            (PixelTable::F16(table), Tensor::F16(out)) => self.pass.run(pixels, &fit, table, out),
            (PixelTable::U8(table), Tensor::U8(out)) => {
                if !self.pass.copy(pixels, &fit, table, out) {
                    self.pass.run(pixels, &fit, table, out);
                }
            }
            (PixelTable::I8(table), Tensor::I8(out)) => self.pass.run(pixels, &fit, table, out),
            _ => panic!("the tensor is of another type than its card says"),
        }
        fit.placement()
    }
}

impl Shrinker {
    fn resize(&mut self, picture: &Picture, fit: &PictureFit) {
        // Not cleared first: every byte is written anew.
        self.resized.resize(fit.to_width as usize * fit.to_height as usize * SAMPLES, 0);
        let frame = TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.rgb())
            .expect("a picture has three bytes for each pixel");
        let [left, top, width, height] = fit.cut;
        let from = TypedCroppedImage::new(frame, left, top, width, height)
            .expect("what is cut out lies within the picture");
        let mut to = TypedImage::<U8x3>::from_buffer(fit.to_width, fit.to_height, &mut self.resized)
            .expect("the buffer was made for it above");
        let [left, top, width, height] = fit.part;
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
            .crop(left, top, width, height)
            .use_alpha(false);
        // For one type of pixel: `resize` compiles its code for all thirteen.
        self.resizer
            .resize_typed(&from, &mut to, &options)
            .expect("what is resized lies within what is cut out");
    }
}

#[cfg(test)]
mod tests;

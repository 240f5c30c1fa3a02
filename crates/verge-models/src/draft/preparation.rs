//! How pictures go into the models of a family.

use verge_engine::Graph;

use super::LineSource;

/// How a picture becomes an input.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Preparation {
    pub(super) colour: &'static str,
    pub(super) resize: ResizeDraft,
    /// `x = (pixel - mean) * scale` of red, green and blue, or of blue, green and red.
    pub(super) mean: [f64; 3],
    pub(super) scale: [f64; 3],
    pub(super) source: LineSource,
}

/// How a picture of another size is made to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResizeDraft {
    Stretch,
    /// As ultralytics does it.
    Letterbox,
    LetterboxTopleft,
    /// The shorter side becomes this, or the input's own; then the middle is cut.
    ShorterSideCrop(Option<u32>),
}

const BYTES: [f64; 3] = [1.0 / 255.0; 3];
/// Of ImageNet, in pixels.
const MEAN: [f64; 3] = [123.675, 116.28, 103.53];
const DEVIATION: [f64; 3] = [58.395, 57.12, 57.375];

impl Preparation {
    const fn of(colour: &'static str, resize: ResizeDraft, scale: [f64; 3], source: LineSource) -> Self {
        Self { colour, resize, mean: [0.0; 3], scale, source }
    }

    /// Red, green, blue as shares, letterboxed: ultralytics and the YOLO repositories.
    pub(super) const fn letterboxed(source: LineSource) -> Self {
        Self::of("rgb", ResizeDraft::Letterbox, BYTES, source)
    }

    /// The same, stretched.
    pub(super) const fn stretched(source: LineSource) -> Self {
        Self::of("rgb", ResizeDraft::Stretch, BYTES, source)
    }

    /// Pixels as they are, blue first, in the top left corner: YOLOX.
    pub(super) const fn yolox(source: LineSource) -> Self {
        Self::of("bgr", ResizeDraft::LetterboxTopleft, [1.0; 3], source)
    }

    /// Pixels as they are.
    pub(super) const fn plain(source: LineSource) -> Self {
        Self::of("rgb", ResizeDraft::Stretch, [1.0; 3], source)
    }

    pub(super) fn fastestdet(source: LineSource) -> Self {
        Self { colour: "bgr", ..Self::stretched(source) }
    }

    /// With the mean and deviation of ImageNet.
    pub(super) fn imagenet(resize: ResizeDraft, source: LineSource) -> Self {
        Self { mean: MEAN, scale: DEVIATION.map(f64::recip), ..Self::of("rgb", resize, BYTES, source) }
    }

    /// The same, blue first.
    pub(super) fn nanodet(source: LineSource) -> Self {
        let turned = |[a, b, c]: [f64; 3]| [c, b, a];
        let rgb = Self::imagenet(ResizeDraft::Stretch, source);
        Self { colour: "bgr", mean: turned(rgb.mean), scale: turned(rgb.scale), ..rgb }
    }

    /// From -1 to 1, the middle of the picture: Teachable Machine.
    pub(super) fn teachable(source: LineSource) -> Self {
        let cropped = Self::of("rgb", ResizeDraft::ShorterSideCrop(None), [1.0 / 127.5; 3], source);
        Self { mean: [127.5; 3], ..cropped }
    }

    /// The middle of the picture, in the colours and numbers that Custom Vision has written into the file: pixels as they are,
    /// blue first, where it says nothing.
    pub(super) fn custom_vision(graph: &Graph, shorter: u32, source: LineSource) -> Self {
        let says = |key: &str, value: &str| graph.metadata(key).map(|found| found == value);
        let is_rgb = says("Image.BitmapPixelFormat", "Rgb8") == Some(true);
        let are_shares = says("Image.NominalPixelRange", "NominalRange_0_255") == Some(false);
        let colour = if is_rgb { "rgb" } else { "bgr" };
        let scale = if are_shares { BYTES } else { [1.0; 3] };
        Self::of(colour, ResizeDraft::ShorterSideCrop(Some(shorter)), scale, source)
    }

    /// Shares, the shorter side resized and the middle cut: ultralytics' classifiers.
    pub(super) const fn cropped(source: LineSource) -> Self {
        Self::of("rgb", ResizeDraft::ShorterSideCrop(None), BYTES, source)
    }

    pub(super) fn unknown() -> Self {
        Self::stretched(LineSource::Guess("nothing says how pictures go in"))
    }

    /// Keys and values of the card. `size`: height and width of the input, where the file states them.
    pub(super) fn keys(
        &self,
        size: Option<[u32; 2]>,
        is_grey: bool,
        is_real: bool,
    ) -> Vec<(&'static str, String)> {
        let mut keys = Vec::new();
        let text = |value: &str| format!("\"{value}\"");
        match self.resize {
            ResizeDraft::Stretch => keys.push(("resize", text("stretch"))),
            ResizeDraft::Letterbox => {
                keys.push(("resize", text("letterbox")));
                keys.push(("rounding", text("nearest")));
            }
            ResizeDraft::LetterboxTopleft => keys.push(("resize", text("letterbox-topleft"))),
            ResizeDraft::ShorterSideCrop(side) => {
                keys.push(("resize", text("shorter-side-crop")));
                let own = size.map_or(224, |sides| sides[0].max(sides[1]));
                keys.push(("shorter_side", side.unwrap_or(own).to_string()));
            }
        }
        let channels = if is_grey { 1 } else { 3 };
        let list = |numbers: &[f64; 3]| {
            let numbers: Vec<String> =
                numbers[..channels].iter().map(|number| format!("{number:?}")).collect();
            format!("[{}]", numbers.join(", "))
        };
        if is_real && self.mean != [0.0; 3] {
            keys.push(("mean", list(&self.mean)));
        }
        if is_real && self.scale != [1.0; 3] {
            keys.push(("scale", list(&self.scale)));
        }
        keys
    }
}

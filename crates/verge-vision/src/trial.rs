//! One inference on a picture of no meaning: whether a model does as its card says shows before the first frame.

use std::time::{Duration, Instant};

use verge_engine::{RecurrentState, RunError};

use crate::detect::Contradiction;
use crate::model_run::{ModelRun, OutputReader};
use crate::picture::{Picture, SAMPLES};
use crate::preprocess::Region;
use crate::viewer::InferenceError;

/// What came of a trial.
#[derive(Debug)]
pub struct ModelTrial {
    /// How long the model was at work.
    pub took: Duration,
    /// The outputs that its card reads.
    pub outputs: Vec<TrialOutput>,
    /// What they show that the card does not say.
    pub contradiction: Option<Contradiction>,
}

/// One output of a trial.
#[derive(Debug)]
pub struct TrialOutput {
    /// Its name.
    pub name: String,
    /// The type of its elements, as cards write it.
    pub element: &'static str,
    /// Its shape.
    pub shape: Vec<i64>,
    /// The least and the greatest element; `None` where there is none, or one is NaN.
    pub range: Option<(f64, f64)>,
}

/// Grey, in waves: of one value alone, models that divide by a picture's deviation make NaN.
fn grey() -> Picture {
    const WIDTH: u32 = 320;
    const HEIGHT: u32 = 240;
    let value = |at: u32| 96 + (at % WIDTH * 3 + at / WIDTH * 5) % 64;
    let pixels = (0..WIDTH * HEIGHT).map(|at| u8::try_from(value(at)).unwrap_or(u8::MAX));
    Picture::from_rgb(WIDTH, HEIGHT, pixels.flat_map(|value| [value; SAMPLES]).collect())
}

/// One of a row of drawn pictures of no meaning, for comparing how files run where nobody has pictures: gradients of all
/// colours with rectangles in them, from dark to bright, no two alike.
#[must_use]
pub fn drawn(number: u32) -> Picture {
    const WIDTH: u32 = 320;
    const HEIGHT: u32 = 240;
    let mut seed = number.wrapping_mul(0x9e37_79b9) | 1;
    let mut random = move |below: u32| {
        seed ^= seed << 13;
        seed ^= seed >> 17;
        seed ^= seed << 5;
        seed % below
    };
    let slopes: [[u32; 3]; SAMPLES] = std::array::from_fn(|_| [random(5), random(5), random(256)]);
    let rectangles: Vec<[u32; 7]> = (0..6)
        .map(|_| {
            let (left, top) = (random(WIDTH), random(HEIGHT));
            [
                left,
                top,
                left + 8 + random(WIDTH / 2),
                top + 8 + random(HEIGHT / 2),
                random(256),
                random(256),
                random(256),
            ]
        })
        .collect();
    let sample = |x: u32, y: u32, channel: usize| {
        let within = |r: &&[u32; 7]| (r[0]..r[2]).contains(&x) && (r[1]..r[3]).contains(&y);
        let [across, down, base] = slopes[channel];
        let wave = (base + x * across / 2 + y * down / 2) % 512;
        let ground = if wave < 256 { wave } else { 511 - wave };
        rectangles.iter().rev().find(within).map_or(ground, |r| r[4 + channel])
    };
    let places = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y)));
    let bytes =
        places.flat_map(|(x, y)| std::array::from_fn::<_, SAMPLES, _>(|channel| sample(x, y, channel)));
    Picture::from_rgb(WIDTH, HEIGHT, bytes.map(|value| u8::try_from(value).unwrap_or(u8::MAX)).collect())
}

impl ModelRun {
    pub(crate) fn try_out(&mut self, until: Option<Instant>) -> Result<ModelTrial, InferenceError> {
        let picture = grey();
        let placement = self.preprocess.fill(&picture, Region::WHOLE, self.runner.input());
        let reader = &mut self.reader;
        let began = Instant::now();
        self.runner.run(&mut RecurrentState::default(), until, |outputs| {
            let took = began.elapsed();
            let output = |index| {
                let (shape, elements) = outputs.get(index)?;
                let (element, range) = (elements.element().as_str(), elements.range());
                let name = outputs.name(index).to_owned();
                Ok(TrialOutput { name, element, shape: shape.to_vec(), range })
            };
            let described = (0..outputs.count()).map(output).collect::<Result<_, RunError>>()?;
            let contradiction = match reader {
                OutputReader::Classifier(classifier) => {
                    classifier.top(outputs.get(0)?.1, 1)?;
                    None
                }
                OutputReader::Detector(detector) => {
                    let contradiction = detector.contradicts(outputs)?;
                    detector.find(outputs, placement, 0.0)?;
                    contradiction
                }
                OutputReader::Comparison(comparison) => {
                    comparison.mean_square_error(outputs)?;
                    None
                }
                OutputReader::Appearance(reader) => {
                    reader.read(outputs, placement, None, (picture.width(), picture.height()))?;
                    None
                }
            };
            Ok(ModelTrial { took, outputs: described, contradiction })
        })
    }
}

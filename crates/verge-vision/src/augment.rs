//! More pictures for training, made of those that there are. Only what people ask for: a flip changes what an arrow says.

use crate::annotate::encode_at;
use crate::picture::{Picture, SAMPLES, decoded};

/// Share of both sides that is left by a crop.
const CROPPED: f64 = 0.85;
/// What samples are multiplied with.
const LIGHTS: [f64; 2] = [0.7, 1.4];
/// Quality of a picture that is coded once more.
const POOR: u8 = 35;

/// A change that leaves a picture in its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Augmentation {
    /// Left becomes right.
    Flip,
    /// Its middle alone.
    Crop,
    /// Darker, and brighter.
    Light,
    /// Coded once more, with more loss.
    Jpeg,
}

impl Augmentation {
    /// All of them, by name.
    pub const ALL: [(&'static str, Self); 4] =
        [("flip", Self::Flip), ("crop", Self::Crop), ("light", Self::Light), ("jpeg", Self::Jpeg)];

    /// The pictures that it makes of one.
    #[must_use]
    pub fn apply(self, picture: &Picture) -> Vec<Picture> {
        let (width, height) = (picture.width(), picture.height());
        match self {
            Self::Flip => {
                let row = width as usize * SAMPLES;
                let rows = picture.rgb().chunks_exact(row.max(1));
                let flipped = rows.flat_map(|row| row.rchunks_exact(SAMPLES).flatten().copied()).collect();
                vec![Picture::from_rgb(width, height, flipped)]
            }
            Self::Crop => {
                let (inner_width, inner_height) = (part(width), part(height));
                let (left, top) = ((width - inner_width) / 2, (height - inner_height) / 2);
                let row = |y: u32| {
                    let from = ((top + y) * width + left) as usize * SAMPLES;
                    &picture.rgb()[from..from + inner_width as usize * SAMPLES]
                };
                let rgb = (0..inner_height).flat_map(|y| row(y).iter().copied()).collect();
                vec![Picture::from_rgb(inner_width, inner_height, rgb)]
            }
            Self::Light => {
                let lit = |factor: f64| {
                    let rgb = picture.rgb().iter().map(|sample| scaled(*sample, factor)).collect();
                    Picture::from_rgb(width, height, rgb)
                };
                LIGHTS.into_iter().map(lit).collect()
            }
            Self::Jpeg => {
                let coded = encode_at(picture, POOR).ok();
                let rgb = coded.and_then(|bytes| decoded(&bytes, (width, height)).ok());
                rgb.map(|rgb| Picture::from_rgb(width, height, rgb)).into_iter().collect()
            }
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a side")]
fn part(side: u32) -> u32 {
    ((f64::from(side) * CROPPED).round() as u32).clamp(1, side.max(1))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is beyond a byte saturates"
)]
fn scaled(sample: u8, factor: f64) -> u8 {
    (f64::from(sample) * factor).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::drawn;

    #[test]
    fn each_makes_another_picture_of_the_same() {
        let picture = drawn(3);
        let (width, row) = (picture.width(), picture.width() as usize * SAMPLES);
        let [flipped] = &Augmentation::Flip.apply(&picture)[..] else { panic!("one picture") };
        assert_eq!(flipped.rgb()[..SAMPLES], picture.rgb()[row - SAMPLES..row]);
        assert_eq!(Augmentation::Flip.apply(flipped)[0].rgb(), picture.rgb());
        let [cropped] = &Augmentation::Crop.apply(&picture)[..] else { panic!("one picture") };
        assert_eq!((cropped.width(), cropped.height()), (272, 204));
        let from = (18 * width + 24) as usize * SAMPLES;
        assert_eq!(cropped.rgb()[..SAMPLES], picture.rgb()[from..from + SAMPLES]);
        let lit = Augmentation::Light.apply(&picture);
        assert_eq!(lit.len(), 2);
        assert_eq!(lit[0].rgb()[7], scaled(picture.rgb()[7], 0.7));
        let [coded] = &Augmentation::Jpeg.apply(&picture)[..] else { panic!("one picture") };
        assert_ne!(coded.rgb(), picture.rgb());
        let away: u64 = coded.rgb().iter().zip(picture.rgb()).map(|(x, y)| u64::from(x.abs_diff(*y))).sum();
        assert!(away / (picture.rgb().len() as u64) < 12);
    }
}

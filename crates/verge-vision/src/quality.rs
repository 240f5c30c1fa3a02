//! What a picture is worth for training, without a model: whether it is sharp, how bright it is, and which others show the same.

use crate::Picture;
use crate::picture::SAMPLES;

/// Weights of red, green and blue (ITU-R BT.601), in 256th.
const WEIGHTS: [u32; SAMPLES] = [77, 150, 29];
/// Columns that are compared with their neighbours, and rows. With 8 as in the source, surfaces that are lit from the same side
/// count as one picture, whatever is on them.
const HASH_SIDE: usize = 16;
/// Bits of a word.
const WORD: usize = 64;

/// What a picture is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PictureQuality {
    /// Whether it grows brighter from each of 16 x 16 places to the next: pictures of the same differ in few bits.
    ///
    /// **Source**: Krawetz (2013), dHash.
    pub hash: [u64; HASH_SIDE * HASH_SIDE / WORD],
    /// Variance of the Laplacian of its luma; the fewer edges, the less.
    ///
    /// **Source**: Pech-Pacheco et al. (2000).
    pub sharpness: f64,
    /// Mean of its luma, 0 to 255.
    pub brightness: f64,
}

impl PictureQuality {
    /// Of a picture that was decoded.
    #[must_use]
    pub fn of(picture: &Picture) -> Self {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let luma: Vec<u8> = picture.rgb().chunks_exact(SAMPLES).map(luma).collect();
        Self {
            hash: hash(&luma, width, height),
            sharpness: sharpness(&luma, width, height),
            brightness: luma.iter().map(|one| f64::from(*one)).sum::<f64>() / count(luma.len().max(1)),
        }
    }

    /// Bits that differ from those of another, 256 at most.
    #[must_use]
    pub fn distance(&self, other: &Self) -> u32 {
        self.hash.iter().zip(other.hash).map(|(own, other)| (own ^ other).count_ones()).sum()
    }
}

fn luma(pixel: &[u8]) -> u8 {
    let sum: u32 = pixel.iter().zip(WEIGHTS).map(|(sample, weight)| u32::from(*sample) * weight).sum();
    u8::try_from((sum + 128) / 256).unwrap_or(u8::MAX)
}

fn hash(luma: &[u8], width: usize, height: usize) -> [u64; HASH_SIDE * HASH_SIDE / WORD] {
    let mut bits = [0; HASH_SIDE * HASH_SIDE / WORD];
    if width == 0 || height == 0 {
        return bits;
    }
    let cell = |row: usize, column: usize| {
        let across = (column * width / (HASH_SIDE + 1), ((column + 1) * width / (HASH_SIDE + 1)).min(width));
        let down = (row * height / HASH_SIDE, ((row + 1) * height / HASH_SIDE).min(height));
        let (right, bottom) = (across.1.max(across.0 + 1), down.1.max(down.0 + 1));
        let rows = (down.0..bottom).map(|y| &luma[y * width + across.0..y * width + right.min(width)]);
        let sum: u64 = rows.flatten().map(|one| u64::from(*one)).sum();
        // In 256th of a grey level: fine gradients decide too.
        sum * 256 / ((right - across.0) * (bottom - down.0)) as u64
    };
    for row in 0..HASH_SIDE {
        for column in 0..HASH_SIDE {
            let place = row * HASH_SIDE + column;
            bits[place / WORD] |= u64::from(cell(row, column + 1) > cell(row, column)) << (place % WORD);
        }
    }
    bits
}

fn sharpness(luma: &[u8], width: usize, height: usize) -> f64 {
    if width < 3 || height < 3 {
        return 0.0;
    }
    let at = |x: usize, y: usize| i32::from(luma[y * width + x]);
    let (mut sum, mut squares) = (0_i64, 0_i64);
    for y in 1..height - 1 {
        for x in 1..width - 1 {
            let edge = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4 * at(x, y);
            sum += i64::from(edge);
            squares += i64::from(edge * edge);
        }
    }
    let pixels = count((width - 2) * (height - 2));
    #[expect(clippy::cast_precision_loss, reason = "sums over a picture")]
    let (sum, squares) = (sum as f64, squares as f64);
    squares / pixels - (sum / pixels).powi(2)
}

#[expect(clippy::cast_precision_loss, reason = "pixels of a picture")]
const fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trial::drawn;

    fn changed(picture: &Picture, change: impl Fn(u8) -> u8) -> Picture {
        let rgb = picture.rgb().iter().map(|sample| change(*sample)).collect();
        Picture::from_rgb(picture.width(), picture.height(), rgb)
    }

    #[test]
    fn the_same_picture_is_known_again_and_another_is_not() {
        let qualities: Vec<PictureQuality> =
            (0..12).map(|number| PictureQuality::of(&drawn(number))).collect();
        for (place, one) in qualities.iter().enumerate() {
            let picture = drawn(u32::try_from(place).unwrap());
            let darker = PictureQuality::of(&changed(&picture, |sample| sample / 4 * 3));
            assert!(one.distance(&darker) <= 16, "{}", one.distance(&darker));
            let others = qualities.iter().enumerate().filter(|(other, _)| *other != place);
            let nearest = others.map(|(_, other)| one.distance(other)).min().unwrap();
            assert!(nearest > 40, "{nearest}");
        }
    }

    #[test]
    fn surfaces_that_are_lit_from_the_same_side_are_not_the_same() {
        let surface = |number: usize| {
            let spot = |place: usize| (place + 5_000 * number).wrapping_mul(0x9E37_79B9) / 4_096 % 40;
            let sample = |x: usize, y: usize| u8::try_from(x / 2 + spot(y / 8 * 32 + x / 8)).unwrap();
            let places = (0..256 * 256).map(|place| sample(place % 256, place / 256));
            Picture::from_rgb(256, 256, places.flat_map(|sample| [sample; 3]).collect())
        };
        let (one, other) = (PictureQuality::of(&surface(1)), PictureQuality::of(&surface(2)));
        assert!(one.distance(&other) > 40, "{}", one.distance(&other));
    }

    #[test]
    fn blurred_pictures_have_few_edges_and_brightness_is_the_mean() {
        let picture = drawn(1);
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        // The mean of 9 x 9 pixels.
        let mut blurred = Vec::with_capacity(width * height * 3);
        for place in 0..width * height * 3 {
            let (x, y, channel) = (place / 3 % width, place / 3 / width, place % 3);
            let mut sum = 0;
            for down in 0..9 {
                for across in 0..9 {
                    let (x, y) = ((x + across).clamp(4, width + 3) - 4, (y + down).clamp(4, height + 3) - 4);
                    sum += u32::from(picture.rgb()[(y * width + x) * 3 + channel]);
                }
            }
            blurred.push(u8::try_from(sum / 81).unwrap());
        }
        let blurred = Picture::from_rgb(picture.width(), picture.height(), blurred);
        let (sharp, soft) = (PictureQuality::of(&picture), PictureQuality::of(&blurred));
        assert!(soft.sharpness < sharp.sharpness / 10.0, "{} of {}", soft.sharpness, sharp.sharpness);
        let black = PictureQuality::of(&changed(&picture, |_| 0));
        assert_eq!((black.brightness, black.sharpness), (0.0, 0.0));
        assert_eq!(PictureQuality::of(&Picture::from_rgb(1, 1, vec![255; 3])).brightness, 255.0);
    }
}

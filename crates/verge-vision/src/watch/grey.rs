//! One small grey picture per frame: what the health of the camera and the motion in it are judged by.

use super::noise::STEPS;
use crate::Picture;
use crate::picture::SAMPLES;

/// Pixels of a row at most.
pub const GREY_WIDTH: usize = 160;
/// Rows at most; pictures that are more than twice as high as they are wide are compressed to it.
const MAX_ROWS: usize = 2 * GREY_WIDTH;
/// Rows of the frame that make one row at most, spread evenly: more say nothing new of a scene.
const ROWS_READ: usize = 4;
/// Weights of red, green and blue (ITU-R BT.601), in 256th.
const WEIGHTS: [u32; SAMPLES] = [77, 150, 29];

/// A frame as a small grey picture: each pixel is the mean of a box of the frame's. Rows from the top.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GreyPicture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
    /// The sum behind each pixel: equal sums come of equal pixels, but for an accident.
    sums: Vec<u32>,
    /// Each pixel in steps of a grey level.
    fine: Vec<u16>,
    /// Sums of the frame's columns over the rows of one box.
    columns: Vec<u16>,
}

impl GreyPicture {
    /// Pixels of a row.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    #[must_use]
    pub const fn height(&self) -> usize {
        self.height
    }

    /// The pixels, row by row.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// The sum behind each pixel.
    pub(super) fn sums(&self) -> &[u32] {
        &self.sums
    }

    /// Each pixel in [`STEPS`] of a grey level.
    pub(super) fn fine(&self) -> &[u16] {
        &self.fine
    }

    /// Takes a frame in place of what was there. An empty picture gives an empty one.
    pub fn fill(&mut self, picture: &Picture) {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        self.width = width.min(GREY_WIDTH);
        let scaled = (height * self.width + width / 2).checked_div(width).unwrap_or(0);
        self.height = scaled.clamp(usize::from(height > 0), height.min(MAX_ROWS));
        if self.width == 0 {
            self.height = 0;
        }
        let cells = self.width * self.height;
        self.pixels.resize(cells, 0);
        self.sums.resize(cells, 0);
        self.fine.resize(cells, 0);
        self.columns.resize(width * SAMPLES, 0);
        for row in 0..self.height {
            let (top, bottom) = (row * height / self.height, (row + 1) * height / self.height);
            let read = (bottom - top).min(ROWS_READ);
            for nth in 0..read {
                let y = top + (2 * nth + 1) * (bottom - top) / (2 * read);
                let line = &picture.rgb()[y * width * SAMPLES..][..width * SAMPLES];
                add(line, &mut self.columns, nth == 0);
            }
            self.close(row, read);
        }
    }

    /// Makes one row of the columns' sums over `read` rows.
    fn close(&mut self, row: usize, read: usize) {
        let width = self.columns.len() / SAMPLES;
        let cells = row * self.width..(row + 1) * self.width;
        let sums = self.sums[cells.clone()].iter_mut().zip(&mut self.fine[cells.clone()]);
        let pixels = self.pixels[cells].iter_mut().zip(sums);
        for (column, (pixel, (sum, fine))) in pixels.enumerate() {
            let (left, right) = (column * width / self.width, (column + 1) * width / self.width);
            // A box of at most 410 columns and four rows, times 255: nothing overflows, and nobody need look whether it does.
            let mut of = [0_u32; SAMPLES];
            for one in self.columns[left * SAMPLES..right * SAMPLES].chunks_exact(SAMPLES) {
                of.iter_mut().zip(one).for_each(|(of, one)| *of = of.wrapping_add(u32::from(*one)));
            }
            let weighed: u64 =
                of.iter().zip(WEIGHTS).map(|(of, weight)| u64::from(*of) * u64::from(weight)).sum();
            let boxes = ((right - left) * read) as u64 * 256;
            *pixel = u8::try_from((weighed + boxes / 2) / boxes).unwrap_or(u8::MAX);
            *fine = u16::try_from(weighed * u64::from(STEPS) / boxes).unwrap_or(u16::MAX);
            // Times 256: less than 2^27.
            *sum = u32::try_from(weighed).unwrap_or(u32::MAX);
        }
    }
}

/// Adds a line of the frame to the sums of its columns, or begins them with it. [`ROWS_READ`] lines do not overflow them;
/// without the check for it this is done for many samples at once.
fn add(line: &[u8], columns: &mut [u16], begins: bool) {
    let both = columns.iter_mut().zip(line);
    if begins {
        both.for_each(|(sum, sample)| *sum = u16::from(*sample));
    } else {
        both.for_each(|(sum, sample)| *sum = sum.wrapping_add(u16::from(*sample)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: u32, height: u32, at: impl Fn(u32, u32) -> [u8; 3]) -> GreyPicture {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let rgb = pixels.flat_map(|(x, y)| at(x, y)).collect();
        let mut grey = GreyPicture::default();
        grey.fill(&Picture::from_rgb(width, height, rgb));
        grey
    }

    #[test]
    fn each_pixel_is_the_mean_of_its_box_in_luma() {
        let halves = grey(1920, 1080, |x, _| if x < 960 { [255, 0, 0] } else { [10, 200, 30] });
        assert_eq!((halves.width(), halves.height()), (160, 90));
        assert_eq!((halves.pixels()[79], halves.pixels()[80]), (77, 124));
        // Stripes finer than a pixel are their mean.
        let stripes = grey(960, 540, |x, _| [if x % 2 == 0 { 0 } else { 200 }; 3]);
        assert!(stripes.pixels().iter().all(|&pixel| pixel == 100));
    }

    #[test]
    fn any_size_has_a_picture_within_bounds() {
        for (size, expected) in [
            ((1, 1), (1, 1)),
            ((100, 3), (100, 3)),
            ((161, 7), (160, 7)),
            ((4000, 1), (160, 1)),
            ((3, 4000), (3, 320)),
            ((768, 432), (160, 90)),
            ((0, 0), (0, 0)),
        ] {
            let picture = grey(size.0, size.1, |_, _| [255; 3]);
            assert_eq!((picture.width(), picture.height()), expected, "{size:?}");
            assert!(picture.pixels().iter().all(|&pixel| pixel == 255), "{size:?}");
        }
    }
}

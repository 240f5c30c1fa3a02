//! How the camera's sensor records the light: slow changes of exposure, and noise.

use std::f32::consts::TAU;
use std::time::Duration;

/// Samples of the noise that is laid over pictures: more than a row has, so that rows differ.
const NOISE_SAMPLES: usize = 1 << 16;
/// Samples of a row of the picture; each row takes its noise from another place.
const ROW: usize = super::WIDTH as usize * 3;
/// How much exposure changes, as a share, and how long that takes, in seconds.
const SWINGS: [(f32, f32); 2] = [(0.05, 23.0), (0.02, 5.3)];

/// A sensor.
pub(super) struct Exposure {
    noise: Vec<i8>,
    seed: u64,
}

impl Exposure {
    /// `deviation` is the noise's standard deviation, in steps of a sample.
    pub(super) fn new(deviation: f32, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        // The sum of four even distributions is near enough to a normal one; each has variance 1/12.
        let mut normal = || ((0..4).map(|_| rng.f32()).sum::<f32>() - 2.0) * 3.0_f32.sqrt();
        let noise = (0..NOISE_SAMPLES + ROW).map(|_| (normal() * deviation).round() as i8).collect();
        Self { noise, seed }
    }

    /// Turns what falls on the sensor (four bytes a pixel, the last of no meaning) into a picture.
    pub(super) fn expose(&self, light: &[u8], at: Duration, rgb: &mut Vec<u8>) {
        let seconds = at.as_secs_f32();
        let phase = (self.seed % 1000) as f32 / 1000.0 * TAU;
        let gain = SWINGS
            .iter()
            .fold(1.0, |gain, (share, period)| gain + share * (seconds / period * TAU + phase).sin());
        let mut table = [0_i16; 256];
        for (value, entry) in table.iter_mut().enumerate() {
            *entry = (value as f32 * gain).round() as i16;
        }
        let millis = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        let mut rng = fastrand::Rng::with_seed(self.seed ^ millis.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        rgb.resize(light.len() / 4 * 3, 0);
        for (row, light) in rgb.chunks_exact_mut(ROW).zip(light.chunks_exact(ROW / 3 * 4)) {
            let noise = &self.noise[rng.usize(..NOISE_SAMPLES)..][..ROW];
            for ((pixel, light), noise) in
                row.chunks_exact_mut(3).zip(light.chunks_exact(4)).zip(noise.chunks_exact(3))
            {
                for channel in 0..3 {
                    let sample = table[usize::from(light[channel])] + i16::from(noise[channel]);
                    pixel[channel] = sample.clamp(0, 255) as u8;
                }
            }
        }
    }
}

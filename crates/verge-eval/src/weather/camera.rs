//! The camera: exposure that follows the light, noise, and what can go wrong with it.

use super::sky::Weather;
use super::street::{ACROSS, DrawnStreet};
use super::traffic::{Passing, passing};
use super::{HEIGHT, MARGIN, WIDTH};

/// What can go wrong with a camera.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CameraFault {
    /// It sends one picture again and again, but for a clock in its corner.
    Frozen,
    /// No light comes through.
    Dark,
    /// It is blinded.
    Bright,
    /// It is out of focus, by this many pixels.
    Blurred(usize),
    /// Something hides this share of the picture, from the left; it returns this much light.
    Covered(f32, f32),
    /// Dense fog, or dirt.
    Fog,
    /// It has been turned by some pixels, across and down.
    Moved(i32, i32),
    /// Every other picture is exposed too long.
    Flicker,
}

/// A camera over a street.
#[derive(Debug, Clone)]
pub struct WeatherCamera {
    street: DrawnStreet,
    weather: Weather,
    passing: Vec<Passing>,
    noise: fastrand::Rng,
    exposure: f32,
    light: Vec<f32>,
    frozen: Vec<u8>,
    frames: u64,
}

impl WeatherCamera {
    /// A camera in this weather, for this number of seconds.
    #[must_use]
    pub fn new(weather: Weather, seconds: f64, seed: u64) -> Self {
        Self {
            street: DrawnStreet::new(7),
            weather,
            passing: passing(seed, (0.0, seconds), 700.0, true),
            noise: fastrand::Rng::with_seed(seed),
            exposure: 0.45 / weather.light.max(0.05),
            light: vec![0.0; WIDTH * HEIGHT],
            frozen: Vec::new(),
            frames: 0,
        }
    }

    /// The weather from now on.
    pub const fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// The picture of a time into `rgb`: three bytes a pixel, row by row.
    pub fn render(&mut self, at: f64, fault: Option<CameraFault>, rgb: &mut Vec<u8>) {
        self.frames += 1;
        if fault == Some(CameraFault::Frozen) && !self.frozen.is_empty() {
            rgb.clone_from(&self.frozen);
            clock(self.frames, rgb);
            return;
        }
        self.draw(at, fault);
        match fault {
            Some(CameraFault::Blurred(by)) => (0..3).for_each(|_| blur(&mut self.light, by)),
            Some(CameraFault::Fog) => {
                self.light.iter_mut().for_each(|light| *light = 0.55 + 0.18 * (*light - 0.4))
            }
            Some(CameraFault::Dark) => self.light.fill(0.0),
            Some(CameraFault::Bright) => self.light.fill(1.4),
            Some(CameraFault::Covered(share, light)) => self.cover(share, light),
            _ => {}
        }
        if fault == Some(CameraFault::Flicker) && self.frames.is_multiple_of(2) {
            self.light.iter_mut().for_each(|light| *light *= 1.7);
        }
        self.expose(rgb);
        self.frozen.clone_from(rgb);
    }

    fn cover(&mut self, share: f32, light: f32) {
        let width = (share * WIDTH as f32) as usize;
        for row in self.light.chunks_exact_mut(WIDTH) {
            row[..width].fill(light);
        }
    }

    fn draw(&mut self, at: f64, fault: Option<CameraFault>) {
        let (right, down) = match fault {
            Some(CameraFault::Moved(right, down)) => (right, down),
            _ => (0, 0),
        };
        let place = |of: usize, by: i32| usize::try_from(of as i32 + by).unwrap_or(0);
        let (left, top) = (place(MARGIN, right), place(MARGIN, down));
        let sky = self.weather.light_at(at);
        // The eye of the camera follows the light within a second or so, and only so far.
        let wanted = (0.45 / sky.max(0.004)).min(12.0);
        self.exposure += 0.15 * (wanted - self.exposure);
        let exposure = self.exposure;
        let night = (1.0 - sky * 4.0).clamp(0.0, 1.0);
        let fog = self.weather.fog;
        for (y, row) in self.light.chunks_exact_mut(WIDTH).enumerate() {
            for (x, light) in row.iter_mut().enumerate() {
                let at = (top + y) * ACROSS + left + x;
                let shown = self.street.albedo[at] * (sky + 0.06 * night * self.street.lamps[at])
                    + 0.02 * night * self.street.lamps[at];
                let hidden = fog * self.street.distance[at];
                *light = exposure * (shown * (1.0 - hidden) + 0.7 * sky * hidden);
            }
        }
        for passing in &self.passing {
            let Some((x, y)) = passing.place(at) else { continue };
            let paint = exposure * passing.paint * (sky + 0.01 * night);
            let (x, y) = (x - left as i64, y as i64 - top as i64);
            paint_box(&mut self.light, (x, y), (passing.width, passing.height), paint);
            let third = (passing.width / 3) as i64;
            paint_box(
                &mut self.light,
                (x + third, y + 2),
                (passing.width / 3, passing.height / 3),
                paint * 0.3,
            );
            if passing.is_lit && night > 0.0 {
                let front = if passing.is_rightward() { x + passing.width as i64 } else { x - 40 };
                shine(&mut self.light, (front, y), passing.height, exposure * 0.25 * night);
            }
        }
        for _ in 0..self.weather.rain {
            let (x, y) = (self.noise.usize(0..WIDTH), self.noise.usize(0..HEIGHT - 8));
            for drop in 0..6 {
                self.light[(y + drop) * WIDTH + x] += 0.08;
            }
        }
    }

    /// Light becomes levels, with the noise that much exposure brings.
    fn expose(&mut self, rgb: &mut Vec<u8>) {
        rgb.clear();
        let noise = 1.6 + 0.6 * self.exposure.min(12.0);
        for light in &self.light {
            let spread = noise * (self.noise.f32() + self.noise.f32() + self.noise.f32() - 1.5);
            let level = (255.0 * light.clamp(0.0, 1.0).powf(0.8) + spread).clamp(0.0, 255.0) as u8;
            rgb.extend([level, level, level.saturating_sub(4)]);
        }
    }
}

fn paint_box(light: &mut [f32], (left, top): (i64, i64), (width, height): (usize, usize), value: f32) {
    let within = |at: i64, end: usize| usize::try_from(at.max(0)).unwrap_or(0).min(end);
    let (right, bottom) = (within(left + width as i64, WIDTH), within(top + height as i64, HEIGHT));
    for y in within(top, HEIGHT)..bottom {
        light[y * WIDTH..][within(left, WIDTH).min(right)..right].fill(value);
    }
}

/// A cone of light before a vehicle.
fn shine(light: &mut [f32], (left, top): (i64, i64), height: usize, value: f32) {
    for y in top.max(0)..(top + height as i64).clamp(0, HEIGHT as i64) {
        for x in left.max(0)..(left + 40).clamp(0, WIDTH as i64) {
            light[y as usize * WIDTH + x as usize] += value;
        }
    }
}

/// One pass of a box filter in both directions.
fn blur(light: &mut [f32], by: usize) {
    let mut line = Vec::new();
    for (step, length, lines, next) in [(1, WIDTH, HEIGHT, WIDTH), (WIDTH, HEIGHT, WIDTH, 1)] {
        for start in (0..lines).map(|nth| nth * next) {
            line.clear();
            line.extend((0..length).map(|at| light[start + at * step]));
            for at in 0..length {
                let part = &line[at.saturating_sub(by)..(at + by + 1).min(length)];
                light[start + at * step] = part.iter().sum::<f32>() / part.len() as f32;
            }
        }
    }
}

/// A clock that counts pictures in a corner.
fn clock(frames: u64, rgb: &mut [u8]) {
    for (bit, x) in (0..16).map(|bit| (bit, 8 + 2 * bit)) {
        let level = if frames >> bit & 1 == 1 { 255 } else { 0 };
        for y in 4..8 {
            rgb[(y * WIDTH + x) * 3..][..6].fill(level);
        }
    }
}

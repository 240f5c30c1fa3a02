//! What stands in the street: how much light each place returns, and which places shine by night.

use super::{HEIGHT, MARGIN, WIDTH};

pub(super) const ACROSS: usize = WIDTH + 2 * MARGIN;
pub(super) const DOWN: usize = HEIGHT + 2 * MARGIN;
/// Where the sky ends and where the road begins, in rows.
const HORIZON: usize = MARGIN + 50;
pub(super) const ROAD: usize = MARGIN + 105;

/// A drawn street.
#[derive(Debug, Clone)]
pub(super) struct DrawnStreet {
    /// Share of light that each place returns, row by row.
    pub(super) albedo: Vec<f32>,
    /// Light that lamps and windows give by night.
    pub(super) lamps: Vec<f32>,
    /// How far away each place is, 0 to 1: fog hides what is far.
    pub(super) distance: Vec<f32>,
}

impl DrawnStreet {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut albedo = vec![0.0; ACROSS * DOWN];
        let mut lamps = vec![0.0; ACROSS * DOWN];
        let distance = (0..ACROSS * DOWN).map(|at| distance(at / ACROSS)).collect();
        for (at, place) in albedo.iter_mut().enumerate() {
            let y = at / ACROSS;
            let base = if y < HORIZON {
                0.8
            } else if y < ROAD {
                0.34
            } else {
                0.27
            };
            *place = base + 0.02 * (random.f32() - 0.5);
        }
        let mut left = 0;
        while left < ACROSS {
            let width = random.usize(30..70);
            let top = HORIZON - random.usize(10..40);
            let wall = 0.2 + 0.5 * random.f32();
            fill(&mut albedo, (left, top), (width, ROAD - 12 - top), wall);
            windows(&mut albedo, &mut lamps, (left, top, width), &mut random);
            left += width + random.usize(0..16);
        }
        for lane in 0..3 {
            let y = ROAD + 18 + 28 * lane;
            (0..ACROSS).step_by(26).for_each(|x| fill(&mut albedo, (x, y), (13, 3), 0.75));
        }
        fill(&mut albedo, (0, ROAD - 12), (ACROSS, 3), 0.6);
        for tree in 0..5 {
            let (x, y) = (20 + 85 * tree + random.usize(0..30), ROAD - 30);
            fill(&mut albedo, (x, y), (4, 26), 0.12);
            for _ in 0..260 {
                let (dx, dy) = (random.usize(0..26), random.usize(0..24));
                let leaf = 0.08 + 0.22 * random.f32();
                fill(&mut albedo, ((x + dx).saturating_sub(11), y - 18 + dy), (2, 2), leaf);
            }
        }
        for post in 0..4 {
            let x = 35 + 110 * post;
            fill(&mut albedo, (x, ROAD - 70), (3, 64), 0.5);
            glow(&mut lamps, (x as f32, (ROAD - 70) as f32), 34.0, 0.5);
        }
        Self { albedo, lamps, distance }
    }
}

fn distance(y: usize) -> f32 {
    if y < HORIZON { 1.0 } else { 1.0 - 0.85 * (y - HORIZON) as f32 / (DOWN - HORIZON) as f32 }
}

fn windows(
    albedo: &mut [f32],
    lamps: &mut [f32],
    (left, top, width): (usize, usize, usize),
    random: &mut fastrand::Rng,
) {
    for y in (top + 5..ROAD - 24).step_by(11) {
        for x in (left + 4..(left + width).saturating_sub(7)).step_by(9) {
            fill(albedo, (x, y), (5, 6), 0.1);
            if random.f32() < 0.25 {
                fill(lamps, (x, y), (5, 6), 1.6);
            }
        }
    }
}

fn fill(places: &mut [f32], (left, top): (usize, usize), (width, height): (usize, usize), value: f32) {
    for y in top..(top + height).min(DOWN) {
        for x in left..(left + width).min(ACROSS) {
            places[y * ACROSS + x] = value;
        }
    }
}

fn glow(lamps: &mut [f32], (x, y): (f32, f32), reach: f32, light: f32) {
    for (at, place) in lamps.iter_mut().enumerate() {
        let (dx, dy) = ((at % ACROSS) as f32 - x, 0.7 * ((at / ACROSS) as f32 - y));
        *place += light * (-(dx * dx + dy * dy) / (reach * reach)).exp();
    }
}

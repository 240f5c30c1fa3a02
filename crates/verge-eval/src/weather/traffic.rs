//! What drives through the street, and what passes close before the camera.

use super::street::{ACROSS, ROAD};

/// Something that drives by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passing {
    /// When it comes, and how many pixels it moves in a second.
    from: f64,
    speed: f64,
    top: usize,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) paint: f32,
    pub(super) is_lit: bool,
}

impl Passing {
    /// Left and top edge at a time, in pixels of the street; `None` while it is elsewhere.
    pub(super) fn place(&self, at: f64) -> Option<(i64, usize)> {
        let way = (at - self.from) * self.speed.abs();
        let whole = (ACROSS + self.width) as f64;
        let left = way - self.width as f64;
        let left = if self.speed < 0.0 { ACROSS as f64 - way } else { left };
        (0.0..whole).contains(&way).then_some((left as i64, self.top))
    }

    /// Whether it drives to the right.
    pub(super) const fn is_rightward(&self) -> bool {
        self.speed > 0.0
    }
}

/// Who drives in a span of time, at this many an hour.
pub(super) fn passing(seed: u64, (from, to): (f64, f64), per_hour: f64, trucks: bool) -> Vec<Passing> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut at = from - 20.0;
    let mut all = Vec::new();
    while at < to {
        at += -(1.0 - random.f64()).ln() * 3600.0 / per_hour;
        let lane = random.usize(0..3);
        let is_rightward = lane > 0;
        let speed = (60.0 + 120.0 * random.f64()) * if is_rightward { 1.0 } else { -1.0 };
        let is_close = trucks && random.f32() < 0.04;
        let (width, height) = if is_close { (330, 150) } else { (34 + 10 * lane, 16 + 4 * lane) };
        let top = if is_close { ROAD - 100 } else { ROAD + 4 + 28 * lane };
        let paint = if random.bool() { 0.05 + 0.3 * random.f32() } else { 0.5 + 0.45 * random.f32() };
        let speed = if is_close { 170.0 * speed.signum() } else { speed };
        all.push(Passing { from: at, speed, top, width, height, paint, is_lit: true });
    }
    all
}

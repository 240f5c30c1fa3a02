//! Forty signals of ten kinds: noise of five kinds, and what machines send, a reading a minute.

use std::f64::consts::TAU;

/// Minutes of a day.
pub(crate) const DAY: usize = 1440;

/// Noise that is the same every time: xorshift (Marsaglia 2003) and Box and Muller.
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.uniform(), self.uniform());
        (-2.0 * radius.ln()).sqrt() * (TAU * angle).cos()
    }
}

/// What moves all machines: the load of the plant, and whether each of four pumps runs.
pub(crate) struct Plant {
    noise: Noise,
    load: f64,
    runs: [bool; 4],
}

/// Minutes for which a pump runs on average.
const RUNS: [f64; 4] = [720.0, 2_880.0, 10_080.0, 4_320.0];
/// Minutes for which it stands.
const STANDS: f64 = 45.0;

impl Plant {
    pub(crate) fn new(seed: u64) -> Self {
        Self { noise: Noise::new(seed), load: 0.0, runs: [true; 4] }
    }

    pub(crate) fn pass(&mut self, minute: usize) {
        let (hour, day) = (minute % DAY / 60, minute / DAY % 7);
        let wanted = if day < 5 && (6..22).contains(&hour) { 0.8 } else { 0.4 };
        self.load += 0.02 * (wanted - self.load) + 0.01 * self.noise.normal();
        for (runs, mean) in self.runs.iter_mut().zip(RUNS) {
            let mean = if *runs { mean } else { STANDS };
            if self.noise.uniform() < 1.0 / mean {
                *runs = !*runs;
            }
        }
    }
}

/// One signal.
pub(crate) struct Signal {
    pub(crate) kind: usize,
    pump: usize,
    noise: Noise,
    state: f64,
    tank: f64,
    fills: bool,
}

impl Signal {
    pub(crate) fn new(number: usize, seed: u64) -> Self {
        let noise = Noise::new(1_000 + 7_919 * seed + number as u64);
        Self { kind: number % 10, pump: number / 10 % 4, noise, state: 0.0, tank: 50.0, fills: true }
    }

    pub(crate) fn value(&mut self, plant: &Plant, minute: usize) -> f64 {
        let (noise, runs) = (&mut self.noise, plant.runs[self.pump]);
        let rounded = |value: f64, step: f64| (value / step).round() * step;
        match self.kind {
            // A temperature with a daily course.
            0 => {
                self.state = 0.98 * self.state + 0.2 * noise.normal();
                let day = (TAU * minute as f64 / DAY as f64).sin();
                rounded(60.0 + 4.0 * day + 0.3 * self.state, 0.1)
            }
            // A pressure and a flow that follow the load.
            1 => 4.0 + 1.2 * plant.load + 0.03 * noise.normal(),
            2 => 20.0 + 30.0 * plant.load + 0.5 * noise.normal(),
            // The vibration and the current of a pump with stops.
            3 if runs => rounded((2.5 + 0.4 * plant.load) * (0.12 * noise.normal()).exp(), 0.01),
            3 => rounded(0.05 + 0.01 * noise.normal().abs(), 0.01),
            5 if runs => 12.0 + 5.0 * plant.load + 0.15 * noise.normal(),
            5 => 0.02 * noise.normal().abs(),
            // A tank that fills and empties.
            4 => {
                self.tank += if self.fills { 0.4 } else { -0.25 } + 0.02 * noise.normal();
                self.fills = if self.fills { self.tank <= 85.0 } else { self.tank < 25.0 };
                rounded(self.tank, 0.1)
            }
            6 => {
                self.state = 0.9 * self.state + noise.normal();
                self.state
            }
            7 => noise.normal().exp(),
            8 => {
                self.state = 0.99 * self.state + noise.normal();
                rounded(self.state, 0.5)
            }
            _ => {
                let square: f64 = (0..3).map(|_| noise.normal().powi(2)).sum();
                noise.normal() / (square / 3.0).sqrt()
            }
        }
    }
}

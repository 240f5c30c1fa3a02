//! What sensors send, and when. Made from a seed alone.

use super::SentReading;

/// SplitMix64.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// In the open interval from 0 to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.bits() >> 12) as f64 + 0.5) / (1u64 << 52) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }
}

/// A kind of signal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    White,
    /// AR(1) with this coefficient.
    Wander(f64),
    /// The same, rounded to tenths of its innovation.
    FineWander(f64),
    DailySine,
    DailySineBare,
    DailySineRounded,
    /// Whole numbers around 20.
    Integers,
    /// Whole numbers from 0 to 9, evenly.
    Digits,
    /// The same value except for a jitter once in a thousand readings.
    Constant,
    /// Nothing but one value.
    Still,
    /// On for some tens of readings, off for some tens.
    OnOff,
    /// On or off by the toss of a coin.
    Coin,
    /// On, off, on, off.
    Toggle,
    /// One more every ten readings or so.
    Counter,
    /// Student's t with two degrees of freedom.
    HeavyTails,
    /// Cauchy.
    WildTails,
}

pub(crate) const SHAPES: [Shape; 20] = [
    Shape::White,
    Shape::Wander(0.5),
    Shape::Wander(0.99),
    Shape::Wander(0.9999),
    Shape::Wander(-0.9),
    Shape::FineWander(0.9),
    Shape::FineWander(0.999),
    Shape::FineWander(0.99999),
    Shape::DailySine,
    Shape::DailySineBare,
    Shape::DailySineRounded,
    Shape::Integers,
    Shape::Digits,
    Shape::Constant,
    Shape::Still,
    Shape::OnOff,
    Shape::Coin,
    Shape::Toggle,
    Shape::Counter,
    Shape::HeavyTails,
];

/// A sensor without a fault.
#[derive(Debug, Clone)]
pub(crate) struct Sensor {
    pub(crate) shape: Shape,
    pub(crate) random: Random,
    state: f64,
    count: u64,
    left: u64,
}

impl Sensor {
    pub(crate) fn new(shape: Shape, seed: u64) -> Self {
        let mut random = Random(seed);
        // A different time of the day in each trial.
        let count = (random.unit() * 86_400.0) as u64;
        Self { shape, random, state: 0.0, count, left: 0 }
    }

    pub(crate) fn next(&mut self) -> f64 {
        self.count += 1;
        let daily = 20.0 + 10.0 * (std::f64::consts::TAU * self.count as f64 / 86_400.0).sin();
        let random = &mut self.random;
        match self.shape {
            Shape::White => 20.0 + random.normal(),
            Shape::Wander(keeps) => {
                self.state = keeps * self.state + random.normal();
                20.0 + self.state
            }
            Shape::FineWander(keeps) => {
                self.state = keeps * self.state + random.normal();
                (self.state * 10.0).round() / 10.0
            }
            Shape::DailySine => daily + 0.05 * random.normal(),
            Shape::DailySineBare => daily,
            Shape::DailySineRounded => ((daily + 0.03 * random.normal()) * 10.0).round() / 10.0,
            Shape::Integers => (20.0 + 1.5 * random.normal()).round(),
            Shape::Digits => (random.unit() * 10.0).floor(),
            Shape::Constant if random.chance(0.001) => 20.0 + 0.1 * random.normal(),
            Shape::Constant | Shape::Still => 20.0,
            Shape::OnOff => {
                if self.left == 0 {
                    self.left = 10 + (-40.0 * random.unit().ln()) as u64;
                    self.state = 1.0 - self.state;
                }
                self.left -= 1;
                self.state
            }
            Shape::Coin => f64::from(u8::from(random.chance(0.5))),
            Shape::Toggle => (self.count % 2) as f64,
            Shape::Counter => {
                self.state += f64::from(u8::from(random.chance(0.1)));
                self.state
            }
            Shape::HeavyTails => 20.0 + random.normal() / (-random.unit().ln()).sqrt(),
            Shape::WildTails => 20.0 + random.normal() / random.normal(),
        }
    }
}

/// When readings arrive, a second apart on average.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arrival {
    /// On the second, and the device gives no time.
    Regular,
    /// The device is on time; the network delays by up to half a second, rarely by some.
    Jittered,
    /// By chance: exponential gaps.
    Random,
    /// Ten readings in a message, newest first.
    Batched,
    /// The clock is four seconds ahead and stays so.
    Ahead,
}

pub(crate) const ARRIVALS: [Arrival; 5] =
    [Arrival::Regular, Arrival::Jittered, Arrival::Random, Arrival::Batched, Arrival::Ahead];

/// A sensor and how its readings arrive.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) sensor: Sensor,
    arrival: Arrival,
    count: i64,
    at_ms: i64,
}

impl Line {
    pub(crate) fn new(shape: Shape, arrival: Arrival, seed: u64) -> Self {
        Self { sensor: Sensor::new(shape, seed), arrival, count: 0, at_ms: 0 }
    }

    pub(crate) fn next(&mut self) -> SentReading {
        let value = self.sensor.next();
        let random = &mut self.sensor.random;
        self.count += 1;
        let captured_ms = self.count * 1000;
        let late_ms = 20 + (random.unit() * 500.0) as i64;
        match self.arrival {
            Arrival::Regular => SentReading { value, at_ms: captured_ms, captured_ms: None },
            Arrival::Jittered => {
                let late_ms = if random.chance(0.001) { late_ms * 6 } else { late_ms };
                self.at_ms = self.at_ms.max(captured_ms + late_ms);
                SentReading { value, at_ms: self.at_ms, captured_ms: Some(captured_ms) }
            }
            Arrival::Random => {
                self.at_ms += 1 + (-1000.0 * random.unit().ln()) as i64;
                SentReading { value, at_ms: self.at_ms, captured_ms: Some(self.at_ms - late_ms) }
            }
            Arrival::Batched => {
                let (batch, place) = ((self.count - 1) / 10, (self.count - 1) % 10);
                let at_ms = (batch + 1) * 10_000;
                SentReading { value, at_ms, captured_ms: Some(at_ms - 200 - place * 1000) }
            }
            Arrival::Ahead => {
                self.at_ms = self.at_ms.max(captured_ms + late_ms);
                SentReading { value, at_ms: self.at_ms, captured_ms: Some(captured_ms + 4000) }
            }
        }
    }
}

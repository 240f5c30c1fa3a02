//! Another plant with the same tags, as somebody else would write it: nothing of [`super::process`] but the names. The load
//! follows a sine of the day, machines stop at random and at once, noise depends on itself, nothing is cut off.

use fastrand::Rng;

use super::process::{Wander, hour_of, weekday_of};
use super::tags::{PlantTag, TAGS};
use super::{DAY_S, normal};

/// Machines that stop by themselves.
const MACHINES: [&str; 4] = ["pump-1", "pump-2", "pump-3", "compressor"];
/// How much is moved where a tag has no size of faults.
const SWINGS: [(&str, f64); 4] = [("m3/h", 25.0), ("bar", 0.6), ("m", 2.0), ("A", 12.0)];

/// What goes on in it.
#[derive(Debug)]
pub(super) struct PlainProcess {
    rng: Rng,
    interval_s: f64,
    now_s: i64,
    load_wander: Wander,
    /// Of each machine: whether it runs, and until when; how warm it is, from 0 to 1.
    machines: [(bool, i64, f64); MACHINES.len()],
    /// Of each tag: noise that depends on itself, how full a tank is and whether it fills, when its day begins.
    wander: Vec<Wander>,
    tanks: Vec<(f64, bool)>,
    phase: Vec<f64>,
    count: f64,
}

impl PlainProcess {
    pub(super) fn new(seed: u64, begin_s: i64, interval_s: i64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let returns = |tag: &PlantTag| if ["pH", "uS/cm", ""].contains(&tag.unit) { 20_000.0 } else { 300.0 };
        let wander =
            TAGS.iter().map(|tag| Wander::new(&mut rng, 0.03 * swing_of(tag), returns(tag))).collect();
        let tanks = TAGS.iter().map(|_| (rng.f64(), rng.bool())).collect();
        let phase = TAGS.iter().map(|_| 9.0 + 2.0 * rng.f64()).collect();
        let load_wander = Wander::new(&mut rng, 0.06, 1800.0);
        let machines = std::array::from_fn(|_| (true, begin_s + rng.i64(0..DAY_S), 1.0));
        let interval_s = interval_s as f64;
        Self { rng, interval_s, now_s: begin_s, load_wander, machines, wander, tanks, phase, count: 5_000.0 }
    }

    pub(super) fn advance(&mut self, now_s: i64) {
        self.now_s = now_s;
        let (rng, seconds) = (&mut self.rng, self.interval_s);
        self.wander.iter_mut().chain([&mut self.load_wander]).for_each(|one| one.advance(rng, seconds));
        for (runs, until_s, warm) in &mut self.machines {
            if now_s >= *until_s {
                *runs = !*runs;
                *until_s += if *runs { rng.i64(DAY_S / 3..2 * DAY_S) } else { rng.i64(900..7200) };
            }
            *warm += (f64::from(u8::from(*runs)) - *warm) * (seconds / 1200.0).min(1.0);
        }
        let load = self.load();
        for (level, fills) in &mut self.tanks {
            *level += seconds / 3600.0 * if *fills { 0.4 } else { -0.15 * (0.5 + load) };
            *fills = if *fills { *level < 0.95 } else { *level < 0.1 };
        }
        self.count += (seconds * load / 3.0).round();
    }

    fn load(&self) -> f64 {
        let day = std::f64::consts::TAU * (hour_of(self.now_s) - 8.0) / 24.0;
        let week = if weekday_of(self.now_s) < 5 { 1.0 } else { 0.7 };
        (week * (0.65 + 0.2 * day.sin()) + self.load_wander.now).clamp(0.05, 1.0)
    }

    /// What the sensor of a tag measures, its noise included.
    pub(super) fn value(&mut self, place: usize) -> f64 {
        let tag = &TAGS[place];
        let (swing, load) = (swing_of(tag), self.load());
        let machine = MACHINES.iter().position(|machine| *machine == tag.device);
        let (runs, _, warm) = machine.map_or((true, 0, 1.0), |machine| self.machines[machine]);
        let runs = f64::from(u8::from(runs));
        let day = std::f64::consts::TAU * (hour_of(self.now_s) - self.phase[place]) / 24.0;
        let noise = self.wander[place].now + 0.02 * swing * normal(&mut self.rng);
        match (tag.unit, tag.signal) {
            (_, "run") => runs,
            (_, "count") => self.count,
            ("Cel", _) if machine.is_some() => 25.0 + 4.0 * day.sin() + warm * 1.5 * swing + noise,
            ("Cel", _) if tag.device == "furnace" => 850.0 + noise,
            ("Cel", _) => 20.0 + 0.4 * swing * day.sin() + noise,
            ("mm/s", _) => (0.1 + runs * (2.0 * swing + 0.3 * swing * load + noise)).abs(),
            ("m", _) => 0.5 + swing * self.tanks[place].0 + 0.1 * noise,
            ("" | "uS/cm", _) => 8.0 * swing + 3.0 * noise,
            (_, _) => 0.05 * swing + runs * (1.5 * swing + swing * load) + noise,
        }
    }
}

fn swing_of(tag: &PlantTag) -> f64 {
    let named = SWINGS.iter().find(|(unit, _)| *unit == tag.unit).map_or(1.0, |(_, swing)| *swing);
    if tag.swing > 0.0 { tag.swing } else { named }
}

//! What goes on in the plant: shifts and weekends, weather, machines that start and stop, tanks, controllers, people.

use fastrand::Rng;

use super::{DAY_S, PlantRun, PlantVariety, normal};

/// A quantity that wanders about zero and returns (Ornstein and Uhlenbeck 1930).
#[derive(Debug, Clone, Copy)]
pub(super) struct Wander {
    pub(super) now: f64,
    deviation: f64,
    returns_in_s: f64,
}

impl Wander {
    pub(super) fn new(rng: &mut Rng, deviation: f64, returns_in_s: f64) -> Self {
        Self { now: deviation * normal(rng), deviation, returns_in_s }
    }

    pub(super) fn advance(&mut self, rng: &mut Rng, seconds: f64) {
        let kept = (-seconds / self.returns_in_s).exp();
        self.now = kept * self.now + self.deviation * (1.0 - kept * kept).sqrt() * normal(rng);
    }
}

/// A stretch of time, in UTC seconds.
type Stretch = (i64, i64);

/// What an operator sets.
#[derive(Debug, Clone, Copy)]
struct SetPoint {
    from_s: i64,
    header_bar: f64,
    furnace: f64,
    line: f64,
}

/// The state of everything that the sensors look at. Times of day are UTC.
#[derive(Debug)]
pub struct PlantProcess {
    rng: Rng,
    interval_s: f64,
    now_s: i64,
    /// The line is stopped for maintenance.
    line_stops: Vec<Stretch>,
    /// The first pump is stopped.
    pump_stops: Vec<Stretch>,
    set_points: Vec<SetPoint>,
    weather: Wander,
    moisture: Wander,
    load_wander: Wander,
    flow_wander: Wander,
    pump_wander: [Wander; 3],
    buffer: Wander,
    zones: [Wander; 2],
    acid: Wander,
    salt: Wander,
    throttle: Wander,
    load: f64,
    pub(super) hall: f64,
    pub(super) supply: f64,
    pub(super) back: f64,
    pub(super) fan: f64,
    /// How far each pump has run up: `0..=1`.
    pub(super) runs: [f64; 3],
    pub(super) bearing: [f64; 3],
    pub(super) levels: [f64; 2],
    emptying: bool,
    filling: bool,
    pub(super) tank_temperature: f64,
    furnace: f64,
    pub(super) header: f64,
    pub(super) loaded: bool,
    pub(super) oil: f64,
    clogged: f64,
    pub(super) count: f64,
}

/// The load of a line that stands.
const IDLE: f64 = 0.02;

impl PlantProcess {
    /// A plant that has been running for a while.
    pub(super) fn new(seed: u64, begin_s: i64, run: PlantRun, variety: PlantVariety) -> Self {
        let mut rng = Rng::with_seed(seed);
        let days = run.days();
        let mut wander = |deviation, hours: f64| Wander::new(&mut rng, deviation, hours * 3600.0);
        let (weather, moisture) = (wander(2.0, 40.0), wander(4.0, 6.0));
        let (load_wander, flow_wander) = (wander(0.025, 0.4), wander(1.2, 0.1));
        let pump_wander = [wander(0.08, 1.0), wander(0.06, 1.0), wander(0.08, 1.0)];
        let (buffer, zones) = (wander(0.1, 2.0), [wander(1.2, 0.3), wander(1.4, 0.4)]);
        let (acid, salt, throttle) = (wander(0.05, 8.0), wander(15.0, 20.0), wander(1.2, 0.1));
        Self {
            line_stops: line_stops(&mut rng, begin_s, days, variety),
            pump_stops: pump_stops(&mut rng, begin_s, days),
            set_points: set_points(&mut rng, begin_s, days),
            interval_s: run.interval_s() as f64,
            now_s: begin_s,
            weather,
            moisture,
            load_wander,
            flow_wander,
            pump_wander,
            buffer,
            zones,
            acid,
            salt,
            throttle,
            load: shift_load(begin_s),
            hall: 22.0,
            supply: 18.5,
            back: 27.0,
            fan: 45.0,
            runs: [1.0, 0.0, 1.0],
            bearing: [52.0, 35.0, 50.0],
            levels: [1.8, 1.9],
            emptying: false,
            filling: false,
            tank_temperature: 31.0,
            furnace: 840.0,
            header: 6.6,
            loaded: false,
            oil: 74.0,
            clogged: 0.25,
            count: 184_000.0,
            rng,
        }
    }

    /// Lets one interval pass.
    pub(super) fn advance(&mut self, now_s: i64) {
        self.now_s = now_s;
        let (rng, seconds) = (&mut self.rng, self.interval_s);
        let slow = [&mut self.weather, &mut self.moisture, &mut self.acid, &mut self.salt, &mut self.buffer];
        let quick = [&mut self.load_wander, &mut self.flow_wander, &mut self.throttle];
        let machines = self.pump_wander.iter_mut().chain(&mut self.zones);
        slow.into_iter().chain(quick).chain(machines).for_each(|one| one.advance(rng, seconds));

        let stopped = within(&self.line_stops, now_s);
        let wanted = if stopped { IDLE } else { shift_load(now_s) };
        self.load = nearer(self.load, wanted, seconds, 600.0);
        self.machines(stopped);
        self.heat();
        self.tanks();
        self.air();
        self.clogged += seconds * 1.1e-5 * (0.3 + self.load_now());
        if self.clogged > 0.6 {
            self.clogged = 0.2;
        }
        self.count += (self.line_speed() * seconds / 60.0 / 1.2).floor();
    }

    fn machines(&mut self, stopped: bool) {
        let (hour, weekday) = (hour_of(self.now_s), weekday_of(self.now_s));
        let day_shift = weekday < 5 && (6.0..22.0).contains(&hour);
        let wanted = [!within(&self.pump_stops, self.now_s), self.emptying, day_shift && !stopped];
        for (run, wanted) in self.runs.iter_mut().zip(wanted) {
            *run = nearer(*run, f64::from(u8::from(wanted)), self.interval_s, 6.0);
        }
    }

    fn heat(&mut self) {
        let (load, outdoor, seconds) = (self.load_now(), self.outdoor(), self.interval_s);
        self.hall = nearer(self.hall, 16.5 + 0.25 * outdoor + 4.0 * load, seconds, 5400.0);
        self.fan =
            nearer(self.fan, (25.0 + 2.0 * (outdoor - 8.0) + 35.0 * load).clamp(10.0, 100.0), seconds, 300.0);
        self.supply = nearer(self.supply, 16.5 + 0.15 * (outdoor - 8.0) + 2.0 * load, seconds, 900.0);
        self.back = nearer(self.back, self.supply + 3.0 + 6.0 * load, seconds, 600.0);
        for (bearing, run) in self.bearing.iter_mut().zip(self.runs) {
            *bearing = nearer(*bearing, self.hall + run * (21.0 + 9.0 * load), seconds, 1500.0);
        }
        self.tank_temperature = nearer(self.tank_temperature, 12.0 + 0.9 * self.hall, seconds, 10_800.0);
        self.furnace = nearer(self.furnace, self.set_point().furnace, seconds, 700.0);
        let oil = if self.loaded { 82.0 } else { 68.0 } + 0.3 * (self.hall - 22.0);
        self.oil = nearer(self.oil, oil, seconds, 600.0);
    }

    fn tanks(&mut self) {
        let (load, minutes) = (self.load_now(), self.interval_s / 60.0);
        let [sump, batch] = &mut self.levels;
        *sump += minutes * (0.02 * (0.4 + load) - 0.06 * self.runs[1]);
        self.emptying = if self.emptying { *sump > 1.2 } else { *sump > 3.2 };
        let inflow = if self.filling { 0.06 } else { 0.0 };
        *batch = (*batch + minutes * (inflow - 0.012 * load)).max(0.0);
        self.filling = if self.filling { *batch < 2.8 } else { *batch < 0.6 };
    }

    fn air(&mut self) {
        let (load, minutes) = (self.load_now(), self.interval_s / 60.0);
        let set = self.set_point().header_bar;
        let made = if self.loaded { 0.17 } else { 0.0 };
        self.header += minutes * (made - 0.025 - 0.06 * load);
        self.loaded = if self.loaded { self.header < set + 0.35 } else { self.header < set - 0.35 };
    }

    fn set_point(&self) -> SetPoint {
        let until_now = self.set_points.iter().rev().find(|one| one.from_s <= self.now_s);
        *until_now.unwrap_or(&self.set_points[0])
    }

    fn load_now(&self) -> f64 {
        self.load * (1.0 + self.load_wander.now)
    }

    pub(super) fn outdoor(&self) -> f64 {
        let day = std::f64::consts::TAU * (hour_of(self.now_s) - 9.0) / 24.0;
        8.0 + 4.0 * day.sin() + self.weather.now
    }

    pub(super) fn humidity(&self) -> f64 {
        (48.0 + 1.2 * (8.0 - self.outdoor()) + self.moisture.now).clamp(15.0, 95.0)
    }

    pub(super) fn cooling_flow(&self) -> f64 {
        40.0 + 42.0 * self.load_now() + self.flow_wander.now
    }

    /// What the pumps differ in: how much they move, how strongly they push, what they draw, how they shake.
    const PUMPS: [[f64; 4]; 3] = [[60.0, 6.0, 22.0, 1.7], [85.0, 3.4, 27.0, 2.1], [48.0, 4.2, 18.0, 1.9]];

    pub(super) fn pump_flow(&self, pump: usize) -> f64 {
        let drawn = if pump == 1 { 0.0 } else { 50.0 * self.load_now() };
        self.runs[pump] * (Self::PUMPS[pump][0] + drawn)
    }

    pub(super) fn pump_pressure(&self, pump: usize) -> f64 {
        let [_, pressure, ..] = Self::PUMPS[pump];
        let head = if pump == 1 { 0.12 * self.levels[0] } else { -0.5 * (self.load_now() - 0.5) };
        0.9 + self.runs[pump] * (pressure - 0.9 + head)
    }

    pub(super) fn pump_current(&self, pump: usize) -> f64 {
        let drawn = if pump == 1 { 0.0 } else { 14.0 * self.load_now() };
        self.runs[pump] * (Self::PUMPS[pump][2] + drawn)
    }

    pub(super) fn pump_vibration(&self, pump: usize) -> f64 {
        let drawn = 0.6 * self.load_now() + self.pump_wander[pump].now;
        (0.18 + self.runs[pump] * (Self::PUMPS[pump][3] + drawn)).max(0.05)
    }

    pub(super) fn buffer_level(&self) -> f64 {
        2.0 + self.buffer.now + 0.2 * (self.load_now() - 0.5)
    }

    pub(super) fn zone(&self, zone: usize) -> f64 {
        let swing = (self.now_s as f64 / 720.0 * std::f64::consts::TAU + zone as f64).sin();
        self.furnace - 8.0 * zone as f64 + 1.5 * swing + self.zones[zone].now
    }

    pub(super) fn furnace_power(&self) -> f64 {
        let error = self.set_point().furnace - self.furnace;
        (110.0 + 70.0 * self.load_now() + 0.3 * (self.furnace - 840.0) + 1.2 * error).max(20.0)
    }

    pub(super) fn filter_pressure(&self) -> f64 {
        self.clogged * (self.pump_flow(0) / 95.0).powi(2)
    }

    pub(super) fn line_speed(&self) -> f64 {
        let load = self.load_now();
        if load < 0.1 { 0.0 } else { self.set_point().line * (0.5 + 0.6 * load) }
    }

    pub(super) fn ph(&self) -> f64 {
        7.4 + self.acid.now
    }

    pub(super) fn conductivity(&self) -> f64 {
        520.0 + self.salt.now + 40.0 * (self.load_now() - 0.5)
    }

    pub(super) fn valve(&self) -> f64 {
        (22.0 + 55.0 * self.load_now() + self.throttle.now).clamp(0.0, 100.0)
    }
}

/// What follows something with a delay.
fn nearer(now: f64, wanted: f64, seconds: f64, delay_s: f64) -> f64 {
    wanted + (now - wanted) * (-seconds / delay_s).exp()
}

fn within(stretches: &[Stretch], now_s: i64) -> bool {
    stretches.iter().any(|(from, to)| (*from..*to).contains(&now_s))
}

pub(super) fn hour_of(now_s: i64) -> f64 {
    now_s.rem_euclid(DAY_S) as f64 / 3600.0
}

/// Days since Monday; the first day of 1970 was a Thursday.
pub(super) fn weekday_of(now_s: i64) -> i64 {
    (now_s.div_euclid(DAY_S) + 3).rem_euclid(7)
}

/// What the shifts run, with their breaks.
fn shift_load(now_s: i64) -> f64 {
    let hour = hour_of(now_s);
    let shift = match (weekday_of(now_s), hour) {
        (5, 6.0..14.0) => 0.6,
        (5 | 6, _) => 0.4,
        (_, 6.0..14.0) => 0.85,
        (_, 14.0..22.0) => 0.78,
        (_, _) => 0.62,
    };
    let pause =
        [(9.0, 9.25), (12.0, 12.5), (18.0, 18.5)].iter().any(|(from, to)| (*from..*to).contains(&hour));
    if pause { shift - 0.08 } else { shift }
}

/// Each week on one working day the line stops for one to three hours.
fn line_stops(rng: &mut Rng, begin_s: i64, days: i64, variety: PlantVariety) -> Vec<Stretch> {
    let monday = begin_s - begin_s.rem_euclid(DAY_S) - DAY_S * weekday_of(begin_s);
    let weeks = days / 7 + 2;
    let mut stop = |week: i64| {
        let from = monday + DAY_S * (7 * week + rng.i64(0..5)) + 3600 * rng.i64(9..13) + rng.i64(0..3600);
        (from, from + rng.i64(3600..3 * 3600))
    };
    let mut stops: Vec<Stretch> = (0..weeks).map(&mut stop).collect();
    if variety == PlantVariety::Weekends {
        let saturday = |week: i64| monday + DAY_S * (7 * week + 5) + 14 * 3600;
        stops.extend((0..weeks).map(saturday).map(|from| (from, from + 40 * 3600)));
    }
    stops
}

/// Some twice a week the first pump stops for a while.
fn pump_stops(rng: &mut Rng, begin_s: i64, days: i64) -> Vec<Stretch> {
    let mut stop = |number: i64| {
        let from = begin_s + DAY_S * 7 / 2 * number + rng.i64(0..DAY_S * 7 / 2);
        (from, from + rng.i64(1200..3600))
    };
    (0..(2 * days / 7).max(1)).map(&mut stop).collect()
}

/// Two or three times a week an operator sets something else, within what was set before too.
fn set_points(rng: &mut Rng, begin_s: i64, days: i64) -> Vec<SetPoint> {
    let mut now = SetPoint { from_s: begin_s, header_bar: 6.5, furnace: 840.0, line: 24.0 };
    let mut all = vec![now];
    loop {
        now.from_s += rng.i64(DAY_S..4 * DAY_S);
        if now.from_s > begin_s + days * DAY_S {
            return all;
        }
        match rng.u8(0..3) {
            0 => now.header_bar = [6.4, 6.5, 6.6][rng.usize(0..3)],
            1 => now.furnace = [830.0, 840.0, 850.0][rng.usize(0..3)],
            _ => now.line = [22.0, 24.0, 26.0][rng.usize(0..3)],
        }
        all.push(now);
    }
}

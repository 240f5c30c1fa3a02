//! The map: which register and which discrete input says what. Pure; `docs/modbus.md` is its description.

use verge_domain::board::LastWord;
use verge_domain::finding::{Expected, Member};
use verge_domain::frame::Detections;
use verge_domain::id::SignalId;
use verge_domain::image::{AlarmState, ImagePoint, PointQuality};
use verge_domain::settable::SettableLimit;
use verge_domain::time::{DeviceClock, UtcMillis};
use verge_domain::verdict::{Body, Counts, DirectionCounts, Severity, Traffic};

use crate::FailSafe;

/// The version of the map. What stands in it keeps its place; a change that older programs could misread gets a new number.
pub const MAP_VERSION: u16 = 1;
/// The highest block: the last whose registers have addresses.
pub const MAX_BLOCK: u16 = 2043;

/// Where the points begin, in registers and in discrete inputs.
const POINTS_AT: usize = 100;
pub(crate) const BLOCK_REGISTERS: usize = 32;
pub(crate) const BLOCK_INPUTS: usize = 8;
pub(crate) const GATEWAY_REGISTERS: usize = 10;

/// What a server reads from.
pub(crate) trait Tables {
    /// Blocks up to the last that is in use.
    fn blocks(&self) -> usize;
    fn version(&self) -> &str;
    /// All as of one moment.
    fn registers(&self, from: usize, count: usize) -> Vec<u16>;
    fn inputs(&self, from: usize, count: usize) -> Vec<bool>;
    fn point_of_coil(&self, address: u16) -> Option<usize>;
    /// Holding registers: where the limits are.
    fn holding(&self, from: usize, count: usize) -> Vec<u16>;
    /// The limit that begins at a register or that it is the second of, and whether that may be set to a value.
    fn limit_at(&self, address: u16) -> Option<LimitPlace>;
}

/// A limit in the map.
pub(crate) struct LimitPlace {
    pub(crate) point: usize,
    pub(crate) limit: SettableLimit,
    /// Its first register.
    pub(crate) address: u16,
}

/// The first input register of a block.
#[must_use]
pub fn register_of(block: u16) -> usize {
    POINTS_AT + BLOCK_REGISTERS * usize::from(block)
}

/// The first discrete input of a block.
#[must_use]
pub fn input_of(block: u16) -> usize {
    POINTS_AT + BLOCK_INPUTS * usize::from(block)
}

/// The coil that acknowledges the alarm of a block.
#[must_use]
pub fn coil_of(block: u16) -> usize {
    input_of(block)
}

pub(crate) fn registers_end(blocks: usize) -> usize {
    POINTS_AT + BLOCK_REGISTERS * blocks
}

pub(crate) fn inputs_end(blocks: usize) -> usize {
    POINTS_AT + BLOCK_INPUTS * blocks
}

/// Which block an address lies in, and where in it.
pub(crate) fn place(address: usize, size: usize) -> Option<(usize, usize)> {
    let behind = address.checked_sub(POINTS_AT)?;
    Some((behind / size, behind % size))
}

/// A point as it is shown.
pub(crate) struct ShownPoint<'a> {
    pub(crate) point: &'a ImagePoint,
    /// Events that it has raised.
    pub(crate) raised: u32,
    /// Of what is counted before a camera, the line or zone.
    pub(crate) place: Option<&'a SignalId>,
    pub(crate) quality: PointQuality,
    pub(crate) alarm: AlarmState,
    /// Since its device was last received, in tenths of a second.
    pub(crate) age: u16,
    pub(crate) fail_safe: FailSafe,
}

impl ShownPoint<'_> {
    /// Its registers.
    pub(crate) fn registers(&self, member_number: fn(Member) -> u16) -> [u16; BLOCK_REGISTERS] {
        let mut registers = [0; BLOCK_REGISTERS];
        let mut put = |at: usize, values: &[u16]| {
            if let Some(places) = registers.get_mut(at..at + values.len()) {
                places.copy_from_slice(values);
            }
        };
        let alarm = match self.alarm {
            AlarmState::Normal => 0,
            AlarmState::Unacknowledged => 1,
            AlarmState::Acknowledged => 2,
            AlarmState::Shelved => 4,
            AlarmState::Suppressed => 5,
        };
        let quality = match self.quality {
            PointQuality::Never => 0,
            PointQuality::Good => 1,
            PointQuality::Uncertain => 2,
            PointQuality::Stale => 3,
        };
        let severity = match self.point.severity() {
            None => 0,
            Some(Severity::Info) => 1,
            Some(Severity::Warning) => 2,
            Some(Severity::Critical) => 3,
        };
        put(0, &[quality, alarm, severity, self.age]);
        put(4, &long(self.point.newest().map_or(0, |word| seconds(time_of(word)))));
        put(6, &[float(None), float(None), float(None)].concat());
        if let Some(word) = &self.point.event {
            let (member, observed, expected, p_value) = match &word.verdict.body {
                Body::Anomaly(anomaly) => {
                    (Some(anomaly.member), anomaly.observed, anomaly.expected, anomaly.p_value)
                }
                Body::Health(health) => (Some(health.cause), health.observed, health.expected, None),
                _ => (None, f64::NAN, Expected::default(), None),
            };
            put(6, &[float(Some(observed)), float(expected.low), float(expected.high)].concat());
            put(12, &[scaled(p_value.map(|p| -p.log10()), 1000.0)]);
            put(13, &[member.map_or(0, |member| member_number(member).saturating_add(1))]);
        }
        put(14, &[(self.raised & 0xffff) as u16]);
        let counted = match body_of(self.point.counts.as_deref()) {
            Some(Body::Counts(counts)) => Some(CountedInterval::of_loop(counts)),
            Some(Body::Traffic(traffic)) => Some(CountedInterval::of_camera(traffic, self.place)),
            _ => None,
        };
        if let Some(CountedInterval { from, length_ms, observed_ms, total, occupancy, speed, flow, more }) =
            counted
        {
            let share = (length_ms > 0).then(|| observed_ms as f64 / length_ms as f64);
            put(16, &[capped(total.unwrap_or(0)), scaled(occupancy, 1000.0), scaled(speed, 10.0)]);
            put(19, &[scaled(share, 1000.0)]);
            put(20, &long(seconds(from)));
            put(22, &[scaled(flow, 1.0)]);
            put(26, &more);
        }
        match body_of(self.point.view.as_deref()) {
            Some(Body::Detections(Detections { objects, .. })) => {
                let best = objects.first().map(|object| f64::from(object.score.thousandths()));
                put(23, &[capped(objects.len() as u64), 0, scaled(best, 10.0)]);
            }
            Some(Body::Classification(view)) => {
                let best = view.labels.first().map(|label| f64::from(label.score.thousandths()));
                put(25, &[scaled(best, 10.0)]);
            }
            _ => {}
        }
        registers
    }

    /// Its discrete inputs.
    pub(crate) fn inputs(&self) -> [bool; BLOCK_INPUTS] {
        let active = self.point.open().is_some();
        let doubtful = self.quality != PointQuality::Good;
        [
            active,
            self.alarm == AlarmState::Unacknowledged,
            doubtful,
            self.presence(doubtful),
            self.alarm == AlarmState::Shelved,
            self.point.severity() == Some(Severity::Critical),
            false,
            false,
        ]
    }

    /// Whether somebody is there: an event is open, or the newest view shows an object.
    fn presence(&self, doubtful: bool) -> bool {
        let seen = match body_of(self.point.view.as_deref()) {
            Some(Body::Detections(view)) => !view.objects.is_empty(),
            _ => false,
        };
        match self.fail_safe {
            FailSafe::Call if doubtful => true,
            FailSafe::NoCall if doubtful => false,
            FailSafe::Call | FailSafe::NoCall | FailSafe::Hold => self.point.open().is_some() || seen,
        }
    }
}

/// What was counted in an interval.
struct CountedInterval {
    from: UtcMillis,
    length_ms: u64,
    observed_ms: u64,
    total: Option<u64>,
    occupancy: Option<f64>,
    speed: Option<f64>,
    flow: Option<f64>,
    /// Forward, backward and unresolved of a line; mean, greatest and last queue of a zone.
    more: [u16; 6],
}

impl CountedInterval {
    fn of_loop(counts: &Counts) -> Self {
        let Counts { from, length_ms, observed_ms, vehicles, flow_per_hour, occupancy, mean_speed, .. } =
            *counts;
        let (total, flow, speed, more) = (vehicles, flow_per_hour, mean_speed, [0; 6]);
        Self { from, length_ms, observed_ms, total, occupancy, speed, flow, more }
    }

    /// Of a zone or line, or of all lines together.
    fn of_camera(traffic: &Traffic, place: Option<&SignalId>) -> Self {
        let Traffic { from, length_ms, observed_ms, lines, zones, .. } = traffic;
        let (total, occupancy, speed, flow, more) = (None, None, None, None, [0; 6]);
        let (from, length_ms, observed_ms) = (*from, *length_ms, *observed_ms);
        let whole = Self { from, length_ms, observed_ms, total, occupancy, speed, flow, more };
        let per_hour = |total: Option<u64>| {
            total.filter(|_| observed_ms > 0).map(|total| total as f64 * 3.6e6 / observed_ms as f64)
        };
        let Some(place) = place.map(SignalId::as_str) else {
            let total = traffic.crossings();
            return Self { total, flow: per_hour(total), ..whole };
        };
        if let Some(zone) = zones.iter().find(|zone| zone.zone.as_str() == place) {
            let queues = [
                scaled(zone.queue_mean, 10.0),
                capped(zone.queue_max.unwrap_or(0)),
                capped(zone.queue_end.unwrap_or(0)),
            ];
            let [mean, most, last] = queues;
            return Self {
                total: zone.entered,
                occupancy: zone.occupancy,
                speed: zone.mean_speed.map(kilometres_per_hour),
                flow: per_hour(zone.entered),
                more: [0, 0, 0, mean, most, last],
                ..whole
            };
        }
        let Some(line) = lines.iter().find(|line| line.line.as_str() == place) else { return whole };
        let directions = [&line.forward, &line.backward];
        let [forward, backward] = directions.map(|one| one.as_ref().map(|one| one.total));
        let total = forward.zip(backward).map(|(one, other)| one.saturating_add(other));
        let unresolved = capped(line.unresolved);
        Self {
            total,
            speed: mean_speed(directions.into_iter().flatten()).map(kilometres_per_hour),
            flow: per_hour(total),
            more: [capped(forward.unwrap_or(0)), capped(backward.unwrap_or(0)), unresolved, 0, 0, 0],
            ..whole
        }
    }
}

/// Of both directions together, each by what it counted.
fn mean_speed<'a>(directions: impl Iterator<Item = &'a DirectionCounts>) -> Option<f64> {
    let known = directions.filter_map(|one| Some((one.mean_speed?, one.total as f64)));
    let (sum, weight) =
        known.fold((0.0, 0.0), |(sum, all), (speed, total)| (sum + speed * total, all + total));
    (weight > 0.0).then(|| sum / weight)
}

fn kilometres_per_hour(metres_per_second: f64) -> f64 {
    metres_per_second * 3.6
}

fn body_of(word: Option<&LastWord>) -> Option<&Body> {
    word.map(|word| &word.verdict.body)
}

/// The time of what a verdict says: the device's where its clock is trusted.
fn time_of(word: &LastWord) -> UtcMillis {
    let times = word.verdict.times;
    times.captured.filter(|_| times.clock == DeviceClock::Trusted).unwrap_or(times.received)
}

/// Whole seconds since 1970, until 2106.
pub(crate) fn seconds(time: UtcMillis) -> u32 {
    u32::try_from(time.0.div_euclid(1000).max(0)).unwrap_or(u32::MAX)
}

/// High word first.
pub(crate) fn long(value: u32) -> [u16; 2] {
    [(value >> 16) as u16, (value & 0xffff) as u16]
}

/// The same of a number; not a number where there is none.
pub(crate) fn float(value: Option<f64>) -> [u16; 2] {
    long((value.unwrap_or(f64::NAN) as f32).to_bits())
}

/// In units of a fraction; 0 where there is none, and 65535 at most.
fn scaled(value: Option<f64>, by: f64) -> u16 {
    value.map_or(0, |value| (value * by).round().clamp(0.0, 65_535.0) as u16)
}

pub(crate) fn capped(value: u64) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;

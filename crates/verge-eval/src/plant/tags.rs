//! The tags of the plant.

use super::PlantVariety;
use super::process::PlantProcess;

/// What one sensor reports.
#[derive(Debug, Clone, Copy)]
pub struct PlantTag {
    /// Its device.
    pub device: &'static str,
    /// Its signal.
    pub signal: &'static str,
    /// Unit of the signal; empty for none.
    pub unit: &'static str,
    /// Step of the sensor.
    pub step: f64,
    /// Standard deviation of its noise.
    pub noise: f64,
    /// What lies below is reported as zero, as transmitters of flow and current do; zero for none.
    pub cutoff: f64,
    /// How far the signal usually moves within a day, for the size of faults; zero for tags that have no faults.
    pub swing: f64,
    /// What it measures.
    pub value: fn(&PlantProcess) -> f64,
}

impl PlantTag {
    /// A value as a sensor of this variety reports it.
    #[must_use]
    pub fn quantise(&self, value: f64, variety: PlantVariety) -> f64 {
        let is_off = self.cutoff > 0.0 && value < self.cutoff;
        let (value, step) = match variety {
            PlantVariety::Usual | PlantVariety::Weekends if is_off => return 0.0,
            PlantVariety::Usual | PlantVariety::Weekends => (value, self.step),
            // What stands reports what its transmitter is off by.
            PlantVariety::Coarse if is_off => return 0.4,
            // Counters count.
            PlantVariety::Coarse | PlantVariety::Fine | PlantVariety::Plain if self.noise == 0.0 => {
                (value, self.step)
            }
            PlantVariety::Plain => (value, self.step / 10.0),
            PlantVariety::Coarse => (value, 4.0 * self.step),
            PlantVariety::Fine => (value, self.step / 1000.0),
            PlantVariety::Clamped => (self.clamped(value), self.step),
        };
        let steps = (value / step).round();
        // Tenths and hundredths have no exact steps: multiplied by one they print as 20.300000000000001.
        if step < 1.0 { steps / (1.0 / step).round() } else { steps * step }
    }

    /// What is measured ends where the range of the sensor does: below nothing, beyond a full tank, an open valve.
    fn clamped(&self, value: f64) -> f64 {
        match self.unit {
            "%" if self.swing == 25.0 => (1.8 * value - 40.0).clamp(0.0, 100.0),
            "%" => value.min(60.0),
            "m" if self.swing > 1.0 => value.min(2.7),
            "m3/h" | "A" | "m/min" | "mm/s" => value.max(0.0),
            _ => value,
        }
    }
}

const fn tag(
    (device, signal, unit): (&'static str, &'static str, &'static str),
    (step, noise, swing): (f64, f64, f64),
    value: fn(&PlantProcess) -> f64,
) -> PlantTag {
    // Where a machine stands, its current and flow are exactly nothing.
    let cutoff = match unit.as_bytes() {
        b"A" | b"m3/h" | b"m/min" => 1.0,
        _ => 0.0,
    };
    PlantTag { device, signal, unit, step, noise, cutoff, swing, value }
}

/// All of them.
pub const TAGS: [PlantTag; 40] = [
    tag(("weather", "temperature", "Cel"), (0.1, 0.08, 10.0), |p| p.outdoor()),
    tag(("hall", "temperature", "Cel"), (0.1, 0.05, 4.0), |p| p.hall),
    tag(("hall", "humidity", "%"), (1.0, 0.6, 15.0), |p| p.humidity()),
    tag(("cooling", "temperature_supply", "Cel"), (0.1, 0.06, 3.0), |p| p.supply),
    tag(("cooling", "temperature_return", "Cel"), (0.1, 0.06, 6.0), |p| p.back),
    tag(("cooling", "flow", "m3/h"), (0.1, 0.5, 25.0), |p| p.cooling_flow()),
    tag(("cooling", "pressure", "bar"), (0.01, 0.015, 0.5), |p| {
        2.4 + 0.9 * (p.cooling_flow() / 85.0).powi(2)
    }),
    tag(("cooling", "fan_speed", "%"), (1.0, 0.3, 35.0), |p| p.fan),
    tag(("pump-1", "flow", "m3/h"), (0.1, 0.6, 30.0), |p| p.pump_flow(0)),
    tag(("pump-1", "pressure", "bar"), (0.01, 0.02, 0.6), |p| p.pump_pressure(0)),
    tag(("pump-1", "current", "A"), (0.1, 0.15, 12.0), |p| p.pump_current(0)),
    tag(("pump-1", "vibration", "mm/s"), (0.01, 0.06, 0.8), |p| p.pump_vibration(0)),
    tag(("pump-1", "temperature_bearing", "Cel"), (0.1, 0.1, 6.0), |p| p.bearing[0]),
    tag(("pump-2", "flow", "m3/h"), (0.1, 0.5, 0.0), |p| p.pump_flow(1)),
    tag(("pump-2", "pressure", "bar"), (0.01, 0.02, 0.0), |p| p.pump_pressure(1)),
    tag(("pump-2", "current", "A"), (0.1, 0.1, 25.0), |p| p.pump_current(1)),
    tag(("pump-2", "vibration", "mm/s"), (0.01, 0.04, 2.0), |p| p.pump_vibration(1)),
    tag(("pump-2", "temperature_bearing", "Cel"), (0.1, 0.1, 15.0), |p| p.bearing[1]),
    tag(("pump-3", "pressure", "bar"), (0.01, 0.02, 0.0), |p| p.pump_pressure(2)),
    tag(("pump-3", "current", "A"), (0.1, 0.1, 25.0), |p| p.pump_current(2)),
    tag(("pump-3", "vibration", "mm/s"), (0.01, 0.05, 2.0), |p| p.pump_vibration(2)),
    tag(("pump-3", "temperature_bearing", "Cel"), (0.1, 0.1, 20.0), |p| p.bearing[2]),
    tag(("pump-3", "run", ""), (1.0, 0.0, 0.0), |p| p.runs[2].round()),
    tag(("tank-1", "level", "m"), (0.01, 0.008, 2.0), |p| p.levels[0]),
    tag(("tank-2", "level", "m"), (0.01, 0.008, 2.2), |p| p.levels[1]),
    tag(("tank-3", "level", "m"), (0.01, 0.006, 0.5), |p| p.buffer_level()),
    tag(("tank-1", "temperature", "Cel"), (0.1, 0.05, 3.0), |p| p.tank_temperature),
    tag(("furnace", "temperature_zone_1", "Cel"), (0.5, 0.5, 25.0), |p| p.zone(0)),
    tag(("furnace", "temperature_zone_2", "Cel"), (0.5, 0.5, 25.0), |p| p.zone(1)),
    tag(("furnace", "power", "kW"), (1.0, 1.5, 45.0), |p| p.furnace_power()),
    tag(("compressor", "pressure", "bar"), (0.01, 0.01, 0.7), |p| p.header),
    tag(("compressor", "current", "A"), (0.1, 0.5, 55.0), |p| if p.loaded { 88.0 } else { 34.0 }),
    tag(("compressor", "temperature_oil", "Cel"), (0.1, 0.1, 8.0), |p| p.oil),
    tag(("compressor", "vibration", "mm/s"), (0.01, 0.08, 1.0), |p| if p.loaded { 3.1 } else { 2.2 }),
    tag(("filter", "pressure_difference", "bar"), (0.001, 0.004, 0.3), |p| p.filter_pressure()),
    tag(("line", "speed", "m/min"), (0.1, 0.15, 12.0), |p| p.line_speed()),
    tag(("line", "count", ""), (1.0, 0.0, 0.0), |p| p.count),
    tag(("water", "ph", ""), (0.01, 0.01, 0.25), |p| p.ph()),
    tag(("water", "conductivity", "uS/cm"), (1.0, 1.5, 60.0), |p| p.conductivity()),
    tag(("valve", "position", "%"), (0.1, 0.2, 25.0), |p| p.valve()),
];

//! The demo's six sensors: what each would publish at an instant, faults included.
//!
//! Values are functions of time and of a small deterministic noise, so every run shows the same story at
//! any length: each fault has its place as a share of the run.

use std::time::Duration;

use serde_json::json;

/// One simulated sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sensor {
    /// Vibration level of a pump, mm/s; exceeds its limit for a while, and its sensor sticks for another.
    PumpVibration,
    /// Temperature of a bearing, °C; rises too fast for a while.
    BearingTemperature,
    /// Level of a tank, %; falls silent for a while.
    TankLevel,
    /// Flow behind the pump, m³/h; too low for a while.
    FlowMeter,
    /// Inductive loop in the northern lane.
    LoopNorth,
    /// Inductive loop in the southern lane.
    LoopSouth,
}

/// A message as a device would publish it.
pub(super) struct SensorMessage {
    pub(super) topic: &'static str,
    pub(super) payload: Vec<u8>,
}

/// When a fault is present, as shares of the run.
struct FaultSpan {
    from: f64,
    to: f64,
}

const VIBRATION_HIGH: FaultSpan = FaultSpan { from: 0.20, to: 0.45 };
const BEARING_RISE: FaultSpan = FaultSpan { from: 0.35, to: 0.55 };
const TANK_SILENT: FaultSpan = FaultSpan { from: 0.40, to: 0.70 };
const VIBRATION_STUCK: FaultSpan = FaultSpan { from: 0.70, to: 0.80 };
const FLOW_LOW: FaultSpan = FaultSpan { from: 0.60, to: 0.80 };

impl FaultSpan {
    fn present(&self, share: f64) -> bool {
        (self.from..self.to).contains(&share)
    }
}

impl Sensor {
    pub(super) const ALL: [Self; 6] = [
        Self::PumpVibration,
        Self::BearingTemperature,
        Self::TankLevel,
        Self::FlowMeter,
        Self::LoopNorth,
        Self::LoopSouth,
    ];

    /// The name it connects under.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::PumpVibration => "pump-1",
            Self::BearingTemperature => "bearing-1",
            Self::TankLevel => "tank-1",
            Self::FlowMeter => "flow-1",
            Self::LoopNorth => "loop-north",
            Self::LoopSouth => "loop-south",
        }
    }

    /// Pause between two of its messages.
    pub(super) const fn period(self) -> Duration {
        match self {
            Self::PumpVibration => Duration::from_millis(5),
            Self::BearingTemperature | Self::FlowMeter => Duration::from_millis(50),
            Self::TankLevel => Duration::from_millis(250),
            // As often as a controller looks at its inputs.
            Self::LoopNorth | Self::LoopSouth => Duration::from_millis(20),
        }
    }

    /// Its message number `index`, `elapsed` into a run of length `run`; `None` while it is silent.
    /// `at_ms` is the device's clock, UTC ms.
    pub(super) fn sample(
        self,
        index: u64,
        elapsed: Duration,
        run: Duration,
        at_ms: i64,
    ) -> Option<SensorMessage> {
        let seconds = elapsed.as_secs_f64();
        let share = seconds / run.as_secs_f64();
        let noise = noise(self, index);
        let (topic, payload) = match self {
            Self::PumpVibration => {
                let fault = if VIBRATION_HIGH.present(share) { 4.5 } else { 0.0 };
                let stuck = VIBRATION_STUCK.present(share);
                let value = if stuck { 3.9 } else { 3.8 + 0.4 * (seconds * 0.9).sin() + 0.2 * noise + fault };
                ("plant/pump-1/vibration", format!("{value:.3}").into_bytes())
            }
            Self::BearingTemperature => {
                let heated = (share.min(BEARING_RISE.to) - BEARING_RISE.from).max(0.0) * run.as_secs_f64();
                let cooled = ((share - BEARING_RISE.to).max(0.0) * run.as_secs_f64() * 0.3).min(heated * 1.8);
                let value = 61.0 + 1.8 * heated - cooled + 0.05 * noise;
                let message = json!({ "ts": at_ms, "bearing": { "temperature": round(value) } });
                ("plant/bearing-1/state", message.to_string().into_bytes())
            }
            Self::TankLevel => {
                if TANK_SILENT.present(share) {
                    return None;
                }
                let value = 72.0 - 0.05 * seconds + 0.1 * noise;
                let pack = json!([{ "bn": "tank-1:", "n": "level", "u": "%", "v": round(value) }]);
                ("plant/tank-1/senml", pack.to_string().into_bytes())
            }
            Self::FlowMeter => {
                let fault = if FLOW_LOW.present(share) { -6.0 } else { 0.0 };
                let value = 9.5 + 0.5 * (seconds * 0.4).cos() + 0.15 * noise + fault;
                let line = format!("flow,meter=flow-1 rate={value:.3} {}", i128::from(at_ms) * 1_000_000);
                ("plant/flow-1/telegraf", line.into_bytes())
            }
            Self::LoopNorth | Self::LoopSouth => {
                let (occupied, speed) = self.traffic(seconds);
                let message =
                    json!({ "ts": at_ms, "occupied": u8::from(occupied), "speed": round(speed + noise) });
                let topic = if self == Self::LoopNorth { "road/loop-north" } else { "road/loop-south" };
                (topic, message.to_string().into_bytes())
            }
        };
        Some(SensorMessage { topic, payload })
    }

    /// Vehicles pass at a steady headway: whether one stands on the loop now, and how fast traffic moves.
    fn traffic(self, seconds: f64) -> (bool, f64) {
        let (headway, dwell, speed) =
            if self == Self::LoopNorth { (1.6, 0.45, 47.0) } else { (2.7, 0.4, 54.0) };
        (seconds % headway < dwell, speed)
    }
}

fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Noise in -1..1, the same for the same sensor and message number in every run.
fn noise(sensor: Sensor, index: u64) -> f64 {
    fastrand::Rng::with_seed(index * 8 + sensor as u64).f64() * 2.0 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_lies_within_the_run_and_only_the_tank_falls_silent() {
        let run = Duration::from_secs(30);
        for sensor in Sensor::ALL {
            let samples = (0..30_000)
                .step_by(500)
                .map(|millis| sensor.sample(millis, Duration::from_millis(millis), run, 1_700_000_000_000));
            let silent = samples.filter(Option::is_none).count();
            assert_eq!(silent > 0, sensor == Sensor::TankLevel, "{}", sensor.name());
        }
        for fault in [VIBRATION_HIGH, BEARING_RISE, TANK_SILENT, VIBRATION_STUCK, FLOW_LOW] {
            assert!(
                0.0 < fault.from && fault.from < fault.to && fault.to < 0.9,
                "it must have time to clear"
            );
        }
    }

    #[test]
    fn noise_is_bounded_and_not_constant() {
        let values: Vec<f64> = (0..1000).map(|index| noise(Sensor::TankLevel, index)).collect();
        assert!(values.iter().all(|value| (-1.0..=1.0).contains(value)));
        let mean = values.iter().sum::<f64>() / 1000.0;
        assert!(mean.abs() < 0.1 && values.iter().any(|value| *value > 0.9));
    }
}

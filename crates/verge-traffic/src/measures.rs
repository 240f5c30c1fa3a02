//! What detectors measure in an interval, and its sum over several.

use verge_domain::time::UtcMillis;
use verge_domain::verdict::{Body, Counts, DirectionCounts, Traffic, Verdict};

use crate::counts::{CountsOf, Direction};

/// Kilometres per hour in a metre per second.
const KMH: f64 = 3.6;

/// The classes of vehicles of the signal exchange list, in this order.
pub(crate) const CLASSES: [&str; 9] = ["P", "PS", "L", "LS", "B", "SP", "MC", "C", "F"];

/// What was measured; what is not known of any part is not known of the sum.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Measures {
    /// Less than the whole was observed.
    partial: bool,
    vehicles: Option<u64>,
    /// Speeds in km/h, weighted by vehicles, and the weights.
    speed: Option<(f64, f64)>,
    /// Share of time, weighted by the time observed, and that time.
    occupancy: Option<(f64, f64)>,
    classes: Option<[Option<u64>; CLASSES.len()]>,
}

/// What one verdict measures: when its interval began, and what.
pub(crate) fn measured(of: &CountsOf, verdict: &Verdict) -> Option<(UtcMillis, Measures)> {
    match &verdict.body {
        Body::Counts(counts) => fits(of, counts.length_ms).then(|| (counts.from, of_loop(of, counts))),
        Body::Traffic(traffic) => fits(of, traffic.length_ms).then(|| (traffic.from, of_camera(of, traffic))),
        _ => None,
    }
}

/// Intervals of a judge that was set otherwise before are none of these.
fn fits(of: &CountsOf, length_ms: u64) -> bool {
    of.interval.length_ms() == length_ms
}

fn of_loop(of: &CountsOf, counts: &Counts) -> Measures {
    let factor = of.speed_unit.in_kilometres_per_hour();
    let weight = weight_of(counts.vehicles);
    Measures {
        partial: counts.partial,
        vehicles: counts.vehicles,
        speed: counts.mean_speed.map(|speed| (speed * factor * weight, weight)),
        occupancy: counts.occupancy.map(|share| weighted(share, counts.observed_ms)),
        classes: None,
    }
}

fn of_camera(of: &CountsOf, traffic: &Traffic) -> Measures {
    let lines = traffic.lines.iter().filter(|line| of.line.as_ref().is_none_or(|only| line.line == *only));
    let crossings: Option<Vec<&DirectionCounts>> = lines
        .flat_map(|line| match of.direction {
            Direction::Both => vec![&line.forward, &line.backward],
            Direction::Forward => vec![&line.forward],
            Direction::Backward => vec![&line.backward],
        })
        .map(Option::as_ref)
        .collect();
    let crossings = crossings.filter(|crossings| !crossings.is_empty());
    let speeds = crossings.iter().flatten().filter_map(|one| {
        let weight = weight_of(Some(one.total));
        one.mean_speed.map(|speed| (speed * KMH * weight, weight))
    });
    let zone = match &of.zone {
        Some(zone) => traffic.zones.iter().find(|one| one.zone == *zone),
        None => traffic.zones.first().filter(|_| traffic.zones.len() == 1),
    };
    Measures {
        partial: !traffic.partial.is_empty(),
        vehicles: crossings.as_ref().map(|all| all.iter().map(|one| one.total).fold(0, u64::saturating_add)),
        speed: speeds.reduce(|(sum, weights), (speed, weight)| (sum + speed, weights + weight)),
        occupancy: zone.and_then(|zone| zone.occupancy).map(|share| weighted(share, traffic.observed_ms)),
        classes: crossings.map(|all| {
            let labels = || all.iter().flat_map(|one| &one.classes);
            CLASSES.map(|class| {
                let names = labels_of(class)?;
                let of_class = labels().filter(|one| names.contains(&one.label.as_str()));
                Some(of_class.map(|one| one.count).fold(0, u64::saturating_add))
            })
        }),
    }
}

/// Labels of models that stand for a class; with trailers there are none.
fn labels_of(class: &str) -> Option<&'static [&'static str]> {
    match class {
        "P" => Some(&["car", "van"]),
        "L" => Some(&["truck", "lorry"]),
        "B" => Some(&["bus"]),
        "SP" => Some(&["tram", "train"]),
        "MC" => Some(&["motorcycle", "motorbike"]),
        "C" => Some(&["bicycle", "cyclist"]),
        "F" => Some(&["person", "pedestrian"]),
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "vehicles and milliseconds of an interval")]
fn weight_of(vehicles: Option<u64>) -> f64 {
    vehicles.unwrap_or(1).max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "vehicles and milliseconds of an interval")]
fn weighted(share: f64, observed_ms: u64) -> (f64, f64) {
    (share * observed_ms as f64, observed_ms as f64)
}

impl Measures {
    /// Adds a later part of the same interval.
    pub(crate) fn add(&mut self, part: &Self) {
        let both = |one: Option<(f64, f64)>, other: Option<(f64, f64)>| {
            one.zip(other).map(|((sum, weights), (more, weight))| (sum + more, weights + weight))
        };
        self.partial |= part.partial;
        self.vehicles = self.vehicles.zip(part.vehicles).map(|(one, other)| one.saturating_add(other));
        // Nothing has a speed while nothing comes: that makes the others no less known.
        self.speed = both(self.speed, part.speed).or(self.speed).or(part.speed);
        self.occupancy = both(self.occupancy, part.occupancy);
        self.classes = self.classes.zip(part.classes).map(|(one, other)| {
            std::array::from_fn(|class| {
                one[class].zip(other[class]).map(|(one, other)| one.saturating_add(other))
            })
        });
    }

    /// Less than the whole was observed.
    pub(crate) const fn is_partial(&self) -> bool {
        self.partial
    }

    /// Vehicles.
    pub(crate) const fn vehicles(&self) -> Option<u64> {
        self.vehicles
    }

    /// Their mean speed in km/h.
    pub(crate) fn speed(&self) -> Option<f64> {
        self.speed.map(|(sum, weights)| sum / weights)
    }

    /// Share of the time observed, `0..=1`.
    pub(crate) fn occupancy(&self) -> Option<f64> {
        self.occupancy.map(|(sum, weights)| sum / weights)
    }

    /// Vehicles of a class of [`CLASSES`].
    pub(crate) fn of_class(&self, name: &str) -> Option<u64> {
        let class = CLASSES.iter().position(|class| *class == name)?;
        self.classes?.get(class).copied().flatten()
    }
}

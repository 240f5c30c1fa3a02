//! Counts against the truth.

use std::collections::BTreeMap;

use verge_scene::{SceneInterval, SceneReport};

use super::BEGIN;
use super::detector::BoxNoise;
use super::headway::Headways;
use super::scenario::Scenario;
use super::truth::Truth;

/// Seconds at the end of a scene whose crossings do not count.
const LAST_SECONDS: f64 = 3.0;

/// How one scene was counted.
#[derive(Debug, Clone)]
pub struct SceneScore {
    /// The scene.
    pub name: String,
    /// What its detector was like.
    pub boxes: BoxNoise,
    /// Frames a second.
    pub rate: u32,
    /// Of each line and direction: what truly crossed, and what was counted.
    pub counts: Vec<(u32, u32)>,
    /// Crossings that were found within a second of the true ones.
    pub in_time: u32,
    /// Crossings of the wrong class among those.
    pub wrong_class: u32,
    /// Of each pair of arms: true and counted trips.
    pub trips: Vec<(u32, u32)>,
    /// Of each zone that has no arm: true and measured occupancy.
    pub occupancy: Vec<(f64, f64)>,
    /// Of each zone with a stop line: true and measured mean queue.
    pub queue: Vec<(f64, f64)>,
    /// Of each line and direction: true and measured mean speed.
    pub speeds: Vec<(f64, f64)>,
    /// Of each line and direction, where a line is one lane: true and measured headways and gaps.
    pub headways: Vec<(Headways, Headways)>,
    /// Crossings that may be missing.
    pub unresolved: u32,
    /// Intervals, and those that say that frames came too seldom.
    pub intervals: (usize, usize),
}

impl SceneScore {
    /// Compares.
    #[must_use]
    pub fn of(
        scenario: &Scenario,
        truth: &Truth,
        report: &SceneReport,
        (boxes, rate): (BoxNoise, u32),
    ) -> Self {
        let mut total: Option<SceneInterval> = None;
        for interval in &report.intervals {
            match &mut total {
                Some(total) => total.merge(interval),
                None => total = Some(interval.clone()),
            }
        }
        // What crosses in the last seconds is not seen on both sides.
        let until = scenario.seconds - LAST_SECONDS;
        let (mut counts, mut speeds, mut in_time, mut wrong_class) = (Vec::new(), Vec::new(), 0, 0);
        for line in 0..scenario.lines.len() {
            for forward in [true, false] {
                let truly: Vec<_> = truth
                    .crossings
                    .iter()
                    .filter(|one| (one.line, one.forward, one.at < until) == (line, forward, true))
                    .collect();
                let mut found: Vec<_> = report
                    .crossings
                    .iter()
                    .filter(|one| (one.line, one.forward, one.at - BEGIN < until) == (line, forward, true))
                    .collect();
                counts.push((len(&truly), len(&found)));
                if let (Some(truly), Some(measured)) =
                    (mean(truly.iter().map(|one| one.speed)), mean(found.iter().filter_map(|one| one.speed)))
                {
                    speeds.push((truly, measured));
                }
                for one in truly {
                    let off = |found: &verge_scene::Crossing| (found.at - BEGIN - one.at).abs();
                    let nearest = (0..found.len()).min_by(|&a, &b| off(found[a]).total_cmp(&off(found[b])));
                    if let Some(nearest) = nearest.filter(|&nearest| off(found[nearest]) <= 1.0) {
                        let crossing = found.swap_remove(nearest);
                        in_time += 1;
                        wrong_class += u32::from(super::CLASSES[crossing.class] != one.label);
                    }
                }
            }
        }
        let settings = super::settings_of(scenario);
        let arms = settings.arms();
        let mut trips = BTreeMap::new();
        for (&(from, to), &count) in &truth.trips {
            trips.entry((from.to_owned(), to.to_owned())).or_insert((0, 0)).0 += count;
        }
        for (number, &count) in
            total.iter().flat_map(|total| &total.trips).enumerate().filter(|(_, count)| **count > 0)
        {
            let (from, to) = (&arms[number / arms.len()], &arms[number % arms.len()]);
            trips.entry((from.to_string(), to.to_string())).or_insert((0, 0)).1 += count;
        }
        let (mut occupancy, mut queue) = (Vec::new(), Vec::new());
        for (number, zone) in scenario.zones.iter().enumerate() {
            let (Some(total), (occupied, waited)) = (&total, truth.zones[number]) else { continue };
            let measured = &total.zones[number];
            if zone.origin.is_none() && zone.destination.is_none() && zone.stop.is_none() {
                occupancy.push((occupied / scenario.seconds, total.mean(measured.occupied).unwrap_or(0.0)));
            }
            if zone.stop.is_some() {
                queue.push((waited / scenario.seconds, total.mean(measured.waiting).unwrap_or(0.0)));
            }
        }
        let ways = (0..scenario.lines.len()).flat_map(|line| [(line, true), (line, false)]);
        let headways = ways.filter(|_| scenario.has_line_per_lane).filter_map(|way| {
            Some((Headways::truly(truth, way, until)?, Headways::measured(report, way, until)?))
        });
        let headways = headways.collect();
        let unresolved = total.iter().flat_map(|total| &total.lines).map(|line| line.unresolved).sum();
        let seldom = report.intervals.iter().filter(|interval| interval.partial.rate).count();
        Self {
            name: scenario.name.clone(),
            boxes,
            rate,
            counts,
            in_time,
            wrong_class,
            trips: trips.into_values().collect(),
            occupancy,
            queue,
            speeds,
            headways,
            unresolved,
            intervals: (report.intervals.len(), seldom),
        }
    }

    /// True crossings.
    #[must_use]
    pub fn crossings(&self) -> u32 {
        self.counts.iter().map(|(truly, _)| truly).sum()
    }
}

/// Scores of several scenes of one case, detector and rate together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CaseScore {
    /// True crossings.
    pub crossings: u32,
    /// Share that is wrong: the differences of all lines and directions against the truth.
    pub wrong: f64,
    /// Of the worst line and direction.
    pub worst: f64,
    /// Share of crossings found within a second.
    pub in_time: f64,
    /// Share of trips that is wrong.
    pub trips: Option<f64>,
    /// The largest difference of occupancy.
    pub occupancy: Option<f64>,
    /// The largest relative difference of mean speeds.
    pub speed: Option<f64>,
    /// The largest relative difference of mean queues.
    pub queue: Option<f64>,
    /// The largest relative difference of median headways, where a line is one lane.
    pub headway: Option<f64>,
    /// The largest difference of the share of headways below 2 s.
    pub short_headways: Option<f64>,
    /// The largest relative difference of mean gaps.
    pub gap: Option<f64>,
    /// Share of intervals that say that frames came too seldom.
    pub seldom: f64,
}

impl CaseScore {
    /// Of the scenes of a case.
    #[must_use]
    pub fn of(scenes: &[SceneScore]) -> Self {
        let crossings: u32 = scenes.iter().map(SceneScore::crossings).sum();
        let counts = || scenes.iter().flat_map(|scene| &scene.counts).copied();
        let trips = || scenes.iter().flat_map(|scene| &scene.trips).copied();
        let worst = counts()
            .filter(|(truly, _)| *truly > 0)
            .map(|(truly, found)| share(truly.abs_diff(found), truly));
        let largest = |values: Vec<f64>| values.into_iter().reduce(f64::max);
        let relative = |pairs: Vec<(f64, f64)>| {
            largest(
                pairs
                    .into_iter()
                    .filter(|(truly, _)| *truly > 0.0)
                    .map(|(truly, found)| (found / truly - 1.0).abs())
                    .collect(),
            )
        };
        let all = |of: fn(&SceneScore) -> &Vec<(f64, f64)>| {
            scenes.iter().flat_map(|scene| of(scene).clone()).collect::<Vec<_>>()
        };
        let headways = |of: fn(&Headways) -> f64| {
            let pairs = scenes.iter().flat_map(|scene| &scene.headways);
            pairs.map(|(truly, measured)| (of(truly), of(measured))).collect::<Vec<_>>()
        };
        let intervals: usize = scenes.iter().map(|scene| scene.intervals.0).sum();
        let seldom: usize = scenes.iter().map(|scene| scene.intervals.1).sum();
        let all_trips: u32 = trips().map(|(truly, _)| truly).sum();
        Self {
            crossings,
            wrong: share(counts().map(|(truly, found)| truly.abs_diff(found)).sum(), crossings),
            worst: worst.fold(0.0, f64::max),
            in_time: share(scenes.iter().map(|scene| scene.in_time).sum(), crossings),
            trips: (all_trips > 0)
                .then(|| share(trips().map(|(truly, found)| truly.abs_diff(found)).sum(), all_trips)),
            occupancy: largest(
                all(|scene| &scene.occupancy).iter().map(|(truly, found)| (truly - found).abs()).collect(),
            ),
            speed: relative(all(|scene| &scene.speeds)),
            queue: relative(all(|scene| &scene.queue)),
            headway: relative(headways(|one| one.median)),
            short_headways: largest(
                headways(|one| one.short).iter().map(|(truly, found)| (truly - found).abs()).collect(),
            ),
            gap: relative(headways(|one| one.gap)),
            seldom: share(
                u32::try_from(seldom).unwrap_or(u32::MAX),
                u32::try_from(intervals.max(1)).unwrap_or(u32::MAX),
            ),
        }
    }
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) / f64::from(whole.max(1))
}

fn len<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

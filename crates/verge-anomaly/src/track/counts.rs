//! From what a scene counts to the body of a verdict.

use verge_domain::id::PlaceId;
use verge_domain::verdict::{
    ClassCount, DirectionCounts, LineCounts, PartialReason, TimeBasis, Traffic, TripCount, ZoneMeasures,
};
use verge_scene::interval::{DirectionTally, LineTally, ZoneTally};
use verge_scene::{Partial, SceneInterval, SceneSettings};

/// What was observed for less is nothing, in milliseconds, as of loops: rates over a fraction of a second mean nothing.
const LEAST_OBSERVED_MS: u64 = 1000;

/// What an interval says. Where nothing of it was observed nothing is known, and zero would be a lie.
pub(super) fn traffic(settings: &SceneSettings, interval: &SceneInterval, time: TimeBasis) -> Traffic {
    let length_ms = settings.interval().length_ms();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most a day in milliseconds"
    )]
    let observed_ms = ((interval.observed * 1e3).round() as u64).min(length_ms);
    let is_known = observed_ms >= length_ms.min(LEAST_OBSERVED_MS);
    let lines = settings.lines().iter().zip(&interval.lines);
    let zones = settings.zones().iter().zip(&interval.zones);
    let arms = settings.arms();
    let trips = interval.trips.iter().enumerate().filter(|(_, count)| **count > 0);
    let trip = |(number, &count): (usize, &u32)| TripCount {
        origin: arms[number / arms.len()].clone(),
        destination: arms[number % arms.len()].clone(),
        count: count.into(),
    };
    Traffic {
        from: interval.from,
        length_ms,
        observed_ms: if is_known { observed_ms } else { 0 },
        judged: interval.frames.into(),
        skipped: interval.skipped.into(),
        partial: reasons(interval.partial),
        time,
        lines: lines.map(|(line, tally)| line_counts(settings, tally, line.name.clone(), is_known)).collect(),
        zones: zones
            .map(|((name, zone), tally)| {
                let has_length = settings.has_ground() && zone.stop_line.is_some();
                zone_measures(interval, tally, name.clone(), (is_known, has_length))
            })
            .collect(),
        trips: trips.map(trip).collect(),
        forecasts: Vec::new(),
    }
}

fn line_counts(settings: &SceneSettings, tally: &LineTally, line: PlaceId, is_known: bool) -> LineCounts {
    // A crossing is seen late where a track ends, and belongs to an interval of which no time was observed: it is known.
    let is_known = is_known || tally.forward.total() > 0 || tally.backward.total() > 0;
    let direction = |tally: &DirectionTally| {
        let classes = settings.classes().iter().zip(&tally.counts).filter(|(_, count)| **count > 0);
        let headway = tally.headway();
        DirectionCounts {
            total: tally.total().into(),
            classes: classes
                .map(|(label, &count)| ClassCount { label: label.clone(), count: count.into() })
                .collect(),
            mean_speed: tally.speeds.time_mean(),
            space_mean_speed: tally.speeds.space_mean(),
            headway: headway.map(|(median, _)| median),
            short_headways: headway.map(|(_, share)| share),
            gap: tally.mean_gap(),
        }
    };
    LineCounts {
        line,
        forward: is_known.then(|| direction(&tally.forward)),
        backward: is_known.then(|| direction(&tally.backward)),
        unresolved: tally.unresolved.into(),
    }
}

fn zone_measures(
    interval: &SceneInterval,
    tally: &ZoneTally,
    zone: PlaceId,
    (is_known, has_length): (bool, bool),
) -> ZoneMeasures {
    let mean = |sum: f64| interval.mean(sum).filter(|_| is_known);
    ZoneMeasures {
        zone,
        entered: is_known.then_some(tally.entered.into()),
        occupancy: mean(tally.occupied).map(|share| share.clamp(0.0, 1.0)),
        mean_speed: (is_known && tally.speed.1 > 0.0).then(|| tally.speed.0 / tally.speed.1),
        queue_mean: mean(tally.waiting),
        queue_max: is_known.then_some(tally.queue_max.into()),
        queue_end: is_known.then_some(tally.queue_end.into()),
        queue_length: (is_known && has_length).then_some(tally.queue_metres_max),
    }
}

fn reasons(partial: Partial) -> Vec<PartialReason> {
    let Partial { start, gap, rate, clock, health, overload } = partial;
    let all = [
        (start, PartialReason::Start),
        (gap, PartialReason::Gap),
        (rate, PartialReason::Rate),
        (clock, PartialReason::Clock),
        (health, PartialReason::Health),
        (overload, PartialReason::Overload),
    ];
    all.into_iter().filter_map(|(holds, reason)| holds.then_some(reason)).collect()
}

//! What is usual of the signal in its own unit, and how far out a reading lies, in usual widths.

use verge_domain::finding::{Expected, FARTHEST, Member, ShownValue};

use super::beside::{BesideMembers, SeenBeside};
use super::residual::{Volatility, mean};
use super::views::{Centre, Views};
use super::{AutoDetector, MEMBERS};

/// A value of which no width is known yet, as a part of itself.
const UNKNOWN_WIDTH: f64 = 0.01;

impl AutoDetector {
    /// Where values lie at the present hour while all is well, in the signal's unit: where 98 % of the long run lie, and
    /// of these what is met at this hour, where that is known. `None` before some hundred readings.
    ///
    /// Both are running: a few strange readings hardly move them.
    #[must_use]
    pub fn usual(&self) -> Option<Expected> {
        let all = overlap(self.shift.usual()?, self.quantiser.range())?;
        let (hour, middle) = self.profile.now();
        let symbols = self.hourly.usual(1 + hour, self.quantiser.place(middle));
        let of_hour = symbols.map(|symbols| self.quantiser.values(&symbols));
        Some(of_hour.and_then(|hour| overlap(all, hour)).unwrap_or(all))
    }

    /// How far out a reading lies, in usual widths, and what the signal shows, as far as a member looks back. What is
    /// shown outside of what is shown as usual is at least as far out as a person can work out from both.
    pub(super) fn shown(
        &self,
        views: &Views,
        member: Member,
        beside: Option<&SeenBeside>,
    ) -> (f64, ShownValue) {
        let jump = beside.and_then(|seen| seen.jump).map(|jump| jump.to);
        let value = if member == Member::Shift { mean(self.recent.all()) } else { jump.unwrap_or(self.last) };
        let usual = self.usual().unwrap_or_default();
        // The band of a signal that never moved has no width worth the name.
        let has_moved = self.tails.usual(0).is_some();
        let beyond = if usual.contains(value) || !has_moved { None } else { usual.distance(value) };
        let by_step = beside.map_or(0.0, BesideMembers::distance).min(FARTHEST);
        let distance = self.distance(views).max(beyond.unwrap_or_default()).max(by_step);
        (distance, ShownValue { value, usual })
    }

    /// How far out the members find a reading, in usual widths: the greatest of those that measure in the signal's
    /// unit (level, mean, profile, median) or in ratios of its steps (volatility). For each, 1 is what 98 % of the past
    /// stay below. The others measure surprise, which is no distance: what surprises within the usual range is near.
    fn distance(&self, views: &Views) -> f64 {
        let ratio = |place: usize, member: &Member| {
            let (score, usual) = (views.scores[place]?, self.tails.usual(place)?);
            match member {
                Member::Level | Member::Mean | Member::Profile | Member::Median => Some(score / usual),
                Member::Volatility => Some(Volatility::ratio_at(score) / Volatility::ratio_at(usual)),
                _ => None,
            }
        };
        let known = MEMBERS.iter().enumerate().filter_map(|(place, member)| ratio(place, member));
        let farthest = known.fold(0.0, f64::max);
        let distance = if self.tails.usual(0).is_some() {
            farthest
        } else {
            farthest.max(self.distance_of_constant(views))
        };
        distance.clamp(0.0, FARTHEST)
    }

    /// The same of a signal that was hardly ever off its level: against its resolution, or a hundredth of the level; one
    /// where there is neither.
    fn distance_of_constant(&self, views: &Views) -> f64 {
        let (value, Centre::Around(level)) = views.observed[0] else { return 1.0 };
        let width = self.settings.resolution.unwrap_or_default().max(UNKNOWN_WIDTH * level.abs());
        let off = (value - level).abs();
        if width > 0.0 { off / width } else { 1.0 }
    }
}

/// What lies in both ranges; `None` where nothing does.
fn overlap(one: Expected, other: Expected) -> Option<Expected> {
    let (low, high) = (one.low?.max(other.low?), one.high?.min(other.high?));
    (low <= high && low.is_finite() && high.is_finite())
        .then_some(Expected { low: Some(low), high: Some(high) })
}

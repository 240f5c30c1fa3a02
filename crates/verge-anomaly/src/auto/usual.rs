//! What is usual of the signal in its own unit, and how far out a reading lies, in usual widths.

use verge_domain::finding::{Expected, FARTHEST, Member, ShownValue};

use super::beside::SeenBeside;
use super::novelty::Quantiser;
use super::residual::{Volatility, mean};
use super::views::{Centre, MemberView, Views};
use super::{AutoDetector, EFFECTIVE_MEMBERS, MEMBERS};

/// Two ranges narrow each other where they share at least this part of the narrower one.
const LEAST_SHARED: f64 = 0.5;

/// A value of which no width is known yet, as a part of itself.
const UNKNOWN_WIDTH: f64 = 0.01;

impl AutoDetector {
    /// Where values lie at the present hour while all is well, in the signal's unit: where 98 % of the long run lie, and
    /// of these what is met at this hour, where that is known. `None` before some hundred readings.
    ///
    /// Both are running: a few strange readings hardly move them. Where they barely meet, as on the first day, of which the
    /// long run lags behind the course, one of them is not known well enough to narrow the other: both are usual.
    #[must_use]
    pub fn usual(&self) -> Option<Expected> {
        self.usual_by(&self.quantiser)
    }

    /// The same by a range of values: that from before a reading, which may have widened it beyond all that its symbols stood
    /// for so far.
    pub(super) fn usual_by(&self, quantiser: &Quantiser) -> Option<Expected> {
        let all = overlap(self.shift.usual()?, quantiser.range())?;
        let (hour, middle) = self.profile.now();
        let symbols = self.hourly.usual(1 + hour, quantiser.place(middle));
        let Some(hour) = symbols.map(|symbols| quantiser.values(&symbols)) else { return Some(all) };
        let both = overlap(all, hour);
        let least = LEAST_SHARED * width(all).min(width(hour));
        Some(both.filter(|both| width(*both) >= least).unwrap_or_else(|| hull(all, hour)))
    }

    pub(super) fn expected(&self, member: usize, centre: Centre, level: f64) -> Expected {
        let p = level / EFFECTIVE_MEMBERS;
        let Some(score) = self.tails.quantile(member, p, self.pool.is_shared()) else {
            return Expected::default();
        };
        match centre {
            Centre::Around(centre) => Expected { low: Some(centre - score), high: Some(centre + score) },
            Centre::Times => Expected { low: None, high: Some(self.volatility.step_at(score)) },
            Centre::Itself => Expected { low: None, high: Some(score) },
        }
    }

    /// Range in which the next value is expected by its level alone; `None` while that is not known.
    #[must_use]
    pub fn band(&self) -> Option<Expected> {
        let expected = self.expected(0, Centre::Around(self.level), self.rate().p);
        expected.low.is_some().then_some(expected)
    }

    /// How a reading is reported.
    pub(super) fn report(&self, views: &Views, seen: MemberView, beside: Option<SeenBeside>) -> Reported {
        let jump = beside.and_then(|seen| seen.jump).map(|jump| jump.to);
        let value =
            if seen.member == Member::Shift { mean(self.recent.all()) } else { jump.unwrap_or(self.last) };
        let usual = self.usual_by(&views.range).unwrap_or_default();
        let shown = ShownValue { value, usual };
        // The band of a signal that never moved has no width worth the name.
        if self.tails.usual(0).is_none() {
            let is_value = matches!(seen.member, Member::Level | Member::Mean | Member::Median);
            let around = self.around_constant(views).filter(|_| is_value);
            let expected = around.unwrap_or(seen.expected);
            let distance = expected.distance(seen.observed).unwrap_or(1.0);
            return Reported { expected, distance, shown };
        }
        if matches!(seen.member, Member::Context | Member::TimeOfDay | Member::Shift) {
            // They measure surprise, which is no distance: what surprises within the usual range is near.
            let distance = usual.distance(value).unwrap_or_else(|| self.distance(views));
            return Reported { expected: seen.expected, distance, shown };
        }
        // What was off is back: the range that says so is the one that raised the event.
        let is_back = seen.expected != Expected::default() && seen.expected.contains(seen.observed);
        let ranges = if is_back { [None; 2] } else { self.ranges(views, seen, usual, beside) };
        let outside = ranges.into_iter().flatten().filter(|range| !range.contains(seen.observed));
        let farthest = outside
            .filter_map(|range| Some((range.distance(seen.observed)?, range)))
            .max_by(|(one, _), (other, _)| one.total_cmp(other));
        let (distance, expected) = farthest.unwrap_or_else(|| {
            let distance = seen.expected.distance(seen.observed);
            (distance.unwrap_or_else(|| self.distance(views)), seen.expected)
        });
        // Members whose probabilities are alike are reported by turns: what the signal shows counts whichever it is.
        let by_value = usual.distance(value).filter(|_| !is_back && !usual.contains(value));
        Reported { expected, distance: distance.max(by_value.unwrap_or_default()), shown }
    }

    /// Where what a member observes lies in 98 % of the past, as far as that is known: in the past of the member, and of the
    /// signal at this hour.
    fn ranges(
        &self,
        views: &Views,
        MemberView { member, is_single_step, .. }: MemberView,
        usual: Expected,
        beside: Option<SeenBeside>,
    ) -> [Option<Expected>; 2] {
        let Some(place) = MEMBERS.iter().position(|known| *known == member) else { return [None; 2] };
        let around =
            |centre: f64, half: f64| Expected { low: Some(centre - half), high: Some(centre + half) };
        let at_most = |most: f64| Expected { low: None, high: Some(most) };
        // What a step or a jump is measured by.
        let half = self.shift.usual().map_or(0.0, width) / 2.0;
        match (member, self.tails.usual(place)) {
            (Member::Mean, _) if let Some(jump) = beside.and_then(|seen| seen.jump) => {
                [Some(usual), Some(around(jump.from, half))]
            }
            (Member::Volatility, _) if is_single_step => [Some(at_most(half)), None],
            (Member::Level | Member::Mean | Member::Median, most) => {
                let Centre::Around(centre) = views.observed[place].1 else { return [Some(usual), None] };
                [Some(usual), most.map(|most| around(centre, most))]
            }
            (Member::Volatility, most) => [most.map(|most| at_most(self.volatility.step_at(most))), None],
            (_, most) => [most.map(at_most), None],
        }
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
        farthest.clamp(0.0, FARTHEST)
    }

    /// What is usual of a signal that was hardly ever off its level: its resolution around it, or a hundredth of the level;
    /// `None` where there is neither.
    fn around_constant(&self, views: &Views) -> Option<Expected> {
        let (_, Centre::Around(level)) = views.observed[0] else { return None };
        let half = self.settings.resolution.unwrap_or_default().max(UNKNOWN_WIDTH * level.abs());
        (half > 0.0).then_some(Expected { low: Some(level - half), high: Some(level + half) })
    }
}

/// How a reading is reported: the distance is that of what was observed from what was expected, of which the ends are one,
/// or that of what the signal shows from what is usual, where that is greater; of members that measure surprise the latter.
pub(super) struct Reported {
    pub(super) expected: Expected,
    pub(super) distance: f64,
    pub(super) shown: ShownValue,
}

fn width(range: Expected) -> f64 {
    range.low.zip(range.high).map_or(0.0, |(low, high)| high - low)
}

/// The range of both, and what lies between.
fn hull(one: Expected, other: Expected) -> Expected {
    let end = |ends: [Option<f64>; 2], pick: fn(f64, f64) -> f64| ends.into_iter().flatten().reduce(pick);
    Expected { low: end([one.low, other.low], f64::min), high: end([one.high, other.high], f64::max) }
}

/// What lies in both ranges; `None` where nothing does.
fn overlap(one: Expected, other: Expected) -> Option<Expected> {
    let (low, high) = (one.low?.max(other.low?), one.high?.min(other.high?));
    (low <= high && low.is_finite() && high.is_finite())
        .then_some(Expected { low: Some(low), high: Some(high) })
}

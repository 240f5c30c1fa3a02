//! The body of the verdict that a condition becomes.

use std::borrow::Cow;

use verge_domain::finding::{Condition, Expected, Member, ShownValue};
use verge_domain::id::Unit;
use verge_domain::observation::Captured;
use verge_domain::tag::TagEntry;
use verge_domain::time::Moment;
use verge_domain::verdict::{Anomaly, Body, Health, Times};

pub(super) fn body_of(condition: &Condition, unit: Option<&Unit>) -> Body {
    let Condition {
        member,
        observed,
        expected,
        p_value,
        ref contributions,
        feedback,
        shown,
        ref regions,
        ..
    } = *condition;
    let distance = condition.distance().map(to_hundredths);
    let value = shown.map(|shown| shown.value);
    let usual = shown.map_or(Expected::default(), |shown| shown.usual);
    let value_unit = unit.filter(|_| shown.is_some()).cloned();
    if member.is_health() {
        Body::Health(Health { cause: member, observed, expected, distance, value, usual, value_unit })
    } else {
        Body::Anomaly(Anomaly {
            member,
            observed,
            expected,
            p_value,
            // A value that a member measures in bits or deviations is not in the unit of the signal.
            unit: unit.filter(|_| member.own_unit().is_none()).cloned(),
            contributions: contributions.clone(),
            feedback,
            distance,
            value,
            usual,
            value_unit,
            regions: regions.clone(),
        })
    }
}

/// A value outside the normal range that a list of tags states is at least as far out as it is from there, whatever its past.
/// What is wrong with a sensor is not a matter of its value.
pub(super) fn beyond_normal<'a>(condition: &'a Condition, tag: Option<&TagEntry>) -> Cow<'a, Condition> {
    let shown = condition.shown.filter(|_| !condition.member.is_health());
    // What they observe is a value, and in words it stands beside what is expected.
    let learns_values = matches!(condition.member, Member::Level | Member::Mean | Member::Median);
    let is_value = learns_values || matches!(condition.member, Member::High | Member::Low);
    let value = if is_value { Some(condition.observed) } else { shown.map(|shown| shown.value) };
    let normal = tag.map_or(Expected::default(), |tag| tag.normal);
    let beyond = value.filter(|value| !normal.contains(*value)).and_then(|value| normal.distance(value));
    match beyond {
        Some(beyond) if condition.distance().is_none_or(|distance| distance < beyond) => {
            let shown = condition.shown.map(|shown| ShownValue { usual: normal, ..shown });
            let expected = if learns_values { normal } else { condition.expected };
            Cow::Owned(Condition { distance: Some(beyond), shown, expected, ..condition.clone() })
        }
        _ => Cow::Borrowed(condition),
    }
}

/// More digits say nothing.
fn to_hundredths(distance: f64) -> f64 {
    (100.0 * distance).round() / 100.0
}

/// The times of a verdict on what was observed.
pub(super) fn times(captured: Captured, received: Moment, now: Moment) -> Times {
    let Captured { at, clock } = captured;
    Times { captured: at, clock, received: received.wall, decided: now.wall, estimated: false }
}

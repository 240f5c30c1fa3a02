//! Which limits of a judge operators may move, and how far.

use verge_anomaly::{JudgeSettings, ThresholdSettings};
use verge_domain::settable::{LimitKey, SettableLimit};

use super::limits::fitting;
use crate::config::{Fault, RawThreshold};
use crate::settings::Check;

/// Where a threshold has a limit.
pub(crate) fn limit_of(threshold: &ThresholdSettings, key: LimitKey) -> Option<f64> {
    match key {
        LimitKey::Above => threshold.above(),
        LimitKey::Below => threshold.below(),
    }
}

pub(super) fn check_settable(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawThreshold,
    rule: Option<&JudgeSettings>,
) -> Option<Vec<SettableLimit>> {
    let Some(JudgeSettings::Threshold(threshold)) = rule else { return Some(Vec::new()) };
    let mut settable = Vec::new();
    let faults = check.faults.len();
    for (name, &[lowest, highest]) in raw.settable.iter().flatten() {
        let key = format!("{section}.settable.{name}");
        let limit = LimitKey::named(name).and_then(|limit| Some((limit, limit_of(threshold, limit)?)));
        let Some((limit, configured)) = limit else {
            let known = LimitKey::ALL.into_iter().filter(|key| limit_of(threshold, *key).is_some());
            let known = known.map(LimitKey::as_str).collect::<Vec<_>>().join(" and ");
            let fault = Fault::at_text(key, name, "a limit of this judge that may be set");
            check.faults.push(fault.remedy(format!("there are {known}; take the rest out")));
            continue;
        };
        if lowest < highest && (lowest..=highest).contains(&configured) {
            settable.push(SettableLimit { key: limit, configured, lowest, highest });
        } else {
            let expected = format!("the least and the most, with {limit} = {configured} between them");
            let fault = Fault::new(key, format!("[{lowest}, {highest}]"), expected);
            check
                .faults
                .push(fault.remedy(format!("write two numbers, one up to and one from {configured}")));
        }
    }
    // Wherever both are set, some value is normal: it is where they are as close as may be.
    let closest = |key, end: fn(&SettableLimit) -> f64| settable.iter().find(|one| one.key == key).map(end);
    let (above, below) =
        (closest(LimitKey::Above, |one| one.lowest), closest(LimitKey::Below, |one| one.highest));
    fitting(check, &format!("{section}.settable"), threshold.moved(above, below));
    (check.faults.len() == faults).then_some(settable)
}

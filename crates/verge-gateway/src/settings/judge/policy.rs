//! What becomes of the conditions of a judge.

use std::time::Duration;

use verge_domain::id::Lane;
use verge_domain::policy::{CriticalRule, EventPolicy};
use verge_domain::verdict::Severity;

use crate::config::{Fault, RawCriticalWhen, RawDetector, RawEvents, RawViews};
use crate::settings::Check;

/// The policy of a judge; `None` where its rule of severity is at fault.
pub(super) fn check_policy(
    check: &mut Check<'_>,
    section: &str,
    lane: Option<Lane>,
    detector: &RawDetector,
) -> Option<EventPolicy> {
    let at_once = |severity, update_every| EventPolicy {
        severity,
        critical_when: None,
        lane: lane.unwrap_or_else(|| EventPolicy::lane_for(severity)),
        raise_after: Duration::ZERO,
        clear_after: Duration::ZERO,
        update_every,
    };
    let events = match detector {
        RawDetector::Auto(raw) => &raw.events,
        RawDetector::Multi(raw) => &raw.events,
        RawDetector::Pattern(raw) => &raw.events,
        RawDetector::Vibration(raw) => &raw.events,
        RawDetector::Autoencoder(raw) => &raw.events,
        RawDetector::Anomaly(raw) => &raw.events,
        RawDetector::Threshold(raw) => &raw.events,
        RawDetector::Rate(raw) => &raw.events,
        RawDetector::Cusum(raw) => &raw.events,
        RawDetector::Silence(raw) => &raw.events,
        RawDetector::Health(raw) => &raw.events,
        RawDetector::Track(raw) => &raw.events,
        RawDetector::Classify(raw) => return Some(of_views(&raw.views, at_once)),
        RawDetector::Detect(raw) => return Some(of_views(&raw.views, at_once)),
        RawDetector::Loop(raw) => return Some(at_once(raw.severity, None)),
    };
    let RawEvents { severity, critical_when, raise_after, clear_after, update_every, .. } = events;
    let critical_when = match critical_when {
        None => None,
        Some(raw) => Some(check_rule(check, section, raw, detector)?),
    };
    // All states of an event travel in one lane, so that it is the lane of what it may become.
    let most = if critical_when.is_some() { Severity::Critical } else { *severity };
    Some(EventPolicy {
        critical_when,
        lane: lane.unwrap_or_else(|| EventPolicy::lane_for(most)),
        raise_after: raise_after.0,
        clear_after: clear_after.0,
        ..at_once(*severity, update_every.0)
    })
}

fn of_views(views: &RawViews, at_once: impl Fn(Severity, Option<Duration>) -> EventPolicy) -> EventPolicy {
    at_once(views.severity, views.update_every.0)
}

fn check_rule(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawCriticalWhen,
    detector: &RawDetector,
) -> Option<CriticalRule> {
    let key = format!("{section}.critical_when");
    let learns = matches!(
        detector,
        RawDetector::Auto(_)
            | RawDetector::Multi(_)
            | RawDetector::Pattern(_)
            | RawDetector::Vibration(_)
            | RawDetector::Autoencoder(_)
            | RawDetector::Anomaly(_)
    );
    if let Some(probability) = raw.probability.filter(|_| !learns) {
        let expected = "no probability: this detector knows none";
        let remedy = "take probability out, and write distance or lasted";
        let key = format!("{key}.probability");
        check.faults.push(Fault::new(key, probability.to_string(), expected).remedy(remedy));
        return None;
    }
    let rule = CriticalRule::new(raw.distance, raw.probability, raw.lasted.map(|span| span.0));
    if rule.is_none() {
        let expected = "at least one of distance, probability, lasted";
        let remedy = r#"write critical_when = { distance = 10.0, lasted = "10m" }, or take it out"#;
        check.faults.push(Fault::new(key, "{}", expected).remedy(remedy));
    }
    rule
}

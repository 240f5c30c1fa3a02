//! Budgets of false alarms that a signal can never support, because it sends too often: seen while it is listened to.

use std::collections::BTreeMap;
use std::time::Duration;

use verge_domain::reading::SourceIndex;
use verge_pipeline::judging::budget_text;

use super::CheckReport;
use super::listen::Series;
use verge_gateway::config::Warning;
use verge_gateway::settings::{JudgeSection, Rule, Settings};

/// With fewer readings the pace of a signal is not known.
const LEAST_READINGS: u64 = 3;

/// Looks at what came of one source within `span`.
pub(super) fn look(
    settings: &Settings,
    (source, series): (SourceIndex, &BTreeMap<Series, u64>),
    span: Duration,
    report: &mut CheckReport,
) {
    for judge in &settings.judges {
        report.warnings.extend(unsupported(judge, source, series, span));
    }
}

/// The signal of a source that sends most often of those that a judge looks at, where its budget can never be supported.
#[expect(clippy::cast_precision_loss, reason = "readings of some seconds")]
fn unsupported(
    judge: &JudgeSection,
    source: SourceIndex,
    series: &BTreeMap<Series, u64>,
    span: Duration,
) -> Option<Warning> {
    let rules = judge.readings()?;
    let Rule::Plain(rule) = &rules.rule else { return None };
    let is_judged = |((device, signal), count): &(&Series, &u64)| {
        **count >= LEAST_READINGS
            && (judge.devices.is_empty()
                || judge.devices.iter().any(|pattern| pattern.matches(device.as_str())))
            && rules.inputs.iter().any(|input| {
                input.source == source
                    && signal.as_ref().is_some_and(|signal| input.takes_signal(signal.as_str()))
            })
    };
    let ((device, signal), count) = series.iter().filter(is_judged).max_by_key(|(_, count)| **count)?;
    let per_second = *count as f64 / span.as_secs_f64();
    let rarest = rule.rarest(per_second.recip())?;
    let signal = signal.as_ref()?;
    Some(Warning {
        key: format!("judge.{}.alarm_budget", judge.name),
        remark: format!(
            "can never be supported: {device} {signal} sends {per_second:.1} readings a second, and with budget_of = \"signal\" \
             what is unusual would raise no alarm; the rarest budget that works is \"{}\", or write budget_of = \"judge\", \
             which knows no such limit",
            budget_text(rarest)
        ),
    })
}

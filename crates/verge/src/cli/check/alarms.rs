//! Alarms as people get them: judges whose settings make more of them, or more urgent ones, than anybody can follow.

use verge_anomaly::JudgeSettings;
use verge_domain::verdict::{Detector, Severity};

use super::CheckReport;
use verge_gateway::config::Warning;
use verge_gateway::settings::{JudgeSection, Rule, Settings};

/// Of fewer judges no share can be said.
const FEWEST: usize = 2;

pub(super) fn look(settings: &Settings, report: &mut CheckReport) {
    report.warnings.extend(settings.judges.iter().filter_map(chattering));
    report.warnings.extend(too_critical(settings));
}

/// One that raises and clears with each reading while a value lies at its limit.
fn chattering(judge: &JudgeSection) -> Option<Warning> {
    let policy = judge.policy();
    let Rule::Plain(JudgeSettings::Threshold(limits)) = &judge.readings()?.rule else { return None };
    let is_delayed = !policy.raise_after.is_zero() || !policy.clear_after.is_zero();
    if policy.severity < Severity::Warning || is_delayed || limits.has_hysteresis() {
        return None;
    }
    let remark = "neither hysteresis nor a delay: a value that wavers at the limit raises and clears an alarm with each \
                  reading; set clear_below (clear_above) some per cent of the range inside of the limit, or raise_after (15 s is \
                  usual for flow and pressure, 60 s for level and temperature)";
    Some(Warning { key: format!("judge.{}", judge.name), remark: remark.to_owned() })
}

/// Where most judges raise critical alarms, none stands out.
fn too_critical(settings: &Settings) -> Option<Warning> {
    let of_views = |judge: &&JudgeSection| {
        matches!(judge.detector(), Detector::Loop | Detector::Classify | Detector::Detect)
    };
    let alarms = settings.judges.iter().filter(|judge| !of_views(judge));
    let severities: Vec<Severity> = alarms
        .map(|judge| judge.policy().severity)
        .filter(|severity| *severity >= Severity::Warning)
        .collect();
    let critical = severities.iter().filter(|severity| **severity == Severity::Critical).count();
    (severities.len() >= FEWEST && 2 * critical > severities.len()).then(|| Warning {
        key: "judge".to_owned(),
        remark: format!(
            "{critical} of {} judges that raise alarms raise critical ones: where most are critical none stands out; EEMUA 191 \
             has some 5 % of alarms of the highest priority; write severity = \"warning\" where there is time to respond",
            severities.len()
        ),
    })
}

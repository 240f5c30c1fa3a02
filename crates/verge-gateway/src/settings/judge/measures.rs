//! Judges that look at what another one measures before its cameras: their inputs name signals of a source of frames.

use verge_anomaly::JudgeSettings;
use verge_pipeline::judging::InputPattern;

use super::inputs::Known;
use super::{JudgeRules, JudgeSection};
use crate::config::{Fault, Map, RawDetector, RawJudge, nearest};
use crate::settings::Check;

/// Whether a detector can look at measures: what judges blocks of samples works elsewhere.
pub(super) const fn can_look(detector: Option<&RawDetector>) -> bool {
    !matches!(detector, Some(RawDetector::Vibration(_) | RawDetector::Loop(_)))
}

/// Each such input matches a measure that there is.
pub(super) fn check_all(
    check: &mut Check<'_>,
    raw: &Map<RawJudge>,
    judges: &[JudgeSection],
    known: &Known<'_>,
) {
    // What is at fault may be what measures.
    if judges.len() < raw.len() {
        return;
    }
    for judge in judges {
        let JudgeRules::Readings(rules) = &judge.rules else { continue };
        for input in rules.inputs.iter().filter(|input| known.is_of_frames(input.source)) {
            let Some(pattern) = &input.signals else { continue };
            let measures = measured(judges, input);
            if measures.iter().any(|name| pattern.matches(name)) {
                continue;
            }
            let text = pattern.to_string();
            let (expected, remedy) = match nearest(&text, measures.iter().copied()) {
                Some(near) => ("a measure of a judge that counts there", format!("write \":{near}\"")),
                None if measures.is_empty() => (
                    "a source on whose frames a judge with detector = \"track\" counts",
                    "add such a judge, or name a source of readings".to_owned(),
                ),
                None => (
                    "a measure of a judge that counts there: JUDGE.LINE.flow, JUDGE.ZONE.occupancy and the like",
                    format!("write for example \":{}\"", measures[0]),
                ),
            };
            let key = format!("judge.{}.inputs", judge.name);
            check.faults.push(Fault::at_text(key, &format!(":{text}"), expected).remedy(remedy));
        }
    }
}

/// The names of what judges measure on the frames of an input's source.
fn measured<'a>(judges: &'a [JudgeSection], input: &InputPattern) -> Vec<&'a str> {
    let over = judges.iter().filter_map(JudgeSection::frames);
    let over = over.filter(|rules| rules.inputs.iter().any(|own| own.source == input.source));
    let tracks = over.filter_map(|rules| match &rules.rule {
        JudgeSettings::Track(track) => Some(track),
        _ => None,
    });
    tracks.flat_map(|track| track.signals().map(|signal| signal.as_str())).collect()
}

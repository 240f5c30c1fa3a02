//! `while` and `by`: how the state of a machine decides about a judge.

use verge_domain::id::{DeviceId, SignalId};
use verge_domain::reading::SourceIndex;
use verge_pipeline::judging::{ByRule, StateRules, StateSignal, StateTest, WhileRule};

use super::inputs::{Known, StateSource};
use crate::config::{Fault, RawBy, RawDetector, RawEvents, RawJudge, RawMulti, RawWhile, UNNAMED, nearest};
use crate::settings::Check;

/// What a judge has to do with the state of a machine; `None` where that is at fault.
pub(super) fn check_states(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawJudge,
    known: &Known<'_>,
) -> Option<StateRules> {
    let Some(detector) = &raw.detector else { return Some(StateRules::NONE) };
    let (events, by) = keys_of(detector);
    let machine = match detector {
        RawDetector::Multi(RawMulti { machine, .. }) => machine.as_deref(),
        _ => None,
    };
    let only_while = events.and_then(|events| events.r#while.as_ref());
    let judged = JudgedDevices { machine, inputs: raw.inputs.as_deref().unwrap_or_default() };
    let only_while = only_while.map(|raw| check_while(check, section, raw, judged, known));
    let by =
        by.and_then(|raw| raw.by.as_deref().map(|text| check_by(check, section, text, raw, judged, known)));
    if let Some(raw) = keys_of(detector).1.filter(|raw| raw.by.is_none())
        && raw.by_device.is_some()
    {
        let expected = "nothing: no signal is named by which to learn";
        let fault = Fault::new(format!("{section}.by_device"), "it", expected);
        check.faults.push(fault.remedy("add by = \"SOURCE:SIGNAL\", or take the line out"));
        return None;
    }
    let only_while = only_while.map_or(Some(None), |rule| rule.map(Some));
    let by = by.map_or(Some(None), |rule| rule.map(Some));
    Some(StateRules { only_while: only_while?, by: by? })
}

/// The keys of a detector that concern the state of a machine.
const fn keys_of(detector: &RawDetector) -> (Option<&RawEvents>, Option<&RawBy>) {
    match detector {
        RawDetector::Auto(raw) => (Some(&raw.events), Some(&raw.alarms.apart)),
        RawDetector::Multi(raw) => (Some(&raw.events), Some(&raw.alarms.apart)),
        RawDetector::Pattern(raw) => (Some(&raw.events), Some(&raw.alarms.apart)),
        RawDetector::Vibration(raw) => (Some(&raw.events), Some(&raw.alarms.apart)),
        RawDetector::Autoencoder(raw) => (Some(&raw.events), Some(&raw.alarms.apart)),
        RawDetector::Anomaly(raw) => (Some(&raw.events), Some(&raw.alarms.apart)),
        RawDetector::Cusum(raw) => (Some(&raw.events), Some(&raw.apart)),
        RawDetector::Health(raw) => (Some(&raw.events), Some(&raw.apart)),
        RawDetector::Threshold(raw) => (Some(&raw.events), None),
        RawDetector::Rate(raw) => (Some(&raw.events), None),
        RawDetector::Silence(raw) => (Some(&raw.events), None),
        RawDetector::Track(raw) => (Some(&raw.events), None),
        RawDetector::Loop(_) | RawDetector::Classify(_) | RawDetector::Detect(_) => (None, None),
    }
}

/// Whose state it may be.
#[derive(Clone, Copy)]
struct JudgedDevices<'a> {
    /// Several devices that are judged as one.
    machine: Option<&'a str>,
    inputs: &'a [String],
}

impl JudgedDevices<'_> {
    /// Whether all that is judged comes through this source.
    fn are_all_of(&self, source: &str) -> bool {
        self.machine.is_none() && self.inputs.iter().all(|input| input.split(':').next() == Some(source))
    }
}

fn check_while(
    check: &mut Check<'_>,
    section: &str,
    raw: &RawWhile,
    judged: JudgedDevices<'_>,
    known: &Known<'_>,
) -> Option<WhileRule> {
    let key = format!("{section}.while");
    let tests: Vec<StateTest> =
        [raw.equals.map(StateTest::Equals), raw.above.map(StateTest::Above), raw.below.map(StateTest::Below)]
            .into_iter()
            .flatten()
            .collect();
    let test = match tests[..] {
        [test] => Some(test),
        _ => {
            let found = if tests.is_empty() { "none of them" } else { "more than one" };
            let fault = Fault::new(&*key, found, "one of equals, above and below");
            check
                .faults
                .push(fault.remedy("write equals = 1 for a contact that is 1 while the machine runs"));
            None
        }
    };
    // That it is missing is a fault already.
    let text = raw.signal.as_deref()?;
    let named = (format!("{key}.signal"), text);
    let device = (format!("{key}.device"), raw.device.as_deref());
    let state = check_signal(check, named, device, judged, known);
    Some(WhileRule { state: state?, test: test?, settle: raw.settle.0 })
}

fn check_by(
    check: &mut Check<'_>,
    section: &str,
    text: &str,
    raw: &RawBy,
    judged: JudgedDevices<'_>,
    known: &Known<'_>,
) -> Option<ByRule> {
    let device = (format!("{section}.by_device"), raw.by_device.as_deref());
    let state = check_signal(check, (format!("{section}.by"), text), device, judged, known);
    Some(ByRule { state: state?, settle: raw.by_settle.0 })
}

/// `source:signal`, and the device that sends it: the one that is named, else the one device of the source, else the
/// device of what is judged.
fn check_signal(
    check: &mut Check<'_>,
    (key, text): (String, &str),
    (device_key, device): (String, Option<&str>),
    judged: JudgedDevices<'_>,
    known: &Known<'_>,
) -> Option<StateSignal> {
    let device = match device {
        None => None,
        Some(name) => Some(check.keep(&device_key, name, DeviceId::new(name))?),
    };
    let parts = text.split_once(':').filter(|(source, signal)| !source.is_empty() && !signal.is_empty());
    let Some((source, signal)) = parts.filter(|(_, signal)| !signal.contains('*')) else {
        let fault = Fault::at_text(key, text, "one signal of a source, such as \"plc:XS701\"");
        check.faults.push(fault.remedy("write it as \"SOURCE:SIGNAL\", without \"*\""));
        return None;
    };
    if known.sources().any(|known| known == UNNAMED) {
        return None;
    }
    let Some((position, found)) = known.state_source(source) else {
        let names: Vec<&str> = known.sources().collect();
        let expected = format!("a signal of a [source.NAME], here one of {}", names.join(", "));
        let remedy = match nearest(source, names.iter().copied()) {
            Some(near) => format!("write {:?}", text.replacen(source, near, 1)),
            None => format!("add [source.{source}], or name another source"),
        };
        check.faults.push(Fault::at_text(key, text, expected).remedy(remedy));
        return None;
    };
    let StateSource { has_states, only_signal, only_device } = found;
    if !has_states {
        let fault = Fault::at_text(key, text, "a signal of a source of readings, neither frames nor samples");
        check.faults.push(fault.remedy("name the source of the contact or of the speed of the machine"));
        return None;
    }
    if let Some(only) = only_signal.filter(|only| *only != signal) {
        let fault = Fault::at_text(key, text, format!("{only:?}, the one signal of the source"));
        check.faults.push(fault.remedy(format!("write \"{source}:{only}\"")));
        return None;
    }
    let elsewhere = only_device.filter(|_| !judged.are_all_of(source));
    let device = device.or_else(|| DeviceId::new(elsewhere?).ok());
    if let (None, Some(machine)) = (&device, judged.machine) {
        let expected = format!("the device that sends it: {machine} is several devices together");
        check
            .faults
            .push(Fault::missing(device_key, expected).remedy("name the device that sends the state"));
        return None;
    }
    let signal = check.keep(&key, signal, SignalId::new(signal))?;
    // More sources than indices is a fault of its own.
    Some(StateSignal { source: SourceIndex(u16::try_from(position).ok()?), signal, device })
}

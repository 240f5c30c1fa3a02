//! Orders to the judges, and their results. Pure.
//!
//! `{"id":"…","command":"label","remark":"false","event":142}`, or `{"id":"…","command":"label","remark":"real","device":"pump-1"}` with `signal`, `judge` and `source` beside it if
//! needed, and `{"id":"…","command":"maintenance","device":"pump-1","minutes":60}` with the same.

use std::time::Duration;

use serde_json::{Map, Value, json};
use verge_domain::id::{DeviceId, EventNumber, NameError, OperatorText};
use verge_domain::stage::Remark;
use verge_domain::verdict::Detector;

use super::{only, text};
use crate::commands::{CommandError, EventOrder, RemoteCommand};
use crate::judging::{KnownEvent, LONGEST_WINDOW, Order, Outcome, Selector};

/// Reads a remark on alarms: on the last ones of what is named, or on that of one event.
pub(super) fn label(keys: &Map<String, Value>, door: &OperatorText) -> Result<RemoteCommand, CommandError> {
    const KNOWN: &[&str] = &["id", "command", "remark", "event", "device", "signal", "judge", "source"];
    const OF_EVENT: &[&str] = &["id", "command", "remark", "event"];
    only(keys, KNOWN, "id, command, remark, event, device, signal, judge and source")?;
    let remark = text(keys, "remark").and_then(Remark::named);
    let remark =
        remark.ok_or(CommandError::Bad { key: "remark", expected: r#""false", "maintenance" or "real""# })?;
    let Some(event) = keys.get("event") else {
        let (selector, by) = (selector(keys)?, door.clone());
        return Ok(RemoteCommand::Order(Order::Label { selector, remark, event: None, by }));
    };
    only(keys, OF_EVENT, "id, command, remark and event: the number says what it is about")?;
    let number = number(event)?;
    Ok(RemoteCommand::OfEvent { number, what: EventOrder::Label(remark, door.clone()) })
}

/// The number of an event.
pub(super) fn number(event: &Value) -> Result<EventNumber, CommandError> {
    let number = event.as_u64().filter(|&number| number > 0).map(EventNumber);
    number.ok_or(CommandError::Bad { key: "event", expected: "the number of an event, from 1" })
}

/// Reads the begin or the end of a maintenance window.
pub(super) fn maintenance(keys: &Map<String, Value>) -> Result<Order, CommandError> {
    const KNOWN: &[&str] = &["id", "command", "minutes", "device", "signal", "judge", "source"];
    only(keys, KNOWN, "id, command, minutes, device, signal, judge and source")?;
    let selector = selector(keys)?;
    let length = keys.get("minutes").and_then(Value::as_u64);
    let length = length.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    let length = length.filter(|&length| length <= LONGEST_WINDOW).ok_or(CommandError::Bad {
        key: "minutes",
        expected: "a whole number from 1 to 10080, or 0 for the end",
    })?;
    Ok(Order::Maintenance { selector, length })
}

pub(super) fn selector(keys: &Map<String, Value>) -> Result<Selector, CommandError> {
    let bad = |key| CommandError::Bad { key, expected: "a name" };
    let device = text(keys, "device").and_then(|name| DeviceId::new(name).ok());
    Ok(Selector {
        device: device.ok_or(bad("device"))?,
        signal: name(keys, "signal").map_err(bad)?,
        judge: name(keys, "judge").map_err(bad)?,
        source: name(keys, "source").map_err(bad)?,
    })
}

/// A name that may be left out.
pub(super) fn name<T: TryFrom<String, Error = NameError>>(
    keys: &Map<String, Value>,
    key: &'static str,
) -> Result<Option<T>, &'static str> {
    match keys.get(key) {
        None => Ok(None),
        Some(Value::String(name)) => T::try_from(name.clone()).map(Some).map_err(|_| key),
        Some(_) => Err(key),
    }
}

/// The answer to an order about one event.
pub(super) fn of_event(id: Option<&str>, outcome: &Outcome, event: &KnownEvent) -> Value {
    let mut answer = done(id, outcome);
    answer["event"] = event.number.0.into();
    answer["judge"] = event.judge.as_str().into();
    answer["source"] = event.subject.source.as_str().into();
    answer["device"] = event.subject.device.as_str().into();
    answer["signal"] = event.subject.signal.as_ref().map(|signal| signal.as_str()).into();
    let Outcome::Applied { changed, unlearnt: why, .. } = *outcome else { return answer };
    answer["before"] = event.label.map(Remark::as_str).into();
    if let (0, Some((detector, remark))) = (changed, why) {
        answer["note"] = unlearnt(detector, remark, &format!("[judge.{}]", event.judge)).into();
    }
    answer
}

/// Why a label has changed nothing, and what to do instead.
fn unlearnt(detector: Detector, remark: Remark, place: &str) -> String {
    let name = detector.as_str();
    let setting = match detector {
        Detector::Auto
        | Detector::Multi
        | Detector::Pattern
        | Detector::Vibration
        | Detector::Autoencoder
        | Detector::Anomaly => {
            return nothing_left(detector, remark);
        }
        Detector::Threshold => "move `above` or `below`, or set `raise_after`",
        Detector::Rate => "raise `rise_above` or `fall_above`, or set `raise_after`",
        Detector::Cusum => "raise `limit` or `slack`",
        Detector::Silence => "raise `after`",
        Detector::Health => "leave the cause out of `causes`, or raise `patience`",
        Detector::Track => "raise `stopped_after` or `queue_from` of its zones, or set `raise_after`",
        Detector::Loop | Detector::Classify | Detector::Detect => "set another `severity`",
    };
    match remark {
        Remark::False => {
            format!("{name} does not learn from labels: to have fewer such alarms, {setting}, in {place}")
        }
        Remark::Maintenance => {
            format!(
                "{name} does not learn from labels: to have no alarms during work, use `verge maintenance`"
            )
        }
        Remark::Real => format!("{name} does not learn from labels: the same will alarm again"),
    }
}

/// Why a label on an event of a detector that learns has changed nothing.
fn nothing_left(detector: Detector, remark: Remark) -> String {
    match (remark, detector) {
        (Remark::False, _) => {
            "nothing is learnt from it: only the last four events of a signal are remembered, and it is none of them"
        }
        (Remark::Real | Remark::Maintenance, Detector::Auto | Detector::Autoencoder | Detector::Anomaly) => {
            "nothing is left to forget: its alarm was more than a thousand readings ago"
        }
        (Remark::Real | Remark::Maintenance, _) => {
            "there is nothing to forget: this detector does not learn from what is abnormal, and the same will alarm again"
        }
    }
    .to_owned()
}

/// The answer to an order that was carried out.
pub(super) fn done(id: Option<&str>, outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Applied { matched, changed, signals, replaced, unlearnt: why } => {
            let mut answer = json!({
                "id": id, "ok": true, "heard": matched, "used": changed, "signals": signals, "replaced": replaced,
            });
            if let (0, Some((detector, remark))) = (*changed, *why) {
                answer["note"] = unlearnt(detector, remark, "the configuration of its judge").into();
            }
            answer
        }
        Outcome::Opened { instances, until } => {
            json!({ "id": id, "ok": true, "quiet": instances, "until": until.0 })
        }
        Outcome::Acknowledged { events, already } => {
            json!({ "id": id, "ok": true, "acknowledged": events, "already": already })
        }
        Outcome::Shelved { points, until } => {
            json!({ "id": id, "ok": true, "shelved": points, "until": until.0 })
        }
        Outcome::Set { key, value, configured, events } => {
            json!({ "id": id, "ok": true, "key": key.as_str(), "value": value, "configured": configured, "updated": events })
        }
        Outcome::Unshelved { points } => json!({ "id": id, "ok": true, "unshelved": points }),
        Outcome::Closed { windows, matched, changed } => {
            json!({ "id": id, "ok": true, "ended": windows, "heard": matched, "used": changed })
        }
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::id::{JudgeId, SignalId, SourceId};
    use verge_domain::time::UtcMillis;
    use verge_domain::verdict::Subject;

    use super::*;
    use crate::commands::RemoteCommand;
    use crate::commands::json::parse as parse_from;

    fn door() -> OperatorText {
        OperatorText::new("uplink wan").unwrap()
    }

    fn parse(text: &[u8]) -> crate::commands::json::CommandRequest {
        parse_from(text, &door())
    }

    fn order(text: &str) -> Result<Order, String> {
        match parse(text.as_bytes()).command {
            Ok(RemoteCommand::Order(order)) => Ok(order),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn orders_name_what_they_select() {
        let device = DeviceId::new("p").unwrap();
        let selector = Selector { device: device.clone(), signal: None, judge: None, source: None };
        let all = r#"{"id":"a","command":"label","remark":"real","device":"p"}"#;
        assert_eq!(
            order(all),
            Ok(Order::Label { selector: selector.clone(), remark: Remark::Real, event: None, by: door() })
        );
        let one = r#"{"id":"a","command":"label","remark":"maintenance","device":"p","signal":"s","judge":"j","source":"o"}"#;
        let exact = Selector {
            device,
            signal: Some(SignalId::new("s").unwrap()),
            judge: Some(JudgeId::new("j").unwrap()),
            source: Some(SourceId::new("o").unwrap()),
        };
        assert_eq!(
            order(one),
            Ok(Order::Label { selector: exact, remark: Remark::Maintenance, event: None, by: door() })
        );
        let week = r#"{"id":"a","command":"maintenance","device":"p","minutes":10080}"#;
        let length = Duration::from_secs(604_800);
        assert_eq!(order(week), Ok(Order::Maintenance { selector: selector.clone(), length }));
        let end = r#"{"id":"a","command":"maintenance","device":"p","minutes":0}"#;
        assert_eq!(order(end), Ok(Order::Maintenance { selector, length: Duration::ZERO }));
    }

    #[test]
    fn orders_are_refused_in_words() {
        let check = |text: &str, words: &str| assert_eq!(order(text), Err(words.to_owned()), "{text}");
        let remark = r#"remark: missing, or not "false", "maintenance" or "real""#;
        check(r#"{"id":"a","command":"label","device":"p"}"#, remark);
        check(r#"{"id":"a","command":"label","remark":"odd","device":"p"}"#, remark);
        check(r#"{"id":"a","command":"label","remark":"real"}"#, "device: missing, or not a name");
        let signal = "signal: missing, or not a name";
        check(r#"{"id":"a","command":"label","remark":"real","device":"p","signal":""}"#, signal);
        check(r#"{"id":"a","command":"label","remark":"real","device":"p","signal":7}"#, signal);
        let known = "unknown key beside id, command, remark, event, device, signal, judge and source";
        check(r#"{"id":"a","command":"label","remark":"real","device":"p","minutes":1}"#, known);
        let alone = "unknown key beside id, command, remark and event: the number says what it is about";
        check(r#"{"id":"a","command":"label","remark":"false","event":142,"device":"p"}"#, alone);
        let number = "event: missing, or not the number of an event, from 1";
        check(r#"{"id":"a","command":"label","remark":"false","event":0}"#, number);
        check(r##"{"id":"a","command":"label","remark":"false","event":"#142"}"##, number);
        let minutes = "minutes: missing, or not a whole number from 1 to 10080, or 0 for the end";
        check(r#"{"id":"a","command":"maintenance","device":"p"}"#, minutes);
        check(r#"{"id":"a","command":"maintenance","device":"p","minutes":10081}"#, minutes);
        check(r#"{"id":"a","command":"maintenance","device":"p","minutes":-1}"#, minutes);
        check(r#"{"id":"a","command":"maintenance","device":"p","minutes":1.5}"#, minutes);
        check(r#"{"id":"a","command":"maintenance","device":"p","minutes":18446744073709551615}"#, minutes);
    }

    #[test]
    fn an_event_is_labelled_by_its_number_and_the_answer_says_what_it_was_about() {
        let text = br#"{"id":"a","command":"label","remark":"false","event":142}"#;
        let number = EventNumber(142);
        assert_eq!(
            parse(text).command,
            Ok(RemoteCommand::OfEvent { number, what: EventOrder::Label(Remark::False, door()) })
        );
        let event = KnownEvent {
            number,
            judge: JudgeId::new("auto").unwrap(),
            subject: Subject {
                source: SourceId::new("plc").unwrap(),
                device: DeviceId::new("p").unwrap(),
                signal: Some(SignalId::new("s").unwrap()),
            },
            since: UtcMillis(0),
            label: Some(Remark::Real),
        };
        let outcome = Outcome::Applied { matched: 1, changed: 1, signals: 1, replaced: 1, unlearnt: None };
        let expected = json!({
            "id": "a", "ok": true, "heard": 1, "used": 1, "signals": 1, "replaced": 1, "event": 142, "judge": "auto",
            "source": "plc", "device": "p", "signal": "s", "before": "real",
        });
        assert_eq!(of_event(Some("a"), &outcome, &event), expected);
    }

    #[test]
    fn a_label_that_changes_nothing_is_answered_with_the_reason_and_what_to_set() {
        let event = KnownEvent {
            number: EventNumber(7),
            judge: JudgeId::new("hot").unwrap(),
            subject: Subject {
                source: SourceId::new("plc").unwrap(),
                device: DeviceId::new("p").unwrap(),
                signal: None,
            },
            since: UtcMillis(0),
            label: None,
        };
        let check = |detector, remark, changed, note: Value| {
            let unlearnt = Some((detector, remark));
            let outcome = Outcome::Applied { matched: 1, changed, signals: 1, replaced: 0, unlearnt };
            assert_eq!(of_event(Some("a"), &outcome, &event)["note"], note, "{detector:?} {remark:?}");
        };
        let limits = "threshold does not learn from labels: to have fewer such alarms, move `above` or `below`, or set \
                      `raise_after`, in [judge.hot]";
        check(Detector::Threshold, Remark::False, 0, limits.into());
        let again = "rate does not learn from labels: the same will alarm again";
        check(Detector::Rate, Remark::Real, 0, again.into());
        let work =
            "health does not learn from labels: to have no alarms during work, use `verge maintenance`";
        check(Detector::Health, Remark::Maintenance, 0, work.into());
        let late = "nothing is learnt from it: only the last four events of a signal are remembered, and it is none of them";
        check(Detector::Multi, Remark::False, 0, late.into());
        check(Detector::Threshold, Remark::False, 1, Value::Null);
        let outcome = Outcome::Applied {
            matched: 2,
            changed: 0,
            signals: 1,
            replaced: 0,
            unlearnt: Some((Detector::Silence, Remark::False)),
        };
        let of_device = "silence does not learn from labels: to have fewer such alarms, raise `after`, in the configuration \
                         of its judge";
        assert_eq!(done(Some("a"), &outcome)["note"], of_device);
    }

    #[test]
    fn answers_give_the_result_of_an_order() {
        let check = |outcome, expected: Value| {
            assert_eq!(done(Some("a"), &outcome), expected);
        };
        check(
            Outcome::Applied { matched: 3, changed: 2, signals: 2, replaced: 1, unlearnt: None },
            json!({ "id": "a", "ok": true, "heard": 3, "used": 2, "signals": 2, "replaced": 1 }),
        );
        let until = UtcMillis(9);
        let opened = json!({ "id": "a", "ok": true, "quiet": 4, "until": 9 });
        check(Outcome::Opened { instances: 4, until }, opened);
        let closed = json!({ "id": "a", "ok": true, "ended": 1, "heard": 3, "used": 2 });
        check(Outcome::Closed { windows: 1, matched: 3, changed: 2 }, closed);
    }
}

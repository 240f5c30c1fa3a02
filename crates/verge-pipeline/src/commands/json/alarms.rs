//! What operators do about alarms. Pure.
//!
//! `{"id":"…","command":"acknowledge","event":142,"by":"anna","note":"bearing ordered"}`, or with `device`, `signal`, `judge`
//! and `source` in the place of `event`; `shelve` with `minutes` beside it, and `unshelve`; `set` with `judge`, `key` and `value`.
//! `by` and `note` may be left out.

use std::time::Duration;

use serde_json::{Map, Value};
use verge_domain::id::{JudgeId, OperatorText};
use verge_domain::settable::LimitKey;

use super::orders::{name, number, selector};
use super::{only, text};
use crate::commands::{CommandError, EventOrder, RemoteCommand};
use crate::judging::{LONGEST_SHELVING, Operator, Order, Selector};

const SELECTING: [&str; 4] = ["device", "signal", "judge", "source"];
const KEYS: &str = "id, command, by, note, and event or device, signal, judge and source";
const SHELVE_KEYS: &str = "id, command, minutes, by, note, and event or device, signal, judge and source";

/// Reads an acknowledgement.
pub(super) fn acknowledge(
    keys: &Map<String, Value>,
    door: &OperatorText,
) -> Result<RemoteCommand, CommandError> {
    keys_are(keys, &[], KEYS)?;
    let operator = operator(keys, door)?;
    match keys.get("event") {
        Some(event) => of_event(keys, event, EventOrder::Acknowledge(operator)),
        None => {
            let selector = selector(keys)?;
            Ok(RemoteCommand::Order(Order::Acknowledge { selector, event: None, operator }))
        }
    }
}

/// Reads the begin of shelving.
pub(super) fn shelve(keys: &Map<String, Value>, door: &OperatorText) -> Result<RemoteCommand, CommandError> {
    keys_are(keys, &["minutes"], SHELVE_KEYS)?;
    let minutes = keys.get("minutes").and_then(Value::as_u64).filter(|&minutes| minutes > 0);
    let length = minutes.map(|minutes| Duration::from_secs(minutes.saturating_mul(60)));
    let length = length
        .filter(|&length| length <= LONGEST_SHELVING)
        .ok_or(CommandError::Bad { key: "minutes", expected: "a whole number from 1 to 480" })?;
    shelving(keys, length, door)
}

/// Reads the end of shelving before its time.
pub(super) fn unshelve(
    keys: &Map<String, Value>,
    door: &OperatorText,
) -> Result<RemoteCommand, CommandError> {
    keys_are(keys, &[], KEYS)?;
    shelving(keys, Duration::ZERO, door)
}

/// Reads where a limit of a judge is to be; `null` puts it back.
pub(super) fn set(keys: &Map<String, Value>, door: &OperatorText) -> Result<RemoteCommand, CommandError> {
    const KNOWN: &[&str] = &["id", "command", "judge", "key", "value", "by", "note"];
    only(keys, KNOWN, "id, command, judge, key, value, by and note")?;
    let bad = |key, expected| CommandError::Bad { key, expected };
    let judge = text(keys, "judge").and_then(|name| JudgeId::new(name).ok());
    let key = text(keys, "key").and_then(LimitKey::named);
    let value = match keys.get("value") {
        Some(Value::Null) => Some(None),
        value => value.and_then(Value::as_f64).map(Some),
    };
    Ok(RemoteCommand::Order(Order::Set {
        judge: judge.ok_or(bad("judge", "a name"))?,
        key: key.ok_or(bad("key", r#""above" or "below""#))?,
        value: value.ok_or(bad("value", "a number, or null"))?,
        operator: operator(keys, door)?,
    }))
}

fn shelving(
    keys: &Map<String, Value>,
    length: Duration,
    door: &OperatorText,
) -> Result<RemoteCommand, CommandError> {
    let operator = operator(keys, door)?;
    if let Some(event) = keys.get("event") {
        return of_event(keys, event, EventOrder::Shelve { length, operator });
    }
    let selector = selector(keys)?;
    // All alarms of a device are no point: that is maintenance.
    if let Selector { judge: None, .. } = selector {
        return Err(CommandError::Bad { key: "judge", expected: "a name" });
    }
    Ok(RemoteCommand::Order(Order::Shelve { selector, length, operator }))
}

fn of_event(
    keys: &Map<String, Value>,
    event: &Value,
    what: EventOrder,
) -> Result<RemoteCommand, CommandError> {
    let number = number(event)?;
    if SELECTING.iter().any(|key| keys.contains_key(*key)) {
        return Err(CommandError::UnknownKey { known: "event: the number says what it is about" });
    }
    Ok(RemoteCommand::OfEvent { number, what })
}

fn keys_are(keys: &Map<String, Value>, more: &[&str], words: &'static str) -> Result<(), CommandError> {
    let mut known = vec!["id", "command", "by", "note", "event"];
    known.extend(SELECTING);
    known.extend(more);
    only(keys, &known, words)
}

/// Who acts: where the command came in, and the person that it names.
fn operator(keys: &Map<String, Value>, door: &OperatorText) -> Result<Operator, CommandError> {
    const BY: CommandError = CommandError::Bad { key: "by", expected: "a short text" };
    let by = match (keys.get("by"), text(keys, "by")) {
        (None, _) => door.clone(),
        (Some(_), Some(person)) => OperatorText::new(&format!("{door}: {person}")).map_err(|_| BY)?,
        (Some(_), None) => return Err(BY),
    };
    let note = name(keys, "note").map_err(|key| CommandError::Bad { key, expected: "a short text" })?;
    Ok(Operator { by, note })
}

#[cfg(test)]
mod tests {
    use verge_domain::id::{DeviceId, EventNumber, JudgeId};

    use super::*;
    use crate::commands::json::parse;

    fn command(text: &str) -> Result<RemoteCommand, String> {
        let door = OperatorText::new("uplink wan").unwrap();
        parse(text.as_bytes(), &door).command.map_err(|error| error.to_string())
    }

    fn operator(by: &str, note: Option<&str>) -> Operator {
        let text = |text| OperatorText::new(text).unwrap();
        Operator { by: text(by), note: note.map(text) }
    }

    #[test]
    fn an_operator_acknowledges_and_shelves_by_number_or_by_name() {
        let what = EventOrder::Acknowledge(operator("uplink wan: anna", Some("ordered")));
        let number = EventNumber(142);
        assert_eq!(
            command(r#"{"id":"a","command":"acknowledge","event":142,"by":"anna","note":"ordered"}"#),
            Ok(RemoteCommand::OfEvent { number, what })
        );
        let selector = Selector {
            device: DeviceId::new("p").unwrap(),
            signal: None,
            judge: Some(JudgeId::new("j").unwrap()),
            source: None,
        };
        let order = |length, minutes: &str, name: &str| {
            let text = format!(r#"{{"id":"a","command":"{name}"{minutes},"device":"p","judge":"j"}}"#);
            let operator = operator("uplink wan", None);
            let order = Order::Shelve { selector: selector.clone(), length, operator };
            assert_eq!(command(&text), Ok(RemoteCommand::Order(order)));
        };
        order(Duration::from_secs(28_800), r#","minutes":480"#, "shelve");
        order(Duration::ZERO, "", "unshelve");
    }

    #[test]
    fn a_limit_is_set_to_a_number_or_put_back() {
        let order = |value| {
            let (judge, key, operator) =
                (JudgeId::new("j").unwrap(), LimitKey::Above, operator("uplink wan", None));
            Ok(RemoteCommand::Order(Order::Set { judge, key, value, operator }))
        };
        let set = |rest: &str| command(&format!(r#"{{"id":"a","command":"set","judge":"j",{rest}}}"#));
        assert_eq!(set(r#""key":"above","value":8.5"#), order(Some(8.5)));
        assert_eq!(set(r#""key":"above","value":null"#), order(None));
        let refused = |rest: &str, words: &str| assert_eq!(set(rest), Err(words.to_owned()), "{rest}");
        refused(r#""key":"above""#, "value: missing, or not a number, or null");
        refused(r#""key":"above","value":"8""#, "value: missing, or not a number, or null");
        refused(r#""key":"hysteresis","value":8"#, r#"key: missing, or not "above" or "below""#);
        refused(
            r#""key":"above","value":8,"device":"p""#,
            "unknown key beside id, command, judge, key, value, by and note",
        );
    }

    #[test]
    fn what_is_no_action_of_an_operator_is_refused_in_words() {
        let check = |text: &str, words: &str| assert_eq!(command(text), Err(words.to_owned()), "{text}");
        let minutes = "minutes: missing, or not a whole number from 1 to 480";
        for odd in ["", r#","minutes":0"#, r#","minutes":481"#, r#","minutes":"9""#] {
            check(&format!(r#"{{"id":"a","command":"shelve","device":"p","judge":"j"{odd}}}"#), minutes);
        }
        let judge = "judge: missing, or not a name";
        check(r#"{"id":"a","command":"shelve","device":"p","minutes":5}"#, judge);
        check(r#"{"id":"a","command":"unshelve","device":"p"}"#, judge);
        check(r#"{"id":"a","command":"acknowledge"}"#, "device: missing, or not a name");
        let by = "by: missing, or not a short text";
        check(r#"{"id":"a","command":"acknowledge","event":1,"by":7}"#, by);
        let long = "x".repeat(128);
        check(&format!(r#"{{"id":"a","command":"acknowledge","event":1,"by":"{long}"}}"#), by);
        check(
            r#"{"id":"a","command":"acknowledge","event":1,"note":""}"#,
            "note: missing, or not a short text",
        );
        let alone = "unknown key beside event: the number says what it is about";
        check(r#"{"id":"a","command":"acknowledge","event":1,"device":"p"}"#, alone);
        check(
            r#"{"id":"a","command":"unshelve","event":1,"minutes":5}"#,
            &format!("unknown key beside {KEYS}"),
        );
    }
}

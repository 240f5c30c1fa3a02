//! What a supervisor says. What cannot be read is refused with a reason where it has an identifier.

use std::time::Duration;

use serde_json::Value;

/// Values that one message may ask for.
const MAX_ITEMS: usize = 256;
/// Bytes of an identifier or a word: answers repeat them, and many answers may wait.
const MAX_WORD: usize = 256;
/// The longest even interval: a day.
const MAX_EVERY: u64 = 86_400;

/// A message of a supervisor.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    Ack {
        of: String,
    },
    NotAck {
        of: String,
        reason: String,
    },
    /// Something that is to be acknowledged under its identifier.
    Asked {
        id: String,
        what: Asked,
    },
}

/// What a supervisor asks for, or says.
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    Version { versions: Vec<String>, sxl: String, sites: Vec<String> },
    Watchdog,
    AggregatedStatus { component: String },
    Alarm { component: String, code: String, wish: AlarmWish },
    Status { component: String, items: Vec<StatusItem> },
    Subscribe { component: String, items: Vec<StatusItem> },
    Unsubscribe { component: String, items: Vec<StatusItem> },
    Command { component: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AlarmWish {
    Acknowledge,
    Suspend,
    Resume,
    Request,
}

/// One requested value, of a subscription with its interval.
#[derive(Debug, PartialEq)]
pub(super) struct StatusItem {
    pub(super) code: String,
    pub(super) name: String,
    pub(super) every: Duration,
}

/// Why a packet is no message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// It is not JSON, or has no identifier to refuse it under.
    Unreadable(&'static str),
    /// It is refused.
    Refused { id: String, reason: String },
}

/// Reads one packet.
pub(super) fn read(packet: &[u8]) -> Result<Incoming, Unread> {
    let value: Value = serde_json::from_slice(packet).map_err(|_| Unread::Unreadable("it is not JSON"))?;
    if !value.is_object() {
        return Err(Unread::Unreadable("it is no JSON object"));
    }
    let own = |key: &str| word(&value, key).map(str::to_owned);
    let of = || own("oMId").ok_or(Unread::Unreadable("it acknowledges no message (oMId)"));
    match own("type").as_deref() {
        Some("MessageAck") => return Ok(Incoming::Ack { of: of()? }),
        Some("MessageNotAck") => {
            let reason = value.get("rea").and_then(Value::as_str).unwrap_or_default();
            return Ok(Incoming::NotAck { of: of()?, reason: reason.chars().take(MAX_WORD).collect() });
        }
        _ => {}
    }
    let id = own("mId").ok_or(Unread::Unreadable("it has no identifier (mId) of at most 256 bytes"))?;
    match asked(&value) {
        Ok(what) => Ok(Incoming::Asked { id, what }),
        Err(reason) => Err(Unread::Refused { id, reason }),
    }
}

fn asked(value: &Value) -> Result<Asked, String> {
    if value.get("mType").and_then(Value::as_str) != Some("rSMsg") {
        return Err("mType is not \"rSMsg\"".to_owned());
    }
    let component = || text(value, "cId");
    Ok(match text(value, "type")?.as_str() {
        "Version" => Asked::Version {
            versions: texts(value, "RSMP", "vers")?,
            sxl: text(value, "SXL")?,
            sites: texts(value, "siteId", "sId")?,
        },
        "Watchdog" => Asked::Watchdog,
        "AggregatedStatusRequest" => Asked::AggregatedStatus { component: component()? },
        "Alarm" => Asked::Alarm {
            component: component()?,
            code: text(value, "aCId")?,
            wish: match text(value, "aSp")?.as_str() {
                "Acknowledge" => AlarmWish::Acknowledge,
                "Suspend" => AlarmWish::Suspend,
                "Resume" => AlarmWish::Resume,
                "Request" => AlarmWish::Request,
                other => {
                    return Err(format!(
                        "aSp is {other:?}, expected Acknowledge, Suspend, Resume or Request of a supervisor"
                    ));
                }
            },
        },
        "StatusRequest" => Asked::Status { component: component()?, items: items(value, false)? },
        "StatusSubscribe" => Asked::Subscribe { component: component()?, items: items(value, true)? },
        "StatusUnsubscribe" => Asked::Unsubscribe { component: component()?, items: items(value, false)? },
        "CommandRequest" => Asked::Command { component: component()? },
        other => return Err(format!("a site takes no message of the type {other:?}")),
    })
}

fn word<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|word| word.len() <= MAX_WORD)
}

fn text(value: &Value, key: &str) -> Result<String, String> {
    word(value, key)
        .map(str::to_owned)
        .ok_or_else(|| format!("{key} is missing, or no text of at most {MAX_WORD} bytes"))
}

fn list<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>, String> {
    let list = value.get(key).and_then(Value::as_array).filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| format!("{key} is missing, or no list with anything in it"))?;
    if list.len() > MAX_ITEMS {
        return Err(format!("{key} has {} entries; {MAX_ITEMS} are taken at most", list.len()));
    }
    Ok(list)
}

fn texts(value: &Value, key: &str, part: &str) -> Result<Vec<String>, String> {
    list(value, key)?.iter().map(|one| text(one, part)).collect()
}

fn items(value: &Value, with_interval: bool) -> Result<Vec<StatusItem>, String> {
    let item = |one: &Value| {
        let (code, name) = (text(one, "sCI")?, text(one, "n")?);
        let every = if with_interval { every(one)? } else { Duration::ZERO };
        Ok(StatusItem { code, name, every })
    };
    list(value, "sS")?.iter().map(item).collect()
}

fn every(item: &Value) -> Result<Duration, String> {
    let words = text(item, "uRt")?;
    let seconds = words.parse::<u64>().ok().filter(|seconds| *seconds <= MAX_EVERY);
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| format!("uRt is {words:?}, expected 0 to {MAX_EVERY} seconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_message_is_refused_with_a_reason_and_never_panics() {
        let check = |packet: &str, refused: Option<&str>| match (read(packet.as_bytes()), refused) {
            (Err(Unread::Unreadable(_)), None) => {}
            (Err(Unread::Refused { id, reason }), Some(expected)) => {
                assert_eq!(id, "1");
                assert!(reason.contains(expected), "{packet}: {reason}");
            }
            (other, _) => panic!("{packet}: {other:?}"),
        };
        for noise in ["", "{", "[]", "7", "{}", "\u{fffd}", r#"{"mType":"rSMsg","type":"Watchdog"}"#] {
            check(noise, None);
        }
        check(r#"{"type":"MessageAck"}"#, None);
        check(&format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000)), None);
        check(r#"{"mId":"1","type":"Watchdog"}"#, Some("mType"));
        check(r#"{"mId":"1","mType":"rSMsg"}"#, Some("type is missing"));
        check(r#"{"mId":"1","mType":"rSMsg","type":"watchdog"}"#, Some("\"watchdog\""));
        check(
            r#"{"mId":"1","mType":"rSMsg","type":"Alarm","cId":"a","aCId":"b","aSp":"Issue"}"#,
            Some("aSp"),
        );
        check(r#"{"mId":"1","mType":"rSMsg","type":"StatusRequest","cId":"a","sS":[]}"#, Some("sS"));
        let subscribe = |every: &str| {
            format!(
                r#"{{"mId":"1","mType":"rSMsg","type":"StatusSubscribe","cId":"a","sS":[{{"sCI":"S0201","n":"vehicles","uRt":{every},"sOc":false}}]}}"#
            )
        };
        check(&subscribe("300"), Some("uRt"));
        check(&subscribe("\"-5\""), Some("uRt"));
        check(&subscribe("\"99999999999999999999999\""), Some("uRt"));
        assert!(read(subscribe("\"300\"").as_bytes()).is_ok());
        let long = "x".repeat(MAX_WORD + 1);
        check(&format!(r#"{{"mId":"{long}","mType":"rSMsg","type":"Watchdog"}}"#), None);
        check(
            &format!(r#"{{"mId":"1","mType":"rSMsg","type":"CommandRequest","cId":"{long}"}}"#),
            Some("at most 256 bytes"),
        );
    }
}

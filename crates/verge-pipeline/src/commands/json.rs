//! Commands and their answers in JSON, as sent on `…/cmd` and `…/cmd/reply`. Pure.
//!
//! `{"id":"any text","command":"replay","lane":"verdict","from":1,"to":20,"epoch":"hex, optional"}` and
//! `{"id":"…","command":"ledger"}`; `orders` has those to the judges. Every answer has the command's `id` and `ok`;
//! where that is false, `error` gives the reason in words.

mod alarms;
pub(crate) mod models;
mod orders;
mod snapshots;

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use verge_domain::id::{Lane, OperatorText, Seq};

use super::{CommandAnswer, CommandError, RemoteCommand};
use crate::committer::StoreLedger;
use crate::delivery::LinkCounters;
use crate::status::withdrawn;

/// Maximum size of a command.
pub(super) const MAX_COMMAND_BYTES: usize = 4096;

/// A command as received: its id, and what it requests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CommandRequest {
    /// `None` where there is none: then the answer has `null`.
    pub(crate) id: Option<String>,
    pub(crate) command: Result<RemoteCommand, CommandError>,
}

/// Reads a command. `door`: where it came in.
pub(crate) fn parse(payload: &[u8], door: &OperatorText) -> CommandRequest {
    if payload.len() > MAX_COMMAND_BYTES {
        return CommandRequest {
            id: None,
            command: Err(CommandError::TooLong { actual: payload.len(), limit: MAX_COMMAND_BYTES }),
        };
    }
    let Ok(Value::Object(keys)) = serde_json::from_slice(payload) else {
        return CommandRequest { id: None, command: Err(CommandError::NotJson) };
    };
    let id = text(&keys, "id").map(ToOwned::to_owned);
    let command = match (&id, text(&keys, "command")) {
        (None, _) => Err(CommandError::Bad { key: "id", expected: "a text" }),
        (_, Some("replay")) => replay(&keys),
        (_, Some("ledger")) => {
            only(&keys, &["id", "command"], "id and command").map(|()| RemoteCommand::Ledger)
        }
        (_, Some("label")) => orders::label(&keys, door),
        (_, Some("snapshot")) => snapshots::snapshot(&keys),
        (_, Some("maintenance")) => orders::maintenance(&keys).map(RemoteCommand::Order),
        (_, Some("acknowledge")) => alarms::acknowledge(&keys, door),
        (_, Some("shelve")) => alarms::shelve(&keys, door),
        (_, Some("unshelve")) => alarms::unshelve(&keys, door),
        (_, Some("set")) => alarms::set(&keys, door),
        (Some(id), Some("offer")) => models::offer(&keys, id, door),
        (Some(id), Some("promote")) => models::promote(&keys, id, door),
        (Some(id), Some("rollback")) => models::rollback(&keys, id, door),
        (_, Some(_)) => Err(CommandError::Unknown),
        (_, None) => Err(CommandError::Bad { key: "command", expected: "a text" }),
    };
    CommandRequest { id, command }
}

/// Takes the `route` out of a command that says which one it is about, as one does that came by no link.
pub(super) fn route_of(payload: &[u8]) -> (Option<String>, Cow<'_, [u8]>) {
    let whole = (None, Cow::Borrowed(payload));
    if payload.len() > MAX_COMMAND_BYTES {
        return whole;
    }
    let Ok(Value::Object(mut keys)) = serde_json::from_slice(payload) else { return whole };
    if !matches!(text(&keys, "command"), Some("replay" | "ledger")) {
        return whole;
    }
    match keys.remove("route") {
        Some(Value::String(route)) => (Some(route), Cow::Owned(Value::Object(keys).to_string().into_bytes())),
        _ => whole,
    }
}

fn replay(keys: &Map<String, Value>) -> Result<RemoteCommand, CommandError> {
    const KNOWN: &[&str] = &["id", "command", "lane", "from", "to", "epoch"];
    only(keys, KNOWN, "id, command, lane, from, to and epoch")?;
    let lane = text(keys, "lane").and_then(Lane::named);
    let lane =
        lane.ok_or(CommandError::Bad { key: "lane", expected: r#""alarm", "verdict" or "telemetry""# })?;
    let number = |key: &'static str| {
        let number = keys.get(key).and_then(Value::as_u64).filter(|&number| number > 0);
        number.map(Seq).ok_or(CommandError::Bad { key, expected: "a whole number from 1" })
    };
    let (from, to) = (number("from")?, number("to")?);
    if from > to {
        return Err(CommandError::Backwards { from, to });
    }
    let epoch = match keys.get("epoch") {
        None => None,
        Some(Value::String(epoch)) => Some(epoch.to_ascii_lowercase()),
        Some(_) => return Err(CommandError::Bad { key: "epoch", expected: "a text" }),
    };
    Ok(RemoteCommand::Replay { lane, from, to, epoch })
}

fn text<'a>(keys: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    keys.get(key).and_then(Value::as_str)
}

fn only(keys: &Map<String, Value>, known: &[&str], words: &'static str) -> Result<(), CommandError> {
    let known = keys.keys().all(|key| known.contains(&key.as_str()));
    if known { Ok(()) } else { Err(CommandError::UnknownKey { known: words }) }
}

/// The answer to a command.
pub(crate) fn answer(id: Option<&str>, answer: &Result<CommandAnswer, CommandError>) -> Bytes {
    let answer = match answer {
        Ok(CommandAnswer::Replayed { from, to }) => {
            let queued = to.0 - from.0 + 1;
            json!({ "id": id, "ok": true, "from": from.0, "to": to.0, "queued": queued })
        }
        Ok(CommandAnswer::Ledger { store, delivered, links }) => {
            ledger(id, store, *delivered, links.iter().map(AsRef::as_ref))
        }
        Ok(CommandAnswer::Order(outcome)) => orders::done(id, outcome),
        Ok(CommandAnswer::OfEvent { outcome, event }) => orders::of_event(id, outcome, event),
        Ok(CommandAnswer::Snapshot(taken)) => snapshots::taken(id, taken),
        Ok(CommandAnswer::Model(answer)) => models::answered(id, answer),
        Err(CommandError::Model(refusal)) => models::refused(id, refusal),
        Err(error) => json!({ "id": id, "ok": false, "error": error.to_string() }),
    };
    Bytes::from(answer.to_string())
}

/// What is sent in the place of an answer that is too large for its link.
pub(crate) fn too_large(answer: &[u8], actual: usize, limit: usize) -> Bytes {
    let id = serde_json::from_slice::<Value>(answer).ok();
    let id = id.as_ref().and_then(|answer| answer["id"].as_str());
    self::answer(id, &Err(CommandError::AnswerTooLarge { actual, limit }))
}

/// What is stored, and what the route has delivered.
fn ledger<'a>(
    id: Option<&str>,
    store: &StoreLedger,
    delivered: [Seq; 3],
    links: impl Iterator<Item = &'a LinkCounters>,
) -> Value {
    let lanes: Map<String, Value> = Lane::ALL
        .into_iter()
        .map(|lane| {
            let index = lane.index();
            let account = json!({
                "oldest": store.oldest[index].0, "last": store.last[index].0, "delivered": delivered[index].0,
            });
            (lane.as_str().to_owned(), account)
        })
        .collect();
    let links: Vec<Value> = links
        .map(|link| {
            let mut account = json!({
                "name": link.id.as_str(), "connected": link.connected(), "day_bytes": link.day_bytes(),
            });
            if let Some(budget) = link.budget {
                let deferred: Vec<&str> = link.deferred().into_iter().map(Lane::as_str).collect();
                account["budget"] = Value::from(budget);
                account["deferred"] = Value::from(deferred);
            }
            account
        })
        .collect();
    json!({
        "id": id, "ok": true, "epoch": store.epoch.to_string(), "lanes": lanes,
        "withdrawn": withdrawn(&store.usage.withdrawn), "links": links,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use verge_domain::id::LinkId;

    use super::*;
    use crate::commands::tests::store;

    fn door() -> OperatorText {
        OperatorText::new("uplink wan").unwrap()
    }

    #[test]
    fn commands_are_a_closed_list_and_refused_in_words() {
        let check = |text: &str, expected: Result<RemoteCommand, &str>| {
            let command = parse(text.as_bytes(), &door()).command.map_err(|error| error.to_string());
            assert_eq!(command, expected.map_err(ToOwned::to_owned), "{text}");
        };
        let (lane, epoch) = (Lane::Verdict, None);
        let replay = RemoteCommand::Replay { lane, from: Seq(1), to: Seq(20), epoch };
        check(r#"{"id":"a","command":"replay","lane":"verdict","from":1,"to":20}"#, Ok(replay));
        check(r#"{"id":"a","command":"ledger"}"#, Ok(RemoteCommand::Ledger));
        check(
            r#"{"id":"a","command":"reboot"}"#,
            Err(
                "unknown command; there are replay, ledger, label, maintenance, acknowledge, shelve, unshelve, set, snapshot, offer, \
                 promote and rollback",
            ),
        );
        check(r#"{"id":"a"}"#, Err("command: missing, or not a text"));
        check(r#"{"command":"ledger"}"#, Err("id: missing, or not a text"));
        check(r#"{"id":"a","command":"ledger","x":1}"#, Err("unknown key beside id and command"));
        check("[]", Err("not a JSON object"));
        check("\u{0}", Err("not a JSON object"));
        check(&"[".repeat(4096), Err("not a JSON object"));
        check(&" ".repeat(4097), Err("a command has at most 4096 bytes, this one has 4097"));
        let lanes = r#"lane: missing, or not "alarm", "verdict" or "telemetry""#;
        check(r#"{"id":"a","command":"replay","lane":"x","from":1,"to":2}"#, Err(lanes));
        let from = "from: missing, or not a whole number from 1";
        check(r#"{"id":"a","command":"replay","lane":"alarm","from":0,"to":2}"#, Err(from));
        check(r#"{"id":"a","command":"replay","lane":"alarm","from":-1,"to":2}"#, Err(from));
        check(r#"{"id":"a","command":"replay","lane":"alarm","from":3,"to":2}"#, Err("from 3 is after to 2"));
    }

    #[test]
    fn a_command_that_came_by_no_link_names_its_route() {
        let replay = br#"{"id":"a","command":"replay","lane":"verdict","from":1,"to":20,"route":"up"}"#;
        let (route, command) = route_of(replay);
        assert_eq!(route.as_deref(), Some("up"));
        assert!(matches!(parse(&command, &door()).command, Ok(RemoteCommand::Replay { .. })));
        // Of another command it is no key, and a name it must be.
        for odd in [
            &br#"{"id":"a","command":"label","route":"up"}"#[..],
            br#"{"id":"a","command":"ledger","route":7}"#,
            b"[]",
            &[b' '; 5000],
        ] {
            let (route, command) = route_of(odd);
            assert_eq!((route, &command[..]), (None, odd));
            assert!(parse(&command, &door()).command.is_err());
        }
    }

    #[test]
    fn answers_say_what_was_asked_for() {
        let read = |bytes: Bytes| serde_json::from_slice::<Value>(&bytes).unwrap();
        let queued = json!({ "id": "a", "ok": true, "from": 2, "to": 4, "queued": 3 });
        assert_eq!(
            read(answer(Some("a"), &Ok(CommandAnswer::Replayed { from: Seq(2), to: Seq(4) }))),
            queued
        );
        let error = json!({ "id": null, "ok": false, "error": "not a JSON object" });
        assert_eq!(read(answer(None, &Err(CommandError::NotJson))), error);
        let ledger = CommandAnswer::Ledger {
            store: Box::new(store()),
            delivered: [Seq(3), Seq(19), Seq(0)],
            links: vec![Arc::new(LinkCounters::new(LinkId::new("l").unwrap(), Some(100)))],
        };
        let answer = read(answer(Some("b"), &Ok(ledger)));
        let expected = json!({
            "id": "b", "ok": true, "epoch": "07".repeat(16),
            "lanes": {
                "alarm": { "oldest": 1, "last": 3, "delivered": 3 },
                "verdict": { "oldest": 10, "last": 20, "delivered": 19 },
                "telemetry": { "oldest": 5, "last": 4, "delivered": 0 },
            },
            "withdrawn": { "expired": 4, "too_large": 1 },
            "links": [{ "name": "l", "connected": false, "day_bytes": 0, "budget": 100, "deferred": [] }],
        });
        assert_eq!(answer, expected);
    }
}

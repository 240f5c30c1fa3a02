//! Commands from upstream, and their answers: JSON on `…/cmd` and `…/cmd/reply`. Pure.
//!
//! `{"id":"any text","command":"replay","lane":"verdict","from":1,"to":20,"epoch":"hex, optional"}` and
//! `{"id":"…","command":"ledger"}`; those to the judges stand in `orders`. Every answer has the command's `id` and `ok`; where that is false, `error` says
//! why in words.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use verge_domain::id::{Epoch, Lane, Seq};
use verge_domain::time::Monotonic;
use verge_domain::withdrawn::Withdrawal;

use super::link::LinkCounters;
use super::orders;
use super::window::MAX_REPLAYS;
use crate::committer::StoreLedger;
use crate::judging::{Order, OrderError};

/// Largest command.
pub const MAX_COMMAND_BYTES: usize = 4096;
/// Commands taken of one link in each second; further ones are counted and not answered.
const PER_SECOND: u32 = 10;

/// What upstream asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// To send a range again.
    Replay { lane: Lane, from: Seq, to: Seq, epoch: Option<String> },
    /// To say what there is and what was delivered.
    Ledger,
    /// To tell the judges something.
    Order(Order),
}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CommandError {
    #[error("a command has at most {MAX_COMMAND_BYTES} bytes, this one has {actual}")]
    TooLong { actual: usize },
    #[error("not a JSON object")]
    NotJson,
    #[error("unknown command; there are replay, ledger, label and maintenance")]
    Unknown,
    #[error("{key}: missing, or not {expected}")]
    Bad { key: &'static str, expected: &'static str },
    #[error("unknown key beside {known}")]
    UnknownKey { known: &'static str },
    #[error("from {from} is after to {to}")]
    Backwards { from: Seq, to: Seq },
    #[error("the store has another epoch, {ours}")]
    OtherEpoch { ours: Epoch },
    #[error("not stored any more; the oldest number of lane {lane} is {oldest}")]
    NotStored { lane: Lane, oldest: Seq },
    #[error("the last number of lane {lane} that was committed is {last}")]
    NotCommitted { lane: Lane, last: Seq },
    #[error("this way upstream does not carry lane {lane}")]
    NotCarried { lane: Lane },
    #[error("{MAX_REPLAYS} ranges wait to be replayed already; ask again later")]
    TooManyReplays,
    #[error("the store cannot be read now; ask again later")]
    Unreadable,
    #[error("the judges are busy; ask again later")]
    Busy,
    #[error(transparent)]
    Order(#[from] OrderError),
}

/// A command as it came: who asks, and what.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    /// `None` where there is none: then the answer has `null`.
    pub(super) id: Option<String>,
    pub(super) command: Result<Command, CommandError>,
}

/// Reads a command.
pub(super) fn parse(payload: &[u8]) -> Request {
    if payload.len() > MAX_COMMAND_BYTES {
        return Request { id: None, command: Err(CommandError::TooLong { actual: payload.len() }) };
    }
    let Ok(Value::Object(keys)) = serde_json::from_slice(payload) else {
        return Request { id: None, command: Err(CommandError::NotJson) };
    };
    let id = text(&keys, "id").map(ToOwned::to_owned);
    let command = match (&id, text(&keys, "command")) {
        (None, _) => Err(CommandError::Bad { key: "id", expected: "a text" }),
        (_, Some("replay")) => replay(&keys),
        (_, Some("ledger")) => only(&keys, &["id", "command"], "id and command").map(|()| Command::Ledger),
        (_, Some("label")) => orders::label(&keys).map(Command::Order),
        (_, Some("maintenance")) => orders::maintenance(&keys).map(Command::Order),
        (_, Some(_)) => Err(CommandError::Unknown),
        (_, None) => Err(CommandError::Bad { key: "command", expected: "a text" }),
    };
    Request { id, command }
}

fn replay(keys: &Map<String, Value>) -> Result<Command, CommandError> {
    const KNOWN: &[&str] = &["id", "command", "lane", "from", "to", "epoch"];
    only(keys, KNOWN, "id, command, lane, from, to and epoch")?;
    let lane = text(keys, "lane").and_then(|name| Lane::ALL.into_iter().find(|lane| lane.as_str() == name));
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
    Ok(Command::Replay { lane, from, to, epoch })
}

pub(super) fn text<'a>(keys: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    keys.get(key).and_then(Value::as_str)
}

pub(super) fn only(
    keys: &Map<String, Value>,
    known: &'static [&'static str],
    words: &'static str,
) -> Result<(), CommandError> {
    let known = keys.keys().all(|key| known.contains(&key.as_str()));
    if known { Ok(()) } else { Err(CommandError::UnknownKey { known: words }) }
}

/// The part of a range that is stored and can be sent again.
pub(super) fn clip(
    lane: Lane,
    (from, to): (Seq, Seq),
    epoch: Option<&str>,
    store: &StoreLedger,
) -> Result<(Seq, Seq), CommandError> {
    if epoch.is_some_and(|epoch| epoch != store.epoch.to_string()) {
        return Err(CommandError::OtherEpoch { ours: store.epoch });
    }
    let (oldest, last) = (store.oldest[lane.index()], store.last[lane.index()]);
    if from > last {
        return Err(CommandError::NotCommitted { lane, last });
    }
    let (from, to) = (from.max(oldest), to.min(last));
    if from > to {
        return Err(CommandError::NotStored { lane, oldest });
    }
    Ok((from, to))
}

/// The answer to a command that was not carried out.
pub(super) fn refused(id: Option<&str>, error: &CommandError) -> Bytes {
    bytes(&json!({ "id": id, "ok": false, "error": error.to_string() }))
}

/// The answer to a replay.
pub(super) fn replayed(id: Option<&str>, from: Seq, to: Seq) -> Bytes {
    let queued = to.0 - from.0 + 1;
    bytes(&json!({ "id": id, "ok": true, "from": from.0, "to": to.0, "queued": queued }))
}

/// The answer to a ledger. `delivered` is what the route has delivered.
pub(super) fn ledger<'a>(
    id: Option<&str>,
    store: &StoreLedger,
    delivered: [Seq; 3],
    links: impl Iterator<Item = &'a LinkCounters>,
) -> Bytes {
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
    bytes(&json!({
        "id": id, "ok": true, "epoch": store.epoch.to_string(), "lanes": lanes,
        "withdrawn": withdrawn(&store.usage.withdrawn), "links": links,
    }))
}

/// How many were withdrawn, by reason, without the reasons that never occurred.
pub(crate) fn withdrawn(counts: &[u64; Withdrawal::ALL.len()]) -> Map<String, Value> {
    let counts = Withdrawal::ALL.into_iter().map(|reason| (reason, counts[usize::from(reason.code())]));
    counts
        .filter(|&(_, count)| count > 0)
        .map(|(reason, count)| (reason.as_str().to_owned(), Value::from(count)))
        .collect()
}

pub(super) fn bytes(answer: &Value) -> Bytes {
    Bytes::from(answer.to_string())
}

/// How fast commands come over one link.
#[derive(Debug, Default)]
pub(super) struct CommandRate {
    second: Option<Monotonic>,
    count: u32,
}

impl CommandRate {
    /// Whether one more is taken.
    pub(super) fn admit(&mut self, now: Monotonic) -> bool {
        if self.second.is_none_or(|began| now.since(began) >= Duration::from_secs(1)) {
            self.second = Some(now);
            self.count = 0;
        }
        self.count += 1;
        self.count <= PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::id::LinkId;
    use verge_domain::stage::StoreUsage;

    use super::*;

    fn store() -> StoreLedger {
        StoreLedger {
            epoch: Epoch([7; 16]),
            oldest: [Seq(1), Seq(10), Seq(5)],
            last: [Seq(3), Seq(20), Seq(4)],
            usage: StoreUsage { withdrawn: [0, 4, 0, 0, 1, 0], ..StoreUsage::default() },
        }
    }

    #[test]
    fn commands_are_a_closed_list_and_refused_in_words() {
        let check = |text: &str, expected: Result<Command, &str>| {
            let command = parse(text.as_bytes()).command.map_err(|error| error.to_string());
            assert_eq!(command, expected.map_err(ToOwned::to_owned), "{text}");
        };
        let (lane, epoch) = (Lane::Verdict, None);
        let replay = Command::Replay { lane, from: Seq(1), to: Seq(20), epoch };
        check(r#"{"id":"a","command":"replay","lane":"verdict","from":1,"to":20}"#, Ok(replay));
        check(r#"{"id":"a","command":"ledger"}"#, Ok(Command::Ledger));
        check(
            r#"{"id":"a","command":"reboot"}"#,
            Err("unknown command; there are replay, ledger, label and maintenance"),
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
    fn a_range_is_clipped_to_what_is_stored() {
        let check = |lane, range: (u64, u64), epoch: Option<&str>, expected: Result<(u64, u64), &str>| {
            let clipped = clip(lane, (Seq(range.0), Seq(range.1)), epoch, &store());
            let clipped = clipped.map(|(from, to)| (from.0, to.0)).map_err(|error| error.to_string());
            assert_eq!(clipped, expected.map_err(ToOwned::to_owned));
        };
        check(Lane::Verdict, (12, 15), Some(&"07".repeat(16)), Ok((12, 15)));
        check(Lane::Verdict, (1, u64::MAX), None, Ok((10, 20)));
        let gone = "not stored any more; the oldest number of lane verdict is 10";
        check(Lane::Verdict, (1, 9), None, Err(gone));
        let ahead = "the last number of lane verdict that was committed is 20";
        check(Lane::Verdict, (21, 21), None, Err(ahead));
        let none = "not stored any more; the oldest number of lane telemetry is 5";
        check(Lane::Telemetry, (1, 9), None, Err(none));
        let other = format!("the store has another epoch, {}", "07".repeat(16));
        check(Lane::Verdict, (12, 15), Some("08"), Err(&other));
    }

    #[test]
    fn answers_say_what_was_asked_for() {
        let read = |bytes: Bytes| serde_json::from_slice::<Value>(&bytes).unwrap();
        let queued = json!({ "id": "a", "ok": true, "from": 2, "to": 4, "queued": 3 });
        assert_eq!(read(replayed(Some("a"), Seq(2), Seq(4))), queued);
        let error = json!({ "id": null, "ok": false, "error": "not a JSON object" });
        assert_eq!(read(refused(None, &CommandError::NotJson)), error);
        let link = LinkCounters::new(LinkId::new("l").unwrap(), Some(100));
        let answer = read(ledger(Some("b"), &store(), [Seq(3), Seq(19), Seq(0)], std::iter::once(&link)));
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

    #[test]
    fn ten_commands_are_taken_in_a_second() {
        let mut rate = CommandRate::default();
        let taken = |rate: &mut CommandRate, now| (0..20).filter(|_| rate.admit(Monotonic(now))).count();
        assert_eq!(taken(&mut rate, 5), 10);
        assert_eq!(taken(&mut rate, 900_000), 0);
        assert_eq!(taken(&mut rate, 1_000_005), 10);
    }
}

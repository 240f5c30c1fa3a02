//! The second entrance for commands: the words of `…/cmd`, under the name of the login.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use verge_domain::id::OperatorText;
use verge_domain::live::{CommandOutcome, CommandReply};

use super::access::Who;
use super::actions::ActionWord;
use super::events::{EventView, find};
use super::problem::Problem;
use super::site::{Site, to_its_end};

/// What is not durable after this time is answered as unconfirmed. Less than what a request may take.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(8);

/// What is done about an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EventCommand {
    /// Take note of it.
    Acknowledge { note: Option<String> },
    /// Take it off the list for some minutes.
    Shelve { minutes: u64, note: Option<String> },
    /// Put it back.
    Unshelve,
    /// Say what it was.
    Label { remark: String },
}

impl EventCommand {
    /// The command in JSON: about an event by its number, or by its names where there is none.
    fn about(self, event: &EventView, number: Option<u64>) -> Value {
        let mut keys = Map::new();
        keys.insert("id".to_owned(), "dashboard".into());
        match number {
            Some(number) => drop(keys.insert("event".to_owned(), number.into())),
            None => {
                for (key, name) in
                    [("judge", &event.judge), ("source", &event.source), ("device", &event.device)]
                {
                    keys.insert(key.to_owned(), name.as_str().into());
                }
                if let Some(signal) = &event.signal {
                    keys.insert("signal".to_owned(), signal.as_str().into());
                }
            }
        }
        let (command, more) = match self {
            Self::Acknowledge { note } => ("acknowledge", vec![("note", note.map(Value::from))]),
            Self::Shelve { minutes, note } => {
                ("shelve", vec![("minutes", Some(minutes.into())), ("note", note.map(Value::from))])
            }
            Self::Unshelve => ("unshelve", Vec::new()),
            Self::Label { remark } => ("label", vec![("remark", Some(remark.into()))]),
        };
        keys.insert("command".to_owned(), command.into());
        keys.extend(more.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        Value::Object(keys)
    }
}

/// Does it, and answers once it is durable.
pub(crate) async fn of_event(
    site: &Arc<Site>,
    who: &Who,
    event: &EventView,
    what: EventCommand,
) -> Result<Value, Problem> {
    let done = carry_out(site, who, &what.clone().about(event, event.number)).await;
    // Only the newest numbers are known to judges; an older event that is still open is the one of its names.
    let is_open = || find(site, &event.id).is_some_and(|event| event.is_open());
    match done {
        Err(Problem::CommandUnknown(_)) if event.number.is_some() && is_open() => {
            carry_out(site, who, &what.about(event, None)).await
        }
        done => done,
    }
}

/// Who acts, as verdicts and the log name a login.
pub(crate) fn operator(who: &Who) -> OperatorText {
    OperatorText::new(&format!("dashboard: {}", who.user)).expect("the name of a login is a short text")
}

/// Carries out any command in JSON, and answers once it is durable. It is recorded whether or not somebody waits for that.
pub(crate) async fn carry_out(site: &Arc<Site>, who: &Who, command: &Value) -> Result<Value, Problem> {
    let by = operator(who);
    let (done, reply) = oneshot::channel();
    // Nobody waits any more if this fails.
    let done = Box::new(move |reply| drop(done.send(reply)));
    site.live.carry_out(command.to_string().as_bytes(), &by, done);
    let (site, user, command) = (Arc::clone(site), who.user.clone(), command.clone());
    to_its_end(CONFIRMED_WITHIN, async move {
        match reply.await {
            Ok(reply) => answered(&site, &user, &command, reply).await,
            Err(_) => Err(Problem::Unavailable("it stops")),
        }
    })
    .await
}

/// Records a command that was done.
async fn answered(site: &Site, user: &str, command: &Value, reply: CommandReply) -> Result<Value, Problem> {
    let answer: Value = serde_json::from_slice(&reply.answer).unwrap_or_default();
    let error = || answer["error"].as_str().unwrap_or_default().to_owned();
    match reply.outcome {
        CommandOutcome::Done => {
            tracing::info!(user, command = %command["command"], event = %command["event"], "done from the dashboard");
            if let Some(what) = command["command"].as_str().and_then(ActionWord::named) {
                site.record(user, what, about_of(command, &answer)).await;
            }
            Ok(without_id(answer))
        }
        CommandOutcome::Invalid => Err(Problem::CommandInvalid(error())),
        CommandOutcome::Unknown => Err(Problem::CommandUnknown(error())),
        CommandOutcome::Conflict => Err(Problem::CommandConflict(error())),
        CommandOutcome::TooOften => Err(Problem::TooOften(error())),
        CommandOutcome::Busy => Err(Problem::CommandBusy(error())),
    }
}

/// What a command says beside what it is, and which point it was about: the number of an event says that to nobody later.
fn about_of(command: &Value, answer: &Value) -> Value {
    let keys = command.as_object().into_iter().flatten();
    let keys = keys.filter(|(key, _)| !matches!(key.as_str(), "id" | "command"));
    let mut about: Map<String, Value> = keys.map(|(key, value)| (key.clone(), value.clone())).collect();
    for name in ["device", "signal", "judge"] {
        if let Some(found) = answer[name].as_str() {
            about.entry(name).or_insert_with(|| found.into());
        }
    }
    Value::Object(about)
}

/// The answer belongs to a request: it needs no id.
fn without_id(answer: Value) -> Value {
    match answer {
        Value::Object(mut keys) => {
            keys.remove("id");
            Value::Object(keys)
        }
        _ => json!({}),
    }
}

//! `verge acknowledge` and `verge shelve`: what an operator does about alarms of a gateway, from upstream.

use std::io::Write;

use clap::Args;
use serde_json::{Map, Value};
use verge_wire::SiteZone;

use super::asking::AskingArgs;
use super::orders::{TargetArgs, minutes_within};
use verge_domain::time::UtcMillis;
use verge_gateway::exit::{Exit, ExitWith};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge acknowledge -c gateway.toml 142 --by anna --note \"bearing ordered\"
  verge acknowledge -c gateway.toml --device pump-1     all its open alarms

Numbers stand in `verge alarms`, `watch` and `run` (#142). Every upstream receives the acknowledgement as an update of the event. An alarm that gets worse is open again.

It needs the right to publish on PREFIX/GATEWAY/cmd and to read PREFIX/GATEWAY/cmd/reply.")]
pub(super) struct AcknowledgeArgs {
    /// The number of an event
    #[arg(value_name = "EVENT")]
    event: Option<String>,
    #[command(flatten)]
    action: ActionArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge shelve -c gateway.toml 142 2h --note \"sensor is being exchanged\"
  verge shelve -c gateway.toml 142 0                    back on the list
  verge shelve -c gateway.toml --device pump-1 --judge hot 30m

A shelved alarm is off the list for a limited time: its judge raises nothing new about the same device and signal. At the end, what still holds waits to be acknowledged anew. Unlike `verge maintenance` it teaches the judge nothing. A number without a unit counts minutes.

It needs the right to publish on PREFIX/GATEWAY/cmd and to read PREFIX/GATEWAY/cmd/reply.")]
pub(super) struct ShelveArgs {
    /// The number of an event; the span instead, where --judge and --device name the alarms
    #[arg(value_name = "EVENT|SPAN")]
    first: String,
    /// For how long from now, as in 45m or 2h, 8h at most; 0 ends it
    #[arg(value_name = "SPAN")]
    span: Option<String>,
    #[command(flatten)]
    action: ActionArgs,
}

#[derive(Debug, Args)]
struct ActionArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Who acts
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    asking: AskingArgs,
}

pub(super) fn acknowledge(args: &AcknowledgeArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let command = args.action.command("acknowledge", args.event.as_deref(), None).exit_with(Exit::Usage)?;
    args.action.asking.ask(command, json, out)
}

pub(super) fn shelve(args: &ShelveArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    args.action.asking.ask(args.command().exit_with(Exit::Usage)?, json, out)
}

impl ShelveArgs {
    fn command(&self) -> anyhow::Result<Map<String, Value>> {
        const LONGEST: u64 = verge_pipeline::judging::LONGEST_SHELVING.as_secs() / 60;
        let (event, span) = match &self.span {
            Some(span) => (Some(self.first.as_str()), span),
            None => (None, &self.first),
        };
        match minutes_within(LONGEST, span).map_err(anyhow::Error::msg)? {
            0 => self.action.command("unshelve", event, None),
            minutes => self.action.command("shelve", event, Some(minutes)),
        }
    }
}

impl ActionArgs {
    fn command(
        &self,
        command: &str,
        event: Option<&str>,
        minutes: Option<u64>,
    ) -> anyhow::Result<Map<String, Value>> {
        let example = if command == "acknowledge" { "verge acknowledge 142" } else { "verge shelve 142 2h" };
        let mut keys = self.target.keys(event, example)?;
        keys.insert("command".to_owned(), command.into());
        let texts = [("by", &self.by), ("note", &self.note)];
        let texts =
            texts.into_iter().filter_map(|(key, text)| Some((key.to_owned(), text.as_deref()?.into())));
        keys.extend(texts.chain(minutes.map(|minutes| ("minutes".to_owned(), minutes.into()))));
        Ok(keys)
    }
}

/// The answer to what an operator did, in words; `None` where it is the answer to something else.
pub(super) fn words(answer: &Value, zone: &SiteZone) -> Option<String> {
    let counted = |count: u64| verge_wire::counted(count, "alarm");
    let about = match (answer["event"].as_u64(), answer["device"].as_str()) {
        (Some(event), Some(device)) => {
            let signal = answer["signal"].as_str().map_or_else(String::new, |signal| format!(" {signal}"));
            format!(": event {event}, {device}{signal} ({})", answer["judge"].as_str().unwrap_or_default())
        }
        _ => String::new(),
    };
    if let Some(acknowledged) = answer["acknowledged"].as_u64() {
        return Some(match (acknowledged, answer["already"].as_u64().unwrap_or(0)) {
            (0, already) => format!("{} had been acknowledged before{about}", counted(already)),
            (acknowledged, 0) => format!("acknowledged {}{about}", counted(acknowledged)),
            (acknowledged, already) => {
                format!("acknowledged {}; {already} had been before{about}", counted(acknowledged))
            }
        });
    }
    if answer["unshelved"].is_u64() {
        return Some(format!("back on the list{about}"));
    }
    let until = answer["until"].as_i64().filter(|_| answer["shelved"].is_u64())?;
    Some(format!("shelved until {}{about}", zone.to_minute(UtcMillis(until))))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Shelve {
        #[command(flatten)]
        shelve: ShelveArgs,
    }

    #[test]
    fn an_alarm_is_shelved_by_number_or_by_name() {
        let check = |line: &str, expected: Result<Value, &str>| {
            let words = ["shelve", "-c", "gateway.toml"].into_iter().chain(line.split(' '));
            let command = Shelve::try_parse_from(words).unwrap().shelve.command();
            let command = command.map(Value::Object).map_err(|error| error.to_string());
            assert_eq!(command, expected.map_err(str::to_owned), "{line}");
        };
        check(
            "142 2h --by anna --note x",
            Ok(json!({ "command": "shelve", "event": 142, "minutes": 120, "by": "anna", "note": "x" })),
        );
        check("#142 0", Ok(json!({ "command": "unshelve", "event": 142 })));
        check(
            "30 --device p --judge j",
            Ok(json!({ "command": "shelve", "device": "p", "judge": "j", "minutes": 30 })),
        );
        check("142 9h", Err("at most 8h (480 minutes)"));
        check("2h", Err("an event (verge shelve 142 2h) or --device is needed"));
        let alone =
            "the number says what the event is about: leave --device, --signal, --judge and --source out";
        check("142 2h --device p", Err(alone));
        check("p 2h", Err("\"p\" is not the number of an event"));
    }

    #[test]
    fn answers_are_put_into_words() {
        let check = |answer: Value, expected: Option<&str>| {
            assert_eq!(words(&answer, &SiteZone::utc()).as_deref(), expected);
        };
        let of = json!({ "event": 7, "judge": "hot", "device": "p", "signal": "s" });
        let with = |more: Value| {
            let mut answer = of.clone();
            answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            answer
        };
        check(
            with(json!({ "acknowledged": 1, "already": 0 })),
            Some("acknowledged 1 alarm: event 7, p s (hot)"),
        );
        check(
            with(json!({ "acknowledged": 0, "already": 1 })),
            Some("1 alarm had been acknowledged before: event 7, p s (hot)"),
        );
        check(json!({ "acknowledged": 3, "already": 2 }), Some("acknowledged 3 alarms; 2 had been before"));
        check(json!({ "unshelved": 1 }), Some("back on the list"));
        let until = json!({ "shelved": 1, "until": 1_795_694_400_000_i64 });
        check(until, Some("shelved until 2026-11-26 12:00Z"));
        check(json!({ "quiet": 4, "until": 1 }), None);
    }
}

//! `verge label` and `verge maintenance`: what a person reports to the judges of a gateway, from upstream.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use verge_mqtt::{Subscriber, SubscriberEvent, TopicUse};
use verge_pipeline::clock::random_event_id;

use super::output::json_line;
use super::uplink::{UplinkArgs, Upstream};
use super::{async_runtime, say};
use verge_gateway::exit::{Exit, ExitWith};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge label -c gateway.toml --device pump-1 maintenance
  verge label -c gateway.toml --device pump-1 --signal vibration real

It needs the right to publish on PREFIX/GATEWAY/cmd and to read PREFIX/GATEWAY/cmd/reply.")]
pub(super) struct LabelArgs {
    /// What is known about their last alarm
    remark: RemarkArg,
    #[command(flatten)]
    selector: SelectorArgs,
    #[command(flatten)]
    asking: AskingArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RemarkArg {
    /// It was changed on purpose: learn anew what is usual
    Maintenance,
    /// It was real: forget what it taught
    Real,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge maintenance -c gateway.toml --device pump-1 120   for two hours
  verge maintenance -c gateway.toml --device pump-1 0     it is over already

It needs the right to publish on PREFIX/GATEWAY/cmd and to read PREFIX/GATEWAY/cmd/reply.")]
pub(super) struct MaintenanceArgs {
    /// For this many minutes from now; 0 ends it
    #[arg(value_parser = clap::value_parser!(u64).range(..=10_080))]
    minutes: u64,
    #[command(flatten)]
    selector: SelectorArgs,
    #[command(flatten)]
    asking: AskingArgs,
}

/// Whose judges are meant, as verdicts name them.
#[derive(Debug, Args)]
struct SelectorArgs {
    /// The device
    #[arg(long, value_name = "NAME")]
    device: String,
    /// Only this signal
    #[arg(long, value_name = "NAME")]
    signal: Option<String>,
    /// Only this judge
    #[arg(long, value_name = "NAME")]
    judge: Option<String>,
    /// Only what came through this source
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

/// Which gateway is asked, and how.
#[derive(Debug, Args)]
struct AskingArgs {
    #[command(flatten)]
    uplink: UplinkArgs,
    /// The gateway; by default that of the configuration
    #[arg(long, value_name = "ID")]
    gateway: Option<String>,
    /// Wait for the answer for this many seconds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

pub(super) fn label(args: &LabelArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let remark = match args.remark {
        RemarkArg::Maintenance => "maintenance",
        RemarkArg::Real => "real",
    };
    let answer = args.asking.ask(args.selector.command("label", "remark", Value::from(remark)))?;
    print_answer(&answer, json, out)
}

pub(super) fn maintenance(args: &MaintenanceArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let answer =
        args.asking.ask(args.selector.command("maintenance", "minutes", Value::from(args.minutes)))?;
    print_answer(&answer, json, out)
}

impl SelectorArgs {
    fn command(&self, command: &str, key: &str, value: Value) -> Map<String, Value> {
        let mut keys = Map::new();
        keys.insert("command".to_owned(), Value::from(command));
        keys.insert(key.to_owned(), value);
        keys.insert("device".to_owned(), Value::from(self.device.as_str()));
        let narrower = [("signal", &self.signal), ("judge", &self.judge), ("source", &self.source)];
        for (key, name) in narrower {
            if let Some(name) = name {
                keys.insert(key.to_owned(), Value::from(name.as_str()));
            }
        }
        keys
    }
}

impl AskingArgs {
    /// Sends a command, and waits for its answer.
    fn ask(&self, mut command: Map<String, Value>) -> anyhow::Result<Value> {
        let Upstream { connection, topics, gateway, zone: _ } = self.uplink.upstream("tell")?;
        let gateway = self.gateway.clone().or(gateway);
        let gateway = gateway.context("--gateway is needed beside --url").exit_with(Exit::Usage)?;
        if !topics.tells_apart() {
            return Err(anyhow!(
                "the topics have no {{channel}} and no {{lane}}: such an uplink takes no commands"
            ))
            .exit_with(Exit::Usage);
        }
        let topic = topics.command(&gateway);
        let reply = topics.filter(TopicUse::Reply, Some(&gateway));
        for filter in [&topic, &reply] {
            verge_domain::filter::validate(filter)
                .with_context(|| format!("{filter:?}"))
                .exit_with(Exit::Usage)?;
        }
        let id = format!("{:032x}", u128::from_be_bytes(random_event_id().0));
        command.insert("id".to_owned(), json!(id));
        let payload = bytes::Bytes::from(Value::Object(command).to_string());
        let (address, limit) = (connection.address.to_string(), Duration::from_secs(self.seconds));
        async_runtime()?.block_on(async {
            let mut subscriber = Subscriber::spawn(connection, vec![reply]);
            let answer = tokio::time::timeout(limit, async {
                while let Some(event) = subscriber.next().await {
                    match event {
                        SubscriberEvent::Subscribed => subscriber.publish(&topic, payload.clone())?,
                        SubscriberEvent::Disconnected { reason } => {
                            return Err(anyhow!("{address}: {reason}")).exit_with(Exit::Unavailable);
                        }
                        SubscriberEvent::Message(delivery) => {
                            let answer = serde_json::from_slice::<Value>(&delivery.payload);
                            // Others ask as well.
                            if let Ok(answer) = answer
                                && answer["id"] == id.as_str()
                            {
                                return Ok(answer);
                            }
                        }
                    }
                }
                bail!("the connection has ended")
            });
            let answer = answer.await;
            subscriber.stop().await;
            let none = || format!("{gateway} has not answered within {} s", self.seconds);
            answer.with_context(none).exit_with(Exit::Unavailable)?
        })
    }
}

/// Prints the answer.
fn print_answer(answer: &Value, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    if json {
        json_line(out, answer)?;
    }
    if answer["ok"] != true {
        if !json {
            say(&format!(
                "refused: {}",
                answer["error"].as_str().unwrap_or("no reason given").escape_debug()
            ));
        }
        return Ok(Exit::BadInput);
    }
    if !json {
        writeln!(out, "{}", words(answer))?;
    }
    Ok(Exit::Fine)
}

/// An answer in words.
fn words(answer: &Value) -> String {
    let number = |key: &str| answer[key].as_i64().unwrap_or(0);
    let counted = |key: &str, noun: &str| verge_wire::counted(answer[key].as_u64().unwrap_or(0), noun);
    let matched = || format!("matched {}, changed {}", counted("heard", "judge"), number("used"));
    if answer["until"].is_i64() {
        let until = crate::describe::utc(number("until"));
        return format!("no alarms until {until} from {}", counted("quiet", "judge"));
    }
    if answer["ended"].is_u64() {
        return format!("ended {}; {}", counted("ended", "window"), matched());
    }
    matched()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_the_names_that_were_given() {
        let selector = SelectorArgs {
            device: "p".to_owned(),
            signal: Some("s".to_owned()),
            judge: None,
            source: Some("o".to_owned()),
        };
        let command = Value::Object(selector.command("maintenance", "minutes", json!(5)));
        let expected =
            json!({ "command": "maintenance", "minutes": 5, "device": "p", "signal": "s", "source": "o" });
        assert_eq!(command, expected);
    }

    #[test]
    fn answers_are_printed_in_words_and_give_the_exit_code() {
        let check = |answer: Value, text: &str, exit: Exit| {
            let mut out = Vec::new();
            assert_eq!(print_answer(&answer, false, &mut out).unwrap(), exit);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        };
        let matched = json!({ "id": "a", "ok": true, "heard": 3, "used": 2 });
        check(matched, "matched 3 judges, changed 2\n", Exit::Fine);
        let until = json!({ "id": "a", "ok": true, "quiet": 4, "until": 1_795_694_400_000_i64 });
        check(until, "no alarms until 2026-11-26 12:00 UTC from 4 judges\n", Exit::Fine);
        let ended = json!({ "id": "a", "ok": true, "ended": 1, "heard": 3, "used": 2 });
        check(ended, "ended 1 window; matched 3 judges, changed 2\n", Exit::Fine);
        check(json!({ "id": "a", "ok": false, "error": "no" }), "", Exit::BadInput);
    }
}

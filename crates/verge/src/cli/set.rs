//! `verge set`: where an operator wants a limit of a judge of a gateway, from upstream.

use std::io::Write;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Map, Value};
use verge_domain::settable::LimitKey;

use super::asking::AskingArgs;
use verge_gateway::exit::{Exit, ExitWith};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge set -c gateway.toml pump-high above 8.5 --by anna --note \"new bearing\"
  verge set -c gateway.toml pump-high above null        back to the file

Only limits that the judge's key settable opens can be set, as far as that says. What is set holds for all devices of the judge, outlives restarts and reloads, and stands in the gateway's status. The file stays as it is. Open events of the judge are reported again, to every upstream.

It needs the right to publish on PREFIX/GATEWAY/cmd and to read PREFIX/GATEWAY/cmd/reply.")]
pub(super) struct SetArgs {
    /// The judge
    #[arg(value_name = "JUDGE")]
    judge: String,
    /// The limit: above or below
    #[arg(value_name = "KEY")]
    limit: String,
    /// Where it is to be: a number, or null for where the configuration has it
    #[arg(value_name = "VALUE", allow_negative_numbers = true)]
    value: String,
    /// Who acts
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    asking: AskingArgs,
}

pub(super) fn set(args: &SetArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    args.asking.ask(args.command().exit_with(Exit::Usage)?, json, out)
}

impl SetArgs {
    fn command(&self) -> anyhow::Result<Map<String, Value>> {
        let Some(key) = LimitKey::named(&self.limit) else {
            bail!(
                "{:?} is no limit; there are {}",
                self.limit,
                LimitKey::ALL.map(LimitKey::as_str).join(", ")
            );
        };
        let value = match self.value.as_str() {
            "null" => Value::Null,
            text => {
                let number = text.parse().ok().filter(|number: &f64| number.is_finite());
                Value::from(number.with_context(|| format!("{text:?} is neither a number nor null"))?)
            }
        };
        let mut keys = Map::new();
        let mut say = |key: &str, value: Value| keys.insert(key.to_owned(), value);
        say("command", "set".into());
        say("judge", self.judge.as_str().into());
        say("key", key.as_str().into());
        say("value", value);
        for (key, text) in [("by", &self.by), ("note", &self.note)] {
            if let Some(text) = text {
                say(key, text.as_str().into());
            }
        }
        Ok(keys)
    }
}

/// The answer to what was set, in words; `None` where it is the answer to something else.
pub(super) fn words(answer: &Value) -> Option<String> {
    let (key, configured) = (answer["key"].as_str()?, answer["configured"].as_f64()?);
    let updated = match answer["updated"].as_u64().unwrap_or(0) {
        0 => String::new(),
        events => format!("; {} reported again", verge_wire::counted(events, "open event")),
    };
    Some(match answer["value"].as_f64() {
        Some(value) => format!("{key} is {value} (configured: {configured}){updated}"),
        None => format!("{key} is {configured}, as configured{updated}"),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Set {
        #[command(flatten)]
        set: SetArgs,
    }

    #[test]
    fn a_limit_is_set_to_a_number_or_put_back() {
        let check = |line: &str, expected: Result<Value, &str>| {
            let words = ["set", "-c", "gateway.toml"].into_iter().chain(line.split(' '));
            let command = Set::try_parse_from(words).unwrap().set.command();
            let command = command.map(Value::Object).map_err(|error| error.to_string());
            assert_eq!(command, expected.map_err(str::to_owned), "{line}");
        };
        check(
            "hot above 8.5 --by anna",
            Ok(json!({ "command": "set", "judge": "hot", "key": "above", "value": 8.5, "by": "anna" })),
        );
        check("hot below -3", Ok(json!({ "command": "set", "judge": "hot", "key": "below", "value": -3.0 })));
        check(
            "hot above null",
            Ok(json!({ "command": "set", "judge": "hot", "key": "above", "value": null })),
        );
        check("hot above inf", Err("\"inf\" is neither a number nor null"));
        check("hot hysteresis 1", Err("\"hysteresis\" is no limit; there are above, below"));
    }

    #[test]
    fn answers_are_put_into_words() {
        let answer = |value: Value, updated: u64| json!({ "key": "above", "value": value, "configured": 7.1, "updated": updated });
        let of = |answer: &Value| words(answer);
        assert_eq!(
            of(&answer(json!(8.5), 1)).unwrap(),
            "above is 8.5 (configured: 7.1); 1 open event reported again"
        );
        assert_eq!(of(&answer(Value::Null, 0)).unwrap(), "above is 7.1, as configured");
        assert_eq!(of(&json!({ "quiet": 1 })), None);
    }
}

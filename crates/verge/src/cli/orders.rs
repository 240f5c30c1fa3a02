//! `verge label` and `verge maintenance`: what a person reports to the judges of a gateway, from upstream.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Map, Value};
use verge_domain::stage::Remark;

use super::asking::AskingArgs;
use verge_gateway::exit::{Exit, ExitWith};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge label -c gateway.toml 142 false           event #142 was no fault
  verge label -c gateway.toml 142 real            it was one after all
  verge label -c gateway.toml --device pump-1 maintenance
  verge label -c gateway.toml --device pump-1 --signal vibration real

Labels:
  false        no fault: this kind of excursion of this signal is learnt, and
               its part of the alarm budget is halved
  real         a fault: what it taught is forgotten, so that it is as strange
               the next time
  maintenance  changed on purpose: what is usual is learnt anew

Numbers stand in `verge alarms`, `watch` and `run` (#142); without one the last alarm of each judge is meant. Of two labels on one event the last counts.

It needs the right to publish on PREFIX/GATEWAY/cmd and to read PREFIX/GATEWAY/cmd/reply.")]
pub(super) struct LabelArgs {
    /// The number of an event; what is known instead, where --device names the last alarms
    #[arg(value_name = "EVENT|REMARK")]
    first: String,
    /// What is known about it: false, real or maintenance
    #[arg(value_name = "REMARK")]
    remark: Option<String>,
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    asking: AskingArgs,
}

/// Which alarms are meant, where no event is named.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// The device, in the place of an event
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    #[command(flatten)]
    narrower: NarrowerArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge maintenance -c gateway.toml --device pump-1 2h   for two hours
  verge maintenance -c gateway.toml --device pump-1 0    it is over already

A number without a unit counts minutes.

It needs the right to publish on PREFIX/GATEWAY/cmd and to read PREFIX/GATEWAY/cmd/reply.")]
pub(super) struct MaintenanceArgs {
    /// For how long from now, as in 45m, 2h or 1d, to the minute, a week at most; 0 ends it
    #[arg(value_name = "SPAN", value_parser = window_minutes)]
    minutes: u64,
    /// The device
    #[arg(long, value_name = "NAME")]
    device: String,
    #[command(flatten)]
    narrower: NarrowerArgs,
    #[command(flatten)]
    asking: AskingArgs,
}

/// Whose judges of a device are meant, as verdicts name them.
#[derive(Debug, Args)]
pub(super) struct NarrowerArgs {
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

/// Minutes of a maintenance window: a span with units, or a number of minutes.
fn window_minutes(text: &str) -> Result<u64, String> {
    const LONGEST: u64 = verge_pipeline::judging::LONGEST_WINDOW.as_secs() / 60;
    minutes_within(LONGEST, text)
}

/// Minutes of a span that is limited.
pub(super) fn minutes_within(longest: u64, text: &str) -> Result<u64, String> {
    let minutes = match text.parse() {
        Ok(minutes) => minutes,
        Err(_) => {
            let span = humantime::parse_duration(text);
            let span =
                span.map_err(|_| "expected a span such as 45m, 2h or 1d, or 0 for the end".to_owned())?;
            span.as_secs().saturating_add(u64::from(span.subsec_nanos() > 0)).div_ceil(60)
        }
    };
    if minutes <= longest {
        return Ok(minutes);
    }
    let span = humantime::format_duration(Duration::from_secs(longest * 60)).to_string();
    Err(format!("at most {} ({longest} minutes)", span.replace("days", "d")))
}

pub(super) fn label(args: &LabelArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    args.asking.ask(args.command().exit_with(Exit::Usage)?, json, out)
}

pub(super) fn maintenance(args: &MaintenanceArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let command = args.narrower.command(&args.device, "maintenance", "minutes", Value::from(args.minutes));
    args.asking.ask(command, json, out)
}

impl LabelArgs {
    fn command(&self) -> anyhow::Result<Map<String, Value>> {
        let (event, remark) = match &self.remark {
            Some(remark) => (Some(&self.first), remark),
            None => (None, &self.first),
        };
        if Remark::named(remark).is_none() {
            bail!("{remark:?} is no remark; there are {}", Remark::ALL.map(Remark::as_str).join(", "));
        }
        let mut keys = self.target.keys(event.map(String::as_str), &format!("verge label 142 {remark}"))?;
        keys.insert("command".to_owned(), "label".into());
        keys.insert("remark".to_owned(), remark.as_str().into());
        Ok(keys)
    }
}

impl TargetArgs {
    /// An event by its number, or what is named instead of one. `example`: a command with a number.
    pub(super) fn keys(&self, event: Option<&str>, example: &str) -> anyhow::Result<Map<String, Value>> {
        match (event, &self.device) {
            (None, None) => bail!("an event ({example}) or --device is needed"),
            (None, Some(device)) => Ok(self.narrower.names(device)),
            (Some(_), device) if device.is_some() || self.narrower.is_given() => {
                bail!(
                    "the number says what the event is about: leave --device, --signal, --judge and --source out"
                )
            }
            (Some(event), _) => {
                let number = event.trim_start_matches('#').parse().ok().filter(|&number: &u64| number > 0);
                let number = number.with_context(|| format!("{event:?} is not the number of an event"))?;
                Ok(Map::from_iter([("event".to_owned(), Value::from(number))]))
            }
        }
    }
}

impl NarrowerArgs {
    fn parts(&self) -> [(&'static str, &Option<String>); 3] {
        [("signal", &self.signal), ("judge", &self.judge), ("source", &self.source)]
    }

    fn is_given(&self) -> bool {
        self.parts().iter().any(|(_, name)| name.is_some())
    }

    fn command(&self, device: &str, command: &str, key: &str, value: Value) -> Map<String, Value> {
        let mut keys = self.names(device);
        keys.insert("command".to_owned(), Value::from(command));
        keys.insert(key.to_owned(), value);
        keys
    }

    /// The names that were given.
    fn names(&self, device: &str) -> Map<String, Value> {
        let mut keys = Map::new();
        keys.insert("device".to_owned(), Value::from(device));
        for (key, name) in self.parts() {
            if let Some(name) = name {
                keys.insert(key.to_owned(), Value::from(name.as_str()));
            }
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn narrower(signal: Option<&str>) -> NarrowerArgs {
        NarrowerArgs { signal: signal.map(str::to_owned), judge: None, source: Some("o".to_owned()) }
    }

    #[test]
    fn a_command_has_the_names_that_were_given() {
        let command = Value::Object(narrower(Some("s")).command("p", "maintenance", "minutes", json!(5)));
        let expected =
            json!({ "command": "maintenance", "minutes": 5, "device": "p", "signal": "s", "source": "o" });
        assert_eq!(command, expected);
    }

    #[test]
    fn a_label_is_on_an_event_or_on_the_last_alarms_of_a_device() {
        use clap::Parser as _;
        #[derive(Debug, clap::Parser)]
        struct Label {
            #[command(flatten)]
            label: LabelArgs,
        }
        let check = |line: &str, expected: Result<Value, &str>| {
            let words = ["label", "-c", "gateway.toml"].into_iter().chain(line.split(' '));
            let command = Label::try_parse_from(words).unwrap().label.command();
            let command = command.map(Value::Object).map_err(|error| error.to_string());
            assert_eq!(command, expected.map_err(str::to_owned), "{line}");
        };
        check("142 false", Ok(json!({ "command": "label", "remark": "false", "event": 142 })));
        check("#142 real", Ok(json!({ "command": "label", "remark": "real", "event": 142 })));
        check(
            "--device p --signal s maintenance",
            Ok(json!({ "command": "label", "remark": "maintenance", "device": "p", "signal": "s" })),
        );
        check("142 wrong", Err("\"wrong\" is no remark; there are false, maintenance, real"));
        check("false", Err("an event (verge label 142 false) or --device is needed"));
        check("false 142", Err("\"142\" is no remark; there are false, maintenance, real"));
        check("pump-1 false", Err("\"pump-1\" is not the number of an event"));
        let alone =
            "the number says what the event is about: leave --device, --signal, --judge and --source out";
        check("142 false --device p", Err(alone));
    }

    #[test]
    fn a_window_is_a_span_with_units_or_a_number_of_minutes() {
        for (text, minutes) in
            [("120", 120), ("0", 0), ("2h", 120), ("1h 30m", 90), ("90s", 2), ("7d", 10_080)]
        {
            assert_eq!(window_minutes(text), Ok(minutes), "{text}");
        }
        for text in ["10081", "8d", "-1", "soon", "2 hours later"] {
            assert!(window_minutes(text).is_err(), "{text}");
        }
    }
}

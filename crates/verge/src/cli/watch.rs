//! `verge watch`: receives verdicts as a control centre would, and keeps the books.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Value, json};
use verge_codec::wire::{Message, WireLimits, read_message, verdict_json};
use verge_domain::id::{Epoch, GatewayId, Identity, Lane};
use verge_domain::sequence::{Arrival, SequenceTracker};
use verge_mqtt::{ConnectionSettings, Delivery, Subscriber, SubscriberEvent};

use super::connect::ConnectArgs;
use super::output::json_line;
use super::{FileArgs, async_runtime, say};
use crate::describe::{describe, time_of_day};
use crate::exit::{Exit, ExitWith};
use crate::settings::{Settings, Uplink};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge watch --url mqtts://centre:8883 --ca ca.pem --cert me.pem --key me.key
  verge watch -c gateway.toml                    where the gateway sends to, with its certificates
  verge watch -c gateway.toml --json | jq        one JSON object for each verdict
  verge watch -c gateway.toml --count 100        end after a hundred verdicts

Ends on Ctrl-C and then says what arrived: verdicts, duplicates (dropped), and numbers that are missing.")]
pub(super) struct WatchArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// Take the connection from an uplink of this configuration
    #[arg(short, long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// Which uplink of the configuration; by default the first
    #[arg(long, value_name = "NAME", requires = "config")]
    uplink: Option<String>,
    /// First levels of the topics [default: verge, or as configured]
    #[arg(long, value_name = "TOPIC")]
    prefix: Option<String>,
    /// Only this gateway; by default all
    #[arg(long, value_name = "ID")]
    gateway: Option<String>,
    /// End after this many verdicts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
}

impl WatchArgs {
    /// The connection, and the first levels of the topics.
    fn connection(&self) -> anyhow::Result<(ConnectionSettings, String)> {
        let prefix = |default: &str| self.prefix.clone().unwrap_or_else(|| default.to_owned());
        if let Some(written) = self.connect.written("watch")? {
            return Ok((written, prefix("verge")));
        }
        let config = self.config.clone().context("--url or --config is needed").exit_with(Exit::Usage)?;
        let settings = FileArgs { config }.settings()?;
        let uplink = chosen(&settings, self.uplink.as_deref()).exit_with(Exit::Usage)?;
        Ok((self.connect.of(&uplink.broker, "watch")?, prefix(&uplink.prefix)))
    }
}

fn chosen<'a>(settings: &'a Settings, name: Option<&str>) -> anyhow::Result<&'a Uplink> {
    let mut uplinks = settings.uplinks.iter();
    match name {
        None => uplinks.next().context("the configuration has no uplink"),
        Some(name) => uplinks
            .find(|uplink| uplink.name.as_str() == name)
            .ok_or_else(|| anyhow!("the configuration has no uplink {name:?}")),
    }
}

pub(super) fn watch(args: &WatchArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let (connection, prefix) = args.connection()?;
    let gateway = args.gateway.as_deref().unwrap_or("+");
    let filters = ["alarm", "verdict", "status"].map(|channel| format!("{prefix}/{gateway}/{channel}"));
    for filter in &filters {
        verge_mqtt::filter::validate(filter).with_context(|| format!("{filter:?}")).exit_with(Exit::Usage)?;
    }
    let address = connection.address.to_string();
    async_runtime()?.block_on(async {
        let mut subscriber = Subscriber::spawn(connection, filters.to_vec());
        let mut books = Books::default();
        let limit = Duration::from_secs(args.seconds.unwrap_or(u64::MAX / 4));
        let received = receive(args, &mut subscriber, &mut books, &address, json, out);
        let ended = tokio::select! {
            ended = received => ended,
            () = tokio::time::sleep(limit) => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for Ctrl-C"),
        };
        subscriber.stop().await;
        books.dropped_by_us = subscriber.dropped();
        ended?;
        if json {
            json_line(&mut std::io::stderr().lock(), &books.json())?;
        } else {
            say(&books.words());
        }
        Ok(Exit::Fine)
    })
}

async fn receive(
    args: &WatchArgs,
    subscriber: &mut Subscriber,
    books: &mut Books,
    address: &str,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut connected_once = false;
    while let Some(event) = subscriber.next().await {
        match event {
            SubscriberEvent::Subscribed => {
                connected_once = true;
                say(&format!("connected to {address}"));
            }
            // At first it is most likely the address or the certificate; later it is the network.
            SubscriberEvent::Disconnected { reason } if !connected_once => {
                return Err(anyhow!("{address}: {reason}")).exit_with(Exit::Unavailable);
            }
            SubscriberEvent::Disconnected { reason } => say(&format!("{address}: {reason}; trying again")),
            SubscriberEvent::Message(delivery) => {
                note(&delivery, books, json, out)?;
                out.flush()?;
                if args.count.is_some_and(|count| books.verdicts() >= count) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

fn note(delivery: &Delivery, books: &mut Books, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if delivery.topic.ends_with("/status") {
        return note_status(delivery, json, out);
    }
    let message = match read_message(&delivery.payload, WireLimits::default()) {
        Ok(message) => message,
        Err(error) => {
            books.unreadable += 1;
            say(&format!("{}: {error}", delivery.topic.escape_debug()));
            return Ok(());
        }
    };
    for line in books.note(&message, json) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn note_status(delivery: &Delivery, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let Ok(status) = serde_json::from_slice::<Value>(&delivery.payload) else {
        say(&format!("{}: not JSON", delivery.topic.escape_debug()));
        return Ok(());
    };
    if json {
        return Ok(json_line(out, &json!({ "status": status }))?);
    }
    let text = |key: &str| status[key].as_str().unwrap_or("?").escape_debug().to_string();
    writeln!(out, "status    {} is {}", text("gateway"), text("state"))?;
    Ok(())
}

/// What arrived, by gateway, epoch and lane.
#[derive(Default)]
struct Books {
    lanes: BTreeMap<(GatewayId, Epoch, Lane), SequenceTracker>,
    unreadable: u64,
    dropped_by_us: u64,
}

impl Books {
    /// Enters a message; returns the lines to print. Duplicates are counted, not printed.
    fn note(&mut self, message: &Message, json: bool) -> Vec<String> {
        let key = (message.gateway.clone(), message.epoch, message.lane);
        let tracker = self.lanes.entry(key).or_default();
        let fresh = message.verdicts.iter().filter(|(seq, _)| tracker.note(*seq) != Arrival::Duplicate);
        fresh
            .map(|(seq, verdict)| {
                if json {
                    let (gateway, epoch, lane) = (message.gateway.clone(), message.epoch, message.lane);
                    return verdict_json(&Identity { gateway, epoch, lane, seq: *seq }, verdict).to_string();
                }
                format!(
                    "{:<9} {} {} {:<8} {}: {}",
                    message.lane.as_str(),
                    time_of_day(verdict.times.decided),
                    message.gateway,
                    verdict.severity.as_str(),
                    verdict.judge,
                    describe(verdict)
                )
            })
            .collect()
    }

    fn verdicts(&self) -> u64 {
        self.lanes.values().map(SequenceTracker::seen).sum()
    }

    fn words(&self) -> String {
        let mut text = format!("{} verdicts", self.verdicts());
        for ((gateway, epoch, lane), tracker) in &self.lanes {
            let epoch = &epoch.to_string()[..8];
            let missing: u64 = gaps(tracker).iter().map(|(from, to)| to - from + 1).sum();
            text += &format!(
                "\n  {gateway} {lane} (epoch {epoch}…): {}, {} duplicates, {missing} missing",
                tracker.seen(),
                tracker.duplicates()
            );
            for (from, to) in gaps(tracker).iter().take(10) {
                text += &format!("\n    missing {from} to {to}");
            }
        }
        if self.unreadable > 0 {
            text += &format!("\n  {} messages could not be read", self.unreadable);
        }
        if self.dropped_by_us > 0 {
            text += &format!("\n  {} messages came faster than they were read", self.dropped_by_us);
        }
        text
    }

    fn json(&self) -> Value {
        let lanes: Vec<Value> = self
            .lanes
            .iter()
            .map(|((gateway, epoch, lane), tracker)| {
                json!({
                    "gateway": gateway.as_str(), "epoch": epoch.to_string(), "lane": lane.as_str(),
                    "verdicts": tracker.seen(), "duplicates": tracker.duplicates(), "missing": gaps(tracker),
                })
            })
            .collect();
        json!({
            "verdicts": self.verdicts(), "lanes": lanes, "unreadable": self.unreadable,
            "dropped": self.dropped_by_us,
        })
    }
}

/// Missing numbers between those that arrived; what came before the first was before our time.
fn gaps(tracker: &SequenceTracker) -> Vec<(u64, u64)> {
    tracker.gaps(false).map(|(from, to)| (from.0, to.0)).collect()
}

#[cfg(test)]
mod tests {
    use verge_domain::id::Seq;

    use super::*;
    use crate::describe::tests::sample;

    #[test]
    fn the_books_tell_duplicates_and_gaps() {
        let message = |seqs: &[u64]| Message {
            gateway: GatewayId::new("g").unwrap(),
            epoch: Epoch([7; 16]),
            lane: Lane::Alarm,
            sent: verge_domain::time::UtcMillis(0),
            verdicts: seqs.iter().map(|seq| (Seq(*seq), sample())).collect(),
        };
        let mut books = Books::default();
        assert_eq!(books.note(&message(&[5, 6]), false).len(), 2);
        let lines = books.note(&message(&[6, 9]), false);
        assert_eq!(lines.len(), 1, "what came twice is not printed twice");
        assert!(
            lines[0].starts_with("alarm     00:00:00.000 g critical j: pump-1 vibration: high"),
            "{}",
            lines[0]
        );
        let json = books.json();
        assert_eq!(json["verdicts"], 3);
        assert_eq!(json["lanes"][0]["duplicates"], 1);
        assert_eq!(json["lanes"][0]["missing"], json!([[7, 8]]));
        assert!(
            books.words().contains("3, 1 duplicates, 2 missing\n    missing 7 to 8"),
            "{}",
            books.words()
        );
    }
}

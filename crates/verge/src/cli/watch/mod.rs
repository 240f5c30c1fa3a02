//! `verge watch`: receives verdicts as a control centre would, and keeps the books.

mod books;
mod fleet;
mod gaps;
mod heal;
mod rates;
mod rivals;

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::{Value, json};
use verge_mqtt::{Delivery, Subscriber, SubscriberEvent, TopicUse};
use verge_wire::{WireLimits, read_message};

use super::output::json_line;
use super::uplink::{Topics, UplinkArgs, Upstream};
use super::{async_runtime, say};
use books::Books;
use fleet::FleetMetrics;
use gaps::GapReports;
use heal::{HealAnswer, Healer};
use rates::Rates;
use rivals::Rivals;
use verge_gateway::exit::{Exit, ExitWith};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  verge watch --url mqtts://centre:8883 --ca ca.pem --cert me.pem --key me.key
  verge watch -c gateway.toml              at the gateway's uplink
  verge watch -c gateway.toml --json | jq  one JSON object for each verdict
  verge watch -c gateway.toml --count 100  end after a hundred verdicts
  verge watch -c gateway.toml --heal       request missing numbers again
  verge watch -c gateway.toml --client-id desk-1 --heal
  verge watch -c centre.toml --metrics 127.0.0.1:9464

With --client-id the broker keeps a session under that name: the next run receives what arrives between two runs, as long as \
the broker keeps it. Times are those of the site: of the configuration's gateway.timezone, else of this machine.

Ctrl-C ends it. Then it prints whether something is lost, and for each lane the verdicts, the duplicates (dropped), the numbers \
that the gateway withdrew, and those that are missing. With --heal it needs the right to publish on PREFIX/GATEWAY/cmd.")]
pub(super) struct WatchArgs {
    #[command(flatten)]
    uplink: UplinkArgs,
    /// Only this gateway; by default all
    #[arg(long, value_name = "ID")]
    gateway: Option<String>,
    /// End after this many verdicts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// Ask the gateway for a replay of numbers that are missing, also from before this receiver came, as far as they
    /// are stored
    #[arg(long)]
    heal: bool,
    /// Turn the status documents of all gateways into metrics and serve them at http://ADDR/metrics, to anyone who reaches the
    /// address; no verdicts are received
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["heal", "count"])]
    metrics: Option<std::net::SocketAddr>,
}

pub(super) fn watch(args: &WatchArgs, json: bool, out: &mut impl Write) -> anyhow::Result<Exit> {
    let Upstream { connection, topics, zone, .. } = args.uplink.upstream("watch")?;
    let mut uses = vec![TopicUse::Status];
    if args.metrics.is_none() {
        uses.extend([TopicUse::Alarm, TopicUse::Verdict, TopicUse::Telemetry]);
    }
    if args.heal && topics.has_channels() {
        uses.push(TopicUse::Reply);
    }
    let mut filters: Vec<String> =
        uses.into_iter().map(|topic| topics.filter(topic, args.gateway.as_deref())).collect();
    filters.dedup();
    for filter in &filters {
        verge_domain::filter::validate(filter)
            .with_context(|| format!("{filter:?}"))
            .exit_with(Exit::Usage)?;
    }
    let address = connection.address.to_string();
    async_runtime()?.block_on(async {
        let mut subscriber = if args.uplink.has_client_id() {
            Subscriber::resume(connection, filters)
        } else {
            Subscriber::spawn(connection, filters)
        };
        let rates = Rates::of(zone.clone());
        let mut books = Books::of(zone);
        let limit = Duration::from_secs(args.seconds.unwrap_or(u64::MAX / 4));
        let mut watcher = Watcher {
            args,
            topics: &topics,
            address: &address,
            healer: Healer::default(),
            rates,
            gaps: GapReports::default(),
            rivals: Rivals::default(),
            json,
        };
        let mut fleet =
            args.metrics.map(|listen| FleetMetrics::start(listen, &topics, &address)).transpose()?;
        let received = async {
            match &mut fleet {
                Some(fleet) => fleet.receive(&mut subscriber).await,
                None => watcher.receive(&mut subscriber, &mut books, out).await,
            }
        };
        let ended = tokio::select! {
            ended = received => ended,
            () = tokio::time::sleep(limit) => Ok(()),
            interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot listen for Ctrl-C"),
        };
        subscriber.stop().await;
        books.dropped_by_us = subscriber.dropped();
        ended?;
        if fleet.is_some() {
            return Ok(Exit::Fine);
        }
        if json {
            json_line(&mut std::io::stderr().lock(), &books.json())?;
        } else {
            say(&books.words());
        }
        Ok(Exit::Fine)
    })
}

/// Whether a message is a status, where topics do not say so.
fn is_status_by_content(payload: &[u8]) -> bool {
    serde_json::from_slice::<Value>(payload).is_ok_and(|value| value["state"].is_string())
}

/// How often missing numbers are looked for.
const LOOK: Duration = Duration::from_millis(500);

struct Watcher<'a> {
    args: &'a WatchArgs,
    topics: &'a Topics,
    address: &'a str,
    healer: Healer,
    rates: Rates,
    gaps: GapReports,
    rivals: Rivals,
    json: bool,
}

impl Watcher<'_> {
    async fn receive(
        &mut self,
        subscriber: &mut Subscriber,
        books: &mut Books,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let mut connected_once = false;
        let mut look = tokio::time::interval(LOOK);
        loop {
            let event = tokio::select! {
                event = subscriber.next() => event,
                _ = look.tick(), if connected_once => {
                    if self.args.heal {
                        self.heal(subscriber, books);
                    } else if let Some(words) = self.gaps.look(&books.missing(), Instant::now()) {
                        say(&words);
                    }
                    continue;
                }
            };
            let Some(event) = event else { return Ok(()) };
            match event {
                SubscriberEvent::Subscribed => {
                    connected_once = true;
                    say(&format!("connected to {}", self.address));
                }
                // At first it is most likely the address or the certificate; later it is the network.
                SubscriberEvent::Disconnected { reason } if !connected_once => {
                    return Err(anyhow!("{}: {reason}", self.address)).exit_with(Exit::Unavailable);
                }
                SubscriberEvent::Disconnected { reason } => {
                    say(&format!("{}: {reason}; trying again", self.address));
                }
                SubscriberEvent::Message(delivery) => {
                    self.note(&delivery, books, out)?;
                    out.flush()?;
                    if self.args.count.is_some_and(|count| books.verdicts() >= count) {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn heal(&mut self, subscriber: &mut Subscriber, books: &mut Books) {
        for command in self.healer.commands(&books.missing(), Instant::now()) {
            let topic = self.topics.command(command.gateway.as_str());
            // Without a connection it is asked for again later.
            if let Err(error) = subscriber.publish(&topic, command.payload.to_string().into()) {
                tracing::debug!(%topic, %error, "a command was not sent");
            }
        }
        books.asked_again = self.healer.asked();
    }

    fn note(&mut self, delivery: &Delivery, books: &mut Books, out: &mut impl Write) -> anyhow::Result<()> {
        if self.is_status(delivery) {
            self.meet(&delivery.topic);
            return self.note_status(delivery, books, out);
        }
        if self.topics.is(TopicUse::Reply, &delivery.topic) {
            self.note_answer(delivery, books);
            return Ok(());
        }
        let message = match read_message(&delivery.payload, WireLimits::default()) {
            Ok(message) => message,
            Err(error) => {
                books.unreadable += 1;
                say(&format!("{}: {error}", delivery.topic.escape_debug()));
                return Ok(());
            }
        };
        for line in books.note(&message, self.json) {
            writeln!(out, "{line}")?;
        }
        Ok(())
    }

    /// Where everything goes to one topic, a status is recognised by its content.
    fn is_status(&self, delivery: &Delivery) -> bool {
        if self.topics.has_channels() {
            return self.topics.is(TopicUse::Status, &delivery.topic);
        }
        is_status_by_content(&delivery.payload)
    }

    fn meet(&mut self, topic: &str) {
        if let Some(gateway) = self.topics.gateway_of(TopicUse::Status, topic) {
            self.healer.meet(&gateway);
        }
    }

    fn note_answer(&mut self, delivery: &Delivery, books: &mut Books) {
        let Some(gateway) = self.topics.gateway_of(TopicUse::Reply, &delivery.topic) else { return };
        let Ok(answer) = serde_json::from_slice::<Value>(&delivery.payload) else {
            say(&format!("{}: not JSON", delivery.topic.escape_debug()));
            return;
        };
        match self.healer.answer(&gateway, &answer) {
            HealAnswer::Lanes(lanes) => lanes.iter().for_each(|(key, extent)| books.expect(key, *extent)),
            HealAnswer::Refused(words) => say(&words),
            HealAnswer::Nothing => {}
        }
    }

    fn note_status(
        &mut self,
        delivery: &Delivery,
        books: &mut Books,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        if delivery.payload.is_empty() {
            // The retained message was removed.
            return Ok(());
        }
        let Ok(status) = serde_json::from_slice::<Value>(&delivery.payload) else {
            say(&format!("{}: not JSON", delivery.topic.escape_debug()));
            return Ok(());
        };
        if let Some(words) = status["gateway"].as_str().and_then(|id| self.rivals.note(id, &delivery.payload))
        {
            say(&words);
        }
        if self.args.heal {
            heal::extents(&status).iter().for_each(|(key, extent)| books.expect(key, *extent));
        }
        if self.json {
            return Ok(json_line(out, &json!({ "status": status }))?);
        }
        let text = |key: &str| status[key].as_str().unwrap_or("?").escape_debug().to_string();
        writeln!(out, "status    {} is {}", text("gateway"), text("state"))?;
        for line in self.rates.news(&status) {
            writeln!(out, "status    {} {line}", text("gateway"))?;
        }
        Ok(())
    }
}

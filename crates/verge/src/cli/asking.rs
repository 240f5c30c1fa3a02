//! A command to a gateway from upstream, and its answer.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use verge_mqtt::{Subscriber, SubscriberEvent, TopicUse};
use verge_pipeline::clock::random_event_id;
use verge_wire::SiteZone;

use super::answer::print_answer;
use super::async_runtime;
use super::uplink::{UplinkArgs, Upstream};
use verge_gateway::exit::{Exit, ExitWith};

/// Which gateway is asked, and how.
#[derive(Debug, Args)]
pub(super) struct AskingArgs {
    #[command(flatten)]
    uplink: UplinkArgs,
    /// The gateway; by default that of the configuration
    #[arg(long, value_name = "ID")]
    gateway: Option<String>,
    /// Wait for the answer for this many seconds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

impl AskingArgs {
    /// Sends a command, waits for its answer, and prints that.
    pub(super) fn ask(
        &self,
        command: Map<String, Value>,
        json: bool,
        out: &mut impl Write,
    ) -> anyhow::Result<Exit> {
        let (answer, zone) = self.answer(command)?;
        print_answer(&answer, json, &zone, out)
    }

    /// Sends a command and waits for its answer. Gives the time zone of the site, too.
    pub(super) fn answer(&self, mut command: Map<String, Value>) -> anyhow::Result<(Value, SiteZone)> {
        let Upstream { connection, topics, gateway, zone } = self.uplink.upstream("tell")?;
        let gateway = self.gateway.clone().or(gateway);
        let gateway = gateway.context("--gateway is needed beside --url").exit_with(Exit::Usage)?;
        if !topics.has_channels() {
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
        let answer = async_runtime()?.block_on(async {
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
        })?;
        Ok((answer, zone))
    }
}

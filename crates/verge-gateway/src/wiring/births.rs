//! Asks edge nodes of Sparkplug B for births on the site's broker: the only thing that the gateway publishes there, and only
//! where a source says `rebirth = true`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use verge_codec::CodecSettings;
use verge_mqtt::{ConnectionSettings, Publisher, QoS};
use verge_pipeline::clock::Clock;
use verge_pipeline::counters::Counters;
use verge_sparkplug::rebirth_command;

use super::abort::AbortOnDrop;
use crate::settings::{Carries, Settings, SourceSection};

/// A node is asked once in this time: births of a large node are large.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked for nodes to ask.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Nodes whose last request is remembered at most.
const MAX_NODES: usize = 4096;

/// Whether a source asks for births.
pub fn asks_for_births(source: &SourceSection) -> bool {
    matches!(&source.carries, Carries::Readings(settings)
        if matches!(&settings.codec, CodecSettings::Sparkplug(sparkplug) if sparkplug.asks_for_births))
}

/// The connection by which births are asked for.
pub fn births_connection(local: &ConnectionSettings) -> ConnectionSettings {
    ConnectionSettings { client_id: format!("{}-births", local.client_id), ..local.clone() }
}

/// Asks until it is dropped.
pub(super) fn ask_for_births(
    settings: &Settings,
    local: &ConnectionSettings,
    counters: &Arc<Counters>,
    clock: Clock,
) -> AbortOnDrop {
    let (connection, counters) = (births_connection(local), Arc::clone(counters));
    let wanted = settings.sources.iter().any(asks_for_births);
    AbortOnDrop(tokio::spawn(async move {
        if wanted {
            ask(&connection, &counters, clock).await;
        }
    }))
}

async fn ask(connection: &ConnectionSettings, counters: &Counters, clock: Clock) {
    let mut asked: HashMap<String, Instant> = HashMap::new();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = Instant::now();
        asked.retain(|_, at| now.duration_since(*at) < ASK_EVERY);
        let mut wanted = counters.asks.take();
        wanted.retain(|topic| !asked.contains_key(topic));
        if wanted.is_empty() {
            continue;
        }
        let publisher = match Publisher::connect(connection.clone()).await {
            Ok(publisher) => publisher,
            Err(error) => {
                // The next message of the node wants them again.
                tracing::debug!(%error, "edge nodes are not asked for births");
                continue;
            }
        };
        for topic in wanted {
            if asked.len() >= MAX_NODES {
                break;
            }
            let command = rebirth_command(u64::try_from(clock.now().wall.0).unwrap_or(0));
            match publisher.publish(&topic, command.into(), QoS::AtMostOnce, false).await {
                Ok(()) => {
                    counters.asks.note_sent();
                    tracing::info!(%topic, "an edge node is asked for its births");
                    asked.insert(topic, now);
                }
                Err(error) => tracing::debug!(%error, %topic, "an edge node is not asked for its births"),
            }
        }
        publisher.close().await;
    }
}

//! Checks that the broker works: a message to ourselves, through real sockets.
//!
//! Each round makes a new connection, since a listener of rumqttd can refuse all new ones while old ones live on,
//! and sends a message over two old ones, since a listener says nothing of the router behind it.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use verge_domain::filter::CANARY_TOPIC;

use crate::client::Client;
use crate::endpoint::Endpoint;
use crate::own_client_id;

/// rumqttd's log counts topic and payload of a message, not what else it holds of it; with this much payload the
/// difference is small, and the log, which keeps old messages until it is full, takes no more than it counts.
const PAYLOAD_BYTES: usize = 1024;
/// Pause after an attempt that failed at once.
const RETRY: Duration = Duration::from_millis(200);

/// Client identifiers are few and fixed: rumqttd remembers each for ever.
const READER: &str = "canary-reader";
const WRITER: &str = "canary-writer";
const NEWCOMER: &str = "canary-newcomer";

#[derive(Debug)]
pub(crate) struct Canary {
    endpoint: Endpoint,
    pair: Option<Pair>,
    round: u64,
    /// What it is doing, for the words of a failure.
    step: &'static str,
}

/// The two connections that stay.
#[derive(Debug)]
struct Pair {
    reader: Client,
    writer: Client,
}

impl Canary {
    pub(crate) const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, pair: None, round: 0, step: "connecting" }
    }

    /// One round; attempts that fail are repeated until the time is over, so that only a broker that does not work
    /// fails, and no connection that happened to break.
    ///
    /// # Errors
    /// Why it failed, in words.
    pub(crate) async fn round(&mut self, within: Duration) -> Result<(), String> {
        let mut reason = None;
        let attempts = async {
            while let Err(fault) = self.attempt().await {
                reason = Some(fault);
                self.pair = None;
                tokio::time::sleep(RETRY).await;
            }
        };
        if tokio::time::timeout(within, attempts).await.is_ok() {
            return Ok(());
        }
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        Err(format!("it did not answer within {within:?} (while {}){reason}", self.step))
    }

    async fn attempt(&mut self) -> io::Result<()> {
        self.step = "connecting";
        let connect = async |name| Client::connect(&self.endpoint, &own_client_id(name)).await;
        let newcomer = connect(NEWCOMER).await?;
        if self.pair.is_none() {
            let mut reader = connect(READER).await?;
            reader.subscribe(CANARY_TOPIC).await?;
            self.pair = Some(Pair { reader, writer: connect(WRITER).await? });
        }
        newcomer.close().await;
        let Some(Pair { reader, writer }) = &mut self.pair else { return Ok(()) };
        self.round += 1;
        let message = message(self.round);
        self.step = "publishing";
        writer.publish(CANARY_TOPIC, message.clone()).await?;
        self.step = "waiting for its message";
        // Those before are of attempts that were given up.
        while reader.message().await? != message {}
        Ok(())
    }
}

/// Explains itself to subscribers of `#`, and differs from all others of this broker's life.
fn message(round: u64) -> Bytes {
    let text = format!("the gateway checks that its broker works, round {round}");
    format!("{text:PAYLOAD_BYTES$}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::{Embedded, EmbeddedSettings};

    #[test]
    fn messages_differ_and_have_their_size() {
        assert_eq!(message(1).len(), PAYLOAD_BYTES);
        assert_ne!(message(1), message(2));
    }

    #[tokio::test]
    async fn a_working_broker_answers_and_a_lost_connection_is_no_failure() {
        let broker = Embedded::start(EmbeddedSettings { max_packet_bytes: 65_536 }).await.unwrap();
        let mut canary = Canary::new(broker.endpoint.clone());
        for _ in 0..3 {
            canary.round(Duration::from_secs(30)).await.unwrap();
        }
        // Another client takes the reader's place, and the writer's.
        for name in [READER, WRITER] {
            let thief = Client::connect(&broker.endpoint, &own_client_id(name)).await.unwrap();
            thief.close().await;
        }
        canary.round(Duration::from_secs(30)).await.unwrap();
        assert_eq!(canary.round, 5, "one attempt more than rounds");
    }

    #[tokio::test]
    async fn what_accepts_and_does_not_answer_fails() {
        let silent = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let endpoint = Endpoint::random(silent.local_addr().unwrap(), 65_536).unwrap();
        let reason = Canary::new(endpoint).round(Duration::from_millis(300)).await.unwrap_err();
        assert_eq!(reason, "it did not answer within 300ms (while connecting)");
    }
}

//! Does the broker still do its work? A message to ourselves, through real sockets.
//!
//! Each round makes a new connection, since a listener of rumqttd can refuse all new ones while old ones live on,
//! and sends a message over two old ones, since a listener says nothing of the router behind it.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::QoS;

use super::access::Access;
use super::own_client_id;
use crate::publisher::Publisher;
use crate::subscriber::{Subscriber, SubscriberEvent};

/// What the canary's messages are published on. rumqttd delivers nothing on topics that begin with `$`, so that a
/// subscriber to `#` sees these; sources pass them over.
pub(crate) const TOPIC: &str = "@verge-canary";
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
pub(super) struct Canary {
    access: Access,
    pair: Option<Pair>,
    round: u64,
    /// What it is doing, for the words of a failure.
    step: &'static str,
}

/// The two connections that stay.
#[derive(Debug)]
struct Pair {
    reader: Subscriber,
    writer: Publisher,
}

impl Canary {
    pub(super) const fn new(access: Access) -> Self {
        Self { access, pair: None, round: 0, step: "connecting" }
    }

    /// One round; attempts that fail are repeated until the time is over, so that only a broker that does not work
    /// fails, and no connection that happened to break.
    ///
    /// # Errors
    /// Why it failed, in words.
    pub(super) async fn round(&mut self, within: Duration) -> Result<(), String> {
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

    async fn attempt(&mut self) -> Result<(), String> {
        self.step = "connecting";
        let connection = |name: &str| self.access.connection(&own_client_id(name));
        let connect =
            async |name| Publisher::connect(connection(name)).await.map_err(|error| error.to_string());
        let newcomer = connect(NEWCOMER).await?;
        if self.pair.is_none() {
            let mut reader = Subscriber::spawn(connection(READER), vec![TOPIC.to_owned()]);
            match reader.next().await {
                Some(SubscriberEvent::Subscribed) => {}
                other => return Err(lost(other)),
            }
            self.pair = Some(Pair { reader, writer: connect(WRITER).await? });
        }
        newcomer.close().await;
        let Some(Pair { reader, writer }) = &mut self.pair else { return Ok(()) };
        self.round += 1;
        let message = message(self.round);
        self.step = "publishing";
        writer
            .publish(TOPIC, message.clone(), QoS::AtLeastOnce, false)
            .await
            .map_err(|error| error.to_string())?;
        self.step = "waiting for its message";
        loop {
            match reader.next().await {
                Some(SubscriberEvent::Message(received)) if received.payload == message => return Ok(()),
                // Of an attempt that was given up.
                Some(SubscriberEvent::Message(_) | SubscriberEvent::Subscribed) => {}
                other => return Err(lost(other)),
            }
        }
    }
}

fn lost(event: Option<SubscriberEvent>) -> String {
    match event {
        Some(SubscriberEvent::Disconnected { reason }) => reason,
        _ => "the connection has ended".to_owned(),
    }
}

/// Says what it is to whoever sees it, and differs from all others of this broker's life.
fn message(round: u64) -> Bytes {
    let text = format!("the gateway looks whether its broker works, look {round}");
    format!("{text:PAYLOAD_BYTES$}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::embedded::{Embedded, EmbeddedSettings};

    #[test]
    fn messages_differ_and_have_their_size() {
        assert_eq!(message(1).len(), PAYLOAD_BYTES);
        assert_ne!(message(1), message(2));
    }

    #[tokio::test]
    async fn a_working_broker_answers_and_a_lost_connection_is_no_failure() {
        let broker = Embedded::start(EmbeddedSettings { max_packet_bytes: 65_536 }).await.unwrap();
        let mut canary = Canary::new(broker.access.clone());
        for _ in 0..3 {
            canary.round(Duration::from_secs(30)).await.unwrap();
        }
        // Another client takes the reader's place, and the writer's.
        for name in [READER, WRITER] {
            let thief = Publisher::connect(broker.connection(&own_client_id(name))).await.unwrap();
            thief.close().await;
        }
        canary.round(Duration::from_secs(30)).await.unwrap();
        assert_eq!(canary.round, 5, "one attempt more than rounds");
    }

    #[tokio::test]
    async fn what_accepts_and_does_not_answer_fails() {
        let silent = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let access = Access::random(silent.local_addr().unwrap(), 65_536).unwrap();
        let reason = Canary::new(access).round(Duration::from_millis(300)).await.unwrap_err();
        assert_eq!(reason, "it did not answer within 300ms (while connecting)");
    }
}

//! `verge watch --metrics`: the status documents of all gateways as metrics, for Prometheus to scrape at the centre.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use verge_mqtt::{Delivery, Subscriber, SubscriberEvent, TopicUse};
use verge_web::metrics::{Exporter, Fleet};

use super::super::say;
use super::super::uplink::Topics;
use verge_gateway::exit::{Exit, ExitWith};

/// Refused documents are reported this often at most.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// What receives, and what is scraped.
pub(super) struct FleetMetrics<'a> {
    fleet: Arc<Mutex<Fleet>>,
    topics: &'a Topics,
    /// Of the broker.
    address: &'a str,
    reported: Option<Instant>,
    /// Ends with it.
    exporter: Exporter,
}

impl<'a> FleetMetrics<'a> {
    /// Listens. Called within a runtime.
    pub(super) fn start(listen: SocketAddr, topics: &'a Topics, address: &'a str) -> anyhow::Result<Self> {
        let cannot = || format!("--metrics: cannot listen on {listen}");
        let listener = TcpListener::bind(listen).with_context(cannot).exit_with(Exit::Unavailable)?;
        let fleet = Arc::default();
        let exporter = Exporter::start(listener, Arc::clone(&fleet)).with_context(cannot);
        let exporter = exporter.exit_with(Exit::Unavailable)?;
        Ok(Self { fleet, topics, address, reported: None, exporter })
    }

    /// Receives until the subscriber ends.
    pub(super) async fn receive(&mut self, subscriber: &mut Subscriber) -> anyhow::Result<()> {
        say(&format!("metrics: http://{}/metrics", self.exporter.address()));
        let mut connected_once = false;
        while let Some(event) = subscriber.next().await {
            match event {
                SubscriberEvent::Subscribed => {
                    connected_once = true;
                    say(&format!("connected to {}", self.address));
                    self.fleet().set_connected(true);
                }
                SubscriberEvent::Disconnected { reason } if !connected_once => {
                    return Err(anyhow!("{}: {reason}", self.address)).exit_with(Exit::Unavailable);
                }
                SubscriberEvent::Disconnected { reason } => {
                    say(&format!("{}: {reason}; trying again", self.address));
                    self.fleet().set_connected(false);
                }
                SubscriberEvent::Message(delivery) => self.note(&delivery),
            }
        }
        Ok(())
    }

    fn fleet(&self) -> std::sync::MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&mut self, delivery: &Delivery) {
        let gateway = self.topics.gateway_of(TopicUse::Status, &delivery.topic);
        if !self.topics.has_channels() && !super::is_status_by_content(&delivery.payload) {
            // Verdicts and answers come by the same topic.
            return;
        }
        let now = Instant::now();
        let noted = self.fleet().note(gateway.as_ref(), &delivery.payload, now);
        let Err(refusal) = noted else { return };
        if self.reported.is_none_or(|reported| now.duration_since(reported) >= REPORT_EVERY) {
            self.reported = Some(now);
            let topic = delivery.topic.escape_debug();
            say(&format!(
                "a status document on {topic} is refused ({}): {refusal}; others within a minute are only counted",
                refusal.as_str()
            ));
        }
    }
}

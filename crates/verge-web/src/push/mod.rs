//! One POST after the other over one connection; the answer is the receipt.
//!
//! Reading order: [`HttpSink`], the end that a route holds; `driver`, the task that connects and sends; `answer` (pure),
//! what an answer means; `exchange`, one connection; `target`, the address.

mod answer;
mod driver;
mod exchange;
mod target;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use verge_domain::backoff::Backoff;
use verge_domain::id::Lane;
use verge_domain::link::{Arrival, LinkReport, TopicReport};
use verge_domain::stage::{Control, OfferError, OfferWindow, Sink, SinkEvent, Token};

use driver::{Offered, PushDriver};
pub use exchange::{PushAccess, PushCredentials, PushTrial};
pub use target::{PushTarget, PushTargetError};

/// Where and how verdicts are pushed.
#[derive(Debug, Clone)]
pub struct PushSettings {
    /// The address.
    pub target: PushTarget,
    /// What the body is: `application/json`, `application/cloudevents-batch+json` or `application/xml`.
    pub content_type: &'static str,
    /// What the service must have before anything else.
    pub preface: Option<PushPreface>,
    /// What proves who sends; asked for again at each new connection, since files change.
    pub access: PushAccess,
    /// A request and its answer take this long at most, and so does a connection with its handshake.
    pub timeout: Duration,
    /// Largest body, in bytes.
    pub max_body_bytes: usize,
    /// Requests that may wait for their turn.
    pub window: usize,
    /// Pauses after a failure.
    pub backoff: Backoff,
}

/// What a service must have before the verdicts: sent once on each connection that is announced.
#[derive(Clone)]
pub struct PushPreface {
    /// What it is, for messages.
    pub what: &'static str,
    /// Makes its body.
    pub body: Arc<dyn Fn() -> Bytes + Send + Sync>,
}

impl fmt::Debug for PushPreface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PushPreface").field(&self.what).finish()
    }
}

/// Pushes verdicts by HTTP: 2xx is the receipt. It publishes no status and takes no commands.
#[derive(Debug)]
pub struct HttpSink {
    window: OfferWindow,
    max_body_bytes: usize,
    address: String,
    offers: Option<mpsc::Sender<Offered>>,
    events: mpsc::Receiver<SinkEvent>,
    fault: watch::Receiver<Option<String>>,
    stop: watch::Sender<bool>,
    driver: Option<JoinHandle<()>>,
}

impl HttpSink {
    /// Connects, and keeps connecting.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn spawn(settings: PushSettings) -> Self {
        let (window, max_body_bytes) = (settings.window.max(1), settings.max_body_bytes);
        let address = settings.target.to_string();
        // What a lost connection leaves in the queue is taken out before the next one is announced.
        let (offers, offered) = mpsc::channel(window);
        // A receipt each, the end of one connection, the beginning of the next, and that it works again.
        let (said, events) = mpsc::channel(window + 3);
        let (faults, fault) = watch::channel(None);
        let (stop, stopped) = watch::channel(false);
        let driver = PushDriver::new(Arc::new(settings), offered, said, faults, stopped);
        let driver = Some(tokio::spawn(driver.run()));
        let offers = Some(offers);
        Self {
            window: OfferWindow::new(window),
            max_body_bytes,
            address,
            offers,
            events,
            fault,
            stop,
            driver,
        }
    }
}

impl Sink for HttpSink {
    /// Bodies that stand for the verdicts together, one request each; none where there is nothing to send of them.
    type Item = Vec<Bytes>;

    fn offer(&mut self, _: Lane, bodies: Vec<Bytes>, token: Token) -> Result<(), OfferError> {
        let (actual, limit) = (bodies.iter().map(Bytes::len).max().unwrap_or(0), self.max_body_bytes);
        if actual > limit {
            return Err(OfferError::TooLarge { actual, limit });
        }
        let generation = self.window.admit()?;
        let offers = self.offers.as_ref().ok_or(OfferError::NotConnected)?;
        let offered = Offered { generation, token, bodies };
        offers.try_send(offered).map_err(|_| OfferError::WindowFull)?;
        self.window.offered();
        Ok(())
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<SinkEvent>> {
        let event = self.events.poll_recv(context);
        if let Poll::Ready(Some(event)) = &event {
            self.window.note(event);
        }
        event
    }

    fn report(&self) -> LinkReport {
        let why = self.fault.borrow().clone();
        let arrival = match why {
            Some(why) => Arrival::Dead { why },
            None => Arrival::Unproven { why: "the answer to each request is believed".to_owned() },
        };
        let topics = vec![TopicReport { topic: self.address.clone(), arrival }];
        LinkReport { topics, ..LinkReport::default() }
    }

    async fn close(&mut self, grace: Duration) {
        // The driver ends once it has sent what it holds.
        self.offers = None;
        self.window.close();
        let Some(mut driver) = self.driver.take() else { return };
        // Its events must not wait for a reader that waits for it: there is room for one of each request.
        if tokio::time::timeout(grace, &mut driver).await.is_err() {
            tracing::info!(to = %self.address, "the web service has not answered everything in time");
            self.stop.send_replace(true);
            driver.abort();
        }
        self.events.close();
    }
}

impl Control for HttpSink {}

#[cfg(test)]
mod tests;

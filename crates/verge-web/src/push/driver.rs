//! The task that connects, sends, and says what came of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use verge_domain::stage::{SinkEvent, Token};

use super::PushSettings;
use super::answer::Answer;
use super::exchange::Exchange;

/// A body that a service refuses is tried this often: some refuse for a moment what they take afterwards.
const TRIES: u32 = 3;

/// Bodies to be sent for one token.
#[derive(Debug)]
pub(super) struct Offered {
    /// The connection that it was offered on: void with it.
    pub(super) generation: u64,
    pub(super) token: Token,
    pub(super) bodies: Vec<Bytes>,
}

/// How serving ended.
enum End {
    /// Nothing will be offered any more.
    Stopped,
    /// The link is of no use for now.
    Lost { reason: String, pause: Option<Duration> },
}

pub(super) struct PushDriver {
    settings: Arc<PushSettings>,
    offers: mpsc::Receiver<Offered>,
    events: mpsc::Sender<SinkEvent>,
    fault: watch::Sender<Option<String>>,
    stopped: watch::Receiver<bool>,
    generation: u64,
    /// Failures in a row; a receipt ends the row.
    failures: u32,
    exchange: Option<Exchange>,
}

impl PushDriver {
    pub(super) fn new(
        settings: Arc<PushSettings>,
        offers: mpsc::Receiver<Offered>,
        events: mpsc::Sender<SinkEvent>,
        fault: watch::Sender<Option<String>>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self { settings, offers, events, fault, stopped, generation: 0, failures: 0, exchange: None }
    }

    pub(super) async fn run(mut self) {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            () = self.connect_and_serve() => {}
            _ = stopped.wait_for(|&stopped| stopped) => {}
        }
    }

    async fn connect_and_serve(&mut self) {
        loop {
            let end = match Exchange::open(&self.settings).await {
                Ok(exchange) => {
                    self.exchange = Some(exchange);
                    match self.introduce().await {
                        Err(end) => end,
                        Ok(()) => {
                            while self.offers.try_recv().is_ok() {}
                            self.generation += 1;
                            if self.events.send(SinkEvent::Connected).await.is_err() {
                                return;
                            }
                            self.serve().await
                        }
                    }
                }
                Err(reason) => End::Lost { reason, pause: None },
            };
            self.exchange = None;
            let End::Lost { reason, pause } = end else { return };
            self.failures = self.failures.saturating_add(1);
            self.fault.send_replace(Some(reason.clone()));
            if self.events.send(SinkEvent::Disconnected { reason }).await.is_err() {
                return;
            }
            let drawn = self.settings.backoff.pause(self.failures, fastrand::u16(..));
            if !self.rest(pause.map_or(drawn, |asked| asked.max(drawn))).await {
                return;
            }
        }
    }

    /// Waits, and lets go of what is void. Returns whether to go on.
    async fn rest(&mut self, pause: Duration) -> bool {
        let over = sleep(pause);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return true,
                offered = self.offers.recv() => if offered.is_none() { return false },
            }
        }
    }

    /// Sends what must be there before the verdicts.
    async fn introduce(&mut self) -> Result<(), End> {
        let Some(preface) = self.settings.preface.clone() else { return Ok(()) };
        let refused = self.bring(&(preface.body)()).await?;
        let Some(reason) = refused else { return Ok(()) };
        Err(End::Lost { reason: format!("{reason}, to {}", preface.what), pause: None })
    }

    async fn serve(&mut self) -> End {
        while let Some(Offered { generation, token, bodies }) = self.offers.recv().await {
            if generation != self.generation {
                continue;
            }
            let mut event = SinkEvent::Delivered(token);
            for body in &bodies {
                match self.bring(body).await {
                    Ok(None) => {}
                    Ok(Some(reason)) => {
                        event = SinkEvent::Refused { token, reason };
                        break;
                    }
                    Err(end) => return end,
                }
            }
            if self.events.send(event).await.is_err() {
                return End::Stopped;
            }
        }
        End::Stopped
    }

    /// Sends one body until it is taken, or refused for good: why, in words.
    async fn bring(&mut self, body: &Bytes) -> Result<Option<String>, End> {
        let mut tries = 0;
        loop {
            match self.post(body).await {
                Ok(Answer::Taken) => {
                    self.failures = 0;
                    // Whoever asks for the status must not read for half a minute that nothing arrives.
                    if self.fault.send_if_modified(|fault| fault.take().is_some())
                        && self.events.send(SinkEvent::Changed).await.is_err()
                    {
                        return Err(End::Stopped);
                    }
                    return Ok(None);
                }
                Ok(Answer::Later { reason, pause }) => return Err(End::Lost { reason, pause }),
                Ok(Answer::Refused { reason }) => {
                    tries += 1;
                    if tries >= TRIES {
                        return Ok(Some(reason));
                    }
                    sleep(self.settings.backoff.pause(tries, fastrand::u16(..))).await;
                }
                Err(reason) => return Err(End::Lost { reason, pause: None }),
            }
        }
    }

    /// Sends one body, over a new connection where the service has closed the old one: services close those that rest.
    async fn post(&mut self, body: &Bytes) -> Result<Answer, String> {
        if let Some(exchange) = self.exchange.as_mut().filter(|exchange| !exchange.is_closed()) {
            let was_used = exchange.used;
            match exchange.post(body.clone()).await {
                // It may have been closed in the same moment; whether the body was taken is not known, and it may come twice.
                Err(_) if was_used && exchange.is_closed() => {}
                answer => return answer,
            }
        }
        let exchange = self.exchange.insert(Exchange::open(&self.settings).await?);
        exchange.post(body.clone()).await
    }
}

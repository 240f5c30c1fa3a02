//! What a route sends beside verdicts: answers to commands, and alarms that a store which has failed could not
//! number.

use std::sync::Arc;

use bytes::Bytes;
use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{Channel, Encoder, OfferError, Sink, StoredRow};

use super::commands::{self, Command, CommandError};
use super::orders;
use super::route::{REPLY_TOKEN, Route, VOLATILE_TOKEN};
use crate::committer::{StoreLedger, StoreState};
use crate::judging::{Order, OrderError, Outcome};

/// Alarms without a number that wait for a link at most; past that the oldest go.
const MAX_VOLATILE: usize = 64;

impl<K: Sink, E: Encoder> Route<K, E> {
    /// Carries out a command and answers it on the same link.
    pub(super) async fn command(&mut self, link: usize, payload: &[u8]) {
        let line = &mut self.lines[link];
        if !line.commands.admit(self.clock.now().mono) {
            line.counters.commands_ignored_total.add(1);
            return;
        }
        line.counters.commands_total.add(1);
        let request = commands::parse(payload);
        let id = request.id.as_deref();
        let answer = match request.command {
            Ok(Command::Replay { lane, from, to, epoch }) => self
                .replay(lane, (from, to), epoch.as_deref())
                .await
                .map(|(from, to)| commands::replayed(id, from, to)),
            Ok(Command::Ledger) => self.ledger().await.map(|ledger| {
                let delivered = Lane::ALL.map(|lane| self.window.mark(lane));
                let links = self.lines.iter().map(|line| line.counters.as_ref());
                commands::ledger(id, &ledger, delivered, links)
            }),
            Ok(Command::Order(order)) => match self.order(link, request.id.clone(), order) {
                Ok(()) => return,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        let answer = answer.unwrap_or_else(|error| commands::refused(id, &error));
        self.answer(link, answer);
    }

    /// Sends an answer on the link that asked.
    pub(super) fn answer(&mut self, link: usize, answer: Bytes) {
        let line = &mut self.lines[link];
        if let Err(error) = line.offer(Channel::Reply, answer, REPLY_TOKEN) {
            line.counters.replies_dropped_total.add(1);
            tracing::info!(route = %self.settings.route, link = %line.counters.id, %error, "an answer was dropped");
        }
    }

    /// Hands an order to the judges; its answer comes when it is durable. It is not waited for here: this route may be
    /// what makes room in a full store.
    fn order(&self, link: usize, id: Option<String>, order: Order) -> Result<(), CommandError> {
        let (answers, counters) = (self.answers.clone(), Arc::clone(&self.lines[link].counters));
        let reply = move |outcome: Result<Outcome, OrderError>| {
            let id = id.as_deref();
            let answer = match outcome {
                Ok(outcome) => orders::done(id, outcome),
                Err(error) => commands::refused(id, &CommandError::Order(error)),
            };
            if answers.try_send((link, answer)).is_err() {
                counters.replies_dropped_total.add(1);
            }
        };
        self.orders.submit(order, reply).map_err(|_| CommandError::Busy)
    }

    async fn ledger(&self) -> Result<StoreLedger, CommandError> {
        self.store.ledger().await.and_then(Result::ok).ok_or(CommandError::Unreadable)
    }

    async fn replay(
        &mut self,
        lane: Lane,
        range: (Seq, Seq),
        epoch: Option<&str>,
    ) -> Result<(Seq, Seq), CommandError> {
        if !self.window.carries(lane) {
            return Err(CommandError::NotCarried { lane });
        }
        let ledger = self.ledger().await?;
        let (from, to) = commands::clip(lane, range, epoch, &ledger)?;
        self.window.replay(lane, from, to).map_err(|_| CommandError::TooManyReplays)?;
        tracing::info!(route = %self.settings.route, %lane, %from, %to, "upstream asks for verdicts again");
        Ok((from, to))
    }

    /// An alarm waits for a store that has failed.
    pub(super) fn note_volatile(&mut self, alarm: StoredRow) {
        let failed = *self.store.state().borrow() == StoreState::Failed;
        if !failed || !self.window.carries(Lane::Alarm) {
            return;
        }
        if self.volatile.len() >= MAX_VOLATILE {
            self.volatile.pop_front();
        }
        self.volatile.push_back(alarm);
    }

    /// Shows alarms without a number over the first link that takes them. No acknowledgement is waited for: they come
    /// again with a number.
    pub(super) fn send_volatile(&mut self) {
        while let Some(alarm) = self.volatile.pop_front() {
            let now = self.clock.now();
            let rows = std::slice::from_ref(&alarm);
            let envelope = self.envelope(Lane::Alarm, rows, now, true);
            let mut kept = false;
            for link in self.chosen(now) {
                let line = &mut self.lines[link];
                if line.stalled {
                    kept = true;
                    continue;
                }
                if let Err(error) = line.encoder.message(&envelope, rows, &mut self.message) {
                    tracing::error!(route = %self.settings.route, link = %line.counters.id, %error, "an alarm cannot be shown");
                    continue;
                }
                let message = Bytes::copy_from_slice(&self.message);
                match line.offer(Channel::Alarm, message, VOLATILE_TOKEN) {
                    Ok(()) => {
                        self.counters.volatile_total.add(1);
                        kept = false;
                        break;
                    }
                    Err(OfferError::TooLarge { .. }) => {}
                    Err(OfferError::NotConnected | OfferError::WindowFull) => {
                        line.stalled = true;
                        kept = true;
                    }
                }
            }
            if kept || !self.is_connected() {
                self.volatile.push_front(alarm);
                return;
            }
        }
    }
}

//! What a route does beside verdicts: commands and their answers, its own status upstream, and rivals that publish one.

use std::sync::Arc;

use bytes::Bytes;
use verge_domain::id::{Lane, OperatorText, Seq};
use verge_domain::stage::{Control, ControlEvent, Form, OfferError, Sink};

use super::link::LinkCounters;
use super::route::DeliveryRoute;
use super::window::TooManyReplays;
use crate::commands::{CommandedRoute, RouteCommand, json};
use crate::status::claim;

impl<K: Sink + Control, F: Form<Item = K::Item>> DeliveryRoute<K, F> {
    /// Handles what happened on a link beside its verdicts.
    pub(super) async fn on_control(&mut self, link: usize, event: ControlEvent) {
        match event {
            ControlEvent::Found(status) => self.compare(link, &status).await,
            ControlEvent::StatusTaken => self.links[link].rival.published = true,
            ControlEvent::Command(command) => self.command(link, &command).await,
            ControlEvent::AnswerTaken => {}
        }
    }

    /// Carries out a command and answers it on the same link.
    async fn command(&mut self, link: usize, payload: &[u8]) {
        let asking = &mut self.links[link];
        if !asking.commands.admit(self.clock.now().mono) {
            asking.counters.commands_ignored_total.add(1);
            return;
        }
        asking.counters.commands_total.add(1);
        let link_id = asking.counters.id.as_str();
        let door = OperatorText::new(&format!("uplink {link_id}")).or_else(|_| OperatorText::new(link_id));
        let door = door.expect("the id of a link is a name");
        let (answers, counters) = (self.answers.clone(), Arc::clone(&asking.counters));
        let json::CommandRequest { id, command } = json::parse(payload, &door);
        let for_later = id.clone();
        let later = move |answer| {
            if answers.try_send((link, json::answer(for_later.as_deref(), &answer))).is_err() {
                counters.replies_dropped_total.add(1);
            }
        };
        let answer = match command {
            Ok(command) => self.executor.clone().carry_out(command, self, later).await,
            Err(error) => Err(error),
        };
        if let Some(answer) = answer.transpose() {
            self.answer(link, json::answer(id.as_deref(), &answer));
        }
    }

    /// Carries out a command that came by no link.
    pub(super) async fn asked(&mut self, RouteCommand { command, reply }: RouteCommand) {
        // A route answers what is about it at once.
        let answer = self.executor.clone().carry_out(command, self, |_| ()).await;
        if let Some(answer) = answer.transpose() {
            reply(answer);
        }
    }

    /// Sends an answer on the link that the command came by.
    pub(super) fn answer(&mut self, link: usize, answer: Bytes) {
        let link = &mut self.links[link];
        let sent = match link.answer(answer.clone()) {
            Err(OfferError::TooLarge { actual, limit }) => {
                link.answer(json::too_large(&answer, actual, limit))
            }
            sent => sent,
        };
        if let Err(error) = sent {
            link.counters.replies_dropped_total.add(1);
            tracing::info!(route = %self.settings.route, link = %link.counters.id, %error, "an answer was dropped");
        }
    }

    /// Compares what upstream knows of this gateway's store with the store, before anything is offered.
    async fn compare(&mut self, link: usize, status: &[u8]) {
        let Some(sighting) = claim::sighting(status) else { return };
        let last = self.store.heads().borrow().map(|seq| seq.0);
        let life = self.store.life();
        let another = sighting.is_of_another(Some((life, last)));
        if self.links[link].rival.found(another) {
            tracing::error!(
                link = %self.links[link].counters.id, epoch = %sighting.claim.epoch, own_epoch = %life.epoch,
                "{}", self.rival_words()
            );
        }
        let claim = sighting.claim;
        if !life.is_overtaken_by(&claim, last) {
            return;
        }
        let name = &self.links[link].counters.id;
        tracing::error!(
            link = %name, epoch = %self.store.epoch(), upstream_last = ?claim.last, ?last,
            "upstream knows numbers of this store's epoch that it never gave: it is a copy or an older state of a store \
             that went on; nothing is sent before it has a new epoch"
        );
        self.is_overtaken = true;
        // If that fails, the route is silent nevertheless: the process ends, and finds the same again.
        if !matches!(self.store.give_up_epoch().await, Some(Ok(()))) {
            tracing::error!("the epoch could not be given up");
        }
    }

    pub(super) fn rival_words(&self) -> String {
        format!(
            "another gateway with the id {} is connected to the same upstream: its status replaces this one's, and each \
             connection ends the other's; stop one of them, or give it another gateway.id",
            self.settings.gateway
        )
    }

    /// Publishes the status on every connected link; if it is not urgent, not where the budget is spent.
    pub(super) fn publish_status(&mut self, document: &Bytes, urgent: bool) {
        for (index, link) in self.links.iter_mut().enumerate() {
            let wanted = urgent || link.budget.allows(Lane::Telemetry);
            if !self.choice.is_connected(index) || !wanted || !link.sink.takes_status() {
                continue;
            }
            // A status that cannot be taken now is superseded by the next one.
            if let Err(error) = link.publish_status(document.clone()) {
                tracing::debug!(route = %self.settings.route, link = %link.counters.id, %error, "status not published");
            }
        }
    }
}

impl<K: Sink + Control, F: Form<Item = K::Item>> CommandedRoute for DeliveryRoute<K, F> {
    fn carries(&self, lane: Lane) -> bool {
        self.window.carries(lane)
    }

    fn replay(&mut self, lane: Lane, from: Seq, to: Seq) -> Result<(), TooManyReplays> {
        self.window.replay(lane, from, to)?;
        tracing::info!(route = %self.settings.route, %lane, %from, %to, "verdicts are sent again, as was requested");
        Ok(())
    }

    fn delivered(&self) -> [Seq; 3] {
        Lane::ALL.map(|lane| self.window.mark(lane))
    }

    fn links(&self) -> Vec<Arc<LinkCounters>> {
        self.links.iter().map(|link| Arc::clone(&link.counters)).collect()
    }
}

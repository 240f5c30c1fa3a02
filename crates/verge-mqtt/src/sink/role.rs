//! One uplink connection after another: its services asked for in order, its topics proven, then its verdicts.

mod claim;
mod incoming;

use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, Event, LastWill, MqttOptions, Outgoing, Packet, QoS};
use verge_domain::link::{Degraded, Service};

use self::claim::{CLAIM_WAIT, ClaimState, MAX_UNCLAIMED};
use super::services::{Care, Close, Plan, consequence};
use super::shared::SharedUplink;
use super::{ProofMessage, WillMessage};
use crate::driver::{Ending, Flow, Role};
use crate::probe::CAUSES;
use crate::subscriptions::Subscriptions;
use crate::takeover::Takeovers;

/// Pause before an attempt that differs from the one before.
const SOON: Duration = Duration::from_secs(1);
/// Verdicts wait this long for the services of a careful connection.
const CAREFUL: Duration = Duration::from_secs(10);
/// A careful connection that stands this long after its status was acknowledged is not closed for it: mosquitto 2.0.11
/// acknowledges a message that its ACL forbids and then closes.
const STATUS_SETTLES: Duration = Duration::from_secs(1);

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Commands,
    Echo,
    /// Topics that were dead are tried.
    Proof,
    /// Verdicts go, or wait for a dead topic to come alive.
    Verdicts,
}

pub(super) struct UplinkRole {
    pub(super) shared: SharedUplink,
    pub(super) inflight: u16,
    pub(super) last_will: WillMessage,
    /// Topic of commands, where there is one.
    pub(super) command_topic: Option<String>,
    pub(super) status_topic: String,
    /// Connections in a row on which nothing was retained there.
    pub(super) unclaimed: u8,
    pub(super) care: Care,
    /// Why echoes are not asked for by configuration.
    pub(super) no_echo: Option<String>,
    pub(super) proof: Option<ProofMessage>,
    /// No other link takes over: verdicts go before a dead topic is proven, as they may still arrive.
    pub(super) alone: bool,
    /// The name that another client may connect under as well.
    pub(super) client_id: String,
    pub(super) takeovers: Takeovers,
    /// How long upstream may owe an acknowledgement.
    pub(super) patience: Duration,
    pub(super) connection: UplinkConnection,
}

/// What is true of one connection.
pub(super) struct UplinkConnection {
    plan: Plan,
    stage: Stage,
    client: Option<AsyncClient>,
    /// A handle that stays, to end the subscription to the status.
    requests: Option<AsyncClient>,
    retained: ClaimState,
    /// When the broker accepted it.
    accepted: Option<Instant>,
    subscriptions: Subscriptions,
    /// Services whose SUBACK is owed, and since when.
    unanswered: Vec<(Service, Instant)>,
    /// The status of a careful connection is awaited since.
    held_since: Option<Instant>,
    /// It was acknowledged, and may yet be what the broker closes for.
    status_acknowledged: Option<Instant>,
    ending: Close,
    soon: bool,
    /// Commands dropped. The first is in the log, their number when it ends.
    dropped: u64,
}

impl UplinkConnection {
    pub(super) fn none(care: &mut Care) -> Self {
        Self {
            plan: care.plan(Instant::now()),
            stage: Stage::Commands,
            client: None,
            requests: None,
            retained: ClaimState::Known,
            accepted: None,
            subscriptions: Subscriptions::default(),
            unanswered: Vec::new(),
            held_since: None,
            status_acknowledged: None,
            ending: Close::Other,
            soon: false,
            dropped: 0,
        }
    }
}

impl UplinkRole {
    /// Continues until something must be waited for.
    fn step(&mut self) -> Flow {
        loop {
            let services = self.connection.plan.services;
            let waits = !self.connection.unanswered.is_empty();
            match self.connection.stage {
                // A place for what must be known of upstream before anything is sent: a stage before this one.
                Stage::Commands => {
                    self.connection.stage = Stage::Echo;
                    if let Some(topic) = self.command_topic.clone().filter(|_| services.commands)
                        && !self.ask(Service::Commands, &[topic])
                    {
                        return Flow::Drop("cannot subscribe to commands".to_owned());
                    }
                }
                Stage::Echo if waits && self.connection.plan.careful => return Flow::Continue,
                Stage::Echo => {
                    self.connection.stage = Stage::Proof;
                    let mut filters = self.shared.watched_topics();
                    // Where all goes to one topic, what is retained there cannot be distinguished.
                    let reads = services.status && services.retain && !filters.contains(&self.status_topic);
                    if services.echo && reads && self.unclaimed < MAX_UNCLAIMED {
                        filters.push(self.status_topic.clone());
                        self.connection.retained = ClaimState::Asked;
                    }
                    if services.echo && !self.ask(Service::Echo, &filters) {
                        return Flow::Drop("cannot subscribe to the gateway's own topics".to_owned());
                    }
                }
                Stage::Proof if self.waits_for_echo() => return Flow::Continue,
                Stage::Proof => {
                    if self.waits_for_retained() {
                        return Flow::Continue;
                    }
                    self.connection.stage = Stage::Verdicts;
                    if let Some(proof) = self.proof.as_ref().filter(|_| services.echo) {
                        self.shared.prove(|topic| proof.of(topic));
                    }
                }
                Stage::Verdicts => {
                    let blind =
                        self.alone && !self.shared.is_closed() || self.proof.is_none() || !services.echo;
                    if blind || !self.shared.is_dead() {
                        self.open();
                    }
                    return Flow::Continue;
                }
            }
        }
    }

    fn waits_for_echo(&self) -> bool {
        let careful = self.connection.plan.careful && !self.connection.unanswered.is_empty();
        careful || self.connection.unanswered.iter().any(|(service, _)| *service == Service::Echo)
    }

    fn waits_for_retained(&mut self) -> bool {
        match self.connection.retained {
            ClaimState::Known => false,
            // The answer to the others is the answer to this one.
            ClaimState::Asked => {
                self.connection.retained = ClaimState::Known;
                false
            }
            ClaimState::Awaited(since) if since.elapsed() < CLAIM_WAIT => true,
            ClaimState::Awaited(_) => {
                self.unclaimed = self.unclaimed.saturating_add(1);
                self.retained_is_known();
                false
            }
        }
    }

    /// What comes there from now on is the gateway's own.
    fn retained_is_known(&mut self) {
        self.connection.retained = ClaimState::Known;
        if let Some(requests) = self.connection.requests.take()
            && requests.try_unsubscribe(&self.status_topic).is_err()
        {
            tracing::debug!("the subscription to the own status goes on");
        }
    }

    /// From here on verdicts may be offered. Does so once.
    fn open(&mut self) {
        if let Some(client) = self.connection.client.take() {
            if self.connection.plan.careful && !self.connection.plan.services.status {
                self.care.settled();
            }
            self.shared.connected(client);
        }
    }

    fn ask(&mut self, service: Service, filters: &[String]) -> bool {
        let Some(client) = &self.connection.client else { return true };
        self.connection.unanswered.push((service, Instant::now()));
        self.connection.subscriptions.ask(client, filters, QoS::AtLeastOnce).is_ok()
    }

    /// What the broker owes an answer, by service.
    fn unanswered(&self) -> Vec<Service> {
        let mut unanswered: Vec<Service> =
            self.connection.unanswered.iter().map(|(service, _)| *service).collect();
        if self.shared.owes_status() || self.connection.status_acknowledged.is_some() {
            let retained = self.connection.plan.services.retain;
            unanswered.push(if retained { Service::Retain } else { Service::Status });
        }
        unanswered
    }

    fn publish_news(&mut self) {
        if !self.care.take_news() {
            return;
        }
        let degraded: Vec<Degraded> = self.care.degraded().collect();
        let known = self.shared.report().degraded;
        for Degraded { service, reason } in degraded.iter().filter(|new| !known.contains(new)) {
            tracing::warn!(
                service = service.as_str(), %reason, then = consequence(*service),
                "upstream does not allow a service of this link; the link goes on without it, and tries again at a \
                 connection after a day or at the next start"
            );
        }
        self.shared.set_degraded(degraded);
    }

    fn acknowledged(&mut self, packet_id: u16) {
        self.shared.acknowledged(packet_id);
        if self.connection.held_since.is_some() && !self.shared.owes_status() {
            self.connection.status_acknowledged.get_or_insert_with(Instant::now);
        }
    }

    fn status_settled(&mut self) {
        self.connection.held_since = None;
        self.connection.status_acknowledged = None;
        self.care.answered(Service::Retain);
        self.care.answered(Service::Status);
        self.care.settled();
        self.shared.release();
    }
}

/// Why acknowledgements are believed.
fn without_echo(reason: &str) -> String {
    format!("{reason}; acknowledgements are believed")
}

/// Where the connection's task ends by a fault of its own, the caller that waits for events must learn of it.
impl Drop for UplinkRole {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Role for UplinkRole {
    fn customise(&mut self, options: &mut MqttOptions) {
        self.connection = UplinkConnection::none(&mut self.care);
        self.publish_news();
        let services = self.connection.plan.services;
        options.set_clean_session(true);
        options.set_inflight(self.inflight);
        if services.will {
            let will = self.last_will.now();
            options.set_last_will(LastWill::new(&self.status_topic, will, QoS::AtLeastOnce, services.retain));
        }
    }

    fn connected(&mut self, client: &AsyncClient) -> Flow {
        if let Some(reason) = self.care.accepted() {
            return Flow::Pause(reason, SOON);
        }
        let Plan { services, careful } = self.connection.plan;
        let degraded = self.care.degraded().find(|degraded| degraded.service == Service::Echo);
        let no_echo = self.no_echo.clone().or_else(|| degraded.map(|echo| without_echo(&echo.reason)));
        let held = careful && services.status;
        self.shared.begin(client.clone(), no_echo, services, held);
        self.connection.held_since = held.then(Instant::now);
        self.connection.client = Some(client.clone());
        self.connection.requests = Some(client.clone());
        self.connection.accepted = Some(Instant::now());
        self.step()
    }

    fn event(&mut self, event: Event) -> Flow {
        match event {
            Event::Outgoing(Outgoing::Publish(packet_id)) => self.shared.sent(packet_id),
            Event::Outgoing(Outgoing::Subscribe(packet_id)) => self.connection.subscriptions.sent(packet_id),
            Event::Incoming(Packet::PubAck(acknowledgement)) => self.acknowledged(acknowledgement.pkid),
            Event::Incoming(Packet::Publish(message)) => {
                self.take(message);
                // It may be the echo that a dead topic waited for.
                if self.connection.client.is_some() {
                    return self.step();
                }
            }
            Event::Incoming(Packet::SubAck(answer)) => return self.answered(&answer),
            _ => {}
        }
        Flow::Continue
    }

    fn overdue(&mut self, now: Instant) -> Option<String> {
        let passed =
            |since: Option<Instant>, time| since.is_some_and(|since| now.duration_since(since) >= time);
        if passed(self.connection.status_acknowledged, STATUS_SETTLES) {
            self.status_settled();
        }
        if passed(self.connection.held_since, CAREFUL) {
            self.connection.held_since = None;
            self.shared.release();
        }
        let silent = |(_, since): &&(Service, Instant)| now.duration_since(*since) >= self.patience;
        if let Some((service, _)) = self.connection.unanswered.iter().find(silent).copied() {
            self.connection.unanswered.retain(|(unanswered, _)| *unanswered != service);
            self.refuse(
                service,
                format!("upstream does not answer a subscription for {} s", self.patience.as_secs()),
            );
            if let Flow::Drop(reason) | Flow::Pause(reason, _) = self.step() {
                return Some(reason);
            }
        }
        if matches!(self.connection.retained, ClaimState::Awaited(_))
            && let Flow::Drop(reason) | Flow::Pause(reason, _) = self.step()
        {
            return Some(reason);
        }
        self.shared.overdue(self.patience, now)
    }

    fn ending(&mut self, ending: Ending) {
        self.connection.ending = match ending {
            Ending::Refused => Close::Refused,
            Ending::Closed => Close::Closed,
            // It is this side that ends such a connection.
            Ending::Unreadable => return,
        };
    }

    fn lost(&mut self, mut reason: String) -> bool {
        if self.connection.dropped > 1 {
            tracing::warn!(
                count = self.connection.dropped,
                "commands from upstream were dropped on this connection"
            );
        }
        let unanswered = self.unanswered();
        if self.connection.ending == Close::Closed
            && unanswered.is_empty()
            && let Some(words) = self.shared.closed()
        {
            reason = format!("{reason}; {words}");
        }
        if self.shared.take_newly_dead() {
            tracing::error!(%reason, then = CAUSES, "verdicts do not arrive upstream although they are acknowledged");
        }
        if self.connection.retained == ClaimState::Asked && self.connection.ending == Close::Closed {
            // It may be this that the broker does not allow: the next connection goes without.
            self.unclaimed = MAX_UNCLAIMED;
        }
        let others = self.shared.owes_more();
        let closed = self.connection.ending == Close::Closed && unanswered.is_empty();
        let stood = self.connection.accepted.filter(|_| closed).map(|accepted| accepted.elapsed());
        if let Some(pattern) = self.takeovers.lost(stood, &self.client_id) {
            reason = format!("{reason} {pattern}");
        }
        let UplinkConnection { ending, plan, .. } = self.connection;
        let another = self.care.ended(ending, &unanswered, others, plan, Instant::now());
        self.connection.soon = another || self.shared.take_learnt();
        self.connection.ending = Close::Other;
        self.publish_news();
        self.shared.lost(reason);
        true
    }

    fn soon(&mut self) -> Option<Duration> {
        std::mem::take(&mut self.connection.soon).then_some(SOON)
    }

    fn ended(&mut self) {
        self.shared.end();
    }
}

//! The node, between the task that delivers and the connection's.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rumqttc::{AsyncClient, QoS};
use tokio::sync::Notify;
use verge_domain::link::{EdgeNodeReport, EdgeNodeState};
use verge_domain::stage::{ControlEvent, OfferError, SinkEvent, Token, VerdictRow};
use verge_sparkplug::{EdgeAction, EdgeNews, EdgeNode, NodeStatus};

use super::ShownBoard;
use crate::subscriptions::Subscriptions;

/// Commands of hosts that wait at most; further ones are refused.
const MAX_COMMANDS: usize = 64;
/// Messages that wait for the connection at most.
pub(super) const MAX_QUEUED: usize = 256;

#[derive(Debug, Clone)]
pub(super) struct SharedNode(Arc<(Mutex<NodeState>, Notify, ShownBoard)>);

#[derive(Debug)]
pub(super) struct NodeState {
    node: EdgeNode,
    client: Option<AsyncClient>,
    pub(super) subscriptions: Subscriptions,
    /// Messages given to the connection that it has not written.
    queued: usize,
    /// Since when the broker owes an answer to a subscription.
    owed_since: Option<Instant>,
    /// Behind what the board has shown.
    place: u64,
    events: VecDeque<SinkEvent>,
    reported: (EdgeNodeState, u64, u64),
    /// Words were left with the board for want of room.
    starved: bool,
    waiting: Option<Waker>,
    /// The node leaves: for this reason where it connects again, else for a stop.
    left: Option<Option<String>>,
    closing: bool,
    ended: bool,
}

impl SharedNode {
    pub(super) fn new(node: EdgeNode, shown: ShownBoard) -> Self {
        let state = NodeState {
            node,
            client: None,
            subscriptions: Subscriptions::default(),
            queued: 0,
            owed_since: None,
            place: 0,
            events: VecDeque::new(),
            reported: Default::default(),
            starved: false,
            waiting: None,
            left: None,
            closing: false,
            ended: false,
        };
        Self(Arc::new((Mutex::new(state), Notify::new(), shown)))
    }

    fn state(&self) -> MutexGuard<'_, NodeState> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the node, and what comes of it.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut EdgeNode, &mut Subscriptions, &ShownBoard) -> T) -> T {
        let mut state = self.state();
        let NodeState { node, subscriptions, .. } = &mut *state;
        let done = act(node, subscriptions, &self.0.2);
        self.pump(&mut state);
        Self::note_report(&mut state);
        self.notify(state);
        done
    }

    /// Carries out what the node asks for, as far as the connection takes it.
    fn pump(&self, state: &mut NodeState) {
        let shown = &self.0.2;
        if state.node.is_ready() {
            // In this order: what is committed in between counts as born, and comes as history as well.
            let heads = (shown.heads)();
            let copy = shown.board.copy(&|_| true);
            state.place = copy.place;
            state.node.begin(&copy.words, heads, (shown.now)());
        }
        while state.queued < MAX_QUEUED
            && let Some(client) = state.client.clone()
            && let Some(action) = state.node.next((shown.now)())
        {
            if !state.carry_out(&client, action) {
                tracing::debug!("the connection takes no more requests: it is about to end");
                state.client = None;
            }
        }
        if !state.node.is_owed() {
            state.owed_since = None;
        }
        while let Some(news) = state.node.take_news() {
            match news {
                EdgeNews::Born => state.events.push_back(SinkEvent::Connected),
                EdgeNews::Delivered(token) => state.events.push_back(SinkEvent::Delivered(token)),
                EdgeNews::Room => state.note_change(),
                EdgeNews::Command(command) => state.command(command),
                EdgeNews::Left(why) => state.left = Some(why),
            }
        }
    }

    fn notify(&self, mut state: MutexGuard<'_, NodeState>) {
        let woken = if state.events.is_empty() && !state.starved { None } else { state.waiting.take() };
        drop(state);
        if let Some(waker) = woken {
            waker.wake();
        }
        self.0.1.notify_one();
    }

    /// Reports what has changed, where a status shows it.
    fn note_report(state: &mut NodeState) {
        let EdgeNodeReport { state: stage, births, refused, .. } = state.node.report();
        let now = (stage, births, refused);
        if std::mem::replace(&mut state.reported, now) != now {
            state.note_change();
        }
    }

    pub(super) fn report(&self) -> EdgeNodeReport {
        self.state().node.report()
    }

    pub(super) fn offer(&self, rows: Vec<VerdictRow>, token: Token) -> Result<(), OfferError> {
        let mut state = self.state();
        if state.closing || state.client.is_none() || !state.node.is_born() || state.is_about_to_connect() {
            return Err(OfferError::NotConnected);
        }
        if !state.node.offer(rows, token) {
            return Err(OfferError::WindowFull);
        }
        self.pump(&mut state);
        Ok(())
    }

    pub(super) fn set_status(&self, status: NodeStatus) {
        self.with(|node, _, _| node.set_status(status));
    }

    /// The next event, and else after what time to look again.
    pub(super) fn poll_event(
        &self,
        context: &mut Context<'_>,
    ) -> (Poll<Option<SinkEvent>>, Option<Duration>) {
        let mut state = self.state();
        loop {
            state.starved = state.node.room_for_words() == 0;
            if state.starved {
                break;
            }
            let mut place = state.place;
            let Poll::Ready(behind) = self.0.2.board.poll_behind(&mut place, context) else { break };
            if behind.missed > 0 {
                let copy = self.0.2.board.copy(&|_| true);
                state.place = copy.place;
                state.node.words(&copy.words);
            } else {
                state.place = place;
                state.node.words(&behind.words);
            }
            self.pump(&mut state);
        }
        self.pump(&mut state);
        Self::note_report(&mut state);
        if let Some(event) = state.events.pop_front() {
            return (Poll::Ready(Some(event)), None);
        }
        if state.ended {
            return (Poll::Ready(None), None);
        }
        if !state.waiting.as_ref().is_some_and(|waiting| waiting.will_wake(context.waker())) {
            state.waiting = Some(context.waker().clone());
        }
        let wake = state.client.as_ref().and_then(|_| state.node.wake((self.0.2.now)()));
        (Poll::Pending, wake)
    }

    pub(super) fn connected(&self, client: AsyncClient) {
        let mut state = self.state();
        state.client = Some(client);
        state.queued = 0;
        state.left = None;
        state.subscriptions = Subscriptions::default();
        if state.closing {
            state.left = Some(None);
        } else {
            state.node.accepted();
        }
        self.pump(&mut state);
        self.notify(state);
    }

    /// The connection has written a message.
    pub(super) fn written(&self) {
        let mut state = self.state();
        state.queued = state.queued.saturating_sub(1);
        self.pump(&mut state);
        self.notify(state);
    }

    /// Why it leaves although the gateway does not stop.
    pub(super) fn takes_leave(&self) -> Option<String> {
        let mut state = self.state();
        match &state.left {
            Some(Some(_)) => state.left.take()?,
            _ => None,
        }
    }

    /// For how long the broker has owed an answer.
    pub(super) fn owed(&self, now: Instant) -> Option<Duration> {
        self.state().owed_since.map(|since| now.duration_since(since))
    }

    pub(super) fn lost(&self, reason: String) {
        let mut state = self.state();
        state.client = None;
        state.owed_since = None;
        state.node.lost();
        state.events.retain(|event| matches!(event, SinkEvent::Delivered(_)));
        if !state.closing {
            state.events.push_back(SinkEvent::Disconnected { reason });
        }
        self.notify(state);
    }

    /// The gateway stops: the rest goes out, then the death of the node.
    pub(super) fn leave(&self) {
        let mut state = self.state();
        state.closing = true;
        let mut context = Context::from_waker(Waker::noop());
        let mut place = state.place;
        if state.node.room_for_words() > 0
            && let Poll::Ready(behind) = self.0.2.board.poll_behind(&mut place, &mut context)
        {
            state.place = place;
            state.node.words(&behind.words);
        }
        state.node.leave();
        self.pump(&mut state);
        self.notify(state);
    }

    /// The broker has the death of the node, or there is no connection.
    pub(super) async fn left(&self) {
        loop {
            {
                let state = self.state();
                if state.client.is_none() || state.left.is_some() {
                    return;
                }
            }
            self.0.1.notified().await;
        }
    }

    pub(super) fn end(&self) {
        let mut state = self.state();
        state.client = None;
        state.node.lost();
        state.ended = true;
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
        self.0.1.notify_one();
    }
}

impl NodeState {
    /// That it is connected has not been read: until then the caller would offer twice.
    fn is_about_to_connect(&self) -> bool {
        self.events.iter().any(|event| matches!(event, SinkEvent::Connected))
    }

    fn command(&mut self, command: Vec<u8>) {
        let waiting = self.events.iter().filter(|event| matches!(event, SinkEvent::Control(_))).count();
        if waiting < MAX_COMMANDS {
            self.events.push_back(SinkEvent::Control(ControlEvent::Command(command.into())));
        } else {
            self.node.refuse_command();
        }
    }

    /// There is something to look at; once is enough.
    fn note_change(&mut self) {
        if !self.events.contains(&SinkEvent::Changed) {
            self.events.push_back(SinkEvent::Changed);
        }
    }

    /// False where the connection takes no more.
    fn carry_out(&mut self, client: &AsyncClient, action: EdgeAction) -> bool {
        match action {
            EdgeAction::Publish(topic, payload) => {
                self.queued += 1;
                client.try_publish(topic, QoS::AtMostOnce, false, payload).is_ok()
            }
            EdgeAction::Death(topic, payload) => {
                self.queued += 1;
                client.try_publish(topic, QoS::AtLeastOnce, false, payload).is_ok()
            }
            EdgeAction::Subscribe(filters) => {
                self.owed_since = Some(Instant::now());
                self.subscriptions.ask(client, &filters, QoS::AtLeastOnce).is_ok()
            }
            EdgeAction::Confirm(filter) => {
                self.owed_since.get_or_insert_with(Instant::now);
                self.subscriptions.ask(client, &[filter], QoS::AtLeastOnce).is_ok()
            }
        }
    }
}

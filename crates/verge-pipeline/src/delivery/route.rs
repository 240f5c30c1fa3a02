//! One route at work: its links, its window, and what happens to them.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{Control, ControlEvent, Form, SentBytes, Sink, SinkEvent, StoredRow, Token};
use verge_domain::time::Monotonic;

use super::RouteSettings;
use super::choice::Choice;
use super::link::{Link, LinkState, RouteCounters};
use super::window::RouteWindow;
use crate::clock::Clock;
use crate::commands::{CommandDesks, Executor};
use crate::committer::{StoreHandle, StoreState};

/// Time for outstanding acknowledgements when the gateway stops.
const CLOSE_GRACE: Duration = Duration::from_secs(3);
/// The token of messages that are offered once and not kept: never one of verdicts, which count from one.
pub(super) const PROVISIONAL: Token = Token(u64::MAX);

pub(super) struct DeliveryRoute<K, F> {
    pub(super) settings: RouteSettings,
    pub(super) window: RouteWindow,
    pub(super) choice: Choice,
    pub(super) links: Vec<LinkState<K, F>>,
    pub(super) store: StoreHandle,
    pub(super) executor: Executor,
    /// Answers that come later, with the link of each command, on their path back here.
    pub(super) answers: mpsc::Sender<(usize, Bytes)>,
    heads: watch::Receiver<[Seq; 3]>,
    pub(super) counters: Arc<RouteCounters>,
    pub(super) clock: Clock,
    /// The link that is polled for events first.
    pub(super) turn: usize,
    unsent_marks: [Option<Seq>; 3],
    /// Another life of the store gives numbers of its epoch: nothing is sent any more.
    pub(super) is_overtaken: bool,
    /// No request to the store until then.
    pub(super) pause: Option<Monotonic>,
    /// Which links refused a verdict that is not delivered yet, a bit each.
    pub(super) refusals: BTreeMap<(Lane, Seq), u64>,
    /// Alarms without a number that could not be offered yet.
    pub(super) provisional: VecDeque<StoredRow>,
}

impl<K: Sink + Control, F: Form<Item = K::Item>> DeliveryRoute<K, F> {
    #[expect(clippy::too_many_arguments, reason = "each is one end that the route is connected to")]
    pub(super) async fn open(
        settings: RouteSettings,
        delivered: [Seq; 3],
        store: StoreHandle,
        desks: CommandDesks,
        answers: mpsc::Sender<(usize, Bytes)>,
        links: Vec<Link<K, F>>,
        counters: Arc<RouteCounters>,
        clock: Clock,
    ) -> Self {
        let sent = match store.sent().await {
            Some(Ok(sent)) => sent,
            Some(Err(_)) | None => {
                tracing::warn!(route = %settings.route, "what was sent today is not known: budgets begin anew");
                Vec::new()
            }
        };
        let capacities: Vec<usize> = links.iter().map(|link| link.window).collect();
        let window =
            RouteWindow::new(settings.batch, &settings.lanes, &capacities, settings.rewind, delivered);
        let mut heads = store.heads();
        heads.mark_changed();
        let now = clock.now();
        Self {
            window,
            choice: Choice::new(settings.mode, links.len()),
            links: links.into_iter().map(|link| LinkState::new(link, &sent, now)).collect(),
            settings,
            executor: Executor::new(store.clone(), desks),
            store,
            answers,
            heads,
            counters,
            clock,
            turn: 0,
            unsent_marks: [None; 3],
            is_overtaken: false,
            pause: None,
            refusals: BTreeMap::new(),
            provisional: VecDeque::new(),
        }
    }

    /// Registers what was committed since the last call.
    pub(super) fn note_heads(&mut self) {
        if !self.heads.has_changed().unwrap_or(false) {
            return;
        }
        let heads = *self.heads.borrow_and_update();
        self.window.committed(heads, self.clock.now().mono);
        for (lane, head) in self.window.not_carried() {
            self.unsent_marks[lane.index()] = Some(head);
        }
        self.note_progress();
    }

    fn note_progress(&self) {
        let upto = Lane::ALL.map(|lane| self.window.carries(lane).then(|| self.window.mark(lane)));
        self.counters.note_progress(self.window.delivered_total(), self.window.backlog(), upto);
    }

    pub(super) fn is_connected(&self) -> bool {
        (0..self.links.len()).any(|link| self.choice.is_connected(link))
    }

    /// Handles what happened on a link. Returns whether the status is to be published at once.
    pub(super) async fn on_event(&mut self, link: usize, event: SinkEvent) -> bool {
        self.turn = link + 1;
        self.links[link].stalled = false;
        match event {
            SinkEvent::Connected => {
                self.void(link);
                let name = &self.links[link].counters.id;
                tracing::info!(route = %self.settings.route, link = %name, backlog = self.window.backlog(), "connected upstream");
                self.choice.connected(link, self.clock.now().mono);
                self.links[link].connected();
                self.offer_awaited(link);
                true
            }
            SinkEvent::Disconnected { mut reason } => {
                if self.links[link].rival.is_certain() {
                    reason = format!("{reason}; {}", self.rival_words());
                }
                let name = &self.links[link].counters.id;
                if self.choice.is_connected(link) {
                    tracing::warn!(route = %self.settings.route, link = %name, %reason, "connection upstream lost; verdicts are kept");
                } else {
                    tracing::info!(route = %self.settings.route, link = %name, %reason, "upstream cannot be reached yet; verdicts are kept");
                }
                let stood = self.void(link);
                self.links[link].lost(reason);
                // The last will reports the gateway as offline, to a broker that other links may lead to as well.
                stood && self.is_connected()
            }
            SinkEvent::Delivered(token) => {
                if let Some((lane, mark)) = self.window.delivered(token, self.clock.now().mono) {
                    self.note_mark(lane, Some(mark));
                }
                if !self.refusals.is_empty() {
                    self.refusals.retain(|&(lane, seq), _| seq > self.window.mark(lane));
                }
                if self.links[link].awaited {
                    self.offer_awaited(link);
                }
                false
            }
            SinkEvent::Refused { token, reason } => {
                self.on_refused(link, token, &reason).await;
                false
            }
            SinkEvent::Control(event) => {
                self.on_control(link, event).await;
                false
            }
            SinkEvent::Changed => self.links[link].note_report(self.clock.now()) && self.is_connected(),
        }
    }

    /// What was offered over a link is void. Returns whether it was connected.
    fn void(&mut self, link: usize) -> bool {
        let stood = self.choice.is_connected(link);
        if stood {
            self.choice.lost(link);
            self.window.lost(link, self.clock.now().mono);
        }
        stood
    }

    /// A link has changed that verdicts too large for the others may wait for.
    fn offer_awaited(&mut self, link: usize) {
        self.links[link].awaited = false;
        self.window.release();
    }

    pub(super) fn note_mark(&mut self, lane: Lane, mark: Option<Seq>) {
        self.note_progress();
        if let Some(mark) = mark {
            self.unsent_marks[lane.index()] = Some(mark);
        }
    }

    pub(super) fn has_unsent_marks(&self) -> bool {
        self.unsent_marks.iter().any(Option::is_some) || self.links.iter().any(|link| link.spent)
    }

    /// Reports to the store what was delivered and what was sent.
    pub(super) async fn send_marks(&mut self) {
        for lane in Lane::ALL {
            if let Some(mark) = self.unsent_marks[lane.index()].take() {
                self.store.mark(&self.settings.route, lane, mark).await;
            }
        }
        for link in &mut self.links {
            if std::mem::take(&mut link.spent) {
                let (day, bytes) = link.budget.sent();
                let sent = SentBytes { link: link.counters.id.clone(), day, bytes };
                self.store.note_sent(sent).await;
            }
        }
    }

    /// The store has failed, or works again.
    pub(super) fn store_changed(&mut self, state: StoreState) {
        if state == StoreState::Failed {
            return;
        }
        // What waits has a number by now, or is about to get one.
        self.provisional.clear();
        self.pause = None;
        // The store may have forgotten what was not durable when it failed.
        for lane in Lane::ALL {
            let mark =
                if self.window.carries(lane) { self.window.mark(lane) } else { self.window.head(lane) };
            self.note_mark(lane, Some(mark));
        }
        for link in &mut self.links {
            link.spent = true;
        }
    }

    /// Records what the links report of themselves, for the status.
    pub(super) fn note_reports(&mut self) {
        let now = self.clock.now();
        for link in &mut self.links {
            link.note_report(now);
        }
    }

    /// Closes all links at once.
    pub(super) async fn close(mut self, last_status: Bytes) {
        let closing = self.links.iter_mut().map(|link| {
            link.sink.set_last_status(last_status.clone());
            link.sink.close(CLOSE_GRACE)
        });
        let mut closing: Vec<_> = closing.map(Box::pin).collect();
        poll_fn(|context| {
            closing.retain_mut(|close| close.as_mut().poll(context).is_pending());
            if closing.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(closing);
        for link in 0..self.links.len() {
            while let Some(event) = self.links[link].sink.event().await {
                // Nothing is left to carry out a command that comes now.
                if !matches!(event, SinkEvent::Control(ControlEvent::Command(_))) {
                    self.on_event(link, event).await;
                }
            }
        }
        self.send_marks().await;
        if self.window.in_flight() > 0 {
            tracing::info!(
                route = %self.settings.route, messages = self.window.in_flight(),
                "stopped before upstream acknowledged; they are offered again at the next start"
            );
        }
    }
}

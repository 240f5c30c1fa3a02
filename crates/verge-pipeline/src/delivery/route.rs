//! One route at work: its links, its window, and what happens to them.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use verge_domain::id::{Lane, Seq};
use verge_domain::stage::{Channel, Encoder, SentBytes, Sink, SinkEvent, StoredRow, Token};
use verge_domain::time::Monotonic;

use super::RouteSettings;
use super::choice::Choice;
use super::link::{Line, Link, RouteCounters};
use super::window::Window;
use crate::clock::Clock;
use crate::committer::{StoreHandle, StoreState};
use crate::intake::OrderDesk;
use crate::status::claim;

/// Time for outstanding acknowledgements when the gateway stops.
const CLOSE_GRACE: Duration = Duration::from_secs(3);
/// Tokens of what is offered once and not kept: never those of verdicts, which count from one.
const STATUS_TOKEN: Token = Token(u64::MAX);
pub(super) const REPLY_TOKEN: Token = Token(u64::MAX - 1);
pub(super) const VOLATILE_TOKEN: Token = Token(u64::MAX - 2);

pub(super) struct Route<K, E> {
    pub(super) settings: RouteSettings,
    pub(super) window: Window,
    pub(super) choice: Choice,
    pub(super) lines: Vec<Line<K, E>>,
    pub(super) store: StoreHandle,
    pub(super) orders: OrderDesk,
    /// Answers to orders, with the link that asked, on their way back here.
    pub(super) answers: mpsc::Sender<(usize, Bytes)>,
    heads: watch::Receiver<[Seq; 3]>,
    pub(super) counters: Arc<RouteCounters>,
    pub(super) clock: Clock,
    /// The link that is asked for events first.
    pub(super) turn: usize,
    unsent_marks: [Option<Seq>; 3],
    /// Another life of the store gives numbers of its epoch: nothing is sent any more.
    pub(super) is_overtaken: bool,
    /// The store is left alone until then.
    pub(super) pause: Option<Monotonic>,
    /// Alarms without a number that could not be offered yet.
    pub(super) volatile: VecDeque<StoredRow>,
    /// The message in hand.
    pub(super) message: Vec<u8>,
}

impl<K: Sink, E: Encoder> Route<K, E> {
    #[expect(clippy::too_many_arguments, reason = "each is one end that the route is connected to")]
    pub(super) async fn open(
        settings: RouteSettings,
        delivered: [Seq; 3],
        store: StoreHandle,
        orders: OrderDesk,
        answers: mpsc::Sender<(usize, Bytes)>,
        links: Vec<Link<K, E>>,
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
        let window = Window::new(settings.batch, &settings.lanes, &capacities, settings.rewind, delivered);
        let mut heads = store.heads();
        heads.mark_changed();
        let now = clock.now();
        Self {
            window,
            choice: Choice::new(settings.mode, links.len()),
            lines: links.into_iter().map(|link| Line::new(link, &sent, now)).collect(),
            settings,
            store,
            orders,
            answers,
            heads,
            counters,
            clock,
            turn: 0,
            unsent_marks: [None; 3],
            is_overtaken: false,
            pause: None,
            volatile: VecDeque::new(),
            message: Vec::new(),
        }
    }

    /// Takes note of what was committed since it last did.
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
        (0..self.lines.len()).any(|link| self.choice.is_connected(link))
    }

    /// Takes note of what happened on a link. Says whether the status is to be published at once.
    pub(super) async fn on_event(&mut self, link: usize, event: SinkEvent) -> bool {
        self.turn = link + 1;
        self.lines[link].stalled = false;
        match event {
            SinkEvent::Found(status) => {
                self.compare(link, &status).await;
                false
            }
            SinkEvent::Connected => {
                self.void(link);
                let name = &self.lines[link].counters.id;
                tracing::info!(route = %self.settings.route, link = %name, backlog = self.window.backlog(), "connected upstream");
                self.choice.connected(link, self.clock.now().mono);
                self.lines[link].connected();
                self.offer_awaited(link);
                true
            }
            SinkEvent::Disconnected { mut reason } => {
                if self.lines[link].rival.is_certain() {
                    reason = format!("{reason}; {}", self.rival_words());
                }
                let name = &self.lines[link].counters.id;
                if self.choice.is_connected(link) {
                    tracing::warn!(route = %self.settings.route, link = %name, %reason, "connection upstream lost; verdicts are kept");
                } else {
                    tracing::info!(route = %self.settings.route, link = %name, %reason, "upstream cannot be reached yet; verdicts are kept");
                }
                let stood = self.void(link);
                self.lines[link].lost(reason);
                // The last will says that the gateway is offline, to a broker that other links may lead to as well.
                stood && self.is_connected()
            }
            SinkEvent::Delivered(token) => {
                self.lines[link].rival.published |= token == STATUS_TOKEN;
                if let Some((lane, mark)) = self.window.delivered(token, self.clock.now().mono) {
                    self.note_mark(lane, Some(mark));
                }
                if self.lines[link].awaited {
                    self.offer_awaited(link);
                }
                false
            }
            SinkEvent::Command(command) => {
                self.command(link, &command).await;
                false
            }
            SinkEvent::Changed => self.lines[link].note_report(self.clock.now()) && self.is_connected(),
        }
    }

    /// Holds what upstream knows of this gateway's store against the store, before anything is offered.
    async fn compare(&mut self, link: usize, status: &[u8]) {
        let Some(sighting) = claim::sighting(status) else { return };
        let last = self.store.heads().borrow().map(|seq| seq.0);
        let life = self.store.life();
        let another = sighting.is_of_another(Some((life, last)));
        if self.lines[link].rival.found(another) {
            tracing::error!(
                link = %self.lines[link].counters.id, epoch = %sighting.claim.epoch, own_epoch = %life.epoch,
                "{}", self.rival_words()
            );
        }
        let claim = sighting.claim;
        if !life.is_overtaken_by(&claim, last) {
            return;
        }
        let name = &self.lines[link].counters.id;
        tracing::error!(
            link = %name, epoch = %self.store.epoch(), upstream_last = ?claim.last, ?last,
            "upstream knows numbers of this store's epoch that it never gave: it is a copy or an older state of a store \
             that went on; nothing is sent before it has a new epoch"
        );
        self.is_overtaken = true;
        // Where that fails, the route is silent all the same: the process ends, and finds it so again.
        if !matches!(self.store.give_up_epoch().await, Some(Ok(()))) {
            tracing::error!("the epoch could not be given up");
        }
    }

    fn rival_words(&self) -> String {
        format!(
            "another gateway with the id {} is connected to the same upstream: its status replaces this one's, and each \
             connection ends the other's; stop one of them, or give it another gateway.id",
            self.settings.gateway
        )
    }

    /// What was offered over a link is void. Says whether its connection stood.
    fn void(&mut self, link: usize) -> bool {
        let stood = self.choice.is_connected(link);
        if stood {
            self.choice.lost(link);
            self.window.lost(link, self.clock.now().mono);
        }
        stood
    }

    /// Something has changed on a link that verdicts too large for the others may wait for.
    fn offer_awaited(&mut self, link: usize) {
        self.lines[link].awaited = false;
        self.window.release();
    }

    pub(super) fn note_mark(&mut self, lane: Lane, mark: Option<Seq>) {
        self.note_progress();
        if let Some(mark) = mark {
            self.unsent_marks[lane.index()] = Some(mark);
        }
    }

    pub(super) fn has_unsent_marks(&self) -> bool {
        self.unsent_marks.iter().any(Option::is_some) || self.lines.iter().any(|line| line.spent)
    }

    /// Hands the store what was delivered and what was sent.
    pub(super) async fn send_marks(&mut self) {
        for lane in Lane::ALL {
            if let Some(mark) = self.unsent_marks[lane.index()].take() {
                self.store.mark(&self.settings.route, lane, mark).await;
            }
        }
        for line in &mut self.lines {
            if std::mem::take(&mut line.spent) {
                let (day, bytes) = line.budget.sent();
                let sent = SentBytes { link: line.counters.id.clone(), day, bytes };
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
        self.volatile.clear();
        self.pause = None;
        // The store may have forgotten what was not durable when it failed.
        for lane in Lane::ALL {
            let mark =
                if self.window.carries(lane) { self.window.mark(lane) } else { self.window.head(lane) };
            self.note_mark(lane, Some(mark));
        }
        for line in &mut self.lines {
            line.spent = true;
        }
    }

    /// Takes down what the links say of themselves, for the status.
    pub(super) fn note_reports(&mut self) {
        let now = self.clock.now();
        for line in &mut self.lines {
            line.note_report(now);
        }
    }

    /// Publishes the status on every link that stands; one that is not urgent leaves a spent budget alone.
    pub(super) fn publish_status(&mut self, document: &Bytes, urgent: bool) {
        for (link, line) in self.lines.iter_mut().enumerate() {
            let wanted = urgent || line.budget.allows(Lane::Telemetry);
            if !self.choice.is_connected(link) || !wanted || !line.sink.takes(Channel::Status) {
                continue;
            }
            // A status that cannot be taken now is superseded by the next one.
            if let Err(error) = line.offer(Channel::Status, document.clone(), STATUS_TOKEN) {
                tracing::debug!(route = %self.settings.route, link = %line.counters.id, %error, "status not published");
            }
        }
    }

    /// Closes all links at once.
    pub(super) async fn close(mut self, last_status: Bytes) {
        let closing = self.lines.iter_mut().map(|line| line.sink.close(last_status.clone(), CLOSE_GRACE));
        let mut closing: Vec<_> = closing.map(Box::pin).collect();
        poll_fn(|context| {
            closing.retain_mut(|close| close.as_mut().poll(context).is_pending());
            if closing.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(closing);
        for link in 0..self.lines.len() {
            while let Some(event) = self.lines[link].sink.event().await {
                // A command that comes now has nobody left to carry it out.
                if !matches!(event, SinkEvent::Command(_)) {
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

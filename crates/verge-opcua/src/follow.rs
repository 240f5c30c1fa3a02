//! Follows the board, and reports what changes to those who subscribed.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use opcua::nodes::{BaseEventType, Event};
use opcua::server::SubscriptionCache;
use opcua::types::{
    AttributeId, ByteString, DataValue, LocalizedText, NodeId, ObjectId, ObjectTypeId, StatusCode, Variant,
};
use tokio::time::MissedTickBehavior;
use verge_domain::board::{Board, LastWord};
use verge_domain::image::{key_of, selector_of};
use verge_domain::time::UtcMillis;
use verge_domain::verdict::EventState;
use verge_sparkplug::time_of;

use crate::VerdictWords;
use crate::names::node_path;
use crate::nodes::Items;
use crate::pki::Pki;
use crate::shown::{Changes, Shown};
use crate::values::{date_time, severity_number};

/// What the task needs.
pub(crate) struct Follower {
    pub(crate) shown: Arc<Shown>,
    pub(crate) board: Arc<dyn Board>,
    pub(crate) subscriptions: Arc<SubscriptionCache>,
    pub(crate) items: Arc<Items>,
    pub(crate) namespace: u16,
    pub(crate) words: VerdictWords,
    pub(crate) pki: Pki,
}

impl Follower {
    /// Keeps what is shown up to date.
    pub(crate) async fn run(self) {
        let Self { shown, board, .. } = &self;
        let whole = || {
            let copy = board.copy(&|_| true);
            shown.begin_anew(&copy.words);
            copy.place
        };
        let mut place = whole();
        shown.second();
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                committed = poll_fn(|context| board.poll_behind(&mut place, context)) => {
                    if committed.missed > 0 {
                        // What came and went meanwhile is in the counters of events.
                        place = whole();
                    } else {
                        self.take(&committed.words);
                        self.report_events(&committed.words);
                    }
                }
                () = shown.changed.notified() => {
                    if let Some(judges) = shown.taken_up() {
                        let copy = board.copy(&|_| true);
                        place = copy.place;
                        shown.select(judges, &copy.words);
                    }
                }
                _ = seconds.tick() => {
                    shown.second();
                    self.report(shown.changes_of_gateway());
                    self.pki.forget_oldest_rejected();
                }
            }
            self.report_values();
        }
    }

    /// Takes up what was committed together: those who follow a variable are sent each of its values.
    fn take(&self, words: &[Arc<LastWord>]) {
        if self.items.lock().is_empty() {
            return self.shown.fold(words);
        }
        for word in words {
            self.shown.fold(std::slice::from_ref(word));
            self.report_values();
        }
    }

    fn report_values(&self) {
        let is_wanted = !self.items.lock().is_empty();
        self.report(self.shown.changes(is_wanted));
    }

    fn report(&self, Changes { changed, gone }: Changes) {
        if changed.is_empty() && gone.is_empty() {
            return;
        }
        let items = self.items.lock();
        if items.is_empty() {
            return;
        }
        let mut notifier = self.subscriptions.data_notifier();
        for change in changed {
            let id = (self.namespace, change.path.as_str());
            let Some(mut batch) = notifier.notify_for(id, AttributeId::Value) else { continue };
            let handles: Vec<_> = batch.entries().map(|(handle, _)| *handle).collect();
            for handle in handles {
                let item = items.get(&handle);
                let mut data = change.data.clone();
                if item.is_some_and(|item| item.without_source) {
                    data.source_timestamp = None;
                }
                if change.is_restated && item.is_some_and(|item| item.is_plain) {
                    // Another value between two that are equal, or the library reports nothing.
                    let none = DataValue { value: Some(Variant::Empty), ..data.clone() };
                    batch.data_value_to_item(none, &handle);
                }
                batch.data_value_to_item(data, &handle);
            }
        }
        for (handle, item) in items.iter().filter(|_| !gone.is_empty()) {
            let is_gone = |point: &String| {
                item.path.strip_prefix(point.as_str()).is_some_and(|rest| rest.starts_with('/'))
            };
            if !gone.iter().any(is_gone) {
                continue;
            }
            let id = (self.namespace, item.path.as_str());
            if let Some(mut batch) = notifier.notify_for(id, AttributeId::Value) {
                let none = DataValue { status: Some(StatusCode::BadNodeIdUnknown), ..DataValue::default() };
                batch.data_value_to_item(none, handle);
            }
        }
    }

    /// Events at the object of the server, when one begins and when it ends.
    fn report_events(&self, words: &[Arc<LastWord>]) {
        let events: Vec<BaseEventType> = words.iter().filter_map(|word| self.event_of(word)).collect();
        if events.is_empty() {
            return;
        }
        let server = NodeId::from(ObjectId::Server);
        self.subscriptions.notify_events(events.iter().map(|event| (event as &dyn Event, &server)));
    }

    fn event_of(&self, word: &LastWord) -> Option<BaseEventType> {
        let (verdict, event) = (&word.verdict, word.verdict.event.as_ref()?);
        if event.state == EventState::Updated {
            return None;
        }
        let source = NodeId::new(self.namespace, node_path(&selector_of(&key_of(word))));
        let subject = &verdict.subject;
        let signal = subject.signal.as_ref().map_or_else(String::new, |signal| format!(" {signal}"));
        let at = UtcMillis(i64::try_from(time_of(verdict)).unwrap_or(i64::MAX));
        // One event raises and clears: each report has an id of its own.
        let id = ByteString::from(format!("{}/{}", event.id, event.state.as_str()).into_bytes());
        let message = LocalizedText::new("en", &(self.words)(verdict));
        let reported = BaseEventType::new(ObjectTypeId::BaseEventType, id, message, date_time(at))
            .set_source_node(source)
            .set_source_name(format!("{}{signal} {}", subject.device, verdict.judge).into())
            .set_receive_time(date_time(verdict.times.decided))
            .set_severity(severity_number(verdict.severity));
        Some(reported)
    }
}

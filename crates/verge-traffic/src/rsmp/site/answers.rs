//! What a supervisor says, and the answers.

use std::sync::Arc;

use verge_domain::board::LastWord;
use verge_domain::link::SiteState;
use verge_domain::time::UtcMillis;

use super::super::alarms::AlarmPlace;
use super::super::codes::{self, Known, StatusMeasure};
use super::super::incoming::{self, AlarmWish, Asked, Incoming, StatusItem, Unread};
use super::super::message::{self, AlarmSays, StatusValue};
use super::super::packet::Packet;
use super::super::series::{Target, joined};
use super::super::settings::AlarmCode;
use super::{About, AlarmOrder, MAX_BEFORE_STATUS, MAX_ORDERS, Ordered, Sent, Site, SiteView};

/// What a supervisor asked about: a component of the site, or none.
enum Asker {
    Main,
    Component(usize),
    Unknown,
}

impl Site {
    /// A packet has come.
    pub(in super::super) fn received(&mut self, packet: Packet, view: &dyn SiteView) {
        let content = match packet {
            Packet::Whole(content) => content,
            Packet::TooLong => {
                self.counted.unreadable += 1;
                tracing::warn!("a packet of the supervisor is too long, and was skipped");
                return;
            }
        };
        match incoming::read(&content) {
            Ok(Incoming::Ack { of }) => self.acknowledged(&of, view),
            Ok(Incoming::NotAck { of, reason }) => self.refused(&of, &reason, view),
            Ok(Incoming::Asked { id, what }) => self.asked(id, what, view),
            Err(Unread::Refused { id, reason }) => self.refuse(&id, &reason),
            Err(Unread::Unreadable(why)) => {
                self.counted.unreadable += 1;
                tracing::debug!(why, bytes = content.len(), "a packet of the supervisor cannot be read");
            }
        }
    }

    fn acknowledged(&mut self, of: &str, view: &dyn SiteView) {
        let Some(Sent { about, .. }) = self.unacknowledged.remove(of) else { return };
        match about {
            About::Version => self.exchange.version_taken = true,
            About::Watchdog => self.exchange.watchdog_taken = true,
            About::Control => {}
            About::Row(token) => self.done_with(token),
            About::Bin(key) => {
                self.subscriptions.settled(key).into_iter().for_each(|token| self.done_with(token));
            }
        }
        self.advance(view);
    }

    fn refused(&mut self, of: &str, reason: &str, view: &dyn SiteView) {
        let Some(Sent { about, .. }) = self.unacknowledged.remove(of) else { return };
        self.counted.refused_by_supervisor += 1;
        let words = format!("the supervisor refuses it: {reason:?}");
        match about {
            About::Version => self.hang_up_for(format!("the supervisor refuses the version: {reason:?}")),
            About::Watchdog => self.exchange.watchdog_taken = true,
            About::Control => tracing::warn!(reason, "the supervisor refuses a message of the beginning"),
            About::Row(token) => {
                if let Some(waits) = self.waits.get_mut(&token) {
                    waits.refused.get_or_insert(words);
                }
                self.done_with(token);
            }
            // It would refuse the same again; what was counted goes by other uplinks as well.
            About::Bin(key) => {
                tracing::warn!(reason, "the supervisor refuses what was counted in an interval");
                self.subscriptions.settled(key).into_iter().for_each(|token| self.done_with(token));
            }
        }
        self.advance(view);
    }

    fn ack(&mut self, id: &str) {
        self.acks.push_back(message::ack(id));
    }

    fn refuse(&mut self, id: &str, reason: &str) {
        self.counted.refused += 1;
        tracing::debug!(reason, "a message of the supervisor is refused");
        self.acks.push_back(message::not_ack(id, reason));
    }

    fn asked(&mut self, id: String, what: Asked, view: &dyn SiteView) {
        let is_early = match self.state {
            SiteState::Down | SiteState::Version => !matches!(what, Asked::Version { .. } | Asked::Watchdog),
            SiteState::Watchdog | SiteState::Up => false,
        };
        if is_early {
            return self.refuse(&id, "the versions have not been exchanged yet");
        }
        match what {
            Asked::Version { versions, sxl, sites } => self.version(&id, &versions, &sxl, &sites),
            Asked::Watchdog => {
                self.exchange.watchdog_came = true;
                self.ack(&id);
            }
            Asked::AggregatedStatus { component } if component == self.settings.main => {
                self.ack(&id);
                let (id, at) = (self.id(), view.now().wall);
                let states = self.states_of(&self.present(view));
                let status = message::aggregated_status(id, &self.settings.main, states, at);
                self.queue.push_back((status, About::Control));
            }
            Asked::AggregatedStatus { component } => {
                self.refuse(
                    &id,
                    &format!("{component:?} has no aggregated status; {:?} has", self.settings.main),
                );
            }
            Asked::Alarm { component, code, wish } => self.alarm(id, &component, &code, wish, view),
            Asked::Status { component, items } => self.status(&id, &component, &items, view),
            Asked::Subscribe { component, items } => self.subscribe(&id, &component, &items, view),
            Asked::Unsubscribe { component, items } => self.unsubscribe(&id, &component, &items),
            Asked::Command { component } => {
                self.refuse(&id, &format!("{component:?} takes no commands: detectors have none"));
            }
        }
        self.advance(view);
    }

    fn version(&mut self, id: &str, versions: &[String], sxl: &str, sites: &[String]) {
        let own = &self.settings;
        let fault = if *sxl != own.sxl {
            Some(format!("SXL version {sxl:?} of the supervisor, expected {:?}", own.sxl))
        } else if !versions.iter().any(|version| own.versions.contains(version)) {
            let (theirs, ours) = (versions.join(", "), own.versions.join(", "));
            Some(format!("RSMP versions {theirs} of the supervisor, expected one of {ours}"))
        } else if !sites.contains(&own.site) {
            Some(format!("site id {} of the supervisor, expected {:?}", sites.join(", "), own.site))
        } else {
            None
        };
        match fault {
            None => {
                self.exchange.version_came = true;
                self.ack(id);
            }
            Some(fault) => {
                self.refuse(id, &fault);
                self.hang_up_for(format!("the versions do not agree: {fault}"));
            }
        }
    }

    fn component(&self, id: &str) -> Asker {
        if id == self.settings.main {
            return Asker::Main;
        }
        let found = self.settings.components.iter().position(|component| component.id == id);
        found.map_or(Asker::Unknown, Asker::Component)
    }

    fn alarm(&mut self, id: String, component: &str, code: &str, wish: AlarmWish, view: &dyn SiteView) {
        if self.settings.secondary {
            return self.refuse(&id, "this is a secondary supervisor: it gets no alarms");
        }
        let of = match self.component(component) {
            Asker::Unknown => return self.refuse(&id, &format!("there is no component {component:?}")),
            Asker::Main => None,
            Asker::Component(index) => Some(index),
        };
        let present = self.present(view);
        let place = AlarmCode::named(code).map(|code| AlarmPlace { component: of, code });
        let Some(alarm) = place.and_then(|place| present.view(place)) else {
            return self.refuse(&id, &format!("{component:?} has no alarm {code:?}"));
        };
        let place = alarm.place;
        let orders = match wish {
            AlarmWish::Request => {
                self.ack(&id);
                return self.say_alarm(AlarmSays::Issue, alarm, alarm.at, About::Control);
            }
            AlarmWish::Acknowledge if alarm.active => {
                let open: Vec<Arc<LastWord>> = view.words(&|word| self.is_alarm_of(place, word));
                open.into_iter().map(AlarmOrder::Acknowledge).collect()
            }
            AlarmWish::Acknowledge => {
                self.ack(&id);
                if let Some(book) = self.book_mut() {
                    book.acknowledge_inactive(place);
                }
                let taken = super::AlarmView { acknowledged: true, ..alarm };
                return self.say_alarm(AlarmSays::Acknowledge, taken, view.now().wall, About::Control);
            }
            AlarmWish::Suspend | AlarmWish::Resume => {
                let Some(component) = of.and_then(|index| self.settings.components.get(index)) else {
                    return self
                        .refuse(&id, &format!("{code} stands for many judges, and cannot be suspended"));
                };
                let shelve = wish == AlarmWish::Suspend;
                let device = &component.device;
                let judges = component.judges_of(place.code);
                let shelved = view.shelved();
                let judges = judges.filter(|judge| shelve || shelved(judge, device));
                let order = |judge: &super::JudgeId| AlarmOrder::Shelve {
                    judge: judge.clone(),
                    device: device.clone(),
                    shelve,
                };
                judges.map(order).collect::<Vec<_>>()
            }
        };
        if orders.is_empty() {
            return self.ack(&id);
        }
        if self.orders.len() >= MAX_ORDERS {
            return self.refuse(&id, "too many commands wait already");
        }
        self.next_order += 1;
        self.orders.push((self.next_order, Ordered { id }));
        self.wanted.push_back((self.next_order, orders));
    }

    /// The judges have carried out an order, or refused it in words.
    pub(in super::super) fn ordered(
        &mut self,
        number: u64,
        outcome: Result<(), String>,
        view: &dyn SiteView,
    ) {
        let Some(index) = self.orders.iter().position(|(known, _)| *known == number) else { return };
        let (_, Ordered { id }) = self.orders.swap_remove(index);
        match outcome {
            Ok(()) => self.ack(&id),
            Err(reason) => self.refuse(&id, &reason),
        }
        if self.state == SiteState::Up {
            self.note_suspended(view);
        }
    }

    /// What each item is; the first that the signal exchange list does not have.
    fn known(items: &[StatusItem]) -> Result<Vec<Known>, String> {
        items.iter().map(|item| codes::find(&item.code, &item.name)).collect()
    }

    fn status(&mut self, id: &str, component: &str, items: &[StatusItem], view: &dyn SiteView) {
        let known = match Self::known(items) {
            Ok(known) => known,
            Err(reason) => return self.refuse(id, &reason),
        };
        if self.queue.len() >= MAX_BEFORE_STATUS {
            return self.refuse(id, "too many requests wait");
        }
        self.ack(id);
        let now = view.now().wall;
        let asker = self.component(component);
        let values = items
            .iter()
            .zip(known)
            .map(|(item, known)| self.value(&asker, item, known, now))
            .collect::<Vec<_>>();
        let status = message::status(self.id(), false, component, &values, now);
        self.queue.push_back((status, About::Control));
    }

    /// The newest value of what was requested.
    fn value(&self, asker: &Asker, item: &StatusItem, known: Known, now: UtcMillis) -> StatusValue {
        let (value, quality) = match (asker, known) {
            (Asker::Unknown, _) => (None, "undefined"),
            (Asker::Main, Known::Here { status, main: true }) => self.newest_of_all(status, &item.name, now),
            (Asker::Component(index), Known::Here { status, main: false }) => {
                self.newest_of(*index, status, &item.name, now)
            }
            _ => (None, "unknown"),
        };
        StatusValue { code: item.code.clone(), name: item.name.clone(), value, quality }
    }

    fn newest_of(
        &self,
        index: usize,
        status: &codes::StatusCode,
        name: &str,
        now: UtcMillis,
    ) -> (Option<String>, &'static str) {
        let Some((from, measures)) = self.subscriptions.newest(index) else { return (None, "unknown") };
        let quality = if self.is_recent(index, from, now) { "recent" } else { "old" };
        if name == status.begin {
            return (Some(crate::time::timestamp(from)), quality);
        }
        match status.measure.value(measures, name) {
            Some(value) => (Some(value.to_string()), quality),
            None => (None, "unknown"),
        }
    }

    /// Of all detectors in the interval that is the newest of any.
    fn newest_of_all(
        &self,
        status: &codes::StatusCode,
        name: &str,
        now: UtcMillis,
    ) -> (Option<String>, &'static str) {
        let counting = || {
            (0..self.settings.components.len())
                .filter(|index| self.settings.components[*index].counts.is_some())
        };
        let newest =
            counting().filter_map(|index| self.subscriptions.newest(index).map(|(from, _)| (from, index)));
        let Some((from, index)) = newest.max() else { return (None, "unknown") };
        let quality = if self.is_recent(index, from, now) { "recent" } else { "old" };
        if name == status.begin {
            return (Some(crate::time::timestamp(from)), quality);
        }
        let measure: StatusMeasure = status.measure;
        let value = |index: usize| {
            let (of, measures) = self.subscriptions.newest(index)?;
            if of == from { measure.value(measures, name) } else { None }
        };
        (Some(joined(counting().map(value))), quality)
    }

    /// Whether no later interval of a detector has to be there.
    fn is_recent(&self, index: usize, from: UtcMillis, now: UtcMillis) -> bool {
        let counts = self.settings.components.get(index).and_then(|component| component.counts.as_ref());
        let length = counts.map_or(0, |counts| counts.interval.length_ms());
        let age = u64::try_from(now.since(from).as_millis()).unwrap_or(u64::MAX);
        age <= 2 * length + u64::try_from(self.settings.settle.as_millis()).unwrap_or(u64::MAX)
    }

    fn subscribe(&mut self, id: &str, component: &str, items: &[StatusItem], view: &dyn SiteView) {
        let known = match Self::known(items) {
            Ok(known) => known,
            Err(reason) => return self.refuse(id, &reason),
        };
        let now = view.now().wall;
        let asker = self.component(component);
        // What detectors have not is said once, so that the supervisor does not wait for it.
        let (mut unknown, mut wanted) = (Vec::new(), Vec::new());
        for (item, known) in items.iter().zip(known) {
            let target: Option<Target> = match (&asker, known) {
                (Asker::Main, Known::Here { main: true, .. }) => Some(None),
                (Asker::Component(index), Known::Here { main: false, .. }) => Some(Some(*index)),
                _ => None,
            };
            let (Some(target), Known::Here { status, .. }) = (target, known) else {
                unknown.push(self.value(&asker, item, known, now));
                continue;
            };
            match self.subscriptions.intervals(&self.settings, target, item.every) {
                Ok(every) => wanted.push((target, (status, item.name.as_str()), every)),
                Err(reason) => return self.refuse(id, &format!("{} of {component:?}: {reason}", item.code)),
            }
        }
        for (target, what, every) in wanted {
            let freed = self.subscriptions.subscribe(&self.settings, target, what, every, now);
            freed.into_iter().for_each(|token| self.done_with(token));
        }
        self.ack(id);
        if !unknown.is_empty() {
            let status = message::status(self.id(), true, component, &unknown, now);
            self.queue.push_back((status, About::Control));
        }
    }

    fn unsubscribe(&mut self, id: &str, component: &str, items: &[StatusItem]) {
        let known = match Self::known(items) {
            Ok(known) => known,
            Err(reason) => return self.refuse(id, &reason),
        };
        self.ack(id);
        let target: Target = match self.component(component) {
            Asker::Unknown => return,
            Asker::Main => None,
            Asker::Component(index) => Some(index),
        };
        for (item, known) in items.iter().zip(known) {
            if let Known::Here { status, .. } = known {
                let freed = self.subscriptions.unsubscribe(target, status, &item.name, None);
                freed.into_iter().for_each(|token| self.done_with(token));
            }
        }
    }
}

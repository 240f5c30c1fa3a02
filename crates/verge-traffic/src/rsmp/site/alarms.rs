//! What a site says of its alarms: all of them at the beginning, then what changes.

use std::collections::HashSet;

use verge_domain::board::LastWord;
use verge_domain::id::Seq;
use verge_domain::link::SiteState;
use verge_domain::stage::SinkEvent;
use verge_domain::time::UtcMillis;

use super::super::alarms::{AlarmBook, AlarmPlace, AlarmView, is_about, places_of};
use super::super::message::{self, AlarmSays};
use super::super::settings::SiteComponent;
use super::{About, Site, SiteView};

impl Site {
    /// Everything may be sent.
    pub(super) fn up(&mut self, view: &dyn SiteView) {
        self.state = SiteState::Up;
        self.up_at = view.now();
        // In this order: what is committed in between is sent twice rather than never.
        self.heads = view.heads();
        self.offered = [Seq::ZERO; 3];
        let present = self.present(view);
        self.suspended = self.suspended_now(view);
        self.reported = present.views().map(|alarm| (alarm.place, alarm)).collect();
        self.ended.clear();
        self.states = self.states_of(&present);
        match &mut self.book {
            Some(book) => book.forget_ended(&present),
            None => self.book = Some(present),
        }
        let (id, at) = (self.id(), self.up_at.wall);
        let status = message::aggregated_status(id, &self.settings.main, self.states, at);
        self.queue.push_back((status, About::Control));
        if !self.settings.secondary {
            let alarms: Vec<AlarmView> = self.reported.values().copied().collect();
            for alarm in alarms {
                self.say_alarm(AlarmSays::Issue, alarm, alarm.at, About::Control);
            }
        }
        self.events.push_back(SinkEvent::Connected);
    }

    /// The alarms as the board has them.
    pub(super) fn present(&self, view: &dyn SiteView) -> AlarmBook {
        let site = &self.settings;
        let mut book = AlarmBook::new(site, self.began);
        let is_ours = |word: &LastWord| is_about(site, &word.verdict.judge, &word.verdict.subject);
        let mut words = view.words(&is_ours);
        words.sort_by_key(|word| word.verdict.times.decided);
        for word in words {
            book.fold(site, &word.verdict);
        }
        book
    }

    pub(super) fn say_alarm(&mut self, says: AlarmSays, alarm: AlarmView, at: UtcMillis, about: About) {
        let shown = AlarmView { suspended: self.suspended.contains(&alarm.place), ..alarm };
        let message = message::alarm(self.id(), &self.settings, says, &shown, at);
        self.queue.push_back((message, about));
    }

    fn suspended_now(&self, view: &dyn SiteView) -> HashSet<AlarmPlace> {
        let shelved = view.shelved();
        let places = self.settings.components.iter().enumerate().flat_map(|(index, component)| {
            [false, true].map(|is_logic| {
                (component, AlarmPlace { component: Some(index), code: component.code(is_logic) })
            })
        });
        let is_shelved = |(component, place): &(&SiteComponent, AlarmPlace)| {
            component.judges_of(place.code).any(|judge| shelved(judge, &component.device))
        };
        places.filter(is_shelved).map(|(_, place)| place).collect()
    }

    /// Says which alarms were suspended or resumed since, by whoever did it.
    pub(super) fn note_suspended(&mut self, view: &dyn SiteView) {
        let now = self.suspended_now(view);
        let changed: Vec<AlarmPlace> = now.symmetric_difference(&self.suspended).copied().collect();
        if changed.is_empty() {
            return;
        }
        self.suspended = now;
        for place in changed {
            let alarm = self.book.as_ref().and_then(|book| book.view(place));
            if let Some(alarm) = alarm.filter(|_| !self.settings.secondary) {
                self.say_alarm(AlarmSays::Suspend, alarm, view.now().wall, About::Control);
            }
        }
        self.note_states(view.now().wall, About::Control);
    }

    /// The bits of the aggregated status: alarms by priority, and "in use".
    pub(super) fn states_of(&self, book: &AlarmBook) -> [bool; 8] {
        let mut states = [false; 8];
        states[5] = true;
        for alarm in book.views().filter(|alarm| alarm.active && !self.suspended.contains(&alarm.place)) {
            states[usize::from(alarm.place.code.priority()) + 1] = true;
        }
        states
    }

    /// Says the aggregated status where it has changed. Returns whether it has.
    pub(super) fn note_states(&mut self, at: UtcMillis, about: About) -> bool {
        let Some(states) = self.book.as_ref().map(|book| self.states_of(book)) else { return false };
        if states == self.states {
            return false;
        }
        self.states = states;
        let status = message::aggregated_status(self.id(), &self.settings.main, states, at);
        self.queue.push_back((status, about));
        true
    }

    pub(super) fn is_alarm_of(&self, place: AlarmPlace, word: &LastWord) -> bool {
        word.open_event().is_some() && places_of(&self.settings, &word.verdict).contains(&place)
    }
}

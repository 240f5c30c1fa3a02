//! From stored rows to messages.

use verge_domain::id::Seq;
use verge_domain::stage::{Token, VerdictRow};
use verge_domain::verdict::Verdict;

use super::super::alarms::{AlarmBook, AlarmNews, AlarmView, time_of};
use super::super::message::{self, AlarmSays, Message};
use super::{About, Site, SiteView};

impl Site {
    /// The next message out of what the route has offered, and of intervals that are complete.
    pub(super) fn next_of_rows(&mut self, view: &dyn SiteView) -> Option<(Message, About)> {
        loop {
            if let Some(queued) = self.queue.pop_front() {
                return Some(queued);
            }
            if let Some((key, values)) = self.ready() {
                let component = key.target().and_then(|index| self.settings.components.get(index));
                let component = component.map_or(&self.settings.main, |component| &component.id).clone();
                let message = message::status(self.id(), true, &component, &values, view.now().wall);
                return Some((message, About::Bin(key)));
            }
            let (row, token) = self.rows.pop_front()?;
            self.take_up(&row, token);
        }
    }

    fn ready(&mut self) -> Option<(super::BinKey, Vec<message::StatusValue>)> {
        if self.state != verge_domain::link::SiteState::Up {
            return None;
        }
        self.subscriptions.take_ready(&self.settings, self.up_at.wall)
    }

    fn take_up(&mut self, row: &VerdictRow, token: Token) {
        if let Some(verdict) = &row.verdict {
            let is_old = row.seq != Seq::ZERO && row.seq <= self.heads[row.lane.index()];
            self.alarms_of(verdict, is_old, token);
            let waits = self.subscriptions.fold(&self.settings, verdict, token);
            self.wait_for(token, waits);
        }
        self.done_with(token);
    }

    /// `is_old`: it was committed when all alarms were said.
    fn alarms_of(&mut self, verdict: &Verdict, is_old: bool, token: Token) {
        let Some(book) = &mut self.book else { return };
        for one in book.fold(&self.settings, verdict) {
            let (says, alarm, at) = match one {
                AlarmNews::Issue(alarm) => (AlarmSays::Issue, alarm, alarm.at),
                AlarmNews::Acknowledged(alarm, at) => (AlarmSays::Acknowledge, alarm, at),
            };
            // A suspended alarm says nothing of itself; its end says how it stands.
            let is_quiet = says == AlarmSays::Issue && self.suspended.contains(&alarm.place);
            let is_known = is_old && (self.was_reported(says, &alarm) || self.is_over(says, &alarm));
            if is_quiet || self.settings.secondary || is_known {
                continue;
            }
            if says == AlarmSays::Issue {
                if alarm.active {
                    self.ended.remove(&alarm.place);
                } else {
                    self.ended.insert(alarm.place, alarm.at);
                }
            }
            self.say_alarm(says, alarm, at, About::Row(token));
            self.wait_for(token, 1);
        }
        if self.note_states(time_of(verdict), About::Row(token)) {
            self.wait_for(token, 1);
        }
    }

    /// Whether the supervisor knows that it ended after it began: lanes come side by side, so that of two events of an alarm
    /// the one that is taken up later may have been the earlier one. Said now, it would stay active for good.
    fn is_over(&self, says: AlarmSays, alarm: &AlarmView) -> bool {
        let ended = self.ended.get(&alarm.place);
        says == AlarmSays::Issue && alarm.active && ended.is_some_and(|ended| *ended > alarm.at)
    }

    /// Whether the supervisor has the same from all alarms.
    fn was_reported(&self, says: AlarmSays, alarm: &AlarmView) -> bool {
        self.reported.get(&alarm.place).is_some_and(|reported| {
            let of = |alarm: &AlarmView| (alarm.active, alarm.at, alarm.event);
            let same = of(reported) == of(alarm);
            match says {
                AlarmSays::Issue => same && (reported.acknowledged || !alarm.acknowledged),
                _ => same && reported.acknowledged,
            }
        })
    }

    fn wait_for(&mut self, token: Token, more: usize) {
        if let Some(waits) = self.waits.get_mut(&token) {
            waits.left += more;
        }
    }

    /// The book of the verdicts that were taken up.
    pub(super) fn book_mut(&mut self) -> Option<&mut AlarmBook> {
        self.book.as_mut()
    }
}

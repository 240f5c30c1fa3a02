//! Data: what is new, and what comes late.

use std::sync::Arc;

use verge_domain::board::LastWord;
use verge_domain::id::{Lane, Seq};
use verge_domain::stage::VerdictRow;
use verge_domain::time::Moment;
use verge_domain::verdict::Verdict;

use super::{EdgeAction, EdgeNode, HistoryOrder};
use crate::devices::{Folded, Showing};
use crate::payload::Metric;

/// Words that go into one message at most.
const MAX_WORDS: usize = 64;

/// What becomes of the next row.
enum RowFate {
    /// It is sent, or there is nothing to send of it.
    Done,
    /// It goes out.
    Send(EdgeAction),
    /// It waits.
    Wait,
}

impl EdgeNode {
    pub(super) fn fold(&mut self, word: &LastWord) -> Option<Folded> {
        self.devices.fold(&word.verdict, Showing::Newest(Some(word.course.total)))
    }

    /// What is new: words about one device, as far as none is about a metric that is in the message already. An alarm goes
    /// alone.
    pub(super) fn next_data(&mut self, now: Moment) -> Option<EdgeAction> {
        while let Some(word) = self.live.pop_front() {
            let mut changed = Vec::new();
            let Some(device) = self.show(&word, &mut changed) else { continue };
            let mut words = vec![word];
            while words.len() < MAX_WORDS && self.joins(&words) {
                let Some(next) = self.live.pop_front() else { break };
                self.show(&next, &mut changed);
                words.push(next);
            }
            changed.sort_unstable();
            changed.dedup();
            if let Some(action) = self.device_data(device, &changed, now) {
                return Some(action);
            }
        }
        self.next_status(now)
    }

    /// Whether the next word may go into one message with these. Of one point each word is a message of its own.
    fn joins(&self, words: &[Arc<LastWord>]) -> bool {
        let (Some(first), Some(next)) = (words.first(), self.live.front()) else { return false };
        let alone = |word: &LastWord| word.verdict.lane == Lane::Alarm;
        next.verdict.subject.device == first.verdict.subject.device
            && !alone(first)
            && !alone(next)
            && words.iter().all(|word| word.point() != next.point())
    }

    /// Takes up a word; its number counts as sent with the message that is made next, or with a birth.
    fn show(&mut self, word: &LastWord, changed: &mut Vec<usize>) -> Option<usize> {
        let (lane, seq) = (word.verdict.lane, word.seq);
        let Some(folded) = self.fold(word) else {
            self.note_sent(lane, seq);
            return None;
        };
        let device = &mut self.devices.list[folded.device];
        if self.settings.silent_is_death {
            match (device.is_silent(), device.is_dead) {
                (true, true) => {
                    self.note_sent(lane, seq);
                    return None;
                }
                (false, true) => (device.is_dead, device.is_due) = (false, true),
                (true, false) if !self.deaths_due.contains(&folded.device) => {
                    self.deaths_due.push_back(folded.device)
                }
                (..) => {}
            }
        }
        let device = &mut self.devices.list[folded.device];
        if let Some(seq) = seq.filter(|_| device.is_due) {
            device.owe(&word.verdict, seq.0);
        } else {
            self.note_sent(lane, seq);
        }
        changed.extend(folded.changed);
        Some(folded.device)
    }

    fn note_sent(&mut self, lane: Lane, seq: Option<Seq>) {
        if let Some(seq) = seq.filter(|seq| *seq > self.born_at[lane.index()]) {
            self.sent[lane.index()].insert(seq.0);
        }
    }

    /// A message with what has changed of a device; `None` where its birth will say it.
    fn device_data(&mut self, index: usize, changed: &[usize], now: Moment) -> Option<EdgeAction> {
        let with_datatype = self.settings.datatype_in_data;
        let device = &mut self.devices.list[index];
        if device.is_due || device.is_dead || changed.is_empty() {
            return None;
        }
        let metrics = device.data(changed, with_datatype);
        self.data_of(index, metrics, now)
    }

    fn data_of(&mut self, index: usize, metrics: Vec<Metric>, now: Moment) -> Option<EdgeAction> {
        let element = &self.devices.list.get(index)?.element;
        let topic = self.settings.address.device_topic("DDATA", element);
        let payload = self.payload(metrics, now);
        Some(EdgeAction::Publish(topic, payload))
    }

    /// Whether a row was sent on this connection, or holds nothing to be sent.
    pub(super) fn is_sent(&self, row: &VerdictRow) -> bool {
        row.verdict.is_none() || row.seq != Seq::ZERO && self.sent[row.lane.index()].contains(row.seq.0)
    }

    /// The next offered row that is not sent.
    pub(super) fn next_row(&mut self, now: Moment, with_history: bool) -> Option<EdgeAction> {
        self.earn(now);
        loop {
            while let Some(token) = self.rows.take_done() {
                self.unconfirmed.push(token);
            }
            match self.fate(now, with_history)? {
                RowFate::Done => self.rows.drop_first(),
                RowFate::Send(action) => {
                    self.rows.drop_first();
                    while let Some(token) = self.rows.take_done() {
                        self.unconfirmed.push(token);
                    }
                    return Some(action);
                }
                RowFate::Wait => return None,
            }
        }
    }

    fn fate(&mut self, now: Moment, with_history: bool) -> Option<RowFate> {
        let row = self.rows.first()?;
        if self.is_sent(row) {
            return Some(RowFate::Done);
        }
        let lane = row.lane.index();
        let (seq, verdict) = (row.seq, row.verdict.clone()?);
        if seq == Seq::ZERO || self.settings.history == HistoryOrder::InOrder && seq > self.born_at[lane] {
            return Some(self.send_newest(&verdict, now));
        }
        if self.settings.history == HistoryOrder::Behind && seq > self.seen[lane] {
            // The board is about to say it.
            return Some(RowFate::Wait);
        }
        if self.devices.list.iter().any(|device| device.owes(row.lane, seq.0)) {
            return Some(RowFate::Wait);
        }
        if !with_history || self.credit < 1.0 {
            return Some(RowFate::Wait);
        }
        Some(self.send_history(&verdict, now))
    }

    /// A row that is newer than all before it.
    fn send_newest(&mut self, verdict: &Verdict, now: Moment) -> RowFate {
        let Some(folded) = self.devices.fold(verdict, Showing::Newest(None)) else { return RowFate::Done };
        if self.devices.list[folded.device].is_dead {
            if self.devices.list[folded.device].is_silent() {
                return RowFate::Done;
            }
            self.devices.list[folded.device].is_dead = false;
            self.devices.list[folded.device].is_due = true;
        }
        if self.devices.list[folded.device].is_due {
            // The birth says it, and comes before anything that is sent later.
            self.devices.list[folded.device].born = None;
            return self.next_birth(now).map_or(RowFate::Done, RowFate::Send);
        }
        let is_silent = self.devices.list[folded.device].is_silent();
        if self.settings.silent_is_death && is_silent && !self.deaths_due.contains(&folded.device) {
            self.deaths_due.push_back(folded.device);
        }
        self.device_data(folded.device, &folded.changed, now).map_or(RowFate::Done, RowFate::Send)
    }

    fn send_history(&mut self, verdict: &Verdict, now: Moment) -> RowFate {
        let Some(folded) = self.devices.fold(verdict, Showing::Late) else { return RowFate::Done };
        // Nothing may be said of a device that is dead, not even late.
        if self.devices.list[folded.device].is_dead {
            return RowFate::Done;
        }
        if self.devices.list[folded.device].is_due {
            // Its birth comes first.
            return RowFate::Wait;
        }
        let with_datatype = self.settings.datatype_in_data;
        let metrics = self.devices.list[folded.device].history(verdict, with_datatype);
        if metrics.is_empty() {
            return RowFate::Done;
        }
        #[expect(clippy::cast_precision_loss, reason = "a few metrics")]
        let cost = metrics.len() as f64;
        self.credit -= cost;
        self.data_of(folded.device, metrics, now).map_or(RowFate::Done, RowFate::Send)
    }

    /// Metrics of history that may be sent, by the time that has passed.
    fn earn(&mut self, now: Moment) {
        let rate = f64::from(self.settings.history_rate);
        let passed = self.credit_at.map_or(0.0, |at| now.mono.since(at).as_secs_f64());
        self.credit_at = Some(now.mono);
        self.credit = (self.credit + passed * rate).min((rate / 4.0).max(1.0));
    }

    /// Once no history is left, its newest values are the present ones of points of which nothing newer is known.
    pub(super) fn next_settled(&mut self, now: Moment) -> Option<EdgeAction> {
        let is_through =
            |lane: usize| self.offered[lane] == Seq::ZERO || self.offered[lane] >= self.born_at[lane];
        if !self.rows.is_empty() || !(0..3).all(is_through) {
            return None;
        }
        let (device, settled) = self.devices.settle()?;
        self.device_data(device, &settled, now)
    }
}

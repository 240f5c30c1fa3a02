//! The receiver's books: what arrived, what came twice, what will not come, what is missing.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use verge_domain::id::{Identity, Seq};
use verge_domain::sequence::{SequenceArrival, SequenceTracker};
use verge_domain::verdict::Verdict;
use verge_domain::withdrawn::Tombstone;
use verge_wire::{Message, SiteZone, counted, tombstone_json, tombstone_words, verdict_json};

use super::heal::{Extent, Gap, LaneKey};
use crate::describe::line;

/// With this many lanes in the books, lanes that are only reported are not added: a hostile gateway may name more.
const MAX_LANES: usize = 4096;

/// What arrived, by gateway, epoch and lane.
#[derive(Default)]
pub(super) struct Books {
    /// In which times are printed.
    zone: SiteZone,
    lanes: BTreeMap<LaneKey, Account>,
    /// Alarms of a gateway whose store had failed: they have no number, and come again with one.
    volatile: u64,
    pub(super) unreadable: u64,
    pub(super) dropped_by_us: u64,
    /// Ranges that were asked for again.
    pub(super) asked_again: u64,
}

#[derive(Default)]
struct Account {
    tracker: SequenceTracker,
    /// Where the lane begins, as far as it can be sent again; `None` where it is not known, or not asked for.
    begins: Option<u64>,
    /// Up to here the gateway has delivered.
    delivered: u64,
}

impl Account {
    /// Missing numbers between those that arrived, and behind them as far as the gateway calls them delivered; before
    /// the first only from where the lane is known to begin.
    fn gaps(&self) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = self.tracker.gaps(false).map(|(from, to)| (from.0, to.0)).collect();
        let first = self.tracker.first().map(|first| first.0);
        if let (Some(begins), Some(first)) = (self.begins, first)
            && begins < first
        {
            gaps.insert(0, (begins, first - 1));
        }
        let behind = self.tracker.newest().map(|newest| newest.0 + 1).or(self.begins);
        if let Some(from) = behind.filter(|from| *from <= self.delivered) {
            gaps.push((from, self.delivered));
        }
        gaps
    }
}

impl Books {
    /// With the times of a site.
    pub(super) fn of(zone: SiteZone) -> Self {
        Self { zone, ..Self::default() }
    }

    /// Enters a message; returns the lines to print. Duplicates are counted, not printed.
    pub(super) fn note(&mut self, message: &Message, json: bool) -> Vec<String> {
        if message.verdicts.is_empty() && message.tombstones.is_empty() {
            // It was sent to test whether messages arrive.
            return Vec::new();
        }
        if message.volatile {
            self.volatile += message.verdicts.len() as u64;
            return message
                .verdicts
                .iter()
                .map(|(_, verdict)| volatile_line(message, verdict, json, &self.zone))
                .collect();
        }
        let tracker = &mut self.lanes.entry(key_of(message)).or_default().tracker;
        let fresh =
            message.verdicts.iter().filter(|(seq, _)| tracker.note(*seq) != SequenceArrival::Duplicate);
        let mut lines: Vec<String> =
            fresh.map(|(seq, verdict)| verdict_line(message, *seq, verdict, json, &self.zone)).collect();
        for tombstone in &message.tombstones {
            if tracker.settle(tombstone.from, tombstone.through) > 0 {
                lines.push(tombstone_line(message, tombstone, json, &self.zone));
            }
        }
        lines
    }

    /// What the gateway reports about a lane. What it stored before this receiver came is missing as well.
    pub(super) fn expect(&mut self, key: &LaneKey, extent: Extent) {
        if !self.lanes.contains_key(key) && self.lanes.len() >= MAX_LANES {
            return;
        }
        let account = self.lanes.entry(key.clone()).or_default();
        account.delivered = account.delivered.max(extent.delivered);
        account.begins.get_or_insert(extent.oldest);
    }

    /// What is missing, by lane; a lane that lacks nothing is listed as well.
    pub(super) fn missing(&self) -> Vec<(LaneKey, Vec<Gap>)> {
        self.lanes.iter().map(|(key, account)| (key.clone(), account.gaps())).collect()
    }

    /// Distinct verdicts that arrived.
    pub(super) fn verdicts(&self) -> u64 {
        self.lanes.values().map(|account| account.tracker.seen()).sum()
    }

    /// Whether something is lost.
    fn verdict(&self) -> String {
        let missing: u64 =
            self.missing().iter().flat_map(|(_, gaps)| gaps).map(|(from, to)| to - from + 1).sum();
        let withdrawn: u64 = self.lanes.values().map(|account| account.tracker.settled()).sum();
        let received = counted(self.verdicts(), "verdict");
        if missing > 0 {
            let how = if self.asked_again > 0 {
                "the gateway did not send them again"
            } else {
                "--heal asks the gateway again"
            };
            return format!("{} missing, {received} received: {how}", counted(missing, "verdict"));
        }
        match (self.verdicts(), withdrawn) {
            (0, 0) => "nothing lost: no verdict was sent".to_owned(),
            (_, 0) => format!("nothing lost: {received}, no number is missing"),
            (_, withdrawn) => {
                format!("nothing lost on the way: {received}; the gateway withdrew {withdrawn}")
            }
        }
    }

    /// For people: whether something is lost, then the lanes.
    pub(super) fn words(&self) -> String {
        let mut text = self.verdict();
        for ((gateway, epoch, lane), account) in &self.lanes {
            let epoch = &epoch.to_string()[..8];
            let (tracker, gaps) = (&account.tracker, account.gaps());
            let missing: u64 = gaps.iter().map(|(from, to)| to - from + 1).sum();
            text += &format!(
                "\n  {gateway} {lane} (epoch {epoch}…): {}, {}, {} withdrawn, {missing} missing",
                counted(tracker.seen(), "verdict"),
                counted(tracker.duplicates(), "duplicate"),
                tracker.settled()
            );
            for (from, to) in gaps.iter().take(10) {
                text += &format!("\n    missing {from} to {to}");
            }
        }
        if self.volatile > 0 {
            let alarms = counted(self.volatile, "alarm");
            text += &format!("\n  {alarms} without a number, of gateways whose store had failed");
        }
        if self.asked_again > 0 {
            text += &format!("\n  {} asked for again", counted(self.asked_again, "range"));
        }
        if self.unreadable > 0 {
            text += &format!("\n  {} unreadable", counted(self.unreadable, "message"));
        }
        if self.dropped_by_us > 0 {
            text += &format!(
                "\n  {} dropped: they came faster than they were read",
                counted(self.dropped_by_us, "message")
            );
        }
        text
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let lanes: Vec<Value> = self
            .lanes
            .iter()
            .map(|((gateway, epoch, lane), account)| {
                let tracker = &account.tracker;
                json!({
                    "gateway": gateway.as_str(), "epoch": epoch.to_string(), "lane": lane.as_str(),
                    "verdicts": tracker.seen(), "duplicates": tracker.duplicates(),
                    "withdrawn": tracker.settled(), "missing": account.gaps(),
                })
            })
            .collect();
        json!({
            "verdicts": self.verdicts(), "lanes": lanes, "unreadable": self.unreadable,
            "dropped": self.dropped_by_us, "volatile": self.volatile, "asked_again": self.asked_again,
        })
    }
}

fn key_of(message: &Message) -> LaneKey {
    (message.gateway.clone(), message.epoch, message.lane)
}

fn verdict_line(message: &Message, seq: Seq, verdict: &Verdict, json: bool, zone: &SiteZone) -> String {
    if json {
        let (gateway, epoch, lane) = key_of(message);
        return verdict_json(&Identity { gateway, epoch, lane, seq }, verdict).to_string();
    }
    line(&message.gateway, message.lane, verdict, zone)
}

fn volatile_line(message: &Message, verdict: &Verdict, json: bool, zone: &SiteZone) -> String {
    let line = verdict_line(message, Seq::ZERO, verdict, json, zone);
    if json {
        json!({ "volatile": true, "line": line }).to_string()
    } else {
        format!("{line} (its store has failed)")
    }
}

fn tombstone_line(message: &Message, tombstone: &Tombstone, json: bool, zone: &SiteZone) -> String {
    if json {
        let (gateway, epoch, lane) = key_of(message);
        return tombstone_json(&gateway, epoch, lane, tombstone).to_string();
    }
    format!(
        "{:<9} {} {} withdrawn {}",
        message.lane.as_str(),
        zone.to_millisecond(tombstone.at),
        message.gateway,
        tombstone_words(tombstone)
    )
}

#[cfg(test)]
mod tests {
    use verge_domain::id::{Epoch, GatewayId, Lane};
    use verge_domain::time::UtcMillis;
    use verge_domain::withdrawn::Withdrawal;

    use super::*;
    use crate::describe::tests::sample;

    #[test]
    fn the_books_show_duplicates_and_gaps() {
        let message = |seqs: &[u64]| Message {
            gateway: GatewayId::new("g").unwrap(),
            epoch: Epoch([7; 16]),
            lane: Lane::Alarm,
            sent: UtcMillis(0),
            age: std::time::Duration::ZERO,
            volatile: false,
            tombstones: Vec::new(),
            verdicts: seqs.iter().map(|seq| (Seq(*seq), sample())).collect(),
        };
        let mut books = Books::default();
        assert_eq!(books.words(), "nothing lost: no verdict was sent");
        assert_eq!(books.note(&message(&[5, 6]), false).len(), 2);
        assert!(books.words().starts_with("nothing lost: 2 verdicts, no number is missing\n"));
        let lines = books.note(&message(&[6, 9]), false);
        assert_eq!(lines.len(), 1, "what came twice is not printed twice");
        assert!(
            lines[0].starts_with("alarm     1970-01-01 00:00:00.000Z g critical j: pump-1 vibration: high"),
            "{}",
            lines[0]
        );
        let words = "2 verdicts missing, 3 verdicts received: --heal asks the gateway again\n";
        assert!(books.words().starts_with(words), "{}", books.words());
        let json = books.json();
        assert_eq!(json["verdicts"], 3);
        assert_eq!(json["lanes"][0]["duplicates"], 1);
        assert_eq!(json["lanes"][0]["missing"], json!([[7, 8]]));
        assert!(
            books.words().contains("3 verdicts, 1 duplicate, 0 withdrawn, 2 missing\n    missing 7 to 8"),
            "{}",
            books.words()
        );
    }

    #[test]
    fn what_the_gateway_withdrew_is_not_missing_and_what_it_delivered_is() {
        let mut books = Books::default();
        let message = |verdicts: &[u64], tombstones: Vec<Tombstone>| Message {
            gateway: GatewayId::new("g").unwrap(),
            epoch: Epoch([7; 16]),
            lane: Lane::Telemetry,
            sent: UtcMillis(0),
            age: std::time::Duration::ZERO,
            volatile: false,
            verdicts: verdicts.iter().map(|seq| (Seq(*seq), sample())).collect(),
            tombstones,
        };
        let gone = Tombstone {
            from: Seq(2),
            through: Seq(4),
            reason: Withdrawal::Full,
            at: UtcMillis(0),
            summary: Vec::new(),
        };
        books.note(&message(&[1, 5], vec![]), false);
        let key = key_of(&message(&[], vec![]));
        assert_eq!(books.missing(), [(key.clone(), vec![(2, 4)])]);
        let lines = books.note(&message(&[], vec![gone.clone()]), false);
        assert_eq!(lines, ["telemetry 1970-01-01 00:00:00.000Z g withdrawn 2 to 4: the store was full"]);
        assert!(books.note(&message(&[], vec![gone]), false).is_empty(), "reported once");
        assert_eq!(books.missing(), [(key.clone(), vec![])]);
        books.expect(&key, Extent { oldest: 1, delivered: 8 });
        assert_eq!(books.missing(), [(key.clone(), vec![(6, 8)])]);
        // The first numbers of a lane, and all of one of which nothing arrived.
        let late = message(&[], vec![]).epoch;
        let alarm = (key.0.clone(), late, Lane::Alarm);
        books.expect(&alarm, Extent { oldest: 3, delivered: 9 });
        assert_eq!(books.missing()[0], (alarm.clone(), vec![(3, 9)]));
        let first = Message { lane: Lane::Alarm, ..message(&[6, 8], vec![]) };
        books.note(&first, false);
        assert_eq!(books.missing()[0], (alarm.clone(), vec![(3, 5), (7, 7), (9, 9)]));
        books.expect(&alarm, Extent { oldest: 10, delivered: 9 });
        assert_eq!(books.missing()[0].1[0], (3, 5), "what was evicted meanwhile stays missing");
        let volatile = Message { volatile: true, ..message(&[0], vec![]) };
        assert!(books.note(&volatile, false)[0].ends_with("(its store has failed)"));
        assert_eq!(books.verdicts(), 4, "a volatile alarm is not in the books");
    }
}

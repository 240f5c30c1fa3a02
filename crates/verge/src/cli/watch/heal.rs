//! Which numbers to ask for again, and when. Pure: no clock, no connection.
//!
//! A gap is left alone for a moment, because over two links a lane arrives out of order; then it is asked for,
//! and again while it stays. What the gateway cannot send again is not asked for twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use verge_domain::id::{Epoch, GatewayId, Lane};

/// A gap is asked for when it is this old.
const PATIENCE: Duration = Duration::from_secs(2);
/// And again after this time.
const AGAIN: Duration = Duration::from_secs(15);
/// Ranges asked for at once, per lane.
const RANGES: usize = 16;
/// The ledger of each gateway is asked for this often: it tells what must have arrived.
const LEDGER_EVERY: Duration = Duration::from_secs(15);

/// A range of missing numbers, both ends included.
pub(super) type Gap = (u64, u64);
/// One lane of one store of one gateway.
pub(super) type LaneKey = (GatewayId, Epoch, Lane);

/// Keeps track of what was asked for.
#[derive(Default)]
pub(super) struct Healer {
    lanes: BTreeMap<LaneKey, LaneState>,
    ledgers: BTreeMap<GatewayId, Option<Instant>>,
    open: BTreeMap<String, (LaneKey, Gap)>,
    asked: u64,
}

#[derive(Default)]
struct LaneState {
    /// Since when something is missing.
    since: Option<Instant>,
    asked: Option<Instant>,
    /// What the gateway has said it cannot send.
    refused: Vec<Gap>,
}

/// A command for a gateway.
pub(super) struct Command {
    pub(super) gateway: GatewayId,
    pub(super) payload: Value,
}

/// What an answer means to the books.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    /// What a route has delivered, by lane.
    Delivered(Vec<(LaneKey, u64)>),
    /// The gateway will not send a range again, in its words.
    Refused(String),
    /// Nothing to do.
    Nothing,
}

impl Healer {
    /// A gateway was heard of.
    pub(super) fn meet(&mut self, gateway: &GatewayId) {
        self.ledgers.entry(gateway.clone()).or_default();
    }

    /// Ranges that were asked for, repetitions included.
    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    /// What to send now, given what is missing.
    pub(super) fn commands(&mut self, missing: &[(LaneKey, Vec<Gap>)], now: Instant) -> Vec<Command> {
        let mut commands = Vec::new();
        for (gateway, asked) in &mut self.ledgers {
            if asked.is_none_or(|asked| now.duration_since(asked) >= LEDGER_EVERY) {
                *asked = Some(now);
                let payload = json!({ "id": "ledger", "command": "ledger" });
                commands.push(Command { gateway: gateway.clone(), payload });
            }
        }
        for (key, gaps) in missing {
            let state = self.lanes.entry(key.clone()).or_default();
            let wanted: Vec<Gap> = gaps.iter().filter(|gap| !state.refused.contains(gap)).copied().collect();
            if wanted.is_empty() {
                state.since = None;
                continue;
            }
            let since = *state.since.get_or_insert(now);
            let recent = state.asked.is_some_and(|asked| now.duration_since(asked) < AGAIN);
            if recent || now.duration_since(since) < PATIENCE {
                continue;
            }
            state.asked = Some(now);
            for gap in wanted.into_iter().take(RANGES) {
                self.asked += 1;
                let id = format!("heal-{}", self.asked);
                let (gateway, epoch, lane) = key;
                let payload = json!({
                    "id": id, "command": "replay", "lane": lane.as_str(), "from": gap.0, "to": gap.1,
                    "epoch": epoch.to_string(),
                });
                // Answers that never come must not pile up.
                if self.open.len() >= 1024 {
                    self.open.pop_first();
                }
                self.open.insert(id, (key.clone(), gap));
                commands.push(Command { gateway: gateway.clone(), payload });
            }
        }
        commands
    }

    /// Takes note of what a gateway answered.
    pub(super) fn answer(&mut self, gateway: &GatewayId, answer: &Value) -> Answer {
        if let Some((key, gap)) = answer["id"].as_str().and_then(|id| self.open.remove(id)) {
            if answer["ok"].as_bool() == Some(false) {
                self.lanes.entry(key).or_default().refused.push(gap);
                let words = answer["error"].as_str().unwrap_or("no reason given");
                return Answer::Refused(format!(
                    "{gateway} cannot send {} to {} again: {words}",
                    gap.0, gap.1
                ));
            }
            return Answer::Nothing;
        }
        let Some(epoch) = answer["epoch"].as_str().and_then(parse_epoch) else { return Answer::Nothing };
        let lanes = Lane::ALL.into_iter().filter_map(|lane| {
            let delivered = answer["lanes"][lane.as_str()]["delivered"].as_u64()?;
            Some(((gateway.clone(), epoch, lane), delivered))
        });
        Answer::Delivered(lanes.collect())
    }
}

/// 32 hexadecimal digits.
fn parse_epoch(text: &str) -> Option<Epoch> {
    let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
    Some(Epoch(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> LaneKey {
        (GatewayId::new("g").unwrap(), Epoch([7; 16]), Lane::Verdict)
    }

    fn ranges(commands: &[Command]) -> Vec<Gap> {
        let number = |command: &Command, name: &str| command.payload[name].as_u64().unwrap();
        commands.iter().map(|command| (number(command, "from"), number(command, "to"))).collect()
    }

    #[test]
    fn a_gap_is_asked_for_once_it_is_old_and_again_while_it_stays() {
        let mut healer = Healer::default();
        let missing = [(key(), vec![(3, 5), (9, 9)])];
        let start = Instant::now();
        assert!(healer.commands(&missing, start).is_empty(), "it may only be late");
        let asked = healer.commands(&missing, start + PATIENCE);
        assert_eq!(ranges(&asked), [(3, 5), (9, 9)]);
        assert_eq!(asked[0].payload["epoch"], "07".repeat(16));
        assert!(healer.commands(&missing, start + PATIENCE * 2).is_empty(), "the answer is on its way");
        let refused = json!({ "id": asked[0].payload["id"], "ok": false, "error": "gone" });
        let words = healer.answer(&key().0, &refused);
        assert_eq!(words, Answer::Refused("g cannot send 3 to 5 again: gone".to_owned()));
        let again = healer.commands(&missing, start + PATIENCE + AGAIN);
        assert_eq!(ranges(&again), [(9, 9)], "what is refused is not asked for again");
        assert!(healer.commands(&[(key(), vec![])], start + PATIENCE + AGAIN * 3).is_empty());
        assert_eq!(healer.asked(), 3);
    }

    #[test]
    fn the_ledger_tells_what_must_have_arrived() {
        let mut healer = Healer::default();
        let (gateway, epoch, _) = key();
        healer.meet(&gateway);
        let start = Instant::now();
        let asked = healer.commands(&[], start);
        assert_eq!(asked[0].payload["command"], "ledger");
        assert!(healer.commands(&[], start).is_empty());
        assert_eq!(healer.commands(&[], start + LEDGER_EVERY).len(), 1);
        let answer = json!({
            "id": "ledger", "ok": true, "epoch": epoch.to_string(),
            "lanes": { "alarm": { "delivered": 4 }, "verdict": { "delivered": 17 } },
        });
        let alarm = (gateway.clone(), epoch, Lane::Alarm);
        let told = Answer::Delivered(vec![(alarm, 4), (key(), 17)]);
        assert_eq!(healer.answer(&gateway, &answer), told);
        assert_eq!(healer.answer(&gateway, &json!({ "epoch": "é".repeat(16) })), Answer::Nothing);
    }
}

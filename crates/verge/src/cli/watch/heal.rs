//! Which numbers to ask for again, and when. Pure: no clock, no connection.
//!
//! A gap is left alone for a moment, because over two links a lane arrives out of order; then it is asked for,
//! and again while it stays. What the gateway cannot send again is not asked for twice.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use verge_domain::id::{Epoch, GatewayId, Lane};

/// A gap is asked for when it is this old.
const PATIENCE: Duration = Duration::from_secs(2);
/// It is asked for again after this time.
const AGAIN: Duration = Duration::from_secs(15);
/// Ranges asked for at once, per lane.
const RANGES: usize = 16;
/// The ledger of each gateway is asked for this often: it says what must have arrived.
const LEDGER_EVERY: Duration = Duration::from_secs(15);

/// A range of missing numbers, both ends included.
pub(super) type Gap = (u64, u64);
/// One lane of one store of one gateway.
pub(super) type LaneKey = (GatewayId, Epoch, Lane);

/// What a gateway says of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// The oldest number that it can send again.
    pub(super) oldest: u64,
    /// Up to where it has delivered.
    pub(super) delivered: u64,
}

/// Refused ranges that are remembered for a lane; past that the oldest are asked for again.
const MAX_REFUSED: usize = 256;
/// Gateways whose ledger is asked for, at most.
const MAX_GATEWAYS: usize = 1024;

/// Keeps track of what was asked for.
#[derive(Default)]
pub(super) struct Healer {
    lanes: BTreeMap<LaneKey, LaneGaps>,
    ledgers: BTreeMap<GatewayId, Option<Instant>>,
    open: BTreeMap<String, (LaneKey, Gap)>,
    asked: u64,
}

#[derive(Default)]
struct LaneGaps {
    /// Since when numbers are missing.
    since: Option<Instant>,
    asked: Option<Instant>,
    /// Numbers that were missing at the last look.
    left: u64,
    /// What the gateway has said it cannot send: disjoint ranges, the oldest refusal first.
    refused: VecDeque<Gap>,
}

impl LaneGaps {
    fn refuse(&mut self, gap: Gap) {
        // Those it covers, too: a range that grew is asked for, and refused, as a whole.
        self.refused.retain(|known| known.0 < gap.0 || known.1 > gap.1);
        if self.refused.len() >= MAX_REFUSED {
            self.refused.pop_front();
        }
        self.refused.push_back(gap);
    }

    /// The parts of a gap that were not refused.
    fn wanted(&self, gap: Gap) -> Vec<Gap> {
        let mut wanted = vec![gap];
        for refused in &self.refused {
            wanted = wanted.into_iter().flat_map(|gap| without(gap, *refused)).collect();
        }
        wanted
    }
}

/// What is left of a range without another.
fn without((from, to): Gap, (start, end): Gap) -> impl Iterator<Item = Gap> {
    let before = (from, to.min(start.saturating_sub(1)));
    let behind = (from.max(end.saturating_add(1)), to);
    let kept = if end < from || start > to { [(from, to), (1, 0)] } else { [before, behind] };
    kept.into_iter().filter(|(from, to)| from <= to)
}

/// A command for a gateway.
pub(super) struct HealCommand {
    pub(super) gateway: GatewayId,
    pub(super) payload: Value,
}

/// What an answer means to the books.
#[derive(Debug, PartialEq)]
pub(super) enum HealAnswer {
    /// Where the lanes begin and end.
    Lanes(Vec<(LaneKey, Extent)>),
    /// The gateway will not send a range again, in its words.
    Refused(String),
    /// Nothing to do.
    Nothing,
}

impl Healer {
    /// A message of a gateway arrived.
    pub(super) fn meet(&mut self, gateway: &GatewayId) {
        if self.ledgers.len() < MAX_GATEWAYS {
            self.ledgers.entry(gateway.clone()).or_default();
        }
    }

    /// Ranges that were asked for, repetitions included.
    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    /// What to send now, given what is missing.
    pub(super) fn commands(&mut self, missing: &[(LaneKey, Vec<Gap>)], now: Instant) -> Vec<HealCommand> {
        let mut commands = Vec::new();
        for (gateway, asked) in &mut self.ledgers {
            if asked.is_none_or(|asked| now.duration_since(asked) >= LEDGER_EVERY) {
                *asked = Some(now);
                let payload = json!({ "id": "ledger", "command": "ledger" });
                commands.push(HealCommand { gateway: gateway.clone(), payload });
            }
        }
        for (key, gaps) in missing {
            let left = gaps.iter().map(|(from, to)| to - from + 1).sum();
            if left == 0 && !self.lanes.contains_key(key) {
                continue;
            }
            let state = self.lanes.entry(key.clone()).or_default();
            let wanted: Vec<Gap> = gaps.iter().flat_map(|gap| state.wanted(*gap)).collect();
            // The replay that was asked for is in flight.
            if left < state.left && state.asked.is_some() {
                state.asked = Some(now);
            }
            state.left = left;
            if wanted.is_empty() {
                state.since = None;
                if left == 0 {
                    self.lanes.remove(key);
                }
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
                commands.push(HealCommand { gateway: gateway.clone(), payload });
            }
        }
        commands
    }

    /// Takes note of what a gateway answered.
    pub(super) fn answer(&mut self, gateway: &GatewayId, answer: &Value) -> HealAnswer {
        if let Some((key, gap)) = answer["id"].as_str().and_then(|id| self.open.remove(id)) {
            if answer["ok"].as_bool() == Some(false) {
                self.lanes.entry(key).or_default().refuse(gap);
                let words = answer["error"].as_str().unwrap_or("no reason given");
                return HealAnswer::Refused(format!(
                    "{gateway} cannot send {} to {} again: {words}",
                    gap.0, gap.1
                ));
            }
            return HealAnswer::Nothing;
        }
        let Some(epoch) = answer["epoch"].as_str().and_then(parse_epoch) else { return HealAnswer::Nothing };
        let lanes = Lane::ALL.into_iter().filter_map(|lane| {
            let number = |what: &str| answer["lanes"][lane.as_str()][what].as_u64();
            let extent = Extent { oldest: number("oldest")?, delivered: number("delivered")? };
            Some(((gateway.clone(), epoch, lane), extent))
        });
        HealAnswer::Lanes(lanes.collect())
    }
}

/// Where the lanes begin and end, by a status: delivered is what is so on every route that carries the lane.
pub(super) fn extents(status: &Value) -> Vec<(LaneKey, Extent)> {
    let gateway = status["gateway"].as_str().and_then(|name| GatewayId::new(name).ok());
    let epoch = status["epoch"].as_str().and_then(parse_epoch);
    let Some((gateway, epoch)) = gateway.zip(epoch) else { return Vec::new() };
    let routes = status["routes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let lanes = Lane::ALL.into_iter().filter_map(|lane| {
        let upto = routes.iter().filter_map(|route| route["delivered_upto"][lane.as_str()].as_u64());
        let extent =
            Extent { oldest: status["store"]["oldest"][lane.index()].as_u64()?, delivered: upto.min()? };
        Some(((gateway.clone(), epoch, lane), extent))
    });
    lanes.collect()
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

    fn ranges(commands: &[HealCommand]) -> Vec<Gap> {
        let number = |command: &HealCommand, name: &str| command.payload[name].as_u64().unwrap();
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
        assert_eq!(words, HealAnswer::Refused("g cannot send 3 to 5 again: gone".to_owned()));
        let again = healer.commands(&missing, start + PATIENCE + AGAIN);
        assert_eq!(ranges(&again), [(9, 9)], "what is refused is not asked for again");
        assert!(healer.commands(&[(key(), vec![])], start + PATIENCE + AGAIN * 3).is_empty());
        assert_eq!(healer.asked(), 3);
    }

    #[test]
    fn what_is_on_its_way_is_not_asked_for_again() {
        let mut healer = Healer::default();
        let start = Instant::now();
        let mut ask = |from: u64, seconds: u64| {
            let missing = [(key(), vec![(from, 100)])];
            healer.commands(&missing, start + Duration::from_secs(seconds)).len()
        };
        assert_eq!((ask(1, 0), ask(1, 2)), (0, 1));
        assert_eq!((ask(20, 14), ask(40, 28), ask(40, 42)), (0, 0, 0), "it comes");
        assert_eq!(ask(40, 44), 1, "it came no further");
    }

    #[test]
    fn refusals_are_bounded_and_hold_for_parts_of_a_range() {
        let mut state = LaneGaps::default();
        state.refuse((3, 5));
        state.refuse((9, 9));
        assert_eq!(state.wanted((1, 12)), [(1, 2), (6, 8), (10, 12)]);
        assert_eq!(state.wanted((4, 5)), []);
        state.refuse((2, 10));
        assert_eq!(state.refused, [(2, 10)]);
        for number in 0..10_000 {
            state.refuse((100 + 2 * number, 100 + 2 * number));
        }
        assert_eq!(state.refused.len(), MAX_REFUSED);
    }

    #[test]
    fn a_status_says_where_lanes_begin_and_end() {
        let status = json!({
            "gateway": "g", "epoch": "07".repeat(16), "store": { "oldest": [2, 1, 1], "last": [9, 9, 9] },
            "routes": [{ "delivered_upto": { "alarm": 8, "verdict": 4 } }, { "delivered_upto": { "alarm": 7 } }],
        });
        let (gateway, epoch, _) = key();
        let expected = [
            ((gateway, epoch, Lane::Alarm), Extent { oldest: 2, delivered: 7 }),
            (key(), Extent { oldest: 1, delivered: 4 }),
        ];
        assert_eq!(extents(&status), expected);
        assert_eq!(extents(&json!({ "v": 1, "state": "offline", "gateway": "g" })), []);
    }

    #[test]
    fn the_ledger_says_what_must_have_arrived() {
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
            "lanes": { "alarm": { "oldest": 2, "delivered": 4 }, "verdict": { "oldest": 1, "delivered": 17 } },
        });
        let alarm = (gateway.clone(), epoch, Lane::Alarm);
        let lanes =
            vec![(alarm, Extent { oldest: 2, delivered: 4 }), (key(), Extent { oldest: 1, delivered: 17 })];
        assert_eq!(healer.answer(&gateway, &answer), HealAnswer::Lanes(lanes));
        assert_eq!(healer.answer(&gateway, &json!({ "epoch": "é".repeat(16) })), HealAnswer::Nothing);
    }
}

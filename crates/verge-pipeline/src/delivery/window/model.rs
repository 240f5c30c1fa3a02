//! The window against a model: whatever is committed, taken, acknowledged, lost and requested again, in whatever
//! order, everything arrives in the end.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const CAPACITIES: [usize; 3] = [4, 6, 9];

#[derive(Debug, Clone)]
enum ModelStep {
    Commit(usize, u64),
    /// Offers as long as anything may be offered, in messages of at most this number of verdicts.
    Offer(usize),
    /// Acknowledges one of the messages in flight.
    Acknowledge(usize),
    /// Refuses one of the messages in flight.
    Refuse(usize),
    Lose(usize),
    Connect(usize),
    Replay(usize, u64, u64),
    Pass(u64),
}

fn step() -> impl Strategy<Value = ModelStep> {
    prop_oneof![
        (0_usize..3, 1_u64..30).prop_map(|(lane, count)| ModelStep::Commit(lane, count)),
        (1_usize..6).prop_map(ModelStep::Offer),
        (0_usize..40).prop_map(ModelStep::Acknowledge),
        (0_usize..40).prop_map(ModelStep::Acknowledge),
        (0_usize..40).prop_map(ModelStep::Refuse),
        (0_usize..3).prop_map(ModelStep::Lose),
        (0_usize..3).prop_map(ModelStep::Connect),
        (0_usize..3, 1_u64..60, 0_u64..20).prop_map(|(lane, from, more)| ModelStep::Replay(lane, from, more)),
        (1_u64..2000).prop_map(ModelStep::Pass),
    ]
}

struct ModelRoute {
    window: RouteWindow,
    heads: [Seq; 3],
    connected: [bool; 3],
    flights: BTreeMap<Token, Flight>,
    /// What arrived, by lane.
    arrived: [BTreeSet<u64>; 3],
    offered: [BTreeSet<u64>; 3],
    millis: u64,
}

impl ModelRoute {
    fn now(&self) -> Monotonic {
        Monotonic(self.millis * 1000)
    }

    fn carriers(&self) -> Carriers {
        let links: Vec<usize> = (0..3).filter(|&link| self.connected[link]).collect();
        Carriers { lanes: std::array::from_fn(|_| links.clone()) }
    }

    /// Offers one message, if one may be offered; returns whether it did.
    fn offer(&mut self, most: u64) -> Result<bool, TestCaseError> {
        let Next::Offer(offer) = self.window.next(self.now(), &self.carriers()) else { return Ok(false) };
        let lane = offer.lane.index();
        prop_assert!(self.connected[offer.link] && offer.max_rows > 0);
        let from = offer.after.next();
        let last = offer.upto.unwrap_or(self.heads[lane]);
        prop_assert!(from <= last && last <= self.heads[lane], "{offer:?} of {:?}", self.heads);
        let rows = if offer.lane == Lane::Alarm { 1 } else { most.min(offer.max_rows as u64) };
        let to = Seq(last.0.min(offer.after.0 + rows));
        for flight in self.flights.values().filter(|flight| flight.lane == offer.lane) {
            let apart = to < flight.from || flight.to < from;
            let repeats = (from.0..=to.0).all(|seq| self.arrived[lane].contains(&seq));
            prop_assert!(apart || repeats || flight.replay, "{from}..{to} is on its way in {flight:?}");
        }
        let token = self.window.token();
        self.window.offered(token, &offer, from, to, self.now());
        let Offer { link, lane: of, replay, .. } = offer;
        let single = of == Lane::Alarm || offer.max_rows == 1;
        self.flights.insert(token, Flight { link, lane: of, from, to, replay, single });
        self.offered[lane].extend(from.0..=to.0);
        let outstanding = self.flights.values().filter(|flight| flight.link == link).count();
        prop_assert!(outstanding <= CAPACITIES[link]);
        let quarter = CAPACITIES[link] / 4;
        prop_assert!(of == Lane::Alarm && !replay || outstanding <= CAPACITIES[link] - quarter);
        Ok(true)
    }

    fn acknowledge(&mut self, token: Token) {
        if let Some(flight) = self.flights.remove(&token) {
            self.arrived[flight.lane.index()].extend(flight.from.0..=flight.to.0);
            let before = self.window.mark(flight.lane);
            let mark = self.window.delivered(token, self.now());
            assert!(mark.is_none_or(|(lane, mark)| lane == flight.lane && mark > before), "marks rise");
        }
    }

    fn lose(&mut self, link: usize) {
        self.connected[link] = false;
        self.flights.retain(|_, flight| flight.link != link);
        self.window.lost(link, self.now());
    }

    fn take(&mut self, step: &ModelStep) -> Result<(), TestCaseError> {
        match *step {
            ModelStep::Commit(lane, count) => {
                self.heads[lane].0 += count;
                self.window.committed(self.heads, self.now());
            }
            ModelStep::Offer(most) => {
                for _ in 0..most {
                    self.offer(most as u64)?;
                }
            }
            ModelStep::Acknowledge(index) => {
                if let Some(&token) = self.flights.keys().nth(index % self.flights.len().max(1)) {
                    self.acknowledge(token);
                }
            }
            ModelStep::Refuse(index) => {
                if let Some(&token) = self.flights.keys().nth(index % self.flights.len().max(1)) {
                    let flight = self.flights.remove(&token);
                    let offer = self.window.refused(token);
                    prop_assert_eq!(offer.is_some(), flight.is_some_and(|flight| flight.single));
                }
            }
            ModelStep::Lose(link) => self.lose(link),
            ModelStep::Connect(link) => self.connected[link] = true,
            ModelStep::Replay(lane, from, more) => {
                let head = self.heads[lane];
                let (from, to) = (Seq(from), Seq((from + more).min(head.0)));
                if from <= to {
                    self.window.replay(Lane::ALL[lane], from, to).ok();
                }
            }
            ModelStep::Pass(millis) => self.millis += millis,
        }
        for lane in Lane::ALL {
            let arrived = &self.arrived[lane.index()];
            let whole = (1..).take_while(|seq| arrived.contains(seq)).last().unwrap_or(0);
            prop_assert_eq!(self.window.mark(lane), Seq(whole), "everything up to it arrived");
        }
        prop_assert_eq!(self.window.in_flight(), self.flights.len());
        Ok(())
    }
}

proptest! {
    #[test]
    fn everything_arrives(steps in prop::collection::vec(step(), 0..120), rewind in 0_u64..3) {
        let policy = BatchPolicy {
            max_verdicts: 4,
            verdict_wait: Duration::from_millis(200),
            telemetry_wait: Duration::from_secs(1),
        };
        let rewind = Duration::from_millis(rewind * 700);
        let mut route = ModelRoute {
            window: RouteWindow::new(policy, &Lane::ALL, &CAPACITIES, rewind, [Seq::ZERO; 3]),
            heads: [Seq::ZERO; 3],
            connected: [false; 3],
            flights: BTreeMap::new(),
            arrived: Default::default(),
            offered: Default::default(),
            millis: 0,
        };
        for step in &steps {
            route.take(step)?;
        }
        // All links stand, time passes, upstream acknowledges everything, the newest first.
        route.connected = [true; 3];
        route.millis += 5000;
        let mut rounds = 0;
        loop {
            while route.offer(4)? {}
            match (route.flights.last_key_value(), route.window.next(route.now(), &route.carriers())) {
                (Some((&token, _)), _) => route.acknowledge(token),
                (None, Next::WaitUntil(at)) => route.millis = at.0 / 1000,
                (None, _) => break,
            }
            rounds += 1;
            prop_assert!(rounds < 100_000, "it comes to rest");
        }
        for lane in Lane::ALL {
            let head = route.heads[lane.index()];
            prop_assert_eq!(route.window.mark(lane), head);
            let all: BTreeSet<u64> = (1..=head.0).collect();
            prop_assert_eq!(&route.offered[lane.index()], &all);
        }
        prop_assert_eq!(route.window.backlog(), 0);
        prop_assert_eq!(route.window.next(route.now(), &route.carriers()), Next::Wait);
    }
}

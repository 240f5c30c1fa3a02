//! Whatever is committed, offered, asked, lost and born again, in whatever order: what counts as delivered has come.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum EdgeStep {
    /// Commits a verdict about one of three devices, in one of two lanes.
    Commit(u8, bool),
    /// Offers up to this number of rows that are not on their way.
    Offer(u8),
    Answer,
    Rebirth,
    /// The connection breaks; what was sent and not answered never arrives.
    Lose,
    Pass(u16),
}

fn step() -> impl Strategy<Value = EdgeStep> {
    prop_oneof![
        4 => (0_u8..3, any::<bool>()).prop_map(|(device, alarm)| EdgeStep::Commit(device, alarm)),
        3 => (1_u8..5).prop_map(EdgeStep::Offer),
        2 => Just(EdgeStep::Answer),
        1 => Just(EdgeStep::Rebirth),
        1 => Just(EdgeStep::Lose),
        3 => (1_u16..3000).prop_map(EdgeStep::Pass),
    ]
}

struct ModelGateway {
    node: EdgeNode,
    host: ModelHost,
    /// By lane; the number of a verdict is its place, and what it observed is unlike that of all others.
    rows: [Vec<Verdict>; 3],
    /// Rows that are on their way or have arrived, by lane.
    offered: [usize; 3],
    delivered: [BTreeSet<u64>; 3],
    tokens: Vec<(Token, usize, u64, u64)>,
    next_token: u64,
    millis: u64,
    bd_seq: u8,
    arrived: BTreeSet<u64>,
}

impl ModelGateway {
    fn new(history: HistoryOrder) -> Self {
        let node = EdgeNode::new(EdgeSettings { history, history_rate: 5000, ..settings() });
        let mut gateway = Self {
            node,
            host: ModelHost::default(),
            rows: Default::default(),
            offered: [0; 3],
            delivered: Default::default(),
            tokens: Vec::new(),
            next_token: 0,
            millis: 0,
            bd_seq: 0,
            arrived: BTreeSet::new(),
        };
        gateway.connect();
        gateway
    }

    fn connect(&mut self) {
        self.host = ModelHost::default();
        self.host.connect(&mut self.node, self.bd_seq);
        self.bd_seq = self.bd_seq.wrapping_add(1);
        let mut last = std::collections::HashMap::new();
        for rows in &self.rows {
            for (seq, verdict) in (1..).zip(rows) {
                let key = (verdict.subject.device.clone(), verdict.judge.clone());
                last.insert(key, word(verdict.clone(), seq));
            }
        }
        let heads = [0, 1, 2].map(|lane: usize| Seq(self.rows[lane].len() as u64));
        let words: Vec<_> = last.into_values().collect();
        self.node.begin(&words, heads, at(self.millis));
        self.drain();
    }

    fn drain(&mut self) {
        self.host.drain(&mut self.node, at(self.millis));
    }

    fn commit(&mut self, device: u8, alarm: bool) {
        let lane = if alarm { Lane::Alarm } else { Lane::Verdict };
        let seq = self.rows[lane.index()].len() as u64 + 1;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let observed = (seq * 2 + u64::from(alarm)) as f64;
        let mut verdict = verdict(&format!("d{device}"), observed, EventState::Updated, lane, self.millis);
        verdict.judge = JudgeId::new(lane.as_str()).unwrap();
        self.rows[lane.index()].push(verdict.clone());
        self.node.words(&[word(verdict, seq)]);
    }

    fn offer(&mut self, most: usize) {
        for lane in [Lane::Alarm, Lane::Verdict] {
            let from = self.offered[lane.index()];
            let to = self.rows[lane.index()].len().min(from + most);
            if from == to {
                continue;
            }
            let rows = (from..to).map(|at| row(&self.rows[lane.index()][at], at as u64 + 1)).collect();
            self.next_token += 1;
            let token = Token(self.next_token);
            if self.node.offer(rows, token) {
                self.tokens.push((token, lane.index(), from as u64 + 1, to as u64));
                self.offered[lane.index()] = to;
            }
        }
    }

    /// The broker answers: what it has read has arrived.
    fn answer(&mut self) {
        let observed = self.host.all_observed();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small whole numbers")]
        self.arrived.extend(observed.into_iter().map(|observed| observed as u64));
        self.host.answer(&mut self.node);
        for token in self.host.delivered.drain(..) {
            let at = self.tokens.iter().position(|(one, ..)| *one == token).expect("each once");
            let (_, lane, from, to) = self.tokens.swap_remove(at);
            self.delivered[lane].extend(from..=to);
        }
    }

    fn lose(&mut self) {
        self.node.lost();
        self.tokens.clear();
        for lane in 0..3 {
            let whole = (1..).take_while(|seq| self.delivered[lane].contains(seq)).count();
            self.offered[lane] = whole;
        }
        self.connect();
    }

    fn take(&mut self, step: &EdgeStep) -> Result<(), TestCaseError> {
        match step {
            EdgeStep::Commit(device, alarm) => self.commit(*device, *alarm),
            EdgeStep::Offer(most) => self.offer(usize::from(*most)),
            EdgeStep::Answer => self.answer(),
            EdgeStep::Rebirth => {
                let now = at(self.millis);
                self.node.message("spBv1.0/plant_a/NCMD/gw", &rebirth_command(1), false, now);
            }
            EdgeStep::Lose => self.lose(),
            EdgeStep::Pass(millis) => self.millis += u64::from(*millis),
        }
        self.drain();
        for (lane, alarm) in [(0, 1), (1, 0)] {
            for seq in &self.delivered[lane] {
                prop_assert!(self.arrived.contains(&(seq * 2 + alarm)), "{seq} of lane {lane} never came");
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn what_counts_as_delivered_has_come(steps in prop::collection::vec(step(), 0..80), behind in any::<bool>()) {
        let order = if behind { HistoryOrder::Behind } else { HistoryOrder::InOrder };
        let mut gateway = ModelGateway::new(order);
        for step in &steps {
            gateway.take(step)?;
        }
        for _ in 0..400 {
            gateway.take(&EdgeStep::Offer(200))?;
            gateway.take(&EdgeStep::Pass(500))?;
            gateway.take(&EdgeStep::Answer)?;
        }
        for lane in 0..2 {
            prop_assert_eq!(gateway.delivered[lane].len(), gateway.rows[lane].len(), "all of it in the end");
        }
    }
}

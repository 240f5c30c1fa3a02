//! What a site of RSMP sees of the gateway, and how its supervisor's commands are carried out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use verge_domain::board::{Board, LastWord};
use verge_domain::id::{LinkId, OperatorText, Seq};
use verge_domain::time::Moment;
use verge_pipeline::clock::Clock;
use verge_pipeline::commands::CommandRate;
use verge_pipeline::counters::Counters;
use verge_pipeline::delivery::RouteCounters;
use verge_pipeline::intake::OrderDesk;
use verge_pipeline::judging::{KnownEvent, LONGEST_SHELVING, Operator, Order, Selector};
use verge_traffic::rsmp::{AlarmOrder, IsShelved, SiteView};

pub(super) struct SiteSight {
    /// Who acts by it.
    door: OperatorText,
    clock: Clock,
    board: Arc<dyn Board>,
    heads: watch::Receiver<[Seq; 3]>,
    counters: Arc<Counters>,
    route: Arc<RouteCounters>,
    orders: OrderDesk,
    rate: Mutex<CommandRate>,
}

type Done = Box<dyn FnOnce(Result<(), String>) + Send>;

impl SiteSight {
    pub(super) fn new(
        uplink: &LinkId,
        clock: Clock,
        (board, heads): (Arc<dyn Board>, watch::Receiver<[Seq; 3]>),
        (counters, route): (Arc<Counters>, Arc<RouteCounters>),
        orders: OrderDesk,
    ) -> Self {
        let name = uplink.as_str();
        let door = OperatorText::new(&format!("uplink {name}")).or_else(|_| OperatorText::new(name));
        let door = door.expect("the id of a link is a name");
        Self { door, clock, board, heads, counters, route, orders, rate: Mutex::default() }
    }

    fn order(&self, order: AlarmOrder) -> Order {
        let operator = Operator { by: self.door.clone(), note: None };
        match order {
            AlarmOrder::Acknowledge(word) => {
                let verdict = &word.verdict;
                let subject = &verdict.subject;
                let selector = Selector {
                    device: subject.device.clone(),
                    signal: subject.signal.clone(),
                    judge: Some(verdict.judge.clone()),
                    source: Some(subject.source.clone()),
                };
                Order::Acknowledge { selector, event: KnownEvent::of(verdict), operator }
            }
            AlarmOrder::Shelve { judge, device, shelve } => {
                let selector = Selector { device, signal: None, judge: Some(judge), source: None };
                // The protocol knows no end: the longest there is.
                let length = if shelve { LONGEST_SHELVING } else { Duration::ZERO };
                Order::Shelve { selector, length, operator }
            }
        }
    }
}

impl SiteView for SiteSight {
    fn now(&self) -> Moment {
        self.clock.now()
    }

    fn heads(&self) -> [Seq; 3] {
        *self.heads.borrow()
    }

    fn delivered(&self) -> [Option<Seq>; 3] {
        let mut delivered = [None; 3];
        self.route.delivered_upto().for_each(|(lane, upto)| delivered[lane.index()] = Some(upto));
        delivered
    }

    fn words(&self, selected: &dyn Fn(&LastWord) -> bool) -> Vec<Arc<LastWord>> {
        self.board.words(selected)
    }

    fn shelved(&self) -> IsShelved {
        let mut windows = self.counters.maintenance();
        windows.retain(|window| window.by.is_some() && window.signal.is_none());
        Box::new(move |judge, device| {
            windows
                .iter()
                .any(|window| window.device == *device && window.judge.as_ref().is_none_or(|of| of == judge))
        })
    }

    fn carry_out(&self, orders: Vec<AlarmOrder>, done: Done) {
        let now = self.now().mono;
        if !self.rate.lock().unwrap_or_else(PoisonError::into_inner).admit(now) {
            return done(Err("too many commands in a short time".to_owned()));
        }
        // One after the other, whoever answers: the first refusal is the answer.
        let all = orders.len();
        let answer = Arc::new(Mutex::new((Ok(()), all, Some(done))));
        for order in orders {
            let answer = Arc::clone(&answer);
            let settle = move |outcome: Result<(), String>| {
                let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
                answer.0 = std::mem::replace(&mut answer.0, Ok(())).and(outcome);
                answer.1 = answer.1.saturating_sub(1);
                if answer.1 == 0
                    && let Some(done) = answer.2.take()
                {
                    done(std::mem::replace(&mut answer.0, Ok(())));
                }
            };
            let refused = settle.clone();
            let submitted = self.orders.submit(self.order(order), move |outcome| {
                settle(outcome.map(|_| ()).map_err(|error| error.to_string()));
            });
            if submitted.is_err() {
                refused(Err("the gateway is busy, or stops".to_owned()));
            }
        }
    }
}

//! Verdicts of messages that the broker may send again: the next run recognises those messages by their causes.
//!
//! Acknowledgements of a session go out in order, so for each session and lane a number shows how far they have
//! arrived. It is stored whenever something else is written. After it come the messages of the last
//! seconds, or as many as the broker keeps in flight.

use std::collections::VecDeque;

use verge_domain::id::{Lane, Seq};
use verge_domain::reading::{Acknowledged, Receipt, Session};
use verge_domain::stage::Cause;

/// One such verdict.
#[derive(Debug)]
struct Held {
    seq: Seq,
    /// The receipt of its message; `None` where an earlier run received it.
    receipt: Option<Receipt>,
}

/// All of them, by session and lane. There are as many as messages can be in flight, 65,535 in a session, and for each of
/// those as many as it caused.
#[derive(Debug, Default)]
pub(super) struct Unacknowledged {
    held: [[VecDeque<Held>; Lane::ALL.len()]; Session::ALL.len()],
    noted: [Option<[Seq; Lane::ALL.len()]>; Session::ALL.len()],
}

impl Unacknowledged {
    /// Those of earlier runs, oldest first in each lane.
    pub(super) fn of_earlier_runs(causes: &[Cause]) -> Self {
        let mut all = Self::default();
        for &Cause { lane, seq, cause } in causes {
            all.add(cause, lane, Held { seq, receipt: None });
        }
        all
    }

    /// A verdict was committed.
    pub(super) fn committed(&mut self, cause: u64, receipt: Option<Receipt>, lane: Lane, seq: Seq) {
        if receipt.is_some() {
            self.add(cause, lane, Held { seq, receipt });
        }
    }

    fn add(&mut self, cause: u64, lane: Lane, held: Held) {
        if let Some(session) = Session::of_cause(cause) {
            self.held[session.index()][lane.index()].push_back(held);
        }
    }

    /// Forgets what is acknowledged, and notes for each session with progress the numbers, by lane, up to which its
    /// messages are acknowledged. `last`: the newest numbers.
    pub(super) fn advance(
        &mut self,
        acknowledged: &[Acknowledged],
        last: [Seq; Lane::ALL.len()],
        mut note: impl FnMut(Session, [Seq; Lane::ALL.len()]),
    ) {
        for session in Session::ALL {
            let lanes = &mut self.held[session.index()];
            // A session that is not used any more holds nothing.
            let is_used = acknowledged.iter().any(|it| it.session == session);
            let is_over = |held: &Held| match held.receipt {
                None => acknowledged.iter().any(|it| it.session == session && it.earlier_runs),
                // By its connection: one that has taken over a filter of another may carry its messages.
                Some(receipt) => acknowledged
                    .iter()
                    .any(|it| it.connection == receipt.connection && receipt.index < it.below),
            };
            for held in lanes.iter_mut() {
                while held.front().is_some_and(|first| !is_used || is_over(first)) {
                    held.pop_front();
                }
            }
            let upto = Lane::ALL.map(|lane| {
                let first = lanes[lane.index()].front();
                first.map_or(last[lane.index()], |first| Seq(first.seq.0 - 1))
            });
            if self.noted[session.index()].replace(upto) != Some(upto) {
                note(session, upto);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: [Seq; 3] = [Seq(100), Seq(200), Seq(300)];

    fn cause(session: Session, lane: Lane, seq: u64) -> Cause {
        Cause { lane, seq: Seq(seq), cause: session.cause(7) }
    }

    fn acknowledged(session: Session, below: u64, earlier_runs: bool) -> Acknowledged {
        Acknowledged { session, connection: session.index() as u64, below, earlier_runs }
    }

    fn commit(all: &mut Unacknowledged, session: Session, index: u64, lane: Lane, seq: u64) {
        let receipt = Receipt { connection: session.index() as u64, index };
        all.committed(session.cause(7), Some(receipt), lane, Seq(seq));
    }

    /// The recorded progress of each session, in turn.
    #[track_caller]
    fn check(all: &mut Unacknowledged, now: &[Acknowledged], expected: &[(Session, [u64; 3])]) {
        let mut noted = Vec::new();
        all.advance(now, LAST, |session, upto| noted.push((session, upto.map(|seq| seq.0))));
        assert_eq!(noted, expected);
    }

    #[test]
    fn each_session_holds_its_own_from_the_oldest_that_may_come_again() {
        use Session::{Blocks, Frames, Readings};
        let mut all = Unacknowledged::of_earlier_runs(&[cause(Frames, Lane::Verdict, 40)]);
        commit(&mut all, Readings, 0, Lane::Alarm, 90);
        commit(&mut all, Readings, 1, Lane::Telemetry, 290);
        commit(&mut all, Readings, 1, Lane::Telemetry, 291);
        commit(&mut all, Readings, 2, Lane::Alarm, 92);
        let none = [acknowledged(Readings, 0, false), acknowledged(Frames, 0, false)];
        check(
            &mut all,
            &none,
            &[(Readings, [89, 200, 289]), (Blocks, [100, 200, 300]), (Frames, [100, 39, 300])],
        );
        check(&mut all, &none, &[]);
        let some = [acknowledged(Readings, 2, true), acknowledged(Frames, 0, false)];
        check(&mut all, &some, &[(Readings, [91, 200, 300])]);
        let others = [acknowledged(Readings, 2, true), acknowledged(Frames, 5, true)];
        check(&mut all, &others, &[(Frames, [100, 200, 300])]);
        let rest = [acknowledged(Readings, 3, true), acknowledged(Frames, 5, true)];
        check(&mut all, &rest, &[(Readings, [100, 200, 300])]);
    }

    #[test]
    fn a_session_without_a_connection_holds_nothing() {
        let mut all = Unacknowledged::of_earlier_runs(&[cause(Session::Frames, Lane::Verdict, 40)]);
        let all_of = Session::ALL.map(|session| (session, [100, 200, 300]));
        check(&mut all, &[acknowledged(Session::Readings, 0, false)], &all_of);
    }

    #[test]
    fn verdicts_of_no_message_are_not_held() {
        let mut all = Unacknowledged::default();
        all.committed(0, None, Lane::Alarm, Seq(90));
        let all_of = Session::ALL.map(|session| (session, [100, 200, 300]));
        check(&mut all, &[acknowledged(Session::Readings, 0, false)], &all_of);
    }
}

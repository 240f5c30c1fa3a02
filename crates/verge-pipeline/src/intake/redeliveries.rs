//! Messages that a broker delivers again after a restart of the gateway.
//!
//! Within a run the source recognises them by itself. Of the run before only the store holds something: the causes of
//! the newest verdicts. A message counts as one of these if the broker marks it as a repetition (DUP), before it
//! sends anything new, and if identifier and content agree.

use std::collections::HashSet;

use verge_domain::reading::{Inbound, Session};
use verge_domain::stage::Cause;

/// Messages of a session that an earlier run judged and may not have acknowledged.
#[derive(Debug)]
pub(crate) struct Redeliveries(HashSet<u64>);

impl Redeliveries {
    /// Of the causes in the store, oldest first, takes those of a session whose messages can still be unacknowledged. A
    /// packet identifier that was used again was acknowledged before, and so was everything that came before it, since
    /// acknowledgements go out in order. Each session has identifiers of its own.
    pub(crate) fn new(session: Session, stored: &[Cause]) -> Self {
        let mut identifiers = HashSet::new();
        let mut known = HashSet::new();
        let own = stored.iter().rev().map(|stored| stored.cause);
        for cause in own.filter(|&cause| Session::of_cause(cause) == Some(session)) {
            if known.insert(cause) && !identifiers.insert(cause >> 32) {
                known.remove(&cause);
                break;
            }
        }
        Self(known)
    }

    /// Whether the earlier run judged a message. This forgets the message; the first message that the broker never sent
    /// before makes it forget all.
    pub(crate) fn recognise(&mut self, message: &Inbound, cause: u64) -> bool {
        if self.0.is_empty() || cause == 0 {
            return false;
        }
        if message.redelivered {
            return self.0.remove(&cause);
        }
        // Retained messages come because of the subscription, whatever messages follow.
        if !message.retained {
            self.0 = HashSet::new();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::id::{Lane, Seq};
    use verge_domain::reading::SourceIndex;
    use verge_domain::time::{Moment, UtcMillis};

    use super::*;

    fn message(packet_id: u16, payload: &'static str, redelivered: bool) -> Inbound {
        Inbound {
            redelivered,
            packet_id,
            ..Inbound::of(SourceIndex(0), "door", payload.as_bytes(), Moment::from_wall(UtcMillis(0)))
        }
    }

    fn cause(session: Session, packet_id: u16, payload: &'static str) -> Cause {
        let cause = session.cause(message(packet_id, payload, false).fingerprint());
        Cause { lane: Lane::Alarm, seq: Seq(1), cause }
    }

    /// What is recognised after a restart, of messages that are delivered again.
    fn check(stored: &[(u16, &'static str)], again: &[(u16, &'static str)], expected: &[bool]) {
        let stored: Vec<Cause> =
            stored.iter().map(|&(id, payload)| cause(Session::Readings, id, payload)).collect();
        let mut redeliveries = Redeliveries::new(Session::Readings, &stored);
        let recognised = again.iter().map(|&(id, payload)| {
            let message = message(id, payload, true);
            redeliveries.recognise(&message, message.fingerprint())
        });
        assert_eq!(recognised.collect::<Vec<_>>(), expected, "{stored:?}: {again:?}");
    }

    #[test]
    fn what_an_earlier_run_judged_is_recognised_once() {
        check(&[(1, "ON"), (2, "OFF")], &[(1, "ON"), (2, "OFF"), (2, "OFF")], &[true, true, false]);
        check(&[(1, "ON")], &[(1, "OFF"), (2, "ON")], &[false, false]);
        // Several verdicts of one message.
        check(&[(1, "ON"), (2, "OFF"), (2, "OFF")], &[(1, "ON"), (2, "OFF")], &[true, true]);
    }

    #[test]
    fn an_identifier_that_was_given_again_was_acknowledged_and_so_was_all_before() {
        check(&[(1, "ON"), (1, "OFF")], &[(1, "ON")], &[false]);
        check(&[(1, "ON"), (1, "OFF")], &[(1, "OFF")], &[true]);
        check(&[(7, "ON"), (1, "ON"), (2, "OFF"), (1, "OFF")], &[(7, "ON")], &[false]);
        check(&[(7, "ON"), (1, "ON"), (2, "OFF"), (1, "OFF")], &[(2, "OFF"), (1, "OFF")], &[true, true]);
    }

    #[test]
    fn sessions_give_identifiers_of_their_own() {
        // A frame under the identifier that a reading has.
        let stored = [
            cause(Session::Readings, 1, "ON"),
            cause(Session::Frames, 2, "picture"),
            cause(Session::Frames, 1, "picture"),
            cause(Session::Readings, 2, "OFF"),
        ];
        for (session, known) in [(Session::Readings, ["ON", "OFF"]), (Session::Frames, ["picture"; 2])] {
            let mut redeliveries = Redeliveries::new(session, &stored);
            for (id, payload) in (1..).zip(known) {
                let message = message(id, payload, true);
                assert!(
                    redeliveries.recognise(&message, session.cause(message.fingerprint())),
                    "{message:?}"
                );
            }
        }
    }

    #[test]
    fn the_first_new_message_ends_it() {
        let stored = [cause(Session::Readings, 1, "ON")];
        let mut redeliveries = Redeliveries::new(Session::Readings, &stored);
        let retained = Inbound { retained: true, ..message(1, "ON", false) };
        assert!(!redeliveries.recognise(&retained, stored[0].cause));
        let of_qos_0 = message(0, "ON", false);
        assert!(!redeliveries.recognise(&of_qos_0, 0));
        let new = message(2, "ON", false);
        assert!(!redeliveries.recognise(&new, new.fingerprint()));
        assert!(!redeliveries.recognise(&message(1, "ON", true), stored[0].cause));
    }
}

use super::*;

const NEW: ReceivedMessage = ReceivedMessage {
    packet_id: 1,
    exactly_once: false,
    dup: false,
    retained: false,
    fingerprint: 11,
    topic: 7,
};

fn message(packet_id: u16, fingerprint: u64) -> ReceivedMessage {
    ReceivedMessage { packet_id, fingerprint, ..NEW }
}

fn again(packet_id: u16, fingerprint: u64) -> ReceivedMessage {
    ReceivedMessage { dup: true, ..message(packet_id, fingerprint) }
}

fn connected() -> Receipts {
    let receipts = Receipts::new(Repetition::Marked);
    receipts.connected(false);
    receipts
}

fn reconnect(receipts: &Receipts, session_present: bool) {
    receipts.lost();
    receipts.connected(session_present);
}

/// A message that is handed on.
fn new(receipts: &Receipts, arrival: &ReceivedMessage) -> Receipt {
    match receipts.open(arrival) {
        OpenedReceipt::New { receipt, .. } => receipt,
        OpenedReceipt::Again => panic!("{arrival:?} is new"),
    }
}

fn is_again(receipts: &Receipts, arrival: &ReceivedMessage) -> bool {
    receipts.open(arrival) == OpenedReceipt::Again
}

fn due(receipts: &Receipts) -> Vec<u16> {
    let mut due = Vec::new();
    receipts.due(&mut due);
    due.into_iter().map(|acknowledgement| acknowledgement.packet_id).collect()
}

#[test]
fn acknowledgements_keep_the_order_of_arrival() {
    let receipts = connected();
    let open: Vec<_> = (1..=5).map(|id| new(&receipts, &message(id, 1))).collect();
    receipts.settle(&[open[2], open[1]]);
    assert!(due(&receipts).is_empty(), "the first is still open");
    receipts.settle(&[open[0]]);
    assert_eq!(due(&receipts), [1, 2, 3]);
    receipts.pass(6, false);
    receipts.settle(&[open[4]]);
    assert!(due(&receipts).is_empty(), "4 is still open");
    receipts.settle(&[open[3]]);
    assert_eq!(due(&receipts), [4, 5, 6]);
    let totals = receipts.totals();
    assert_eq!((totals.received, totals.acknowledged, totals.outstanding), (6, 6, 0));
}

#[test]
fn what_waits_is_not_handed_on_again_and_is_acknowledged_with_its_first_delivery() {
    let receipts = connected();
    let open: Vec<_> = (1..=3).map(|id| new(&receipts, &message(id, 1))).collect();
    // Three connections, and the judges settle whenever they are ready.
    reconnect(&receipts, true);
    assert!(is_again(&receipts, &again(1, 1)) && is_again(&receipts, &again(2, 1)));
    receipts.settle(&open[1..2]);
    assert!(due(&receipts).is_empty());
    reconnect(&receipts, true);
    receipts.settle(&open[2..]);
    for id in 1..=3 {
        assert!(is_again(&receipts, &again(id, 1)), "{id}");
    }
    assert!(due(&receipts).is_empty(), "the first is still judged");
    receipts.settle(&open[..1]);
    assert_eq!(due(&receipts), [1, 2, 3]);
    assert_eq!(receipts.totals().redelivered, 5);
}

#[test]
fn without_a_session_everything_is_new_and_old_receipts_are_void() {
    let receipts = connected();
    let old = new(&receipts, &message(1, 1));
    reconnect(&receipts, false);
    let opened = receipts.open(&again(1, 1));
    assert!(matches!(opened, OpenedReceipt::New { redelivered: false, .. }), "{opened:?}");
    receipts.settle(&[old]);
    assert!(due(&receipts).is_empty());
}

#[test]
fn an_acknowledgement_that_was_lost_is_recognised_and_one_that_arrived_is_forgotten() {
    let receipts = connected();
    let first = new(&receipts, &message(1, 11));
    receipts.settle(&[first]);
    assert_eq!(due(&receipts), [1]);
    reconnect(&receipts, true);
    assert!(is_again(&receipts, &again(1, 11)));
    assert_eq!(due(&receipts), [1]);

    // The broker answers a ping: from now on its identifier may stand for another message of the same content.
    let written = receipts.written();
    let second = new(&receipts, &message(2, 22));
    receipts.settle(&[second]);
    assert_eq!(due(&receipts), [2]);
    receipts.confirm(written);
    assert!(receipts.is_unconfirmed());
    reconnect(&receipts, true);
    let opened = receipts.open(&again(1, 11));
    assert!(matches!(opened, OpenedReceipt::New { redelivered: true, .. }), "{opened:?}");
    assert!(is_again(&receipts, &again(2, 22)));
}

#[test]
fn what_the_broker_will_not_send_again_is_known() {
    let receipts = Receipts::new(Repetition::Marked);
    let check = |below: u64, earlier_runs: bool| {
        let found = receipts.acknowledged(Session::Readings);
        assert_eq!((found.below, found.earlier_runs), (below, earlier_runs));
    };
    check(0, false);
    // An earlier run received these two, and perhaps judged them.
    receipts.connected(true);
    let repeated = [new(&receipts, &again(1, 11)), new(&receipts, &again(2, 12))];
    receipts.settle(&repeated);
    assert_eq!(due(&receipts), [1, 2]);
    receipts.confirm(receipts.written());
    check(2, false);
    // It repeats no more, and has all acknowledgements of what it repeated.
    let first = new(&receipts, &message(3, 13));
    check(2, true);
    let second = new(&receipts, &message(4, 14));
    receipts.settle(&[first]);
    assert_eq!(due(&receipts), [3]);
    check(2, true);
    reconnect(&receipts, true);
    check(2, true);
    assert!(is_again(&receipts, &again(4, 14)), "the broker has received the acknowledgement of 3");
    check(2, true);
    new(&receipts, &message(5, 15));
    check(3, true);
    receipts.settle(&[second]);
    assert_eq!(due(&receipts), [4]);
    receipts.confirm(receipts.written());
    check(5, true);
    // It has forgotten the session: nothing comes again.
    reconnect(&receipts, false);
    check(6, true);
}

#[test]
fn while_an_earlier_run_may_not_be_acknowledged_it_is_not_over() {
    let receipts = Receipts::new(Repetition::Marked);
    receipts.connected(true);
    let repeated = new(&receipts, &again(1, 11));
    let fresh = new(&receipts, &message(2, 12));
    assert!(!receipts.acknowledged(Session::Readings).earlier_runs, "the repeated one is judged");
    receipts.settle(&[repeated, fresh]);
    assert_eq!(due(&receipts), [1, 2]);
    assert!(!receipts.acknowledged(Session::Readings).earlier_runs, "the broker has perhaps not received it");
    receipts.confirm(receipts.written());
    assert!(receipts.acknowledged(Session::Readings).earlier_runs);
}

#[test]
fn an_identifier_that_was_given_again_stands_for_its_last_message() {
    let receipts = connected();
    for fingerprint in [11, 22] {
        let receipt = new(&receipts, &message(1, fingerprint));
        receipts.settle(&[receipt]);
        assert_eq!(due(&receipts), [1]);
    }
    reconnect(&receipts, true);
    assert!(!is_again(&receipts, &again(1, 11)));
    reconnect(&receipts, true);
    assert!(!is_again(&receipts, &again(1, 22)), "it stands for the other since");
}

#[test]
fn what_comes_without_dup_is_new_and_ends_the_repetition() {
    let receipts = connected();
    let open: Vec<_> = (1..=2).map(|id| new(&receipts, &message(id, 1))).collect();
    reconnect(&receipts, true);
    // Retained messages come because of the subscription, before or after.
    new(&receipts, &ReceivedMessage { retained: true, ..message(9, 1) });
    assert!(is_again(&receipts, &again(1, 1)));
    new(&receipts, &message(2, 1));
    assert!(!is_again(&receipts, &again(3, 1)));
    receipts.settle(&open);
    assert!(due(&receipts).is_empty(), "the retained one is open, and 2 stands for another message");
    reconnect(&receipts, true);
    let opened = receipts.open(&again(5, 1));
    assert!(matches!(opened, OpenedReceipt::New { redelivered: true, .. }));
}

#[test]
fn a_repetition_within_a_connection_is_acknowledged_behind_the_first() {
    let receipts = connected();
    let first = new(&receipts, &message(1, 1));
    assert!(is_again(&receipts, &again(1, 1)));
    assert!(due(&receipts).is_empty());
    reconnect(&receipts, true);
    assert!(is_again(&receipts, &again(1, 1)));
    assert!(due(&receipts).is_empty(), "still not judged");
    receipts.settle(&[first]);
    assert_eq!(due(&receipts), [1]);
}

#[test]
fn receipts_of_other_sources_are_passed_over() {
    let (one, other) = (connected(), connected());
    let receipt = new(&one, &NEW);
    new(&other, &NEW);
    other.settle(&[receipt]);
    assert!(due(&other).is_empty());
    one.settle(&[receipt]);
    assert_eq!(due(&one), [1]);
}

/// A broker by the standard: gives the lowest free identifier, keeps what is not acknowledged, repeats it in order.
struct Broker {
    /// Identifier and message.
    in_flight: Vec<(u16, usize)>,
    next: usize,
    content: fn(usize) -> u64,
}

impl Broker {
    /// Begins to send the next message; `None` while as many are in flight as it allows.
    fn send(&mut self, messages: usize) -> Option<ReceivedMessage> {
        if self.next >= messages || self.in_flight.len() >= 5 {
            return None;
        }
        let is_free = |id: &u16| self.in_flight.iter().all(|(taken, _)| taken != id);
        let packet_id = (1..).find(is_free)?;
        let fingerprint = u64::from(packet_id) << 32 | (self.content)(self.next);
        self.in_flight.push((packet_id, self.next));
        self.next += 1;
        Some(message(packet_id, fingerprint))
    }

    fn acknowledge(&mut self, packet_id: u16) {
        self.in_flight.retain(|&(id, _)| id != packet_id);
    }

    fn again(&self) -> Vec<(usize, ReceivedMessage)> {
        let again = self.in_flight.iter().map(|&(packet_id, index)| {
            (index, again(packet_id, u64::from(packet_id) << 32 | (self.content)(index)))
        });
        again.collect()
    }
}

const MESSAGES: usize = 60;

/// How often each message was handed on, with connections that break at any moment. `is_prompt`: the broker says at once
/// what it has received.
fn play(steps: &[u8], content: fn(usize) -> u64, is_prompt: bool) -> [usize; MESSAGES] {
    let receipts = connected();
    let mut broker = Broker { in_flight: Vec::new(), next: 0, content };
    let mut handed = [0; MESSAGES];
    let mut judging: Vec<(usize, Receipt)> = Vec::new();
    let mut judged = [false; MESSAGES];
    // At the end all is judged, acknowledged and sent.
    let last = std::iter::repeat_n([0, 2, 3], 3 * MESSAGES).flatten();
    for step in steps.iter().copied().chain(last) {
        match step % 6 {
            // 1: sent and lost in flight: the connection breaks below.
            0 | 1 => {
                let index = broker.next;
                let Some(arrival) = broker.send(MESSAGES) else { continue };
                if step % 6 == 0 {
                    let receipt = new(&receipts, &arrival);
                    handed[index] += 1;
                    judging.push((index, receipt));
                    continue;
                }
            }
            2 => {
                if let Some((index, receipt)) = judging.pop() {
                    judged[index] = true;
                    receipts.settle(&[receipt]);
                }
                continue;
            }
            3 => {
                for packet_id in due(&receipts) {
                    let sent = broker.in_flight.iter().find(|&&(id, _)| id == packet_id);
                    assert!(
                        sent.is_none_or(|&(_, index)| judged[index]),
                        "acknowledged before it was judged"
                    );
                    broker.acknowledge(packet_id);
                }
                if is_prompt {
                    receipts.confirm(receipts.written());
                }
                continue;
            }
            // Acknowledgements are written and lost in flight.
            4 if !is_prompt => drop(due(&receipts)),
            _ => {}
        }
        reconnect(&receipts, true);
        for (index, arrival) in broker.again() {
            if let OpenedReceipt::New { receipt, .. } = receipts.open(&arrival) {
                handed[index] += 1;
                judging.push((index, receipt));
            }
        }
    }
    assert_eq!(broker.in_flight, [], "all are acknowledged");
    assert_eq!(broker.next, MESSAGES);
    handed
}

proptest::proptest! {
    #[test]
    fn whatever_breaks_each_message_is_handed_on_once(steps in proptest::collection::vec(0..6_u8, 0..400)) {
        assert_eq!(play(&steps, |index| index as u64, false), [1; MESSAGES]);
    }

    #[test]
    fn messages_that_say_the_same_are_handed_on_once_each(steps in proptest::collection::vec(0..6_u8, 0..400)) {
        assert_eq!(play(&steps, |index| index as u64 % 2, true), [1; MESSAGES], "ON and OFF");
        assert_eq!(play(&steps, |_| 1, true), [1; MESSAGES], "ON alone");
    }
}

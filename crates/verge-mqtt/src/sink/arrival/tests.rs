//! Echoes that come, come late, come for some sizes only, or never.

use verge_domain::link::Arrival;

use super::*;

struct TestLink {
    arrivals: TopicArrivals,
    now: Instant,
    requests: Vec<Request>,
}

impl TestLink {
    fn new() -> Self {
        let mut arrivals = TopicArrivals::new(&["a".to_owned(), "v".to_owned(), "v".to_owned()]);
        let now = Instant::now();
        arrivals.begin(true, now);
        Self { arrivals, now, requests: Vec::new() }
    }

    fn publish(&mut self, token: u64, payload: &'static [u8]) -> Option<Ticket> {
        let payload = Bytes::from_static(payload);
        self.arrivals.publish("v", &payload, Some(Token(token)), self.now, &mut self.requests)
    }

    fn echo(&mut self, payload: &'static [u8]) -> Option<u64> {
        let echoed = self.arrivals.echoed("v", &Bytes::from_static(payload), self.now);
        echoed.expect("a topic of ours").map(|token| token.0)
    }

    fn acknowledge(&mut self, ticket: Option<Ticket>) -> Option<u64> {
        let ticket = ticket.expect("it waits for its echo");
        self.arrivals.acknowledged(ticket, self.now).map(|token| token.0)
    }

    fn look(&mut self, seconds: u64) -> Result<(), String> {
        self.now += Duration::from_secs(seconds);
        self.arrivals.look(self.now, &mut self.requests)
    }
}

#[test]
fn the_first_message_and_each_that_is_larger_count_with_their_echo() {
    let mut bench = TestLink::new();
    let first = bench.publish(1, b"1");
    assert_eq!(bench.acknowledge(first), None);
    assert_eq!(bench.echo(b"not ours"), None);
    assert_eq!(bench.echo(b"1"), Some(1));
    assert_eq!(bench.publish(2, b"2"), None, "proven");
    let larger = bench.publish(3, b"333");
    assert_eq!(bench.echo(b"333"), None);
    assert_eq!(bench.acknowledge(larger), Some(3), "in either order");
    assert_eq!(bench.requests, [], "no echo is asked for or ended while one is awaited");
    bench.arrivals.leave_proven(&mut bench.requests);
    bench.arrivals.leave_proven(&mut bench.requests);
    assert_eq!(std::mem::take(&mut bench.requests), [Request::Leave("v".to_owned())], "once");
    assert_eq!(bench.publish(4, b"22"), None);
    assert!(bench.publish(5, b"4444").is_some());
    assert_eq!(bench.requests, [Request::Watch("v".to_owned())]);
    bench.now += PROOF_HOLDS;
    assert!(bench.publish(6, b"6").is_some(), "a proof holds for an hour");
}

#[test]
fn a_message_that_does_not_come_back_is_repeated_once_and_then_the_topic_is_dead() {
    let mut bench = TestLink::new();
    let tickets = [bench.publish(1, b"1"), bench.publish(2, b"2")];
    assert_eq!(bench.look(1000), Ok(()), "not acknowledged yet");
    bench.requests.clear();
    assert_eq!(tickets.map(|ticket| bench.acknowledge(ticket)), [None, None]);
    assert_eq!(bench.look(6), Ok(()));
    assert_eq!(bench.requests, [Request::Repeat("v".to_owned(), Bytes::from_static(b"1"))]);
    let reason = bench.look(6).unwrap_err();
    assert!(reason.contains("acknowledged but not arrived") && reason.contains("\"v\""), "{reason}");
    let void: Vec<u64> = bench.arrivals.void().map(|token| token.0).collect();
    assert_eq!(void, [1, 2]);
    assert!(matches!(bench.arrivals.report(None, bench.now)[1].arrival, Arrival::Dead { .. }));
    assert_eq!(bench.arrivals.dead().collect::<Vec<_>>(), ["v"]);
    bench.arrivals.begin(true, bench.now);
    let again = bench.publish(3, b"1");
    assert_eq!((bench.acknowledge(again), bench.echo(b"1")), (None, Some(3)));
    assert!(matches!(bench.arrivals.report(None, bench.now)[1].arrival, Arrival::Proven { .. }));
}

/// An ACL that is corrected while messages wait: earlier messages are sent again, no acknowledgement is believed.
#[test]
fn what_was_acknowledged_before_the_topic_came_alive_is_repeated() {
    let mut bench = TestLink::new();
    let tickets = [bench.publish(1, b"1"), bench.publish(2, b"2"), bench.publish(3, b"3")];
    assert_eq!(tickets.map(|ticket| bench.acknowledge(ticket)), [None; 3]);
    assert_eq!(bench.echo(b"3"), Some(3));
    assert_eq!(bench.look(6), Ok(()));
    let repeated = [&b"1"[..], b"2"].map(|payload| Request::Repeat("v".to_owned(), payload.into()));
    assert_eq!(bench.requests, repeated);
    assert_eq!([bench.echo(b"1"), bench.echo(b"2")], [Some(1), Some(2)]);
    assert!(bench.arrivals.is_settled());
}

#[test]
fn a_limit_on_size_is_learnt_when_larger_messages_do_not_come_back_twice() {
    let mut bench = TestLink::new();
    for round in 0..2 {
        let small = bench.publish(1, b"1");
        assert_eq!((bench.acknowledge(small), bench.echo(b"1")), (None, Some(1)));
        let large = bench.publish(2, b"a large one");
        bench.acknowledge(large);
        assert_eq!(bench.arrivals.limit("v"), None, "{round}");
        assert_eq!(bench.look(6), Ok(()));
        assert!(bench.look(6).unwrap_err().contains("limit on the size"));
        assert_eq!(bench.arrivals.void().count(), 1);
        bench.arrivals.begin(true, bench.now);
    }
    assert_eq!((bench.arrivals.limit("v"), bench.arrivals.limit("a")), (Some(5), None));
}

#[test]
fn where_no_echo_can_be_had_acknowledgements_count() {
    let mut bench = TestLink::new();
    let tickets = [bench.publish(1, b"1"), bench.publish(2, b"2")];
    assert_eq!(bench.acknowledge(tickets[0]), None);
    let delivered: Vec<u64> = bench.arrivals.give_up().iter().map(|token| token.0).collect();
    assert_eq!(delivered, [1]);
    assert_eq!(bench.acknowledge(tickets[1]), Some(2));
    assert_eq!(bench.publish(3, b"3"), None);
}

/// A broker that closes the connection at a publish it does not allow, acknowledged (mosquitto 2.0.11) or not.
#[test]
fn a_topic_at_which_the_broker_closes_twice_is_dead_and_is_proven_first_until_a_verdict_arrives() {
    let mut bench = TestLink::new();
    for dead in [false, true] {
        let ticket = bench.publish(1, b"1");
        if dead {
            assert_eq!(bench.acknowledge(ticket), None);
        }
        let words = bench.arrivals.closed().unwrap();
        assert!(words.contains("\"v\"") && words.contains("policy"), "{words}");
        assert_eq!(bench.arrivals.void().count(), 1);
        assert_eq!(bench.arrivals.is_closed(), dead);
        bench.arrivals.begin(true, bench.now);
    }
    let probe = |bench: &mut TestLink| {
        let payload = Bytes::from_static(b"0");
        let ticket = bench.arrivals.publish("v", &payload, None, bench.now, &mut bench.requests);
        assert_eq!((bench.acknowledge(ticket), bench.echo(b"0")), (None, None));
        assert!(!bench.arrivals.is_closed(), "it has come alive");
    };
    probe(&mut bench);
    bench.arrivals.void().for_each(drop);
    bench.arrivals.begin(true, bench.now);
    assert!(bench.arrivals.is_closed(), "no verdict has arrived yet");
    probe(&mut bench);
    let ticket = bench.publish(2, b"22");
    assert_eq!((bench.acknowledge(ticket), bench.echo(b"22")), (None, Some(2)));
    bench.arrivals.void().for_each(drop);
    bench.arrivals.begin(true, bench.now);
    assert!(!bench.arrivals.is_closed());
}

#[test]
fn a_broker_that_closes_at_large_messages_is_sent_smaller_ones_but_never_tiny_ones() {
    let large: &'static [u8] = &[0; 10_000];
    let mut bench = TestLink::new();
    for expected in [None, Some(5000), Some(5000)] {
        let small = bench.publish(1, b"1");
        assert_eq!((bench.acknowledge(small), bench.echo(b"1")), (None, Some(1)));
        bench.publish(2, large);
        assert!(bench.arrivals.closed().unwrap().contains("limit on the size"));
        bench.arrivals.void().for_each(drop);
        bench.arrivals.begin(true, bench.now);
        assert_eq!(bench.arrivals.limit("v"), expected);
    }
    let small = bench.publish(1, b"1");
    assert_eq!((bench.acknowledge(small), bench.echo(b"1")), (None, Some(1)));
    bench.publish(2, &large[..4000]);
    assert!(!bench.arrivals.closed().unwrap().contains("limit on the size"));
}

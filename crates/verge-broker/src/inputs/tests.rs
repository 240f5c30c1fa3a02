use std::sync::mpsc;

use verge_domain::time::UtcMillis;

use super::*;

/// Takes this many, each of which is seen.
struct Takes(usize, mpsc::Sender<Inbound>);

impl Intake for Takes {
    fn offer(&mut self, message: Inbound) -> Result<(), IntakeFull> {
        if self.0 == 0 {
            self.0 = 1;
            return Err(IntakeFull(message));
        }
        self.0 -= 1;
        self.1.send(message).unwrap();
        Ok(())
    }
}

fn inputs(durable: bool) -> SourceInputs {
    SourceInputs::new(durable, || Moment::from_wall(UtcMillis(1)))
}

fn message(opened: &Opened, topic: &str, id: Option<u16>) -> Published {
    let (takers, payload) = (opened.takers(topic), Bytes::from_static(b"1"));
    Published { takers, topic: topic.to_owned(), payload, id, is_retained: false }
}

#[tokio::test]
async fn a_durable_message_is_acknowledged_when_every_input_has_settled_it() {
    let (sent, got) = mpsc::channel();
    let inputs = inputs(true);
    let one = |index, filter: &str| vec![(SourceIndex(index), filter.to_owned())];
    let rules = inputs.add(Some(Session::Readings), one(0, "plant/#"), Takes(9, sent.clone()));
    let blocks = inputs.add(Some(Session::Blocks), one(1, "plant/+/block"), Takes(9, sent.clone()));
    let newest = inputs.add(None, one(2, "plant/+/block"), Takes(9, sent));
    inputs.open();
    let (opened, acks) = (inputs.opened().await, Arc::new(Window::new(10)));
    assert!(opened.takers("road/1").is_empty());
    opened.hand_on(message(&opened, "plant/a/block", Some(7)), &acks).await;
    opened.hand_on(message(&opened, "plant/a/x", Some(8)), &acks).await;
    opened.hand_on(message(&opened, "plant/a/x", None), &acks).await;
    let got: Vec<Inbound> = got.try_iter().collect();
    let sources: Vec<u16> = got.iter().map(|inbound| inbound.source.0).collect();
    assert_eq!(sources, [0, 1, 2, 0, 0]);
    assert!(got[2].receipt.is_none() && got[4].receipt.is_none());
    let receipt = |at: usize| got[at].receipt.unwrap();
    // In the order of the device's messages, and once nobody waits for them.
    for source in [&rules, &blocks, &newest] {
        source.settle(&[receipt(3), receipt(1)]);
    }
    assert_eq!(acks.take_due(), b"");
    let mut acknowledged = Vec::new();
    rules.acknowledged(&mut acknowledged);
    assert_eq!((acknowledged[0].below, rules.state().outstanding), (0, 1));
    rules.settle(&[receipt(0)]);
    assert_eq!(acks.take_due(), b"\x40\x02\x00\x07\x40\x02\x00\x08");
    rules.settle(&[receipt(0)]);
    assert_eq!((acks.take_due(), rules.state().outstanding), (Vec::new(), 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_until_it_is_taken_and_the_newest_does_not() {
    let (sent, got) = mpsc::channel();
    let inputs = inputs(false);
    let all = || vec![(SourceIndex(0), "#".to_owned())];
    let waiting = inputs.add(Some(Session::Readings), all(), Takes(0, sent.clone()));
    let newest = inputs.add(None, all(), Takes(0, sent));
    inputs.open();
    let (opened, acks) = (inputs.opened().await, Arc::new(Window::new(10)));
    opened.hand_on(message(&opened, "a", Some(7)), &acks).await;
    assert_eq!(acks.take_due(), b"\x40\x02\x00\x07");
    assert_eq!(got.try_iter().count(), 1);
    assert_eq!((waiting.state().overloads, newest.state().dropped), (1, 1));
    waiting.stop();
    let never = opened.hand_on(message(&opened, "a", Some(8)), &acks);
    assert!(tokio::time::timeout(Duration::from_secs(5), never).await.is_err());
    assert!(got.try_iter().next().is_none() || !waiting.state().overloaded, "it takes no more");
}

/// Never full; held while this says so.
struct Held(Arc<AtomicBool>, mpsc::Sender<Inbound>);

impl Intake for Held {
    fn offer(&mut self, message: Inbound) -> Result<(), IntakeFull> {
        self.1.send(message).unwrap();
        Ok(())
    }

    fn is_held(&mut self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn an_intake_that_is_held_is_offered_nothing_and_others_do_not_wait_for_it() {
    let (sent, got) = mpsc::channel();
    let (is_held, inputs) = (Arc::new(AtomicBool::new(true)), inputs(true));
    let all = |index| vec![(SourceIndex(index), "#".to_owned())];
    let held = || Held(Arc::clone(&is_held), sent.clone());
    let blocks = inputs.add(Some(Session::Blocks), all(0), held());
    let newest = inputs.add(None, all(1), held());
    inputs.add(Some(Session::Readings), all(2), Takes(9, sent.clone()));
    inputs.open();
    let (opened, acks) = (inputs.opened().await, Arc::new(Window::new(10)));
    let taken = || got.try_iter().map(|message| message.source.0).collect::<Vec<u16>>();
    let waits = opened.hand_on(message(&opened, "a", Some(7)), &acks);
    assert!(tokio::time::timeout(Duration::from_secs(1), waits).await.is_err());
    assert_eq!(taken(), [2]);
    assert_eq!((newest.state().received, newest.state().dropped), (1, 1));
    let state = blocks.state();
    assert_eq!((state.overloads, state.overloaded), (1, false), "its connection has ended");
    assert_eq!(state.outstanding, 0, "nobody will settle what was not taken");
    let second = opened.hand_on(message(&opened, "b", None), &acks);
    let third = opened.hand_on(message(&opened, "c", None), &acks);
    let release = async {
        tokio::time::sleep(Duration::from_millis(9)).await;
        assert!(blocks.state().overloaded);
        assert_eq!(taken(), [2, 2]);
        is_held.store(false, Ordering::Relaxed);
    };
    tokio::join!(second, third, release);
    let topics: Vec<String> = got.try_iter().map(|message| message.topic).collect();
    assert_eq!(topics, ["b", "c"], "in their order");
    let state = blocks.state();
    assert_eq!((state.overloads, state.overloaded, newest.state().dropped), (2, false, 3));
}

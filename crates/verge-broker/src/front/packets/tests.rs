use verge_domain::reading::{Inbound, Session, SourceIndex};
use verge_domain::stage::IntakeFull;
use verge_domain::time::{Moment, UtcMillis};

use super::super::five;
use super::super::holds::MOST_HELD;
use super::*;
use crate::policy::{Access, ClientLimits};

fn policy() -> Policy {
    let limits = ClientLimits {
        frame_bytes: 20_000,
        packet_bytes: 2_000,
        topics: 3,
        filters: 3,
        ..ClientLimits::DEFAULT
    };
    Policy {
        access: Access::Own(Vec::new()),
        retained: false,
        limits,
        frames: vec!["cam/+/frame".to_owned()],
    }
}

fn guard_of(policy: Policy) -> Guard {
    let devices = Arc::new(Devices::new(policy.limits));
    let device = devices.device("a").unwrap();
    let client = policy.client("a", "a", true);
    Guard::new(Arc::new(policy), client, device, devices, None)
}

fn guard() -> Guard {
    guard_of(policy())
}

fn guard_of_five() -> Guard {
    let (clean_start, expiry, keep_alive, is_nameless) = (true, 0, 60, false);
    let (receive_maximum, most_bytes) = (10, 10_000);
    let greeting =
        five::Greeting { clean_start, expiry, receive_maximum, most_bytes, keep_alive, is_nameless };
    Guard { five: Some(Five::new(&greeting)), ..guard() }
}

fn publish(topic: &str, quality: u8, retained: bool, payload: usize) -> Vec<u8> {
    let (length, id) = ((topic.len() as u16).to_be_bytes(), [0, 7]);
    let id = if quality > 0 { &id[..] } else { &[] };
    packet(0x30 | quality << 1 | u8::from(retained), &[&length, topic.as_bytes(), id, &vec![9; payload]])
}

fn filters(kind: u8, filters: &[&str]) -> Vec<u8> {
    let mut body = vec![0, 5];
    for filter in filters {
        body.extend_from_slice(&(filter.len() as u16).to_be_bytes());
        body.extend_from_slice(filter.as_bytes());
        body.extend((kind == 8).then_some(1));
    }
    packet(kind << 4 | 2, &[&body])
}

/// What the broker is given of this, and what the client is answered, where it comes in pieces of this size.
fn passed(guard: &mut Guard, input: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<ToClient>, bool), Refused> {
    let (mut held, mut given, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for piece in input.chunks(piece) {
        held.extend_from_slice(piece);
        loop {
            match guard.next(&held)? {
                Next::Pass(bytes) => given.extend(held.drain(..bytes)),
                Next::Replace { taken, instead, answer } => {
                    held.drain(..taken);
                    given.extend_from_slice(&instead);
                    answers.push(answer);
                }
                Next::Leave(bytes) => {
                    given.extend(held.drain(..bytes));
                    return Ok((given, answers, true));
                }
                Next::LeaveWith(last) => {
                    given.extend_from_slice(&last);
                    return Ok((given, answers, true));
                }
                Next::More => break,
            }
        }
        assert!(held.len() <= MAX_CONTROL_BYTES + 5, "more is held than the buffer takes");
    }
    Ok((given, answers, false))
}

#[test]
fn good_packets_pass_as_they_are_however_they_arrive() {
    let packets = [
        publish("a/x", 0, false, 0),
        publish("a/x", 1, false, 1_500),
        publish("a/x", 1, false, 3),
        publish("p/a/y", 2, false, 200),
        publish("cam/a/frame", 0, false, 15_000),
        filters(8, &["a/cmd/#", "p/a/cmd/#"]),
        b"\x40\x02\0\x01\x50\x02\0\x01\x62\x02\0\x01\x70\x02\0\x01".to_vec(),
        filters(10, &["a/cmd/#"]),
        b"\xc0\x00".to_vec(),
    ]
    .concat();
    for piece in [1, 2, 3, 7, 100, 8_000, 100_000] {
        let mut guard = guard();
        let (given, answers, left) = passed(&mut guard, &packets, piece).unwrap();
        let expected = [ToClient::Packet(b"\xb0\x02\0\x05".to_vec())];
        assert!(given == packets && answers == expected && !left, "in pieces of {piece}");
        assert_eq!((guard.packets(), guard.left()), (12, 0));
    }
    let mut guard = guard();
    let (given, _, left) = passed(&mut guard, b"\xc0\x00\xe0\x00\x30\x00", 100).unwrap();
    assert!(given == b"\xc0\x00\xe0\x00" && left, "nothing behind DISCONNECT is passed on");
}

#[test]
fn what_is_not_allowed_ends_the_connection_before_the_broker_sees_it() {
    let check = |bytes: &[u8], why: Refusal| {
        for piece in [1, 1_000_000] {
            let mut guard = guard();
            let mut given = Vec::new();
            let mut held = Vec::new();
            let refused = bytes.chunks(piece).find_map(|piece| {
                held.extend_from_slice(piece);
                loop {
                    match guard.next(&held) {
                        Ok(Next::Pass(bytes)) => given.extend(held.drain(..bytes)),
                        Ok(Next::More) => return None,
                        Ok(other) => panic!("{other:?}"),
                        Err(refused) => return Some(refused.why),
                    }
                }
            });
            assert_eq!(refused, Some(why), "{bytes:?} in pieces of {piece}");
            assert_eq!(given, b"", "{bytes:?}");
        }
    };
    check(&publish("b/x", 0, false, 10), Refusal::PublishNotAllowed);
    check(&publish("a/x", 0, true, 10), Refusal::Retained);
    check(&publish("a/x", 0, false, 2_000), Refusal::TooLarge);
    check(&publish("cam/a/frame", 0, false, 20_000), Refusal::TooLarge);
    // Judged by the header alone.
    check(b"\x30\xff\xff\xff\x7f", Refusal::TooLarge);
    check(&publish("$SYS/a", 0, false, 1), Refusal::ReservedTopic);
    check(&publish("Öl/a", 0, false, 1), Refusal::BadTopic);
    check(&publish("a/+", 0, false, 1), Refusal::BadTopic);
    check(&publish("", 0, false, 1), Refusal::BadTopic);
    check(&publish(&"a/x".repeat(600), 0, false, 1), Refusal::BadTopic);
    check(b"\x30\x05\0\x03\xff\xfe/", Refusal::BadTopic);
    check(b"\x36\x05\0\x01a\0\x01", Refusal::Malformed);
    check(b"\x38\x03\0\x01a", Refusal::Malformed);
    check(b"\x30\x01\0", Refusal::Malformed);
    check(b"\x30\x02\0\x03", Refusal::Malformed);
    check(b"\x32\x03\0\x01a", Refusal::Malformed);
    check(b"\x32\x05\0\x01a\0\0", Refusal::Malformed);
    check(b"\x10\x02\0\x04", Refusal::PacketOrder);
    for other in [0x00, 0x20, 0x90, 0xb0, 0xd0, 0xf0] {
        check(&[other, 0], Refusal::PacketOrder);
    }
    check(b"\xc0\x80\x00", Refusal::Malformed);
    check(b"\xc0\xff\xff\xff\xff\x01", Refusal::Malformed);
    check(b"\xc0\x01\0", Refusal::Malformed);
    check(b"\xc1\x00", Refusal::Malformed);
    check(b"\x40\x02\0\0", Refusal::Malformed);
    check(b"\x60\x02\0\x01", Refusal::Malformed);
    check(b"\x80\x06\0\x01\0\x01a\x01", Refusal::Malformed);
    check(b"\x82\x06\0\x01\0\x01a\x03", Refusal::Malformed);
    check(b"\x82\x06\0\0\0\x01a\x01", Refusal::Malformed);
    check(b"\x82\x06\0\x01\0\x09a\x01", Refusal::Malformed);
    check(b"\x82\x02\0\x01", Refusal::Malformed);
    check(b"\x82\xff\xff\x7f", Refusal::TooLarge);
}

#[test]
fn filters_that_are_refused_are_answered_and_the_others_pass() {
    let mut guard = guard();
    let asked = filters(8, &["#", "a/cmd/#", "$share/g/a/cmd", "$SYS/#", "b/cmd"]);
    let (given, answers, _) = passed(&mut guard, &asked, 3).unwrap();
    assert_eq!(given, filters(8, &["a/cmd/#"]));
    assert_eq!(
        answers,
        [ToClient::Filters { id: 5, codes: vec![Some(0x80), None, Some(0x80), Some(0x80), Some(0x80)] }]
    );
    let (given, answers, _) = passed(&mut guard, &filters(8, &["#", "b/#"]), 1_000).unwrap();
    assert_eq!((given, answers), (Vec::new(), vec![ToClient::Packet(b"\x90\x04\0\x05\x80\x80".to_vec())]));
    let (given, answers, _) = passed(&mut guard, &filters(10, &["#"]), 1_000).unwrap();
    assert_eq!((given, answers), (Vec::new(), vec![ToClient::Packet(b"\xb0\x02\0\x05".to_vec())]));
    let (given, answers, _) = passed(&mut guard, &filters(10, &["#", "a/cmd/#"]), 1_000).unwrap();
    assert_eq!(
        (given, answers),
        (filters(10, &["a/cmd/#"]), vec![ToClient::Packet(b"\xb0\x02\0\x05".to_vec())])
    );
    // Behind a packet that passes, each is counted once.
    let both = [b"\xc0\x00".to_vec(), filters(8, &["#"])].concat();
    passed(&mut guard, &both, 1_000).unwrap();
    let expected =
        [(Refusal::SubscribeNotAllowed, 5), (Refusal::SharedSubscription, 1), (Refusal::ReservedTopic, 1)];
    assert_eq!(guard.devices.refusals(), expected);
    assert_eq!(merged(&[None, Some(0x80)], &[1, 1]), None, "not what was asked for");
}

#[test]
fn topics_and_filters_of_a_device_are_bounded() {
    let mut guard = guard();
    for topic in ["a/1", "a/2", "a/3", "a/1"] {
        passed(&mut guard, &publish(topic, 0, false, 1), 100).unwrap();
    }
    let refused = passed(&mut guard, &publish("a/4", 0, false, 1), 100).unwrap_err();
    assert_eq!(refused, Refused { why: Refusal::TooManyTopics, topic: "a/4".to_owned() });
    let (given, ..) =
        passed(&mut guard, &filters(8, &["a/cmd/1", "a/cmd/2", "a/cmd/3", "a/cmd/4"]), 100).unwrap();
    assert_eq!(given, filters(8, &["a/cmd/1", "a/cmd/2", "a/cmd/3"]));
}

#[test]
fn messages_that_wait_for_their_release_are_bounded() {
    let mut guard = guard();
    let (message, refused) = (publish("a/x", 2, false, 10), Refused::from(Refusal::TooManyHeld));
    for _ in 0..MOST_HELD {
        passed(&mut guard, &message, 100).unwrap();
    }
    passed(&mut guard, b"\x62\x02\0\x07", 100).unwrap();
    passed(&mut guard, &message, 1).unwrap();
    assert_eq!(passed(&mut guard, &message, 100), Err(refused.clone()));
    // In bytes as well, and another connection of the device shares that.
    let mut other = guard_of(policy());
    let large = publish("cam/a/frame", 2, false, 15_000);
    passed(&mut other, &large, 100).unwrap();
    passed(&mut other, &large, 100).unwrap();
    let (policy, client) = (Arc::clone(&other.policy), other.client.clone());
    let mut third = Guard::new(policy, client, Arc::clone(&other.device), Arc::clone(&other.devices), None);
    assert_eq!(passed(&mut third, &large, 100), Err(refused));
    passed(&mut third, &publish("cam/a/frame", 1, false, 15_000), 100).unwrap();
    // What a connection had the broker hold ends with it.
    drop(other);
    passed(&mut third, &large, 100).unwrap();
}

#[tokio::test]
async fn what_comes_again_is_handed_on_again_and_every_acknowledgement_has_its_turn() {
    let inputs = crate::SourceInputs::new(false, || Moment::from_wall(UtcMillis(1)));
    let takes = |_: Inbound| -> Result<(), IntakeFull> { Ok(()) };
    inputs.add(Some(Session::Readings), vec![(SourceIndex(0), "a/own".to_owned())], takes);
    inputs.open();
    let delivering = Delivering::new(inputs.opened().await);
    let mut guard = guard().delivering(Some(delivering.clone()));
    // Of QoS 2, with DUP: its first copy may have broken off.
    let mut message = publish("a/own", 2, false, 3);
    message[0] |= 8;
    assert_eq!(guard.next(&message), Ok(Next::Pass(message.len())));
    let taken = guard.completed().unwrap();
    assert_eq!((taken.topic.as_str(), &taken.payload[..], taken.id), ("a/own", &[9, 9, 9][..], None));
    // What no source takes is acknowledged by the broker, and waits for what came before.
    delivering.acks.add(5);
    passed(&mut guard, &publish("a/x", 1, false, 3), 100).unwrap();
    assert!(guard.completed().is_none());
    delivering.acks.acknowledge(7);
    assert_eq!(delivering.acks.take_due(), b"");
    delivering.acks.acknowledge(5);
    assert_eq!(delivering.acks.take_due(), b"\x40\x02\x00\x05\x40\x02\x00\x07");
}

#[tokio::test]
async fn the_broker_is_given_what_a_filter_matches_and_no_other_message_for_the_gateway() {
    let inputs = crate::SourceInputs::new(false, || Moment::from_wall(UtcMillis(1)));
    let takes = |_: Inbound| -> Result<(), IntakeFull> { Ok(()) };
    inputs.add(Some(Session::Readings), vec![(SourceIndex(0), "a/own/#".to_owned())], takes);
    inputs.open();
    let delivering = Delivering::new(inputs.opened().await);
    for (mut guard, is_five) in [(guard(), false), (guard_of_five(), true)] {
        guard = guard.delivering(Some(delivering.clone()));
        let sent = |topic: &str, quality: u8, retained: bool, payload: usize| {
            let mut message = publish(topic, quality, retained, payload);
            if is_five {
                // Without properties.
                let head = 4 + topic.len() + if quality > 0 { 2 } else { 0 };
                message.insert(head, 0);
                message[1] += 1;
            }
            message
        };
        // The gateway has them, whatever pieces they come in.
        for (piece, payload) in [(1, 50), (1000, 50), (1000, 0)] {
            let message = sent("a/own/1", 1, false, payload);
            let (given, ..) = passed(&mut guard, &message, piece).unwrap();
            let taken = guard.completed().unwrap();
            assert_eq!((given.as_slice(), taken.payload.len(), taken.id), (&b""[..], payload, Some(7)));
            assert!(guard.is_between() && guard.left() == 0);
        }
        guard.next(&sent("a/own/1", 1, false, 50)[..30]).unwrap();
        assert!(guard.is_between() && guard.left() > 0, "the broker has nothing of it");
        let left = guard.left();
        passed(&mut guard, &vec![9; left], 100).unwrap();
        guard.completed().unwrap();
        // What no source takes the broker is to acknowledge.
        assert_ne!(passed(&mut guard, &sent("a/x", 1, false, 5), 100).unwrap().0, b"");
        // From the first filter on that matches; another does not.
        assert!(guard.devices.filters().note("a/other/#", 0));
        assert_eq!(passed(&mut guard, &sent("a/own/1", 0, false, 5), 100).unwrap().0, b"");
        guard.completed().unwrap();
        assert!(guard.devices.filters().note("+/own/+", 0));
        let given = passed(&mut guard, &sent("a/own/1", 1, false, 5), 100).unwrap().0;
        assert_eq!(given, publish("a/own/1", 0, false, 5));
        assert_eq!(guard.completed().unwrap().payload.len(), 5);
    }
}

#[test]
fn packets_of_mqtt_5_reach_the_broker_in_the_form_of_3_1_1() {
    // A message with a property, a subscription with an option of 5 and quality 2, PUBACK with a reason, PINGREQ.
    let input = [
        &b"\x32\x0e\x00\x03a/x\x00\x07\x05\x02\x00\x00\x00\x3c9"[..],
        b"\x82\x17\x00\x05\x00\x00\x07a/cmd/#\x12\x00\x07b/cmd/#\x01",
        b"\xa2\x0c\x00\x06\x00\x00\x07a/cmd/#",
        b"\x40\x03\x00\x01\x10",
        b"\xc0\x00",
        // One that is not allowed is answered, and what follows goes on.
        b"\x32\x09\x00\x03b/x\x00\x08\x009",
        b"\x30\x07\x00\x03a/x\x009",
        b"\xe0\x02\x00\x00",
    ]
    .concat();
    let expected = [
        &b"\x32\x08\x00\x03a/x\x00\x079"[..],
        b"\x82\x0c\x00\x05\x00\x07a/cmd/#\x01",
        b"\xa2\x0b\x00\x06\x00\x07a/cmd/#",
        b"\x40\x02\x00\x01",
        b"\xc0\x00",
        b"\x30\x06\x00\x03a/x9",
        b"\xe0\x00",
    ]
    .concat();
    for piece in 1..input.len() {
        let mut guard = guard_of_five();
        guard.five().unwrap().window.add(1);
        let (given, answers, left) = passed(&mut guard, &input, piece).unwrap();
        assert!(given == expected && left, "in pieces of {piece}: {given:?}");
        let answers: Vec<_> = answers.into_iter().filter(|answer| *answer != ToClient::None).collect();
        let expected = [
            ToClient::Filters { id: 5, codes: vec![None, Some(0x87)] },
            ToClient::Packet(b"\xb0\x04\x00\x06\x00\x00".to_vec()),
            ToClient::Packet(b"\xd0\x00".to_vec()),
            ToClient::Packet(b"\x40\x03\x00\x08\x87".to_vec()),
        ];
        assert_eq!(answers, expected, "in pieces of {piece}");
    }
    let refused = |bytes: &[u8]| passed(&mut guard_of_five(), bytes, 1_000).unwrap_err().why;
    assert_eq!(refused(b"\x34\x09\x00\x03a/x\x00\x08\x009"), Refusal::QosNotSupported);
    assert_eq!(refused(b"\x31\x07\x00\x03a/x\x009"), Refusal::Retained);
    assert_eq!(refused(b"\x82\x0f\x00\x05\x02\x0b\x01\x00\x07a/cmd/#\x01"), Refusal::SubscriptionIdentifier);
    assert_eq!(refused(b"\x10\x00"), Refusal::PacketOrder);
    assert_eq!(refused(b"\xf0\x00"), Refusal::PacketOrder);
    assert_eq!(refused(b"\xe0\x07\x00\x05\x11\x00\x00\x00\x09"), Refusal::PacketOrder);
    // Options that the broker does not have: the filter alone is refused.
    for option in [0x05, 0x09, 0x21] {
        let asked = packet(0x82, &[b"\x00\x05\x00\x00\x07a/cmd/#", &[option]]);
        let (_, answers, _) = passed(&mut guard_of_five(), &asked, 1_000).unwrap();
        assert_eq!(answers, [ToClient::Packet(b"\x90\x04\x00\x05\x00\x83".to_vec())]);
    }
}

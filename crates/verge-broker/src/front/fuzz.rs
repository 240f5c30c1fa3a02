//! What clients and the broker send, in every form.

use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;
use rumqttc::mqttbytes::Error;
use rumqttc::{Connect, LastWill, Packet, QoS};
use verge_domain::filter;
use verge_domain::reading::{Inbound, Session, SourceIndex};
use verge_domain::stage::IntakeFull;
use verge_domain::time::{Moment, UtcMillis};

use super::answers::{Answers, Down};
use super::connect::{admit, read};
use super::devices::Devices;
use super::five::{Five, Greeting};
use super::identity::identify;
use super::packets::{Delivering, Guard, MAX_CONTROL_BYTES, Next, ToClient, packet};
use crate::fuzz::{changed, fuzz};
use crate::policy::{Access, AccessList, ClientLimits, Policy};
use crate::{Retained, SourceInputs};

const GREETING: Greeting = Greeting {
    clean_start: true,
    expiry: 0,
    receive_maximum: 3,
    most_bytes: 400,
    keep_alive: 60,
    is_nameless: false,
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn policies() -> [Policy; 3] {
    let limits = ClientLimits { packet_bytes: 2_000, frame_bytes: 20_000, ..ClientLimits::DEFAULT };
    let list = "user a\ntopic write plant/+/x\ntopic read plant/#\ntopic deny plant/secret/#\npattern readwrite %u/cmd/#";
    let list = Access::List(AccessList::parse(list).unwrap());
    let frames = vec!["cam/+/frame".to_owned()];
    [Access::Open, Access::Own(Vec::new()), list].map(|access| Policy {
        retained: access == Access::Open,
        access,
        limits,
        frames: frames.clone(),
    })
}

/// What the policies above allow, in other words than theirs.
fn is_allowed(policy: &Policy, subscribes: bool, text: &str) -> bool {
    let levels: Vec<&str> = text.split('/').collect();
    let begins_well =
        text.starts_with(|first: char| first.is_ascii() && first != '$') && text != filter::CANARY_TOPIC;
    begins_well
        && match (&policy.access, subscribes) {
            (Access::Open, _) => true,
            (Access::Own(_), false) => levels[0] == "a" || levels.get(1) == Some(&"a"),
            (Access::Own(_), true) => {
                levels.starts_with(&["a", "cmd"]) || levels.get(1..3) == Some(&["a", "cmd"])
            }
            (Access::List(_), _) if levels.starts_with(&["a", "cmd"]) => true,
            (Access::List(_), false) => {
                levels.len() == 3 && (levels[0], levels[2]) == ("plant", "x") && levels[1] != "secret"
            }
            (Access::List(_), true) => {
                levels[0] == "plant"
                    && !levels.get(1).is_some_and(|level| matches!(*level, "secret" | "+" | "#"))
            }
        }
}

#[test]
fn whatever_begins_a_connection_is_judged_and_what_is_let_in_is_good() {
    let mut connect = Connect::new("a");
    connect.last_will = Some(LastWill::new("plant/a/state", "away", QoS::AtLeastOnce, false));
    connect.set_login("somebody", "something");
    let mut of_four = BytesMut::new();
    connect.write(&mut of_four).unwrap();
    // With properties: session expiry, receive maximum, maximum packet size, a user property; and a will with a delay.
    let properties = b"\x11\0\0\0\x0a\x21\0\x05\x27\0\0\x10\0\x26\0\x01k\0\x01v";
    let will = b"\x05\x18\0\0\0\x05\0\x0dplant/a/state\0\x04away";
    let length = [properties.len() as u8];
    let of_five = packet(0x10, &[b"\0\x04MQTT\x05\x06\0\x3c", &length, properties, b"\0\x01a", will]);
    let small = packet(0x10, &[b"\0\x04MQTT\x04\x02\0\0\0\0"]);
    let (runtime, policies) = (runtime(), policies());
    let input = (changed(vec![of_four.to_vec(), of_five, small]), 0_usize..3, any::<bool>());
    fuzz(&input, |(bytes, policy, is_proved)| {
        let Ok(((connect, _), _)) = runtime.block_on(read(&mut &bytes[..], &mut false)) else { return };
        let Ok(connect) = admit(connect, None) else { return };
        let names = [String::from("a"), String::from("b/c")];
        let identities = is_proved.then_some(&names[..]);
        let Ok(introduced) = identify(connect, identities, &policies[policy], || "nameless-1".to_owned())
        else {
            return;
        };
        let mut connect = introduced.connect;
        let id = &connect.client_id;
        assert!(
            !id.is_empty() && id.len() <= 128 && !id.contains(['+', '#', '/', '$']) && !id.starts_with('@')
        );
        if is_proved && policies[policy].access != Access::Open {
            assert!(id == "a" || id.starts_with("a:"), "{id:?}");
        }
        assert!((1..=3600).contains(&connect.keep_alive));
        if let Some(will) = &connect.last_will {
            assert!(will.topic.starts_with(|first: char| first.is_ascii() && first != '$'), "{will:?}");
            assert!(!will.topic.contains(['+', '#', '\0']), "{will:?}");
        }
        // The broker reads what the guard has read.
        let mut written = BytesMut::new();
        connect.write(&mut written).unwrap();
        let Ok(Packet::Connect(mut again)) = Packet::read(&mut written, 1 << 20) else {
            panic!("{connect:?}")
        };
        // An empty login is none.
        (again.login, connect.login) = (None, None);
        assert_eq!(again, connect);
    });
}

fn publish(topic: &str, flags: u8, payload: usize) -> Vec<u8> {
    let (length, id) = ((topic.len() as u16).to_be_bytes(), [0, 7]);
    let id = if flags & 6 == 0 { &[] } else { &id[..] };
    packet(0x30 | flags, &[&length, topic.as_bytes(), id, &vec![9; payload]])
}

fn of_three() -> Vec<Vec<u8>> {
    let mut parts: Vec<Vec<u8>> = ["a/x", "plant/a/x", "plant/secret/x", "cam/a/frame", "b/y"]
        .iter()
        .flat_map(|topic| [0, 1, 2, 3, 4, 0x0a].map(|flags| publish(topic, flags, 20)))
        .collect();
    parts.extend([publish("a/x", 2, 1_900), publish("cam/a/frame", 2, 9_000), publish("a/x", 1, 0)]);
    parts.push(b"\x82\x21\0\x05\0\x07a/cmd/#\x01\0\x01#\0\0\x07plant/#\x02\0\x05a/cmd\x01".to_vec());
    parts.push(b"\x82\x0d\0\x06\0\x08plant/+/\x01".to_vec());
    parts.push(b"\xa2\x0b\0\x06\0\x07a/cmd/#".to_vec());
    parts.push(b"\x40\x02\0\x01\x50\x02\0\x01\x62\x02\0\x01\x70\x02\0\x01".to_vec());
    parts.extend([b"\xc0\0".to_vec(), b"\xe0\0".to_vec()]);
    parts
}

fn of_five() -> Vec<Vec<u8>> {
    vec![
        b"\x32\x0e\0\x03a/x\0\x07\x05\x02\0\0\0\x3c9".to_vec(),
        b"\x30\x0d\0\x03a/y\x06\x26\0\x01a\0\09".to_vec(),
        b"\x31\x07\0\x03a/y\09".to_vec(),
        b"\x32\x09\0\x03b/x\0\x08\09".to_vec(),
        packet(0x30, &[b"\0\x03a/x\0", &[9; 300]]),
        b"\x82\x17\0\x05\0\0\x07a/cmd/#\x12\0\x07b/cmd/#\x01".to_vec(),
        b"\xa2\x0c\0\x06\0\0\x07a/cmd/#".to_vec(),
        b"\x40\x03\0\x01\x10".to_vec(),
        b"\xc0\0".to_vec(),
        b"\xe0\x02\x04\0".to_vec(),
        b"\xe0\x07\0\x05\x11\0\0\0\x09".to_vec(),
    ]
}

/// What the broker is given, read by another reader.
fn check_given(policy: &Policy, given: &[u8]) {
    let mut bytes = BytesMut::from(given);
    loop {
        match Packet::read(&mut bytes, 1 << 20) {
            Ok(Packet::Publish(publish)) => {
                assert!(is_allowed(policy, false, &publish.topic), "{publish:?}");
                assert!(policy.retained || !publish.retain, "{publish:?}");
                assert!(!publish.topic.contains(['+', '#']), "{publish:?}");
            }
            Ok(Packet::Subscribe(subscribe)) => {
                let good = |path: &String| is_allowed(policy, true, path) && filter::validate(path).is_ok();
                assert!(subscribe.filters.iter().all(|filter| good(&filter.path)), "{subscribe:?}");
            }
            Ok(
                Packet::Connect(_)
                | Packet::ConnAck(_)
                | Packet::SubAck(_)
                | Packet::UnsubAck(_)
                | Packet::PingResp,
            ) => {
                panic!("what no client sends is passed on")
            }
            Ok(_) => {}
            Err(Error::InsufficientBytes(_)) => return,
            Err(error) => panic!("the broker is given what is no packet: {error}"),
        }
    }
}

fn taking() -> Delivering {
    let inputs =
        SourceInputs::new(false, || Moment::from_wall(UtcMillis(1))).keeping(Some(Retained::default()));
    let takes = |_: Inbound| -> Result<(), IntakeFull> { Ok(()) };
    inputs.add(Some(Session::Readings), vec![(SourceIndex(0), "a/+".to_owned())], takes);
    inputs.open();
    Delivering::new(runtime().block_on(inputs.opened()))
}

#[test]
fn whatever_a_client_sends_the_broker_is_given_good_and_allowed_packets_alone() {
    let (policies, delivering) = (policies(), taking());
    let version = prop_oneof![
        changed(of_three()).prop_map(|bytes| (false, bytes)),
        changed(of_five()).prop_map(|bytes| (true, bytes)),
    ];
    let input = (version, 1_usize..300, 0_usize..3, any::<bool>());
    fuzz(&input, |((is_five, bytes), piece, policy, delivers)| {
        let policy = &policies[policy];
        let devices = Arc::new(Devices::new(policy.limits));
        let (device, client) = (devices.device("a").unwrap(), policy.client("a", "a", true));
        let five = is_five.then(|| Five::new(&GREETING));
        let guard = Guard::new(Arc::new(policy.clone()), client, device, devices, five);
        let mut guard = guard.delivering(delivers.then(|| delivering.clone()));
        let (mut given, mut held) = (Vec::new(), Vec::new());
        'all: for piece in bytes.chunks(piece) {
            held.extend_from_slice(piece);
            loop {
                match guard.next(&held) {
                    Ok(Next::Pass(bytes)) => {
                        assert!(bytes > 0);
                        given.extend(held.drain(..bytes));
                    }
                    Ok(Next::Replace { taken, instead, .. }) => {
                        assert!(taken > 0);
                        held.drain(..taken);
                        given.extend_from_slice(&instead);
                    }
                    Ok(Next::More) => break,
                    Ok(Next::Leave(bytes)) => {
                        given.extend(held.drain(..bytes));
                        break 'all;
                    }
                    Ok(Next::LeaveWith(last)) => {
                        given.extend_from_slice(&last);
                        break 'all;
                    }
                    Err(_) => break 'all,
                }
                if let Some(message) = guard.completed() {
                    assert!(is_allowed(policy, false, &message.topic), "{message:?}");
                }
            }
            assert!(held.len() <= MAX_CONTROL_BYTES + 5, "more is held than the buffer takes");
        }
        check_given(policy, &given);
    });
}

#[test]
fn whatever_the_broker_sends_ends_the_connection_at_most() {
    let parts = vec![
        b"\x90\x04\0\x05\x01\x01".to_vec(),
        b"\x90\x05\0\x05\x01\0\x01".to_vec(),
        b"\xb0\x02\0\x06".to_vec(),
        b"\x40\x02\0\x07".to_vec(),
        b"\x50\x02\0\x07\x62\x02\0\x07\x70\x02\0\x07".to_vec(),
        b"\xd0\0".to_vec(),
        publish("a/x", 0, 20),
        publish("a/x", 2, 500),
        publish("a/x", 0x0b, 0),
    ];
    let delivering = taking();
    let input = (changed(parts), 1_usize..300, any::<bool>(), any::<bool>());
    fuzz(&input, |(bytes, piece, is_five, delivers)| {
        let five = is_five.then(|| Five::new(&GREETING));
        let mut answers = Answers::of(five).delivering(delivers.then(|| delivering.clone()));
        answers.add(ToClient::Filters { id: 5, codes: vec![None, Some(0x80), None] });
        answers.add(ToClient::Packet(b"\xb0\x02\0\x09".to_vec()));
        let mut held = Vec::new();
        for piece in bytes.chunks(piece) {
            held.extend_from_slice(piece);
            loop {
                match answers.next(&held) {
                    Ok(Down::Pass(bytes)) => {
                        assert!(bytes > 0);
                        held.drain(..bytes);
                    }
                    Ok(Down::Send(packet, taken)) => {
                        assert!(taken > 0 || !packet.is_empty());
                        held.drain(..taken);
                    }
                    Ok(Down::More) => break,
                    Ok(Down::Wait) | Err(_) => return,
                }
            }
            assert!(held.len() <= MAX_CONTROL_BYTES + 5, "more is held than the buffer takes");
        }
    });
}

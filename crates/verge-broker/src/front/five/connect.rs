//! CONNECT and CONNACK of MQTT 5 (sections 3.1 and 3.2).

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::v5::{self, check};
use rumqttc::{Connect, LastWill, Login, QoS};

use super::super::connect::ConnectRefusal;
use super::super::packets::packet;
use crate::policy::Policy;

/// The bytes of a fixed header beside the largest rest that a policy takes.
const HEADER_BYTES: usize = 2;
const CONNACK: u8 = 0x20;

/// What a client of MQTT 5 asks for beside what 3.1.1 knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::front) struct Greeting {
    /// What the broker has of an earlier session is not wanted.
    pub(in crate::front) clean_start: bool,
    /// Seconds for which the session is kept after the connection's end.
    pub(in crate::front) expiry: u32,
    /// Messages that it takes before it acknowledges one.
    pub(in crate::front) receive_maximum: u16,
    /// Largest packet that it takes.
    pub(in crate::front) most_bytes: usize,
    /// As it was asked for.
    pub(in crate::front) keep_alive: u16,
    pub(in crate::front) is_nameless: bool,
}

/// Reads a whole CONNECT; the first part is what the broker is given of it.
///
/// # Errors
/// It is none, or asks for what is not supported.
pub(in crate::front) fn read(packet: BytesMut) -> Result<(Connect, Greeting), ConnectRefusal> {
    let malformed = |_| ConnectRefusal::MalformedFive;
    let header = check(packet.iter(), None).map_err(malformed)?;
    let (asked, will, login) = v5::Connect::read(header, packet.freeze()).map_err(malformed)?;
    let v5::Connect { keep_alive, client_id, clean_start, properties } = asked;
    let properties = properties.unwrap_or_else(v5::ConnectProperties::new);
    if properties.authentication_method.is_some() || properties.authentication_data.is_some() {
        return Err(ConnectRefusal::Authentication);
    }
    if properties.receive_maximum == Some(0) || properties.max_packet_size == Some(0) {
        return Err(ConnectRefusal::MalformedFive);
    }
    let greeting = Greeting {
        clean_start,
        expiry: properties.session_expiry_interval.unwrap_or(0),
        receive_maximum: properties.receive_maximum.unwrap_or(u16::MAX),
        most_bytes: properties.max_packet_size.map_or(usize::MAX, |most| most as usize),
        keep_alive,
        is_nameless: client_id.is_empty(),
    };
    let mut connect = Connect::new(client_id);
    connect.keep_alive = keep_alive;
    connect.clean_session = clean_start && greeting.expiry == 0;
    connect.login = login.map(|login| Login::new(login.username, login.password));
    connect.last_will = match will {
        None => None,
        Some(will) => {
            let topic = str::from_utf8(&will.topic).map_err(|_| ConnectRefusal::MalformedFive)?;
            let quality = match will.qos as u8 {
                0 => QoS::AtMostOnce,
                1 => QoS::AtLeastOnce,
                _ => return Err(ConnectRefusal::WillQuality),
            };
            Some(LastWill::new(topic, will.message.to_vec(), quality, will.retain))
        }
    };
    Ok((connect, greeting))
}

/// CONNACK for a client that is let in: what it may expect of this broker.
pub(in crate::front) fn acknowledgement(
    greeting: &Greeting,
    connect: &Connect,
    policy: &Policy,
    has_session: bool,
) -> Vec<u8> {
    let most_bytes = u32::try_from(policy.most_bytes_of_all() + HEADER_BYTES).unwrap_or(u32::MAX);
    // Maximum QoS, subscription identifiers and shared subscriptions; topic aliases are none by default.
    let mut properties = vec![0x24, 1, 0x29, 0, 0x2a, 0, 0x27];
    properties.extend_from_slice(&most_bytes.to_be_bytes());
    if !policy.retained {
        properties.extend_from_slice(&[0x25, 0]);
    }
    if connect.keep_alive != greeting.keep_alive {
        properties.push(0x13);
        properties.extend_from_slice(&connect.keep_alive.to_be_bytes());
    }
    if greeting.is_nameless {
        properties.push(0x12);
        properties.extend_from_slice(&(connect.client_id.len() as u16).to_be_bytes());
        properties.extend_from_slice(connect.client_id.as_bytes());
    }
    // A client identifier has at most 128 bytes, so one byte or two say how long all of this is.
    let length = properties.len();
    let length =
        if length < 128 { vec![length as u8] } else { vec![length as u8 | 0x80, (length >> 7) as u8] };
    packet(CONNACK, &[&[u8::from(has_session), 0], &length, &properties])
}

/// CONNACK with a reason why a client is not let in.
pub(in crate::front) fn refusal(code: u8) -> Vec<u8> {
    vec![CONNACK, 3, 0, code, 0]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rumqttc::v5::mqttbytes::QoS as QualityOfFive;

    use super::*;

    fn written(properties: Option<v5::ConnectProperties>, will: Option<QualityOfFive>) -> BytesMut {
        let mut bytes = BytesMut::new();
        let asked =
            v5::Connect { keep_alive: 30, client_id: "pump-1".to_owned(), clean_start: true, properties };
        let will = will.map(|quality| v5::LastWill::new("pump-1/state", "away", quality, false, None));
        asked.write(&will, &Some(v5::Login::new("u", "p")), &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_a_client_asks_for_is_read_and_what_is_not_supported_refused() {
        let (connect, greeting) = read(written(None, Some(QualityOfFive::AtLeastOnce))).unwrap();
        assert_eq!(
            (connect.client_id.as_str(), connect.keep_alive, connect.clean_session),
            ("pump-1", 30, true)
        );
        assert_eq!(connect.last_will.unwrap().message, "away");
        assert_eq!(
            (greeting.receive_maximum, greeting.most_bytes, greeting.expiry),
            (u16::MAX, usize::MAX, 0)
        );
        let with = |change: fn(&mut v5::ConnectProperties)| {
            let mut properties = v5::ConnectProperties::new();
            change(&mut properties);
            read(written(Some(properties), None))
        };
        let (connect, greeting) = with(|properties| {
            properties.session_expiry_interval = Some(60);
            properties.receive_maximum = Some(2);
            properties.max_packet_size = Some(100);
            properties.user_properties.push(("a".to_owned(), "b".to_owned()));
        })
        .unwrap();
        assert!(!connect.clean_session && greeting.clean_start, "the session outlives the connection");
        assert_eq!((greeting.receive_maximum, greeting.most_bytes, greeting.expiry), (2, 100, 60));
        assert!(matches!(with(|p| p.receive_maximum = Some(0)), Err(ConnectRefusal::MalformedFive)));
        assert!(matches!(with(|p| p.max_packet_size = Some(0)), Err(ConnectRefusal::MalformedFive)));
        let method = with(|p| p.authentication_method = Some("SCRAM-SHA-1".to_owned()));
        assert!(matches!(method, Err(ConnectRefusal::Authentication)));
        let will = read(written(None, Some(QualityOfFive::ExactlyOnce)));
        assert!(matches!(will, Err(ConnectRefusal::WillQuality)));
    }

    #[test]
    fn the_answer_says_what_is_not_supported() {
        let greeting = read(written(None, None)).unwrap().1;
        let mut connect = Connect::new("pump-1");
        connect.keep_alive = 30;
        let open = acknowledgement(&greeting, &connect, &Policy::open(), true);
        assert_eq!(open, b"\x20\x0e\x01\x00\x0b\x24\x01\x29\x00\x2a\x00\x27\x10\x00\x00\x01");
        let (greeting, policy) = (
            Greeting { is_nameless: true, keep_alive: 0, ..greeting },
            Policy { retained: false, ..Policy::open() },
        );
        let own = acknowledgement(&greeting, &connect, &policy, false);
        assert_eq!(&own[16..], b"\x25\x00\x13\x00\x1e\x12\x00\x06pump-1");
        let long = Connect { client_id: "x".repeat(128), ..connect };
        let long = acknowledgement(&greeting, &long, &policy, false);
        assert_eq!(long[..7], [0x20, 0x97, 1, 0, 0, 0x93, 1], "{long:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(
            tail in proptest::collection::vec(any::<u8>(), 0..200),
            flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut mutated = written(None, Some(QualityOfFive::AtLeastOnce));
            for (index, byte) in flips {
                let at = index.index(mutated.len());
                mutated[at] = byte;
            }
            drop(read(mutated));
            let mut begun = BytesMut::from(&b"\x10\x00\x00\x04MQTT\x05"[..]);
            begun.extend_from_slice(&tail);
            begun[1] = (begun.len() - 2).min(127) as u8;
            drop(read(begun));
        }
    }
}

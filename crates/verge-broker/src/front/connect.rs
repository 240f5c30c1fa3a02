//! The CONNECT packet of a client: read within bounds, judged, rewritten.
//!
//! The guard of rumqttd begins here. What it must not see: client identifiers that it refuses after it has begun to
//! serve them (the second attempt would stop its listener for good), a keep-alive of 0, other protocol versions, last
//! wills on topics that stop its router.

use bytes::BytesMut;
use rumqttc::mqttbytes::{self, Error};
use rumqttc::{Connect, ConnectReturnCode, Login};
use tokio::io::{AsyncRead, AsyncReadExt};
use verge_domain::filter::{self, FilterError};
use verge_tls::Credentials;

use super::five::{self, Greeting};
use crate::OWN_CLIENT_IDS;
use crate::policy::Refusal;

/// What follows the fixed header of CONNECT, at most: it holds a last will, which is a short message.
const MAX_CONNECT_BYTES: usize = 16 * 1024;
/// Read at a time; CONNECT is mostly smaller.
const READ_BYTES: usize = 512;
/// Longest client identifier, in bytes. Servers must allow 23.
pub(super) const MAX_CLIENT_ID_BYTES: usize = 128;
/// For clients that would never be tested. Their connection ends after one and a half times this in silence.
pub(super) const KEEP_ALIVE_FOR_NONE: u16 = 60;
/// The longest: a client that is silent for longer is closed, and connects again if it is there.
const MAX_KEEP_ALIVE: u16 = 3600;
/// The first byte of CONNECT (MQTT 3.1.1, section 3.1.1).
const CONNECT: u8 = 0x10;
/// MQTT 3.1.1 and 5 on the wire.
const PROTOCOL_LEVEL: u8 = 4;
const PROTOCOL_LEVEL_OF_FIVE: u8 = 5;

/// Why a client is not let in.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectRefusal {
    #[error("it did not begin with CONNECT (is MQTT spoken, and is TLS off on this port?)")]
    NotConnect,
    #[error("its CONNECT was not complete in time")]
    Late,
    #[error("it left before its CONNECT was complete")]
    Left,
    #[error("its CONNECT has {actual} bytes; at most {MAX_CONNECT_BYTES} are taken")]
    TooLarge { actual: usize },
    #[error("its CONNECT is malformed: {0}")]
    Malformed(Error),
    #[error("its CONNECT is not as MQTT 5 says")]
    MalformedFive,
    #[error("it speaks another version of MQTT than 3.1.1 and 5 (protocol level {0})")]
    Version(u8),
    #[error("it wants to log in by an authentication method of MQTT 5, none of which is supported")]
    Authentication,
    #[error("its last will has QoS 2, which is not supported with MQTT 5; at most 1")]
    WillQuality,
    #[error("its client identifier {client_id:?} {fault}")]
    ClientId { client_id: String, fault: &'static str },
    #[error(
        "its client identifier {client_id:?} is not the name in its certificate, expected {expected:?}, alone or with \":\" and \
         more behind it"
    )]
    ForeignClientId { client_id: String, expected: String },
    #[error("its certificate has no name that a client identifier can be")]
    NoName,
    #[error("{}", Refusal::Revoked.words())]
    Revoked,
    #[error("{}", Refusal::Password.words())]
    Password,
    #[error("{}", Refusal::TooManyClientIds.words())]
    TooManyClientIds,
    #[error("the topic of its last will: {0}")]
    Will(#[from] WillError),
    #[error("its last will is not allowed: {} {topic:?}", .why.words())]
    WillNotAllowed { why: Refusal, topic: String },
}

/// What is wrong with the topic of a last will.
#[derive(Debug, thiserror::Error)]
pub(super) enum WillError {
    #[error(transparent)]
    Topic(#[from] FilterError),
    #[error("it begins with other than an ASCII character, or with \"$\"")]
    Beginning,
}

impl ConnectRefusal {
    /// The answer to give before the connection is closed, where the standard knows one.
    pub(super) const fn code(&self) -> Option<ConnectReturnCode> {
        match self {
            Self::Version(_) => Some(ConnectReturnCode::RefusedProtocolVersion),
            Self::ClientId { .. } | Self::ForeignClientId { .. } | Self::NoName => {
                Some(ConnectReturnCode::BadClientId)
            }
            Self::WillNotAllowed { .. } | Self::Revoked => Some(ConnectReturnCode::NotAuthorized),
            Self::Password => Some(ConnectReturnCode::BadUserNamePassword),
            Self::TooManyClientIds => Some(ConnectReturnCode::ServiceUnavailable),
            Self::NotConnect
            | Self::Late
            | Self::Left
            | Self::TooLarge { .. }
            | Self::Malformed(_)
            | Self::MalformedFive
            | Self::Authentication
            | Self::WillQuality
            | Self::Will(_) => None,
        }
    }

    /// CONNACK, where there is a code, in the form that the client understands.
    pub(super) fn answer(&self, is_five: bool) -> Option<Vec<u8>> {
        if !is_five {
            return self.code().map(connack);
        }
        let why = match self {
            // Nobody waits for these.
            Self::NotConnect | Self::Late | Self::Left => return None,
            Self::WillNotAllowed { why, .. } => *why,
            Self::WillQuality => Refusal::QosNotSupported,
            Self::Will(_) => Refusal::BadTopic,
            _ => self.reason(),
        };
        Some(five::refusal(five::for_connection(why)))
    }

    /// Under which reason it is counted.
    pub(super) const fn reason(&self) -> Refusal {
        match self {
            Self::NotConnect => Refusal::NotConnect,
            Self::Late | Self::Left => Refusal::LateConnect,
            Self::TooLarge { .. } => Refusal::TooLarge,
            Self::Malformed(_) | Self::MalformedFive => Refusal::Malformed,
            Self::Authentication => Refusal::Authentication,
            Self::Revoked => Refusal::Revoked,
            Self::Password => Refusal::Password,
            Self::Version(_) => Refusal::ProtocolVersion,
            Self::ClientId { .. } => Refusal::ClientId,
            Self::ForeignClientId { .. } | Self::NoName => Refusal::ForeignClientId,
            Self::TooManyClientIds => Refusal::TooManyClientIds,
            Self::Will(_) | Self::WillNotAllowed { .. } | Self::WillQuality => Refusal::Will,
        }
    }
}

/// CONNACK of MQTT 3.1.1.
pub(super) fn connack(code: ConnectReturnCode) -> Vec<u8> {
    // A refusal has no session; the code alone is the last byte (section 3.2.2).
    vec![0x20, 2, 0, code as u8]
}

/// CONNECT as the broker is to be given it, and what a client of MQTT 5 has asked for beside it.
pub(super) type Asked = (Connect, Option<Greeting>);

/// Reads CONNECT, and returns with it what came behind it. `is_five`: whether the client is to be answered as MQTT 5 says,
/// known before the rest is.
///
/// # Errors
/// What came is none, or too large.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    is_five: &mut bool,
) -> Result<(Asked, BytesMut), ConnectRefusal> {
    let mut buffer = BytesMut::new();
    loop {
        if let Some(asked) = take(&mut buffer, is_five)? {
            return Ok((asked, buffer));
        }
        buffer.reserve(READ_BYTES);
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return Err(ConnectRefusal::Left),
            Ok(_) => {}
        }
    }
}

/// Takes CONNECT off the buffer, if all of it is there.
fn take(buffer: &mut BytesMut, is_five: &mut bool) -> Result<Option<Asked>, ConnectRefusal> {
    match buffer.first() {
        None => return Ok(None),
        Some(&CONNECT) => {}
        Some(_) => return Err(ConnectRefusal::NotConnect),
    }
    let header = match mqttbytes::check(buffer.iter(), MAX_CONNECT_BYTES) {
        Ok(header) => header,
        Err(Error::InsufficientBytes(_)) => return Ok(None),
        Err(Error::PayloadSizeLimitExceeded(actual)) => return Err(ConnectRefusal::TooLarge { actual }),
        Err(error) => return Err(ConnectRefusal::Malformed(error)),
    };
    let packet = buffer.split_to(header.frame_length());
    // Other versions have other packets: they are not parsed.
    match protocol_level(&packet) {
        Some(PROTOCOL_LEVEL_OF_FIVE) => {
            *is_five = true;
            let (connect, greeting) = five::read(packet)?;
            Ok(Some((connect, Some(greeting))))
        }
        Some(level) if level != PROTOCOL_LEVEL => Err(ConnectRefusal::Version(level)),
        _ => {
            let connect = Connect::read(header, packet.freeze()).map_err(ConnectRefusal::Malformed)?;
            Ok(Some((connect, None)))
        }
    }
}

/// The protocol level, which stands behind the name in every version.
fn protocol_level(packet: &[u8]) -> Option<u8> {
    let length_end = packet.iter().skip(1).position(|byte| byte & 0x80 == 0)?;
    match packet.get(length_end + 2..)? {
        [0, 4, b'M', b'Q', b'T', b'T', level, ..] | [0, 6, b'M', b'Q', b'I', b's', b'd', b'p', level, ..] => {
            Some(*level)
        }
        _ => None,
    }
}

/// Judges a client by its CONNECT, and makes of it what goes to the broker: with `login`, where there is one, and
/// with a keep-alive.
///
/// # Errors
/// It must not be let in.
pub(super) fn admit(mut connect: Connect, login: Option<&Credentials>) -> Result<Connect, ConnectRefusal> {
    if let Err(fault) = check_client_id(&connect.client_id, connect.clean_session) {
        return Err(ConnectRefusal::ClientId { client_id: shortened(&connect.client_id), fault });
    }
    if let Some(will) = &connect.last_will {
        filter::validate_topic(&will.topic).map_err(WillError::from)?;
        // rumqttd's router cuts off a topic's first byte to look at it, and panics where that is no character.
        if !will.topic.starts_with(|first: char| first.is_ascii() && first != '$') {
            return Err(WillError::Beginning.into());
        }
    }
    connect.keep_alive = match connect.keep_alive {
        0 => KEEP_ALIVE_FOR_NONE,
        seconds => seconds.min(MAX_KEEP_ALIVE),
    };
    if let Some(Credentials { username, password }) = login {
        connect.login = Some(Login::new(username, password.reveal()));
    }
    Ok(connect)
}

pub(super) fn check_client_id(client_id: &str, clean_session: bool) -> Result<(), &'static str> {
    if client_id.is_empty() && !clean_session {
        return Err("is empty, and no session can be kept under it");
    }
    if client_id.len() > MAX_CLIENT_ID_BYTES {
        return Err("is longer than 128 bytes");
    }
    if client_id.contains(['+', '#', '/', '$']) || client_id.chars().any(char::is_control) {
        return Err(r##"contains "+", "#", "/", "$" or a control character"##);
    }
    if client_id.starts_with(OWN_CLIENT_IDS) {
        return Err(r#"begins with "@", as only the gateway's own do"#);
    }
    Ok(())
}

/// For messages: a stranger chooses how long it is.
pub(super) fn shortened(client_id: &str) -> String {
    match client_id.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &client_id[..end]),
        None => client_id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rumqttc::LastWill;
    use rumqttc::QoS;

    use super::*;
    use verge_tls::Secret;

    fn written(connect: &Connect) -> BytesMut {
        let mut bytes = BytesMut::new();
        connect.write(&mut bytes).unwrap();
        bytes
    }

    fn full() -> Connect {
        let mut connect = Connect::new("camera-1");
        connect.last_will = Some(LastWill::new("site/camera-1/state", "gone", QoS::AtLeastOnce, true));
        connect.set_login("somebody", "something");
        connect
    }

    #[tokio::test]
    async fn connect_is_read_however_it_arrives_and_what_follows_is_kept() {
        let mut bytes = written(&full());
        bytes.extend_from_slice(b"\xc0\x00");
        for split in 0..bytes.len() {
            let mut stream = (&bytes[..split]).chain(&bytes[split..]);
            let ((connect, five), rest) = read(&mut stream, &mut false).await.unwrap();
            assert_eq!((connect, five), (full(), None), "{split}");
            let mut left = Vec::new();
            stream.read_to_end(&mut left).await.unwrap();
            assert_eq!([&rest[..], &left[..]].concat(), b"\xc0\x00", "{split}");
        }
        assert!(matches!(read(&mut &bytes[..10], &mut false).await, Err(ConnectRefusal::Left)));
    }

    #[test]
    fn what_is_no_connect_is_refused_early() {
        let check = |bytes: &[u8], words: &str| {
            let refusal = take(&mut BytesMut::from(bytes), &mut false).unwrap_err();
            assert!(refusal.to_string().contains(words), "{bytes:?}: {refusal}");
        };
        check(b"GET / HTTP/1.1", "did not begin with CONNECT");
        check(b"\x16\x03\x01", "is TLS off");
        check(b"\x11", "did not begin with CONNECT");
        check(b"\x10\xff\xff\xff\x7f", "has 268435455 bytes");
        check(b"\x10\x81\x80\x01", "has 16385 bytes");
        check(b"\x10\xff\xff\xff\xff\x01", "malformed");
        check(b"\x10\x02\0\x04", "malformed");
        check(b"\x10\x08\0\x04MQTX\x04\x02", "malformed");
        // Version 3.1, with an empty client identifier.
        check(b"\x10\x0e\0\x06MQIsdp\x03\x02\0\x3c\0\0", "protocol level 3");
        check(b"\x10\x0c\0\x04MQTT\x84\x02\0\x3c\0\0", "protocol level 132");
        for incomplete in [&b""[..], b"\x10", b"\x10\x80", b"\x10\x80\x80\x01", b"\x10\x0c\0\x04MQTT\x05"] {
            assert!(take(&mut BytesMut::from(incomplete), &mut false).unwrap().is_none(), "{incomplete:?}");
        }
    }

    #[test]
    fn clients_are_judged_by_their_identifier() {
        let check = |client_id: &str, clean_session: bool, words: Option<&str>| {
            let mut connect = Connect::new(client_id);
            connect.clean_session = clean_session;
            match (admit(connect, None), words) {
                (Ok(_), None) => {}
                (Err(refusal), Some(words)) => {
                    assert!(refusal.to_string().contains(words), "{refusal}");
                    assert_eq!(refusal.code(), Some(ConnectReturnCode::BadClientId));
                }
                (result, _) => panic!("{client_id:?}: {result:?}"),
            }
        };
        for good in ["camera-1", "Waage 3", "Tür", "a@b", &"x".repeat(MAX_CLIENT_ID_BYTES)] {
            check(good, false, None);
        }
        check("", true, None);
        check("", false, Some("is empty"));
        for bad in ["cam/1", "cam+", "#", "$SYS", "a\nb", "a\0"] {
            check(bad, true, Some("contains"));
        }
        check("@verge-gateway", true, Some("only the gateway's"));
        check(&"x".repeat(MAX_CLIENT_ID_BYTES + 1), true, Some("xxx…\" is longer"));
    }

    #[test]
    fn wills_that_would_stop_the_router_are_refused() {
        let check = |topic: &str, good: bool| {
            let mut connect = Connect::new("c");
            connect.last_will = Some(LastWill::new(topic, "gone", QoS::AtMostOnce, false));
            let admitted = admit(connect, None);
            assert_eq!(admitted.is_ok(), good, "{topic:?}: {admitted:?}");
        };
        check("site/Öl", true);
        for bad in ["", "a/+", "Öl/1", "$share/g/t", "a\0b"] {
            check(bad, false);
        }
    }

    #[test]
    fn the_login_is_replaced_and_the_rest_is_kept() {
        let login = Credentials { username: "verge".to_owned(), password: Secret::new("right".to_owned()) };
        let expected = Connect { login: Some(Login::new("verge", "right")), ..full() };
        assert_eq!(admit(full(), Some(&login)).unwrap(), expected);
        assert_eq!(admit(full(), None).unwrap(), full());
        let silent = Connect { keep_alive: 0, login: None, ..full() };
        let admitted = admit(silent, Some(&login)).unwrap();
        assert_eq!(admitted, Connect { keep_alive: KEEP_ALIVE_FOR_NONE, ..expected.clone() });
        let patient = Connect { keep_alive: u16::MAX, ..full() };
        assert_eq!(admit(patient, Some(&login)).unwrap(), Connect { keep_alive: MAX_KEEP_ALIVE, ..expected });
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_panic(
            tail in proptest::collection::vec(any::<u8>(), 0..200),
            flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let mut mutated = written(&full());
            for (index, byte) in flips {
                let at = index.index(mutated.len());
                mutated[at] = byte;
            }
            let mut begun = BytesMut::from(&[CONNECT, tail.len() as u8][..]);
            begun.extend_from_slice(&tail);
            for mut bytes in [mutated, begun, BytesMut::from(&tail[..])] {
                if let Ok(Some((connect, _))) = take(&mut bytes, &mut false) {
                    drop(admit(connect, None));
                }
            }
        }
    }
}

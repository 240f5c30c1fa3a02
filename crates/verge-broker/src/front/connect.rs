//! The CONNECT packet of a client: read within bounds, judged, rewritten.
//!
//! The guard of rumqttd begins here. What it must not see: client identifiers that it refuses after it has begun to
//! serve them (the second attempt would stop its listener for good), a keep-alive of 0, other protocol versions, last
//! wills on topics that stop its router.

mod shape;

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
    #[error(
        "it had stalled before its CONNECT was complete, and as many of its address waited as may (local.max_waiting_per_address)"
    )]
    GaveWay,
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
    #[error(
        "its certificate has no name that a device can have: {name:?}; a name has 128 bytes at most, no \"+\", \"#\", \"/\", \"$\", \":\" \
         or control character, and does not begin with \"@\""
    )]
    NoName { name: String },
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
            Self::ClientId { .. } | Self::ForeignClientId { .. } | Self::NoName { .. } => {
                Some(ConnectReturnCode::BadClientId)
            }
            Self::WillNotAllowed { .. } | Self::Revoked => Some(ConnectReturnCode::NotAuthorized),
            Self::Password => Some(ConnectReturnCode::BadUserNamePassword),
            Self::TooManyClientIds => Some(ConnectReturnCode::ServiceUnavailable),
            Self::NotConnect
            | Self::Late
            | Self::Left
            | Self::GaveWay
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
            Self::NotConnect | Self::Late | Self::Left | Self::GaveWay => return None,
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
            Self::Late | Self::Left | Self::GaveWay => Refusal::LateConnect,
            Self::TooLarge { .. } => Refusal::TooLarge,
            Self::Malformed(_) | Self::MalformedFive => Refusal::Malformed,
            Self::Authentication => Refusal::Authentication,
            Self::Revoked => Refusal::Revoked,
            Self::Password => Refusal::Password,
            Self::Version(_) => Refusal::ProtocolVersion,
            Self::ClientId { .. } => Refusal::ClientId,
            Self::ForeignClientId { .. } => Refusal::ForeignClientId,
            Self::NoName { .. } => Refusal::CertificateName,
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
            if !shape::is_of_a_connect(&packet) {
                return Err(ConnectRefusal::MalformedFive);
            }
            let (connect, greeting) = five::read(packet)?;
            Ok(Some((connect, Some(greeting))))
        }
        Some(level) if level != PROTOCOL_LEVEL => Err(ConnectRefusal::Version(level)),
        Some(_) if !shape::is_of_a_connect(&packet) => Err(ConnectRefusal::Malformed(Error::MalformedPacket)),
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
mod tests;

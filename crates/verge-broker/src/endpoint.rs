//! Where the broker listens and who may log in, and the one line that gives both to a child process.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use tokio::io::{AsyncRead, AsyncReadExt};
use verge_tls::{Credentials, Secret};

/// First words of the start message; the number counts its changes.
const GREETING: &str = "verge-broker 2 ";
/// The same as people write it: without the size of a segment.
const GREETING_OF_PEOPLE: &str = "verge-broker 1 ";
/// Far above the length of any start message.
const MAX_LINE_BYTES: u64 = 512;
/// Longest user name or password in a start message, in bytes.
const MAX_WORD_BYTES: usize = 64;
/// A CONNECT packet with a small last will has room in this.
const MIN_PACKET_BYTES: usize = 1024;
/// The largest packet there can be (MQTT 3.1.1, section 2.2.3).
const MAX_PACKET_BYTES: usize = 268_435_460;
/// Random bytes in a password.
const PASSWORD_BYTES: usize = 16;
/// A segment takes packets until it has that many bytes: the last of them may be larger than all others together. rumqttd takes no less
/// than the least.
pub(crate) const SEGMENT_BYTES: RangeInclusive<usize> = 4 * 1024..=8 * 1024 * 1024;
/// Without frames, what a reader may fall behind by is as much as other brokers keep.
const MOST_FIRST_SEGMENT_PACKETS: usize = 4;
const LEAST_FIRST_SEGMENT_BYTES: usize = 1024 * 1024;

/// Address on loopback, the one user that the broker knows, and the packet limit both sides keep to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    pub(crate) credentials: Credentials,
    /// Without the packet's fixed header.
    pub(crate) max_packet_bytes: usize,
    /// Of the log of each topic filter: it has two of them.
    pub(crate) segment_bytes: usize,
}

/// Why what came on standard input is no start message.
#[derive(Debug, thiserror::Error)]
pub enum StartMessageError {
    /// The other end is closed, or there was none.
    #[error(
        "standard input ended before the start message; `verge run` starts this program and gives it one"
    )]
    Ended,
    /// It cannot be read.
    #[error("the start message cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It has another form. What came is not shown: it may hold a password.
    #[error("what came on standard input is not the start message of this version: {0}")]
    Malformed(&'static str),
}

/// The size of a segment, where nothing is known of what readers there are.
fn first_segment(max_packet_bytes: usize) -> usize {
    let packets = max_packet_bytes.saturating_mul(MOST_FIRST_SEGMENT_PACKETS);
    packets.clamp(LEAST_FIRST_SEGMENT_BYTES, *SEGMENT_BYTES.end())
}

impl Endpoint {
    /// With a password of its own.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn random(address: SocketAddr, max_packet_bytes: usize) -> Result<Self, getrandom::Error> {
        let mut bytes = [0; PASSWORD_BYTES];
        getrandom::fill(&mut bytes)?;
        let password = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let credentials = Credentials { username: "verge".to_owned(), password: Secret::new(password) };
        let segment_bytes = first_segment(max_packet_bytes);
        Ok(Self { address, credentials, max_packet_bytes, segment_bytes })
    }

    /// The start message, with the line break at its end.
    pub(crate) fn to_line(&self) -> Secret {
        let Self {
            address,
            credentials: Credentials { username, password },
            max_packet_bytes,
            segment_bytes,
        } = self;
        let (port, password) = (address.port(), password.reveal());
        Secret::new(format!("{GREETING}{port} {max_packet_bytes} {segment_bytes} {username} {password}\n"))
    }

    /// Takes one line off the input, and nothing behind it.
    ///
    /// # Errors
    /// See [`StartMessageError`].
    pub(crate) async fn read(input: &mut (impl AsyncRead + Unpin)) -> Result<Self, StartMessageError> {
        let mut line = Vec::new();
        let mut input = input.take(MAX_LINE_BYTES);
        loop {
            let mut byte = [0];
            match input.read(&mut byte).await? {
                0 if line.is_empty() => return Err(StartMessageError::Ended),
                0 => return Err(StartMessageError::Malformed("it has no end")),
                _ if byte == [b'\n'] => break,
                _ => line.extend_from_slice(&byte),
            }
        }
        let line = str::from_utf8(&line).map_err(|_| StartMessageError::Malformed("it is no text"))?;
        Self::parse(line).map_err(StartMessageError::Malformed)
    }

    fn parse(line: &str) -> Result<Self, &'static str> {
        let (words, has_segment) = match (line.strip_prefix(GREETING), line.strip_prefix(GREETING_OF_PEOPLE))
        {
            (Some(words), _) => (words, true),
            (None, Some(words)) => (words, false),
            (None, None) => return Err("it begins with other words"),
        };
        let words: Vec<&str> = words.split(' ').collect();
        let (port, max_packet_bytes, segment_bytes, username, password) = match (&words[..], has_segment) {
            (&[port, packet, segment, username, password], true) => {
                (port, packet, Some(segment), username, password)
            }
            (&[port, packet, username, password], false) => (port, packet, None, username, password),
            _ => return Err("it has another number of words"),
        };
        let port = port
            .parse()
            .ok()
            .filter(|&port: &u16| port != 0)
            .ok_or("the port is not a number from 1 to 65535")?;
        let max_packet_bytes = max_packet_bytes
            .parse()
            .ok()
            .filter(|bytes| (MIN_PACKET_BYTES..=MAX_PACKET_BYTES).contains(bytes))
            .ok_or("the packet limit is out of range")?;
        let segment_bytes = segment_bytes
            .map_or(Some(first_segment(max_packet_bytes)), |segment| segment.parse().ok())
            .filter(|bytes| SEGMENT_BYTES.contains(bytes))
            .ok_or("the size of a segment is out of range")?;
        let is_word = |word: &str| {
            (1..=MAX_WORD_BYTES).contains(&word.len())
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if !is_word(username) || !is_word(password) {
            return Err("user name or password is empty, too long or holds other than letters and digits");
        }
        let credentials =
            Credentials { username: username.to_owned(), password: Secret::new(password.to_owned()) };
        let address = (Ipv4Addr::LOCALHOST, port).into();
        Ok(Self { address, credentials, max_packet_bytes, segment_bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_start_message_makes_the_round_trip_and_others_are_refused() {
        let endpoint = Endpoint::random((Ipv4Addr::LOCALHOST, 40_000).into(), 65_536).unwrap();
        let line = endpoint.to_line();
        assert_eq!(Endpoint::parse(line.reveal().trim_end()), Ok(endpoint.clone()));
        assert!(!format!("{endpoint:?} {line:?}").contains(endpoint.credentials.password.reveal()));

        let check = |line: &str, expected: &str| {
            assert_eq!(Endpoint::parse(line).unwrap_err(), expected, "{line}");
        };
        check("", "it begins with other words");
        let of_people = Endpoint::parse("verge-broker 1 1883 65536 u p").unwrap();
        assert_eq!((of_people.address.port(), of_people.segment_bytes), (1883, 1024 * 1024));
        check("verge-broker 1 1883 65536 4096 u p", "it has another number of words");
        check("verge-broker 3 1883 65536 4096 u p", "it begins with other words");
        check("verge-broker 21883 65536 4096 u p", "it begins with other words");
        check("verge-broker 2 1883 65536 4096 u", "it has another number of words");
        check("verge-broker 2 1883 65536 4096 u p p", "it has another number of words");
        check("verge-broker 2 0 65536 4096 u p", "the port is not a number from 1 to 65535");
        check("verge-broker 2 65536 65536 4096 u p", "the port is not a number from 1 to 65535");
        check("verge-broker 2 1883 1023 4096 u p", "the packet limit is out of range");
        check("verge-broker 2 1883 268435461 4096 u p", "the packet limit is out of range");
        check("verge-broker 2 1883 65536 4095 u p", "the size of a segment is out of range");
        check("verge-broker 2 1883 65536 8388609 u p", "the size of a segment is out of range");
        check(
            "verge-broker 2 1883 65536 4096  p",
            "user name or password is empty, too long or holds other than letters and digits",
        );
        check(
            "verge-broker 2 1883 65536 4096 u p\r",
            "user name or password is empty, too long or holds other than letters and digits",
        );
        check(
            &format!("verge-broker 2 1883 65536 4096 u {}", "p".repeat(65)),
            "user name or password is empty, too long or holds other than letters and digits",
        );
    }

    #[tokio::test]
    async fn exactly_one_line_is_read() {
        let endpoint = Endpoint::random((Ipv4Addr::LOCALHOST, 40_000).into(), 65_536).unwrap();
        let text = format!("{}rest", endpoint.to_line().reveal());
        let mut input = text.as_bytes();
        assert_eq!(Endpoint::read(&mut input).await.unwrap(), endpoint);
        assert_eq!(input, b"rest");
        let read = async |mut input: &[u8]| Endpoint::read(&mut input).await.unwrap_err();
        assert!(matches!(read(b"").await, StartMessageError::Ended));
        assert!(matches!(read(b"verge-broker 2").await, StartMessageError::Malformed("it has no end")));
        assert!(matches!(read(&[b'x'; 1000]).await, StartMessageError::Malformed("it has no end")));
        assert!(matches!(read(b"\xff\n").await, StartMessageError::Malformed("it is no text")));
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_panic(tail in any::<String>()) {
            drop(Endpoint::parse(&tail));
            drop(Endpoint::parse(&format!("{GREETING}{tail}")));
        }
    }
}

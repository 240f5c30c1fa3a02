//! Frames of OPC UA over TCP (part 6, section 7.1), as far as they are looked at before the library reads them. It would set
//! aside whatever length a stranger announces.

/// Type, kind of chunk, size.
pub(crate) const HEADER: usize = 8;
/// What the server negotiates as the size of a chunk, at most.
pub(crate) const MAX_FRAME: usize = 65_535;
/// The longest Hello: its URL has 4,096 bytes.
const MAX_HELLO: usize = 32 + 4096;

/// A frame, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Hello,
    Open,
    Message {
        /// Its last chunk.
        is_final: bool,
    },
    Close,
}

/// Kind and whole length of the frame that begins here; `None`: its header is not whole yet.
pub(crate) fn frame(bytes: &[u8], is_first: bool) -> Result<Option<(Kind, usize)>, &'static str> {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER>() else {
        // Other protocols are not waited for.
        let known = [b"HEL", b"OPN", b"MSG", b"CLO"].iter().any(|kind| {
            let count = bytes.len().min(kind.len());
            kind.get(..count) == bytes.get(..count)
        });
        return if known { Ok(None) } else { Err("not OPC UA") };
    };
    let [first, second, third, chunk, size @ ..] = *header;
    let kind = match &[first, second, third] {
        b"HEL" => Kind::Hello,
        b"OPN" => Kind::Open,
        b"MSG" => Kind::Message { is_final: chunk == b'F' },
        b"CLO" => Kind::Close,
        _ => return Err("not OPC UA"),
    };
    if !matches!(chunk, b'F' | b'C' | b'A') {
        return Err("a chunk of an unknown kind");
    }
    if is_first != (kind == Kind::Hello) {
        return Err("a Hello was expected first, and once");
    }
    let length = usize::try_from(u32::from_le_bytes(size)).map_err(|_| "a frame that is too long")?;
    let most = if kind == Kind::Hello { MAX_HELLO } else { MAX_FRAME };
    if length <= HEADER || length > most {
        return Err("a frame of 9 to 65535 bytes was expected, and a Hello of 4128 at most");
    }
    Ok(Some((kind, length)))
}

/// The URI of the security policy of an Open, and the certificate of the client.
pub(crate) fn opened(frame: &[u8]) -> Option<(&str, &[u8])> {
    // Behind the header stands the number of the channel.
    let rest = frame.get(HEADER + 4..)?;
    let (policy, rest) = counted(rest)?;
    let (certificate, _) = counted(rest)?;
    Some((std::str::from_utf8(policy).ok()?, certificate))
}

/// Bytes behind their number; a negative number is none.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(i32::from_le_bytes(*count).max(0)).ok()?)
}

/// Counts the answers in what the server says, piece by piece.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    header: Vec<u8>,
    /// Bytes of the present frame that are still to come.
    left: usize,
}

impl Answers {
    /// Answers that are complete, or begin their last chunk, within these bytes.
    pub(crate) fn count(&mut self, mut bytes: &[u8]) -> usize {
        let mut answers = 0;
        while !bytes.is_empty() {
            if self.left > 0 {
                let (_, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.left -= bytes.len() - rest.len();
                bytes = rest;
                continue;
            }
            let (begun, rest) = bytes.split_at((HEADER - self.header.len()).min(bytes.len()));
            self.header.extend_from_slice(begun);
            bytes = rest;
            if let Some((header, _)) = self.header.split_first_chunk::<HEADER>() {
                let [kind @ .., a, b, c, d] = *header;
                let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(HEADER);
                answers += usize::from(&kind == b"MSGF");
                self.left = length.saturating_sub(HEADER);
                self.header.clear();
            }
        }
        answers
    }
}

/// Says to the client why its connection ends.
pub(crate) fn error_frame(status: u32, reason: &str) -> Vec<u8> {
    let reason = reason.as_bytes();
    let mut bytes = b"ERRF".to_vec();
    for number in [HEADER as u32 + 8 + reason.len() as u32, status, reason.len() as u32] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(reason);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(kind: &[u8; 4], length: u32) -> Vec<u8> {
        [&kind[..], &length.to_le_bytes()].concat()
    }

    #[test]
    fn headers_are_checked_before_anything_is_set_aside() {
        assert_eq!(frame(b"", true), Ok(None));
        assert_eq!(frame(b"HE", true), Ok(None));
        assert_eq!(frame(b"GE", true), Err("not OPC UA"));
        assert_eq!(frame(&bytes(b"HELF", 60), true), Ok(Some((Kind::Hello, 60))));
        assert!(frame(&bytes(b"HELF", 60), false).is_err(), "a second one");
        assert!(frame(&bytes(b"MSGF", 60), true).is_err(), "none");
        assert_eq!(frame(&bytes(b"MSGC", 60), false), Ok(Some((Kind::Message { is_final: false }, 60))));
        assert_eq!(frame(&bytes(b"CLOF", 65_535), false), Ok(Some((Kind::Close, 65_535))));
        for (kind, length) in
            [(b"MSGF", u32::MAX), (b"MSGF", 65_536), (b"OPNF", 8), (b"OPNF", 0), (b"MSGX", 60)]
        {
            assert!(frame(&bytes(kind, length), false).is_err(), "{kind:?} {length}");
        }
        assert!(frame(&bytes(b"HELF", 5000), true).is_err());
    }

    #[test]
    fn policy_and_certificate_of_an_open_are_read_within_their_lengths() {
        let open = |policy: &str, certificate: &[u8]| {
            let mut open = bytes(b"OPNF", 0);
            open.extend([1, 0, 0, 0]);
            for part in [policy.as_bytes(), certificate] {
                open.extend((part.len() as i32).to_le_bytes());
                open.extend(part);
            }
            open
        };
        let whole = open("http://example.org/policy", b"cert");
        assert_eq!(opened(&whole), Some(("http://example.org/policy", &b"cert"[..])));
        assert_eq!(opened(&whole[..whole.len() - 1]), None);
        let mut lying = whole.clone();
        lying[12..16].copy_from_slice(&i32::MAX.to_le_bytes());
        assert_eq!(opened(&lying), None);
        lying[12..16].copy_from_slice(&(-1_i32).to_le_bytes());
        assert!(opened(&lying).is_none_or(|(policy, _)| policy.is_empty()));
        assert_eq!(opened(b"OPNF"), None);
    }

    #[test]
    fn answers_are_counted_however_they_are_cut() {
        let mut said = [bytes(b"ACKF", 28), vec![0; 20], bytes(b"OPNF", 10), vec![0; 2]].concat();
        for (kind, length) in [(b"MSGC", 300_u32), (b"MSGF", 9), (b"MSGF", 70), (b"ERRF", 16)] {
            said.extend(bytes(kind, length));
            said.extend(vec![b'F'; length as usize - HEADER]);
        }
        for cut in [1, 3, 8, 50, said.len()] {
            let mut answers = Answers::default();
            assert_eq!(said.chunks(cut).map(|piece| answers.count(piece)).sum::<usize>(), 2, "{cut}");
        }
    }

    #[test]
    fn the_end_of_a_connection_has_a_reason() {
        let frame = error_frame(0x8013_0000, "no");
        assert_eq!(frame, b"ERRF\x12\0\0\0\0\0\x13\x80\x02\0\0\0no");
    }
}

//! Saved state: versioned, checksummed, exact.
//!
//! `[version u8][detector u8][CRC-32C of the rest, little-endian][postcard]`. Floats are written bit by bit, so that a
//! detector which restores its state continues as if nothing had happened.

use serde::Serialize;
use serde::de::DeserializeOwned;
use verge_domain::stage::RestoreError;

/// Raised when the meaning of any saved state changes: a detector then starts again and reports it.
const VERSION: u8 = 1;
const HEAD: usize = 6;

/// Whose state it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StateKind {
    Auto = 0,
    Multi = 1,
    Pattern = 2,
    Vibration = 3,
    Autoencoder = 4,
    Cusum = 5,
    Health = 6,
    /// The shapes alone that a pattern detector knows.
    Shapes = 7,
    /// The baseline alone of a vibration detector.
    Blocks = 8,
    Reconstruction = 9,
    /// The readings that a detector `auto` is to be made of.
    FirstReadings = 10,
    Report = 11,
    /// What the instances of one judge share.
    Pool = 12,
    Scene = 13,
    Appearance = 20,
    Camera = 14,
}

#[derive(Debug, thiserror::Error)]
#[error("its checksum is wrong")]
struct WrongChecksum;

/// Writes a state.
pub(crate) fn seal<T: Serialize>(kind: StateKind, state: &T) -> Vec<u8> {
    let head = vec![0; HEAD];
    let mut bytes = postcard::to_extend(state, head).expect("states hold numbers and lists only");
    let checksum = crc32c::crc32c(&bytes[HEAD..]);
    bytes[0] = VERSION;
    bytes[1] = kind as u8;
    bytes[2..HEAD].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Writes a state and, behind it, what earlier versions did not know, the newest last: they read what they know and pass
/// over the rest.
pub(crate) fn seal_with<T: Serialize, M: Serialize, N: Serialize>(
    kind: StateKind,
    state: &T,
    more: &M,
    newest: &N,
) -> Vec<u8> {
    seal(kind, &(state, more, newest))
}

/// Reads all of it; what an earlier version did not write is what it is at first.
pub(crate) fn open_with<T, M, N>(kind: StateKind, bytes: &[u8]) -> Result<(T, M, N), RestoreError>
where
    T: DeserializeOwned,
    M: DeserializeOwned + Default,
    N: DeserializeOwned + Default,
{
    let mut parts = SavedParts::of(kind, bytes)?;
    Ok((parts.first()?, parts.next()?, parts.next()?))
}

/// The parts of a state, which stand one behind the other. Each that a version has added is read by itself: a part that
/// ends early is damaged, and one that is not there is what it is at first.
pub(crate) struct SavedParts<'a> {
    rest: &'a [u8],
}

impl<'a> SavedParts<'a> {
    pub(crate) fn of(kind: StateKind, bytes: &'a [u8]) -> Result<Self, RestoreError> {
        Ok(Self { rest: body_of(kind, bytes)? })
    }

    /// What every version has written.
    pub(crate) fn first<T: DeserializeOwned>(&mut self) -> Result<T, RestoreError> {
        let (part, rest) = postcard::take_from_bytes(self.rest).map_err(damaged)?;
        self.rest = rest;
        Ok(part)
    }

    /// What stands behind it.
    pub(crate) fn next<T: DeserializeOwned + Default>(&mut self) -> Result<T, RestoreError> {
        if self.rest.is_empty() { Ok(T::default()) } else { self.first() }
    }
}

fn damaged(error: postcard::Error) -> RestoreError {
    RestoreError::Damaged(Box::new(error))
}

/// Whether a state is of this kind, sound or not.
pub(crate) fn is_of(kind: StateKind, bytes: &[u8]) -> bool {
    bytes.get(1) == Some(&(kind as u8))
}

/// Reads a state.
pub(crate) fn open<T: DeserializeOwned>(kind: StateKind, bytes: &[u8]) -> Result<T, RestoreError> {
    postcard::from_bytes(body_of(kind, bytes)?).map_err(damaged)
}

fn body_of(kind: StateKind, bytes: &[u8]) -> Result<&[u8], RestoreError> {
    let (head, body) = bytes.split_at_checked(HEAD).ok_or(RestoreError::Foreign)?;
    if head[..2] != [VERSION, kind as u8] {
        return Err(RestoreError::Foreign);
    }
    if head[2..] != crc32c::crc32c(body).to_le_bytes() {
        return Err(RestoreError::Damaged(Box::new(WrongChecksum)));
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_comes_back_and_nothing_else() {
        let sealed = seal(StateKind::Auto, &(1.5_f64, vec![1_u16, 2]));
        assert_eq!(open::<(f64, Vec<u16>)>(StateKind::Auto, &sealed).unwrap(), (1.5, vec![1, 2]));
        let check = |bytes: &[u8], kind: StateKind, foreign: bool| {
            let error = open::<(f64, Vec<u16>)>(kind, bytes).unwrap_err();
            assert_eq!(matches!(error, RestoreError::Foreign), foreign, "{error}");
        };
        check(&sealed, StateKind::Multi, true);
        check(&sealed[..3], StateKind::Auto, true);
        check(b"heard", StateKind::Auto, true);
        for place in 2..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[place] ^= 1;
            check(&damaged, StateKind::Auto, false);
        }
        check(&sealed[..sealed.len() - 1], StateKind::Auto, false);
    }

    #[test]
    fn what_stands_behind_a_state_is_empty_where_an_earlier_version_wrote_it() {
        let state = (1.5_f64, vec![1_u16, 2]);
        let check = |sealed: &[u8], more: &[u8], newest: u32| {
            let opened: ((f64, Vec<u16>), Vec<u8>, u32) = open_with(StateKind::Auto, sealed).unwrap();
            assert_eq!(opened, (state.clone(), more.to_vec(), newest));
        };
        check(&seal(StateKind::Auto, &state), &[], 0);
        check(&seal(StateKind::Auto, &(&state, vec![7_u8])), &[7], 0);
        let sealed = seal_with(StateKind::Auto, &state, &vec![7_u8], &300_u32);
        check(&sealed, &[7], 300);
        let cut = seal(StateKind::Auto, &(&state, 5_u8));
        assert!(open_with::<(f64, Vec<u16>), Vec<u8>, u32>(StateKind::Auto, &cut).is_err(), "it ends within");
        assert_eq!(
            open::<(f64, Vec<u16>)>(StateKind::Auto, &sealed).unwrap(),
            state,
            "and is skipped by those"
        );
    }
}

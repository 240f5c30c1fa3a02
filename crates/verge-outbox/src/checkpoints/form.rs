//! How a state is stored: as it is, or sealed.

use crate::key::Cipher;
use crate::row::Binding;

/// How a state is stored; stands in the checksum, as with rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StateForm {
    /// As it is, under its key.
    Plain,
    /// Sealed, under its key: as versions up to 2 of the schema did.
    SealedUnderKey,
    /// Sealed together with its key, under a name that does not reveal it.
    Sealed,
}

impl StateForm {
    pub(super) fn crc(self, name: &str, state: &[u8], seed: u32) -> i32 {
        let start = crc32c::crc32c_append(crc32c::crc32c_append(seed, name.as_bytes()), state);
        match self {
            Self::Plain => start,
            Self::SealedUnderKey => crc32c::crc32c_append(start, b"sealed"),
            Self::Sealed => crc32c::crc32c_append(start, b"sealed with its key"),
        }
        .cast_signed()
    }

    pub(super) fn of(name: &str, crc: i32, state: &[u8], binding: &Binding) -> Option<Self> {
        let seeds = std::iter::once(binding.seed()).chain(binding.takes_unbound().then_some(0));
        let mut forms = seeds.flat_map(|seed| {
            [Self::Plain, Self::SealedUnderKey, Self::Sealed].map(|form| (form, form.crc(name, state, seed)))
        });
        forms.find(|&(_, found)| found == crc).map(|(form, _)| form)
    }
}

/// A state as it is stored.
pub(super) struct StateRow {
    pub(super) name: String,
    pub(super) crc: i32,
    pub(super) state: Vec<u8>,
}

impl StateRow {
    pub(super) fn of(key: &str, state: &[u8], cipher: Option<&Cipher>, binding: &Binding) -> Self {
        let (form, name, state) = match cipher {
            None => (StateForm::Plain, key.to_owned(), state.to_vec()),
            Some(cipher) => {
                let name = cipher.name(key);
                let length = u32::try_from(key.len()).expect("keys are names, not gibibytes");
                let text = [&length.to_le_bytes()[..], key.as_bytes(), state].concat();
                let sealed = cipher.seal(name.as_bytes(), &text);
                (StateForm::Sealed, name, sealed)
            }
        };
        Self { crc: form.crc(&name, &state, binding.seed()), name, state }
    }
}

/// Key and state of what is stored; `None` if it does not open.
pub(super) fn open(
    name: &str,
    state: &[u8],
    form: StateForm,
    cipher: Option<&Cipher>,
) -> Option<(String, Vec<u8>)> {
    match form {
        StateForm::Plain => Some((name.to_owned(), state.to_vec())),
        StateForm::SealedUnderKey => Some((name.to_owned(), cipher?.open(name.as_bytes(), state)?)),
        StateForm::Sealed => {
            let text = cipher?.open(name.as_bytes(), state)?;
            let (length, rest) = text.split_first_chunk::<4>()?;
            let (key, state) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
            Some((String::from_utf8(key.to_vec()).ok()?, state.to_vec()))
        }
    }
}

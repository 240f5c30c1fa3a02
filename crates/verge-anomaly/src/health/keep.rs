//! State to bytes and back: little-endian, field after field, nothing else.

use verge_domain::finding::Standing;

/// What can be saved. What is read back is what was written, bit by bit.
pub(super) trait Keep: Sized {
    fn put(&self, out: &mut Vec<u8>);

    /// Takes itself off the front of `bytes`; `None` where they are too short or mean nothing.
    fn take(bytes: &mut &[u8]) -> Option<Self>;
}

macro_rules! keep_numbers {
    ($($number:ty),*) => {$(
        impl Keep for $number {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(bytes: &mut &[u8]) -> Option<Self> {
                let (head, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Some(Self::from_le_bytes(*head))
            }
        }
    )*};
}
keep_numbers!(u8, u16, u32, u64, i64);

impl Keep for f64 {
    fn put(&self, out: &mut Vec<u8>) {
        self.to_bits().put(out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        Some(Self::from_bits(u64::take(bytes)?)).filter(|number| number.is_finite())
    }
}

impl Keep for bool {
    fn put(&self, out: &mut Vec<u8>) {
        u8::from(*self).put(out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        match u8::take(bytes)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Keep for Standing {
    fn put(&self, out: &mut Vec<u8>) {
        let code: u8 = match self {
            Self::Normal => 0,
            Self::Margin => 1,
            Self::Abnormal => 2,
        };
        code.put(out);
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        match u8::take(bytes)? {
            0 => Some(Self::Normal),
            1 => Some(Self::Margin),
            2 => Some(Self::Abnormal),
            _ => None,
        }
    }
}

impl<T: Keep> Keep for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        Some(if bool::take(bytes)? { Some(T::take(bytes)?) } else { None })
    }
}

impl<T: Keep + Copy + Default, const N: usize> Keep for [T; N] {
    fn put(&self, out: &mut Vec<u8>) {
        for value in self {
            value.put(out);
        }
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let mut all = [T::default(); N];
        for value in &mut all {
            *value = T::take(bytes)?;
        }
        Some(all)
    }
}

/// Keeps a struct: its fields in this order. A new order or field needs a new version of the state.
macro_rules! keep_struct {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::health::keep::Keep for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($crate::health::keep::Keep::put($field, out);)*
            }

            fn take(bytes: &mut &[u8]) -> Option<Self> {
                Some(Self { $($field: $crate::health::keep::Keep::take(bytes)?),* })
            }
        }
    };
}
pub(super) use keep_struct;

/// FNV-1a: tells damage, not malice.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

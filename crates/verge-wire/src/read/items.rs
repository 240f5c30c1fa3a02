//! The items of CBOR: maps, arrays, names, numbers, times.

use std::ops::RangeInclusive;

use minicbor::Decoder;
use verge_domain::id::NameError;
use verge_domain::time::UtcMillis;

use crate::WireError;

/// A field of a map, on its way from "not read yet" to its value.
pub(super) struct Field<T> {
    name: &'static str,
    value: Option<T>,
}

impl<T> Field<T> {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, value: None }
    }

    pub(super) fn set(&mut self, value: T) -> Result<(), WireError> {
        match self.value.replace(value) {
            None => Ok(()),
            Some(_) => Err(WireError::Repeated { field: self.name }),
        }
    }

    pub(super) fn optional(self) -> Option<T> {
        self.value
    }

    pub(super) fn take(self) -> Result<T, WireError> {
        self.value.ok_or(WireError::Missing { field: self.name })
    }
}

impl<T: Copy> Field<T> {
    /// What was read before.
    pub(super) fn known(&self) -> Result<T, WireError> {
        self.value.ok_or(WireError::Missing { field: self.name })
    }
}

/// Goes through a map: `read` is given each key, and the reader where its value stands.
pub(super) fn entries<'b>(
    cbor: &mut Decoder<'b>,
    field: &'static str,
    mut read: impl FnMut(u64, &mut Decoder<'b>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let stated = cbor.map()?.ok_or(WireError::Indefinite { field })?;
    for _ in 0..stated {
        let key = cbor.u64()?;
        read(key, cbor)?;
    }
    Ok(())
}

/// Goes through an array of stated length.
pub(super) fn list<'b, T>(
    cbor: &mut Decoder<'b>,
    field: &'static str,
    mut read: impl FnMut(&mut Decoder<'b>) -> Result<T, WireError>,
) -> Result<Vec<T>, WireError> {
    let stated = cbor.array()?.ok_or(WireError::Indefinite { field })?;
    let mut items = Vec::new();
    for _ in 0..stated {
        items.push(read(cbor)?);
    }
    Ok(items)
}

/// An array of so many elements.
pub(super) fn expect_array(
    cbor: &mut Decoder<'_>,
    field: &'static str,
    lengths: RangeInclusive<u64>,
) -> Result<u64, WireError> {
    let found = cbor.array()?.ok_or(WireError::Indefinite { field })?;
    if lengths.contains(&found) { Ok(found) } else { Err(WireError::Length { field, found }) }
}

pub(super) fn name<N>(
    cbor: &mut Decoder<'_>,
    field: &'static str,
    make: fn(&str) -> Result<N, NameError>,
) -> Result<N, WireError> {
    make(cbor.str()?).map_err(|source| WireError::Name { field, source })
}

pub(super) fn identity(cbor: &mut Decoder<'_>, field: &'static str) -> Result<[u8; 16], WireError> {
    cbor.bytes()?.try_into().map_err(|_| WireError::NotAnIdentity { field })
}

pub(super) fn float(cbor: &mut Decoder<'_>, field: &'static str) -> Result<f64, WireError> {
    let value = cbor.f64()?;
    if value.is_finite() { Ok(value) } else { Err(WireError::NotFinite { field }) }
}

pub(super) fn time(millis: i64, field: &'static str) -> Result<UtcMillis, WireError> {
    UtcMillis::in_range(millis).ok_or(WireError::NotATime { field })
}

pub(super) fn offset_time(from: UtcMillis, offset: i64, field: &'static str) -> Result<UtcMillis, WireError> {
    from.0.checked_add(offset).and_then(UtcMillis::in_range).ok_or(WireError::NotATime { field })
}

pub(super) fn end(cbor: &Decoder<'_>) -> Result<(), WireError> {
    match cbor.input().len().saturating_sub(cbor.position()) {
        0 => Ok(()),
        bytes => Err(WireError::Trailing { bytes }),
    }
}

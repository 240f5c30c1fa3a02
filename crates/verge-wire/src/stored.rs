//! What lies in the store as CBOR goes into a message as it is; JSON is made of it when it is sent.

use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Deserializer, Serializer};
use verge_domain::stage::StoredRow;

use crate::WireError;
use crate::portable::{AsJson, CborReader, CborWriter, Field, Omissible, Portable, Written};
use crate::tombstone::WireTombstone;
use crate::verdict::WireVerdict;

/// One value: as it is stored, or as it was read.
pub(crate) enum Stored<'a, T> {
    Bytes(&'a [u8]),
    Read(T),
}

impl<T: Portable> Stored<'_, T> {
    pub(crate) fn into_value(self) -> Result<T, WireError> {
        match self {
            Self::Bytes(bytes) => CborReader::read_all(bytes, "stored row"),
            Self::Read(value) => Ok(value),
        }
    }
}

impl<T> Default for Stored<'_, T> {
    fn default() -> Self {
        Self::Bytes(&[])
    }
}

impl<T: Omissible> Omissible for Stored<'_, T> {
    fn is_absent(&self) -> bool {
        match self {
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Read(value) => value.is_absent(),
        }
    }
}

impl<T: Portable> Portable for Stored<'_, T> {
    fn write(&self, cbor: &mut CborWriter<'_>, field: Field) -> Written {
        match self {
            Self::Bytes(bytes) => {
                cbor.splice(bytes);
                Ok(())
            }
            Self::Read(value) => value.write(cbor, field),
        }
    }

    fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
        T::read(cbor, field).map(Self::Read)
    }

    fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bytes(bytes) => {
                Stored::<T>::Bytes(bytes).into_value().map_err(S::Error::custom)?.show(json)
            }
            Self::Read(value) => value.show(json),
        }
    }

    fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        T::parse(json).map(Self::Read)
    }
}

/// What stored rows may be.
pub(crate) trait OfRow<'a>: Portable {
    /// The row, if it is one of these.
    fn of_row(row: &'a StoredRow) -> Option<Stored<'a, Self>>;
}

impl<'a> OfRow<'a> for WireVerdict<'a> {
    fn of_row(row: &'a StoredRow) -> Option<Stored<'a, Self>> {
        row.withdrawn.is_none().then_some(Stored::Bytes(&row.bytes))
    }
}

impl<'a> OfRow<'a> for WireTombstone<'a> {
    fn of_row(row: &'a StoredRow) -> Option<Stored<'a, Self>> {
        Self::of_row(row).map(Stored::Read)
    }
}

/// The list of those among stored rows that are of one kind, or the list that was read.
pub(crate) enum RowList<'a, T> {
    Stored(&'a [StoredRow]),
    Read(Vec<T>),
}

impl<'a, T: OfRow<'a>> RowList<'a, T> {
    fn of(rows: &'a [StoredRow]) -> impl Iterator<Item = Stored<'a, T>> + Clone {
        rows.iter().filter_map(T::of_row)
    }

    /// The list, each of its values converted.
    pub(crate) fn into_read<V>(
        self,
        convert: impl Fn(T) -> Result<V, WireError>,
    ) -> Result<Vec<V>, WireError> {
        match self {
            Self::Stored(rows) => Self::of(rows).map(|row| convert(row.into_value()?)).collect(),
            Self::Read(items) => items.into_iter().map(convert).collect(),
        }
    }
}

impl<T> Default for RowList<'_, T> {
    fn default() -> Self {
        Self::Read(Vec::new())
    }
}

impl<'a, T: OfRow<'a>> Omissible for RowList<'a, T> {
    fn is_absent(&self) -> bool {
        match self {
            Self::Stored(rows) => Self::of(rows).next().is_none(),
            Self::Read(items) => items.is_empty(),
        }
    }
}

impl<'a, T: OfRow<'a>> Portable for RowList<'a, T> {
    fn write(&self, cbor: &mut CborWriter<'_>, field: Field) -> Written {
        match self {
            Self::Stored(rows) => {
                cbor.items.array(u64::try_from(Self::of(rows).count()).unwrap_or(u64::MAX))?;
                Self::of(rows).try_for_each(|row| row.write(cbor, field))
            }
            Self::Read(items) => items.write(cbor, field),
        }
    }

    fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
        let mut items = Vec::new();
        for _ in 0..cbor.array(field)? {
            // Times are counted from the receipt of their own verdict.
            cbor.received = None;
            items.push(T::read(cbor, field)?);
        }
        Ok(Self::Read(items))
    }

    fn show<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Stored(rows) => {
                let mut list = json.serialize_seq(None)?;
                for row in Self::of(rows) {
                    list.serialize_element(&AsJson(&row))?;
                }
                list.end()
            }
            Self::Read(items) => items.show(json),
        }
    }

    fn parse<'de, D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        Vec::parse(json).map(Self::Read)
    }
}

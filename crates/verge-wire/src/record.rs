//! Makes a type portable by one table of its members.
//!
//! A table says of each member its key in CBOR and its name, which is its name in JSON too:
//!
//! ```text
//! record! { Health: "health" { 0 cause, 1 observed, 2 expected optional } }
//! ```
//!
//! A member that is `optional` is left out where there is nothing to say; one that is `late` was added after the first
//! version: it is always written, and what an older gateway wrote is read without it. `0 lasted_s (SpanMs)` says that the
//! member travels as a [`SpanMs`](crate::scalar::Span). Where the members of the type stand otherwise than in the table, the
//! type's pattern is given in front: `[Event { id, state, since, lasted_ms: lasted_s }]`.

/// A member of a record as it is written: `None` where it is left out.
macro_rules! present {
    ($field:ident optional) => {
        (!$crate::portable::Omissible::is_absent($field)).then_some($field)
    };
    ($field:ident $($late:ident)?) => {
        Some($field)
    };
}

/// A member of a record as it was read.
macro_rules! found {
    ($slot:ident, $missing:expr) => {
        $slot.ok_or_else(|| $missing)?
    };
    ($slot:ident, $missing:expr, $mark:ident) => {
        $slot.unwrap_or_default()
    };
}

/// `write` and `read` of a record that is a map in CBOR.
macro_rules! cbor_map {
    ([$($shape:tt)+] $record:literal { $($key:literal $field:ident $(($form:ident))? $($mark:ident)?),+ $(,)? }) => {
        #[cfg(test)]
        const TABLE: &'static [$crate::portable::Row] =
            &[$(($key, stringify!($field), stringify!($($mark)?))),+];

        fn write(
            &self,
            cbor: &mut $crate::portable::CborWriter<'_>,
            _: $crate::portable::Field,
        ) -> $crate::portable::Written {
            let $($shape)+ = self;
            $(
                let $field = &$($form)? (*$field);
                let $field = $crate::record::present!($field $($mark)?);
            )+
            let entries = 0u64$(.saturating_add($field.map_or(0, $crate::portable::RecordMember::entries)))+;
            cbor.items.map(entries)?;
            $(if let Some(value) = $field {
                let label = concat!($record, " ", stringify!($field));
                $crate::portable::RecordMember::write_entries(value, $key, cbor, label)?;
            })+
            Ok(())
        }

        fn read(
            cbor: &mut $crate::portable::CborReader<'_>,
            _: $crate::portable::Field,
        ) -> Result<Self, $crate::WireError> {
            $(let mut $field = None;)+
            for _ in 0..cbor.map($record)? {
                let key = cbor.items.u64()?;
                $(if let Some(at) = $crate::portable::place(&$field, $key, key) {
                    let label = concat!($record, " ", stringify!($field));
                    $crate::portable::RecordMember::read_entry(&mut $field, at, cbor, label)?;
                    continue;
                })+
                // Later versions may add keys.
                cbor.items.skip()?;
            }
            $(
                #[allow(unused_parens, reason = "without a form the pattern is the name alone")]
                let $($form)? ($field) = $crate::record::found!(
                    $field,
                    $crate::WireError::Missing { field: concat!($record, " ", stringify!($field)) }
                    $(, $mark)?
                );
            )+
            Ok($($shape)+)
        }
    };
}

/// `write` and `read` of a record that is an array in CBOR; at most the last of its members is optional.
macro_rules! cbor_array {
    ([$($shape:tt)+] $record:literal { $($field:ident $($mark:ident)?),+ $(,)? }) => {
        fn write(
            &self,
            cbor: &mut $crate::portable::CborWriter<'_>,
            _: $crate::portable::Field,
        ) -> $crate::portable::Written {
            let $($shape)+ = self;
            $(let $field = $crate::record::present!($field $($mark)?);)+
            let elements = 0u64$(.saturating_add(u64::from($field.is_some())))+;
            cbor.items.array(elements)?;
            $(if let Some(value) = $field {
                $crate::portable::Portable::write(value, cbor, concat!($record, " ", stringify!($field)))?;
            })+
            Ok(())
        }

        fn read(
            cbor: &mut $crate::portable::CborReader<'_>,
            _: $crate::portable::Field,
        ) -> Result<Self, $crate::WireError> {
            let found = cbor.array($record)?;
            let mut left = found;
            $(let $field = match left.checked_sub(1) {
                None => None,
                Some(fewer) => {
                    left = fewer;
                    let label = concat!($record, " ", stringify!($field));
                    Some($crate::portable::Portable::read(cbor, label)?)
                }
            };)+
            let wrong = || $crate::WireError::Length { field: $record, found };
            if left > 0 {
                return Err(wrong());
            }
            $(let $field = $crate::record::found!($field, wrong() $(, $mark)?);)+
            Ok($($shape)+)
        }
    };
}

/// Writes members of a record, which stand in variables of their names, into an object in JSON.
macro_rules! show_members {
    ($object:ident, $($field:ident $(($form:ident))? $($mark:ident)?),+ $(,)?) => {$(
        let $field = &$($form)? (*$field);
        if let Some(value) = $crate::record::present!($field $($mark)?) {
            $crate::portable::RecordMember::show_member(value, stringify!($field), &mut $object)?;
        }
    )+};
}

/// `show` of a record: an object in JSON.
macro_rules! show_object {
    ([$($shape:tt)+] { $($row:tt)+ }) => {
        fn show<S: serde::Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
            use serde::ser::SerializeMap as _;
            let $($shape)+ = self;
            let mut object = json.serialize_map(None)?;
            $crate::record::show_members!(object, $($row)+);
            object.end()
        }
    };
}

/// `parse` of a record: an object in JSON.
macro_rules! parse_object {
    ($type:ty, [$($shape:tt)+] $record:literal { $($field:ident $(($form:ident))? $($mark:ident)?),+ $(,)? }) => {
        fn parse<'de, D: serde::Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
            #[allow(unused_imports, reason = "a record of optional members misses none")]
            use serde::de::Error as _;
            use serde::de::{IgnoredAny, MapAccess, Visitor};
            struct Members;
            impl<'de> Visitor<'de> for Members {
                type Value = $type;

                fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    out.write_str(concat!("an object: ", $record))
                }

                fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                    $(let mut $field = None;)+
                    while let Some($crate::portable::Text(name)) = members.next_key()? {
                        $(if $crate::portable::owns(&$field, &name, stringify!($field)) {
                            let own = stringify!($field);
                            $crate::portable::RecordMember::parse_member(&mut $field, &name, own, &mut members)?;
                            continue;
                        })+
                        members.next_value::<IgnoredAny>()?;
                    }
                    $(
                        #[allow(unused_parens, reason = "without a form the pattern is the name alone")]
                        let $($form)? ($field) = $crate::record::found!(
                            $field,
                            A::Error::missing_field(stringify!($field))
                            $(, $mark)?
                        );
                    )+
                    Ok($($shape)+)
                }
            }
            json.deserialize_map(Members)
        }
    };
}

/// Makes a record portable: a map in CBOR, an object in JSON.
macro_rules! record {
    ($type:ident: $record:literal { $($key:literal $field:ident $(($form:ident))? $($mark:ident)?),+ $(,)? }) => {
        $crate::record::record! {
            [$type { $($field),+ }] $type as $type: $record { $($key $field $(($form))? $($mark)?),+ }
        }
    };
    ([$($shape:tt)+] $type:ty as $whole:ty: $record:literal {
        $($key:literal $field:ident $(($form:ident))? $($mark:ident)?),+ $(,)?
    }) => {
        impl $crate::portable::Portable for $type {
            $crate::record::cbor_map! { [$($shape)+] $record { $($key $field $(($form))? $($mark)?),+ } }
            $crate::record::show_object! { [$($shape)+] { $($field $(($form))? $($mark)?),+ } }
            $crate::record::parse_object! { $whole, [$($shape)+] $record { $($field $(($form))? $($mark)?),+ } }
        }
    };
}

/// Makes a record portable: an array in CBOR, an object in JSON.
macro_rules! tuple {
    ($type:ident: $record:literal { $($field:ident $($mark:ident)?),+ $(,)? }) => {
        $crate::record::tuple! { [$type { $($field),+ }] $type: $record { $($field $($mark)?),+ } }
    };
    ([$($shape:tt)+] $type:ty: $record:literal { $($field:ident $($mark:ident)?),+ $(,)? }) => {
        impl $crate::portable::Portable for $type {
            $crate::record::cbor_array! { [$($shape)+] $record { $($field $($mark)?),+ } }
            $crate::record::show_object! { [$($shape)+] { $($field $($mark)?),+ } }
            $crate::record::parse_object! { $type, [$($shape)+] $record { $($field $($mark)?),+ } }
        }
    };
}

pub(crate) use {
    cbor_array, cbor_map, found, parse_object, present, record, show_members, show_object, tuple,
};

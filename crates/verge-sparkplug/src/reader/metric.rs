//! One metric of a message, and the number that it holds.

use super::wire::{FieldValue, Fields, Malformed};

/// Codes of types that hold numbers, see section 6.4.16 of the specification.
const INT8: u32 = 1;
const INT64: u32 = 4;
const UINT8: u32 = 5;
const UINT64: u32 = 8;
const FLOAT: u32 = 9;
const DOUBLE: u32 = 10;
const BOOLEAN: u32 = 11;
const DATA_SET: u32 = 16;
const TEMPLATE: u32 = 19;
/// Arrays of Sparkplug 3.0.
const ARRAYS: std::ops::RangeInclusive<u32> = 22..=34;
/// The last of the types that are a number each.
pub(super) const LAST_NUMBER: u32 = BOOLEAN;
/// The value of the property `Quality` of a good value.
const GOOD: u64 = 192;
/// Above this a double does not hold each integer.
const EXACT: u64 = 1 << 53;

/// What a metric holds in place of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum MetricContent<'a> {
    Nothing,
    /// In the field of this number.
    Number(u64, FieldValue<'a>),
    DataSet(&'a [u8]),
    Template(&'a [u8]),
    Other,
}

/// A metric as it stands in a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct MetricFields<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) alias: Option<u64>,
    pub(super) at: Option<u64>,
    pub(super) datatype: Option<u32>,
    pub(super) is_historical: bool,
    pub(super) is_null: bool,
    pub(super) is_good: bool,
    pub(super) unit: Option<&'a str>,
    pub(super) content: MetricContent<'a>,
}

impl<'a> MetricFields<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut metric = Self {
            name: None,
            alias: None,
            at: None,
            datatype: None,
            is_historical: false,
            is_null: false,
            is_good: true,
            unit: None,
            content: MetricContent::Nothing,
        };
        for field in Fields::of(bytes) {
            let (number, value) = field?;
            match number {
                1 => metric.name = Some(value.text().ok_or(Malformed)?),
                2 => metric.alias = Some(value.varint().ok_or(Malformed)?),
                3 => metric.at = Some(value.varint().ok_or(Malformed)?),
                4 => metric.datatype = u32::try_from(value.varint().ok_or(Malformed)?).ok(),
                5 => metric.is_historical = value.varint().ok_or(Malformed)? != 0,
                7 => metric.is_null = value.varint().ok_or(Malformed)? != 0,
                9 => metric.properties(value.bytes().ok_or(Malformed)?)?,
                10..=14 => metric.content = MetricContent::Number(number, value),
                17 => metric.content = MetricContent::DataSet(value.bytes().ok_or(Malformed)?),
                18 => metric.content = MetricContent::Template(value.bytes().ok_or(Malformed)?),
                15 | 16 | 19 => metric.content = MetricContent::Other,
                _ => {}
            }
        }
        Ok(metric)
    }

    /// Names and values stand in two lists of one order.
    fn properties(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        let mut values = Fields::of(bytes).filter(|field| !matches!(field, Ok((number, _)) if *number != 2));
        for field in Fields::of(bytes) {
            let (number, key) = field?;
            if number != 1 {
                continue;
            }
            let Some(value) = values.next() else { break };
            let (_, value) = value?;
            match key.text().ok_or(Malformed)? {
                "Quality" | "quality" => {
                    self.is_good =
                        property(value, 3)?.and_then(FieldValue::varint).is_none_or(|code| code == GOOD);
                }
                "engUnit" => self.unit = property(value, 8)?.and_then(FieldValue::text),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A field of the value of a property.
fn property(value: FieldValue<'_>, wanted: u64) -> Result<Option<FieldValue<'_>>, Malformed> {
    let mut found = None;
    for field in Fields::of(value.bytes().ok_or(Malformed)?) {
        let (number, value) = field?;
        if number == wanted {
            found = Some(value);
        }
    }
    Ok(found)
}

/// What came of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum NumberRead {
    Number(f64),
    /// No number by its type: a text, a time, a picture.
    NoNumber,
    /// The field is not that of its type.
    WrongField,
    NotFinite,
    NotExact,
    Unsupported,
}

/// The number that a field holds, by the type of its metric. Values are accepted in the field that their type names; unsigned
/// integers of 32 bits and less also in that of 64, where older encoders write them.
pub(super) fn number_of(datatype: u32, field: u64, value: FieldValue<'_>) -> NumberRead {
    match (datatype, field, value) {
        (INT8..=3, 10, FieldValue::Varint(bits)) => signed(datatype, bits),
        (INT64, 11, FieldValue::Varint(bits)) => {
            exact(bits.cast_signed().unsigned_abs(), bits.cast_signed() < 0)
        }
        (UINT8..=7, 10 | 11, FieldValue::Varint(value)) => unsigned(datatype, value),
        (UINT64, 11, FieldValue::Varint(value)) => exact(value, false),
        (FLOAT, 12, FieldValue::Fixed32(bits)) => finite(f64::from(f32::from_bits(bits))),
        (DOUBLE, 13, FieldValue::Fixed64(bits)) => finite(f64::from_bits(bits)),
        (BOOLEAN, 14, FieldValue::Varint(value)) => NumberRead::Number(f64::from(u8::from(value != 0))),
        (INT8..=BOOLEAN, ..) => NumberRead::WrongField,
        (DATA_SET | TEMPLATE, ..) => NumberRead::WrongField,
        (code, ..) if ARRAYS.contains(&code) => NumberRead::Unsupported,
        _ => NumberRead::NoNumber,
    }
}

/// Whether a type holds a number, an array or a structure: what is worth a word where it is refused.
pub(super) fn is_other_type(datatype: u32) -> bool {
    !(INT8..=BOOLEAN).contains(&datatype)
        && ![DATA_SET, TEMPLATE].contains(&datatype)
        && !ARRAYS.contains(&datatype)
}

fn signed(datatype: u32, bits: u64) -> NumberRead {
    // Two's complement in 32 bits; some encoders extend the sign to 64.
    let Ok(value) = i32::try_from(bits.cast_signed()).or_else(|_| u32::try_from(bits).map(u32::cast_signed))
    else {
        return NumberRead::WrongField;
    };
    // Narrow types may be written without their sign extended.
    let value = match (datatype, value) {
        (1, 0x80..=0xff) => value - 0x100,
        (2, 0x8000..=0xffff) => value - 0x1_0000,
        _ => value,
    };
    NumberRead::Number(f64::from(value))
}

fn unsigned(datatype: u32, value: u64) -> NumberRead {
    let most = match datatype {
        5 => u64::from(u8::MAX),
        6 => u64::from(u16::MAX),
        _ => u64::from(u32::MAX),
    };
    match u32::try_from(value) {
        Ok(small) if value <= most => NumberRead::Number(f64::from(small)),
        _ => NumberRead::WrongField,
    }
}

#[expect(clippy::cast_precision_loss, reason = "it is at most 2^53")]
fn exact(magnitude: u64, is_negative: bool) -> NumberRead {
    if magnitude > EXACT {
        return NumberRead::NotExact;
    }
    let value = magnitude as f64;
    NumberRead::Number(if is_negative { -value } else { value })
}

fn finite(value: f64) -> NumberRead {
    if value.is_finite() { NumberRead::Number(value) } else { NumberRead::NotFinite }
}

//! From a metric whose name and type are known to numbers. Templates and data sets are taken apart, one level deep.

use verge_domain::rejection::Reason;

use super::metric::{LAST_NUMBER, MetricContent, MetricFields, NumberRead, is_other_type, number_of};
use super::wire::{FieldValue, Fields, Malformed};
use super::{MAX_NAME, SparkplugRead, Speaker, metrics_of};

/// Columns of a data set that are read at most.
const MAX_COLUMNS: usize = 256;

/// A metric whose name and type are known.
pub(super) struct Value<'a> {
    pub(super) speaker: Speaker<'a>,
    pub(super) name: &'a str,
    pub(super) unit: Option<&'a str>,
    pub(super) datatype: u32,
    pub(super) at: Option<u64>,
}

impl Value<'_> {
    pub(super) fn read(
        &self,
        metric: &MetricFields<'_>,
        takes_history: bool,
        out: &mut impl FnMut(SparkplugRead<'_>),
    ) {
        if metric.is_historical && !takes_history {
            out(SparkplugRead::Refused { reason: Reason::Historical, name: Some(self.name) });
            return;
        }
        if metric.is_null {
            return;
        }
        if !metric.is_good {
            out(SparkplugRead::Refused { reason: Reason::BadQuality, name: Some(self.name) });
            return;
        }
        match metric.content {
            MetricContent::Nothing => {
                if !is_other_type(self.datatype) {
                    out(SparkplugRead::Refused { reason: Reason::MissingField, name: Some(self.name) });
                }
            }
            MetricContent::Number(field, value) => self.number(self.name, (self.datatype, field, value), out),
            MetricContent::Template(bytes) => self.template(bytes, out),
            MetricContent::DataSet(bytes) => self.data_set(bytes, out),
            MetricContent::Other => {
                if !is_other_type(self.datatype) {
                    let reason =
                        if self.datatype <= LAST_NUMBER { Reason::NotANumber } else { Reason::Unsupported };
                    out(SparkplugRead::Refused { reason, name: Some(self.name) });
                }
            }
        }
    }

    fn number(
        &self,
        name: &str,
        (datatype, field, value): (u32, u64, FieldValue<'_>),
        out: &mut impl FnMut(SparkplugRead<'_>),
    ) {
        let Self { speaker, unit, at, .. } = *self;
        let reason = match number_of(datatype, field, value) {
            NumberRead::Number(value) => return out(SparkplugRead::Value { speaker, name, unit, value, at }),
            NumberRead::NoNumber => return,
            NumberRead::WrongField => Reason::NotANumber,
            NumberRead::NotFinite => Reason::NotFinite,
            NumberRead::NotExact => Reason::NotExact,
            NumberRead::Unsupported => Reason::Unsupported,
        };
        out(SparkplugRead::Refused { reason, name: Some(name) });
    }

    fn refuse(&self, reason: Reason, out: &mut impl FnMut(SparkplugRead<'_>)) {
        out(SparkplugRead::Refused { reason, name: Some(self.name) });
    }

    /// The members of a template, one level deep.
    fn template(&self, bytes: &[u8], out: &mut impl FnMut(SparkplugRead<'_>)) {
        let is_well_formed = Fields::of(bytes).all(|field| match field {
            Ok((2, value)) => value.bytes().is_some_and(|bytes| MetricFields::read(bytes).is_ok()),
            field => field.is_ok(),
        });
        if !is_well_formed {
            return self.refuse(Reason::BadSparkplug, out);
        }
        // A definition has no values of its own.
        let is_definition = |field| matches!(field, Ok((5, FieldValue::Varint(value))) if value != 0);
        if Fields::of(bytes).any(is_definition) {
            return;
        }
        for member in metrics_of(bytes) {
            let (Some(name), Some(datatype)) = (member.name, member.datatype) else {
                self.refuse(Reason::UnknownAlias, out);
                continue;
            };
            match member.content {
                _ if member.is_null || name.len() > MAX_NAME => {}
                MetricContent::Number(field, value) => {
                    self.number(&format!("{}/{name}", self.name), (datatype, field, value), out);
                }
                MetricContent::Template(_) | MetricContent::DataSet(_) => {
                    self.refuse(Reason::Unsupported, out)
                }
                MetricContent::Nothing | MetricContent::Other => {}
            }
        }
    }

    /// The columns of a data set of one row.
    fn data_set(&self, bytes: &[u8], out: &mut impl FnMut(SparkplugRead<'_>)) {
        let of = |wanted: u64| {
            Fields::of(bytes).filter_map(move |field| match field {
                Ok((number, value)) if number == wanted => Some(value),
                _ => None,
            })
        };
        if Fields::of(bytes).any(|field| field.is_err()) {
            return self.refuse(Reason::BadSparkplug, out);
        }
        let mut rows = of(4);
        let (Some(row), None) = (rows.next().and_then(FieldValue::bytes), rows.next()) else {
            return self.refuse(Reason::Unsupported, out);
        };
        let mut types = Vec::new();
        for value in of(3).take(MAX_COLUMNS) {
            match value {
                FieldValue::Varint(code) => types.push(code),
                // Packed, as proto3 writes them.
                FieldValue::Bytes(packed) => {
                    types.extend(packed.iter().take(MAX_COLUMNS).map(|code| u64::from(*code)))
                }
                FieldValue::Fixed32(_) | FieldValue::Fixed64(_) => {}
            }
        }
        let names = of(2).map(FieldValue::text);
        let elements = Fields::of(row).filter_map(|field| match field {
            Ok((1, value)) => value.bytes(),
            _ => None,
        });
        for ((name, code), element) in names.zip(types).zip(elements).take(MAX_COLUMNS) {
            let (Some(name), Ok(datatype)) = (name, u32::try_from(code)) else {
                self.refuse(Reason::BadSparkplug, out);
                continue;
            };
            match Fields::of(element).next() {
                Some(Ok((field @ 1..=5, value))) if name.len() <= MAX_NAME => {
                    self.number(&format!("{}/{name}", self.name), (datatype, field + 9, value), out);
                }
                Some(Ok(_)) | None => {}
                Some(Err(Malformed)) => self.refuse(Reason::BadSparkplug, out),
            }
        }
    }
}

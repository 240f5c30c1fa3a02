//! SenML in CBOR (RFC 8428 section 6).

use std::borrow::Cow;

use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error;
use verge_domain::rejection::Reason;

use super::{Malformed, Pack, SenmlRecord};
use crate::number;

/// Tag of decimal fractions, `[exponent, mantissa]` (RFC 8949 section 3.4.4).
const DECIMAL_FRACTION: u64 = 4;

/// Why a pack cannot be read.
enum PackFault {
    Cbor(Error),
    Senml,
}

impl From<Error> for PackFault {
    fn from(error: Error) -> Self {
        Self::Cbor(error)
    }
}

impl From<Malformed> for PackFault {
    fn from(_: Malformed) -> Self {
        Self::Senml
    }
}

/// Reads a pack, record by record.
pub(super) fn read(payload: &[u8], pack: &mut Pack<'_, '_, '_>) -> Result<(), Reason> {
    read_records(&mut Decoder::new(payload), pack).map_err(|fault| match fault {
        // CBOR, as far as it was read, of another shape.
        PackFault::Cbor(error) if error.is_type_mismatch() => Reason::BadSenml,
        PackFault::Cbor(_) => Reason::BadCbor,
        PackFault::Senml => Reason::BadSenml,
    })
}

fn read_records(cbor: &mut Decoder<'_>, pack: &mut Pack<'_, '_, '_>) -> Result<(), PackFault> {
    let mut records = Items(cbor.array()?);
    while records.next(cbor)? {
        let mut record = SenmlRecord::default();
        let mut fields = Items(cbor.map()?);
        while fields.next(cbor)? {
            read_field(cbor, &mut record)?;
        }
        pack.record(&record)?;
    }
    if cbor.position() < cbor.input().len() {
        return Err(PackFault::Cbor(Error::message("bytes behind the pack")));
    }
    Ok(())
}

/// Items of an array or map that are still to come; `None` where a break ends it.
struct Items(Option<u64>);

impl Items {
    fn next(&mut self, cbor: &mut Decoder<'_>) -> Result<bool, Error> {
        match &mut self.0 {
            Some(left) => match left.checked_sub(1) {
                Some(fewer) => {
                    *left = fewer;
                    Ok(true)
                }
                None => Ok(false),
            },
            None if cbor.datatype()? == Type::Break => {
                cbor.skip()?;
                Ok(false)
            }
            None => Ok(true),
        }
    }
}

fn read_field<'a>(cbor: &mut Decoder<'a>, record: &mut SenmlRecord<'a>) -> Result<(), PackFault> {
    if cbor.datatype()? == Type::String {
        // Labels of extensions; who does not know one that ends so must not use the pack.
        if cbor.str()?.ends_with('_') {
            return Err(PackFault::Senml);
        }
        return Ok(cbor.skip()?);
    }
    // The labels of RFC 8428 section 6, table 4.
    match cbor.i64()? {
        -1 => record.version = Some(figure(cbor)?),
        -2 => record.base_name = Some(Cow::Borrowed(cbor.str()?)),
        -3 => record.base_time = Some(figure(cbor)?),
        -4 => record.base_unit = Some(Cow::Borrowed(cbor.str()?)),
        -5 => record.base_value = Some(figure(cbor)?),
        -6 | 7 => {
            figure(cbor)?;
        }
        0 => record.name = Some(Cow::Borrowed(cbor.str()?)),
        1 => record.unit = Some(Cow::Borrowed(cbor.str()?)),
        2 => record.value = Some(number(cbor)?),
        3 => record.text = cbor.str().map(|_| true)?,
        4 => record.truth = Some(cbor.bool()?),
        5 => record.sum = figure(cbor).map(|_| true)?,
        6 => record.time = Some(figure(cbor)?),
        8 => record.data = Some(cbor.bytes().map(|_| Ok(()))?),
        _ => cbor.skip()?,
    }
    Ok(())
}

fn figure(cbor: &mut Decoder<'_>) -> Result<f64, PackFault> {
    number(cbor)?.map_err(|_| PackFault::Senml)
}

/// A number; what stands there instead is ignored.
fn number(cbor: &mut Decoder<'_>) -> Result<Result<f64, Reason>, Error> {
    match cbor.datatype()? {
        Type::F16 | Type::F32 | Type::F64 => cbor.f64().map(number::finite),
        Type::Tag => decimal_fraction(cbor),
        Type::U8
        | Type::U16
        | Type::U32
        | Type::U64
        | Type::I8
        | Type::I16
        | Type::I32
        | Type::I64
        | Type::Int => integer(cbor),
        _ => cbor.skip().map(|()| Err(Reason::NotANumber)),
    }
}

fn integer(cbor: &mut Decoder<'_>) -> Result<Result<f64, Reason>, Error> {
    let integer = i128::from(cbor.int()?);
    Ok(i64::try_from(integer).map_err(|_| Reason::NotExact).and_then(number::from_i64))
}

fn decimal_fraction(cbor: &mut Decoder<'_>) -> Result<Result<f64, Reason>, Error> {
    let start = cbor.position();
    if u64::from(cbor.tag()?) != DECIMAL_FRACTION || cbor.array()? != Some(2) {
        cbor.set_position(start);
        return cbor.skip().map(|()| Err(Reason::NotANumber));
    }
    let (exponent, mantissa) = (cbor.i64()?, cbor.i64()?);
    // Only decimal text converts a decimal fraction to the nearest double.
    Ok(number::from_text(&format!("{mantissa}e{exponent}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_number_is_read() {
        let check = |bytes: &[u8], expected: Result<f64, Reason>| {
            let mut cbor = Decoder::new(bytes);
            assert_eq!(number(&mut cbor).unwrap(), expected, "{bytes:02x?}");
            assert_eq!(cbor.position(), bytes.len());
        };
        check(&[0x18, 42], Ok(42.0));
        check(&[0x38, 41], Ok(-42.0));
        check(&[0xf9, 0x3e, 0x00], Ok(1.5));
        check(&[0xfa, 0x41, 0xac, 0, 0], Ok(21.5));
        check(&[0xfb, 0x40, 0x35, 0x80, 0, 0, 0, 0, 0], Ok(21.5));
        check(&[0xc4, 0x82, 0x20, 0x18, 215], Ok(21.5));
        check(&[0xf9, 0x7e, 0x00], Err(Reason::NotFinite));
        check(&[0xf9, 0x7c, 0x00], Err(Reason::NotFinite));
        check(&[0xc4, 0x82, 0x19, 0x03, 0xe8, 0x01], Err(Reason::NotFinite));
        check(&[0x1b, 0, 0x20, 0, 0, 0, 0, 0, 1], Err(Reason::NotExact));
        check(&[0x3b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Err(Reason::NotExact));
        check(&[0xc0, 0x61, b'x'], Err(Reason::NotANumber));
        check(&[0x61, b'x'], Err(Reason::NotANumber));
        check(&[0xf6], Err(Reason::NotANumber));
    }
}

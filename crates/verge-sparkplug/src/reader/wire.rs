//! Protobuf as it comes from a peer: fields one after the other, nothing copied and nothing set aside.
//!
//! Every length is held against what is there. Messages of prost make a structure of each metric, some hundred times what an
//! empty one costs on the wire; these are read in place.

/// A field of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum FieldValue<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> FieldValue<'a> {
    pub(super) const fn varint(self) -> Option<u64> {
        if let Self::Varint(value) = self { Some(value) } else { None }
    }

    pub(super) const fn bytes(self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    pub(super) fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

/// The bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// The fields of a message. It ends with the first error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) const fn of(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for place in 0..10_u32 {
            let (&byte, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            let part = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if place == 9 && part > 1 {
                return Err(Malformed);
            }
            value |= part << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u64, FieldValue<'a>), Malformed> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => FieldValue::Varint(self.varint()?),
            1 => {
                let bytes = self.take(8)?;
                FieldValue::Fixed64(u64::from_le_bytes(bytes.try_into().map_err(|_| Malformed)?))
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                FieldValue::Bytes(self.take(length)?)
            }
            5 => {
                let bytes = self.take(4)?;
                FieldValue::Fixed32(u32::from_le_bytes(bytes.try_into().map_err(|_| Malformed)?))
            }
            _ => return Err(Malformed),
        };
        match key >> 3 {
            0 => Err(Malformed),
            number => Ok((number, value)),
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, FieldValue<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_lie_are_no_message() {
        let check = |bytes: &[u8], expected: Result<usize, Malformed>| {
            let read: Result<Vec<_>, _> = Fields::of(bytes).collect();
            assert_eq!(read.map(|fields| fields.len()), expected, "{bytes:02x?}");
        };
        check(b"", Ok(0));
        check(&[0x08, 0x01], Ok(1));
        check(&[0x12, 0x02, 1, 2, 0x18, 0x80, 0x01], Ok(2));
        check(&[0x12, 0x03, 1, 2], Err(Malformed));
        check(&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Err(Malformed));
        check(&[0x08], Err(Malformed));
        check(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], Err(Malformed));
        check(&[0x09, 1, 2, 3], Err(Malformed));
        check(&[0x0d, 1, 2, 3], Err(Malformed));
        check(&[0x0b], Err(Malformed));
        check(&[0x00, 0x01], Err(Malformed));
    }
}

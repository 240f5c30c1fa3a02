//! Where an ONNX file keeps the numbers of its tensors. Only the frame of the messages is read, so that any file can be cut into
//! pieces: one that is no ONNX is one piece.

use std::ops::Range;

/// Numbers below this stay with the graph around them.
const LEAST: usize = 64;
/// Tensors at most; further ones stay with the graph.
const MOST: usize = 65_536;

/// The numbers of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorSpan {
    /// Its name; of a constant, the name of the value that it gives.
    pub(super) name: String,
    /// Where its numbers are.
    pub(super) at: Range<usize>,
    /// Bytes of one number.
    pub(super) width: u8,
}

/// A field of a message: its number, and where its content is. Other wire types than 2 have an empty content.
///
/// **Source**: protobuf.dev, Encoding.
fn fields(bytes: &[u8], within: Range<usize>) -> impl Iterator<Item = (u64, Range<usize>, u64)> + '_ {
    let mut at = within.start;
    let end = within.end;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let key = varint(bytes, &mut at, end)?;
        let mut value = 0;
        let content = match key & 7 {
            0 => {
                value = varint(bytes, &mut at, end)?;
                at..at
            }
            1 => at..at.checked_add(8)?,
            5 => at..at.checked_add(4)?,
            2 => {
                let length = usize::try_from(varint(bytes, &mut at, end)?).ok()?;
                at..at.checked_add(length)?
            }
            _ => return None,
        };
        if content.end > end {
            return None;
        }
        at = content.end;
        let content = if key & 7 == 2 { content } else { at..at };
        Some((key >> 3, content, value))
    })
}

fn varint(bytes: &[u8], at: &mut usize, end: usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at).filter(|_| *at < end)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// The tensors of a file, in their order in it.
///
/// **Source**: onnx.proto: `ModelProto.graph` 7, `GraphProto.node` 1 and `initializer` 5, `NodeProto.output` 2 and `attribute` 5,
/// `AttributeProto.t` 5.
pub(super) fn tensors(bytes: &[u8]) -> Vec<TensorSpan> {
    let mut found = Vec::new();
    for (_, graph, _) in fields(bytes, 0..bytes.len()).filter(|(number, ..)| *number == 7) {
        for (number, part, _) in fields(bytes, graph) {
            match number {
                5 => found.extend(tensor(bytes, part, "")),
                1 => {
                    let output = fields(bytes, part.clone()).find(|(number, ..)| *number == 2);
                    let name = output.map(|(_, at, _)| String::from_utf8_lossy(&bytes[at]).into_owned());
                    for (_, attribute, _) in fields(bytes, part).filter(|(number, ..)| *number == 5) {
                        let value = fields(bytes, attribute).find(|(number, ..)| *number == 5);
                        found.extend(value.and_then(|(_, at, _)| tensor(bytes, at, name.as_deref()?)));
                    }
                }
                _ => {}
            }
        }
    }
    found.sort_by_key(|span| span.at.start);
    found.truncate(MOST);
    found
}

/// **Source**: onnx.proto: `TensorProto.data_type` 2, `float_data` 4, `int32_data` 5, `int64_data` 7, `name` 8, `raw_data` 9,
/// `double_data` 10.
fn tensor(bytes: &[u8], within: Range<usize>, outer: &str) -> Option<TensorSpan> {
    let (mut name, mut kind, mut at) = (String::new(), 0, None);
    for (number, content, value) in fields(bytes, within) {
        match number {
            2 => kind = value,
            8 => name = String::from_utf8_lossy(&bytes[content]).into_owned(),
            // Packed integers have no width of their own.
            5 | 7 if content.len() >= LEAST => at = Some((content, Some(1))),
            4 if content.len() >= LEAST => at = Some((content, Some(4))),
            10 if content.len() >= LEAST => at = Some((content, Some(8))),
            9 if content.len() >= LEAST => at = Some((content, None)),
            _ => {}
        }
    }
    let (at, width) = at?;
    let name = if outer.is_empty() { name } else { format!("{outer}\0{name}") };
    Some(TensorSpan { name, at, width: width.unwrap_or_else(|| width_of(kind)) })
}

/// **Source**: onnx.proto, `TensorProto.DataType`.
fn width_of(kind: u64) -> u8 {
    match kind {
        1 | 6 | 12 => 4,
        4 | 5 | 10 | 16 => 2,
        7 | 11 | 13 | 14 => 8,
        15 => 16,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_model_have_no_tensors() {
        let mut random = fastrand::Rng::with_seed(7);
        assert_eq!(tensors(b""), []);
        for _ in 0..2_000 {
            let bytes: Vec<u8> = (0..random.usize(1..300)).map(|_| random.u8(..)).collect();
            for span in tensors(&bytes) {
                assert!(span.at.end <= bytes.len());
            }
        }
    }
}

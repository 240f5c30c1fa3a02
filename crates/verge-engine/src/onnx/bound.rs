//! How much memory the messages of a model take when they are read, reckoned before: a message of nothing is two bytes in a
//! file and some hundred in memory, so that a small file could ask for much.

use std::mem::size_of;

use super::graph::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetId, SparseTensorProto,
    StringEntry, TensorProto, TensorType, TypeProto, ValueInfo,
};

/// What messages may take whatever the file's size.
const FREE: usize = 64 << 20;
/// Beyond that, how often the file's size.
const TIMES: usize = 8;
/// Messages within messages, as deep as they are read: prost stops at the same.
const DEEPEST: usize = 100;

/// Kinds of messages, as far as others stand in them.
#[derive(Clone, Copy)]
enum Kind {
    Model,
    Function,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Value,
    Type,
    /// Nothing but numbers and text in it.
    Leaf(usize),
}

impl Kind {
    const ENTRY: Self = Self::Leaf(size_of::<StringEntry>());

    const fn bytes(self) -> usize {
        match self {
            Self::Model => size_of::<ModelProto>(),
            Self::Function => size_of::<FunctionProto>(),
            Self::Graph => size_of::<GraphProto>(),
            Self::Node => size_of::<NodeProto>(),
            Self::Attribute => size_of::<AttributeProto>(),
            Self::Tensor => size_of::<TensorProto>(),
            Self::Sparse => size_of::<SparseTensorProto>(),
            Self::Value => size_of::<ValueInfo>(),
            Self::Type => size_of::<TypeProto>(),
            Self::Leaf(bytes) => bytes,
        }
    }

    /// The message in a field.
    const fn within(self, tag: u64) -> Option<Self> {
        Some(match (self, tag) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) => Self::Graph,
            (Self::Model, 8) => Self::Leaf(size_of::<OperatorSetId>()),
            (Self::Model, 14) | (Self::Tensor, 13) => Self::ENTRY,
            (Self::Model, 25) => Self::Function,
            (Self::Function, 7) | (Self::Graph, 1) => Self::Node,
            (Self::Function, 11) | (Self::Node, 5) => Self::Attribute,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Self::Tensor,
            (Self::Graph, 11..=13) => Self::Value,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::Sparse,
            (Self::Value, 2) => Self::Type,
            (Self::Type, 1) => Self::Leaf(size_of::<TensorType>()),
            _ => return None,
        })
    }

    /// Bytes in memory of a packed list of N bytes in the file; 0 where the field is none.
    const fn packed(self, tag: u64, bytes: usize) -> usize {
        match (self, tag) {
            (Self::Tensor, 1 | 7 | 11) | (Self::Attribute, 8) | (Self::Sparse, 3) => bytes.saturating_mul(8),
            (Self::Tensor, 5) => bytes.saturating_mul(4),
            (Self::Tensor, 4 | 10) | (Self::Attribute, 7) => bytes,
            _ => 0,
        }
    }
}

/// Whether the messages of these bytes take no more than is given them. What is no message is left to whoever reads it.
pub(super) fn holds(bytes: &[u8]) -> bool {
    let mut left = bytes.len().saturating_mul(TIMES).saturating_add(FREE);
    count(bytes, Kind::Model, DEEPEST, &mut left) != Some(Spent)
}

/// More than is given.
#[derive(PartialEq)]
struct Spent;

fn take(left: &mut usize, bytes: usize) -> Option<Spent> {
    match left.checked_sub(bytes) {
        Some(rest) => {
            *left = rest;
            None
        }
        None => Some(Spent),
    }
}

fn count(mut rest: &[u8], kind: Kind, deep: usize, left: &mut usize) -> Option<Spent> {
    // A list grows by doubling: up to twice as many places as messages, and the former list while it moves.
    const LIST: usize = 3;
    if let Some(spent) = take(left, kind.bytes().saturating_mul(LIST)) {
        return Some(spent);
    }
    while !rest.is_empty() && deep > 0 {
        let tag = number(&mut rest)?;
        let (tag, wire) = (tag >> 3, tag & 7);
        let length = match wire {
            // A number, which may be one of a list.
            0 => {
                number(&mut rest)?;
                if let Some(spent) = take(left, size_of::<u64>() * LIST) {
                    return Some(spent);
                }
                continue;
            }
            1 => 8,
            2 => usize::try_from(number(&mut rest)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let field = rest.get(..length)?;
        rest = &rest[length..];
        let spent = match kind.within(tag) {
            Some(inner) if wire == 2 => count(field, inner, deep - 1, left),
            _ if wire == 2 => take(left, size_of::<bytes::Bytes>() * LIST + kind.packed(tag, length)),
            _ => take(left, size_of::<u64>() * LIST),
        };
        if spent.is_some() {
            return spent;
        }
    }
    None
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_empty_messages_is_not_read() {
        // Nodes of nothing in a graph, 2 bytes each.
        let mut bomb = vec![0x3a];
        let nodes = [0x0a, 0x00].repeat(1 << 20);
        prost::encoding::encode_varint(nodes.len() as u64, &mut bomb);
        bomb.extend_from_slice(&nodes);
        assert!(!holds(&bomb));
        assert!(holds(&bomb[..1 << 10]), "cut, and for others to say so");
        // As many tensors of nothing in an attribute of a node.
        let tensors = [0x52, 0x00].repeat(1 << 20);
        let message = |tag: u8, inner: &[u8]| {
            let mut bytes = vec![tag];
            prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
            bytes.extend_from_slice(inner);
            bytes
        };
        assert!(!holds(&message(0x3a, &message(0x0a, &message(0x2a, &tensors)))));
    }

    #[test]
    fn weights_are_no_bomb() {
        // 16 MiB of raw data in one tensor, and as many numbers of one byte each.
        let message = |tag: u8, inner: &[u8]| {
            let mut bytes = vec![tag];
            prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
            bytes.extend_from_slice(inner);
            bytes
        };
        for field in [0x4a, 0x3a] {
            assert!(holds(&message(0x3a, &message(0x2a, &message(field, &vec![1; 1 << 24])))));
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            holds(&bytes);
        }
    }
}

//! How a delta is made.

use std::collections::HashMap;
use std::ops::Range;

use verge_engine::ContentDigest;

use super::format::{self, Piece};
use super::planes;
use super::spans::{TensorSpan, tensors};

/// Pieces of the graph that are alike are copied from this length on; a copy costs some ten bytes.
const LEAST_COPY: usize = 24;

/// A delta, and what became of the tensors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeDelta {
    /// The delta.
    pub bytes: Vec<u8>,
    /// SHA-256 of the old file.
    pub base: String,
    /// SHA-256 of the new file.
    pub target: String,
    /// Tensors that are the same.
    pub same: usize,
    /// Tensors that are sent as what differs: the bits, or how far numbers have moved.
    pub xor: usize,
    /// Tensors that are sent whole.
    pub new: usize,
}

struct Writer<'a> {
    base: &'a [u8],
    target: &'a [u8],
    pieces: Vec<Piece>,
    body: Vec<u8>,
}

/// Makes the delta that turns one file into the other. Files that are no ONNX are one piece.
#[must_use]
pub fn make(base: &[u8], target: &[u8]) -> MadeDelta {
    let (old, new) = (tensors(base), tensors(target));
    let by_name: HashMap<&str, usize> =
        old.iter().enumerate().map(|(index, span)| (span.name.as_str(), index)).collect();
    let by_content: HashMap<&[u8], usize> =
        old.iter().enumerate().map(|(index, span)| (&base[span.at.clone()], index)).collect();
    let mut writer = Writer { base, target, pieces: Vec::new(), body: Vec::new() };
    let mut made = MadeDelta {
        bytes: Vec::new(),
        base: ContentDigest::of(base).to_string(),
        target: ContentDigest::of(target).to_string(),
        same: 0,
        xor: 0,
        new: 0,
    };
    let mut done = 0;
    // What stands in the old file ahead of a tensor of it.
    let ahead =
        |index: usize| index.checked_sub(1).map_or(0, |before| old[before].at.end)..old[index].at.start;
    for span in &new {
        let content = &target[span.at.clone()];
        let twin =
            by_name.get(span.name.as_str()).copied().filter(|twin| old[*twin].at.len() == content.len());
        let equal = twin.filter(|twin| &base[old[*twin].at.clone()] == content);
        let equal = equal.or_else(|| by_content.get(content).copied());
        writer.graph(done..span.at.start, equal.or(twin).map_or(0..base.len().min(span.at.start), ahead));
        done = span.at.end;
        if let Some(equal) = equal {
            writer.same(old[equal].at.clone());
            made.same += 1;
        } else if writer.changed(span, twin.map(|twin| &old[twin])) {
            made.xor += 1;
        } else {
            made.new += 1;
        }
    }
    let behind = old.last().map_or(0, |last| last.at.end)..base.len();
    writer.graph(done..target.len(), behind);
    made.bytes = format::write(base, target, &writer.pieces, &writer.body);
    made
}

impl Writer<'_> {
    fn same(&mut self, from: Range<usize>) {
        let (at, bytes) = (from.start as u64, from.len() as u64);
        if bytes == 0 {
            return;
        }
        if let Some(Piece::Same { at: before, bytes: length }) = self.pieces.last_mut()
            && *before + *length == at
        {
            *length += bytes;
            return;
        }
        self.pieces.push(Piece::Same { at, bytes });
    }

    fn fresh(&mut self, from: Range<usize>) {
        if from.is_empty() {
            return;
        }
        self.body.extend_from_slice(&self.target[from.clone()]);
        if let Some(Piece::New { bytes, width: 1 }) = self.pieces.last_mut() {
            *bytes += from.len() as u64;
            return;
        }
        self.pieces.push(Piece::New { bytes: from.len() as u64, width: 1 });
    }

    /// What stands between tensors: the beginning and the end that it shares with its place in the old file are copied.
    fn graph(&mut self, new: Range<usize>, old: Range<usize>) {
        let (a, b) = (&self.target[new.clone()], &self.base[old.clone()]);
        let alike = |pairs: &mut dyn Iterator<Item = (&u8, &u8)>| pairs.take_while(|(a, b)| a == b).count();
        let most = a.len().min(b.len());
        let mut begin = alike(&mut a.iter().zip(b));
        let mut end = alike(&mut a.iter().rev().zip(b.iter().rev())).min(most - begin);
        if begin < a.len() {
            begin = if begin < LEAST_COPY { 0 } else { begin };
            end = if end < LEAST_COPY { 0 } else { end };
        }
        self.same(old.start..old.start + begin);
        self.fresh(new.start + begin..new.end - end);
        self.same(old.end - end..old.end);
    }

    /// A tensor that is not the same; whether what differs was the shorter way.
    fn changed(&mut self, span: &TensorSpan, twin: Option<&TensorSpan>) -> bool {
        let content = &self.target[span.at.clone()];
        let (bytes, width) = (content.len() as u64, span.width);
        let mut ways = vec![(Piece::New { bytes, width }, content.to_vec())];
        if let Some(twin) = twin {
            let (old, at) = (&self.base[twin.at.clone()], twin.at.start as u64);
            let bits = content.iter().zip(old).map(|(new, old)| new ^ old).collect();
            ways.push((Piece::Xor { at, bytes, width }, bits));
            // Training moves numbers by a little, up or down: of bits that a carry changes the difference knows nothing.
            let differences = planes::differences(content, old, width);
            ways.extend(differences.map(|found| (Piece::Difference { at, bytes, width }, found)));
        }
        let apart = |(piece, numbers): (Piece, Vec<u8>)| {
            let mut apart = Vec::new();
            planes::split(&numbers, width, &mut apart);
            (planes::bits(&apart, width), piece, apart)
        };
        let shortest = ways.into_iter().map(apart).min_by(|(one, ..), (other, ..)| one.total_cmp(other));
        let (_, piece, apart) = shortest.expect("all of its bytes are one way");
        self.body.extend(apart);
        self.pieces.push(piece);
        !matches!(piece, Piece::New { .. })
    }
}

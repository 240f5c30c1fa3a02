//! What is refused of a recording or a table: for each kind the number, and the first with its line.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use verge_domain::reading::{Decoded, Inbound};
use verge_domain::rejection::{Reason, Rejection};
use verge_domain::stage::Decoder;

/// One kind.
#[derive(Debug, Clone)]
struct Refusal {
    rejection: Rejection,
    count: u64,
    /// Line of the recording; `None` for a file of its own.
    line: Option<usize>,
    /// Topic, or the file.
    about: String,
    bytes: Option<usize>,
}

/// All kinds, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusals {
    kinds: Vec<Refusal>,
    /// Where the message that is being decoded stands.
    line: Option<usize>,
}

/// Kinds that are kept of one reason, by what came.
const KINDS: usize = 4;

impl Refusals {
    fn add(&mut self, about: &str, bytes: Option<usize>, rejection: &Rejection) {
        let of_reason = |known: &&mut Refusal| known.rejection.reason == rejection.reason;
        let count = self.kinds.iter_mut().filter(of_reason).count();
        let known =
            self.kinds.iter_mut().filter(of_reason).find(|known| known.rejection.came == rejection.came);
        match known {
            Some(known) => known.count += 1,
            None if count < KINDS => self.kinds.push(Refusal {
                rejection: rejection.clone(),
                count: 1,
                line: self.line,
                about: about.to_owned(),
                bytes,
            }),
            None => {}
        }
    }

    /// What was refused for this reason, in words: where in the messages, the first in full, and what others came.
    pub(super) fn words(&self, reason: Reason) -> String {
        let mut kinds = self.kinds.iter().filter(|kind| kind.rejection.reason == reason);
        let Some(first) = kinds.next() else { return reason.to_string() };
        let is_alike = kinds.clone().all(|kind| kind.rejection.part == first.rejection.part);
        let is_alike = is_alike.then_some(&first.rejection.part).and_then(Option::as_ref);
        let what = is_alike.map_or_else(|| reason.to_string(), |part| format!("{reason} at {part}"));
        let mut words = format!("{what} ({}", first.words());
        for other in kinds {
            let line = other.line.map_or_else(|| other.about.clone(), |line| format!("line {line}"));
            words += &format!("; {line}: {}{}", other.signal(), other.rejection.came);
        }
        words + ")"
    }

    pub(super) fn json(&self) -> Vec<Value> {
        let kind = |kind: &Refusal| {
            json!({
                "reason": kind.rejection.reason.as_str(), "part": kind.rejection.part.as_deref(), "count": kind.count,
                "line": kind.line, "about": kind.about, "bytes": kind.bytes, "came": kind.rejection.came.to_string(),
                "looks_like": kind.rejection.looks().map(|looks| looks.as_str()),
            })
        };
        self.kinds.iter().map(kind).collect()
    }
}

impl Refusal {
    /// The signal that is refused, in front of its value.
    fn signal(&self) -> String {
        self.rejection
            .signal
            .as_ref()
            .map_or(String::new(), |signal| format!("{} ", signal.as_str().escape_debug()))
    }

    fn words(&self) -> String {
        let looks =
            self.rejection.looks().map_or(String::new(), |looks| format!(", which looks like {looks}"));
        let line = self.line.map_or(String::new(), |line| format!("in line {line}: "));
        let bytes = self.bytes.map_or(String::new(), |bytes| format!(", {bytes} bytes"));
        let came = if self.rejection.came.is_empty() {
            String::new()
        } else {
            format!(": {}{}", self.signal(), self.rejection.came)
        };
        format!("first {line}{}{bytes}{came}{looks}", self.about.escape_debug())
    }
}

/// A decoder, and the notes on what it refuses.
#[derive(Debug)]
pub(super) struct Noting<D> {
    decoder: D,
    refusals: Notes,
}

/// The notes of one input.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes(Arc<Mutex<Refusals>>);

impl Notes {
    /// Where the next message stands.
    pub(super) fn at_line(&self, line: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).line = Some(line);
    }

    pub(super) fn of<D>(&self, decoder: D) -> Noting<D> {
        Noting { decoder, refusals: self.clone() }
    }

    /// `about` is the topic or the file.
    pub(super) fn add(&self, about: &str, bytes: Option<usize>, rejection: &Rejection) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(about, bytes, rejection);
    }

    /// What was noted so far.
    pub(super) fn take(&self) -> Refusals {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<D: Decoder> Decoder for Noting<D> {
    type Item = D::Item;

    fn decode(&mut self, message: &Inbound, out: &mut Decoded<D::Item>) {
        self.decoder.decode(message, out);
        for rejection in &out.rejections {
            self.refusals.add(&message.topic, Some(message.payload.len()), rejection);
        }
    }
}

//! Why the library refuses a model: first of all whether it is too old for it, which it is asked with models that do
//! nothing.

use std::path::Path;

use bytes::Bytes;

use crate::graph::{GraphError, ModelLimits, commit};
use crate::onnx::{Stamp, probe};
use crate::provider::Provider;
use crate::quote::quoted;
use crate::runtime::{Runtime, VERSION};

/// What every library takes that is loaded at all: ONNX of 2021.
const OLD_IR: i64 = 7;
const OLD_OPSET: i64 = 13;

/// A model that the library refused with these words.
pub(crate) fn refused(runtime: &Runtime, path: &Path, stamp: &Stamp, words: &str) -> GraphError {
    let takes = |ir: i64, domain: &str, opset: i64| {
        let mut opsets = vec![(domain.to_owned(), opset)];
        if !domain.is_empty() {
            opsets.push((String::new(), OLD_OPSET));
        }
        commit(runtime, &Bytes::from(probe(ir, &opsets)), ModelLimits::default()).is_ok()
    };
    let too_new = |what: String, found, newest, remedy: String| GraphError::TooNew {
        path: path.to_owned(),
        what,
        found,
        library: runtime.described(),
        newest,
        remedy,
    };
    let newer = if runtime.version() == Some(VERSION) || runtime.provider() != Provider::Cpu {
        String::new()
    } else {
        format!("; or `verge runtime install`, which installs {VERSION}")
    };
    if let Some(newest) = newest(stamp.ir_version, OLD_IR, |ir| takes(ir, "", OLD_OPSET)) {
        let remedy = format!("save it with an older one, in Python model.ir_version = {newest}{newer}");
        return too_new("IR version".to_owned(), stamp.ir_version, newest, remedy);
    }
    for (domain, version) in &stamp.opsets {
        let oldest = if domain.is_empty() { OLD_OPSET } else { 1 };
        if let Some(newest) = newest(*version, oldest, |opset| takes(OLD_IR, domain, opset)) {
            let (name, how) = match domain.as_str() {
                "" => ("ai.onnx", format!("torch.onnx.export(..., opset_version={})", newest.min(17))),
                "ai.onnx.ml" => (&**domain, format!("skl2onnx: target_opset={{\"ai.onnx.ml\": {newest}}}")),
                other => (other, "onnx.version_converter".to_owned()),
            };
            let remedy = format!("export it with an older one ({how}){newer}");
            return too_new(format!("opset of {name}"), *version, newest, remedy);
        }
    }
    GraphError::Load { path: path.to_owned(), library: runtime.described(), reason: quoted(words) }
}

/// The newest version that is taken, where `found` is not. `None` where it is, or where nothing can be said.
fn newest(found: i64, oldest: i64, takes: impl Fn(i64) -> bool) -> Option<i64> {
    if found <= oldest || takes(found) || !takes(oldest) {
        return None;
    }
    let (mut taken, mut refused) = (oldest, found);
    while refused - taken > 1 {
        let middle = taken + (refused - taken) / 2;
        if takes(middle) { taken = middle } else { refused = middle }
    }
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn the_newest_version_that_is_taken_is_found() {
        let check = |found, expected| assert_eq!(newest(found, 7, |version| version <= 14), expected);
        check(15, Some(14));
        check(60, Some(14));
        check(i64::MAX, Some(14));
        check(14, None);
        check(3, None);
        assert_eq!(newest(60, 7, |_| false), None);
    }
}

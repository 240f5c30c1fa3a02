//! The mark of graph editing: every public model is read and written again byte for byte.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use bytes::Bytes;
use verge_engine::EditableModel;

use super::bench::{Workbench, text};
use super::{Bound, Mark};
use crate::cli::say;

pub(super) fn marks(workbench: &Workbench) -> anyhow::Result<Vec<Mark>> {
    let folder = workbench.data.join("models");
    let files = models(&folder)?;
    ensure!(!files.is_empty(), "{}: no *.onnx", folder.display());
    workbench.show(&format!("{} files of {}", files.len(), folder.display()));
    let mut same = 0_usize;
    for path in &files {
        let bytes = Bytes::from(fs::read(path).with_context(|| text(path))?);
        match EditableModel::read(&bytes) {
            Ok(model) if model.write() == bytes => same += 1,
            Ok(_) => say(&format!("{}: other bytes are written than were read", path.display())),
            Err(error) => say(&format!("{}: {error}", path.display())),
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "some files")]
    let (same, all) = (same as f64, files.len() as f64);
    Ok(vec![
        Mark::new("ONNX files", all, "", Bound::Shown),
        Mark::new("written byte for byte as they were read", same / all * 100.0, "%", Bound::AtLeast(100.0)),
    ])
}

/// The models of a folder and of those within it.
fn models(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).with_context(|| text(&folder))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "onnx") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

//! The files of a new model: weights, card, labels, report. They are made beside each other in a folder of their own, tried
//! there, and put in their places at the end.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use verge_engine::ContentDigest;
use verge_gateway::exit::{Exit, ExitWith};
use verge_models::FrameModel;
use verge_models::card::Made;

/// Where the files of a new model are to lie.
pub(super) struct Place {
    folder: PathBuf,
    /// The first part of their names.
    pub(super) stem: String,
    making: TempDir,
}

/// What a card says beside its tables.
pub(super) struct CardText<'a> {
    pub(super) old: &'a FrameModel,
    pub(super) output: &'a str,
    pub(super) weights: &'a Bytes,
    pub(super) made: &'a Made,
}

impl Place {
    /// `OUT`, which may be named as one of its files.
    pub(super) fn of(output: &Path) -> anyhow::Result<Self> {
        let is_file = output.extension().is_some_and(|end| end == "onnx" || end == "toml");
        let name = if is_file { output.file_stem() } else { output.file_name() };
        let name = name.map(OsString::from).and_then(|name| name.into_string().ok());
        let stem = name.with_context(|| format!("{}: no name of a file", output.display()));
        let stem = stem.exit_with(Exit::Usage)?;
        let folder = match output.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        let made = tempfile::Builder::new().prefix(".verge-").tempdir_in(&folder);
        let making = within(made, &folder)?;
        Ok(Self { folder, stem, making })
    }

    /// The path of one of its files, where it will lie.
    pub(super) fn path(&self, end: &str) -> PathBuf {
        self.folder.join(format!("{}{end}", self.stem))
    }

    /// The same while it is made.
    pub(super) fn making(&self, end: &str) -> PathBuf {
        self.making.path().join(format!("{}{end}", self.stem))
    }

    /// Weights, labels and card, as they are tried.
    pub(super) fn make(&self, text: &CardText<'_>, labels: &[String]) -> anyhow::Result<()> {
        let lines: String = labels.iter().map(|label| format!("{label}\n")).collect();
        within(fs::write(self.making(".onnx"), text.weights), &self.folder)?;
        within(fs::write(self.making("_labels.txt"), lines), &self.folder)?;
        within(fs::write(self.making(".toml"), text.card(&self.stem)), &self.folder)
    }

    /// Puts everything in its place; the card last, since whoever finds it looks for the others.
    pub(super) fn finish(self, text: &CardText<'_>, report: &Value) -> anyhow::Result<()> {
        let report = serde_json::to_string_pretty(report).context("a report")?;
        within(fs::write(self.making(".report.json"), report + "\n"), &self.folder)?;
        within(fs::write(self.making(".toml"), text.card(&self.stem)), &self.folder)?;
        for end in [".onnx", "_labels.txt", ".report.json", ".toml"] {
            let durable = fs::File::open(self.making(end)).and_then(|file| file.sync_all());
            within(durable.and_then(|()| fs::rename(self.making(end), self.path(end))), &self.folder)?;
        }
        within(fs::File::open(&self.folder).and_then(|folder| folder.sync_all()), &self.folder)
    }
}

/// A disk that is full may have room later.
fn within<T>(done: std::io::Result<T>, folder: &Path) -> anyhow::Result<T> {
    let exit = match &done {
        Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            Exit::Temporary
        }
        _ => Exit::BadInput,
    };
    done.with_context(|| format!("cannot write to {}", folder.display())).exit_with(exit)
}

impl CardText<'_> {
    fn card(&self, stem: &str) -> String {
        let card = self.old.card();
        let quoted = |text: &str| Value::from(text).to_string();
        let digest = ContentDigest::of(self.weights).to_string();
        let mut text = format!("name = {}\nversion = {}\n", quoted(stem), quoted(&digest[..8]));
        if let Some(licence) = &card.licence {
            text += &format!("licence = {}\n", quoted(licence));
        }
        let old = &card.identity;
        text += &format!("source = {}\n", quoted(&format!("{} {}, with a new head", old.name, old.version)));
        text += &format!("sha256 = {}\nfile = {}\n", quoted(&digest), quoted(&format!("{stem}.onnx")));
        text += &format!("task = \"classify\"\nlabels = {}\n\n", quoted(&format!("{stem}_labels.txt")));
        text += &self.old.frames().input.table();
        text += &format!("\n[output]\ndecoder = \"probabilities\"\nnames = [{}]\n\n", quoted(self.output));
        text + &self.made.table()
    }
}

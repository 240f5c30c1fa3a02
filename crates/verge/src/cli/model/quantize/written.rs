//! What is written beside the new file: its card, its labels, its report.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;
use tempfile::NamedTempFile;
use verge_engine::ContentDigest;
use verge_gateway::exit::{Exit, ExitWith};
use verge_models::FrameModel;
use verge_models::card::{LabelsCard, Made, Successor};

/// Names of the files that are written.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) weights: PathBuf,
    pub(super) card: PathBuf,
    labels: PathBuf,
    report: PathBuf,
}

impl Names {
    /// `-o NAME`, with or without the ending of the weights or the card.
    pub(super) fn of(output: &Path) -> Self {
        let text = output.to_string_lossy();
        let stem = text.strip_suffix(".onnx").or_else(|| text.strip_suffix(".toml")).unwrap_or(&text);
        let name = |ending: &str| PathBuf::from(format!("{stem}{ending}"));
        Self {
            weights: name(".onnx"),
            card: name(".toml"),
            labels: name("_labels.txt"),
            report: name(".report.json"),
        }
    }
}

/// A new version of a model.
pub(super) struct NewVersion<'a> {
    pub(super) model: &'a FrameModel,
    /// The text of the old card.
    pub(super) card: &'a str,
    pub(super) version: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) made: &'a Made,
}

impl NewVersion<'_> {
    /// Its card and its labels, where these lie in a file.
    fn texts(&self, names: &Names) -> anyhow::Result<(String, Option<String>)> {
        let labels = matches!(self.model.frames().labels, Some(LabelsCard::File(_)));
        let text =
            labels.then(|| self.model.labels().iter().map(|label| format!("{label}\n")).collect::<String>());
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let labels = name(&names.labels);
        let digest = ContentDigest::of(self.bytes).to_string();
        let successor = Successor {
            version: self.version,
            file: &name(&names.weights),
            sha256: &digest,
            labels: text.is_some().then_some(&labels),
            made: self.made,
        };
        Ok((successor.card(self.card, &names.card)?, text))
    }

    /// Writes card, labels and weights; the card, which names the others, comes last.
    pub(super) fn write(&self, names: &Names, report: Option<&Value>) -> anyhow::Result<()> {
        let (card, labels) = self.texts(names)?;
        let mut parts: Vec<(&Path, Vec<u8>)> = vec![(&names.weights, self.bytes.to_vec())];
        parts.extend(labels.map(|text| (names.labels.as_path(), text.into_bytes())));
        parts.extend(report.map(|report| (names.report.as_path(), format!("{report:#}\n").into_bytes())));
        parts.push((&names.card, card.into_bytes()));
        // All of them are complete before the first takes its name.
        let staged = parts.iter().map(|(path, bytes)| Ok((stage(path, bytes)?, *path)));
        let staged: Vec<(NamedTempFile, &Path)> = staged.collect::<anyhow::Result<_>>()?;
        for (file, path) in staged {
            file.persist(path).map_err(|error| cannot(path, error.error))?;
        }
        Ok(())
    }
}

fn stage(path: &Path, bytes: &[u8]) -> anyhow::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<NamedTempFile> {
        let mut file =
            tempfile::Builder::new().permissions(Permissions::from_mode(0o666)).tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(|error| cannot(path, error))
}

fn cannot(path: &Path, error: std::io::Error) -> anyhow::Error {
    let exit = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Exit::Temporary,
        _ => Exit::BadInput,
    };
    let cannot = || format!("cannot write {}", path.display());
    Err::<(), _>(error).with_context(cannot).exit_with(exit).expect_err("an error")
}

/// Figures of a table `[made]`.
pub(super) type Figures = (BTreeMap<String, f64>, BTreeMap<String, [f64; 2]>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_the_stem_that_is_given() {
        for given in ["out/a_1.0", "out/a_1.0.onnx", "out/a_1.0.toml"] {
            let names = Names::of(Path::new(given));
            assert_eq!(names.weights, Path::new("out/a_1.0.onnx"));
            assert_eq!(names.card, Path::new("out/a_1.0.toml"));
            assert_eq!(names.labels, Path::new("out/a_1.0_labels.txt"));
            assert_eq!(names.report, Path::new("out/a_1.0.report.json"));
        }
    }
}

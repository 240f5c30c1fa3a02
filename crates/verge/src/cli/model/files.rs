//! The files of a model that a command makes: weights, card, labels, report.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde_json::{Value, json};
use verge_engine::staged::StagedFile;
use verge_gateway::exit::{Exit, ExitWith, reason};
use verge_models::package::PackageError;
use verge_models::store::slots::is_full;

use super::super::output::json_line;

/// Names of the files.
#[derive(Debug, Clone)]
pub(super) struct NewFiles {
    pub(super) weights: PathBuf,
    pub(super) card: PathBuf,
    pub(super) labels: PathBuf,
    report: PathBuf,
}

/// What is written to them.
pub(super) struct NewModel<'a> {
    pub(super) weights: &'a [u8],
    pub(super) card: String,
    /// Where labels lie in a file of their own.
    pub(super) labels: Option<String>,
    pub(super) report: Option<&'a Value>,
}

impl NewFiles {
    /// `-o OUT`, with or without the ending of the weights or the card.
    pub(super) fn of(output: &Path) -> anyhow::Result<Self> {
        let text = output.to_str().unwrap_or_default();
        let stem = text.strip_suffix(".onnx").or_else(|| text.strip_suffix(".toml")).unwrap_or(text);
        if stem.ends_with('/') || Path::new(stem).file_name().is_none() {
            let error = anyhow!("-o {}: that names no file; OUT of OUT.onnx is expected", output.display());
            return Err(error).exit_with(Exit::Usage);
        }
        let name = |ending: &str| PathBuf::from(format!("{stem}{ending}"));
        Ok(Self {
            weights: name(".onnx"),
            card: name(".toml"),
            labels: name("_labels.txt"),
            report: name(".report.json"),
        })
    }

    /// The same names in another folder, where a model is tried.
    pub(super) fn within(&self, folder: &Path) -> Self {
        let moved = |path: &Path| folder.join(path.file_name().unwrap_or_default());
        Self {
            weights: moved(&self.weights),
            card: moved(&self.card),
            labels: moved(&self.labels),
            report: moved(&self.report),
        }
    }

    /// The model that another is made from stays as it is, and the folder takes files: both are known before the work.
    pub(super) fn are_free(&self, card: &Path, weights: &Path) -> anyhow::Result<()> {
        let is_same = |one: &Path, other: &Path| {
            one == other
                || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
        };
        if is_same(&self.weights, weights) || is_same(&self.card, card) {
            let name = self.card.with_extension("");
            let error = anyhow!("-o {}: that is the model itself; name another", name.display());
            return Err(error).exit_with(Exit::Usage);
        }
        can_be_written(&self.card)
    }

    /// Writes all of them; the card, which names the others, comes last.
    pub(super) fn write(&self, model: &NewModel<'_>) -> anyhow::Result<()> {
        let mut parts: Vec<(&Path, Vec<u8>)> = vec![(&self.weights, model.weights.to_vec())];
        parts.extend(model.labels.as_ref().map(|text| (self.labels.as_path(), text.clone().into_bytes())));
        let report = model.report.map(|report| format!("{report:#}\n").into_bytes());
        parts.extend(report.map(|report| (self.report.as_path(), report)));
        parts.push((&self.card, model.card.clone().into_bytes()));
        // All of them are complete before the first takes its name.
        let staged = parts.iter().map(|(path, bytes)| Ok((stage(path, bytes)?, *path)));
        let staged: Vec<(StagedFile, &Path)> = staged.collect::<anyhow::Result<_>>()?;
        for (file, path) in staged {
            file.name(path).map_err(|error| cannot(path, error))?;
        }
        keep_names(&self.card)
    }
}

/// The names in the folder of a file are durable from now on.
fn keep_names(path: &Path) -> anyhow::Result<()> {
    let folder = folder_of(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| cannot(folder, error))
}

/// That a file beside the model can be written is found out before the work.
pub(super) fn can_be_written(path: &Path) -> anyhow::Result<()> {
    stage(path, &[]).map(drop)
}

/// Writes one file in place of another at once; both it and its name are durable then.
pub(super) fn write_one(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    stage(path, bytes)?.name(path).map_err(|error| cannot(path, error))?;
    keep_names(path)
}

/// The name of a file, without its folder.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn stage(path: &Path, bytes: &[u8]) -> anyhow::Result<StagedFile> {
    let write = || -> std::io::Result<StagedFile> {
        let mut staged = StagedFile::beside(path, 0o666)?;
        staged.file().write_all(bytes)?;
        staged.file().sync_all()?;
        Ok(staged)
    };
    write().map_err(|error| cannot(path, error))
}

/// A disk that is full may have room later.
fn cannot(path: &Path, error: std::io::Error) -> anyhow::Error {
    let exit = if is_full(&error) { Exit::Temporary } else { Exit::BadInput };
    anyhow::Error::from(error).context(format!("cannot write {}", path.display())).context(exit)
}

/// The same for a package that is written or read.
pub(super) fn refused(error: PackageError) -> anyhow::Error {
    let exit = match &error {
        PackageError::Io { source, .. } if is_full(source) => Exit::Temporary,
        _ => Exit::BadInput,
    };
    anyhow::Error::from(error).context(exit)
}

/// Whoever reads JSON finds one object, whatever this ends with.
pub(super) fn no_model(error: &anyhow::Error, as_json: bool, out: &mut impl Write) {
    if as_json {
        // The error itself is what this ends with, whether or not anyone reads the object.
        drop(json_line(out, &json!({ "written": false, "refused": reason(error) })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_the_stem_that_is_given() {
        for given in ["out/a_1.0", "out/a_1.0.onnx", "out/a_1.0.toml"] {
            let names = NewFiles::of(Path::new(given)).unwrap();
            assert_eq!(names.weights, Path::new("out/a_1.0.onnx"));
            assert_eq!(names.card, Path::new("out/a_1.0.toml"));
            assert_eq!(names.labels, Path::new("out/a_1.0_labels.txt"));
            assert_eq!(names.report, Path::new("out/a_1.0.report.json"));
        }
        for given in ["", "out/", "..", "/"] {
            assert!(NewFiles::of(Path::new(given)).is_err(), "{given}");
        }
    }

    #[test]
    fn all_files_are_written_or_none_and_the_old_model_stays() {
        let folder = tempfile::tempdir().unwrap();
        let names = NewFiles::of(&folder.path().join("a")).unwrap();
        let model =
            NewModel { weights: b"w", card: "c".to_owned(), labels: Some("l\n".to_owned()), report: None };
        names.write(&model).unwrap();
        assert!(names.are_free(&names.card, Path::new("b.onnx")).is_err());
        assert!(names.are_free(Path::new("b.toml"), &names.weights).is_err());
        let others = NewFiles::of(&folder.path().join("b")).unwrap();
        others.are_free(&names.card, &names.weights).unwrap();
        let listed = || std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(listed(), 3);
        let missing = NewFiles::of(&folder.path().join("none/b")).unwrap();
        assert!(missing.write(&model).is_err());
        assert_eq!(listed(), 3);
    }
}

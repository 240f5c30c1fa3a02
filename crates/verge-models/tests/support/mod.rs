//! For tests with models: our own tiny models, and cards for them. `verge-vision` uses this file too.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "a module of each test")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]
#![allow(clippy::print_stderr, reason = "says what was measured or skipped")]

#[path = "../../../verge-engine/tests/support/mod.rs"]
mod library;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

pub use library::runtime;
use verge_engine::ModelLimits;
use verge_models::{FrameModel, ModelError, ModelFiles};

/// A folder of `tests/fixtures`.
pub fn fixtures(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(folder)
}

/// The measuring data; without it, says that the test is skipped.
pub fn data() -> Option<PathBuf> {
    let folder = env::var_os("VERGE_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: VERGE_DATA names no folder of measuring data");
    }
    folder
}

/// A model of ours by a card of this text, in which @MODELS@ is their folder, with these labels.
pub fn load(card: &str, labels: &[&str]) -> Result<FrameModel, ModelError> {
    load_within(card, labels, ModelLimits::default())
}

/// The same with other limits.
pub fn load_within(card: &str, labels: &[&str], limits: ModelLimits) -> Result<FrameModel, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.toml");
    fs::write(&path, filled(card, &fixtures("models"))).unwrap();
    fs::write(folder.path().join("labels.txt"), labels.join("\n")).unwrap();
    FrameModel::load(&runtime(), &ModelFiles::of_card(&path), limits)
}

/// A model of the measuring data, by its card in `tests/fixtures/cards`.
pub fn load_real(data: &Path, name: &str) -> FrameModel {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixtures("cards")).unwrap() {
        let path = entry.unwrap().path();
        let text = filled(&fs::read_to_string(&path).unwrap(), &data.join("models"));
        fs::write(folder.path().join(path.file_name().unwrap()), text).unwrap();
    }
    let card = folder.path().join(format!("{name}.toml"));
    FrameModel::load(&runtime(), &ModelFiles::of_card(&card), ModelLimits::default()).unwrap()
}

fn filled(card: &str, models: &Path) -> String {
    card.replace("@MODELS@", models.to_str().unwrap())
}

/// A card for one of our models: its name, the keys of its input and those of its output.
pub fn card(name: &str, input: &str, output: &str) -> String {
    let task = match output {
        output if output.contains("yolox") || output.contains("ssd") => "\"detect\"\nlabels = \"labels.txt\"",
        output if output.contains("reconstruction") => "\"reconstruct\"",
        _ => "\"classify\"\nlabels = \"labels.txt\"",
    };
    format!(
        "name = \"{name}\"\nversion = \"1\"\nfile = \"@MODELS@/{name}.onnx\"\ntask = {task}\n\
         [input]\n{input}\n[output]\n{output}\n"
    )
}

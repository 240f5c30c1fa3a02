//! For tests with models: ONNX Runtime, installed on first use into this user's cache folder as `verge runtime
//! install` does, our own tiny models, and cards for them. `verge-vision` uses this file too.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "a module of each test")]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use verge_engine::runtime::{self, Found, Origin, Search};
use verge_engine::{Model, ModelError, ModelLimits, Runtime};

/// The library, installed where it is missing. Test programs may do so at the same time: each writes beside and
/// renames.
pub fn runtime() -> Runtime {
    static ONCE: Mutex<()> = Mutex::new(());
    let _one_at_a_time = ONCE.lock().unwrap();
    let folder = cache();
    let search = Search { configured: None, managed: vec![folder.clone()] };
    if !matches!(search.find().1, Found::Environment | Found::Managed) {
        runtime::install(&folder, &Origin::Index, &mut |step| eprintln!("{step}")).unwrap();
    }
    Runtime::load(&search).unwrap()
}

/// The folder that `verge runtime install` fills.
pub fn cache() -> PathBuf {
    let absolute = |variable| env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    base.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned()).join("verge").join("runtime")
}

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
pub fn load(card: &str, labels: &[&str]) -> Result<Model, ModelError> {
    load_within(card, labels, ModelLimits::default())
}

/// The same with other limits.
pub fn load_within(card: &str, labels: &[&str], limits: ModelLimits) -> Result<Model, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.toml");
    fs::write(&path, filled(card, &fixtures("models"))).unwrap();
    fs::write(folder.path().join("labels.txt"), labels.join("\n")).unwrap();
    Model::load(&runtime(), &path, limits)
}

/// A model of the measuring data, by its card in `tests/fixtures/cards`.
pub fn load_real(data: &Path, name: &str) -> Model {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixtures("cards")).unwrap() {
        let path = entry.unwrap().path();
        let text = filled(&fs::read_to_string(&path).unwrap(), &data.join("models"));
        fs::write(folder.path().join(path.file_name().unwrap()), text).unwrap();
    }
    Model::load(&runtime(), &folder.path().join(format!("{name}.toml")), ModelLimits::default()).unwrap()
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

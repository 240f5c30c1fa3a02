//! Files of models that commands of Verge made on another kind of processor or with another ONNX Runtime: the figures in their
//! cards are of there. It is reported when a gateway begins to use them, and whether they saturate here is tested again, in a
//! process of its own at the lowest priority.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use verge_engine::runtime::VARIABLE;
use verge_engine::{ProcessorClass, Runtime};
use verge_models::card::Provenance;
use verge_models::{FrameModel, ModelFiles};
use verge_pipeline::status::MadeElsewhereStatus;

use super::locked;
use super::runtime::runtime_search;
use crate::child::run_within;
use crate::settings::Settings;

/// The process ends itself before, see `verge model probe`.
const LIMIT: Duration = Duration::from_secs(600);

/// What is known of files that were made elsewhere, by their models.
#[derive(Default)]
pub(super) struct MadeElsewhere {
    known: Arc<Mutex<BTreeMap<String, MadeElsewhereStatus>>>,
}

/// What is to be found out of one.
struct Untested {
    model: String,
    files: ModelFiles,
    /// Of its weights.
    sha256: String,
}

/// What the process says; the rest is for others.
#[derive(Deserialize)]
struct Tested {
    saturation: Option<f64>,
    saturates: Option<bool>,
}

impl MadeElsewhere {
    /// Looks at the models that a gateway uses from now on. What was said of a file is not said again.
    pub(super) fn look(&self, settings: &Settings, loaded: &[Arc<FrameModel>]) {
        if loaded.is_empty() {
            return locked(&self.known).clear();
        }
        // It is loaded already where there are models.
        let Ok(runtime) = Runtime::load(&runtime_search(settings)) else { return };
        let made = settings.models.iter().zip(loaded);
        let made = made.filter_map(|(files, loaded)| {
            Some((files, loaded.card().made.as_ref()?, loaded.digest().to_string()))
        });
        let untested = self.note(made, ProcessorClass::here(), runtime.version());
        if untested.is_empty() {
            return;
        }
        let (known, library) = (Arc::clone(&self.known), runtime.path().to_owned());
        let most = settings.engine.limits.max_file_bytes;
        let test = move || {
            for one in untested {
                one.test(&library, most, &known);
            }
        };
        if let Err(error) = std::thread::Builder::new().name("verge-made".to_owned()).spawn(test) {
            tracing::warn!(%error, "whether models that were made elsewhere saturate here is not found out");
        }
    }

    /// Notes what is remarkable of files that are in use, and forgets the others. Gives those that are new.
    fn note<'a>(
        &self,
        made: impl IntoIterator<Item = (&'a ModelFiles, &'a Provenance, String)>,
        here: ProcessorClass,
        runtime: Option<&str>,
    ) -> Vec<Untested> {
        let mut known = locked(&self.known);
        let before = std::mem::take(&mut *known);
        let mut untested = Vec::new();
        for (files, made, sha256) in made {
            let model = &files.name;
            let Some(remark) = made.remark(here, runtime) else { continue };
            let same = before.get(model).filter(|same| (&same.remark, &same.sha256) == (&remark, &sha256));
            let status = same.cloned().unwrap_or_else(|| {
                tracing::warn!(model = %model, "{remark}");
                untested.push(Untested {
                    model: model.clone(),
                    files: files.clone(),
                    sha256: sha256.clone(),
                });
                MadeElsewhereStatus { model: model.clone(), remark, sha256, ..MadeElsewhereStatus::default() }
            });
            known.insert(model.clone(), status);
        }
        untested
    }

    /// For the status.
    pub(super) fn status(&self) -> Vec<MadeElsewhereStatus> {
        locked(&self.known).values().cloned().collect()
    }
}

impl Untested {
    /// Finds out whether it saturates here.
    fn test(&self, library: &Path, most: u64, known: &Mutex<BTreeMap<String, MadeElsewhereStatus>>) {
        let tested = self.ask(library, most);
        let model = &*self.model;
        match &tested {
            Ok(Tested { saturation: Some(share), saturates: Some(true) }) => tracing::warn!(
                model,
                "it saturates on this processor ({}): {share:.1} % of its answers to drawn pictures are those of the file as \
                 written; requantise with --for {0} (`verge model quantize`)",
                ProcessorClass::here().as_str()
            ),
            Ok(Tested { saturation: Some(share), .. }) => {
                tracing::info!(
                    model,
                    "it does not saturate here: {share:.1} % of its answers are those of the file as written"
                );
            }
            Ok(Tested { saturation: None, .. }) => {
                tracing::info!(model, "nothing in it can overflow on this processor");
            }
            Err(why) => tracing::warn!(model, "whether it saturates here is not known: {why}"),
        }
        // After a reload the model may have another file.
        if let Some(status) = locked(known).get_mut(model).filter(|status| status.sha256 == self.sha256) {
            status.tested = tested.is_ok();
            status.saturation = tested.as_ref().ok().and_then(|tested| tested.saturation);
            status.saturates = tested.as_ref().is_ok_and(|tested| tested.saturates == Some(true));
            status.error = tested.err();
        }
    }

    fn ask(&self, library: &Path, most: u64) -> Result<Tested, String> {
        let program =
            std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut command = Command::new(program);
        // Every file of a stored version is read for it.
        let card = self.files.in_use().files.card;
        command.args(["model", "probe"]).arg(card).args(["--saturation", "--idle", "--max-model"]);
        command.arg(most.to_string());
        // A bare name is left to the system's linker.
        if library.is_absolute() {
            command.env(VARIABLE, library);
        }
        let ended =
            run_within(&mut command, LIMIT).map_err(|error| format!("the process that tests it: {error}"))?;
        let Some(ended) = ended else {
            return Err(format!("the process that tests it was still at work after {} s", LIMIT.as_secs()));
        };
        if ended.status.success() {
            return serde_json::from_slice(&ended.stdout)
                .map_err(|error| format!("the process that tests it: {error}"));
        }
        let why = ended.last_words().unwrap_or_else(|| "nothing is said why".to_owned());
        Err(format!("{}: {why}", ended.status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(processor: &str, onnxruntime: &str) -> Provenance {
        Provenance {
            command: "quantize".to_owned(),
            source_sha256: "ab".repeat(32),
            pictures: 16,
            processor: processor.to_owned(),
            verge: "0.1.0".to_owned(),
            onnxruntime: onnxruntime.to_owned(),
            ..Provenance::default()
        }
    }

    fn files(name: &str) -> ModelFiles {
        ModelFiles { name: name.to_owned(), ..ModelFiles::of_card(Path::new("none.toml")) }
    }

    #[test]
    fn what_was_made_elsewhere_is_remarked_and_tested_once() {
        let elsewhere = MadeElsewhere::default();
        let [here, arm, old] =
            [("x86", "1.32.0"), ("arm", "1.32.0"), ("x86", "1.20.0")].map(|(a, b)| made(a, b));
        let look = |models: &[(&str, &Provenance)]| -> Vec<String> {
            let files: Vec<ModelFiles> = models.iter().map(|(name, _)| files(name)).collect();
            let models = files.iter().zip(models);
            let models = models.map(|(files, (_, made))| (files, *made, made.source_sha256.clone()));
            let untested = elsewhere.note(models, ProcessorClass::X86, Some("1.32.0"));
            untested.into_iter().map(|one| one.model).collect()
        };
        assert_eq!(look(&[("a", &here), ("b", &arm), ("c", &old)]), ["b", "c"]);
        let words = |at: usize| elsewhere.status()[at].remark.clone();
        assert!(words(0).contains("kind arm, and this one is x86"), "{}", words(0));
        assert!(words(1).contains("with ONNX Runtime 1.20.0, this is 1.32.0"), "{}", words(1));
        assert_eq!(look(&[("a", &here), ("b", &arm)]), Vec::<String>::new(), "it is known");
        assert_eq!(elsewhere.status().len(), 1, "what is not used any more is not shown");
        let other = Provenance { source_sha256: "cd".repeat(32), ..arm.clone() };
        assert_eq!(look(&[("b", &other)]), ["b"], "another file");
    }

    #[test]
    fn a_test_that_cannot_be_made_says_why() {
        let elsewhere = MadeElsewhere::default();
        let arm = made("arm", "1.32.0");
        let untested = elsewhere.note([(&files("b"), &arm, "ab".to_owned())], ProcessorClass::X86, None);
        // The program of these tests knows no such command.
        untested[0].test(Path::new("none"), 1, &elsewhere.known);
        let status = &elsewhere.status()[0];
        assert!(!status.tested && !status.saturates && status.error.is_some(), "{status:?}");
    }
}

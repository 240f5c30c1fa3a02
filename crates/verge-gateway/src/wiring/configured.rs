//! What a gateway at work is configured to do, for the dashboard.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use verge_domain::configured::{
    CheckedConfiguration, ConfigurationFault, Configured, ConfiguredJudge, ConfiguredModel,
    ConfiguredSettings, ConfiguredSource, LoadedModel, ReloadDone,
};
use verge_domain::id::OperatorText;
use verge_models::{FrameModel, ModelFiles};

use super::replacement::JudgesAtWork;
use crate::config::{Fault, effective_settings};
use crate::reload::{ReloadAnswer, ReloadDesk, ReloadRequests, reply_of};
use crate::settings::{Carries, Settings};

/// The configuration at work, and where another one is asked for.
pub(super) struct ConfiguredView {
    now: Mutex<Arc<AtWork>>,
    reloads: Arc<ReloadDesk>,
}

struct AtWork {
    settings: Settings,
    models: Vec<ConfiguredModel>,
}

impl AtWork {
    fn of(settings: &Settings, judges: &JudgesAtWork) -> Arc<Self> {
        let loaded = judges.vision.as_deref().map_or(&[][..], |vision| vision.models());
        let frames = settings.models.iter().enumerate().map(|(index, files)| (files, loaded.get(index)));
        let windows = settings.autoencoders.iter().map(|files| (files, None));
        let models = frames.chain(windows).map(|(files, loaded)| model(settings, files, loaded)).collect();
        Arc::new(Self { settings: settings.clone(), models })
    }
}

fn model(settings: &Settings, files: &ModelFiles, loaded: Option<&Arc<FrameModel>>) -> ConfiguredModel {
    let asks = |judge: &&crate::settings::JudgeSection| {
        judge.model(settings).is_some_and(|model| model.name == files.name)
    };
    ConfiguredModel {
        name: files.name.clone(),
        card: files.card.display().to_string(),
        judges: settings.judges.iter().filter(asks).map(|judge| judge.name.to_string()).collect(),
        loaded: loaded.map(|model| of_frames(settings, model)),
    }
}

fn of_frames(settings: &Settings, model: &FrameModel) -> LoadedModel {
    let (card, identity) = (model.frames(), &model.card().identity);
    LoadedModel {
        identity: identity.name.to_string(),
        version: identity.version.to_string(),
        task: card.task.as_str().to_owned(),
        input: model.input_words(),
        outputs: model.output_words(),
        decoder: card.output.described(),
        provider: settings.engine.provider.name().to_owned(),
        labels: model.labels().iter().map(ToString::to_string).collect(),
        content: model.content().to_string(),
    }
}

impl ConfiguredView {
    /// Of a gateway that starts.
    pub(super) fn of(settings: &Settings, judges: &JudgesAtWork) -> Arc<Self> {
        Arc::new(Self { now: Mutex::new(AtWork::of(settings, judges)), reloads: Arc::default() })
    }

    /// Other settings are at work.
    pub(super) fn take_up(&self, settings: &Settings, judges: &JudgesAtWork) {
        let next = AtWork::of(settings, judges);
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = next;
    }

    /// Where a reload is asked for.
    pub(super) fn desk(&self) -> Arc<ReloadDesk> {
        Arc::clone(&self.reloads)
    }

    /// What people ask for at the dashboard, from now on.
    pub(super) fn reload_requests(&self) -> ReloadRequests {
        self.reloads.open()
    }

    fn now(&self) -> Arc<AtWork> {
        Arc::clone(&self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Configured for ConfiguredView {
    fn sources(&self) -> Vec<ConfiguredSource> {
        let now = self.now();
        let source = |source: &crate::settings::SourceSection| ConfiguredSource {
            name: source.name.to_string(),
            topic: source.filter.clone(),
            carries: match source.carries {
                Carries::Readings(_) => "readings",
                Carries::Frames(_) => "frames",
            },
            settings: now
                .settings
                .section("source", source.name.as_str())
                .map(|section| section.values.clone())
                .unwrap_or_default(),
        };
        now.settings.sources.iter().map(source).collect()
    }

    fn judges(&self) -> Vec<ConfiguredJudge> {
        let now = self.now();
        let judge = |judge: &crate::settings::JudgeSection| ConfiguredJudge {
            name: judge.name.to_string(),
            detector: judge.detector().as_str(),
            model: judge.model(&now.settings).map(|model| model.name.clone()),
            settings: now
                .settings
                .section("judge", judge.name.as_str())
                .map(|section| section.values.clone())
                .unwrap_or_default(),
        };
        now.settings.judges.iter().map(judge).collect()
    }

    fn models(&self) -> Vec<ConfiguredModel> {
        self.now().models.clone()
    }

    fn settings(&self) -> ConfiguredSettings {
        let now = self.now();
        let Settings { values, origins, warnings, .. } = &now.settings;
        ConfiguredSettings {
            file: origins.file().to_owned(),
            sections: effective_settings(values, origins),
            warnings: warnings.iter().map(ToString::to_string).collect(),
        }
    }

    fn check(&self, text: &[u8]) -> CheckedConfiguration {
        let path = PathBuf::from(self.now().settings.origins.file());
        check_text(text, &path, std::env::vars_os())
    }

    fn reload(&self, dry_run: bool, by: &OperatorText, done: ReloadDone) -> bool {
        self.reloads.submit(dry_run, by, Box::new(move |answer: &ReloadAnswer| done(reply_of(answer))))
    }
}

/// Checks a text as if it stood in a file.
fn check_text(
    text: &[u8],
    path: &std::path::Path,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> CheckedConfiguration {
    let fault = |fault: &Fault| ConfigurationFault {
        line: fault.place.as_ref().and_then(|place| place.line),
        key: fault.key.clone(),
        words: fault.to_string(),
    };
    match Settings::of_text(text, path, variables) {
        Ok(settings) => CheckedConfiguration {
            ok: true,
            faults: Vec::new(),
            warnings: settings.warnings.iter().map(ToString::to_string).collect(),
        },
        Err(faults) => CheckedConfiguration {
            ok: false,
            faults: faults.iter().map(fault).collect(),
            warnings: Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_text_is_checked_with_every_fault_and_its_line() {
        let text =
            b"[gateway]\nid = \"\"\n[local]\nmode = \"external\"\nurl = \"mqtt://localhost\"\nodd = 1\n";
        let checked = check_text(text, Path::new("/etc/g.toml"), []);
        assert!(!checked.ok && checked.faults.len() >= 3, "{checked:?}");
        let odd = checked.faults.iter().find(|fault| fault.key == "local.odd").unwrap();
        assert_eq!(odd.line, Some(6));
        assert!(odd.words.starts_with("/etc/g.toml line 6: local.odd"), "{odd:?}");
    }
}

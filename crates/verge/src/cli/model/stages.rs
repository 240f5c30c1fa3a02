//! How far `verge model promote` brings a candidate.

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use jiff::Timestamp;
use verge_gateway::exit::{Exit, ExitWith};
use verge_gateway::settings::Settings;
use verge_gateway::wiring;
use verge_models::store::{Slots, StoredVersion};
use verge_models::trial::{TrialPhase, memory_needed};

use super::super::FileArgs;
use super::probe::Probed;

#[derive(Debug, Args)]
#[command(
    after_help = "The candidate is loaded in a process of its own and tried with the judges of the configuration; then it is in use, or \
on trial beside the active version. A gateway that runs is asked to reload its file: all that has changed in the file takes effect \
with it. Where that reload fails, everything stays as it was.

Examples:
  verge model promote parts -c gateway.toml --stage shadow        compared
  verge model promote parts -c gateway.toml --stage canary --share 25
  verge model promote parts -c gateway.toml                       in use

`models` of the status says how a trial goes. A version whose output is NaN, whose runs fail or take too long is returned from by \
itself, with a verdict in the lane of alarms, and is not tried again. `verge model rollback` ends a trial."
)]
pub(super) struct PromoteArgs {
    /// The model, as [model.NAME] calls it
    #[arg(value_name = "NAME")]
    pub(super) name: String,
    #[command(flatten)]
    pub(super) file: FileArgs,
    /// How far
    #[arg(long, value_name = "STAGE", default_value = "active")]
    stage: Stage,
    /// Share of the cameras that a canary looks at, in percent; [models] canary of the configuration without it
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) share: Option<u32>,
    /// Only this version: where another one or none is the candidate, there is nothing to do
    #[arg(long, value_name = "ID")]
    pub(super) candidate: Option<String>,
    /// Also where a trial has shown that its answers are others
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// It looks at frames beside the active version on workers that have nothing to do, and its answers are compared
    Shadow,
    /// It looks at the frames of some cameras, and verdicts of those name it
    Canary,
    /// It takes the place of the active version
    Active,
}

impl Stage {
    const fn phase(self) -> Option<TrialPhase> {
        match self {
            Self::Shadow => Some(TrialPhase::Shadow),
            Self::Canary => Some(TrialPhase::Canary),
            Self::Active => None,
        }
    }
}

impl PromoteArgs {
    /// Whether the candidate may come to the stage.
    pub(super) fn check(&self, settings: &Settings, slots: &Slots) -> anyhow::Result<()> {
        let name = &self.name;
        let is_of_frames = settings.models.iter().any(|model| model.name == *name);
        if self.stage.phase().is_some() && !is_of_frames {
            let error = anyhow!(
                "{name}: no judge looks at frames with it, and only such models are tried: promote it without --stage"
            );
            return Err(error).exit_with(Exit::Usage);
        }
        if self.share.is_some() && self.stage != Stage::Canary {
            return Err(anyhow!("--share is of --stage canary")).exit_with(Exit::Usage);
        }
        match slots.agreement {
            Some(figures) if figures.passed == Some(false) && self.stage != Stage::Shadow && !self.force => {
                let error = anyhow!(
                    "{name}: refused by the gate: the answers of the candidate are others: {}; --force promotes it all the same",
                    figures.words()
                );
                Err(error).exit_with(Exit::Failure)
            }
            _ => Ok(()),
        }
    }

    /// Whether the candidate is there already.
    pub(super) fn is_done(&self, slots: &Slots, share: u32) -> bool {
        let (phase, trial) = (self.stage.phase(), slots.trial().map(|(_, phase)| phase));
        phase.is_some() && trial == phase && (phase == Some(TrialPhase::Shadow) || slots.share == Some(share))
    }

    /// The slots with the candidate at the stage.
    pub(super) fn next(
        &self,
        settings: &Settings,
        slots: &Slots,
        (version, probed): (&StoredVersion, Probed),
    ) -> Slots {
        let now = Timestamp::now().as_millisecond();
        let Some(phase) = self.stage.phase() else { return slots.promoted(version.counter(), now) };
        let share = self.share.unwrap_or(settings.packages.canary);
        let weights = version.manifest().map_or(0, |manifest| manifest.bytes());
        let needed = memory_needed(weights, probed.memory, wiring::workers(settings).get());
        Slots { needs: Some(needed), ..slots.tried(phase, share, now) }
    }

    /// What has happened then, in words.
    pub(super) fn words(&self, candidate: &str, share: u32) -> String {
        match self.stage {
            Stage::Shadow => format!("{candidate} is on trial beside the active version"),
            Stage::Canary => format!("{candidate} looks at the frames of {share} % of the cameras"),
            Stage::Active => format!("{candidate} is in use"),
        }
    }
}

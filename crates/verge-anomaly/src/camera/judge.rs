//! The judge over the health of one camera.

use verge_domain::finding::{Finding, Member};
use verge_domain::frame::CameraLook;
use verge_domain::observation::Captured;
use verge_domain::stage::RestoreError;
use verge_domain::time::Moment;

use super::{CameraCauses, CameraHealthSettings};
use crate::health::HealthJudge;
use crate::state::{self, StateKind};

/// Watches one camera: that its frames come, and what they say of it.
#[derive(Debug)]
pub struct CameraHealthJudge {
    settings: CameraHealthSettings,
    silence: HealthJudge,
    causes: CameraCauses,
    has_looked: bool,
}

impl CameraHealthJudge {
    pub(crate) fn new(settings: CameraHealthSettings, now: Moment) -> Self {
        let silence = HealthJudge::new(settings.of_arrivals(), now.mono);
        Self { settings, silence, causes: CameraCauses::default(), has_looked: false }
    }

    /// A frame has arrived.
    pub(crate) fn arrive(&mut self, captured: Captured, received: Moment, findings: &mut Vec<Finding>) {
        if self.settings.watches(Member::Silent) {
            self.silence.observe(1.0, captured, received, findings);
        }
    }

    /// What a frame says of the camera.
    pub(crate) fn look(&mut self, look: &CameraLook, received: Moment, findings: &mut Vec<Finding>) {
        self.causes.look(look, received, self.settings.patience());
        self.has_looked = true;
        for cause in Member::OF_CAMERAS.into_iter().filter(|cause| self.settings.watches(*cause)) {
            findings.extend(self.causes.condition(cause).map(Finding::Condition));
        }
    }

    pub(crate) fn tick(&mut self, now: Moment, findings: &mut Vec<Finding>) {
        if self.settings.watches(Member::Silent) {
            self.silence.tick(now, findings);
        }
    }

    pub(crate) fn resume(&mut self, now: Moment) {
        self.silence.resume(now.mono);
    }

    pub(crate) fn save(&self) -> Option<Vec<u8>> {
        let silence = self.silence.save();
        if silence.is_none() && !self.has_looked {
            return None;
        }
        Some(state::seal_with(
            StateKind::Camera,
            &(silence, &self.causes),
            &self.causes.more(),
            self.causes.reference(),
        ))
    }

    /// What earlier versions saved is taken up: they watched arrivals alone.
    pub(crate) fn restore(&mut self, saved: &[u8], now: Moment) -> Result<(), RestoreError> {
        if state::is_of(StateKind::Health, saved) {
            return self.silence.restore(saved, now);
        }
        let ((silence, causes), more, reference): ((Option<Vec<u8>>, CameraCauses), _, _) =
            state::open_with(StateKind::Camera, saved)?;
        let misfit = RestoreError::Misfit { part: "what is usual of the camera" };
        let causes = causes.restored(more, reference).ok_or(misfit)?;
        if let Some(silence) = silence {
            self.silence.restore(&silence, now)?;
        }
        (self.causes, self.has_looked) = (causes, true);
        Ok(())
    }
}

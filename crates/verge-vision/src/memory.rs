//! What is kept of one camera from frame to frame. It travels with the frame.

use std::sync::{Arc, Weak};

use verge_domain::id::JudgeIndex;
use verge_engine::RecurrentState;
use verge_models::FrameModel;

use crate::cascade::CascadeMemory;
use crate::follow::FollowMemory;
use crate::gate::MotionGate;
use crate::mask::HiddenPixels;
use crate::preprocess::Region;
use crate::watch::CameraWatch;

/// What is kept of one camera: which pixels are hidden, what the others usually show, and the recurrent state of each
/// judge's model.
#[derive(Debug, Default)]
pub struct Memory {
    pub(crate) hidden: HiddenPixels,
    /// Of a camera that a judge wants to know about.
    pub(crate) watch: Option<Box<CameraWatch>>,
    states: Vec<JudgeMemory>,
}

/// What is kept of what one judge saw.
#[derive(Debug)]
pub(crate) struct JudgeMemory {
    judge: JudgeIndex,
    /// Of this model over this part of the frames: that of another means nothing to it.
    model: Weak<FrameModel>,
    region: Region,
    pub(crate) state: RecurrentState,
    pub(crate) gate: MotionGate,
    /// Of the objects that a second model looks at.
    pub(crate) crops: CascadeMemory,
    /// Where something was found.
    pub(crate) follow: FollowMemory,
}

impl Memory {
    /// Of a judge that looks with this model at this part of the frames.
    pub(crate) fn of(
        &mut self,
        judge: JudgeIndex,
        model: &Arc<FrameModel>,
        region: Region,
    ) -> &mut JudgeMemory {
        let is_of = |one: &JudgeMemory| one.model.as_ptr() == Arc::as_ptr(model) && one.region == region;
        let place = self.states.iter().position(|one| one.judge == judge);
        let place = match place {
            Some(place) if is_of(&self.states[place]) => place,
            known => {
                let (state, gate, crops, follow) = Default::default();
                let model = Arc::downgrade(model);
                let new = JudgeMemory { judge, model, region, state, gate, crops, follow };
                match known {
                    Some(place) => {
                        self.states[place] = new;
                        place
                    }
                    None => {
                        self.states.push(new);
                        self.states.len() - 1
                    }
                }
            }
        };
        &mut self.states[place]
    }

    /// Forgets judges that do not look at the camera any more.
    pub(crate) fn keep(&mut self, judges: &[JudgeIndex]) {
        if self.states.len() > judges.len() {
            self.states.retain(|one| judges.contains(&one.judge));
        }
    }
}

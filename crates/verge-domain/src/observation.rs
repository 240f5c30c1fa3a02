//! What judges observe: readings, the arrivals of frames, and what models see in a frame.

use crate::frame::{CameraLook, Shortfall, View};
use crate::id::{DeviceId, JudgeIndex, Unit};
use crate::reading::{Reading, SourceIndex};
use crate::time::{DeviceClock, Moment, UtcMillis};

/// One camera: a device of one source of frames.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Camera {
    /// The source.
    pub source: SourceIndex,
    /// The device.
    pub device: DeviceId,
}

/// When something was captured, as its device claims it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// The claim.
    pub at: Option<UtcMillis>,
    /// What may be believed of it.
    pub clock: DeviceClock,
}

impl Captured {
    /// The device gave no time, or time alone decides.
    pub const UNKNOWN: Self = Self { at: None, clock: DeviceClock::Absent };

    /// The time to reckon with: the device's where it is trusted, else that of receipt.
    #[must_use]
    pub const fn time(self, received: UtcMillis) -> UtcMillis {
        match (self.clock, self.at) {
            (DeviceClock::Trusted, Some(at)) => at,
            _ => received,
        }
    }
}

/// One thing that one judge observes. The list is closed: a judge ignores what it does not look at.
#[derive(Debug, Clone, Copy)]
pub enum Observable<'a> {
    /// A value of a signal.
    Reading(&'a Reading),
    /// A frame has arrived from the camera.
    Arrival(Captured),
    /// What a frame of the camera says of the camera itself, ahead of what models see in it.
    Look(&'a CameraLook, Captured),
    /// What the judge's model saw in a frame of the camera.
    View(&'a View, Captured),
}

impl<'a> From<&'a Reading> for Observable<'a> {
    fn from(reading: &'a Reading) -> Self {
        Self::Reading(reading)
    }
}

impl<'a> Observable<'a> {
    /// When it was captured.
    #[must_use]
    pub const fn captured(self) -> Captured {
        match self {
            Self::Reading(reading) => reading.captured(),
            Self::Arrival(captured) | Self::Look(_, captured) | Self::View(_, captured) => captured,
        }
    }

    /// The unit of what was observed, if it has one.
    #[must_use]
    pub const fn unit(self) -> Option<&'a Unit> {
        match self {
            Self::Reading(reading) => reading.unit.as_ref(),
            Self::Arrival(_) | Self::Look(..) | Self::View(..) => None,
        }
    }
}

/// What a worker saw in one frame.
#[derive(Debug)]
pub struct Observation {
    /// The camera.
    pub camera: Camera,
    /// When the frame was captured.
    pub captured: Captured,
    /// When the gateway received it.
    pub received: Moment,
    /// What the frame says of the camera itself, where a judge wants to know.
    pub look: Option<Box<CameraLook>>,
    /// What was given up in looking at it.
    pub shortfall: Shortfall,
    /// What the model of each judge saw. A judge whose model failed has no view.
    pub views: Vec<(JudgeIndex, View)>,
    /// Of these judges, those for which a version on trial looked.
    pub by_candidate: Vec<JudgeIndex>,
}

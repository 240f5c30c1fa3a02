//! What a site has: components, and which judges speak for each.

use std::time::Duration;

use verge_domain::finding::Member;
use verge_domain::id::{DeviceId, JudgeId};

use crate::CountsOf;

verge_domain::words! {
    /// The alarms of the signal exchange list that a detector has.
    #[derive(PartialOrd, Ord)]
    pub enum AlarmCode {
        /// Other error, of the whole site.
        Other = "A0009",
        /// Detector error (hardware).
        Hardware = "A0301",
        /// Detector error (logic).
        Logic = "A0302",
        /// Serious detector error (hardware).
        SeriousHardware = "A0303",
        /// Serious detector error (logic).
        SeriousLogic = "A0304",
    }

    /// What a detector is in the terms of the signal exchange list.
    pub enum DetectorKind {
        /// An inductive loop.
        Loop = "loop",
        /// Anything else.
        Input = "input",
    }

    /// What the controller takes a faulty detector for.
    pub enum ErrorMode {
        /// As occupied.
        On = "on",
        /// As free.
        Off = "off",
    }
}

impl AlarmCode {
    /// Its priority in the signal exchange list.
    #[must_use]
    pub const fn priority(self) -> u8 {
        match self {
            Self::SeriousHardware | Self::SeriousLogic => 2,
            Self::Other | Self::Hardware | Self::Logic => 3,
        }
    }

    pub(super) const fn is_logic(self) -> bool {
        matches!(self, Self::Logic | Self::SeriousLogic)
    }

    /// The kind of error that a member of a judge of health stands for: hardware, or logic.
    #[must_use]
    pub const fn is_logic_error(member: Member) -> bool {
        !matches!(
            member,
            Member::Silent | Member::Flat | Member::Noisy | Member::Saturated | Member::ClockSkewed
        )
    }
}

/// How a site behaves and what it has.
#[derive(Debug, Clone)]
pub struct SiteSettings {
    /// Its identifier.
    pub site: String,
    /// The component that stands for all of it.
    pub main: String,
    /// Versions of the core that it offers.
    pub versions: Vec<String>,
    /// The version of the signal exchange list.
    pub sxl: String,
    /// How often it says that it is there.
    pub watchdog: Duration,
    /// A message that is not acknowledged for this long ends the connection.
    pub ack_timeout: Duration,
    /// Whether measurements of an outage are sent afterwards.
    pub buffer_status: bool,
    /// A supervisor beside the main one, which gets no alarms.
    pub secondary: bool,
    /// Whether critical events that no alarm of the list stands for are sent as [`AlarmCode::Other`].
    pub other: bool,
    /// How long after its end an interval of one detector is waited for.
    pub settle: Duration,
    /// Its detectors, at most [`MAX_COMPONENTS`](super::MAX_COMPONENTS).
    pub components: Vec<SiteComponent>,
}

/// A detector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteComponent {
    /// Its identifier.
    pub id: String,
    /// The device.
    pub device: DeviceId,
    /// What counts.
    pub counts: Option<CountsOf>,
    /// What says that it is at fault.
    pub faults: Vec<FaultJudge>,
    /// Its name in alarms.
    pub detector: String,
    /// What it is.
    pub kind: DetectorKind,
    /// What the controller takes it for while it is at fault.
    pub error_mode: ErrorMode,
    /// Whether its faults make the controller fail.
    pub serious: bool,
}

/// A judge of the health of a detector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultJudge {
    /// The judge.
    pub judge: JudgeId,
    /// Whether it finds errors of the hardware.
    pub hardware: bool,
    /// Whether it finds errors of the logic.
    pub logic: bool,
}

impl SiteComponent {
    /// The alarm for an error of its logic or hardware.
    #[must_use]
    pub const fn code(&self, is_logic: bool) -> AlarmCode {
        match (is_logic, self.serious) {
            (false, false) => AlarmCode::Hardware,
            (true, false) => AlarmCode::Logic,
            (false, true) => AlarmCode::SeriousHardware,
            (true, true) => AlarmCode::SeriousLogic,
        }
    }

    /// The judges that may make an alarm active.
    pub fn judges_of(&self, code: AlarmCode) -> impl Iterator<Item = &JudgeId> + '_ {
        let reports = move |fault: &&FaultJudge| if code.is_logic() { fault.logic } else { fault.hardware };
        self.faults.iter().filter(reports).map(|fault| &fault.judge)
    }
}

//! Numbers that stand for names.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use verge_domain::finding::Member;
use verge_domain::group::GroupKind;
use verge_domain::id::Lane;
use verge_domain::verdict::{
    ActionKind, Detector, EventChange, EventState, ForecastMeasure, PartialReason, Severity, TimeBasis,
};
use verge_domain::withdrawn::Withdrawal;

use crate::WireError;
#[cfg(test)]
use crate::portable::Row;
use crate::portable::{CborReader, CborWriter, Field, Portable, Written};
use crate::scalar::as_serde_does;

/// Something that a number stands for.
trait Coded {
    fn code(&self) -> u64;
}

/// The number of a member, as verdicts have it.
#[must_use]
pub fn member_number(member: Member) -> u16 {
    u16::try_from(member.code()).unwrap_or(u16::MAX)
}

/// Numbers that stand for names. They never change and are never used again for anything else; new ones are added.
macro_rules! codes {
    ($type:ident { $($code:literal $variant:ident),+ $(,)? }) => {
        impl Coded for $type {
            fn code(&self) -> u64 {
                match self {
                    $(Self::$variant => $code),+
                }
            }
        }

        impl Portable for $type {
            #[cfg(test)]
            const TABLE: &'static [Row] =
                &[$(($code, stringify!($variant), "")),+];

            fn write(&self, cbor: &mut CborWriter<'_>, _: Field) -> Written {
                cbor.items.u64(self.code())?;
                Ok(())
            }

            fn read(cbor: &mut CborReader<'_>, field: Field) -> Result<Self, WireError> {
                match cbor.items.u64()? {
                    $($code => Ok(Self::$variant),)+
                    found => Err(WireError::UnknownCode { field, found }),
                }
            }

            as_serde_does!();
        }
    };
}

codes!(Lane { 0 Alarm, 1 Verdict, 2 Telemetry });
codes!(Severity { 0 Info, 1 Warning, 2 Critical });
codes!(EventState { 0 Raised, 1 Updated, 2 Cleared });
codes!(EventChange { 0 Renewed, 1 Turned, 2 Grown, 3 Adapted });
codes!(GroupKind { 0 Machine, 1 Flood });
codes!(ActionKind { 0 Acknowledged, 1 Shelved, 2 Unshelved, 3 Set, 4 Labelled });
codes!(ClockJudgement { 1 Trusted, 2 Skewed });
codes!(PartialReason { 0 Start, 1 Gap, 2 Rate, 3 Clock, 4 Health, 5 Overload });
codes!(TimeBasis { 0 Captured, 1 Received });
codes!(ForecastMeasure { 0 Flow, 1 Queue });
codes!(Withdrawal { 0 Full, 1 Expired, 2 Damaged, 3 EarlierEpoch, 4 TooLarge, 5 Defect, 6 Refused });
codes!(Detector {
    0 Threshold, 1 Rate, 2 Silence, 3 Loop, 4 Classify, 5 Detect, 6 Health, 7 Auto, 8 Multi, 9 Pattern, 10 Vibration,
    11 Cusum, 12 Autoencoder, 13 Track, 14 Anomaly,
});
codes!(Member {
    0 High, 1 Low, 2 Rise, 3 Fall, 4 Silent, 5 Stuck, 6 Flat, 7 Noisy, 8 Saturated, 9 ClockSkewed, 10 Duplicate,
    11 Level, 12 Mean, 13 Profile, 14 Median, 15 Volatility, 16 Context, 17 TimeOfDay, 18 Shift, 19 Machine,
    20 Pattern, 21 Vibration, 22 Reconstruction, 23 Stopped, 24 WrongWay, 25 Person, 26 Queue, 27 Appearance, 28 Frozen,
    29 Dark, 30 Bright, 31 Blurred, 32 Covered, 33 LowContrast, 34 Moved, 35 Flicker, 36 Size, 38 UnexplainedMotion,
    39 ModelFailed, 40 ModelSlow, 41 ModelUnproved, 42 ModelDisagrees, 43 ModelDamaged,
});

/// What may be believed of a device's time, where it gave one.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClockJudgement {
    Trusted,
    Skewed,
}

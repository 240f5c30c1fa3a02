//! What a judge says of what it observes, before policy makes verdicts of it.

mod measure;
mod models;
mod strand;

use serde::{Deserialize, Serialize};

use crate::frame::Detections;
use crate::id::SignalId;
use crate::verdict::{Counts, Regions, Traffic};
pub use measure::Measure;
pub use strand::Strand;

/// What a judge found.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// How a watched condition stands now. Judges report it at every observation, normal or not; policy
    /// turns the changes into events.
    Condition(Condition),
    /// A finished interval of counts.
    Counts(Counts),
    /// A finished interval of what was counted before a camera.
    Traffic(Box<Traffic>),
    /// The objects that are followed before a camera.
    Tracks(Box<Detections>),
    /// A measure of the finished interval, which other judges may look at like a reading of the camera.
    Measure(Measure),
    /// The view that was observed is worth a verdict of its own, which belongs to no event.
    View,
}

crate::words! {
    /// Which rule or detector of a judge reports. Events of different members live side by side.
    #[derive(PartialOrd, Ord, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum Member {
        /// Value above its upper limit.
        High = "high",
        /// Value below its lower limit.
        Low = "low",
        /// Value rising faster than its limit.
        Rise = "rise",
        /// Value falling faster than its limit.
        Fall = "fall",
        /// No reading for longer than its limit, or than its own history makes plausible. Health; observed and
        /// expected in seconds.
        Silent = "silent",
        /// The same value, bit by bit, for longer than its own history makes plausible. Health; in readings.
        Stuck = "stuck",
        /// The noise from reading to reading has collapsed, though not to nothing. Health; the noise now as a ratio to the
        /// least that was usual.
        Flat = "flat",
        /// The noise from reading to reading has grown and stays. Health; the noise now as a ratio to the most
        /// that was usual.
        Noisy = "noisy",
        /// Many readings at exactly the greatest or the least value. Health; share of readings, `0..=1`.
        Saturated = "saturated",
        /// The device's clock is not believed, or has left its usual distance from ours. Health; seconds by which
        /// it is ahead of the receipt of its readings (negative: behind).
        ClockSkewed = "clock_skewed",
        /// Two publishers send under one name. Health; share of readings, `0..=1`, that jump between the two.
        Duplicate = "duplicate",
        /// `auto`: distance of the value from its slow mean. `observed` is the value.
        Level = "level",
        /// `auto`: distance of the mean of twenty readings from the slow mean. `observed` is that mean.
        Mean = "mean",
        /// `auto`: error against what is usual at this hour of the day. `observed` is the value.
        Profile = "profile",
        /// `auto`: distance of the median of five readings from its slow mean. `observed` is that median.
        Median = "median",
        /// `auto`: the mean step of forty readings has grown. `observed` is that mean step, in the signal's unit.
        Volatility = "volatility",
        /// `auto`: a sequence of values that was hardly ever met. `observed` is its surprise in bits per reading.
        Context = "context",
        /// `auto`: a value that was hardly ever met at this hour. `observed` is its surprise in bits per reading.
        TimeOfDay = "time_of_day",
        /// `auto`: the last hundred readings spread otherwise than the long run. `observed` is the chi-square
        /// distance of their shares.
        Shift = "shift",
        /// `multi`: several signals together. `observed` is the distance of their running means from what is usual, in
        /// standard deviations (the root of T² per signal).
        Machine = "machine",
        /// `pattern`: a shape that was not seen before. `observed` is its distance from the nearest known one, in
        /// standard deviations.
        Pattern = "pattern",
        /// `vibration`: a block of samples. `observed` is the distance of its features from what is usual, in standard
        /// deviations.
        Vibration = "vibration",
        /// `autoencoder`: a window that the model cannot reconstruct. `observed` is the mean square error, in the square of
        /// the signal's unit.
        Reconstruction = "reconstruction",
        /// `anomaly`: a frame that looks unlike those that the model knows. `observed` is the model's score.
        Appearance = "appearance",
        /// A camera's picture stands still. Health; in seconds.
        Frozen = "frozen",
        /// A camera's picture is dark. Health; mean grey level, 0 to 255.
        Dark = "dark",
        /// A camera's picture is saturated. Health; share of pixels, `0..=1`.
        Bright = "bright",
        /// A camera's picture has lost its detail, while its layout remains. Health; the detail as a ratio to what is usual.
        Blurred = "blurred",
        /// Edges that a camera usually sees are missing. Health; their share, `0..=1`.
        Covered = "covered",
        /// A camera's picture has lost its contrast. Health; the contrast as a ratio to what is usual.
        LowContrast = "low_contrast",
        /// A camera looks elsewhere. Health; the shift as a share of the picture's width, 1 where it shows something else.
        Moved = "moved",
        /// A camera's picture is bright and dark in turn. Health; the step of the mean as a share of it.
        Flicker = "flicker",
        /// A camera's picture has another size. Health; its width in pixels, with its height as the value.
        Size = "size",
        /// What passes through a camera's picture is not what its model knows. Health; passages of the last twenty.
        UnexplainedMotion = "unexplained_motion",
        /// A new version of a model cannot be used, or its runs fail: the version before is used again. Health; runs.
        ModelFailed = "model_failed",
        /// A new version of a model is too slow: the version before is used again. Health; in ms.
        ModelSlow = "model_slow",
        /// No start with a new version of a model lasted until it was confirmed. Health; in starts.
        ModelUnproved = "model_unproved",
        /// The answers of a new version of a model are others: it is not used. Health; share that agrees, `0..=1`.
        ModelDisagrees = "model_disagrees",
        /// The stored version of a model that should be in use is damaged: another one is used. Health; versions.
        ModelDamaged = "model_damaged",
        /// `track`: objects that stand still in a zone of a camera, and no queue holds them. Observed: how many, as below.
        Stopped = "stopped",
        /// `track`: objects that go against the lane of a zone.
        WrongWay = "wrong_way",
        /// `track`: objects in a zone where their class must not be.
        Person = "person",
        /// `track`: objects that wait in a zone, where they are as many as make a queue an event.
        Queue = "queue",
    }
}

impl Member {
    /// What can be wrong with a camera, as far as its frames alone say.
    pub const OF_CAMERAS: [Self; 9] = [
        Self::Frozen,
        Self::Dark,
        Self::Bright,
        Self::Blurred,
        Self::Covered,
        Self::LowContrast,
        Self::Moved,
        Self::Flicker,
        Self::Size,
    ];

    /// What reports it, and the unit of `observed` and `expected` where that is the member's own.
    const fn kind(self) -> (MemberKind, Option<&'static str>) {
        match self {
            Self::High | Self::Low | Self::Rise | Self::Fall => (MemberKind::Limit, None),
            Self::Silent | Self::ClockSkewed | Self::Frozen => (MemberKind::Health, Some("s")),
            Self::Size => (MemberKind::Health, Some("pixels")),
            Self::UnexplainedMotion => (MemberKind::Health, Some("passages")),
            Self::ModelFailed => (MemberKind::Health, Some("runs")),
            Self::ModelSlow => (MemberKind::Health, Some("ms")),
            Self::ModelUnproved => (MemberKind::Health, Some("starts")),
            Self::ModelDamaged => (MemberKind::Health, Some("versions")),
            Self::Dark
            | Self::Bright
            | Self::Blurred
            | Self::Covered
            | Self::LowContrast
            | Self::Moved
            | Self::Flicker => (MemberKind::Health, Some("")),
            Self::Stuck => (MemberKind::Health, Some("readings")),
            Self::Flat | Self::Noisy | Self::Saturated | Self::Duplicate | Self::ModelDisagrees => {
                (MemberKind::Health, Some(""))
            }
            Self::Level | Self::Mean | Self::Profile | Self::Median | Self::Volatility => {
                (MemberKind::Auto, None)
            }
            Self::Context | Self::TimeOfDay => (MemberKind::Auto, Some("bits")),
            Self::Shift => (MemberKind::Auto, Some("")),
            Self::Machine | Self::Pattern | Self::Vibration => (MemberKind::Whole, Some("deviations")),
            Self::Reconstruction | Self::Appearance => (MemberKind::Whole, Some("")),
            Self::Stopped | Self::WrongWay | Self::Person | Self::Queue => {
                (MemberKind::Limit, Some("objects"))
            }
        }
    }

    /// The member under which its event lives: members of one detector that look at one thing from several sides
    /// share an event.
    #[must_use]
    pub const fn strand(self) -> Self {
        if matches!(self.kind().0, MemberKind::Auto) { Self::Level } else { self }
    }

    /// Whether it concerns the sensor itself (a health verdict) rather than what the sensor measures.
    #[must_use]
    pub const fn is_health(self) -> bool {
        matches!(self.kind().0, MemberKind::Health)
    }

    /// The unit of `observed` and `expected` where it belongs to the member: `None` where it is the signal's
    /// (limits, rates, levels), empty for ratios and shares; `deviations` are standard deviations.
    #[must_use]
    pub const fn own_unit(self) -> Option<&'static str> {
        self.kind().1
    }
}

/// What kind of detector a member is a part of.
#[derive(Clone, Copy)]
enum MemberKind {
    /// An explicit rule.
    Limit,
    /// One cause of a sensor's ill health.
    Health,
    /// One side from which `auto` looks at a signal.
    Auto,
    /// A detector of one member alone.
    Whole,
}

/// Where an observation stands with respect to a limit and its hysteresis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Beyond the limit.
    Abnormal,
    /// Between the clearing limit and the limit: whatever held before still holds.
    Margin,
    /// Within the clearing limit.
    Normal,
    /// Beyond the limit again after a time in which nothing was, though the event is open still: something else has
    /// begun.
    Renewed,
    /// As strange as when the event began, and usual by now: this is how things are.
    Adapted,
}

impl Standing {
    /// Whether it is beyond the limit.
    #[must_use]
    pub const fn is_abnormal(self) -> bool {
        matches!(self, Self::Abnormal | Self::Renewed)
    }

    /// Whether it can end an event.
    #[must_use]
    pub const fn is_normal(self) -> bool {
        matches!(self, Self::Normal | Self::Adapted)
    }
}

/// Closed range of what was expected; an open side is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Expected {
    /// Lowest expected value.
    pub low: Option<f64>,
    /// Highest expected value.
    pub high: Option<f64>,
}

/// No distance is greater: what lies further out is as far as that.
pub const FARTHEST: f64 = 1_000.0;

impl Expected {
    /// How far out a value lies, in usual widths: 1 at an end of this range, 10 at ten times as far from its middle.
    /// Where one end is open the width is the size of the other end: 1.1 is a tenth beyond it. `None` where the range
    /// has no width.
    #[must_use]
    pub fn distance(&self, value: f64) -> Option<f64> {
        let (off, width) = match (self.low, self.high) {
            // Halves first, so that the largest numbers do not overflow.
            (Some(low), Some(high)) => {
                ((value / 2.0 - low / 4.0 - high / 4.0).abs() * 2.0, high / 2.0 - low / 2.0)
            }
            (None, Some(high)) => (value - high + high.abs(), high.abs()),
            (Some(low), None) => (low - value + low.abs(), low.abs()),
            (None, None) => return None,
        };
        let distance = off / width;
        (width > 0.0 && !distance.is_nan()).then(|| distance.clamp(0.0, FARTHEST))
    }

    /// Whether a value lies within it.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.low.is_none_or(|low| value >= low) && self.high.is_none_or(|high| value <= high)
    }
}

/// What people said about the alarms of one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Feedback {
    /// Number of remarks "that was maintenance": what is usual was learnt again.
    pub maintenance: u32,
    /// Number of remarks "that was real": what the alarm taught was forgotten.
    pub real: u32,
}

impl Feedback {
    /// There are no remarks.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.maintenance == 0 && self.real == 0
    }
}

/// Part of one of several signals in what makes them strange together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// The signal.
    pub signal: SignalId,
    /// Its share of what makes the whole strange. All shares add up to one.
    pub share: f64,
    /// Its running mean, in its unit.
    pub observed: f64,
    /// Where that lies while all is well, by itself.
    pub expected: Expected,
}

/// How one watched condition stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Which member reports.
    pub member: Member,
    /// The part of its subject that it concerns, where one instance watches several: a zone of a camera. Verdicts name it as
    /// their signal.
    pub part: Option<SignalId>,
    /// Where the observation stands.
    pub standing: Standing,
    /// What was observed: the value, the rate, the seconds of silence. Finite.
    pub observed: f64,
    /// What was expected.
    pub expected: Expected,
    /// Probability of an observation at least this extreme while all is well; `None` for explicit rules.
    pub p_value: Option<f64>,
    /// The signals that make it so, the strangest first; empty where there is but one.
    pub contributions: Vec<Contribution>,
    /// What people said about alarms of this signal so far.
    pub feedback: Feedback,
    /// The judge's history does not support its budget of alarms yet: what begins now is for the record. Of an event it
    /// says whether that was so when it began.
    pub learning: bool,
    /// How far out it lies, in usual widths, where the judge knows that better than `observed` and `expected` do: see
    /// [`Condition::distance`].
    pub distance: Option<f64>,
    /// What the signal shows, in its own unit, and what is usual of it now; where the member observes a value in that
    /// unit, `None` and an open range mean that `observed` and `expected` say so.
    pub shown: Option<ShownValue>,
    /// Where in a frame it is unusual, where a model of frames says so.
    pub regions: Regions,
}

/// A value of a signal in its unit beside what is usual of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShownValue {
    /// The value.
    pub value: f64,
    /// Where such values lie while all is well.
    pub usual: Expected,
}

impl Condition {
    /// A condition that an explicit rule reports.
    #[must_use]
    pub fn of_rule(member: Member, standing: Standing, observed: f64, expected: Expected) -> Self {
        Self {
            member,
            part: None,
            standing,
            observed,
            expected,
            p_value: None,
            contributions: Vec::new(),
            feedback: Feedback::default(),
            distance: None,
            shown: None,
            regions: Regions::default(),
            learning: false,
        }
    }

    /// The same about a part of its subject.
    #[must_use]
    pub fn about(self, part: SignalId) -> Self {
        Self { part: Some(part), ..self }
    }

    /// Under what its event lives.
    #[must_use]
    pub fn strand(&self) -> Strand {
        Strand { member: self.member.strand(), part: self.part.clone() }
    }

    /// How far out it lies, in usual widths of its signal: 1 is the edge of what is usual, 10 ten times as far from the
    /// middle of it. Comparable among signals.
    #[must_use]
    pub fn distance(&self) -> Option<f64> {
        self.distance.or_else(|| self.expected.distance(self.observed))
    }
}

#[cfg(test)]
mod tests;

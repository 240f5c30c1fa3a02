//! The closed list of judges.

mod settings;

use std::sync::Arc;
use std::time::Duration;

use verge_domain::countable::SeenLines;
use verge_domain::finding::{Expected, Finding, Member};
use verge_domain::frame::{SceneSketch, View};
use verge_domain::id::SignalId;
use verge_domain::observation::Observable;
use verge_domain::reading::Reading;
use verge_domain::stage::{AlarmRate, Judge, Remark, RestoreError, SAVE_EVERY};
use verge_domain::time::{Moment, UtcMillis};

use crate::auto::AutoJudge;
use crate::autoencoder::AutoencoderJudge;
use crate::camera::CameraHealthJudge;
use crate::cusum::CusumJudge;
use crate::health::HealthJudge;
use crate::multi::MultiJudge;
use crate::pattern::PatternJudge;
use crate::pool::AlarmPool;
use crate::rate::RateJudge;
use crate::report::ReportJudge;
use crate::silence::SilenceJudge;
use crate::threshold::ThresholdJudge;
use crate::track::TrackJudge;
use crate::vehicle_loop::LoopJudge;
use crate::vibration::VibrationJudge;
pub use settings::JudgeSettings;

/// How often the states of judges that learn are saved.
const SAVE_LEARNT: Duration = Duration::from_secs(600);

/// A judge at work on one subject. The larger ones are boxed: a plant has hundreds of small ones.
#[derive(Debug)]
pub enum ReadingJudge {
    /// See [`crate::threshold`].
    Threshold(ThresholdJudge),
    /// See [`crate::rate`].
    Rate(Box<RateJudge>),
    /// See [`crate::silence`].
    Silence(SilenceJudge),
    /// See [`crate::health`].
    Health(Box<HealthJudge>),
    /// See [`crate::camera`].
    Camera(Box<CameraHealthJudge>),
    /// See [`crate::vehicle_loop`].
    Loop(Box<LoopJudge>),
    /// See [`crate::auto`].
    Auto(AutoJudge),
    /// See [`crate::multi`].
    Multi(Box<MultiJudge>),
    /// See [`crate::pattern`].
    Pattern(Box<PatternJudge>),
    /// See [`crate::vibration`].
    Vibration(Box<VibrationJudge>),
    /// See [`crate::cusum`].
    Cusum(Box<CusumJudge>),
    /// See [`crate::autoencoder`]. Over readings made with its model, not from [`JudgeSettings`].
    Autoencoder(Box<AutoencoderJudge>),
    /// See [`crate::report`].
    Report(Box<ReportJudge>),
    /// See [`crate::track`].
    Track(Box<TrackJudge>),
}

impl ReadingJudge {
    /// A judge that has seen nothing yet. `now` is when it begins to watch.
    #[must_use]
    pub fn new(settings: &JudgeSettings, now: Moment) -> Self {
        let pool = settings.alarms().and_then(AlarmPool::of);
        Self::sharing(settings, pool.as_ref(), now)
    }

    /// The same as one of the instances that share a budget, where they do.
    #[must_use]
    pub fn sharing(settings: &JudgeSettings, pool: Option<&Arc<AlarmPool>>, now: Moment) -> Self {
        match settings {
            JudgeSettings::Threshold(settings) => Self::Threshold(ThresholdJudge::new(*settings)),
            JudgeSettings::Rate(settings) => Self::Rate(Box::new(RateJudge::new(*settings))),
            JudgeSettings::Silence(settings) => Self::Silence(SilenceJudge::new(*settings, now.mono)),
            JudgeSettings::Health(settings) => Self::Health(Box::new(HealthJudge::new(*settings, now.mono))),
            JudgeSettings::Camera(settings) => Self::Camera(Box::new(CameraHealthJudge::new(*settings, now))),
            JudgeSettings::Loop(settings) => Self::Loop(Box::new(LoopJudge::new(settings.clone()))),
            JudgeSettings::Auto(settings) => Self::Auto(AutoJudge::new(settings, pool)),
            JudgeSettings::Multi(settings) => Self::Multi(Box::new(MultiJudge::new(*settings, pool))),
            JudgeSettings::Pattern(shapes, alarms) => {
                Self::Pattern(Box::new(PatternJudge::new(*shapes, *alarms, pool)))
            }
            JudgeSettings::Vibration(vibration, alarms) => {
                Self::Vibration(Box::new(VibrationJudge::new(*vibration, *alarms, pool)))
            }
            JudgeSettings::Cusum(settings) => Self::Cusum(Box::new(CusumJudge::new(*settings))),
            JudgeSettings::Reconstruction(alarms) => {
                let judge = AutoencoderJudge::over_frames(Member::Reconstruction, *alarms, pool);
                Self::Autoencoder(Box::new(judge))
            }
            JudgeSettings::Appearance(alarms) => {
                let judge = AutoencoderJudge::over_frames(Member::Appearance, *alarms, pool);
                Self::Autoencoder(Box::new(judge))
            }
            JudgeSettings::Report(_, policy) => Self::Report(Box::new(ReportJudge::new(*policy))),
            JudgeSettings::Track(settings) => Self::Track(Box::new(TrackJudge::new(settings))),
        }
    }
}

impl ReadingJudge {
    fn reading(&mut self, reading: &Reading, received: Moment, findings: &mut Vec<Finding>) {
        match self {
            Self::Threshold(judge) => judge.observe(reading, findings),
            Self::Rate(judge) => judge.observe(reading, received, findings),
            Self::Silence(judge) => judge.observe(received.mono, findings),
            Self::Health(judge) => judge.observe(reading.value, reading.captured(), received, findings),
            Self::Loop(judge) => judge.observe(reading, received, findings),
            Self::Auto(judge) => judge.observe(reading, received, findings),
            Self::Multi(judge) => judge.observe(reading, received, findings),
            Self::Pattern(judge) => judge.observe(reading, received, findings),
            Self::Vibration(judge) => judge.observe(reading, received, findings),
            Self::Cusum(judge) => judge.observe(reading, findings),
            Self::Autoencoder(judge) => judge.observe(reading, received, findings),
            Self::Camera(_) | Self::Report(_) | Self::Track(_) => {}
        }
    }
}

impl Judge for ReadingJudge {
    fn observe(&mut self, observed: Observable<'_>, received: Moment, findings: &mut Vec<Finding>) {
        match (observed, self) {
            (Observable::Reading(reading), judge) => judge.reading(reading, received, findings),
            (Observable::Arrival(_), Self::Silence(judge)) => judge.observe(received.mono, findings),
            (Observable::Arrival(captured), Self::Health(judge)) => {
                judge.observe(1.0, captured, received, findings);
            }
            (Observable::Arrival(captured), Self::Camera(judge)) => {
                judge.arrive(captured, received, findings)
            }
            (Observable::Look(look, _), Self::Camera(judge)) => {
                judge.look(look, received, findings);
            }
            (Observable::View(View::Reconstruction(error), captured), Self::Autoencoder(judge)) => {
                judge.observe_error(*error, captured.time(received.wall), findings);
            }
            (Observable::View(View::Appearance(seen), captured), Self::Autoencoder(judge)) => {
                judge.observe_appearance(seen, captured.time(received.wall), findings);
            }
            (Observable::View(view, _), Self::Report(judge)) => judge.observe(view, received, findings),
            (Observable::Look(look, _), Self::Track(judge)) => judge.look(look, received),
            (Observable::View(view, captured), Self::Track(judge)) => {
                judge.observe(view, captured, received, findings);
            }
            (Observable::Arrival(_) | Observable::Look(..) | Observable::View(..), _) => {}
        }
    }

    fn tick(&mut self, now: Moment, findings: &mut Vec<Finding>) {
        match self {
            // They judge what they observe: without it there is nothing new.
            Self::Threshold(_)
            | Self::Rate(_)
            | Self::Auto(_)
            | Self::Multi(_)
            | Self::Pattern(_)
            | Self::Vibration(_)
            | Self::Cusum(_)
            | Self::Autoencoder(_)
            | Self::Report(_) => {}
            Self::Silence(judge) => judge.tick(now.mono, findings),
            Self::Health(judge) => judge.tick(now, findings),
            Self::Camera(judge) => judge.tick(now, findings),
            Self::Loop(judge) => judge.tick(now, findings),
            Self::Track(judge) => judge.tick(now, findings),
        }
    }

    fn away(&mut self, now: Moment, findings: &mut Vec<Finding>) {
        match self {
            Self::Silence(judge) => judge.away(now.mono, findings),
            Self::Health(judge) => judge.away(now, findings),
            // Cameras do not say so, and the others judge what they observe.
            _ => {}
        }
    }

    fn finish(&mut self, _now: Moment, findings: &mut Vec<Finding>) {
        if let Self::Track(judge) = self {
            judge.finish(findings);
        }
    }

    fn resume(&mut self, now: Moment) {
        match self {
            Self::Silence(judge) => judge.resume(now.mono),
            Self::Health(judge) => judge.resume(now.mono),
            Self::Camera(judge) => judge.resume(now),
            Self::Rate(judge) => judge.resume(),
            Self::Pattern(judge) => judge.resume(),
            Self::Autoencoder(judge) => judge.resume(),
            Self::Track(judge) => judge.resume(),
            // What they learn does not depend on the time between two readings.
            Self::Threshold(_)
            | Self::Loop(_)
            | Self::Auto(_)
            | Self::Multi(_)
            | Self::Vibration(_)
            | Self::Cusum(_)
            | Self::Report(_) => {}
        }
    }

    fn save(&self) -> Option<Vec<u8>> {
        match self {
            // Their next readings hold all that they need; open events are saved with the policy.
            Self::Threshold(_) | Self::Rate(_) => None,
            Self::Silence(judge) => judge.save(),
            Self::Health(judge) => judge.save(),
            Self::Camera(judge) => judge.save(),
            Self::Loop(judge) => judge.save(),
            Self::Auto(judge) => Some(judge.save()),
            Self::Multi(judge) => Some(judge.save()),
            Self::Pattern(judge) => Some(judge.save()),
            Self::Vibration(judge) => Some(judge.save()),
            Self::Cusum(judge) => Some(judge.save()),
            Self::Autoencoder(judge) => Some(judge.save()),
            Self::Report(judge) => judge.save(),
            Self::Track(judge) => Some(judge.save()),
        }
    }

    fn restore(&mut self, state: &[u8], now: Moment) -> Result<(), RestoreError> {
        match self {
            Self::Threshold(_) | Self::Rate(_) => Err(RestoreError::Foreign),
            Self::Silence(judge) => judge.restore(state, now.mono),
            Self::Health(judge) => judge.restore(state, now),
            Self::Camera(judge) => judge.restore(state, now),
            Self::Loop(judge) => judge.restore(state, now),
            Self::Auto(judge) => judge.restore(state),
            Self::Multi(judge) => judge.restore(state),
            Self::Pattern(judge) => judge.restore(state),
            Self::Vibration(judge) => judge.restore(state),
            Self::Cusum(judge) => judge.restore(state),
            Self::Autoencoder(judge) => judge.restore(state),
            Self::Report(judge) => judge.restore(state, now),
            Self::Track(judge) => judge.restore(state),
        }
    }

    fn parts(&self) -> &[SignalId] {
        if let Self::Track(judge) = self { judge.parts() } else { &[] }
    }

    fn save_every(&self) -> Duration {
        match self {
            // The next readings hold what they need; it is small, and counts must not be lost.
            Self::Threshold(_)
            | Self::Rate(_)
            | Self::Silence(_)
            | Self::Loop(_)
            | Self::Report(_)
            | Self::Track(_) => SAVE_EVERY,
            // They change with every reading, and ten minutes are little of what they have learnt.
            Self::Health(_)
            | Self::Camera(_)
            | Self::Auto(_)
            | Self::Multi(_)
            | Self::Pattern(_)
            | Self::Vibration(_)
            | Self::Cusum(_)
            | Self::Autoencoder(_) => SAVE_LEARNT,
        }
    }

    fn heap_bytes(&self) -> usize {
        fn boxed<T>(judge: &T, beside: usize) -> usize {
            size_of_val(judge) + beside
        }
        match self {
            Self::Threshold(_) | Self::Silence(_) => 0,
            Self::Rate(judge) => boxed(&**judge, judge.heap_bytes()),
            Self::Health(judge) => boxed(&**judge, 0),
            Self::Camera(judge) => boxed(&**judge, 0),
            Self::Loop(judge) => boxed(&**judge, judge.heap_bytes()),
            Self::Auto(judge) => judge.heap_bytes(),
            Self::Multi(judge) => boxed(&**judge, judge.heap_bytes()),
            Self::Pattern(judge) => boxed(&**judge, judge.heap_bytes()),
            Self::Vibration(judge) => boxed(&**judge, judge.heap_bytes()),
            Self::Cusum(judge) => boxed(&**judge, judge.heap_bytes()),
            Self::Autoencoder(judge) => boxed(&**judge, judge.heap_bytes()),
            Self::Report(judge) => boxed(&**judge, judge.heap_bytes()),
            Self::Track(judge) => boxed(&**judge, judge.heap_bytes()),
        }
    }

    fn apply(&mut self, remark: Remark, event: Option<UtcMillis>) -> bool {
        match self {
            Self::Auto(judge) => judge.apply(remark, event),
            Self::Multi(judge) => judge.apply(remark, event),
            Self::Pattern(judge) => judge.apply(remark, event),
            Self::Vibration(judge) => judge.apply(remark, event),
            Self::Autoencoder(judge) => judge.apply(remark, event),
            // Rules do not learn, and a sensor's health is judged by its own past alone.
            Self::Threshold(_)
            | Self::Rate(_)
            | Self::Silence(_)
            | Self::Health(_)
            | Self::Camera(_)
            | Self::Loop(_)
            | Self::Cusum(_)
            | Self::Report(_)
            | Self::Track(_) => false,
        }
    }

    fn seen_lines(&self) -> Option<SeenLines> {
        if let Self::Track(judge) = self { judge.seen_lines() } else { None }
    }

    fn expectation(&self) -> Option<Expected> {
        match self {
            Self::Threshold(judge) => Some(judge.expectation()),
            Self::Auto(judge) => judge.expectation(),
            Self::Cusum(judge) => judge.expectation(),
            // What they expect is a rate, a time, a distance or a shape: no range of values.
            Self::Rate(_)
            | Self::Silence(_)
            | Self::Health(_)
            | Self::Camera(_)
            | Self::Loop(_)
            | Self::Multi(_)
            | Self::Pattern(_)
            | Self::Vibration(_)
            | Self::Autoencoder(_)
            | Self::Report(_)
            | Self::Track(_) => None,
        }
    }

    fn sketch(&self) -> Option<SceneSketch> {
        match self {
            Self::Track(judge) => Some(judge.sketch()),
            _ => None,
        }
    }

    fn alarm_rate(&self) -> Option<AlarmRate> {
        match self {
            Self::Auto(judge) => judge.alarm_rate(),
            Self::Multi(judge) => judge.alarm_rate(),
            Self::Pattern(judge) => Some(judge.alarm_rate()),
            Self::Vibration(judge) => Some(judge.alarm_rate()),
            Self::Autoencoder(judge) => Some(judge.alarm_rate()),
            Self::Threshold(_)
            | Self::Rate(_)
            | Self::Silence(_)
            | Self::Health(_)
            | Self::Camera(_)
            | Self::Loop(_)
            | Self::Cusum(_)
            | Self::Report(_)
            | Self::Track(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;

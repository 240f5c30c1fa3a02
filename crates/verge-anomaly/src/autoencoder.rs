//! `autoencoder`: the reconstruction error of a model of the user's, calibrated like every other score.
//!
//! Consecutive readings of one signal are gathered into windows as wide as the model; the mean square error between a
//! window and what the model makes of it goes through a [`Tail`](crate::tail::Tail). The model was trained on what is
//! usual, so that what it cannot reconstruct is not (Hinton & Salakhutdinov 2006). The model itself is behind
//! [`Reconstructor`]: this crate knows no inference.
//!
//! Over frames the workers run the model (see `verge-vision`): its error comes here, one for each frame. The scores of models
//! that say themselves how unusual a frame is (`anomaly`) are judged alike.

use std::fmt;
use std::sync::Arc;

use verge_domain::finding::{Condition, Finding, Member};
use verge_domain::frame::{Appearance, Regions};
use verge_domain::reading::Reading;
use verge_domain::stage::{AlarmRate, Remark, RestoreError};
use verge_domain::time::{Moment, UtcMillis};

use crate::alarm::{AlarmSettings, Pace};
use crate::excursions::Excursions;
use crate::fault::{SettingsError, check_count};
use crate::pool::{AlarmPool, RunningEvent, SavedMember};
use crate::scores::Scores;
use crate::state::{self, StateKind};

/// A model that reconstructs its input.
pub trait Reconstructor: Send {
    /// Numbers that go in.
    fn width(&self) -> usize;

    /// Mean of the squared differences between a window of [`Reconstructor::width`] numbers and what the model makes
    /// of it, finite and at least zero; `None` where the model failed, which the implementation reports.
    fn mean_square_error(&mut self, window: &[f32]) -> Option<f64>;
}

/// How windows follow each other, and how often the judge may alarm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AutoencoderSettings {
    stride: Option<usize>,
    alarms: AlarmSettings,
}

impl AutoencoderSettings {
    /// `stride`: readings from the begin of one window to that of the next, at most the model's width; `None` for
    /// windows that follow each other.
    ///
    /// # Errors
    /// A stride of zero or beyond a million.
    pub fn new(stride: Option<usize>, alarms: AlarmSettings) -> Result<Self, SettingsError> {
        if let Some(stride) = stride {
            check_count("stride", stride as u64, 1, 1 << 20)?;
        }
        Ok(Self { stride, alarms })
    }

    /// How often it may alarm.
    #[must_use]
    pub const fn alarms(&self) -> &AlarmSettings {
        &self.alarms
    }

    /// Readings from the begin of one window to that of the next, where that was said.
    #[must_use]
    pub const fn stride(&self) -> Option<usize> {
        self.stride
    }
}

/// Watches the errors of one signal's windows, or the scores of one camera's frames.
#[derive(Debug)]
pub struct AutoencoderJudge {
    alarms: AlarmSettings,
    /// What the scores are.
    member: Member,
    /// What makes errors of readings; `None` over frames.
    windows: Option<Windows>,
    errors: Scores,
}

/// Windows of readings that are gathered for the model.
struct Windows {
    stride: usize,
    model: Box<dyn Reconstructor>,
    /// The window that is being gathered.
    window: Vec<f32>,
    readings: Pace,
}

impl fmt::Debug for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Windows").field("stride", &self.stride).finish_non_exhaustive()
    }
}

impl Windows {
    /// The error of the window that a reading completes; `None` where it completes none, or the model fails.
    fn error(&mut self, value: f64, at: UtcMillis) -> Option<f64> {
        // A window must not span a pause.
        if self.readings.is_gap(at) {
            self.window.clear();
        }
        self.readings.note(at);
        self.window.push(value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32);
        if self.window.len() < self.model.width() {
            return None;
        }
        let error = self.model.mean_square_error(&self.window);
        self.window.drain(..self.stride);
        error
    }
}

impl AutoencoderJudge {
    /// A judge over windows of readings that has seen nothing.
    #[must_use]
    pub fn new(
        settings: AutoencoderSettings,
        model: Box<dyn Reconstructor>,
        pool: Option<&Arc<AlarmPool>>,
    ) -> Self {
        let width = model.width();
        let stride = settings.stride.unwrap_or(width).min(width);
        let windows = Windows { stride, model, window: Vec::with_capacity(width), readings: Pace::new() };
        let over_frames = Self::over_frames(Member::Reconstruction, settings.alarms, pool);
        Self { windows: Some(windows), ..over_frames }
    }

    /// A judge over the scores of a model of frames: errors of one that reconstructs them, or its own scores of how unusual
    /// they are.
    pub(crate) fn over_frames(member: Member, alarms: AlarmSettings, pool: Option<&Arc<AlarmPool>>) -> Self {
        Self { alarms, member, windows: None, errors: Scores::sharing(pool) }
    }

    pub(crate) fn observe(&mut self, reading: &Reading, received: Moment, findings: &mut Vec<Finding>) {
        let at = reading.time(received.wall);
        if let Some(error) = self.windows.as_mut().and_then(|windows| windows.error(reading.value, at)) {
            self.observe_error(error, at, findings);
        }
    }

    pub(crate) fn observe_error(&mut self, error: f64, at: UtcMillis, findings: &mut Vec<Finding>) {
        let condition = self.errors.judge(&self.alarms, self.member, at, error);
        findings.push(Finding::Condition(condition));
    }

    /// The same, with where in the frame it is unusual. What is usual has no such places: a map has a peak somewhere.
    pub(crate) fn observe_appearance(
        &mut self,
        seen: &Appearance,
        at: UtcMillis,
        findings: &mut Vec<Finding>,
    ) {
        let condition = self.errors.judge(&self.alarms, self.member, at, seen.score);
        let is_odd = condition.standing.is_abnormal();
        let regions = if is_odd { seen.regions.clone() } else { Regions::default() };
        findings.push(Finding::Condition(Condition { regions, ..condition }));
    }

    /// Under which kind its state is saved over frames.
    const fn kind(&self) -> StateKind {
        match self.member {
            Member::Appearance => StateKind::Appearance,
            _ => StateKind::Reconstruction,
        }
    }

    /// A window must not span a pause.
    pub(crate) fn resume(&mut self) {
        if let Some(windows) = &mut self.windows {
            windows.window.clear();
        }
    }

    pub(crate) fn apply(&mut self, remark: Remark, event: Option<UtcMillis>) -> bool {
        // A window must not span maintenance.
        if let (Remark::Maintenance, Some(windows)) = (&remark, &mut self.windows) {
            windows.window.clear();
        }
        self.errors.apply(remark, event)
    }

    pub(crate) fn alarm_rate(&self) -> AlarmRate {
        self.errors.alarm_rate(&self.alarms)
    }

    /// Without the model, which all instances share.
    pub(crate) fn heap_bytes(&self) -> usize {
        let window = self.windows.as_ref().map_or(0, |windows| windows.window.capacity());
        window * size_of::<f32>() + self.errors.heap_bytes()
    }

    /// Without the unfinished window: a pause lies between it and what follows.
    pub(crate) fn save(&self) -> Vec<u8> {
        let (behind, running) = (self.errors.behind(), self.errors.running());
        match &self.windows {
            Some(windows) => {
                let state = (&windows.readings, &self.errors);
                state::seal_with(StateKind::Autoencoder, &state, &behind, &running)
            }
            None => state::seal_with(self.kind(), &self.errors, &behind, &running),
        }
    }

    pub(crate) fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        type Behind = (Excursions, SavedMember);
        let (readings, errors, behind, running): (Option<Pace>, Scores, Behind, RunningEvent) =
            match &self.windows {
                Some(_) => state::open_with(StateKind::Autoencoder, bytes)
                    .map(|((readings, errors), behind, running)| (Some(readings), errors, behind, running))?,
                None => state::open_with(self.kind(), bytes)
                    .map(|(errors, behind, running)| (None, errors, behind, running))?,
            };
        self.errors.restore(errors, behind, running)?;
        if let (Some(windows), Some(readings)) = (&mut self.windows, readings) {
            windows.readings = readings;
            windows.window.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::finding::{Condition, Standing};
    use verge_domain::frame::{PixelBox, RegionBox};
    use verge_domain::id::{DeviceId, SignalId};

    use super::*;
    use crate::noise::Noise;

    /// Makes zeros of everything; fails where a window begins with the number 99.
    struct Zeros;

    impl Reconstructor for Zeros {
        fn width(&self) -> usize {
            4
        }

        fn mean_square_error(&mut self, window: &[f32]) -> Option<f64> {
            assert_eq!(window.len(), 4);
            let squares = window.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>();
            (window[0] != 99.0).then_some(squares / 4.0)
        }
    }

    fn judge(stride: Option<usize>) -> AutoencoderJudge {
        let settings = AutoencoderSettings::new(stride, AlarmSettings::default()).unwrap();
        AutoencoderJudge::new(settings, Box::new(Zeros), None)
    }

    /// What is found of values, a second apart.
    fn conditions(judge: &mut AutoencoderJudge, from: i64, values: &[f64]) -> Vec<Condition> {
        let mut findings = Vec::new();
        for (second, &value) in (from..).zip(values) {
            let reading = Reading::of(DeviceId::new("d").unwrap(), SignalId::new("s").unwrap(), value);
            let at = UtcMillis(second * 1_000);
            match &judge.windows {
                Some(_) => judge.observe(&reading, Moment::from_wall(at), &mut findings),
                None => judge.observe_error(value, at, &mut findings),
            }
        }
        let condition = |finding| match finding {
            Finding::Condition(condition) => Some(condition),
            _ => None,
        };
        findings.into_iter().filter_map(condition).collect()
    }

    #[test]
    fn windows_follow_each_other_by_their_stride_and_a_failing_model_says_nothing() {
        let check = |stride, expected: &[f64]| {
            let found = conditions(&mut judge(stride), 0, &[1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0]);
            assert_eq!(found.iter().map(|one| one.observed).collect::<Vec<_>>(), expected, "{stride:?}");
        };
        check(None, &[1.0, 9.0]);
        check(Some(2), &[1.0, 5.0, 9.0]);
        check(Some(100), &[1.0, 9.0]);
        assert!(conditions(&mut judge(None), 0, &[99.0, 1.0, 1.0, 1.0]).is_empty());
    }

    #[test]
    fn an_unusual_error_alarms_and_a_restart_changes_nothing() {
        let (mut noise, mut judge) = (Noise::new(11), judge(None));
        let usual: Vec<f64> = (0..8_000).map(|_| noise.normal()).collect();
        let before = conditions(&mut judge, 0, &usual);
        assert!(before.iter().filter(|one| one.standing == Standing::Abnormal).count() < 20);
        let mut restored = self::judge(None);
        restored.restore(&judge.save()).unwrap();
        let strange = [9.0; 4];
        let found = conditions(&mut restored, 8_000, &strange);
        assert_eq!(found, conditions(&mut judge, 8_000, &strange));
        assert_eq!((found[0].standing, found[0].observed), (Standing::Abnormal, 81.0));
        assert!(found[0].expected.high.is_some_and(|high| high < 81.0), "{:?}", found[0]);
        assert!(judge.apply(Remark::Maintenance, None) && !judge.apply(Remark::Real, None));
    }

    fn over_errors() -> AutoencoderJudge {
        AutoencoderJudge::over_frames(Member::Reconstruction, AlarmSettings::default(), None)
    }

    #[test]
    fn an_unusual_error_of_a_frame_alarms_and_a_restart_changes_nothing() {
        let (mut noise, mut judge) = (Noise::new(12), over_errors());
        let usual: Vec<f64> = (0..8_000).map(|_| noise.normal().powi(2)).collect();
        let before = conditions(&mut judge, 0, &usual);
        assert_eq!(before.len(), usual.len(), "each error is judged");
        assert!(before.iter().filter(|one| one.standing == Standing::Abnormal).count() < 20);
        let mut restored = over_errors();
        restored.restore(&judge.save()).unwrap();
        let found = conditions(&mut restored, 8_000, &[60.0]);
        assert_eq!(found, conditions(&mut judge, 8_000, &[60.0]));
        assert_eq!((found[0].member, found[0].standing), (Member::Reconstruction, Standing::Abnormal));
        assert!(found[0].expected.high.is_some_and(|high| high < 60.0), "{:?}", found[0]);
        assert!(judge.apply(Remark::Maintenance, None) && !judge.apply(Remark::Real, None));
        assert_eq!(conditions(&mut judge, 8_001, &[60.0])[0].p_value, Some(1.0), "it is learnt anew");
    }

    #[test]
    fn what_lasts_is_reported_to_its_end_and_is_as_strange_when_it_comes_back() {
        let (mut noise, mut judge) = (Noise::new(12), over_errors());
        let mut second = 0;
        let mut next = |judge: &mut AutoencoderJudge, errors: &[f64]| {
            second += errors.len() as i64;
            conditions(judge, second, errors)
        };
        let mut usual = |count| (0..count).map(|_| noise.normal().powi(2)).collect::<Vec<_>>();
        next(&mut judge, &usual(5_000));
        for time in 0..5 {
            let fault = next(&mut judge, &[60.0; 30]);
            assert!(fault.iter().all(|one| one.standing == Standing::Abnormal), "time {time}");
            // No more is claimed than so short a history can show.
            assert!(fault[0].p_value.is_some_and(|p| (1e-5..1e-4).contains(&p)), "{:?}", fault[0]);
            let after = next(&mut judge, &usual(400));
            assert_eq!(after.last().map(|one| one.standing), Some(Standing::Normal));
        }
        next(&mut judge, &[60.0]);
        assert!(judge.apply(Remark::Real, None), "there was an alarm to speak of");
    }

    #[test]
    fn an_unusual_look_alarms_with_its_places_and_what_is_usual_has_none() {
        let of = || AutoencoderJudge::over_frames(Member::Appearance, AlarmSettings::default(), None);
        let (mut noise, mut judge) = (Noise::new(13), of());
        let area = PixelBox { x: 4, y: 8, width: 16, height: 12 };
        let regions = Regions { width: 64, height: 48, boxes: vec![RegionBox { area, peak: 0.9 }] };
        let look = |judge: &mut AutoencoderJudge, second: i64, score: f64| {
            let (seen, mut findings) = (Appearance { score, regions: regions.clone() }, Vec::new());
            judge.observe_appearance(&seen, UtcMillis(second * 1_000), &mut findings);
            match findings.pop() {
                Some(Finding::Condition(condition)) => condition,
                other => panic!("{other:?}"),
            }
        };
        for second in 0..8_000 {
            let found = look(&mut judge, second, 0.2 + 0.01 * noise.normal());
            assert_eq!(found.regions.boxes.is_empty(), !found.standing.is_abnormal(), "{found:?}");
        }
        let mut restored = of();
        restored.restore(&judge.save()).unwrap();
        assert!(restored.restore(&over_errors().save()).is_err(), "errors are no scores");
        let (found, after) = (look(&mut judge, 8_000, 0.9), look(&mut restored, 8_000, 0.9));
        assert_eq!(found, after);
        assert_eq!((found.member, found.standing), (Member::Appearance, Standing::Abnormal));
        assert_eq!(found.regions, regions);
        assert!(found.distance().is_some_and(|distance| (3.0..5.0).contains(&distance)), "{found:?}");
        assert_eq!(look(&mut judge, 8_001, 0.2).regions, Regions::default());
    }
}

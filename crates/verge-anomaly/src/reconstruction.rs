//! `autoencoder` over frames: errors that an eye has observed, calibrated like every other score.
//!
//! A model looks at each frame and makes of it what it knows (see `verge-vision`); the mean square error between the
//! two comes here as a reading, one for each frame, and goes through a [`Tail`](crate::tail::Tail) as that of a
//! window of samples does in [`autoencoder`](crate::autoencoder).

use verge_domain::finding::{Finding, Member};
use verge_domain::reading::Reading;
use verge_domain::stage::{AlarmRate, Remark, RestoreError};
use verge_domain::time::Moment;

use crate::alarm::AlarmSettings;
use crate::scores::Scores;
use crate::state::{self, Kind};

/// Watches the errors of one camera.
#[derive(Debug)]
pub struct ReconstructionJudge {
    settings: AlarmSettings,
    errors: Scores,
}

impl ReconstructionJudge {
    pub(crate) fn new(settings: AlarmSettings) -> Self {
        Self { settings, errors: Scores::new() }
    }

    pub(crate) fn observe(&mut self, reading: &Reading, received: Moment, findings: &mut Vec<Finding>) {
        let at = reading.time(received.wall);
        let condition = self.errors.judge(&self.settings, Member::Reconstruction, at, reading.value);
        findings.push(Finding::Condition(condition));
    }

    pub(crate) fn hear(&mut self, remark: Remark) -> bool {
        self.errors.hear(remark)
    }

    pub(crate) fn alarm_rate(&self) -> AlarmRate {
        self.errors.alarm_rate(&self.settings)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.errors.heap_bytes()
    }

    pub(crate) fn save(&self) -> Vec<u8> {
        state::seal(Kind::Reconstruction, &self.errors)
    }

    pub(crate) fn restore(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let errors: Scores = state::open(Kind::Reconstruction, bytes)?;
        errors.check()?;
        self.errors = errors;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use verge_domain::finding::{Condition, Standing};
    use verge_domain::id::{DeviceId, SignalId};
    use verge_domain::reading::Quality;
    use verge_domain::time::{DeviceClock, UtcMillis};

    use super::*;
    use crate::noise::Noise;

    /// What is found of errors, a second apart.
    fn told(judge: &mut ReconstructionJudge, from: i64, errors: &[f64]) -> Vec<Condition> {
        let mut findings = Vec::new();
        for (second, &value) in (from..).zip(errors) {
            let reading = Reading {
                device: DeviceId::new("north").unwrap(),
                signal: SignalId::new("odd").unwrap(),
                value,
                unit: None,
                captured_at: None,
                clock: DeviceClock::Absent,
                quality: Quality::Good,
            };
            judge.observe(&reading, Moment::from_wall(UtcMillis(second * 1_000)), &mut findings);
        }
        let condition = |finding| match finding {
            Finding::Condition(condition) => Some(condition),
            Finding::Counts(_) => None,
        };
        findings.into_iter().filter_map(condition).collect()
    }

    #[test]
    fn an_unusual_error_alarms_and_a_restart_changes_nothing() {
        let (mut noise, mut judge) = (Noise::new(12), ReconstructionJudge::new(AlarmSettings::default()));
        let usual: Vec<f64> = (0..8_000).map(|_| noise.normal().powi(2)).collect();
        let before = told(&mut judge, 0, &usual);
        assert_eq!(before.len(), usual.len(), "each error is told");
        assert!(before.iter().filter(|one| one.standing == Standing::Abnormal).count() < 20);
        let mut restored = ReconstructionJudge::new(AlarmSettings::default());
        restored.restore(&judge.save()).unwrap();
        let found = told(&mut restored, 8_000, &[60.0]);
        assert_eq!(found, told(&mut judge, 8_000, &[60.0]));
        assert_eq!((found[0].member, found[0].standing), (Member::Reconstruction, Standing::Abnormal));
        assert!(found[0].expected.high.is_some_and(|high| high < 60.0), "{:?}", found[0]);
        assert!(judge.hear(Remark::Maintenance) && !judge.hear(Remark::Real));
        assert_eq!(told(&mut judge, 8_001, &[60.0])[0].p_value, Some(1.0), "it is learnt anew");
    }

    #[test]
    fn what_lasts_is_told_to_its_end_and_is_as_strange_when_it_comes_back() {
        let (mut noise, mut judge) = (Noise::new(12), ReconstructionJudge::new(AlarmSettings::default()));
        let mut second = 0;
        let mut next = |judge: &mut ReconstructionJudge, errors: &[f64]| {
            second += errors.len() as i64;
            told(judge, second, errors)
        };
        let mut usual = |count| (0..count).map(|_| noise.normal().powi(2)).collect::<Vec<_>>();
        next(&mut judge, &usual(5_000));
        for time in 0..5 {
            let fault = next(&mut judge, &[60.0; 30]);
            assert!(fault.iter().all(|one| one.standing == Standing::Abnormal), "time {time}");
            // No more is claimed than so short a history can tell.
            assert!(fault[0].p_value.is_some_and(|p| (1e-5..1e-4).contains(&p)), "{:?}", fault[0]);
            let after = next(&mut judge, &usual(400));
            assert_eq!(after.last().map(|one| one.standing), Some(Standing::Normal));
        }
        next(&mut judge, &[60.0]);
        assert!(judge.hear(Remark::Real), "there was an alarm to speak of");
    }
}

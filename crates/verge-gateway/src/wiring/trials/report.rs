//! Verdicts about versions of models: in the lane of alarms, with the model as their device and the version as their signal.

use verge_domain::finding::{Expected, Member};
use verge_domain::id::{DeviceId, JudgeId, Lane, SignalId, SourceId};
use verge_domain::time::{DeviceClock, Moment};
use verge_domain::verdict::{Body, Detector, Health, Model, Severity, Subject, Times, Verdict};
use verge_models::gate::Rules;
use verge_models::trial::{OVERRUNS, ReturnCause};

/// The judge and the source of these verdicts.
const NAME: &str = "models";

/// What has happened to a version.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::wiring) struct VersionEvent {
    /// The model, as the configuration calls it.
    pub(in crate::wiring) model: String,
    /// The version.
    pub(in crate::wiring) id: String,
    /// What verdicts call it, where that is known.
    pub(in crate::wiring) identity: Option<Model>,
    cause: Member,
    observed: f64,
    expected: Expected,
}

impl VersionEvent {
    /// A version is returned from.
    pub(in crate::wiring) fn returned(
        (model, id): (&str, &str),
        identity: Option<Model>,
        cause: &ReturnCause,
    ) -> Self {
        let most = |high: f64| Expected { low: None, high: Some(high) };
        #[expect(clippy::cast_precision_loss, reason = "numbers of runs")]
        let (cause, observed, expected) = match cause {
            ReturnCause::CannotLoad(_) | ReturnCause::NotFinite => (Member::ModelFailed, 1.0, most(0.0)),
            ReturnCause::Failed(runs) => (Member::ModelFailed, *runs as f64, most(0.0)),
            ReturnCause::Slow { p95, limit } => {
                let ms = |span: &std::time::Duration| span.as_secs_f64() * 1e3;
                (Member::ModelSlow, ms(p95), most(ms(limit)))
            }
            ReturnCause::Overruns(share) => {
                (Member::ModelFailed, (share * 1e2).round(), most(OVERRUNS * 1e2))
            }
            ReturnCause::Starts(starts) => (Member::ModelUnproved, f64::from(*starts), most(0.0)),
            ReturnCause::Disagrees(figures) => {
                let expected = Expected { low: Some(Rules::default().agreement), high: None };
                (Member::ModelDisagrees, figures.share / 1e2, expected)
            }
        };
        let (model, id) = (model.to_owned(), id.to_owned());
        Self { model, id, identity, cause, observed, expected }
    }

    /// A stored version that should be in use is damaged.
    pub(in crate::wiring) fn damaged(model: &str, id: &str) -> Self {
        let expected = Expected { low: None, high: Some(0.0) };
        let (model, id) = (model.to_owned(), id.to_owned());
        Self { model, id, identity: None, cause: Member::ModelDamaged, observed: 1.0, expected }
    }

    /// The verdict.
    pub(in crate::wiring) fn verdict(&self, now: Moment) -> Option<Verdict> {
        let times = Times {
            captured: None,
            clock: DeviceClock::Absent,
            received: now.wall,
            decided: now.wall,
            estimated: false,
        };
        Some(Verdict {
            judge: JudgeId::new(NAME).ok()?,
            subject: Subject {
                source: SourceId::new(NAME).ok()?,
                device: DeviceId::new(&self.model).ok()?,
                signal: SignalId::new(&self.id).ok(),
            },
            tag: None,
            times,
            detector: Detector::Health,
            model: self.identity.clone(),
            severity: Severity::Warning,
            lane: Lane::Alarm,
            event: None,
            group: None,
            action: None,
            body: Body::Health(Health::of(self.cause, self.observed, self.expected)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use verge_domain::time::UtcMillis;
    use verge_models::trial::AgreementFigures;

    use super::*;

    #[test]
    fn each_cause_is_an_alarm_that_names_model_and_version() {
        let figures =
            AgreementFigures { frames: 200, share: 50.0, low: 42.0, high: 58.0, passed: Some(false) };
        let slow = ReturnCause::Slow { p95: Duration::from_millis(20), limit: Duration::from_millis(13) };
        for (cause, member, observed, high) in [
            (ReturnCause::CannotLoad("why".to_owned()), Member::ModelFailed, 1.0, Some(0.0)),
            (ReturnCause::NotFinite, Member::ModelFailed, 1.0, Some(0.0)),
            (ReturnCause::Failed(3), Member::ModelFailed, 3.0, Some(0.0)),
            (ReturnCause::Overruns(0.07), Member::ModelFailed, 7.0, Some(5.0)),
            (slow, Member::ModelSlow, 20.0, Some(13.0)),
            (ReturnCause::Starts(3), Member::ModelUnproved, 3.0, Some(0.0)),
            (ReturnCause::Disagrees(figures), Member::ModelDisagrees, 0.5, None),
        ] {
            let event = VersionEvent::returned(("parts", "2-0123456789ab"), None, &cause);
            let verdict = event.verdict(Moment::from_wall(UtcMillis(7))).unwrap();
            assert_eq!((verdict.lane, verdict.judge.as_str()), (Lane::Alarm, "models"));
            assert_eq!(verdict.subject.device.as_str(), "parts");
            assert_eq!(verdict.subject.signal.unwrap().as_str(), "2-0123456789ab");
            let Body::Health(health) = verdict.body else { panic!("{cause:?}") };
            assert_eq!((health.cause, health.observed, health.expected.high), (member, observed, high));
        }
    }
}

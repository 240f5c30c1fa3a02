//! Two models on the same pictures without labels: do they agree?

use super::average_precision::{FoundObject, overlap};
use super::bootstrap::ALPHA;
use super::share::wilson;
use super::{GateDecision, Rules};

/// Numbers of frames after which a trial is looked at. Looking often proves nothing: chance passes at one of many looks.
pub const LOOKS: [u64; 3] = [200, 500, 1_000];
/// Boxes that overlap this much mean the same object.
const SAME_OBJECT: f64 = 0.5;

/// How often two models said the same.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Agreed {
    /// Answers that are the same.
    pub same: f64,
    /// Answers in all.
    pub of: f64,
}

/// What is known after a number of frames.
#[derive(Debug, Clone, PartialEq)]
pub enum Look {
    /// Nothing yet: it is looked at after this many.
    Early(u64),
    /// Neither of both is certain: it is looked at again after this many.
    Open(u64),
    /// The decision.
    Decided(GateDecision),
    /// The last look is past.
    Over,
}

impl Agreed {
    /// Of answers that are the same or not, one per frame.
    #[must_use]
    pub fn of_answers(same: impl IntoIterator<Item = bool>) -> Self {
        same.into_iter()
            .fold(Self::default(), |sum, same| sum.and(Self { same: f64::from(u8::from(same)), of: 1.0 }))
    }

    /// Of boxes of one picture: a pair of the same class that overlaps counts twice, as F1 has it.
    #[must_use]
    pub fn of_boxes(one: &[FoundObject], other: &[FoundObject]) -> Self {
        let mut taken = vec![false; other.len()];
        let mut matched = 0.0;
        let mut ranked: Vec<&FoundObject> = one.iter().collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        for object in ranked {
            let fits = other.iter().enumerate().filter(|(index, found)| {
                !taken[*index]
                    && found.class == object.class
                    && overlap(found.area, object.area) >= SAME_OBJECT
            });
            let best = fits.max_by(|(_, a), (_, b)| {
                overlap(a.area, object.area).total_cmp(&overlap(b.area, object.area))
            });
            if let Some((index, _)) = best {
                taken[index] = true;
                matched += 1.0;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "numbers of boxes")]
        let of = (one.len() + other.len()) as f64 / 2.0;
        Self { same: matched, of }
    }

    /// Of one look: the mean share over those who had something to agree about, as one answer. What they say is not independent
    /// of each other, since all of them saw the same picture.
    #[must_use]
    pub fn of_one_look(answers: impl IntoIterator<Item = Self>) -> Self {
        let shares: Vec<f64> = answers
            .into_iter()
            .filter(|one| one.of > 0.0)
            .map(|one| (one.same / one.of).clamp(0.0, 1.0))
            .collect();
        if shares.is_empty() {
            return Self::default();
        }
        #[expect(clippy::cast_precision_loss, reason = "numbers of judges")]
        let same = shares.iter().sum::<f64>() / shares.len() as f64;
        Self { same, of: 1.0 }
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { same: self.same + other.same, of: self.of + other.of }
    }

    /// The share; 1 where there was nothing to agree about.
    #[must_use]
    pub fn share(self) -> f64 {
        if self.of > 0.0 { self.same / self.of } else { 1.0 }
    }

    /// Bounds of the share, each by itself with a probability of 1 - `alpha`.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "numbers of frames or boxes")]
    pub fn bounds(self, alpha: f64) -> (f64, f64) {
        wilson(self.same.floor() as u64, self.of.ceil() as u64, alpha)
    }
}

impl Rules {
    /// Whether two models agree enough on a fixed number of pictures.
    #[must_use]
    pub fn unlabelled(&self, agreed: Agreed) -> GateDecision {
        self.at(agreed, ALPHA)
    }

    /// Whether they do after this many frames of a trial that goes on. Asked after every frame: it is looked at after those of
    /// [`LOOKS`] alone, since each further look would be another chance to be wrong.
    #[must_use]
    pub fn look(&self, agreed: Agreed, frames: u64) -> Look {
        let alpha = ALPHA / 3.0;
        let next = LOOKS.iter().find(|look| **look > frames);
        if !LOOKS.contains(&frames) {
            return match next {
                Some(next) if *next == LOOKS[0] => Look::Early(*next),
                Some(next) => Look::Open(*next),
                None => Look::Over,
            };
        }
        let decision = self.at(agreed, alpha);
        let (_, high) = agreed.bounds(alpha);
        match next {
            Some(next) if !decision.passes && high >= self.agreement => Look::Open(*next),
            _ => Look::Decided(decision),
        }
    }

    fn at(&self, agreed: Agreed, alpha: f64) -> GateDecision {
        let (low, high) = agreed.bounds(alpha);
        let (share, least) = (agreed.share() * 100.0, self.agreement * 100.0);
        let shown =
            format!("{share:.1} % of the answers agree ({:.1} to {:.1} %)", low * 100.0, high * 100.0);
        if low >= self.agreement {
            GateDecision::passed(shown)
        } else {
            GateDecision::refused(format!("{shown}; the lower end must be {least:.0} % or more"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(same: u32, of: u32) -> Agreed {
        Agreed { same: same.into(), of: of.into() }
    }

    #[test]
    fn a_fixed_number_of_pictures_is_looked_at_once() {
        let rules = Rules::default();
        assert!(rules.unlabelled(agreed(32, 32)).passes, "92.2 % at least");
        assert!(!rules.unlabelled(agreed(24, 24)).passes, "89.9 % at least");
        assert!(!rules.unlabelled(agreed(182, 200)).passes);
        assert!(rules.unlabelled(agreed(190, 200)).passes);
        assert!(!rules.unlabelled(Agreed::default()).passes, "nothing was compared");
    }

    #[test]
    fn a_trial_is_decided_at_its_looks() {
        let rules = Rules::default();
        let passes = |look: Look| match look {
            Look::Decided(decision) => Some(decision.passes),
            Look::Early(_) | Look::Open(_) | Look::Over => None,
        };
        assert_eq!(rules.look(agreed(199, 199), 199), Look::Early(200));
        assert_eq!(passes(rules.look(agreed(194, 200), 200)), Some(true));
        assert_eq!(rules.look(agreed(186, 200), 200), Look::Open(500));
        assert_eq!(passes(rules.look(agreed(150, 200), 200)), Some(false));
        assert_eq!(rules.look(agreed(460, 500), 500), Look::Open(1_000));
        assert_eq!(passes(rules.look(agreed(910, 1_000), 1_000)), Some(false), "the last look decides");
        assert_eq!(passes(rules.look(agreed(930, 1_000), 1_000)), Some(true));
        // Nothing is decided between the looks, and nothing after the last, whatever was seen.
        for (frames, expected) in [(201, Look::Open(500)), (999, Look::Open(1_000)), (1_001, Look::Over)] {
            let all = u32::try_from(frames).unwrap();
            assert_eq!(rules.look(agreed(all, all), frames), expected);
            assert_eq!(rules.look(agreed(0, all), frames), expected);
        }
    }

    #[test]
    fn boxes_agree_by_class_and_overlap() {
        let found = |class, left: f64, score| FoundObject { class, area: [left, 0.0, 10.0, 10.0], score };
        let one = [found(0, 0.0, 0.9), found(1, 50.0, 0.8)];
        assert_eq!(Agreed::of_boxes(&one, &one).share(), 1.0);
        assert_eq!(Agreed::of_boxes(&one, &[found(0, 2.0, 0.7), found(0, 50.0, 0.9)]).share(), 0.5);
        assert_eq!(Agreed::of_boxes(&one, &[]).share(), 0.0);
        assert_eq!(Agreed::of_boxes(&[], &[]).share(), 1.0);
        let twice = [found(0, 0.0, 0.5), found(0, 1.0, 0.6)];
        assert_eq!(Agreed::of_boxes(&one[..1], &twice), Agreed { same: 1.0, of: 1.5 });
    }
}

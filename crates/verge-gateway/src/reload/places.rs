//! Which index each judge has while the gateway runs: one keeps its index for as long as its name is in the configuration.

use verge_domain::id::{JudgeId, JudgeIndex};

use crate::settings::Settings;

/// Judges by their index; places of judges that were removed are free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JudgePlaces(Vec<Option<JudgeId>>);

impl JudgePlaces {
    /// Those of a gateway that starts: the order of the settings.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self(settings.judges.iter().map(|judge| Some(judge.name.clone())).collect())
    }

    /// Those of other settings in the place of these.
    pub(crate) fn next(&self, settings: &Settings) -> Self {
        let is_there = |name: &JudgeId| settings.judges.iter().any(|judge| judge.name == *name);
        let mut places: Vec<Option<JudgeId>> =
            self.0.iter().map(|name| name.clone().filter(is_there)).collect();
        for name in settings.judges.iter().map(|judge| &judge.name) {
            if places.iter().flatten().any(|known| known == name) {
                continue;
            }
            match places.iter_mut().find(|place| place.is_none()) {
                Some(free) => *free = Some(name.clone()),
                None => places.push(Some(name.clone())),
            }
        }
        Self(places)
    }

    /// The index of a judge.
    pub(crate) fn index_of(&self, name: &JudgeId) -> JudgeIndex {
        let place = self.0.iter().position(|known| known.as_ref() == Some(name));
        let index = place.and_then(|place| u16::try_from(place).ok());
        JudgeIndex(index.expect("each judge of the settings has a place"))
    }

    /// What each judge has, given in the order of the settings, by index.
    pub(crate) fn arranged<T>(&self, settings: &Settings, all: Vec<T>, free: impl Fn() -> T) -> Vec<T> {
        let mut arranged: Vec<T> = self.0.iter().map(|_| free()).collect();
        for (judge, one) in settings.judges.iter().zip(all) {
            arranged[self.index_of(&judge.name).position()] = one;
        }
        arranged
    }
}

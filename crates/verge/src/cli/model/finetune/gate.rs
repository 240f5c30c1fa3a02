//! Whether a new head is accepted: better than chance, and no worse than the old model where both have the classes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use verge_models::gate::bootstrap::ALPHA;
use verge_models::gate::labelled::compare;
use verge_models::gate::share::{at_least, wilson};
use verge_models::gate::{Drop, Pair, Rules};

/// A head that guesses gets this far with this probability, over all taps that were tried.
const CHANCE: f64 = 0.01;

/// What was said of a labelled picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its class.
    pub(super) class: String,
    /// What the new model says.
    pub(super) new: String,
    /// What the old one says, where both have its class.
    pub(super) old: Option<String>,
    /// Pictures that say the same have the same group.
    pub(super) group: usize,
}

/// Labelled pictures, and what was said of them.
#[derive(Debug, Default)]
pub(super) struct Answers(pub(super) Vec<Answer>);

impl Answers {
    pub(super) fn right(&self) -> usize {
        self.0.iter().filter(|one| one.new == one.class).count()
    }

    /// Share of the right ones with its bounds, in percent.
    pub(super) fn share(&self) -> (f64, f64, f64) {
        share_of(self.right() as u64, self.0.len() as u64)
    }

    /// Share of those of which the new model says this.
    pub(super) fn share_of(&self, said: &str) -> f64 {
        percent(self.0.iter().filter(|one| one.new == said).count(), self.0.len())
    }

    /// The share of the class that most are of: whoever always says that is right so often.
    fn chance(&self) -> f64 {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        self.0.iter().for_each(|one| *counts.entry(&one.class).or_default() += 1);
        percent(counts.values().copied().max().unwrap_or(0), self.0.len()) / 100.0
    }

    /// Whether this number of pictures could show that it is better than chance at all, after `tried` choices.
    pub(super) fn suffice(&self, tried: usize) -> bool {
        let groups = self.groups() as u64;
        guesses((groups, groups), self.chance(), tried, "").is_none()
    }

    fn groups(&self) -> usize {
        self.0.iter().map(|one| one.group).collect::<BTreeSet<_>>().len()
    }

    /// Why it is no better than chance, where that is so, after `tried` choices.
    pub(super) fn guesses(&self, tried: usize, what: &str) -> Option<String> {
        let (right, seen, chance) = (self.right(), self.0.len(), self.chance());
        // Pictures that say the same prove as much as one of them.
        let groups = self.groups();
        let of_groups = (right * groups / seen.max(1)) as u64;
        guesses((of_groups, groups as u64), chance, tried, what)
    }

    /// Beside the old model, where both have classes.
    pub(super) fn drop(&self) -> Option<Drop> {
        let pairs = self.0.iter().filter_map(|one| {
            let old = one.old.as_ref()?;
            Some(Pair { old: *old == one.class, new: one.new == one.class, group: one.group })
        });
        compare(&pairs.collect::<Vec<_>>())
    }

    /// Why it is worse than the old model, where that is so.
    pub(super) fn worse(&self, rules: &Rules, what: &str) -> Option<String> {
        let decision = rules.labelled(&self.drop()?);
        (!decision.passes).then(|| format!("beside the old model, {what}: {}", decision.reason))
    }

    /// As hooks have it, in percent.
    pub(super) fn json(&self) -> Value {
        let (top1, low, high) = self.share();
        let drop = self.drop().map(|drop| {
            json!({
                "old": drop.old, "new": drop.new, "points": drop.points, "low": drop.low, "high": drop.high, "p": drop.p,
                "pictures": drop.pictures,
            })
        });
        json!({ "top1": top1, "low": low, "high": high, "pictures": self.0.len(), "drop": drop })
    }
}

/// Why `right` of `seen` answers are no better than chance, where that is so, after `tried` choices.
pub(super) fn guesses((right, seen): (u64, u64), chance: f64, tried: usize, what: &str) -> Option<String> {
    #[expect(clippy::cast_precision_loss, reason = "12 taps at most")]
    let p = (at_least(right, seen, chance) * tried.max(1) as f64).min(1.0);
    (p > CHANCE).then(|| {
        format!(
            "no better than chance: {right} of {seen} right {what} (pictures that say the same count once), where always saying the \
             most frequent class has {:.0} % right (p = {p:.2}); more pictures of each class, or labels that are right, are needed",
            100.0 * chance
        )
    })
}

/// A share with its bounds, in percent.
pub(super) fn share_of(right: u64, seen: u64) -> (f64, f64, f64) {
    let (low, high) = wilson(right, seen, ALPHA);
    #[expect(clippy::cast_precision_loss, reason = "numbers of pictures")]
    let share = right as f64 / seen.max(1) as f64;
    (share * 100.0, low * 100.0, high * 100.0)
}

fn percent(count: usize, of: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "numbers of pictures")]
    let share = count as f64 / of.max(1) as f64;
    share * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(right: usize, wrong: usize, old_right: usize) -> Answers {
        let one = |place: usize| {
            let class = ["a", "b"][place % 2].to_owned();
            let other = ["b", "a"][place % 2].to_owned();
            let said = |is_right: bool| if is_right { class.clone() } else { other.clone() };
            Answer {
                new: said(place < right),
                old: Some(said(place < old_right)),
                group: place,
                class: class.clone(),
            }
        };
        Answers((0..right + wrong).map(one).collect())
    }

    #[test]
    fn guesses_and_losses_are_refused() {
        assert!(answers(60, 60, 0).guesses(1, "in folds").unwrap().contains("60 of 120 right in folds"));
        assert_eq!(answers(100, 20, 0).guesses(12, "in folds"), None);
        // Twelve groups of ten that say the same are twelve answers.
        let mut bursts = answers(90, 30, 0);
        bursts.0.iter_mut().for_each(|one| one.group /= 10);
        assert!(bursts.guesses(1, "in folds").is_some());
        // Four of four is no proof, whatever is said of them.
        assert!(!answers(2, 2, 0).suffice(1) && answers(60, 60, 0).suffice(12));
        assert!(answers(4, 0, 0).guesses(1, "in folds").is_some());
        let rules = Rules::default();
        assert!(answers(80, 40, 110).worse(&rules, "in folds").unwrap().contains("worse"));
        assert_eq!(answers(110, 10, 80).worse(&rules, "in folds"), None);
        let mut unshared = answers(80, 40, 110);
        unshared.0.iter_mut().for_each(|one| one.old = None);
        assert_eq!(unshared.worse(&rules, "in folds"), None);
        assert_eq!(answers(90, 10, 0).share().0, 90.0);
    }
}

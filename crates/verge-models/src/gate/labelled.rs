//! Two models on the same labelled pictures: does the new one lose?

use std::collections::BTreeMap;

use super::average_precision::{AveragePrecision, FoundObject, LabelledObject};
use super::bootstrap::{ALPHA, Bounds, bounds};
use super::share::{mcnemar, ruled_out};
use super::{GateDecision, Rules};

/// What both models said of one labelled picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Whether the old one is right.
    pub old: bool,
    /// Whether the new one is right.
    pub new: bool,
    /// Pictures that say the same have the same group, from 0.
    pub group: usize,
}

/// What is lost, in points (hundredths), and what is known of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drop {
    /// Score of the old model, in percent.
    pub old: f64,
    /// Score of the new model, in percent.
    pub new: f64,
    /// What is lost; below zero where something is won.
    pub points: f64,
    /// Losses below this are ruled out, each bound by itself with 95 %.
    pub low: f64,
    /// Losses above this are ruled out.
    pub high: f64,
    /// Probability of such a loss where the models are equally good.
    pub p: f64,
    /// Pictures that it rests on.
    pub pictures: usize,
    /// Groups of them.
    pub groups: usize,
}

/// Both models' answers, picture by picture; `None` without pictures.
#[must_use]
pub fn compare(pairs: &[Pair]) -> Option<Drop> {
    let (places, groups) = dense(pairs.iter().map(|pair| pair.group));
    let count = |which: fn(&Pair) -> bool| pairs.iter().filter(|pair| which(pair)).count();
    let (lost, won) = (count(|pair| pair.old && !pair.new), count(|pair| !pair.old && pair.new));
    let mut of_group = vec![(0.0, 0.0); groups];
    for (pair, place) in pairs.iter().zip(places) {
        let (drop, seen) = &mut of_group[place];
        *drop += f64::from(u8::from(pair.old)) - f64::from(u8::from(pair.new));
        *seen += 1.0;
    }
    let drawn = bounds(groups, |drawn| {
        let sums = drawn.iter().zip(&of_group).fold((0.0, 0.0), |sums, (times, (drop, seen))| {
            let times = f64::from(*times);
            (sums.0 + times * drop, sums.1 + times * seen)
        });
        (sums.1 > 0.0).then(|| sums.0 / sums.1)
    })?;
    // Where nothing was lost no draw loses anything, which proves nothing.
    let high = if lost == 0 { drawn.high.max(ruled_out(groups, ALPHA)) } else { drawn.high };
    let low = if won == 0 { drawn.low.min(-ruled_out(groups, ALPHA)) } else { drawn.low };
    let (low, high) = provable(low, high, groups);
    let percent = |count: usize| share(count, pairs.len()) * 100.0;
    let (old, new) = (percent(count(|pair| pair.old)), percent(count(|pair| pair.new)));
    Some(Drop {
        old,
        new,
        points: old - new,
        low: low * 100.0,
        high: high * 100.0,
        p: mcnemar(lost as u64, won as u64),
        pictures: pairs.len(),
        groups,
    })
}

/// The place of each picture's group among those that there are, and their number.
fn dense(groups: impl Iterator<Item = usize>) -> (Vec<usize>, usize) {
    let mut known = BTreeMap::new();
    let places = groups.map(|group| {
        let next = known.len();
        *known.entry(group).or_insert(next)
    });
    let places = places.collect();
    (places, known.len())
}

/// Of one group every draw is the same: it rules nothing out.
fn provable(low: f64, high: f64, groups: usize) -> (f64, f64) {
    if groups < 2 { (-1.0, 1.0) } else { (low, high) }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of pictures")]
fn share(count: usize, of: usize) -> f64 {
    count as f64 / of as f64
}

/// What both detectors found in one labelled picture.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DetectionPair {
    /// What is in it.
    pub truths: Vec<LabelledObject>,
    /// What the old one found.
    pub old: Vec<FoundObject>,
    /// What the new one found.
    pub new: Vec<FoundObject>,
    /// Pictures that say the same have the same group, from 0.
    pub group: usize,
}

/// Both detectors' average precision at an overlap of one half; `None` without a labelled object.
#[must_use]
pub fn compare_detections(pairs: &[DetectionPair]) -> Option<Drop> {
    let (places, groups) = dense(pairs.iter().map(|pair| pair.group));
    let measure = |found: fn(&DetectionPair) -> &[FoundObject]| {
        let mut measure = AveragePrecision::new();
        pairs.iter().for_each(|pair| measure.add(&pair.truths, found(pair)));
        measure
    };
    let (old, new) = (measure(|pair| &pair.old), measure(|pair| &pair.new));
    let (old_score, new_score) = (old.scores()?.ap50, new.scores()?.ap50);
    let (old, new) = (old.ranked(), new.ranked());
    let mut times = vec![0; pairs.len()];
    let Bounds { low, high, none } = bounds(groups, |drawn| {
        places.iter().zip(&mut times).for_each(|(place, times)| *times = drawn[*place]);
        Some(old.ap50(&times)? - new.ap50(&times)?)
    })?;
    // Where no draw loses anything, or none wins, that proves no more than for answers.
    let high = if high <= 0.0 { high.max(ruled_out(groups, ALPHA)) } else { high };
    let low = if low >= 0.0 && old_score <= new_score { low.min(-ruled_out(groups, ALPHA)) } else { low };
    let (low, high) = provable(low, high, groups);
    Some(Drop {
        old: old_score * 100.0,
        new: new_score * 100.0,
        points: (old_score - new_score) * 100.0,
        low: low * 100.0,
        high: high * 100.0,
        p: none,
        pictures: pairs.len(),
        groups,
    })
}

impl Rules {
    /// Whether a loss on labelled pictures is accepted.
    #[must_use]
    pub fn labelled(&self, drop: &Drop) -> GateDecision {
        let Drop { points, high, p, pictures, .. } = *drop;
        let shown = format!("{:.1} instead of {:.1} %", drop.new, drop.old);
        if points > 0.0 && p < ALPHA && !self.is_loss_consented {
            GateDecision::refused(format!("worse: {shown} of {pictures} pictures, p = {p:.3}"))
        } else if points > self.max_drop {
            GateDecision::refused(format!(
                "{shown} of {pictures} pictures: {points:.1} points are lost, {:.1} at most with --max-drop {}",
                self.max_drop, self.max_drop
            ))
        } else if self.strict && high > self.max_drop {
            GateDecision::refused(format!(
                "{pictures} pictures rule out losses above {high:.1} points only; --strict needs {:.1}: more pictures",
                self.max_drop
            ))
        } else {
            let lost =
                if points > 0.0 { format!("{points:.1} points lost") } else { "no loss seen".to_owned() };
            GateDecision::passed(format!(
                "{lost}; {pictures} pictures rule out losses above {high:.1} points"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(both: usize, lost: usize, won: usize, neither: usize) -> Vec<Pair> {
        let kinds = [(both, true, true), (lost, true, false), (won, false, true), (neither, false, false)];
        let of = kinds.into_iter().flat_map(|(count, old, new)| std::iter::repeat_n((old, new), count));
        of.enumerate().map(|(group, (old, new))| Pair { old, new, group }).collect()
    }

    #[test]
    fn what_is_worse_is_refused_and_what_cannot_be_said_is_reported() {
        let check = |rules: Rules, pairs: &[Pair], expected: Result<&str, &str>| {
            let decision = rules.labelled(&compare(pairs).unwrap());
            let (passes, part) = match expected {
                Ok(part) => (true, part),
                Err(part) => (false, part),
            };
            assert_eq!(decision.passes, passes, "{}", decision.reason);
            assert!(decision.reason.contains(part), "{}", decision.reason);
        };
        let rules = Rules::default();
        check(rules, &pairs(96, 0, 0, 15), Ok("no loss seen; 111 pictures rule out losses above 2.7 points"));
        check(rules, &pairs(90, 0, 3, 10), Ok("no loss seen"));
        check(rules, &pairs(900, 5, 2, 93), Ok("0.3 points lost"));
        // Eight answers lost and none won: no accident, however small.
        check(rules, &pairs(9_000, 8, 0, 992), Err("worse"));
        let consented = Rules { is_loss_consented: true, max_drop: 2.0, ..rules };
        check(consented, &pairs(9_000, 8, 0, 992), Ok("0.1 points lost"));
        check(consented, &pairs(9_000, 250, 0, 750), Err("2.5 points are lost, 2.0 at most"));
        check(rules, &pairs(90, 4, 1, 5), Err("3.0 points are lost, 1.0 at most"));
        check(Rules { max_drop: 5.0, ..rules }, &pairs(90, 4, 1, 5), Ok("3.0 points lost"));
        check(Rules { strict: true, ..rules }, &pairs(96, 0, 0, 15), Err("--strict"));
        check(Rules { strict: true, ..rules }, &pairs(960, 0, 0, 150), Ok("no loss seen"));
    }

    #[test]
    fn frames_of_one_camera_count_once() {
        let alone = compare(&pairs(180, 8, 8, 4)).unwrap();
        let mut grouped = pairs(180, 8, 8, 4);
        grouped.iter_mut().for_each(|pair| pair.group /= 4);
        let grouped = compare(&grouped).unwrap();
        assert_eq!((alone.points, grouped.groups), (0.0, 50));
        assert!(grouped.high > 1.5 * alone.high, "{grouped:?} beside {alone:?}");
        // Of independent pictures the bound is that of the normal approximation.
        let expected = 1.645 * 16_f64.sqrt() / 200.0 * 100.0;
        assert!((alone.high - expected).abs() < 0.5, "{} instead of {expected}", alone.high);
        assert_eq!(compare(&pairs(180, 8, 8, 4)), Some(alone), "the same whenever it is asked for");
        assert_eq!(compare(&[]), None);
    }

    #[test]
    fn one_group_proves_nothing_and_numbers_of_groups_are_names() {
        let strict = Rules { strict: true, ..Rules::default() };
        let mut one = pairs(5_000, 0, 0, 100);
        one.iter_mut().for_each(|pair| pair.group = 7);
        let drop = compare(&one).unwrap();
        assert_eq!((drop.low, drop.high, drop.groups), (-100.0, 100.0, 1));
        assert!(!strict.labelled(&drop).passes);
        let near = pairs(180, 8, 8, 4);
        let mut far = near.clone();
        far.iter_mut().for_each(|pair| pair.group = usize::MAX - 3 * pair.group);
        assert_eq!(compare(&far), compare(&near));
    }

    fn object(class: usize, left: f64) -> LabelledObject {
        LabelledObject { class, area: [left, 0.0, 10.0, 10.0] }
    }

    fn found(class: usize, left: f64, score: f64) -> FoundObject {
        FoundObject { class, area: [left, 0.0, 10.0, 10.0], score }
    }

    #[test]
    fn detectors_are_compared_by_average_precision() {
        let picture = |number: usize, is_lost: bool| {
            #[expect(clippy::cast_precision_loss, reason = "a small number")]
            let score = 0.5 + number as f64 / 1000.0;
            let hit = found(0, 1.0, score);
            let new = if is_lost { Vec::new() } else { vec![hit] };
            DetectionPair { truths: vec![object(0, 0.0)], old: vec![hit], new, group: number }
        };
        let same: Vec<DetectionPair> = (0..40).map(|number| picture(number, false)).collect();
        let drop = compare_detections(&same).unwrap();
        assert_eq!((drop.old, drop.new, drop.points), (100.0, 100.0, 0.0));
        assert!(Rules::default().labelled(&drop).passes);
        // Forty pictures rule out a loss of 7 points, and no smaller one.
        assert!(drop.high > 7.0 && drop.low < -7.0, "{drop:?}");
        let strict = Rules { strict: true, ..Rules::default() };
        assert!(!strict.labelled(&drop).passes);
        let same_group = same.iter().cloned().map(|pair| DetectionPair { group: 3, ..pair });
        assert!(!strict.labelled(&compare_detections(&same_group.collect::<Vec<_>>()).unwrap()).passes);
        let lossy: Vec<DetectionPair> = (0..40).map(|number| picture(number, number % 4 == 0)).collect();
        let drop = compare_detections(&lossy).unwrap();
        assert!((drop.points - 25.0).abs() < 1.5, "{drop:?}");
        assert!(drop.low > 10.0 && drop.high < 45.0 && drop.p < 0.01, "{drop:?}");
        assert!(!Rules::default().labelled(&drop).passes);
        assert_eq!(compare_detections(&[DetectionPair::default()]), None, "no labelled object");
    }
}

//! How much contrast, detail and how many edges a camera usually shows, at each brightness.

use serde::{Deserialize, Serialize};

/// Levels of brightness, two to an octave.
const LEVELS: usize = 17;
/// Seconds that a level must have been learnt for before it is usual.
const LEAST_LEARNT: f32 = 5.0;
/// What is usual follows what is shown with this time constant at last, in seconds: a day with its night.
const FOLLOWS: f32 = 6.0 * 3600.0;
/// One frame moves what is usual by this factor at most, as a logarithm.
const LARGEST_STEP: f32 = std::f32::consts::LN_2;

/// What one frame shows, in logarithms.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct UsualLogs {
    contrast: f32,
    sharpness: f32,
    edges: f32,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct UsualLevel {
    learnt: f32,
    shown: UsualLogs,
}

/// What is usual at a brightness.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usual {
    pub(super) contrast: f32,
    pub(super) sharpness: f32,
    pub(super) edges: f32,
}

/// What is usual, level by level. Some 300 bytes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct UsualLevels([UsualLevel; LEVELS]);

impl UsualLevels {
    /// Learns from a healthy frame that was shown for `step` seconds.
    pub(super) fn learn(&mut self, mean: f32, usual: Usual, step: f32) {
        let level = &mut self.0[place(mean)];
        let log = |value: f32| value.max(1e-4).ln();
        let now = UsualLogs {
            contrast: log(usual.contrast),
            sharpness: log(usual.sharpness),
            edges: log(usual.edges),
        };
        let is_first = level.learnt <= 0.0;
        let weight = step / (level.learnt.min(FOLLOWS) + step).max(1e-3);
        let follow = |known: &mut f32, now: f32| {
            if is_first {
                *known = now;
            } else {
                *known += weight * (now - *known).clamp(-LARGEST_STEP, LARGEST_STEP);
            }
        };
        follow(&mut level.shown.contrast, now.contrast);
        follow(&mut level.shown.sharpness, now.sharpness);
        follow(&mut level.shown.edges, now.edges);
        level.learnt = (level.learnt + step.max(1e-3)).min(FOLLOWS);
    }

    /// What is usual at this brightness: that of the nearest level that is known. In less light there is less contrast.
    pub(super) fn at(&self, mean: f32) -> Option<Usual> {
        let here = place(mean);
        let known = self.0.iter().enumerate().filter(|(_, level)| level.learnt >= LEAST_LEARNT);
        let (nearest, level) = known.min_by_key(|(at, _)| at.abs_diff(here))?;
        // Two levels are an octave.
        let darker = nearest.saturating_sub(here) as f32 / 2.0;
        Some(Usual {
            contrast: level.shown.contrast.exp() * (-darker).exp2(),
            sharpness: level.shown.sharpness.exp(),
            edges: level.shown.edges.exp(),
        })
    }

    pub(super) fn is_sound(&self) -> bool {
        self.0.iter().all(|level| {
            let UsualLogs { contrast, sharpness, edges } = level.shown;
            [level.learnt, contrast, sharpness, edges].iter().all(|number| number.is_finite())
        })
    }
}

fn place(mean: f32) -> usize {
    // From 0 to 16, as grey levels are within 0 and 255.
    ((2.0 * (mean.clamp(0.0, 255.0) + 1.0).log2()) as usize).min(LEVELS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Usual = Usual { contrast: 80.0, sharpness: 0.2, edges: 0.1 };

    #[test]
    fn what_is_usual_is_known_after_some_seconds_and_a_night_is_judged_by_less() {
        let mut levels = UsualLevels::default();
        (0..40).for_each(|_| levels.learn(110.0, DAY, 0.1));
        assert_eq!(levels.at(110.0), None);
        (0..40).for_each(|_| levels.learn(110.0, DAY, 0.1));
        let near = |mean: f32| levels.at(mean).unwrap();
        assert!((near(110.0).contrast - 80.0).abs() < 0.1 && (near(200.0).contrast - 80.0).abs() < 0.1);
        assert!((near(26.0).contrast - 20.0).abs() < 0.1, "two octaves darker");
        assert!((near(26.0).sharpness - 0.2).abs() < 1e-3);
    }

    #[test]
    fn one_frame_changes_little() {
        let mut levels = UsualLevels::default();
        (0..1000).for_each(|_| levels.learn(110.0, DAY, 0.1));
        levels.learn(110.0, Usual { contrast: 0.0, sharpness: 0.0, edges: 0.0 }, 0.1);
        assert!(levels.at(110.0).unwrap().contrast > 79.0);
    }
}

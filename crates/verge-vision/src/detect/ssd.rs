//! Boxes that left the network decoded, as SSD exports have them (Liu et al., "SSD: Single Shot MultiBox Detector",
//! 2016): corners from 0 to 1 of the input's sides, with scores per class, or after TFLite's detection
//! post-processing with one class and score per box and their number.

use verge_engine::card::Corners;

use super::Candidate;
use crate::classify::BadOutput;

/// What stands in the outputs.
#[derive(Debug)]
pub(super) struct Boxes {
    pub(super) corners: Corners,
    pub(super) background: Option<usize>,
    /// Classes of a row of scores, those without a label included.
    pub(super) classes: usize,
}

impl Boxes {
    /// `[n, 4]` corners and `[n, classes]` scores. Of each box the best class counts that is not the background.
    pub(super) fn scored(
        &self,
        corners: &[f32],
        scores: &[f32],
        least: f32,
        out: &mut Vec<Candidate>,
    ) -> Result<(), BadOutput> {
        if self.classes == 0
            || !corners.len().is_multiple_of(4)
            || scores.len() != corners.len() / 4 * self.classes
        {
            return Err(BadOutput);
        }
        for (corners, scores) in corners.chunks_exact(4).zip(scores.chunks_exact(self.classes)) {
            let mut best: Option<(usize, f32)> = None;
            for (class, score) in
                scores.iter().enumerate().filter(|(class, _)| Some(*class) != self.background)
            {
                if !score.is_finite() {
                    return Err(BadOutput);
                }
                if best.is_none_or(|(_, best)| *score > best) {
                    best = Some((class, *score));
                }
            }
            if let Some((label, score)) = best.filter(|(_, score)| *score >= least) {
                out.push(Candidate { corners: self.ordered(corners)?, label, score });
            }
        }
        Ok(())
    }

    /// `[n, 4]` corners, `[n]` classes, `[n]` scores, of which `count` hold.
    pub(super) fn selected(
        &self,
        corners: &[f32],
        classes: &[f32],
        scores: &[f32],
        count: &[f32],
        least: f32,
        out: &mut Vec<Candidate>,
    ) -> Result<(), BadOutput> {
        let room = classes.len();
        if scores.len() != room || corners.len() != room * 4 {
            return Err(BadOutput);
        }
        let count = match count {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates, and is bounded below"
            )]
            [count] if count.is_finite() => (count.round() as usize).min(room),
            _ => return Err(BadOutput),
        };
        for ((corners, class), score) in corners.chunks_exact(4).zip(classes).zip(scores).take(count) {
            if !score.is_finite() || !class.is_finite() || *class < 0.0 {
                return Err(BadOutput);
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "not negative; saturates"
            )]
            let label = class.round() as usize;
            if *score >= least && Some(label) != self.background {
                out.push(Candidate { corners: self.ordered(corners)?, label, score: *score });
            }
        }
        Ok(())
    }

    fn ordered(&self, corners: &[f32]) -> Result<[f32; 4], BadOutput> {
        match (self.corners, corners) {
            (_, corners) if corners.iter().any(|corner| !corner.is_finite()) => Err(BadOutput),
            (Corners::Xyxy, &[left, top, right, bottom]) | (Corners::Yxyx, &[top, left, bottom, right]) => {
                Ok([left, top, right, bottom])
            }
            _ => Err(BadOutput),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOXES: Boxes = Boxes { corners: Corners::Yxyx, background: Some(0), classes: 3 };

    #[test]
    fn the_best_class_but_the_background_counts() {
        let corners = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
        let mut out = Vec::new();
        BOXES.scored(&corners, &[0.9, 0.0, 0.1, 0.2, 0.3, 0.5], 0.25, &mut out).unwrap();
        assert_eq!(out, [Candidate { corners: [0.6, 0.5, 0.8, 0.7], label: 2, score: 0.5 }]);
        assert_eq!(BOXES.scored(&corners, &[0.9, f32::NAN, 0.1], 0.25, &mut out), Err(BadOutput));
    }

    #[test]
    fn only_as_many_as_are_counted_hold() {
        let boxes = Boxes { background: None, ..BOXES };
        let corners = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
        let read = |count: f32, scores: [f32; 2]| {
            let mut out = Vec::new();
            boxes.selected(&corners, &[1.0, 2.0], &scores, &[count], 0.25, &mut out)?;
            Ok(out.iter().map(|one| one.label).collect::<Vec<_>>())
        };
        assert_eq!(read(1.0, [0.9, 0.9]), Ok(vec![1]));
        assert_eq!(read(99.0, [0.1, 0.9]), Ok(vec![2]));
        assert_eq!(read(-1.0, [0.9, 0.9]), Ok(vec![]));
        assert_eq!(read(f32::NAN, [0.9, 0.9]), Err(BadOutput));
        assert_eq!(read(2.0, [0.9, f32::NAN]), Err(BadOutput));
        let mut out = Vec::new();
        assert_eq!(boxes.selected(&corners, &[1.0], &[0.9, 0.9], &[1.0], 0.25, &mut out), Err(BadOutput));
        assert_eq!(boxes.scored(&corners, &[0.9, 0.9, 0.9], 0.25, &mut out), Err(BadOutput));
    }
}

//! Boxes that left the network decoded, as SSD exports have them (Liu et al., "SSD: Single Shot MultiBox Detector",
//! 2016): corners from 0 to 1 of the input's sides, with scores per class, or after TFLite's detection
//! post-processing with one class and score per box and their number.

use verge_models::card::Corners;

use super::{Candidate, DEFAULT_SCORE};
use crate::elements::{BadOutput, Probabilities};

/// What numbers beyond 0 to 1 may be.
pub(super) const ADVICE: &str =
    "the scores of ssd are read after softmax or sigmoid, so export the model with it";
/// Corners lie within a picture's size of the picture: what is cut off at its edge reaches beyond it, by less.
const CORNERS: std::ops::RangeInclusive<f32> = -1.0..=2.0;
/// What corners beyond that may be.
const IN_PIXELS: &str = "the corners of ssd are shares of the sides from 0 to 1, and these look like pixels";

/// What stands in the outputs.
#[derive(Debug)]
pub(super) struct Boxes {
    pub(super) corners: Corners,
    pub(super) background: Option<usize>,
    /// Classes of a row of scores, those without a label included.
    pub(super) classes: usize,
    pub(super) believed: Probabilities,
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
        let expected = corners.len() / 4 * self.classes;
        if self.classes == 0 || !corners.len().is_multiple_of(4) || scores.len() != expected {
            return Err(BadOutput::Length { found: scores.len(), expected });
        }
        for (corners, scores) in corners.chunks_exact(4).zip(scores.chunks_exact(self.classes)) {
            let mut best: Option<(usize, f32)> = None;
            for (class, score) in
                scores.iter().enumerate().filter(|(class, _)| Some(*class) != self.background)
            {
                self.believed.check(*score)?;
                if best.is_none_or(|(_, best)| *score > best) {
                    best = Some((class, *score));
                }
            }
            if let Some((label, score)) = best.filter(|(_, score)| *score >= least) {
                self.push(corners, (label, score), out)?;
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
            return Err(BadOutput::Length { found: scores.len(), expected: room });
        }
        let count = match count {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates, and is bounded below"
            )]
            [count] if count.is_finite() => (count.round() as usize).min(room),
            [_] => return Err(BadOutput::NotFinite),
            _ => return Err(BadOutput::Length { found: count.len(), expected: 1 }),
        };
        for ((corners, class), score) in corners.chunks_exact(4).zip(classes).zip(scores).take(count) {
            self.believed.check(*score)?;
            if !class.is_finite() || *class < 0.0 {
                return Err(BadOutput::NotFinite);
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "not negative; saturates"
            )]
            let label = class.round() as usize;
            if *score >= least && Some(label) != self.background {
                self.push(corners, (label, *score), out)?;
            }
        }
        Ok(())
    }

    /// Takes a box that lies near the input. One far beyond it is refused, or left out where the model is hardly sure.
    fn push(
        &self,
        corners: &[f32],
        (label, score): (usize, f32),
        out: &mut Vec<Candidate>,
    ) -> Result<(), BadOutput> {
        let &[first, second, third, fourth] = corners else {
            return Err(BadOutput::Length { found: corners.len(), expected: 4 });
        };
        if corners.iter().any(|corner| !corner.is_finite()) {
            return Err(BadOutput::NotFinite);
        }
        if let Some(found) = beyond(corners) {
            let refused = BadOutput::Beyond { found, advice: IN_PIXELS };
            return if score < DEFAULT_SCORE { Ok(()) } else { Err(refused) };
        }
        let corners = match self.corners {
            Corners::Xyxy => [first, second, third, fourth],
            Corners::Yxyx => [second, first, fourth, third],
        };
        out.push(Candidate { corners, label, score });
        Ok(())
    }
}

/// The first corner that lies far beyond the input.
fn beyond(corners: &[f32]) -> Option<f32> {
    corners.iter().copied().find(|corner| !CORNERS.contains(corner))
}

/// Whether most boxes look as if they were in pixels, those that the model is not sure of included.
pub(super) fn look_like_pixels(corners: &[f32]) -> bool {
    let far = corners.chunks_exact(4).filter(|corners| beyond(corners).is_some()).count();
    far > corners.len() / 4 / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxes(background: Option<usize>) -> Boxes {
        let believed = Probabilities::new(None, ADVICE);
        Boxes { corners: Corners::Yxyx, background, classes: 3, believed }
    }

    #[test]
    fn the_best_class_but_the_background_counts() {
        let corners = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
        let mut out = Vec::new();
        let boxes = boxes(Some(0));
        boxes.scored(&corners, &[0.9, 0.0, 0.1, 0.2, 0.3, 0.5], 0.25, &mut out).unwrap();
        assert_eq!(out, [Candidate { corners: [0.6, 0.5, 0.8, 0.7], label: 2, score: 0.5 }]);
        for scores in [&[0.9, f32::NAN, 0.1][..], &[0.9, f32::NAN, 0.1, 0.0, 0.0, 0.0]] {
            assert!(boxes.scored(&corners, scores, 0.25, &mut out).is_err());
        }
    }

    #[test]
    fn only_as_many_as_are_counted_hold() {
        let boxes = boxes(None);
        let corners = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
        let read = |count: f32, scores: [f32; 2]| {
            let mut out = Vec::new();
            boxes.selected(&corners, &[1.0, 2.0], &scores, &[count], 0.25, &mut out)?;
            Ok(out.iter().map(|one| one.label).collect::<Vec<_>>())
        };
        assert_eq!(read(1.0, [0.9, 0.9]), Ok(vec![1]));
        assert_eq!(read(99.0, [0.1, 0.9]), Ok(vec![2]));
        assert_eq!(read(-1.0, [0.9, 0.9]), Ok(vec![]));
        assert_eq!(read(f32::NAN, [0.9, 0.9]), Err(BadOutput::NotFinite));
        assert_eq!(read(2.0, [0.9, f32::NAN]), Err(BadOutput::NotFinite));
        let mut out = Vec::new();
        assert!(boxes.selected(&corners, &[1.0], &[0.9, 0.9], &[1.0], 0.25, &mut out).is_err());
        assert!(boxes.scored(&corners, &[0.9, 0.9, 0.9], 0.25, &mut out).is_err());
    }

    #[test]
    fn numbers_out_of_range_are_not_believed() {
        let read = |corners: [f32; 4], score: f32| {
            let mut out = Vec::new();
            boxes(None).selected(&corners, &[1.0], &[score], &[1.0], 0.25, &mut out).map(|()| out.len())
        };
        assert_eq!(read([0.1, 0.2, 0.3, 0.4], 1.0), Ok(1));
        // Beyond the edge, and what a model is not sure of.
        assert_eq!(read([-0.2, -0.1, 1.3, 1.1], 0.9), Ok(1));
        assert_eq!(read([30.0, 30.0, 200.0, 200.0], 0.1), Ok(0));
        assert_eq!(read([0.1, 0.2, 0.3, f32::INFINITY], 0.3), Err(BadOutput::NotFinite));
        assert!(look_like_pixels(&[0.0, 0.0, 150.0, 300.0, 0.0, 0.0, 1.0, 7.0, 0.0, 0.0, 1.0, 1.0]));
        assert!(!look_like_pixels(&[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 7.0]));
        let pixels = read([30.0, 30.0, 200.0, 200.0], 0.9).unwrap_err();
        assert!(pixels.to_string().contains("pixels"), "{pixels}");
        assert!(matches!(read([0.1, 0.2, 0.3, 0.4], 7.0), Err(BadOutput::NotProbability { .. })));
        assert_eq!(read([0.1, f32::NAN, 0.3, 0.4], 0.9), Err(BadOutput::NotFinite));
        let mut out = Vec::new();
        let logits = boxes(None).scored(&[0.1, 0.2, 0.3, 0.4], &[-4.0, 3.0, 0.5], 0.25, &mut out);
        assert!(matches!(logits, Err(BadOutput::NotProbability { found: -4.0, .. })), "{logits:?}");
    }
}

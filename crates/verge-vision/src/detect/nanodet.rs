//! `NanoDet`: class scores, and a distribution over each of four distances from a centre (Li et al., "Generalized Focal
//! Loss", 2020). `NanoDet-Plus` has all levels in one output, its centres at the corners of their cells; `NanoDet-m` has
//! two outputs a level.

use verge_models::card::NanodetForm;

use super::CandidateBox;
use super::believed::{Believed, Numbers, best, real};
use crate::elements::BadOutput;

/// What numbers beyond 0 to 1 may be.
pub(super) const ADVICE: &str =
    "scores are read after sigmoid: export the model with it, or write output.activation = \"sigmoid\"";
/// What boxes far beyond the input may be.
pub(super) const BEYOND: &str = "output.reg_max or output.strides of the card may be others";

/// Decodes one output, or class scores of each level and then distances of each level.
pub(super) fn decode(
    form: &NanodetForm,
    outputs: &[Numbers<'_>],
    (classes, least): (usize, f32),
    believed: Believed,
    out: &mut Vec<CandidateBox>,
) -> Result<(), BadOutput> {
    let (levels, distances) = (form.strides.len(), 4 * form.bins);
    let is_whole = outputs.len() == 1;
    if !is_whole && outputs.len() != 2 * levels {
        return Err(BadOutput::Outputs { found: outputs.len() });
    }
    let length = if is_whole { classes + distances } else { classes };
    let mut begin = 0;
    for (level, stride) in form.strides.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "pixels of an input, 4096 at most")]
        let side = *stride as f32;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "pixels of an input, 4096 at most"
        )]
        let along = |pixels: f32| (pixels / side).ceil() as usize;
        let (columns, rows) = (along(believed.width), along(believed.height));
        let cells = columns * rows;
        let scores = if is_whole { outputs[0].of } else { outputs[level].of };
        if is_whole {
            let fits = scores.len() >= (begin + cells) * length;
            let is_all = level + 1 < levels || scores.len() == (begin + cells) * length;
            if !fits || !is_all {
                return Err(BadOutput::Length { found: scores.len(), expected: (begin + cells) * length });
            }
        } else {
            Believed::length(scores, cells * length)?;
            Believed::length(outputs[levels + level].of, cells * distances)?;
        }
        for cell in 0..cells {
            let row = &scores[(begin + cell) * length..][..length];
            let (label, found) = best(&row[..classes]).ok_or(BadOutput::NotFinite)?;
            let score = believed.score(found, form.activation)?;
            if score < least {
                continue;
            }
            let bins = if is_whole {
                &row[classes..]
            } else {
                &outputs[levels + level].of[cell * distances..][..distances]
            };
            let mut far = [0.0; 4];
            for (far, bins) in far.iter_mut().zip(bins.chunks_exact(form.bins)) {
                *far = expectation(bins) * side;
            }
            let x = (real(cell % columns) + form.centre) * side;
            let y = (real(cell / columns) + form.centre) * side;
            believed.corners([x - far[0], y - far[1], x + far[2], y + far[3]], (label, score), out)?;
        }
        begin += if is_whole { cells } else { 0 };
    }
    Ok(())
}

/// The mean of a distribution that is given by logits; NaN where one is none.
fn expectation(bins: &[f32]) -> f32 {
    let largest = bins.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut sum, mut mean) = (0.0, 0.0);
    for (distance, logit) in bins.iter().enumerate() {
        let share = (logit - largest).exp();
        sum += share;
        mean += share * real(distance);
    }
    mean / sum
}

#[cfg(test)]
mod tests {
    use verge_models::card::Activation;

    use super::*;
    use crate::elements::Probabilities;

    fn decoded(form: &NanodetForm, outputs: &[&[f32]]) -> Result<Vec<CandidateBox>, BadOutput> {
        let believed = Believed {
            width: 15.0,
            height: 8.0,
            probabilities: Probabilities::new(None, ADVICE),
            advice: BEYOND,
        };
        let outputs: Vec<Numbers<'_>> = outputs.iter().map(|of| Numbers { shape: &[], of }).collect();
        let mut out = Vec::new();
        decode(form, &outputs, (1, 0.25), believed, &mut out).map(|()| out)
    }

    /// Three bins: distances of 0, 1, 2 and the mean of 1 and 2.
    const FAR: [f32; 12] = [99.0, 0.0, 0.0, 0.0, 99.0, 0.0, 0.0, 0.0, 99.0, -99.0, 5.0, 5.0];

    #[test]
    fn distributions_become_boxes() {
        // 15 x 8 pixels in cells of 8: two columns, the second beyond the edge, and one row; in cells of 16 one.
        let form = NanodetForm { strides: vec![8, 16], bins: 3, centre: 0.0, activation: Activation::None };
        let rows: Vec<f32> =
            [0.0, 0.9, 0.0].into_iter().flat_map(|score| [score].into_iter().chain(FAR)).collect();
        let found = decoded(&form, &[&rows]).unwrap();
        let [one] = &found[..] else { panic!("{found:?}") };
        assert!(
            one.corners.iter().zip([8.0, -8.0, 24.0, 12.0]).all(|(a, b)| (a - b).abs() < 1e-4),
            "{one:?}"
        );
        // The same in two outputs a level, with centres in the middle.
        let middle = NanodetForm { centre: 0.5, activation: Activation::Sigmoid, ..form.clone() };
        let far = [FAR, FAR].concat();
        let found = decoded(&middle, &[&[-9.0, 0.0], &[-9.0], &far, &FAR]).unwrap();
        let [one] = &found[..] else { panic!("{found:?}") };
        assert!(
            one.corners.iter().zip([12.0, -4.0, 28.0, 16.0]).all(|(a, b)| (a - b).abs() < 1e-4),
            "{one:?}"
        );
        assert!((one.score - 0.5).abs() < 1e-6);
        for length in [0, 13, 26, 40] {
            assert!(decoded(&form, &[&vec![0.0; length]]).is_err(), "{length}");
        }
        assert!(decoded(&form, &[&[0.0], &[0.0]]).is_err());
    }

    #[test]
    fn numbers_that_mean_nothing_are_not_believed() {
        let form = NanodetForm { strides: vec![16], bins: 3, centre: 0.0, activation: Activation::None };
        for at in 0..13 {
            let mut row = [0.9; 13];
            row[at] = f32::NAN;
            assert_eq!(decoded(&form, &[&row]), Err(BadOutput::NotFinite), "{at}");
        }
        assert!(matches!(decoded(&form, &[&[3.0; 13]]), Err(BadOutput::NotProbability { .. })));
    }
}

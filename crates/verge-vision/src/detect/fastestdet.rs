//! `FastestDet`: one map; of each cell objectness, four numbers of a box and class scores, scores as probabilities.

use super::CandidateBox;
use super::believed::{Believed, Numbers, real, sigmoid};
use crate::elements::BadOutput;

/// What numbers beyond 0 to 1 may be.
pub(super) const ADVICE: &str =
    "objectness is read after sigmoid, scores after softmax: export the model with both";
/// What boxes far beyond the input may be.
pub(super) const BEYOND: &str = "the model may be another than FastestDet";

/// Numbers of a cell before its class scores.
const OBJECTNESS_AND_BOX: usize = 5;

/// Decodes `[5 + classes, rows, columns]`: centre `tanh(t) + cell`, sides `sigmoid(t)` of the input, score
/// `objectness^0.6 * class^0.4`. Of each cell the best class counts.
pub(super) fn decode(
    numbers: Numbers<'_>,
    (classes, least): (usize, f32),
    believed: Believed,
    out: &mut Vec<CandidateBox>,
) -> Result<(), BadOutput> {
    let (rows, columns) = (numbers.side(2), numbers.side(1));
    let plane = rows * columns;
    Believed::length(numbers.of, (OBJECTNESS_AND_BOX + classes) * plane)?;
    for cell in 0..plane {
        let at = |number: usize| numbers.of[number * plane + cell];
        let mut best = (0, f32::NEG_INFINITY);
        for class in 0..classes {
            let score = at(OBJECTNESS_AND_BOX + class);
            if score.is_nan() {
                return Err(BadOutput::NotFinite);
            }
            if score > best.1 {
                best = (class, score);
            }
        }
        let (label, class) = best;
        believed.probabilities.check(at(0))?;
        believed.probabilities.check(class)?;
        let score = at(0).max(0.0).powf(0.6) * class.max(0.0).powf(0.4);
        if score < least {
            continue;
        }
        let centre = [
            (at(1).tanh() + real(cell % columns)) / real(columns) * believed.width,
            (at(2).tanh() + real(cell / columns)) / real(rows) * believed.height,
        ];
        let size = [sigmoid(at(3)) * believed.width, sigmoid(at(4)) * believed.height];
        believed.centred(centre, size, (label, score), out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elements::Probabilities;

    #[test]
    fn cells_become_boxes() {
        let believed = Believed {
            width: 32.0,
            height: 16.0,
            probabilities: Probabilities::new(None, ADVICE),
            advice: BEYOND,
        };
        // A row of two cells, two classes.
        let read = |second: [f32; 7]| {
            let numbers: Vec<f32> = second.into_iter().flat_map(|number| [0.0, number]).collect();
            let mut out = Vec::new();
            let numbers = Numbers { shape: &[1, 7, 1, 2], of: &numbers };
            decode(numbers, (2, 0.25), believed, &mut out).map(|()| out)
        };
        let found = read([0.64, 0.5_f32.atanh(), 0.25_f32.atanh(), 0.0, -(3.0_f32.ln()), 0.1, 0.8]).unwrap();
        let [one] = &found[..] else { panic!("{found:?}") };
        // Centre 1.5 / 2 * 32, 0.25 * 16; sides 32 / 2 and 16 / 4.
        assert!(one.corners.iter().zip([16.0, 2.0, 32.0, 6.0]).all(|(a, b)| (a - b).abs() < 1e-4), "{one:?}");
        assert!((one.score - 0.64_f32.powf(0.6) * 0.8_f32.powf(0.4)).abs() < 1e-6);
        for at in 0..7 {
            let mut bad = [0.9; 7];
            bad[at] = f32::NAN;
            assert_eq!(read(bad), Err(BadOutput::NotFinite), "{at}");
        }
        assert!(matches!(read([4.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5]), Err(BadOutput::NotProbability { .. })));
    }
}

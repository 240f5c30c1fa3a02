//! Raw heads with anchors, a tensor per level (Redmon and Farhadi, "YOLOv3", 2018; YOLOv5 and YOLOv7 exported without
//! their grid).

use verge_models::card::{Activation, AnchorForm, AnchorFormula};

use super::CandidateBox;
use super::believed::{Believed, Numbers, best, real, sigmoid};
use crate::elements::BadOutput;

/// Numbers of an anchor before its class scores.
const BOX_AND_OBJECTNESS: usize = 5;
/// `exp` beyond this is larger than any frame.
const MAX_EXPONENT: f32 = 12.0;
/// What boxes far beyond the input may be.
pub(super) const BEYOND: &str = "output.formula, output.anchors or output.strides of the card may be others, or the model decodes its boxes itself";

/// Where the numbers of an anchor stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AnchorOrder {
    /// `[anchor, row, column, number]`.
    Anchors,
    /// `[anchor x number, row, column]`.
    Planes,
    /// `[row, column, anchor x number]`.
    Cells,
}

/// Decodes levels in the order of the card. Of each anchor the best class counts.
pub(super) fn decode(
    form: &AnchorForm,
    levels: &[Numbers<'_>],
    (classes, least): (usize, f32),
    believed: Believed,
    scores: &mut Vec<f32>,
    out: &mut Vec<CandidateBox>,
) -> Result<(), BadOutput> {
    let each = form.strides.iter().zip(&form.anchors).zip(&form.centre_scale);
    for (level, ((stride, anchors), scale)) in levels.iter().zip(each) {
        let (length, count) = (BOX_AND_OBJECTNESS + classes, anchors.len());
        #[expect(clippy::cast_precision_loss, reason = "pixels of an input, 4096 at most")]
        let side = *stride as f32;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "pixels of an input, 4096 at most"
        )]
        let (columns, rows) = ((believed.width / side) as usize, (believed.height / side) as usize);
        Believed::length(level.of, rows * columns * count * length)?;
        let order = match level.shape.len() {
            5 => AnchorOrder::Anchors,
            _ if level.side(3) == count * length => AnchorOrder::Planes,
            _ => AnchorOrder::Cells,
        };
        for cell in 0..rows * columns {
            for (index, anchor) in anchors.iter().enumerate() {
                let at = |number: usize| match order {
                    AnchorOrder::Anchors => level.of[(index * rows * columns + cell) * length + number],
                    AnchorOrder::Planes => level.of[(index * length + number) * rows * columns + cell],
                    AnchorOrder::Cells => level.of[(cell * count + index) * length + number],
                };
                let objectness = believed.score(at(4), Activation::Sigmoid)?;
                if objectness < least {
                    continue;
                }
                scores.clear();
                scores.extend((0..classes).map(|class| at(BOX_AND_OBJECTNESS + class)));
                let (label, class) = best(scores).ok_or(BadOutput::NotFinite)?;
                let score = objectness * sigmoid(class);
                if score < least {
                    continue;
                }
                let centre = |number: usize, cell: usize| {
                    (sigmoid(at(number)) * scale - (scale - 1.0) / 2.0 + real(cell)) * side
                };
                let size = |number: usize, anchor: f32| match form.formula {
                    // `min` passes over NaN.
                    _ if at(number).is_nan() => f32::NAN,
                    AnchorFormula::Yolov3 => at(number).min(MAX_EXPONENT).exp() * anchor,
                    AnchorFormula::Yolov5 => (2.0 * sigmoid(at(number))).powi(2) * anchor,
                };
                let centre = [centre(0, cell % columns), centre(1, cell / columns)];
                believed.centred(centre, [size(2, anchor[0]), size(3, anchor[1])], (label, score), out)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elements::Probabilities;

    /// One level of 2 x 1 cells of 8 pixels, two anchors, one class.
    fn decoded(
        formula: AnchorFormula,
        scale: f32,
        shape: &[i64],
        numbers: &[f32],
    ) -> Result<Vec<CandidateBox>, BadOutput> {
        let form = AnchorForm {
            strides: vec![8],
            anchors: vec![vec![[4.0, 2.0], [8.0, 8.0]]],
            formula,
            centre_scale: vec![scale],
        };
        let believed = Believed {
            width: 16.0,
            height: 8.0,
            probabilities: Probabilities::new(None, ""),
            advice: BEYOND,
        };
        let mut out = Vec::new();
        let level = Numbers { shape, of: numbers };
        decode(&form, &[level], (1, 0.25), believed, &mut Vec::new(), &mut out).map(|()| out)
    }

    /// Nothing but the second anchor of the second cell.
    fn at(order: usize, numbers: [f32; 6]) -> Vec<f32> {
        let mut all = vec![0.0; 24];
        for (number, value) in numbers.into_iter().enumerate() {
            for (anchor, cell) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let place = [
                    (anchor * 2 + cell) * 6 + number,
                    (anchor * 6 + number) * 2 + cell,
                    (cell * 2 + anchor) * 6 + number,
                ];
                let empty = if number == 4 { -20.0 } else { 0.0 };
                all[place[order]] = if (anchor, cell) == (1, 1) { value } else { empty };
            }
        }
        all
    }

    #[test]
    fn anchors_become_boxes_in_every_order() {
        let shapes: [&[i64]; 3] = [&[1, 2, 1, 2, 6], &[1, 12, 1, 2], &[1, 1, 2, 12]];
        for (order, shape) in shapes.into_iter().enumerate() {
            // Centre (2 * 0.5 - 0.5 + 1) * 8 = 12, 4; sides (2 * 0.5)^2 * 8.
            let v5 = decoded(AnchorFormula::Yolov5, 2.0, shape, &at(order, [0.0, 0.0, 0.0, 0.0, 20.0, 0.0]))
                .unwrap();
            let [one] = &v5[..] else { panic!("{v5:?}") };
            assert_eq!((one.corners, one.label), ([8.0, 0.0, 16.0, 8.0], 0));
            assert!((one.score - 0.5).abs() < 1e-6);
            // Sides exp(ln 0.5) * 8.
            let half = 0.5_f32.ln();
            let v3 =
                decoded(AnchorFormula::Yolov3, 1.0, shape, &at(order, [0.0, 0.0, half, half, 20.0, 0.0]))
                    .unwrap();
            assert!(
                v3[0].corners.iter().zip([10.0, 2.0, 14.0, 6.0]).all(|(a, b)| (a - b).abs() < 1e-4),
                "{v3:?}"
            );
        }
    }

    #[test]
    fn numbers_that_mean_nothing_are_not_believed() {
        let shape: &[i64] = &[1, 2, 1, 2, 6];
        for number in 0..6 {
            let mut bad = [0.0, 0.0, 0.0, 0.0, 20.0, 0.0];
            bad[number] = f32::NAN;
            assert_eq!(
                decoded(AnchorFormula::Yolov3, 1.0, shape, &at(0, bad)),
                Err(BadOutput::NotFinite),
                "{number}"
            );
        }
        assert!(decoded(AnchorFormula::Yolov3, 1.0, shape, &[0.0; 23]).is_err());
        let huge = decoded(AnchorFormula::Yolov3, 1.0, shape, &at(0, [0.0, 0.0, 99.0, 0.0, 20.0, 0.0]));
        assert!(matches!(huge, Err(BadOutput::Beyond { .. })));
    }
}

//! Box and class scores of every cell in one tensor, decoded in the network: YOLOv5 to v12, YOLOX with
//! `decode_in_inference`, and what was built like them.

use verge_models::card::{GridForm, NumbersAxis};

use super::CandidateBox;
use super::believed::{Believed, Numbers, best};
use crate::elements::BadOutput;

/// What numbers beyond 0 to 1 may be.
pub(super) const ADVICE: &str = "objectness and scores are read after sigmoid: export the model with it, or write output.activation = \"sigmoid\"";
/// What boxes far beyond the input may be.
pub(super) const BEYOND: &str = "output.units or output.box of the card may be others, or the model leaves its boxes undecoded (decoder = \"anchors\")";

/// Numbers of a box.
const BOX: usize = 4;

/// The best class of each cell, where they stand along the last side.
#[derive(Debug, Default)]
pub(super) struct BestClasses {
    scores: Vec<f32>,
    classes: Vec<u32>,
}

/// Decodes `[cells, numbers]` or `[numbers, cells]`. Of each cell the best class counts.
pub(super) fn decode(
    form: &GridForm,
    numbers: Numbers<'_>,
    (classes, least): (usize, f32),
    believed: Believed,
    scratch: &mut BestClasses,
    out: &mut Vec<CandidateBox>,
) -> Result<(), BadOutput> {
    let first_class = BOX + usize::from(form.objectness);
    let length = first_class + classes + form.extra;
    let cells = numbers.of.len() / length;
    Believed::length(numbers.of, cells * length)?;
    if form.axis == NumbersAxis::First {
        scratch.find(&numbers.of[first_class * cells..][..classes * cells], cells)?;
    }
    for cell in 0..cells {
        let at = |number: usize| match form.axis {
            NumbersAxis::Last => numbers.of[cell * length + number],
            NumbersAxis::First => numbers.of[number * cells + cell],
        };
        let objectness = if form.objectness { believed.score(at(BOX), form.activation)? } else { 1.0 };
        // No class can lift the product above it.
        if objectness < least {
            continue;
        }
        let (label, class) = match form.axis {
            NumbersAxis::Last => {
                best(&numbers.of[cell * length + first_class..][..classes]).ok_or(BadOutput::NotFinite)?
            }
            NumbersAxis::First => (scratch.classes[cell] as usize, scratch.scores[cell]),
        };
        let score = objectness * believed.score(class, form.activation)?;
        if score < least {
            continue;
        }
        let mut area = [at(0), at(1), at(2), at(3)];
        if form.angle {
            [area[2], area[3]] = enclosing([area[2], area[3]], at(first_class + classes));
        }
        believed.take(area, (form.boxes, form.units), (label, score), out)?;
    }
    Ok(())
}

/// Width and height of the upright box around a turned one.
pub(super) fn enclosing([width, height]: [f32; 2], angle: f32) -> [f32; 2] {
    let (sin, cos) = (angle.sin().abs(), angle.cos().abs());
    [width * cos + height * sin, width * sin + height * cos]
}

impl BestClasses {
    /// Of rows of scores, a row for each class.
    fn find(&mut self, scores: &[f32], cells: usize) -> Result<(), BadOutput> {
        self.scores.clear();
        self.classes.clear();
        let Some((first, rest)) = scores.split_at_checked(cells) else { return Ok(()) };
        self.scores.extend_from_slice(first);
        self.classes.resize(cells, 0);
        let mut is_nan = first.iter().any(|score| score.is_nan());
        for (row, class) in rest.chunks_exact(cells.max(1)).zip(1..) {
            let best = self.scores.iter_mut().zip(&mut self.classes);
            for (score, (most, label)) in row.iter().zip(best) {
                is_nan |= score.is_nan();
                if *score > *most {
                    (*most, *label) = (*score, class);
                }
            }
        }
        if is_nan { Err(BadOutput::NotFinite) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use verge_models::card::{Activation, BoxForm, BoxUnits};

    use super::*;
    use crate::elements::Probabilities;

    fn form() -> GridForm {
        GridForm {
            axis: NumbersAxis::Last,
            objectness: true,
            boxes: BoxForm::Cxcywh,
            units: BoxUnits::Pixels,
            extra: 0,
            angle: false,
            activation: Activation::None,
            strides: None,
        }
    }

    fn decoded(form: &GridForm, numbers: &[f32]) -> Result<Vec<CandidateBox>, BadOutput> {
        let probabilities = Probabilities::new(None, ADVICE);
        let believed = Believed { width: 16.0, height: 8.0, probabilities, advice: BEYOND };
        let mut out = Vec::new();
        let numbers = Numbers { shape: &[], of: numbers };
        decode(form, numbers, (2, 0.25), believed, &mut BestClasses::default(), &mut out).map(|()| out)
    }

    const SURE: [f32; 7] = [12.0, 4.0, 8.0, 16.0, 0.8, 0.2, 0.9];
    const EMPTY: [f32; 7] = [0.0, 0.0, 0.0, 0.0, 0.01, 0.5, 0.5];

    fn turned(rows: &[&[f32]]) -> Vec<f32> {
        (0..rows[0].len()).flat_map(|number| rows.iter().map(move |row| row[number])).collect()
    }

    #[track_caller]
    fn one_box(found: &[CandidateBox], score: f32, expected: [f32; 4]) {
        let [one] = found else { panic!("one object: {found:?}") };
        assert_eq!(one.label, 1);
        assert!((one.score - score).abs() < 1e-6, "{one:?}");
        assert!(one.corners.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{one:?}");
    }

    #[test]
    fn either_side_may_hold_the_numbers() {
        let corners = [8.0, -4.0, 16.0, 12.0];
        one_box(&decoded(&form(), &[EMPTY, SURE].concat()).unwrap(), 0.72, corners);
        let first = GridForm { axis: NumbersAxis::First, ..form() };
        one_box(&decoded(&first, &turned(&[&EMPTY, &SURE])).unwrap(), 0.72, corners);
        let rows: [&[f32]; 2] = [&[0.0, 0.0, 0.0, 0.0, 0.1, 0.2], &[12.0, 4.0, 8.0, 16.0, 0.2, 0.9]];
        let without = GridForm { objectness: false, ..first };
        one_box(&decoded(&without, &turned(&rows)).unwrap(), 0.9, corners);
        assert!(decoded(&form(), &[0.0; 8]).is_err());
        assert_eq!(decoded(&form(), &[]), Ok(vec![]));
    }

    #[test]
    fn what_stands_behind_the_scores_is_passed_over_but_an_angle() {
        let row = [8.0, 4.0, 8.0, 2.0, 0.2, 0.9, std::f32::consts::FRAC_PI_2];
        let form = GridForm { objectness: false, extra: 1, ..form() };
        one_box(&decoded(&form, &row).unwrap(), 0.9, [4.0, 3.0, 12.0, 5.0]);
        let angled = GridForm { angle: true, ..form };
        one_box(&decoded(&angled, &row).unwrap(), 0.9, [7.0, 0.0, 9.0, 8.0]);
    }

    #[test]
    fn numbers_that_mean_nothing_are_not_believed() {
        for at in 0..7 {
            let mut bad = SURE;
            bad[at] = f32::NAN;
            assert_eq!(decoded(&form(), &bad), Err(BadOutput::NotFinite), "{at}");
        }
        let first = GridForm { axis: NumbersAxis::First, objectness: false, ..form() };
        assert_eq!(decoded(&first, &[8.0, 4.0, 2.0, 2.0, 0.9, f32::NAN]), Err(BadOutput::NotFinite));
        for logits in [[8.0, 4.0, 2.0, 2.0, 3.0, -1.0], [8.0, 4.0, 2.0, 2.0, -3.0, -1.0]] {
            let error = decoded(&first, &logits).unwrap_err();
            assert!(error.to_string().contains("output.activation"), "{error}");
        }
        let sigmoid = GridForm { activation: Activation::Sigmoid, ..first };
        assert!(
            (decoded(&sigmoid, &[8.0, 4.0, 2.0, 2.0, 3.0, -1.0]).unwrap()[0].score - 0.952_574).abs() < 1e-5
        );
        let beyond = decoded(&form(), &[900.0, 4.0, 8.0, 16.0, 0.8, 0.2, 0.9]).unwrap_err();
        assert!(beyond.to_string().contains("far beyond"), "{beyond}");
    }
}

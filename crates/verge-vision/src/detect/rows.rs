//! One tensor, one object a row, finished or not: ultralytics with `nms=True`, YOLOv10 and YOLO26, `PaddleDetection`,
//! YOLOv7 and YOLO-NAS with suppression in the network, DeepStream-Yolo.

use verge_models::card::{Activation, BoxForm, RowColumn, RowsForm};

use super::CandidateBox;
use super::believed::{Believed, Numbers, class_of};
use super::grid::enclosing;
use crate::elements::BadOutput;

/// What numbers beyond 0 to 1 may be.
pub(super) const ADVICE: &str = "output.columns may name score and class the other way round";
/// What boxes far beyond the input may be.
pub(super) const BEYOND: &str = "output.columns or output.units of the card may be others";

/// Decodes rows. Those of other pictures of a batch, without a class and of no area are padding.
pub(super) fn decode(
    form: &RowsForm,
    numbers: Numbers<'_>,
    least: f32,
    believed: Believed,
    out: &mut Vec<CandidateBox>,
) -> Result<(), BadOutput> {
    let stated = form.columns.len();
    let length = match numbers.side(1) {
        found if form.more && found > stated => found,
        _ => stated,
    };
    Believed::length(numbers.of, numbers.of.len() / length * length)?;
    let position = |column| form.position(column);
    let (score_at, class_at) = (position(RowColumn::Score).unwrap_or_default(), position(RowColumn::Class));
    let (batch_at, angle_at) = (position(RowColumn::Batch), position(RowColumn::Angle));
    let corners = [RowColumn::X0, RowColumn::Y0, RowColumn::X1, RowColumn::Y1].map(position);
    let centred = [RowColumn::Cx, RowColumn::Cy, RowColumn::W, RowColumn::H].map(position);
    let (form_of_box, at) = match corners {
        [Some(a), Some(b), Some(c), Some(d)] => (BoxForm::Xyxy, [a, b, c, d]),
        _ => (BoxForm::Cxcywh, centred.map(Option::unwrap_or_default)),
    };
    for row in numbers.of.chunks_exact(length) {
        if batch_at.is_some_and(|at| row[at] != 0.0 && !row[at].is_nan()) {
            continue;
        }
        let class = class_at.map_or(Ok(Some(0)), |at| class_of(row[at]))?;
        let mut area = at.map(|at| row[at]);
        // Padding, before its score is looked at: some fill it with -1.
        let Some(label) = class.filter(|_| area != [0.0; 4] && area != [-1.0; 4]) else { continue };
        let score = believed.score(row[score_at], Activation::None)?;
        if score < least {
            continue;
        }
        if let Some(angle) = angle_at {
            [area[2], area[3]] = enclosing([area[2], area[3]], row[angle]);
        }
        believed.take(area, (form_of_box, form.units), (label, score), out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use RowColumn::{Angle, Batch, Class, Cx, Cy, H, Score, W, X0, X1, Y0, Y1};
    use verge_models::card::BoxUnits;

    use super::*;
    use crate::elements::Probabilities;

    fn decoded(
        columns: &[RowColumn],
        more: bool,
        last: i64,
        rows: &[f32],
    ) -> Result<Vec<CandidateBox>, BadOutput> {
        let form = RowsForm { columns: columns.to_vec(), more, units: BoxUnits::Pixels };
        let probabilities = Probabilities::new(None, ADVICE);
        let believed = Believed { width: 16.0, height: 8.0, probabilities, advice: BEYOND };
        let mut out = Vec::new();
        let numbers = Numbers { shape: &[1, -1, last], of: rows };
        decode(&form, numbers, 0.25, believed, &mut out).map(|()| out)
    }

    #[track_caller]
    fn check(columns: &[RowColumn], rows: &[f32]) {
        let last = i64::try_from(columns.len()).unwrap();
        let one = CandidateBox { corners: [1.0, 2.0, 5.0, 4.0], label: 3, score: 0.5 };
        assert_eq!(decoded(columns, false, last, rows), Ok(vec![one]));
    }

    #[test]
    fn columns_stand_in_any_order() {
        check(&[X0, Y0, X1, Y1, Score, Class], &[1.0, 2.0, 5.0, 4.0, 0.5, 3.0]);
        check(&[Class, Score, X0, Y0, X1, Y1], &[3.0, 0.5, 1.0, 2.0, 5.0, 4.0]);
        check(&[Cx, Cy, W, H, Score, Class], &[3.0, 3.0, 4.0, 2.0, 0.5, 3.0]);
        check(&[Cx, Cy, W, H, Score, Class, Angle], &[3.0, 3.0, 4.0, 2.0, 0.5, 3.0, 0.0]);
        // Of a batch the first picture, whatever its rows' order.
        let batch = [1.0, 0.0, 0.0, 9.0, 9.0, 1.0, 0.9, 0.0, 1.0, 2.0, 5.0, 4.0, 3.0, 0.5];
        check(&[Batch, X0, Y0, X1, Y1, Class, Score], &batch);
    }

    #[test]
    fn no_rows_padding_and_more_numbers_are_usual() {
        let columns = [X0, Y0, X1, Y1, Score, Class];
        assert_eq!(decoded(&columns, false, 6, &[]), Ok(vec![]));
        let padded = [[0.0; 6], [-1.0; 6], [1.0, 2.0, 5.0, 4.0, 0.5, 3.0], [0.0, 0.0, 0.0, 0.0, 0.9, 0.0]];
        assert_eq!(decoded(&columns, false, 6, padded.as_flattened()).unwrap().len(), 1);
        let with_mask = [1.0, 2.0, 5.0, 4.0, 0.5, 3.0, 7.0, 8.0];
        assert_eq!(decoded(&columns, true, 8, &with_mask).unwrap().len(), 1);
        assert!(decoded(&columns, false, 8, &with_mask).is_err());
    }

    #[test]
    fn score_and_class_in_the_wrong_order_are_seen() {
        let columns = [X0, Y0, X1, Y1, Score, Class];
        let error = decoded(&columns, false, 6, &[1.0, 2.0, 5.0, 4.0, 3.0, 0.5]).unwrap_err();
        assert!(error.to_string().contains("output.columns"), "{error}");
        for bad in [[f32::NAN, 2.0, 5.0, 4.0, 0.5, 3.0], [1.0, 2.0, 5.0, 4.0, f32::NAN, 3.0]] {
            assert_eq!(decoded(&columns, false, 6, &bad), Err(BadOutput::NotFinite));
        }
        assert!(decoded(&columns, false, 6, &[1.0, 2.0, 900.0, 4.0, 0.5, 3.0]).is_err());
    }
}

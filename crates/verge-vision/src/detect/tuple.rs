//! Boxes, scores, classes and their count in outputs of their own: SSD exports (Liu et al. 2016), TFLite's and
//! TensorFlow's detection, torchvision, mmdeploy, the DETR family, YOLO-NAS, NonMaxSuppression's indices.

use verge_models::card::{Activation, BoxUnits, OutputRole, TupleForm};

use super::CandidateBox;
use super::believed::{Believed, Numbers, class_of};
use crate::elements::BadOutput;

/// What numbers beyond 0 to 1 may be.
pub(super) const ADVICE: &str = "scores are read after softmax or sigmoid: export the model with it, or write \
    output.activation = \"sigmoid\" or \"softmax\" with decoder = \"tuple\" or \"query\"";
/// What corners beyond the input may be.
pub(super) const IN_PIXELS: &str =
    "the corners are shares of the sides from 0 to 1, and these look like pixels";
/// The same of pixels.
pub(super) const BEYOND: &str = "output.box or output.units of the card may be others";

/// What stands in the outputs.
#[derive(Debug)]
pub(super) struct Boxes<'a> {
    pub(super) form: &'a TupleForm,
    pub(super) background: Option<usize>,
    /// Classes of a row of scores, those without a label included.
    pub(super) classes: usize,
    pub(super) believed: Believed,
}

impl Boxes<'_> {
    /// Reads outputs in the order of the card.
    pub(super) fn decode(
        &self,
        outputs: &[Numbers<'_>],
        least: f32,
        out: &mut Vec<CandidateBox>,
    ) -> Result<(), BadOutput> {
        let roles = self.form.roles(outputs.len());
        let of = |role: OutputRole| {
            roles.iter().zip(outputs).find(|(one, _)| **one == role).map(|(_, found)| found.of)
        };
        let boxes = of(OutputRole::Boxes).unwrap_or_default();
        match (of(OutputRole::Scores), of(OutputRole::Classes), of(OutputRole::Indices)) {
            (Some(scores), None, Some(indices)) => self.indexed(boxes, scores, indices, least, out),
            (Some(scores), None, None) => self.scored(boxes, scores, least, out),
            (scores, Some(classes), _) => {
                self.selected((boxes, scores), classes, of(OutputRole::Count), least, out)
            }
            (None, None, _) => Err(BadOutput::Outputs { found: outputs.len() }),
        }
    }

    /// `[n, 4]` boxes and `[n, classes]` scores. Of each box the best class counts that is not the background.
    fn scored(
        &self,
        boxes: &[f32],
        scores: &[f32],
        least: f32,
        out: &mut Vec<CandidateBox>,
    ) -> Result<(), BadOutput> {
        let (boxes, rest) = boxes.as_chunks::<4>();
        Believed::length(scores, boxes.len() * self.classes)?;
        if self.classes == 0 || !rest.is_empty() {
            return Err(BadOutput::Length { found: rest.len(), expected: 0 });
        }
        for (area, scores) in boxes.iter().zip(scores.chunks_exact(self.classes)) {
            let mut best: Option<(usize, f32)> = None;
            for (class, score) in
                scores.iter().enumerate().filter(|(class, _)| Some(*class) != self.background)
            {
                match self.form.activation {
                    Activation::None => self.believed.probabilities.check(*score)?,
                    Activation::Sigmoid | Activation::Softmax if score.is_nan() => {
                        return Err(BadOutput::NotFinite);
                    }
                    Activation::Sigmoid | Activation::Softmax => {}
                }
                if best.is_none_or(|(_, best)| *score > best) {
                    best = Some((class, *score));
                }
            }
            let Some((label, found)) = best else { continue };
            let score = match self.form.activation {
                Activation::Softmax => softmax(scores, found)?,
                activation => self.believed.score(found, activation)?,
            };
            if score >= least {
                self.take(*area, (label, score), out)?;
            }
        }
        Ok(())
    }

    /// `[n, 4]` boxes, `[n]` classes, `[n]` scores, of which `count` hold. Without scores boxes have five numbers.
    fn selected(
        &self,
        (boxes, scores): (&[f32], Option<&[f32]>),
        classes: &[f32],
        count: Option<&[f32]>,
        least: f32,
        out: &mut Vec<CandidateBox>,
    ) -> Result<(), BadOutput> {
        let (room, length) = (classes.len(), if scores.is_some() { 4 } else { 5 });
        Believed::length(boxes, room * length)?;
        if let Some(scores) = scores {
            Believed::length(scores, room)?;
        }
        let count = match count {
            None => room,
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates, and is bounded below"
            )]
            Some([count]) if count.is_finite() => (count.round() as usize).min(room),
            Some([_]) => return Err(BadOutput::NotFinite),
            Some(count) => return Err(BadOutput::Length { found: count.len(), expected: 1 }),
        };
        for (at, (area, class)) in boxes.chunks_exact(length).zip(classes).take(count).enumerate() {
            let [a, b, c, d, ..] = *area else {
                return Err(BadOutput::Length { found: length, expected: 4 });
            };
            // What only pads has a negative class.
            let Some(label) = class_of(*class)? else { continue };
            let score = scores.map_or(area[length - 1], |scores| scores[at]);
            let score = self.believed.score(score, self.form.activation)?;
            if score >= least && Some(label) != self.background {
                self.take([a, b, c, d], (label, score), out)?;
            }
        }
        Ok(())
    }

    /// `[n, 4]` boxes, `[classes, n]` scores, and rows of batch, class and box that are left.
    fn indexed(
        &self,
        boxes: &[f32],
        scores: &[f32],
        indices: &[f32],
        least: f32,
        out: &mut Vec<CandidateBox>,
    ) -> Result<(), BadOutput> {
        let (boxes, rest) = boxes.as_chunks::<4>();
        let (indices, more) = indices.as_chunks::<3>();
        Believed::length(scores, boxes.len() * self.classes)?;
        if !rest.is_empty() || !more.is_empty() {
            return Err(BadOutput::Length { found: rest.len() + more.len(), expected: 0 });
        }
        for [batch, class, at] in indices {
            // Below zero stands padding.
            let (Some(0), Some(label), Some(at)) = (class_of(*batch)?, class_of(*class)?, class_of(*at)?)
            else {
                continue;
            };
            let (Some(area), true) = (boxes.get(at), label < self.classes) else {
                return Err(BadOutput::Length { found: at, expected: boxes.len() });
            };
            let score = self.believed.score(scores[label * boxes.len() + at], self.form.activation)?;
            if score >= least && Some(label) != self.background {
                self.take(*area, (label, score), out)?;
            }
        }
        Ok(())
    }

    fn take(
        &self,
        area: [f32; 4],
        object: (usize, f32),
        out: &mut Vec<CandidateBox>,
    ) -> Result<(), BadOutput> {
        self.believed.take(area, (self.form.boxes, self.form.units), object, out)
    }
}

/// The share of one of a row of logits, relative to the largest, so that none overflows.
fn softmax(row: &[f32], one: f32) -> Result<f32, BadOutput> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f32 = row.iter().map(|logit| (logit - largest).exp()).sum();
    let share = (one - largest).exp() / sum;
    if share.is_finite() { Ok(share) } else { Err(BadOutput::NotFinite) }
}

/// Whether most boxes look as if they were in other units, those that the model is not sure of included.
pub(super) fn look_otherwise(boxes: &[f32], units: BoxUnits) -> bool {
    let (boxes, _) = boxes.as_chunks::<4>();
    let is_far = |area: &&[f32; 4]| match units {
        BoxUnits::Share => area.iter().any(|number| !(-1.0..=2.0).contains(number)),
        // A box of less than two pixels in the top left corner is none.
        BoxUnits::Pixels => **area != [0.0; 4] && area.iter().all(|number| (-0.5..=1.5).contains(number)),
    };
    let many = boxes.iter().filter(is_far).count();
    many > boxes.len() / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elements::Probabilities;
    use verge_models::card::BoxForm;

    fn form(outputs: &[OutputRole]) -> TupleForm {
        let outputs = (!outputs.is_empty()).then(|| outputs.to_vec());
        TupleForm { outputs, boxes: BoxForm::Yxyx, units: BoxUnits::Share, activation: Activation::None }
    }

    fn read(
        form: &TupleForm,
        background: Option<usize>,
        outputs: &[&[f32]],
    ) -> Result<Vec<CandidateBox>, BadOutput> {
        let probabilities = Probabilities::new(None, ADVICE);
        let believed = Believed { width: 10.0, height: 100.0, probabilities, advice: IN_PIXELS };
        let outputs: Vec<Numbers<'_>> = outputs.iter().map(|of| Numbers { shape: &[], of }).collect();
        let mut out = Vec::new();
        Boxes { form, background, classes: 3, believed }.decode(&outputs, 0.25, &mut out).map(|()| out)
    }

    const TWO: [f32; 8] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.75, 0.8];

    #[test]
    fn the_best_class_but_the_background_counts() {
        let found = read(&form(&[]), Some(0), &[&TWO, &[0.9, 0.0, 0.1, 0.2, 0.3, 0.5]]).unwrap();
        assert_eq!(found, [CandidateBox { corners: [6.0, 50.0, 8.0, 75.0], label: 2, score: 0.5 }]);
        for scores in [&[0.9, f32::NAN, 0.1][..], &[0.9, f32::NAN, 0.1, 0.0, 0.0, 0.0]] {
            assert!(read(&form(&[]), Some(0), &[&TWO, scores]).is_err());
        }
        assert!(read(&form(&[]), None, &[&TWO, &[0.9, 0.9, 0.9]]).is_err());
    }

    #[test]
    fn logits_of_queries_are_put_through_what_they_need() {
        let form = |activation| TupleForm {
            activation,
            boxes: BoxForm::Cxcywh,
            ..form(&[OutputRole::Scores, OutputRole::Boxes])
        };
        let boxes: [f32; 4] = [0.5, 0.5, 0.2, 0.1];
        let check = |activation, background, scores: &[f32], label, expected: f32| {
            let found = read(&form(activation), background, &[scores, &boxes]).unwrap();
            let [one] = &found[..] else { panic!("{found:?}") };
            assert_eq!(one.label, label);
            assert!((one.score - expected).abs() < 1e-6, "{one:?}");
            assert!(
                one.corners.iter().zip([4.0, 45.0, 6.0, 55.0]).all(|(a, b)| (a - b).abs() < 1e-4),
                "{one:?}"
            );
        };
        check(Activation::Sigmoid, None, &[0.0, -2.0, -3.0], 0, 0.5);
        check(Activation::Softmax, Some(2), &[1.0, 2.0, 1.5], 1, 0.506_480_4);
        check(Activation::Softmax, None, &[1000.0, 999.0, -1e30], 0, 0.731_058_6);
        let bad = read(&form(Activation::Softmax), None, &[&[f32::NAN, 0.0, 0.0], &boxes]);
        assert_eq!(bad, Err(BadOutput::NotFinite));
    }

    #[test]
    fn only_as_many_as_are_counted_hold() {
        let labels = |count: f32, scores: [f32; 2]| {
            let found = read(&form(&[]), None, &[&TWO, &[1.0, 2.0], &scores, &[count]])?;
            Ok(found.iter().map(|one| one.label).collect::<Vec<_>>())
        };
        assert_eq!(labels(1.0, [0.9, 0.9]), Ok(vec![1]));
        assert_eq!(labels(99.0, [0.1, 0.9]), Ok(vec![2]));
        assert_eq!(labels(-1.0, [0.9, 0.9]), Ok(vec![]));
        assert_eq!(labels(f32::NAN, [0.9, 0.9]), Err(BadOutput::NotFinite));
        assert_eq!(labels(2.0, [0.9, f32::NAN]), Err(BadOutput::NotFinite));
        assert!(read(&form(&[]), None, &[&TWO, &[1.0], &[0.9, 0.9], &[1.0]]).is_err());
        assert_eq!(read(&form(&[]), None, &[&[], &[], &[], &[0.0]]), Ok(vec![]));
    }

    #[test]
    fn outputs_stand_in_any_order_and_padding_is_none() {
        use OutputRole::{Boxes, Classes, Indices, Scores};
        let first = [CandidateBox { corners: [2.0, 10.0, 4.0, 30.0], label: 1, score: 0.5 }];
        let torchvision =
            read(&form(&[Boxes, Scores, Classes]), None, &[&TWO, &[0.5, 0.1], &[1.0, 2.0]]).unwrap();
        assert!(torchvision.iter().zip(&first).all(|(a, b)| (a.label, a.score) == (b.label, b.score)));
        // Boxes with their score, a row of padding.
        let five = [0.1, 0.2, 0.3, 0.4, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0];
        let mmdeploy = read(&form(&[Boxes, Classes]), None, &[&five, &[1.0, -1.0]]).unwrap();
        assert_eq!((mmdeploy.len(), mmdeploy[0].label, mmdeploy[0].score), (1, 1, 0.5));
        // Scores of three classes, each for two boxes; what suppression left.
        let scores = [0.0, 0.0, 0.5, 0.9, 0.0, 0.0];
        let zoo = read(
            &form(&[Boxes, Scores, Indices]),
            None,
            &[&TWO, &scores, &[0.0, 1.0, 0.0, -1.0, -1.0, -1.0]],
        );
        let zoo = zoo.unwrap();
        assert_eq!((zoo.len(), zoo[0].label, zoo[0].score), (1, 1, 0.5));
        assert!(read(&form(&[Boxes, Scores, Indices]), None, &[&TWO, &scores, &[0.0, 1.0, 7.0]]).is_err());
    }

    #[test]
    fn numbers_out_of_range_are_not_believed() {
        let read = |corners: [f32; 4], score: f32| {
            read(&form(&[]), None, &[&corners, &[1.0], &[score], &[1.0]]).map(|found| found.len())
        };
        assert_eq!(read([0.1, 0.2, 0.3, 0.4], 1.0), Ok(1));
        // Beyond the edge, and what a model is not sure of.
        assert_eq!(read([-0.2, -0.1, 1.3, 1.1], 0.9), Ok(1));
        assert_eq!(read([30.0, 30.0, 200.0, 200.0], 0.1), Ok(0));
        assert_eq!(read([0.1, 0.2, 0.3, f32::INFINITY], 0.3), Err(BadOutput::NotFinite));
        let pixels = read([30.0, 30.0, 200.0, 200.0], 0.9).unwrap_err();
        assert!(pixels.to_string().contains("pixels"), "{pixels}");
        assert!(matches!(read([0.1, 0.2, 0.3, 0.4], 7.0), Err(BadOutput::NotProbability { .. })));
        assert_eq!(read([0.1, f32::NAN, 0.3, 0.4], 0.9), Err(BadOutput::NotFinite));
        let shares = |boxes: &[f32]| look_otherwise(boxes, BoxUnits::Share);
        assert!(shares(&[0.0, 0.0, 150.0, 300.0, 0.0, 0.0, 1.0, 7.0, 0.0, 0.0, 1.0, 1.0]));
        assert!(!shares(&[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 7.0]));
        assert!(look_otherwise(&[0.0, 0.0, 1.0, 1.0, 0.1, 0.0, 0.5, 0.7], BoxUnits::Pixels));
        assert!(!look_otherwise(&[0.0; 8], BoxUnits::Pixels));
    }
}

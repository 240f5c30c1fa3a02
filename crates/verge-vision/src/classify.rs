//! What a frame shows: probabilities or logits per class to the best few labels.

use verge_domain::frame::{Classification, Score, Scored};
use verge_domain::id::Label;
use verge_engine::TensorView;
use verge_models::card::{OutputCard, OutputForm};

pub use crate::elements::BadOutput;
use crate::elements::{Probabilities, reals};

/// What numbers beyond 0 to 1 may be.
const ADVICE: &str =
    "numbers before softmax need decoder = \"logits\"; percent or integers need output.quantisation";

/// Reads classifications of one model. It keeps its buffers; one per worker and model.
#[derive(Debug)]
pub struct Classifier {
    output: OutputCard,
    believed: Probabilities,
    labels: Vec<Label>,
    scratch: Vec<f32>,
    probabilities: Vec<f32>,
    order: Vec<usize>,
}

/// A class and its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoredClass {
    /// Index among the labels.
    pub label: usize,
    /// Probability.
    pub probability: f32,
}

impl Classifier {
    /// Prepares for outputs of this card.
    #[must_use]
    pub fn new(output: OutputCard, labels: Vec<Label>) -> Self {
        let believed = Probabilities::new(output.quantisation, ADVICE);
        Self { output, believed, labels, scratch: Vec::new(), probabilities: Vec::new(), order: Vec::new() }
    }

    /// The best `top` classes, best first, equal ones in order of their index.
    ///
    /// # Errors
    /// See [`BadOutput`].
    pub fn top(&mut self, elements: TensorView<'_>, top: usize) -> Result<Vec<ScoredClass>, BadOutput> {
        self.rank(elements, top)?;
        Ok(self.ranked().collect())
    }

    /// The best class.
    ///
    /// # Errors
    /// See [`BadOutput`].
    pub(crate) fn best(&mut self, elements: TensorView<'_>) -> Result<Option<ScoredClass>, BadOutput> {
        self.rank(elements, 1)?;
        Ok(self.ranked().next())
    }

    /// Puts the best `top` classes in order.
    fn rank(&mut self, elements: TensorView<'_>, top: usize) -> Result<(), BadOutput> {
        let values = reals(elements, self.output.quantisation, &mut self.scratch);
        let offset = self.output.label_offset;
        let classes = self.output.classes(self.labels.len());
        if values.len() != classes {
            return Err(BadOutput::Length { found: values.len(), expected: classes });
        }
        self.probabilities.clear();
        self.probabilities.extend_from_slice(values);
        if self.output.form == (OutputForm::Classes { softmax: true }) {
            if values.iter().any(|value| !value.is_finite()) {
                return Err(BadOutput::NotFinite);
            }
            match &mut self.probabilities[..] {
                [only] => *only = logistic(*only),
                several => softmax(several),
            }
        } else {
            values.iter().try_for_each(|value| self.believed.check(*value))?;
        }
        let background = self.output.background_of(self.labels.len());
        self.order.clear();
        self.order.extend((offset..classes).filter(|class| Some(*class) != background));
        let probabilities = &self.probabilities;
        let by_probability =
            |a: &usize, b: &usize| probabilities[*b].total_cmp(&probabilities[*a]).then(a.cmp(b));
        if top < self.order.len() {
            self.order.select_nth_unstable_by(top, by_probability);
            self.order.truncate(top);
        }
        self.order.sort_unstable_by(by_probability);
        Ok(())
    }

    fn ranked(&self) -> impl Iterator<Item = ScoredClass> + '_ {
        self.order.iter().map(|class| ScoredClass {
            label: class - self.output.label_offset,
            probability: self.probabilities[*class],
        })
    }

    /// The best `top` labels from `least` on.
    ///
    /// # Errors
    /// See [`BadOutput`].
    pub fn classify(
        &mut self,
        elements: TensorView<'_>,
        top: usize,
        least: f32,
    ) -> Result<Classification, BadOutput> {
        self.rank(elements, top)?;
        let mut labels = Vec::with_capacity(self.order.len());
        labels.extend(self.ranked().take_while(|class| class.probability >= least).map(|class| Scored {
            label: self.labels[class.label].clone(),
            // Quantised probabilities may pass 1 by a step.
            score: Score::new(class.probability.clamp(0.0, 1.0)).expect("finite and clamped"),
        }));
        Ok(Classification { labels })
    }
}

/// The probability of one class against its absence: among one class alone every softmax is 1.
fn logistic(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// Exponentials relative to the largest, so that none overflows.
fn softmax(values: &mut [f32]) {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for value in values.iter_mut() {
        *value = (*value - largest).exp();
        sum += *value;
    }
    for value in values {
        *value /= sum;
    }
}

#[cfg(test)]
mod tests {
    use verge_engine::f16;
    use verge_models::card::{Background, OutputDecoder, Quantisation};

    use super::*;

    fn output(decoder: OutputDecoder) -> OutputCard {
        OutputCard {
            decoder,
            preset: None,
            form: OutputForm::Classes { softmax: decoder == OutputDecoder::Logits },
            names: None,
            quantisation: None,
            background: None,
            label_offset: 0,
            score: None,
            nms: None,
        }
    }

    fn labels(count: usize) -> Vec<Label> {
        (0..count).map(|index| Label::new(&format!("c{index}")).unwrap()).collect()
    }

    #[track_caller]
    fn check(output: OutputCard, count: usize, elements: TensorView<'_>, expected: &[(&str, u16)]) {
        let mut classifier = Classifier::new(output, labels(count));
        let found = classifier.classify(elements, 3, 0.05).unwrap();
        let found: Vec<(&str, u16)> =
            found.labels.iter().map(|one| (one.label.as_str(), one.score.thousandths())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_best_few_come_first() {
        let p = output(OutputDecoder::Probabilities);
        check(p.clone(), 4, TensorView::F32(&[0.1, 0.2, 0.6, 0.1]), &[("c2", 600), ("c1", 200), ("c0", 100)]);
        check(p.clone(), 3, TensorView::F32(&[0.01, 0.97, 0.02]), &[("c1", 970)]);
        check(p.clone(), 2, TensorView::F32(&[0.5, 0.5]), &[("c0", 500), ("c1", 500)]);
        let half = [0.25, 0.75].map(f16::from_f32);
        check(p.clone(), 2, TensorView::F16(&half), &[("c1", 750), ("c0", 250)]);
        let quantised = OutputCard {
            quantisation: Some(Quantisation { scale: 1.0 / 256.0, zero_point: 0 }),
            ..p.clone()
        };
        check(quantised, 3, TensorView::U8(&[0, 64, 192]), &[("c2", 750), ("c1", 250)]);
        let signed =
            OutputCard { quantisation: Some(Quantisation { scale: 1.0 / 256.0, zero_point: -128 }), ..p };
        check(signed, 2, TensorView::I8(&[-128, 127]), &[("c1", 996)]);
    }

    #[test]
    fn logits_go_through_softmax_without_overflow() {
        let logits = output(OutputDecoder::Logits);
        check(logits.clone(), 2, TensorView::F32(&[1000.0, 999.0]), &[("c0", 731), ("c1", 269)]);
        check(logits, 3, TensorView::F32(&[-1.0, -1.0, -1e30]), &[("c0", 500), ("c1", 500)]);
    }

    #[test]
    fn the_background_is_left_out_and_labels_are_shifted() {
        let card = OutputCard {
            background: Some(Background::Class(0)),
            label_offset: 1,
            ..output(OutputDecoder::Probabilities)
        };
        check(card, 2, TensorView::F32(&[0.7, 0.1, 0.2]), &[("c1", 200), ("c0", 100)]);
        let kept =
            OutputCard { background: Some(Background::Class(1)), ..output(OutputDecoder::Probabilities) };
        check(kept, 3, TensorView::F32(&[0.2, 0.7, 0.1]), &[("c0", 200), ("c2", 100)]);
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let mut classifier = Classifier::new(output(OutputDecoder::Probabilities), labels(2));
        for bad in [&[0.5, f32::NAN][..], &[f32::INFINITY, 0.0], &[0.5], &[0.5; 3]] {
            assert!(classifier.top(TensorView::F32(bad), 2).is_err(), "{bad:?}");
        }
        let bad = [0.5, f64::MAX];
        assert_eq!(classifier.top(TensorView::F64(&bad), 2), Err(BadOutput::NotFinite));
        let mut logits = Classifier::new(output(OutputDecoder::Logits), labels(2));
        assert_eq!(logits.top(TensorView::F32(&[0.5, f32::NAN]), 2), Err(BadOutput::NotFinite));
    }

    #[test]
    fn what_is_beyond_0_to_1_is_no_probability() {
        let check = |values: [f32; 2], is_good: bool| {
            let mut classifier = Classifier::new(output(OutputDecoder::Probabilities), labels(2));
            let found = classifier.classify(TensorView::F32(&values), 2, 0.0);
            assert_eq!(found.is_ok(), is_good, "{values:?}: {found:?}");
        };
        check([0.2, 0.8], true);
        check([0.2, 0.2], true);
        // Rounding of half precision.
        check([-0.000_5, 1.000_5], true);
        check([-0.01, 0.5], false);
        check([12.0, 88.0], false);
        check([-3.2, 4.1], false);
        // A step of the quantisation, and two.
        let card = OutputCard {
            quantisation: Some(Quantisation { scale: 1.0 / 64.0, zero_point: 0 }),
            ..output(OutputDecoder::Probabilities)
        };
        let mut classifier = Classifier::new(card, labels(1));
        assert_eq!(classifier.top(TensorView::U8(&[65]), 1).unwrap().len(), 1);
        let far = classifier.top(TensorView::U8(&[66]), 1).unwrap_err();
        assert!(far.to_string().contains("logits"), "{far}");
    }

    #[test]
    fn one_logit_alone_is_that_of_a_class_or_none() {
        let logits = output(OutputDecoder::Logits);
        check(logits.clone(), 1, TensorView::F32(&[0.0]), &[("c0", 500)]);
        check(logits.clone(), 1, TensorView::F32(&[2.0]), &[("c0", 881)]);
        check(logits.clone(), 1, TensorView::F32(&[-2.0]), &[("c0", 119)]);
        check(logits.clone(), 1, TensorView::F64(&[1e4]), &[("c0", 1000)]);
        check(logits, 1, TensorView::F32(&[-1e30]), &[]);
    }

    #[test]
    fn every_type_of_an_output_is_read() {
        let p = output(OutputDecoder::Probabilities);
        check(p.clone(), 2, TensorView::F64(&[0.25, 0.75]), &[("c1", 750), ("c0", 250)]);
        check(p.clone(), 2, TensorView::I64(&[1, 0]), &[("c0", 1000)]);
        let percent = OutputCard { quantisation: Some(Quantisation { scale: 0.01, zero_point: 0 }), ..p };
        check(percent, 2, TensorView::I32(&[20, 80]), &[("c1", 800), ("c0", 200)]);
    }
}

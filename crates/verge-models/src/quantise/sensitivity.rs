//! Which nodes lose most where they are quantised.

use std::collections::{BTreeMap, BTreeSet};

use verge_engine::EditableModel;

use super::QuantiseError;
use super::apply::apply;
use super::observe::{Bench, PreparedPictures};
use super::plan::{cores, plan};
use super::range::Range;
use super::weights::Target;

/// Pictures that it rests on.
const PICTURES: usize = 6;

/// What is kept of a signal, in dB: its power by that of what was added to it.
#[must_use]
pub fn signal_to_noise(right: &[f32], found: &[f32]) -> f64 {
    let power = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|number| number * number).sum::<f64>();
    let signal = power(&mut right.iter().map(|number| f64::from(*number)));
    let noise = power(&mut right.iter().zip(found).map(|(right, found)| f64::from(right - found)));
    if noise > 0.0 { 10.0 * (signal.max(f64::MIN_POSITIVE) / noise).log10() } else { f64::INFINITY }
}

/// Nodes with weights, by what they make, and what is kept of the model's outputs where that node alone is quantised, in dB; the
/// worst first.
///
/// # Errors
/// See [`QuantiseError`].
pub fn sensitivity(
    bench: &Bench<'_>,
    model: &EditableModel,
    ranges: &BTreeMap<String, Range>,
    target: Target,
    pictures: &mut dyn PreparedPictures,
    step: &mut dyn FnMut(usize, usize),
) -> Result<Vec<(String, f64)>, QuantiseError> {
    let picture = &bench.contract.input.name;
    let count = pictures.count();
    let chosen: Vec<usize> =
        (0..PICTURES.min(count)).map(|number| number * count / PICTURES.min(count)).collect();
    let outputs = &bench.contract.outputs;
    let mut answers = |model: &EditableModel| {
        let mut answers = vec![Vec::new(); outputs.len()];
        bench.run(model, outputs, pictures, chosen.iter().copied(), |_, output, _, numbers| {
            answers[output].extend_from_slice(numbers);
            Ok(())
        })?;
        Ok::<_, QuantiseError>(answers)
    };
    let right = answers(model)?;
    let all: Vec<String> = cores(model, picture).into_iter().map(|core| core.made).collect();
    let mut found = Vec::with_capacity(all.len());
    for (number, core) in all.iter().enumerate() {
        step(number, all.len());
        let others: BTreeSet<String> = all.iter().filter(|other| *other != core).cloned().collect();
        let alone = apply(model, &plan(model, picture, &others), ranges, target)?;
        let answers = answers(&alone.model)?;
        // An output that says little in numbers may say much: each counts by itself, and the worst decides.
        let kept = right.iter().zip(&answers).map(|(right, found)| signal_to_noise(right, found));
        found.push((core.clone(), kept.fold(f64::INFINITY, f64::min)));
    }
    found.sort_by(|one, other| one.1.total_cmp(&other.1));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_amplitude_is_twenty_decibels() {
        let kept = signal_to_noise(&[1.0, -1.0], &[1.1, -0.9]);
        assert!((kept - 20.0).abs() < 1e-3, "{kept}");
        assert_eq!(signal_to_noise(&[1.0], &[1.0]), f64::INFINITY);
        assert!(signal_to_noise(&[0.0], &[1.0]) < -100.0);
    }
}

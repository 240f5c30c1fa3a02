//! Repair: what a changed layer makes gets back the mean and the deviation that it had, channel by channel, on pictures
//! without labels.
//!
//! **Source**: bias correction of Nagel et al., arXiv 1906.04721; REPAIR of Jordan et al., arXiv 2211.08403.

use std::collections::{BTreeMap, BTreeSet};

use verge_engine::{EditableModel, Tensor};

use super::QuantiseError;
use super::apply::apply;
use super::observe::{Bench, PreparedPictures};
use super::plan::{Core, cores, plan};
use super::range::Range;
use super::weights::{Target, channels};

/// Pictures that it rests on.
const PICTURES: usize = 20;
/// Layers that are repaired at a time: each builds on those before it, and each of them alone would be a run over all pictures.
const WAVE: usize = 8;
/// A channel is stretched within this: one that hardly varies says little about its deviation.
const STRETCH: (f64, f64) = (0.5, 2.0);

/// Sums of one channel.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ChannelSums {
    count: f64,
    sum: f64,
    squares: f64,
}

impl ChannelSums {
    /// Adds numbers of a tensor, channel by channel.
    pub fn add(all: &mut Vec<Self>, (dims, numbers): (&[i64], &[f32]), axis: usize) {
        let count = dims.get(axis).and_then(|dim| usize::try_from(*dim).ok()).unwrap_or(1);
        all.resize(count.max(all.len()), Self::default());
        for (channel, number) in channels(dims, axis).zip(numbers) {
            let number = f64::from(*number);
            let sums = &mut all[channel];
            sums.count += 1.0;
            sums.sum += number;
            sums.squares += number * number;
        }
    }

    fn mean(self) -> f64 {
        self.sum / self.count.max(1.0)
    }

    fn deviation(self) -> f64 {
        (self.squares / self.count.max(1.0) - self.mean().powi(2)).max(0.0).sqrt()
    }

    /// What a channel is stretched by and what is added then, so that it becomes what it was.
    #[must_use]
    pub fn correction(self, was: Self) -> (f64, f64) {
        let (deviation, was_deviation) = (self.deviation(), was.deviation());
        let stretch = if deviation > f64::EPSILON && was_deviation > f64::EPSILON {
            (was_deviation / deviation).clamp(STRETCH.0, STRETCH.1)
        } else {
            1.0
        };
        (stretch, was.mean() - stretch * self.mean())
    }
}

/// A model whose quantised layers have the means and deviations of the model as it was: w ← a·w, b ← a·b + c.
///
/// # Errors
/// See [`QuantiseError`].
pub fn repaired(
    bench: &Bench<'_>,
    model: &EditableModel,
    float: &BTreeSet<String>,
    ranges: &BTreeMap<String, Range>,
    target: Target,
    pictures: &mut dyn PreparedPictures,
    step: &mut dyn FnMut(usize, usize),
) -> Result<EditableModel, QuantiseError> {
    let picture = bench.contract.input.name.clone();
    let kept = |core: &Core| !float.contains(&core.made);
    let all = cores(model, &picture).into_iter().filter(kept).collect();
    by_waves(bench, (model, model.clone()), all, pictures, step, &mut |changed, wave| {
        let planned = plan(changed, &picture, float);
        let applied = apply(changed, &planned, ranges, target)?;
        let found = |core: &Core| {
            // Of the changed model: what was corrected before stands under a name of its own.
            let now = planned.cores.iter().find(|one| one.made == core.made).unwrap_or(core);
            // What a layer makes before it is quantised stands under another name there.
            let raw = applied.raw.get(&now.output).unwrap_or(&now.output).clone();
            (raw, now.clone())
        };
        let found = wave.iter().map(found).collect();
        Ok((applied.model, found))
    })
}

/// A model that is run in the place of a changed one, and of each layer the tensor that it makes there and the layer as it is in
/// the changed one.
pub(super) type Applied = (EditableModel, Vec<(String, Core)>);

/// What gives that of a changed model and some of its layers.
pub(super) type Apply<'a> = dyn FnMut(&EditableModel, &[Core]) -> Result<Applied, QuantiseError> + 'a;

/// Repairs layers, some at a time. `was` is the model as it was, and a changed one that is repaired; `applied` gives what is run
/// of it.
pub(super) fn by_waves(
    bench: &Bench<'_>,
    (model, mut changed): (&EditableModel, EditableModel),
    mut all: Vec<Core>,
    pictures: &mut dyn PreparedPictures,
    step: &mut dyn FnMut(usize, usize),
    applied: &mut Apply<'_>,
) -> Result<EditableModel, QuantiseError> {
    all.retain(|core| core.takes_bias);
    for (number, wave) in all.chunks(WAVE).enumerate() {
        step(number * WAVE, all.len());
        let made: Vec<String> = wave.iter().map(|core| core.made.clone()).collect();
        let was = sums(bench, model, wave, &made, pictures)?;
        let (run, found) = applied(&changed, wave)?;
        let tensors: Vec<String> = found.iter().map(|(tensor, _)| tensor.clone()).collect();
        let is = sums(bench, &run, wave, &tensors, pictures)?;
        for ((_, now), (is, was)) in found.iter().zip(is.iter().zip(&was)) {
            let corrections: Vec<(f64, f64)> =
                is.iter().zip(was).map(|(is, was)| is.correction(*was)).collect();
            correct(&mut changed, now, &corrections)?;
        }
    }
    Ok(changed)
}

fn sums(
    bench: &Bench<'_>,
    model: &EditableModel,
    wave: &[Core],
    tensors: &[String],
    pictures: &mut dyn PreparedPictures,
) -> Result<Vec<Vec<ChannelSums>>, QuantiseError> {
    let mut found = vec![Vec::new(); wave.len()];
    let count = pictures.count();
    let chosen = (0..PICTURES.min(count)).map(|number| number * count / PICTURES.min(count));
    bench.run(model, tensors, pictures, chosen, |_, tensor, sides, numbers| {
        let axis = if wave[tensor].is_spatial { 1 } else { sides.len().saturating_sub(1) };
        ChannelSums::add(&mut found[tensor], (sides, numbers), axis);
        Ok(())
    })?;
    Ok(found)
}

fn correct(model: &mut EditableModel, core: &Core, corrections: &[(f64, f64)]) -> Result<(), QuantiseError> {
    let Some((dims, mut weights)) = model.floats(&core.weights) else { return Ok(()) };
    for (channel, weight) in channels(&dims, core.axis).zip(&mut weights) {
        if let Some((stretch, _)) = corrections.get(channel) {
            *weight = near(f64::from(*weight) * stretch);
        }
    }
    let bias = core.bias.as_ref().and_then(|bias| model.floats(bias)).map(|(_, numbers)| numbers);
    let bias = bias.unwrap_or_else(|| vec![0.0; corrections.len()]);
    let bias: Vec<f32> = bias
        .iter()
        .zip(corrections)
        .map(|(bias, (stretch, added))| near(f64::from(*bias) * stretch + added))
        .collect();
    let count = [i64::try_from(bias.len()).unwrap_or(i64::MAX)];
    let parts = [("weights", 1, &dims[..], weights), ("bias", 2, &count[..], bias)];
    for (what, position, dims, numbers) in parts {
        let name = model.fresh(&format!("{}_repaired_{what}", core.made));
        model.add_initializer(&name, dims, &Tensor::F32(numbers))?;
        model.read_instead(&core.made, position, &name)?;
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "weights are of this precision")]
const fn near(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_gets_its_mean_and_deviation_back() {
        let mut was = Vec::new();
        let mut is = Vec::new();
        // Two channels of four numbers: the first is half as wide and moved, the second dead.
        ChannelSums::add(&mut was, (&[1, 2, 4], &[1.0, 3.0, 5.0, 7.0, 2.0, 2.0, 2.0, 2.0]), 1);
        ChannelSums::add(&mut is, (&[1, 2, 4], &[1.5, 2.5, 3.5, 4.5, 0.0, 0.0, 0.0, 0.0]), 1);
        let (stretch, added) = is[0].correction(was[0]);
        assert!((stretch - 2.0).abs() < 1e-6 && (added + 2.0).abs() < 1e-6, "{stretch} {added}");
        assert_eq!(is[1].correction(was[1]), (1.0, 2.0));
        // By the last side, as after a matrix product; over several pictures.
        let mut by_last = Vec::new();
        ChannelSums::add(&mut by_last, (&[1, 2], &[1.0, 10.0]), 1);
        ChannelSums::add(&mut by_last, (&[1, 2], &[3.0, 30.0]), 1);
        assert_eq!((by_last[0].mean(), by_last[1].mean(), by_last[1].deviation()), (2.0, 20.0, 10.0));
    }
}

//! Weights nearest to zero become zero, layer by layer.
//!
//! **Source**: Han et al. (2015), magnitude pruning.

use std::collections::BTreeSet;

use verge_engine::{EditError, EditableModel, Tensor};

use super::super::plan::Core;

pub(super) fn prune(model: &mut EditableModel, cores: &[Core], share: f64) -> Result<(), EditError> {
    // Weights that several layers read are pruned once.
    let names: BTreeSet<&String> = cores.iter().map(|core| &core.weights).collect();
    for name in names {
        let Some((dims, mut numbers)) = model.floats(name) else { continue };
        masked(&mut numbers, share);
        model.replace_initializer(name, &dims, &Tensor::F32(numbers))?;
    }
    Ok(())
}

/// Of numbers that are as far from zero the first become zero.
fn masked(numbers: &mut [f32], share: f64) {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a number of weights"
    )]
    let count = (numbers.len() as f64 * share).round() as usize;
    let mut places: Vec<usize> = (0..numbers.len()).collect();
    places.sort_by(|one, other| numbers[*one].abs().total_cmp(&numbers[*other].abs()));
    places.into_iter().take(count).for_each(|place| numbers[place] = 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_become_zero() {
        let mut numbers = [0.5, -0.1, 0.2, -3.0, 0.1];
        masked(&mut numbers, 0.4);
        assert_eq!(numbers, [0.5, 0.0, 0.2, -3.0, 0.0]);
        masked(&mut numbers, 0.01);
        assert_eq!(numbers, [0.5, 0.0, 0.2, -3.0, 0.0]);
    }
}

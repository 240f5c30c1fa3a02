//! Weights that are changed alone, without a look at what tensors hold: a share of them becomes zero, or they have 4 bits, or 8 bits
//! beside activations that are counted while the model runs. Pictures are for repair and for the proof.

mod dynamic;
mod four_bits;
mod prune;

use std::collections::BTreeSet;

use verge_engine::{EditError, EditableModel, Graph};

use super::plan::{Core, cores};
use super::weights::Target;
use super::{Bench, OPSET, PRODUCER, PreparedPictures, QuantiseError, repair, simplified};

/// The version that DynamicQuantizeLinear came with.
const DYNAMIC_OPSET: i64 = 11;

/// How weights are changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// This share of the weights of each layer, those nearest to zero, becomes zero. Depthwise convolutions stay as they are.
    Prune(f64),
    /// Weights of 4 bits, in blocks of 32 with a step of their own. Those of depthwise convolutions have 8.
    FourBits,
    /// Weights of matrix products of 8 bits; what they read is quantised while the model runs, by its own least and greatest number.
    Dynamic(Target),
}

impl Change {
    /// Whether it changes a layer. Of a depthwise convolution each channel has a handful of weights, and all of them count: without
    /// a third of these a MobileNet knows nothing any more, and they are few bytes.
    fn is_of(self, model: &EditableModel, core: &Core) -> bool {
        match self {
            Self::Prune(_) | Self::FourBits => !is_depthwise(model, core),
            Self::Dynamic(_) => !core.is_spatial,
        }
    }

    const fn opset(self) -> i64 {
        match self {
            Self::Dynamic(_) => DYNAMIC_OPSET,
            Self::Prune(_) | Self::FourBits => OPSET,
        }
    }
}

/// A float model, and how its weights are to be changed.
#[derive(Debug)]
pub struct Shrinker<'a> {
    bench: Bench<'a>,
    model: EditableModel,
    change: Change,
}

/// What was made of a model.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// The new file.
    pub bytes: bytes::Bytes,
    /// Layers whose weights are others now.
    pub layers: usize,
    /// Weights in them, and how many of these are zero.
    pub weights: usize,
    /// See there.
    pub zeros: usize,
}

impl<'a> Shrinker<'a> {
    /// Simplifies a model, as far as that changes no answer.
    ///
    /// # Errors
    /// See [`QuantiseError`].
    pub fn new(
        graph: &Graph,
        bench: Bench<'a>,
        change: Change,
        pictures: &mut dyn PreparedPictures,
    ) -> Result<Self, QuantiseError> {
        if let Change::Prune(share) = change
            && !(share > 0.0 && share < 1.0)
        {
            return Err(QuantiseError::Share { share });
        }
        let model = simplified(graph, &bench, pictures, change.opset())?;
        let shrinker = Self { bench, model, change };
        match (shrinker.cores(&shrinker.model).is_empty(), change) {
            (true, Change::Dynamic(_)) => Err(QuantiseError::NothingDynamic),
            (true, _) => Err(QuantiseError::Nothing),
            (false, _) => Ok(shrinker),
        }
    }

    /// The model with its weights changed.
    ///
    /// # Errors
    /// See [`QuantiseError`].
    pub fn shrunk(&self) -> Result<Shrunk, QuantiseError> {
        self.written(&self.begun()?)
    }

    /// The same, with means and deviations of its layers put back to what they were; nothing where the change allows no repair.
    ///
    /// # Errors
    /// See [`QuantiseError`].
    pub fn repaired(
        &self,
        pictures: &mut dyn PreparedPictures,
        step: &mut dyn FnMut(usize, usize),
    ) -> Result<Option<Shrunk>, QuantiseError> {
        // Of layers that are not changed what comes in is.
        let all = self.all(&self.model);
        if matches!(self.change, Change::Dynamic(_)) || all.iter().all(|core| !core.takes_bias) {
            return Ok(None);
        }
        let begun = (&self.model, self.begun()?);
        let repaired = repair::by_waves(&self.bench, begun, all, pictures, step, &mut |changed, wave| {
            let known = self.all(changed);
            let found = |core: &Core| {
                let now = known.iter().find(|one| one.made == core.made).unwrap_or(core);
                (core.made.clone(), now.clone())
            };
            let found = wave.iter().map(found).collect();
            Ok((self.applied(changed)?, found))
        })?;
        self.written(&repaired).map(Some)
    }

    /// Zeros are in the weights themselves, and stay there whatever they are multiplied with.
    fn begun(&self) -> Result<EditableModel, EditError> {
        let mut model = self.model.clone();
        if let Change::Prune(share) = self.change {
            prune::prune(&mut model, &self.cores(&self.model), share)?;
        }
        Ok(model)
    }

    fn applied(&self, model: &EditableModel) -> Result<EditableModel, EditError> {
        let (mut applied, cores) = (model.clone(), self.cores(model));
        match self.change {
            Change::Prune(_) => {}
            Change::FourBits => {
                four_bits::four_bits(&mut applied, &cores)?;
                let all = self.all(model).into_iter();
                let others: Vec<Core> = all.filter(|core| is_depthwise(model, core)).collect();
                four_bits::eight_bits(&mut applied, &others)?;
            }
            Change::Dynamic(target) => dynamic::dynamic(&mut applied, &cores, target)?,
        }
        applied.tidy();
        Ok(applied)
    }

    fn written(&self, model: &EditableModel) -> Result<Shrunk, QuantiseError> {
        let mut applied = self.applied(model)?;
        applied.sign(PRODUCER, env!("CARGO_PKG_VERSION"));
        let (mut weights, mut zeros) = (0, 0);
        let cores = self.cores(model);
        let names: BTreeSet<&str> = cores.iter().map(|core| core.weights.as_str()).collect();
        for (_, numbers) in names.into_iter().filter_map(|name| model.floats(name)) {
            weights += numbers.len();
            zeros += numbers.iter().filter(|number| **number == 0.0).count();
        }
        Ok(Shrunk { bytes: applied.write(), layers: cores.len(), weights, zeros })
    }

    /// Layers whose weights are changed.
    fn cores(&self, model: &EditableModel) -> Vec<Core> {
        self.all(model).into_iter().filter(|core| self.change.is_of(model, core)).collect()
    }

    /// Layers with weights.
    fn all(&self, model: &EditableModel) -> Vec<Core> {
        cores(model, &self.bench.contract.input.name)
    }
}

/// Whether each channel of a convolution reads one channel alone.
fn is_depthwise(model: &EditableModel, core: &Core) -> bool {
    core.is_spatial && model.dims(&core.weights).is_some_and(|dims| dims[0] > 1 && dims[1] == 1)
}

fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Numbers of a matrix with its sides exchanged.
fn turned<T: Copy>(rows: usize, columns: usize, numbers: &[T]) -> Vec<T> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| numbers[row * columns + column])).collect()
}

#[cfg(test)]
mod tests;

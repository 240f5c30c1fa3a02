//! What tensors of a model hold while it looks at pictures.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use verge_engine::{
    Contract, EditableModel, Graph, ModelLimits, RecurrentState, RunError, Runner, Runtime, Tensor,
    TensorView,
};

use super::QuantiseError;
use super::range::{NotFinite, ObservedRange};

/// Tensors that are read in one run, so that memory is bounded.
const GROUP: usize = 32;

/// Pictures as models read them.
pub trait PreparedPictures {
    /// How many there are.
    fn count(&self) -> usize;
    /// What one is called.
    fn name(&self, number: usize) -> String;
    /// Writes one into a model's input.
    ///
    /// # Errors
    /// In words, why it cannot be read.
    fn fill(&mut self, number: usize, input: &mut Tensor) -> Result<(), String>;
}

/// How models are run for being looked into.
#[derive(Debug, Clone, Copy)]
pub struct Bench<'a> {
    /// The library.
    pub runtime: &'a Runtime,
    /// The file that they come from, for messages.
    pub path: &'a Path,
    /// How they are loaded.
    pub limits: ModelLimits,
    /// What a run feeds.
    pub contract: &'a Contract,
}

/// What is read of a run: the position of the tensor, and its numbers.
type Note<'n> = dyn FnMut(usize, &[i64], &[f32]) -> Result<(), QuantiseError> + 'n;

impl Bench<'_> {
    /// Runs a model on some of the pictures, and reads these tensors.
    ///
    /// # Errors
    /// See [`QuantiseError`]; and those of `note`.
    pub fn run(
        &self,
        model: &EditableModel,
        tensors: &[String],
        pictures: &mut dyn PreparedPictures,
        numbers: impl Iterator<Item = usize>,
        mut note: impl FnMut(usize, usize, &[i64], &[f32]) -> Result<(), QuantiseError>,
    ) -> Result<(), QuantiseError> {
        let mut runner = self.runner(model, tensors)?;
        for number in numbers {
            self.look(&mut runner, tensors, (&mut *pictures, number), &mut |tensor, sides, read| {
                note(number, tensor, sides, read)
            })?;
        }
        Ok(())
    }

    fn runner(&self, model: &EditableModel, tensors: &[String]) -> Result<Runner, QuantiseError> {
        let picture = &self.contract.input.name;
        let mut model = model.clone();
        let outputs: Vec<String> = tensors.iter().filter(|tensor| *tensor != picture).cloned().collect();
        model.add_outputs(&outputs.iter().map(String::as_str).collect::<Vec<_>>())?;
        let graph = Graph::of_bytes(self.runtime, self.path, model.write(), self.limits)?;
        let contract = Contract { outputs, ..self.contract.clone() };
        Ok(graph.runner(Arc::new(contract))?)
    }

    fn look(
        &self,
        runner: &mut Runner,
        tensors: &[String],
        (pictures, number): (&mut dyn PreparedPictures, usize),
        note: &mut Note<'_>,
    ) -> Result<(), QuantiseError> {
        let filled = pictures.fill(number, runner.input());
        filled.map_err(|why| QuantiseError::Picture { name: pictures.name(number), why })?;
        runner.run(&mut RecurrentState::default(), None, |outputs| {
            let mut position = 0;
            for (tensor, name) in tensors.iter().enumerate() {
                let (sides, read) = if *name == self.contract.input.name {
                    (&self.contract.input.shape[..], outputs.input())
                } else {
                    position += 1;
                    outputs.get(position - 1)?
                };
                let TensorView::F32(read) = read else {
                    return Err(RunError::unexpected_output(name, read.element().as_str()).into());
                };
                note(tensor, sides, read)?;
            }
            Ok(())
        })
    }

    /// What each tensor holds over all pictures: with `counts`, how often each number too. `step` is called for each run of a
    /// picture with the runs so far and those in all.
    ///
    /// # Errors
    /// See [`QuantiseError`].
    pub fn observe(
        &self,
        model: &EditableModel,
        tensors: &[String],
        pictures: &mut dyn PreparedPictures,
        counts: bool,
        step: &mut dyn FnMut(usize, usize),
    ) -> Result<BTreeMap<String, ObservedRange>, QuantiseError> {
        let mut found = BTreeMap::new();
        let mut size = GROUP;
        let passes = if counts { 2 } else { 1 };
        let mut left = tensors;
        while !left.is_empty() {
            let (group, rest) = left.split_at(size.min(left.len()));
            let (done, all) = (found.len(), tensors.len());
            let of_group = self.group(model, group, pictures, counts, &mut |runs, of| {
                let share = |part: usize| part * passes * 1_000 / all.max(1);
                step(share(done) + share(group.len()) * runs / of.max(1), passes * 1_000);
            });
            match of_group {
                Ok(observed) => {
                    found.extend(group.iter().cloned().zip(observed));
                    left = rest;
                }
                // Fewer at a time, until one alone is too much.
                Err(error) if error.is_memory() && size > 1 => size /= 2,
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn group(
        &self,
        model: &EditableModel,
        tensors: &[String],
        pictures: &mut dyn PreparedPictures,
        counts: bool,
        step: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<ObservedRange>, QuantiseError> {
        let mut observed = vec![ObservedRange::default(); tensors.len()];
        let mut runner = self.runner(model, tensors)?;
        let (count, passes) = (pictures.count(), if counts { 2 } else { 1 });
        for pass in 0..passes {
            for number in 0..count {
                let mut spoilt = None;
                self.look(&mut runner, tensors, (&mut *pictures, number), &mut |tensor, _, read| {
                    if pass == 1 {
                        observed[tensor].count(read);
                    } else if observed[tensor].widen(read) == Err(NotFinite) {
                        spoilt.get_or_insert(tensor);
                    }
                    Ok(())
                })?;
                if let Some(tensor) = spoilt {
                    let (node, picture) = (maker(model, &tensors[tensor]), pictures.name(number));
                    return Err(QuantiseError::NotFinite { tensor: tensors[tensor].clone(), node, picture });
                }
                step(pass * count + number + 1, passes * count);
            }
        }
        Ok(observed)
    }
}

/// What makes a tensor, for people.
fn maker(model: &EditableModel, tensor: &str) -> String {
    let makes = |output: &String| output == tensor;
    let found = model.views().find(|node| node.outputs().iter().any(makes));
    found.map_or_else(
        || "an input".to_owned(),
        |node| match node.name() {
            "" => node.operator().to_owned(),
            name => format!("{} {name:?}", node.operator()),
        },
    )
}

//! One runner per worker and model: a pooled input buffer that the library borrows, a deadline, and outputs that
//! are read where the library left them.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use ort::session::{RunOptions, Session, SessionOutputs};

use crate::port::{Contract, FeedBack, FixedInput};
use crate::quote::quoted;
use crate::tensor::{Tensor, TensorView};
use crate::watchdog;

/// What is fed back from one run to the next of the same camera.
#[derive(Debug, Clone, Default)]
pub struct RecurrentState {
    tensors: Vec<Tensor>,
}

/// Why a run gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It was ended at its deadline.
    #[error("the model was still at work when the deadline came")]
    Deadline,
    /// The library failed.
    #[error("ONNX Runtime fails, and says: {0}")]
    Failed(String),
    /// An output that cannot be read, or a state that cannot be fed back.
    #[error("output {name:?} is not what the card says: {found}")]
    Output {
        /// The output.
        name: String,
        /// What it is.
        found: String,
    },
}

impl RunError {
    /// An output that is something else than was agreed.
    pub fn unexpected_output(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Output { name: name.into(), found: found.into() }
    }
}

/// A model in the hands of one worker.
pub struct Runner {
    session: Session,
    contract: Arc<Contract>,
    options: Arc<RunOptions>,
    input: Tensor,
    /// In the order of the contract.
    fixed: Vec<Tensor>,
}

/// The outputs of one run, in the order of the contract.
pub struct Outputs<'a, 'r> {
    contract: &'a Contract,
    input: &'a Tensor,
    values: &'a SessionOutputs<'r>,
}

impl Outputs<'_, '_> {
    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.contract.outputs.len()
    }

    /// What went in; of a batch, the first item.
    #[must_use]
    pub fn input(&self) -> TensorView<'_> {
        TensorView::from(self.input).first_of(self.contract.batch)
    }

    /// Name of an output, by its position in the contract.
    #[must_use]
    pub fn name(&self, index: usize) -> &str {
        self.contract.outputs.get(index).map_or("", String::as_str)
    }

    /// Shape and elements of an output, by its position in the contract. Of a batch, the elements are those of the
    /// first item.
    ///
    /// # Errors
    /// The output is of another type than is read, or there is none at this position.
    pub fn get(&self, index: usize) -> Result<(&[i64], TensorView<'_>), RunError> {
        let (shape, elements) = named(self.values, self.name(index))?;
        let batch = self.contract.batch;
        let is_batched = batch > 1
            && self.contract.divided
            && shape.first().is_some_and(|first| usize::try_from(*first) == Ok(batch));
        Ok((shape, if is_batched { elements.first_of(batch) } else { elements }))
    }
}

impl Runner {
    pub(crate) fn new(session: Session, contract: Arc<Contract>) -> Self {
        let input = contract.input.zeros();
        let of = |one: &FixedInput| Tensor::of(one.input.element, &one.numbers);
        let fixed = contract.fixed.iter().map(of).collect();
        let options = Arc::new(RunOptions::new().expect("options need memory only"));
        Self { session, contract, options, input, fixed }
    }

    /// What it feeds and reads.
    #[must_use]
    pub fn contract(&self) -> &Contract {
        &self.contract
    }

    /// The input, to be filled before a run. Of a batch, the first item is read; the rest stays as it is.
    pub const fn input(&mut self) -> &mut Tensor {
        &mut self.input
    }

    /// Runs the model on the input and gives its outputs to `read`. The run is ended when `until` passes. The state is
    /// advanced only where everything went well, `read` included.
    ///
    /// # Errors
    /// See [`RunError`]; and those of `read`.
    pub fn run<R, E: From<RunError>>(
        &mut self,
        state: &mut RecurrentState,
        until: Option<Instant>,
        read: impl FnOnce(&Outputs<'_, '_>) -> Result<R, E>,
    ) -> Result<R, E> {
        let contract = &*self.contract;
        if state.tensors.len() != contract.states.len() {
            state.tensors = contract.states.iter().map(|one| one.input.zeros()).collect();
        }
        let input = self.input.borrow(&contract.input.shape).map_err(failed)?;
        let guard;
        let result = if contract.states.is_empty() && self.session.inputs().len() == 1 {
            guard = until.map(|until| watchdog::watch(until, Arc::clone(&self.options)));
            // The usual case, without a list.
            self.session.run_with_options([input], &*self.options)
        } else {
            let mut inputs = Vec::with_capacity(1 + contract.states.len() + contract.fixed.len());
            inputs.push((contract.input.name.as_str(), input));
            for (one, tensor) in contract.states.iter().zip(&state.tensors) {
                inputs.push((&one.input.name, tensor.borrow(&one.input.shape).map_err(failed)?));
            }
            for (one, tensor) in contract.fixed.iter().zip(&self.fixed) {
                inputs.push((&one.input.name, tensor.borrow(&one.input.shape).map_err(failed)?));
            }
            guard = until.map(|until| watchdog::watch(until, Arc::clone(&self.options)));
            self.session.run_with_options(inputs, &*self.options)
        };
        drop(guard);
        // The deadline may also come just after the run has ended. Whichever it was: the next run begins afresh.
        let is_late = until.is_some_and(|until| Instant::now() >= until);
        if is_late {
            self.options.unterminate().map_err(failed)?;
        }
        // Beyond its deadline the run was ended: whatever the library says, that is why.
        let values = result.map_err(|error| if is_late { RunError::Deadline } else { failed(error) })?;
        let result = read(&Outputs { contract, input: &self.input, values: &values })?;
        let fed_back = |one: &FeedBack| named(&values, &one.output).map(|(_, elements)| elements);
        for (one, tensor) in contract.states.iter().zip(&state.tensors) {
            let fits = fed_back(one)?.fits(tensor);
            fits.map_err(|found| RunError::unexpected_output(&one.output, found))?;
        }
        for (one, tensor) in contract.states.iter().zip(&mut state.tensors) {
            tensor.copy_from(fed_back(one)?);
        }
        Ok(result)
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").field("contract", &self.contract).finish_non_exhaustive()
    }
}

fn named<'v>(values: &'v SessionOutputs<'_>, name: &str) -> Result<(&'v [i64], TensorView<'v>), RunError> {
    let value = values.get(name).ok_or_else(|| RunError::unexpected_output(name, "nothing"))?;
    TensorView::of(name, value)
}

pub(crate) fn failed(error: ort::Error) -> RunError {
    RunError::Failed(quoted(&error.to_string()))
}

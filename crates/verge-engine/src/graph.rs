//! A model file: read once, hashed, looked through, and taken by the library.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;

use crate::digest::ContentDigest;
use crate::onnx::{self, LabelledOutput, OnnxError, Stamp};
use crate::port::{Contract, Port};
use crate::quote::quoted;
use crate::refusal::refused;
use crate::run::Runner;
use crate::runtime::Runtime;

/// What is accepted of model files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelLimits {
    /// Largest file, in bytes.
    pub max_file_bytes: u64,
    /// Threads within one run. More than one makes single frames faster and the whole slower.
    pub threads: usize,
    /// What the library may make of them.
    pub optimisation: Optimisation,
}

/// What the library may make of a model before it runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Optimisation {
    /// All that it can: operators are fused, quantised ones run on integers.
    Full,
    /// Nothing: each operator runs as it stands in the file. Slow, and what other runs are held against.
    AsWritten,
}

impl Default for ModelLimits {
    fn default() -> Self {
        Self { max_file_bytes: 512 << 20, threads: 1, optimisation: Optimisation::Full }
    }
}

/// Why a model file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// It cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Larger than the configuration allows.
    #[error("{path}: {actual} bytes, and engine.max_model is {limit}", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes found.
        actual: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// Another file than the one the card was written for.
    #[error("{path}: its SHA-256 is {actual}, the card says {expected}", path = path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// Digits of the card.
        expected: String,
        /// Digits found.
        actual: String,
    },
    /// Refused before the library saw it.
    #[error("{path}: {source}", path = path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        source: OnnxError,
    },
    /// Made for a newer library.
    #[error(
        "{path}: its {what} is {found}, and {library} takes {newest} at most: {remedy}",
        path = path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Which of its versions.
        what: String,
        /// The version.
        found: i64,
        /// The library and its version.
        library: String,
        /// The newest that it takes.
        newest: i64,
        /// What to do.
        remedy: String,
    },
    /// The library refused it.
    #[error("{path}: {library} refuses it, and says: {reason}", path = path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// The library and its version.
        library: String,
        /// The library's words, quoted.
        reason: String,
    },
}

/// A model file that the library takes.
pub struct Graph {
    path: PathBuf,
    bytes: Bytes,
    digest: ContentDigest,
    runtime: Runtime,
    limits: ModelLimits,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    producer: String,
    metadata: Vec<(String, String)>,
    labelled: Vec<LabelledOutput>,
    softmaxes: Vec<String>,
}

impl Graph {
    /// Reads a file and has the library take it. `sha256`: hexadecimal digits that its bytes must have.
    ///
    /// # Errors
    /// See [`GraphError`].
    pub fn load(
        runtime: &Runtime,
        path: &Path,
        sha256: Option<&str>,
        limits: ModelLimits,
    ) -> Result<Self, GraphError> {
        let bytes = read_bounded(path, limits.max_file_bytes)?;
        check_hash(sha256, path, ContentDigest::of(&bytes))?;
        Self::of_bytes(runtime, path, bytes, limits)
    }

    /// Has the library take a model that is in memory; `path` is for messages alone.
    ///
    /// # Errors
    /// See [`GraphError`].
    pub fn of_bytes(
        runtime: &Runtime,
        path: &Path,
        bytes: Bytes,
        limits: ModelLimits,
    ) -> Result<Self, GraphError> {
        let digest = ContentDigest::of(&bytes);
        let stamp =
            onnx::inspect(&bytes).map_err(|source| GraphError::Refused { path: path.to_owned(), source })?;
        let bytes = onnx::exposed(bytes, &stamp.labelled);
        let session =
            commit(runtime, &bytes, limits).map_err(|reason| refused(runtime, path, &stamp, &reason))?;
        let ports = |outlets: &[ort::value::Outlet]| {
            outlets.iter().map(|outlet| Port::new(outlet.name(), outlet.dtype())).collect()
        };
        let (inputs, outputs) =
            (ports(session.inputs()), labelled(ports(session.outputs()), &stamp.labelled));
        let (path, runtime) = (path.to_owned(), runtime.clone());
        let Stamp { producer, metadata, labelled, softmaxes, .. } = stamp;
        Ok(Self {
            path,
            bytes,
            digest,
            runtime,
            limits,
            inputs,
            outputs,
            producer,
            metadata,
            labelled,
            softmaxes,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The library that took it.
    #[must_use]
    pub const fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The file's bytes, with the numbers of maps as outputs.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What the file holds.
    #[must_use]
    pub const fn digest(&self) -> ContentDigest {
        self.digest
    }

    /// What it takes.
    #[must_use]
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// What it gives.
    #[must_use]
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The labels that the file itself gives the numbers of an output, in their order; none where it gives none.
    #[must_use]
    pub fn labels(&self, output: &str) -> Option<&[String]> {
        let of = self.labelled.iter().find(|one| one.name == output)?;
        (!of.labels.is_empty()).then_some(&of.labels[..])
    }

    /// Whether the numbers of an output come straight out of a softmax.
    #[must_use]
    pub fn is_softmax(&self, output: &str) -> bool {
        self.softmaxes.iter().any(|tensor| tensor == tensor_of(output, &self.labelled))
    }

    /// The program that wrote it; empty where it does not say.
    #[must_use]
    pub fn producer(&self) -> &str {
        &self.producer
    }

    /// What its exporter wrote into it under a key.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// A session for one worker, with weights of its own: ONNX Runtime shares only those that are handed to it one by
    /// one. The contract must name inputs and outputs of this graph.
    ///
    /// # Errors
    /// The library refuses what it accepted before (no memory).
    pub fn runner(&self, contract: Arc<Contract>) -> Result<Runner, GraphError> {
        let session = commit(&self.runtime, &self.bytes, self.limits).map_err(|reason| GraphError::Load {
            path: self.path.clone(),
            library: self.runtime.described(),
            reason: quoted(&reason),
        })?;
        let contract = if self.labelled.is_empty() {
            contract
        } else {
            let tensors = contract.outputs.iter().map(|name| tensor_of(name, &self.labelled).to_owned());
            Arc::new(Contract { outputs: tensors.collect(), ..Contract::clone(&contract) })
        };
        Ok(Runner::new(session, contract))
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Outputs as they are read: a map of labels and numbers is the tensor of its numbers.
fn labelled(ports: Vec<Port>, labelled: &[LabelledOutput]) -> Vec<Port> {
    let is_added = |port: &Port| labelled.iter().any(|one| one.is_added() && one.numbers == port.name);
    let read = |port: &Port| {
        let numbers = ports.iter().find(|other| other.name == tensor_of(&port.name, labelled));
        Port { name: port.name.clone(), ..numbers.unwrap_or(port).clone() }
    };
    ports.iter().filter(|port| !is_added(port)).map(read).collect()
}

/// The tensor that is read of an output.
fn tensor_of<'a>(output: &'a str, labelled: &'a [LabelledOutput]) -> &'a str {
    labelled.iter().find(|one| one.name == output).map_or(output, |one| &one.numbers)
}

pub(crate) fn commit(runtime: &Runtime, bytes: &Bytes, limits: ModelLimits) -> Result<Session, String> {
    let level = match limits.optimisation {
        Optimisation::Full => GraphOptimizationLevel::All,
        Optimisation::AsWritten => GraphOptimizationLevel::Disable,
    };
    let commit = || -> ort::Result<Session> {
        let mut builder = runtime
            .provider()
            .register(Session::builder(runtime.environment())?)?
            .with_optimization_level(level)?
            .with_intra_threads(limits.threads)?
            .with_inter_threads(1)?
            // Spinning burns energy, and loses where other programs want the cores.
            .with_intra_op_spinning(false)?
            .with_inter_op_spinning(false)?;
        builder.commit_from_memory(bytes)
    };
    commit().map_err(|error| error.to_string())
}

fn read_bounded(path: &Path, limit: u64) -> Result<Bytes, GraphError> {
    let read = |source| GraphError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    let too_large = |actual| GraphError::TooLarge { path: path.to_owned(), actual, limit };
    let actual = file.metadata().map_err(read)?.len();
    if actual > limit {
        return Err(too_large(actual));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(actual).unwrap_or(0));
    // A file that grows meanwhile is not read beyond the limit.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(read)?;
    let actual = bytes.len() as u64;
    if actual > limit { Err(too_large(actual)) } else { Ok(Bytes::from(bytes)) }
}

fn check_hash(expected: Option<&str>, path: &Path, digest: ContentDigest) -> Result<(), GraphError> {
    let Some(expected) = expected else { return Ok(()) };
    let actual = digest.to_string();
    if actual.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(GraphError::Hash { path: path.to_owned(), expected: expected.to_owned(), actual })
}

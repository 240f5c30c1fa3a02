//! What runs a model's operators: the processor, or a library for other hardware (ONNX Runtime calls them execution
//! providers).
//!
//! ONNX Runtime goes back to the processor without an error where a provider cannot be had. Here the one that was asked
//! for runs, or nothing does.

use bytes::Bytes;
use ort::environment::Environment;
use ort::ep::ExecutionProviderDispatch;
use ort::session::Session;
use ort::session::builder::SessionBuilder;

use crate::onnx::probe;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Provider {
    /// The processor, by ONNX Runtime itself.
    #[default]
    Cpu,
    /// Graphics processors of NVIDIA.
    Cuda,
    /// The same by TensorRT, which compiles each model for the device first.
    TensorRt,
    /// Processors, graphics and neural processors of Intel.
    OpenVino,
}

impl Provider {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cpu, Self::Cuda, Self::TensorRt, Self::OpenVino];

    /// The word of configurations and commands.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::TensorRt => "tensorrt",
            Self::OpenVino => "openvino",
        }
    }

    /// Its name, for people and in the status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Cuda => "CUDA",
            Self::TensorRt => "TensorRT",
            Self::OpenVino => "OpenVINO",
        }
    }

    /// The one with this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.as_str() == word)
    }

    /// Whether this build of the program can ask for it: each but the processor is a feature of that name.
    #[must_use]
    pub const fn is_built(self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Cuda => cfg!(feature = "cuda"),
            Self::TensorRt => cfg!(feature = "tensorrt"),
            Self::OpenVino => cfg!(feature = "openvino"),
        }
    }

    /// Has it run what this builder makes; a session without it is an error.
    pub(crate) fn register(self, builder: SessionBuilder) -> ort::Result<SessionBuilder> {
        if self == Self::Cpu {
            return Ok(builder);
        }
        let provider = self.dispatch().ok_or_else(|| ort::Error::new("this build was made without it"))?;
        Ok(builder.with_execution_providers([provider.error_on_failure()])?)
    }

    fn dispatch(self) -> Option<ExecutionProviderDispatch> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda => Some(ort::ep::CUDA::default().build()),
            #[cfg(feature = "tensorrt")]
            Self::TensorRt => Some(ort::ep::TensorRT::default().build()),
            #[cfg(feature = "openvino")]
            Self::OpenVino => Some(ort::ep::OpenVINO::default().build()),
            _ => None,
        }
    }

    /// Whether the loaded library was built with it. It may still fail: its own libraries are loaded when it is used.
    pub(crate) fn is_in_library(self) -> bool {
        #[cfg(any(feature = "cuda", feature = "tensorrt", feature = "openvino"))]
        use ort::ep::{self, ExecutionProvider as _};
        match self {
            Self::Cpu => true,
            #[cfg(feature = "cuda")]
            Self::Cuda => ep::CUDA::is_available().unwrap_or(false),
            #[cfg(feature = "tensorrt")]
            Self::TensorRt => ep::TensorRT::is_available().unwrap_or(false),
            #[cfg(feature = "openvino")]
            Self::OpenVino => ep::OpenVINO::is_available().unwrap_or(false),
            #[cfg(not(all(feature = "cuda", feature = "tensorrt", feature = "openvino")))]
            _ => false,
        }
    }

    /// Runs nothing on it once, so that what it lacks is known at the start, and not by the name of a model.
    pub(crate) fn try_out(self, environment: &Environment) -> ort::Result<()> {
        if self == Self::Cpu {
            return Ok(());
        }
        let mut builder = self.register(Session::builder(environment)?)?;
        builder.commit_from_memory(&Bytes::from(probe(IR_VERSION, &[(String::new(), OPSET)]))).map(drop)
    }
}

/// What every library takes that is loaded at all.
const IR_VERSION: i64 = 7;
const OPSET: i64 = 13;

#[cfg(test)]
mod tests {
    use super::Provider;

    #[test]
    fn words_are_of_one_provider_each() {
        for provider in Provider::ALL {
            assert_eq!(Provider::of_word(provider.as_str()), Some(provider));
        }
        assert_eq!(Provider::of_word("CPU"), None);
        assert!(Provider::default().is_built());
    }
}

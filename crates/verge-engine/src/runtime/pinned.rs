//! The versions of ONNX Runtime that `verge runtime install` installs, and what their files must hash to.

use crate::provider::Provider;

/// The version that runs models on the processor.
pub const VERSION: &str = "1.32.0";

/// One build of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Build {
    /// As `std::env::consts::ARCH` names the machine.
    pub(super) arch: &'static str,
    /// The package of Python whose wheel holds it.
    pub(super) package: &'static str,
    /// Its version.
    pub(super) version: &'static str,
    /// Platform tag of the wheel (PEP 600).
    pub(super) platform: &'static str,
    /// Size of the wheel, for people.
    pub(super) megabytes: u32,
    /// SHA-256 of the wheel for CPython 3.12.
    pub(super) wheel_sha256: &'static str,
    /// SHA-256 of the library within, which is the same in the wheels for other Pythons.
    pub(super) library_sha256: &'static str,
    /// Further libraries of the wheel that this one loads from beside it.
    pub(super) beside: &'static [&'static str],
}

/// For the processor.
const CPU: [Build; 2] = [
    Build {
        arch: "x86_64",
        package: "onnxruntime",
        version: VERSION,
        platform: "manylinux_2_28_x86_64",
        megabytes: 20,
        wheel_sha256: "99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8",
        library_sha256: "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f",
        beside: &[],
    },
    Build {
        arch: "aarch64",
        package: "onnxruntime",
        version: VERSION,
        platform: "manylinux_2_28_aarch64",
        megabytes: 20,
        wheel_sha256: "e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054",
        library_sha256: "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a",
        beside: &[],
    },
];

/// With CUDA and TensorRT.
const GPU: [Build; 1] = [Build {
    arch: "x86_64",
    package: "onnxruntime-gpu",
    version: "1.31.1",
    platform: "manylinux_2_28_x86_64",
    megabytes: 256,
    wheel_sha256: "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7",
    library_sha256: "5104254339ecadae808da771bd0b63b240f0dbd466514234905e54372435c303",
    beside: &[
        "libonnxruntime_providers_shared.so",
        "libonnxruntime_providers_cuda.so",
        "libonnxruntime_providers_tensorrt.so",
    ],
}];

/// With OpenVINO.
const OPENVINO: [Build; 1] = [Build {
    arch: "x86_64",
    package: "onnxruntime-openvino",
    version: "1.24.1",
    platform: "manylinux_2_28_x86_64",
    megabytes: 84,
    wheel_sha256: "d617fac2f59a6ab5ea59a788c3e1592240a129642519aaeaa774761dfe35150e",
    library_sha256: "c7b0590c7825f7029ba17e20a5dea27f7f570d8241d60584caacd363648aa8e2",
    beside: &[
        "libonnxruntime_providers_shared.so",
        "libonnxruntime_providers_openvino.so",
        "libopenvino.so.2541",
        "libopenvino_c.so.2541",
        "libopenvino_onnx_frontend.so.2541",
        "libopenvino_auto_plugin.so",
        "libopenvino_hetero_plugin.so",
        "libopenvino_intel_cpu_plugin.so",
        "libopenvino_intel_gpu_plugin.so",
        "libopenvino_intel_npu_plugin.so",
        "libtbb.so.12",
        "libtbbmalloc.so",
    ],
}];

const fn builds(provider: Provider) -> &'static [Build] {
    match provider {
        Provider::Cpu => &CPU,
        Provider::Cuda | Provider::TensorRt => &GPU,
        Provider::OpenVino => &OPENVINO,
    }
}

/// The version with this provider.
#[must_use]
pub const fn version(provider: Provider) -> &'static str {
    builds(provider)[0].version
}

/// The name of the folder that a version with this provider is installed into.
pub(super) const fn folder(provider: Provider) -> &'static str {
    match provider {
        Provider::Cpu => VERSION,
        Provider::Cuda | Provider::TensorRt => "1.31.1-gpu",
        Provider::OpenVino => "1.24.1-openvino",
    }
}

/// The build with this provider for this machine.
pub(super) fn build(provider: Provider) -> Option<Build> {
    let is_linux = std::env::consts::OS == "linux";
    builds(provider).iter().copied().find(|build| is_linux && build.arch == std::env::consts::ARCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_say_the_version_that_lies_in_them() {
        for provider in Provider::ALL {
            assert_eq!(folder(provider).split('-').next(), Some(version(provider)));
            assert!(builds(provider).iter().all(|build| build.version == version(provider)));
        }
    }
}

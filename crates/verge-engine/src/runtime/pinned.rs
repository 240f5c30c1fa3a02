//! The version of ONNX Runtime that `verge runtime install` installs, and what its files must hash to.

/// The version.
pub const VERSION: &str = "1.32.0";

/// One build of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Build {
    /// As `std::env::consts::ARCH` names the machine.
    pub(super) arch: &'static str,
    /// Platform tag of the Python wheel that holds it (PEP 600).
    pub(super) platform: &'static str,
    /// SHA-256 of the wheel for CPython 3.12.
    pub(super) wheel_sha256: &'static str,
    /// SHA-256 of the library within, which is the same in the wheels for other Pythons.
    pub(super) library_sha256: &'static str,
}

/// The builds there are.
pub(super) const BUILDS: [Build; 2] = [
    Build {
        arch: "x86_64",
        platform: "manylinux_2_28_x86_64",
        wheel_sha256: "99e1074c4b2197accd5073052a465361be17b89c093b8ffb6e6bd8f986c52df8",
        library_sha256: "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f",
    },
    Build {
        arch: "aarch64",
        platform: "manylinux_2_28_aarch64",
        wheel_sha256: "e36c187006e7a7c8b8d6d57f1a209dd63f52430dca6c282b177718ad6b841054",
        library_sha256: "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a",
    },
];

/// The build for this machine.
pub(super) fn build() -> Option<Build> {
    BUILDS.into_iter().find(|build| build.arch == std::env::consts::ARCH && std::env::consts::OS == "linux")
}

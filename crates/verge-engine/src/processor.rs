//! What the processor does with products of 8 bit numbers, which decides how a quantised model is made and whether it runs right.

/// Kinds of processors, as far as 8 bit models differ on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessorClass {
    /// x86 that adds two products in 16 bits, which overflows where weights use all 8 bits: such files give wrong numbers.
    X86,
    /// x86 with VNNI, which adds products in 32 bits.
    X86Vnni,
    /// Arm, with or without its dot product: products are added in 32 bits.
    Arm,
    /// Any other.
    Other,
}

impl ProcessorClass {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::X86, Self::X86Vnni, Self::Arm, Self::Other];

    /// That of this machine.
    #[must_use]
    pub fn here() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            let adds_wide = is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni");
            if adds_wide { Self::X86Vnni } else { Self::X86 }
        }
        #[cfg(target_arch = "aarch64")]
        {
            Self::Arm
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            Self::Other
        }
    }

    /// Its name in cards and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::X86 => "x86",
            Self::X86Vnni => "x86-vnni",
            Self::Arm => "arm",
            Self::Other => "other",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }
}

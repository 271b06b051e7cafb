//! Which kernels this processor runs: asked once, at run time, so that one binary runs everywhere at full speed.

use crate::error::{Error, Result};

/// A family of CPU kernels, slowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Plain Rust: any processor.
    Portable,
    /// 128-bit vectors of 64-bit Arm.
    Neon,
    /// 256-bit vectors with fused multiply-add (x86-64-v3).
    Avx2,
    /// 512-bit vectors (x86-64-v4).
    Avx512,
    /// Tiles of bf16 beside AVX-512 (Intel Xeon from Sapphire Rapids on).
    Amx,
}

impl Isa {
    /// All of them, slowest first.
    pub const ALL: [Isa; 5] = [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512, Isa::Amx];

    /// The name in `TATABOX_CPU`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Amx => "amx",
        }
    }

    /// True if this processor and system run it.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            Isa::Neon => cfg!(target_arch = "aarch64"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Amx => Isa::Avx512.is_available() && crate::kernels::amx::is_available(),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The fastest that this processor runs, or the one that the environment variable `TATABOX_CPU` names.
    pub fn detect() -> Result<Isa> {
        let available = || Isa::ALL.into_iter().filter(|isa| isa.is_available());
        match std::env::var("TATABOX_CPU") {
            Err(_) => Ok(available().next_back().unwrap_or(Isa::Portable)),
            Ok(name) => available().find(|isa| isa.name() == name).ok_or_else(|| Error::Isa {
                got: name,
                offered: available().map(Isa::name).collect::<Vec<_>>().join(", "),
            }),
        }
    }
}

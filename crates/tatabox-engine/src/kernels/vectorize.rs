//! Compiling plain loops for the vector width of the processor at hand.
#![allow(unsafe_code)] // Calling a function compiled for more than the baseline is what this file is for.

use crate::isa::Isa;

/// Runs `work` compiled for `isa`. Loops in `work`, and in `#[inline(always)]` functions that it calls, become vector code of that width.
#[inline(always)]
pub fn vectorize<R>(isa: Isa, work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn avx512<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        match isa {
            // SAFETY: an `Isa` is made by `Isa::detect`, or by a test that asked `is_available`.
            Isa::Avx512 | Isa::Amx => return unsafe { avx512(work) },
            // SAFETY: as above.
            Isa::Avx2 => return unsafe { avx2(work) },
            _ => {}
        }
    }
    let _ = isa;
    work()
}

//! CPU kernels: vector intrinsics, inline assembly, and raw pointers into matrices. Everything leaves through functions that check shapes.

#[cfg(target_arch = "x86_64")]
pub mod amx;
pub mod epilogue;
pub mod gemm;
pub mod math;
pub mod micro;
pub mod pack;
#[cfg(target_arch = "x86_64")]
mod pack_avx512;
#[cfg(target_arch = "x86_64")]
pub(crate) mod philox_avx512;
pub mod vectorize;

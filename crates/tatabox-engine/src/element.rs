//! The two number formats of activations: `f32` and `bf16`.
#![allow(unsafe_code)] // The promise that kernels rest on.

use crate::buffer::{Buffer, Plain};
use half::bf16;

/// How activations, their gradients and the matrices they meet are stored. Sums, statistics, losses, master weights and moments are `f32` in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point.
    F32,
    /// bfloat16 with `f32` master weights.
    Bf16,
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        })
    }
}

/// A storage format of activations.
///
/// # Safety
/// `PRECISION` is the format of the type: kernels read its memory as such.
pub unsafe trait Element: Plain + Default + PartialEq + std::fmt::Debug {
    /// Its name.
    const PRECISION: Precision;
    /// The value as `f32`, exact.
    fn to_f32(self) -> f32;
    /// The nearest value, ties to even.
    fn from_f32(value: f32) -> Self;
    /// The nearest `bf16`.
    fn to_bf16(self) -> bf16;
    /// A parameter as this format sees it: the master itself, or its rounded copy.
    fn weights<'a>(master: &'a Buffer<f32>, rounded: &'a Buffer<bf16>) -> &'a [Self];
}

// SAFETY: f32 is F32.
unsafe impl Element for f32 {
    const PRECISION: Precision = Precision::F32;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn from_f32(value: f32) -> f32 {
        value
    }
    #[inline(always)]
    fn to_bf16(self) -> bf16 {
        <bf16 as Element>::from_f32(self)
    }
    fn weights<'a>(master: &'a Buffer<f32>, _: &'a Buffer<bf16>) -> &'a [f32] {
        master
    }
}

// SAFETY: bf16 is Bf16.
unsafe impl Element for bf16 {
    const PRECISION: Precision = Precision::Bf16;
    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }
    // Written without a branch, so that loops over it become vector code; `half`'s own asks for the processor each time.
    #[inline(always)]
    fn from_f32(value: f32) -> bf16 {
        let bits = value.to_bits();
        let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
        let quiet_nan = (bits >> 16) | 0x40;
        let is_nan = bits & 0x7fff_ffff > 0x7f80_0000;
        bf16::from_bits(if is_nan { quiet_nan } else { rounded } as u16)
    }
    #[inline(always)]
    fn to_bf16(self) -> bf16 {
        self
    }
    fn weights<'a>(_: &'a Buffer<f32>, rounded: &'a Buffer<bf16>) -> &'a [bf16] {
        rounded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_bf16_as_the_half_crate_does() {
        for bits in
            (0..=u32::MAX).step_by(65_521).chain([0x7f7f_ffff, 0x7f80_0000, 0xff80_0000, 0x3f80_8000, 0x3f81_8000])
        {
            let value = f32::from_bits(bits);
            if !value.is_nan() {
                assert_eq!(<bf16 as Element>::from_f32(value).to_bits(), bf16::from_f32(value).to_bits(), "{bits:x}");
            } else {
                assert!(Element::to_f32(<bf16 as Element>::from_f32(value)).is_nan(), "{bits:x}");
            }
        }
    }
}

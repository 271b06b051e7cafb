//! Micro-kernels of f32 matrix products: one small block of C, held in registers, over the whole depth.
//!
//! `a` is packed `[depth, MR]`, `b` is packed `[depth, NR]`, the result is `[MR, NR]` with rows any stride apart.
#![allow(unsafe_code)] // Vector intrinsics on packed panels; lengths are checked by `run`.

use super::epilogue::Place;
use super::pack::Panel;
use crate::isa::Isa;

/// Computes one block of C over the whole depth from panels of `P`; the right one is packed.
pub trait MicroKernel<P>: Sync {
    /// Rows and columns of a block.
    fn block(&self) -> (usize, usize);
    /// `c = a x b` over `depth`, or `c += a x b`; `c` has room for a block.
    fn run(&self, depth: usize, a: Panel<P>, b: &[P], c: Place);
}

/// The f32 micro-kernel of one instruction set.
#[derive(Clone, Copy)]
pub struct F32Kernel {
    /// Rows of a block of C.
    mr: usize,
    /// Columns of a block of C.
    nr: usize,
    function: unsafe fn(usize, *const f32, *const f32, Place),
}

impl F32Kernel {
    /// The kernel of `isa` (AMX has none of its own for f32 and takes AVX-512's).
    ///
    /// # Panics
    /// If the instruction set is not available.
    pub fn of(isa: Isa) -> Self {
        assert!(isa.is_available(), "{isa:?} is not available on this machine");
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Amx => Self { mr: 14, nr: 32, function: x86::avx512_14x32 },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Self { mr: 6, nr: 16, function: x86::avx2_6x16 },
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Self { mr: 8, nr: 8, function: arm::neon_8x8 },
            _ => Self { mr: 4, nr: 16, function: portable_4x16 },
        }
    }
}

impl MicroKernel<f32> for F32Kernel {
    fn block(&self) -> (usize, usize) {
        (self.mr, self.nr)
    }
    #[inline(always)]
    fn run(&self, depth: usize, a: Panel<f32>, b: &[f32], c: Place) {
        assert!(a.step == self.mr, "a packed panel");
        let a = a.data;
        assert!(a.len() >= depth * self.mr && b.len() >= depth * self.nr);
        assert!(c.shape.0 >= self.mr && c.shape.1 >= self.nr);
        // SAFETY: the lengths are checked above; `of` asked for the instruction set.
        unsafe { (self.function)(depth, a.as_ptr(), b.as_ptr(), c) }
    }
}

/// Plain Rust, written so that 128-bit vectors serve it well.
unsafe fn portable_4x16(depth: usize, a: *const f32, b: *const f32, c: Place) {
    // SAFETY: `F32Kernel::run` checked the lengths.
    let (a, b) = unsafe { (std::slice::from_raw_parts(a, depth * 4), std::slice::from_raw_parts(b, depth * 16)) };
    let mut sums = [[0f32; 16]; 4];
    for (a, b) in a.chunks_exact(4).zip(b.chunks_exact(16)) {
        for row in 0..4 {
            for column in 0..16 {
                sums[row][column] += a[row] * b[column];
            }
        }
    }
    for row in 0..4 {
        // SAFETY: `F32Kernel::run` checked that `c` has 4 rows of 16.
        let out = unsafe { std::slice::from_raw_parts_mut(c.data.add(row * c.stride), 16) };
        for column in 0..16 {
            out[column] = if c.add { out[column] + sums[row][column] } else { sums[row][column] };
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use crate::kernels::epilogue::Place;
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    pub unsafe fn avx512_14x32(depth: usize, mut a: *const f32, mut b: *const f32, c: Place) {
        let mut sums = [[_mm512_setzero_ps(); 2]; 14];
        // SAFETY: `F32Kernel::run` checked the lengths and the block; the pointers advance by MR and NR a step.
        unsafe {
            for _ in 0..depth {
                let b0 = _mm512_loadu_ps(b);
                let b1 = _mm512_loadu_ps(b.add(16));
                for row in 0..14 {
                    let a = _mm512_set1_ps(*a.add(row));
                    sums[row][0] = _mm512_fmadd_ps(a, b0, sums[row][0]);
                    sums[row][1] = _mm512_fmadd_ps(a, b1, sums[row][1]);
                }
                a = a.add(14);
                b = b.add(32);
            }
            for row in 0..14 {
                for half in 0..2 {
                    let out = c.data.add(row * c.stride + 16 * half);
                    let before = if c.add { _mm512_loadu_ps(out) } else { _mm512_setzero_ps() };
                    _mm512_storeu_ps(out, _mm512_add_ps(before, sums[row][half]));
                }
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2_6x16(depth: usize, mut a: *const f32, mut b: *const f32, c: Place) {
        let mut sums = [[_mm256_setzero_ps(); 2]; 6];
        // SAFETY: as above.
        unsafe {
            for _ in 0..depth {
                let b0 = _mm256_loadu_ps(b);
                let b1 = _mm256_loadu_ps(b.add(8));
                for row in 0..6 {
                    let a = _mm256_set1_ps(*a.add(row));
                    sums[row][0] = _mm256_fmadd_ps(a, b0, sums[row][0]);
                    sums[row][1] = _mm256_fmadd_ps(a, b1, sums[row][1]);
                }
                a = a.add(6);
                b = b.add(16);
            }
            for row in 0..6 {
                for half in 0..2 {
                    let out = c.data.add(row * c.stride + 8 * half);
                    let before = if c.add { _mm256_loadu_ps(out) } else { _mm256_setzero_ps() };
                    _mm256_storeu_ps(out, _mm256_add_ps(before, sums[row][half]));
                }
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use crate::kernels::epilogue::Place;
    use std::arch::aarch64::*;

    #[target_feature(enable = "neon")]
    pub unsafe fn neon_8x8(depth: usize, mut a: *const f32, mut b: *const f32, c: Place) {
        // SAFETY: `F32Kernel::run` checked the lengths and the block; the pointers advance by MR and NR a step.
        unsafe {
            let mut sums = [[vdupq_n_f32(0.0); 2]; 8];
            for _ in 0..depth {
                let (b0, b1) = (vld1q_f32(b), vld1q_f32(b.add(4)));
                for row in 0..8 {
                    let a = vdupq_n_f32(*a.add(row));
                    sums[row][0] = vfmaq_f32(sums[row][0], a, b0);
                    sums[row][1] = vfmaq_f32(sums[row][1], a, b1);
                }
                a = a.add(8);
                b = b.add(8);
            }
            for row in 0..8 {
                for half in 0..2 {
                    let out = c.data.add(row * c.stride + 4 * half);
                    let before = if c.add { vld1q_f32(out) } else { vdupq_n_f32(0.0) };
                    vst1q_f32(out, vaddq_f32(before, sums[row][half]));
                }
            }
        }
    }
}

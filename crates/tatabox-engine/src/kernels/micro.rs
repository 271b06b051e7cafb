//! Micro-kernels of f32 matrix products: one small block of C, held in registers, over the whole depth.
//!
//! `a` is packed `[depth, MR]`, `b` is packed `[depth, NR]`, the result is `tile[MR, NR]`, row-major.
#![allow(unsafe_code)] // Vector intrinsics on packed panels; lengths are checked by `run`.

use crate::isa::Isa;

/// Computes one block of C over the whole depth from packed panels of `P`.
pub trait MicroKernel<P>: Sync {
    /// Rows and columns of a block.
    fn block(&self) -> (usize, usize);
    /// `tile = a x b`, row-major, over `depth`.
    fn run(&self, depth: usize, a: &[P], b: &[P], tile: &mut [f32]);
}

/// The f32 micro-kernel of one instruction set.
#[derive(Clone, Copy)]
pub struct F32Kernel {
    /// Rows of a block of C.
    pub mr: usize,
    /// Columns of a block of C.
    pub nr: usize,
    function: unsafe fn(usize, *const f32, *const f32, *mut f32),
}

impl F32Kernel {
    /// The kernel of `isa` (AMX has none of its own for f32 and takes AVX-512's).
    pub fn of(isa: Isa) -> Self {
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
    fn run(&self, depth: usize, a: &[f32], b: &[f32], tile: &mut [f32]) {
        assert!(a.len() >= depth * self.mr && b.len() >= depth * self.nr && tile.len() >= self.mr * self.nr);
        // SAFETY: the lengths are checked above; the instruction set was detected when the kernel was chosen.
        unsafe { (self.function)(depth, a.as_ptr(), b.as_ptr(), tile.as_mut_ptr()) }
    }
}

/// Plain Rust, written so that 128-bit vectors serve it well.
unsafe fn portable_4x16(depth: usize, a: *const f32, b: *const f32, tile: *mut f32) {
    // SAFETY: `F32Kernel::run` checked the lengths.
    let (a, b, tile) = unsafe {
        (
            std::slice::from_raw_parts(a, depth * 4),
            std::slice::from_raw_parts(b, depth * 16),
            std::slice::from_raw_parts_mut(tile, 64),
        )
    };
    let mut sums = [[0f32; 16]; 4];
    for (a, b) in a.chunks_exact(4).zip(b.chunks_exact(16)) {
        for row in 0..4 {
            for column in 0..16 {
                sums[row][column] += a[row] * b[column];
            }
        }
    }
    for row in 0..4 {
        tile[row * 16..][..16].copy_from_slice(&sums[row]);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f")]
    pub unsafe fn avx512_14x32(depth: usize, mut a: *const f32, mut b: *const f32, tile: *mut f32) {
        let mut sums = [[_mm512_setzero_ps(); 2]; 14];
        // SAFETY: `F32Kernel::run` checked the lengths; the pointers advance by MR and NR a step.
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
                _mm512_storeu_ps(tile.add(row * 32), sums[row][0]);
                _mm512_storeu_ps(tile.add(row * 32 + 16), sums[row][1]);
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn avx2_6x16(depth: usize, mut a: *const f32, mut b: *const f32, tile: *mut f32) {
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
                _mm256_storeu_ps(tile.add(row * 16), sums[row][0]);
                _mm256_storeu_ps(tile.add(row * 16 + 8), sums[row][1]);
            }
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::*;

    #[target_feature(enable = "neon")]
    pub unsafe fn neon_8x8(depth: usize, mut a: *const f32, mut b: *const f32, tile: *mut f32) {
        // SAFETY: `F32Kernel::run` checked the lengths; the pointers advance by MR and NR a step.
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
                vst1q_f32(tile.add(row * 8), sums[row][0]);
                vst1q_f32(tile.add(row * 8 + 4), sums[row][1]);
            }
        }
    }
}

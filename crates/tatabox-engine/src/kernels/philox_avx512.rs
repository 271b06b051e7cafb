//! Dropout factors in AVX-512 registers: sixteen counters of Philox at once, without leaving them.
#![allow(unsafe_code)] // Vector intrinsics; the caller in `philox` checks the instruction set.

use crate::philox::{GROUP, MULTIPLIERS, ROUNDS, WEYL};
use std::arch::x86_64::*;

/// High and low halves of the products of sixteen words with a constant.
#[inline]
#[target_feature(enable = "avx512f")]
fn multiply(words: __m512i, constant: __m512i) -> (__m512i, __m512i) {
    const ODD: __mmask16 = 0b1010_1010_1010_1010;
    let even = _mm512_mul_epu32(words, constant);
    let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(words), constant);
    let high = _mm512_mask_blend_epi32(ODD, _mm512_srli_epi64::<32>(even), odd);
    let low = _mm512_mask_blend_epi32(ODD, even, _mm512_slli_epi64::<32>(odd));
    (high, low)
}

/// The factors of [`crate::philox::Dropout::scales`]: the same numbers. Counters are `[first .. first + 16, row, plane, 0]`.
#[target_feature(enable = "avx512f")]
pub fn scales(
    [first, row, plane]: [u32; 3],
    key: [u32; 2],
    (threshold, scale): (u32, f32),
    factors: &mut [f32; GROUP],
) {
    let all = |word: u32| _mm512_set1_epi32(word as i32);
    let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    let mut words = [_mm512_add_epi32(all(first), lanes), all(row), all(plane), _mm512_setzero_si512()];
    let [mut k0, mut k1] = key;
    for _ in 0..ROUNDS {
        let [x0, x1, x2, x3] = words;
        let (high0, low0) = multiply(x0, all(MULTIPLIERS[0]));
        let (high1, low1) = multiply(x2, all(MULTIPLIERS[1]));
        const XOR: i32 = 0x96; // Of three.
        words = [
            _mm512_ternarylogic_epi32::<XOR>(high1, x1, all(k0)),
            low1,
            _mm512_ternarylogic_epi32::<XOR>(high0, x3, all(k1)),
            low0,
        ];
        (k0, k1) = (k0.wrapping_add(WEYL[0]), k1.wrapping_add(WEYL[1]));
    }
    let kept = _mm512_set1_ps(scale);
    for (word, factors) in words.into_iter().zip(factors.chunks_exact_mut(32)) {
        let low = _mm512_cmpge_epu32_mask(_mm512_and_si512(word, all(0xffff)), all(threshold));
        // The high half of a word reaches the threshold if the word reaches its place there.
        let high = _mm512_cmpge_epu32_mask(word, all(threshold << 16));
        // SAFETY: 32 factors.
        unsafe {
            _mm512_storeu_ps(factors.as_mut_ptr(), _mm512_maskz_mov_ps(low, kept));
            _mm512_storeu_ps(factors.as_mut_ptr().add(16), _mm512_maskz_mov_ps(high, kept));
        }
    }
}

//! Packing in AVX-512 registers: transposes of 16 x 16 numbers by 64 shuffles instead of 256 loads and stores, and masked copies of narrow rows.
#![allow(unsafe_code)] // Vector intrinsics; the callers in `pack` check lengths and the instruction set.

use crate::element::Element;
use half::bf16;
use std::arch::x86_64::*;

/// `rows[i]` lane `j` becomes `rows[j]` lane `i`.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
    let zero = _mm512_setzero_si512();
    let (mut a, mut b) = ([zero; 16], [zero; 16]);
    for i in 0..8 {
        a[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    for i in 0..4 {
        for j in 0..2 {
            b[4 * i + 2 * j] = _mm512_unpacklo_epi64(a[4 * i + j], a[4 * i + 2 + j]);
            b[4 * i + 2 * j + 1] = _mm512_unpackhi_epi64(a[4 * i + j], a[4 * i + 2 + j]);
        }
    }
    // b[4 i + c] holds, in its 128-bit quarter q, column 4 q + c of rows 4 i .. 4 i + 4.
    let mut out = [zero; 16];
    for c in 0..4 {
        let low = _mm512_shuffle_i32x4::<0b10_00_10_00>(b[c], b[4 + c]);
        let low_odd = _mm512_shuffle_i32x4::<0b11_01_11_01>(b[c], b[4 + c]);
        let high = _mm512_shuffle_i32x4::<0b10_00_10_00>(b[8 + c], b[12 + c]);
        let high_odd = _mm512_shuffle_i32x4::<0b11_01_11_01>(b[8 + c], b[12 + c]);
        out[c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(low, high);
        out[8 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(low, high);
        out[4 + c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(low_odd, high_odd);
        out[12 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(low_odd, high_odd);
    }
    out
}

/// Sixteen elements as f32 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn load<E: Element>(source: *const E) -> __m512i {
    // SAFETY: the caller vouches for 16 elements.
    unsafe {
        if size_of::<E>() == 2 {
            _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(source.cast())))
        } else {
            _mm512_loadu_si512(source.cast())
        }
    }
}

/// Column-major columns to `panel[k, panel_stride]`, f32: `panel[k * panel_stride + lead] = source[k * stride + lead]` for `lead < leads`, and 0 for
/// `leads <= lead < width`; `width <= 16`.
///
/// # Safety
/// AVX-512 F, BW and VL; `source` holds `(depth - 1) * stride + leads` elements, `panel` holds `(depth - 1) * panel_stride + width`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub unsafe fn copy_f32<E: Element>(
    (source, stride): (*const E, usize),
    leads: usize,
    depth: usize,
    width: usize,
    (panel, panel_stride): (*mut f32, usize),
) {
    let read = ((1u32 << leads) - 1) as __mmask16;
    let write = ((1u32 << width) - 1) as __mmask16;
    for k in 0..depth {
        // SAFETY: the masks keep what this function's contract says is there.
        unsafe {
            let source = source.add(k * stride);
            let line = if size_of::<E>() == 2 {
                _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(read, source.cast())))
            } else {
                _mm512_maskz_loadu_epi32(read, source.cast())
            };
            _mm512_mask_storeu_epi32(panel.add(k * panel_stride).cast(), write, line);
        }
    }
}

/// Row-major rows to `panel[k, stride]`, f32: `panel[k * panel_stride + row] = source[row * stride + k]` for `row < rows`, `k < 16 * blocks`, and 0 for
/// `rows <= row < width`; `width <= 16`.
///
/// # Safety
/// AVX-512 F, BW and VL; `source` holds `(rows - 1) * stride + 16 * blocks` elements, `panel` holds `(16 * blocks - 1) * panel_stride + width`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub unsafe fn pack_f32<E: Element>(
    (source, stride): (*const E, usize),
    rows: usize,
    blocks: usize,
    width: usize,
    (panel, panel_stride): (*mut f32, usize),
) {
    let keep = ((1u32 << width) - 1) as __mmask16;
    for block in 0..blocks {
        let mut lines = [_mm512_setzero_si512(); 16];
        for row in 0..rows {
            // SAFETY: within the source by this function's contract.
            lines[row] = unsafe { load(source.add(row * stride + block * 16)) };
        }
        for (k, line) in transpose(lines).into_iter().enumerate() {
            // SAFETY: the mask keeps `width` numbers, which lie within the panel.
            unsafe { _mm512_mask_storeu_epi32(panel.add((block * 16 + k) * panel_stride).cast(), keep, line) };
        }
    }
}

/// Row-major bf16 to pairs: `panel[(k / 2 * panel_stride + row) * 2 + k % 2] = source[row * stride + k]` for `row < rows <= 16`, `k < 32 * blocks`, and 0 for
/// `rows <= row < 16`.
///
/// # Safety
/// AVX-512 F, BW and VL; `source` holds `(rows - 1) * stride + 32 * blocks` elements, `panel` holds `((16 * blocks - 1) * panel_stride + 16) * 2`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub unsafe fn pack_bf16_pairs(
    (source, stride): (*const bf16, usize),
    rows: usize,
    blocks: usize,
    (panel, panel_stride): (*mut bf16, usize),
) {
    for block in 0..blocks {
        let mut lines = [_mm512_setzero_si512(); 16];
        for row in 0..rows {
            // SAFETY: 32 numbers within the source by this function's contract.
            lines[row] = unsafe { _mm512_loadu_si512(source.add(row * stride + block * 32).cast()) };
        }
        for (pair, line) in transpose(lines).into_iter().enumerate() {
            // SAFETY: 16 pairs within the panel by this function's contract.
            unsafe { _mm512_storeu_si512(panel.add((block * 16 + pair) * panel_stride * 2).cast(), line) };
        }
    }
}

/// Column-major bf16 to pairs: `panel[(k / 2 * panel_stride + lead) * 2 + k % 2] = source[k * stride + lead]` for `lead < leads`, `k < depth`, and 0 for
/// `leads <= lead < 16` and for the partner of the last row of an odd depth.
///
/// # Safety
/// AVX-512 F, BW and VL; `source` holds `(depth - 1) * stride + leads` elements, `panel` holds `((depth.div_ceil(2) - 1) * panel_stride + 16) * 2`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub unsafe fn interleave_bf16_pairs(
    (source, stride): (*const bf16, usize),
    leads: usize,
    depth: usize,
    (panel, panel_stride): (*mut bf16, usize),
) {
    let keep = ((1u32 << leads) - 1) as __mmask16;
    for pair in 0..depth.div_ceil(2) {
        // SAFETY: the masks keep `leads` numbers of rows that are there; 16 pairs within the panel by this function's contract.
        unsafe {
            let even = source.add(2 * pair * stride);
            let low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(keep, even.cast()));
            let line = if 2 * pair + 1 < depth {
                let odd = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(keep, even.add(stride).cast()));
                _mm512_or_si512(low, _mm512_slli_epi32::<16>(odd))
            } else {
                low
            };
            _mm512_storeu_si512(panel.add(pair * panel_stride * 2).cast(), line);
        }
    }
}

/// Column-major bf16 to rows of 32: `out[lead * 32 + k] = source[k * stride + lead]` for `lead < 16`, `k < 32`.
///
/// # Safety
/// AVX-512 F, BW and VL; `source` holds `31 * stride + 16` elements, `out` holds 512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub unsafe fn pack_bf16_rows(source: *const bf16, stride: usize, out: *mut bf16) {
    let mut lines = [_mm512_setzero_si512(); 16];
    for (pair, line) in lines.iter_mut().enumerate() {
        // SAFETY: rows 2 pair and 2 pair + 1 of the source, 16 elements each.
        let (even, odd) = unsafe {
            let even = source.add(2 * pair * stride);
            (_mm256_loadu_si256(even.cast()), _mm256_loadu_si256(even.add(stride).cast()))
        };
        *line = _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(odd)));
    }
    for (lead, line) in transpose(lines).into_iter().enumerate() {
        // SAFETY: 16 pairs, 32 numbers, of row `lead` of the output.
        unsafe { _mm512_storeu_si512(out.add(lead * 32).cast(), line) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;

    #[test]
    fn packs_what_plain_loops_pack() {
        if !Isa::Avx512.is_available() {
            return crate::skipped("this machine has no AVX-512");
        }
        let values: Vec<f32> = (0..40 * 50).map(|index| (index % 251) as f32).collect();
        let rounded: Vec<bf16> = values.iter().map(|value| bf16::from_f32(*value)).collect();
        for rows in [1, 5, 14] {
            let mut panel = vec![f32::NAN; 32 * 14];
            // SAFETY: 13 * 50 + 32 elements of 2000, and a panel of 32 x 14.
            unsafe { pack_f32((rounded.as_ptr(), 50), rows, 2, 14, (panel.as_mut_ptr(), 14)) };
            for (index, got) in panel.iter().enumerate() {
                let (k, row) = (index / 14, index % 14);
                assert_eq!(*got, if row < rows { values[row * 50 + k] } else { 0.0 });
            }
        }
        let mut pairs = vec![bf16::NAN; 16 * 20 * 2];
        // SAFETY: 9 * 50 + 32 elements of 2000, and 15 * 20 + 16 pairs.
        unsafe { pack_bf16_pairs((rounded.as_ptr(), 50), 10, 1, (pairs.as_mut_ptr(), 20)) };
        for (k, row) in (0..32).flat_map(|k| (0..16).map(move |row| (k, row))) {
            let got = pairs[(k / 2 * 20 + row) * 2 + k % 2].to_f32();
            assert_eq!(got, if row < 10 { values[row * 50 + k] } else { 0.0 });
        }
        let mut out = vec![bf16::NAN; 512];
        // SAFETY: 31 * 50 + 16 elements of 2000.
        unsafe { pack_bf16_rows(rounded.as_ptr(), 50, out.as_mut_ptr()) };
        for (index, got) in out.iter().enumerate() {
            assert_eq!(got.to_f32(), values[index % 32 * 50 + index / 32]);
        }
    }
}

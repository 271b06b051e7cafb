//! Packing: from matrices as they lie in memory to the panels that micro-kernels read.
//!
//! A panel holds `width` rows of A, or `width` columns of B, over the whole depth. Both are the same thing seen from the product: `lead`
//! (the row of A, the column of B) and `depth`. What sticks out over an edge is filled with zeros.
#![allow(unsafe_code)] // Calling the AVX-512 transposes, with lengths checked here, and reading numbers known to be bf16 as such.

use crate::element::{Element, Precision};
use crate::isa::Isa;
use half::bf16;

/// A matrix `[rows, columns]` inside a slice, with any strides.
#[derive(Clone, Copy)]
pub struct View<'a, E> {
    data: &'a [E],
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, E> View<'a, E> {
    /// Row-major `[rows, columns]`, rows `stride` apart.
    pub fn new(data: &'a [E], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(rows == 0 || columns == 0 || (columns <= stride && data.len() >= (rows - 1) * stride + columns));
        Self { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// Some of the rows.
    pub fn rows(self, first: usize, rows: usize) -> Self {
        assert!(first + rows <= self.rows);
        Self { data: &self.data[first * self.row_stride..], rows, ..self }
    }

    /// The transposed matrix; nothing moves.
    pub fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

impl<E: Element> View<'_, E> {
    /// Some rows as a left operand of `P` that a micro-kernel can read where it lies; none if it must be packed.
    pub(super) fn panel<P: Packed>(&self, first: usize, rows: usize) -> Option<Panel<'_, P>> {
        let data = P::in_place(self.data)?;
        let fits = self.column_stride == 1 && self.columns.is_multiple_of(P::DEPTH) && first + rows <= self.rows;
        fits.then(|| Panel { data: &data[first * self.row_stride..], row: self.row_stride, step: P::DEPTH })
    }

    /// The scalar product of a row with the same row of another row-major matrix.
    #[inline(always)]
    pub fn dot(&self, other: View<E>, row: usize) -> f32 {
        assert!(self.column_stride == 1 && other.column_stride == 1 && self.columns == other.columns);
        let one = &self.data[row * self.row_stride..][..self.columns];
        let other = &other.data[row * other.row_stride..][..self.columns];
        super::math::sum([one, other], |[one, other]| one.to_f32() * other.to_f32())
    }
}

/// Some rows of A as a micro-kernel reads them, [`Packed::DEPTH`] columns at a time.
#[derive(Clone, Copy)]
pub struct Panel<'a, P> {
    /// From the first element on.
    pub data: &'a [P],
    /// From row to row, in the same columns.
    pub row: usize,
    /// From some columns to the next, in the same row.
    pub step: usize,
}

impl<'a, P: Packed> Panel<'a, P> {
    /// A packed panel of so many rows.
    pub fn packed(data: &'a [P], rows: usize) -> Self {
        Self { data, row: P::DEPTH, step: P::DEPTH * rows }
    }
}

/// What panels are made of: `f32` for vector kernels, `bf16` pairs for tiles.
pub trait Packed: Element {
    /// The multiple that the depth of a panel is padded to.
    const DEPTH: usize;
    /// Elements of a left operand that need no packing, where there are such.
    fn in_place<E: Element>(data: &[E]) -> Option<&[Self]> {
        let _ = data;
        None
    }
    /// Packs the rows of `view`, `[lead, depth]`, from `first` on as the left operand, `width` a panel, as many panels as there is room for.
    fn pack_left<E: Element>(isa: Isa, view: View<E>, first: usize, width: usize, panels: &mut [Self]);
    /// The same as the right operand (`view` is B transposed).
    fn pack_right<E: Element>(isa: Isa, view: View<E>, first: usize, width: usize, panels: &mut [Self]);
}

/// Elements of a panel.
pub fn panel_len<P: Packed>(width: usize, depth: usize) -> usize {
    width * depth.next_multiple_of(P::DEPTH)
}

impl Packed for f32 {
    const DEPTH: usize = 1;

    #[inline(always)]
    fn pack_left<E: Element>(isa: Isa, view: View<E>, first: usize, width: usize, panels: &mut [f32]) {
        // [depth, width]
        let depth = view.columns;
        let firsts = (first..view.rows).step_by(width);
        for (first, panel) in firsts.zip(panels.chunks_exact_mut((depth * width).max(1))) {
            let valid = width.min(view.rows - first);
            if valid < width {
                panel.fill(0.0);
            }
            if view.row_stride == 1 {
                if copy_columns(isa, view, first, valid, width, panel) {
                    continue;
                }
                for (k, out) in panel.chunks_exact_mut(width).enumerate() {
                    let source = &view.data[k * view.column_stride + first..][..valid];
                    for lead in 0..valid {
                        out[lead] = source[lead].to_f32();
                    }
                }
            } else {
                let done = transpose_rows(isa, view, first, valid, width, panel);
                for lead in 0..valid {
                    let source = &view.data[(first + lead) * view.row_stride..][..depth];
                    for (k, value) in source.iter().enumerate().skip(done) {
                        panel[k * width + lead] = value.to_f32();
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn pack_right<E: Element>(isa: Isa, view: View<E>, first: usize, width: usize, panels: &mut [f32]) {
        Self::pack_left(isa, view, first, width, panels);
    }
}

/// Packs columns of a column-major view by masked vector copies; false if this machine has none.
#[inline(always)]
fn copy_columns<E: Element>(
    isa: Isa,
    view: View<E>,
    first: usize,
    valid: usize,
    width: usize,
    panel: &mut [f32],
) -> bool {
    #[cfg(target_arch = "x86_64")]
    if isa >= Isa::Avx512 {
        let (depth, stride) = (view.columns, view.column_stride);
        for start in (0..if depth > 0 { valid } else { 0 }).step_by(16) {
            let (leads, width_here) = (16.min(valid - start), 16.min(width - start));
            let source = &view.data[first + start..];
            let panel = &mut panel[start..];
            assert!(source.len() >= (depth - 1) * stride + leads && panel.len() >= (depth - 1) * width + width_here);
            // SAFETY: `isa` says that AVX-512 is there; the lengths are checked above.
            unsafe {
                let (source, panel) = ((source.as_ptr(), stride), (panel.as_mut_ptr(), width));
                super::pack_avx512::copy_f32(source, leads, depth, width_here, panel);
            }
        }
        return true;
    }
    let _ = (isa, view, first, valid, width, panel);
    false
}

/// Packs rows of a row-major view by vector transposes, as far as whole blocks of 16 reach; returns how much of the depth is done.
#[inline(always)]
fn transpose_rows<E: Element>(
    isa: Isa,
    view: View<E>,
    first: usize,
    valid: usize,
    width: usize,
    panel: &mut [f32],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    if isa >= Isa::Avx512 {
        let blocks = view.columns / 16;
        assert!(panel.len() >= 16 * blocks * width);
        for start in (0..if blocks > 0 { valid } else { 0 }).step_by(16) {
            let rows = 16.min(valid - start);
            let source = &view.data[(first + start) * view.row_stride..];
            assert!(source.len() >= (rows - 1) * view.row_stride + 16 * blocks);
            let (source, panel) = ((source.as_ptr(), view.row_stride), (panel[start..].as_mut_ptr(), width));
            // SAFETY: `isa` says that AVX-512 is there; the lengths are checked above.
            unsafe { super::pack_avx512::pack_f32(source, rows, blocks, 16.min(width - start), panel) };
        }
        return blocks * 16;
    }
    let _ = (isa, view, first, valid, width, panel);
    0
}

impl Packed for bf16 {
    const DEPTH: usize = 32;

    /// A tile is loaded from rows any stride apart.
    #[inline(always)]
    fn in_place<E: Element>(data: &[E]) -> Option<&[bf16]> {
        // SAFETY: of the two formats only bf16 has this precision.
        (E::PRECISION == Precision::Bf16)
            .then(|| unsafe { std::slice::from_raw_parts(data.as_ptr().cast(), data.len()) })
    }

    #[inline(always)]
    fn pack_left<E: Element>(isa: Isa, view: View<E>, first: usize, width: usize, panels: &mut [bf16]) {
        // [depth / 32, width, 32]
        let depth = view.columns;
        let panel_len = panel_len::<bf16>(width, depth).max(1);
        let firsts = || (first..view.rows).step_by(width);
        if view.column_stride == 1 {
            for (first, panel) in firsts().zip(panels.chunks_exact_mut(panel_len)) {
                let valid = width.min(view.rows - first);
                if valid < width || !depth.is_multiple_of(32) {
                    panel.fill(bf16::ZERO);
                }
                for lead in 0..valid {
                    let source = &view.data[(first + lead) * view.row_stride..][..depth];
                    for (source, out) in source.chunks(32).zip(panel.chunks_exact_mut(width * 32)) {
                        for (out, value) in out[lead * 32..][..source.len()].iter_mut().zip(source) {
                            *out = value.to_bf16();
                        }
                    }
                }
            }
            return;
        }
        // All panels of some rows before the next rows, as they lie in memory.
        for from in (0..depth).step_by(32) {
            let ks = 32.min(depth - from);
            for (first, panel) in firsts().zip(panels.chunks_exact_mut(panel_len)) {
                let valid = width.min(view.rows - first);
                let out = &mut panel[from * width..][..32 * width];
                if valid < width || ks < 32 {
                    out.fill(bf16::ZERO);
                }
                let done = transpose_columns(isa, view, first, from, ks, valid, out);
                for k in 0..ks {
                    let source = &view.data[(from + k) * view.column_stride + first..][..valid];
                    for (lead, value) in source.iter().enumerate().skip(done) {
                        out[lead * 32 + k] = value.to_bf16();
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn pack_right<E: Element>(isa: Isa, view: View<E>, first: usize, width: usize, panels: &mut [bf16]) {
        // [depth / 2, width, 2]
        let depth = view.columns;
        let panel_len = panel_len::<bf16>(width, depth).max(1);
        let firsts = || (first..view.rows).step_by(width);
        if view.row_stride > 1 {
            for (first, panel) in firsts().zip(panels.chunks_exact_mut(panel_len)) {
                let valid = width.min(view.rows - first);
                if valid < width || !depth.is_multiple_of(32) {
                    panel.fill(bf16::ZERO);
                }
                let done = transpose_pairs(isa, view, first, valid, width, panel);
                for lead in 0..valid {
                    let source = &view.data[(first + lead) * view.row_stride..][..depth];
                    for (pair, values) in source.chunks(2).enumerate().skip(done / 2) {
                        for (odd, value) in values.iter().enumerate() {
                            panel[(pair * width + lead) * 2 + odd] = value.to_bf16();
                        }
                    }
                }
            }
            return;
        }
        // All panels of some rows before the next rows, as they lie in memory.
        for from in (0..depth).step_by(32) {
            let ks = 32.min(depth - from);
            for (first, panel) in firsts().zip(panels.chunks_exact_mut(panel_len)) {
                let valid = width.min(view.rows - first);
                let out = &mut panel[from * width..][..32 * width];
                if valid < width || ks < 32 {
                    out.fill(bf16::ZERO);
                }
                let done = interleave_columns(isa, view, first, from, ks, valid, out);
                for k in 0..ks {
                    let source = &view.data[(from + k) * view.column_stride + first..][..valid];
                    for (lead, value) in source.iter().enumerate().skip(done) {
                        out[(k / 2 * width + lead) * 2 + k % 2] = value.to_bf16();
                    }
                }
            }
        }
    }
}

/// A block of 32 of the depth of a column-major bf16 view, as rows of 32, by vector transposes; returns how many leads are done.
#[inline(always)]
fn transpose_columns<E: Element>(
    isa: Isa,
    view: View<E>,
    first: usize,
    from: usize,
    ks: usize,
    valid: usize,
    out: &mut [bf16],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    if isa >= Isa::Avx512 && E::PRECISION == Precision::Bf16 && ks == 32 {
        let leads = valid / 16 * 16;
        for lead in (0..leads).step_by(16) {
            let source = &view.data[from * view.column_stride + first + lead..];
            let out = &mut out[lead * 32..][..512];
            assert!(source.len() >= 31 * view.column_stride + 16);
            // SAFETY: `isa` says that AVX-512 is there, `E` is bf16, and the lengths are checked above.
            unsafe { super::pack_avx512::pack_bf16_rows(source.as_ptr().cast(), view.column_stride, out.as_mut_ptr()) };
        }
        return leads;
    }
    let _ = (isa, view, first, from, ks, valid, out);
    0
}

/// A block of up to 32 of the depth of a column-major bf16 view, as pairs, by vector copies; returns how many leads are done.
#[inline(always)]
fn interleave_columns<E: Element>(
    isa: Isa,
    view: View<E>,
    first: usize,
    from: usize,
    ks: usize,
    valid: usize,
    out: &mut [bf16],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    if isa >= Isa::Avx512 && E::PRECISION == Precision::Bf16 && out.len().is_multiple_of(32 * 16) {
        let width = out.len() / 32;
        for start in (0..valid).step_by(16) {
            let leads = 16.min(valid - start);
            let source = &view.data[from * view.column_stride + first + start..];
            let out = &mut out[2 * start..];
            assert!(source.len() >= (ks - 1) * view.column_stride + leads);
            assert!(out.len() >= ((ks.div_ceil(2) - 1) * width + 16) * 2);
            // SAFETY: `isa` says that AVX-512 is there, `E` is bf16, and the lengths are checked above.
            unsafe {
                let (source, out) = ((source.as_ptr().cast(), view.column_stride), (out.as_mut_ptr(), width));
                super::pack_avx512::interleave_bf16_pairs(source, leads, ks, out);
            }
        }
        return valid;
    }
    let _ = (isa, view, first, from, ks, valid, out);
    0
}

/// Rows of a row-major bf16 view as pairs by vector transposes, as far as whole blocks of 32 reach; returns how much of the depth is done.
#[inline(always)]
fn transpose_pairs<E: Element>(
    isa: Isa,
    view: View<E>,
    first: usize,
    valid: usize,
    width: usize,
    panel: &mut [bf16],
) -> usize {
    #[cfg(target_arch = "x86_64")]
    if isa >= Isa::Avx512 && E::PRECISION == Precision::Bf16 && width.is_multiple_of(16) {
        let blocks = view.columns / 32;
        assert!(panel.len() >= 32 * blocks * width);
        for start in (0..if blocks > 0 { valid } else { 0 }).step_by(16) {
            let rows = 16.min(valid - start);
            let source = &view.data[(first + start) * view.row_stride..];
            assert!(source.len() >= (rows - 1) * view.row_stride + 32 * blocks);
            let (source, panel) = ((source.as_ptr().cast(), view.row_stride), (panel[2 * start..].as_mut_ptr(), width));
            // SAFETY: `isa` says that AVX-512 is there, `E` is bf16, and the lengths are checked above.
            unsafe { super::pack_avx512::pack_bf16_pairs(source, rows, blocks, panel) };
        }
        return blocks * 32;
    }
    let _ = (isa, view, first, valid, width, panel);
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Packs with every instruction set and compares with the layout's definition.
    fn check<P: Packed, E: Element>(rows: usize, depth: usize, width: usize, first: usize) {
        let values: Vec<E> = (0..rows * depth).map(|index| E::from_f32((index % 127) as f32)).collect();
        let turned: Vec<E> = (0..rows * depth).map(|index| values[index % rows * depth + index / rows]).collect();
        let views = [View::new(&values, rows, depth, depth), View::new(&turned, depth, rows, rows).t()];
        let padded = depth.next_multiple_of(P::DEPTH);
        let expected = |lead: usize, k: usize| {
            if first + lead < rows && k < depth { values[(first + lead) * depth + k].to_f32() } else { 0.0 }
        };
        for isa in [Isa::Portable, Isa::Avx2, Isa::Avx512].into_iter().filter(|isa| isa.is_available()) {
            for view in views {
                let panels = (rows - first).div_ceil(width);
                let mut packed = vec![P::from_f32(-1.0); panels * width * padded];
                let places =
                    || (0..panels * width).flat_map(|lead| (0..padded).map(move |k| (lead / width, lead % width, k)));
                P::pack_left(isa, view, first, width, &mut packed);
                for (panel, lead, k) in places() {
                    let at = k / P::DEPTH * P::DEPTH * width + lead * P::DEPTH + k % P::DEPTH;
                    let got = packed[panel * width * padded + at].to_f32();
                    assert_eq!(got, expected(panel * width + lead, k), "left {isa:?} {panel} {lead} {k}");
                }
                packed.fill(P::from_f32(-1.0));
                P::pack_right(isa, view, first, width, &mut packed);
                let group = P::DEPTH.min(2);
                for (panel, lead, k) in places() {
                    let at = k / group * group * width + lead * group + k % group;
                    let got = packed[panel * width * padded + at].to_f32();
                    assert_eq!(got, expected(panel * width + lead, k), "right {isa:?} {panel} {lead} {k}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn panels_hold_what_their_layout_says(rows in 1usize..70, depth in 1usize..90, width in 1usize..5, first in 0usize..70) {
            let first = first % rows;
            check::<f32, f32>(rows, depth, [4, 6, 14, 32][width - 1], first);
            check::<f32, bf16>(rows, depth, [4, 6, 14, 32][width - 1], first);
            check::<bf16, bf16>(rows, depth, 32, first);
        }
    }
}

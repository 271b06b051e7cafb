//! Packing: from matrices as they lie in memory to the panels that micro-kernels read.
//!
//! A panel holds `width` rows of A, or `width` columns of B, over the whole depth. Both are the same thing seen from the product: `lead`
//! (the row of A, the column of B) and `depth`. What sticks out over an edge is filled with zeros.

use crate::element::Element;
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
    /// The scalar product of a row with the same row of another row-major matrix.
    #[inline(always)]
    pub fn dot(&self, other: View<E>, row: usize) -> f32 {
        assert!(self.column_stride == 1 && other.column_stride == 1 && self.columns == other.columns);
        let one = &self.data[row * self.row_stride..][..self.columns];
        let other = &other.data[row * other.row_stride..][..self.columns];
        super::math::sum(self.columns, |c| one[c].to_f32() * other[c].to_f32())
    }
}

/// What panels are made of: `f32` for vector kernels, `bf16` pairs for tiles.
pub trait Packed: Element {
    /// The multiple that the depth of a panel is padded to.
    const DEPTH: usize;
    /// Packs rows `first..first + width` of `view`, `[lead, depth]`, as the left operand.
    fn pack_left<E: Element>(view: View<E>, first: usize, width: usize, panel: &mut [Self]);
    /// Packs rows `first..first + width` of `view`, `[lead, depth]`, as the right operand (`view` is B transposed).
    fn pack_right<E: Element>(view: View<E>, first: usize, width: usize, panel: &mut [Self]);
}

/// Elements of a panel.
pub fn panel_len<P: Packed>(width: usize, depth: usize) -> usize {
    width * depth.next_multiple_of(P::DEPTH)
}

impl Packed for f32 {
    const DEPTH: usize = 1;

    #[inline(always)]
    fn pack_left<E: Element>(view: View<E>, first: usize, width: usize, panel: &mut [f32]) {
        // [depth, width]
        let valid = width.min(view.rows - first);
        let depth = view.columns;
        let panel = &mut panel[..depth * width];
        if valid < width {
            panel.fill(0.0);
        }
        if view.row_stride == 1 {
            for (k, out) in panel.chunks_exact_mut(width).enumerate() {
                let source = &view.data[k * view.column_stride + first..][..valid];
                for lead in 0..valid {
                    out[lead] = source[lead].to_f32();
                }
            }
        } else {
            // Sixteen of the depth at a time: one cache line of each row of the source.
            for lead in 0..valid {
                let source = &view.data[(first + lead) * view.row_stride..][..depth];
                for (k, value) in source.iter().enumerate() {
                    panel[k * width + lead] = value.to_f32();
                }
            }
        }
    }

    #[inline(always)]
    fn pack_right<E: Element>(view: View<E>, first: usize, width: usize, panel: &mut [f32]) {
        Self::pack_left(view, first, width, panel);
    }
}

impl Packed for bf16 {
    const DEPTH: usize = 32;

    #[inline(always)]
    fn pack_left<E: Element>(view: View<E>, first: usize, width: usize, panel: &mut [bf16]) {
        // [depth / 32, width, 32]
        let valid = width.min(view.rows - first);
        let depth = view.columns;
        for (block, out) in panel.chunks_exact_mut(width * 32).take(depth.div_ceil(32)).enumerate() {
            let ks = 32.min(depth - block * 32);
            if valid < width || ks < 32 {
                out.fill(bf16::ZERO);
            }
            if view.column_stride == 1 {
                for lead in 0..valid {
                    let source = &view.data[(first + lead) * view.row_stride + block * 32..][..ks];
                    for (out, value) in out[lead * 32..][..ks].iter_mut().zip(source) {
                        *out = value.to_bf16();
                    }
                }
            } else {
                for k in 0..ks {
                    let source = &view.data[(block * 32 + k) * view.column_stride + first..][..valid];
                    for (lead, value) in source.iter().enumerate() {
                        out[lead * 32 + k] = value.to_bf16();
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn pack_right<E: Element>(view: View<E>, first: usize, width: usize, panel: &mut [bf16]) {
        // [depth / 2, width, 2]
        let valid = width.min(view.rows - first);
        let depth = view.columns;
        let padded = depth.next_multiple_of(32);
        let panel = &mut panel[..padded * width];
        if valid < width || depth < padded {
            panel.fill(bf16::ZERO);
        }
        if view.row_stride == 1 {
            for (pair, out) in panel.chunks_exact_mut(2 * width).take(depth.div_ceil(2)).enumerate() {
                let even = &view.data[2 * pair * view.column_stride + first..][..valid];
                if 2 * pair + 1 < depth {
                    let odd = &view.data[(2 * pair + 1) * view.column_stride + first..][..valid];
                    for lead in 0..valid {
                        out[2 * lead] = even[lead].to_bf16();
                        out[2 * lead + 1] = odd[lead].to_bf16();
                    }
                } else {
                    for lead in 0..valid {
                        out[2 * lead] = even[lead].to_bf16();
                    }
                }
            }
        } else {
            for lead in 0..valid {
                let source = &view.data[(first + lead) * view.row_stride..][..depth];
                for (pair, values) in source.chunks(2).enumerate() {
                    for (odd, value) in values.iter().enumerate() {
                        panel[(pair * width + lead) * 2 + odd] = value.to_bf16();
                    }
                }
            }
        }
    }
}

//! What happens to a block of C before it is stored: bias, GELU, its derivative, addition to what is there.
#![allow(unsafe_code)] // Threads write disjoint blocks of one matrix; `Gemm` visits each block once.

use super::math::{gelu, gelu_derivative};
use crate::element::{Element, Precision};
use std::marker::PhantomData;

/// Where a matrix product puts its blocks.
pub trait Epilogue: Sync {
    /// Panics if a product of these sizes does not fit.
    fn check(&self, rows: usize, columns: usize);
    /// The block's own place in C, if it goes there as it is: the product is then written there, and `store` is not called for this block.
    #[inline(always)]
    fn place(&self, part: Part) -> Option<Place<'_>> {
        let _ = part;
        None
    }
    /// Asks for the memory of a block that will be stored soon: its rows lie far apart, which no processor foresees.
    fn prefetch(&self, part: Part);
    /// Takes `tile` (`FMA`: see [`super::vectorize`]), rows `stride` apart, as this block of C. Called at most once for each block, from any thread.
    fn store<const FMA: bool>(&self, part: Part, tile: &[f32], stride: usize);
}

/// A row-major matrix that threads fill block by block.
pub struct Target<'a, E> {
    data: *mut E,
    len: usize,
    stride: usize,
    columns: usize,
    borrowed: PhantomData<&'a mut [E]>,
}

/// A block of f32 that a micro-kernel writes, or adds to.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Its first element.
    pub(super) data: *mut f32,
    /// From row to row.
    pub(super) stride: usize,
    /// Rows and columns that may be written.
    pub(super) shape: (usize, usize),
    /// Whether the product is added to what is there.
    pub add: bool,
    borrowed: PhantomData<&'a mut [f32]>,
}

impl<'a> Place<'a> {
    /// A block of its own, its rows one after the other.
    pub fn of(tile: &'a mut [f32], columns: usize) -> Self {
        let shape = (tile.len() / columns, columns);
        Self { data: tile.as_mut_ptr(), stride: columns, shape, add: false, borrowed: PhantomData }
    }
}

// SAFETY: blocks are disjoint, so no element is reached by two threads.
unsafe impl<E: Send> Sync for Target<'_, E> {}
// SAFETY: a `Target` is an exclusive borrow.
unsafe impl<E: Send> Send for Target<'_, E> {}

/// A block of a [`Target`].
#[derive(Clone, Copy)]
pub struct Part {
    /// First row.
    pub row: usize,
    /// Number of rows.
    pub rows: usize,
    /// First column.
    pub column: usize,
    /// Number of columns.
    pub columns: usize,
}

impl<'a, E> Target<'a, E> {
    /// `[rows, columns]` inside `data`, rows `stride` apart.
    pub fn new(data: &'a mut [E], columns: usize, stride: usize) -> Self {
        assert!(columns <= stride);
        Self { data: data.as_mut_ptr(), len: data.len(), stride, columns, borrowed: PhantomData }
    }

    fn check(&self, rows: usize, columns: usize) {
        assert_eq!(columns, self.columns, "the columns of C");
        assert!(rows == 0 || (rows - 1) * self.stride + columns <= self.len, "C has {} elements, too few", self.len);
    }

    /// A block as a matrix of its own. Blocks that are written at the same time must not overlap: the caller's tasks each take their own.
    pub(crate) fn part(&self, part: Part) -> Target<'a, E> {
        assert!(part.column + part.columns <= self.columns, "a block beyond the last column");
        let start = part.row * self.stride + part.column;
        let len = if part.rows == 0 { 0 } else { (part.rows - 1) * self.stride + part.columns };
        assert!(start + len <= self.len, "a block beyond the last row");
        // SAFETY: `start + len` lies inside of the slice, as asserted.
        let data = unsafe { self.data.add(start) };
        Target { data, len, columns: part.columns, stride: self.stride, borrowed: self.borrowed }
    }

    /// See [`Epilogue::prefetch`].
    #[inline(always)]
    fn prefetch(&self, part: Part) {
        prefetch(self.data, self.stride, part);
    }

    /// Part of a row. Rows that are held at the same time must not overlap.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub(crate) fn row(&self, row: usize, column: usize, columns: usize) -> &mut [E] {
        let start = row * self.stride + column;
        assert!(column + columns <= self.columns && start + columns <= self.len);
        // SAFETY: the row lies inside of the slice, as asserted; an epilogue belongs to one product, whose blocks do not overlap, and other callers
        // (attention) hold disjoint rows.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), columns) }
    }
}

impl<'a, E: Element> Target<'a, E> {
    /// A block, if it is of f32.
    #[inline(always)]
    fn place(&self, part: Part, add: bool) -> Option<Place<'a>> {
        let end = (part.row + part.rows - 1) * self.stride + part.column + part.columns;
        assert!(part.rows > 0 && part.column + part.columns <= self.columns && end <= self.len);
        (E::PRECISION == Precision::F32).then(|| Place {
            // SAFETY: the block lies inside of the slice, as asserted.
            data: unsafe { self.data.add(part.row * self.stride + part.column) }.cast(),
            stride: self.stride,
            shape: (part.rows, part.columns),
            add,
            borrowed: PhantomData,
        })
    }
}

/// Bytes of a cache line.
const LINE: usize = 64;

/// Asks for a block of the matrix at `data`, rows `stride` apart.
#[inline(always)]
fn prefetch<E>(data: *const E, stride: usize, part: Part) {
    #[cfg(target_arch = "x86_64")]
    for row in part.row..part.row + part.rows {
        for column in (part.column..part.column + part.columns).step_by(LINE / size_of::<E>()) {
            // SAFETY: prefetching reads nothing, so that any address will do.
            unsafe {
                use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
                _mm_prefetch::<_MM_HINT_T0>(data.wrapping_add(row * stride + column).cast());
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (data, stride, part);
}

/// `out[c] = value(sums[c], other[c], out[c])`, sixteen at a time: all of them are computed before one is stored, so that no check for overlap
/// is needed.
#[inline(always)]
fn write_row<E: Element, X: Copy>(out: &mut [E], sums: &[f32], other: &[X], value: impl Fn(f32, X, E) -> f32) {
    let mut start = 0;
    while start + 16 <= out.len() {
        let sums: &[f32; 16] = sums[start..start + 16].try_into().expect("16 sums");
        let other: &[X; 16] = other[start..start + 16].try_into().expect("16 others");
        let out: &mut [E; 16] = (&mut out[start..start + 16]).try_into().expect("16 results");
        let mut block = [E::default(); 16];
        for lane in 0..16 {
            block[lane] = E::from_f32(value(sums[lane], other[lane], out[lane]));
        }
        *out = block;
        start += 16;
    }
    for c in start..out.len() {
        out[c] = E::from_f32(value(sums[c], other[c], out[c]));
    }
}

/// C, scaled, with an optional bias of one number a column, rounded to `E`; optionally added to what is there.
pub struct Store<'a, E> {
    target: Target<'a, E>,
    bias: Option<&'a [f32]>,
    scale: f32,
    add: bool,
}

impl<'a, E> Store<'a, E> {
    /// `[rows, columns]` inside `out`, rows `stride` apart.
    pub fn new(out: &'a mut [E], columns: usize, stride: usize) -> Self {
        Self { target: Target::new(out, columns, stride), bias: None, scale: 1.0, add: false }
    }
    /// All of a block.
    pub(crate) fn within(target: Target<'a, E>) -> Self {
        Self { target, bias: None, scale: 1.0, add: false }
    }
    /// Adds a number a column.
    pub fn bias(self, bias: &'a [f32]) -> Self {
        assert_eq!(bias.len(), self.target.columns, "the bias");
        Self { bias: Some(bias), ..self }
    }
    /// Multiplies the product.
    pub fn scale(self, scale: f32) -> Self {
        Self { scale, ..self }
    }
    /// Adds to what `out` holds instead of replacing it.
    pub fn adding(self, add: bool) -> Self {
        Self { add, ..self }
    }
}

impl<E: Element> Epilogue for Store<'_, E> {
    fn check(&self, rows: usize, columns: usize) {
        self.target.check(rows, columns);
    }
    #[inline(always)]
    fn place(&self, part: Part) -> Option<Place<'_>> {
        if self.bias.is_some() || self.scale != 1.0 { None } else { self.target.place(part, self.add) }
    }
    #[inline(always)]
    fn prefetch(&self, part: Part) {
        self.target.prefetch(part);
    }
    #[inline(always)]
    fn store<const FMA: bool>(&self, part: Part, tile: &[f32], stride: usize) {
        let Part { row, rows, column, columns } = part;
        for (index, values) in tile.chunks_exact(stride).take(rows).enumerate() {
            let values = &values[..columns];
            let out = self.target.row(row + index, column, columns);
            let scale = self.scale;
            match (self.bias, self.add) {
                (None, false) => write_row(out, values, values, |sum, _, _| scale * sum),
                (None, true) => write_row(out, values, values, |sum, _, before| before.to_f32() + scale * sum),
                (Some(bias), false) => {
                    let bias = &bias[column..][..columns];
                    write_row(out, values, bias, |sum, bias, _| scale * sum + bias);
                }
                (Some(bias), true) => {
                    let bias = &bias[column..][..columns];
                    write_row(out, values, bias, |sum, bias, before| before.to_f32() + scale * sum + bias);
                }
            }
        }
    }
}

/// `pre = C + bias`, `out = gelu(pre)`; both are stored, the first for the backward pass.
pub struct StoreGelu<'a, E> {
    pre: Target<'a, E>,
    out: Target<'a, E>,
    bias: &'a [f32],
}

impl<'a, E> StoreGelu<'a, E> {
    /// Both `[rows, bias.len()]`.
    pub fn new(pre: &'a mut [E], out: &'a mut [E], bias: &'a [f32]) -> Self {
        let columns = bias.len();
        Self { pre: Target::new(pre, columns, columns), out: Target::new(out, columns, columns), bias }
    }
}

impl<E: Element> Epilogue for StoreGelu<'_, E> {
    fn check(&self, rows: usize, columns: usize) {
        self.pre.check(rows, columns);
        self.out.check(rows, columns);
    }
    #[inline(always)]
    fn prefetch(&self, part: Part) {
        self.pre.prefetch(part);
        self.out.prefetch(part);
    }
    #[inline(always)]
    fn store<const FMA: bool>(&self, part: Part, tile: &[f32], stride: usize) {
        let Part { row, rows, column, columns } = part;
        let bias = &self.bias[column..][..columns];
        for (index, values) in tile.chunks_exact(stride).take(rows).enumerate() {
            let values = &values[..columns];
            let pre = self.pre.row(row + index, column, columns);
            let out = self.out.row(row + index, column, columns);
            write_row(pre, values, bias, |sum, bias, _| sum + bias);
            write_row(out, values, bias, |sum, bias, _| gelu::<FMA>(sum + bias));
        }
    }
}

/// `out = C * gelu'(pre)`: the gradient goes straight through the activation.
pub struct StoreThroughGelu<'a, E> {
    out: Target<'a, E>,
    pre: &'a [E],
}

impl<'a, E> StoreThroughGelu<'a, E> {
    /// Both `[rows, columns]`.
    pub fn new(out: &'a mut [E], pre: &'a [E], columns: usize) -> Self {
        Self { out: Target::new(out, columns, columns), pre }
    }
}

impl<E: Element> Epilogue for StoreThroughGelu<'_, E> {
    fn check(&self, rows: usize, columns: usize) {
        self.out.check(rows, columns);
        assert!(self.pre.len() >= rows * columns, "the activation before GELU");
    }
    #[inline(always)]
    fn prefetch(&self, part: Part) {
        self.out.prefetch(part);
        prefetch(self.pre.as_ptr(), self.out.columns, part);
    }
    #[inline(always)]
    fn store<const FMA: bool>(&self, part: Part, tile: &[f32], stride: usize) {
        let Part { row, rows, column, columns } = part;
        for (index, values) in tile.chunks_exact(stride).take(rows).enumerate() {
            let values = &values[..columns];
            let out = self.out.row(row + index, column, columns);
            let pre = &self.pre[(row + index) * self.out.columns + column..][..columns];
            write_row(out, values, pre, |sum, pre, _| sum * gelu_derivative::<FMA>(pre.to_f32()));
        }
    }
}

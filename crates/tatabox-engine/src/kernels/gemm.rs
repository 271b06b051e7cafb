//! Matrix products: operands in panels, blocks of C in registers or tiles, and an epilogue that stores them.
//!
//! C = A x B with A `[m, depth]`, B `[depth, n]`. Every element of C is summed by one thread over the depth in one order, so that the result does not
//! depend on the number of threads. Sums are f32 for both number formats.

use super::epilogue::{Epilogue, Part, Place};
use super::micro::{F32Kernel, MicroKernel};
use super::pack::{Packed, Panel, View, panel_len};
use super::vectorize::vectorized;
use crate::buffer::with_scratch;
use crate::element::{Element, Precision};
use crate::isa::Isa;
use rayon::prelude::*;
use std::ops::Range;

/// The largest block of C of any kernel.
const MAX_TILE: usize = 32 * 32;

/// Packed rows of A that one task keeps in the second-level cache, in bytes.
const LEFT_BLOCK_BYTES: usize = 512 << 10;

/// Packed columns of B that stay in that cache beside them, in bytes: each panel of A meets all of them in turn, so that C is stored along its rows.
const RIGHT_BLOCK_BYTES: usize = 512 << 10;

/// Panels of B that one task packs.
const PACKED_PANELS: usize = 8;

/// The matrix kernels of one instruction set and number format.
#[derive(Clone, Copy)]
pub struct Gemm {
    isa: Isa,
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))] // Only tiles ask.
    precision: Precision,
}

impl Gemm {
    /// The kernels of `isa` for operands stored as `E`.
    ///
    /// # Panics
    /// If the instruction set is not available.
    pub fn new<E: Element>(isa: Isa) -> Self {
        assert!(isa.is_available(), "{isa:?} is not available on this machine");
        Self { isa, precision: E::PRECISION }
    }

    /// The instruction set; row kernels use it too.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Floating-point operations of a product.
    pub fn flops(m: usize, n: usize, depth: usize) -> u64 {
        2 * m as u64 * n as u64 * depth as u64
    }

    /// The product on all threads of the current pool.
    pub fn parallel<A: Element, B: Element>(&self, a: View<A>, b: View<B>, epilogue: impl Epilogue) {
        self.run(a, b, epilogue, true);
    }

    /// The product on this thread.
    pub fn serial<A: Element, B: Element>(&self, a: View<A>, b: View<B>, epilogue: impl Epilogue) {
        self.run(a, b, epilogue, false);
    }

    fn run<A: Element, B: Element>(&self, a: View<A>, b: View<B>, epilogue: impl Epilogue, parallel: bool) {
        self.with_right(b, parallel, |right| self.multiply(a, right, epilogue, parallel));
    }

    /// Packs the right operand once for several products on this thread.
    pub fn with_packed<B: Element, R>(&self, b: View<B>, work: impl FnOnce(&Right) -> R) -> R {
        self.with_right(b, false, work)
    }

    /// A x B with B packed before, on this thread.
    pub fn serial_packed<A: Element>(&self, a: View<A>, b: &Right, epilogue: impl Epilogue) {
        self.multiply(a, b, epilogue, false);
    }

    fn with_right<B: Element, R>(&self, b: View<B>, parallel: bool, work: impl FnOnce(&Right) -> R) -> R {
        let (depth, columns) = (b.rows, b.columns);
        #[cfg(target_arch = "x86_64")]
        if self.has_tiles() {
            return pack(self.isa, super::amx::BLOCK, b, parallel, |panels| {
                work(&Right { depth, columns, panels: Panels::Bf16(panels) })
            });
        }
        let (_, width) = F32Kernel::of(self.isa).block();
        pack(self.isa, width, b, parallel, |panels| work(&Right { depth, columns, panels: Panels::F32(panels) }))
    }

    fn multiply<A: Element>(&self, a: View<A>, b: &Right, epilogue: impl Epilogue, parallel: bool) {
        assert_eq!(a.columns, b.depth, "the depths of A and B");
        epilogue.check(a.rows, b.columns);
        match b.panels {
            Panels::F32(panels) => {
                let kernel = F32Kernel::of(self.isa);
                let blocks = Blocks { kernel, isa: self.isa, columns: b.columns };
                blocks.product(a, panels, &epilogue, parallel);
            }
            #[cfg(target_arch = "x86_64")]
            Panels::Bf16(panels) => {
                let blocks = Blocks { kernel: super::amx::Tiles, isa: self.isa, columns: b.columns };
                blocks.product(a, panels, &epilogue, parallel);
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn has_tiles(&self) -> bool {
        self.isa == Isa::Amx && self.precision == Precision::Bf16
    }
}

/// A packed right operand.
pub struct Right<'a> {
    depth: usize,
    columns: usize,
    panels: Panels<'a>,
}

enum Panels<'a> {
    F32(&'a [f32]),
    #[cfg(target_arch = "x86_64")]
    Bf16(&'a [half::bf16]),
}

/// Packs B into scratch, panel by panel.
fn pack<P: Packed, B: Element, R>(
    isa: Isa,
    width: usize,
    b: View<B>,
    parallel: bool,
    work: impl FnOnce(&[P]) -> R,
) -> R {
    let panel_len = panel_len::<P>(width, b.rows).max(1);
    with_scratch(b.columns.div_ceil(width) * panel_len, |right: &mut [P]| {
        let pack = |(task, out): (usize, &mut [P])| {
            pack_panels::<P, B>(isa, isa, b.t(), task * PACKED_PANELS * width, width, out);
        };
        let chunk = PACKED_PANELS * panel_len;
        if parallel {
            right.par_chunks_mut(chunk).enumerate().for_each(pack);
        } else {
            right.chunks_mut(chunk).enumerate().for_each(pack);
        }
        work(right)
    })
}

vectorized! {
    fn pack_panels[P: Packed, B: Element](kind: Isa, view: View<B>, first: usize, width: usize, panels: &mut [P]) {
        P::pack_right(kind, view, first, width, panels);
    }

    /// Some rows of C, some panels of columns.
    fn multiply_block[P: Packed, K: MicroKernel<P>, A: Element, S: Epilogue](
        kind: Isa,
        kernel: &K,
        a: View<A>,
        rows: Range<usize>,
        panels: Range<usize>,
        columns: usize,
        left: &mut [P],
        right: &[P],
        epilogue: &S,
    ) {
        let (mr, nr) = kernel.block();
        let padded = a.columns.next_multiple_of(P::DEPTH);
        let (left_len, right_len) = (panel_len::<P>(mr, a.columns).max(1), panel_len::<P>(nr, a.columns).max(1));
        let mut tile = [0f32; MAX_TILE];
        // What cannot be read where it lies: all of it, or the rows that do not fill a panel.
        let in_place = |index: usize| a.panel::<P>(rows.start + index * mr, mr);
        let whole = if in_place(0).is_some() { rows.len() / mr } else { 0 };
        if rows.len() > whole * mr {
            P::pack_left(kind, a, rows.start + whole * mr, mr, &mut left[whole * left_len..]);
        }
        let per_chunk = (RIGHT_BLOCK_BYTES / (right_len * size_of::<P>())).max(1);
        for chunk in panels.clone().step_by(per_chunk) {
            for (index, left) in left.chunks(left_len).enumerate() {
                let row = rows.start + index * mr;
                let left = in_place(index).unwrap_or(Panel::packed(left, mr));
                for panel in chunk..panels.end.min(chunk + per_chunk) {
                    let column = panel * nr;
                    let right = &right[panel * right_len..][..right_len];
                    let (valid_rows, valid_columns) = (mr.min(rows.end - row), nr.min(columns - column));
                    let part = Part { row, rows: valid_rows, column, columns: valid_columns };
                    let is_whole = (valid_rows, valid_columns) == (mr, nr);
                    match epilogue.place(part).filter(|_| is_whole) {
                        Some(place) => {
                            if place.add {
                                epilogue.prefetch(part);
                            }
                            kernel.run(padded, left, right, place);
                        }
                        None => {
                            epilogue.prefetch(part);
                            kernel.run(padded, left, right, Place::of(&mut tile[..mr * nr], nr));
                            epilogue.store::<FMA>(part, &tile, nr);
                        }
                    }
                }
            }
        }
    }
}

/// A micro-kernel, and the columns of C.
struct Blocks<K> {
    kernel: K,
    isa: Isa,
    columns: usize,
}

impl<K> Blocks<K> {
    fn product<P: Packed, A: Element>(&self, a: View<A>, right: &[P], epilogue: &impl Epilogue, parallel: bool)
    where
        K: MicroKernel<P>,
    {
        if a.rows == 0 || self.columns == 0 {
            return;
        }
        let (mr, nr) = self.kernel.block();
        let panels = self.columns.div_ceil(nr);
        let row_panels = a.rows.div_ceil(mr);
        let left_len = panel_len::<P>(mr, a.columns).max(1);
        let per_block = (LEFT_BLOCK_BYTES / (left_len * size_of::<P>())).clamp(1, 16);
        let row_blocks = row_panels.div_ceil(per_block);
        let block = |row_block: usize, panels: Range<usize>| {
            let first = row_block * per_block * mr;
            let rows = first..a.rows.min(first + per_block * mr);
            with_scratch(rows.len().div_ceil(mr) * left_len, |left: &mut [P]| {
                multiply_block(self.isa, self.isa, &self.kernel, a, rows, panels, self.columns, left, right, epilogue);
            });
        };
        if !parallel {
            (0..row_blocks).for_each(|row_block| block(row_block, 0..panels));
            return;
        }
        // A few tasks a thread, so that they end together; columns are split only where rows do not give enough.
        let wanted = 4 * rayon::current_num_threads();
        let chunks = wanted.div_ceil(row_blocks).min(panels.div_ceil(4)).max(1);
        let per_chunk = panels.div_ceil(chunks);
        (0..row_blocks * chunks).into_par_iter().for_each(|task| {
            let (row_block, chunk) = (task / chunks, task % chunks);
            block(row_block, (chunk * per_chunk).min(panels)..((chunk + 1) * per_chunk).min(panels));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::epilogue::Store;
    use half::bf16;
    use proptest::prelude::*;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; count];
        crate::philox::fill_normal(&mut values, 1.0, seed, 0);
        values
    }

    /// Plain f64 product of `[m, depth]` and `[depth, n]`.
    fn reference(a: &[f32], b: &[f32], m: usize, n: usize, depth: usize) -> Vec<f64> {
        let mut c = vec![0.0; m * n];
        for i in 0..m {
            for k in 0..depth {
                for j in 0..n {
                    c[i * n + j] += f64::from(a[i * depth + k]) * f64::from(b[k * n + j]);
                }
            }
        }
        c
    }

    fn transposed<E: Copy>(values: &[E], rows: usize, columns: usize) -> Vec<E> {
        (0..rows * columns).map(|index| values[index % rows * columns + index / rows]).collect()
    }

    const GAP: usize = 3;

    /// Rows `GAP` further apart, with what must not be read between them.
    fn spread<E: Element>(values: &[E], columns: usize) -> Vec<E> {
        let gap = [E::from_f32(f32::NAN); GAP];
        values.chunks(columns).flat_map(|row| row.iter().chain(&gap)).copied().collect()
    }

    fn check<E: Element>(isa: Isa, m: usize, n: usize, depth: usize) {
        let round = |values: Vec<f32>| values.into_iter().map(E::from_f32).collect::<Vec<E>>();
        let (a, b) = (round(numbers(m * depth, 1)), round(numbers(depth * n, 2)));
        let exact = |values: &[E]| values.iter().map(|value| value.to_f32()).collect::<Vec<f32>>();
        let expected = reference(&exact(&a), &exact(&b), m, n, depth);
        let (at, bt) = (transposed(&a, m, depth), transposed(&b, depth, n));
        let gemm = Gemm::new::<E>(isa);
        let far = spread(&a, depth);
        let lefts =
            [View::new(&a, m, depth, depth), View::new(&far, m, depth, depth + GAP), View::new(&at, depth, m, m).t()];
        let rights = [View::new(&b, depth, n, n), View::new(&bt, n, depth, depth).t()];
        for (left, a) in lefts.into_iter().enumerate() {
            for (right, b) in rights.into_iter().enumerate() {
                for parallel in [false, true] {
                    let mut c = vec![f32::NAN; m * n];
                    gemm.run(a, b, Store::new(&mut c, n, n), parallel);
                    for (index, (got, expected)) in c.iter().zip(&expected).enumerate() {
                        assert!(
                            (f64::from(*got) - expected).abs() < 2e-5 * (1.0 + depth as f64),
                            "{isa:?} {m}x{depth}x{n}, layouts {left} {right}, element {index}: {got} for {expected}"
                        );
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_kernel_and_layout_equals_f64(m in 1usize..80, n in 1usize..90, depth in 1usize..100) {
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                check::<f32>(isa, m, n, depth);
                check::<bf16>(isa, m, n, depth);
            }
        }
    }

    #[test]
    fn rows_that_need_no_packing_equal_f64() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for (m, n, depth) in [(32, 32, 32), (69, 70, 64), (600, 40, 96), (31, 33, 32), (35, 700, 420)] {
                check::<f32>(isa, m, n, depth);
                check::<bf16>(isa, m, n, depth);
            }
        }
    }

    fn same_bytes_with_any_number_of_threads<E: Element>(isa: Isa) {
        // Two blocks of rows, and more panels of columns than one task takes.
        let (m, n, depth) = (500, 900, 65);
        let round = |values: Vec<f32>| values.into_iter().map(E::from_f32).collect::<Vec<E>>();
        let (a, b) = (round(numbers(m * depth, 1)), round(numbers(depth * n, 2)));
        let with_threads = |threads: usize| {
            let mut c = vec![0f32; m * n];
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                let (a, b) = (View::new(&a, m, depth, depth), View::new(&b, depth, n, n));
                Gemm::new::<E>(isa).parallel(a, b, Store::new(&mut c, n, n));
            });
            c
        };
        let one = with_threads(1);
        assert!(one == with_threads(2) && one == with_threads(7), "{isa:?} {:?}", E::PRECISION);
    }

    #[test]
    fn does_not_depend_on_the_number_of_threads() {
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            same_bytes_with_any_number_of_threads::<f32>(isa);
            same_bytes_with_any_number_of_threads::<bf16>(isa);
        }
    }
}

//! The ops of BERT-like models, forward and backward, one file an op, over plain slices.
//!
//! Legend of shapes: `tokens` rows of the batch, `hidden` columns, `masked` rows to be guessed, `vocabulary` token ids, `sequences`, `examples` of one
//! sequence or more, `outputs` of a head.

pub mod adamw;
pub mod attention;
pub mod cross_entropy;
pub mod embeddings;
pub mod linear;
pub mod norm;
pub mod pool;
pub mod target_loss;

use crate::element::Element;
use crate::isa::Isa;
use crate::kernels::vectorize::vectorized;
use rayon::prelude::*;

/// Rows that one task takes. Sums over rows are kept apart by such chunks and added in their order, so that no result depends on the number of threads.
pub(crate) const ROW_CHUNK: usize = 64;

/// The depth of one product where the depth is the number of tokens: longer ones are done in pieces that are added up.
pub(crate) const DEPTH_CHUNK: usize = 1024;

/// `sums[c] += sum over rows of values[row, c]`, in a fixed order.
pub(crate) fn add_column_sums<E: Element>(isa: Isa, values: &[E], sums: &mut [f32]) {
    let columns = sums.len();
    let chunk = ROW_CHUNK * columns;
    let partial_len = values.len().div_ceil(chunk.max(1)) * columns;
    crate::buffer::with_scratch(partial_len, |partials: &mut [f32]| {
        partials.par_chunks_mut(columns).zip(values.par_chunks(chunk)).for_each(|(partial, rows)| {
            partial.fill(0.0);
            add_rows(isa, rows, partial);
        });
        add_rows(isa, &*partials, sums);
    });
}

vectorized! {
    /// `sums[c] += sum over rows of values[row, c]`, row after row.
    pub(crate) fn add_rows[E: Element](values: &[E], sums: &mut [f32]) {
        let columns = sums.len();
        for row in values.chunks_exact(columns) {
            for c in 0..columns {
                sums[c] += row[c].to_f32();
            }
        }
    }
}

//! Self-attention inside each sequence: `softmax(Q K^T / sqrt(d)) V` with dropout on the probabilities (Vaswani et al. 2017).
//!
//! A task is one head of one sequence. Forward keeps only the log of each row's sum of exponentials; backward computes the probabilities and
//! the dropout again (as FlashAttention does, Dao et al. 2022). Query rows go in blocks, so that scores stay in the second-level cache.

use crate::buffer::with_scratch;
use crate::element::Element;
use crate::kernels::epilogue::{Part, Store, Target};
use crate::kernels::gemm::{Gemm, Right};
use crate::kernels::math;
use crate::kernels::pack::View;
use crate::kernels::vectorize::vectorized;
use crate::philox::{Dropout, GROUP};
use rayon::prelude::*;

/// Query rows of a block.
const BLOCK: usize = 64;

/// Shape of an attention over a batch: qkv `[tokens, 3 * heads * dim]`, out `[tokens, heads * dim]`, lse `[heads, tokens]`.
#[derive(Clone, Copy)]
pub struct Shape<'a> {
    /// Where sequences start, `[sequences + 1]`.
    pub offsets: &'a [u32],
    /// Number of heads.
    pub heads: usize,
    /// Columns of a head.
    pub dim: usize,
}

impl Shape<'_> {
    fn tokens(&self) -> usize {
        self.offsets.last().map_or(0, |end| *end as usize)
    }

    fn hidden(&self) -> usize {
        self.heads * self.dim
    }

    /// Runs `work(first row, rows, head)` for every head of every sequence, on all threads.
    fn for_each(&self, work: impl Fn(usize, usize, usize) + Sync) {
        let sequences = self.offsets.len().saturating_sub(1);
        (0..sequences * self.heads).into_par_iter().with_max_len(1).for_each(|task| {
            let (sequence, head) = (task / self.heads, task % self.heads);
            let (first, end) = (self.offsets[sequence] as usize, self.offsets[sequence + 1] as usize);
            work(first, end - first, head);
        });
    }

    /// Query, key and value of a head, each `[rows, dim]`.
    fn split<'a, E>(&self, qkv: &'a [E], first: usize, rows: usize, head: usize) -> [View<'a, E>; 3] {
        let stride = 3 * self.hidden();
        [0, 1, 2].map(|part| {
            let start = first * stride + part * self.hidden() + head * self.dim;
            View::new(&qkv[start..], rows, self.dim, stride)
        })
    }

    /// A head's columns of a `[tokens, hidden]` matrix.
    fn head<'a, E>(&self, matrix: &'a [E], first: usize, rows: usize, head: usize) -> View<'a, E> {
        View::new(&matrix[first * self.hidden() + head * self.dim..], rows, self.dim, self.hidden())
    }

    fn scale(&self) -> f32 {
        1.0 / (self.dim as f32).sqrt()
    }
}

/// Blocks of query rows of a sequence: first row and number of rows.
fn blocks(rows: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).step_by(BLOCK).map(move |first| (first, BLOCK.min(rows - first)))
}

/// Writes `out` and `lse`.
pub fn forward<E: Element>(
    gemm: &Gemm,
    shape: Shape,
    dropout: Option<Dropout>,
    qkv: &[E],
    lse: &mut [f32],
    out: &mut [E],
) {
    let (hidden, tokens) = (shape.hidden(), shape.tokens());
    let out = Target::new(&mut out[..tokens * hidden], hidden, hidden);
    let lse = Target::new(&mut lse[..tokens * shape.heads], tokens, tokens);
    shape.for_each(|first, rows, head| {
        let [query, key, value] = shape.split(qkv, first, rows, head);
        let lse = lse.part(Part { row: head, rows: 1, column: first, columns: rows });
        let block = |start: usize, count: usize, keys: &Right, values: &Right| {
            with_scratch(count * rows, |scores: &mut [f32]| {
                gemm.serial_packed(query.rows(start, count), keys, Store::new(scores, rows, rows)); // [count, rows]
                with_scratch(count * rows, |weights: &mut [E]| {
                    let place = (first + start, head);
                    let lse = lse.row(0, start, count);
                    softmax_rows(gemm.isa(), rows, scores, shape.scale(), dropout, place, lse, weights);
                    let part = Part { row: first + start, rows: count, column: head * shape.dim, columns: shape.dim };
                    let weights = View::new(weights, count, rows, rows);
                    gemm.serial_packed(weights, values, Store::within(out.part(part)));
                });
            });
        };
        gemm.with_packed(key.t(), |keys| {
            gemm.with_packed(value, |values| {
                blocks(rows).for_each(|(start, count)| block(start, count, keys, values));
            });
        });
    });
}

/// From `d_out`: the gradient of qkv, all of it replaced.
pub fn backward<E: Element>(
    gemm: &Gemm,
    shape: Shape,
    dropout: Option<Dropout>,
    qkv: &[E],
    lse: &[f32],
    out: &[E],
    d_out: &[E],
    d_qkv: &mut [E],
) {
    let (hidden, tokens) = (shape.hidden(), shape.tokens());
    let d_qkv = Target::new(&mut d_qkv[..tokens * 3 * hidden], 3 * hidden, 3 * hidden);
    shape.for_each(|first, rows, head| {
        let [query, key, value] = shape.split(qkv, first, rows, head);
        let (out, d_out) = (shape.head(out, first, rows, head), shape.head(d_out, first, rows, head));
        let lse = &lse[head * tokens + first..][..rows];
        // Where the gradients of query (0), key (1) and value (2) go.
        let gradient = |kind: usize, start: usize, count: usize| {
            let column = kind * hidden + head * shape.dim;
            Store::within(d_qkv.part(Part { row: first + start, rows: count, column, columns: shape.dim }))
        };
        // After dropout: the weights that met V. And the gradient of the unscaled scores. Both [rows, rows].
        let block = |start: usize,
                     count: usize,
                     [keys_t, values_t, keys]: [&Right; 3],
                     weights: &mut [E],
                     d_scores: &mut [E]| {
            with_scratch(2 * count * rows, |scratch: &mut [f32]| {
                let (scores, d_weights) = scratch.split_at_mut(count * rows);
                let (query, d_out, out) = (query.rows(start, count), d_out.rows(start, count), out.rows(start, count));
                gemm.serial_packed(query, keys_t, Store::new(scores, rows, rows));
                gemm.serial_packed(d_out, values_t, Store::new(d_weights, rows, rows));
                let place = (first + start, head);
                let lse = &lse[start..start + count];
                let scale = shape.scale();
                let inputs = (&*scores, &*d_weights);
                softmax_rows_backward(
                    gemm.isa(),
                    rows,
                    inputs,
                    (d_out, out),
                    lse,
                    scale,
                    dropout,
                    place,
                    (weights, d_scores),
                );
                gemm.serial_packed(View::new(d_scores, count, rows, rows), keys, gradient(0, start, count));
            });
        };
        with_scratch(2 * rows * rows, |scratch: &mut [E]| {
            let (weights, d_scores) = scratch.split_at_mut(rows * rows);
            gemm.with_packed(key.t(), |keys_t| {
                gemm.with_packed(value.t(), |values_t| {
                    gemm.with_packed(key, |keys| {
                        for (start, count) in blocks(rows) {
                            let lines = start * rows..(start + count) * rows;
                            let (weights, d_scores) = (&mut weights[lines.clone()], &mut d_scores[lines]);
                            block(start, count, [keys_t, values_t, keys], weights, d_scores);
                        }
                    });
                });
            });
            gemm.serial(View::new(d_scores, rows, rows, rows).t(), query, gradient(1, 0, rows));
            gemm.serial(View::new(weights, rows, rows, rows).t(), d_out, gradient(2, 0, rows));
        });
    });
}

vectorized! {
    /// From scores before they are scaled, `[count, rows]`, to weights after dropout and the log of each row's sum of exponentials. Overwrites the scores.
    fn softmax_rows[E: Element](
        rows: usize,
        scores: &mut [f32],
        scale: f32,
        dropout: Option<Dropout>,
        place: (usize, usize),
        lse: &mut [f32],
        weights: &mut [E],
    ) {
        let lines = scores.chunks_exact_mut(rows).zip(weights.chunks_exact_mut(rows));
        for (index, ((scores, weights), lse)) in lines.zip(lse).enumerate() {
            let (scores, weights) = (&mut scores[..rows], &mut weights[..rows]);
            let largest = math::max(scores) * scale;
            for score in scores.iter_mut() {
                *score = math::exp::<FMA>(*score * scale - largest);
            }
            let total = math::sum([&*scores], |[value]| value);
            *lse = largest + total.ln();
            if let Some(dropout) = dropout {
                dropout.apply((place.0 + index) as u32, place.1 as u32, scores);
            }
            let norm = 1.0 / total;
            for c in 0..rows {
                weights[c] = E::from_f32(scores[c] * norm);
            }
        }
    }

    /// From scores before they are scaled and the gradient of the weights, both `[count, rows]`, to the weights after dropout and the gradient of the
    /// unscaled scores.
    fn softmax_rows_backward[E: Element](
        rows: usize,
        inputs: (&[f32], &[f32]),
        outs: (View<E>, View<E>),
        lse: &[f32],
        scale: f32,
        dropout: Option<Dropout>,
        place: (usize, usize),
        results: (&mut [E], &mut [E]),
    ) {
        let lines = inputs.0.chunks_exact(rows).zip(inputs.1.chunks_exact(rows));
        let results = results.0.chunks_exact_mut(rows).zip(results.1.chunks_exact_mut(rows));
        for (index, (((scores, d_weights), (weights, d_scores)), lse)) in lines.zip(results).zip(lse).enumerate() {
            // The sum over keys of p * dp is d_out . out, with or without dropout.
            let delta = outs.0.dot(outs.1, index);
            let mut factors = [1f32; GROUP];
            let inputs = scores.chunks(GROUP).zip(d_weights.chunks(GROUP));
            let results = weights.chunks_mut(GROUP).zip(d_scores.chunks_mut(GROUP));
            for (group, ((scores, d_weights), (weights, d_scores))) in inputs.zip(results).enumerate() {
                if let Some(dropout) = dropout {
                    dropout.scales((place.0 + index) as u32, place.1 as u32, group as u32, &mut factors);
                }
                let len = scores.len();
                let (d_weights, weights, d_scores) = (&d_weights[..len], &mut weights[..len], &mut d_scores[..len]);
                let factors = &factors[..len];
                for c in 0..len {
                    let probability = math::exp::<FMA>(scores[c] * scale - lse);
                    weights[c] = E::from_f32(probability * factors[c]);
                    d_scores[c] = E::from_f32(probability * (d_weights[c] * factors[c] - delta) * scale);
                }
            }
        }
    }
}

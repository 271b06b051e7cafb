//! Self-attention inside each sequence: `softmax(Q K^T / sqrt(d)) V` with dropout on the probabilities (Vaswani et al. 2017).
//!
//! A task is one head of one sequence. Forward keeps only the log of each row's sum of exponentials; backward computes the probabilities and
//! the dropout again (as FlashAttention does, Dao et al. 2022). Query rows go in blocks, so that scores stay in the second-level cache.

use crate::buffer::with_scratch;
use crate::element::Element;
use crate::kernels::epilogue::{Part, Store, Target};
use crate::kernels::gemm::Gemm;
use crate::kernels::math;
use crate::kernels::pack::View;
use crate::kernels::vectorize::vectorize;
use crate::philox::Dropout;
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
        gemm.with_packed(key.t(), |keys| {
            gemm.with_packed(value, |values| {
                with_scratch(BLOCK * rows, |scores: &mut [f32]| {
                    with_scratch(BLOCK * rows, |weights: &mut [E]| {
                        for (start, count) in blocks(rows) {
                            gemm.serial_packed(
                                query.rows(start, count),
                                keys,
                                &Store::new(scores, rows, rows).scale(shape.scale()),
                            ); // [count, rows]
                            vectorize(gemm.isa, || {
                                for index in 0..count {
                                    let scores = &mut scores[index * rows..][..rows];
                                    let largest = math::max(scores);
                                    for score in scores.iter_mut() {
                                        *score = math::exp(*score - largest);
                                    }
                                    let total = math::sum(rows, |c| scores[c]);
                                    lse.row(0, start + index, 1)[0] = largest + total.ln();
                                    if let Some(dropout) = dropout {
                                        dropout.apply((first + start + index) as u32, head as u32, scores);
                                    }
                                    let weights = &mut weights[index * rows..][..rows];
                                    let norm = 1.0 / total;
                                    for c in 0..rows {
                                        weights[c] = E::from_f32(scores[c] * norm);
                                    }
                                }
                            });
                            let part =
                                Part { row: first + start, rows: count, column: head * shape.dim, columns: shape.dim };
                            gemm.serial_packed(
                                View::new(weights, count, rows, rows),
                                values,
                                &Store::within(out.part(part)),
                            );
                        }
                    })
                })
            })
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
        let part = |kind: usize, start: usize, count: usize| {
            let column = kind * hidden + head * shape.dim;
            Store::within(d_qkv.part(Part { row: first + start, rows: count, column, columns: shape.dim }))
        };
        // After dropout: the probabilities that met V. Before: the gradient of the scaled scores. Both [rows, rows].
        with_scratch(rows * rows, |weights: &mut [E]| {
            with_scratch(rows * rows, |d_scores: &mut [E]| {
                gemm.with_packed(key.t(), |keys_t| {
                    gemm.with_packed(value.t(), |values_t| {
                        gemm.with_packed(key, |keys| {
                            with_scratch(BLOCK * rows, |scores: &mut [f32]| {
                                with_scratch(BLOCK * rows, |d_weights: &mut [f32]| {
                                    for (start, count) in blocks(rows) {
                                        gemm.serial_packed(
                                            query.rows(start, count),
                                            keys_t,
                                            &Store::new(scores, rows, rows).scale(shape.scale()),
                                        );
                                        gemm.serial_packed(
                                            d_out.rows(start, count),
                                            values_t,
                                            &Store::new(d_weights, rows, rows),
                                        );
                                        vectorize(gemm.isa, || {
                                            for index in 0..count {
                                                let row = start + index;
                                                let lse = lse[row];
                                                // sum over keys of p * dp = d_out . out, with or without dropout.
                                                let delta = d_out.dot(out, row);
                                                let scores = &mut scores[index * rows..][..rows];
                                                let d_weights = &mut d_weights[index * rows..][..rows];
                                                let weights = &mut weights[row * rows..][..rows];
                                                let d_scores = &mut d_scores[row * rows..][..rows];
                                                probabilities_backward(
                                                    scores,
                                                    d_weights,
                                                    lse,
                                                    delta,
                                                    shape.scale(),
                                                    dropout,
                                                    ((first + row) as u32, head as u32),
                                                    weights,
                                                    d_scores,
                                                );
                                            }
                                        });
                                        let block = View::new(&d_scores[start * rows..], count, rows, rows);
                                        gemm.serial_packed(block, keys, &part(0, start, count));
                                    }
                                })
                            });
                        })
                    })
                });
                gemm.serial(View::new(d_scores, rows, rows, rows).t(), query, &part(1, 0, rows));
                gemm.serial(View::new(weights, rows, rows, rows).t(), d_out, &part(2, 0, rows));
            })
        });
    });
}

/// One query row: from scaled scores and the gradient of the weights to the weights after dropout and the gradient of the unscaled scores.
#[inline(always)]
fn probabilities_backward<E: Element>(
    scores: &[f32],
    d_weights: &[f32],
    lse: f32,
    delta: f32,
    scale: f32,
    dropout: Option<Dropout>,
    (row, plane): (u32, u32),
    weights: &mut [E],
    d_scores: &mut [E],
) {
    let mut factors = [1f32; crate::philox::GROUP];
    let chunks = scores.chunks(factors.len()).zip(d_weights.chunks(factors.len()));
    let outs = weights.chunks_mut(factors.len()).zip(d_scores.chunks_mut(factors.len()));
    for (group, ((scores, d_weights), (weights, d_scores))) in chunks.zip(outs).enumerate() {
        if let Some(dropout) = dropout {
            dropout.scales(row, plane, group as u32, &mut factors);
        }
        for c in 0..scores.len() {
            let probability = math::exp(scores[c] - lse);
            weights[c] = E::from_f32(probability * factors[c]);
            d_scores[c] = E::from_f32(probability * (d_weights[c] * factors[c] - delta) * scale);
        }
    }
}

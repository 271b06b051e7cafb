//! `out = norm(residual + dropout(x))`: LayerNorm with what BERT does before it (Ba et al. 2016; Devlin et al. 2019).

use super::{ROW_CHUNK, add_rows};
use crate::buffer::with_scratch;
use crate::element::Element;
use crate::isa::Isa;
use crate::kernels::math;
use crate::kernels::vectorize::vectorized;
use crate::philox::Dropout;
use rayon::prelude::*;

/// Gain, bias and epsilon.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    /// Gain, `[hidden]`.
    pub weight: &'a [f32],
    /// Bias, `[hidden]`.
    pub bias: &'a [f32],
    /// Added to the variance.
    pub eps: f32,
}

/// `x = residual + dropout(x)` in place, `stats[row] = (mean, 1/std)`, `out = norm(x)`.
pub fn forward<E: Element>(
    isa: Isa,
    norm: Norm,
    dropout: Option<Dropout>,
    x: &mut [E],
    residual: Option<&[E]>,
    stats: &mut [f32],
    out: &mut [E],
) {
    let hidden = norm.weight.len();
    let chunk = ROW_CHUNK * hidden;
    let tasks = x.par_chunks_mut(chunk).zip(out.par_chunks_mut(chunk)).zip(stats.par_chunks_mut(2 * ROW_CHUNK));
    tasks.enumerate().for_each(|(task, ((x, out), stats))| {
        let residual = residual.map(|residual| &residual[task * chunk..][..x.len()]);
        with_scratch(2 * hidden, |scratch: &mut [f32]| {
            forward_rows(isa, norm, dropout, task * ROW_CHUNK, x, residual, stats, out, scratch);
        });
    });
}

/// Gradients of the gain and bias of a norm, added to.
pub struct NormGradients<'a> {
    /// `[hidden]`.
    pub weight: &'a mut [f32],
    /// `[hidden]`.
    pub bias: &'a mut [f32],
}

/// From `d_out`: the gradient of `x` before dropout (replaced), and of the residual (replaced, or added to if `add`).
pub fn backward<E: Element>(
    isa: Isa,
    norm: Norm,
    gradients: NormGradients,
    dropout: Option<Dropout>,
    sum: &[E],
    stats: &[f32],
    d_out: &[E],
    d_x: &mut [E],
    d_residual: Option<(&mut [E], bool)>,
) {
    let hidden = norm.weight.len();
    let chunk = ROW_CHUNK * hidden;
    let tasks = d_out.len().div_ceil(chunk);
    with_scratch(tasks * 2 * hidden, |partials: &mut [f32]| {
        let (d_residual, add) = d_residual.map_or((None, false), |(gradient, add)| (Some(gradient), add));
        let mut residual_chunks: Vec<Option<&mut [E]>> =
            d_residual.into_iter().flat_map(|gradient| gradient.chunks_mut(chunk)).map(Some).collect();
        residual_chunks.resize_with(tasks, || None);
        partials
            .par_chunks_mut(2 * hidden)
            .zip(d_x.par_chunks_mut(chunk))
            .zip(residual_chunks.into_par_iter())
            .enumerate()
            .for_each(|(task, ((partial, d_x), d_residual))| {
                let rows = task * ROW_CHUNK..(task * ROW_CHUNK + d_x.len() / hidden);
                let block = rows.start * hidden..rows.end * hidden;
                let saved = (&sum[block.clone()], &stats[2 * rows.start..2 * rows.end], &d_out[block]);
                with_scratch(2 * hidden, |scratch: &mut [f32]| {
                    backward_rows(isa, norm, dropout, rows.start, saved, d_x, d_residual, add, partial, scratch);
                });
            });
        with_scratch(2 * hidden, |sums: &mut [f32]| {
            sums.fill(0.0);
            add_rows(isa, &*partials, sums);
            add_rows(isa, &sums[..hidden], gradients.weight);
            add_rows(isa, &sums[hidden..], gradients.bias);
        });
    });
}

/// Mean and 1/std of a row, and the row normalised: `out = (x - mean) / std * weight + bias`.
#[inline(always)]
pub(crate) fn normalize(values: &[f32], weight: &[f32], bias: &[f32], eps: f32, out: &mut [f32]) -> [f32; 2] {
    let n = values.len();
    let (weight, bias, out) = (&weight[..n], &bias[..n], &mut out[..n]);
    let mean = math::sum([values], |[value]| value) / n as f32;
    let variance = math::sum([values], |[value]| (value - mean) * (value - mean)) / n as f32;
    let rstd = 1.0 / (variance + eps).sqrt();
    for c in 0..n {
        out[c] = (values[c] - mean) * rstd * weight[c] + bias[c];
    }
    [mean, rstd]
}

/// From the gradient of a normalised row (`d_row`, replaced by the gradient of what was normalised); `d_weight` and `d_bias` are added to,
/// `hats` is overwritten.
#[inline(always)]
pub(crate) fn normalize_backward<E: Element>(
    values: &[E],
    [mean, rstd]: [f32; 2],
    weight: &[f32],
    d_row: &mut [f32],
    hats: &mut [f32],
    d_weight: &mut [f32],
    d_bias: &mut [f32],
) {
    let n = values.len();
    let (weight, d_row, hats) = (&weight[..n], &mut d_row[..n], &mut hats[..n]);
    let (d_weight, d_bias) = (&mut d_weight[..n], &mut d_bias[..n]);
    for c in 0..n {
        hats[c] = (values[c].to_f32() - mean) * rstd;
    }
    let mean_d = math::sum([&*d_row, weight], |[d, weight]| d * weight) / n as f32;
    let mean_d_hat = math::sum([&*d_row, weight, &*hats], |[d, weight, hat]| d * weight * hat) / n as f32;
    for c in 0..n {
        d_weight[c] += d_row[c] * hats[c];
    }
    for c in 0..n {
        d_bias[c] += d_row[c];
    }
    for c in 0..n {
        d_row[c] = rstd * (d_row[c] * weight[c] - mean_d - hats[c] * mean_d_hat);
    }
}

vectorized! {
    fn forward_rows[E: Element](
        norm: Norm,
        dropout: Option<Dropout>,
        first: usize,
        x: &mut [E],
        residual: Option<&[E]>,
        stats: &mut [f32],
        out: &mut [E],
        scratch: &mut [f32],
    ) {
        let hidden = norm.weight.len();
        let (row, normed) = scratch.split_at_mut(hidden);
        let (row, normed) = (&mut row[..hidden], &mut normed[..hidden]);
        let rows = x.chunks_exact_mut(hidden).zip(out.chunks_exact_mut(hidden)).zip(stats.chunks_exact_mut(2));
        for (index, ((x, out), stats)) in rows.enumerate() {
            let (x, out) = (&mut x[..hidden], &mut out[..hidden]);
            for c in 0..hidden {
                row[c] = x[c].to_f32();
            }
            if let Some(dropout) = dropout {
                dropout.apply((first + index) as u32, 0, row);
            }
            if let Some(residual) = residual {
                let residual = &residual[index * hidden..][..hidden];
                for c in 0..hidden {
                    // What the backward will read is what is normalised here.
                    x[c] = E::from_f32(row[c] + residual[c].to_f32());
                    row[c] = x[c].to_f32();
                }
            }
            let [mean, rstd] = normalize(row, norm.weight, norm.bias, norm.eps, normed);
            (stats[0], stats[1]) = (mean, rstd);
            for c in 0..hidden {
                out[c] = E::from_f32(normed[c]);
            }
        }
    }

    /// `partial` is replaced by this chunk's gradients of gain and bias, `[2, hidden]`.
    fn backward_rows[E: Element](
        norm: Norm,
        dropout: Option<Dropout>,
        first: usize,
        saved: (&[E], &[f32], &[E]),
        d_x: &mut [E],
        d_residual: Option<&mut [E]>,
        add: bool,
        partial: &mut [f32],
        scratch: &mut [f32],
    ) {
        let hidden = norm.weight.len();
        let (row, hats) = scratch.split_at_mut(hidden);
        let row = &mut row[..hidden];
        let (sum, stats, d_out) = saved;
        let d_residual = d_residual.unwrap_or_default();
        partial.fill(0.0);
        let (d_weight, d_bias) = partial.split_at_mut(hidden);
        let rows = d_x.chunks_exact_mut(hidden).zip(sum.chunks_exact(hidden)).zip(d_out.chunks_exact(hidden));
        for (index, ((d_x, sum), d_out)) in rows.enumerate() {
            let (d_x, sum, d_out) = (&mut d_x[..hidden], &sum[..hidden], &d_out[..hidden]);
            for c in 0..hidden {
                row[c] = d_out[c].to_f32();
            }
            normalize_backward(sum, [stats[2 * index], stats[2 * index + 1]], norm.weight, row, hats, d_weight, d_bias);
            if !d_residual.is_empty() {
                let d_residual = &mut d_residual[index * hidden..][..hidden];
                if add {
                    for c in 0..hidden {
                        d_residual[c] = E::from_f32(d_residual[c].to_f32() + row[c]);
                    }
                } else {
                    for c in 0..hidden {
                        d_residual[c] = E::from_f32(row[c]);
                    }
                }
            }
            if let Some(dropout) = dropout {
                dropout.apply((first + index) as u32, 0, row);
            }
            for c in 0..hidden {
                d_x[c] = E::from_f32(row[c]);
            }
        }
    }
}

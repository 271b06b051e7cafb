//! `out = dropout(norm(word[id] + position[p] + token_type[t]))`, and tables that gather gradients.

use super::norm::{Norm, NormGradients, normalize, normalize_backward};
use super::{ROW_CHUNK, add_rows};
use crate::batch::Batch;
use crate::buffer::with_scratch;
use crate::element::Element;
use crate::isa::Isa;
use crate::kernels::vectorize::vectorized;
use crate::philox::Dropout;
use rayon::prelude::*;

/// The tables, f32.
#[derive(Clone, Copy)]
pub struct Tables<'a> {
    /// `[vocabulary, hidden]`.
    pub word: &'a [f32],
    /// `[positions, hidden]`.
    pub position: &'a [f32],
    /// `[token types, hidden]`.
    pub token_type: &'a [f32],
}

/// What is looked up: the id, the position and the type of every token, `[tokens]`.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// Token ids.
    pub ids: &'a [u32],
    /// Positions in the sequence, from 0.
    pub positions: &'a [u32],
    /// Token types; empty where all are 0.
    pub types: &'a [u32],
}

/// The position of every token in its sequence, from 0, `[tokens]`.
pub fn positions(batch: &Batch, out: &mut Vec<u32>) {
    out.clear();
    for pair in batch.offsets.windows(2) {
        out.extend(0..pair[1] - pair[0]);
    }
}

/// Keeps the sum before the norm, and `stats[row] = (mean, 1/std)`.
pub fn forward<E: Element>(
    isa: Isa,
    tables: Tables,
    norm: Norm,
    dropout: Option<Dropout>,
    keys: Keys,
    sum: &mut [E],
    stats: &mut [f32],
    out: &mut [E],
) {
    let hidden = norm.weight.len();
    let chunk = ROW_CHUNK * hidden;
    let tasks = sum.par_chunks_mut(chunk).zip(out.par_chunks_mut(chunk)).zip(stats.par_chunks_mut(2 * ROW_CHUNK));
    tasks.enumerate().for_each(|(task, ((sum, out), stats))| {
        let first = task * ROW_CHUNK;
        let rows = first..first + stats.len() / 2;
        let types = if keys.types.is_empty() { keys.types } else { &keys.types[rows.clone()] };
        let keys = Keys { ids: &keys.ids[rows.clone()], positions: &keys.positions[rows], types };
        with_scratch(2 * hidden, |scratch: &mut [f32]| {
            forward_rows(isa, tables, norm, dropout, first, keys, sum, stats, out, scratch);
        });
    });
}

/// Gradients of the three tables, added to.
pub struct TableGradients<'a> {
    /// `[vocabulary, hidden]`.
    pub word: &'a mut [f32],
    /// `[positions, hidden]`.
    pub position: &'a mut [f32],
    /// `[token types, hidden]`.
    pub token_type: &'a mut [f32],
}

/// `d_out` becomes the gradient of the sum, and is added to the rows of the tables that it came from.
pub fn backward<E: Element>(
    isa: Isa,
    norm: Norm,
    norm_gradients: NormGradients,
    tables: TableGradients,
    dropout: Option<Dropout>,
    keys: Keys,
    sum: &[E],
    stats: &[f32],
    d_out: &mut [E],
) {
    let hidden = norm.weight.len();
    let chunk = ROW_CHUNK * hidden;
    with_scratch(d_out.len().div_ceil(chunk) * 3 * hidden, |partials: &mut [f32]| {
        let tasks = partials.par_chunks_mut(3 * hidden).zip(d_out.par_chunks_mut(chunk));
        tasks.enumerate().for_each(|(task, (partial, d_out))| {
            let rows = task * ROW_CHUNK..(task * ROW_CHUNK + d_out.len() / hidden);
            let (sum, stats) = (&sum[rows.start * hidden..rows.end * hidden], &stats[2 * rows.start..2 * rows.end]);
            with_scratch(2 * hidden, |scratch: &mut [f32]| {
                backward_rows(isa, norm, dropout, rows.start, sum, stats, d_out, partial, scratch);
            });
        });
        with_scratch(3 * hidden, |sums: &mut [f32]| {
            sums.fill(0.0);
            add_rows(isa, &*partials, sums);
            add_rows(isa, &sums[..hidden], norm_gradients.weight);
            add_rows(isa, &sums[hidden..2 * hidden], norm_gradients.bias);
            if keys.types.is_empty() {
                add_rows(isa, &sums[2 * hidden..], &mut tables.token_type[..hidden]);
            }
        });
    });
    if !keys.types.is_empty() {
        scatter_add(isa, keys.types, d_out, hidden, tables.token_type);
    }
    scatter_add(isa, keys.ids, d_out, hidden, tables.word);
    scatter_add(isa, keys.positions, d_out, hidden, tables.position);
}

/// `table[keys[row]] += values[row]`; rows of one key in their order, so that the sum does not depend on the number of threads.
fn scatter_add<E: Element>(isa: Isa, keys: &[u32], values: &[E], hidden: usize, table: &mut [f32]) {
    const ROWS_A_TASK: usize = 32;
    let table_rows = table.len() / hidden;
    with_scratch(table_rows + 1, |starts: &mut [u32]| {
        with_scratch(keys.len(), |order: &mut [u32]| {
            sort_by_key(keys, starts, order);
            let (starts, order) = (&*starts, &*order);
            table.par_chunks_mut(ROWS_A_TASK * hidden).enumerate().for_each(|(task, table)| {
                for (index, target) in table.chunks_exact_mut(hidden).enumerate() {
                    let key = task * ROWS_A_TASK + index;
                    let rows = &order[starts[key] as usize..starts[key + 1] as usize];
                    add_listed_rows(isa, rows, values, target);
                }
            });
        });
    });
}

/// Counting sort: `order[starts[key]..starts[key + 1]]` are the rows of a key, increasing.
fn sort_by_key(keys: &[u32], starts: &mut [u32], order: &mut [u32]) {
    starts.fill(0);
    keys.iter().for_each(|key| starts[*key as usize + 1] += 1);
    for key in 1..starts.len() {
        starts[key] += starts[key - 1];
    }
    with_scratch(starts.len(), |next: &mut [u32]| {
        next.copy_from_slice(starts);
        for (row, key) in keys.iter().enumerate() {
            order[next[*key as usize] as usize] = row as u32;
            next[*key as usize] += 1;
        }
    });
}

vectorized! {
    fn forward_rows[E: Element](
        tables: Tables,
        norm: Norm,
        dropout: Option<Dropout>,
        first: usize,
        keys: Keys,
        sum: &mut [E],
        stats: &mut [f32],
        out: &mut [E],
        scratch: &mut [f32],
    ) {
        let hidden = norm.weight.len();
        let (row, normed) = scratch.split_at_mut(hidden);
        let (row, normed) = (&mut row[..hidden], &mut normed[..hidden]);
        let rows = sum.chunks_exact_mut(hidden).zip(out.chunks_exact_mut(hidden)).zip(stats.chunks_exact_mut(2));
        for (index, ((sum, out), stats)) in rows.enumerate() {
            let (sum, out) = (&mut sum[..hidden], &mut out[..hidden]);
            let word = &tables.word[keys.ids[index] as usize * hidden..][..hidden];
            let position = &tables.position[keys.positions[index] as usize * hidden..][..hidden];
            let kind = if keys.types.is_empty() { 0 } else { keys.types[index] as usize };
            let token_type = &tables.token_type[kind * hidden..][..hidden];
            for c in 0..hidden {
                sum[c] = E::from_f32(word[c] + position[c] + token_type[c]);
                row[c] = sum[c].to_f32();
            }
            let [mean, rstd] = normalize(row, norm.weight, norm.bias, norm.eps, normed);
            (stats[0], stats[1]) = (mean, rstd);
            if let Some(dropout) = dropout {
                dropout.apply((first + index) as u32, 0, normed);
            }
            for c in 0..hidden {
                out[c] = E::from_f32(normed[c]);
            }
        }
    }

    /// `partial` is replaced by this chunk's gradients of gain, bias and token type, `[3, hidden]`; `d_out` by the gradient of the sum.
    fn backward_rows[E: Element](
        norm: Norm,
        dropout: Option<Dropout>,
        first: usize,
        sum: &[E],
        stats: &[f32],
        d_out: &mut [E],
        partial: &mut [f32],
        scratch: &mut [f32],
    ) {
        let hidden = norm.weight.len();
        let (row, hats) = scratch.split_at_mut(hidden);
        let row = &mut row[..hidden];
        partial.fill(0.0);
        let (d_weight, rest) = partial.split_at_mut(hidden);
        let (d_bias, d_type) = rest.split_at_mut(hidden);
        let d_type = &mut d_type[..hidden];
        for (index, (d_out, sum)) in d_out.chunks_exact_mut(hidden).zip(sum.chunks_exact(hidden)).enumerate() {
            let (d_out, sum) = (&mut d_out[..hidden], &sum[..hidden]);
            for c in 0..hidden {
                row[c] = d_out[c].to_f32();
            }
            if let Some(dropout) = dropout {
                dropout.apply((first + index) as u32, 0, row);
            }
            normalize_backward(sum, [stats[2 * index], stats[2 * index + 1]], norm.weight, row, hats, d_weight, d_bias);
            for c in 0..hidden {
                d_type[c] += row[c];
                d_out[c] = E::from_f32(row[c]);
            }
        }
    }

    /// `target += each row of values`, rows as listed.
    fn add_listed_rows[E: Element](order: &[u32], values: &[E], target: &mut [f32]) {
        let hidden = target.len();
        for row in order {
            let source = &values[*row as usize * hidden..][..hidden];
            for c in 0..hidden {
                target[c] += source[c].to_f32();
            }
        }
    }
}

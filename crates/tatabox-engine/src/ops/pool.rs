//! The rows of an example's sequences become one: their mean, their maximum, or a sum weighted by attention to a vector. A row is a window of a long
//! sequence, so there are few of them: no need for speed.

use crate::batch::Batch;
use crate::element::Element;

/// How, with the vector where there is one, `[columns]`.
#[derive(Clone, Copy)]
pub enum Pool<'a> {
    /// The mean.
    Mean,
    /// The largest of each column; the first of equals.
    Max,
    /// The sum weighted by softmax(x v).
    Attention(&'a [f32]),
}

/// `x [sequences, columns]` to `out [examples, columns]`.
pub fn forward<E: Element>(pool: Pool, batch: &Batch, columns: usize, x: &[E], out: &mut [E]) {
    for (example, out) in out.chunks_exact_mut(columns).enumerate() {
        let rows = batch.sequences_of(example);
        let x = &x[rows.start * columns..rows.end * columns];
        match pool {
            Pool::Max => (0..columns).for_each(|c| out[c] = x[largest(x, columns, c) * columns + c]),
            Pool::Mean | Pool::Attention(_) => {
                let shares = shares(pool, x, columns);
                for c in 0..columns {
                    let sum: f32 = shares.iter().zip(x[c..].iter().step_by(columns)).map(|(s, x)| s * x.to_f32()).sum();
                    out[c] = E::from_f32(sum);
                }
            }
        }
    }
}

/// From the gradient of the result: of x (replaced), and of the vector (added).
pub fn backward<E: Element>(
    pool: Pool,
    batch: &Batch,
    columns: usize,
    x: &[E],
    d_out: &[E],
    d_x: &mut [E],
    d_vector: Option<&mut [f32]>,
) {
    let mut d_vector = d_vector;
    for (example, d_out) in d_out.chunks_exact(columns).enumerate() {
        let rows = batch.sequences_of(example);
        let x = &x[rows.start * columns..rows.end * columns];
        let d_x = &mut d_x[rows.start * columns..rows.end * columns];
        if let Pool::Max = pool {
            d_x.fill(E::default());
            (0..columns).for_each(|c| d_x[largest(x, columns, c) * columns + c] = d_out[c]);
            continue;
        }
        let shares = shares(pool, x, columns);
        // What each share moves, and the derivative of the softmax before it.
        let dot = |row: &[E]| row.iter().zip(d_out).map(|(x, d)| x.to_f32() * d.to_f32()).sum::<f32>();
        let moves: Vec<f32> = x.chunks_exact(columns).map(dot).collect();
        let mean: f32 = shares.iter().zip(&moves).map(|(share, moved)| share * moved).sum();
        for (row, d_x) in d_x.chunks_exact_mut(columns).enumerate() {
            let d_score = shares[row] * (moves[row] - mean);
            for c in 0..columns {
                let through = if let Pool::Attention(vector) = pool { d_score * vector[c] } else { 0.0 };
                d_x[c] = E::from_f32(shares[row] * d_out[c].to_f32() + through);
            }
            if let (Pool::Attention(_), Some(d_vector)) = (pool, d_vector.as_deref_mut()) {
                (0..columns).for_each(|c| d_vector[c] += d_score * x[row * columns + c].to_f32());
            }
        }
    }
}

fn largest<E: Element>(x: &[E], columns: usize, column: usize) -> usize {
    let values = x[column..].iter().step_by(columns).map(|value| value.to_f32()).enumerate();
    values.fold((0, f32::NEG_INFINITY), |best, one| if one.1 > best.1 { one } else { best }).0
}

/// How much each row counts; together 1.
fn shares<E: Element>(pool: Pool, x: &[E], columns: usize) -> Vec<f32> {
    let rows = x.len() / columns;
    let Pool::Attention(vector) = pool else { return vec![1.0 / rows as f32; rows] };
    let score = |row: &[E]| row.iter().zip(vector).map(|(x, v)| x.to_f32() * v).sum::<f32>();
    let scores: Vec<f32> = x.chunks_exact(columns).map(score).collect();
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps: Vec<f32> = scores.iter().map(|score| (score - largest).exp()).collect();
    let total: f32 = exps.iter().sum();
    exps.into_iter().map(|exp| exp / total).collect()
}

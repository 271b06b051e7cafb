//! The ops in plain f64, one number after another, as their papers define them: what the engine is compared with.

use tatabox_engine::{Batch, Objective};

/// The error function by a series of positive terms (Abramowitz and Stegun 7.1.6): no cancellation.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut total) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / f64::from(2 * n + 1);
        total += term;
    }
    total * 2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp()
}

pub fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x / std::f64::consts::SQRT_2))
}

/// x `[rows, inputs]`, weight `[outputs, inputs]`; gives `[rows, outputs]`.
pub fn linear(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let inputs = weight.len() / bias.len();
    let output = |row: &[f64], o: usize| bias[o] + dot(row, &weight[o * inputs..][..inputs]);
    x.chunks_exact(inputs).flat_map(|row| (0..bias.len()).map(move |o| output(row, o))).collect()
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// LayerNorm of each row.
pub fn norm(x: &[f64], weight: &[f64], bias: &[f64], eps: f64) -> Vec<f64> {
    let n = weight.len();
    let mut out = Vec::with_capacity(x.len());
    for row in x.chunks_exact(n) {
        let mean = row.iter().sum::<f64>() / n as f64;
        let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n as f64;
        let rstd = 1.0 / (variance + eps).sqrt();
        out.extend((0..n).map(|c| (row[c] - mean) * rstd * weight[c] + bias[c]));
    }
    out
}

/// Query, key and value side by side, `[tokens, 3 heads dim]`, to `[tokens, heads dim]`; `factors(row, head, keys)` are dropout's.
pub fn attention(
    qkv: &[f64],
    offsets: &[u32],
    heads: usize,
    hidden: usize,
    factors: impl Fn(usize, usize, usize) -> Vec<f64>,
) -> Vec<f64> {
    let dim = hidden / heads;
    let mut out = vec![0.0; qkv.len() / 3];
    for pair in offsets.windows(2) {
        let (first, end) = (pair[0] as usize, pair[1] as usize);
        for head in 0..heads {
            let part = |row: usize, kind: usize| &qkv[row * 3 * hidden + kind * hidden + head * dim..][..dim];
            for row in first..end {
                let scores: Vec<f64> =
                    (first..end).map(|key| dot(part(row, 0), part(key, 1)) / (dim as f64).sqrt()).collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let total: f64 = scores.iter().map(|score| (score - largest).exp()).sum();
                let factors = factors(row, head, end - first);
                for (key, score) in scores.iter().enumerate() {
                    let weight = (score - largest).exp() / total * factors[key];
                    for c in 0..dim {
                        out[row * hidden + head * dim + c] += weight * part(first + key, 2)[c];
                    }
                }
            }
        }
    }
    out
}

/// The loss of each row of `[rows, outputs]`.
pub fn loss(logits: &[f64], batch: &Batch, outputs: usize, objective: &Objective) -> Vec<f64> {
    let weight = |weights: &Option<std::sync::Arc<[f32]>>, c: usize| weights.as_ref().map_or(1.0, |w| f64::from(w[c]));
    let row_loss = |(row, logits): (usize, &[f64])| match objective {
        Objective::CrossEntropy { weights, smoothing } => {
            let total = logits.iter().map(|value| value.exp()).sum::<f64>().ln();
            let (label, smoothing) = (batch.labels[row] as usize, f64::from(*smoothing));
            let spread: f64 = (0..outputs).map(|c| weight(weights, c) * (total - logits[c])).sum();
            (1.0 - smoothing) * weight(weights, label) * (total - logits[label]) + smoothing / outputs as f64 * spread
        }
        Objective::BinaryCrossEntropy { positive_weights } => (0..outputs)
            .map(|c| {
                let target = f64::from(batch.targets[row * outputs + c]);
                let (yes, no) = ((1.0 + (-logits[c]).exp()).ln(), (1.0 + logits[c].exp()).ln());
                weight(positive_weights, c) * target * yes + (1.0 - target) * no
            })
            .sum(),
        Objective::SquaredError => {
            (0..outputs).map(|c| (logits[c] - f64::from(batch.targets[row * outputs + c])).powi(2)).sum()
        }
    };
    logits.chunks_exact(outputs).enumerate().map(row_loss).collect()
}

/// The sum of rows, weighted by the softmax of their products with a vector; for a vector of zeros their mean.
pub fn pool_by(rows: &[f64], vector: &[f64]) -> Vec<f64> {
    let columns = vector.len();
    let exps: Vec<f64> = rows.chunks_exact(columns).map(|row| dot(row, vector).exp()).collect();
    let total: f64 = exps.iter().sum();
    (0..columns).map(|c| rows[c..].iter().step_by(columns).zip(&exps).map(|(x, exp)| x * exp / total).sum()).collect()
}

/// The largest of each column.
pub fn pool_largest(rows: &[f64], columns: usize) -> Vec<f64> {
    (0..columns).map(|c| rows[c..].iter().step_by(columns).copied().fold(f64::NEG_INFINITY, f64::max)).collect()
}

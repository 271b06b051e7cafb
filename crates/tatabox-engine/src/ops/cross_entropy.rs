//! Cross-entropy over the vocabulary or over classes: loss and gradient in one pass over the logits.

use crate::element::Element;
use crate::isa::Isa;
use crate::kernels::math;
use crate::kernels::vectorize::vectorized;
use rayon::prelude::*;

/// Rows that one task takes.
const ROWS_A_TASK: usize = 8;

/// `loss[row] = log sum exp(logits[row]) - logits[row, label]`, in nats; with `gradient`, `scale * (softmax - one hot)`.
/// Overwrites the logits, `[rows, outputs]`.
pub fn forward<E: Element>(
    isa: Isa,
    logits: &mut [f32],
    labels: &[u32],
    loss: &mut [f32],
    gradient: Option<(&mut [E], f32)>,
) {
    if labels.is_empty() {
        return;
    }
    let vocabulary = logits.len() / labels.len();
    let chunk = ROWS_A_TASK * vocabulary;
    let tasks = logits.par_chunks_mut(chunk).zip(labels.par_chunks(ROWS_A_TASK)).zip(loss.par_chunks_mut(ROWS_A_TASK));
    match gradient {
        None => tasks.for_each(|((logits, labels), loss)| loss_rows::<E>(isa, logits, labels, loss, None)),
        Some((gradient, scale)) => {
            tasks.zip(gradient.par_chunks_mut(chunk)).for_each(|(((logits, labels), loss), gradient)| {
                loss_rows(isa, logits, labels, loss, Some((gradient, scale)));
            });
        }
    }
}

/// As [`forward`] with a weight an output, `[outputs]`, and a share `smoothing` of each answer that is spread over all outputs: see
/// [`crate::graph::Objective::CrossEntropy`]. For heads of few outputs: one row after the other.
pub fn weighted<E: Element>(
    logits: &mut [f32],
    labels: &[u32],
    weights: Option<&[f32]>,
    smoothing: f32,
    loss: &mut [f32],
    mut gradient: Option<(&mut [E], f32)>,
) {
    let outputs = logits.len() / labels.len().max(1);
    let weight = |output: usize| weights.map_or(1.0, |weights| weights[output]);
    let spread = smoothing / outputs as f32;
    for (row, logits) in logits.chunks_exact_mut(outputs.max(1)).enumerate() {
        let label = labels[row] as usize;
        let right = (1.0 - smoothing) * weight(label);
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f32 = logits.iter().map(|value| (value - largest).exp()).sum();
        let log_total = largest + total.ln();
        // What the row's -log p count for, output by output.
        let answer = |output: usize| spread * weight(output) + if output == label { right } else { 0.0 };
        loss[row] = (0..outputs).map(|output| answer(output) * (log_total - logits[output])).sum();
        if let Some((gradient, scale)) = &mut gradient {
            let all: f32 = (0..outputs).map(answer).sum();
            for output in 0..outputs {
                let probability = (logits[output] - log_total).exp();
                gradient[row * outputs + output] = E::from_f32(*scale * (all * probability - answer(output)));
            }
        }
    }
}

vectorized! {
    fn loss_rows[E: Element](logits: &mut [f32], labels: &[u32], loss: &mut [f32], gradient: Option<(&mut [E], f32)>) {
        let vocabulary = logits.len() / labels.len();
        let (gradient, scale) = match gradient {
            Some((gradient, scale)) => (gradient, scale),
            None => (&mut [][..], 0.0),
        };
        for (index, logits) in logits.chunks_exact_mut(vocabulary).enumerate() {
            let label = labels[index] as usize;
            let logits = &mut logits[..vocabulary];
            let right = logits[label];
            let largest = math::max(logits);
            for value in logits.iter_mut() {
                *value = math::exp::<FMA>(*value - largest);
            }
            let total = math::sum([&*logits], |[value]| value);
            loss[index] = largest + total.ln() - right;
            if !gradient.is_empty() {
                let gradient = &mut gradient[index * vocabulary..][..vocabulary];
                let factor = scale / total;
                for c in 0..vocabulary {
                    gradient[c] = E::from_f32(logits[c] * factor);
                }
                gradient[label] = E::from_f32(logits[label] * factor - scale);
            }
        }
    }
}

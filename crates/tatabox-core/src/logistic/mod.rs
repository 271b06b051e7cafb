//! Linear models of k-mer counts: how much of a task can be had without a model of sequence.
//!
//! A sequence is its counts of all k-mers on its own strand, divided by the root of the sum of their squares. The weights minimise
//! `1/2 |w|² + C * sum of losses`, with the intercepts left out of the penalty. [`Logistic`] has the loss -ln p(class): scikit-learn's `LogisticRegression`.
//! [`KmerModel`] serves every task: one logistic regression for classes, one a label, and for numbers half the squared error (scikit-learn's `Ridge` with
//! `alpha = 1/C`) of targets that are first brought to mean 0 and variance 1. Nothing is drawn: the same data gives the same weights, whatever the number of threads.

mod features;
mod minimise;
mod model;

use rayon::prelude::*;

pub use features::{LONGEST_K, Row};
pub use model::KmerModel;

use minimise::minimise;

/// Examples whose gradients are summed in one task; fixed, so that the sum does not depend on the number of threads.
const CHUNK: usize = 256;

/// A fitted logistic regression.
#[derive(Clone, Debug, PartialEq)]
pub struct Logistic {
    k: usize,
    classes: usize,
    /// `[outputs][4^k + 1]`, the intercept last; one output for two classes.
    weights: Vec<f64>,
}

/// How it is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Bases of a k-mer, 1..=[`LONGEST_K`].
    pub k: usize,
    /// The weight of the data against the penalty, scikit-learn's C.
    pub c: f64,
    /// Steps at most.
    pub steps: usize,
}

impl Default for Fit {
    fn default() -> Self {
        Fit { k: 5, c: 10.0, steps: 200 }
    }
}

impl Logistic {
    /// Fits sequences (base codes, `[examples][bases]`) to their classes, `[examples]`, below `classes`, which is at least 2.
    ///
    /// # Examples
    /// ```
    /// use tatabox_core::logistic::{Fit, Logistic};
    /// let (a, t): (&[u8], &[u8]) = (&[0; 20], &[1; 20]);
    /// let model = Logistic::fit(&[a, t, a, t], &[0, 1, 0, 1], 2, Fit { k: 2, ..Fit::default() });
    /// assert!(model.probabilities(a)[0] > 0.8 && model.probabilities(t)[1] > 0.8);
    /// ```
    pub fn fit(sequences: &[&[u8]], labels: &[usize], classes: usize, fit: Fit) -> Logistic {
        let rows: Vec<Row> = sequences.par_iter().map(|codes| Row::of(codes, fit.k)).collect();
        let outputs = if classes == 2 { 1 } else { classes };
        let weights = weights(&rows, outputs, fit, |at, logits, slopes| {
            let probabilities = softmax(logits);
            for (output, slope) in slopes.iter_mut().enumerate() {
                // With two classes the one output belongs to class 1.
                let class = if outputs == 1 { 1 } else { output };
                *slope = probabilities[class] - f64::from(u8::from(labels[at] == class));
            }
            -probabilities[labels[at]].max(f64::MIN_POSITIVE).ln()
        });
        Logistic { k: fit.k, classes, weights }
    }

    /// The probability of each class, `[classes]`.
    pub fn probabilities(&self, codes: &[u8]) -> Vec<f64> {
        probabilities(&Row::of(codes, self.k), &self.weights, self.classes)
    }

    /// The probabilities of many sequences, `[sequences][classes]`.
    pub fn predict(&self, sequences: &[&[u8]]) -> Vec<Vec<f64>> {
        sequences.par_iter().map(|codes| self.probabilities(codes)).collect()
    }
}

/// The weights, `[outputs][4^k + 1]`, that minimise penalty and losses. `loss` is given the index of an example and its outputs, gives its loss, and writes
/// the slope of the loss by each output.
fn weights(rows: &[Row], outputs: usize, fit: Fit, loss: impl Fn(usize, &[f64], &mut [f64]) -> f64 + Sync) -> Vec<f64> {
    let width = (1 << (2 * fit.k)) + 1;
    let objective = |weights: &[f64], gradient: &mut [f64]| -> f64 {
        let parts: Vec<(f64, Vec<f64>)> = (rows.par_chunks(CHUNK).enumerate())
            .map(|(chunk, rows)| {
                let mut part = vec![0.0; weights.len()];
                let mut slopes = vec![0.0; outputs];
                let mut sum = 0.0;
                for (at, row) in rows.iter().enumerate() {
                    sum += loss(chunk * CHUNK + at, &outputs_of(row, weights, width), &mut slopes);
                    for (output, &slope) in slopes.iter().enumerate() {
                        row.add_to(&mut part[output * width..(output + 1) * width], slope);
                    }
                }
                (sum, part)
            })
            .collect();
        let mut total = 0.0;
        gradient.fill(0.0);
        for (sum, part) in parts {
            total += fit.c * sum;
            gradient.iter_mut().zip(part).for_each(|(sum, part)| *sum += fit.c * part);
        }
        for (at, (&weight, slope)) in weights.iter().zip(gradient).enumerate() {
            if at % width != width - 1 {
                total += 0.5 * weight * weight;
                *slope += weight;
            }
        }
        total
    };
    minimise(vec![0.0; outputs * width], fit.steps, 1e-7, objective)
}

/// Weights times counts and the intercepts, `[outputs]`.
fn outputs_of(row: &Row, weights: &[f64], width: usize) -> Vec<f64> {
    weights.chunks(width).map(|weights| row.dot(weights)).collect()
}

fn probabilities(row: &Row, weights: &[f64], classes: usize) -> Vec<f64> {
    let outputs = if classes == 2 { 1 } else { classes };
    softmax(&outputs_of(row, weights, weights.len() / outputs))
}

/// Probabilities of logits; a single logit is that of class 1 against class 0.
fn softmax(logits: &[f64]) -> Vec<f64> {
    let mut logits = if let [one] = logits { vec![0.0, *one] } else { logits.to_vec() };
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logits.iter_mut().for_each(|logit| *logit = (*logit - most).exp());
    let sum: f64 = logits.iter().sum();
    logits.iter_mut().for_each(|logit| *logit /= sum);
    logits
}

#[cfg(test)]
mod tests;

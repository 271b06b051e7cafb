//! AdamW over all parameters (Loshchilov and Hutter 2019), as `torch.optim.AdamW` computes it, with the gradient norm and clipping before it.

use crate::isa::Isa;
use crate::kernels::math;
use crate::kernels::vectorize::vectorize;
use half::bf16;
use rayon::prelude::*;

/// Elements that one task takes.
const CHUNK: usize = 1 << 14;

/// The settings of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay, for the parameters that decay.
    pub weight_decay: f32,
    /// The norm that gradients are scaled down to.
    pub max_grad_norm: Option<f32>,
    /// This step, from 1.
    pub step: u64,
}

/// The sum of squares of a gradient.
pub fn sum_of_squares(isa: Isa, gradient: &[f32]) -> f64 {
    let partials: Vec<f64> = gradient
        .par_chunks(CHUNK)
        .map(|chunk| f64::from(vectorize(isa, || math::sum(chunk.len(), |index| chunk[index] * chunk[index]))))
        .collect();
    partials.iter().sum()
}

/// A parameter with all that belongs to it, each of one length; `rounded` may be empty.
pub struct Parameter<'a> {
    /// Master weights.
    pub weights: &'a mut [f32],
    /// Their bf16 copy, or nothing.
    pub rounded: &'a mut [bf16],
    /// Gradient.
    pub gradient: &'a [f32],
    /// First moment.
    pub first: &'a mut [f32],
    /// Second moment.
    pub second: &'a mut [f32],
    /// Whether weight decay applies.
    pub decay: bool,
}

impl AdamW {
    /// One step on one parameter; the gradient counts `gradient_scale` times.
    pub fn step(&self, isa: Isa, gradient_scale: f32, parameter: Parameter) {
        // Bias corrections in f64, as Python computes them.
        let correction1 = 1.0 - f64::from(self.beta1).powi(self.step as i32);
        let correction2 = 1.0 - f64::from(self.beta2).powi(self.step as i32);
        let step_size = (f64::from(self.lr) / correction1) as f32;
        let root = correction2.sqrt() as f32;
        let keep = 1.0 - self.lr * if parameter.decay { self.weight_decay } else { 0.0 };
        let (beta1, beta2, eps) = (self.beta1, self.beta2, self.eps);
        let (rest1, rest2) = (1.0 - beta1, 1.0 - beta2);
        let Parameter { weights, rounded, gradient, first, second, .. } = parameter;
        let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
        let tasks = weights.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(moments);
        tasks.for_each(|((weights, gradient), (first, second))| {
            vectorize(isa, || {
                for i in 0..weights.len() {
                    let g = gradient[i] * gradient_scale;
                    first[i] = beta1 * first[i] + rest1 * g;
                    second[i] = beta2 * second[i] + rest2 * g * g;
                    let denominator = second[i].sqrt() / root + eps;
                    weights[i] = weights[i] * keep - step_size * first[i] / denominator;
                }
            });
        });
        round(isa, weights, rounded);
    }
}

/// Refreshes the bf16 copy of master weights, if there is one.
pub fn round(isa: Isa, weights: &[f32], rounded: &mut [bf16]) {
    rounded.par_chunks_mut(CHUNK).zip(weights.par_chunks(CHUNK)).for_each(|(rounded, weights)| {
        vectorize(isa, || {
            for (rounded, weight) in rounded.iter_mut().zip(weights) {
                *rounded = crate::element::Element::from_f32(*weight);
            }
        });
    });
}

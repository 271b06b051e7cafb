//! AdamW over all parameters (Loshchilov and Hutter 2019), as `torch.optim.AdamW` computes it, with the gradient norm and clipping before it.

use crate::element::Element;
use crate::isa::Isa;
use crate::kernels::math;
use crate::kernels::vectorize::vectorized;
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

/// Forgets a gradient.
pub fn zero(gradient: &mut [f32]) {
    gradient.par_chunks_mut(CHUNK).for_each(|chunk| chunk.fill(0.0));
}

/// The sum of squares of a gradient.
pub fn sum_of_squares(isa: Isa, gradient: &[f32]) -> f64 {
    let partials: Vec<f64> = gradient.par_chunks(CHUNK).map(|chunk| f64::from(squares(isa, chunk))).collect();
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
        let factors = Factors {
            gradient: gradient_scale,
            keep: 1.0 - self.lr * if parameter.decay { self.weight_decay } else { 0.0 },
            step_size: (f64::from(self.lr) / correction1) as f32,
            inverse_root: (1.0 / correction2.sqrt()) as f32,
        };
        let Parameter { weights, rounded, gradient, first, second, .. } = parameter;
        let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
        let tasks = weights.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK)).zip(moments);
        // The copy is made of weights that are still in the cache.
        let mut copies: Vec<&mut [bf16]> = rounded.chunks_mut(CHUNK).collect();
        copies.resize_with(tasks.len(), Default::default);
        tasks.zip(copies).for_each(|(((weights, gradient), (first, second)), rounded)| {
            step_chunk(isa, self, factors, weights, gradient, first, second);
            round_chunk(isa, weights, rounded);
        });
    }
}

/// What is the same for all elements of a parameter.
#[derive(Clone, Copy)]
struct Factors {
    gradient: f32,
    keep: f32,
    step_size: f32,
    inverse_root: f32,
}

vectorized! {
    fn squares(values: &[f32]) -> f32 {
        math::sum([values], |[value]| value * value)
    }

    fn step_chunk(adamw: &AdamW, factors: Factors, weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]) {
        let (beta1, beta2, eps) = (adamw.beta1, adamw.beta2, adamw.eps);
        let (rest1, rest2) = (1.0 - beta1, 1.0 - beta2);
        let len = weights.len();
        let (gradient, first, second) = (&gradient[..len], &mut first[..len], &mut second[..len]);
        for i in 0..len {
            let g = gradient[i] * factors.gradient;
            first[i] = beta1 * first[i] + rest1 * g;
            second[i] = beta2 * second[i] + rest2 * g * g;
            let denominator = second[i].sqrt() * factors.inverse_root + eps;
            weights[i] = weights[i] * factors.keep - factors.step_size * first[i] / denominator;
        }
    }

    fn round_chunk(weights: &[f32], rounded: &mut [bf16]) {
        for (rounded, weight) in rounded.iter_mut().zip(weights) {
            *rounded = <bf16 as Element>::from_f32(*weight);
        }
    }
}

/// Refreshes the bf16 copy of master weights, if there is one.
pub fn round(isa: Isa, weights: &[f32], rounded: &mut [bf16]) {
    let tasks = rounded.par_chunks_mut(CHUNK).zip(weights.par_chunks(CHUNK));
    tasks.for_each(|(rounded, weights)| round_chunk(isa, weights, rounded));
}

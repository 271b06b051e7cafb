//! `out = x W^T + b`, with or without the exact GELU.

use super::{DEPTH_CHUNK, add_column_sums};
use crate::element::Element;
use crate::kernels::epilogue::{Store, StoreGelu, StoreThroughGelu};
use crate::kernels::gemm::Gemm;
use crate::kernels::math::gelu_derivative;
use crate::kernels::pack::View;
use crate::kernels::vectorize::vectorized;
use rayon::prelude::*;

/// Sizes of a linear layer: x `[rows, inputs]`, W `[outputs, inputs]`, out `[rows, outputs]`.
#[derive(Clone, Copy)]
pub struct Sizes {
    /// Rows of x.
    pub rows: usize,
    /// Columns of x.
    pub inputs: usize,
    /// Columns of the result.
    pub outputs: usize,
}

/// `out = x W^T + b`; with `pre`, `pre = x W^T + b` and `out = gelu(pre)`.
pub fn forward<E: Element>(
    gemm: &Gemm,
    sizes: Sizes,
    x: &[E],
    weight: &[E],
    bias: &[f32],
    pre: Option<&mut [E]>,
    out: &mut [E],
) {
    let Sizes { rows, inputs, outputs } = sizes;
    let x = View::new(x, rows, inputs, inputs); // [rows, inputs]
    let weight = View::new(weight, outputs, inputs, inputs).t(); // [inputs, outputs]
    match pre {
        None => gemm.parallel(x, weight, Store::new(out, outputs, outputs).bias(bias)),
        Some(pre) => gemm.parallel(x, weight, StoreGelu::new(pre, out, bias)),
    }
}

/// Where the gradient of the input goes.
pub enum InputGradient<'a, E> {
    /// It replaces (`false`) or is added to (`true`) what is there.
    Plain(&'a mut [E], bool),
    /// The input left a GELU: the gradient of what went into it (`pre`) replaces what is there.
    ThroughGelu(&'a mut [E], &'a [E]),
}

/// From the gradient of the result: of the weight and bias (added), and of the input; each where it is wanted.
pub fn backward<E: Element>(
    gemm: &Gemm,
    sizes: Sizes,
    d_out: &[E],
    x: &[E],
    weight: &[E],
    d_weight: Option<&mut [f32]>,
    d_bias: Option<&mut [f32]>,
    d_x: Option<InputGradient<E>>,
) {
    let Sizes { rows, inputs, outputs } = sizes;
    if let Some(d_bias) = d_bias {
        add_column_sums(gemm.isa(), &d_out[..rows * outputs], d_bias);
    }
    if let Some(d_weight) = d_weight {
        let mut first = 0;
        while first < rows {
            let depth = DEPTH_CHUNK.min(rows - first);
            let d_out = View::new(&d_out[first * outputs..], depth, outputs, outputs).t(); // [outputs, depth]
            let x = View::new(&x[first * inputs..], depth, inputs, inputs); // [depth, inputs]
            gemm.parallel(d_out, x, Store::new(d_weight, inputs, inputs).adding(true));
            first += depth;
        }
    }
    let d_out = View::new(d_out, rows, outputs, outputs);
    let weight = View::new(weight, outputs, inputs, inputs);
    match d_x {
        None => {}
        Some(InputGradient::Plain(d_x, add)) => {
            gemm.parallel(d_out, weight, Store::new(d_x, inputs, inputs).adding(add));
        }
        Some(InputGradient::ThroughGelu(d_x, pre)) => {
            gemm.parallel(d_out, weight, StoreThroughGelu::new(d_x, pre, inputs));
        }
    }
}

/// `gradient *= gelu'(pre)`, where no matrix product came before that could do it in passing.
pub fn through_gelu<E: Element>(gemm: &Gemm, gradient: &mut [E], pre: &[E]) {
    const CHUNK: usize = 1 << 14;
    gradient
        .par_chunks_mut(CHUNK)
        .zip(pre.par_chunks(CHUNK))
        .for_each(|(gradient, pre)| multiply_by_derivative(gemm.isa(), gradient, pre));
}

vectorized! {
    fn multiply_by_derivative[E: Element](gradient: &mut [E], pre: &[E]) {
        for (gradient, pre) in gradient.iter_mut().zip(pre) {
            *gradient = E::from_f32(gradient.to_f32() * gelu_derivative::<FMA>(pre.to_f32()));
        }
    }
}

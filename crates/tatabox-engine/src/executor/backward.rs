//! The backward pass, node by node, from the last to the first that has something to learn.

use std::time::Instant;

use super::forward::drop_rows;
use super::state::{Sizes, State};
use crate::batch::Batch;
use crate::element::Element;
use crate::graph::{Node, ParamId, Pooling, TensorId};
use crate::ops::linear::{self, InputGradient};
use crate::ops::{attention, embeddings, norm, pool};
use crate::philox::{Dropout, StepKey};

/// A linear layer on the way back.
#[derive(Clone, Copy)]
struct Layer {
    x: TensorId,
    weight: ParamId,
    bias: ParamId,
    /// Nothing before it learns, so that nobody asks for the gradient of its input.
    is_last: bool,
}

impl<E: Element> State<E> {
    /// Adds the gradients of all parameters that learn, after a forward of the same batch.
    pub fn backward(&mut self, batch: &Batch, key: StepKey) {
        let sizes = Sizes::of(batch);
        // Tensors whose gradient an op further back in time has written: the next is added.
        let mut written = vec![false; self.graph.tensors.len()];
        for index in (self.first_learning..self.graph.nodes.len()).rev() {
            let start = Instant::now();
            self.backward_node(index, batch, sizes, key, &mut written);
            self.record(index, batch, start, true);
        }
        self.project_low_rank();
    }

    fn backward_node(&mut self, index: usize, batch: &Batch, sizes: Sizes, key: StepKey, written: &mut [bool]) {
        let isa = self.gemm.isa();
        let dropout_of = |p: f32| Dropout::new(isa, p, key.of_op(index));
        let mut first_write = |tensor: TensorId| !std::mem::replace(&mut written[tensor.0], true);
        match self.graph.nodes[index].clone() {
            Node::Loss { x, weight, bias, gradient, .. } => {
                let layer = Layer { x, weight, bias, is_last: index == self.first_learning };
                let add = !first_write(x);
                self.linear_backward(layer, self.linear_sizes(x, gradient, sizes), (gradient, false), add, sizes);
            }
            Node::Linear { x, weight, bias, pre, out } => {
                if let Some(pre) = pre.filter(|pre| self.gelus_before[out.0] != Some(*pre)) {
                    let slot = self.gradient_slot(out);
                    let mut gradient = self.take(slot);
                    let len = self.len(out, sizes);
                    linear::through_gelu(&self.gemm, &mut gradient[..len], self.value(pre, sizes));
                    self.put(slot, gradient);
                }
                let layer = Layer { x, weight, bias, is_last: index == self.first_learning };
                let add = !first_write(x);
                self.linear_backward(layer, self.linear_sizes(x, out, sizes), (out, true), add, sizes);
            }
            Node::Attention { qkv, heads, dropout, lse, out } => {
                let slot = self.gradient_slot(qkv);
                first_write(qkv);
                let mut d_qkv = self.take(slot);
                attention::backward(
                    &self.gemm,
                    self.attention_shape(batch, heads, out),
                    dropout_of(dropout),
                    self.value(qkv, sizes),
                    self.statistic(lse, sizes),
                    self.value(out, sizes),
                    self.gradient(out, sizes),
                    &mut d_qkv,
                );
                self.put(slot, d_qkv);
            }
            Node::ResidualNorm { x, residual, norm, dropout, stats, out } => {
                let x_slot = self.gradient_slot(x);
                first_write(x);
                let mut d_x = self.take(x_slot);
                let residual = residual.map(|tensor| (self.gradient_slot(tensor), !first_write(tensor)));
                let mut d_residual = residual.map(|(slot, _)| self.take(slot));
                let mut d_weight = std::mem::take(&mut self.gradients[norm.weight.0]);
                let mut d_bias = std::mem::take(&mut self.gradients[norm.bias.0]);
                let len = self.len(x, sizes);
                norm::backward(
                    isa,
                    self.norm(norm),
                    norm::NormGradients { weight: &mut d_weight, bias: &mut d_bias },
                    dropout_of(dropout),
                    self.value(x, sizes),
                    self.statistic(stats, sizes),
                    self.gradient(out, sizes),
                    &mut d_x[..len],
                    d_residual.as_mut().zip(residual).map(|(buffer, (_, add))| (&mut buffer[..len], add)),
                );
                self.gradients[norm.weight.0] = d_weight;
                self.gradients[norm.bias.0] = d_bias;
                self.put(x_slot, d_x);
                if let (Some(buffer), Some((slot, _))) = (d_residual, residual) {
                    self.put(slot, buffer);
                }
            }
            Node::TakeRows { x, out } => {
                let slot = self.gradient_slot(x);
                let mut d_x = self.take(slot);
                let columns = self.graph.tensors[x.0].columns;
                if first_write(x) {
                    d_x[..sizes.tokens * columns].fill(E::default());
                }
                let rows = self.taken(batch, self.graph.tensors[out.0].rows);
                for (row, d_out) in rows.iter().zip(self.gradient(out, sizes).chunks_exact(columns)) {
                    for (d_x, d_out) in d_x[*row as usize * columns..][..columns].iter_mut().zip(d_out) {
                        *d_x = E::from_f32(d_x.to_f32() + d_out.to_f32());
                    }
                }
                self.put(slot, d_x);
            }
            Node::Tanh { x, out } => {
                first_write(x);
                self.write_gradient(x, sizes, |state, d_x| {
                    let of = state.value(out, sizes).iter().zip(state.gradient(out, sizes));
                    for (d_x, (out, d_out)) in d_x.iter_mut().zip(of) {
                        *d_x = E::from_f32(d_out.to_f32() * (1.0 - out.to_f32() * out.to_f32()));
                    }
                });
            }
            Node::Dropout { x, dropout, out } => {
                first_write(x);
                let (columns, dropout) = (self.graph.tensors[x.0].columns, dropout_of(dropout));
                self.write_gradient(x, sizes, |state, d_x| {
                    drop_rows(dropout, columns, state.gradient(out, sizes), d_x);
                });
            }
            Node::Pool { x, pooling, out } => {
                first_write(x);
                let vector = if let Pooling::Attention(vector) = pooling { Some(vector.0) } else { None };
                let mut d_vector = vector.map(|vector| std::mem::take(&mut self.gradients[vector]));
                let columns = self.graph.tensors[x.0].columns;
                self.write_gradient(x, sizes, |state, d_x| {
                    let (x, d_out) = (state.value(x, sizes), state.gradient(out, sizes));
                    pool::backward(state.pool(pooling), batch, columns, x, d_out, d_x, d_vector.as_deref_mut());
                });
                if let (Some(vector), Some(d_vector)) = (vector, d_vector) {
                    self.gradients[vector] = d_vector;
                }
            }
            Node::Embeddings { word, position, token_type, norm, dropout, sum, stats, out } => {
                let slot = self.gradient_slot(out);
                let mut d_out = self.take(slot);
                let mut gradients = [word, position, token_type, norm.weight, norm.bias]
                    .map(|param| std::mem::take(&mut self.gradients[param.0]));
                let [d_word, d_position, d_type, d_weight, d_bias] = &mut gradients;
                let len = self.len(out, sizes);
                embeddings::backward(
                    isa,
                    self.norm(norm),
                    norm::NormGradients { weight: d_weight, bias: d_bias },
                    embeddings::TableGradients { word: d_word, position: d_position, token_type: d_type },
                    dropout_of(dropout),
                    self.keys(batch),
                    self.value(sum, sizes),
                    self.statistic(stats, sizes),
                    &mut d_out[..len],
                );
                for (param, gradient) in [word, position, token_type, norm.weight, norm.bias].into_iter().zip(gradients)
                {
                    self.gradients[param.0] = gradient;
                }
                self.put(slot, d_out);
            }
        }
    }

    /// Replaces the gradient of a tensor while others are read.
    fn write_gradient(&mut self, x: TensorId, sizes: Sizes, write: impl FnOnce(&Self, &mut [E])) {
        let slot = self.gradient_slot(x);
        let mut buffer = self.take(slot);
        let len = self.len(x, sizes);
        write(self, &mut buffer[..len]);
        self.put(slot, buffer);
    }

    /// `d_out` is a tensor's gradient, or the value of a tensor that is a gradient by itself (the logits').
    fn linear_backward(
        &mut self,
        layer: Layer,
        shape: linear::Sizes,
        (out, is_gradient): (TensorId, bool),
        add: bool,
        sizes: Sizes,
    ) {
        let Layer { x, weight, bias, is_last } = layer;
        let slot = self.gradient_slot(x);
        let mut d_x = self.take(slot);
        let mut d_weight = std::mem::take(&mut self.gradients[weight.0]);
        let mut d_bias = std::mem::take(&mut self.gradients[bias.0]);
        let len = self.len(x, sizes);
        let d_x_target = match self.gelus_before[x.0] {
            _ if is_last => None,
            Some(pre) => Some(InputGradient::ThroughGelu(&mut d_x[..len], self.value(pre, sizes))),
            None => Some(InputGradient::Plain(&mut d_x[..len], add)),
        };
        let d_out = if is_gradient { self.gradient(out, sizes) } else { self.value(out, sizes) };
        linear::backward(
            &self.gemm,
            shape,
            d_out,
            self.value(x, sizes),
            self.weights(weight),
            self.graph.wants_gradient(weight).then_some(&mut d_weight[..]),
            self.graph.wants_gradient(bias).then_some(&mut d_bias[..]),
            d_x_target,
        );
        self.gradients[weight.0] = d_weight;
        self.gradients[bias.0] = d_bias;
        self.put(slot, d_x);
    }
}

//! The forward pass, node by node.

use super::state::{Sizes, State};
use crate::batch::Batch;
use crate::element::Element;
use crate::graph::{Node, Objective, Rows, TensorId};
use crate::ops::{attention, cross_entropy, embeddings, linear, norm, pool, target_loss};
use crate::philox::{Dropout, StepKey};

impl<E: Element> State<E> {
    /// Runs one node. With a key and a loss scale: dropout, and the gradient of the logits.
    pub fn forward_node(&mut self, index: usize, batch: &Batch, sizes: Sizes, train: Option<(StepKey, f32)>) {
        let isa = self.gemm.isa();
        let dropout_of = |p: f32| train.and_then(|(key, _)| Dropout::new(isa, p, key.of_op(index)));
        match self.graph.nodes[index].clone() {
            Node::Embeddings { word, position, token_type, norm, dropout, sum, stats, out } => {
                let (sum_slot, out_slot, stats_slot) =
                    (self.value_slot(sum), self.value_slot(out), self.value_slot(stats));
                let (mut sum_buffer, mut out_buffer) = (self.take(sum_slot), self.take(out_slot));
                let mut stats_buffer = std::mem::take(&mut self.statistics[stats_slot]);
                let tables = embeddings::Tables {
                    word: &self.master[word.0],
                    position: &self.master[position.0],
                    token_type: &self.master[token_type.0],
                };
                let len = self.len(sum, sizes);
                embeddings::forward(
                    isa,
                    tables,
                    self.norm(norm),
                    dropout_of(dropout),
                    self.keys(batch),
                    &mut sum_buffer[..len],
                    &mut stats_buffer[..2 * sizes.tokens],
                    &mut out_buffer[..len],
                );
                self.put(sum_slot, sum_buffer);
                self.put(out_slot, out_buffer);
                self.statistics[stats_slot] = stats_buffer;
            }
            Node::Linear { x, weight, bias, pre, out } => {
                let out_slot = self.value_slot(out);
                let pre_slot = pre.map(|pre| self.value_slot(pre));
                let mut out_buffer = self.take(out_slot);
                let mut pre_buffer = pre_slot.map(|slot| self.take(slot));
                let len = self.len(out, sizes);
                linear::forward(
                    &self.gemm,
                    self.linear_sizes(x, out, sizes),
                    self.value(x, sizes),
                    self.weights(weight),
                    &self.master[bias.0],
                    pre_buffer.as_mut().map(|buffer| &mut buffer[..len]),
                    &mut out_buffer[..len],
                );
                self.put(out_slot, out_buffer);
                if let (Some(slot), Some(buffer)) = (pre_slot, pre_buffer) {
                    self.put(slot, buffer);
                }
            }
            Node::Attention { qkv, heads, dropout, lse, out } => {
                let (out_slot, lse_slot) = (self.value_slot(out), self.value_slot(lse));
                let mut out_buffer = self.take(out_slot);
                let mut lse_buffer = std::mem::take(&mut self.statistics[lse_slot]);
                attention::forward(
                    &self.gemm,
                    self.attention_shape(batch, heads, out),
                    dropout_of(dropout),
                    self.value(qkv, sizes),
                    &mut lse_buffer,
                    &mut out_buffer,
                );
                self.put(out_slot, out_buffer);
                self.statistics[lse_slot] = lse_buffer;
            }
            Node::ResidualNorm { x, residual, norm, dropout, stats, out } => {
                let (x_slot, out_slot, stats_slot) = (self.value_slot(x), self.value_slot(out), self.value_slot(stats));
                let (mut x_buffer, mut out_buffer) = (self.take(x_slot), self.take(out_slot));
                let mut stats_buffer = std::mem::take(&mut self.statistics[stats_slot]);
                let (len, rows) = (self.len(x, sizes), self.rows(x, sizes));
                norm::forward(
                    isa,
                    self.norm(norm),
                    dropout_of(dropout),
                    &mut x_buffer[..len],
                    residual.map(|residual| self.value(residual, sizes)),
                    &mut stats_buffer[..2 * rows],
                    &mut out_buffer[..len],
                );
                self.put(x_slot, x_buffer);
                self.put(out_slot, out_buffer);
                self.statistics[stats_slot] = stats_buffer;
            }
            Node::TakeRows { x, out: out_id } => {
                let columns = self.graph.tensors[x.0].columns;
                self.write(out_id, sizes, |state, out| {
                    let source = state.value(x, sizes);
                    for (row, out) in
                        state.taken(batch, state.graph.tensors[out_id.0].rows).iter().zip(out.chunks_exact_mut(columns))
                    {
                        out.copy_from_slice(&source[*row as usize * columns..][..columns]);
                    }
                });
            }
            Node::Tanh { x, out } => self.write(out, sizes, |state, out| {
                for (out, x) in out.iter_mut().zip(state.value(x, sizes)) {
                    *out = E::from_f32(x.to_f32().tanh());
                }
            }),
            Node::Dropout { x, dropout, out } => {
                let columns = self.graph.tensors[x.0].columns;
                let dropout = dropout_of(dropout);
                self.write(out, sizes, |state, out| drop_rows(dropout, columns, state.value(x, sizes), out));
            }
            Node::Pool { x, pooling, out } => {
                let columns = self.graph.tensors[x.0].columns;
                self.write(out, sizes, |state, out| {
                    pool::forward(state.pool(pooling), batch, columns, state.value(x, sizes), out);
                });
            }
            Node::Loss { x, weight, bias, objective, logits, gradient, loss } => {
                let (gradient_slot, logits_slot, loss_slot) =
                    (self.value_slot(gradient), self.value_slot(logits), self.value_slot(loss));
                let mut gradient_buffer = self.take(gradient_slot);
                let mut logits_buffer = std::mem::take(&mut self.statistics[logits_slot]);
                let mut loss_buffer = std::mem::take(&mut self.statistics[loss_slot]);
                let (len, rows) = (self.len(logits, sizes), self.rows(loss, sizes));
                let (logits, loss) = (&mut logits_buffer[..len], &mut loss_buffer[..rows]);
                self.write_logits(self.value(x, sizes), weight, bias, logits);
                let gradient = train.map(|(_, scale)| (&mut gradient_buffer[..len], scale));
                match objective {
                    Objective::CrossEntropy { weights: None, smoothing: 0.0 } => {
                        cross_entropy::forward(isa, logits, &batch.labels, loss, gradient);
                    }
                    Objective::CrossEntropy { weights, smoothing } => {
                        cross_entropy::weighted(logits, &batch.labels, weights.as_deref(), smoothing, loss, gradient);
                    }
                    Objective::BinaryCrossEntropy { positive_weights } => {
                        let weights = positive_weights.as_deref();
                        target_loss::binary_cross_entropy(logits, &batch.targets, weights, loss, gradient);
                    }
                    Objective::SquaredError => target_loss::squared_error(logits, &batch.targets, loss, gradient),
                }
                self.put(gradient_slot, gradient_buffer);
                self.statistics[logits_slot] = logits_buffer;
                self.statistics[loss_slot] = loss_buffer;
            }
        }
    }

    /// Writes a tensor while others are read.
    fn write(&mut self, out: TensorId, sizes: Sizes, write: impl FnOnce(&Self, &mut [E])) {
        let slot = self.value_slot(out);
        let mut buffer = self.take(slot);
        let len = self.len(out, sizes);
        write(self, &mut buffer[..len]);
        self.put(slot, buffer);
    }

    /// What the embeddings look up.
    pub fn keys<'a>(&'a self, batch: &'a Batch) -> embeddings::Keys<'a> {
        embeddings::Keys { ids: &batch.input_ids, positions: &self.positions, types: &batch.token_types }
    }

    /// The rows of tokens that become `rows`.
    pub fn taken<'a>(&self, batch: &'a Batch, rows: Rows) -> &'a [u32] {
        match rows {
            Rows::Masked => &batch.masked_rows,
            _ => &batch.offsets[..batch.sequences()],
        }
    }
}

/// `out = dropout(x)`, row by row.
pub(super) fn drop_rows<E: Element>(dropout: Option<Dropout>, columns: usize, x: &[E], out: &mut [E]) {
    let Some(dropout) = dropout else { return out.copy_from_slice(x) };
    let mut values = vec![0.0; columns];
    for (row, (x, out)) in x.chunks_exact(columns).zip(out.chunks_exact_mut(columns)).enumerate() {
        values.iter_mut().zip(x).for_each(|(value, x)| *value = x.to_f32());
        dropout.apply(row as u32, 0, &mut values);
        out.iter_mut().zip(&values).for_each(|(out, value)| *out = E::from_f32(*value));
    }
}

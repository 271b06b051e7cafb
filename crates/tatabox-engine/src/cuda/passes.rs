//! The passes, node by node: which kernel runs over which memory.

use super::driver::{Address, Event, launch};
use super::input::{Layout, Shape};
use super::kernels::{Dropout, GELU, TANH, Targets, objective, pooling, warps};
use super::plan::MOST_PARTIALS;
use super::product::{Matrix, Product};
use super::state::State;
use crate::batch::Batch;
use crate::element::Precision;
use crate::error::Result;
use crate::graph::{Node, NormParams, Objective, ParamId, Pooling, Rows, TensorId};
use crate::philox;
use crate::profile::{add_time, forward_flops};

/// A linear layer on the way back: `d_out [rows, outputs]`, rows `stride` numbers apart.
struct Layer {
    x: TensorId,
    weight: ParamId,
    rows: usize,
    d_out: Address,
    outputs: usize,
    /// Whether the gradient of x is added to what is there; None where nobody asks for it.
    add: Option<bool>,
}

impl State {
    fn at(&self, word: usize) -> Address {
        self.block.at() + 4 * word as u64
    }

    fn rows(&self, tensor: TensorId, shape: &Shape) -> usize {
        shape.rows(self.graph.tensors[tensor.0].rows)
    }

    fn columns(&self, tensor: TensorId) -> usize {
        self.graph.tensors[tensor.0].columns
    }

    fn dropout(&self, node: usize, p: f32, layout: &Layout, train: bool) -> Dropout {
        let (threshold, scale) = philox::Dropout::threshold_and_scale(p);
        match train && threshold > 0 {
            true => Dropout { key: self.at(layout.dropout_keys + 2 * node), threshold, scale },
            false => Dropout::NONE,
        }
    }

    /// The forward, and the sum of the losses.
    pub(super) fn forward_quietly(&self, shape: &Shape, layout: &Layout, train: bool) -> Result<()> {
        (0..self.graph.nodes.len()).try_for_each(|index| self.forward_node(index, shape, layout, train))?;
        self.sum_losses(shape)
    }

    fn sum_losses(&self, shape: &Shape) -> Result<()> {
        let head = self.graph.head();
        let rows = shape.rows(head.rows) as u32;
        launch!(self.stream, self.kernels.rows.sum_losses, (1, 1), 256, 256 * 8; self.statistic(head.loss), rows, self.loss_sum.at())
    }

    pub(super) fn backward_quietly(&self, shape: &Shape, layout: &Layout) -> Result<()> {
        let mut written = vec![false; self.graph.tensors.len()];
        for index in (self.first_learning..self.graph.nodes.len()).rev() {
            self.backward_node(index, shape, layout, &mut written)?;
        }
        self.project_low_rank()
    }

    /// As `forward_quietly`, with a clock on every node.
    pub(super) fn forward(&mut self, shape: &Shape, layout: &Layout, train: bool) -> Result<()> {
        (0..self.graph.nodes.len())
            .try_for_each(|index| self.clocked(index, |state| state.forward_node(index, shape, layout, train)))?;
        self.sum_losses(shape)
    }

    /// A piece of a node's forward, with a clock where one is asked for.
    pub(super) fn clocked(&mut self, node: usize, work: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        if !self.profiling {
            return work(self);
        }
        let seconds = self.timed(work)?;
        add_time(&mut self.profile, self.graph.nodes[node].name(), seconds, 0.0, 0);
        Ok(())
    }

    /// As `backward_quietly`, with a clock on every node.
    pub(super) fn backward(&mut self, shape: &Shape, layout: &Layout) -> Result<()> {
        let mut written = vec![false; self.graph.tensors.len()];
        for index in (self.first_learning..self.graph.nodes.len()).rev() {
            let seconds = self.timed(|state| state.backward_node(index, shape, layout, &mut written))?;
            add_time(&mut self.profile, self.graph.nodes[index].name(), 0.0, seconds, 0);
        }
        self.project_low_rank()
    }

    fn timed(&self, work: impl FnOnce(&Self) -> Result<()>) -> Result<f64> {
        let [start, end] = [Event::new(&self.gpu.driver, true)?, Event::new(&self.gpu.driver, true)?];
        self.stream.record_event(&start)?;
        work(self)?;
        self.stream.record_event(&end)?;
        end.wait()?;
        start.seconds_until(&end)
    }

    /// Adds the useful operations of a batch to the profile; with those of the backward if it is to come.
    pub(super) fn count_flops(&mut self, batch: &Batch, train: bool) {
        for (index, node) in self.graph.nodes.iter().enumerate() {
            let forward = forward_flops(&self.graph, node, batch);
            let learns = train && self.plan.with_gradient > 0 && index >= self.first_learning;
            let backward = if learns { 2 } else { 0 };
            add_time(&mut self.profile, node.name(), 0.0, 0.0, forward * (1 + backward));
        }
    }

    fn norm(&self, norm: NormParams) -> (Address, Address, f32) {
        (self.master_of(norm.weight.0), self.master_of(norm.bias.0), norm.eps)
    }

    pub(super) fn forward_node(&self, index: usize, shape: &Shape, layout: &Layout, train: bool) -> Result<()> {
        let (stream, kernels) = (&self.stream, &self.kernels.rows);
        match self.graph.nodes[index] {
            Node::Embeddings { word, position, token_type, norm, dropout, sum, stats, out } => {
                let (columns, rows) = (self.columns(out), shape.tokens);
                let (warps, shared) = warps(columns, 1).expect("planned");
                let (weight, bias, eps) = self.norm(norm);
                launch!(
                    stream, kernels.embeddings_forward, (rows.div_ceil(warps as usize), 1), warps * 32, shared;
                    self.master_of(word.0), self.master_of(position.0), self.master_of(token_type.0),
                    self.at(layout.ids), self.at(layout.positions), self.at(layout.types),
                    weight, bias, eps, self.dropout(index, dropout, layout, train),
                    self.value(sum), self.statistic(stats), self.value(out), rows as u32, columns as u32
                )
            }
            Node::Linear { x, weight, bias, pre, out } => {
                let (rows, inputs, outputs) = (self.rows(out, shape), self.columns(x), self.columns(out));
                let matrix = |at: Address, columns: usize| Matrix::new(at, columns, self.precision);
                self.product(&Product {
                    rows,
                    columns: outputs,
                    depth: inputs,
                    a: matrix(self.value(x), inputs),
                    b: matrix(self.weights_of(weight.0), inputs).t(),
                    c: matrix(self.value(pre.unwrap_or(out)), outputs),
                    bias: Some(self.weights_of(bias.0)),
                    scale: 1.0,
                    add: false,
                })?;
                match pre {
                    Some(pre) => self.activate(self.value(pre), self.value(out), rows * outputs, GELU),
                    None => Ok(()),
                }
            }
            Node::Attention { qkv, heads, dropout, lse, out } => {
                let attention = self.kernels.attention.as_ref().expect("loaded for graphs with attention");
                let (kernel, shared) = attention.forward;
                let dim = self.columns(out) / heads;
                launch!(
                    stream, kernel, (shape.query_tiles, heads), 128, shared;
                    self.value(qkv), self.at(layout.query_tiles), self.value(out), self.statistic(lse),
                    shape.tokens as u32, heads as u32, dim as u32, 1.0 / (dim as f32).sqrt(), self.dropout(index, dropout, layout, train)
                )
            }
            Node::ResidualNorm { x, residual, norm, dropout, stats, out } => {
                let (columns, rows) = (self.columns(out), self.rows(out, shape));
                let (warps, shared) = warps(columns, 1).expect("planned");
                let (weight, bias, eps) = self.norm(norm);
                launch!(
                    stream, kernels.norm_forward, (rows.div_ceil(warps as usize), 1), warps * 32, shared;
                    self.value(x), residual.map_or(0, |residual| self.value(residual)), weight, bias, eps,
                    self.dropout(index, dropout, layout, train), self.statistic(stats), self.value(out), rows as u32, columns as u32
                )
            }
            Node::TakeRows { x, out } => {
                let (rows, columns) = (self.rows(out, shape), self.columns(out));
                let taken = self.at(layout.taken[usize::from(self.graph.tensors[out.0].rows != Rows::Masked)]);
                launch!(
                    stream, kernels.gather_rows, (rows.div_ceil(4), 1), 128, 0;
                    self.value(x), taken, self.value(out), rows as u32, columns as u32
                )
            }
            Node::Tanh { x, out } => {
                self.activate(self.value(x), self.value(out), self.rows(out, shape) * self.columns(out), TANH)
            }
            Node::Dropout { x, dropout, out } => {
                let dropout = self.dropout(index, dropout, layout, train);
                self.drop_rows(self.value(x), dropout, self.value(out), self.rows(out, shape), self.columns(out))
            }
            Node::Pool { x, pooling: how, out } => {
                let vector = if let Pooling::Attention(vector) = how { self.master_of(vector.0) } else { 0 };
                launch!(
                    stream, kernels.pool_forward, (shape.examples, 1), 32, 0;
                    pooling(how), self.value(x), self.at(layout.examples), vector, self.value(out), self.shares.at(), self.columns(out) as u32
                )
            }
            Node::Loss { .. } => {
                let rows = shape.rows(self.plan.head.rows);
                for first in (0..rows).step_by(self.plan.logits_rows) {
                    let count = self.plan.logits_rows.min(rows - first);
                    self.write_logits(first, count)?;
                    self.losses(first, count, layout, train)?;
                }
                Ok(())
            }
        }
    }

    fn activate(&self, from: Address, to: Address, count: usize, function: u32) -> Result<()> {
        let grid = (count.div_ceil(8 * 256), 1);
        launch!(self.stream, self.kernels.rows.activate_forward, grid, 256, 0; from, to, count as u64, function)
    }

    fn drop_rows(&self, from: Address, dropout: Dropout, to: Address, rows: usize, columns: usize) -> Result<()> {
        let grid = (rows.div_ceil(4), 1);
        launch!(self.stream, self.kernels.rows.drop_rows, grid, 128, 0; from, dropout, to, rows as u32, columns as u32)
    }

    /// Some rows of the head's outputs, f32, `[count, width]`.
    pub(super) fn write_logits(&self, first: usize, count: usize) -> Result<()> {
        let head = self.graph.head();
        let (inputs, width) = (self.columns(head.x), self.plan.width);
        let bytes = if self.precision == Precision::Bf16 { 2 } else { 4 };
        self.product(&Product {
            rows: count,
            columns: width,
            depth: inputs,
            a: Matrix::new(self.value(head.x) + (bytes * first * inputs) as u64, inputs, self.precision),
            b: Matrix::new(self.weights_of(head.weight.0), inputs, self.precision).t(),
            c: Matrix::new(self.logits.at(), width, Precision::F32),
            bias: Some(self.master_of(head.bias.0)),
            scale: 1.0,
            add: false,
        })
    }

    fn losses(&self, first: usize, count: usize, layout: &Layout, train: bool) -> Result<()> {
        let Some(Node::Loss { objective: asked, gradient, loss, .. }) = self.graph.nodes.last() else {
            unreachable!("a graph ends in its loss");
        };
        let (width, outputs) = (self.plan.width as u32, self.plan.head.outputs as u32);
        let bytes = if self.precision == Precision::Bf16 { 2 } else { 4 };
        let gradient = if train { self.value(*gradient) + (bytes * first * self.plan.width) as u64 } else { 0 };
        let loss = self.statistic(*loss) + 4 * first as u64;
        let (labels, scale) = (self.at(layout.labels + first), self.at(layout.loss_scale));
        let kernels = &self.kernels.rows;
        if *asked == Objective::PLAIN {
            return launch!(
                self.stream, kernels.cross_entropy, (count, 1), 256, 16 * 4;
                self.logits.at(), width, labels, outputs, scale, loss, gradient
            );
        }
        let (which, weights) = objective(asked);
        let smoothing = if let Objective::CrossEntropy { smoothing, .. } = asked { *smoothing } else { 0.0 };
        let weights = if weights.is_some() { self.output_weights.at() } else { 0 };
        let targets = self.at(layout.targets + first * outputs as usize);
        launch!(
            self.stream, kernels.row_losses, (count.div_ceil(4), 1), 128, 0;
            which, self.logits.at(), width, outputs, labels, targets, weights, smoothing, scale, loss, gradient, count as u32
        )
    }

    fn backward_node(&self, index: usize, shape: &Shape, layout: &Layout, written: &mut [bool]) -> Result<()> {
        let (stream, kernels) = (&self.stream, &self.kernels.rows);
        let mut first_write = |tensor: TensorId| !std::mem::replace(&mut written[tensor.0], true);
        let is_last = index == self.first_learning;
        match self.graph.nodes[index] {
            Node::Loss { x, weight, bias, gradient, .. } => {
                let (rows, width) = (shape.rows(self.plan.head.rows), self.plan.width);
                let add = !first_write(x);
                let d_out = self.value(gradient);
                self.sum_columns(d_out, 0, rows, width, self.gradient_of(bias.0))?;
                self.linear_backward(Layer { x, weight, rows, d_out, outputs: width, add: (!is_last).then_some(add) })
            }
            Node::Linear { x, weight, bias, pre, out } => {
                let (rows, outputs) = (self.rows(out, shape), self.columns(out));
                let add = !first_write(x);
                let d_out = self.gradient(out);
                let pre = pre.map_or(0, |pre| self.value(pre));
                let d_bias = self.gradient_of(bias.0);
                if pre != 0 || d_bias.is_some() {
                    self.sum_columns(d_out, pre, rows, outputs, d_bias)?;
                }
                self.linear_backward(Layer { x, weight, rows, d_out, outputs, add: (!is_last).then_some(add) })
            }
            Node::Attention { qkv, heads, dropout, lse, out } => {
                first_write(qkv);
                let attention = self.kernels.attention.as_ref().expect("loaded for graphs with attention");
                let (dim, dropout) = (self.columns(out) / heads, self.dropout(index, dropout, layout, true));
                let scale = 1.0 / (dim as f32).sqrt();
                let (tokens, heads_u32, dim) = (shape.tokens as u32, heads as u32, dim as u32);
                let (kernel, shared) = attention.backward_queries;
                launch!(
                    stream, kernel, (shape.query_tiles, heads), 128, shared;
                    self.value(qkv), self.value(out), self.gradient(out), self.statistic(lse), self.at(layout.query_tiles),
                    self.gradient(qkv), self.delta.at(), tokens, heads_u32, dim, scale, dropout
                )?;
                let (kernel, shared) = attention.backward_keys;
                launch!(
                    stream, kernel, (shape.key_tiles, heads), attention.key_threads, shared;
                    self.value(qkv), self.gradient(out), self.statistic(lse), self.delta.at(), self.at(layout.key_tiles),
                    self.gradient(qkv), tokens, heads_u32, dim, scale, dropout
                )
            }
            Node::ResidualNorm { x, residual, norm, dropout, stats, out } => {
                first_write(x);
                let (residual, add) =
                    residual.map_or((0, false), |residual| (self.gradient(residual), !first_write(residual)));
                let after = self.dropout(index, dropout, layout, true);
                let (d_out, d_x) = (self.gradient(out), self.gradient(x));
                let rows = self.rows(out, shape);
                self.norm_backward(
                    norm,
                    (self.value(x), self.statistic(stats)),
                    d_out,
                    [Dropout::NONE, after],
                    d_x,
                    (residual, add),
                    rows,
                    self.columns(out),
                )
            }
            Node::TakeRows { x, out } => {
                let add = u32::from(!first_write(x));
                let becomes = self.at(layout.becomes[usize::from(self.graph.tensors[out.0].rows != Rows::Masked)]);
                launch!(
                    stream, kernels.spread_rows, (shape.tokens.div_ceil(4), 1), 128, 0;
                    self.gradient(out), becomes, add, self.gradient(x), shape.tokens as u32, self.columns(x) as u32
                )
            }
            Node::Tanh { x, out } => {
                first_write(x);
                let count = self.rows(out, shape) * self.columns(out);
                launch!(
                    stream, kernels.activate_backward, (count.div_ceil(8 * 256), 1), 256, 0;
                    self.gradient(out), self.value(out), self.gradient(x), count as u64, TANH
                )
            }
            Node::Dropout { x, dropout, out } => {
                first_write(x);
                let dropout = self.dropout(index, dropout, layout, true);
                self.drop_rows(self.gradient(out), dropout, self.gradient(x), self.rows(out, shape), self.columns(out))
            }
            Node::Pool { x, pooling: how, out } => {
                first_write(x);
                let columns = self.columns(out);
                let vector = if let Pooling::Attention(vector) = how { Some(vector.0) } else { None };
                launch!(
                    stream, kernels.pool_backward, (shape.examples, 1), 32, 0;
                    pooling(how), self.value(x), self.at(layout.examples), vector.map_or(0, |vector| self.master_of(vector)),
                    self.gradient(out), self.gradient(x), self.partials.at(), self.shares.at(), columns as u32
                )?;
                match vector.and_then(|vector| self.gradient_of(vector)) {
                    Some(target) => self.add_partials(shape.examples, columns, [target, 0], 1),
                    None => Ok(()),
                }
            }
            Node::Embeddings { word, position, token_type, norm, dropout, sum, stats, out } => {
                let before = self.dropout(index, dropout, layout, true);
                let (d_out, columns) = (self.gradient(out), self.columns(out));
                let saved = (self.value(sum), self.statistic(stats));
                self.norm_backward(
                    norm,
                    saved,
                    d_out,
                    [before, Dropout::NONE],
                    d_out,
                    (0, false),
                    shape.tokens,
                    columns,
                )?;
                for (which, table) in [word, position, token_type].into_iter().enumerate() {
                    let Some(target) = self.gradient_of(table.0) else { continue };
                    let (pieces, keys) = (shape.pieces[which], shape.keys[which]);
                    launch!(
                        stream, kernels.sum_pieces, (pieces.div_ceil(4), columns.div_ceil(256)), 128, 0;
                        d_out, self.at(layout.order[which]), self.at(layout.pieces[which]), pieces as u32, self.partials.at(), columns as u32
                    )?;
                    launch!(
                        stream, kernels.add_pieces, (keys.div_ceil(4), columns.div_ceil(256)), 128, 0;
                        self.partials.at(), self.at(layout.keys[which]), keys as u32, target, columns as u32
                    )?;
                }
                Ok(())
            }
        }
    }

    /// The gradients of a norm: see `norm_backward` in `kernels/rows.cu`.
    fn norm_backward(
        &self,
        norm: NormParams,
        (x, stats): (Address, Address),
        d_out: Address,
        [before, after]: [Dropout; 2],
        d_x: Address,
        (d_residual, add): (Address, bool),
        rows: usize,
        columns: usize,
    ) -> Result<()> {
        let (warps, shared) = warps(columns, 3).expect("planned");
        let rows_a_block = rows.div_ceil(MOST_PARTIALS).max(4);
        let blocks = rows.div_ceil(rows_a_block);
        launch!(
            self.stream, self.kernels.rows.norm_backward, (blocks, 1), warps * 32, shared;
            x, stats, d_out, self.master_of(norm.weight.0), before, after, d_x, d_residual, u32::from(add), self.partials.at(),
            rows as u32, columns as u32, rows_a_block as u32
        )?;
        let targets = [norm.weight, norm.bias].map(|param| self.gradient_of(param.0).unwrap_or(0));
        self.add_partials(blocks, columns, targets, 2)
    }

    /// `targets[part] += sums over partials [count, parts, columns]`.
    fn add_partials(&self, count: usize, columns: usize, targets: [Address; 2], parts: usize) -> Result<()> {
        let grid = (columns.div_ceil(32), parts);
        launch!(
            self.stream, self.kernels.rows.add_partials, grid, 256, 256 * 4;
            self.partials.at(), count as u32, columns as u32, Targets(targets)
        )
    }

    /// The gradient of a bias; with `kept`, `values *= gelu'(kept)` before it.
    fn sum_columns(
        &self,
        values: Address,
        kept: Address,
        rows: usize,
        columns: usize,
        target: Option<Address>,
    ) -> Result<()> {
        let rows_a_block = rows.div_ceil(MOST_PARTIALS).max(32);
        let blocks = rows.div_ceil(rows_a_block);
        launch!(
            self.stream, self.kernels.rows.column_sums, (columns.div_ceil(256), blocks), 256, 8 * 256 * 4;
            values, kept, GELU, self.partials.at(), rows as u32, columns as u32, rows_a_block as u32
        )?;
        match target {
            Some(target) => self.add_partials(blocks, columns, [target, 0], 1),
            None => Ok(()),
        }
    }

    fn linear_backward(&self, layer: Layer) -> Result<()> {
        let Layer { x, weight, rows, d_out, outputs, add } = layer;
        let inputs = self.columns(x);
        let d_out = Matrix::new(d_out, outputs, self.precision);
        if let Some(d_weight) = self.gradient_of(weight.0) {
            self.product(&Product {
                rows: outputs,
                columns: inputs,
                depth: rows,
                a: d_out.t(),
                b: Matrix::new(self.value(x), inputs, self.precision),
                c: Matrix::new(d_weight, inputs, Precision::F32),
                bias: None,
                scale: 1.0,
                add: true,
            })?;
        }
        let Some(add) = add else { return Ok(()) };
        self.product(&Product {
            rows,
            columns: inputs,
            depth: outputs,
            a: d_out,
            b: Matrix::new(self.weights_of(weight.0), inputs, self.precision),
            c: Matrix::new(self.gradient(x), inputs, self.precision),
            bias: None,
            scale: 1.0,
            add,
        })
    }
}

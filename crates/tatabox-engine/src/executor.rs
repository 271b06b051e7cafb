//! Runs a graph: forward, backward, optimizer step, in memory that was planned once.

use crate::batch::{Batch, Capacity};
use crate::buffer::Buffer;
use crate::element::{Element, Precision};
use crate::error::Result;
use crate::graph::{Graph, Init, Node, NormParams, ParamId, ParamSpec, TensorId};
use crate::isa::Isa;
use crate::kernels::gemm::Gemm;
use crate::ops::linear::InputGradient;
use crate::ops::{adamw, attention, cross_entropy, embeddings, linear, norm};
use crate::philox::{Dropout, StepKey, fill_normal};
use crate::plan::{MemoryPlan, Mode, Slots};
use half::bf16;
use std::time::Instant;

pub use crate::ops::adamw::AdamW;

/// Where the time of a kind of op went, since the executor was made or [`Executor::reset_profile`].
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct OpTime {
    /// The op.
    pub op: String,
    /// Seconds forward.
    pub forward_s: f64,
    /// Seconds backward.
    pub backward_s: f64,
    /// Floating-point operations of its matrix products, forward and backward.
    pub matrix_flops: u64,
}

/// A graph with its parameters and memory.
pub struct Executor {
    inner: Inner,
}

enum Inner {
    F32(Box<State<f32>>),
    Bf16(Box<State<bf16>>),
}

macro_rules! each_precision {
    ($executor:expr, $state:ident => $body:expr) => {
        match $executor {
            Inner::F32($state) => $body,
            Inner::Bf16($state) => $body,
        }
    };
}

impl Executor {
    /// Allocates everything; parameters are zero until [`Executor::initialize`] or [`Executor::set_param`].
    pub fn new(graph: Graph, capacity: Capacity, precision: Precision, mode: Mode) -> Result<Self> {
        Self::with_isa(graph, capacity, precision, mode, Isa::detect()?)
    }

    /// As [`Executor::new`], with the kernels of a given instruction set, which must be available.
    ///
    /// # Errors
    /// If the graph cannot be run.
    ///
    /// # Panics
    /// If the instruction set is not available.
    pub fn with_isa(graph: Graph, capacity: Capacity, precision: Precision, mode: Mode, isa: Isa) -> Result<Self> {
        assert!(isa.is_available(), "{isa:?} is not available on this machine");
        graph.validate()?;
        let inner = match precision {
            Precision::F32 => Inner::F32(Box::new(State::new(graph, capacity, mode, isa))),
            Precision::Bf16 => Inner::Bf16(Box::new(State::new(graph, capacity, mode, isa))),
        };
        Ok(Self { inner })
    }

    /// The memory that an executor will hold.
    pub fn memory(graph: &Graph, capacity: &Capacity, precision: Precision, mode: Mode) -> MemoryPlan {
        MemoryPlan::of(graph, capacity, precision, mode)
    }

    /// Fresh weights: each parameter as its spec says, as a function of the seed.
    pub fn initialize(&mut self, seed: u64) {
        each_precision!(&mut self.inner, state => state.initialize(seed));
    }

    /// All parameters, in the order that indices refer to.
    pub fn specs(&self) -> &[ParamSpec] {
        each_precision!(&self.inner, state => &state.graph.params)
    }

    /// Master weights, row-major.
    pub fn param(&self, index: usize) -> &[f32] {
        each_precision!(&self.inner, state => &state.master[index])
    }

    /// Replaces master weights; the lengths must agree.
    pub fn set_param(&mut self, index: usize, values: &[f32]) {
        each_precision!(&mut self.inner, state => {
            state.master[index].copy_from_slice(values);
            adamw::round(state.gemm.isa, &state.master[index], &mut state.rounded[index]);
        });
    }

    /// The gradient gathered since [`Executor::zero_gradients`].
    pub fn gradient(&self, index: usize) -> &[f32] {
        each_precision!(&self.inner, state => &state.gradients[index])
    }

    /// AdamW's first and second moment.
    pub fn moments(&self, index: usize) -> (&[f32], &[f32]) {
        each_precision!(&self.inner, state => (&state.first[index], &state.second[index]))
    }

    /// Replaces the moments; the lengths must agree.
    pub fn set_moments(&mut self, index: usize, first: &[f32], second: &[f32]) {
        each_precision!(&mut self.inner, state => {
            state.first[index].copy_from_slice(first);
            state.second[index].copy_from_slice(second);
        });
    }

    /// Forgets the gradients.
    pub fn zero_gradients(&mut self) {
        each_precision!(&mut self.inner, state => state.gradients.iter_mut().for_each(|gradient| gradient.fill(0.0)));
    }

    /// Forward and backward with dropout. Adds the gradients of `loss_scale` times the sum of nats over the masked rows, and returns that sum (unscaled).
    ///
    /// # Errors
    /// If the batch does not fit the capacity or the model.
    pub fn forward_backward(&mut self, batch: &Batch, key: StepKey, loss_scale: f32) -> Result<f64> {
        each_precision!(&mut self.inner, state => {
            let loss = state.forward(batch, Some((key, loss_scale)))?.iter().map(|nats| f64::from(*nats)).sum();
            state.backward(batch, key);
            Ok(loss)
        })
    }

    /// The loss of each masked row in nats, without dropout.
    ///
    /// # Errors
    /// If the batch does not fit the capacity or the model.
    pub fn evaluate(&mut self, batch: &Batch) -> Result<Vec<f32>> {
        each_precision!(&mut self.inner, state => state.forward(batch, None).map(<[f32]>::to_vec))
    }

    /// The logits of each masked row, `[masked, vocabulary]`, without dropout.
    ///
    /// # Errors
    /// If the batch does not fit the capacity or the model.
    pub fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>> {
        each_precision!(&mut self.inner, state => state.logits(batch))
    }

    /// One AdamW step over all parameters; returns the norm of the gradients before clipping.
    pub fn optimizer_step(&mut self, adamw: &AdamW) -> f32 {
        each_precision!(&mut self.inner, state => state.optimizer_step(adamw))
    }

    /// Where the time went, by kind of op, the longest first.
    pub fn profile(&self) -> Vec<OpTime> {
        let mut profile = each_precision!(&self.inner, state => state.profile.clone());
        profile.sort_by(|a, b| (b.forward_s + b.backward_s).total_cmp(&(a.forward_s + a.backward_s)));
        profile
    }

    /// Starts the profile anew.
    pub fn reset_profile(&mut self) {
        each_precision!(&mut self.inner, state => state.profile.clear());
    }
}

struct State<E> {
    graph: Graph,
    capacity: Capacity,
    gemm: Gemm,
    slots: Slots,
    gelus_before: Vec<Option<TensorId>>,
    activations: Vec<Buffer<E>>,
    statistics: Vec<Buffer<f32>>,
    master: Vec<Buffer<f32>>,
    /// bf16 copies of the matrices; empty in f32 and for vectors.
    rounded: Vec<Buffer<bf16>>,
    gradients: Vec<Buffer<f32>>,
    first: Vec<Buffer<f32>>,
    second: Vec<Buffer<f32>>,
    positions: Vec<u32>,
    profile: Vec<OpTime>,
}

/// The sizes of the batch at hand.
#[derive(Clone, Copy)]
struct Sizes {
    tokens: usize,
    masked: usize,
}

impl<E: Element> State<E> {
    fn new(graph: Graph, capacity: Capacity, mode: Mode, isa: Isa) -> Self {
        let slots = Slots::plan(&graph, &capacity, mode);
        let zeros = |train_only: bool| {
            let of = |spec: &ParamSpec| if train_only && mode == Mode::Evaluate { 0 } else { spec.len() };
            graph.params.iter().map(|spec| Buffer::zeros(of(spec))).collect::<Vec<Buffer<f32>>>()
        };
        let has_copy = |spec: &ParamSpec| E::PRECISION == Precision::Bf16 && spec.shape.len() > 1;
        Self {
            activations: slots.activations.iter().map(|len| Buffer::zeros(*len)).collect(),
            statistics: slots.statistics.iter().map(|len| Buffer::zeros(*len)).collect(),
            master: zeros(false),
            rounded: graph
                .params
                .iter()
                .map(|spec| Buffer::zeros(if has_copy(spec) { spec.len() } else { 0 }))
                .collect(),
            gradients: zeros(true),
            first: zeros(true),
            second: zeros(true),
            positions: Vec::with_capacity(capacity.tokens),
            profile: Vec::new(),
            gemm: Gemm::new::<E>(isa),
            gelus_before: graph.gelus_before(),
            slots,
            graph,
            capacity,
        }
    }

    fn initialize(&mut self, seed: u64) {
        for (index, spec) in self.graph.params.iter().enumerate() {
            let values = &mut self.master[index];
            match spec.init {
                Init::Zeros => values.fill(0.0),
                Init::Ones => values.fill(1.0),
                Init::Normal(std) => fill_normal(values, std, seed, index),
            }
            if let Some(row) = spec.zero_row {
                let columns = spec.len() / spec.shape[0];
                values[row * columns..][..columns].fill(0.0);
            }
            adamw::round(self.gemm.isa, values, &mut self.rounded[index]);
        }
    }

    /// Losses of the masked rows. With a key and a loss scale: dropout, and the gradient of the logits.
    fn forward(&mut self, batch: &Batch, train: Option<(StepKey, f32)>) -> Result<&[f32]> {
        let sizes = self.begin(batch)?;
        for index in 0..self.graph.nodes.len() {
            let start = Instant::now();
            self.forward_node(index, batch, sizes, train);
            self.record(index, sizes, batch, start, false);
        }
        let Some(Node::MlmLoss { loss, .. }) = self.graph.nodes.last() else {
            unreachable!("a graph ends in its loss");
        };
        Ok(&self.statistics[self.value_slot(*loss)][..sizes.masked])
    }

    fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>> {
        let sizes = self.begin(batch)?;
        let last = self.graph.nodes.len() - 1;
        (0..last).for_each(|index| self.forward_node(index, batch, sizes, None));
        let Node::MlmLoss { x, weight, bias, .. } = self.graph.nodes[last] else {
            unreachable!("a graph ends in its loss");
        };
        let mut logits = vec![0.0; sizes.masked * self.graph.vocabulary];
        let x = self.value(x, sizes);
        self.write_logits(x, weight, bias, sizes, &mut logits);
        Ok(logits)
    }

    fn begin(&mut self, batch: &Batch) -> Result<Sizes> {
        batch.check(&self.capacity, self.graph.vocabulary, self.graph.positions)?;
        embeddings::positions(batch, &mut self.positions);
        Ok(Sizes { tokens: batch.input_ids.len(), masked: batch.masked_rows.len() })
    }

    fn rows(&self, tensor: TensorId, sizes: Sizes) -> usize {
        match self.graph.tensors[tensor.0].rows {
            crate::graph::Rows::Tokens => sizes.tokens,
            crate::graph::Rows::Masked => sizes.masked,
        }
    }

    fn len(&self, tensor: TensorId, sizes: Sizes) -> usize {
        self.rows(tensor, sizes) * self.graph.tensors[tensor.0].columns
    }

    fn value_slot(&self, tensor: TensorId) -> usize {
        self.slots.of_value[tensor.0].expect("every written tensor has a buffer")
    }

    fn value(&self, tensor: TensorId, sizes: Sizes) -> &[E] {
        &self.activations[self.value_slot(tensor)][..self.len(tensor, sizes)]
    }

    fn statistic(&self, tensor: TensorId, sizes: Sizes) -> &[f32] {
        &self.statistics[self.value_slot(tensor)][..self.len(tensor, sizes)]
    }

    fn gradient_slot(&self, tensor: TensorId) -> usize {
        self.slots.of_gradient[tensor.0].expect("every tensor on the way to the loss has a gradient")
    }

    fn gradient(&self, tensor: TensorId, sizes: Sizes) -> &[E] {
        &self.activations[self.gradient_slot(tensor)][..self.len(tensor, sizes)]
    }

    /// Takes a buffer out of its slot, so that it can be written while others are read; [`State::put`] brings it back.
    fn take(&mut self, slot: usize) -> Buffer<E> {
        std::mem::take(&mut self.activations[slot])
    }

    fn put(&mut self, slot: usize, buffer: Buffer<E>) {
        self.activations[slot] = buffer;
    }

    fn weights(&self, param: ParamId) -> &[E] {
        E::weights(&self.master[param.0], &self.rounded[param.0])
    }

    fn norm(&self, norm: NormParams) -> norm::Norm<'_> {
        norm::Norm { weight: &self.master[norm.weight.0], bias: &self.master[norm.bias.0], eps: norm.eps }
    }

    fn write_logits(&self, x: &[E], weight: ParamId, bias: ParamId, sizes: Sizes, logits: &mut [f32]) {
        use crate::kernels::{epilogue::Store, pack::View};
        let vocabulary = self.graph.vocabulary;
        let hidden = x.len() / sizes.masked.max(1);
        let x = View::new(x, sizes.masked, hidden, hidden);
        let weight = View::new(self.weights(weight), vocabulary, hidden, hidden).t();
        if sizes.masked > 0 {
            self.gemm.parallel(x, weight, &Store::new(logits, vocabulary, vocabulary).bias(&self.master[bias.0]));
        }
    }

    fn forward_node(&mut self, index: usize, batch: &Batch, sizes: Sizes, train: Option<(StepKey, f32)>) {
        let isa = self.gemm.isa;
        let dropout_of = |p: f32| train.and_then(|(key, _)| Dropout::new(p, key.of_op(index)));
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
                    embeddings::Keys { ids: &batch.input_ids, positions: &self.positions },
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
            Node::MaskedRows { x, out } => {
                let out_slot = self.value_slot(out);
                let mut out_buffer = self.take(out_slot);
                let columns = self.graph.tensors[x.0].columns;
                let source = self.value(x, sizes);
                for (row, out) in batch.masked_rows.iter().zip(out_buffer.chunks_exact_mut(columns)) {
                    out.copy_from_slice(&source[*row as usize * columns..][..columns]);
                }
                self.put(out_slot, out_buffer);
            }
            Node::MlmLoss { x, weight, bias, logits, gradient, loss } => {
                let (gradient_slot, logits_slot, loss_slot) =
                    (self.value_slot(gradient), self.value_slot(logits), self.value_slot(loss));
                let mut gradient_buffer = self.take(gradient_slot);
                let mut logits_buffer = std::mem::take(&mut self.statistics[logits_slot]);
                let mut loss_buffer = std::mem::take(&mut self.statistics[loss_slot]);
                let len = self.len(logits, sizes);
                self.write_logits(self.value(x, sizes), weight, bias, sizes, &mut logits_buffer[..len]);
                cross_entropy::forward(
                    isa,
                    &mut logits_buffer[..len],
                    &batch.labels,
                    &mut loss_buffer[..sizes.masked],
                    train.map(|(_, scale)| (&mut gradient_buffer[..len], scale)),
                );
                self.put(gradient_slot, gradient_buffer);
                self.statistics[logits_slot] = logits_buffer;
                self.statistics[loss_slot] = loss_buffer;
            }
        }
    }

    fn linear_sizes(&self, x: TensorId, out: TensorId, sizes: Sizes) -> linear::Sizes {
        linear::Sizes {
            rows: self.rows(x, sizes),
            inputs: self.graph.tensors[x.0].columns,
            outputs: self.graph.tensors[out.0].columns,
        }
    }

    fn attention_shape<'a>(&self, batch: &'a Batch, heads: usize, out: TensorId) -> attention::Shape<'a> {
        attention::Shape { offsets: &batch.offsets, heads, dim: self.graph.tensors[out.0].columns / heads }
    }

    fn backward(&mut self, batch: &Batch, key: StepKey) {
        let sizes = Sizes { tokens: batch.input_ids.len(), masked: batch.masked_rows.len() };
        // Tensors whose gradient an op further back in time has written: the next is added.
        let mut written = vec![false; self.graph.tensors.len()];
        for index in (0..self.graph.nodes.len()).rev() {
            let start = Instant::now();
            self.backward_node(index, batch, sizes, key, &mut written);
            self.record(index, sizes, batch, start, true);
        }
    }

    fn backward_node(&mut self, index: usize, batch: &Batch, sizes: Sizes, key: StepKey, written: &mut [bool]) {
        let isa = self.gemm.isa;
        let dropout_of = |p: f32| Dropout::new(p, key.of_op(index));
        let mut first_write = |tensor: TensorId| !std::mem::replace(&mut written[tensor.0], true);
        match self.graph.nodes[index].clone() {
            Node::MlmLoss { x, weight, bias, gradient, .. } => {
                let add = !first_write(x);
                let shape = linear::Sizes {
                    rows: sizes.masked,
                    inputs: self.graph.tensors[x.0].columns,
                    outputs: self.graph.vocabulary,
                };
                self.linear_backward(shape, (gradient, false), x, weight, bias, add, sizes);
            }
            Node::Linear { x, weight, bias, pre, out } => {
                if let Some(pre) = pre.filter(|pre| self.gelus_before[out.0] != Some(*pre)) {
                    let slot = self.gradient_slot(out);
                    let mut gradient = self.take(slot);
                    let len = self.len(out, sizes);
                    linear::through_gelu(&self.gemm, &mut gradient[..len], self.value(pre, sizes));
                    self.put(slot, gradient);
                }
                let add = !first_write(x);
                self.linear_backward(self.linear_sizes(x, out, sizes), (out, true), x, weight, bias, add, sizes);
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
            Node::MaskedRows { x, out } => {
                let slot = self.gradient_slot(x);
                let mut d_x = self.take(slot);
                let columns = self.graph.tensors[x.0].columns;
                assert!(first_write(x), "only the masked rows are read of the last layer");
                d_x[..sizes.tokens * columns].fill(E::default());
                let d_out = self.gradient(out, sizes);
                for (row, d_out) in batch.masked_rows.iter().zip(d_out.chunks_exact(columns)) {
                    d_x[*row as usize * columns..][..columns].copy_from_slice(d_out);
                }
                self.put(slot, d_x);
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
                    embeddings::Keys { ids: &batch.input_ids, positions: &self.positions },
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

    /// `d_out` is a tensor's gradient, or the value of a tensor that is a gradient by itself (the logits').
    fn linear_backward(
        &mut self,
        shape: linear::Sizes,
        (out, is_gradient): (TensorId, bool),
        x: TensorId,
        weight: ParamId,
        bias: ParamId,
        add: bool,
        sizes: Sizes,
    ) {
        let slot = self.gradient_slot(x);
        let mut d_x = self.take(slot);
        let mut d_weight = std::mem::take(&mut self.gradients[weight.0]);
        let mut d_bias = std::mem::take(&mut self.gradients[bias.0]);
        let len = self.len(x, sizes);
        let d_x_target = match self.gelus_before[x.0] {
            Some(pre) => InputGradient::ThroughGelu(&mut d_x[..len], self.value(pre, sizes)),
            None => InputGradient::Plain(&mut d_x[..len], add),
        };
        let d_out = if is_gradient { self.gradient(out, sizes) } else { self.value(out, sizes) };
        linear::backward(
            &self.gemm,
            shape,
            d_out,
            self.value(x, sizes),
            self.weights(weight),
            &mut d_weight,
            &mut d_bias,
            d_x_target,
        );
        self.gradients[weight.0] = d_weight;
        self.gradients[bias.0] = d_bias;
        self.put(slot, d_x);
    }

    fn optimizer_step(&mut self, adamw: &AdamW) -> f32 {
        let start = Instant::now();
        let isa = self.gemm.isa;
        let squares: f64 = self.gradients.iter().map(|gradient| adamw::sum_of_squares(isa, gradient)).sum();
        let norm = squares.sqrt() as f32;
        // torch.nn.utils.clip_grad_norm_ divides by norm + 1e-6.
        let scale = adamw.max_grad_norm.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0));
        for index in 0..self.graph.params.len() {
            adamw.step(
                isa,
                scale,
                adamw::Parameter {
                    weights: &mut self.master[index],
                    rounded: &mut self.rounded[index],
                    gradient: &self.gradients[index],
                    first: &mut self.first[index],
                    second: &mut self.second[index],
                    decay: self.graph.params[index].decay,
                },
            );
        }
        self.add_time("adamw", start.elapsed().as_secs_f64(), 0.0, 0);
        norm
    }

    fn record(&mut self, index: usize, sizes: Sizes, batch: &Batch, start: Instant, backward: bool) {
        let seconds = start.elapsed().as_secs_f64();
        let node = &self.graph.nodes[index];
        let forward_flops = match *node {
            Node::Linear { x, out, .. } => {
                let shape = self.linear_sizes(x, out, sizes);
                Gemm::flops(shape.rows, shape.outputs, shape.inputs)
            }
            Node::MlmLoss { x, .. } => {
                Gemm::flops(sizes.masked, self.graph.vocabulary, self.graph.tensors[x.0].columns)
            }
            Node::Attention { out, .. } => {
                let hidden = self.graph.tensors[out.0].columns;
                let of =
                    |pair: &[u32]| Gemm::flops((pair[1] - pair[0]) as usize, (pair[1] - pair[0]) as usize, 2 * hidden);
                batch.offsets.windows(2).map(of).sum()
            }
            _ => 0,
        };
        // Backward: two products for each of the forward; attention computes its scores once more, which is work but not counted as useful.
        let (name, flops) = (node.name(), forward_flops * if backward { 2 } else { 1 });
        let (forward_s, backward_s) = if backward { (0.0, seconds) } else { (seconds, 0.0) };
        self.add_time(name, forward_s, backward_s, flops);
    }

    fn add_time(&mut self, op: &str, forward_s: f64, backward_s: f64, matrix_flops: u64) {
        match self.profile.iter_mut().find(|time| time.op == op) {
            Some(time) => {
                time.forward_s += forward_s;
                time.backward_s += backward_s;
                time.matrix_flops += matrix_flops;
            }
            None => self.profile.push(OpTime { op: op.to_owned(), forward_s, backward_s, matrix_flops }),
        }
    }
}

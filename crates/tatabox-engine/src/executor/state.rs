//! The state of a graph in one precision: parameters, memory, and the order of a pass.

use std::collections::BTreeMap;
use std::time::Instant;

use half::bf16;

use crate::batch::{Batch, Capacity};
use crate::buffer::Buffer;
use crate::element::{Element, Precision};
use crate::error::Result;
use crate::graph::{Graph, Head, Init, NormParams, ParamId, ParamSpec, Pooling, Rows, TensorId};
use crate::isa::Isa;
use crate::kernels::epilogue::Store;
use crate::kernels::gemm::Gemm;
use crate::kernels::pack::View;
use crate::ops::adamw::{self, AdamW};
use crate::ops::{attention, embeddings, linear, norm, pool};
use crate::philox::{StepKey, fill_normal};
use crate::plan::{Mode, Slots};
use crate::profile::{OpTime, add_time, forward_flops};

/// A graph at work in one precision.
pub(super) struct State<E> {
    pub(super) graph: Graph,
    pub(super) capacity: Capacity,
    pub(super) gemm: Gemm,
    /// For products of master weights.
    pub(super) f32_gemm: Gemm,
    pub(super) slots: Slots,
    pub(super) gelus_before: Vec<Option<TensorId>>,
    pub(super) activations: Vec<Buffer<E>>,
    pub(super) statistics: Vec<Buffer<f32>>,
    pub(super) master: Vec<Buffer<f32>>,
    /// bf16 copies of the matrices; empty in f32 and for vectors.
    pub(super) rounded: Vec<Buffer<bf16>>,
    pub(super) gradients: Vec<Buffer<f32>>,
    pub(super) first: Vec<Buffer<f32>>,
    pub(super) second: Vec<Buffer<f32>>,
    /// Adapted matrices without their low-rank updates.
    pub(super) bases: BTreeMap<ParamId, Vec<f32>>,
    /// The first node with a parameter that learns: the backward goes no further.
    pub(super) first_learning: usize,
    pub(super) positions: Vec<u32>,
    pub(super) profile: Vec<OpTime>,
}

/// The sizes of the batch at hand.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub tokens: usize,
    pub masked: usize,
    pub sequences: usize,
    pub examples: usize,
}

impl Sizes {
    pub fn of(batch: &Batch) -> Self {
        Self {
            tokens: batch.input_ids.len(),
            masked: batch.masked_rows.len(),
            sequences: batch.sequences(),
            examples: batch.examples(),
        }
    }
}

impl<E: Element> State<E> {
    pub fn new(graph: Graph, capacity: Capacity, mode: Mode, isa: Isa) -> Self {
        let slots = Slots::plan(&graph, &capacity, mode);
        let zeros = |here: &dyn Fn(&ParamSpec) -> bool| {
            let of = |spec: &ParamSpec| if here(spec) { spec.len() } else { 0 };
            graph.params.iter().map(|spec| Buffer::zeros(of(spec))).collect::<Vec<Buffer<f32>>>()
        };
        let train = mode == Mode::Train;
        let learns = |spec: &ParamSpec| train && spec.rate > 0.0;
        let has_copy = |spec: &ParamSpec| E::PRECISION == Precision::Bf16 && spec.shape.len() > 1;
        Self {
            activations: slots.activations.iter().map(|len| Buffer::zeros(*len)).collect(),
            statistics: slots.statistics.iter().map(|len| Buffer::zeros(*len)).collect(),
            master: zeros(&|_| true),
            rounded: graph
                .params
                .iter()
                .map(|spec| Buffer::zeros(if has_copy(spec) { spec.len() } else { 0 }))
                .collect(),
            gradients: zeros(&|_| train),
            first: zeros(&learns),
            second: zeros(&learns),
            bases: graph.low_rank.iter().map(|update| (update.weight, Vec::new())).collect(),
            first_learning: graph.first_learning(),
            positions: Vec::with_capacity(capacity.tokens),
            profile: Vec::new(),
            gemm: Gemm::new::<E>(isa),
            f32_gemm: Gemm::new::<f32>(isa),
            gelus_before: graph.gelus_before(),
            slots,
            graph,
            capacity,
        }
    }

    pub fn initialize(&mut self, seed: u64) {
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
            adamw::round(self.gemm.isa(), values, &mut self.rounded[index]);
        }
        self.remember_bases();
    }

    /// Losses of the head's rows. With a key and a loss scale: dropout, and the gradient of the logits.
    pub fn forward(&mut self, batch: &Batch, train: Option<(StepKey, f32)>) -> Result<&[f32]> {
        let sizes = self.begin(batch, true)?;
        for index in 0..self.graph.nodes.len() {
            let start = Instant::now();
            self.forward_node(index, batch, sizes, train);
            self.record(index, batch, start, false);
        }
        let Head { loss, .. } = self.graph.head();
        Ok(self.statistic(loss, sizes))
    }

    pub fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>> {
        let sizes = self.begin(batch, false)?;
        let last = self.graph.nodes.len() - 1;
        (0..last).for_each(|index| self.forward_node(index, batch, sizes, None));
        let Head { x, weight, bias, outputs, .. } = self.graph.head();
        let mut logits = vec![0.0; self.rows(x, sizes) * outputs];
        self.write_logits(self.value(x, sizes), weight, bias, &mut logits);
        Ok(logits)
    }

    fn begin(&mut self, batch: &Batch, answers: bool) -> Result<Sizes> {
        batch.check(&self.capacity, &self.graph, answers)?;
        embeddings::positions(batch, &mut self.positions);
        Ok(Sizes::of(batch))
    }

    pub(super) fn rows(&self, tensor: TensorId, sizes: Sizes) -> usize {
        match self.graph.tensors[tensor.0].rows {
            Rows::Tokens => sizes.tokens,
            Rows::Masked => sizes.masked,
            Rows::Sequences => sizes.sequences,
            Rows::Examples => sizes.examples,
        }
    }

    pub(super) fn len(&self, tensor: TensorId, sizes: Sizes) -> usize {
        self.rows(tensor, sizes) * self.graph.tensors[tensor.0].columns
    }

    pub(super) fn value_slot(&self, tensor: TensorId) -> usize {
        self.slots.of_value[tensor.0].expect("every written tensor has a buffer")
    }

    pub(super) fn value(&self, tensor: TensorId, sizes: Sizes) -> &[E] {
        &self.activations[self.value_slot(tensor)][..self.len(tensor, sizes)]
    }

    pub(super) fn statistic(&self, tensor: TensorId, sizes: Sizes) -> &[f32] {
        &self.statistics[self.value_slot(tensor)][..self.len(tensor, sizes)]
    }

    pub(super) fn gradient_slot(&self, tensor: TensorId) -> usize {
        self.slots.of_gradient[tensor.0].expect("every tensor on the way to the loss has a gradient")
    }

    pub(super) fn gradient(&self, tensor: TensorId, sizes: Sizes) -> &[E] {
        &self.activations[self.gradient_slot(tensor)][..self.len(tensor, sizes)]
    }

    /// Takes a buffer out of its slot, so that it can be written while others are read; [`State::put`] brings it back.
    pub(super) fn take(&mut self, slot: usize) -> Buffer<E> {
        std::mem::take(&mut self.activations[slot])
    }

    pub(super) fn put(&mut self, slot: usize, buffer: Buffer<E>) {
        self.activations[slot] = buffer;
    }

    pub(super) fn weights(&self, param: ParamId) -> &[E] {
        E::weights(&self.master[param.0], &self.rounded[param.0])
    }

    pub(super) fn norm(&self, norm: NormParams) -> norm::Norm<'_> {
        norm::Norm { weight: &self.master[norm.weight.0], bias: &self.master[norm.bias.0], eps: norm.eps }
    }

    /// `logits = x W^T + b`, `[rows, outputs]`.
    pub(super) fn write_logits(&self, x: &[E], weight: ParamId, bias: ParamId, logits: &mut [f32]) {
        let bias = &self.master[bias.0];
        let outputs = bias.len();
        let rows = logits.len() / outputs;
        let hidden = x.len() / rows.max(1);
        let x = View::new(x, rows, hidden, hidden);
        let weight = View::new(self.weights(weight), outputs, hidden, hidden).t();
        if rows > 0 {
            self.gemm.parallel(x, weight, Store::new(logits, outputs, outputs).bias(bias));
        }
    }

    pub(super) fn linear_sizes(&self, x: TensorId, out: TensorId, sizes: Sizes) -> linear::Sizes {
        linear::Sizes {
            rows: self.rows(x, sizes),
            inputs: self.graph.tensors[x.0].columns,
            outputs: self.graph.tensors[out.0].columns,
        }
    }

    pub(super) fn attention_shape<'a>(&self, batch: &'a Batch, heads: usize, out: TensorId) -> attention::Shape<'a> {
        attention::Shape { offsets: &batch.offsets, heads, dim: self.graph.tensors[out.0].columns / heads }
    }

    pub(super) fn pool(&self, pooling: Pooling) -> pool::Pool<'_> {
        match pooling {
            Pooling::Mean => pool::Pool::Mean,
            Pooling::Max => pool::Pool::Max,
            Pooling::Attention(vector) => pool::Pool::Attention(&self.master[vector.0]),
        }
    }

    pub fn optimizer_step(&mut self, adamw: &AdamW) -> f32 {
        let start = Instant::now();
        let isa = self.gemm.isa();
        let learning = self.gradients.iter().zip(&self.graph.params).filter(|(_, spec)| spec.rate > 0.0);
        let squares: f64 = learning.map(|(gradient, _)| adamw::sum_of_squares(isa, gradient)).sum();
        let norm = squares.sqrt() as f32;
        // torch.nn.utils.clip_grad_norm_ divides by norm + 1e-6.
        let scale = adamw.max_grad_norm.map_or(1.0, |max| (max / (norm + 1e-6)).min(1.0));
        for index in 0..self.graph.params.len() {
            let rate = self.graph.params[index].rate;
            if rate == 0.0 {
                continue;
            }
            AdamW { lr: adamw.lr * rate, ..*adamw }.step(
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
        self.merge_low_rank();
        add_time(&mut self.profile, "adamw", start.elapsed().as_secs_f64(), 0.0, 0);
        norm
    }

    pub(super) fn record(&mut self, index: usize, batch: &Batch, start: Instant, backward: bool) {
        let seconds = start.elapsed().as_secs_f64();
        let node = &self.graph.nodes[index];
        let forward_flops = forward_flops(&self.graph, node, batch);
        // Backward: two products for each of the forward; attention computes its scores once more, which is work but not counted as useful.
        let (name, flops) = (node.name(), forward_flops * if backward { 2 } else { 1 });
        let (forward_s, backward_s) = if backward { (0.0, seconds) } else { (seconds, 0.0) };
        add_time(&mut self.profile, name, forward_s, backward_s, flops);
    }
}

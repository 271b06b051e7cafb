//! The state of a graph on a GPU: parameters, memory, and what goes between the card and the machine.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use super::Gpu;
use super::driver::{Address, Event, Memory, Pinned, Recording, Stream, launch};
use super::input::{Input, Shape};
use super::kernels::Kernels;
use super::plan::{BLOCK, Plan, room};
use super::product::{Matrix, Product, WORKSPACE};
use crate::batch::{Batch, Capacity};
use crate::element::Precision;
use crate::error::{Error, Result};
use crate::graph::{Graph, Init, LowRank, TensorId};
use crate::ops::adamw::AdamW;
use crate::philox::{StepKey, fill_normal};
use crate::plan::{MemoryPlan, Mode};
use crate::profile::{OpTime, add_time};

/// Shapes whose launches are kept; a hundred bytes of the machine and some kilobytes of the driver each.
const MOST_RECORDINGS: usize = 256;

/// Launches of a shape: met once, or recorded.
enum Met {
    Once,
    Recorded { forward: Recording, backward: Option<Recording> },
}

/// Copies of the card's numbers, made when somebody asks.
#[derive(Default)]
struct Mirror {
    param: OnceLock<Vec<f32>>,
    effective: OnceLock<Vec<f32>>,
    gradient: OnceLock<Vec<f32>>,
    moments: OnceLock<(Vec<f32>, Vec<f32>)>,
}

/// A graph at work on a GPU.
pub(crate) struct State {
    pub(super) gpu: Arc<Gpu>,
    pub(super) stream: Stream,
    pub(super) kernels: Arc<Kernels>,
    pub(super) graph: Graph,
    capacity: Capacity,
    pub(super) precision: Precision,
    mode: Mode,
    pub(super) plan: Plan,
    pub(super) first_learning: usize,
    pub(super) activations: Vec<Memory>,
    pub(super) statistics: Vec<Memory>,
    pub(super) master: Memory,
    pub(super) rounded: Option<Memory>,
    pub(super) gradients: Memory,
    first: Memory,
    second: Memory,
    /// Adapted matrices without their low-rank updates.
    bases: BTreeMap<usize, Memory>,
    /// Learning rate and decay of each block of AdamW.
    treatments: Memory,
    pub(super) workspace: Memory,
    pub(super) partials: Memory,
    pub(super) delta: Memory,
    /// What rows count for where they are pooled.
    pub(super) shares: Memory,
    /// Where products are measured whose result is added to: taken with the rest, so that no step is the first to need it.
    measuring: Memory,
    pub(super) logits: Memory,
    /// Weights of the head's outputs.
    pub(super) output_weights: Memory,
    /// The sum of the losses, f64.
    pub(super) loss_sum: Memory,
    norm_partials: Memory,
    /// The norm of the gradients, and what they are multiplied with.
    norm: Memory,
    step: Memory,
    /// The block that `Input` writes.
    pub(super) block: Memory,
    input: Input,
    /// Two blocks in turn, so that one is written while the other is copied.
    staged: [(Pinned, Event); 2],
    turn: usize,
    /// The batch that was laid out before its time, with what for.
    upcoming: Option<(Batch, StepKey, f32)>,
    step_staged: Pinned,
    results: Pinned,
    arrived: Event,
    met: BTreeMap<Shape, Met>,
    /// Products are measured only outside of recordings.
    pub(super) recording: Cell<bool>,
    mirrors: Vec<Mirror>,
    /// Whether anything was mirrored since the last change.
    mirrored: Mutex<bool>,
    pub(super) profile: Vec<OpTime>,
    pub(super) profiling: bool,
    /// A failure that could not be returned where it came up.
    broken: RefCell<Option<Error>>,
}

impl State {
    pub fn new(gpu: &Arc<Gpu>, graph: Graph, capacity: Capacity, precision: Precision, mode: Mode) -> Result<Self> {
        let plan = Plan::of(&graph, &capacity, precision, mode)?;
        gpu.driver.bind()?;
        let kernels = gpu.kernels(precision, plan.head_columns.1)?;
        let stream = Stream::new(&gpu.driver)?;
        let memory = |bytes: usize, what: &str| Memory::new(&gpu.driver, bytes, what);
        let train = mode == Mode::Train;
        let trained = |elements: usize| if train { elements * 4 } else { 0 };
        let width = if precision == Precision::Bf16 { 2 } else { 4 };
        let activation = |elements: &usize| memory(elements * width, "activations");
        let statistic = |elements: &usize| memory(elements * 4, "statistics");
        let (_, weights) = super::kernels::objective(graph.head().objective);
        let output_weights = weights.unwrap_or_default().to_vec();
        let bases = graph.low_rank.iter().map(|update| update.weight.0);
        let staged =
            || Ok::<_, Error>((Pinned::new(&gpu.driver, plan.input_words * 4)?, Event::new(&gpu.driver, false)?));
        let state = Self {
            activations: plan.slots.activations.iter().map(activation).collect::<Result<_>>()?,
            statistics: plan.slots.statistics.iter().map(statistic).collect::<Result<_>>()?,
            master: memory(plan.all * 4, "weights")?,
            rounded: (precision == Precision::Bf16).then(|| memory(plan.all * 2, "bf16 weights")).transpose()?,
            gradients: memory(trained(plan.with_gradient), "gradients")?,
            first: memory(trained(plan.learning), "AdamW's moments")?,
            second: memory(trained(plan.learning), "AdamW's moments")?,
            bases: bases
                .map(|param| Ok((param, memory(graph.params[param].len() * 4, "adapted weights")?)))
                .collect::<Result<_>>()?,
            treatments: memory(plan.learning / BLOCK * 8, "AdamW's table")?,
            workspace: memory(WORKSPACE, "a workspace")?,
            partials: memory(plan.partials * 4, "partial sums")?,
            delta: memory(plan.delta * 4, "attention's sums")?,
            shares: memory(plan.shares * 4, "pooling's sums")?,
            measuring: memory(plan.measuring, "measuring products")?,
            logits: memory(plan.logits_rows * plan.width * 4, "logits")?,
            output_weights: memory(output_weights.len() * 4, "weights of outputs")?,
            loss_sum: memory(8, "the loss")?,
            norm_partials: memory(trained(plan.learning).div_ceil(4 * 8 * BLOCK) * 8, "partial sums")?,
            norm: memory(8, "the norm")?,
            step: memory(32, "AdamW's settings")?,
            block: memory(plan.input_words * 4, "the batch")?,
            input: Input::default(),
            staged: [staged()?, staged()?],
            turn: 0,
            upcoming: None,
            step_staged: Pinned::new(&gpu.driver, 32)?,
            results: Pinned::new(&gpu.driver, 16)?,
            arrived: Event::new(&gpu.driver, false)?,
            met: BTreeMap::new(),
            recording: Cell::new(false),
            mirrors: graph.params.iter().map(|_| Mirror::default()).collect(),
            mirrored: Mutex::new(false),
            profile: Vec::new(),
            profiling: false,
            broken: RefCell::new(None),
            first_learning: graph.first_learning(),
            gpu: gpu.clone(),
            stream,
            kernels,
            graph,
            capacity,
            precision,
            mode,
            plan,
        };
        // Once all memory is there: what fails above gives it back, and nothing may be at work on it then.
        let zeros = [&state.master, &state.gradients, &state.first, &state.second];
        for memory in zeros.into_iter().chain(&state.rounded).chain(state.bases.values()) {
            state.stream.fill(memory.at(), 0, memory.bytes())?;
        }
        state.stream.write(state.output_weights.at(), &output_weights)?;
        state.stream.write(state.treatments.at(), &state.treatment_table())?;
        Ok(state)
    }

    /// The memory that `new` will take.
    pub fn memory(graph: &Graph, capacity: &Capacity, precision: Precision, mode: Mode) -> Result<MemoryPlan> {
        Ok(Plan::of(graph, capacity, precision, mode)?.memory(graph, precision, mode))
    }

    /// `Treatment` of `kernels/adamw.cu`, one a block.
    fn treatment_table(&self) -> Vec<f32> {
        let mut table = vec![0.0; self.plan.learning / BLOCK * 2];
        for (spec, offset) in self.graph.params.iter().zip(&self.plan.offsets).filter(|(spec, _)| spec.rate > 0.0) {
            let blocks = room(&spec.shape).div_ceil(BLOCK);
            for treatment in table[offset / BLOCK * 2..][..blocks * 2].chunks_exact_mut(2) {
                treatment.copy_from_slice(&[spec.rate, if spec.decay { 1.0 } else { 0.0 }]);
            }
        }
        table
    }

    pub fn precision(&self) -> Precision {
        self.precision
    }

    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Address of a parameter's master weights.
    pub(super) fn master_of(&self, param: usize) -> Address {
        self.master.at() + 4 * self.plan.offsets[param] as u64
    }

    /// Address of a parameter as matrix products see it: in the precision of activations.
    pub(super) fn weights_of(&self, param: usize) -> Address {
        match &self.rounded {
            Some(rounded) => rounded.at() + 2 * self.plan.offsets[param] as u64,
            None => self.master_of(param),
        }
    }

    /// Address of a parameter's gradient; None where nobody wants it.
    pub(super) fn gradient_of(&self, param: usize) -> Option<Address> {
        let offset = self.plan.offsets[param];
        (offset < self.plan.with_gradient && self.mode == Mode::Train).then(|| self.gradients.at() + 4 * offset as u64)
    }

    pub(super) fn value(&self, tensor: TensorId) -> Address {
        self.activations[self.plan.slots.of_value[tensor.0].expect("every written tensor has a buffer")].at()
    }

    pub(super) fn statistic(&self, tensor: TensorId) -> Address {
        self.statistics[self.plan.slots.of_value[tensor.0].expect("every written tensor has a buffer")].at()
    }

    pub(super) fn gradient(&self, tensor: TensorId) -> Address {
        let slot = self.plan.slots.of_gradient[tensor.0].expect("every tensor on the way to the loss has a gradient");
        self.activations[slot].at()
    }

    /// Fresh weights, the same as on a CPU.
    pub fn initialize(&mut self, seed: u64) {
        for index in 0..self.graph.params.len() {
            let spec = &self.graph.params[index];
            let mut values = vec![0.0; spec.len()];
            match spec.init {
                Init::Zeros => {}
                Init::Ones => values.fill(1.0),
                Init::Normal(std) => fill_normal(&mut values, std, seed, index),
            }
            if let Some(row) = spec.zero_row {
                let columns = spec.len() / spec.shape[0];
                values[row * columns..][..columns].fill(0.0);
            }
            let written = self.write_param(index, &values);
            self.note(written);
        }
        let merged = self.merge_low_rank();
        self.note(merged);
    }

    /// Keeps a failure for the next call that can return it.
    fn note(&self, result: Result<()>) {
        if let Err(error) = result {
            self.broken.borrow_mut().get_or_insert(error);
        }
    }

    fn forget_mirrors(&mut self) {
        let mirrored = self.mirrored.get_mut().expect("nobody panics with it");
        if std::mem::take(mirrored) {
            self.mirrors.iter_mut().for_each(|mirror| *mirror = Mirror::default());
        }
    }

    /// Numbers of the card; NaN where it fails, which the next call that can return an error says.
    fn read(&self, at: Address, len: usize) -> Vec<f32> {
        *self.mirrored.lock().expect("nobody panics with it") = true;
        let mut values = vec![0.0; len];
        let read = self.gpu.driver.bind().and_then(|()| self.stream.read(at, &mut values));
        if read.is_err() {
            values.fill(f32::NAN);
        }
        self.note(read);
        values
    }

    pub fn param(&self, index: usize) -> &[f32] {
        let at = self.bases.get(&index).map_or_else(|| self.master_of(index), Memory::at);
        self.mirrors[index].param.get_or_init(|| self.read(at, self.graph.params[index].len()))
    }

    pub fn effective(&self, index: usize) -> &[f32] {
        self.mirrors[index].effective.get_or_init(|| self.read(self.master_of(index), self.graph.params[index].len()))
    }

    pub fn gradient_values(&self, index: usize) -> &[f32] {
        let len = if self.mode == Mode::Train { self.graph.params[index].len() } else { 0 };
        let read = || self.gradient_of(index).map_or_else(|| vec![0.0; len], |at| self.read(at, len));
        self.mirrors[index].gradient.get_or_init(read)
    }

    pub fn moments(&self, index: usize) -> (&[f32], &[f32]) {
        let (offset, spec) = (self.plan.offsets[index], &self.graph.params[index]);
        let len = if self.mode == Mode::Train && spec.rate > 0.0 { spec.len() } else { 0 };
        let read = || {
            [&self.first, &self.second]
                .map(|moment| if len == 0 { vec![] } else { self.read(moment.at() + 4 * offset as u64, len) })
        };
        let moments = self.mirrors[index].moments.get_or_init(|| read().into());
        (&moments.0, &moments.1)
    }

    fn write_param(&mut self, index: usize, values: &[f32]) -> Result<()> {
        assert_eq!(values.len(), self.graph.params[index].len(), "as many values as the parameter has");
        self.gpu.driver.bind()?;
        self.stream.write(self.master_of(index), values)?;
        if let Some(base) = self.bases.get(&index) {
            self.stream.write(base.at(), values)?;
        }
        self.round(index)
    }

    /// Refreshes the bf16 copy of a parameter.
    fn round(&self, index: usize) -> Result<()> {
        if self.rounded.is_none() {
            return Ok(());
        }
        let count = (room(&self.graph.params[index].shape) as u64).next_multiple_of(4);
        let grid = ((count as usize).div_ceil(BLOCK), 1);
        launch!(self.stream, self.kernels.rows.round_weights, grid, 256, 0; self.master_of(index), self.weights_of(index), count)
    }

    pub fn set_param(&mut self, index: usize, values: &[f32]) {
        self.forget_mirrors();
        let written = self.write_param(index, values);
        self.note(written);
        if self.graph.low_rank.iter().any(|update| [update.weight.0, update.a.0, update.b.0].contains(&index)) {
            let merged = self.merge_low_rank();
            self.note(merged);
        }
    }

    pub fn set_moments(&mut self, index: usize, first: &[f32], second: &[f32]) {
        self.forget_mirrors();
        let spec = &self.graph.params[index];
        let expected = if self.mode == Mode::Train && spec.rate > 0.0 { spec.len() } else { 0 };
        assert!(first.len() == expected && second.len() == expected, "as many moments as the parameter has values");
        let offset = 4 * self.plan.offsets[index] as u64;
        for (memory, values) in [(self.first.at(), first), (self.second.at(), second)] {
            let written = self
                .gpu
                .driver
                .bind()
                .and_then(|()| if values.is_empty() { Ok(()) } else { self.stream.write(memory + offset, values) });
            self.note(written);
        }
    }

    pub fn zero_gradients(&mut self) {
        self.forget_mirrors();
        let filled =
            self.gpu.driver.bind().and_then(|()| self.stream.fill(self.gradients.at(), 0, self.gradients.bytes()));
        self.note(filled);
    }

    /// Lays a batch out for the kernels, in memory that the card reads.
    fn lay_out(&mut self, batch: &Batch, train: Option<(StepKey, f32)>, answers: bool) -> Result<()> {
        batch.check(&self.capacity, &self.graph, answers)?;
        self.gpu.driver.bind()?;
        self.input.prepare(batch, &self.plan.head, train.is_some());
        self.turn = 1 - self.turn;
        let (staged, copied) = &mut self.staged[self.turn];
        copied.wait()?;
        let (key, scale) = train.unwrap_or_default();
        let keys = (0..self.graph.nodes.len()).map(|node| key.of_op(node));
        self.input.write(batch, &self.plan.head, keys, scale, staged.words());
        Ok(())
    }

    pub fn prepare(&mut self, batch: &Batch, key: StepKey, loss_scale: f32) -> Result<()> {
        self.upcoming = None;
        self.lay_out(batch, Some((key, loss_scale)), true)?;
        self.upcoming = Some((batch.clone(), key, loss_scale));
        Ok(())
    }

    /// Copies a batch to the card, laid out for the kernels.
    fn begin(&mut self, batch: &Batch, train: Option<(StepKey, f32)>, answers: bool) -> Result<()> {
        let is_this = |(of, key, scale): (Batch, StepKey, f32)| Some((key, scale)) == train && of == *batch;
        if !self.upcoming.take().is_some_and(is_this) {
            self.lay_out(batch, train, answers)?;
        }
        self.check()?;
        self.gpu.driver.bind()?;
        let (staged, copied) = &self.staged[self.turn];
        self.stream.upload(staged, self.input.layout.end, self.block.at())?;
        self.stream.record_event(copied)
    }

    pub fn forward_backward(&mut self, batch: &Batch, key: StepKey, loss_scale: f32) -> Result<f64> {
        self.forget_mirrors();
        self.begin(batch, Some((key, loss_scale)), true)?;
        self.count_flops(batch, true);
        let (shape, layout) = (self.input.shape, self.input.layout.clone());
        if self.profiling {
            self.forward(&shape, &layout, true)?;
            let sum = self.arrived_loss()?;
            self.backward(&shape, &layout)?;
            self.stream.wait()?;
            return Ok(sum);
        }
        match self.met(shape, |state| state.backward_quietly(&shape, &layout).map(Some))? {
            true => {
                let Some(Met::Recorded { forward, .. }) = self.met.get(&shape) else { unreachable!("just recorded") };
                self.stream.replay(forward)?;
            }
            false => self.forward_quietly(&shape, &layout, true)?,
        }
        self.download_loss()?;
        match self.met.get(&shape) {
            Some(Met::Recorded { backward: Some(backward), .. }) => self.stream.replay(backward)?,
            _ => self.backward_quietly(&shape, &layout)?,
        }
        // The loss is there as soon as the forward is done: the backward goes on while the caller prepares the next batch.
        self.arrived.wait()?;
        Ok(self.loss_result())
    }

    /// Whether the launches of this shape are recorded; the second time that a shape comes, they are.
    fn met(&mut self, shape: Shape, backward: impl Fn(&Self) -> Result<Option<()>>) -> Result<bool> {
        if !shape.is_small() {
            return Ok(false);
        }
        match self.met.get(&shape) {
            Some(Met::Recorded { .. }) => return Ok(true),
            None => {
                if self.met.len() >= MOST_RECORDINGS {
                    self.stream.wait()?;
                    self.met.clear();
                }
                self.met.insert(shape, Met::Once);
                return Ok(false);
            }
            Some(Met::Once) => {}
        }
        self.recording.set(true);
        let layout = self.input.layout.clone();
        let forward = self.stream.record(|| self.forward_quietly(&shape, &layout, shape.train));
        let mut has_backward = None;
        let recorded = shape.train.then(|| {
            self.stream.record(|| {
                has_backward = backward(self)?;
                Ok(())
            })
        });
        self.recording.set(false);
        self.met.insert(
            shape,
            Met::Recorded { forward: forward?, backward: recorded.transpose()?.filter(|_| has_backward.is_some()) },
        );
        Ok(true)
    }

    fn download_loss(&mut self) -> Result<()> {
        self.stream.download(self.loss_sum.at(), &mut self.results, 2)?;
        self.stream.record_event(&self.arrived)
    }

    fn loss_result(&self) -> f64 {
        let words = self.results.read();
        f64::from_bits(u64::from(words[0]) | u64::from(words[1]) << 32)
    }

    fn arrived_loss(&mut self) -> Result<f64> {
        self.download_loss()?;
        self.arrived.wait()?;
        Ok(self.loss_result())
    }

    pub fn evaluate(&mut self, batch: &Batch) -> Result<Vec<f32>> {
        self.begin(batch, None, true)?;
        self.count_flops(batch, false);
        let (shape, layout) = (self.input.shape, self.input.layout.clone());
        if self.profiling {
            self.forward(&shape, &layout, false)?;
        } else if self.met(shape, |_| Ok(None))? {
            let Some(Met::Recorded { forward, .. }) = self.met.get(&shape) else { unreachable!("just recorded") };
            self.stream.replay(forward)?;
        } else {
            self.forward_quietly(&shape, &layout, false)?;
        }
        let head = self.graph.head();
        let mut losses = vec![0.0; self.head_rows(batch)];
        if !losses.is_empty() {
            self.stream.read(self.statistic(head.loss), &mut losses)?;
        }
        Ok(losses)
    }

    fn head_rows(&self, batch: &Batch) -> usize {
        if self.plan.head.rows == crate::graph::Rows::Masked { batch.masked_rows.len() } else { batch.examples() }
    }

    pub fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>> {
        self.begin(batch, None, false)?;
        self.count_flops(batch, false);
        let (shape, layout) = (self.input.shape, self.input.layout.clone());
        let last = self.graph.nodes.len() - 1;
        for index in 0..last {
            self.clocked(index, |state| state.forward_node(index, &shape, &layout, false))?;
        }
        let (rows, outputs, width) = (self.head_rows(batch), self.plan.head.outputs, self.plan.width);
        let mut logits = Vec::with_capacity(rows * outputs);
        let mut chunk = vec![0.0; self.plan.logits_rows.min(rows) * width];
        for first in (0..rows).step_by(self.plan.logits_rows) {
            let count = self.plan.logits_rows.min(rows - first);
            self.clocked(last, |state| state.write_logits(first, count))?;
            let chunk = &mut chunk[..count * width];
            self.stream.read(self.logits.at(), chunk)?;
            chunk.chunks_exact(width).for_each(|row| logits.extend(&row[..outputs]));
        }
        Ok(logits)
    }

    pub fn optimizer_step(&mut self, adamw: &AdamW) -> f32 {
        self.forget_mirrors();
        let stepped = match self.profiling {
            true => self.timed_step(adamw),
            false => self.step(adamw),
        };
        match stepped {
            Ok(norm) => norm,
            Err(error) => {
                self.note(Err(error));
                f32::NAN
            }
        }
    }

    fn timed_step(&mut self, adamw: &AdamW) -> Result<f32> {
        self.gpu.driver.bind()?;
        let [start, end] = [Event::new(&self.gpu.driver, true)?, Event::new(&self.gpu.driver, true)?];
        self.stream.record_event(&start)?;
        let norm = self.step(adamw)?;
        self.stream.record_event(&end)?;
        end.wait()?;
        add_time(&mut self.profile, "adamw", start.seconds_until(&end)?, 0.0, 0);
        Ok(norm)
    }

    fn step(&mut self, adamw: &AdamW) -> Result<f32> {
        self.gpu.driver.bind()?;
        // Bias corrections in f64, as on the CPU.
        let correction1 = 1.0 - f64::from(adamw.beta1).powi(adamw.step as i32);
        let correction2 = 1.0 - f64::from(adamw.beta2).powi(adamw.step as i32);
        let settings = [
            adamw.beta1,
            adamw.beta2,
            adamw.eps,
            adamw.weight_decay,
            adamw.lr,
            (f64::from(adamw.lr) / correction1) as f32,
            correction2.sqrt() as f32,
            adamw.max_grad_norm.unwrap_or(0.0),
        ];
        self.step_staged.words().iter_mut().zip(settings).for_each(|(word, setting)| *word = setting.to_bits());
        self.stream.upload(&self.step_staged, settings.len(), self.step.at())?;
        let (kernels, elements) = (&self.kernels.rows, self.plan.learning);
        let partials = elements.div_ceil(8 * BLOCK);
        let count = elements as u64;
        launch!(self.stream, kernels.squares, (partials, 1), 256, 256 * 8; self.gradients.at(), count, self.norm_partials.at())?;
        launch!(self.stream, kernels.finish_norm, (1, 1), 256, 256 * 8; self.norm_partials.at(), partials as u32, self.step.at(), self.norm.at())?;
        self.stream.download(self.norm.at(), &mut self.results, 1)?;
        self.stream.record_event(&self.arrived)?;
        let rounded = self.rounded.as_ref().map_or(0, Memory::at);
        launch!(
            self.stream, kernels.adamw, (elements / BLOCK, 1), 256, 0;
            self.master.at(), rounded, self.gradients.at(), self.first.at(), self.second.at(), self.treatments.at(), self.step.at(), self.norm.at()
        )?;
        self.merge_low_rank()?;
        // The settings are copied and the norm is there; AdamW itself goes on.
        self.arrived.wait()?;
        Ok(f32::from_bits(self.results.read()[0]))
    }

    /// `W = base + scale B A` for all adapted matrices (LoRA, Hu et al. 2021).
    fn merge_low_rank(&self) -> Result<()> {
        self.gpu.driver.bind()?;
        for (param, base) in &self.bases {
            self.stream.copy(base.at(), self.master_of(*param), base.bytes())?;
        }
        for LowRank { weight, rows, a, b, rank, scale } in &self.graph.low_rank {
            let inputs = self.graph.params[weight.0].shape[1];
            let target = self.master_of(weight.0) + 4 * (rows.start * inputs) as u64;
            let matrix = |at: Address, columns: usize| Matrix::new(at, columns, Precision::F32);
            self.product(&Product {
                rows: rows.len(),
                columns: inputs,
                depth: *rank,
                a: matrix(self.master_of(b.0), *rank),
                b: matrix(self.master_of(a.0), inputs),
                c: matrix(target, inputs),
                bias: None,
                scale: *scale,
                add: true,
            })?;
        }
        self.bases.keys().try_for_each(|param| self.round(*param))
    }

    /// The gradients of A and B from that of the merged matrix: `dA = scale B^T dW`, `dB = scale dW A^T`; they replace what is there.
    pub(super) fn project_low_rank(&self) -> Result<()> {
        for LowRank { weight, rows, a, b, rank, scale } in &self.graph.low_rank {
            let (Some(d_w), Some(d_a), Some(d_b)) =
                (self.gradient_of(weight.0), self.gradient_of(a.0), self.gradient_of(b.0))
            else {
                continue;
            };
            let inputs = self.graph.params[weight.0].shape[1];
            let matrix = |at: Address, columns: usize| Matrix::new(at, columns, Precision::F32);
            let d_w = matrix(d_w + 4 * (rows.start * inputs) as u64, inputs);
            let plain = Product {
                rows: *rank,
                columns: inputs,
                depth: rows.len(),
                a: d_w,
                b: d_w,
                c: d_w,
                bias: None,
                scale: *scale,
                add: false,
            };
            self.product(&Product { a: matrix(self.master_of(b.0), *rank).t(), c: matrix(d_a, inputs), ..plain })?;
            let b = matrix(self.master_of(a.0), inputs).t();
            self.product(&Product {
                rows: rows.len(),
                columns: *rank,
                depth: inputs,
                b,
                c: matrix(d_b, *rank),
                ..plain
            })?;
        }
        Ok(())
    }

    pub(super) fn product(&self, product: &Product) -> Result<()> {
        let measuring = (!self.recording.get()).then_some(&self.measuring);
        self.gpu.products.start(&self.stream, &self.workspace, product, measuring)
    }

    pub fn finish(&mut self) -> Result<()> {
        self.gpu.driver.bind()?;
        self.stream.wait()?;
        self.check()
    }

    /// The failure that could not be returned where it came up.
    pub fn check(&self) -> Result<()> {
        self.broken.take().map_or(Ok(()), Err)
    }

    pub fn set_profiling(&mut self, profiling: bool) {
        self.profiling = profiling;
    }

    pub fn profile(&self) -> &[OpTime] {
        &self.profile
    }

    pub fn reset_profile(&mut self) {
        self.profile.clear();
    }
}

impl Drop for State {
    /// Memory, streams and graphs are given back after this.
    fn drop(&mut self) {
        let _ = self.gpu.driver.bind().and_then(|()| self.stream.wait());
    }
}

//! Runs a graph: forward, backward, optimizer step, in memory that was planned once.
//!
//! [`Executor`] is what callers see; the state of one precision, and its passes, are below.

mod backward;
mod forward;
mod low_rank;
mod state;

use crate::batch::{Batch, Capacity};
use crate::cuda;
use crate::device::Device;
use crate::element::Precision;
use crate::error::Result;
use crate::graph::{Graph, ParamSpec};
use crate::ops::adamw;
use crate::philox::StepKey;
use crate::plan::{MemoryPlan, Mode};
use crate::profile::OpTime;
use half::bf16;
use rayon::prelude::*;
use state::State;

pub use crate::ops::adamw::AdamW;

/// A graph with its parameters and memory.
pub struct Executor {
    inner: Inner,
}

enum Inner {
    F32(Box<State<f32>>),
    Bf16(Box<State<bf16>>),
    Cuda(Box<cuda::state::State>),
}

/// The same on the processor in either precision; and its like on a GPU.
macro_rules! each {
    ($executor:expr, $state:ident => $body:expr, $gpu:ident => $of_gpu:expr) => {
        match $executor {
            Inner::F32($state) => $body,
            Inner::Bf16($state) => $body,
            Inner::Cuda($gpu) => $of_gpu,
        }
    };
}

impl Executor {
    /// Allocates everything; parameters are zero until [`Executor::initialize`] or [`Executor::set_param`].
    ///
    /// It runs on the selected device ([`Device::selected`]).
    ///
    /// # Errors
    /// If the graph cannot be run, or the device has no room for it.
    pub fn new(graph: Graph, capacity: Capacity, precision: Precision, mode: Mode) -> Result<Self> {
        Self::on(&Device::selected()?, graph, capacity, precision, mode)
    }

    /// As [`Executor::new`], on a given device.
    ///
    /// # Errors
    /// If the graph cannot be run, or the device has no room for it.
    ///
    /// # Panics
    /// If the device is the processor with an instruction set that is not available.
    pub fn on(device: &Device, graph: Graph, capacity: Capacity, precision: Precision, mode: Mode) -> Result<Self> {
        graph.validate()?;
        let inner = match (device, precision) {
            (Device::Cuda(gpu), _) => {
                Inner::Cuda(Box::new(cuda::state::State::new(gpu, graph, capacity, precision, mode)?))
            }
            (Device::Cpu(isa), _) if !isa.is_available() => panic!("{isa:?} is not available on this machine"),
            (Device::Cpu(isa), Precision::F32) => Inner::F32(Box::new(State::new(graph, capacity, mode, *isa))),
            (Device::Cpu(isa), Precision::Bf16) => Inner::Bf16(Box::new(State::new(graph, capacity, mode, *isa))),
        };
        Ok(Self { inner })
    }

    /// The memory that an executor will hold on the selected device.
    ///
    /// # Errors
    /// The device cannot be used, or not for this graph.
    pub fn memory(graph: &Graph, capacity: &Capacity, precision: Precision, mode: Mode) -> Result<MemoryPlan> {
        Device::selected()?.memory(graph, capacity, precision, mode)
    }

    /// The precision of matrix products and activations.
    pub fn precision(&self) -> Precision {
        match &self.inner {
            Inner::F32(_) => Precision::F32,
            Inner::Bf16(_) => Precision::Bf16,
            Inner::Cuda(gpu) => gpu.precision(),
        }
    }

    /// Fresh weights: each parameter as its spec says, as a function of the seed.
    pub fn initialize(&mut self, seed: u64) {
        each!(&mut self.inner, state => state.initialize(seed), gpu => gpu.initialize(seed));
    }

    /// All parameters, in the order that indices refer to.
    pub fn specs(&self) -> &[ParamSpec] {
        each!(&self.inner, state => &state.graph.params, gpu => &gpu.graph().params)
    }

    /// A parameter's master weights, row-major: without its low-rank updates, which are parameters of their own.
    pub fn param(&self, index: usize) -> &[f32] {
        each!(&self.inner, state => state.param(index), gpu => gpu.param(index))
    }

    /// The weights that the ops read: with the low-rank updates of this parameter, where it has any.
    pub fn effective(&self, index: usize) -> &[f32] {
        each!(&self.inner, state => &state.master[index], gpu => gpu.effective(index))
    }

    /// Replaces master weights; the lengths must agree.
    pub fn set_param(&mut self, index: usize, values: &[f32]) {
        each!(&mut self.inner, state => state.set_param(index, values), gpu => gpu.set_param(index, values));
    }

    /// The gradient gathered since [`Executor::zero_gradients`].
    pub fn gradient(&self, index: usize) -> &[f32] {
        each!(&self.inner, state => &state.gradients[index], gpu => gpu.gradient_values(index))
    }

    /// AdamW's first and second moment; empty for parameters that do not learn.
    pub fn moments(&self, index: usize) -> (&[f32], &[f32]) {
        each!(&self.inner, state => (&state.first[index], &state.second[index]), gpu => gpu.moments(index))
    }

    /// Replaces the moments; the lengths must agree.
    pub fn set_moments(&mut self, index: usize, first: &[f32], second: &[f32]) {
        each!(&mut self.inner, state => {
            state.first[index].copy_from_slice(first);
            state.second[index].copy_from_slice(second);
        }, gpu => gpu.set_moments(index, first, second));
    }

    /// Forgets the gradients.
    pub fn zero_gradients(&mut self) {
        each!(
            &mut self.inner,
            state => in_pool(|| state.gradients.par_iter_mut().for_each(|gradient| adamw::zero(gradient))),
            gpu => gpu.zero_gradients()
        );
    }

    /// Forward and backward with dropout. Adds the gradients of `loss_scale` times the sum of the losses of all rows of the head (masked tokens, sequences or
    /// examples), and returns that sum (unscaled).
    ///
    /// # Errors
    /// If the batch does not fit the capacity or the model.
    pub fn forward_backward(&mut self, batch: &Batch, key: StepKey, loss_scale: f32) -> Result<f64> {
        each!(&mut self.inner, state => in_pool(|| {
            let loss = state.forward(batch, Some((key, loss_scale)))?.iter().map(|nats| f64::from(*nats)).sum();
            state.backward(batch, key);
            Ok(loss)
        }), gpu => gpu.forward_backward(batch, key, loss_scale))
    }

    /// Says what the next [`Executor::forward_backward`] will be asked for, so that a GPU's batch is laid out while the card is still at work: to be called between
    /// the last `forward_backward` of a step and [`Executor::optimizer_step`], which waits for the card. On the processor there is nothing to do.
    ///
    /// # Errors
    /// If the batch does not fit the capacity or the model.
    pub fn prepare(&mut self, batch: &Batch, key: StepKey, loss_scale: f32) -> Result<()> {
        if let Inner::Cuda(gpu) = &mut self.inner { gpu.prepare(batch, key, loss_scale) } else { Ok(()) }
    }

    /// The loss of each row of the head, without dropout: nats of a masked token, or the loss of an example, `[rows]`.
    ///
    /// # Errors
    /// If the batch does not fit the capacity or the model.
    pub fn evaluate(&mut self, batch: &Batch) -> Result<Vec<f32>> {
        each!(
            &mut self.inner,
            state => in_pool(|| state.forward(batch, None).map(<[f32]>::to_vec)),
            gpu => gpu.evaluate(batch)
        )
    }

    /// The outputs of each row of the head before softmax or sigmoid, without dropout: `[masked, vocabulary]` or `[examples, outputs]`. Answers need not be
    /// in the batch.
    ///
    /// # Errors
    /// If the batch does not fit the capacity or the model.
    pub fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>> {
        each!(&mut self.inner, state => in_pool(|| state.logits(batch)), gpu => gpu.logits(batch))
    }

    /// One AdamW step over all parameters; returns the norm of the gradients before clipping.
    pub fn optimizer_step(&mut self, adamw: &AdamW) -> f32 {
        each!(&mut self.inner, state => in_pool(|| state.optimizer_step(adamw)), gpu => gpu.optimizer_step(adamw))
    }

    /// Where the time went, by kind of op, the longest first.
    pub fn profile(&self) -> Vec<OpTime> {
        let mut profile = each!(&self.inner, state => state.profile.clone(), gpu => gpu.profile().to_vec());
        profile.sort_by(|a, b| (b.forward_s + b.backward_s).total_cmp(&(a.forward_s + a.backward_s)));
        profile
    }

    /// Starts the profile anew.
    pub fn reset_profile(&mut self) {
        each!(&mut self.inner, state => state.profile.clear(), gpu => gpu.reset_profile());
    }

    /// Whether what was read was there: a GPU that fails gives NaN for weights and moments, and says so here. To be asked before they are written to a disk.
    ///
    /// # Errors
    /// The GPU failed.
    pub fn check(&self) -> Result<()> {
        if let Inner::Cuda(gpu) = &self.inner { gpu.check() } else { Ok(()) }
    }

    /// Waits until everything that was asked for is done: a GPU works while its caller goes on.
    ///
    /// # Errors
    /// The GPU failed.
    pub fn finish(&mut self) -> Result<()> {
        if let Inner::Cuda(gpu) = &mut self.inner { gpu.finish() } else { Ok(()) }
    }

    /// Whether the time of each op is measured. On the processor it always is; on a GPU, where that keeps launches from running ahead, only if it is asked
    /// for, and [`Executor::profile`] counts nothing but operations without.
    pub fn set_profiling(&mut self, profiling: bool) {
        if let Inner::Cuda(gpu) = &mut self.inner {
            gpu.set_profiling(profiling);
        }
    }
}

/// Does the work of many ops on one of the pool's threads: begun elsewhere, each op would put its caller to sleep and wake it again, which takes a tenth of a
/// step of a few hundred tokens.
fn in_pool<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    rayon::scope(|_| work())
}

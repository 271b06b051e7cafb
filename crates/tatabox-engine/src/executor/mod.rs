//! Runs a graph: forward, backward, optimizer step, in memory that was planned once.
//!
//! [`Executor`] is what callers see; the state of one precision, and its passes, are below.

mod backward;
mod forward;
mod low_rank;
mod state;

use crate::batch::{Batch, Capacity};
use crate::element::Precision;
use crate::error::Result;
use crate::graph::{Graph, ParamSpec};
use crate::isa::Isa;
use crate::philox::StepKey;
use crate::plan::{MemoryPlan, Mode};
use half::bf16;
use state::State;

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

    /// The precision of matrix products and activations.
    pub fn precision(&self) -> Precision {
        match self.inner {
            Inner::F32(_) => Precision::F32,
            Inner::Bf16(_) => Precision::Bf16,
        }
    }

    /// Fresh weights: each parameter as its spec says, as a function of the seed.
    pub fn initialize(&mut self, seed: u64) {
        each_precision!(&mut self.inner, state => state.initialize(seed));
    }

    /// All parameters, in the order that indices refer to.
    pub fn specs(&self) -> &[ParamSpec] {
        each_precision!(&self.inner, state => &state.graph.params)
    }

    /// A parameter's master weights, row-major: without its low-rank updates, which are parameters of their own.
    pub fn param(&self, index: usize) -> &[f32] {
        each_precision!(&self.inner, state => state.param(index))
    }

    /// The weights that the ops read: with the low-rank updates of this parameter, where it has any.
    pub fn effective(&self, index: usize) -> &[f32] {
        each_precision!(&self.inner, state => &state.master[index])
    }

    /// Replaces master weights; the lengths must agree.
    pub fn set_param(&mut self, index: usize, values: &[f32]) {
        each_precision!(&mut self.inner, state => state.set_param(index, values));
    }

    /// The gradient gathered since [`Executor::zero_gradients`].
    pub fn gradient(&self, index: usize) -> &[f32] {
        each_precision!(&self.inner, state => &state.gradients[index])
    }

    /// AdamW's first and second moment; empty for parameters that do not learn.
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

    /// Forward and backward with dropout. Adds the gradients of `loss_scale` times the sum of the losses of all rows of the head (masked tokens, sequences or
    /// examples), and returns that sum (unscaled).
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

    /// The loss of each row of the head, without dropout: nats of a masked token, or the loss of an example, `[rows]`.
    ///
    /// # Errors
    /// If the batch does not fit the capacity or the model.
    pub fn evaluate(&mut self, batch: &Batch) -> Result<Vec<f32>> {
        each_precision!(&mut self.inner, state => state.forward(batch, None).map(<[f32]>::to_vec))
    }

    /// The outputs of each row of the head before softmax or sigmoid, without dropout: `[masked, vocabulary]` or `[examples, outputs]`. Answers need not be
    /// in the batch.
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

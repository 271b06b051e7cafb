//! Tensors and fused operations of BERT-like models, forward and backward. Knows nothing of DNA.
//!
//! A model builds a [`Graph`] once; an [`Executor`] plans its memory and runs it, step after step, over [`Batch`]es without padding.
//! The modules are listed in order; a module uses only those above it. `isa` and `philox` use `kernels` besides: to ask for AMX, and to draw in AVX-512.

pub mod error;

pub mod buffer;
pub mod element;

pub mod isa;
pub mod philox;

// Public for the tests in `tests/`, which multiply without a model.
#[doc(hidden)]
pub mod kernels;

pub mod graph;

pub mod batch;

mod ops;
pub mod plan;

pub mod profile;
pub mod rate;

pub mod cuda;
pub mod device;

pub mod executor;

pub use batch::{Batch, Capacity};
pub use device::{Device, DeviceChoice};
pub use element::Precision;
pub use error::{Error, Result};
pub use executor::{AdamW, Executor};
pub use graph::{Graph, Init, NormParams, Objective, ParamId, ParamSpec, Pooling, TensorId};
pub use isa::Isa;
pub use philox::StepKey;
pub use plan::{MemoryPlan, Mode};
pub use profile::OpTime;

/// Past the capture of the test harness: a test that was skipped must not look like one that passed.
#[cfg(test)]
fn skipped(why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

//! The kernels by name, and the sizes of their blocks.

use std::ffi::CString;

use super::driver::{Argument, Kernel, Module};
use crate::element::Precision;
use crate::error::{Error, Result};
use crate::graph::{Objective, Pooling};

/// Rows of queries, or of keys, that a block of attention takes in one go.
const TILE: u32 = 64;
/// Shared memory that a launch may take without asking.
const PLAIN_SHARED: u32 = 48 << 10;

macro_rules! kernels {
    ($($name:ident),+) => {
        /// Every kernel but attention's.
        #[allow(missing_docs)]
        pub(in crate::cuda) struct RowKernels { $(pub $name: Kernel),+ }
        impl RowKernels {
            fn load(module: &Module) -> Result<Self> {
                Ok(Self { $($name: module.kernel(&CString::new(stringify!($name)).expect("a name"), 0)?),+ })
            }
        }
    };
}

kernels!(
    embeddings_forward,
    norm_forward,
    norm_backward,
    add_partials,
    activate_forward,
    activate_backward,
    column_sums,
    gather_rows,
    spread_rows,
    drop_rows,
    pool_forward,
    pool_backward,
    cross_entropy,
    row_losses,
    sum_losses,
    sum_pieces,
    add_pieces,
    squares,
    finish_norm,
    adamw,
    round_weights
);

/// Attention's kernels, each with the shared memory of a block.
pub(super) struct AttentionKernels {
    pub forward: (Kernel, u32),
    pub backward_queries: (Kernel, u32),
    pub backward_keys: (Kernel, u32),
    /// Threads of `backward_keys`.
    pub key_threads: u32,
}

/// The kernels of one precision and one size of heads.
pub(super) struct Kernels {
    pub rows: RowKernels,
    pub attention: Option<AttentionKernels>,
    _modules: (Module, Option<Module>),
}

/// Keys of a block of attention's backward (`KEYS` in `kernels/attention.cu`).
pub(super) fn key_tile(precision: Precision) -> usize {
    if precision == Precision::Bf16 { 128 } else { 64 }
}

impl Kernels {
    pub fn load(
        rows: Module,
        attention: Option<Module>,
        precision: Precision,
        head: u32,
        shared_limit: u32,
    ) -> Result<Self> {
        // `LINE` in `kernels/attention.cu`, in bytes.
        let line = head * if precision == Precision::Bf16 { 2 } else { 4 } + 16;
        let keys = key_tile(precision) as u32;
        // `PLACES` in `kernels/attention.cu`.
        let places = if precision == Precision::Bf16 && head <= 64 { 2 } else { 1 };
        let load = |module: &Module| {
            let kernel = |name: &str, lines: u32, more: u32| {
                let shared = lines * line + more;
                if shared > shared_limit {
                    let what = format!(
                        "attention heads of {head} columns in {precision} need {shared} bytes of shared memory, this GPU has {shared_limit}"
                    );
                    return Err(Error::Cuda { what, hint: "use bf16, more heads, or `--device cpu`".to_string() });
                }
                Ok((module.kernel(&CString::new(name).expect("a name"), shared)?, shared))
            };
            Ok(AttentionKernels {
                forward: kernel("attention_forward", (1 + 2 * places) * TILE, 0)?,
                backward_queries: kernel("attention_backward_queries", (2 + 2 * places) * TILE, 0)?,
                backward_keys: kernel(
                    "attention_backward_keys",
                    2 * keys + 2 * places * TILE,
                    places * TILE * (2 * 4 + 16),
                )?,
                key_threads: 2 * keys,
            })
        };
        let of_attention = attention.as_ref().map(load).transpose()?;
        Ok(Self { rows: RowKernels::load(&rows)?, attention: of_attention, _modules: (rows, attention) })
    }
}

/// Warps of a block that keeps `rows` rows of floats a warp in shared memory, and the bytes of that; None if not even one warp has room.
pub(super) fn warps(columns: usize, rows: usize) -> Option<(u32, u32)> {
    let bytes = (columns.next_multiple_of(256) * rows * 4) as u32;
    [4, 2, 1].into_iter().find(|warps| warps * bytes <= PLAIN_SHARED).map(|warps| (warps, warps * bytes))
}

/// Dropout as the kernels take it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Dropout {
    /// Address of the key; 0: nothing is dropped.
    pub key: u64,
    pub threshold: u32,
    pub scale: f32,
}
// SAFETY: as `Dropout` in `kernels/numbers.cu`.
#[allow(unsafe_code)]
unsafe impl Argument for Dropout {}

impl Dropout {
    pub const NONE: Dropout = Dropout { key: 0, threshold: 0, scale: 1.0 };
}

/// Where sums of columns go; 0: nowhere.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Targets(pub [u64; 2]);
// SAFETY: as `Targets` in `kernels/rows.cu`.
#[allow(unsafe_code)]
unsafe impl Argument for Targets {}

/// `activate` in `kernels/rows.cu`.
pub(super) const GELU: u32 = 0;
pub(super) const TANH: u32 = 1;

/// `pooling` in `kernels/heads.cu`.
pub(super) fn pooling(pooling: Pooling) -> u32 {
    match pooling {
        Pooling::Mean => 0,
        Pooling::Max => 1,
        Pooling::Attention(_) => 2,
    }
}

/// `objective` in `kernels/heads.cu`, and the weights of outputs.
pub(super) fn objective(objective: &Objective) -> (u32, Option<&[f32]>) {
    match objective {
        Objective::CrossEntropy { weights, .. } => (0, weights.as_deref()),
        Objective::BinaryCrossEntropy { positive_weights } => (1, positive_weights.as_deref()),
        Objective::SquaredError => (2, None),
    }
}

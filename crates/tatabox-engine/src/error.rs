//! What can go wrong in the engine: every case is a caller's request that does not fit the graph or the machine.

/// The error of this crate.
#[derive(Clone, Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A batch does not fit the capacity that memory was planned for.
    #[error("a batch holds {got} {what}, but memory is planned for {planned}")]
    Capacity {
        /// What there is too much of: "tokens", "masked tokens".
        what: &'static str,
        /// What the batch holds.
        got: usize,
        /// What was planned.
        planned: usize,
    },
    /// A batch is inconsistent in itself or with the model.
    #[error("bad batch: {0}")]
    Batch(String),
    /// A model asks for shapes that do not fit each other.
    #[error("bad graph: {0}")]
    Graph(String),
    /// The environment variable that forces a kernel path names one that this machine lacks or that does not exist.
    #[error("TATABOX_CPU is `{got}`, but this machine offers: {offered}")]
    Isa {
        /// The value of the variable.
        got: String,
        /// The names that would work.
        offered: String,
    },
    /// The GPU, its driver or its libraries cannot do what is needed.
    #[error("{what}")]
    Cuda {
        /// What went wrong.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// The GPU's memory is full.
    #[error("the GPU has no room for {what}: {} MiB are needed and {} MiB are free", needed >> 20, free >> 20)]
    GpuMemory {
        /// What the memory is for.
        what: String,
        /// Bytes.
        needed: usize,
        /// Bytes.
        free: usize,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

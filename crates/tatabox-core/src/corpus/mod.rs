//! Sampling windows from a genome: which bases are held out, and where the windows lie.
//!
//! A window is drawn by seed, step and index alone, so it does not matter who draws it, in which order, or after which interruption.

mod holdout;
mod sampler;
mod segments;
mod tiling;

pub use holdout::{Holdout, Region};
pub use sampler::{Part, Sampler, SamplerConfig, Sampling, Window};
pub(crate) use segments::Segments;

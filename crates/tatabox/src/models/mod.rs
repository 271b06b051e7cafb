//! Models, one file an architecture, written forward only over the engine's ops.

pub mod bert;
pub mod fresh;

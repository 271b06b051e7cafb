//! The lines of `metrics.jsonl`: what a run wrote down on its way.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tatabox_core::score::Scores;

use crate::error::{Error, Result};

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Line {
    /// The steps since the line before.
    Train {
        /// The last of them.
        step: u64,
        /// Nats a masked token.
        loss: Option<f64>,
        /// The learning rate of the last step.
        learning_rate: f64,
        /// The gradient's norm in the last step, before clipping.
        gradient_norm: f64,
        /// The share of content tokens that was masked.
        mask_rate: Option<f64>,
        /// Tokens since the start of the run.
        tokens: u64,
        /// Tokens a second of the last steps.
        tokens_per_second: f64,
    },
    /// Held-out loss.
    Evaluation {
        /// The step.
        step: u64,
        /// Nats a masked token over all masks.
        loss: f64,
        /// Overall and by mask.
        scores: Scores,
    },
}

/// Reads the lines of a run; a last line that is not whole yet is left out.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::file("read", path)(error)),
    }
}

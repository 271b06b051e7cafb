//! What a run tells about itself while it goes: a program renders it, a test reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tatabox_core::score::Scores;

use crate::checkpoint::Best;
use crate::plan::Plan;

/// Where a run is, after each step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Progress {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Nats a masked token in this step; not a number where nothing was masked.
    pub loss: f64,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// The norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// The share of content tokens masked in this step.
    pub mask_rate: f64,
    /// Tokens a second, over the last steps of this process.
    pub tokens_per_second: f64,
    /// Floating point operations a second that these tokens need.
    pub flops_per_second: f64,
    /// Seconds until the last step at this speed.
    pub seconds_left: f64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// The run directory.
    pub run: PathBuf,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// False where it was stopped before its last step.
    pub finished: bool,
    /// Nats a masked token in the steps since the last line of the log, or over all steps.
    pub training_loss: Option<f64>,
    /// Held-out nats a masked token at the last measurement.
    pub loss: Option<f64>,
    /// The best held-out loss and its step.
    pub best: Option<Best>,
    /// The same loss of what can be guessed without a model, by name: `uniform`, `kmer-frequency`, `markov-5`. Empty where nothing is held out.
    pub baselines: BTreeMap<String, f64>,
    /// Tokens a second of this process, evaluations and checkpoints left out.
    pub tokens_per_second: f64,
    /// Floating point operations a token.
    pub flops_per_token: f64,
}

/// Hears of a run. Every method may do nothing.
pub trait Observer {
    /// Before the first step: what will happen.
    fn planned(&mut self, plan: &Plan) {
        let _ = plan;
    }
    /// After each step.
    fn step(&mut self, progress: &Progress) {
        let _ = progress;
    }
    /// After a measurement of held-out loss.
    fn evaluated(&mut self, step: u64, scores: &Scores) {
        let _ = (step, scores);
    }
    /// After a checkpoint.
    fn saved(&mut self, step: u64, path: &Path) {
        let _ = (step, path);
    }
    /// Something that the user should know.
    fn message(&mut self, text: &str) {
        let _ = text;
    }
}

/// Hears nothing.
impl Observer for () {}

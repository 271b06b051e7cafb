//! AdamW and its schedule, as recipes of pretraining and of fine-tuning have them, and one step of it.

use serde::{Deserialize, Serialize};
use tatabox_engine::{AdamW, Executor};

use crate::error::{Error, Result};
use crate::schedule::{Decay, Schedule};
use crate::settings::Settings;

/// The keys of a recipe's `[train]` about AdamW and its schedule, but for the warmup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimizerSettings {
    /// AdamW's peak learning rate.
    pub learning_rate: f64,
    /// AdamW.
    pub beta1: f64,
    /// AdamW.
    pub beta2: f64,
    /// AdamW.
    pub eps: f64,
    /// AdamW, of matrices and embeddings; never of biases and LayerNorm.
    pub weight_decay: f64,
    /// `linear`, `constant` or `cosine`.
    pub schedule: String,
    /// The gradient is scaled down to this norm; 0 is no clipping.
    pub max_grad_norm: f64,
}

impl OptimizerSettings {
    /// What the recipe says, with these defaults of `learning_rate`, `beta2` and `eps`; the others have the same everywhere.
    ///
    /// # Errors
    /// A value of another kind or out of its range.
    pub fn resolve(s: &mut Settings, learning_rate: f64, beta2: f64, eps: f64) -> Result<Self> {
        Ok(Self {
            learning_rate: s.number("train.learning_rate", learning_rate, 1e-12..=10.0)?,
            beta1: s.number("train.beta1", 0.9, 0.0..=0.999_999)?,
            beta2: s.number("train.beta2", beta2, 0.0..=0.999_999_9)?,
            eps: s.number("train.eps", eps, 1e-20..=1.0)?,
            weight_decay: s.number("train.weight_decay", 0.01, 0.0..=10.0)?,
            schedule: s.choice("train.schedule", "linear", &Decay::WORDS)?.to_string(),
            max_grad_norm: s.number("train.max_grad_norm", 1.0, 0.0..=1e9)?,
        })
    }

    /// The learning rate of each of `steps` steps.
    pub fn schedule(&self, warmup: u64, steps: u64) -> Schedule {
        let decay = Decay::from_word(&self.schedule).expect("a checked word");
        Schedule { peak: self.learning_rate, warmup, steps, decay }
    }

    /// One step, once the gradients are there, at the rate of `schedule`; returns that rate and the norm of the gradients.
    ///
    /// # Errors
    /// The loss or the norm is no number: [`Error::Diverged`], with this hint.
    pub fn step(
        &self,
        executor: &mut Executor,
        schedule: &Schedule,
        step: u64,
        loss: f64,
        hint: &str,
    ) -> Result<(f64, f32)> {
        let check = |what: &'static str, value: f64| {
            if value.is_finite() { Ok(()) } else { Err(Error::Diverged { step, what, hint: hint.to_string() }) }
        };
        check("loss", loss)?;
        let learning_rate = schedule.rate(step);
        let norm = executor.optimizer_step(&AdamW {
            lr: learning_rate as f32,
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            eps: self.eps as f32,
            weight_decay: self.weight_decay as f32,
            max_grad_norm: (self.max_grad_norm > 0.0).then_some(self.max_grad_norm as f32),
            step,
        });
        check("gradient", f64::from(norm))?;
        Ok((learning_rate, norm))
    }
}

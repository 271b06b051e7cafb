//! A small convolutional network: what can be had from motifs, without pretraining.
//!
//! ```text
//! bases ─▶ 64 filters of 12 bases ─▶ ReLU ─▶ highest and mean over the sequence ─▶ dropout ─▶ answers
//! ```
//! One-hot bases, one convolution (DeepBind's form: Alipanahi et al. 2015), both kinds of global pooling, one dense layer: about 3,300 weights for two
//! classes. An unknown base, and what lies beyond the ends, counts as none of the four. The two sequences of a pair go through the same filters.
//!
//! A network of this size is what 10 to 1,000 examples a class can carry; deeper ones learn the few examples by heart. It is trained by Adam (Kingma and Ba
//! 2015) with decoupled weight decay, a learning rate that falls from 1e-2 to 0 in a straight line, batches of at most 32, for 20 passes over the data but at
//! least 800 and at most 20,000 steps: [`CnnFit`]. Targets of a regression are brought to mean 0 and variance 1 first. Rate, decay and steps were chosen among nine
//! settings by Matthews' correlation on the dev parts of GUE's mouse 0, core TATA promoters and human TF 0 after 50 and 500 examples a class (four draws); no test
//! part was looked at, and nothing is chosen while it runs unless dev examples are given.
//!
//! Everything drawn depends on the seed, the step and the example alone, and sums have one order: the number of threads changes no bit.

mod adam;
mod network;
mod objective;
mod train;

use std::sync::atomic::AtomicBool;

use rayon::prelude::*;

use crate::labelled::{Example, Target, Task};

use network::{Shape, pool};
use objective::Objective;

pub use network::{FEATURES, FILTERS, WIDTH};

/// How it is trained.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CnnFit {
    /// Passes over the data.
    pub epochs: u32,
    /// Steps at least: few examples are passed over more often.
    pub least_steps: u64,
    /// Steps at most.
    pub most_steps: u64,
    /// Examples a step at most.
    pub batch: usize,
    /// The learning rate of the first step.
    pub learning_rate: f64,
    /// The share of the learning rate times a weight that a step takes off it.
    pub weight_decay: f64,
}

impl Default for CnnFit {
    fn default() -> Self {
        CnnFit { epochs: 20, least_steps: 800, most_steps: 20_000, batch: 32, learning_rate: 1e-2, weight_decay: 0.1 }
    }
}

/// A fitted network.
#[derive(Clone, Debug, PartialEq)]
pub struct Cnn {
    shape: Shape,
    objective: Objective,
    weights: Vec<f32>,
    /// Passes that were begun.
    pub epochs: u32,
    /// The pass after which the weights were kept; the last where there were no dev examples.
    pub best_epoch: u32,
}

impl Cnn {
    /// Fits examples to their targets of `outputs` classes, labels or numbers; where there are dev examples, the weights with their least loss are kept.
    /// `None` if `stop` was set on the way.
    ///
    /// # Examples
    /// ```
    /// use std::sync::atomic::AtomicBool;
    /// use tatabox_core::cnn::{Cnn, CnnFit};
    /// use tatabox_core::labelled::{Example, Target, Task};
    /// let example = |base, class| Example {
    ///     id: String::new(), codes: vec![base; 30], second: None, target: Target::Class(class), origin: None, group: None,
    /// };
    /// let examples = [example(0, 0), example(2, 1)];
    /// let fit = CnnFit { least_steps: 50, ..CnnFit::default() };
    /// let cnn = Cnn::fit(Task::Binary, 2, &examples.each_ref(), &[], fit, 1, &AtomicBool::new(false)).unwrap();
    /// assert!(cnn.answer(&examples[1])[1] > 0.8);
    /// ```
    pub fn fit(
        task: Task,
        outputs: usize,
        train: &[&Example],
        dev: &[&Example],
        fit: CnnFit,
        seed: u64,
        stop: &AtomicBool,
    ) -> Option<Cnn> {
        let pairs = train.iter().any(|example| example.second.is_some());
        let shape = Shape { sequences: if pairs { 2 } else { 1 }, outputs };
        let targets: Vec<&Target> = train.iter().map(|example| &example.target).collect();
        let objective = Objective::new(task, &targets, outputs);
        train::train(shape, objective, train, dev, fit, seed, stop)
    }

    /// The answer to an example: probabilities of the classes or of each label, or numbers, `[outputs]`.
    pub fn answer(&self, example: &Example) -> Vec<f64> {
        self.objective.answer(&logits(self.shape, &self.weights, example))
    }

    /// The answers to many examples, `[examples][outputs]`.
    pub fn answers(&self, examples: &[&Example]) -> Vec<Vec<f64>> {
        examples.par_iter().map(|example| self.answer(example)).collect()
    }
}

/// The sequences of an example as the network takes them; the second of a pair that has none is empty.
fn sequences(shape: Shape, example: &Example) -> impl Iterator<Item = &[u8]> {
    [Some(example.codes.as_slice()), Some(example.second.as_deref().unwrap_or(&[]))]
        .into_iter()
        .take(shape.sequences)
        .flatten()
}

fn logits(shape: Shape, weights: &[f32], example: &Example) -> Vec<f64> {
    let features: Vec<f32> = sequences(shape, example).flat_map(|codes| pool(weights, codes).features).collect();
    shape.logits(weights, &features)
}

#[cfg(test)]
mod tests;

//! Learning from labelled examples and being asked: the seam between what learns (fine-tuned models, baselines) and what compares learners
//! (few-shot evaluation, benchmarks).

use std::sync::atomic::AtomicBool;

use tatabox_core::labelled::{Example, Task};

use crate::error::Result;

/// What is to be learnt, and what is asked afterwards.
#[derive(Clone, Copy, Debug)]
pub struct Lesson<'a> {
    /// The kind of the answers.
    pub task: Task,
    /// Classes, labels or target numbers.
    pub outputs: usize,
    /// What is learnt from.
    pub train: &'a [&'a Example],
    /// What the best epoch is chosen on; empty where nothing is chosen, and then the last epoch counts.
    pub dev: &'a [&'a Example],
    /// What is asked, once.
    pub test: &'a [&'a Example],
    /// Of everything that is drawn: the fresh head, the order of the examples, dropout.
    pub seed: u64,
}

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Learnt {
    /// The answers to the test examples, `[test][outputs]`: probabilities of the classes (of sum 1) or of each label, or numbers.
    pub scores: Vec<Vec<f64>>,
    /// Epochs that were trained; none where the loss became no number.
    pub epochs: u32,
    /// The epoch whose weights were asked, from 1.
    pub best_epoch: u32,
    /// What was learnt from got one answer: nothing was learnt. See [`is_collapsed`](tatabox_core::assess::is_collapsed).
    pub collapsed: bool,
}

impl Learnt {
    /// What a fit whose loss became no number leaves: the same answer to everything, no class likelier than another.
    pub fn nothing(lesson: &Lesson<'_>) -> Learnt {
        let answer = match lesson.task {
            Task::Binary | Task::MultiClass => 1.0 / lesson.outputs as f64,
            Task::MultiLabel => 0.5,
            Task::Regression => 0.0,
        };
        Learnt {
            scores: vec![vec![answer; lesson.outputs]; lesson.test.len()],
            epochs: 0,
            best_epoch: 0,
            collapsed: true,
        }
    }
}

/// Something that learns a lesson: the same lesson gives the same answers.
pub trait Learner {
    /// Its name in tables.
    fn name(&self) -> &str;

    /// Learns, and answers the test examples; `None` if `stop` was set on the way.
    ///
    /// # Errors
    /// The lesson cannot be learnt: an example that does not fit the model, a loss that is no number.
    fn learn(&mut self, lesson: &Lesson<'_>, stop: &AtomicBool) -> Result<Option<Learnt>>;
}

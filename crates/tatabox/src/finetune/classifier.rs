//! A fine-tuned model that answers: probabilities of classes or labels, or numbers.

use std::path::Path;

use tatabox_core::assess::is_collapsed;
use tatabox_core::labelled::{Example, Target, Task};
use tatabox_core::seq::reverse_complement;
use tatabox_core::tokenizer::Tokenizer;
use tatabox_engine::{Batch, Capacity, Executor, Mode, Objective, Precision};

use super::Record;
use crate::checkpoint::MODEL;
use crate::config::BertConfig;
use crate::error::{Error, Result};
use crate::models::bert::{WindowPooling, sequence_classifier};
use crate::run::FINETUNE;
use crate::weights::{Head, read_weights, wanted};
use crate::windows::{Encoded, Windows};

pub use crate::windows::Query;

/// Tokens that are asked about at once.
const BATCH_TOKENS: usize = 8192;
/// Training examples that are asked to see whether a model collapsed.
const ASKED: usize = 1000;

/// A model that answers.
pub struct Classifier {
    executor: Executor,
    capacity: Capacity,
    config: BertConfig,
    windows: Windows,
    pooling: WindowPooling,
    task: Task,
    pairs: bool,
    outputs: Vec<String>,
    /// Whether the answer is the mean over both strands.
    both_strands: bool,
}

impl Classifier {
    /// The model of a directory that `tatabox finetune` made.
    ///
    /// # Errors
    /// It is no such directory, or its files are torn or do not belong together.
    pub fn open(dir: &Path, precision: Precision) -> Result<Self> {
        let record = dir.join(FINETUNE);
        if !record.is_file() {
            return Err(Error::Directory {
                path: dir.to_path_buf(),
                what: format!("is no fine-tuned model: it has no `{FINETUNE}`"),
                hint: format!("make one with `tatabox finetune {} --data DATA -o DIR`", dir.display()),
            });
        }
        let record = Record::read(&record)?;
        if !dir.join(MODEL).is_file() {
            return Err(Error::Directory {
                path: dir.to_path_buf(),
                what: "is a fine-tuning that has no finished epoch yet".to_string(),
                hint: format!("go on with `tatabox finetune --resume {}`", dir.display()),
            });
        }
        let config = BertConfig::read(&dir.join("config.json"))?;
        let mut classifier = Self::new(&record, config, precision)?;
        let specs = classifier.executor.specs().to_vec();
        let wanted = wanted(&specs);
        let read = read_weights(&dir.join(MODEL), &wanted, Head::Required)?;
        let values = read.values.into_iter().map(|values| values.expect("a required head is there"));
        values.enumerate().for_each(|(index, values)| classifier.executor.set_param(index, &values));
        Ok(classifier)
    }

    /// A model with weights of its own, in the order of its parameters.
    pub(crate) fn with_weights(
        record: &Record,
        config: BertConfig,
        weights: &[Vec<f32>],
        precision: Precision,
    ) -> Result<Self> {
        let mut classifier = Self::new(record, config, precision)?;
        weights.iter().enumerate().for_each(|(index, values)| classifier.executor.set_param(index, values));
        Ok(classifier)
    }

    /// All weights zero.
    fn new(record: &Record, config: BertConfig, precision: Precision) -> Result<Self> {
        let Record { config: of_run, task, pairs, outputs, .. } = record;
        let windows =
            Windows::new(Tokenizer::new(of_run.tokenizer.clone())?, of_run.data.max_length, of_run.data.overlap);
        let pooling = of_run.pooling();
        let capacity = Capacity { tokens: BATCH_TOKENS, masked: 0, sequences: BATCH_TOKENS / 4 };
        let executor = executor(&config, outputs.len(), pooling, capacity, precision)?;
        Ok(Self {
            executor,
            capacity,
            config,
            windows,
            pooling,
            task: *task,
            pairs: *pairs,
            outputs: outputs.clone(),
            both_strands: of_run.predict.both_strands,
        })
    }

    /// What is asked.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Whether it learnt from pairs of sequences.
    pub fn pairs(&self) -> bool {
        self.pairs
    }

    /// Names of the classes, labels or numbers, in the order of the answers.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// Whether answers are the mean over both strands.
    pub fn both_strands(&self) -> bool {
        self.both_strands
    }

    /// Sets whether answers are the mean over both strands.
    pub fn set_both_strands(&mut self, both: bool) {
        self.both_strands = both;
    }

    /// How it reads.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// The answers, `[queries][outputs]`: probabilities of the classes (of sum 1), of each label, or numbers.
    ///
    /// # Errors
    /// A sequence does not fit the model: see [`Windows::encode`].
    pub fn predict(&mut self, queries: &[Query<'_>]) -> Result<Vec<Vec<f32>>> {
        let mut answers = self.one_strand(queries)?;
        if self.both_strands {
            let turned: Vec<(Vec<u8>, Option<Vec<u8>>)> =
                queries.iter().map(|query| (reversed(query.codes), query.second.map(reversed))).collect();
            let queries: Vec<Query<'_>> = (queries.iter().zip(&turned))
                .map(|(query, (codes, second))| Query { id: query.id, codes, second: second.as_deref() })
                .collect();
            for (answer, other) in answers.iter_mut().zip(self.one_strand(&queries)?) {
                answer.iter_mut().zip(other).for_each(|(value, other)| *value = 0.5 * (*value + other));
            }
        }
        Ok(answers)
    }

    /// The answers to examples, `[examples][outputs]`.
    pub(crate) fn answers(&mut self, examples: &[&Example]) -> Result<Vec<Vec<f64>>> {
        let queries: Vec<Query<'_>> = examples.iter().map(|example| Query::from(*example)).collect();
        let answers = self.predict(&queries)?;
        Ok(answers.into_iter().map(|row| row.into_iter().map(f64::from).collect()).collect())
    }

    /// True where it answers all the same to examples that it learnt from.
    pub(crate) fn is_collapsed(&mut self, learnt: &[&Example]) -> Result<bool> {
        // From end to end: data is often sorted by class.
        let asked = learnt.len().min(ASKED);
        let asked: Vec<&Example> = (0..asked).map(|at| learnt[at * learnt.len() / asked]).collect();
        let targets: Vec<&Target> = asked.iter().map(|example| &example.target).collect();
        Ok(is_collapsed(self.task, &targets, &self.answers(&asked)?))
    }

    fn one_strand(&mut self, queries: &[Query<'_>]) -> Result<Vec<Vec<f32>>> {
        let mut answers = Vec::with_capacity(queries.len());
        let (mut batch, mut encoded) = (Batch::default(), Encoded::default());
        for query in queries {
            self.windows.encode(query, &mut encoded)?;
            let windows = encoded.offsets.len() - 1;
            let full = batch.input_ids.len() + encoded.ids.len() > self.capacity.tokens
                || batch.sequences() + windows > self.capacity.sequences;
            if full && batch.sequences() > 0 {
                self.answer(&batch, &mut answers)?;
                batch.clear();
            }
            if encoded.ids.len() > self.capacity.tokens || windows > self.capacity.sequences {
                self.grow(encoded.ids.len(), windows)?;
            }
            encoded.push_to(&mut batch);
        }
        if batch.sequences() > 0 {
            self.answer(&batch, &mut answers)?;
        }
        Ok(answers)
    }

    fn answer(&mut self, batch: &Batch, answers: &mut Vec<Vec<f32>>) -> Result<()> {
        let logits = self.executor.logits(batch)?;
        answers.extend(logits.chunks_exact(self.outputs.len()).map(|logits| answer(self.task, logits)));
        Ok(())
    }

    /// Makes room for one example that is larger than what was planned for.
    fn grow(&mut self, tokens: usize, windows: usize) -> Result<()> {
        let precision = self.executor.precision();
        self.capacity.tokens = self.capacity.tokens.max(tokens);
        self.capacity.sequences = self.capacity.sequences.max(windows);
        let mut larger = executor(&self.config, self.outputs.len(), self.pooling, self.capacity, precision)?;
        (0..larger.specs().len()).for_each(|index| larger.set_param(index, self.executor.param(index)));
        self.executor = larger;
        Ok(())
    }
}

fn executor(
    config: &BertConfig,
    outputs: usize,
    pooling: WindowPooling,
    capacity: Capacity,
    precision: Precision,
) -> Result<Executor> {
    let graph = sequence_classifier(config, outputs, pooling, Objective::SquaredError)?;
    Ok(Executor::new(graph, capacity, precision, Mode::Evaluate)?)
}

/// What the outputs of one example mean: softmax of classes, a sigmoid each of labels, numbers as they are.
pub(crate) fn answer(task: Task, logits: &[f32]) -> Vec<f32> {
    match task {
        Task::Binary | Task::MultiClass => {
            let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let exps: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
            let total: f32 = exps.iter().sum();
            exps.into_iter().map(|exp| exp / total).collect()
        }
        Task::MultiLabel => logits.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect(),
        Task::Regression => logits.to_vec(),
    }
}

/// The other strand.
pub(crate) fn reversed(codes: &[u8]) -> Vec<u8> {
    let mut codes = codes.to_vec();
    reverse_complement(&mut codes);
    codes
}

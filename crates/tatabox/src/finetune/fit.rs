//! Fitting an encoder to labelled examples: epochs of steps, the loss on dev after each, and the weights of the best.
//!
//! What a step learns from is a function of (seed, epoch, place): so a fitting that goes on equals one that never stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use tatabox_core::labelled::{Example, Target, Task};
use tatabox_core::metrics::argmax;
use tatabox_core::rng::{Purpose, SeededRng};
use tatabox_core::tokenizer::Tokenizer;
use tatabox_engine::{Batch, Capacity, Executor, Graph, Mode, Objective, ParamSpec, StepKey};

use super::FinetuneConfig;
use super::classifier::reversed;
use super::pretrained::Pretrained;
use crate::checkpoint::Saved;
use crate::error::{Error, Result};
use crate::learner::Lesson;
use crate::memory::available_to_engine;
use crate::models::bert::sequence_classifier;
use crate::plan::gigabytes;
use crate::windows::{Encoded, Query, Windows};

/// Tokens that are computed at once, where an example is not larger by itself: enough for the matrix products, few enough for the caches.
const MICRO_BATCH_TOKENS: usize = 4096;
/// The share of free memory that a fitting may plan for.
const USABLE: f64 = 0.9;

/// What an epoch gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: u64,
    /// Optimizer steps so far.
    pub step: u64,
    /// The mean loss of an example while training, dropout and all.
    pub train_loss: f64,
    /// The mean loss of a dev example; none where there is no dev.
    pub dev_loss: Option<f64>,
    /// The share of dev examples that were answered right, for classes.
    pub dev_accuracy: Option<f64>,
    /// Whether its weights are the best so far.
    pub best: bool,
}

/// Where a fitting stands, besides its tensors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FitState {
    /// Optimizer steps done.
    pub step: u64,
    /// The losses of the running epoch's examples, summed, and what they are divided by.
    pub sums: (f64, f64),
    /// The epochs that are done.
    pub epochs: Vec<Epoch>,
}

impl Saved for FitState {
    fn step(&self) -> u64 {
        self.step
    }
}

impl FitState {
    /// The best epoch so far.
    pub fn best(&self) -> Option<&Epoch> {
        self.epochs.iter().rev().find(|epoch| epoch.best)
    }
}

/// Where a fitting is, after each step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitProgress {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole fitting.
    pub steps: u64,
    /// The mean loss of the step's examples.
    pub loss: f64,
    /// The learning rate of the step.
    pub learning_rate: f64,
    /// Examples a second in this step.
    pub examples_per_second: f64,
}

/// What will happen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FitPlan {
    /// Weights, all of them, and those that learn.
    pub parameters: (u64, u64),
    /// Training examples, and those that epochs are chosen on.
    pub examples: (u64, u64),
    /// Optimizer steps of an epoch, and of the whole fitting.
    pub steps: (u64, u64),
    /// Tokens of the longest example, and in how many windows they are read.
    pub longest: (u64, u64),
    /// Bytes of memory that the engine plans.
    pub memory_bytes: u64,
    /// `f32` or `bf16`.
    pub precision: String,
}

/// Hears of a fitting. Every method may do nothing.
pub trait FitObserver {
    /// Before the first step.
    fn planned(&mut self, plan: &FitPlan) {
        let _ = plan;
    }
    /// Something that the user should know.
    fn message(&mut self, text: &str) {
        let _ = text;
    }
    /// After each step.
    fn step(&mut self, progress: &FitProgress) {
        let _ = progress;
    }
    /// After each epoch.
    fn epoch(&mut self, epoch: &Epoch) {
        let _ = epoch;
    }
}

/// Hears nothing.
impl FitObserver for () {}

/// How [`Fit::go_on`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// `stop` was set, or a save is due within an epoch.
    Step,
    /// An epoch is done, and is not the last.
    Epoch,
    /// Nothing is left to do.
    Done,
}

/// An encoder that is being fitted.
pub struct Fit<'a> {
    config: &'a FinetuneConfig,
    lesson: Lesson<'a>,
    executor: Executor,
    capacity: Capacity,
    windows: Windows,
    objective: Objective,
    state: FitState,
    steps_per_epoch: u64,
    steps: u64,
    memory_bytes: u64,
    /// The weights of the best epoch, as the ops read them, where that is not the newest.
    best: Option<Vec<Vec<f32>>>,
    /// The next step's data, made while a GPU was at work on the last.
    upcoming: Option<StepData>,
}

/// What one optimizer step learns from.
struct StepData {
    step: u64,
    /// Examples of the step.
    examples: usize,
    batches: Vec<Batch>,
    /// What the sum of the losses is divided by: the weights of the examples.
    divisor: f64,
}

impl<'a> Fit<'a> {
    /// A fitting before its first step.
    ///
    /// # Errors
    /// An example does not fit the model, or the model does not fit the memory.
    pub fn new(pretrained: &Pretrained, config: &'a FinetuneConfig, lesson: Lesson<'a>) -> Result<Self> {
        let objective =
            config.objective(lesson.task, lesson.outputs, lesson.train.iter().map(|example| &example.target));
        let bert = config.bert(&pretrained.config);
        let mut graph = sequence_classifier(&bert, lesson.outputs, config.pooling(), objective.clone())?;
        config.adapt(&mut graph, &bert)?;
        let windows =
            Windows::new(Tokenizer::new(config.tokenizer.clone())?, config.data.max_length, config.data.overlap);
        let capacity = capacity(&windows, &lesson, config)?;
        let memory_bytes = check_memory(&graph, &capacity, config)?;
        let mut executor = Executor::new(graph, capacity, config.precision(), Mode::Train)?;
        // The head's stream is the lesson's, so that two draws start from two heads.
        pretrained.load(&mut executor, lesson.seed);
        let (steps_per_epoch, steps) = config.steps(lesson.train.len());
        Ok(Self {
            config,
            lesson,
            executor,
            capacity,
            windows,
            objective,
            state: FitState::default(),
            steps_per_epoch,
            steps,
            memory_bytes,
            best: None,
            upcoming: None,
        })
    }

    /// What will happen.
    pub fn plan(&self) -> FitPlan {
        let all = |of: &dyn Fn(&ParamSpec) -> bool| {
            self.executor.specs().iter().filter(|spec| of(spec)).map(|spec| spec.len() as u64).sum()
        };
        let bases = self.lesson.train.iter().chain(self.lesson.dev).chain(self.lesson.test);
        let longest = bases.map(|example| example.codes.len()).max().unwrap_or(0);
        FitPlan {
            parameters: (all(&|spec| !spec.name.contains(".lora_")), all(&|spec| spec.rate > 0.0)),
            examples: (self.lesson.train.len() as u64, self.lesson.dev.len() as u64),
            steps: (self.steps_per_epoch, self.steps),
            longest: (self.windows.tokens_of(longest) as u64, self.windows.windows_of(longest) as u64),
            memory_bytes: self.memory_bytes,
            precision: self.config.train.precision.clone(),
        }
    }

    /// The engine with the weights at this moment.
    pub fn executor(&mut self) -> &mut Executor {
        &mut self.executor
    }

    /// Where it stands.
    pub fn state(&self) -> &FitState {
        &self.state
    }

    /// Puts it where another one stood; its tensors are set through [`Fit::executor`], and the best weights here, if they are not the newest.
    pub fn restore(&mut self, state: FitState, best: Option<Vec<Vec<f32>>>) {
        (self.state, self.best, self.upcoming) = (state, best, None);
    }

    /// Steps of the whole fitting.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The weights that count, as the ops read them, in the order of the classifier's parameters: the best epoch's, or the newest.
    ///
    /// # Errors
    /// The GPU that holds them failed.
    pub fn weights(&self) -> Result<Vec<Vec<f32>>> {
        match &self.best {
            Some(best) => Ok(best.clone()),
            None => self.newest(),
        }
    }

    /// The parameters that a classifier has: updates of low rank are merged into theirs.
    pub fn specs(&self) -> impl Iterator<Item = &ParamSpec> {
        self.executor.specs().iter().filter(|spec| !spec.name.contains(".lora_"))
    }

    fn newest(&self) -> Result<Vec<Vec<f32>>> {
        // Updates were added to the graph after all parameters of the model.
        let weights = (0..self.specs().count()).map(|index| self.executor.effective(index).to_vec()).collect();
        self.executor.check()?;
        Ok(weights)
    }

    /// True when training ends: all steps are done, or no epoch was better for too long.
    pub fn is_done(&self) -> bool {
        let since = self.state.epochs.iter().rev().take_while(|epoch| !epoch.best).count() as u64;
        let patience = self.config.select.patience;
        self.state.step >= self.steps || (patience > 0 && self.choosing() && since >= patience)
    }

    /// Whether an epoch is chosen: there is something to choose on, and the last does not count.
    fn choosing(&self) -> bool {
        self.config.select.by == "loss" && !self.lesson.dev.is_empty()
    }

    /// Trains until the end of the epoch, `stop`, or the next save.
    ///
    /// # Errors
    /// The loss is no number any more.
    pub fn go_on(&mut self, stop: &AtomicBool, observer: &mut dyn FitObserver) -> Result<Pause> {
        if self.is_done() {
            return Ok(Pause::Done);
        }
        let order = order(self.lesson.seed, self.state.step / self.steps_per_epoch, self.lesson.train.len());
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(Pause::Step);
            }
            if !self.step(&order, stop, observer)? {
                return Ok(Pause::Step);
            }
            let end = self.state.step.is_multiple_of(self.steps_per_epoch) || self.state.step == self.steps;
            if end {
                self.end_epoch(observer)?;
                return Ok(if self.is_done() { Pause::Done } else { Pause::Epoch });
            }
            let every = self.config.checkpoint.every;
            if every > 0 && self.state.step.is_multiple_of(every) {
                return Ok(Pause::Step);
            }
        }
    }

    /// The data of a step, from 1, of the epoch that has this order.
    fn data(&self, step: u64, order: &[usize]) -> Result<StepData> {
        let (epoch, in_epoch) = ((step - 1) / self.steps_per_epoch, (step - 1) % self.steps_per_epoch);
        let batch_size = self.config.train.batch_size as usize;
        let first = in_epoch as usize * batch_size;
        let lesson = self.lesson;
        let chosen: Vec<(&Example, bool)> = order[first..(first + batch_size).min(order.len())]
            .iter()
            .map(|&at| {
                let flip = || SeededRng::new(lesson.seed, Purpose::Strand, epoch, at as u64).chance(0.5);
                (lesson.train[at], self.config.data.augment_strands && flip())
            })
            .collect();
        let divisor = chosen.iter().map(|(example, _)| weight(&self.objective, &example.target)).sum();
        Ok(StepData { step, examples: chosen.len(), batches: self.batches(&chosen)?, divisor })
    }

    /// One optimizer step; false if it was stopped on the way, and then nothing changed.
    fn step(&mut self, order: &[usize], stop: &AtomicBool, observer: &mut dyn FitObserver) -> Result<bool> {
        let start = Instant::now();
        let step = self.state.step + 1;
        let StepData { examples, batches, divisor, .. } = match self.upcoming.take() {
            Some(data) if data.step == step => data,
            _ => self.data(step, order)?,
        };
        let seed = self.lesson.seed;
        let scale = |divisor: f64| (1.0 / divisor) as f32;
        self.executor.zero_gradients();
        let mut loss = 0.0;
        for (micro_step, batch) in (0..).zip(&batches) {
            if stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            loss += self.executor.forward_backward(batch, StepKey { seed, step, micro_step }, scale(divisor))?;
        }
        if step < self.steps && !step.is_multiple_of(self.steps_per_epoch) {
            let data = self.data(step + 1, order)?;
            let key = StepKey { seed, step: step + 1, micro_step: 0 };
            self.executor.prepare(&data.batches[0], key, scale(data.divisor))?;
            self.upcoming = Some(data);
        }
        let hint = "lower `train.learning_rate`, or look for targets of another scale";
        let schedule = self.config.schedule(self.steps);
        let (learning_rate, _) = self.config.train.optimizer.step(&mut self.executor, &schedule, step, loss, hint)?;
        self.state.step = step;
        self.state.sums.0 += loss;
        self.state.sums.1 += divisor;
        observer.step(&FitProgress {
            step,
            steps: self.steps,
            loss: loss / divisor,
            learning_rate,
            examples_per_second: examples as f64 / start.elapsed().as_secs_f64().max(1e-9),
        });
        Ok(true)
    }

    fn end_epoch(&mut self, observer: &mut dyn FitObserver) -> Result<()> {
        let (loss, divisor) = std::mem::take(&mut self.state.sums);
        let dev = if self.lesson.dev.is_empty() { None } else { Some(self.measure(self.lesson.dev)?) };
        let before = self.state.best().and_then(|best| best.dev_loss);
        let best = match (self.choosing(), dev) {
            (true, Some((loss, _))) => before.is_none_or(|before| loss < before),
            _ => true,
        };
        self.best = if best { None } else { self.best.take() };
        let epoch = Epoch {
            epoch: self.state.epochs.len() as u64 + 1,
            step: self.state.step,
            train_loss: loss / divisor,
            dev_loss: dev.map(|(loss, _)| loss),
            dev_accuracy: dev.and_then(|(_, accuracy)| accuracy),
            best,
        };
        if best && self.choosing() {
            // The next epoch overwrites them.
            self.best = Some(self.newest()?);
        }
        self.state.epochs.push(epoch);
        observer.epoch(self.state.epochs.last().expect("it was pushed"));
        Ok(())
    }

    /// The mean loss of examples without dropout or smoothing, and the share of classes answered right.
    fn measure(&mut self, examples: &[&Example]) -> Result<(f64, Option<f64>)> {
        let logits = self.logits(examples)?;
        let (mut loss, mut divisor, mut right) = (0.0, 0.0, 0);
        for (example, logits) in examples.iter().zip(&logits) {
            let weight = weight(&self.objective, &example.target);
            divisor += weight;
            loss += weight * plain_loss(&example.target, logits);
            right += usize::from(example.target.class().is_some_and(|class| class == argmax(logits)));
        }
        let classes = matches!(self.lesson.task, Task::Binary | Task::MultiClass);
        Ok((loss / divisor, classes.then(|| right as f64 / examples.len() as f64)))
    }

    /// The outputs for examples, `[examples][outputs]`, with the weights at this moment.
    fn logits(&mut self, examples: &[&Example]) -> Result<Vec<Vec<f32>>> {
        let chosen: Vec<(&Example, bool)> = examples.iter().map(|example| (*example, false)).collect();
        let mut all = Vec::with_capacity(examples.len());
        for batch in self.batches(&chosen)? {
            let logits = self.executor.logits(&batch)?;
            all.extend(logits.chunks_exact(self.lesson.outputs).map(<[f32]>::to_vec));
        }
        Ok(all)
    }

    /// Examples, each on its own strand or the other, as batches within the capacity.
    fn batches(&self, chosen: &[(&Example, bool)]) -> Result<Vec<Batch>> {
        let mut batches = vec![Batch::default()];
        let mut encoded = Encoded::default();
        for (example, flip) in chosen {
            let query = Query::from(*example);
            if *flip {
                let (codes, second) = (reversed(query.codes), query.second.map(reversed));
                let turned = Query { id: query.id, codes: &codes, second: second.as_deref() };
                self.windows.encode(&turned, &mut encoded)?;
            } else {
                self.windows.encode(&query, &mut encoded)?;
            }
            let last = batches.last().expect("there is always one");
            let full = last.input_ids.len() + encoded.ids.len() > self.capacity.tokens
                || last.sequences() + encoded.offsets.len() - 1 > self.capacity.sequences;
            if full && last.sequences() > 0 {
                batches.push(Batch::default());
            }
            let batch = batches.last_mut().expect("there is always one");
            encoded.push_to(batch);
            match &example.target {
                Target::Class(class) => batch.labels.push(*class),
                Target::Labels(labels) => batch.targets.extend(labels.iter().map(|&label| f32::from(u8::from(label)))),
                Target::Values(values) => batch.targets.extend(values.iter().map(|&value| value as f32)),
            }
        }
        batches.retain(|batch| batch.sequences() > 0);
        Ok(batches)
    }
}

/// The order in which an epoch, from 0, takes so many training examples: step after step, `batch_size` of them.
pub fn order(seed: u64, epoch: u64, examples: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..examples).collect();
    SeededRng::new(seed, Purpose::Shuffle, epoch, 0).shuffle(&mut order);
    order
}

/// What an example counts for in the mean loss: the weight of its class; an output of labels and numbers is one each.
fn weight(objective: &Objective, target: &Target) -> f64 {
    match (objective, target) {
        (Objective::CrossEntropy { weights: Some(weights), .. }, Target::Class(class)) => {
            f64::from(weights[*class as usize])
        }
        (_, Target::Class(_)) => 1.0,
        (_, Target::Labels(labels)) => labels.len() as f64,
        (_, Target::Values(values)) => values.len() as f64,
    }
}

/// The loss of an example, an output on average, without weights and smoothing.
fn plain_loss(target: &Target, logits: &[f32]) -> f64 {
    let logits = logits.iter().map(|&logit| f64::from(logit));
    match target {
        Target::Class(class) => {
            let all: Vec<f64> = logits.collect();
            let largest = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            largest + all.iter().map(|logit| (logit - largest).exp()).sum::<f64>().ln() - all[*class as usize]
        }
        Target::Labels(labels) => {
            let of = |(logit, &yes): (f64, &bool)| if yes { (-logit).exp().ln_1p() } else { logit.exp().ln_1p() };
            logits.zip(labels).map(of).sum::<f64>() / labels.len() as f64
        }
        Target::Values(values) => {
            logits.zip(values).map(|(output, value)| (output - value).powi(2)).sum::<f64>() / values.len() as f64
        }
    }
}

/// Room for a micro-batch, and for the largest example of all parts.
fn capacity(windows: &Windows, lesson: &Lesson<'_>, config: &FinetuneConfig) -> Result<Capacity> {
    let mut encoded = Encoded::default();
    let (mut tokens, mut sequences) = (0, 1);
    for example in lesson.train.iter().chain(lesson.dev).chain(lesson.test) {
        let pair = example.second.is_some();
        if pair || windows.tokenizer().tokens_of(example.codes.len()) == 0 {
            // Whatever is wrong with it is said before the first step.
            windows.encode(&Query::from(*example), &mut encoded)?;
            tokens = tokens.max(encoded.ids.len());
        } else {
            tokens = tokens.max(windows.tokens_of(example.codes.len()));
            sequences = sequences.max(windows.windows_of(example.codes.len()));
        }
    }
    let step = tokens.saturating_mul(config.train.batch_size as usize);
    let tokens = tokens.max(MICRO_BATCH_TOKENS.min(step));
    Ok(Capacity { tokens, masked: 0, sequences: sequences.max(tokens / 3 + 1) })
}

/// Bytes that are needed, where they are there.
fn check_memory(graph: &Graph, capacity: &Capacity, config: &FinetuneConfig) -> Result<u64> {
    let needed = Executor::memory(graph, capacity, config.precision(), Mode::Train)?.total() as u64;
    match available_to_engine()? {
        Some(free) if needed as f64 > USABLE * free.bytes as f64 => Err(Error::Memory {
            needed: gigabytes(needed),
            available: gigabytes(free.bytes),
            limit: free.limit,
            hint: "choose a smaller model, a shorter `data.max_length`, or `--set train.freeze=encoder`".to_string(),
        }),
        _ => Ok(needed),
    }
}

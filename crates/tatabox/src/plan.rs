//! The plan of a run, made before anything expensive: its size, its memory, its time, and whether it fits at all.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use tatabox_core::corpus::Sampler;
use tatabox_core::tokenizer::Tokenizer;
use tatabox_engine::{Batch, Capacity, Device, Executor, Graph, MemoryPlan, Mode, Precision, StepKey};

use crate::config::BertConfig;
use crate::error::{Error, Result};
use crate::memory::{Available, available_to_engine, free_space};
use crate::recipe::{RunConfig, StepSize};

/// Tokens that are computed at once if nothing else is asked and memory allows: enough to keep every core, or a whole GPU, at work.
const MICRO_BATCH_TOKENS: usize = 8192;
const GPU_MICRO_BATCH_TOKENS: usize = 65_536;
/// The share of free memory that a run may plan for; the rest is for the genome's pages and what others take meanwhile.
const USABLE: f64 = 0.9;
/// How long a run without `train.steps` shall take, and how often it shall read the genome at most.
const DEFAULT_SECONDS: f64 = 3600.0;
const DEFAULT_PASSES: f64 = 40.0;

/// What will happen.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Weights of the model.
    pub parameters: u64,
    /// Optimizer steps.
    pub steps: u64,
    /// Tokens of an average step, specials included.
    pub tokens_per_step: f64,
    /// Tokens of the whole run.
    pub tokens: f64,
    /// Bases that training windows lie in.
    pub training_bases: u64,
    /// How often the run reads each of them, on average.
    pub passes: f64,
    /// Tokens that are computed at once.
    pub micro_batch_tokens: usize,
    /// Floating point operations a token, forward and backward.
    pub flops_per_token: f64,
    /// Bytes of memory that the engine plans.
    pub memory_bytes: u64,
    /// Bytes of memory that are free, where the system says so.
    pub available_bytes: Option<u64>,
    /// Bytes of one checkpoint on disk.
    pub checkpoint_bytes: u64,
    /// `f32` or `bf16`.
    pub precision: String,
    /// The kernels that will run: `amx`, `avx512`, …
    pub kernels: String,
    /// Measured before the start.
    pub tokens_per_second: f64,
    /// Estimated duration of the steps to do.
    pub seconds: f64,
}

/// The precision of the engine.
pub fn precision(config: &RunConfig) -> Precision {
    if config.train.precision == "bf16" { Precision::Bf16 } else { Precision::F32 }
}

/// Floating point operations a token of a step, forward and backward.
///
/// # Errors
/// The recipe's masks are none.
pub(crate) fn flops_per_token(config: &RunConfig, bert: &BertConfig) -> Result<f64> {
    Ok(bert.flops_per_token(mean_length(config), mask_rate(config)?))
}

/// Tokens of an average sample, specials included: half are full, half uniform from the shortest.
fn mean_length(config: &RunConfig) -> f64 {
    let (full, least) = (config.data.max_length as f64, config.data.min_tokens as f64 + 2.0);
    0.5 * full + 0.25 * (full + least)
}

/// Tokens of an average step.
fn tokens_per_step(config: &RunConfig) -> f64 {
    match config.step_size() {
        StepSize::Sequences(sequences) => sequences as f64 * mean_length(config),
        // On average half a sample does not fit any more.
        StepSize::Tokens(tokens) => (tokens as f64 - 0.5 * mean_length(config)).max(mean_length(config)),
    }
}

/// The largest share of tokens that the masks of a run hide in any phase.
fn mask_rate(config: &RunConfig) -> Result<f64> {
    let tokenizer = Tokenizer::new(config.tokenizer.clone())?;
    let phases = config.mask.phases(&tokenizer, config.train.steps, config.seed)?;
    Ok(phases.iter().map(|phase| phase.mask_rate).fold(0.0, f64::max))
}

/// Room for so many tokens at once, and for the tokens masked among them: twice what is expected, and always one whole sample.
pub fn capacity(config: &RunConfig, tokens: usize) -> Result<Capacity> {
    let tokens = tokens.max(config.data.max_length);
    let masked = (2.0 * mask_rate(config)? * tokens as f64).ceil() as usize;
    Ok(Capacity { tokens, masked: masked.clamp(config.data.max_length, tokens), sequences: 0 })
}

/// The capacity of a run: what its configuration says, or the most that makes sense and fits this machine's memory.
///
/// # Errors
/// [`Error::Memory`] where not even one sample at a time fits.
pub fn fitting_capacity(config: &RunConfig, graph: &Graph) -> Result<Capacity> {
    fit(config, graph, available_to_engine()?)
}

fn fit(config: &RunConfig, graph: &Graph, free: Option<Available>) -> Result<Capacity> {
    let most = match config.step_size() {
        StepSize::Sequences(sequences) => (sequences as usize).saturating_mul(config.data.max_length),
        StepSize::Tokens(tokens) => tokens as usize,
    };
    let asked = config.train.micro_batch_tokens as usize;
    let on_gpu = matches!(Device::selected()?, Device::Cuda(_));
    let usual = if on_gpu { GPU_MICRO_BATCH_TOKENS } else { MICRO_BATCH_TOKENS };
    let mut tokens = if asked > 0 { asked } else { most.min(usual) };
    loop {
        let capacity = capacity(config, tokens)?;
        let needed = memory(config, graph, &capacity)?.total() as u64;
        match free {
            Some(free) if needed as f64 > USABLE * free.bytes as f64 => {
                // A number that the configuration gives is part of the run and is not changed silently.
                if asked > 0 || tokens <= config.data.max_length {
                    return Err(Error::Memory {
                        needed: gigabytes(needed),
                        available: gigabytes(free.bytes),
                        limit: free.limit,
                        hint: "choose a smaller `model.preset`, a shorter `data.max_length`, or `train.micro_batch_tokens = 0`"
                            .to_string(),
                    });
                }
                tokens = (tokens / 2).max(config.data.max_length);
            }
            _ => return Ok(capacity),
        }
    }
}

/// Refuses a run whose checkpoints would fill its device: those that are kept, the best, and the one being written.
///
/// # Errors
/// [`Error::Space`] with what is needed and what is free.
pub fn check_space(plan: &Plan, config: &RunConfig, output: &Path) -> Result<()> {
    check_free(plan.checkpoint_bytes, config, output, free_space(output))
}

fn check_free(checkpoint_bytes: u64, config: &RunConfig, output: &Path, free: Option<u64>) -> Result<()> {
    let all = config.train.steps / config.checkpoint.every + 2;
    let needed = checkpoint_bytes * all.min(config.checkpoint.keep as u64 + 2);
    match free {
        Some(free) if free < needed => Err(Error::Space {
            path: output.to_path_buf(),
            needed: gigabytes(needed),
            available: gigabytes(free),
            hint: "free some space, choose another device with `-o`, or set `checkpoint.keep = 2`".to_string(),
        }),
        _ => Ok(()),
    }
}

fn memory(config: &RunConfig, graph: &Graph, capacity: &Capacity) -> Result<MemoryPlan> {
    Ok(Executor::memory(graph, capacity, precision(config), Mode::Train)?)
}

pub(crate) fn gigabytes(bytes: u64) -> String {
    format!("{:.2} GB", bytes as f64 / 1e9)
}

/// Tokens a second of training, measured on a batch of random tokens: one round to warm up, then one that counts. The gradients are
/// forgotten again, and the weights do not change.
///
/// # Errors
/// None in practice: the batch is made to fit.
pub fn measure(config: &RunConfig, vocab_size: usize, executor: &mut Executor, capacity: &Capacity) -> Result<f64> {
    let length = config.data.max_length;
    let sequences = (capacity.tokens / length).clamp(1, 8);
    let rate = mask_rate(config)?;
    let masked = ((rate * length as f64) as usize).clamp(1, (capacity.masked / sequences).max(1)).min(length - 2);
    let mut batch = Batch::default();
    for sequence in 0..sequences {
        let id = |at: usize| ((at * 31 + sequence * 7) % vocab_size) as u32;
        batch.push((0..length).map(id), (1..=masked).map(|at| (at as u32, id(at))));
    }
    let mut seconds = f64::INFINITY;
    executor.finish()?;
    for round in 0..2 {
        let start = Instant::now();
        executor.forward_backward(&batch, StepKey { seed: config.seed, step: 0, micro_step: round }, 1e-6)?;
        executor.finish()?;
        seconds = start.elapsed().as_secs_f64();
    }
    executor.zero_gradients();
    Ok((sequences * length) as f64 / seconds.max(1e-9))
}

/// Steps for a run that does not say how many: as many as this machine makes in an hour, and at most forty passes over the genome.
pub fn default_steps(config: &RunConfig, training_bases: u64, tokens_per_second: f64) -> u64 {
    let per_step = tokens_per_step(config);
    let in_time = tokens_per_second * DEFAULT_SECONDS / per_step;
    let in_passes = DEFAULT_PASSES * training_bases as f64 / (per_step * config.tokenizer.stride as f64);
    in_time.min(in_passes).max(100.0) as u64
}

/// The plan of a run from `steps_done` on.
///
/// # Errors
/// The mask's settings do not fit the tokenizer.
pub fn plan(
    config: &RunConfig,
    bert: &BertConfig,
    graph: &Graph,
    capacity: &Capacity,
    sampler: &Sampler,
    tokens_per_second: f64,
    steps_done: u64,
) -> Result<Plan> {
    let tokens_per_step = tokens_per_step(config);
    let tokens = tokens_per_step * config.train.steps as f64;
    let parameters = bert.parameters();
    let left = config.train.steps.saturating_sub(steps_done) as f64;
    Ok(Plan {
        parameters,
        steps: config.train.steps,
        tokens_per_step,
        tokens,
        training_bases: sampler.usable_bases(),
        passes: tokens * config.tokenizer.stride as f64 / sampler.usable_bases().max(1) as f64,
        micro_batch_tokens: capacity.tokens,
        flops_per_token: flops_per_token(config, bert)?,
        memory_bytes: memory(config, graph, capacity)?.total() as u64,
        available_bytes: available_to_engine()?.map(|free| free.bytes),
        checkpoint_bytes: 12 * parameters,
        precision: config.train.precision.clone(),
        kernels: Device::selected()?.name().to_string(),
        tokens_per_second,
        seconds: left * tokens_per_step / tokens_per_second,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::tests::config;
    use crate::models::bert;

    fn graph(config: &RunConfig) -> Graph {
        bert::masked_lm(&config.bert().unwrap()).unwrap()
    }

    fn free(bytes: u64) -> Option<Available> {
        Some(Available { bytes, limit: "this machine" })
    }

    #[test]
    fn with_memory_to_spare_a_step_is_computed_at_once() {
        let config = config(&["train.batch_size=16"]);
        assert_eq!(fit(&config, &graph(&config), free(1 << 40)).unwrap().tokens, 16 * 64);
        assert_eq!(fit(&config, &graph(&config), None).unwrap().tokens, 16 * 64);
    }

    #[test]
    fn with_little_memory_the_step_is_cut_and_with_too_little_it_is_refused() {
        let config = config(&["train.batch_size=128"]);
        let graph = graph(&config);
        let at = |tokens: usize| memory(&config, &graph, &capacity(&config, tokens).unwrap()).unwrap().total() as u64;
        let enough = (at(2048) as f64 / USABLE) as u64 + 1;
        let tokens = fit(&config, &graph, free(enough)).unwrap().tokens;
        assert!((64..=2048).contains(&tokens), "{tokens}");
        let error = fit(&config, &graph, free(at(64) / 2)).unwrap_err();
        assert!(error.to_string().contains("of memory, but"), "{error}");
        assert!(error.hint().unwrap().contains("model.preset"));
        assert!(!error.is_usage());
    }

    #[test]
    fn a_device_that_cannot_hold_the_checkpoints_is_refused_before_the_start() {
        let config = config(&["checkpoint.every=1", "checkpoint.keep=3"]);
        let check = |free| check_free(1_000_000_000, &config, Path::new("runs/rice"), free);
        check(Some(5_000_000_000)).unwrap();
        check(None).unwrap();
        let error = check(Some(4_999_999_999)).unwrap_err();
        assert!(error.to_string().contains("needs 5.00 GB for its checkpoints"), "{error}");
        assert!(error.hint().unwrap().contains("checkpoint.keep = 2"));
    }

    #[test]
    fn a_number_that_the_recipe_gives_is_kept_or_refused() {
        let config = config(&["train.micro_batch_tokens=2000"]);
        let graph = graph(&config);
        assert_eq!(fit(&config, &graph, free(1 << 40)).unwrap().tokens, 2000);
        assert!(fit(&config, &graph, free(1 << 20)).is_err());
    }

    #[test]
    fn room_for_masked_tokens_is_twice_what_is_expected() {
        let masked = |extra: &[&str]| capacity(&config(extra), 10_000).unwrap().masked;
        assert!((2700..=3000).contains(&masked(&[])), "{}", masked(&[]));
        assert_eq!(masked(&["mask.strategy=token", "mask.mask_rate=0.7"]), 10_000);
    }

    #[test]
    fn measuring_changes_neither_weights_nor_gradients() {
        let config = config(&[]);
        let capacity = capacity(&config, 512).unwrap();
        let mut executor = Executor::new(graph(&config), capacity, Precision::F32, Mode::Train).unwrap();
        executor.initialize(1);
        let before = executor.param(0).to_vec();
        assert!(measure(&config, 69, &mut executor, &capacity).unwrap() > 0.0);
        assert_eq!(executor.param(0), before);
        assert!((0..executor.specs().len()).all(|index| executor.gradient(index).iter().all(|value| *value == 0.0)));
    }

    #[test]
    fn a_run_without_steps_ends_in_an_hour_or_after_forty_passes() {
        let config = config(&["train.batch_tokens=1000"]);
        let per_step = tokens_per_step(&config);
        assert_eq!(default_steps(&config, u64::MAX, 1000.0), (3_600_000.0 / per_step) as u64);
        assert_eq!(default_steps(&config, 1_000_000, 1e12), (40_000_000.0 / per_step) as u64);
        assert_eq!(default_steps(&config, 10, 1e12), 100);
    }
}
